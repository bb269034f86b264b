"""Whether components fit together, from their contracts alone, before anything is built (CON-050..CON-058).

Nothing stops the check: every finding of a pipeline is told at once (CON-058).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from torvyn_ref.calls import Role
from torvyn_ref.contract.compatibility import UNVERSIONED, compare_interfaces
from torvyn_ref.contract.diagnostics import Diagnostic, of_difference
from torvyn_ref.contract.versions import Version
from torvyn_ref.contract.wit import InlineItem, InterfaceItem, Package

_ROLES: Mapping[str, Role] = {str(role): role for role in Role}


@dataclass(frozen=True, slots=True)
class Part:
    """A component of a composition.

    Attributes:
        packages: the WIT packages that it vendors, its own first.
        requires: the capabilities without which it cannot work.
        granted: what its operator grants.
    """

    name: str
    packages: tuple[Package, ...]
    requires: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()

    @property
    def roles(self) -> frozenset[Role]:
        """The roles that the worlds of its own package export."""
        return exported_roles(self.packages[0]) if self.packages else frozenset()


def exported_roles(package: Package) -> frozenset[Role]:
    """Return the roles that a package's worlds export, by the last segment of the interface's name (CON-026)."""
    names = (
        item.interface.name if isinstance(item, InterfaceItem) else item.name
        for world in package.worlds
        for item in world.exports
        if isinstance(item, (InterfaceItem, InlineItem))
    )
    return frozenset(_ROLES[name] for name in names if name in _ROLES)


def compose(parts: Sequence[Part], connections: Sequence[tuple[str, str]]) -> tuple[Diagnostic, ...]:
    """Return everything that keeps components from working together; nothing when they do.

    Kinds: invalid-topology for an unknown end, once per end, and for a circle, once per pipeline; disconnected; source-has-incoming;
    sink-has-outgoing; unmet-capability; version-range-unsatisfiable; incompatible-major, once per breaking difference of what two connected
    components share.
    """
    return (
        *_ends(parts, connections),
        *_places(parts, connections),
        *_circle(parts, connections),
        *_shared(parts, connections),
        *_capabilities(parts),
        *_majors(parts),
    )


def _ends(parts: Sequence[Part], connections: Iterable[tuple[str, str]]) -> Iterator[Diagnostic]:
    names = {part.name for part in parts}
    for ends in connections:
        for end in ends:
            if end not in names:
                message = f"the connection {' -> '.join(ends)} names {end!r}, which is no component"
                yield Diagnostic("invalid-topology", "E0160", message, about=(end,), help=f"the components are {', '.join(sorted(names))}")


def _places(parts: Sequence[Part], connections: Sequence[tuple[str, str]]) -> Iterator[Diagnostic]:
    """Find components in no connection, and those on the wrong side of one (CON-051, CON-052)."""
    sources, targets = {source for source, _ in connections}, {target for _, target in connections}
    for part in parts:
        if part.name not in sources | targets:
            yield Diagnostic("disconnected", "E0163", f"the component {part.name!r} is in no connection", about=(part.name,))
        if Role.SOURCE in part.roles and part.name in targets:
            yield Diagnostic("source-has-incoming", "E0161", f"a connection leads into the source {part.name!r}", about=(part.name,))
        if Role.SINK in part.roles and part.name in sources:
            yield Diagnostic("sink-has-outgoing", "E0162", f"a connection leads out of the sink {part.name!r}", about=(part.name,))


def _circle(parts: Sequence[Part], connections: Sequence[tuple[str, str]]) -> Iterator[Diagnostic]:
    """Find one circle, however many there are (CON-053)."""
    names = {part.name for part in parts}
    before: dict[str, list[str]] = {part.name: [] for part in parts}
    for source, target in connections:
        if source in names and target in names:
            before[target].append(source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        yield Diagnostic("invalid-topology", "E0160", f"the pipeline runs in a circle: {' -> '.join(circle)}", about=tuple(circle[:-1]))


def _shared(parts: Sequence[Part], connections: Iterable[tuple[str, str]]) -> Iterator[Diagnostic]:
    """Compare the packages that two connected components both have, interface by interface (CON-054, CON-055)."""
    by_name = {part.name: part for part in parts}
    for source, target in dict.fromkeys(connections):
        if source not in by_name or target not in by_name:
            continue
        downstream = {package.name.unversioned: package for package in by_name[target].packages}
        for old in by_name[source].packages:
            new = downstream.get(old.name.unversioned)
            if new is None:
                continue
            versions = (old.name.version or UNVERSIONED, new.name.version or UNVERSIONED)
            for difference in compare_interfaces(old, new, [interface.name.name for interface in old.interfaces]):
                if difference.breaking:
                    finding = of_difference(difference, versions, source, target, old.name.unversioned)
                    message = f"{source!r} and {target!r} read {old.name.unversioned} differently: {finding.message}"
                    notes = (f"the change is of the class {finding.kind}",)
                    yield replace(finding, kind="incompatible-major", code="E0140", message=message, notes=notes)


def _capabilities(parts: Iterable[Part]) -> Iterator[Diagnostic]:
    for part in parts:
        for capability in part.requires:
            if capability not in part.granted:
                message = f"{part.name!r} requires {capability}, which is not granted"
                yield Diagnostic(
                    "unmet-capability", "E0164", message, about=(part.name, capability), help=f"grant {capability} to {part.name}"
                )


def _majors(parts: Iterable[Part]) -> Iterator[Diagnostic]:
    """Find components that have another major version of a package than the first one that has it (CON-057)."""
    first: dict[str, tuple[str, Version]] = {}
    for part in parts:
        for package in part.packages:
            name, version = package.name.unversioned, Version.parse(package.name.version or UNVERSIONED)
            holder, expected = first.setdefault(name, (part.name, version))
            if version.major != expected.major:
                message = (
                    f"{part.name!r} has {name} {version}, and {holder!r} has {expected}: a pipeline has one major version of a package"
                )
                versions = (str(expected), str(version))
                yield Diagnostic("version-range-unsatisfiable", "E0167", message, about=(holder, part.name, name), versions=versions)

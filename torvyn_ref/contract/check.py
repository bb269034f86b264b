"""The check of a component's project, before it is built: its manifest and its WIT, held against each other (CON-020..CON-030)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from torvyn_ref.contract import wit
from torvyn_ref.contract.composition import exported_roles
from torvyn_ref.contract.diagnostics import Diagnostic, Location, Severity, in_order, of_error
from torvyn_ref.contract.manifest import Identity, read
from torvyn_ref.contract.versions import Version
from torvyn_ref.contract.wit import InterfaceItem, Package, Span, World
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security.grants import declared_kinds
from torvyn_ref.security.kinds import Kind
from torvyn_ref.security.vocabularies import example
from torvyn_ref.wasi.table import capability_for

WIT_FOLDER = "wit"

_SYNTAX = frozenset({"syntax", "unsupported", "too-large", "unreadable"})
"""Kinds of the WIT room that are about the text alone; all others are about what names lead to."""


def check(root: str | os.PathLike[str]) -> tuple[Diagnostic, ...]:
    """Check the project in a directory and return all findings, in order (CON-030); `diagnostics.is_ok` says whether it passes.

    Places are relative to the directory. Kinds, besides those of `manifest.read`: wit-package-declaration (E0102), wit-syntax-error
    (E0100), wit-unresolved-reference (E0101), no-exported-interface (E0120), capability-mismatch (E0121), unknown-import (E0121),
    unused-capability and unsatisfiable-version (E0122), which are warnings.
    """
    folder = Path(root)
    identity, findings = read(folder)
    try:
        package = wit.load(folder / WIT_FOLDER)[0]
    except TorvynError as error:
        told = (*findings, *_unreadable(error))
    else:
        told = (*findings, *_compared(package, identity))
    return _told(told, folder)


def compare_with_manifest(root: str | os.PathLike[str]) -> tuple[Diagnostic, ...]:
    """Hold a project's WIT, which must be readable, against its manifest, and say nothing of the manifest alone: `config` does.

    A project of several components need not have a world of its own; one that has is checked like a component's.

    Raises:
        TorvynError: as `wit.load`.
    """
    folder = Path(root)
    identity, _ = read(folder)
    package = wit.load(folder / WIT_FOLDER)[0]
    if not package.worlds and not identity.component:
        return ()
    return _told(_compared(package, identity), folder)


def _told(diagnostics: Iterable[Diagnostic], folder: Path) -> tuple[Diagnostic, ...]:
    return in_order(replace(one, locations=tuple(_relative(place, folder) for place in one.locations)) for one in diagnostics)


def _compared(package: Package, identity: Identity) -> tuple[Diagnostic, ...]:
    return (*_roles(package), *_imports(package, identity), *_unused(package, identity), *_version(package, identity))


def _unreadable(error: TorvynError) -> Iterator[Diagnostic]:
    """Say what is wrong with the WIT, with file and line (CON-025)."""
    for one in error.errors if isinstance(error, TorvynErrors) else (error,):
        if one.kind == "no-package":
            kind, code = "wit-package-declaration", "E0102"
        else:
            kind, code = ("wit-syntax-error", "E0100") if one.kind in _SYNTAX else ("wit-unresolved-reference", "E0101")
        for finding in of_error(one, kind=kind):
            yield replace(finding, code=code)


def _relative(location: Location, root: Path) -> Location:
    path = Path(location.file)
    return replace(location, file=path.relative_to(root).as_posix()) if path.is_relative_to(root) else location


def _place(span: Span | None) -> tuple[Location, ...]:
    return () if span is None else (Location(span.file, span.line, span.column),)


def _roles(package: Package) -> Iterator[Diagnostic]:
    """Find a package none of whose worlds exports a role (CON-026)."""
    if exported_roles(package):
        return
    worlds = ", ".join(world.name.name for world in package.worlds)
    problem = f"of its worlds ({worlds}) none exports a role" if worlds else "it has no world"
    advice = "export one of source, processor, sink, filter, router and aggregator from a world"
    message = f"{package.name}: {problem}, so nothing could be a stage of a flow"
    place = _place(package.worlds[0].span) if package.worlds else ()
    yield Diagnostic("no-exported-interface", "E0120", message, locations=place, help=advice, about=(str(package.name),))


def _wasi_imports(world: World) -> Iterator[tuple[str, tuple[Kind, ...] | None]]:
    """Yield each WASI import of a world, with the kinds any of which opens it; None for an interface that nobody knows."""
    for item in world.imports:
        if isinstance(item, InterfaceItem) and item.interface.package.namespace == "wasi":
            try:
                yield item.name, capability_for(item.name)
            except KeyError:
                yield item.name, None


def _imports(package: Package, identity: Identity) -> Iterator[Diagnostic]:
    """Find WASI imports that the manifest does not declare: once per world and import, whatever table says so (CON-027)."""
    declared = declared_kinds((*identity.required, *identity.optional))
    for world in package.worlds:
        for name, kinds in _wasi_imports(world):
            about = (world.name.name, name)
            if kinds is None:
                message = f"the world {world.name.name} imports {name}, which is no interface of WASI 0.2 that a capability opens"
                yield Diagnostic("unknown-import", "E0121", message, locations=_place(world.span), about=about)
            elif kinds and not declared.intersection(kinds):
                wanted = " or ".join(f'"{example(kind)}"' for kind in kinds)
                message = f"the world {world.name.name} imports {name}, and the manifest declares no capability for it"
                advice = f"add {wanted} = true under [capabilities.required]"
                yield Diagnostic(
                    "capability-mismatch", "E0121", message, locations=_place(world.span), help=advice, about=(*about, str(kinds[0]))
                )


def _unused(package: Package, identity: Identity) -> Iterator[Diagnostic]:
    """Warn of required capabilities whose interfaces no world imports (CON-028)."""
    imported = {kind for world in package.worlds for _, kinds in _wasi_imports(world) for kind in kinds or ()}
    for name in identity.required:
        kinds = [kind for kind in declared_kinds([name]) if kind.is_wasi]
        if kinds and imported.isdisjoint(kinds):
            message = f"the manifest requires {name}, and no world imports anything that needs it"
            advice = "leave it out, or let a world import the interface that it is for"
            yield Diagnostic(
                "unused-capability", "E0121", message, Severity.WARNING, (Location("Torvyn.toml"),), help=advice, about=(name,)
            )


def _version(package: Package, identity: Identity) -> Iterator[Diagnostic]:
    """Warn when the component's own package has another version than its manifest; vendored packages are their owners' (CON-029)."""
    written = package.name.version
    if written is None or identity.version is None or Version.parse(written) == identity.version:
        return
    message = f"the package is {package.name}, and the manifest says version {identity.version}"
    about, versions = (package.name.unversioned,), (str(identity.version), written)
    place = _place(_first_span(package))
    yield Diagnostic(
        "unsatisfiable-version", "E0122", message, Severity.WARNING, place, help="let both say the same", about=about, versions=versions
    )


def _first_span(package: Package) -> Span | None:
    spans: Iterable[Span | None] = (*(interface.span for interface in package.interfaces), *(world.span for world in package.worlds))
    return next((span for span in spans if span is not None), None)

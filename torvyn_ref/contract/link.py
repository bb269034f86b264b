"""Linking, before anything is instantiated: every component has the role its node gives it, and every import a provider that it may use.

All nodes are judged and all errors reported together (LINK-013, LINK-021, CAP-025). No guest code runs until nothing is left to report
(CAP-060).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from torvyn_ref.contract.versions import incompatibility
from torvyn_ref.contract.world import HOST_INTERFACES, INTERFACE_OF, InterfaceName, World, identify, role_of_interface
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, TorvynErrors, raise_all
from torvyn_ref.security.grants import Policy, Resolution, declared_kinds, resolve
from torvyn_ref.security.kinds import Kind
from torvyn_ref.security.vocabularies import example
from torvyn_ref.wasi.table import CAPABILITIES, capability_for


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node of a flow, and the component that is to play it.

    Attributes:
        node: the node's name.
        interface: what the flow says that it is, such as `torvyn:streaming/sink`.
        component: what to call the component in errors (its file or reference).
        shape: what its binary imports and exports.
        declared, granted: its capability strings (`config.NodeSettings` has both).
        upstreams: the nodes whose streams it reads, once per stream.
    """

    node: str
    interface: str
    component: str
    shape: ComponentShape
    declared: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()


class Provider(StrEnum):
    """Who serves an import, in the order in which they are asked (LINK-012)."""

    WASI = "wasi"
    TORVYN = "torvyn"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Binding:
    """One import and what serves it; `node` names the upstream component."""

    import_name: str
    provider: Provider
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Linked:
    """A node that may be instantiated: what it is, what it may do, what serves its imports."""

    node: str
    world: World
    resolution: Resolution
    bindings: tuple[Binding, ...]


def link(
    candidates: Sequence[Candidate],
    policy: Policy = Policy.DENY_ALL,
    *,
    strict: bool = False,
    wasi: Collection[str] = CAPABILITIES,
    upstream_exports: bool = False,
    skip_unresolved: bool = False,
) -> Mapping[str, Linked]:
    """Check every node of a flow and return them linked, in the order given.

    Args:
        candidates: the nodes; names are unique (the topology's rule).
        policy: what a declared capability without a grant gets (CAP-056).
        strict: the allocator needs an explicit grant (decision 7).
        wasi: the WASI interfaces that the engine can serve, by name without version.
        upstream_exports: the engine can serve an import from a direct upstream's exports (LINK-012). This runtime's cannot, because every
            component has a store of its own: such an import is then unresolved.
        skip_unresolved: an import that nothing serves is left without a binding, and is no error (LINK-020).

    Raises:
        TorvynError, TorvynErrors: everything that is wrong, over all nodes.
            From the contract room: what `world.identify` and `world.role_of_interface` raise; interface-mismatch (E0201); unresolved-import
            (E0200), once per node and import; ambiguous-provider (E0206); capability-denied (E0202) for a WASI import whose capability is
            declared and not granted.
            From the security room: what `grants.resolve` raises; capability-mismatch (E0121) for a WASI import that is not declared
            (CAP-059).
    """
    by_node = {candidate.node: candidate for candidate in candidates}
    errors: list[TorvynError] = []
    linked: dict[str, Linked] = {}
    for candidate in candidates:
        world = _checked_world(candidate, errors)
        resolution = _checked_resolution(candidate, world, policy, errors, strict=strict)
        bindings: list[Binding] = []
        for import_name in candidate.shape.imports:
            try:
                bindings.append(_bind(import_name, candidate, resolution, by_node, wasi, upstream_exports=upstream_exports))
            except TorvynError as error:
                if not (skip_unresolved and error.kind == "unresolved-import"):
                    errors.append(error)
        if world is not None and resolution is not None:
            linked[candidate.node] = Linked(candidate.node, world, resolution, tuple(bindings))
    raise_all(errors)
    return linked


def _each(error: TorvynError) -> Sequence[TorvynError]:
    return error.errors if isinstance(error, TorvynErrors) else (error,)


def _place(candidate: Candidate) -> str:
    return f"node '{candidate.node}' ({candidate.component})"


def _checked_world(candidate: Candidate, errors: list[TorvynError]) -> World | None:
    """Collect what is wrong with the component's role, by itself and in this node."""
    world: World | None = None
    try:
        world = identify(candidate.shape, where=_place(candidate))
    except TorvynError as error:
        errors += _each(error)
    try:
        role = role_of_interface(candidate.interface, where=f"node '{candidate.node}', interface")
    except TorvynError as error:
        errors += _each(error)
    else:
        if world is not None and world.role is not role:
            found = INTERFACE_OF[world.role]
            errors.append(
                TorvynError(
                    "contract",
                    "interface-mismatch",
                    f"node '{candidate.node}' says {INTERFACE_OF[role]} but {candidate.component} exports {found}",
                    hint=f'write interface = "{found}", or name another component',
                    code="E0201",
                    node=candidate.node,
                    expected=INTERFACE_OF[role],
                    found=found,
                )
            )
    return world


def _checked_resolution(
    candidate: Candidate, world: World | None, policy: Policy, errors: list[TorvynError], *, strict: bool
) -> Resolution | None:
    """Collect what is wrong with the component's capabilities; without a world, what the allocator implies is left out."""
    try:
        if world is None:
            return resolve(candidate.declared, candidate.granted, policy, component=candidate.node)
        return resolve(candidate.declared, candidate.granted, policy, component=candidate.node, allocator=world.allocator(strict=strict))
    except TorvynError as error:
        errors += _each(error)
        return None


def _bind(
    import_name: str,
    candidate: Candidate,
    resolution: Resolution | None,
    by_node: Mapping[str, Candidate],
    wasi: Collection[str],
    *,
    upstream_exports: bool,
) -> Binding:
    """Find what serves one import: WASI, then this runtime, then the direct upstreams (LINK-012)."""
    path = import_name.partition("@")[0]
    if path in wasi:
        try:
            kinds = capability_for(import_name)
        except KeyError:
            hint = f"this runtime provides {path} in the versions 0.2.x"
            raise _unresolved(import_name, candidate, hint) from None
        _check_wasi(import_name, kinds, candidate, resolution)
        return Binding(import_name, Provider.WASI)
    if path in HOST_INTERFACES:
        return Binding(import_name, Provider.TORVYN)  # its version is the world's matter
    # One upstream is one provider, however many streams lead from it (LINK-015).
    providers = sorted({node for node in candidate.upstreams if node in by_node and _exports(by_node[node].shape, import_name)})
    if not providers:
        raise _unresolved(import_name, candidate, _advice(path))
    listed = " and ".join(f"'{node}'" for node in providers)
    if not upstream_exports:
        hint = f"upstream {listed} exports it, but components meet only through streams"
        raise _unresolved(import_name, candidate, hint)
    if len(providers) > 1:
        raise TorvynError(
            "contract",
            "ambiguous-provider",
            f"{import_name} is exported by more than one upstream: {listed}",
            where=_place(candidate),
            hint="let one of them feed the node",
            code="E0206",
            node=candidate.node,
            import_name=import_name,
            providers=providers,
        )
    return Binding(import_name, Provider.UPSTREAM, providers[0])


def _check_wasi(import_name: str, kinds: Sequence[Kind], candidate: Candidate, resolution: Resolution | None) -> None:
    """Refuse a WASI import that is not declared, or not granted (CAP-059, LINK-016)."""
    if not kinds:
        return
    wanted = " or ".join(f'"{example(kind)}"' for kind in kinds)
    if not declared_kinds(candidate.declared).intersection(kinds):
        raise TorvynError(
            "security",
            "capability-mismatch",
            f"imports {import_name} and does not declare a capability for it",
            where=_place(candidate),
            hint=f"add {wanted} to the component's capabilities, or build it without the import",
            code="E0121",
            node=candidate.node,
            import_name=import_name,
            capability=str(kinds[0]),
        )
    if resolution is not None and not resolution.effective.of_kind(*kinds):
        # Declared as optional, or by an alias of which other kinds are granted: the binary needs the import all the same.
        raise TorvynError(
            "contract",
            "capability-denied",
            f"imports {import_name}, and no capability for it is granted",
            where=_place(candidate),
            hint=f"grant {wanted} under [security.grants.{candidate.node}], or build the component without the import",
            code="E0202",
            node=candidate.node,
            import_name=import_name,
            capability=str(kinds[0]),
        )


def _exports(shape: ComponentShape, import_name: str) -> bool:
    """Tell whether a component exports an interface under this name, in a compatible version where both name one (CON-013)."""
    return any(_same_interface(import_name, export) for export in shape.exports)


def _same_interface(wanted: str, found: str) -> bool:
    if wanted.partition("@")[0] != found.partition("@")[0]:
        return False
    try:
        needed, offered = InterfaceName.parse(wanted).version, InterfaceName.parse(found).version
    except TorvynError:
        return wanted == found
    return needed is None or offered is None or incompatibility(needed, offered) is None


def _advice(path: str) -> str:
    if path in CAPABILITIES:
        return "this engine does not serve that WASI interface"
    if path.startswith("torvyn:"):
        return f"this runtime provides {', '.join(sorted(HOST_INTERFACES))}"
    return "this runtime provides interfaces of WASI 0.2 and of Torvyn, nothing else"


def _unresolved(import_name: str, candidate: Candidate, hint: str) -> TorvynError:
    return TorvynError(
        "contract",
        "unresolved-import",
        f"nothing provides the import {import_name}",
        where=_place(candidate),
        hint=hint,
        code="E0200",
        node=candidate.node,
        import_name=import_name,
    )

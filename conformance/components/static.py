"""The static part: what can be said of a component without running it, from its bytes and its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.components.binary import Binary, NoComponentError, read
from conformance.components.model import LIFECYCLE, ROLES, Level, Suspicion, Target
from conformance.components.result import Facts
from conformance.components.wasi import SCOPED, kinds, kinds_of, needed

TYPES = "torvyn:streaming/types"
ALLOCATOR = "torvyn:streaming/buffer-allocator"
CAPABILITY_QUERY = "torvyn:capabilities/capability-query"
HOST_INTERFACES = frozenset({TYPES, ALLOCATOR, CAPABILITY_QUERY})
"""What a component may import from a runtime besides WASI (CON-001, LINK-017, CAP-034)."""

WORLDS = {
    "source": ("torvyn:streaming/data-source", True),
    "processor": ("torvyn:streaming/transform", True),
    "sink": ("torvyn:streaming/data-sink", False),
    "filter": ("torvyn:filtering/content-filter", False),
    "router": ("torvyn:filtering/content-router", False),
    "aggregator": ("torvyn:aggregation/stream-aggregator", True),
}
"""The contract's world of each role, and whether it imports the allocator (wit/)."""

_VERSION = re.compile(r"0\.1\.(?:0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Static:
    """What is known before anything runs.

    Attributes:
        granted: what the component gets when it is run.
        runnable: whether there is a role to call it by.
    """

    facts: Facts
    suspicions: tuple[Suspicion, ...]
    granted: tuple[str, ...]
    runnable: bool


def look(target: Target) -> Static:
    """Read a component and hold it to the contract and to its manifest."""
    try:
        binary = read(target.wasm)
    except NoComponentError as error:
        place = f" (at byte {error.offset})" if error.offset else ""
        problem = Suspicion("CON-002", "not-a-component", f"{target.name} is no component: {error}{place}")
        return Static(Facts(size=len(target.wasm)), (problem,), (), runnable=False)
    roles = sorted({ROLES[name] for name in map(bare, binary.exports) if name in ROLES})
    role = roles[0] if len(roles) == 1 else ""
    lifecycle = any(bare(name) == LIFECYCLE for name in binary.exports)
    needs = tuple(dict.fromkeys(choices[0] for name in binary.imports if (choices := needed(name))))
    found = [*_role(target, binary, roles), *_versions(binary), *_imports(binary, role)]
    if target.declared is not None:
        found += _grants(target, binary)
    facts = Facts(
        size=binary.size,
        role=role,
        world=_world(role, lifecycle=lifecycle),
        lifecycle=lifecycle,
        imports=binary.imports,
        exports=binary.exports,
        modules=binary.modules,
        producers=binary.producers,
        needs=needs,
    )
    granted = target.granted if target.declared is not None else tuple(need for need in needs if need not in SCOPED)
    return Static(facts, tuple(found), granted, runnable=bool(role))


def bare(name: str) -> str:
    """Return an interface's name without its version."""
    return name.partition("@")[0]


def _world(role: str, *, lifecycle: bool) -> str:
    if role == "processor" and lifecycle:
        return "torvyn:streaming/managed-transform"
    return WORLDS[role][0] if role else ""


def _role(target: Target, binary: Binary, roles: list[str]) -> Iterator[Suspicion]:
    exported = ", ".join(binary.exports[:8]) or "nothing"
    wanted = "exactly one of " + ", ".join(name for name in list(ROLES)[:6])
    if not roles:
        message = "it exports no interface that gives it a role in a flow"
        yield Suspicion("CON-002", "no-role", message, expected=wanted, found=exported, related=("CON-026",))
    elif len(roles) > 1:
        message = f"it exports the interfaces of {len(roles)} roles; a component has one: split it"
        yield Suspicion("CON-002", "several-roles", message, expected=wanted, found=", ".join(roles))
    elif target.role and target.role != roles[0]:
        message = f"its node in the flow is a {target.role}, and the component is a {roles[0]}"
        yield Suspicion("CON-002", "wrong-role", message, expected=target.role, found=roles[0], related=("LINK-022",))


def _versions(binary: Binary) -> Iterator[Suspicion]:
    for name in dict.fromkeys((*binary.imports, *binary.exports)):
        interface, at, version = name.partition("@")
        ours = interface in HOST_INTERFACES or interface in ROLES or interface == LIFECYCLE
        if ours and at and not _VERSION.fullmatch(version):
            message = f"it is built against {name}, and a runtime of this contract offers 0.1.x: build it again"
            yield Suspicion("CON-013", "wrong-version", message, expected="0.1.x", found=version)


def _imports(binary: Binary, role: str) -> Iterator[Suspicion]:
    for name in binary.imports:
        interface = bare(name)
        if interface in HOST_INTERFACES:
            continue
        if interface.startswith("torvyn:"):
            message = f"it imports {name}, which no runtime offers to components"
            yield Suspicion("LINK-017", "unknown-import", message, expected=", ".join(sorted(HOST_INTERFACES)), found=name)
        elif not interface.startswith("wasi:"):
            message = f"it imports {name}, which neither the contract nor WASI 0.2 has"
            yield Suspicion("LINK-017", "unknown-import", message, found=name, related=("CON-001",))
        elif needed(name) is None:
            message = f"it imports {name}, which is no released WASI 0.2 interface that a runtime has to know"
            yield Suspicion("CAP-041", "unknown-wasi", message, found=name, related=("LINK-017",))
    if role and not WORLDS[role][1] and ALLOCATOR in map(bare, binary.imports):
        message = f"it imports the allocator, which the world of a {role} does not have: its operator must grant torvyn:resource-allocate"
        yield Suspicion("CAP-038", "allocator-beyond-world", message, level=Level.WARNING, found=ALLOCATOR)


def _grants(target: Target, binary: Binary) -> Iterator[Suspicion]:
    """Compare imports, declarations and grants (CON-027, CON-028, CAP-024, CAP-026, CAP-027)."""
    declared = target.declared or ()
    declared_kinds, granted_kinds = kinds(declared), kinds(target.granted)
    opened: set[str] = set()
    for name in binary.imports:
        choices = needed(name)
        if not choices:
            continue
        opened.update(choices)
        if not declared_kinds & set(choices):
            message = f"it imports {name}, and its manifest does not declare {' or '.join(choices)}"
            related = ("CAP-059", "LINK-016")
            yield Suspicion("CON-027", "undeclared-capability", message, expected=" or ".join(choices), found="nothing", related=related)
        elif not granted_kinds & set(choices):
            optional = all(entry.startswith("?") for entry in declared if kinds_of(entry) & set(choices))
            message = f"it imports {name} and declares {' or '.join(choices)}, which nobody grants: it will not link"
            yield Suspicion(
                "LINK-016", "capability-not-granted", message, found="no grant", related=("CAP-024",) if not optional else ("CAP-026",)
            )
    for entry in declared:
        wasi = [kind for kind in kinds_of(entry) if not kind.startswith("torvyn:")]
        if not wasi:
            continue
        if not opened & set(wasi):
            message = f"its manifest declares {entry.removeprefix('?')}, and no import of it needs that"
            yield Suspicion("CON-028", "unused-capability", message, level=Level.WARNING, found=entry)
            if not entry.startswith("?") and not granted_kinds & set(wasi):
                message = f"its manifest requires {entry}, which nobody grants: it will not start"
                yield Suspicion("CAP-024", "required-not-granted", message, found="no grant")
    for grant in target.granted:
        if not kinds_of(grant) & declared_kinds:
            message = f"{grant} is granted to it, and its manifest does not declare that: it does not get it"
            yield Suspicion("CAP-027", "unused-grant", message, level=Level.WARNING, found=grant)

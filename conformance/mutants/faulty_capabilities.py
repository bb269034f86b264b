"""Mutants that read a capability too kindly, write it badly, or compare two of them with the wrong eyes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts, SecurityParts
from torvyn_ref.errors import TorvynError
from torvyn_ref.security.capability import Capability, parse
from torvyn_ref.security.kinds import Kind
from torvyn_ref.security.scopes import NetScope, PathScope, PoolScope

if TYPE_CHECKING:
    from torvyn_ref.security.scopes import PortRange


def security(name: str, *rules: str, summary: str, parts: Callable[[], SecurityParts]) -> None:
    """Register a mutant of the facet capabilities."""
    register(name, *rules, summary=summary, build=lambda: ReferenceParts(security=parts()))


# ---------------------------------------------------------------- reading


def reading(name: str, *rules: str, pattern: str, replacement: str, summary: str) -> None:
    """Register a reader that takes one text for another."""

    def kindly(text: str) -> Capability:
        return parse(re.sub(pattern, replacement, text))

    security(name, *rules, summary=summary, parts=lambda: SecurityParts(parse=kindly))


reading("egress-is-known", "CAP-001", pattern=r"^network:egress", replacement="network:tcp-connect", summary="`network:egress` is read.")
reading("stdin-is-known", "CAP-001", pattern=r"^stdio:stdin", replacement="stdio:stdout", summary="`stdio:stdin` is a capability.")
reading(
    "documents-are-read",
    "CAP-001",
    "CAP-002",
    pattern=r"^wasi:filesystem/read",
    replacement="filesystem:read",
    summary="The documentation's names are read as if they were ids.",
)
reading(
    "no-scope-is-everything",
    "CAP-002",
    pattern=r"^(filesystem:(?:read|write))$",
    replacement=r"\1:/",
    summary="A file capability without a path is one for the whole file system.",
)
reading("names-are-trimmed", "CAP-003", pattern=r"^\s+|\s+$", replacement="", summary="Blanks around a capability are taken off.")
reading(
    "relative-is-absolute", "CAP-011", pattern=r"^(filesystem:\w+:)(?!/)", replacement=r"\1/", summary="A relative path begins at the root."
)
reading("stars-are-cut", "CAP-013", pattern=r"/\*+$", replacement="", summary="A star at the end of a path stands for everything below it.")
reading(
    "dots-are-clamped",
    "CAP-012",
    pattern=r":/(?:\.\./)+",
    replacement=":/",
    summary="A path that climbs above the root stays at the root.",
)
reading(
    "backwards-is-turned",
    "CAP-016",
    "CAP-017",
    pattern=r":90-80",
    replacement=":80-90",
    summary="A range of ports that goes down is turned around.",
)
reading(
    "bad-ports-are-dropped",
    "CAP-017",
    pattern=r":(?:99999|65536|-|,)$",
    replacement="",
    summary="Ports that are none are left out, and an empty list is all ports.",
)
reading(
    "one-bad-port-among-good-ones",
    "CAP-017",
    pattern=r",(?:99999|1-2-3|65536)(?=,|$)",
    replacement="",
    summary="A bad port after a good one is left out.",
)


def _lower(text: str) -> Capability:
    domain, colon, rest = text.partition(":")
    action, more, scope = rest.partition(":")
    return parse(f"{domain.lower()}{colon}{action.lower()}{more}{scope}")


security("case-does-not-matter", "CAP-003", summary="Names are read in any case.", parts=lambda: SecurityParts(parse=_lower))


def _says(kind: str, when: Callable[[str, str], bool]) -> Callable[[str], Capability]:
    """Return a reader that gives some refusals another kind."""

    def read(text: str) -> Capability:
        try:
            return parse(text)
        except TorvynError as error:
            if when(text, error.kind):
                error.kind = kind
            raise

    return read


security(
    "missing-is-unknown",
    "CAP-002",
    summary="A capability without its scope is called unknown.",
    parts=lambda: SecurityParts(parse=_says("unknown-capability", lambda _, kind: kind == "missing-scope")),
)
security(
    "unknown-is-malformed",
    "CAP-002",
    summary="An unknown capability is called malformed.",
    parts=lambda: SecurityParts(parse=_says("invalid-syntax", lambda _, kind: kind == "unknown-capability")),
)
security(
    "a-needless-scope-is-unknown",
    "CAP-005",
    summary="A scope on a kind that takes none makes it an unknown capability.",
    parts=lambda: SecurityParts(parse=_says("unknown-capability", lambda text, _: text.startswith(("clock:wall:", "stdio:")))),
)


# ---------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True)
class _WithoutPorts(Capability):
    """Forgets what comes after the last comma of its ports."""

    def __str__(self) -> str:
        text = Capability.__str__(self)
        scope = self.scope
        return text.rpartition(",")[0] if isinstance(scope, NetScope) and len(scope.ports) > 1 else text


@dataclass(frozen=True, slots=True)
class _WithSlash(Capability):
    """Writes a slash behind every path but the root, and none for the root."""

    def __str__(self) -> str:
        return Capability.__str__(self).removesuffix("/") if self.kind is Kind.FILESYSTEM_READ else Capability.__str__(self)


@dataclass(frozen=True, slots=True)
class _HostsOnly(Capability):
    """Writes an empty list of ports as the number 0: upstream's fault, a shade milder."""

    def __str__(self) -> str:
        text = Capability.__str__(self)
        scope = self.scope
        return f"{text}:0" if isinstance(scope, NetScope) and scope.hosts and not scope.ports else text


def writing(name: str, *rules: str, summary: str, cls: type[Capability]) -> None:
    """Register a reader whose capabilities write themselves in another way."""

    def read(text: str) -> Capability:
        found = parse(text)
        return cls(found.kind, found.scope)

    security(name, *rules, summary=summary, parts=lambda: SecurityParts(parse=read))


writing("ports-are-cut-short", "CAP-004", summary="A second range of ports is not written.", cls=_WithoutPorts)
writing("no-ports-is-port-0", "CAP-004", summary="A network capability without ports is written with the port 0.", cls=_HostsOnly)
writing("the-root-is-empty", "CAP-004", "CAP-010", summary="The root is written as an empty path.", cls=_WithSlash)


# ---------------------------------------------------------------- comparing

Covers = Callable[[Capability, Capability], bool]


def comparing(name: str, *rules: str) -> Callable[[Covers], Covers]:
    """Register a faulty comparison; its docstring is the summary."""

    def add(covers: Covers) -> Covers:
        security(name, *rules, summary=(covers.__doc__ or "").strip(), parts=lambda: SecurityParts(covers=covers))
        return covers

    return add


@comparing("read-is-write", "CAP-006")
def _read_is_write(grant: Capability, request: Capability) -> bool:
    """A capability to read covers one to write."""
    if (grant.kind, request.kind) == (Kind.FILESYSTEM_READ, Kind.FILESYSTEM_WRITE):
        request = Capability(Kind.FILESYSTEM_READ, request.scope)
    return grant.covers(request)


@comparing("one-network", "CAP-006")
def _one_network(grant: Capability, request: Capability) -> bool:
    """A capability for http-outgoing covers tcp-connect, for it is made of it."""
    if (grant.kind, request.kind) == (Kind.HTTP_OUTGOING, Kind.TCP_CONNECT):
        request = Capability(Kind.HTTP_OUTGOING, request.scope)
    return grant.covers(request)


def _paths(grant: Capability, request: Capability) -> tuple[str, str] | None:
    if grant.kind is request.kind and isinstance(grant.scope, PathScope) and isinstance(request.scope, PathScope):
        return grant.scope.path, request.scope.path
    return None


@comparing("paths-by-letters", "CAP-008")
def _by_letters(grant: Capability, request: Capability) -> bool:
    """A path is inside a root when it begins with its letters."""
    paths = _paths(grant, request)
    return paths[1].startswith(paths[0]) if paths else grant.covers(request)


@comparing("the-root-covers-itself-only", "CAP-008")
def _root_alone(grant: Capability, request: Capability) -> bool:
    """The root covers nothing but the root."""
    paths = _paths(grant, request)
    return paths[1] == "/" if paths and paths[0] == "/" else grant.covers(request)


@comparing("paths-in-any-case", "CAP-008")
def _any_case(grant: Capability, request: Capability) -> bool:
    """Paths are compared in lower case."""
    paths = _paths(grant, request)
    if not paths:
        return grant.covers(request)
    return PathScope(paths[0].lower()).covers(PathScope(paths[1].lower()))


@comparing("overlap-is-enough", "CAP-009")
def _overlap(grant: Capability, request: Capability) -> bool:
    """A grant covers what it overlaps."""
    return grant.covers(request) or (_paths(grant, request) is not None and request.covers(grant))


def raw(name: str, *rules: str, summary: str, covers: Callable[[str, str], bool]) -> None:
    """Register a comparison of paths as they are written, before anything is normalised."""
    written: dict[Capability, str] = {}

    def read(text: str) -> Capability:
        found = parse(text)
        written[found] = text.partition(":")[2].partition(":")[2]
        return found

    def compare(grant: Capability, request: Capability) -> bool:
        return covers(written[grant], written[request]) if _paths(grant, request) else grant.covers(request)

    security(name, *rules, summary=summary, parts=lambda: SecurityParts(parse=read, covers=compare))


raw(
    "dots-are-names",
    "CAP-012",
    summary="Paths are compared as they are written, dots and all.",
    covers=lambda root, path: root in ("/", path) or path.startswith(f"{root.rstrip('/')}/"),
)
raw(
    "a-slash-too-much",
    "CAP-010",
    summary="A slash at the end of a grant makes it another directory.",
    covers=lambda root, path: root in ("/", path) or (not root.endswith("/") and PathScope(root).covers(PathScope(path))),
)


Hosts = Callable[[str, str], bool]


def hosts(name: str, *rules: str, summary: str, covers: Hosts) -> None:
    """Register a comparison of hosts: a pattern and a host, or another pattern."""

    def compare(grant: Capability, request: Capability) -> bool:
        one, other = grant.scope, request.scope
        if grant.kind is not request.kind or not isinstance(one, NetScope) or not isinstance(other, NetScope):
            return grant.covers(request)
        if not NetScope((), one.ports).covers(NetScope((), other.ports)):
            return False
        if not one.hosts:
            return True
        return bool(other.hosts) and all(any(covers(pattern, host) for pattern in one.hosts) for host in other.hosts)

    security(name, *rules, summary=summary, parts=lambda: SecurityParts(covers=compare))


def _exactly(pattern: str, host: str) -> bool:
    return NetScope((pattern,)).covers(NetScope((host,)))


hosts(
    "wildcards-by-letters",
    "CAP-014",
    "CAP-019",
    summary="`*.d` covers every host that ends in the letters of `d`.",
    covers=lambda pattern, host: pattern == host or (pattern.startswith("*.") and host.removeprefix("*.").endswith(pattern[2:])),
)
hosts(
    "wildcards-without-their-apex",
    "CAP-014",
    "CAP-019",
    summary="`*.d` does not cover `d` itself.",
    covers=lambda pattern, host: _exactly(pattern, host) and pattern != f"*.{host}",
)
hosts(
    "one-level-only",
    "CAP-007",
    "CAP-014",
    summary="`*.d` covers one level of subdomains, and no more.",
    covers=lambda pattern, host: (
        _exactly(pattern, host) and (not pattern.startswith("*.") or host.startswith("*.") or host.count(".") <= pattern.count("."))
    ),
)
hosts(
    "a-host-covers-its-subdomains",
    "CAP-014",
    "CAP-019",
    summary="A host without a star covers all that is below it.",
    covers=lambda pattern, host: _exactly(pattern, host) or _exactly(f"*.{pattern.removeprefix('*.')}", host),
)
hosts(
    "a-host-covers-a-wildcard",
    "CAP-019",
    summary="A host covers the wildcard of its own name.",
    covers=lambda pattern, host: _exactly(pattern, host) or host == f"*.{pattern}",
)
hosts(
    "a-host-begins-like-it",
    "CAP-014",
    summary="A host is compared for as long as the pattern is.",
    covers=lambda pattern, host: _exactly(pattern, host) or host.startswith(pattern),
)


def axes(name: str, *rules: str, summary: str, covers: Callable[[NetScope, NetScope], bool]) -> None:
    """Register a comparison of network scopes."""

    def compare(grant: Capability, request: Capability) -> bool:
        one, other = grant.scope, request.scope
        if grant.kind is request.kind and isinstance(one, NetScope) and isinstance(other, NetScope):
            return covers(one, other)
        return grant.covers(request)

    security(name, *rules, summary=summary, parts=lambda: SecurityParts(covers=compare))


axes(
    "ports-do-not-count",
    "CAP-015",
    "CAP-018",
    "CAP-016",
    summary="Only the hosts of a network scope are compared.",
    covers=lambda one, other: replace(one, ports=()).covers(other),
)
axes(
    "hosts-do-not-count",
    "CAP-015",
    "CAP-018",
    "CAP-014",
    summary="Only the ports of a network scope are compared.",
    covers=lambda one, other: replace(one, hosts=()).covers(other),
)
axes(
    "nothing-wanted-is-nothing",
    "CAP-018",
    "CAP-015",
    summary="A request that names no ports asks for none, so that every grant covers it.",
    covers=lambda one, other: one.covers(other) or (not other.ports and replace(one, ports=()).covers(other)),
)
axes(
    "either-axis-is-enough",
    "CAP-018",
    summary="A grant without hosts covers any ports, and one without ports any hosts.",
    covers=lambda one, other: one.covers(other) or not one.hosts or not one.ports,
)
axes(
    "a-list-is-not-itself",
    "CAP-007",
    summary="A scope of several hosts does not cover itself.",
    covers=lambda one, other: one.covers(other) and not (len(one.hosts) > 1 and one == other),
)


def _ports(one: NetScope, other: NetScope, within: Callable[[PortRange, PortRange], bool]) -> bool:
    if not replace(one, ports=()).covers(replace(other, ports=())) or not one.ports or not other.ports:
        return one.covers(other)
    return all(any(within(granted, wanted) for granted in one.ports) for wanted in other.ports)


axes(
    "the-last-port-is-out",
    "CAP-016",
    summary="The last port of a range does not belong to it.",
    covers=lambda one, other: _ports(
        one, other, lambda granted, wanted: granted.first <= wanted.first and wanted.last <= max(granted.last - 1, granted.first)
    ),
)
axes(
    "some-ports-are-enough",
    "CAP-016",
    "CAP-020",
    summary="A granted range covers every range that begins in it.",
    covers=lambda one, other: _ports(one, other, lambda granted, wanted: granted.first <= wanted.first <= granted.last),
)
axes(
    "the-first-range-only",
    "CAP-020",
    summary="Only the first granted range is looked at.",
    covers=lambda one, other: _ports(
        one, other, lambda granted, wanted: granted == one.ports[0] and granted.first <= wanted.first and wanted.last <= granted.last
    ),
)


@comparing("any-pool-is-the-pool", "CAP-021")
def _any_pool(grant: Capability, request: Capability) -> bool:
    """A grant for one pool covers every pool: only the kind is compared."""
    return grant.kind is request.kind if isinstance(grant.scope, PoolScope) else grant.covers(request)


@comparing("one-pool-is-all-pools", "CAP-021")
def _unscoped(grant: Capability, request: Capability) -> bool:
    """A grant for one pool covers the request for any."""
    return grant.covers(request) or (grant.kind is request.kind is Kind.RESOURCE_ALLOCATE and request.scope is None)


@comparing("pools-begin-alike", "CAP-021")
def _begin_alike(grant: Capability, request: Capability) -> bool:
    """A pool covers every pool whose name begins with its own."""
    one, other = grant.scope, request.scope
    if grant.kind is request.kind and isinstance(one, PoolScope) and isinstance(other, PoolScope):
        return other.name.startswith(one.name)
    return grant.covers(request)


@comparing("paths-by-two-parts", "CAP-008")
def _two_parts(grant: Capability, request: Capability) -> bool:
    """Of a path only the first two parts are compared."""
    paths = _paths(grant, request)
    if not paths:
        return grant.covers(request)
    root, path = (path.strip("/").split("/") for path in paths)
    return grant.covers(request) or (len(root) > 2 and len(path) >= len(root) and root[:2] == path[:2])


axes(
    "the-last-host-is-not-asked",
    "CAP-014",
    summary="Of several requested hosts the last one is not looked at.",
    covers=lambda one, other: one.covers(replace(other, hosts=other.hosts[:-1]) if len(other.hosts) > 1 and one.hosts else other),
)

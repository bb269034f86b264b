"""What a capability means, told from the rules CAP-001 to CAP-032: reading, covering, and what a component gets.

Written from the rulebook alone, and for being looked at: paths are tuples of their parts, hosts and ports are compared one by one. Where
the rules leave something open the answer is None, and a check must accept either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

PATH, NET, POOL, NOTHING = "path", "net", "pool", "nothing"

KINDS: dict[str, tuple[str, bool]] = {
    "filesystem:read": (PATH, True),
    "filesystem:write": (PATH, True),
    "network:tcp-connect": (NET, False),
    "network:tcp-listen": (NET, False),
    "network:udp": (NET, False),
    "network:http-outgoing": (NET, False),
    "clock:wall": (NOTHING, False),
    "clock:monotonic": (NOTHING, False),
    "random:crypto": (NOTHING, False),
    "random:insecure": (NOTHING, False),
    "environment:read": (NOTHING, False),
    "stdio:stdout": (NOTHING, False),
    "stdio:stderr": (NOTHING, False),
    "torvyn:resource-allocate": (POOL, False),
    "torvyn:pool-access": (POOL, True),
    "torvyn:emit-backpressure": (NOTHING, False),
    "torvyn:inspect-flow-meta": (NOTHING, False),
    "torvyn:runtime-inspect": (NOTHING, False),
    "torvyn:custom-metrics": (NOTHING, False),
}
"""The 19 kinds (CAP-001): what narrows each, and whether it must be narrowed."""

HOT_PATH = ("torvyn:resource-allocate", "torvyn:emit-backpressure", "torvyn:custom-metrics", "torvyn:inspect-flow-meta")
"""The kinds that are decided before the hot path (CAP-036)."""

MALFORMED, NO_SCOPE, UNKNOWN = "invalid-syntax", "missing-scope", "unknown-capability"

LAST_PORT = 65535
_PORTS = re.compile(r"[0-9,-]+")
_TOKEN = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_GLOBS = frozenset("*?[]{}")

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a capability's text stands for.

    Attributes:
        path: the parts of a path scope.
        hosts, ports: of a network scope; None for all of them.
        pool: a pool's name; None for any.
    """

    kind: str
    path: tuple[str, ...] = ()
    hosts: frozenset[str] | None = None
    ports: tuple[Range, ...] | None = None
    pool: str | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What two texts have in common that mean the same."""
        return self.kind, self.path, _narrowest(self.hosts), None if self.ports is None else _merged(self.ports), self.pool


def same(one: str, other: str) -> bool:
    """Tell whether two texts are readable and mean the same."""
    first, second = read(one), read(other)
    return isinstance(first, Meaning) and isinstance(second, Meaning) and first.key == second.key


def read(text: str) -> Meaning | str | None:
    """Return what a capability means, the kind of its refusal, or None where the rules leave it open."""
    domain, colon, rest = text.partition(":")
    if not colon:
        return MALFORMED
    action, scoped, scope = rest.partition(":")
    kind = f"{domain}:{action}"
    if kind not in KINDS:
        return UNKNOWN
    narrowed_by, required = KINDS[kind]
    if not scoped:
        return NO_SCOPE if required else Meaning(kind)
    if narrowed_by == PATH:
        return _read_path(kind, scope)
    if narrowed_by == NET:
        return _read_net(kind, scope)
    if narrowed_by == POOL:
        return Meaning(kind, pool=scope) if scope else None
    return None  # CAP-005 is a SHOULD


def _read_path(kind: str, scope: str) -> Meaning | str | None:
    if not scope.startswith("/"):
        return MALFORMED
    parts: list[str] = []
    for part in scope.split("/"):
        if part == "..":
            if not parts:
                return MALFORMED
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if _GLOBS & set(scope):
        return None  # CAP-013 is a SHOULD
    return Meaning(kind, path=tuple(parts))


def _read_net(kind: str, scope: str) -> Meaning | str | None:
    head, colon, tail = scope.rpartition(":")
    ports: tuple[Range, ...] | None = None
    if colon and _PORTS.fullmatch(tail):
        tokens = [_TOKEN.fullmatch(token) for token in tail.split(",")]
        ranges = [(int(token[1]), int(token[2] or token[1])) for token in tokens if token is not None]
        if len(ranges) < len(tokens) or any(not first <= last <= LAST_PORT for first, last in ranges):
            return MALFORMED
        ports = tuple(ranges)
    elif scope == "*:*":
        return Meaning(kind)
    else:
        head = scope
    if head in ("", "*"):
        return Meaning(kind, ports=ports)
    hosts = frozenset(host.strip().lower() for host in head.split(","))
    if any(not re.fullmatch(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*", host) or host[-1].isdigit() for host in hosts):
        return None  # addresses, and what is no name
    return Meaning(kind, hosts=hosts, ports=ports)


def _narrowest(hosts: frozenset[str] | None) -> tuple[str, ...] | None:
    """Leave out what another pattern covers, and sort."""
    if hosts is None:
        return None
    minimal = (host for host in hosts if not any(other != host and host_covers(other, host) for other in hosts))
    return tuple(sorted(minimal))


def _merged(ranges: Iterable[Range]) -> tuple[Range, ...] | None:
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return None if merged == [(0, LAST_PORT)] else tuple(merged)


def host_covers(pattern: str, host: str) -> bool:
    """Tell whether a pattern covers a host, or another pattern (CAP-014, CAP-019)."""
    if pattern == host:
        return True
    if not pattern.startswith("*."):
        return False
    base, name = pattern[2:].split("."), host.removeprefix("*.").split(".")
    return name[-len(base) :] == base


def path_inside(path: Sequence[str], root: Sequence[str]) -> bool:
    """Tell whether a path is inside a root (CAP-008)."""
    return tuple(path[: len(root)]) == tuple(root)


def ports_within(wanted: tuple[Range, ...] | None, granted: tuple[Range, ...] | None) -> bool | None:
    """Tell whether ports are within others (CAP-016, CAP-020); None where it takes several granted ranges for one that is wanted."""
    if granted is None:
        return True
    everything = wanted is None or (0, LAST_PORT) in wanted
    ranges = ((0, LAST_PORT),) if wanted is None else wanted
    if wanted is not None and all(any(low <= first and last <= high for low, high in granted) for first, last in ranges):
        return True
    joined = _merged(granted)
    if joined is None:
        return None if everything else True
    return None if all(any(low <= first and last <= high for low, high in joined) for first, last in ranges) else False


def covers(grant: Meaning, request: Meaning) -> bool | None:
    """Tell whether a grant covers a request; None where the rules leave it open (CAP-020)."""
    if grant.kind != request.kind:
        return False
    narrowed_by, _ = KINDS[grant.kind]
    if narrowed_by == PATH:
        return path_inside(request.path, grant.path)
    if narrowed_by == POOL:
        return grant.pool is None or grant.pool == request.pool
    if narrowed_by == NOTHING:
        return True
    if grant.hosts is not None:
        if request.hosts is None:
            return False
        reached = {host for pattern, host in product(grant.hosts, request.hosts) if host_covers(pattern, host)}
        if reached != request.hosts:
            return False
    return ports_within(request.ports, grant.ports)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a component gets, or everything that it is refused for.

    Attributes:
        effective: what it has, as it was declared.
        errors, warnings: kind and capability.
        granted_by: for each effective capability the grant that was used; `allow-all` for the policy.
    """

    effective: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    granted_by: tuple[tuple[str, str], ...] = ()


def resolve(declared: Sequence[str], granted: Sequence[str], policy: str = "deny-all") -> Expected | None:
    """Return what the rules make of readable declarations and grants; None where they leave something open."""
    if not all(isinstance(read(grant), Meaning) for grant in granted):
        return None
    needs: dict[tuple[object, ...], tuple[str, bool]] = {}
    warnings: list[tuple[str, str]] = []
    for entry in declared:
        optional, text = entry.startswith("?"), entry.removeprefix("?")
        meaning = read(text)
        if not isinstance(meaning, Meaning):
            return None
        if meaning.key in needs:
            warnings.append(("declared-twice", text))
            optional = optional and needs[meaning.key][1]
            text = needs[meaning.key][0]
        needs[meaning.key] = (text, optional)
    effective: list[tuple[str, str]] = []
    errors: list[tuple[str, str]] = []
    used: set[int] = set()
    for text, optional in needs.values():
        verdicts = [_covers(grant, text) for grant in granted]
        if None in verdicts:
            return None
        first = next((at for at, covered in enumerate(verdicts) if covered), None)
        if first is not None:
            used.add(first)
            effective.append((text, granted[first]))
        elif policy == "allow-all":
            effective.append((text, "allow-all"))
            warnings.append(("allowed-by-policy", text))
        elif optional:
            warnings.append(("optional-not-granted", text))
        else:
            alike = any(_kind(grant) == _kind(text) for grant in granted)
            errors.append(("incompatible-scope" if alike else "missing-required", text))
    if errors:
        return Expected(errors=tuple(errors))
    warnings += [("unused-grant", grant) for at, grant in enumerate(granted) if at not in used]
    return Expected(tuple(text for text, _ in effective), (), tuple(warnings), tuple(effective))


def _kind(text: str) -> str:
    return ":".join(text.split(":")[:2])


def _covers(grant: str, request: str) -> bool | None:
    one, other = read(grant), read(request)
    return covers(one, other) if isinstance(one, Meaning) and isinstance(other, Meaning) else None

"""The three scopes: a directory tree, network endpoints, a named pool.

A scope is canonical from the moment it exists: paths are normalised, hosts are lower-cased, sorted and without redundant patterns, port
ranges are sorted and merged. So equal meaning is equal value, `str` and `parse` are inverses (CAP-004), and covering is decided exactly: a
scope covers another if and only if it allows everything that the other allows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

PORT_MAX = 0xFFFF
_NAME_MAX = 253  # RFC 1035: the longest host name as text

_GLOB = frozenset("*?[]{}")
_PORTS = re.compile(r"[0-9,-]+")
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMERIC_END = re.compile(r"(?:.*\.)?[0-9]+")


class ScopeError(ValueError):
    """A scope that means nothing: what is wrong with it, in one clause."""


def _refuse_control(text: str) -> None:
    if any(character < " " or character == "\x7f" for character in text):
        raise ScopeError("it holds a control character")


@dataclass(frozen=True, slots=True)
class PathScope:
    """A directory and everything below it (CAP-008..CAP-013).

    Raises:
        ScopeError: for a path that is relative, climbs above the root, or holds a glob or control character.
    """

    path: str

    def __post_init__(self) -> None:
        _refuse_control(self.path)
        if not self.path.startswith("/"):
            raise ScopeError("a path starts with '/'")
        if globs := sorted(_GLOB.intersection(self.path)):
            raise ScopeError(f"{globs[0]!r} has no meaning in a path, which always stands for its whole tree")
        parts: list[str] = []
        for part in self.path.split("/"):
            if part == "..":
                if not parts:
                    raise ScopeError("'..' climbs above the root")
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        object.__setattr__(self, "path", "/" + "/".join(parts))

    def __str__(self) -> str:
        return self.path

    def covers(self, other: PathScope) -> bool:
        """Tell whether the other tree lies inside this one, whole path segments compared (CAP-008)."""
        return self.path in ("/", other.path) or other.path.startswith(self.path + "/")


class PortRange(NamedTuple):
    """Ports from first to last, both included (CAP-016)."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class NetScope:
    """Endpoints: hosts times ports, where no hosts means every host and no ports means every port (CAP-014..CAP-020).

    A host is a name, an IPv4 address, an IPv6 address in brackets, or `*.name`: the name itself and all its subdomains.

    Raises:
        ScopeError: for anything that is none of these, or a port range out of order or beyond 65535 (CAP-017).
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[PortRange, ...] = ()

    def __post_init__(self) -> None:
        hosts = frozenset(_canonical_host(host) for host in self.hosts)
        minimal = (host for host in hosts if not any(pattern in hosts for pattern in _wider(host)))
        object.__setattr__(self, "hosts", tuple(sorted(minimal)))
        object.__setattr__(self, "ports", _canonical_ports(self.ports))

    @classmethod
    def parse(cls, text: str) -> NetScope:
        """Read `hosts[:ports]`; empty, `*` and `*:*` allow everything.

        The last colon separates ports only when nothing but digits, commas and hyphens (or one `*`) follows it.
        """
        head, colon, tail = text.rpartition(":")
        ports: tuple[PortRange, ...] = ()
        if not colon or not (tail == "*" or _PORTS.fullmatch(tail)):
            head = text
        elif tail != "*":
            ports = tuple(_port_range(token) for token in tail.split(","))
        if head.strip() in ("", "*"):
            return cls((), ports)
        return cls(tuple(head.split(",")), ports)

    def __str__(self) -> str:
        hosts = ",".join(self.hosts) or "*"
        return f"{hosts}:{','.join(map(str, self.ports))}" if self.ports else hosts

    @property
    def is_unrestricted(self) -> bool:
        """Tell whether every endpoint is allowed."""
        return not self.hosts and not self.ports

    def covers(self, other: NetScope) -> bool:
        """Tell whether hosts and ports of the other all lie in this one's, each axis for itself (CAP-018)."""
        return self._covers_hosts(other.hosts) and self._covers_ports(other.ports)

    def _covers_hosts(self, hosts: tuple[str, ...]) -> bool:
        if not self.hosts:
            return True
        own = frozenset(self.hosts)
        return bool(hosts) and all(host in own or any(pattern in own for pattern in _wider(host)) for host in hosts)

    def _covers_ports(self, ports: tuple[PortRange, ...]) -> bool:
        if not self.ports:
            return True
        return bool(ports) and all(self._covers_range(wanted) for wanted in ports)

    def _covers_range(self, wanted: PortRange) -> bool:
        # Ranges are sorted and merged, so only the last one that starts early enough can hold the wanted one.
        position = bisect_right(self.ports, (wanted.first, PORT_MAX + 1))
        return position > 0 and wanted.last <= self.ports[position - 1].last


def _canonical_host(text: str) -> str:
    host = text.strip()
    if not host.isascii():
        raise ScopeError(f"host {host!r} is not ASCII; write an international name in its xn-- form")
    host = host.lower()
    if not host:
        raise ScopeError("one of several hosts is empty")
    if host == "*":
        raise ScopeError("'*' stands for every host and cannot stand in a list")
    if host.startswith("["):
        try:
            return (
                f"[{IPv6Address(host.removeprefix('[').removesuffix(']'))}]" if "%" not in host and host.endswith("]") else _no_host(text)
            )
        except AddressValueError:
            return _no_host(text)
    name = host.removesuffix(".")
    base = name.removeprefix("*.")
    if len(name) > _NAME_MAX or not _NAME.fullmatch(base):
        return _no_host(text)
    if _NUMERIC_END.fullmatch(base):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            return _no_host(text)
    return name


def _no_host(text: str) -> str:
    raise ScopeError(f"{_shorten(text)!r} is not a host (a name, an IPv4 address, an IPv6 address in brackets, or *.name)")


def _shorten(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _wider(host: str) -> Iterator[str]:
    """Yield every other pattern that covers the host, or the pattern, given (CAP-014, CAP-019)."""
    if host.startswith("["):
        return
    name = host.removeprefix("*.")
    if name == host:
        yield f"*.{name}"
    while name := name.partition(".")[2]:
        yield f"*.{name}"


def _port_range(token: str) -> PortRange:
    match = _PORT.fullmatch(token)
    if match is None:
        raise ScopeError(f"{_shorten(token)!r} is not a port or a range of ports (N or N-M)")
    first = int(match[1])
    return PortRange(first, int(match[2]) if match[2] else first)


def _canonical_ports(ranges: Iterable[tuple[int, int]]) -> tuple[PortRange, ...]:
    merged: list[PortRange] = []
    for first, last in sorted(ranges):
        if not 0 <= first <= last <= PORT_MAX:
            raise ScopeError(f"{PortRange(first, last)} is out of order or beyond port {PORT_MAX}")
        if merged and first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, last))
        else:
            merged.append(PortRange(first, last))
    return () if merged == [(0, PORT_MAX)] else tuple(merged)


@dataclass(frozen=True, slots=True)
class PoolScope:
    """One pool of buffers, by its exact name (CAP-021).

    Raises:
        ScopeError: for an empty name, or one with control characters.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ScopeError("a pool has a name")
        _refuse_control(self.name)

    def __str__(self) -> str:
        return self.name

    def covers(self, other: PoolScope) -> bool:
        """Tell whether it is the same pool."""
        return self == other


Scope = PathScope | NetScope | PoolScope

"""Which capability each WASI interface needs (CAP-041), and which need none (CAP-061): the rulebook's table, as the judge reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_SOCKETS = ("network:tcp-connect", "network:tcp-listen", "network:udp")

CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "wasi:io/error": (),
    "wasi:io/poll": (),
    "wasi:io/streams": (),
    "wasi:cli/exit": (),
    "wasi:cli/stdin": (),
    "wasi:cli/terminal-input": (),
    "wasi:cli/terminal-output": (),
    "wasi:cli/terminal-stdin": (),
    "wasi:cli/terminal-stdout": (),
    "wasi:cli/terminal-stderr": (),
    "wasi:cli/environment": ("environment:read",),
    "wasi:cli/stdout": ("stdio:stdout",),
    "wasi:cli/stderr": ("stdio:stderr",),
    "wasi:clocks/wall-clock": ("clock:wall",),
    "wasi:clocks/timezone": ("clock:wall",),
    "wasi:clocks/monotonic-clock": ("clock:monotonic",),
    "wasi:filesystem/preopens": ("filesystem:read", "filesystem:write"),
    "wasi:filesystem/types": ("filesystem:read", "filesystem:write"),
    "wasi:random/random": ("random:crypto",),
    "wasi:random/insecure": ("random:insecure",),
    "wasi:random/insecure-seed": ("random:insecure",),
    "wasi:sockets/network": _SOCKETS,
    "wasi:sockets/instance-network": _SOCKETS,
    "wasi:sockets/ip-name-lookup": (*_SOCKETS, "network:http-outgoing"),
    "wasi:sockets/tcp": _SOCKETS[:2],
    "wasi:sockets/tcp-create-socket": _SOCKETS[:2],
    "wasi:sockets/udp": _SOCKETS[2:],
    "wasi:sockets/udp-create-socket": _SOCKETS[2:],
    "wasi:http/types": ("network:http-outgoing",),
    "wasi:http/outgoing-handler": ("network:http-outgoing",),
}
"""Interface without version → the capabilities any of which opens it; none: given to everybody."""

SCOPED = frozenset({"filesystem:read", "filesystem:write"})
"""Capabilities that mean nothing without a scope: nobody can grant them without being told what for."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "wasi-filesystem-read": ("filesystem:read",),
    "wasi-filesystem-write": ("filesystem:write",),
    "wasi-network-egress": _SOCKETS,
    "wasi-http": ("network:http-outgoing",),
    "wasi-clocks": ("clock:wall", "clock:monotonic"),
    "wasi-random": ("random:crypto", "random:insecure"),
    "wasi-environment": ("environment:read",),
    "wasi-stdout": ("stdio:stdout",),
    "wasi-stderr": ("stdio:stderr",),
}
"""What a manifest may write instead of capabilities."""

_NAME = re.compile(r"(?P<name>wasi:[^@]+)(?:@(?P<version>.+))?")
_RELEASED = re.compile(r"0\.2\.(?:0|[1-9][0-9]*)")


def kinds_of(capability: str) -> frozenset[str]:
    """Return the kinds, `domain:action`, that a declared or granted capability string names, its scope and its `?` aside."""
    text = capability.removeprefix("?")
    if text in ALIASES:
        return frozenset(ALIASES[text])
    return frozenset({":".join(text.split(":")[:2])})


def kinds(capabilities: Iterable[str]) -> frozenset[str]:
    """Return the kinds that several capability strings name."""
    return frozenset(kind for capability in capabilities for kind in kinds_of(capability))


def needed(import_name: str) -> tuple[str, ...] | None:
    """Return the capabilities any of which opens an imported WASI interface; None when it is no WASI 0.2 interface that the rules know."""
    match = _NAME.fullmatch(import_name)
    if match is None or (match["version"] is not None and not _RELEASED.fullmatch(match["version"])):
        return None
    return CAPABILITIES.get(match["name"])

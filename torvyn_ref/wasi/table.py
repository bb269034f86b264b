"""Which capability opens which WASI 0.2 interface (A.3): the one table that contracts, linking and the WASI room share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from torvyn_ref.security.kinds import Kind

_FILES = (Kind.FILESYSTEM_READ, Kind.FILESYSTEM_WRITE)
_TCP = (Kind.TCP_CONNECT, Kind.TCP_LISTEN)
_SOCKETS = (*_TCP, Kind.UDP)

CAPABILITIES: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        # Inert or answered without authority (CAP-061): streams over nothing, an empty stdin, no terminal, an exit that traps.
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
        "wasi:cli/environment": (Kind.ENVIRONMENT,),
        "wasi:cli/stdout": (Kind.STDOUT,),
        "wasi:cli/stderr": (Kind.STDERR,),
        "wasi:clocks/wall-clock": (Kind.WALL_CLOCK,),
        "wasi:clocks/timezone": (Kind.WALL_CLOCK,),
        "wasi:clocks/monotonic-clock": (Kind.MONOTONIC_CLOCK,),
        "wasi:filesystem/preopens": _FILES,
        "wasi:filesystem/types": _FILES,
        "wasi:random/random": (Kind.CRYPTO_RANDOM,),
        "wasi:random/insecure": (Kind.INSECURE_RANDOM,),
        "wasi:random/insecure-seed": (Kind.INSECURE_RANDOM,),
        "wasi:sockets/network": _SOCKETS,
        "wasi:sockets/instance-network": _SOCKETS,
        "wasi:sockets/ip-name-lookup": (*_SOCKETS, Kind.HTTP_OUTGOING),
        "wasi:sockets/tcp": _TCP,
        "wasi:sockets/tcp-create-socket": _TCP,
        "wasi:sockets/udp": (Kind.UDP,),
        "wasi:sockets/udp-create-socket": (Kind.UDP,),
        "wasi:http/types": (Kind.HTTP_OUTGOING,),
        "wasi:http/outgoing-handler": (Kind.HTTP_OUTGOING,),
    }
)
"""Interface name without version → the kinds any of which opens it; none: provided to everyone."""

_VERSIONED = re.compile(r"(?P<name>[^@]+)(?:@0\.2\.(?:0|[1-9][0-9]*))?")


def capability_for(import_name: str) -> tuple[Kind, ...]:
    """Return the capability kinds any of which opens a WASI interface; empty for what everyone gets (CAP-061).

    The whole name is compared, never a part of it (LINK-018), and the version, where there is one, must be a released 0.2.x (ADR-010).

    Raises:
        KeyError: the name is no WASI 0.2 interface that this host knows, or asks for another version.
    """
    match = _VERSIONED.fullmatch(import_name)
    if match is None:
        raise KeyError(import_name)
    return CAPABILITIES[match["name"]]

"""The 19 kinds of capability, as tables (A.1): what each is called, what may narrow it, and where it is checked."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A capability without its scope, by its canonical id `domain:action` (CAP-001)."""

    FILESYSTEM_READ = "filesystem:read"
    FILESYSTEM_WRITE = "filesystem:write"
    TCP_CONNECT = "network:tcp-connect"
    TCP_LISTEN = "network:tcp-listen"
    UDP = "network:udp"
    HTTP_OUTGOING = "network:http-outgoing"
    WALL_CLOCK = "clock:wall"
    MONOTONIC_CLOCK = "clock:monotonic"
    CRYPTO_RANDOM = "random:crypto"
    INSECURE_RANDOM = "random:insecure"
    ENVIRONMENT = "environment:read"
    STDOUT = "stdio:stdout"
    STDERR = "stdio:stderr"
    RESOURCE_ALLOCATE = "torvyn:resource-allocate"
    POOL_ACCESS = "torvyn:pool-access"
    EMIT_BACKPRESSURE = "torvyn:emit-backpressure"
    INSPECT_FLOW_META = "torvyn:inspect-flow-meta"
    RUNTIME_INSPECT = "torvyn:runtime-inspect"
    CUSTOM_METRICS = "torvyn:custom-metrics"

    @property
    def scope_type(self) -> ScopeType:
        """What may narrow the kind."""
        return SCOPE_TYPES.get(self, ScopeType.NONE)

    @property
    def needs_scope(self) -> bool:
        """Tell whether the kind means nothing without a scope (E0511)."""
        return self in SCOPE_REQUIRED

    @property
    def is_wasi(self) -> bool:
        """Tell whether the kind opens a part of WASI; the others never do (CAP-043)."""
        return not self.startswith("torvyn:")

    @property
    def is_hot_path(self) -> bool:
        """Tell whether uses are counted rather than recorded one by one (CAP-036, CAP-040)."""
        return self in HOT_PATH


KINDS = {str(kind): kind for kind in Kind}
"""The kinds by their id, for text that may be none of them."""


class ScopeType(StrEnum):
    """The three grammars of scopes, and none."""

    NONE = "none"
    PATH = "path"
    NET = "net"
    POOL = "pool"


PATH_KINDS = frozenset({Kind.FILESYSTEM_READ, Kind.FILESYSTEM_WRITE})
NET_KINDS = frozenset({Kind.TCP_CONNECT, Kind.TCP_LISTEN, Kind.UDP, Kind.HTTP_OUTGOING})
POOL_KINDS = frozenset({Kind.RESOURCE_ALLOCATE, Kind.POOL_ACCESS})

SCOPE_TYPES = {
    **dict.fromkeys(PATH_KINDS, ScopeType.PATH),
    **dict.fromkeys(NET_KINDS, ScopeType.NET),
    **dict.fromkeys(POOL_KINDS, ScopeType.POOL),
}

SCOPE_REQUIRED = PATH_KINDS | {Kind.POOL_ACCESS}

HOT_PATH = frozenset({Kind.RESOURCE_ALLOCATE, Kind.EMIT_BACKPRESSURE, Kind.CUSTOM_METRICS, Kind.INSPECT_FLOW_META})

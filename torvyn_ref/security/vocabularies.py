"""Other words for the same capabilities (A.4): the manifest's aliases, which declare, and the documentation's, refused with a hint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from torvyn_ref.config.suggest import nearest
from torvyn_ref.security.kinds import KINDS, Kind, ScopeType

ALIASES: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "wasi-filesystem-read": (Kind.FILESYSTEM_READ,),
        "wasi-filesystem-write": (Kind.FILESYSTEM_WRITE,),
        "wasi-network-egress": (Kind.TCP_CONNECT, Kind.TCP_LISTEN, Kind.UDP),
        "wasi-http": (Kind.HTTP_OUTGOING,),
        "wasi-clocks": (Kind.WALL_CLOCK, Kind.MONOTONIC_CLOCK),
        "wasi-random": (Kind.CRYPTO_RANDOM, Kind.INSECURE_RANDOM),
        "wasi-environment": (Kind.ENVIRONMENT,),
        "wasi-stdout": (Kind.STDOUT,),
        "wasi-stderr": (Kind.STDERR,),
    }
)
"""What each manifest key asks for: the kinds, without a scope (A.3)."""

_DOCUMENTED: Mapping[str, Kind] = MappingProxyType(
    {
        "wasi:filesystem/read": Kind.FILESYSTEM_READ,
        "wasi:filesystem/write": Kind.FILESYSTEM_WRITE,
        "wasi:filesystem/preopens": Kind.FILESYSTEM_READ,
        "wasi:filesystem/types": Kind.FILESYSTEM_READ,
        "wasi:clocks/wall-clock": Kind.WALL_CLOCK,
        "wasi:clocks/monotonic-clock": Kind.MONOTONIC_CLOCK,
        "wasi:random/random": Kind.CRYPTO_RANDOM,
        "wasi:random/insecure": Kind.INSECURE_RANDOM,
        "wasi:random/insecure-seed": Kind.INSECURE_RANDOM,
        "wasi:sockets/tcp": Kind.TCP_CONNECT,
        "wasi:sockets/udp": Kind.UDP,
        "wasi:http/outgoing-handler": Kind.HTTP_OUTGOING,
        "wasi:cli/environment": Kind.ENVIRONMENT,
        "wasi:cli/stdout": Kind.STDOUT,
        "wasi:cli/stderr": Kind.STDERR,
        "filesystem-read": Kind.FILESYSTEM_READ,
        "filesystem-write": Kind.FILESYSTEM_WRITE,
        "tcp-connect": Kind.TCP_CONNECT,
        "tcp-listen": Kind.TCP_LISTEN,
        "udp-bind": Kind.UDP,
        "http-client": Kind.HTTP_OUTGOING,
        "wall-clock": Kind.WALL_CLOCK,
        "monotonic-clock": Kind.MONOTONIC_CLOCK,
        "random": Kind.CRYPTO_RANDOM,
        "insecure-random": Kind.INSECURE_RANDOM,
        "environment": Kind.ENVIRONMENT,
        "stdout": Kind.STDOUT,
        "stderr": Kind.STDERR,
        "resource-pool": Kind.RESOURCE_ALLOCATE,
        "backpressure-control": Kind.EMIT_BACKPRESSURE,
        "flow-metadata": Kind.INSPECT_FLOW_META,
        "runtime-inspection": Kind.RUNTIME_INSPECT,
        "custom-metrics": Kind.CUSTOM_METRICS,
        "network:egress": Kind.TCP_CONNECT,
    }
)
"""The documentation's two other vocabularies (A.4, 3 and 4). `stream-ops` is missing: nothing corresponds to it (J-02)."""


def corrections(text: str) -> Iterator[str]:
    """Yield what the writer of an unknown capability may have meant, the likeliest first; the caller keeps the first that parses."""
    head, scope = _documented(text)
    if head is not None:
        yield from _with_scope(_DOCUMENTED[head], scope)
    parts = text.split(":", 2)
    near = _nearest_kind(parts[0].strip().lower(), parts[1].strip().lower()) if len(parts) > 1 else None
    if near is not None:
        yield from _with_scope(near, parts[2] if len(parts) == 3 else "")


def _nearest_kind(domain: str, action: str) -> Kind | None:
    """Return the kind whose domain and action are both near: as one word, a slip in a short action would hide behind a long domain."""
    near_domain = nearest(domain, dict.fromkeys(kind.partition(":")[0] for kind in Kind))
    near_action = nearest(action, (kind.partition(":")[2] for kind in Kind if kind.partition(":")[0] == near_domain))
    return KINDS.get(f"{near_domain}:{near_action}")


def _documented(text: str) -> tuple[str | None, str]:
    """Split a documentation capability into its longest known name and the rest."""
    for colons in (2, 1):
        pieces = text.split(":", colons)
        head = ":".join(pieces[:colons])
        if head in _DOCUMENTED:
            return head, pieces[colons] if len(pieces) > colons else ""
    return None, ""


def example(kind: Kind) -> str:
    """Return a capability of the kind as one would write it, with a made-up scope where one is needed."""
    return f"{kind}:{'/path' if kind.scope_type is ScopeType.PATH else 'name'}" if kind.needs_scope else str(kind)


def _with_scope(kind: Kind, scope: str) -> Iterator[str]:
    """Yield the kind with the scope that was written, mended; never a broader capability than the writer had in mind."""
    mended = scope.partition("://")[2].partition("/")[0] if "://" in scope else scope
    if kind.scope_type is ScopeType.PATH:
        yield f"{kind}:{mended.partition('*')[0]}"
        yield example(kind)
    elif kind.scope_type is ScopeType.NONE or not scope:
        yield example(kind)
    elif mended:
        yield f"{kind}:{mended}"

"""Torvyn's own interfaces as engines see them: what guests import, with the code behind it, and what guests export.

The signatures repeat `wit/`; a test compares them with those files, and with what a probe component really imports, name by name and type
by type (CON-001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torvyn_ref.calls import Call, Role
from torvyn_ref.engine.guest import GuestHost
from torvyn_ref.engine.imports import HostFunction, HostInterface, expand
from torvyn_ref.security.grants import CapabilitySet

SERIES = "0.1"
"""The version of every Torvyn package that this runtime speaks: any 0.1.x."""

TYPE_DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "buffer-error": "variant{capacity-exceeded, out-of-bounds, allocation-failed(string)}",
        "element-meta": "record{sequence: u64, timestamp-ns: u64, content-type: string}",
        "stream-element": "record{meta: element-meta, payload: borrow<buffer>, context: borrow<flow-context>}",
        "output-element": "record{meta: element-meta, payload: own<buffer>}",
        "process-result": "variant{emit(output-element), drop}",
        "process-error": "variant{invalid-input(string), unavailable(string), internal(string), deadline-exceeded, fatal(string)}",
        "backpressure-signal": "enum{ready, pause}",
    }
)
"""The types of `torvyn:streaming/types` that are not resources."""

_BUFFER, _MUTABLE, _CONTEXT = (f"self: borrow<{name}>" for name in ("buffer", "mutable-buffer", "flow-context"))

TYPES = HostInterface(
    "torvyn:streaming/types",
    SERIES,
    (
        HostFunction("[method]buffer.size", f"func({_BUFFER}) -> u64", GuestHost.buffer_size),
        HostFunction("[method]buffer.content-type", f"func({_BUFFER}) -> string", GuestHost.buffer_content_type),
        HostFunction("[method]buffer.read", f"func({_BUFFER}, offset: u64, len: u64) -> list<u8>", GuestHost.read),
        HostFunction("[method]buffer.read-all", f"func({_BUFFER}) -> list<u8>", GuestHost.read_all),
        HostFunction(
            "[method]mutable-buffer.write",
            f"func({_MUTABLE}, offset: u64, bytes: list<u8>) -> result<_, buffer-error>",
            GuestHost.write,
        ),
        HostFunction("[method]mutable-buffer.append", f"func({_MUTABLE}, bytes: list<u8>) -> result<_, buffer-error>", GuestHost.append),
        HostFunction("[method]mutable-buffer.size", f"func({_MUTABLE}) -> u64", GuestHost.mutable_size),
        HostFunction("[method]mutable-buffer.capacity", f"func({_MUTABLE}) -> u64", GuestHost.mutable_capacity),
        HostFunction("[method]mutable-buffer.set-content-type", f"func({_MUTABLE}, content-type: string)", GuestHost.set_content_type),
        HostFunction("[method]mutable-buffer.freeze", f"func({_MUTABLE}) -> own<buffer>", GuestHost.freeze),
        HostFunction("[method]flow-context.trace-id", f"func({_CONTEXT}) -> string", GuestHost.trace_id),
        HostFunction("[method]flow-context.span-id", f"func({_CONTEXT}) -> string", GuestHost.span_id),
        HostFunction("[method]flow-context.deadline-ns", f"func({_CONTEXT}) -> u64", GuestHost.deadline_ns),
        HostFunction("[method]flow-context.flow-id", f"func({_CONTEXT}) -> string", GuestHost.flow_id),
    ),
    resources={"buffer": GuestHost.drop_buffer, "mutable-buffer": GuestHost.drop_mutable, "flow-context": GuestHost.drop_context},
    definitions=TYPE_DEFINITIONS,
)

ALLOCATOR = HostInterface(
    "torvyn:streaming/buffer-allocator",
    SERIES,
    (
        HostFunction("allocate", "func(capacity-hint: u64) -> result<own<mutable-buffer>, buffer-error>", GuestHost.allocate),
        HostFunction(
            "clone-into-mutable", "func(source: borrow<buffer>) -> result<own<mutable-buffer>, buffer-error>", GuestHost.clone_into_mutable
        ),
    ),
    definitions=TYPE_DEFINITIONS,
)

CAPABILITY_QUERY = HostInterface(
    "torvyn:capabilities/capability-query",
    SERIES,
    (HostFunction("has-capability", "func(name: string) -> bool", CapabilitySet.answers),),
)

GUEST_IMPORTS: Mapping[str, HostInterface] = MappingProxyType({interface.name: interface for interface in (TYPES, ALLOCATOR)})
"""What a `GuestHost` serves, by interface name without version. Every sandbox has it."""

GRANT_IMPORTS: Mapping[str, HostInterface] = MappingProxyType({CAPABILITY_QUERY.name: CAPABILITY_QUERY})
"""What the sandbox's resolved `CapabilitySet` serves. Every sandbox has it: asking takes no capability (CAP-034)."""

TORVYN_IMPORTS: Mapping[str, HostInterface] = MappingProxyType({**GUEST_IMPORTS, **GRANT_IMPORTS})
"""Torvyn's own interfaces for guests to import."""


@dataclass(frozen=True, slots=True, eq=False)
class GuestInterface:
    """One interface that a guest exports.

    Attributes:
        names: the interface names accepted, the contract's own first. Upstream's templates put filters, routers and aggregators into
            `torvyn:streaming`; a host may accept both (J-15).
        functions: the signature per call, names expanded.
    """

    names: tuple[str, ...]
    functions: Mapping[Call, str]


def _guest(*names: str, **functions: str) -> GuestInterface:
    expanded = {Call[call]: expand(signature, TYPE_DEFINITIONS) for call, signature in functions.items()}
    return GuestInterface(names, MappingProxyType(expanded))


_ELEMENT = "element: stream-element"

LIFECYCLE = _guest(
    "torvyn:streaming/lifecycle",
    INIT="func(config: string) -> result<_, process-error>",
    TEARDOWN="func()",
)

ROLE_EXPORTS: Mapping[Role, GuestInterface] = MappingProxyType(
    {
        Role.SOURCE: _guest(
            "torvyn:streaming/source",
            PULL="func() -> result<option<output-element>, process-error>",
            NOTIFY="func(signal: backpressure-signal)",
        ),
        Role.PROCESSOR: _guest(
            "torvyn:streaming/processor",
            PROCESS="func(input: stream-element) -> result<process-result, process-error>",
        ),
        Role.SINK: _guest(
            "torvyn:streaming/sink",
            PUSH=f"func({_ELEMENT}) -> result<backpressure-signal, process-error>",
            COMPLETE="func() -> result<_, process-error>",
        ),
        Role.FILTER: _guest(
            "torvyn:filtering/filter", "torvyn:streaming/filter", EVALUATE=f"func({_ELEMENT}) -> result<bool, process-error>"
        ),
        Role.ROUTER: _guest(
            "torvyn:filtering/router", "torvyn:streaming/router", ROUTE=f"func({_ELEMENT}) -> result<list<string>, process-error>"
        ),
        Role.AGGREGATOR: _guest(
            "torvyn:aggregation/aggregator",
            "torvyn:streaming/aggregator",
            INGEST=f"func({_ELEMENT}) -> result<option<output-element>, process-error>",
            FLUSH="func() -> result<list<output-element>, process-error>",
        ),
    }
)
"""What a component of each role exports (CON-002)."""

"""What an engine is: it compiles components, instantiates them in a sandbox each, and makes calls that never raise for a guest's fault.

Behind it stand `direct` (the components' core modules under our own canonical ABI), `stock` (wasmtime's component API, the oracle) and
`auto` (direct where it can, else stock); `scripted` makes instances written in Python.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torvyn_ref.calls import Answer, Call, Element, FlowContext, Role, Signal
from torvyn_ref.clock import Clock
from torvyn_ref.ids import FlowId, Handle, Owner
from torvyn_ref.resources import Reclaimed, ResourceManager


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use.

    Attributes:
        fuel: instructions per call, reset before every call (ERR-009); None switches metering off (only when configured as "unlimited").
        memory_bytes: per linear memory.
        memories: how many linear memories; one, unless the component is composed of several.
        table_elements: per table.
        call_timeout_ms: wall time per call, by epoch interruption (ERR-008); None lets a call take for ever.
    """

    fuel: int | None = 1_000_000
    memory_bytes: int = 16 * 1024 * 1024
    memories: int = 1
    table_elements: int = 10_000
    call_timeout_ms: int | None = 5_000


class Buffers(Protocol):
    """What a guest's view needs of the resource manager, whose methods these are; a judge may put itself in between."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give a new mutable buffer."""
        ...

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give a copy of a buffer."""
        ...

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Write at an offset, and return the size."""
        ...

    def append(self, handle: Handle, caller: Owner, data: bytes | memoryview) -> int:
        """Write at the end, and return the size."""
        ...

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Make it immutable."""
        ...

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Say what it holds."""
        ...

    def release(self, handle: Handle, caller: Owner) -> None:
        """End its life."""
        ...

    def size(self, handle: Handle) -> int:
        """Return its size in bytes."""
        ...

    def capacity(self, handle: Handle) -> int:
        """Return its capacity in bytes."""
        ...

    def content_type(self, handle: Handle) -> str:
        """Return what it holds."""
        ...

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Return a range of its bytes."""
        ...

    def read_into(self, handle: Handle, reader: Owner, target: memoryview) -> None:
        """Copy all of it to `target`."""
        ...

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Take back all that a component owns."""
        ...


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Everything an instance gets from its host: nothing else reaches it (ADR-005).

    Attributes:
        owner: the instance's identity towards `resources`; every buffer it allocates is charged to it.
        flow: the flow the instance works for.
        context: what `flow-context` answers.
        capabilities: the resolved grants, as canonical strings; WASI interfaces are linked from these and from nothing else (CAP-041).
        environment: variables for `environment:read`.
        stdout, stderr: where granted output goes; None discards it.
        audit: hears of every use of a granted capability.
        allocations: permits buffers, and counts them; None permits all.
        entropy: gives as many random bytes as asked for, where randomness is granted: the machine's, or repeatable ones.
        wait: lets the monotonic clock pass, in nanoseconds, for a guest that waits for a timer; None traps such a guest.
    """

    owner: Owner
    flow: FlowId
    resources: ResourceManager
    context: FlowContext
    clock: Clock
    limits: Limits = field(default_factory=Limits)
    capabilities: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: OutputSink | None = None
    stderr: OutputSink | None = None
    audit: Audit | None = None
    allocations: AllocationGate | None = None
    entropy: Entropy = os.urandom
    wait: Wait | None = None

    @property
    def buffers(self) -> Buffers:
        """Return the resources as a guest needs them."""
        return self.resources


class OutputSink(Protocol):
    """Takes bytes that a guest wrote to a granted stream."""

    def __call__(self, data: bytes, /) -> object:
        """Take some bytes."""
        ...


class Audit(Protocol):
    """Hears of every use of a granted capability (CAP-039)."""

    def __call__(self, capability: str, detail: str, /) -> object:
        """Record one use."""
        ...


class AllocationGate(Protocol):
    """Permits the buffers that a component allocates (CAP-037).

    Attributes:
        limited: not every size may be had, so that `permits` is asked; otherwise whoever allocates only counts.
        uses: allocations that were permitted.
    """

    limited: bool
    uses: int

    def permits(self, size: int, /) -> bool:
        """Tell whether a buffer for so many bytes may be had; a refusal is written down."""
        ...


class Entropy(Protocol):
    """Gives random bytes."""

    def __call__(self, length: int, /) -> bytes:
        """Return so many bytes."""
        ...


class Wait(Protocol):
    """Lets time pass: sleeping under the machine's clock, advancing a virtual one."""

    def __call__(self, nanoseconds: int, /) -> object:
        """Return when so many nanoseconds have passed."""
        ...


class Instance(Protocol):
    """One instantiated component. All calls are synchronous; none raises for anything a guest can do.

    A `Failure` with `poisoned` set means that the instance is dead: every later call answers with the same kind of failure, without
    entering the guest.
    """

    @property
    def role(self) -> Role:
        """Return the component's role."""
        ...

    @property
    def has_lifecycle(self) -> bool:
        """Tell whether the component exports `lifecycle` (CON-003)."""
        ...

    @property
    def fuel_used(self) -> int:
        """Return the fuel spent so far, over all calls; 0 for engines without fuel."""
        ...

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call.

        Args:
            call: which function; asking for one that the role does not have is the host's defect.
            argument: an Element for process/push/evaluate/route/ingest (its buffer is lent for the call), a Signal for notify-backpressure,
                the configuration for init, None otherwise.

        Raises:
            KeyError: the component does not export the function.
            BaseException: KeyboardInterrupt and SystemExit pass through unharmed.
        """
        ...

    def close(self) -> None:
        """Drop the instance and everything it holds; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ComponentShape:
    """What a component imports and exports, by full WIT interface name with version, as the binary says it."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]


class Compiled(Protocol):
    """A compiled component, shareable between instances and flows."""

    @property
    def shape(self) -> ComponentShape:
        """Return the imports and exports."""
        ...

    @property
    def engine_name(self) -> str:
        """Return the name of the engine that runs its instances, which is not always the one that was asked to compile it."""
        ...

    @property
    def fallback_reason(self) -> str | None:
        """Return why that is not the engine's first choice, or None when it is."""
        ...

    def instantiate(self, role: Role, sandbox: Sandbox) -> Instance:
        """Make an instance in a sandbox of its own (one Store).

        Raises:
            TorvynError: engine/missing-import (an import that the sandbox does not provide, by name), engine/missing-export,
                engine/instantiation-failed (a start function trapped, a limit was hit). Nothing is left behind.
        """
        ...


class Engine(Protocol):
    """Compiles components."""

    @property
    def name(self) -> str:
        """Return the engine's name, shown in every result."""
        ...

    def compile(self, component: bytes, *, where: str) -> Compiled:
        """Compile a component's bytes.

        Args:
            component: the `.wasm` bytes; untrusted.
            where: what to call it in errors (a path or reference).

        Raises:
            TorvynError: engine/invalid-component (truncated, malformed, a core module), naming `where`.
        """
        ...

    def close(self) -> None:
        """Stop what the engine started (its epoch ticker); idempotent."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """An instance whose guest can be interrupted in the middle of a call, sooner than the engine's own limit says."""

    def oversee(self, overdue: Callable[[], bool]) -> None:
        """Interrupt a call when `overdue` says that it must end; asked every 20 ms or so while one runs, from any thread, and never fails.

        The guest ends at once, and its instance with it: an interrupted guest cannot go on (CANCEL-003).
        """
        ...

"""What a guest sees of the host: the WIT buffer semantics, once, for every engine (BUF, OWN-021..OWN-029, CON-008..CON-012).

Engines translate between their own value shapes and this class. A guest names buffers by `rep`, a number not used again while an instance
lives (a u32 that starts over after 4 294 967 295); the resource manager's handles, with their generations, never leave the host (OWN-041).

Three kinds of exception leave these methods: `WitBufferError` is an answer, `GuestFault` is the guest's breach and becomes a trap, and
anything else is the host's own defect.

What every element needs (allocate, append, freeze, read-all, lend, take and drops) is written without helpers: after a crossing of the
border the caches are cold, and each Python frame costs some 0.3 us (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from itertools import chain
from typing import Any, Final, TypeVar

from torvyn_ref.calls import FlowContext
from torvyn_ref.clock import Clock
from torvyn_ref.engine.imports import Deferred, GuestFault, WitError
from torvyn_ref.engine.protocol import AllocationGate, Buffers
from torvyn_ref.ids import U32_MAX, U64_MAX, FlowId, Handle, Owner
from torvyn_ref.resources import MAX_BUFFER_BYTES, ResourceError

_T = TypeVar("_T")

CONTEXT_REP: Final = 1
"""The rep of the one `flow-context` that an instance ever sees."""

MAX_HANDLES: Final = 1024
"""Buffer handles that one instance may hold when it asks for another, spent ones included (CAP-055): what a guest never drops must not grow
without end."""


class WitBufferError(WitError):
    """The WIT variant `buffer-error`: `case` is its case name, `detail` its text or None."""

    @property
    def detail(self) -> str | None:
        """Return the text of `allocation-failed`."""
        detail: str | None = self.payload
        return detail


_TO_WIT: Final = {"capacity-exceeded": "capacity-exceeded", "out-of-bounds": "out-of-bounds"}
_ALLOCATION: Final = frozenset({"budget-exceeded", "allocation-failed", "pool-exhausted"})
_TAKEN_BACK: Final = frozenset({"stale-handle", "not-allocated"})


def told_to_guest(error: ResourceError) -> WitBufferError | GuestFault | None:
    """Map a refused resource operation onto what the guest learns of it (spec/resources.md (i)); None when it is no guest's doing."""
    if error.kind in _TO_WIT:
        return WitBufferError(_TO_WIT[error.kind])
    if error.kind in _ALLOCATION:
        return WitBufferError("allocation-failed", error.message)
    if error.kind in _TAKEN_BACK:
        return GuestFault(f"the host has taken the buffer back: {error.message}")
    return None


def _told(error: ResourceError) -> Exception:
    """Return what to raise in place of a refused operation: what the guest learns, or the host's own defect as it is."""
    return told_to_guest(error) or error


def _checked(operation: Callable[..., _T], *arguments: Any, **options: Any) -> _T:
    try:
        return operation(*arguments, **options)
    except ResourceError as error:
        raise _told(error) from error


LONG_READ: Final = 131_072
"""Bytes from which a read goes from the buffer straight into the guest: below, asking for the size first costs more than the copy."""


class DeferredRead(Deferred):
    """All bytes of a buffer that the guest may read; whether it still may is looked at when they are."""

    __slots__ = ("_handle", "_owner", "_resources", "_size")

    def __init__(self, resources: Buffers, handle: Handle, owner: Owner, size: int) -> None:
        self._resources = resources
        self._handle = handle
        self._owner = owner
        self._size = size

    def __len__(self) -> int:
        return self._size

    def into(self, target: memoryview) -> None:
        """Read into `target`.

        Raises:
            GuestFault: the host has taken the buffer back.
        """
        try:
            self._resources.read_into(self._handle, self._owner, target)
        except ResourceError as error:
            raise _told(error) from error


class GuestHost:
    """One instance's view of buffers. Sizes, offsets and lengths are u64 and checked, never wrapped (BUF-017).

    Attributes:
        buffers: the immutable buffers that the guest owns, by rep.
        lent: the buffers lent for the running call, by rep.
        new_rep: gives the next rep.
        defers: the engine takes long reads as `Deferred`.
    """

    def __init__(
        self,
        resources: Buffers,
        owner: Owner,
        flow: FlowId,
        clock: Clock,
        context: FlowContext,
        gate: AllocationGate | None = None,
    ) -> None:
        self.resources = resources
        self.owner = owner
        self.flow = flow
        self.context = context
        self._now = clock.monotonic_ns
        self._gate = gate
        self._mutables: dict[int, Handle | None] = {}  # None: frozen, the handle is spent (BUF-021)
        self.buffers: dict[int, Handle] = {}
        self.lent: dict[int, Handle] = {}
        self.new_rep = new_reps(1, self._mutables, self.buffers, self.lent)
        self.defers = self._reads_long = False
        self.end_loans: Callable[[], None] = self.lent.clear
        """Forget every loan: what a guest kept of them names nothing any more (OWN-021)."""

    # ---- buffer-allocator

    def allocate(self, capacity_hint: int) -> int:
        """Allocate a mutable buffer and return its rep.

        Raises:
            WitBufferError: capacity-exceeded above 16 MiB, allocation-failed for budget and pool (BUF-033), for too many handles, and for a
                pool that the component's grant does not name (CAP-037).
        """
        if not 0 <= capacity_hint <= MAX_BUFFER_BYTES:
            _check_u64(capacity_hint)
            raise WitBufferError("capacity-exceeded")
        mutables = self._mutables
        if len(mutables) + len(self.buffers) >= MAX_HANDLES:
            raise _no_room()
        gate = self._gate
        if gate is not None:
            if gate.limited and not gate.permits(capacity_hint):
                raise _not_granted()
            gate.uses += 1
        try:
            handle = self.resources.allocate(self.owner, capacity_hint, self.flow, now_ns=self._now())
        except ResourceError as error:
            raise _told(error) from error
        rep = self.new_rep()
        mutables[rep] = handle
        return rep

    def clone_into_mutable(self, buffer: int) -> int:
        """Copy a buffer into a new mutable one and return its rep (BUF-030).

        Raises:
            WitBufferError: allocation-failed as for `allocate`.
        """
        source = self._buffer(buffer)
        if len(self._mutables) + len(self.buffers) >= MAX_HANDLES:
            raise _no_room()
        gate = self._gate
        if gate is not None:
            if gate.limited and not gate.permits(_checked(self.resources.size, source)):
                raise _not_granted()
            gate.uses += 1
        handle = _checked(self.resources.clone, source, self.owner, self.flow, now_ns=self._now())
        rep = self.new_rep()
        self._mutables[rep] = handle
        return rep

    # ---- mutable-buffer

    def write(self, mutable: int, offset: int, data: bytes | memoryview) -> None:
        """Write at an offset (BUF-011..BUF-017).

        Raises:
            WitBufferError: out-of-bounds beyond the size, capacity-exceeded beyond the capacity; nothing is written.
        """
        _check_u64(offset)
        _checked(self.resources.write, self._mutable(mutable), self.owner, offset, data)

    def append(self, mutable: int, data: bytes | memoryview) -> None:
        """Write at the current size (BUF-010).

        Raises:
            WitBufferError: capacity-exceeded; nothing is written.
        """
        try:
            self.resources.append(self._mutables.get(mutable) or self._mutable(mutable), self.owner, data)
        except ResourceError as error:
            raise _told(error) from error

    def mutable_size(self, mutable: int) -> int:
        """Return the bytes written so far."""
        return _checked(self.resources.size, self._mutable(mutable))

    def mutable_capacity(self, mutable: int) -> int:
        """Return the bytes that fit (BUF-018)."""
        return _checked(self.resources.capacity, self._mutable(mutable))

    def set_content_type(self, mutable: int, content_type: str) -> None:
        """Set the content type (BUF-024, BUF-025)."""
        try:
            self.resources.set_content_type(self._mutables.get(mutable) or self._mutable(mutable), self.owner, content_type)
        except ResourceError as error:
            raise _told(error) from error

    def freeze(self, mutable: int) -> int:
        """Turn a mutable buffer into an immutable one and return the new rep; the old rep is spent (BUF-020, BUF-021)."""
        handle = self._mutables.get(mutable) or self._mutable(mutable)
        try:
            self.resources.freeze(handle, self.owner)
        except ResourceError as error:
            raise _told(error) from error
        self._mutables[mutable] = None
        rep = self.new_rep()
        self.buffers[rep] = handle
        return rep

    def drop_mutable(self, mutable: int) -> None:
        """Destroy a mutable buffer: released at once, unless freeze has taken it (OWN-029, BUF-021)."""
        handle = self._mutables.pop(mutable, None)
        if handle is not None:
            self._release(handle)

    # ---- buffer

    def buffer_size(self, buffer: int) -> int:
        """Return the size in bytes."""
        return _checked(self.resources.size, self._buffer(buffer))

    def buffer_content_type(self, buffer: int) -> str:
        """Return the content type."""
        return _checked(self.resources.content_type, self._buffer(buffer))

    def read(self, buffer: int, offset: int, length: int) -> bytes:
        """Return the part of the range that lies inside, never an error (BUF-002)."""
        _check_u64(offset)
        _check_u64(length)
        return _checked(self.resources.read, self._buffer(buffer), self.owner, offset, length)

    def read_all(self, buffer: int) -> bytes | DeferredRead:
        """Return all bytes (BUF-003); if `defers`, and the last ones were many, many are read when there is a place for them."""
        handle = self.lent.get(buffer) or self._buffer(buffer)
        try:
            if self._reads_long:
                size = self.resources.size(handle)
                if size >= LONG_READ:
                    return DeferredRead(self.resources, handle, self.owner, size)
                self._reads_long = False
            data = self.resources.read(handle, self.owner)
        except ResourceError as error:
            raise _told(error) from error
        if len(data) >= LONG_READ:
            self._reads_long = self.defers
        return data

    def drop_buffer(self, buffer: int) -> None:
        """Destroy an owned buffer: released at once (OWN-029). The end of a loan is the host's business, not the guest's."""
        handle = self.buffers.pop(buffer, None)
        if handle is not None:
            self._release(handle)

    # ---- flow-context: one for the life of the instance, always lent (CON-011)

    def trace_id(self, _context: int) -> str:
        """Return the trace's id, or nothing when tracing is off."""
        return self.context.trace_id

    def span_id(self, _context: int) -> str:
        """Return the span's id, or nothing when tracing is off."""
        return self.context.span_id

    def deadline_ns(self, _context: int) -> int:
        """Return the flow's deadline in Unix nanoseconds, 0 when it has none."""
        return self.context.deadline_ns

    def flow_id(self, _context: int) -> str:
        """Return the flow's id."""
        return self.context.flow_id

    def drop_context(self, context: int) -> None:
        """Refuse: a context is only ever lent, so no guest owns one to drop."""
        raise GuestFault(f"flow-context {context} is not the guest's to drop")

    # ---- the host's side of a call

    def lend(self, handle: Handle) -> int:
        """Make a buffer visible to the guest for one call and return its rep; the borrow itself is the flow driver's."""
        rep = self.new_rep()
        self.lent[rep] = handle
        return rep

    def take(self, buffer: int) -> Handle:
        """Take an owned buffer out of the guest's hands and return its handle (OWN-023).

        Raises:
            GuestFault: the guest does not own it.
        """
        handle = self.buffers.pop(buffer, None)
        if handle is None:
            raise GuestFault(f"the guest handed over buffer {buffer}, which it does not own")
        return handle

    @property
    def held(self) -> int:
        """Return how many buffers the guest holds."""
        return len(self.buffers) + sum(handle is not None for handle in self._mutables.values())

    # ---- inside

    def _release(self, handle: Handle) -> None:
        try:
            self.resources.release(handle, self.owner)
        except ResourceError as error:
            if error.kind not in _TAKEN_BACK:  # taken back by force before the guest let go: nothing is left to release
                raise

    def _buffer(self, rep: int) -> Handle:
        handle = self.lent.get(rep) or self.buffers.get(rep)
        if handle is None:
            raise GuestFault(f"buffer {rep} does not exist, or its loan has ended")
        return handle

    def _mutable(self, rep: int) -> Handle:
        handle = self._mutables.get(rep)
        if handle is None:
            what = "was frozen: the handle is spent" if rep in self._mutables else "does not exist"
            raise GuestFault(f"mutable-buffer {rep} {what}")
        return handle


def new_reps(first: int, *taken: Container[int]) -> Callable[[], int]:
    """Return what counts reps from `first`; when the numbers start over, it passes by those that are taken."""
    return chain(range(first, U32_MAX + 1), _used_again(taken)).__next__


def _used_again(taken: tuple[Container[int], ...]) -> Iterator[int]:
    while True:
        for rep in range(1, U32_MAX + 1):
            if not any(rep in where for where in taken):
                yield rep


def _no_room() -> WitBufferError:
    return WitBufferError("allocation-failed", f"the component holds {MAX_HANDLES} buffer handles and drops none")


def _not_granted() -> WitBufferError:
    return WitBufferError("allocation-failed", "the component's grant does not name the pool of this buffer")


def _check_u64(value: int) -> None:
    if not 0 <= value <= U64_MAX:
        raise GuestFault(f"{value} is not a u64")

"""What a guest sees of the host: the WIT buffer semantics, once, for every engine (BUF, OWN-021..OWN-029, CON-008..CON-012).

Engines translate between their own value shapes and this class. A guest names buffers by `rep`, a number never used twice in an instance; the
resource manager's handles, with their generations, never leave the host (OWN-041). What cannot happen to a well-typed guest raises `GuestFault`,
which an engine turns into a trap.
"""

from __future__ import annotations

from torvyn_ref.calls import FlowContext
from torvyn_ref.clock import Clock
from torvyn_ref.ids import U64_MAX, FlowId, Handle, Owner
from torvyn_ref.resources import MAX_BUFFER_BYTES, ResourceError, ResourceManager


class GuestFault(Exception):
    """A guest used a handle in a way that its types forbid: the call traps."""


class WitBufferError(Exception):
    """The WIT variant `buffer-error`, as an exception inside the host: `case` is its case name, `detail` its string or None."""

    def __init__(self, case: str, detail: str | None = None) -> None:
        super().__init__(case, detail)
        self.case = case
        self.detail = detail


_TO_WIT = {"capacity-exceeded": "capacity-exceeded", "out-of-bounds": "out-of-bounds"}
_ALLOCATION = frozenset({"budget-exceeded", "allocation-failed", "pool-exhausted"})


def wit_error(error: ResourceError) -> WitBufferError:
    """Map a refused resource operation onto `buffer-error`; what no guest can cause by itself is a fault (spec/resources.md (i)).

    Raises:
        GuestFault: for kinds that have no WIT case.
    """
    if error.kind in _TO_WIT:
        return WitBufferError(_TO_WIT[error.kind])
    if error.kind in _ALLOCATION:
        return WitBufferError("allocation-failed", error.message)
    raise GuestFault(error.message) from error


class GuestHost:
    """One instance's view of buffers. Sizes, offsets and lengths are u64 and checked, never wrapped (BUF-017)."""

    def __init__(self, resources: ResourceManager, owner: Owner, flow: FlowId, clock: Clock, context: FlowContext) -> None:
        self.resources = resources
        self.owner = owner
        self.flow = flow
        self.context = context
        self._clock = clock
        self._next_rep = 1
        self._buffers: dict[int, Handle] = {}  # immutable buffers the guest owns
        self._mutables: dict[int, Handle | None] = {}  # None: frozen, the handle is spent (BUF-021)
        self._lent: dict[int, Handle] = {}  # buffers lent for the running call

    # ---- buffer-allocator

    def allocate(self, capacity_hint: int) -> int:
        """Allocate a mutable buffer and return its rep.

        Raises:
            WitBufferError: capacity-exceeded above 16 MiB, allocation-failed for budget and pool (BUF-033).
        """
        self._check_u64(capacity_hint)
        if capacity_hint > MAX_BUFFER_BYTES:
            raise WitBufferError("capacity-exceeded")
        try:
            handle = self.resources.allocate(self.owner, capacity_hint, self.flow, now_ns=self._clock.monotonic_ns())
        except ResourceError as error:
            raise wit_error(error) from error
        return self._new(self._mutables, handle)

    def clone_into_mutable(self, buffer: int) -> int:
        """Copy a buffer into a new mutable one and return its rep (BUF-030).

        Raises:
            WitBufferError: allocation-failed for budget and pool.
        """
        source = self._buffer(buffer)
        try:
            handle = self.resources.clone(source, self.owner, self.flow, now_ns=self._clock.monotonic_ns())
        except ResourceError as error:
            raise wit_error(error) from error
        return self._new(self._mutables, handle)

    # ---- mutable-buffer

    def write(self, mutable: int, offset: int, data: bytes | memoryview) -> None:
        """Write at an offset (BUF-011..BUF-017).

        Raises:
            WitBufferError: out-of-bounds beyond the size, capacity-exceeded beyond the capacity; nothing is written.
        """
        self._check_u64(offset)
        handle = self._mutable(mutable)
        try:
            self.resources.write(handle, self.owner, offset, data)
        except ResourceError as error:
            raise wit_error(error) from error

    def append(self, mutable: int, data: bytes | memoryview) -> None:
        """Write at the current size (BUF-010).

        Raises:
            WitBufferError: capacity-exceeded; nothing is written.
        """
        handle = self._mutable(mutable)
        try:
            self.resources.append(handle, self.owner, data)
        except ResourceError as error:
            raise wit_error(error) from error

    def mutable_size(self, mutable: int) -> int:
        """Return the bytes written so far."""
        return self.resources.size(self._mutable(mutable))

    def mutable_capacity(self, mutable: int) -> int:
        """Return the bytes that fit (BUF-018)."""
        return self.resources.capacity(self._mutable(mutable))

    def set_content_type(self, mutable: int, content_type: str) -> None:
        """Set the content type (BUF-024, BUF-025)."""
        self.resources.set_content_type(self._mutable(mutable), self.owner, content_type)

    def freeze(self, mutable: int) -> int:
        """Turn a mutable buffer into an immutable one and return the new rep; the old rep is spent (BUF-020, BUF-021)."""
        handle = self._mutable(mutable)
        self.resources.freeze(handle, self.owner)
        self._mutables[mutable] = None
        return self._new(self._buffers, handle)

    def drop_mutable(self, mutable: int) -> None:
        """Destroy a mutable buffer: released at once, unless freeze has taken it (OWN-029, BUF-021)."""
        handle = self._mutables.pop(mutable, None)
        if handle is not None:
            self.resources.release(handle, self.owner)

    # ---- buffer

    def buffer_size(self, buffer: int) -> int:
        """Return the size in bytes."""
        return self.resources.size(self._buffer(buffer))

    def buffer_content_type(self, buffer: int) -> str:
        """Return the content type."""
        return self.resources.content_type(self._buffer(buffer))

    def read(self, buffer: int, offset: int, length: int) -> bytes:
        """Return the part of the range that lies inside, never an error (BUF-002)."""
        self._check_u64(offset)
        self._check_u64(length)
        return self.resources.read(self._buffer(buffer), self.owner, offset, length)

    def read_all(self, buffer: int) -> bytes:
        """Return all bytes (BUF-003)."""
        return self.resources.read(self._buffer(buffer), self.owner)

    def drop_buffer(self, buffer: int) -> None:
        """Destroy an owned buffer: released at once (OWN-029). The end of a loan is the host's business, not the guest's."""
        handle = self._buffers.pop(buffer, None)
        if handle is not None:
            self.resources.release(handle, self.owner)

    # ---- the host's side of a call

    def lend(self, handle: Handle) -> int:
        """Make a buffer visible to the guest for one call and return its rep; the borrow itself is the flow driver's."""
        rep = self._next_rep
        self._next_rep = rep + 1
        self._lent[rep] = handle
        return rep

    def end_loans(self) -> None:
        """Forget every loan: what a guest kept of them names nothing any more (OWN-021)."""
        self._lent.clear()

    def take(self, buffer: int) -> Handle:
        """Take an owned buffer out of the guest's hands and return its handle (OWN-023).

        Raises:
            GuestFault: the guest does not own it.
        """
        handle = self._buffers.pop(buffer, None)
        if handle is None:
            raise GuestFault(f"the guest handed over buffer {buffer}, which it does not own")
        return handle

    @property
    def held(self) -> int:
        """Return how many buffers the guest holds."""
        return len(self._buffers) + sum(handle is not None for handle in self._mutables.values())

    # ---- inside

    def _new(self, table: dict[int, Handle] | dict[int, Handle | None], handle: Handle) -> int:
        rep = self._next_rep
        self._next_rep = rep + 1
        table[rep] = handle
        return rep

    def _buffer(self, rep: int) -> Handle:
        handle = self._lent.get(rep) or self._buffers.get(rep)
        if handle is None:
            raise GuestFault(f"buffer {rep} does not exist, or its loan has ended")
        return handle

    def _mutable(self, rep: int) -> Handle:
        handle = self._mutables.get(rep)
        if handle is None:
            what = "was frozen: the handle is spent" if rep in self._mutables else "does not exist"
            raise GuestFault(f"mutable-buffer {rep} {what}")
        return handle

    @staticmethod
    def _check_u64(value: int) -> None:
        if not 0 <= value <= U64_MAX:
            raise GuestFault(f"{value} is not a u64")

"""The resource manager: every buffer operation, checked, accounted, all or nothing (OWN, BUF, BUDGET, COPY).

An operation that raises has changed nothing. The manager does no I/O and holds no clock; `now_ns` comes from the caller.

Any thread may call it. One lock is held for the whole of each public operation, so that operations are linearizable (OWN-042) and none sees
a transfer half done (OWN-010), with or without a global interpreter lock. Observers are told under the lock, in the order in which
things happen; they may look at the manager, and must not wait for another thread that does. Where an element's cost counts, the lock is
taken by `acquire` and `finally: release`, which is cheaper than `with`.
"""

from __future__ import annotations

from typing import Final

from torvyn_ref.ids import HOST, FlowId, Handle, Owner, show_handle, show_owner
from torvyn_ref.resources.copies import CopyReason
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.handles import OpenLoan
from torvyn_ref.resources.observation import Observation
from torvyn_ref.resources.pools import MAX_BUFFER_BYTES, Block, Tier
from torvyn_ref.resources.records import FlowRelease, Inspection, ManagerConfig, Reclaimed
from torvyn_ref.resources.states import ResourceEvent, ResourceState, successors

__all__ = ["CONTENT_TYPE_BYTES", "FlowRelease", "Inspection", "ManagerConfig", "Reclaimed", "ResourceManager"]

CONTENT_TYPE_BYTES: Final = 63
"""Content types are cut to this many bytes of UTF-8, on a character boundary (BUF-025)."""

_BORROW: Final = successors(ResourceEvent.BORROW)
_LAST_BORROW_ENDS: Final = successors(ResourceEvent.LAST_BORROW_ENDS)
_BEGIN_TRANSFER: Final = successors(ResourceEvent.BEGIN_TRANSFER)
_COMPLETE_TRANSFER: Final = successors(ResourceEvent.COMPLETE_TRANSFER)
_RELEASE: Final = successors(ResourceEvent.RELEASE)
_OWNED: Final = ResourceState.OWNED


class ResourceManager(Observation):
    """All buffers of one host: handles, owners, borrows, leases, budgets, pools and the copy ledger.

    Attributes:
        observer: hears of allocations and releases.
        on_copy: hears of every copy, for records at diagnostic level; None, the default, costs nothing (COPY-011).
        created, released, reclaimed: buffers so far; `released` counts the reclaimed ones, too.
    """

    # ---- life

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give `owner` a new empty buffer of at least `request` bytes, for `flow` (OWN-002).

        Raises:
            ResourceError: capacity-exceeded above 16 MiB (POOL-004), budget-exceeded (BUDGET-003), pool-exhausted, allocation-failed,
                invalid-owner for `transit` (OWN-011).
        """
        self._lock.acquire()
        try:
            if owner < HOST:
                raise self._invalid_owner("allocate for", owner)
            if request > MAX_BUFFER_BYTES or request < 0:
                raise ResourceError(
                    "capacity-exceeded",
                    f"a buffer holds at most {MAX_BUFFER_BYTES} bytes, asked for {request}",
                    capacity=MAX_BUFFER_BYTES,
                    attempted=request,
                )
            pool = self._pools.by_bits[(request - 1).bit_length()]  # `pool_for`, and below `charge` and `acquire`, without their frames
            capacity = request if pool is None else pool.capacity
            account = self._budgets.accounts.get(owner) if owner else None
            if account is not None and (used := account.used + capacity) <= account.limit:
                account.used = used
            else:
                self._budgets.charge(owner, capacity)
            block = None
            try:
                if pool is None:
                    block = Block(capacity, Tier.HUGE, None)
                elif pool.free:
                    block = pool.free.pop()
                    pool.pops += 1
                else:
                    block = pool.acquire()
                book = self._ledger[flow]
                handle = self._table.admit(block, owner, flow, book, now_ns)
            except BaseException:
                self._budgets.credit(owner, capacity)
                if block is not None:
                    block.retire(0)
                raise
            book.created += 1
            self.created += 1
            if self.observer is not None:
                self.observer.allocated(handle, owner, capacity)
            return handle
        finally:
            self._lock.release()

    def release(self, handle: Handle, caller: Owner) -> None:
        """End a buffer's life: scrubbed, back to its pool, the handle dead for everybody (OWN-016).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding.
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            if entry.owner != caller:
                raise self._not_owner(entry, caller)
            if entry.state not in _RELEASE:
                raise self._busy(entry, "release")
            self._free(entry)
        finally:
            self._lock.release()

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Move ownership at once: bytes, size, type and handle stay as they are, nothing is copied (OWN-010, OWN-012).

        The recipient's budget is charged before the giver's is credited; a refusal changes neither (BUDGET-005).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, budget-exceeded, invalid-owner.
        """
        self._lock.acquire()
        try:
            if target < HOST:
                raise self._invalid_owner("transfer to", target)
            entry = self._table[handle]
            if entry.owner != source:
                raise self._not_owner(entry, source)
            moving = _BEGIN_TRANSFER.get(entry.state)
            if moving is None:
                raise self._busy(entry, "transfer")
            if source == target:  # a no-op, even at 100 % of the budget (OWN-013)
                return
            capacity = entry.capacity
            giver = self._budgets.accounts[source] if source else None
            assert giver is None or capacity <= giver.used, "more credited than charged"
            if target:
                self._budgets.charge(target, capacity)
            if giver is not None:
                giver.used -= capacity
            entry.owner = target
            entry.state = _COMPLETE_TRANSFER[moving]
        finally:
            self._lock.release()

    # ---- borrows

    def borrow(self, handle: Handle, borrower: Owner, *, now_ns: int = 0) -> None:
        """Open a borrow; the owner stays the owner, and may not write until the last borrow has ended (OWN-004, OWN-005).

        `now_ns` is remembered as the instant since which this borrower holds the buffer, for whoever inspects it.

        Raises:
            ResourceError: stale-handle, not-allocated, invalid-owner, mutable-lease-active, read-only-leases-active.
        """
        self._lock.acquire()
        try:
            if borrower < HOST:
                raise self._invalid_owner("lend to", borrower)
            entry = self._table[handle]
            state = _BORROW.get(entry.state)
            if state is None:
                raise self._busy(entry, "borrow")
            entry.state = state
            entry.borrows += 1
            entry.book[borrower].lent_bytes += entry.size
            loan = entry.loan_to(borrower)
            if loan is None:
                entry.loans.append(OpenLoan(borrower, now_ns))
            else:
                loan.count += 1
        finally:
            self._lock.release()

    def end_borrow(self, handle: Handle, borrower: Owner) -> None:
        """End one borrow that `borrower` holds (OWN-006).

        Raises:
            ResourceError: stale-handle, not-allocated, not-borrowed when this borrower holds none (OWN-007).
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            if entry.loan_to(borrower) is None:
                raise ResourceError(
                    "not-borrowed",
                    f"{show_owner(borrower)} holds no borrow of {show_handle(handle)}",
                    handle=handle,
                    borrower=borrower,
                )
            if entry.borrows == 1:  # nearly always; spares a call
                entry.loans.clear()
                entry.borrows = 0
                entry.state = _LAST_BORROW_ENDS[entry.state]
            else:
                self._end_borrows(entry, borrower, 1)
        finally:
            self._lock.release()

    # ---- bytes

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Write `data` at `offset`, all or nothing, and return the new size (BUF-011..BUF-017).

        A gap (`offset` beyond the size) is refused and a write of nothing never extends (spec decision 12).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, frozen, out-of-bounds, capacity-exceeded.
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            if entry.owner != caller or entry.state is not _OWNED:
                self._check_writer(entry, caller)
            if entry.frozen:
                raise ResourceError("frozen", f"{show_handle(handle)} is frozen and can never be written again", handle=handle)
            size = entry.size
            if offset > size or offset < 0:
                raise ResourceError(
                    "out-of-bounds",
                    f"offset {offset} is beyond the size {size} of {show_handle(handle)}",
                    handle=handle,
                    offset=offset,
                    size=size,
                )
            length = len(data)
            end = offset + length
            if end > entry.capacity:
                raise ResourceError(
                    "capacity-exceeded",
                    f"{show_handle(handle)} holds {entry.capacity} bytes, the write would end at {end}",
                    handle=handle,
                    capacity=entry.capacity,
                    attempted=end,
                )
            if length:
                entry.view[offset:end] = data
                if end > size:
                    entry.size = end
                copies = entry.book[caller]
                copies.write_ops += 1
                copies.write_bytes += length
                if self.on_copy is not None:
                    self.on_copy(handle, caller, HOST, entry.flow, length, CopyReason.COMPONENT_TO_HOST)
            return entry.size
        finally:
            self._lock.release()

    def append(self, handle: Handle, caller: Owner, data: bytes | memoryview) -> int:
        """Write `data` at the current size and return the new size (BUF-010). Errors as `write`."""
        self._lock.acquire()
        try:
            entry = self._table[handle]
            size = entry.size
            end = size + len(data)
            if entry.owner != caller or entry.state is not _OWNED or entry.frozen or end > entry.capacity:
                return self.write(handle, caller, size, data)  # refuses, or knows of a lease that permits it
            if end > size:
                entry.view[size:end] = data
                entry.size = end
                copies = entry.book[caller]
                copies.write_ops += 1
                copies.write_bytes += end - size
                if self.on_copy is not None:
                    self.on_copy(handle, caller, HOST, entry.flow, end - size, CopyReason.COMPONENT_TO_HOST)
            return end
        finally:
            self._lock.release()

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Return the bytes from `offset`, at most `length`, clamped to the size (BUF-002); counted for the buffer's flow (COPY-002).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner for anyone but the owner and open borrowers (OWN-009).
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            if not offset and length is None and entry.loan_to(reader) is not None:  # what every element needs, without a call
                data = entry.view[: entry.size].tobytes()
            else:
                data = self._readable(entry, reader, offset, length).tobytes()
            if data:
                copies = entry.book[reader]
                copies.read_ops += 1
                copies.read_bytes += len(data)
                if self.on_copy is not None:
                    self.on_copy(handle, HOST, reader, entry.flow, len(data), CopyReason.HOST_TO_COMPONENT)
            return data
        finally:
            self._lock.release()

    def read_into(self, handle: Handle, reader: Owner, target: memoryview) -> None:
        """Read the first bytes into `target`, as many as it holds: one copy instead of two. Counted as `read` counts.

        Raises:
            ResourceError: as `read`; out-of-bounds when there are fewer bytes.
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            length = len(target)
            if entry.loan_to(reader) is None:
                self._readable(entry, reader, 0, 0)  # refuses, or permits
            if entry.size < length:
                raise ResourceError("out-of-bounds", f"{show_handle(handle)} holds {entry.size} bytes, and {length} were asked for")
            if length:
                target[:] = entry.view[:length]
                copies = entry.book[reader]
                copies.read_ops += 1
                copies.read_bytes += length
                if self.on_copy is not None:
                    self.on_copy(handle, HOST, reader, entry.flow, length, CopyReason.HOST_TO_COMPONENT)
        finally:
            self._lock.release()

    def peek(self, handle: Handle, reader: Owner) -> bytes:
        """Return all bytes without counting a copy: for the host's own observers, never for a guest. Errors as `read`."""
        self._lock.acquire()
        try:
            return self._readable(self._table[handle], reader, 0, None).tobytes()
        finally:
            self._lock.release()

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give `caller` a new, independent, unfrozen buffer with the same bytes and content type (BUF-030, BUF-031).

        Raises:
            ResourceError: as `read` and `allocate`; nothing is left behind when it does.
        """
        self._lock.acquire()
        try:
            original = self._table[handle]
            source = self._readable(original, caller, 0, None)
            copy = self.allocate(caller, original.size, flow, now_ns=now_ns)
            entry = self._table[copy]
            size = original.size
            entry.view[:size] = source
            entry.size = size
            entry.content_type = original.content_type
            entry.book[caller].cloned(original.owner, size)
            if self.on_copy is not None:
                self.on_copy(copy, original.owner, caller, flow, size, CopyReason.CROSS_COMPONENT)
            return copy
        finally:
            self._lock.release()

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Make a buffer immutable for good: same handle, same bytes, no copy (BUF-020, BUF-023).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, frozen when it already is.
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            if entry.owner != caller:
                raise self._not_owner(entry, caller)
            if entry.state is not _OWNED:
                raise self._busy(entry, "freeze")
            if entry.frozen:
                raise ResourceError("frozen", f"{show_handle(handle)} is frozen already", handle=handle)
            entry.frozen = True
        finally:
            self._lock.release()

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Set the content type, cut to 63 bytes on a character boundary (BUF-024..BUF-026).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, frozen.
        """
        self._lock.acquire()
        try:
            entry = self._table[handle]
            if entry.owner != caller:
                raise self._not_owner(entry, caller)
            if entry.state is not _OWNED:
                raise self._busy(entry, "retag")
            if entry.frozen:
                raise ResourceError("frozen", f"{show_handle(handle)} is frozen: its content type is final", handle=handle)
            encoded = content_type.encode()
            if len(encoded) > CONTENT_TYPE_BYTES:
                content_type = encoded[:CONTENT_TYPE_BYTES].decode(errors="ignore")
            entry.content_type = content_type
        finally:
            self._lock.release()

    # ---- by force

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Free all that a component owns, in any state, and end every borrow it holds; a stranger owns nothing (OWN-030..OWN-033)."""
        self._lock.acquire()
        try:
            reclaimed: list[Reclaimed] = []
            for entry in self._table.entries():
                if entry.owner == component:
                    reclaimed.append(self._force(entry))
                elif (loan := entry.loan_to(component)) is not None:
                    self._end_borrows(entry, component, loan.count)
            self._leases.end_held_by(component)
            return tuple(reclaimed)
        finally:
            self._lock.release()

    def release_flow(self, flow: FlowId) -> FlowRelease:
        """Free every buffer allocated under a flow, whoever owns it now (OWN-034, OWN-035)."""
        self._lock.acquire()
        try:
            doomed = self._entries_of(flow)
            borrows = sum(entry.borrows for entry in doomed)
            leases = sum(len(entry.leases or ()) for entry in doomed)
            freed = tuple(self._force(entry) for entry in doomed)
            pooled = sum(record.returned_to_pool for record in freed)
            return FlowRelease(
                returned_to_pool=pooled,
                deallocated=len(freed) - pooled,
                bytes_released=sum(record.capacity for record in freed),
                borrows_cleared=borrows,
                freed=freed,
                leases_cleared=leases,
            )
        finally:
            self._lock.release()

    # ---- components

    def register_component(self, component: Owner, budget_bytes: int) -> None:
        """Set a component's budget in bytes; what it owns stays charged (BUDGET-010)."""
        if component <= HOST:
            raise self._invalid_owner("budget", component)
        with self._lock:
            self._budgets.register(component, budget_bytes)

    def unregister_component(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Take back all that a component has, as `force_reclaim` does, and forget its budget: it is gone for good.

        Component ids are never used again, so a limit that nobody can run into need not be kept; whoever does use the id again has the
        default budget, as any component nobody registered (BUDGET-009). A component that may come back is only force-reclaimed, and keeps
        its limit (BUDGET-011).
        """
        with self._lock:
            reclaimed = self.force_reclaim(component)
            self._budgets.unregister(component)
            return reclaimed

"""The resource manager: every buffer operation, checked, accounted, all or nothing (OWN, BUF, BUDGET, COPY).

An operation that raises has changed nothing. The manager does no I/O and holds no clock; `now_ns` comes from the caller. It is
single-threaded: one reactor thread owns it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torvyn_ref.events import Observer
from torvyn_ref.ids import HOST, TRANSIT, FlowId, Handle, Owner, show_handle, show_owner
from torvyn_ref.resources.budgets import DEFAULT_BUDGET_BYTES, Budgets
from torvyn_ref.resources.copies import CopyLedger, CopyStats
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.handles import Entry, HandleTable
from torvyn_ref.resources.pools import DEFAULT_TIERS, MAX_BUFFER_BYTES, Block, Exhaustion, Pools, Tier, TierConfig, TierMetrics
from torvyn_ref.resources.states import ResourceEvent, ResourceState, successors

CONTENT_TYPE_BYTES = 63
"""Content types are cut to this many bytes of UTF-8, on a character boundary (BUF-025)."""

_BORROW = successors(ResourceEvent.BORROW)
_LAST_BORROW_ENDS = successors(ResourceEvent.LAST_BORROW_ENDS)
_BEGIN_TRANSFER = successors(ResourceEvent.BEGIN_TRANSFER)
_COMPLETE_TRANSFER = successors(ResourceEvent.COMPLETE_TRANSFER)
_RELEASE = successors(ResourceEvent.RELEASE)
_FORCE = successors(ResourceEvent.FORCE)
_OWNED = ResourceState.OWNED
_BORROWED = ResourceState.BORROWED


@dataclass(frozen=True, slots=True)
class ManagerConfig:
    """How a manager starts: handle-table room, pools, and the budget in bytes of a component that has none of its own."""

    table_capacity: int = 65536
    tiers: tuple[TierConfig, ...] = DEFAULT_TIERS
    exhaustion: Exhaustion = Exhaustion.FALLBACK
    default_budget_bytes: int = DEFAULT_BUDGET_BYTES


@dataclass(frozen=True, slots=True)
class Inspection:
    """A live buffer as an observer sees it; sizes in bytes."""

    handle: Handle
    state: ResourceState
    owner: Owner
    borrow_count: int
    capacity: int
    size: int
    tier: Tier
    is_fallback: bool
    content_type: str
    flow: FlowId
    frozen: bool
    allocated_ns: int


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """One buffer freed by force (OWN-030)."""

    handle: Handle
    previous_state: ResourceState
    previous_owner: Owner
    capacity: int
    returned_to_pool: bool


@dataclass(frozen=True, slots=True)
class FlowRelease:
    """What freeing a flow's buffers freed (OWN-034): `bytes_released` sums capacities."""

    returned_to_pool: int = 0
    deallocated: int = 0
    bytes_released: int = 0
    borrows_cleared: int = 0
    freed: tuple[Reclaimed, ...] = field(default=(), repr=False)


class ResourceManager:
    """All buffers of one host: handles, owners, borrows, budgets, pools and the copy ledger."""

    def __init__(self, config: ManagerConfig | None = None, *, observer: Observer | None = None) -> None:
        config = config or ManagerConfig()
        self._table = HandleTable(config.table_capacity)
        self._pools = Pools(config.tiers, config.exhaustion)
        self._budgets = Budgets(config.default_budget_bytes)
        self._ledger = CopyLedger()
        self.observer = observer
        self.created = 0
        self.released = 0

    # ---- life

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give `owner` a new empty buffer of at least `request` bytes, for `flow` (OWN-002).

        Raises:
            ResourceError: capacity-exceeded above 16 MiB (POOL-004), budget-exceeded (BUDGET-003), pool-exhausted, allocation-failed,
                invalid-owner for `transit` (OWN-011).
        """
        if owner < HOST:
            raise self._invalid_owner("allocate for", owner)
        if request > MAX_BUFFER_BYTES or request < 0:
            raise ResourceError(
                "capacity-exceeded",
                f"a buffer holds at most {MAX_BUFFER_BYTES} bytes, asked for {request}",
                capacity=MAX_BUFFER_BYTES,
                attempted=request,
            )
        pool = self._pools.pool_for(request)
        capacity = request if pool is None else pool.capacity
        self._budgets.charge(owner, capacity)
        block = None
        try:
            block = Block(capacity, Tier.HUGE, None) if pool is None else pool.acquire()
            handle = self._table.insert(Entry(block, owner, flow, self._ledger[flow], now_ns))
        except BaseException:
            self._budgets.credit(owner, capacity)
            if block is not None:
                block.retire(0)
            raise
        self.created += 1
        if self.observer is not None:
            self.observer.allocated(handle, owner, capacity)
        return handle

    def release(self, handle: Handle, caller: Owner) -> None:
        """End a buffer's life: scrubbed, back to its pool, the handle dead for everybody (OWN-016).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding.
        """
        entry = self._table[handle]
        if entry.owner != caller:
            raise self._not_owner(entry, caller)
        if entry.state not in _RELEASE:
            raise self._busy(entry, "release")
        self._free(entry)

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Move ownership at once: bytes, size, type and handle stay as they are, nothing is copied (OWN-010, OWN-012).

        The recipient's budget is charged before the giver's is credited; a refusal changes neither (BUDGET-005).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, budget-exceeded, invalid-owner.
        """
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
        if target:
            self._budgets.charge(target, entry.capacity)
        if source:
            self._budgets.credit(source, entry.capacity)
        entry.owner = target
        entry.state = _COMPLETE_TRANSFER[moving]

    # ---- borrows

    def borrow(self, handle: Handle, borrower: Owner) -> None:
        """Open a borrow; the owner stays the owner, and may not write until the last borrow has ended (OWN-004, OWN-005).

        Raises:
            ResourceError: stale-handle, not-allocated, invalid-owner, borrows-outstanding (never: a borrow may join others),
            illegal-transition.
        """
        if borrower < HOST:
            raise self._invalid_owner("lend to", borrower)
        entry = self._table[handle]
        state = _BORROW.get(entry.state)
        if state is None:
            raise self._busy(entry, "borrow")
        entry.state = state
        entry.borrows += 1
        borrowers = entry.borrowers
        if borrowers is None:
            entry.borrowers = {borrower: 1}
        else:
            borrowers[borrower] = borrowers.get(borrower, 0) + 1

    def end_borrow(self, handle: Handle, borrower: Owner) -> None:
        """End one borrow that `borrower` holds (OWN-006).

        Raises:
            ResourceError: stale-handle, not-allocated, not-borrowed when this borrower holds none (OWN-007).
        """
        entry = self._table[handle]
        borrowers = entry.borrowers
        if not borrowers or borrower not in borrowers:
            raise ResourceError(
                "not-borrowed",
                f"{show_owner(borrower)} holds no borrow of {show_handle(handle)}",
                handle=handle,
                borrower=borrower,
            )
        self._end_borrows(entry, borrower, 1)

    # ---- bytes

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Write `data` at `offset`, all or nothing, and return the new size (BUF-011..BUF-017).

        A gap (`offset` beyond the size) is refused and a write of nothing never extends (spec decision 12).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, frozen, out-of-bounds, capacity-exceeded.
        """
        entry = self._table[handle]
        if entry.owner != caller:
            raise self._not_owner(entry, caller)
        if entry.state is not _OWNED:
            raise self._busy(entry, "write")
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
            copies = entry.copies
            copies.write_ops += 1
            copies.write_bytes += length
        return entry.size

    def append(self, handle: Handle, caller: Owner, data: bytes | memoryview) -> int:
        """Write `data` at the current size and return the new size (BUF-010). Errors as `write`."""
        return self.write(handle, caller, self._table[handle].size, data)

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Return the bytes from `offset`, at most `length`, clamped to the size (BUF-002); counted for the buffer's flow (COPY-002).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner for anyone but the owner and open borrowers (OWN-009).
        """
        entry = self._table[handle]
        data = self._readable(entry, reader, offset, length).tobytes()
        if data:
            copies = entry.copies
            copies.read_ops += 1
            copies.read_bytes += len(data)
        return data

    def peek(self, handle: Handle, reader: Owner) -> bytes:
        """Return all bytes without counting a copy: for the host's own observers, never for a guest. Errors as `read`."""
        return self._readable(self._table[handle], reader, 0, None).tobytes()

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give `caller` a new, independent, unfrozen buffer with the same bytes and content type (BUF-030, BUF-031).

        Raises:
            ResourceError: as `read` and `allocate`; nothing is left behind when it does.
        """
        original = self._table[handle]
        source = self._readable(original, caller, 0, None)
        copy = self.allocate(caller, original.size, flow, now_ns=now_ns)
        entry = self._table[copy]
        size = original.size
        entry.view[:size] = source
        entry.size = size
        entry.content_type = original.content_type
        entry.copies.cross_ops += 1
        entry.copies.cross_bytes += size
        return copy

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Make a buffer immutable for good: same handle, same bytes, no copy (BUF-020, BUF-023).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, frozen when it already is.
        """
        entry = self._table[handle]
        if entry.owner != caller:
            raise self._not_owner(entry, caller)
        if entry.state is not _OWNED:
            raise self._busy(entry, "freeze")
        if entry.frozen:
            raise ResourceError("frozen", f"{show_handle(handle)} is frozen already", handle=handle)
        entry.frozen = True

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Set the content type, cut to 63 bytes on a character boundary (BUF-024..BUF-026).

        Raises:
            ResourceError: stale-handle, not-allocated, not-owner, borrows-outstanding, frozen.
        """
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

    # ---- by force

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Free all that a component owns, in any state, and end every borrow it holds; a stranger owns nothing (OWN-030..OWN-033)."""
        reclaimed: list[Reclaimed] = []
        for entry in list(self._table.values()):
            if entry.owner == component:
                reclaimed.append(self._force(entry))
            elif entry.borrowers and component in entry.borrowers:
                self._end_borrows(entry, component, entry.borrowers[component])
        return tuple(reclaimed)

    def release_flow(self, flow: FlowId) -> FlowRelease:
        """Free every buffer allocated under a flow, whoever owns it now (OWN-034, OWN-035)."""
        doomed = [entry for entry in self._table.values() if entry.flow == flow]
        borrows = sum(entry.borrows for entry in doomed)
        freed = tuple(self._force(entry) for entry in doomed)
        pooled = sum(record.returned_to_pool for record in freed)
        return FlowRelease(
            returned_to_pool=pooled,
            deallocated=len(freed) - pooled,
            bytes_released=sum(record.capacity for record in freed),
            borrows_cleared=borrows,
            freed=freed,
        )

    # ---- observation

    def size(self, handle: Handle) -> int:
        """Return a live buffer's size in bytes."""
        return self._table[handle].size

    def capacity(self, handle: Handle) -> int:
        """Return a live buffer's capacity in bytes."""
        return self._table[handle].capacity

    def content_type(self, handle: Handle) -> str:
        """Return a live buffer's content type; empty when none was set."""
        return self._table[handle].content_type

    def inspect(self, handle: Handle) -> Inspection:
        """Describe a live buffer.

        Raises:
            ResourceError: stale-handle, not-allocated.
        """
        return self._describe(self._table[handle])

    def live(self, flow: FlowId | None = None) -> tuple[Inspection, ...]:
        """Describe every live buffer, or those of one flow: who owns it, since when (OWN-040)."""
        return tuple(self._describe(entry) for entry in self._table.values() if flow is None or entry.flow == flow)

    @property
    def live_count(self) -> int:
        """Return the number of live buffers."""
        return len(self._table)

    def register_component(self, component: Owner, budget_bytes: int) -> None:
        """Set a component's budget in bytes (BUDGET-010)."""
        if component <= HOST:
            raise self._invalid_owner("budget", component)
        self._budgets.register(component, budget_bytes)

    def budget(self, owner: Owner) -> tuple[int, int]:
        """Return (used, limit) in bytes."""
        return self._budgets.usage(owner)

    def pool_metrics(self, tier: Tier) -> TierMetrics:
        """Return a tier's counters."""
        return self._pools.metrics(tier)

    def copy_stats(self, flow: FlowId) -> CopyStats:
        """Return a flow's copies so far; zeros for a flow never seen (COPY-012)."""
        return self._ledger.stats(flow)

    def close_flow_copies(self, flow: FlowId) -> CopyStats:
        """Return a flow's final copies and forget its counters (COPY-013)."""
        return self._ledger.close(flow)

    # ---- inside

    def _free(self, entry: Entry) -> None:
        if entry.owner > HOST:
            self._budgets.credit(entry.owner, entry.capacity)
        self._table.remove(entry)
        entry.block.retire(entry.size)
        self.released += 1
        if self.observer is not None:
            self.observer.released(entry.handle)

    def _force(self, entry: Entry) -> Reclaimed:
        record = Reclaimed(entry.handle, entry.state, entry.owner, entry.capacity, returned_to_pool=entry.block.pool is not None)
        entry.state = _FORCE[entry.state]
        self._free(entry)
        return record

    def _end_borrows(self, entry: Entry, borrower: Owner, ended: int) -> None:
        borrowers = entry.borrowers
        assert borrowers is not None
        if ended == entry.borrows:
            borrowers.clear()
            entry.borrows = 0
            entry.state = _LAST_BORROW_ENDS[entry.state]
            return
        left = borrowers[borrower] - ended
        if left:
            borrowers[borrower] = left
        else:
            del borrowers[borrower]
        entry.borrows -= ended

    def _readable(self, entry: Entry, reader: Owner, offset: int, length: int | None) -> memoryview:
        if entry.owner != reader and not (entry.borrowers and reader in entry.borrowers):
            raise self._not_owner(entry, reader)
        size = entry.size
        if length is None:
            return entry.view[offset:size]
        end = offset + length
        return entry.view[min(offset, size) : min(end, size)]

    def _describe(self, entry: Entry) -> Inspection:
        return Inspection(
            handle=entry.handle,
            state=entry.state,
            owner=entry.owner,
            borrow_count=entry.borrows,
            capacity=entry.capacity,
            size=entry.size,
            tier=entry.block.tier,
            is_fallback=entry.block.pool is None,
            content_type=entry.content_type,
            flow=entry.flow,
            frozen=entry.frozen,
            allocated_ns=entry.allocated_ns,
        )

    def _not_owner(self, entry: Entry, caller: Owner) -> ResourceError:
        return ResourceError(
            "not-owner",
            f"{show_handle(entry.handle)} belongs to {show_owner(entry.owner)}, not to {show_owner(caller)}",
            handle=entry.handle,
            expected_owner=entry.owner,
            actual_caller=caller,
        )

    def _busy(self, entry: Entry, action: str) -> ResourceError:
        if entry.state is _BORROWED:
            return ResourceError(
                "borrows-outstanding",
                f"cannot {action} {show_handle(entry.handle)} while {entry.borrows} borrow(s) are open",
                handle=entry.handle,
                borrow_count=entry.borrows,
            )
        return ResourceError(
            "illegal-transition",
            f"cannot {action} {show_handle(entry.handle)} in state {entry.state}",
            handle=entry.handle,
        )

    @staticmethod
    def _invalid_owner(action: str, owner: Owner) -> ResourceError:
        what = "transit" if owner == TRANSIT else f"owner {owner}"
        return ResourceError("invalid-owner", f"cannot {action} {what}: only the host and components can be named", owner=owner)

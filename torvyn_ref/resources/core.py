"""What every part of the resource manager stands on: the books, the lock, and how a buffer's life, borrows and reads are decided."""

from __future__ import annotations

import threading
from typing import Final

from torvyn_ref.events import Observer
from torvyn_ref.ids import HOST, TRANSIT, FlowId, Owner, show_handle, show_owner
from torvyn_ref.resources.budgets import Budgets
from torvyn_ref.resources.copies import CopyLedger, CopyListener
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.handles import Entry, HandleTable
from torvyn_ref.resources.leases import LeaseBook, LeaseKind, access, is_exclusive, lease_active
from torvyn_ref.resources.pools import LONG_SCRUB, ZEROS, Pools
from torvyn_ref.resources.records import Inspection, Loan, ManagerConfig, Reclaimed
from torvyn_ref.resources.states import ResourceEvent, ResourceState, successors

_LAST_BORROW_ENDS: Final = successors(ResourceEvent.LAST_BORROW_ENDS)
_FORCE: Final = successors(ResourceEvent.FORCE)
_BORROWED: Final = ResourceState.BORROWED
_LEASED: Final = ResourceState.LEASED


class ManagerCore:
    """The books and their lock. Methods named `_x` expect the lock to be held."""

    def __init__(self, config: ManagerConfig | None = None, *, observer: Observer | None = None) -> None:
        config = config or ManagerConfig()
        self._table = HandleTable(config.table_capacity)
        self._pools = Pools(config.tiers, config.exhaustion)
        self._budgets = Budgets(config.default_budget_bytes)
        self._ledger = CopyLedger()
        self._leases = LeaseBook()
        self._lock = threading.RLock()  # reentrant: clone allocates, append writes, an observer may look
        self.observer = observer
        self.on_copy: CopyListener | None = None
        self.created = 0
        self.released = 0
        self.reclaimed = 0

    def _free(self, entry: Entry) -> None:
        self._table.remove(entry)
        if entry.leases:
            self._leases.drop(entry)
        if entry.owner > HOST:
            self._budgets.credit(entry.owner, entry.capacity)
        entry.book.released += 1
        self.released += 1
        block = entry.block
        pool = block.pool
        if pool is None:
            block.retire(entry.size)
        else:  # the same, without the call
            size = entry.size
            if 0 < size < LONG_SCRUB:
                block.view[:size] = ZEROS[:size]
            elif size:
                block.scrub(size)
            pool.pushes += 1
            pool.free.append(block)
        if self.observer is not None:
            self.observer.released(entry.handle)

    def _force(self, entry: Entry) -> Reclaimed:
        record = Reclaimed(
            entry.handle,
            entry.state,
            entry.owner,
            entry.capacity,
            returned_to_pool=entry.block.pool is not None,
            maker=entry.maker,
            allocated_ns=entry.allocated_ns,
        )
        entry.state = _FORCE[entry.state]
        self.reclaimed += 1
        entry.book.reclaimed += 1
        self._free(entry)
        return record

    def _entries_of(self, flow: FlowId) -> list[Entry]:
        """Return the live buffers allocated under a flow, whoever owns them now."""
        if not self._ledger.may_live(flow):
            return []
        found = [entry for entry in self._table.entries() if entry.flow == flow]
        if not found:
            self._ledger.outlived.discard(flow)
        return found

    def _end_borrows(self, entry: Entry, borrower: Owner, ended: int) -> None:
        loan = entry.loan_to(borrower)
        assert loan is not None
        loan.count -= ended
        if not loan.count:
            entry.loans.remove(loan)
        entry.borrows -= ended
        if not entry.borrows:
            entry.state = _LAST_BORROW_ENDS[entry.state]

    def _readable(self, entry: Entry, reader: Owner, offset: int, length: int | None) -> memoryview:
        if entry.state is _LEASED:
            self._check_leased_reader(entry, reader)
        elif entry.owner != reader and entry.loan_to(reader) is None:
            raise self._not_owner(entry, reader)
        size = entry.size
        if length is None:
            return entry.view[offset:size]
        end = offset + length
        return entry.view[min(offset, size) : min(end, size)]

    def _check_leased_reader(self, entry: Entry, reader: Owner) -> None:
        if access(entry, reader) is not None:
            return
        if entry.owner != reader:
            raise self._not_owner(entry, reader)
        if is_exclusive(entry):
            raise self._busy(entry, "read")

    def _check_writer(self, entry: Entry, caller: Owner) -> None:
        """Refuse a write to a buffer that is not simply its writer's own, unless a mutable lease permits it."""
        if access(entry, caller) is LeaseKind.MUTABLE:
            return
        raise self._not_owner(entry, caller) if entry.owner != caller else self._busy(entry, "write")

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
            maker=entry.maker,
            leases=tuple(entry.leases.values()) if entry.leases else (),
            loans=tuple(Loan(loan.borrower, loan.count, loan.since_ns) for loan in entry.loans),
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
        if entry.state is _LEASED:
            return lease_active(entry, action)
        return ResourceError(
            "illegal-transition",
            f"cannot {action} {show_handle(entry.handle)} in state {entry.state}",
            handle=entry.handle,
        )

    @staticmethod
    def _invalid_owner(action: str, owner: Owner) -> ResourceError:
        what = "transit" if owner == TRANSIT else f"owner {owner}"
        return ResourceError("invalid-owner", f"cannot {action} {what}: only the host and components can be named", owner=owner)

"""The generational handle table: a slot is reused, a handle never is (OWN-014..OWN-020)."""

from __future__ import annotations

from typing import Final

from torvyn_ref.ids import U32_MAX, FlowId, Handle, Owner, show_handle
from torvyn_ref.resources.copies import FlowBook
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.leases import Lease, LeaseId
from torvyn_ref.resources.pools import Block
from torvyn_ref.resources.states import ResourceEvent, ResourceState, successors

_ALLOCATED: Final = successors(ResourceEvent.ALLOCATE)[ResourceState.POOLED]


class OpenLoan:
    """What one borrower has open of one buffer: how many borrows, and since when (0: the first named no instant)."""

    __slots__ = ("borrower", "count", "since_ns")

    def __init__(self, borrower: Owner, since_ns: int) -> None:
        self.borrower = borrower
        self.count = 1
        self.since_ns = since_ns


class Entry:
    """One live buffer: its bytes, and everything the runtime knows about them.

    A pooled block keeps its entry between tenancies, and the table makes it new: nothing of an earlier tenant is left in it (POOL-012).
    """

    __slots__ = (
        "allocated_ns",
        "block",
        "book",
        "borrows",
        "capacity",
        "content_type",
        "flow",
        "frozen",
        "handle",
        "leases",
        "loans",
        "maker",
        "owner",
        "size",
        "state",
        "view",
    )
    handle: Handle
    owner: Owner
    maker: Owner
    flow: FlowId
    book: FlowBook
    allocated_ns: int
    state: ResourceState
    borrows: int
    loans: list[OpenLoan]  # by borrower: a handful at most
    leases: dict[LeaseId, Lease] | None
    size: int
    content_type: str
    frozen: bool

    def __init__(self, block: Block) -> None:
        self.block = block
        self.view = block.view
        self.capacity = block.capacity
        self.loans = []

    def loan_to(self, borrower: Owner) -> OpenLoan | None:
        """Return what a borrower has open; None when that is nothing."""
        for loan in self.loans:
            if loan.borrower == borrower:
                return loan
        return None


class HandleTable:
    """The live buffers by handle: slots with generations, LIFO reuse, doubling growth, no live handle ever invalidated by growth.

    `table[handle]` is the live entry. A slot's next tenant gets the slot's last generation plus one modulo 2^32 (OWN-017: the first tenant
    of a slot has 1), so one comparison tells the living from the dead.

    Raises:
        ResourceError: allocation-failed for a capacity below 1; on look-up, not-allocated for a vacant slot, stale-handle for another
            tenant's slot or an index never issued (OWN-015, OWN-020).
    """

    __slots__ = ("_free", "_generations", "_slots", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ResourceError("allocation-failed", f"the handle table needs room for at least 1 handle, got {capacity}")
        self.capacity = capacity
        self._slots: list[Entry | None] = []  # None: vacant
        self._generations: list[int] = []  # by slot: its latest tenant's
        self._free: list[int] = []

    def admit(self, block: Block, owner: Owner, flow: FlowId, book: FlowBook, now_ns: int) -> Handle:
        """Start a tenancy, empty, owned, untyped, unfrozen, neither lent nor leased, under a handle never issued before.

        Raises:
            ResourceError: allocation-failed, when 2^32 slots are in use.
        """
        if self._free:
            index = self._free.pop()
            generation = self._generations[index] + 1 & U32_MAX
            self._generations[index] = generation
        else:
            index = len(self._generations)
            if index > U32_MAX:
                raise ResourceError("allocation-failed", "the handle table is full (2^32 slots)")
            if index == self.capacity:
                self.capacity *= 2
            generation = 1
            self._generations.append(generation)
            self._slots.append(None)
        entry = block.entry
        if entry is None:
            entry = Entry(block)
            if block.pool is not None:  # a block of its own goes at once, which a circle of references would delay
                block.entry = entry
        entry.handle = handle = Handle(generation << 32 | index)
        entry.owner = entry.maker = owner
        entry.flow = flow
        entry.book = book
        entry.allocated_ns = now_ns
        entry.state = _ALLOCATED
        entry.borrows = entry.size = 0
        entry.leases = None
        if entry.loans:
            entry.loans = []
        entry.content_type = ""
        entry.frozen = False
        self._slots[index] = entry
        return handle

    def remove(self, entry: Entry) -> None:
        """Vacate the slot of a live entry; every copy of its handle is dead from here on."""
        index = entry.handle & U32_MAX
        self._slots[index] = None
        self._free.append(index)

    def __getitem__(self, handle: Handle) -> Entry:
        index = handle & U32_MAX
        if index < len(self._slots):
            entry = self._slots[index]
            if entry is not None and entry.handle == handle:
                return entry
        return self._missing(handle)

    def __contains__(self, handle: Handle) -> bool:
        index = handle & U32_MAX
        entry = self._slots[index] if index < len(self._slots) else None
        return entry is not None and entry.handle == handle

    def __len__(self) -> int:
        return len(self._slots) - len(self._free)

    def entries(self) -> list[Entry]:
        """Return the live entries, by slot."""
        return [entry for entry in self._slots if entry is not None]

    def _missing(self, handle: Handle) -> Entry:
        """Say why a handle names no live buffer."""
        index = handle & U32_MAX
        name = show_handle(handle)
        if index < len(self._slots) and self._slots[index] is None:
            raise ResourceError("not-allocated", f"{name} names a buffer that has been released", handle=handle)
        raise ResourceError("stale-handle", f"{name} does not name a live buffer", handle=handle)

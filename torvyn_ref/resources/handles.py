"""The generational handle table: a slot is reused, a handle never is (OWN-014..OWN-020)."""

from __future__ import annotations

from typing import Final

from torvyn_ref.ids import U32_MAX, FlowId, Handle, Owner, make_handle, show_handle
from torvyn_ref.resources.copies import FlowBook
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.leases import Lease, LeaseId
from torvyn_ref.resources.pools import Block
from torvyn_ref.resources.states import ResourceEvent, ResourceState, successors

_ALLOCATED: Final = successors(ResourceEvent.ALLOCATE)[ResourceState.POOLED]


class Entry:
    """One live buffer: its bytes, and everything the runtime knows about them.

    A pooled block keeps its entry between tenancies, and the table makes it new: nothing of an earlier tenant is left in it (POOL-012).
    """

    __slots__ = (
        "allocated_ns",
        "block",
        "book",
        "borrowed_ns",
        "borrowers",
        "borrows",
        "capacity",
        "content_type",
        "flow",
        "frozen",
        "handle",
        "leases",
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
    borrowers: dict[Owner, int] | None
    borrowed_ns: dict[Owner, int] | None  # since when, for borrowers who named an instant
    leases: dict[LeaseId, Lease] | None
    size: int
    content_type: str
    frozen: bool

    def __init__(self, block: Block) -> None:
        self.block = block
        self.view = block.view
        self.capacity = block.capacity


class HandleTable(dict[Handle, Entry]):
    """The live buffers by handle: slots with generations, LIFO reuse, doubling growth, no live handle ever invalidated by growth.

    `table[handle]` is the live entry. A dead handle is no key: a slot's next tenant gets the slot's last generation plus one modulo 2^32
    (OWN-017: the first tenant of a slot has 1), so one look-up tells the living from the dead.

    Raises:
        ResourceError: allocation-failed for a capacity below 1; on look-up, not-allocated for a vacant slot, stale-handle for another
            tenant's slot or an index never issued (OWN-015, OWN-020).
    """

    __slots__ = ("_free", "_generations", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ResourceError("allocation-failed", f"the handle table needs room for at least 1 handle, got {capacity}")
        self.capacity = capacity
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
        entry.borrowers = entry.borrowed_ns = entry.leases = None
        entry.content_type = ""
        entry.frozen = False
        self[handle] = entry
        return handle

    def remove(self, entry: Entry) -> None:
        """Vacate the slot of a live entry; every copy of its handle is dead from here on."""
        handle = entry.handle
        del self[handle]
        self._free.append(handle & U32_MAX)

    def __missing__(self, handle: Handle) -> Entry:
        index = handle & U32_MAX
        name = show_handle(handle)
        if index < len(self._generations) and make_handle(index, self._generations[index]) not in self:
            raise ResourceError("not-allocated", f"{name} names a buffer that has been released", handle=handle)
        raise ResourceError("stale-handle", f"{name} does not name a live buffer", handle=handle)

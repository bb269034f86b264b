"""The generational handle table: a slot is reused, a handle never is (OWN-014..OWN-020)."""

from __future__ import annotations

from torvyn_ref.ids import U32_MAX, FlowId, Handle, Owner, make_handle, show_handle
from torvyn_ref.resources.copies import FlowCopies
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.pools import Block
from torvyn_ref.resources.states import ResourceState


class Entry:
    """One live buffer: its bytes, and everything the runtime knows about them."""

    __slots__ = (
        "allocated_ns",
        "block",
        "borrowers",
        "borrows",
        "capacity",
        "content_type",
        "copies",
        "flow",
        "frozen",
        "handle",
        "owner",
        "size",
        "state",
        "view",
    )

    def __init__(self, block: Block, owner: Owner, flow: FlowId, copies: FlowCopies, allocated_ns: int) -> None:
        self.handle = Handle(0)  # the table sets it
        self.state = ResourceState.OWNED
        self.owner = owner
        self.borrows = 0
        self.borrowers: dict[Owner, int] | None = None
        self.block = block
        self.view = block.view
        self.capacity = block.capacity
        self.size = 0
        self.content_type = ""
        self.frozen = False
        self.flow = flow
        self.copies = copies
        self.allocated_ns = allocated_ns


class HandleTable:
    """Slots with generations: LIFO reuse, doubling growth, no live handle ever invalidated by growth.

    A vacant slot holds its last generation; the next tenant gets that plus one modulo 2^32 (OWN-017: the first tenant of a slot has 1).
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ResourceError("allocation-failed", f"the handle table needs room for at least 1 handle, got {capacity}")
        self.capacity = capacity
        self._slots: list[Entry | int] = []
        self._free: list[int] = []
        self.live = 0

    def insert(self, entry: Entry) -> Handle:
        """Give an entry a handle never issued before.

        Raises:
            ResourceError: allocation-failed, when 2^32 slots are in use.
        """
        if self._free:
            index = self._free.pop()
            last = self._slots[index]
            assert isinstance(last, int)
            handle = Handle((last + 1 & U32_MAX) << 32 | index)
            self._slots[index] = entry
        else:
            index = len(self._slots)
            if index > U32_MAX:
                raise ResourceError("allocation-failed", "the handle table is full (2^32 slots)")
            if index == self.capacity:
                self.capacity *= 2
            handle = make_handle(index, 1)
            self._slots.append(entry)
        entry.handle = handle
        self.live += 1
        return handle

    def get(self, handle: Handle) -> Entry:
        """Return the live entry of a handle.

        Raises:
            ResourceError: not-allocated for a vacant slot, stale-handle for another tenant's slot or an index never issued (OWN-015,
            OWN-020).
        """
        try:
            entry = self._slots[handle & U32_MAX]
            if entry.handle == handle:  # type: ignore[union-attr]  # a vacant slot is an int: AttributeError below
                return entry  # type: ignore[return-value]  # as above
        except (IndexError, AttributeError):
            pass
        raise self._dead(handle)

    def remove(self, entry: Entry) -> None:
        """Vacate the slot of a live entry; every copy of its handle is dead from here on."""
        index = entry.handle & U32_MAX
        self._slots[index] = entry.handle >> 32
        self._free.append(index)
        self.live -= 1

    def entries(self) -> list[Entry]:
        """Return the live entries in slot order."""
        return [slot for slot in self._slots if isinstance(slot, Entry)]

    def _dead(self, handle: Handle) -> ResourceError:
        index = handle & U32_MAX
        name = show_handle(handle)
        if index < len(self._slots) and isinstance(self._slots[index], int):
            return ResourceError("not-allocated", f"{name} names a buffer that has been released", handle=handle)
        return ResourceError("stale-handle", f"{name} does not name a live buffer", handle=handle)

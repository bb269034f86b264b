"""A component instance's handle table, with the canonical ABI's traps (OWN-021, OWN-023, BUF-021).

Index 0 is never used; freed indices are used again, last first, as the canonical ABI has it. The host knows resources by rep.
"""

from __future__ import annotations

from collections.abc import Callable

from torvyn_ref.engine.direct.errors import AbiTrap
from torvyn_ref.engine.direct.types import Resource

Destructor = Callable[[int], object]


class Entry:
    """One handle: what it names, and for own handles how many borrows of it are lent out in running calls."""

    __slots__ = ("lent", "owned", "rep", "resource")

    def __init__(self, resource: Resource, rep: int, *, owned: bool) -> None:
        self.resource = resource
        self.rep = rep
        self.owned = owned
        self.lent = 0


class HandleTable:
    """Handles of one instance.

    Attributes:
        borrows: borrow handles of the running call that the guest has not dropped yet; they must be 0 when it returns.
    """

    __slots__ = ("_destructors", "_entries", "_free", "borrows")

    def __init__(self, destructors: dict[Resource, Destructor]) -> None:
        self._entries: list[Entry | None] = [None]
        self._free: list[int] = []
        self._destructors = destructors
        self.borrows = 0

    def get(self, index: int, resource: Resource) -> Entry:
        """Return a live handle of the right type.

        Raises:
            AbiTrap: unknown handle, wrong type.
        """
        entry = self._entries[index] if 0 < index < len(self._entries) else None
        if entry is None:
            raise AbiTrap(f"unknown handle index {index}")
        if entry.resource is not resource:
            raise AbiTrap(f"handle index {index} used with the wrong type, expected {resource.name} but found {entry.resource.name}")
        return entry

    def rep(self, index: int, resource: Resource) -> int:
        """Lift a borrow, or resource.rep: return the rep; the guest keeps its handle."""
        return self.get(index, resource).rep

    def lend(self, index: int, resource: Resource) -> tuple[int, Entry]:
        """Lift a borrow for a call that may also take ownership of the same handle; end it with `end_lend`."""
        entry = self.get(index, resource)
        entry.lent += 1
        return entry.rep, entry

    @staticmethod
    def end_lend(entry: Entry) -> None:
        """End one lend."""
        entry.lent -= 1

    def take(self, index: int, resource: Resource) -> int:
        """Lift an own handle: it leaves the table.

        Raises:
            AbiTrap: unknown, of another type, a borrow, or lent.
        """
        entry = self.get(index, resource)
        if not entry.owned:
            raise AbiTrap("cannot lift own resource from a borrow")
        if entry.lent:
            raise AbiTrap("cannot remove owned resource while borrowed")
        self._vacate(index)
        return entry.rep

    def give(self, rep: int, resource: Resource) -> int:
        """Lower an own handle, or resource.new: return its index."""
        return self._insert(Entry(resource, rep, owned=True))

    def give_borrow(self, rep: int, resource: Resource) -> int:
        """Lower a borrow for the running call: return its index."""
        self.borrows += 1
        return self._insert(Entry(resource, rep, owned=False))

    def drop(self, index: int, resource: Resource) -> None:
        """resource.drop: a borrow ends, an owned resource is destroyed.

        Raises:
            AbiTrap: unknown, of another type, or lent.
        """
        entry = self.get(index, resource)
        if entry.lent:
            raise AbiTrap("cannot remove owned resource while borrowed")
        self._vacate(index)
        if not entry.owned:
            self.borrows -= 1
        elif (destroy := self._destructors.get(resource)) is not None:
            destroy(entry.rep)

    def __len__(self) -> int:
        return len(self._entries) - 1 - len(self._free)

    def _insert(self, entry: Entry) -> int:
        if self._free:
            index = self._free.pop()
            self._entries[index] = entry
        else:
            index = len(self._entries)
            self._entries.append(entry)
        return index

    def _vacate(self, index: int) -> None:
        self._entries[index] = None
        self._free.append(index)

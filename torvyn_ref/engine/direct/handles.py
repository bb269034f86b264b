"""A component instance's handle table, with the canonical ABI's traps (OWN-021, OWN-023, BUF-021).

Index 0 is never used; freed indices are used again, last first, as the canonical ABI has it. The host knows resources by rep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torvyn_ref.engine.direct.errors import AbiTrap
from torvyn_ref.engine.direct.glue import TAGGED
from torvyn_ref.engine.direct.types import Resource

Destructor = Callable[[int], object]


class HandleTable:
    """Handles of one instance.

    Attributes:
        borrows: borrow handles of the running call that the guest has not dropped yet; they must be 0 when it returns.
        entries: the handles, by index.
        tags: what glue knows of the first handles (see `glue`).
    """

    __slots__ = ("_destructors", "_free", "_lent", "borrows", "entries", "tags")

    def __init__(self, destructors: dict[Resource, Destructor], tags: memoryview | None = None) -> None:
        self.tags = memoryview(bytearray(TAGGED)) if tags is None else tags
        self.entries: list[tuple[Resource, int, bool] | None] = [None]  # resource, rep, owned
        self._free: list[int] = []
        self._lent: set[int] = set()  # of the running call to the host: there is one at a time, for nothing comes back in
        self._destructors = destructors
        self.borrows = 0

    def rep(self, index: int, resource: Resource) -> int:
        """Lift a borrow, or resource.rep: return the rep; the guest keeps its handle.

        Raises:
            AbiTrap: unknown handle, wrong type.
        """
        entry = self.entries[index] if index < len(self.entries) else None
        if entry is None or entry[0] is not resource:
            raise _refusal(entry, index, resource)
        return entry[1]

    def lend(self, index: int, resource: Resource) -> int:
        """Lift a borrow for a call that also takes ownership of handles, and must not of this one; it counts until `end_lends`.

        Raises:
            AbiTrap: as `rep`.
        """
        rep = self.rep(index, resource)
        self._lent.add(index)
        return rep

    def end_lends(self) -> None:
        """End the lends of the running call to the host."""
        self._lent.clear()

    def take(self, index: int, resource: Resource) -> int:
        """Lift an own handle: it leaves the table.

        Raises:
            AbiTrap: unknown, of another type, a borrow, or lent.
        """
        entry = self.entries[index] if index < len(self.entries) else None
        if entry is None or entry[0] is not resource:
            raise _refusal(entry, index, resource)
        if not entry[2]:
            raise AbiTrap("cannot lift own resource from a borrow")
        if index in self._lent:
            raise AbiTrap("cannot remove owned resource while borrowed")
        self.entries[index] = None
        if index < TAGGED:
            self.tags[index] = 0
        self._free.append(index)
        return entry[1]

    def give(self, rep: int, resource: Resource) -> int:
        """Lower an own handle, or resource.new: return its index."""
        if self._free:
            index = self._free.pop()
            self.entries[index] = (resource, rep, True)
        else:
            index = len(self.entries)
            self.entries.append((resource, rep, True))
        if index < TAGGED:
            self.tags[index] = resource.owned_tag
        return index

    def give_borrow(self, rep: int, resource: Resource) -> int:
        """Lower a borrow for the running call: return its index."""
        self.borrows += 1
        if self._free:
            index = self._free.pop()
            self.entries[index] = (resource, rep, False)
        else:
            index = len(self.entries)
            self.entries.append((resource, rep, False))
        if index < TAGGED:
            self.tags[index] = resource.lent_tag
        return index

    def drop(self, index: int, resource: Resource) -> None:
        """resource.drop: a borrow ends, an owned resource is destroyed.

        Raises:
            AbiTrap: unknown, or of another type.
        """
        entry = self.entries[index] if index < len(self.entries) else None
        if entry is None or entry[0] is not resource:
            raise _refusal(entry, index, resource)
        if index < TAGGED:
            self.tags[index] = 0
        self.dropped((index,))

    def dropped(self, indices: Iterable[int]) -> None:
        """Carry out the drops of handles that are there, and have no tags any more."""
        entries, free = self.entries, self._free
        for index in indices:
            entry = entries[index]
            assert entry is not None
            entries[index] = None
            free.append(index)
            if not entry[2]:
                self.borrows -= 1
                continue
            destroy = self._destructors.get(entry[0])
            if destroy is not None:
                destroy(entry[1])

    def __len__(self) -> int:
        return len(self.entries) - 1 - len(self._free)


def _refusal(entry: tuple[Resource, int, bool] | None, index: int, resource: Resource) -> AbiTrap:
    if entry is None:
        return AbiTrap(f"unknown handle index {index}")
    return AbiTrap(f"handle index {index} used with the wrong type, expected {resource.name} but found {entry[0].name}")

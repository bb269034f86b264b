"""What the generated code of one instance works on: scratch memory, handle table, and the state of the running call."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import wasmtime

from torvyn_ref.engine.direct.errors import AbiTrap
from torvyn_ref.engine.direct.glue import MOST_REALLOCS, REALLOCS
from torvyn_ref.engine.direct.handles import Entry, HandleTable
from torvyn_ref.engine.direct.memory import GuestMemory
from torvyn_ref.engine.direct.types import Resource

_WANTED = struct.Struct("<II")
_POINTER = struct.Struct("<I")
_COUNT = struct.Struct("<I")

Place = Callable[[int, int], int]


class Runtime:
    """One instance's side of the canonical ABI.

    Attributes:
        scratch: the scratch memory's bytes (see `glue`).
        sealed: the guest may not call out: its realloc or post-return runs.
        result: an export's result, between its lifting and the end of its post-return.
    """

    def __init__(self, store: wasmtime.Store, scratch: memoryview, handles: HandleTable) -> None:
        self.store = store
        self.scratch = scratch
        self.handles = handles
        self.sealed = False
        self.result: Any = None
        self._pending: tuple[Any, list[tuple[int, int]], list[int]] | None = None
        self._one: tuple[int, Any, int, int] = (0, None, 1, 0)
        self._lends: list[Entry] = []

    def lend(self, index: int, resource: Resource) -> int:
        """Lift a borrow that counts until `end_lends`: the call may take ownership of other handles, and must not of this one."""
        rep, entry = self.handles.lend(index, resource)
        self._lends.append(entry)
        return rep

    def end_lends(self) -> None:
        """End the lends of the running call."""
        for entry in self._lends:
            self.handles.end_lend(entry)
        self._lends.clear()

    def enter(self) -> None:
        """Begin a call: no borrow handle is left from an earlier one."""
        self.handles.borrows = 0

    def leave(self) -> None:
        """End a call that went well."""
        self.sealed = False

    def after(self, value: Any) -> Any:
        """Pass a host function's answer on, its lends ended."""
        self.end_lends()
        return value

    def want_one(self, base: int, alignment: int, size: int, pointer: int, value: Any) -> None:
        """Ask the glue for one piece of guest memory; `pointer` and `value` wait for it."""
        self._one = (pointer, value, alignment, size)
        self.sealed = True
        _WANTED.pack_into(self.scratch, REALLOCS, alignment, size)
        _COUNT.pack_into(self.scratch, base + 4, 1)

    def got_one(self, base: int, memory: GuestMemory) -> tuple[int, Any, int]:
        """Take the pointer that came back; return what waited, and where its piece is.

        Raises:
            AbiTrap: as `got`.
        """
        pointer, value, alignment, size = self._one
        (pages,) = _POINTER.unpack_from(self.scratch, base)
        if pages != memory.pages:
            memory.refresh()
        (place,) = _POINTER.unpack_from(self.scratch, REALLOCS + 8)
        _check_place(place, alignment, size, memory)
        self.sealed = False
        _COUNT.pack_into(self.scratch, base + 4, 0)
        return pointer, value, place

    def want(self, base: int, wanted: list[tuple[int, int]], values: Any) -> None:
        """Ask the glue for guest memory: (alignment, size) each; `values` wait until all of it is there."""
        self._pending = (values, wanted, [])
        self.sealed = True
        self._ask(base, wanted[:MOST_REALLOCS])

    def got(self, base: int, memory: GuestMemory) -> tuple[Any, Place] | None:
        """Take the pointers that came back; return the waiting values and a source of their places, or None while more are wanted.

        Raises:
            AbiTrap: a pointer that is not aligned, or leads out of bounds.
        """
        assert self._pending is not None
        values, wanted, pointers = self._pending
        pages, count = _WANTED.unpack_from(self.scratch, base)
        if pages != memory.pages:
            memory.refresh()
        for number in range(count):
            alignment, size = wanted[len(pointers)]
            (pointer,) = _POINTER.unpack_from(self.scratch, REALLOCS + 8 + 12 * number)
            _check_place(pointer, alignment, size, memory)
            pointers.append(pointer)
        if len(pointers) < len(wanted):
            self._ask(base, wanted[len(pointers) : len(pointers) + MOST_REALLOCS])
            return None
        self._pending = None
        self.sealed = False
        _COUNT.pack_into(self.scratch, base + 4, 0)
        places = iter(pointers)
        return values, lambda _alignment, _size: next(places)

    def _ask(self, base: int, wanted: list[tuple[int, int]]) -> None:
        for number, (alignment, size) in enumerate(wanted):
            _WANTED.pack_into(self.scratch, REALLOCS + 12 * number, alignment, size)
        _COUNT.pack_into(self.scratch, base + 4, len(wanted))


def _check_place(pointer: int, alignment: int, size: int, memory: GuestMemory) -> None:
    if pointer % alignment:
        raise AbiTrap("realloc return: result not aligned")
    if pointer + size > memory.size:
        raise AbiTrap("realloc return: beyond end of memory")

"""What the generated code of one instance works on: scratch memory, handle table, and values that wait for guest memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import wasmtime

from torvyn_ref.engine.direct.errors import AbiTrap
from torvyn_ref.engine.direct.glue import COUNT, DROPPED, DROPS, MOST_REALLOCS, PARAMETERS, REALLOCS, RESULT
from torvyn_ref.engine.direct.handles import HandleTable
from torvyn_ref.engine.direct.memory import GuestMemory, Region
from torvyn_ref.engine.direct.types import Resource

_TWO: Final = struct.Struct("<II")
_ONE: Final = struct.Struct("<I")
_DROPPED, _DROPS = DROPPED // 4, DROPS // 4

Place = Callable[[int, int], int]
Handler = Callable[[], object]


class Runtime:
    """One instance's side of the canonical ABI.

    Attributes:
        scratch: the scratch memory's bytes (see `glue`).
        words: the same, as u32.
        fetched: the same, as a result that glue has fetched is read from it.
    """

    def __init__(self, store: wasmtime.Store, scratch: memoryview, handles: HandleTable) -> None:
        self.store = store
        self.scratch = scratch
        self.words = scratch.cast("I")
        self.fetched = Region(scratch)
        self.handles = handles
        self._pending: tuple[Any, list[tuple[int, int]], list[int]] | None = None

    def catch_up(self) -> None:
        """Carry out the drops that glue has logged, in order.

        Raises:
            BaseException: what a destructor raised; the call is over then, and so are the drops after this one.
        """
        words = self.words
        count = words[_DROPPED]
        if count:
            words[_DROPPED] = 0
            self.handles.dropped(words[_DROPS : _DROPS + count])

    def release(self) -> None:
        """Forget what points into the store."""
        self.scratch = self.words = self.fetched.view = self.handles.tags = memoryview(b"")

    def want(self, base: int, wanted: list[tuple[int, int]], values: Any) -> None:
        """Ask the glue for guest memory: (alignment, size) each; `values` wait until all of it is there."""
        self._pending = (values, wanted, [])
        self._ask(base, wanted[:MOST_REALLOCS])

    def got(self, base: int, memory: GuestMemory) -> tuple[Any, Place] | None:
        """Take the pointers that came back; return the waiting values and a source of their places, or None while more are wanted.

        Raises:
            AbiTrap: a pointer that is not aligned, or leads out of bounds.
        """
        assert self._pending is not None
        values, wanted, pointers = self._pending
        pages, count = _TWO.unpack_from(self.scratch, base)
        if pages != memory.pages:
            memory.refresh()
        for number in range(count):
            alignment, size = wanted[len(pointers)]
            (pointer,) = _ONE.unpack_from(self.scratch, REALLOCS + 8 + 12 * number)
            if pointer % alignment:
                raise AbiTrap("realloc return: result not aligned")
            if pointer + size > memory.size:
                raise AbiTrap("realloc return: beyond end of memory")
            pointers.append(pointer)
        if len(pointers) < len(wanted):
            self._ask(base, wanted[len(pointers) : len(pointers) + MOST_REALLOCS])
            return None
        self._pending = None
        _ONE.pack_into(self.scratch, base + COUNT, 0)
        places = iter(pointers)
        return values, lambda _alignment, _size: next(places)

    def builtin(self, operation: str, resource: Resource, base: int) -> Handler:
        """Return the handler of resource.new, resource.rep or resource.drop."""
        scratch, handles = self.scratch, self.handles
        parameter, result = base + PARAMETERS, base + RESULT
        if operation == "drop":

            def drop() -> None:
                handles.drop(_ONE.unpack_from(scratch, parameter)[0], resource)

            return drop
        answer = handles.give if operation == "new" else handles.rep

        def convert() -> None:
            _ONE.pack_into(scratch, result, answer(_ONE.unpack_from(scratch, parameter)[0], resource))

        return convert

    def _ask(self, base: int, wanted: list[tuple[int, int]]) -> None:
        for number, (alignment, size) in enumerate(wanted):
            _TWO.pack_into(self.scratch, REALLOCS + 12 * number, alignment, size)
        _ONE.pack_into(self.scratch, base + COUNT, len(wanted))

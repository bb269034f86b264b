"""A guest's linear memory as the host sees it: a view, renewed when the memory has grown, and checked reads and writes.

A view points at memory that wasmtime owns: it must not outlive the store, so an instance forgets its memories before it closes (`release`).
"""

from __future__ import annotations

from typing import Final

import wasmtime

from torvyn_ref.engine.direct.errors import AbiTrap

PAGE: Final = 65536


class Region:
    """Bytes that values are lifted from.

    Attributes:
        view: the bytes.
        size: their number.
    """

    __slots__ = ("size", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.size = len(view)

    def bytes_at(self, pointer: int, length: int) -> memoryview:
        """Return guest bytes, without a copy: valid until the guest runs again.

        Raises:
            AbiTrap: out of bounds.
        """
        end = pointer + length
        if end > self.size:
            raise AbiTrap("list pointer/length out of bounds of memory")
        return self.view[pointer:end]

    def text_at(self, pointer: int, length: int) -> str:
        """Return a guest string.

        Raises:
            AbiTrap: out of bounds, or not UTF-8.
        """
        end = pointer + length
        if end > self.size:
            raise AbiTrap("string pointer/length out of bounds of memory")
        try:
            return str(self.view[pointer:end], "utf-8")
        except UnicodeDecodeError:
            raise AbiTrap("invalid utf-8 sequence") from None

    def check(self, pointer: int, size: int, alignment: int, what: str) -> None:
        """Check that a guest pointer leads to a value.

        Raises:
            AbiTrap: not aligned, or out of bounds.
        """
        if pointer % alignment:
            raise AbiTrap(f"{what} pointer not aligned")
        if pointer + size > self.size:
            raise AbiTrap(f"{what} pointer out of bounds of memory")


class GuestMemory(Region):
    """One guest memory.

    Attributes:
        pages: the number of pages that `view` was made for. A memory's address can change only when it grows, and glue code reports the
            pages at every crossing.
    """

    __slots__ = ("_memory", "_store", "pages")

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._store = store
        self._memory = memory
        self.refresh()

    def refresh(self) -> None:
        """Make the view anew."""
        self.size = self._memory.data_len(self._store)
        self.pages = self.size // PAGE
        self.view = memoryview(self._memory.get_buffer_ptr(self._store)).cast("B") if self.size else memoryview(b"")

    @property
    def length(self) -> int:
        """Return the memory's size in bytes as it is now, which `size` learns at the next crossing."""
        return self._memory.data_len(self._store)

    def release(self) -> None:
        """Forget the view; the memory must not be used any more."""
        self.view = memoryview(b"")
        self.size = self.pages = 0

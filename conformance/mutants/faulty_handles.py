"""Mutants of the handle table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.ids import U32_MAX, Handle
from torvyn_ref.resources import ResourceError, ResourceManager
from torvyn_ref.resources.handles import Entry, HandleTable


def table(name: str, *rules: str) -> Callable[[type[HandleTable]], type[HandleTable]]:
    """Register a manager with a faulty handle table."""

    def add(cls: type[HandleTable]) -> type[HandleTable]:
        class WithTable(ResourceManager):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self._table = cls(self._table.capacity)

        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(manager=WithTable))
        return cls

    return add


@table("generations-ignored", "OWN-014", "OWN-015")
class GenerationsIgnored(HandleTable):
    """A handle is its index: whoever lives there now answers."""

    __slots__ = ()

    def _missing(self, handle: Handle) -> Entry:
        """Find the present tenant."""
        for tenant in self.entries():
            if tenant.handle & U32_MAX == handle & U32_MAX:
                return tenant
        return super()._missing(handle)


@table("all-dead-alike", "OWN-015")
class AllDeadAlike(HandleTable):
    """A dead handle is not-allocated, even when its slot has a new tenant."""

    __slots__ = ()

    def _missing(self, handle: Handle) -> Entry:
        """Give one kind for all."""
        raise ResourceError("not-allocated", "no such buffer", handle=handle)


@table("generations-stand-still", "OWN-017")
class GenerationsStandStill(HandleTable):
    """A slot's generation is always 1: handles come back from the dead."""

    __slots__ = ()

    def remove(self, entry: Entry) -> None:
        """Wind the counter back."""
        super().remove(entry)
        self._generations[entry.handle & U32_MAX] -= 1


@table("generations-skip", "OWN-017")
class GenerationsSkip(HandleTable):
    """A slot's generation goes up by two."""

    __slots__ = ()

    def remove(self, entry: Entry) -> None:
        """Count twice."""
        super().remove(entry)
        self._generations[entry.handle & U32_MAX] += 1

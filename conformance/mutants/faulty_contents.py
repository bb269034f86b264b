"""Mutants of what is reclaimed, frozen, read by the host, or lent for the length of a call."""

from __future__ import annotations

from typing import Any

from conformance.mutants.faulty_handles import table
from conformance.mutants.faulty_resources import manager
from conformance.mutants.guests import Around, guest_of
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Call, Element, Failure, Signal
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.flow import FlowDriver
from torvyn_ref.flow.stage import Stage
from torvyn_ref.ids import HOST, U32_MAX, Handle, Owner
from torvyn_ref.resources import ResourceError, ResourceManager
from torvyn_ref.resources.handles import Entry, HandleTable
from torvyn_ref.resources.manager import Reclaimed


@manager("reclaimed-but-readable", "OWN-033")
class ReclaimedButReadable(ResourceManager):
    """Who borrowed a buffer that was reclaimed goes on reading it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lost: dict[tuple[Handle, Owner], bytes] = {}

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Leave the borrowers what they had."""
        for entry in self._table.entries():
            if entry.owner == component:
                self.lost |= {(entry.handle, loan.borrower): bytes(entry.view[: entry.size]) for loan in entry.loans}
        return super().force_reclaim(component)

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Read what is gone."""
        kept = self.lost.get((handle, reader))
        return super().read(handle, reader, offset, length) if kept is None else kept


@manager("late-ends-hit-the-tenant", "OWN-033")
class LateEndsHitTheTenant(ResourceManager):
    """The end of a borrow is looked up by slot: a late one is done to whoever lives there now, or to nobody."""

    def end_borrow(self, handle: Handle, borrower: Owner) -> None:
        """Do not look at the generation."""
        try:
            super().end_borrow(handle, borrower)
        except ResourceError as error:
            if error.kind not in {"stale-handle", "not-allocated"}:
                raise


@table("first-freed-first", "OWN-018")
class FirstFreedFirst(HandleTable):
    """The slot that has been free for longest is taken first."""

    __slots__ = ()

    def remove(self, entry: Entry) -> None:
        """Queue at the other end."""
        super().remove(entry)
        self._free.insert(0, self._free.pop())


@table("indices-from-one", "OWN-018")
class IndicesFromOne(HandleTable):
    """Index 0 is never given out."""

    __slots__ = ()

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity + 1)
        self._generations.append(0)
        self._slots.append(None)

    def __len__(self) -> int:
        return super().__len__() - 1


@manager("strict-now-and-then", "BUF-005")
class StrictNowAndThen(ResourceManager):
    """A read that ends beyond the size is clamped; one that begins there is refused."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Mix the readings."""
        size = self.size(handle)
        if offset > size:
            raise ResourceError("out-of-bounds", f"offset {offset} is beyond {size}", handle=handle, offset=offset, size=size)
        return super().read(handle, reader, offset, length)


@manager("reads-modulo-2-32", "BUF-005")
class ReadsModulo(ResourceManager):
    """Offsets of reads are cut to 32 bits."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Cut."""
        return super().read(handle, reader, offset & U32_MAX, length)


@manager("transfers-thaw", "BUF-023", "BUF-026")
class TransfersThaw(ResourceManager):
    """A transfer makes a frozen buffer mutable again."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Forget that it is frozen."""
        super().transfer(handle, source, target)
        self._table[handle].frozen = False


@manager("the-host-writes-what-is-frozen", "BUF-023")
class HostWritesFrozen(ResourceManager):
    """The host writes where it likes, if it is the owner."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Thaw for the host."""
        entry = self._table[handle]
        frozen, entry.frozen = entry.frozen, entry.frozen and caller != HOST
        try:
            return super().write(handle, caller, offset, data)
        finally:
            entry.frozen = frozen


@manager("types-thaw", "BUF-026")
class TypesThaw(ResourceManager):
    """Bytes are frozen and the content type is not."""

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Thaw for the type."""
        entry = self._table[handle]
        frozen, entry.frozen = entry.frozen, False
        try:
            super().set_content_type(handle, caller, content_type)
        finally:
            entry.frozen = frozen


@manager("types-are-anyones", "BUF-026", "OWN-003")
class TypesAreAnyones(ResourceManager):
    """Whoever has the handle sets the content type."""

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:  # noqa: ARG002 -- ignoring it is the fault
        """Take everybody for the owner."""
        super().set_content_type(handle, self._table[handle].owner, content_type)


# ---------------------------------------------------------------- loans


class PutOff(ResourceManager):
    """A manager that puts off the release of what is lent until the flow ends."""

    def release(self, handle: Handle, caller: Owner) -> None:
        """Put it off."""
        try:
            super().release(handle, caller)
        except ResourceError as error:
            if error.kind != "borrows-outstanding":
                raise


class Lending(Around):
    """An instance whose failed calls leave the loan of their input open."""

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Call, and forget the loan when it fails."""
        answer = super().call(call, argument)
        if isinstance(answer, Failure) and isinstance(argument, Element):
            guest = guest_of(self.inner)
            manager: Any = guest.resources
            manager.borrow(argument.handle, guest.owner)
        return answer


def _lending(instance: Instance) -> Instance:
    return Lending(instance)


register(
    "failed-calls-keep-their-loan",
    "OWN-022",
    summary="The loan of an input is not ended when the call fails, and its release is put off.",
    build=lambda: ReferenceParts(manager=PutOff, instance=_lending),
)


class LoansOutliveErrors(FlowDriver):
    """After a failed call the input stays lent."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        if element is not None:
            self._resources.borrow(element.handle, stage.owner)
        super()._failed(stage, call, element, failure)


register(
    "errors-keep-the-input",
    "OWN-022",
    summary="After a failed call of a flow the input stays lent, and alive until the flow ends.",
    build=lambda: ReferenceParts(driver=LoansOutliveErrors, manager=PutOff),
)

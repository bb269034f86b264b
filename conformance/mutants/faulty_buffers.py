"""Mutants of the resource manager, as a guest sees it: faulty reads, writes, freezes, clones and allocations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.engine.imports import GuestFault
from torvyn_ref.ids import FlowId, Handle, Owner
from torvyn_ref.resources import MAX_BUFFER_BYTES, ResourceError, ResourceManager

U32 = 2**32
TINY = 20
"""Bytes: no program is as short, so a fault in shorter buffers leaves the probe able to read its own."""

Data = bytes | memoryview


def manager(name: str, *rules: str) -> Callable[[type[ResourceManager]], type[ResourceManager]]:
    """Register a faulty resource manager; its docstring is the summary."""

    def add(cls: type[ResourceManager]) -> type[ResourceManager]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(manager=cls))
        return cls

    return add


# ---------------------------------------------------------------- reading


@manager("read-decays", "BUF-001")
class ReadDecays(ResourceManager):
    """From the third read of a buffer on, its first byte is another."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reads: dict[Handle, int] = {}

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Read, and wear off."""
        data = super().read(handle, reader, offset, length)
        self._reads[handle] = self._reads.get(handle, 0) + 1
        return data if self._reads[handle] < 3 else bytes([data[0] ^ 1]) + data[1:] if data else data


@manager("read-past-the-end-is-empty", "BUF-002", "CON-008")
class ReadPastTheEndIsEmpty(ResourceManager):
    """A read that reaches beyond the end gives nothing, where it should give what is there."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Give nothing for what is not all there."""
        if length is not None and offset + length > self.size(handle):
            return b""
        return super().read(handle, reader, offset, length)


@manager("read-all-forgets-the-last", "BUF-003", "CON-008")
class ReadAllForgetsTheLast(ResourceManager):
    """`read-all` of a tiny buffer leaves its last byte out."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Leave one out."""
        data = super().read(handle, reader, offset, length)
        return data[:-1] if length is None and len(data) < TINY else data


@manager("read-at-least-one", "BUF-004")
class ReadAtLeastOne(ResourceManager):
    """A read of no bytes gives the one at its offset."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Give one."""
        return super().read(handle, reader, offset, 1 if length == 0 else length)


@manager("read-wraps", "BUF-002", "BUF-017", "CON-009")
class ReadWraps(ResourceManager):
    """The offset of a read is cut to 32 bits."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Cut the offset."""
        return super().read(handle, reader, offset % U32, length)


# ---------------------------------------------------------------- writing


@manager("append-what-fits", "BUF-010", "BUF-013")
class AppendWhatFits(ResourceManager):
    """An append that does not fit adds what does, and says that all is well."""

    def append(self, handle: Handle, caller: Owner, data: Data) -> int:
        """Append the part that fits."""
        return super().append(handle, caller, data[: self.capacity(handle) - self.size(handle)])


@manager("write-cuts-the-tail", "BUF-011", "BUF-012", "BUF-019")
class WriteCutsTheTail(ResourceManager):
    """A write in place ends the buffer where it ends itself."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Write, and forget what is behind."""
        super().write(handle, caller, offset, data)
        if data:
            self._table[handle].size = offset + len(data)
        return self.size(handle)


@manager("write-all-or-something", "BUF-013")
class WriteAllOrSomething(ResourceManager):
    """A write that is refused for want of room has written what fitted."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Write what fits before refusing."""
        room = self.capacity(handle) - offset
        if offset <= self.size(handle) and len(data) > room > 0:
            super().write(handle, caller, offset, data[:room])
        return super().write(handle, caller, offset, data)


@manager("gaps-are-filled", "BUF-014")
class GapsAreFilled(ResourceManager):
    """A write beyond the size fills the gap with zeros, which the subject does not declare."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Fill the gap."""
        size = self.size(handle)
        if data and size < offset and offset + len(data) <= self.capacity(handle):
            super().write(handle, caller, size, bytes(offset - size))
        return super().write(handle, caller, offset, data)


@manager("hopeless-writes-succeed", "BUF-015", "CON-009")
class HopelessWritesSucceed(ResourceManager):
    """A write beyond size and capacity does nothing, and says that all is well."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Shrug."""
        if offset > self.size(handle) and offset + len(data) > self.capacity(handle):
            return self.size(handle)
        return super().write(handle, caller, offset, data)


@manager("empty-writes-extend", "BUF-016")
class EmptyWritesExtend(ResourceManager):
    """Writing nothing within the capacity moves the end to the offset, as upstream 0.1.1 does."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Extend by nothing."""
        entry = self._table[handle]
        if not data and entry.size < offset <= entry.capacity:
            entry.size = offset
        return super().write(handle, caller, offset, data)


@manager("write-wraps", "BUF-017", "CON-009")
class WriteWraps(ResourceManager):
    """The offset of a write is cut to 32 bits."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Cut the offset."""
        return super().write(handle, caller, offset % U32, data)


@manager("capacity-is-what-is-left", "BUF-018")
class CapacityIsWhatIsLeft(ResourceManager):
    """The capacity that a guest is told shrinks with every byte written."""

    def capacity(self, handle: Handle) -> int:
        """Return the room."""
        return super().capacity(handle) - self.size(handle)


@manager("overwriting-counts-as-growth", "BUF-011", "BUF-019")
class OverwritingCountsAsGrowth(ResourceManager):
    """A write in place adds its length to the size, where there is room."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Grow whatever happens."""
        before = self.size(handle)
        super().write(handle, caller, offset, data)
        entry = self._table[handle]
        if offset + len(data) <= before:
            entry.size = min(before + len(data), entry.capacity)
        return entry.size


# ---------------------------------------------------------------- freezing


@manager("freeze-pads", "BUF-020")
class FreezePads(ResourceManager):
    """A tiny buffer that is frozen has the size of its capacity."""

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Freeze all of it."""
        entry = self._table[handle]
        if entry.size < TINY:
            entry.size = entry.capacity
        super().freeze(handle, caller)


@manager("freeze-copies", "BUF-020")
class FreezeCopies(ResourceManager):
    """Freezing counts as a copy of the payload."""

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Freeze, and count."""
        super().freeze(handle, caller)
        copies = self._table[handle].book[caller]
        copies.write_ops += 1
        copies.write_bytes += self.size(handle)


@manager("freeze-forgets-the-type", "BUF-020")
class FreezeForgetsTheType(ResourceManager):
    """A frozen buffer has no content type."""

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Freeze, and forget."""
        self.set_content_type(handle, caller, "")
        super().freeze(handle, caller)


@manager("nothing-cannot-be-frozen", "BUF-022")
class NothingCannotBeFrozen(ResourceManager):
    """Freezing an empty buffer traps."""

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Insist on content."""
        if not self.size(handle):
            raise GuestFault("the buffer is empty")
        super().freeze(handle, caller)


# ---------------------------------------------------------------- content types


@manager("the-first-type-stays", "BUF-024")
class TheFirstTypeStays(ResourceManager):
    """A content type, once set, cannot be set again."""

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Set it once."""
        if not self.content_type(handle):
            super().set_content_type(handle, caller, content_type)


@manager("types-are-cut-in-characters", "BUF-025")
class TypesAreCutInCharacters(ResourceManager):
    """A long content type is cut in the middle of a character, which is then replaced."""

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Cut it anywhere."""
        super().set_content_type(handle, caller, content_type)
        self._table[handle].content_type = content_type.encode()[:63].decode(errors="replace")


# ---------------------------------------------------------------- clones


class Clones(ResourceManager):
    """A manager that remembers what was cloned from what."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sources: dict[Handle, Handle] = {}

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Clone, and remember."""
        copy = super().clone(handle, caller, flow, now_ns=now_ns)
        self.sources[copy] = handle
        return copy


@manager("clones-write-through", "BUF-030", "CON-012")
class ClonesWriteThrough(Clones):
    """A write to a clone also changes its source, while that lives."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Write to both."""
        size = super().write(handle, caller, offset, data)
        source = self.sources.get(handle)
        if source is not None and source in {seen.handle for seen in self.live()}:
            entry = self._table[source]
            end = min(offset + len(data), entry.size)
            if offset < end:
                entry.view[offset:end] = data[: end - offset]
        return size


@manager("clones-are-not-counted", "BUF-031")
class ClonesAreNotCounted(Clones):
    """A clone leaves no trace in the copy ledger."""

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Clone, and cover it up."""
        cross = self._ledger[flow][caller].cross
        before = dict(cross)
        copy = super().clone(handle, caller, flow, now_ns=now_ns)
        cross.clear()
        cross.update(before)
        return copy


@manager("clones-are-free", "BUF-031")
class ClonesAreFree(Clones):
    """A clone is not charged to the budget of its owner."""

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Clone, and pay back."""
        copy = super().clone(handle, caller, flow, now_ns=now_ns)
        self._budgets.credit(caller, self.capacity(copy))
        return copy

    def release(self, handle: Handle, caller: Owner) -> None:
        """Release, without paying back twice."""
        if handle in self.sources:
            self._budgets.charge(caller, self.capacity(handle))
        super().release(handle, caller)


@manager("clones-are-full", "BUF-032")
class ClonesAreFull(Clones):
    """A clone cannot grow, whatever its capacity."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: Data) -> int:
        """Refuse to grow a clone."""
        if handle in self.sources and offset + len(data) > self.size(handle):
            raise ResourceError("capacity-exceeded", "a clone is full")
        return super().write(handle, caller, offset, data)

    def append(self, handle: Handle, caller: Owner, data: Data) -> int:
        """Refuse this, too."""
        if handle in self.sources and data:
            raise ResourceError("capacity-exceeded", "a clone is full")
        return super().append(handle, caller, data)


# ---------------------------------------------------------------- allocation


@manager("refusals-without-a-word", "BUF-033")
class RefusalsWithoutAWord(ResourceManager):
    """A spent budget is refused without a reason."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Refuse silently."""
        try:
            return super().allocate(owner, request, flow, now_ns=now_ns)
        except ResourceError as error:
            raise ResourceError(error.kind, "") from None


@manager("half-is-enough", "CON-012", "BUF-018", "POOL-001")
class HalfIsEnough(ResourceManager):
    """A guest gets half of what it asks for, when it asks for more than a page."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Halve it."""
        return super().allocate(owner, request // 2 if request > 4096 else request, flow, now_ns=now_ns)


def _refusing(name: str, rule: str, unwanted: Callable[[int], bool], summary: str) -> None:
    class Refusing(ResourceManager):
        def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
            if unwanted(request):
                raise ResourceError("allocation-failed", f"{request} bytes are not to be had")
            return super().allocate(owner, request, flow, now_ns=now_ns)

    register(name, rule, summary=summary, build=lambda: ReferenceParts(manager=Refusing))


_refusing("nothing-above-the-tiers", "POOL-003", lambda n: n > 1_048_576, "A request above the largest tier is refused.")
_refusing("the-largest-is-too-large", "POOL-004", lambda n: n == MAX_BUFFER_BYTES, "A request for exactly 16 MiB is refused.")
_refusing("nothing-for-nothing", "POOL-005", lambda n: n == 0, "A request for no bytes is refused.")


@manager("the-next-tier-at-the-edge", "POOL-001")
class TheNextTierAtTheEdge(ResourceManager):
    """A request for exactly a tier's size is served from the next one."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Miss the edge."""
        return super().allocate(owner, request + (request in {256, 4096, 65_536}), flow, now_ns=now_ns)


@manager("fallback-gives-less", "POOL-002")
class FallbackGivesLess(ResourceManager):
    """A buffer that no pool had to give is smaller than its tier's others."""

    def capacity(self, handle: Handle) -> int:
        """Tell fallbacks apart."""
        return super().capacity(handle) - (self._table[handle].block.pool is None)


# ---------------------------------------------------------------- transfers


@manager("given-but-not-free", "OWN-023")
class GivenButNotFree(ResourceManager):
    """A buffer that a guest hands over stays on its bill."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Move it, and charge the giver again."""
        super().transfer(handle, source, target)
        if source > target:
            self._budgets.charge(source, self.capacity(handle))

"""Subtle mutants of the resource manager: right nearly always, and wrong in one corner."""

from __future__ import annotations

from typing import Any

from conformance.mutants.faulty_resources import manager
from torvyn_ref.ids import HOST, FlowId, Handle, Owner
from torvyn_ref.resources import ResourceError, ResourceManager
from torvyn_ref.resources.copies import FlowBook
from torvyn_ref.resources.handles import Entry, HandleTable
from torvyn_ref.resources.manager import FlowRelease, Reclaimed
from torvyn_ref.resources.pools import Block

SIXTEEN_BITS = 0xFFFF


# ---------------------------------------------------------------- only after very many


class ShortGenerations(HandleTable):
    """A table that has 16 bits for a generation."""

    __slots__ = ()

    def admit(self, block: Block, owner: Owner, flow: FlowId, book: FlowBook, now_ns: int) -> Handle:
        """Start over at the 65536th tenant of a slot."""
        if self._free and self._generations[self._free[-1]] == SIXTEEN_BITS:
            self._generations[self._free[-1]] = 0
        return super().admit(block, owner, flow, book, now_ns)


@manager("generations-of-sixteen-bits", "OWN-017")
class GenerationsOfSixteenBits(ResourceManager):
    """The 65536th tenant of a slot gets the handle of the first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table = ShortGenerations(self._table.capacity)


@manager("the-hundredth-buffer-is-free", "BUDGET-001")
class TheHundredthBufferIsFree(ResourceManager):
    """Every hundredth buffer of a component is not charged."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.free: set[Handle] = set()

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Give back what was just charged."""
        handle = super().allocate(owner, request, flow, now_ns=now_ns)
        if owner > HOST and self.created % 100 == 0:
            self.free.add(handle)
            self._budgets.credit(owner, self._table[handle].capacity)
        return handle

    def _free(self, entry: Entry) -> None:
        if entry.handle in self.free:
            self.free.discard(entry.handle)
            self._budgets.account(entry.owner).used += entry.capacity
        super()._free(entry)


@manager("eight-borrows-at-most", "OWN-005")
class EightBorrowsAtMost(ResourceManager):
    """There is room for eight borrows of a buffer; the ninth is refused."""

    def borrow(self, handle: Handle, borrower: Owner, *, now_ns: int = 0) -> None:
        """Refuse the ninth."""
        if self.inspect(handle).borrow_count >= 8:
            raise ResourceError("borrows-outstanding", "no room for another borrow", handle=handle, borrow_count=8)
        super().borrow(handle, borrower, now_ns=now_ns)


# ---------------------------------------------------------------- only for some owner


@manager("ones-own-borrow-does-not-count", "OWN-004")
class OnesOwnBorrowDoesNotCount(ResourceManager):
    """An owner that borrows its own buffer may write it meanwhile."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Look at the borrows of others only."""
        entry = self._table[handle]
        if entry.owner == caller and [loan.borrower for loan in entry.loans] == [caller]:
            count = entry.loans[0].count
            self._end_borrows(entry, caller, count)
            try:
                return super().write(handle, caller, offset, data)
            finally:
                for _ in range(count):
                    self.borrow(handle, caller)
        return super().write(handle, caller, offset, data)


@manager("gifts-to-the-host-stay-charged", "BUDGET-004")
class GiftsToTheHostStayCharged(ResourceManager):
    """A component that gives a buffer to the host stays charged for it."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Charge once more."""
        super().transfer(handle, source, target)
        if target == HOST and source > HOST:
            self._budgets.account(source).used += self._table[handle].capacity


@manager("gifts-of-the-host-are-free", "BUDGET-005")
class GiftsOfTheHostAreFree(ResourceManager):
    """A component is not charged for what the host gives it, and not credited when it lets go."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gifts: set[Handle] = set()

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Remember the gift, and credit what was charged."""
        if handle in self.gifts and source > HOST:
            self._budgets.account(source).used += self._table[handle].capacity
            self.gifts.discard(handle)
        super().transfer(handle, source, target)
        if source == HOST and target > HOST:
            self.gifts.add(handle)
            self._budgets.credit(target, self._table[handle].capacity)

    def _free(self, entry: Entry) -> None:
        if entry.handle in self.gifts:
            self.gifts.discard(entry.handle)
            self._budgets.account(entry.owner).used += entry.capacity
        super()._free(entry)


# ---------------------------------------------------------------- only after something else


@manager("one-refusal-opens-the-gate", "BUDGET-002")
class OneRefusalOpensTheGate(ResourceManager):
    """After a refusal for want of budget, the next request of the same component is not looked at."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.open: set[Owner] = set()

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Raise the limit for one call."""
        account = self._budgets.account(owner) if owner in self.open else None
        limit = 0
        if account is not None:
            self.open.discard(owner)
            limit, account.limit = account.limit, 1 << 62
        try:
            return super().allocate(owner, request, flow, now_ns=now_ns)
        except ResourceError as error:
            if error.kind == "budget-exceeded":
                self.open.add(owner)
            raise
        finally:
            if account is not None:
                account.limit = limit


@manager("reclaim-leaves-the-loans-of-the-dead", "OWN-030")
class ReclaimLeavesTheLoansOfTheDead(ResourceManager):
    """Force-reclaim frees what a component owns, and leaves open what it has borrowed."""

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Open again what it held."""
        loans = [(entry.handle, entry.loan_to(component)) for entry in self._table.entries() if entry.owner != component]
        held = [(handle, loan.count) for handle, loan in loans if loan is not None]
        freed = super().force_reclaim(component)
        for handle, count in held:
            for _ in range(count):
                self.borrow(handle, component)
        return freed


@manager("given-twice-forgets-its-type", "OWN-012")
class GivenTwiceForgetsItsType(ResourceManager):
    """A buffer that changes hands for the second time loses its content type."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.given: set[Handle] = set()

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Count to two."""
        super().transfer(handle, source, target)
        if handle in self.given:
            self._table[handle].content_type = ""
        self.given.add(handle)


@manager("the-dead-speak-after-a-growth", "OWN-014", "OWN-015")
class TheDeadSpeakAfterAGrowth(ResourceManager):
    """When the table has grown, the handles of buffers released before name the present tenants of their slots."""

    def inspect(self, handle: Handle) -> Any:
        """Look it up by index."""
        table = self._table
        if handle not in table and table.capacity > 4:
            index = handle & 0xFFFF_FFFF
            handle = next((live.handle for live in table.entries() if live.handle & 0xFFFF_FFFF == index), handle)
        return super().inspect(handle)


# ---------------------------------------------------------------- only at an edge


@manager("a-full-budget-cannot-pass-on", "OWN-013")
class AFullBudgetCannotPassOn(ResourceManager):
    """A component that uses its budget to the last byte cannot give anything away."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Refuse for want of room."""
        self._table[handle]
        used, limit = self.budget(source)
        if source > HOST and used == limit and self._table[handle].owner == source:
            raise ResourceError("budget-exceeded", "no room", component=source, current=used, requested=0, budget=limit)
        super().transfer(handle, source, target)


@manager("a-type-of-63-bytes-is-cut", "BUF-024")
class ATypeOf63BytesIsCut(ResourceManager):
    """A content type that just fits loses its last byte."""

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Cut one early."""
        super().set_content_type(handle, caller, content_type[:-1] if len(content_type.encode()) == 63 else content_type)


@manager("long-reads-count-a-page", "COPY-002")
class LongReadsCountAPage(ResourceManager):
    """A read of more than 4096 bytes counts 4096."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Correct the book."""
        data = super().read(handle, reader, offset, length)
        if len(data) > 4096:
            self._table[handle].book[reader].read_bytes -= len(data) - 4096
        return data


@manager("frozen-buffers-stay-with-their-flow", "OWN-034")
class FrozenBuffersStayWithTheirFlow(ResourceManager):
    """The end of a flow spares the buffers that are frozen."""

    def release_flow(self, flow: FlowId) -> FlowRelease:
        """Hide them under another flow meanwhile."""
        frozen = [entry for entry in self._table.entries() if entry.flow == flow and entry.frozen]
        for entry in frozen:
            entry.flow = FlowId(-1)
        try:
            return super().release_flow(flow)
        finally:
            for entry in frozen:
                entry.flow = flow


@manager("clones-of-nothing-are-frozen", "BUF-010")
class ClonesOfNothingAreFrozen(ResourceManager):
    """The clone of an empty buffer is frozen."""

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Freeze what is empty."""
        copy = super().clone(handle, caller, flow, now_ns=now_ns)
        entry = self._table[copy]
        entry.frozen = not entry.size
        return copy

"""Mutants of the resource manager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.ids import HOST, TRANSIT, U32_MAX, FlowId, Handle, Owner
from torvyn_ref.resources import ResourceError, ResourceManager, ResourceState
from torvyn_ref.resources.handles import Entry
from torvyn_ref.resources.manager import FlowRelease, Inspection, Reclaimed
from torvyn_ref.resources.states import LEGAL


def manager(name: str, *rules: str) -> Callable[[type[ResourceManager]], type[ResourceManager]]:
    """Register a faulty resource manager; its docstring is the summary."""

    def add(cls: type[ResourceManager]) -> type[ResourceManager]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(manager=cls))
        return cls

    return add


@manager("borrower-shown-as-owner", "OWN-001")
class BorrowerShownAsOwner(ResourceManager):
    """A borrowed buffer says that its borrower owns it."""

    def inspect(self, handle: Handle) -> Inspection:
        """Lie about a borrowed buffer."""
        seen = super().inspect(handle)
        loans = self._table[handle].loans
        return replace(seen, owner=loans[0].borrower) if loans else seen


@manager("typed-from-birth", "OWN-002")
class TypedFromBirth(ResourceManager):
    """A fresh buffer carries a content type."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Leave the type of some earlier tenant."""
        handle = super().allocate(owner, request, flow, now_ns=now_ns)
        self.set_content_type(handle, owner, "application/octet-stream")
        return handle


@manager("anyone-writes", "OWN-003")
class AnyoneWrites(ResourceManager):
    """Whoever has the handle may write and retag."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:  # noqa: ARG002 -- ignoring it is the fault
        """Take everybody for the owner."""
        return super().write(handle, self.inspect(handle).owner, offset, data)


@manager("refused-but-released", "OWN-003")
class RefusedButReleased(ResourceManager):
    """A stranger's release is refused, after the owner has been changed to the host."""

    def release(self, handle: Handle, caller: Owner) -> None:
        """Change something before saying no."""
        try:
            super().release(handle, caller)
        except ResourceError as error:
            if error.kind == "not-owner":
                self._table[handle].content_type = "x/abandoned"
            raise


@manager("writes-while-lent", "OWN-004")
class WritesWhileLent(ResourceManager):
    """The owner writes while others read."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Ignore the borrows."""
        entry = self._table[handle]
        state, entry.state = entry.state, ResourceState.OWNED
        try:
            return super().write(handle, caller, offset, data)
        finally:
            entry.state = state


@manager("one-borrow-too-many", "OWN-004", "OWN-008")
class OneBorrowTooMany(ResourceManager):
    """A refusal because of borrows always says one."""

    def _busy(self, entry: Entry, action: str) -> ResourceError:
        error = super()._busy(entry, action)
        return ResourceError(error.kind, error.message, handle=entry.handle, borrow_count=1)


@manager("one-borrow-only", "OWN-005")
class OneBorrowOnly(ResourceManager):
    """A second borrow is refused."""

    def borrow(self, handle: Handle, borrower: Owner, *, now_ns: int = 0) -> None:
        """Lend once."""
        if self.inspect(handle).borrow_count:
            raise ResourceError("borrows-outstanding", "lent already", handle=handle, borrow_count=1)
        super().borrow(handle, borrower, now_ns=now_ns)


@manager("first-end-ends-all", "OWN-006")
class FirstEndEndsAll(ResourceManager):
    """The first borrow that ends ends them all."""

    def end_borrow(self, handle: Handle, borrower: Owner) -> None:
        """Clear the borrows."""
        super().end_borrow(handle, borrower)
        entry = self._table[handle]
        entry.borrows, entry.loans, entry.state = 0, [], ResourceState.OWNED


@manager("ends-what-is-not-open", "OWN-007")
class EndsWhatIsNotOpen(ResourceManager):
    """Ending a borrow that is not open is taken as done."""

    def end_borrow(self, handle: Handle, borrower: Owner) -> None:
        """Do not mind."""
        try:
            super().end_borrow(handle, borrower)
        except ResourceError as error:
            if error.kind != "not-borrowed":
                raise


@manager("releases-what-is-lent", "OWN-008")
class ReleasesWhatIsLent(ResourceManager):
    """A lent buffer is released under its borrowers' hands."""

    def release(self, handle: Handle, caller: Owner) -> None:
        """Forget the borrows first."""
        entry = self._table[handle]
        if entry.owner == caller:
            entry.borrows, entry.loans, entry.state = 0, [], ResourceState.OWNED
        super().release(handle, caller)


@manager("borrowers-may-not-read", "OWN-009")
class BorrowersMayNotRead(ResourceManager):
    """Only the owner reads."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Refuse borrowers."""
        entry = self._table[handle]
        if entry.owner != reader:
            raise self._not_owner(entry, reader)
        return super().read(handle, reader, offset, length)


@manager("old-owner-keeps-a-key", "OWN-010", "OWN-003")
class OldOwnerKeepsAKey(ResourceManager):
    """After a transfer the old owner may still release."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.former: dict[Handle, Owner] = {}

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Remember who had it."""
        super().transfer(handle, source, target)
        self.former[handle] = source

    def release(self, handle: Handle, caller: Owner) -> None:
        """Take the former owner for the owner."""
        if self.former.get(handle) == caller:
            caller = self.inspect(handle).owner
        super().release(handle, caller)


@manager("transit-is-somebody", "OWN-011")
class TransitIsSomebody(ResourceManager):
    """Buffers are allocated for `transit`."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Make it for the host, and give it away."""
        handle = super().allocate(HOST if owner == TRANSIT else owner, request, flow, now_ns=now_ns)
        self._table[handle].owner = owner
        return handle


@manager("transfer-copies", "OWN-012")
class TransferCopies(ResourceManager):
    """A transfer reads the bytes and writes them again."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Move by copying."""
        super().transfer(handle, source, target)
        self.read(handle, target)


@manager("transfer-forgets-the-type", "OWN-012")
class TransferForgetsTheType(ResourceManager):
    """A transfer loses the content type."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Lose it."""
        super().transfer(handle, source, target)
        self._table[handle].content_type = ""


@manager("self-transfer-needs-room", "OWN-013")
class SelfTransferNeedsRoom(ResourceManager):
    """A transfer to oneself is charged before it is credited."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Ask for room that is not needed."""
        used, limit = self.budget(source)
        if source == target > HOST and used + self.capacity(handle) > limit:
            raise ResourceError("budget-exceeded", "no room", component=target, current=used, requested=self.capacity(handle), budget=limit)
        super().transfer(handle, source, target)


@manager("second-release-is-fine", "OWN-016")
class SecondReleaseIsFine(ResourceManager):
    """A second release is taken as done."""

    def release(self, handle: Handle, caller: Owner) -> None:
        """Do not mind."""
        try:
            super().release(handle, caller)
        except ResourceError as error:
            if error.kind != "not-allocated":
                raise


@manager("table-cannot-grow", "OWN-019")
class TableCannotGrow(ResourceManager):
    """A full handle table stays full."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Refuse where it should grow."""
        if self.live_count >= self._table.capacity:
            raise ResourceError("allocation-failed", "the handle table is full")
        return super().allocate(owner, request, flow, now_ns=now_ns)


@manager("reclaims-in-silence", "OWN-030")
class ReclaimsInSilence(ResourceManager):
    """Force-reclaim frees, and says that it freed nothing."""

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Keep quiet."""
        super().force_reclaim(component)
        return ()


@manager("reclaims-what-was-given", "OWN-031")
class ReclaimsWhatWasGiven(ResourceManager):
    """Force-reclaim takes back what the component made and gave away."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.makers: dict[Handle, Owner] = {}

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Remember the maker."""
        handle = super().allocate(owner, request, flow, now_ns=now_ns)
        self.makers[handle] = owner
        return handle

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Take what it made, too."""
        made = [self._table[seen.handle] for seen in self.live() if self.makers[seen.handle] == component != seen.owner]
        return super().force_reclaim(component) + tuple(self._force(entry) for entry in made)


@manager("reclaiming-nothing-fails", "OWN-032")
class ReclaimingNothingFails(ResourceManager):
    """Force-reclaim of a component that owns nothing is refused."""

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Refuse."""
        found = super().force_reclaim(component)
        if not found:
            raise ResourceError("unknown-component", "it owns nothing", component=component)
        return found


@manager("flow-release-spares-the-lent", "OWN-034")
class FlowReleaseSparesTheLent(ResourceManager):
    """The end of a flow spares the buffers that were borrowed."""

    def release_flow(self, flow: FlowId) -> FlowRelease:
        """Free some."""
        freed = [self._force(self._table[seen.handle]) for seen in self.live(flow) if not seen.borrow_count]
        return FlowRelease(len(freed), 0, sum(record.capacity for record in freed), 0, tuple(freed))


@manager("transfer-changes-the-flow", "OWN-035")
class TransferChangesTheFlow(ResourceManager):
    """A buffer goes over to the flow of its new owner."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Take the number of the component for that of its flow."""
        super().transfer(handle, source, target)
        self._table[handle].flow = FlowId(target)


register(
    "leases-end-in-the-pool",
    "OWN-038",
    summary="A leased buffer may go straight back to the pool.",
    build=lambda: ReferenceParts(resource_labels=LEGAL | {(ResourceState.LEASED, ResourceState.POOLED)}),
)


@manager("release-keeps-the-charge", "BUDGET-004")
class ReleaseKeepsTheCharge(ResourceManager):
    """A released buffer stays charged."""

    def release(self, handle: Handle, caller: Owner) -> None:
        """Charge it again."""
        capacity = self.inspect(handle).capacity
        super().release(handle, caller)
        if caller > HOST:
            self._budgets.charge(caller, capacity)


@manager("receivers-never-refuse", "BUDGET-005")
class ReceiversNeverRefuse(ResourceManager):
    """A transfer ignores the receiver's budget."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Lift the limit for a moment."""
        if target <= HOST:
            super().transfer(handle, source, target)
            return
        _, limit = self.budget(target)
        self.register_component(target, U32_MAX)
        try:
            super().transfer(handle, source, target)
        finally:
            self.register_component(target, limit)


@manager("leaks-what-is-kept", "CANCEL-015")
class LeaksWhatIsKept(ResourceManager):
    """The end of a flow frees nothing."""

    def release_flow(self, flow: FlowId) -> FlowRelease:  # noqa: ARG002 -- ignoring it is the fault
        """Leave what there is."""
        return FlowRelease()

"""Mutants of the copy ledger, of what a flow copies, and of what becomes of its buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Element, Role
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowDriver
from torvyn_ref.flow.stage import Edge, Stage
from torvyn_ref.ids import HOST, FlowId, Handle, Owner, handle_index, make_handle
from torvyn_ref.resources import CopyReason, ResourceError, ResourceManager
from torvyn_ref.resources.copies import CopyStats
from torvyn_ref.resources.manager import FlowRelease, Inspection

READ, WRITE, CLONE, RETURN = CopyReason


def manager(name: str, *rules: str) -> Callable[[type[ResourceManager]], type[ResourceManager]]:
    """Register a faulty resource manager; its docstring is the summary."""

    def add(cls: type[ResourceManager]) -> type[ResourceManager]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(manager=cls))
        return cls

    return add


def driver(name: str, *rules: str) -> Callable[[type[FlowDriver]], type[FlowDriver]]:
    """Register a faulty driver; its docstring is the summary."""

    def add(cls: type[FlowDriver]) -> type[FlowDriver]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(driver=cls))
        return cls

    return add


@manager("writes-go-uncounted", "COPY-001")
class WritesGoUncounted(ResourceManager):
    """A write after a buffer's first is not counted."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Take it back from the books."""
        entry = self._table[handle]
        size = super().write(handle, caller, offset, data)
        if offset and len(data):
            entry.book[caller].write_ops -= 1
            entry.book[caller].write_bytes -= len(data)
        return size


@manager("counts-what-was-asked", "COPY-002")
class CountsWhatWasAsked(ResourceManager):
    """A read counts the bytes that were asked for."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Add what was not there."""
        data = super().read(handle, reader, offset, length)
        if data and length is not None:
            self._table[handle].book[reader].read_bytes += length - len(data)
        return data


@manager("failures-count", "COPY-003")
class FailuresCount(ResourceManager):
    """A write that is refused counts as a copy."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Count first."""
        try:
            return super().write(handle, caller, offset, data)
        except ResourceError as error:
            if error.kind in {"not-owner", "capacity-exceeded"}:
                self._table[handle].book[caller].write_ops += 1
                self._table[handle].book[caller].write_bytes += len(data)
            raise


@manager("nothing-is-something", "COPY-004")
class NothingIsSomething(ResourceManager):
    """A write of no bytes counts one."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Round up."""
        size = super().write(handle, caller, offset, data)
        if not len(data):
            book = self._table[handle].book[caller]
            book.write_ops += 1
            book.write_bytes += 1
        return size


@manager("transfers-count", "COPY-005", "COPY-015")
class TransfersCount(ResourceManager):
    """A transfer is in the ledger."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Enter it."""
        super().transfer(handle, source, target)
        entry = self._table[handle]
        entry.book[target].read_ops += 1
        entry.book[target].read_bytes += entry.size


class Reporting(ResourceManager):
    """A manager whose copy statistics say something else; for mutants."""

    def tell(self, stats: CopyStats) -> CopyStats:
        """Change them."""
        return stats

    def copy_stats(self, flow: FlowId) -> CopyStats:
        """Tell it."""
        return self.tell(super().copy_stats(flow))

    def close_flow_copies(self, flow: FlowId) -> CopyStats:
        """Tell it."""
        return self.tell(super().close_flow_copies(flow))


class DoubledTotals(CopyStats):
    """Statistics whose total is not their sum."""

    @property
    def total_copy_ops(self) -> int:
        """Count reads twice."""
        return sum(self.ops_by_reason.values()) + self.ops_by_reason[READ]


@manager("totals-of-their-own", "COPY-006")
class TotalsOfTheirOwn(Reporting):
    """The total of operations counts reads twice."""

    def tell(self, stats: CopyStats) -> CopyStats:
        """Count otherwise."""
        return DoubledTotals(stats.ops_by_reason, stats.bytes_by_reason, stats.routes, stats.lent_bytes)


@manager("pool-returns-count", "COPY-007")
class PoolReturnsCount(Reporting):
    """Every buffer that goes back to its pool counts as a copy."""

    def tell(self, stats: CopyStats) -> CopyStats:
        """Enter them."""
        return replace(stats, ops_by_reason=stats.ops_by_reason | {RETURN: self.released})


@manager("types-are-payload", "COPY-008", "COPY-005")
class TypesArePayload(ResourceManager):
    """Setting a content type counts its bytes as payload."""

    def set_content_type(self, handle: Handle, caller: Owner, content_type: str) -> None:
        """Count them."""
        super().set_content_type(handle, caller, content_type)
        self._table[handle].book[caller].write_bytes += len(content_type)
        self._table[handle].book[caller].write_ops += 1


@manager("the-wrong-way-round", "COPY-009")
class TheWrongWayRound(Reporting):
    """Reads and writes are reported with source and target swapped."""

    def tell(self, stats: CopyStats) -> CopyStats:
        """Swap them."""
        return replace(stats, routes=tuple(replace(route, source=route.target, target=route.source) for route in stats.routes))


@manager("callers-flow-pays", "COPY-010")
class CallersFlowPays(ResourceManager):
    """A copy counts for flow 1, in which the caller is thought to run."""

    def write(self, handle: Handle, caller: Owner, offset: int, data: bytes | memoryview) -> int:
        """Enter it elsewhere."""
        entry = self._table[handle]
        book, entry.book = entry.book, self._ledger[FlowId(1)]
        try:
            return super().write(handle, caller, offset, data)
        finally:
            entry.book = book


@manager("counts-when-watched", "COPY-011")
class CountsWhenWatched(ResourceManager):
    """Reads count only while somebody observes."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Look whether anybody looks."""
        return super().read(handle, reader, offset, length) if self.observer is not None else self.peek(handle, reader)[offset:][:length]


@manager("unknown-flows-share", "COPY-012")
class UnknownFlowsShare(ResourceManager):
    """A flow that nobody knows has the copies of flow 1."""

    def copy_stats(self, flow: FlowId) -> CopyStats:
        """Look further."""
        return super().copy_stats(flow if flow in self._ledger else FlowId(1))


@manager("summaries-die-with-their-flow", "COPY-013")
class SummariesDieWithTheirFlow(ResourceManager):
    """The end of a flow's buffers is the end of its copy counters."""

    def release_flow(self, flow: FlowId) -> FlowRelease:
        """Forget."""
        freed = super().release_flow(flow)
        self._ledger.pop(flow, None)
        return freed


@manager("a-second-look-resets", "COPY-014")
class ASecondLookResets(ResourceManager):
    """Whoever mentions a flow twice without a copy between starts its counters anew."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: dict[FlowId, int] = {}

    def copy_stats(self, flow: FlowId) -> CopyStats:
        """Remember the last look."""
        stats = super().copy_stats(flow)
        if self.seen.get(flow) == stats.total_copy_ops:
            self._ledger[flow].components.clear()
        self.seen[flow] = stats.total_copy_ops
        return stats


@manager("asking-resets", "COPY-018")
class AskingResets(ResourceManager):
    """Whoever asks for a flow's copies gets those since the last time."""

    def copy_stats(self, flow: FlowId) -> CopyStats:
        """Take them away."""
        return self.close_flow_copies(flow)


@manager("chunks-are-one", "COPY-016")
class ChunksAreOne(ResourceManager):
    """A read that goes on where the last one ended counts no operation."""

    def read(self, handle: Handle, reader: Owner, offset: int = 0, length: int | None = None) -> bytes:
        """Take it for the same."""
        data = super().read(handle, reader, offset, length)
        if data and offset:
            self._table[handle].book[reader].read_ops -= 1
        return data


@manager("enters-twice", "COPY-017")
class EntersTwice(ResourceManager):
    """What enters a stage is counted twice over."""

    def borrow(self, handle: Handle, borrower: Owner, *, now_ns: int = 0) -> None:
        """Count it once more."""
        super().borrow(handle, borrower, now_ns=now_ns)
        entry = self._table[handle]
        entry.book[borrower].lent_bytes += entry.size


@manager("counters-wrap", "COPY-018")
class CountersWrap(Reporting):
    """Copy counters have a few bits only."""

    def tell(self, stats: CopyStats) -> CopyStats:
        """Wrap."""
        return replace(stats, bytes_by_reason={reason: size % 256 for reason, size in stats.bytes_by_reason.items()})


# ---------------------------------------------------------------- buffers in flows


class Forgetful(FlowDriver):
    """A driver that forgets to give some buffers back before its end; for mutants."""

    forgetting = False

    def _end_use(self, element: Element) -> None:
        if self.forgetting:
            element.uses -= 1
        else:
            super()._end_use(element)


@driver("sinks-keep", "OWN-024")
class SinksKeep(Forgetful):
    """What a sink has consumed is released when the flow ends."""

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        self.forgetting = stage.role is Role.SINK
        super()._worked(stage, element, answer)
        self.forgetting = False


@driver("rejects-are-kept", "OWN-025")
class RejectsAreKept(Forgetful):
    """What a filter rejects or a processor drops is released when the flow ends."""

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        self.forgetting = answer is False or (answer is None and element is not None)
        super()._worked(stage, element, answer)
        self.forgetting = False


@driver("evicted-is-kept", "OWN-026")
class EvictedIsKept(Forgetful):
    """What is lost on a full stream is released when the flow ends."""

    def _lose(self, edge: Edge, element: Element, reason: str) -> None:
        self.forgetting = True
        super()._lose(edge, element, reason)
        self.forgetting = False


@driver("a-copy-for-each-branch", "OWN-027")
class ACopyForEachBranch(FlowDriver):
    """A router makes a buffer of its own for each branch after the first."""

    def _routed(self, stage: Stage, element: Element, ports: list[str]) -> None:
        self.router = stage
        super()._routed(stage, element, ports)
        self.router = None

    router: Stage | None = None

    def _send(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        if stage is not self.router:
            super()._send(stage, element, edges)
            return
        super()._send(stage, element, edges[:1])
        for edge in edges[1:]:
            copy = self._resources.clone(element.handle, HOST, self.flow)
            super()._send(stage, Element(element.sequence, element.timestamp_ns, element.content_type, copy), (edge,))


@manager("one-in-a-hundred", "OWN-036", "OWN-037")
class OneInAHundred(ResourceManager):
    """Every hundredth release is lost, and the buffer with it."""

    lost = 0

    def release(self, handle: Handle, caller: Owner) -> None:
        """Mislay it."""
        self.lost += 1
        if self.lost % 100:
            super().release(handle, caller)
        else:
            self._table[handle].flow = FlowId(0)


@manager("leaves-leftovers", "OWN-036")
class LeavesLeftovers(ResourceManager):
    """The end of a flow frees nothing that components have kept."""

    def release_flow(self, flow: FlowId) -> FlowRelease:  # noqa: ARG002 -- ignoring it is the fault
        """Leave it."""
        return FlowRelease()

    def force_reclaim(self, component: Owner) -> tuple[Any, ...]:  # noqa: ARG002 -- as above
        """Leave it."""
        return ()


@driver("queued-twice", "OWN-039")
class QueuedTwice(FlowDriver):
    """An element that a source has made is queued twice where the stream has room."""

    def _push(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        super()._push(stage, element, edges)
        if stage.is_source and all(edge.stream.credit.available > 1 for edge in edges):
            element.uses += len(edges)
            super()._push(stage, element, edges)


@manager("who-owns-what-is-secret", "OWN-040")
class WhoOwnsWhatIsSecret(ResourceManager):
    """The inventory says that the host owns everything."""

    def live(self, flow: FlowId | None = None) -> tuple[Inspection, ...]:
        """Say so."""
        return tuple(replace(seen, owner=HOST) for seen in super().live(flow))


class _FirstTenants(Observer):
    """Passes everything on, but for the generations of what is queued."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner

    def __getattribute__(self, name: str) -> Any:
        if name in {"_inner", "enqueued"} or name.startswith("__"):
            return super().__getattribute__(name)
        return getattr(self._inner, name)

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Rebuild the handle from its index."""
        handle = make_handle(handle_index(element.handle), 1)
        self._inner.enqueued(at, stream, replaced(element, handle), depth, credits_)


def replaced(element: Element, handle: Handle) -> Element:
    """Return an element with another handle."""
    return Element(element.sequence, element.timestamp_ns, element.content_type, handle, element.uses)


register(
    "generations-are-lost",
    "OWN-041",
    summary="A queue entry has the handle of its slot's first tenant.",
    build=lambda: ReferenceParts(observe=_FirstTenants),
)

"""Mutants of the flow driver: when it ends, who runs, what becomes of elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Call, Element, Output, Role, Signal
from torvyn_ref.flow import ConsumerFirst, ErrorPolicy, ErrorPolicyKind, FlowDriver, ProducerFirst, Reason, StageSetup, Topology
from torvyn_ref.flow.settings import Step
from torvyn_ref.flow.stage import Edge, Stage
from torvyn_ref.flow.states import FlowState, check_transition
from torvyn_ref.streams import Pressure


def driver(name: str, *rules: str) -> Callable[[type[FlowDriver]], type[FlowDriver]]:
    """Register a faulty driver; its docstring is the summary."""

    def add(cls: type[FlowDriver]) -> type[FlowDriver]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(driver=cls))
        return cls

    return add


# ---------------------------------------------------------------- states and ends


def _accept_shortcut(old: FlowState, new: FlowState) -> None:
    if (old, new) != (FlowState.RUNNING, FlowState.COMPLETED):
        check_transition(old, new)


register(
    "running-may-complete",
    "FLOW-001",
    summary="The table of states lets a flow go from Running to Completed.",
    build=lambda: ReferenceParts(flow_transition=_accept_shortcut),
)


@driver("cancel-is-failure", "FLOW-005", "CANCEL-018")
class CancelIsFailure(FlowDriver):
    """An operator's cancel ends as Failed."""

    def cancel(self, reason: Reason = Reason.OPERATOR_REQUEST, *, now: int | None = None) -> None:
        """Take it for a timeout."""
        super().cancel(Reason.TIMEOUT if reason is Reason.OPERATOR_REQUEST else reason, now=now)


@driver("last-reason-wins", "FLOW-006")
class LastReasonWins(FlowDriver):
    """A cancel that comes while a failed flow drains makes it Cancelled."""

    def cancel(self, reason: Reason = Reason.OPERATOR_REQUEST, *, now: int | None = None) -> None:
        """Forget the first reason."""
        super().cancel(reason, now=now)
        if self._cancellation.reason is not None:
            self._cancellation.reason = reason


@driver("drain-errors-count", "FLOW-006")
class DrainErrorsCount(FlowDriver):
    """An error while a cancelled flow drains makes it Failed."""

    def _fault(self, stage: Stage, call: Call, failure: Any) -> None:
        super()._fault(stage, call, failure)
        self._cancellation.reason = Reason.COMPONENT_ERROR


@driver("complete-when-sources-are", "FLOW-007")
class CompleteWhenSourcesAre(FlowDriver):
    """A flow starts to complete when its sources are exhausted, whatever is still queued."""

    def next(self, now: int) -> Step:
        """Do not wait for the queues."""
        running = self.state is FlowState.RUNNING and self._cancel_asked is None
        if running and all(stage.done for stage in self.stages if stage.is_source):
            self._drain(Reason.SOURCE_COMPLETE)
        return super().next(now)


@driver("one-end-is-the-end", "FLOW-008")
class OneEndIsTheEnd(FlowDriver):
    """A stage with several inputs takes the first end of stream for the last."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            stage.open_inputs = min(stage.open_inputs, 1)


@driver("empty-is-cancelled", "FLOW-009")
class EmptyIsCancelled(FlowDriver):
    """A flow whose source has nothing is given up."""

    def resume(self, answer: Answer, now: int) -> None:
        """Cancel at the first none."""
        empty = self._running is not None and self._running.invoke.call is Call.PULL and answer is None and not self._elements_in
        super().resume(answer, now)
        if empty:
            self.cancel()


@driver("asks-twice", "FLOW-010")
class AsksTwice(FlowDriver):
    """A source that says none is asked once more."""

    asked: set[str]

    def resume(self, answer: Answer, now: int) -> None:
        """Leave the source open the first time."""
        self.asked = getattr(self, "asked", set())
        stage = self._running
        if stage is None or stage.invoke.call is not Call.PULL or answer is not None or stage.name in self.asked:
            super().resume(answer, now)
            return
        self.asked.add(stage.name)
        self._running = None
        if self._observer is not None:
            self._observer.returned(now, stage.name, Call.PULL, None)


# ---------------------------------------------------------------- cancel and drain


@driver("hears-cancel-late", "CANCEL-001", "CANCEL-018", "CANCEL-005")
class HearsCancelLate(FlowDriver):
    """A cancel is observed one call late."""

    late: Reason | None = None
    late_at: int | None = None

    def cancel(self, reason: Reason = Reason.OPERATOR_REQUEST, *, now: int | None = None) -> None:
        """Note it."""
        self.late, self.late_at = reason, now

    def resume(self, answer: Answer, now: int) -> None:
        """Do what was noted before this call."""
        if self.late is not None:
            super().cancel(self.late, now=self.late_at)
        super().resume(answer, now)


@driver("never-drains", "CANCEL-005")
class NeverDrains(FlowDriver):
    """What is queued at a cancel is discarded at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], drain_timeout_ns=0)
        super().__init__(*args, **options)


@driver("always-drains", "CANCEL-007")
class AlwaysDrains(FlowDriver):
    """A drain timeout of 0 is taken for the default."""

    def __init__(self, *args: Any, **options: Any) -> None:
        settings = options["settings"]
        options["settings"] = replace(settings, drain_timeout_ns=settings.drain_timeout_ns or 5_000_000_000)
        super().__init__(*args, **options)


@driver("sinks-are-not-told", "CANCEL-009")
class SinksAreNotTold(FlowDriver):
    """complete() is never called."""

    def _start_complete(self) -> None:
        super()._start_complete()
        self._todo.clear()


@driver("never-flushes", "CANCEL-011", "CON-006")
class NeverFlushes(FlowDriver):
    """flush() is never called."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            stage.flushed = True


# ---------------------------------------------------------------- elements


@driver("believes-the-claims", "ORD-002", "CON-007")
class BelievesTheClaims(FlowDriver):
    """A component's sequence is taken over."""

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        if output.sequence:
            self._sequence = output.sequence
        super()._emit(stage, element, output)


@driver("a-counter-per-stage", "ORD-003")
class ACounterPerStage(FlowDriver):
    """Every producer counts for itself."""

    counters: dict[str, int]

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        self.counters = getattr(self, "counters", {})
        self._sequence = self.counters.get(stage.name, 0)
        self.counters[stage.name] = self._sequence + 1
        super()._emit(stage, element, output)


@driver("sequences-wrap", "ORD-003", "ORD-004")
class SequencesWrap(FlowDriver):
    """The counter starts over at eight."""

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        self._sequence %= 8
        super()._emit(stage, element, output)


@driver("filters-renumber", "ORD-005", "ORD-003")
class FiltersRenumber(FlowDriver):
    """What a filter or router lets pass gets a new number."""

    def _send(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        if stage.role in {Role.FILTER, Role.ROUTER}:
            element.sequence = self._sequence
            self._sequence += 1
        super()._send(stage, element, edges)


@driver("filters-stamp", "ORD-005")
class FiltersStamp(FlowDriver):
    """What a filter or router lets pass gets the present time."""

    def _send(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        if stage.role in {Role.FILTER, Role.ROUTER}:
            element.timestamp_ns = self._now
        super()._send(stage, element, edges)


@driver("tries-again-unasked", "ORD-008")
class TriesAgainUnasked(FlowDriver):
    """An element that failed is given to its component again although the policy is to skip it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if options["settings"].error_policy.kind is ErrorPolicyKind.SKIP:
            options["settings"] = replace(options["settings"], error_policy=ErrorPolicy(ErrorPolicyKind.RETRY, max_retries=1))
        super().__init__(*args, **options)


@driver("first-branch-only", "ORD-010", "ORD-011", "TOPO-008")
class FirstBranchOnly(FlowDriver):
    """Only the first of several branches is fed."""

    def _push(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        super()._push(stage, element, edges[:1])


@driver("losses-are-kept", "POLICY-005")
class LossesAreKept(FlowDriver):
    """The buffer of an element that a policy drops stays alive until the flow ends."""

    def _lose(self, edge: Edge, element: Element, reason: str) -> None:
        element.uses += 1
        super()._lose(edge, element, reason)


# ---------------------------------------------------------------- who runs, who is told


@driver("producers-first", "SCHED-002", "SCHED-004")
class ProducersFirst(FlowDriver):
    """The default schedule fills the queues first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if isinstance(options["policy"], ConsumerFirst):
            options["policy"] = ProducerFirst()
        super().__init__(*args, **options)


@driver("yields-when-it-likes", "SCHED-006")
class YieldsWhenItLikes(FlowDriver):
    """The configured number of executions between two yields is not heard."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], elements_per_yield=7)
        super().__init__(*args, **options)


class _AnyBranch(Stage):
    """A stage that runs when all outputs have a credit and any is without pressure."""

    __slots__ = ()

    def is_ready(self, now: int) -> bool:
        """Look for one branch without pressure."""
        if super().is_ready(now):
            return True
        free = all(edge.stream.credit.available for edge in self.outputs)
        return free and len(self.outputs) > 1 and any(self._without(edge, now) for edge in self.outputs)

    def _without(self, edge: Edge, now: int) -> bool:
        """Tell whether the stage would be ready if this were its only output."""
        outputs, self.outputs = self.outputs, [edge]
        try:
            return super().is_ready(now)
        finally:
            self.outputs = outputs


@driver("any-branch-will-do", "CREDIT-009", "SCHED-003")
class AnyBranchWillDo(FlowDriver):
    """A producer goes on while one of its branches is under pressure."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            stage.__class__ = _AnyBranch


@driver("nothing-costs-one", "CREDIT-007", "CREDIT-004")
class NothingCostsOne(FlowDriver):
    """An invocation that yields nothing spends a credit of each output that has two."""

    def resume(self, answer: Answer, now: int) -> None:
        """Spend it."""
        stage = self._running
        super().resume(answer, now)
        if stage is None or stage.invoke.call is not stage.work or not (answer is None or answer is False):
            return
        for edge in stage.outputs:
            if edge.stream.credit.available > 1:
                edge.stream.credit.available -= 1


@driver("failures-keep-their-credit", "CREDIT-003", "CREDIT-008")
class FailuresKeepTheirCredit(FlowDriver):
    """The credit of an element whose invocation fails is not given back."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Any) -> None:
        super()._failed(stage, call, element, failure)
        for edge in stage.inputs:
            if element is not None and edge.stream.credit.available > 1:
                edge.stream.credit.available -= 1


class _NoProbe(Edge):
    """An edge that a paused sink holds for ever."""

    __slots__ = ()

    def may_probe(self, now: int) -> bool:  # noqa: ARG002 -- whatever the time is
        """Never ask again."""
        return False


@driver("paused-for-ever", "POLICY-012")
class PausedForEver(FlowDriver):
    """A sink that has said pause is never asked again."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for edge in self.edges:
            edge.__class__ = _NoProbe


@driver("sources-are-not-told", "POLICY-013")
class SourcesAreNotTold(FlowDriver):
    """No source hears of pressure."""

    def _pressure_changed(self, edge: Edge, pressure: Pressure) -> None:
        super()._pressure_changed(edge, pressure)
        self._notices.clear()


@driver("told-twice", "POLICY-013")
class ToldTwice(FlowDriver):
    """A source is told of each transition twice."""

    def _pressure_changed(self, edge: Edge, pressure: Pressure) -> None:
        waiting = len(self._notices)
        super()._pressure_changed(edge, pressure)
        if len(self._notices) > waiting:
            self._notices.append(self._notices[-1])


@driver("told-and-pulled", "POLICY-014")
class ToldAndPulled(FlowDriver):
    """A source is told to pause when pressure ends, and to go on when it starts."""

    def _pressure_changed(self, edge: Edge, pressure: Pressure) -> None:
        waiting = len(self._notices)
        super()._pressure_changed(edge, pressure)
        if len(self._notices) > waiting:
            source, signal = self._notices.pop()
            self._notices.append((source, Signal.READY if signal is Signal.PAUSE else Signal.PAUSE))

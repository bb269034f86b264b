"""Mutants of the driver: where elements go and what they carry, how a flow comes up, whose turn it is, and what it says afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_flows import driver
from conformance.mutants.faulty_reports import Wrapped, report
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Call, Element, Output, Role
from torvyn_ref.flow import ConsumerFirst, FlowDriver, FlowReport, FlowSettings
from torvyn_ref.flow.settings import HARD_CEILING, Priority, Step, Wait
from torvyn_ref.flow.stage import Edge, Stage

# ---------------------------------------------------------------- where elements go


@driver("a-port-named-twice-gets-two", "TOPO-009", "CON-005")
class APortNamedTwiceGetsTwo(FlowDriver):
    """A router that names a port twice sends the element twice."""

    def _routed(self, stage: Stage, element: Element, ports: list[str]) -> None:
        twice = [port for port in dict.fromkeys(ports) if ports.count(port) > 1 and port in stage.ports]
        for port in twice:
            if all(edge.stream.credit.available > 1 for edge in stage.ports[port]):
                self._send(stage, element, stage.ports[port])
        super()._routed(stage, element, ports)


@driver("routers-broadcast", "TOPO-009", "CON-005")
class RoutersBroadcast(FlowDriver):
    """Whatever ports a router names, all of them get the element."""

    def _routed(self, stage: Stage, element: Element, ports: list[str]) -> None:
        known = all(port in stage.ports for port in ports)
        super()._routed(stage, element, list(stage.ports) if ports and known else ports)


@driver("unknown-ports-drop", "TOPO-010", "CON-005")
class UnknownPortsDrop(FlowDriver):
    """A port that a router does not have is passed over in silence."""

    def _routed(self, stage: Stage, element: Element, ports: list[str]) -> None:
        super()._routed(stage, element, [port for port in ports if port in stage.ports])


@driver("filters-are-asked-in-vain", "TOPO-011", "CON-004")
class FiltersAreAskedInVain(FlowDriver):
    """Every third element that a filter rejects is passed on all the same."""

    rejected = 0

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        if answer is False:
            self.rejected += 1
            answer = self.rejected % 3 == 0
        super()._worked(stage, element, answer)


@driver("rejected-and-kept", "TOPO-011", "CON-004")
class RejectedAndKept(FlowDriver):
    """The buffer of an element that a filter rejects stays alive until the flow ends."""

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        if answer is False and element is not None:
            element.uses += 1
        super()._worked(stage, element, answer)


# ---------------------------------------------------------------- what they carry


@driver("whole-milliseconds", "ORD-006")
class WholeMilliseconds(FlowDriver):
    """Timestamps are cut down to whole milliseconds."""

    def _push(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        if stage.is_source:
            element.timestamp_ns -= element.timestamp_ns % 1_000_000
        super()._push(stage, element, edges)


@driver("processors-forget-the-type", "ORD-007", "CON-007")
class ProcessorsForgetTheType(FlowDriver):
    """Behind a processor elements have no content type."""

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        if element is not None:
            output.content_type = ""
        super()._emit(stage, element, output)


@driver("one-counter-for-all-flows", "ORD-012", "ORD-003")
class OneCounterForAllFlows(FlowDriver):
    """Flows go on counting where the last one stopped."""

    def _push(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        super()._push(stage, element, edges)
        FlowCount.last = max(FlowCount.last, self._sequence)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sequence = FlowCount.last


class FlowCount:
    """Where the last flow stopped."""

    last = 0


@driver("every-fifth-number-is-lost", "ORD-013", "ORD-003")
class EveryFifthNumberIsLost(FlowDriver):
    """Every fifth number is given to nobody."""

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        if self._sequence % 5 == 3:
            self._sequence += 1
        super()._emit(stage, element, output)


# ---------------------------------------------------------------- how a flow comes up


@driver("initialised-from-the-end", "FLOW-018")
class InitialisedFromTheEnd(FlowDriver):
    """Sinks are initialised first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._todo.reverse()


@driver("a-bad-init-is-left-standing", "FLOW-018")
class ABadInitIsLeftStanding(FlowDriver):
    """After an init that failed, those who had been initialised are not torn down."""

    def _start_teardown(self) -> None:
        super()._start_teardown()
        if self._started is None:
            self._todo.clear()


# ---------------------------------------------------------------- whose turn it is


class _Favourite(ConsumerFirst):
    """Among stages of one level the first declared one runs whenever it can."""

    def pick(self, now: int) -> Stage | None:
        """Forget whose turn it was."""
        self._turn = [0] * len(self._turn)
        return super().pick(now)


@driver("the-first-source-always", "SCHED-005")
class TheFirstSourceAlways(FlowDriver):
    """Of several sources the first is pulled whenever it can be."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if isinstance(options["policy"], ConsumerFirst):
            options["policy"] = _Favourite()
        super().__init__(*args, **options)


@driver("all-priorities-are-normal", "SCHED-007")
class AllPrioritiesAreNormal(FlowDriver):
    """A flow's priority changes nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], priority=Priority.NORMAL)
        super().__init__(*args, **options)


@driver("priority-beats-the-setting", "SCHED-010")
class PriorityBeatsTheSetting(FlowDriver):
    """A batch size of a flow's own is not heard."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], elements_per_yield=None)
        super().__init__(*args, **options)


def _clamped(**settings: Any) -> FlowSettings:
    batch = settings.get("elements_per_yield")
    if batch is not None:
        settings["elements_per_yield"] = min(max(batch, 1), HARD_CEILING)
    return FlowSettings(**settings)


register(
    "batches-are-clamped",
    "SCHED-008",
    summary="A batch size beyond the bounds is cut to them in silence.",
    build=lambda: ReferenceParts(settings=_clamped),
)


@driver("counts-elements", "SCHED-009")
class CountsElements(FlowDriver):
    """A batch counts the elements that enter, not stage executions."""

    def _work(self, stage: Stage, now: int) -> Any:
        step = super()._work(stage, now)
        if not stage.is_source:
            self._executions -= 1
        return step


@driver("nobody-watches", "SCHED-011")
class NobodyWatches(FlowDriver):
    """A flow that keeps its turn for ever is not told of."""

    def _give_way(self, now: int) -> None:  # noqa: ARG002 -- that is the fault
        self._kept_since = None


@driver("sleeps-through", "SCHED-013")
class SleepsThrough(FlowDriver):
    """A flow that waits for a timer hears nothing before it has ended."""

    until = 0

    def next(self, now: int) -> Step:
        """Go on sleeping."""
        if self._running is None and now < self.until:
            return Wait(self.until)
        step = super().next(now)
        if isinstance(step, Wait) and step.until is not None:
            self.until = step.until
        return step


@driver("hammers-its-source", "SCHED-014")
class HammersItsSource(FlowDriver):
    """A source that fails is pulled again at once."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Any) -> None:
        super()._failed(stage, call, element, failure)
        if stage.role is Role.SOURCE and stage.retry is None:
            stage.not_before = 0


# ---------------------------------------------------------------- what it says afterwards


@driver("peaks-are-flattered", "FLOW-016")
class PeaksAreFlattered(FlowDriver):
    """Peak depths are told one too small, as they are before the element is in."""

    def _finish(self, now: int) -> None:
        super()._finish(now)
        assert self.report is not None, "it has just been made"
        streams = tuple(replace(stream, peak_depth=max(0, stream.peak_depth - 1)) for stream in self.report.streams)
        self.report = replace(self.report, streams=streams)


@driver("draining-takes-no-time", "FLOW-016")
class DrainingTakesNoTime(FlowDriver):
    """The duration of a flow is counted to the beginning of its end."""

    drained_at: int | None = None

    def _drain(self, reason: Any) -> None:
        super()._drain(reason)
        self.drained_at = self._now

    def _finish(self, now: int) -> None:
        super()._finish(now)
        assert self.report is not None, "it has just been made"
        if self.drained_at is not None and self._started is not None:
            self.report = replace(self.report, duration_ns=self.drained_at - self._started)


@report("the-total-is-what-entered", "FLOW-017")
class TheTotalIsWhatEntered(Wrapped):
    """The total counts the elements that entered the flow, not those that its streams took."""

    def done(self, at: int, report: FlowReport) -> None:
        """Report the first stream only."""
        self.inner.done(at, replace(report, streams=report.streams[:1]))

"""Mutants that count wrongly while flows run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Call, Element, Failure, Output
from torvyn_ref.flow import FlowReport
from torvyn_ref.observe import FlowReading, Histogram, Level, MetricsObserver, Registry
from torvyn_ref.observe.metrics import FlowMetrics, StreamMetrics


def swapped(part: str, name: str, *rules: str) -> Callable[[Any], Any]:
    """Register a reference with this part; its docstring is the summary."""

    def add(faulty: Any) -> Any:
        register(name, *rules, summary=(faulty.__doc__ or "").strip(), build=lambda: ReferenceParts(**{part: faulty}))
        return faulty

    return add


# ---------------------------------------------------------------- flows


class Faulty(MetricsObserver):
    """An observer that miscounts."""


@swapped("metrics", "every-stage-counts", "OBS-007")
class EveryStageCounts(Faulty):
    """flow.elements.total rises with every element that any stage emits."""

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Count it."""
        super().worked(at, stage, call, element, answer, took_ns)
        if call is not Call.PULL and isinstance(answer, Output) and self._registry.records:
            self._metrics.elements += 1


@swapped("metrics", "last-pull-counts", "OBS-007")
class LastPullCounts(Faulty):
    """The pull that says that there is no more counts as an element."""

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Count it."""
        super().worked(at, stage, call, element, answer, took_ns)
        if call is Call.PULL and answer is None and self._registry.records:
            self._metrics.elements += 1


@swapped("metrics", "failed-flows-forget", "OBS-007")
class FailedFlowsForget(Faulty):
    """The counters of a flow that fails are lost."""

    def done(self, at: int, report: FlowReport) -> None:
        """Forget them."""
        super().done(at, report)
        if str(report.state) == "Failed":
            self._metrics.elements = 0


@swapped("metrics", "latency-at-the-first-sink", "OBS-008")
class FirstSink(Faulty):
    """An element that goes to several sinks has a latency for each."""

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Record it again."""
        super().worked(at, stage, call, element, answer, took_ns)
        if call is Call.PUSH and element is not None and element.uses > 1 and not isinstance(answer, Failure):
            self._latency.record(at + self._wall_offset - element.timestamp_ns)


@swapped("metrics", "latency-of-one-call", "OBS-008")
class LatencyOfOneCall(Faulty):
    """flow.latency is the time that the sink took."""

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Record the wrong time."""
        latency, self._latency = self._latency, Histogram()
        super().worked(at, stage, call, element, answer, took_ns)
        if self._latency.count:
            latency.record(took_ns)
        self._latency = latency


@swapped("metrics", "latency-never-recorded", "OBS-008")
class NeverRecorded(Faulty):
    """flow.latency stays empty."""

    def __init__(self, metrics: FlowMetrics, registry: Registry, **options: Any) -> None:
        super().__init__(metrics, registry, **options)
        self._latency = Histogram()


@swapped("metrics", "traps-are-no-errors", "OBS-009")
class TrapsAreNoErrors(Faulty):
    """Only errors that a component returns are counted, and no traps."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Count what was returned."""
        if not failure.poisoned:
            super().failed(at, stage, call, failure, action)


@swapped("metrics", "retried-is-no-error", "OBS-009")
class RetriedIsNoError(Faulty):
    """An error after which the component is asked again is not counted."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Count what is final."""
        if action != "retry":
            super().failed(at, stage, call, failure, action)


@swapped("metrics", "flow-counts-fatal-errors", "OBS-009")
class FlowCountsFatal(Faulty):
    """A flow counts only the errors that end it."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Take the others back."""
        super().failed(at, stage, call, failure, action)
        if action != "fail":
            self._metrics.errors -= 1


def streams(name: str, *rules: str) -> Callable[[type[StreamMetrics]], type[StreamMetrics]]:
    """Register a reference whose streams' metrics are of this class; its docstring is the summary."""

    def add(faulty: type[StreamMetrics]) -> type[StreamMetrics]:
        class Making(Registry):
            def register(self, flow: Any, components: Any, streams: Any) -> FlowMetrics:
                metrics = super().register(flow, components, streams)
                metrics.streams = [faulty(each.name, each.id) for each in metrics.streams]
                return metrics

        register(name, *rules, summary=(faulty.__doc__ or "").strip(), build=lambda: ReferenceParts(registry=Making))
        return faulty

    return add


@streams("pressure-counts-twice", "OBS-010")
class CountsTwice(StreamMetrics):
    """The end of pressure counts as an event, too."""

    @property
    def pressure_events(self) -> int:
        """Count both."""
        stream = self._stream
        events = super().pressure_events
        return 2 * events - bool(stream is not None and not stream.may_produce and not stream.producer_complete)


@streams("pressure-time-in-advance", "OBS-010")
class TimeInAdvance(StreamMetrics):
    """A millisecond is added when pressure begins."""

    @property
    def pressure_ns(self) -> int:
        """Add it."""
        return super().pressure_ns + 1_000_000 * self.pressure_events


@streams("pressure-has-no-length", "OBS-010")
class NoLength(StreamMetrics):
    """How long pressure lasted is never added."""

    @property
    def pressure_ns(self) -> int:
        """Add nothing."""
        return 0


@streams("peak-is-the-depth", "OBS-011")
class PeakIsTheDepth(StreamMetrics):
    """The peak depth is the present one."""

    @property
    def peak_depth(self) -> int:
        """Fall with the queue."""
        return self.depth


@streams("peak-is-forgotten-at-the-end", "OBS-011")
class PeakForgotten(StreamMetrics):
    """The peak depth is 0 once the flow is over."""

    @property
    def peak_depth(self) -> int:
        """Forget it."""
        return 0 if self._stream is None else super().peak_depth


@streams("average-is-the-last", "OBS-027")
class AverageIsTheLast(StreamMetrics):
    """The average depth is the last one."""

    @property
    def average_depth(self) -> float | None:
        """Take what is left."""
        return float(self._depth)


@streams("average-is-the-peak", "OBS-027")
class AverageIsThePeak(StreamMetrics):
    """The average depth is the peak."""

    @property
    def average_depth(self) -> float | None:
        """Take the most."""
        return float(self.peak_depth)


@swapped("metrics", "level-of-its-birth", "OBS-012")
class LevelOfItsBirth(Faulty):
    """A flow keeps the level that it was started with."""

    def __init__(self, metrics: FlowMetrics, registry: Registry, **options: Any) -> None:
        super().__init__(metrics, Registry(level=registry.level), **options)


@swapped("metrics", "errors-at-any-level", "OBS-012")
class ErrorsAtAnyLevel(Faulty):
    """Errors are counted at level off, too."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Count them."""
        super().failed(at, stage, call, failure, action)
        if not self._registry.records:
            self._metrics.components[stage].errors += 1


@swapped("registry", "switching-starts-over", "OBS-012")
class SwitchingStartsOver(Registry):
    """A switch of the level sets the counters of running flows to zero."""

    @property
    def level(self) -> Level:
        """Return it."""
        return self._level

    @level.setter
    def level(self, level: Level) -> None:
        Registry.level.fset(self, level)  # type: ignore[attr-defined]  # what a property has
        for metrics in self._flows.values():
            metrics.elements = 0


# ---------------------------------------------------------------- windows


def window(name: str, *rules: str) -> Callable[[Callable[[FlowReading, FlowReading], FlowReading]], object]:
    """Register a reference that measures windows like this; the function's docstring is the summary."""
    return swapped("window", name, *rules)


@window("windows-begin-at-the-start", "OBS-026")
def since_the_start(_first: FlowReading, last: FlowReading) -> FlowReading:
    """A window counts from the start of the flow."""
    return last


@window("percentiles-of-everything", "OBS-026")
def percentiles_of_everything(first: FlowReading, last: FlowReading) -> FlowReading:
    """A window's counters are its own, and its latencies those of the whole flow."""
    return replace(last.since(first), latency=last.latency)


@window("streams-are-not-subtracted", "OBS-026")
def streams_not_subtracted(first: FlowReading, last: FlowReading) -> FlowReading:
    """A window counts everything that ever went through its streams."""
    return replace(last.since(first), streams=last.streams)


@window("windows-may-be-negative", "OBS-026")
def negative(first: FlowReading, last: FlowReading) -> FlowReading:
    """A window may have counted less than nothing."""
    return replace(last.since(first), elements=last.elements - first.elements)

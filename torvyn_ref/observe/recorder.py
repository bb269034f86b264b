"""The observer that turns a flow's events into metrics (OBS-007..OBS-012).

It writes into objects that exist already, and raises nothing into the flow: an event that names an unknown stage or stream is counted in
`system.events_dropped` and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

from torvyn_ref.calls import Answer, Call, Cause, Element, Failure, Output, Signal
from torvyn_ref.events import Observer
from torvyn_ref.flow.settings import StageSetup
from torvyn_ref.flow.states import FlowState
from torvyn_ref.flow.statistics import FlowReport
from torvyn_ref.flow.topology import Topology
from torvyn_ref.ids import FlowId
from torvyn_ref.observe.metrics import FlowMetrics, Registry

_PUSH, _PULL = Call.PUSH, Call.PULL  # in Python 3.11 an enum member costs 90 ns through its class


class MetricsObserver(Observer):
    """Feeds one flow's metrics at the registry's level.

    Args:
        metrics: what to feed, as the registry made it.
        registry: says how much is recorded, from one event to the next.
        wall_offset_ns: what the driver adds to its clock to stamp elements: an element's stamp minus this is the instant of its entry.
    """

    __slots__ = ("_element", "_entered", "_metrics", "_registry", "_waiting", "_wall_offset")

    def __init__(self, metrics: FlowMetrics, registry: Registry, *, wall_offset_ns: int = 0) -> None:
        self._metrics = metrics
        self._registry = registry
        self._wall_offset = wall_offset_ns
        self._entered = 0
        self._element: Element | None = None
        self._waiting: list[dict[int, int]] = [{} for _ in metrics.streams]  # by stream: sequence → instant of entry

    def state(self, at: int, old: str, new: str) -> None:
        """Follow the flow's state, whatever the level: a gauge that stood still would lie."""
        del old
        self._metrics.state = FlowState(new)
        if new == FlowState.RUNNING:
            self._metrics.started_ns = at

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Note when the component was entered, and with what."""
        del stage, call
        self._entered = at
        self._element = element

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Count the call and its time; elements where they enter (OBS-007), and their age where they leave (OBS-008).

        An element leaves with the sink that is its last consumer: an element that goes to several sinks has one latency, its longest.
        """
        if not self._registry.records:
            return
        try:
            component = self._metrics.components[stage]
        except KeyError:
            self._registry.events_dropped += 1
            return
        component.invocations += 1
        component.processing_time.record(at - self._entered)
        if call is _PUSH:
            element = self._element
            if element is not None and element.uses <= 1 and isinstance(answer, Signal):
                self._metrics.latency.record(at + self._wall_offset - element.timestamp_ns)
        elif call is _PULL and isinstance(answer, Output):
            self._metrics.elements += 1

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Count the failure, for the component and for the flow (OBS-009)."""
        del at, action
        if not self._registry.records:
            return
        try:
            self._metrics.components[stage].errors += 1
        except KeyError:
            self._registry.events_dropped += 1
            return
        self._metrics.errors += 1
        if call is Call.PULL and failure.cause is Cause.OWNERSHIP:
            # What the source returned was not its own buffer, so nothing entered. `returned` counted it within the same step of the
            # driver: nobody has seen the higher number.
            self._metrics.elements -= 1

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Count the element and follow the depth (OBS-011)."""
        del credits_
        registry = self._registry
        if not registry.records:
            return
        try:
            metrics = self._metrics.streams[stream]
        except IndexError:
            registry.events_dropped += 1
            return
        metrics.transferred += 1
        metrics.depth = depth
        if depth > metrics.peak_depth:  # noqa: PLR1730  # max() costs as much as the rest of this method
            metrics.peak_depth = depth
        if registry.is_diagnostic:
            self._waiting[stream][element.sequence] = at

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Follow the depth; at level Diagnostic, record how long the element waited."""
        del credits_
        registry = self._registry
        if not registry.records:
            return
        try:
            metrics = self._metrics.streams[stream]
        except IndexError:
            registry.events_dropped += 1
            return
        metrics.depth = depth
        if self._waiting[stream]:
            entered = self._waiting[stream].pop(element.sequence, None)
            if entered is not None and registry.is_diagnostic:
                metrics.wait_time.record(at - entered)

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Forget that the element waited."""
        del at, reason
        if 0 <= stream < len(self._waiting):
            self._waiting[stream].pop(element.sequence, None)

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Count activations when they begin and their time when they end (OBS-010)."""
        registry = self._registry
        if not registry.records:
            return
        try:
            metrics = self._metrics.streams[stream]
        except IndexError:
            registry.events_dropped += 1
            return
        metrics.depth = depth
        if on:
            metrics.pressure_events += 1
            metrics.pressure_since = at
        else:
            if duration_ns is None and metrics.pressure_since is not None:
                duration_ns = at - metrics.pressure_since
            metrics.pressure_ns += duration_ns or 0
            metrics.pressure_since = None

    def done(self, at: int, report: FlowReport) -> None:
        """Keep what only the report knows: the flow's copies and the end of its life. Nothing is queued any more."""
        metrics = self._metrics
        metrics.state = report.state
        metrics.ended_ns = at
        for stream in metrics.streams:
            stream.depth = 0
        if self._registry.records:
            metrics.copies = sum(report.copies.values())
            metrics.copied_bytes = sum(report.copied_bytes.values())


def observe(
    registry: Registry, flow: FlowId, topology: Topology, setups: Mapping[str, StageSetup], *, wall_offset_ns: int = 0
) -> MetricsObserver:
    """Register a flow's metrics and return the observer that feeds them; the arguments are those of its driver.

    Raises:
        TorvynError: observe/duplicate-flow.
    """
    components = {stage.name: setups[stage.name].owner for stage in topology.stages}
    metrics = registry.register(flow, components, [str(edge) for edge in topology.edges])
    return MetricsObserver(metrics, registry, wall_offset_ns=wall_offset_ns)

"""The observer that turns a flow's events into metrics (OBS-007..OBS-012).

It writes into objects that exist already, and raises nothing into the flow: an event that names an unknown stage or stream is counted in
`system.events_dropped` and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torvyn_ref.calls import Answer, Call, Cause, Element, Failure, Output, Signal
from torvyn_ref.events import Observer, Watched
from torvyn_ref.flow.settings import StageSetup
from torvyn_ref.flow.states import FlowState
from torvyn_ref.flow.statistics import FlowReport
from torvyn_ref.flow.topology import Topology
from torvyn_ref.ids import FlowId
from torvyn_ref.observe.metrics import FlowMetrics, Registry

_PUSH: Final = Call.PUSH  # in Python 3.11 an enum member costs 90 ns through its class
_PULL: Final = Call.PULL


_ELEMENT_EVENTS: Final = frozenset({"enqueued", "dequeued", "dropped"})


class MetricsObserver(Observer):
    """Feeds one flow's metrics at the registry's level: a call at level production costs one event, an element's way through streams none.

    Args:
        metrics: what to feed, as the registry made it.
        registry: says how much is recorded, from one event to the next.
        wall_offset_ns: what the driver adds to its clock to stamp elements: an element's stamp minus this is the instant of its entry.
    """

    __slots__ = ("_components", "_flow", "_latency", "_metrics", "_registry", "_waiting", "_wall_offset")

    def __init__(self, metrics: FlowMetrics, registry: Registry, *, wall_offset_ns: int = 0) -> None:
        self._metrics = metrics
        self._registry = registry
        self._wall_offset = wall_offset_ns
        self._components = metrics.components
        self._latency = metrics.latency
        self._flow: Watched | None = None
        self._waiting: list[dict[int, int]] = [{} for _ in metrics.streams]  # by stream: sequence → instant of entry

    def connect(self, flow: Watched) -> None:
        """Read from the flow's streams, and follow the registry's level, until the flow is over."""
        self._flow = flow
        for stream in self._metrics.streams:
            stream.follow(flow.stream(stream.id))
            stream.record(on=self._registry.records)
        self._registry.follow(self._metrics.id, self._level_changed)

    def hears(self, event: str) -> bool:
        """Tell whether an event is recorded at the present level."""
        if event == "worked":
            return self._registry.records
        if event in _ELEMENT_EVENTS:
            return self._registry.is_diagnostic
        return super().hears(event)

    def _level_changed(self) -> None:
        """Listen to what the new level needs (OBS-012)."""
        for stream, waiting in zip(self._metrics.streams, self._waiting, strict=True):
            stream.record(on=self._registry.records)
            if self._registry.is_diagnostic:
                stream.unfollowed()
            waiting.clear()
        if self._flow is not None:
            self._flow.listen()

    def state(self, at: int, old: str, new: str) -> None:
        """Follow the flow's state, whatever the level: a gauge that stood still would lie."""
        del old
        self._metrics.state = FlowState(new)
        if new == FlowState.RUNNING:
            self._metrics.started_ns = at

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Record the call's time; elements where they enter (OBS-007), and their age where they leave (OBS-008).

        An element leaves with the sink that is its last consumer: an element that goes to several sinks has one latency, its longest.
        """
        if not self._registry.records:
            return
        component = self._components.get(stage)
        if component is None:
            self._registry.events_dropped += 1
            return
        component.processing_time.record(took_ns)
        if call is _PUSH:
            if element is not None and element.uses <= 1 and isinstance(answer, Signal):
                self._latency.record(at + self._wall_offset - element.timestamp_ns)
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
        """At level Diagnostic, note when the element began to wait, and how many do (OBS-027)."""
        del credits_
        if not self._registry.is_diagnostic:
            return
        if stream >= len(self._waiting):
            self._registry.events_dropped += 1
            return
        self._waiting[stream][element.sequence] = at
        self._metrics.streams[stream].deepened(at, depth)

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """At level Diagnostic, record how long the element waited, and how many still do (OBS-027)."""
        del credits_
        if not self._registry.is_diagnostic:
            return
        if stream >= len(self._waiting):
            self._registry.events_dropped += 1
            return
        self._metrics.streams[stream].deepened(at, depth)
        entered = self._waiting[stream].pop(element.sequence, None)
        if entered is not None:
            self._metrics.streams[stream].wait_time.record(at - entered)

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Forget that the element waited."""
        del reason
        if 0 <= stream < len(self._waiting):
            self._waiting[stream].pop(element.sequence, None)
            if self._registry.is_diagnostic:
                self._metrics.streams[stream].deepened(at, self._metrics.streams[stream].depth)

    def done(self, at: int, report: FlowReport) -> None:
        """Keep what only the report knows: the flow's copies and the end of its life."""
        metrics = self._metrics
        metrics.state = report.state
        metrics.ended_ns = at
        self._registry.follow(metrics.id, None)
        self._flow = None
        for stream in metrics.streams:
            stream.forget()
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

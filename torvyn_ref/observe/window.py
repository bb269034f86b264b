"""Readings of a flow's metrics, and what was measured between two of them (OBS-026)."""

from __future__ import annotations

from dataclasses import dataclass

from torvyn_ref.observe.histogram import Histogram
from torvyn_ref.observe.metrics import FlowMetrics


@dataclass(frozen=True, slots=True)
class ComponentReading:
    """One component's metrics at an instant, or between two."""

    errors: int
    processing_time: Histogram

    @property
    def invocations(self) -> int:
        """Return how many calls were recorded."""
        return self.processing_time.count

    def since(self, earlier: ComponentReading) -> ComponentReading:
        """Return what came after an earlier reading."""
        return ComponentReading(_rise(self.errors, earlier.errors), self.processing_time.since(earlier.processing_time))


@dataclass(frozen=True, slots=True)
class StreamReading:
    """One stream's metrics at an instant, or between two; depths are those of the later one."""

    transferred: int
    pressure_events: int
    pressure_ns: int
    depth: int
    peak_depth: int
    average_depth: float | None

    def since(self, earlier: StreamReading) -> StreamReading:
        """Return what came after an earlier reading."""
        return StreamReading(
            _rise(self.transferred, earlier.transferred),
            _rise(self.pressure_events, earlier.pressure_events),
            _rise(self.pressure_ns, earlier.pressure_ns),
            self.depth,
            self.peak_depth,
            self.average_depth,
        )


@dataclass(frozen=True, slots=True)
class FlowReading:
    """One flow's metrics at an instant, or between two; components by stage name, streams in the order of the flow's edges."""

    elements: int
    errors: int
    latency: Histogram
    components: dict[str, ComponentReading]
    streams: tuple[StreamReading, ...]

    @classmethod
    def of(cls, metrics: FlowMetrics) -> FlowReading:
        """Read metrics as they are now."""
        return cls(
            metrics.elements,
            metrics.errors,
            metrics.latency.copy(),
            {name: ComponentReading(each.errors, each.processing_time.copy()) for name, each in metrics.components.items()},
            tuple(
                StreamReading(each.transferred, each.pressure_events, each.pressure_ns, each.depth, each.peak_depth, each.average_depth)
                for each in metrics.streams
            ),
        )

    def since(self, earlier: FlowReading) -> FlowReading:
        """Return what was measured after an earlier reading of the same flow: counters are differences, never below 0."""
        return FlowReading(
            _rise(self.elements, earlier.elements),
            _rise(self.errors, earlier.errors),
            self.latency.since(earlier.latency),
            {name: each.since(earlier.components[name]) for name, each in self.components.items()},
            tuple(now.since(then) for now, then in zip(self.streams, earlier.streams, strict=True)),
        )


def _rise(now: int, then: int) -> int:
    return max(now - then, 0)

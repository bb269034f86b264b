"""The metrics of flows, components and streams, made when a flow is registered, never on its way (OBS-001, OBS-002, OBS-012).

Names in snapshots are those of the metric catalogue (spec/edges.md F.1). Counters are plain attributes: one reactor thread writes them, and
whoever reads sees a value that was true an instant ago.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.states import FlowState
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe.histogram import SECOND, Histogram
from torvyn_ref.resources import ResourceManager, Tier


class Level(StrEnum):
    """How much is observed: nothing, what a service needs, or also what costs a look-up per element (waiting times)."""

    OFF = "off"
    PRODUCTION = "production"
    DIAGNOSTIC = "diagnostic"


class ComponentMetrics:
    """One component's calls: every call counts, `init` and `teardown` too."""

    __slots__ = ("errors", "id", "invocations", "name", "processing_time")

    def __init__(self, name: str, component: Owner) -> None:
        self.name = name
        self.id = component
        self.invocations = 0
        self.errors = 0
        self.processing_time = Histogram()

    def as_dict(self) -> dict[str, Any]:
        """Return the component's metrics by name."""
        return {
            "component_id": int(self.id),
            "component": self.name,
            "component.invocations": self.invocations,
            "component.errors": self.errors,
            "component.processing_time": self.processing_time.as_dict(),
        }


class StreamMetrics:
    """One stream's elements, pressure and depth; times in nanoseconds."""

    __slots__ = ("depth", "id", "name", "peak_depth", "pressure_events", "pressure_ns", "pressure_since", "transferred", "wait_time")

    def __init__(self, name: str, stream: int) -> None:
        self.name = name
        self.id = stream
        self.transferred = 0
        self.pressure_events = 0
        self.pressure_ns = 0
        self.pressure_since: int | None = None
        self.depth = 0
        self.peak_depth = 0
        self.wait_time = Histogram()

    def as_dict(self) -> dict[str, Any]:
        """Return the stream's metrics by name."""
        return {
            "stream_id": self.id,
            "stream": self.name,
            "stream.elements.transferred": self.transferred,
            "stream.backpressure.events": self.pressure_events,
            "stream.backpressure.duration_ns": self.pressure_ns,
            "stream.queue.current_depth": self.depth,
            "stream.queue.peak_depth": self.peak_depth,
            "stream.queue.wait_time": self.wait_time.as_dict(),
        }


class FlowMetrics:
    """One flow's metrics, its components' by stage name and its streams' by edge index."""

    __slots__ = (
        "components",
        "copied_bytes",
        "copies",
        "elements",
        "ended_ns",
        "errors",
        "id",
        "latency",
        "started_ns",
        "state",
        "streams",
    )

    def __init__(self, flow: FlowId, components: Mapping[str, Owner], streams: Iterable[str]) -> None:
        self.id = flow
        self.state = FlowState.CREATED
        self.elements = 0
        self.errors = 0
        self.copies = 0  # final, once the flow is over; before that the copy ledger knows
        self.copied_bytes = 0
        self.started_ns: int | None = None
        self.ended_ns: int | None = None
        self.latency = Histogram()
        self.components = {name: ComponentMetrics(name, component) for name, component in components.items()}
        self.streams = [StreamMetrics(name, index) for index, name in enumerate(streams)]

    def active_ns(self, now: int) -> int:
        """Return for how long the flow has been running and draining."""
        if self.started_ns is None:
            return 0
        return (now if self.ended_ns is None else self.ended_ns) - self.started_ns

    def as_dict(self, now: int, resources: ResourceManager | None = None) -> dict[str, Any]:
        """Return the flow's metrics by name, as they are at this instant (monotonic ns); copies of a running flow need `resources`."""
        active = self.active_ns(now)
        copies, copied_bytes = self.copies, self.copied_bytes
        if resources is not None and not self.state.is_terminal:
            stats = resources.copy_stats(self.id)
            copies, copied_bytes = stats.total_copy_ops, stats.total_payload_bytes
        return {
            "flow_id": int(self.id),
            "flow.state": str(self.state),
            "flow.elements.total": self.elements,
            "flow.elements.errors": self.errors,
            "flow.latency": self.latency.as_dict(),
            "flow.throughput": self.elements * SECOND / active if active > 0 else 0.0,
            "flow.copies.total": copies,
            "flow.copies.bytes": copied_bytes,
            "flow.active_duration": active,
            "components": [component.as_dict() for component in self.components.values()],
            "streams": [stream.as_dict() for stream in self.streams],
        }


class Registry:
    """The metrics of every registered flow, and how much of what happens is recorded.

    Setting `level` takes effect with the next event, in running flows, too (OBS-012).
    """

    def __init__(self, *, level: Level = Level.PRODUCTION) -> None:
        self._flows: dict[FlowId, FlowMetrics] = {}
        self.flows_active = 0
        self.components_active = 0
        self.events_dropped = 0  # events that named no known stage or stream, and were not recorded
        self.level = level

    @property
    def level(self) -> Level:
        """Return how much is recorded."""
        return self._level

    @level.setter
    def level(self, level: Level) -> None:
        self._level = level
        self.records = level is not Level.OFF
        self.is_diagnostic = level is Level.DIAGNOSTIC

    def register(self, flow: FlowId, components: Mapping[str, Owner], streams: Iterable[str]) -> FlowMetrics:
        """Make a flow's metrics: components by stage name, streams by their edges' text.

        Raises:
            TorvynError: observe/duplicate-flow.
        """
        if flow in self._flows:
            raise TorvynError("observe", "duplicate-flow", f"flow {flow} is registered already", flow=flow)
        metrics = self._flows[flow] = FlowMetrics(flow, components, streams)
        self.flows_active += 1
        self.components_active += len(metrics.components)
        return metrics

    def deregister(self, flow: FlowId) -> FlowMetrics:
        """Forget a flow and return its metrics; the gauges go down by what they went up, never below 0.

        Raises:
            TorvynError: observe/unknown-flow.
        """
        metrics = self._flows.pop(flow, None)
        if metrics is None:
            raise TorvynError("observe", "unknown-flow", f"flow {flow} is not registered", flow=flow)
        self.flows_active = max(self.flows_active - 1, 0)
        self.components_active = max(self.components_active - len(metrics.components), 0)
        return metrics

    def flow(self, flow: FlowId) -> FlowMetrics:
        """Return a flow's metrics.

        Raises:
            TorvynError: observe/unknown-flow.
        """
        metrics = self._flows.get(flow)
        if metrics is None:
            raise TorvynError("observe", "unknown-flow", f"flow {flow} is not registered", flow=flow)
        return metrics

    def snapshot(self, now: int, resources: ResourceManager | None = None) -> dict[str, Any]:
        """Return everything as JSON-ready data at this instant (monotonic ns); with `resources`, pools and running copies, too."""
        return {
            "level": str(self._level),
            "system": {
                "system.flows.active": self.flows_active,
                "system.components.active": self.components_active,
                "system.events_dropped": self.events_dropped,
            },
            "flows": [metrics.as_dict(now, resources) for metrics in self._flows.values()],
            "pools": [] if resources is None else [_pool(resources, tier) for tier in Tier],
        }


def _pool(resources: ResourceManager, tier: Tier) -> dict[str, Any]:
    """Describe a pool; `reuse_rate` is the share of allocations that the pool served itself."""
    pool = resources.pool_metrics(tier)
    asked = pool.alloc_count + pool.fallback_count
    return {
        "tier": str(tier),
        "pool.capacity": pool.pool_size,
        "pool.available": pool.available,
        "pool.allocated": pool.alloc_count,
        "pool.returned": pool.return_count,
        "pool.fallback_count": pool.fallback_count,
        "pool.exhaustion_events": pool.exhaustion_count,
        "pool.reuse_rate": pool.alloc_count / asked if asked else 0.0,
    }

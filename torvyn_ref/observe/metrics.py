"""The metrics of flows, components and streams, made when a flow is registered, never on its way (OBS-001, OBS-002, OBS-012).

Names in snapshots are those of the metric catalogue (spec/edges.md F.1). Counters are plain attributes: one reactor thread writes them, and
whoever reads sees a value that was true an instant ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.states import FlowState
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe.histogram import SECOND, Histogram
from torvyn_ref.resources import ResourceManager, Tier
from torvyn_ref.streams import Stream


class Level(StrEnum):
    """How much is observed: nothing, what a service needs, or also what costs a look-up per element (waiting times)."""

    OFF = "off"
    PRODUCTION = "production"
    DIAGNOSTIC = "diagnostic"


class ComponentMetrics:
    """One component's calls: every call counts, `init` and `teardown` too."""

    __slots__ = ("errors", "id", "name", "processing_time")

    def __init__(self, name: str, component: Owner) -> None:
        self.name = name
        self.id = component
        self.errors = 0
        self.processing_time = Histogram()

    @property
    def invocations(self) -> int:
        """Return how many calls were recorded."""
        return self.processing_time.count

    def as_dict(self) -> dict[str, Any]:
        """Return the component's metrics by name."""
        return {
            "component_id": int(self.id),
            "component": self.name,
            "component.invocations": self.invocations,
            "component.errors": self.errors,
            "component.processing_time": self.processing_time.as_dict(),
        }


class _Counted(NamedTuple):
    """What a stream has counted; the time in nanoseconds."""

    elements: int = 0
    pressure_events: int = 0
    pressure_ns: int = 0


class StreamMetrics:
    """One stream's elements, pressure and depth; times in nanoseconds.

    The stream counts all of this for itself, so it is read when somebody asks, and no element pays for it a second time. What it counts
    while nothing is recorded is left out; its depth is what it is.
    """

    __slots__ = ("_area", "_area_at", "_area_from", "_depth", "_earlier", "_peak_earlier", "_since", "_stream", "id", "name", "wait_time")

    def __init__(self, name: str, stream: int) -> None:
        self.name = name
        self.id = stream
        self.wait_time = Histogram()
        self._peak_earlier = 0
        self._stream: Stream[Any] | None = None
        self._earlier = _Counted()
        self._since: _Counted | None = None  # what the stream had counted when recording began; None: nothing is recorded
        self._area = 0  # depth times nanoseconds, from `_area_from` to `_area_at`
        self._area_from: int | None = None  # None: the depth was never followed
        self._area_at = self._depth = 0

    def follow(self, stream: Stream[Any]) -> None:
        """Read from this stream, from the next `record` on."""
        self._stream = stream

    def record(self, *, on: bool) -> None:
        """Begin or end to record what the stream counts; what is so already stays so."""
        if on and self._since is None:
            self._since = self._count()
        elif not on and self._since is not None:
            self._earlier, self._peak_earlier, self._since = self._recorded(), self.peak_depth, None

    def forget(self) -> None:
        """Keep what was recorded, and let go of the stream, which is over."""
        self.record(on=False)
        self._stream = None

    @property
    def transferred(self) -> int:
        """Return how many elements have entered."""
        return self._recorded().elements

    @property
    def pressure_events(self) -> int:
        """Return how often pressure has begun."""
        return self._recorded().pressure_events

    @property
    def pressure_ns(self) -> int:
        """Return how long pressure has lasted, without an interval that still does."""
        return self._recorded().pressure_ns

    @property
    def depth(self) -> int:
        """Return how many elements wait now."""
        return 0 if self._stream is None else self._stream.depth

    @property
    def peak_depth(self) -> int:
        """Return the most elements that have waited; 0 when nothing was ever recorded."""
        if self._since is None or self._stream is None:
            return self._peak_earlier
        return self._stream.queue.peak

    def deepened(self, at: int, depth: int) -> None:
        """Note that so many elements wait from this instant on; at level Diagnostic, with every element."""
        if self._area_from is None:
            self._area_from = at
        else:
            self._area += self._depth * (at - self._area_at)
        self._area_at, self._depth = at, depth

    def unfollowed(self) -> None:
        """Forget how deep the queue was: nobody has told for some time."""
        self._area, self._area_from = 0, None

    @property
    def average_depth(self) -> float | None:
        """Return how many elements waited, averaged over the time between the first and the last change of it (OBS-027).

        None when nobody counted, at any level but Diagnostic; the depth, when it changed in no time.
        """
        if self._area_from is None:
            return None
        time = self._area_at - self._area_from
        return self._area / time if time else float(self._depth)

    def _count(self) -> _Counted:
        stream = self._stream
        return _Counted() if stream is None else _Counted(stream.elements, stream.pressure_events, stream.pressure_ns)

    def _recorded(self) -> _Counted:
        if self._since is None:
            return self._earlier
        return _Counted(*(was + now - then for was, now, then in zip(self._earlier, self._count(), self._since, strict=True)))

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
            "stream.queue.average_depth": self.average_depth,
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
        self._followers: dict[FlowId, Callable[[], object]] = {}
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
        for level_changed in tuple(self._followers.values()):
            level_changed()

    def follow(self, flow: FlowId, level_changed: Callable[[], object] | None) -> None:
        """Call this whenever the level is set, for a running flow; None ends it."""
        if level_changed is None:
            self._followers.pop(flow, None)
        else:
            self._followers[flow] = level_changed

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
        self._followers.pop(flow, None)
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

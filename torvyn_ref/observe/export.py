"""Snapshots for others: JSON text, and Prometheus' exposition format where the `prometheus` extra is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torvyn_ref.errors import TorvynError
from torvyn_ref.observe.metrics import Registry
from torvyn_ref.resources import ResourceManager

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

COUNTERS = {
    "flow.elements.total": "Elements that entered at the flow's sources.",
    "flow.elements.errors": "Failures of the flow's components.",
    "flow.copies.total": "Copies across component boundaries.",
    "flow.copies.bytes": "Bytes copied across component boundaries.",
    "component.invocations": "Calls of the component.",
    "component.errors": "Failures of the component.",
    "stream.elements.transferred": "Elements that entered the stream.",
    "stream.backpressure.events": "How often pressure set in.",
    "stream.backpressure.duration_ns": "Nanoseconds under pressure.",
    "pool.allocated": "Buffers taken from the pool.",
    "pool.returned": "Buffers given back to the pool.",
    "pool.fallback_count": "Buffers made because the pool was empty.",
    "pool.exhaustion_events": "Requests that found the pool empty.",
    "system.events_dropped": "Events that could not be recorded.",
}
GAUGES = {
    "flow.throughput": "Elements per second of active duration.",
    "flow.active_duration": "Nanoseconds running and draining.",
    "stream.queue.current_depth": "Elements queued.",
    "stream.queue.peak_depth": "The most elements ever queued.",
    "pool.capacity": "Buffers that the pool keeps.",
    "pool.available": "Buffers free in the pool.",
    "pool.reuse_rate": "The share of allocations that the pool served.",
    "system.flows.active": "Registered flows.",
    "system.components.active": "Components of registered flows.",
}
HISTOGRAMS = {
    "flow.latency": "Nanoseconds from source entry to sink exit.",
    "component.processing_time": "Nanoseconds inside the component.",
    "stream.queue.wait_time": "Nanoseconds an element waited in the stream.",
}
LABELS = ("flow_id", "component_id", "component", "stream_id", "stream", "tier")


def to_json(registry: Registry, now: int, resources: ResourceManager | None = None) -> str:
    """Return a snapshot as JSON text."""
    return json.dumps(registry.snapshot(now, resources), indent=2)


def to_prometheus(registry: Registry, now: int, resources: ResourceManager | None = None) -> str:
    """Return a snapshot in Prometheus' text format: names begin with `torvyn_`, dots become underscores, times stay nanoseconds.

    Raises:
        TorvynError: observe/missing-extra, when prometheus-client is not installed.
    """
    try:
        import prometheus_client  # noqa: PLC0415  # an optional extra: imported by whoever asks for it
    except ImportError as error:
        raise TorvynError(
            "observe",
            "missing-extra",
            "the Prometheus format needs the package prometheus-client, which is not installed",
            hint="install torvyn-conformance[prometheus]",
        ) from error

    snapshot = registry.snapshot(now, resources)

    class Snapshot:
        """One scrape."""

        def collect(self) -> Iterator[Metric]:
            """Yield the metric families."""
            return _families(snapshot)

    target = prometheus_client.CollectorRegistry(auto_describe=False)
    target.register(Snapshot())
    return prometheus_client.generate_latest(target).decode()


def _families(snapshot: dict[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import (  # noqa: PLC0415  # an optional extra: `to_prometheus` has found it
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    rows = list(_rows(snapshot))

    def having(name: str) -> list[tuple[dict[str, str], Any]]:
        return [(labels, values[name]) for labels, values in rows if name in values]

    for name, text in COUNTERS.items():
        if found := having(name):
            counter = CounterMetricFamily(_name(name), text, labels=list(found[0][0]))
            for labels, value in found:
                counter.add_metric(list(labels.values()), value)
            yield counter
    for name, text in GAUGES.items():
        if found := having(name):
            gauge = GaugeMetricFamily(_name(name), text, labels=list(found[0][0]))
            for labels, value in found:
                gauge.add_metric(list(labels.values()), value)
            yield gauge
    for name, text in HISTOGRAMS.items():
        if found := having(name):
            histogram = HistogramMetricFamily(_name(name), text, labels=list(found[0][0]))
            for labels, value in found:
                histogram.add_metric(list(labels.values()), _cumulative(value["buckets"]), value["sum"])
            yield histogram


def _rows(snapshot: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield (labels, metrics) for the system, each pool, flow, component and stream; rows of one kind have the same labels."""
    yield {}, snapshot["system"]
    for pool in snapshot["pools"]:
        yield _labels(pool), pool
    for flow in snapshot["flows"]:
        yield _labels(flow), flow
        for part in (*flow["components"], *flow["streams"]):
            yield _labels(flow) | _labels(part), part


def _labels(row: dict[str, Any]) -> dict[str, str]:
    return {label: str(row[label]) for label in LABELS if label in row}


def _name(metric: str) -> str:
    return "torvyn_" + metric.replace(".", "_")


def _cumulative(buckets: list[list[int | None]]) -> list[tuple[str, float]]:
    """Turn counts per bucket into Prometheus' counts up to each edge."""
    total = 0
    upto: list[tuple[str, float]] = []
    for edge, held in buckets:
        assert held is not None
        total += held
        upto.append(("+Inf" if edge is None else str(edge), total))
    return upto

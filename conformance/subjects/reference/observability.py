"""Facet observability over `torvyn_ref.observe`."""

from __future__ import annotations

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.flows import FLOW, ReferenceFlows, Watch
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe import LATENCY_NS, SIZE_BYTES, FlowReading, Histogram, Level


class ReferenceObservability:
    """The messages `observability.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts
        self._flows = ReferenceFlows(parts)

    def histogram(self, request: p.FillHistogram) -> p.HistogramReply:
        """Fill a histogram."""
        edges = {"latency": LATENCY_NS, "size": SIZE_BYTES}.get(request.kind, request.edges)
        histogram = self._parts.histogram(edges)
        for value in request.values:
            histogram.record(value)
        return p.HistogramReply(_histogram(histogram), tuple(float(histogram.percentile(each)) for each in request.percentiles))

    def registry(self, request: p.KeepRegistry) -> p.RegistryReply:
        """Register flows, and deregister them."""
        registry = self._parts.registry()
        outcomes = []
        for step in request.steps:
            flow, figures, outcome = FlowId(step.flow), None, "done"
            try:
                if step.do == "register":
                    owners = {name: Owner(index) for index, name in enumerate(step.components, 1)}
                    metrics = registry.register(flow, owners, [f"stream {index}" for index in range(step.streams)])
                    figures = _figures(FlowReading.of(metrics), ())
                else:
                    registry.deregister(flow)
            except TorvynError as error:
                outcome = error.kind
            outcomes.append(p.RegistryOutcome(outcome, registry.flows_active, registry.components_active, figures))
        return p.RegistryReply(tuple(outcomes))

    def run(self, request: p.ObserveFlow) -> p.ObservedReply:
        """Run a flow that is watched."""
        spec = request.spec
        registry = self._parts.registry(level=Level(request.level))
        owners = {stage.name: Owner(index) for index, stage in enumerate(spec.stages, 1)}
        metrics = registry.register(FLOW, owners, [f"{edge.source}:{edge.port} -> {edge.target}" for edge in spec.edges])
        wanted, taken = sorted(request.readings), list[FlowReading]()
        switches = {switch.after_calls: Level(switch.level) for switch in request.switches}

        def watch(clock: VirtualClock) -> Watch:
            return Watch(self._parts.metrics(metrics, registry, wall_offset_ns=clock.wall_ns() - clock.monotonic_ns()), after_call)

        def after_call(calls: int) -> None:
            level = switches.get(calls)
            if level is not None:
                registry.level = level
            while len(taken) < len(wanted) and wanted[len(taken)] <= calls:
                taken.append(FlowReading.of(metrics))

        run = self._flows.play(spec, watch)
        taken += [FlowReading.of(metrics) for _ in range(len(wanted) + 1 - len(taken))]
        if any(max(window.first, window.last) >= len(taken) for window in request.windows):
            raise Refused("invalid-window", f"there are {len(taken)} readings")
        windows = (self._parts.window(taken[window.first], taken[window.last]) for window in request.windows)
        return p.ObservedReply(
            run,
            tuple(_figures(reading, request.percentiles) for reading in taken),
            tuple(_figures(window, request.percentiles) for window in windows),
        )


def _histogram(histogram: Histogram) -> p.HistogramData:
    return p.HistogramData(
        histogram.edges, tuple(histogram.buckets), histogram.count, histogram.total, histogram.minimum, histogram.maximum
    )


def _figures(reading: FlowReading, percentiles: tuple[float, ...]) -> p.FlowFigures:
    return p.FlowFigures(
        reading.elements,
        reading.errors,
        _histogram(reading.latency),
        {
            name: p.ComponentFigures(each.invocations, each.errors, _histogram(each.processing_time))
            for name, each in reading.components.items()
        },
        tuple(
            p.StreamFigures(each.transferred, each.pressure_events, each.pressure_ns, each.depth, each.peak_depth, each.average_depth)
            for each in reading.streams
        ),
        tuple(float(reading.latency.percentile(each)) for each in percentiles),
    )

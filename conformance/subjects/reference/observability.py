"""Facet observability over `torvyn_ref.observe`."""

from __future__ import annotations

from dataclasses import fields

import msgspec

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.flows import FLOW, ReferenceFlows, Watch
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.events import Observer, Observers
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe import LATENCY_NS, SIZE_BYTES, FlowReading, Histogram, Level
from torvyn_ref.observe.diagnostics import Event
from torvyn_ref.observe.spans import SPAN_BYTES, TRACE_BYTES, Context, Flags, FlowTrace, hex_of
from torvyn_ref.resources import ResourceManager


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
        made = self._parts.observation
        wanted, taken = sorted(request.readings), list[FlowReading]()
        switches = {switch.after_calls: Level(switch.level) for switch in request.switches}

        trace, channel = self._trace(request.tracing), made.channel()

        def watch(clock: VirtualClock, manager: ResourceManager) -> Watch:
            offset = clock.wall_ns() - clock.monotonic_ns()
            observers: list[Observer] = [self._parts.metrics(metrics, registry, wall_offset_ns=offset)]
            if trace is not None:
                observers.append(made.tracer(FLOW, owners, trace, registry, manager, ids=made.ids(), wall_offset_ns=offset))
            if request.events:
                observers.append(made.events(channel.emitter(FLOW), registry, owners, clock.monotonic_ns))
            return Watch(Observers(observers), after_call)

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
            "" if trace is None else made.export(trace.exported),
            promoted=trace is not None and trace.promoted,
            events=tuple(event.to_json() for event in channel.read()),
        )

    def _trace(self, settings: p.TraceSettings | None) -> FlowTrace | None:
        if settings is None:
            return None
        made = self._parts.observation
        threshold = settings.latency_threshold_ms * 1_000_000
        return made.trace(settings.sample_rate, settings.error_promote, threshold, made.ring(settings.ring_capacity))

    def ids(self, request: p.MakeTraceIds) -> p.TraceIdsReply:
        """Make ids."""
        source = self._parts.observation.ids()
        count = range(request.count)
        return p.TraceIdsReply(tuple(hex_of(source.trace_id()) for _ in count), tuple(hex_of(source.span_id()) for _ in count))

    def context(self, request: p.DescendContext) -> p.ContextsReply:
        """Make a chain of children."""
        made, given = self._parts.observation, request.context
        parent = None if given.parent is None else made.parse_id(given.parent, SPAN_BYTES)
        context = Context(made.parse_id(given.trace_id, TRACE_BYTES), made.parse_id(given.span_id, SPAN_BYTES), parent, Flags(given.flags))
        contexts = []
        for _ in range(request.length):
            context = made.child(context, made.ids())
            above = None if context.parent is None else hex_of(context.parent)
            contexts.append(p.TraceContext(hex_of(context.trace_id), hex_of(context.span_id), int(context.flags), above))
        return p.ContextsReply(tuple(contexts))

    def sample(self, request: p.SampleTraces) -> p.SampledReply:
        """Decide about traces."""
        made = self._parts.observation
        return p.SampledReply(tuple(made.sampled(made.parse_id(each, TRACE_BYTES), request.rate) for each in request.trace_ids))

    def ring(self, request: p.UseRing) -> p.RingReply:
        """Push and drain."""
        ring = self._parts.observation.ring(request.capacity)
        drained = []
        for step in request.steps:
            if step is None:
                drained.append(ring.drain())
            else:
                ring.push(step)
        return p.RingReply(tuple(drained), len(ring))

    def events(self, request: p.UseEvents) -> p.EventsReply:
        """Emit events, and read them."""
        made = self._parts.observation
        recent = made.recent() if request.recent is None else made.recent(request.recent)
        channel = made.channel(recent=recent) if request.capacity is None else made.channel(request.capacity, recent=recent)
        seen: list[tuple[Event, ...]] = []
        number = 0
        for step in request.steps:
            flow = FlowId(step.flow)
            if step.do == "emit":
                emitter = channel.emitter(flow)
                for _ in range(step.count):
                    if step.per_flow:
                        emitter.emit("component.slow", number)
                    else:
                        channel.emit(Event("component.slow", number, flow))
                    number += 1
            elif step.do == "read":
                seen.append(channel.read(step.count))
            elif step.do == "recent":
                seen.append(recent.recent(step.count))
            else:
                seen.append(recent.for_flow(flow))
        return p.EventsReply(tuple(tuple(event.at for event in events) for events in seen), channel.dropped)

    def settings(self, request: p.CheckSettings) -> p.SettingsReply:
        """Check settings, and fill in what is missing."""
        given = {name: value for name, value in msgspec.structs.asdict(request.settings).items() if value is not None}
        try:
            if "level" in given:
                given["level"] = Level(given["level"])
            settings = self._parts.observation.settings(**given)
        except ValueError as error:
            raise Refused("invalid-settings", str(error), {"settings": ["level"]}) from error
        except TorvynError as error:
            wrong = [one.where for one in (error.errors if isinstance(error, TorvynErrors) else (error,))]
            raise Refused("invalid-settings", error.message, {"settings": wrong}) from error
        said = {each.name: getattr(settings, each.name) for each in fields(settings)}
        said |= {"level": str(settings.level), "inspection_token": settings.inspection_token or ""}
        return p.SettingsReply(p.ObservationSettings(**said))


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

"""Facet `observability`: histograms and registrations by hand, and whole flows that are watched while they run."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from conformance.subjects.protocol.base import U64, Message, Reply, Request
from conformance.subjects.protocol.flows import FlowRunReply, FlowSpec

LevelName = Literal["off", "production", "diagnostic"]


class HistogramData(Message, frozen=True):
    """A histogram: `buckets` has one count per edge, each for values up to and including it, and one more for what lies above the last.

    `sum`, `least` and `most` are of the values recorded; least and most are 0 when there are none (OBS-006).
    """

    edges: tuple[U64, ...]
    buckets: tuple[U64, ...]
    count: U64
    sum: U64
    least: U64
    most: U64


class FillHistogram(Request, frozen=True, tag="observability.histogram"):
    """Record values in a fresh histogram, in this order → `histogram`.

    Attributes:
        values: in nanoseconds (latency) or bytes (size).
        kind: which of the two fixed sets of buckets, or `custom` with `edges` of its own; those have to be positive and strictly ascending,
            anything else is the fault `invalid-buckets`.
        percentiles: which to compute, from 0 to 100.
    """

    values: tuple[U64, ...]
    kind: Literal["latency", "size", "custom"] = "latency"
    edges: tuple[U64, ...] = ()
    percentiles: tuple[float, ...] = ()


class HistogramReply(Reply, frozen=True, tag="histogram"):
    """The histogram, and the percentiles that were asked for, in that order."""

    histogram: HistogramData
    percentiles: tuple[float, ...] = ()


class ComponentFigures(Message, frozen=True):
    """A component's metrics: every call counts, `init` and `teardown` too. Times in nanoseconds."""

    invocations: U64
    errors: U64
    processing_time: HistogramData


class StreamFigures(Message, frozen=True):
    """A stream's metrics; `pressure_ns` without an interval that still lasts. `average_depth` is None where it is not kept."""

    transferred: U64
    pressure_events: U64
    pressure_ns: U64
    depth: U64
    peak_depth: U64
    average_depth: float | None = None


class FlowFigures(Message, frozen=True):
    """A flow's metrics, its components' by name and its streams' in the order of its edges.

    Attributes:
        elements: `flow.elements.total`, those that entered at sources.
        latency: `flow.latency`, from an element's entry at a source to its exit at a sink.
        latency_percentiles: those that the request names.
    """

    elements: U64
    errors: U64
    latency: HistogramData
    components: dict[str, ComponentFigures]
    streams: tuple[StreamFigures, ...]
    latency_percentiles: tuple[float, ...] = ()


class RegistryStep(Message, frozen=True):
    """One thing that is done to a registry of metrics: a flow is registered with its components and number of streams, or deregistered."""

    do: Literal["register", "deregister"]
    flow: U64
    components: tuple[str, ...] = ()
    streams: U64 = 0


class KeepRegistry(Request, frozen=True, tag="observability.registry"):
    """Do one thing after the other to a fresh registry → `registry`. A step that is refused is an outcome, and the next one follows."""

    steps: tuple[RegistryStep, ...]


class RegistryOutcome(Message, frozen=True):
    """What came of a step, and the gauges after it.

    Attributes:
        outcome: done, duplicate-flow or unknown-flow.
        flows_active, components_active: the gauges.
        figures: the metrics of the step's flow, when it was registered.
    """

    outcome: str
    flows_active: int
    components_active: int
    figures: FlowFigures | None = None


class RegistryReply(Reply, frozen=True, tag="registry"):
    """One outcome for each step."""

    outcomes: tuple[RegistryOutcome, ...]


class LevelSwitch(Message, frozen=True):
    """The level is set to this when so many component calls have returned."""

    after_calls: U64
    level: LevelName


class Window(Message, frozen=True):
    """A measurement, from the reading with one index to the reading with another."""

    first: U64
    last: U64


class TraceSettings(Message, frozen=True):
    """How a flow is traced: OBS-015 to OBS-018 say what the settings mean. A threshold of 0 is none."""

    sample_rate: float = 0.01
    error_promote: bool = True
    latency_threshold_ms: U64 = 10
    ring_capacity: U64 = 64


class ObserveFlow(Request, frozen=True, tag="observability.run"):
    """Run a flow to its end on a virtual clock, as `flows.run` does, and watch it → `observed`.

    Attributes:
        level: what is recorded at its start; `switches` change that while it runs.
        readings: its metrics are read when so many component calls have returned, and once more when it is over. One that is not reached is
            read at the end.
        windows: what was measured between two readings (the one at the end has the last index) is reported by itself.
        percentiles: of latencies, those that every reading and window has.
        tracing: how spans are sampled and kept; None traces nothing.
        events: whether diagnostic events are wanted.
    """

    spec: FlowSpec
    level: LevelName = "production"
    switches: tuple[LevelSwitch, ...] = ()
    readings: tuple[U64, ...] = ()
    windows: tuple[Window, ...] = ()
    percentiles: tuple[float, ...] = ()
    tracing: TraceSettings | None = None
    events: bool = False


class ObservedReply(Reply, frozen=True, tag="observed"):
    """The run, as `flows.run` reports it, and what was seen of it: readings in the order of time, and windows as asked.

    Attributes:
        spans: what was exported, in that order, as one OTLP/JSON ExportTraceServiceRequest; empty without tracing.
        promoted: whether the flow was promoted to full tracing.
        events: the diagnostic events, oldest first, each as the JSON object that the runtime writes.
    """

    run: FlowRunReply
    readings: tuple[FlowFigures, ...]
    windows: tuple[FlowFigures, ...] = ()
    spans: str = ""
    promoted: bool = False
    events: tuple[str, ...] = ()


class MakeTraceIds(Request, frozen=True, tag="observability.ids"):
    """Make so many trace ids and as many span ids, as fast as they come → `trace-ids`."""

    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class TraceIdsReply(Reply, frozen=True, tag="trace-ids"):
    """The ids, as they are written."""

    trace_ids: tuple[str, ...]
    span_ids: tuple[str, ...]


class TraceContext(Message, frozen=True):
    """A place in a trace: ids as they are written; no parent for a root."""

    trace_id: str
    span_id: str
    flags: U64 = 0
    parent: str | None = None


class DescendContext(Request, frozen=True, tag="observability.context"):
    """Read a context from outside, and make a chain of so many children → `contexts`; fault `invalid-id` when an id of it is none."""

    context: TraceContext
    length: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class ContextsReply(Reply, frozen=True, tag="contexts"):
    """The chain, eldest first, without the context that was given."""

    contexts: tuple[TraceContext, ...]


class SampleTraces(Request, frozen=True, tag="observability.sample"):
    """Decide which traces are sampled at a rate (which may lie outside of 0 to 1) → `sampled`."""

    rate: float
    trace_ids: tuple[str, ...]


class SampledReply(Reply, frozen=True, tag="sampled"):
    """One decision for each trace id."""

    decisions: tuple[bool, ...]


class UseRing(Request, frozen=True, tag="observability.ring"):
    """Push numbers into a fresh ring of spans, and drain it → `ring`; fault `invalid-capacity`.

    Attributes:
        steps: a number is pushed, null drains.
    """

    capacity: U64
    steps: tuple[U64 | None, ...]


class RingReply(Reply, frozen=True, tag="ring"):
    """What each draining gave, and how many entries are left."""

    drained: tuple[tuple[U64, ...], ...]
    left: U64


class EventStep(Message, frozen=True):
    """One thing that is done to a channel of diagnostic events, and to the buffer of recent ones behind it.

    `do` is one of: emit (so many events of a flow, through an emitter of its own if `per_flow`; every event emitted has the next number,
    from 0), read (take up to so many from the channel), recent (ask for so many recent ones), for-flow (ask for a flow's recent ones).
    """

    do: Literal["emit", "read", "recent", "for-flow"]
    count: U64 = 0
    flow: U64 = 1
    per_flow: bool = False


class UseEvents(Request, frozen=True, tag="observability.events"):
    """Do one thing after the other to a fresh channel → `events`.

    Attributes:
        capacity: of the channel; None is the runtime's own, 8192.
        recent: how many recent events are kept; None is the runtime's own.
    """

    steps: tuple[EventStep, ...]
    capacity: Annotated[int, msgspec.Meta(ge=1)] | None = None
    recent: Annotated[int, msgspec.Meta(ge=1)] | None = None


class EventsReply(Reply, frozen=True, tag="events"):
    """For each step but `emit` the numbers of the events it gave, in their order; and how many events have been lost (`events_dropped`)."""

    seen: tuple[tuple[U64, ...], ...]
    dropped: U64


class ObservationSettings(Message, frozen=True):
    """Settings of observability; what is None in a request is the runtime's default.

    Attributes:
        level: off, production or diagnostic.
        latency_threshold_ms: beyond which a latency promotes a flow; 0 for never.
        ring_capacity: spans kept for a flow that is not sampled.
        histogram_buckets: edges of one's own; empty for the usual ones.
        exporter: none, stdout, file, otlp-http or otlp-grpc.
        batch_size, interval_ms: of exports.
        inspection_port, inspection_token: where the runtime can be inspected; a token of "" is none.
    """

    level: str | None = None
    sample_rate: float | None = None
    error_promote: bool | None = None
    latency_threshold_ms: int | None = None
    ring_capacity: int | None = None
    histogram_buckets: tuple[int, ...] | None = None
    exporter: str | None = None
    endpoint: str | None = None
    batch_size: int | None = None
    interval_ms: int | None = None
    inspection_port: int | None = None
    inspection_token: str | None = None


class CheckSettings(Request, frozen=True, tag="observability.settings"):
    """Check settings, and fill in the defaults → `settings`; fault `invalid-settings`.

    The fault's `fields` name under `settings` those that are refused.
    """

    settings: ObservationSettings = ObservationSettings()


class SettingsReply(Reply, frozen=True, tag="settings"):
    """The settings as they will be used, every one filled in; the endpoint may stay None."""

    settings: ObservationSettings

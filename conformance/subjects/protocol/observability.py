"""Facet `observability`: histograms and registrations by hand, and whole flows that are watched while they run."""

from __future__ import annotations

from typing import Literal

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


class ObserveFlow(Request, frozen=True, tag="observability.run"):
    """Run a flow to its end on a virtual clock, as `flows.run` does, and watch it → `observed`.

    Attributes:
        level: what is recorded at its start; `switches` change that while it runs.
        readings: its metrics are read when so many component calls have returned, and once more when it is over. One that is not reached is
            read at the end.
        windows: what was measured between two readings (the one at the end has the last index) is reported by itself.
        percentiles: of latencies, those that every reading and window has.
    """

    spec: FlowSpec
    level: LevelName = "production"
    switches: tuple[LevelSwitch, ...] = ()
    readings: tuple[U64, ...] = ()
    windows: tuple[Window, ...] = ()
    percentiles: tuple[float, ...] = ()


class ObservedReply(Reply, frozen=True, tag="observed"):
    """The run, as `flows.run` reports it, and what was seen of it: readings in the order of time, and windows as asked."""

    run: FlowRunReply
    readings: tuple[FlowFigures, ...]
    windows: tuple[FlowFigures, ...] = ()

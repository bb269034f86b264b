"""Facet `flows`: whole flows of scripted components, as data."""

from __future__ import annotations

from typing import Annotated

import msgspec

from conformance.subjects.protocol.base import U32, Message, Reply, Request, check_finite
from conformance.traces.events import AnyEvent


class Answer(Message, frozen=True):
    """What a scripted component answers to one call, and what it does meanwhile.

    `do` is one of: emit (a new element), drop (process/ingest: nothing), end (pull: exhausted), ok, error, trap, ready, pause, pass,
    reject, route; and hang: the call does not return until the runtime interrupts it, and then it traps (capability virtual_clock).

    Attributes:
        size: emit by a source or a flush: payload bytes. The payload starts with `NAME#N ` (stage name, number of the emit, from 0), then
        dots,
            cut to `size` but never below the tag. A processor or aggregator that emits during a data call copies the payload it was given.
        count: flush: how many elements to emit.
        claims_sequence: the sequence that the component writes into its metadata; the runtime must overwrite it (ORD-002).
        keeps: mutable buffers of 16 bytes that the component allocates and never gives back.
        reads: how often the component reads the whole payload that it was given, besides what an emit reads.
        chunk: those reads go in pieces of so many bytes; 0 for one piece.
        clones: emit during a data call: by clone-into-mutable, not by reading and writing.
        spends_ns: virtual time that passes during the call; a call that reaches its bound is interrupted there, and traps.
        deaf: a call that spends time or hangs does not react to an interruption: its instance has to be dropped (virtual_clock).
    """

    do: str
    size: int = 8
    count: int = 0
    content_type: str = ""
    claims_sequence: int = 0
    kind: str = "internal"
    message: str = ""
    ports: tuple[str, ...] = ()
    keeps: int = 0
    spends_ns: int = 0
    reads: U32 = 0
    chunk: U32 = 0
    clones: bool = False
    deaf: bool = False


class Script(Message, frozen=True):
    """A component as data: its answers to its data call in order, then `then` for ever; and its answers to the other calls.

    Without `then`, a source ends, a processor emits, a sink is ready, a filter lets pass, a router routes to no port, an aggregator drops.
    A component without `lifecycle` exports neither init nor teardown. `flush` is an aggregator's, `complete` a sink's. A `teardown` other
    than `ok` takes the capability virtual_clock.
    """

    answers: tuple[Answer, ...] = ()
    then: Answer | None = None
    lifecycle: bool = False
    init: Answer = Answer("ok")
    teardown: Answer = Answer("ok")
    complete: Answer = Answer("ok")
    flush: Answer = Answer("emit")


class StageSpec(Message, frozen=True):
    """A stage: its name, role (source, processor, sink, filter, router, aggregator) and script."""

    name: str
    role: str
    script: Script = Script()


class StreamDefaults(Message, frozen=True):
    """What streams get that do not say it themselves, at one level of configuration; None leaves it to the level below."""

    capacity: int | None = None
    low_watermark_ratio: float | None = None
    policy: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no JSON number can say, so that both doors see the same values."""
        if self.low_watermark_ratio is not None:
            check_finite(self.low_watermark_ratio)


class EdgeSpec(Message, frozen=True):
    """A stream between two stages; the output port is the source's, inputs have one port.

    `rate_per_s` belongs to the policy `rate-limit` (capability rate_limit): elements per second that may enter. `inherits` names settings
    (capacity, low_watermark_ratio, policy) that the stream does not set: it gets the flow's, else the host's (capability stream_defaults).
    """

    source: str
    target: str
    port: str = "default"
    capacity: int = 64
    low_watermark_ratio: float = 0.5
    policy: str = "block-producer"
    rate_per_s: float = 0.0
    inherits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no JSON number can say, so that both doors see the same values."""
        check_finite(self.low_watermark_ratio)
        check_finite(self.rate_per_s)


class Schedule(Message, frozen=True):
    """Which ready stage runs next: `policy` is consumer-first, producer-first or scripted.

    Scripted: the k-th decision takes ready[choices[k] mod len(ready)], with the ready stages in topological order (ties by declaration);
    after the last choice, consumer-first.
    """

    policy: str = "consumer-first"
    choices: tuple[int, ...] = ()


class Command(Message, frozen=True):
    """Something an operator does: `do` it (cancel) when `after_calls` component calls have returned.

    Attributes:
        at_ms: and not before so many milliseconds of virtual time have passed since the flow's first event; that may be in the middle of a
            call (capability virtual_clock).
        callers: from so many threads at once (capability concurrency).
    """

    after_calls: int
    do: str = "cancel"
    at_ms: U32 = 0
    callers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1


class FlowSettings(Message, frozen=True):
    """How a flow runs; the time quantum is off, time is virtual. Durations in milliseconds.

    Attributes:
        elements_per_yield: stage executions between two yields; None takes the priority's.
        priority: critical, high, normal, low or background.
        call_timeout_ms, init_timeout_ms, teardown_timeout_ms: bounds of one call, of one init, of one teardown (virtual_clock, as all that
            follow up to the sink's delay).
        cooperative_ms: how long a call in flight may still take after a cancel; then it is interrupted.
        interrupt_grace_ms: how long after that an instance that does not react is dropped.
        sink_pause_delay_ms: first delay before a paused sink is probed.
        fan_out: min-credit, or independent-per-branch (capability independent_per_branch).
        breaker_threshold: `unavailable` answers in a row that open a component's circuit; 0 for none (capability circuit_breaker).
        breaker_cooldown_ms: how long it stays open.
        observer_holds: whoever watches the flow has room for so many of its events, and takes one per millisecond of its clock; 0 when it
            takes each at once. A runtime that calls its observers has nothing between that could be full, and ignores it.
    """

    elements_per_yield: int | None = 32
    priority: str = "normal"
    error_policy: str = "fail-fast"
    max_retries: int = 0
    backoff_ms: int = 0
    drain_timeout_ms: int = 5000
    deadline_ms: int | None = None
    call_timeout_ms: U32 = 5000
    init_timeout_ms: U32 = 5000
    teardown_timeout_ms: U32 = 2000
    cooperative_ms: U32 = 1000
    interrupt_grace_ms: U32 = 500
    sink_pause_delay_ms: U32 = 1
    fan_out: str = "min-credit"
    breaker_threshold: U32 = 0
    breaker_cooldown_ms: U32 = 0
    observer_holds: U32 = 0


class FlowSpec(Message, frozen=True):
    """A whole flow as data.

    `max_calls` bounds the run: a subject that reaches it stops the flow as an operator would, and reports the reason `max-calls`.
    `defaults` are the flow's for its streams, `host_defaults` the host's for those of all flows (capability stream_defaults).
    """

    stages: tuple[StageSpec, ...]
    edges: tuple[EdgeSpec, ...]
    schedule: Schedule = Schedule()
    settings: FlowSettings = FlowSettings()
    commands: tuple[Command, ...] = ()
    max_calls: int = 100_000
    defaults: StreamDefaults = StreamDefaults()
    host_defaults: StreamDefaults = StreamDefaults()


class RunFlow(Request, frozen=True, tag="flows.run"):
    """Run a flow to its end on a virtual clock → `flow-run`; fault `invalid-topology` or `invalid-config` when it must not start.

    The fault for a graph lists in `fields` as `kinds` what is wrong with it: empty, duplicate-stage, empty-name, unknown-stage, self-loop,
    source-has-input, sink-has-output, no-source, no-sink, missing-input, missing-output, cycle, unreachable, fan-out, fan-in,
    parallel-edges, too-many-stages.
    """

    spec: FlowSpec


class FlowTransition(Request, frozen=True, tag="flows.transition"):
    """Ask whether one flow state may follow another → `done`, or fault `invalid-transition` naming both in `fields`."""

    old: str
    new: str


class StreamStats(Message, frozen=True):
    """A stream's completion statistics."""

    elements: int
    pressure_events: int
    peak_depth: int
    dropped: int = 0
    pressure_ns: int = 0


class StageStats(Message, frozen=True):
    """A stage's completion statistics; `busy_ns` is the time inside the component, None where it is not kept."""

    invocations: int
    errors: int
    busy_ns: int | None = None


class FlowCopies(Message, frozen=True):
    """A finished flow's copies: operations by reason, all bytes, and by stage the bytes copied per byte that entered it.

    A stage's amplification is (bytes read + bytes written) / bytes entering; None where nothing entered, as at a source.
    """

    total_copy_ops: int
    total_payload_bytes: int
    ops_by_reason: dict[str, int]
    amplification: dict[str, float | None] = {}


class FlowRunReply(Reply, frozen=True, tag="flow-run"):
    """How a flow ended, and everything that happened; streams are in the order of the specification's edges.

    `copies` is None where the runtime does not keep them, `duration_ns` (Running and Draining together) likewise.
    """

    state: str
    trace: tuple[AnyEvent, ...]
    streams: tuple[StreamStats, ...]
    stages: dict[str, StageStats]
    live_buffers: int
    copies: FlowCopies | None = None
    duration_ns: int | None = None

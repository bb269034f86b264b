"""Overflow policies and what sources are told (POLICY)."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.areas.watermarks import STORIES
from conformance.checks import Budget, checks
from conformance.machines.search import search_streams
from conformance.models.levels import resolved
from conformance.models.streams import Policy
from conformance.strategies import ANYTHING, EMIT, END, LOSSLESS, ORDERLY, PAUSE, READY, fan_out, flows, line
from conformance.subjects.protocol import (
    Answer,
    Command,
    EdgeSpec,
    Facet,
    FlowSettings,
    FlowSpec,
    Schedule,
    Script,
    StageSpec,
    StreamDefaults,
)
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import calls_of, drops, expect_end, expect_flow, pushed, run_flow, search_flows

LOSSY = replace(ORDERLY, middle=("processor", "filter"), most_middle=2, capacities=(1, 2), schedules=("producer-first", "scripted"))
"""Flows whose full streams lose elements."""

REFUSED_ON_ONE_BRANCH = FlowSpec(
    (
        StageSpec("source", "source", Script((EMIT, EMIT), END)),
        StageSpec("processor", "processor", Script((), EMIT)),
        StageSpec("full", "sink", Script((), READY)),
        StageSpec("roomy", "sink", Script((), READY)),
    ),
    (
        EdgeSpec("source", "processor", capacity=4),
        EdgeSpec("processor", "full", capacity=1, policy="error"),
        EdgeSpec("processor", "roomy", capacity=4),
    ),
    Schedule("producer-first"),
    FlowSettings(error_policy="skip"),
)
"""The last element finds no place on the first branch; the second one is still to get it."""

EMPTIED_WITHOUT_A_CALL = line(
    elements=4,
    capacity=1,
    scripts={"sink": Script((Answer("error", kind="unavailable", message="out of order"),), READY)},
    settings=FlowSettings(error_policy="skip", breaker_threshold=1, breaker_cooldown_ms=1),
)
"""A full stream before an open circuit: its pressure ends, and no component was called for that."""


@checks("POLICY-001", facet=Facet.FLOWS, kind="monitor")
def block_loses_nothing(session: Session, budget: Budget) -> None:
    """A blocking stream loses nothing: its producer is suspended from on to off."""
    stories = [line("processor", elements=6, capacity=2, schedule="producer-first"), fan_out(2, elements=6, schedule="producer-first")]
    stories.append(REFUSED_ON_ONE_BRANCH)
    search_flows(session, budget, "POLICY-001", stories, flows(LOSSLESS))


@checks("POLICY-002", facet=Facet.STREAMS, kind="machine")
def drop_oldest(session: Session, budget: Budget) -> None:
    """Drop-oldest evicts the head of a full stream; depth stays, survivors keep their order."""
    search_streams(session, budget, "POLICY-002", STORIES, policies=(Policy.DROP_OLDEST,))


@checks("POLICY-003", facet=Facet.STREAMS, kind="machine")
def drop_newest(session: Session, budget: Budget) -> None:
    """Drop-newest discards the newcomer of a full stream, which stays as it is."""
    search_streams(session, budget, "POLICY-003", STORIES, policies=(Policy.DROP_NEWEST,))


@checks("POLICY-004", facet=Facet.STREAMS, kind="machine")
def error_on_full(session: Session, budget: Budget) -> None:
    """Error refuses the newcomer of a full stream as queue-full, and the stream stays as it is."""
    search_streams(session, budget, "POLICY-004", STORIES, policies=(Policy.ERROR,))


@checks("POLICY-004", facet=Facet.FLOWS, kind="example")
def queue_full_is_an_error(session: Session, budget: Budget) -> None:
    """In a flow queue-full is an error of the producing stage: fail-fast fails the flow, skip drops the element and goes on."""
    held = Schedule("scripted", (0, 0, 0, 0))  # the source, four times
    fatal = replace_schedule(line(elements=4, capacity=1, policy="error"), held)
    expect_end(session, budget, "POLICY-004", fatal, {"Failed"})
    patient = replace_schedule(line(elements=4, capacity=1, policy="error", settings=FlowSettings(error_policy="skip")), held)
    reply = run_flow(session, patient)
    expect_flow("POLICY-004", budget, patient, reply, "under skip the flow goes on", "Completed", reply.state)
    lost = drops(reply, "queue-full")
    expect_flow("POLICY-004", budget, patient, reply, "what was not refused was delivered", 4 - lost, len(pushed(reply)))
    refused = "at least one" if lost else "none"  # how many depends on how long the failing source is left alone (SCHED-014)
    expect_flow("POLICY-004", budget, patient, reply, "elements refused by a full stream whose consumer is held", "at least one", refused)


@checks("POLICY-005", facet=Facet.FLOWS, kind="monitor")
def losses_are_reported_and_released(session: Session, budget: Budget) -> None:
    """Every element lost is reported, and its buffer is released at once."""
    stories = [line(elements=8, capacity=2, policy=policy, schedule="producer-first") for policy in ("drop-oldest", "drop-newest")]
    stories.append(fan_out(2, elements=8, policies=("drop-oldest", "drop-newest"), schedule="producer-first"))
    search_flows(session, budget, "POLICY-005", stories, flows(LOSSY))


@checks("POLICY-006", facet=Facet.STREAMS, kind="machine")
def credits_of_lost_elements(session: Session, budget: Budget) -> None:
    """An eviction is one credit back and one spent; a refusal costs nothing."""
    search_streams(session, budget, "POLICY-006", STORIES, policies=(Policy.DROP_OLDEST, Policy.DROP_NEWEST, Policy.ERROR))


@checks("POLICY-007", facet=Facet.STREAMS, kind="machine")
def dropping_producers_go_on(session: Session, budget: Budget) -> None:
    """Under drop and error policies a full stream does not suspend its producer."""
    search_streams(session, budget, "POLICY-007", STORIES, policies=(Policy.DROP_OLDEST, Policy.DROP_NEWEST, Policy.ERROR))


@checks("POLICY-007", facet=Facet.FLOWS, kind="example")
def ten_pulls_eightdrops(session: Session, budget: Budget) -> None:
    """With the consumer held, ten pulls into a dropping stream of 2 are ten pulls and eight drops."""
    for policy, reason, survivors in (
        ("drop-oldest", "evicted-oldest", ["source#8", "source#9"]),
        ("drop-newest", "refused-newest", ["source#0", "source#1"]),
    ):
        spec = line(elements=10, capacity=2, policy=policy, schedule="producer-first")
        reply = run_flow(session, spec)
        expect_flow("POLICY-007", budget, spec, reply, f"drops under {policy}", 8, drops(reply, reason))
        expect_flow("POLICY-007", budget, spec, reply, f"survivors under {policy}", survivors, pushed(reply))


@checks("POLICY-008", facet=Facet.FLOWS, kind="monitor")
def every_element_is_accounted_for(session: Session, budget: Budget) -> None:
    """What enters a stream leaves it: taken, evicted or discarded; and the summary counts the same."""
    evicting = line(elements=8, capacity=2, policy="drop-oldest", schedule="producer-first")
    discarding = line(elements=3, commands=(Command(1),), settings=FlowSettings(drain_timeout_ms=0))
    search_flows(session, budget, "POLICY-008", (evicting, discarding), flows())


RATES = ((10.0, 50, 64), (10.0, 20, 1), (3.0, 7, 2), (1000.0, 30, 4))
"""Elements per second, elements, capacity."""


def _limited(rate: float, elements: int, capacity: int, *, schedule: str = "consumer-first", busy_ns: int = 0) -> FlowSpec:
    scripts = {"source": Script((Answer("emit", spends_ns=busy_ns),) * elements, END)}
    plain = line(elements=elements, capacity=capacity, schedule=schedule, scripts=scripts)
    return with_(plain, edges=tuple(with_(edge, policy="rate-limit", rate_per_s=rate) for edge in plain.edges))


@checks("POLICY-009", facet=Facet.FLOWS, kind="example", requires=("rate_limit",))
def not_faster_than_the_rate(session: Session, budget: Budget) -> None:
    """In any window of W seconds at most ceil(r * W) + 1 elements enter a stream limited to r; none is lost."""

    def law(spec: FlowSpec) -> None:
        reply = run_flow(session, spec)
        rate, elements = spec.edges[0].rate_per_s, len(spec.stages[0].script.answers)
        expect_flow("POLICY-009", budget, spec, reply, "elements delivered", [f"source#{i}" for i in range(elements)], pushed(reply))
        times = [event.at for event in reply.trace if isinstance(event, e.Enqueued)]
        for first, start in enumerate(times):
            for last in range(first, len(times)):
                entered, most = last - first + 1, math.ceil(rate * (times[last] - start) / 1e9) + 1
                message = f"elements that entered within {times[last] - start} ns at {rate} per second"
                expect_flow("POLICY-009", budget, spec, reply, message, f"<= {most}", entered, holds=entered <= most)

    for rate, elements, capacity in RATES:
        for schedule in ("consumer-first", "producer-first"):
            law(_limited(rate, elements, capacity, schedule=schedule))
    drawn = st.builds(
        _limited,
        st.sampled_from((0.5, 4.0, 10.0, 100.0)),
        st.integers(0, 12),
        st.integers(1, 4),
        schedule=st.sampled_from(("consumer-first", "producer-first")),
        busy_ns=st.sampled_from((0, 1_000, 30_000_000, 300_000_000)),
    )
    budget.for_all(drawn, law, max_examples=30)
    whole = _limited(*RATES[0])
    reply = run_flow(session, whole)
    took = reply.trace[-1].at - reply.trace[0].at
    expect_flow("POLICY-009", budget, whole, reply, "virtual ns for 50 elements at 10 per second", ">= 4.8e9", took, holds=took >= 4.8e9)


LEVELS = (
    # what the stream, its flow and the host say; None: nothing
    (StreamDefaults(2, 0.0, "block-producer"), StreamDefaults(3, 0.5, "drop-oldest"), StreamDefaults(4, 0.75, "drop-newest")),
    (StreamDefaults(), StreamDefaults(3, 0.5, "drop-oldest"), StreamDefaults(4, 0.75, "block-producer")),
    (StreamDefaults(), StreamDefaults(), StreamDefaults(4, 0.75, "drop-newest")),
    (StreamDefaults(capacity=4), StreamDefaults(low_watermark_ratio=0.25), StreamDefaults(8, 0.75, "block-producer")),
    (StreamDefaults(policy="block-producer"), StreamDefaults(capacity=4, policy="drop-oldest"), StreamDefaults(8, 0.5, "drop-newest")),
    (StreamDefaults(low_watermark_ratio=0.0), StreamDefaults(4, 0.5, "block-producer"), StreamDefaults(2, 0.75, "error")),
    (StreamDefaults(low_watermark_ratio=0.25), StreamDefaults(policy="block-producer"), StreamDefaults(4, 0.75, "drop-newest")),
)
SETTINGS = ("capacity", "low_watermark_ratio", "policy")
LOST = {"block-producer": set[str](), "drop-oldest": {"evicted-oldest"}, "drop-newest": {"refused-newest"}}


def _levelled(own: StreamDefaults, shared: StreamDefaults, host: StreamDefaults) -> FlowSpec:
    """Return a flow whose one stream is configured at three levels."""
    said = {name: value for name in SETTINGS if (value := getattr(own, name)) is not None}
    silent = tuple(name for name in SETTINGS if name not in said)
    plain = line(elements=12, schedule="producer-first")
    return with_(plain, edges=(with_(plain.edges[0], inherits=silent, **said),), defaults=shared, host_defaults=host)


@checks("POLICY-010", facet=Facet.FLOWS, kind="table", requires=("stream_defaults",))
def the_nearest_setting_wins(session: Session, budget: Budget) -> None:
    """Capacity, low mark and policy come from the stream, else from its flow, else from the host, each on its own."""
    for levels in LEVELS:
        spec = _levelled(*levels)
        due = resolved(spec).edges[0]
        reply = run_flow(session, spec)
        expect_flow("POLICY-010", budget, spec, reply, "the peak depth of the stream", due.capacity, reply.streams[0].peak_depth)
        lost = {event.reason for event in reply.trace if isinstance(event, e.Dropped)}
        expect_flow("POLICY-010", budget, spec, reply, f"losses under {due.policy}", LOST[due.policy], lost)
        if due.policy == "block-producer":
            offs = [event.depth for event in reply.trace if isinstance(event, e.PressureChanged) and not event.on]
            low = int(due.capacity * due.low_watermark_ratio)
            expect_flow("POLICY-010", budget, spec, reply, "the depth at which pressure ends first", low, offs[0] if offs else None)


HELD = (
    line(elements=6, capacity=4, schedule="producer-first", scripts={"sink": Script((PAUSE, READY, PAUSE, PAUSE), READY)}),
    line("processor", elements=6, capacity=2, scripts={"sink": Script((PAUSE, PAUSE), READY)}),
    fan_out(2, elements=6, sinks=(Script((PAUSE, READY, PAUSE), READY), Script((), READY))),
    fan_out(2, elements=6, policies=("drop-oldest", "block-producer"), sinks=(Script((), PAUSE),)),
)
"""Flows whose sinks pause: with elements queued, behind a processor, on one branch of two."""


@checks("POLICY-011", facet=Facet.FLOWS, kind="monitor")
def a_pause_holds_back(session: Session, budget: Budget) -> None:
    """While a sink pauses, what feeds its stream is not called but to probe."""
    search_flows(session, budget, "POLICY-011", HELD, flows(replace(ANYTHING, elements=10)))


@checks("POLICY-012", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def probes_and_resumption(session: Session, budget: Budget) -> None:
    """A paused sink gets its next element within a bounded delay, and after its `ready` nobody waits any more."""
    for delay_ms in (1, 7, 50):
        for pauses in (1, 3, 9):
            sink = Script((PAUSE,) * pauses, READY)
            spec = line(elements=12, scripts={"sink": sink}, settings=FlowSettings(sink_pause_delay_ms=delay_ms))
            reply = run_flow(session, spec)
            pushes = calls_of(reply, "push")
            gaps = [after.at - before.at for before, after in pairwise(pushes)]
            slow, quick = gaps[:pauses], gaps[pauses:]
            bound = max(delay_ms, 100) * 1_000_000
            message = f"ns from a pause to the next element, with a delay of {delay_ms} ms"
            expect_flow(
                "POLICY-012", budget, spec, reply, message, f"0 < gap <= {bound}", slow, holds=all(0 < gap <= bound for gap in slow)
            )
            expect_flow("POLICY-012", budget, spec, reply, "ns between elements after the sink's ready", [0] * len(quick), quick)


@checks("POLICY-012", facet=Facet.FLOWS, kind="example")
def pausing_for_ever(session: Session, budget: Budget) -> None:
    """A sink that answers pause to everything still receives every element of a finite source, and the flow ends."""
    for capacity in (1, 4):
        spec = line(elements=5, capacity=capacity, scripts={"sink": Script((), PAUSE)})
        reply = run_flow(session, spec)
        expect_flow("POLICY-012", budget, spec, reply, "the flow ends", "Completed", reply.state)
        expect_flow("POLICY-012", budget, spec, reply, "every element arrives", [f"source#{i}" for i in range(5)], pushed(reply))


@checks("POLICY-013", facet=Facet.FLOWS, kind="monitor")
def notices_alternate(session: Session, budget: Budget) -> None:
    """A source is told to pause and to go on in turn, and never in the middle of a call."""
    stories = [line(elements=6, capacity=2, schedule="producer-first"), fan_out(3, elements=6, capacity=1)]
    search_flows(session, budget, "POLICY-013", stories, flows(replace(ANYTHING, capacities=(1, 2))))


@checks("POLICY-013", facet=Facet.FLOWS, kind="example")
def sources_are_told(session: Session, budget: Budget) -> None:
    """A source whose stream comes under pressure is told once per transition."""
    spec = line(elements=4, capacity=1)
    reply = run_flow(session, spec)
    signals = [event.signal for event in reply.trace if isinstance(event, e.Notified)]
    expect_flow("POLICY-013", budget, spec, reply, "the source was told to pause at each activation", 4, signals.count("pause"))


@checks("POLICY-014", facet=Facet.FLOWS, kind="monitor")
def no_pull_while_told_to_pause(session: Session, budget: Budget) -> None:
    """No source is pulled between `pause` and `ready`."""
    stories = [line(elements=12, capacity=4, schedule="producer-first"), fan_out(3, elements=6, capacity=1)]
    search_flows(session, budget, "POLICY-014", stories, flows(replace(ANYTHING, capacities=(1, 2))))


@checks("POLICY-014", facet=Facet.FLOWS, kind="monitor", requires=("circuit_breaker",))
def no_pull_before_the_news(session: Session, budget: Budget) -> None:
    """A source whose stream an open circuit has emptied hears of it before it is pulled."""
    search_flows(session, budget, "POLICY-014", [EMPTIED_WITHOUT_A_CALL], None)


@checks("POLICY-015", facet=Facet.FLOWS, kind="monitor")
def sources_need_not_listen(session: Session, budget: Budget) -> None:
    """A source that ignores what it is told of pressure loses nothing and floods nobody."""
    stories = [line(elements=12, capacity=capacity, schedule="producer-first") for capacity in (1, 4)]
    stories.append(fan_out(3, elements=8, capacity=2, schedule="producer-first"))
    drawn = replace(LOSSLESS, capacities=(1, 2), elements=10, schedules=("producer-first", "scripted"))
    search_flows(session, budget, "POLICY-015", stories, flows(drawn))


@checks("POLICY-016", facet=Facet.FLOWS, kind="monitor")
def only_neighbours_are_told(session: Session, budget: Budget) -> None:
    """A source hears of the pressure of its own streams only."""
    stories = [
        line("processor", "processor", elements=20, capacity=2, schedule="producer-first"),
        line("processor", elements=6, capacity=1, scripts={"sink": Script((PAUSE,) * 3, READY)}),
        fan_out(2, elements=6, capacity=1),
    ]
    search_flows(session, budget, "POLICY-016", stories, flows(replace(ANYTHING, capacities=(1, 2))))


def replace_schedule(spec: FlowSpec, schedule: Schedule) -> FlowSpec:
    """Return a flow with another schedule."""
    return FlowSpec(spec.stages, spec.edges, schedule, spec.settings, spec.commands, spec.max_calls)

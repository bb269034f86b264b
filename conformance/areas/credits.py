"""Credits and demand (CREDIT): the arithmetic on one stream, and that producers respect it end to end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec.structs import replace as with_

from conformance.areas.watermarks import STORIES
from conformance.checks import Budget, checks
from conformance.machines.search import search_streams
from conformance.models.line import filling
from conformance.models.streams import Policy
from conformance.strategies import ANYTHING, DROP, EMIT, ORDERLY, PAUSE, READY, REJECT, fan_in, fan_out, flows, line
from conformance.subjects.protocol import Answer, EdgeSpec, Facet, FlowSettings, FlowSpec, Schedule, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import calls_of, expect_flow, pushed, run_flow, search_flows

TIGHT = replace(ANYTHING, capacities=(1, 2), most_middle=2)
"""Flows in which credits run out all the time."""


@checks("CREDIT-001", facet=Facet.STREAMS, kind="machine")
def credits_at_the_start(session: Session, budget: Budget) -> None:
    """A new stream has as many credits as it has places."""
    search_streams(session, budget, "CREDIT-001", STORIES)


@checks("CREDIT-002", facet=Facet.STREAMS, kind="machine")
def an_enqueue_spends(session: Session, budget: Budget) -> None:
    """Every element enqueued spends exactly one credit."""
    search_streams(session, budget, "CREDIT-002", STORIES)


@checks("CREDIT-003", facet=Facet.STREAMS, kind="machine")
def a_dequeue_gives_back(session: Session, budget: Budget) -> None:
    """Every element taken gives exactly one credit back."""
    search_streams(session, budget, "CREDIT-003", STORIES)


@checks("CREDIT-003", facet=Facet.FLOWS, kind="monitor")
def a_dequeue_gives_back_at_once(session: Session, budget: Budget) -> None:
    """In a flow the credit is back at the dequeue, also when the invocation then fails."""
    failing = Script((Answer("error"), Answer("error")), READY)
    skip = FlowSettings(error_policy="skip")
    stories = [
        line(elements=6, ratio=0.0, scripts={"sink": failing}, settings=skip, schedule=schedule)
        for schedule in ("consumer-first", "producer-first")
    ]
    search_flows(session, budget, "CREDIT-003", stories, flows())


@checks("CREDIT-004", facet=Facet.STREAMS, kind="machine")
def credits_and_depth(session: Session, budget: Budget) -> None:
    """Credits and depth add up to the capacity after every operation, under every policy."""
    search_streams(session, budget, "CREDIT-004", STORIES)


@checks("CREDIT-004", facet=Facet.FLOWS, kind="monitor")
def credits_and_depth_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow credits and depth add up to the capacity at every event."""
    some = Script((DROP, EMIT, DROP), EMIT)
    stories = [line("processor", elements=5, capacity=capacity, scripts={"processor": some}) for capacity in (1, 4)]
    search_flows(session, budget, "CREDIT-004", stories, flows())


@checks("CREDIT-005", facet=Facet.STREAMS, kind="machine")
def no_production_without_credit(session: Session, budget: Budget) -> None:
    """A blocking stream without credits says that its producer may not be called."""
    search_streams(session, budget, "CREDIT-005", STORIES, policies=(Policy.BLOCK,))


@checks("CREDIT-005", facet=Facet.FLOWS, kind="monitor")
def no_call_without_credit(session: Session, budget: Budget) -> None:
    """In a flow no producer is called while its output has no credit."""
    stories = [line("processor", elements=5, capacity=capacity, schedule="producer-first") for capacity in (1, 2)]
    search_flows(session, budget, "CREDIT-005", stories, flows(TIGHT))


@checks("CREDIT-006", facet=Facet.STREAMS, kind="machine")
def pressure_outlasts_credits(session: Session, budget: Budget) -> None:
    """A blocking stream under pressure says that its producer may not be called, although it has credits."""
    search_streams(session, budget, "CREDIT-006", STORIES, policies=(Policy.BLOCK,))


@checks("CREDIT-006", facet=Facet.FLOWS, kind="monitor")
def no_call_under_pressure(session: Session, budget: Budget) -> None:
    """In a flow a producer stays suspended until the low mark, although there are credits."""
    stories = [
        line("processor", elements=20, capacity=8, schedule="producer-first"),
        line(elements=9, capacity=4, ratio=0.0, schedule="producer-first"),
    ]
    search_flows(session, budget, "CREDIT-006", stories, flows(replace(ANYTHING, elements=10)))


@checks("CREDIT-007", facet=Facet.FLOWS, kind="monitor")
def nothing_costs_nothing(session: Session, budget: Budget) -> None:
    """An invocation that yields nothing spends no credit."""
    some = Script((DROP, EMIT, DROP, EMIT, DROP), EMIT)
    picky = Script((REJECT, Answer("pass"), REJECT), Answer("pass"))
    stories = [line("processor", elements=8, scripts={"processor": some}), line("filter", elements=8, scripts={"filter": picky})]
    search_flows(session, budget, "CREDIT-007", stories, flows())


@checks("CREDIT-008", facet=Facet.STREAMS, kind="machine")
def every_exit_restores(session: Session, budget: Budget) -> None:
    """The credit of an evicted element is restored."""
    search_streams(session, budget, "CREDIT-008", STORIES, policies=(Policy.DROP_OLDEST,))


@checks("CREDIT-008", facet=Facet.FLOWS, kind="monitor")
def every_exit_restores_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow the credit of an element lost or failed is back by the stream's next event."""
    failing = Script((Answer("error"), READY, Answer("error")), READY)
    stories = [
        line(elements=6, scripts={"sink": failing}, settings=FlowSettings(error_policy="skip")),
        line(elements=6, capacity=2, policy="drop-oldest", schedule="producer-first"),
        line(elements=6, capacity=2, policy="drop-newest", schedule="producer-first"),
    ]
    search_flows(session, budget, "CREDIT-008", stories, flows())


@checks("CREDIT-009", facet=Facet.FLOWS, kind="monitor")
def the_slowest_branch_decides(session: Session, budget: Budget) -> None:
    """A producer with several blocking outputs is called only when all of them can take an element."""
    held = Script((PAUSE,) * 4, READY)
    stories = [
        *(fan_out(3, elements=12, capacity=capacity, schedule="producer-first") for capacity in (2, 4)),
        fan_out(2, elements=6, capacity=1, sinks=(held,)),
    ]
    search_flows(session, budget, "CREDIT-009", stories, flows(TIGHT))


@checks("CREDIT-010", facet=Facet.FLOWS, kind="example", requires=("independent_per_branch",))
def fast_branches_run_ahead(session: Session, budget: Budget) -> None:
    """With independent branches a paused sink on a stream that may lose elements holds nobody back; one on a blocking stream does."""
    elements, independent = 12, FlowSettings(fan_out="independent-per-branch")
    never, free = Script((), PAUSE), Script((), READY)
    for policy, capacity in (("drop-oldest", 2), ("drop-newest", 4)):
        spec = fan_out(
            2, elements=elements, capacity=capacity, policies=("block-producer", policy), sinks=(free, never), schedule="producer-first"
        )
        spec = with_(spec, settings=independent)
        reply = run_flow(session, spec)
        fast = [event.tag for event in calls_of(reply, "push") if event.stage == "sink0"]
        expect_flow("CREDIT-010", budget, spec, reply, "the fast branch is complete", [f"source#{i}" for i in range(elements)], fast)
        late = reply.trace[-1].at - reply.trace[0].at
        expect_flow("CREDIT-010", budget, spec, reply, "virtual ns for which the source was held back by the paused branch", 0, late)
    blocked = with_(fan_out(2, elements=6, capacity=2, sinks=(free, never)), settings=independent)
    reply = run_flow(session, blocked)
    expect_flow("CREDIT-010", budget, blocked, reply, "a blocking branch still blocks, and loses nothing", 12, len(pushed(reply)))
    waited = reply.trace[-1].at - reply.trace[0].at
    expect_flow("CREDIT-010", budget, blocked, reply, "the source waits for the paused sink", "> 0 ns", waited, holds=waited > 0)


FAN_INS = (
    fan_in(elements=(6, 6), capacity=1, schedule="producer-first"),
    fan_in(elements=(9, 2), capacity=2, schedule="producer-first"),
    fan_in(elements=(4, 4, 4), capacity=3, schedule="producer-first"),
)
"""Flows whose inbound streams fill side by side."""


@checks("CREDIT-011", facet=Facet.FLOWS, kind="monitor")
def credits_are_apart_at_fan_in(session: Session, budget: Budget) -> None:
    """What one producer sends, and how full its stream is, leaves the credits of the other as they are."""
    search_flows(session, budget, "CREDIT-011", FAN_INS, flows(replace(ANYTHING, most_middle=2)))


@checks("CREDIT-012", facet=Facet.FLOWS, kind="monitor")
def nobody_starves(session: Session, budget: Budget) -> None:
    """An input that is not empty is served within a bounded number of turns, however busy the others are."""
    stories = [fan_in(elements=(90, 90), capacity=capacity, schedule="producer-first") for capacity in (2, 8)]
    search_flows(session, budget, "CREDIT-012", stories, flows(replace(ANYTHING, elements=12)))


@checks("CREDIT-013", facet=Facet.FLOWS, kind="example")
def pressure_travels_upstream(session: Session, budget: Budget) -> None:
    """With the last of four stages held, the streams fill one after another, the last one first; released, everything arrives."""
    for capacities in ((2, 2, 2), (4, 2, 3), (1, 1, 1)):
        total = sum(capacities)
        names = ("source", "processor", "processor2", "sink")
        plain = line("processor", "processor", elements=total + 3)
        edges = tuple(EdgeSpec(names[i], names[i + 1], capacity=capacity) for i, capacity in enumerate(capacities))
        choices = filling(capacities, [int(capacity * edge.low_watermark_ratio) for capacity, edge in zip(capacities, edges, strict=True)])
        spec = FlowSpec(plain.stages, edges, Schedule("scripted", choices), max_calls=4000)
        reply = run_flow(session, spec)
        released = next(place for place, event in enumerate(reply.trace) if isinstance(event, e.Dequeued) and event.stream == 2)
        held = reply.trace[:released]
        filled = _filled(held)
        expect_flow("CREDIT-013", budget, spec, reply, "the order in which streams fill for good", [2, 1, 0], filled)
        last = {event.stage: place for place, event in enumerate(held) if isinstance(event, e.Called) and event.fn in {"pull", "process"}}
        order = sorted(last, key=last.__getitem__)
        expect_flow("CREDIT-013", budget, spec, reply, "the order in which stages stop", ["processor2", "processor", "source"], order)
        pulls = sum(isinstance(event, e.Called) and event.fn == "pull" for event in held)
        expect_flow("CREDIT-013", budget, spec, reply, "elements in the queues when all have stopped", total, pulls)
        peaks = [stream.peak_depth for stream in reply.streams]
        expect_flow("CREDIT-013", budget, spec, reply, "the peak of every queue", list(capacities), peaks)
        expect_flow("CREDIT-013", budget, spec, reply, "elements delivered after the release", total + 3, len(pushed(reply)))


def _filled(trace: Iterable[e.AnyEvent]) -> list[int]:
    """Return the streams under pressure at the end of a trace, in the order in which they came under it for good."""
    filled: list[int] = []
    for event in trace:
        if isinstance(event, e.PressureChanged):
            filled = [stream for stream in filled if stream != event.stream] + [event.stream] * event.on
    return filled


def _flushing(count: int, capacity: int, *roles: str, schedule: str = "consumer-first") -> FlowSpec:
    script = Script((), DROP, flush=Answer("emit", count=count))
    return line("aggregator", *roles, elements=2, capacity=capacity, scripts={"aggregator": script}, schedule=schedule)


@checks("CREDIT-015", facet=Facet.FLOWS, kind="monitor")
def a_flush_waits_its_turn(session: Session, budget: Budget) -> None:
    """A flush of more than fits waits, enters in order as pressure allows, and is delivered completely."""
    stories = [
        *(
            _flushing(3 * capacity, capacity, schedule=schedule)
            for capacity in (1, 2, 4)
            for schedule in ("consumer-first", "producer-first")
        ),
        _flushing(9, 3, "processor", schedule="producer-first"),
        _flushing(5, 2, "aggregator"),
    ]
    for spec in stories[:-1]:
        reply = run_flow(session, spec)
        count = next(stage.script.flush.count for stage in spec.stages if stage.role == "aggregator")
        due = [f"aggregator#{i}" for i in range(count)]
        expect_flow("CREDIT-015", budget, spec, reply, "what was flushed arrives in order", due, pushed(reply))
    search_flows(session, budget, "CREDIT-015", stories, flows(replace(ORDERLY, middle=("aggregator", "processor"), capacities=(1, 2))))

"""Cancellation, completion and what is left behind (CANCEL)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.lifecycle import ALL, CANCELLED, CANCELLED_AT_ONCE, SHAPES
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.strategies import ANYTHING, END, ORDERLY, PAUSE, READY, flows, line
from conformance.subjects.protocol import Answer, Command, EdgeSpec, Facet, FlowSettings, FlowSpec, Schedule, Script, StageSpec
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import expect_end, offered, run_flow, search_flows, with_flow

INTERRUPTED = replace(ANYTHING, elements=12, most_middle=2)
"""Flows long enough for a cancel to find something."""

HOARDERS = tuple(
    line("processor", elements=5, scripts={"source": Script((Answer("emit", keeps=2),) * 5, END), "processor": script}, commands=commands)
    for script in (Script((), Answer("emit", keeps=1)), Script((Answer("emit"), Answer("trap", keeps=3)), Answer("emit")))
    for commands in ((), (Command(6),))
)
"""Components that allocate and never give back, in flows that complete, fail and are cancelled."""

CANCELLED_WITH_ONE = line(elements=9, commands=(Command(1),))
"""Cancelled when the first element waits in the queue: the one place where a consumer-first flow can be found with something queued."""

QUEUED = ((1, "consumer-first"), (5, "producer-first"))
"""How many elements wait in the queue when a flow is cancelled after so many calls, by schedule."""

REFUSED_AT_THE_END = FlowSpec(
    (
        StageSpec("source", "source", Script((Answer("emit"),), END)),
        StageSpec("aggregator", "aggregator", Script((), Answer("drop"), flush=Answer("emit", count=2))),
        StageSpec("sink", "sink", Script((), READY)),
    ),
    (EdgeSpec("source", "aggregator", capacity=4), EdgeSpec("aggregator", "sink", capacity=1, policy="error")),
    Schedule("consumer-first"),
    FlowSettings(drain_timeout_ms=0),
)
"""The second element of a flush finds no place, which ends the flow; it may not drain, and the first one is discarded."""

LEFTOVERS = (
    line(elements=9, capacity=4, schedule="producer-first", commands=(Command(3),), settings=FlowSettings(drain_timeout_ms=0)),
    line(elements=9, capacity=2, policy="drop-oldest", schedule="producer-first"),
    line(elements=9, capacity=2, policy="drop-newest", schedule="producer-first"),
    line("processor", elements=9, capacity=2, schedule="producer-first", scripts={"sink": Script((PAUSE, Answer("trap")), READY)}),
    line("aggregator", elements=3, capacity=1, scripts={"aggregator": Script((), Answer("drop"), flush=Answer("emit", count=5))}),
)
"""Flows that lose, discard or hold elements at their end."""


@checks("CANCEL-001", facet=Facet.FLOWS, kind="monitor")
def no_pull_after_cancel(session: Session, budget: Budget) -> None:
    """No source is pulled once the operator has cancelled."""
    search_flows(session, budget, "CANCEL-001", (CANCELLED, CANCELLED_AT_ONCE, CANCELLED_WITH_ONE), flows(INTERRUPTED))


@checks("CANCEL-005", facet=Facet.FLOWS, kind="example")
def draining_delivers(session: Session, budget: Budget) -> None:
    """What is queued when the operator cancels is still delivered, in order, and nothing more is pulled."""
    for queued, schedule in QUEUED:
        spec = line(elements=20, capacity=8, schedule=schedule, commands=(Command(queued),))
        if not offered(session, spec):
            continue
        reply = run_flow(session, spec)
        pulls, pushes = ([event for event in reply.trace if isinstance(event, e.Called) and event.fn == fn] for fn in ("pull", "push"))
        found = (len(pulls), [event.tag for event in pushes])
        expected = (queued, [f"source#{i}" for i in range(queued)])
        budget.touch("CANCEL-005")
        if found != expected:
            raise with_flow(Violation("CANCEL-005", "pulls, and what the sink got", expected=expected, found=found), spec, reply)


@checks("CANCEL-007", facet=Facet.FLOWS, kind="example")
def no_time_to_drain(session: Session, budget: Budget) -> None:
    """With a drain timeout of 0 nothing is pushed after the cancel; what was queued is reported as dropped."""
    for queued, schedule in QUEUED:
        settings = FlowSettings(drain_timeout_ms=0)
        spec = line(elements=9, capacity=8, schedule=schedule, commands=(Command(queued),), settings=settings)
        if not offered(session, spec):
            continue
        reply = run_flow(session, spec)
        pushes = sum(isinstance(event, e.Called) and event.fn == "push" for event in reply.trace)
        drops = sum(isinstance(event, e.Dropped) and event.reason == "discarded" for event in reply.trace)
        budget.touch("CANCEL-007")
        if (pushes, drops) != (0, queued):
            message = f"pushes and drops of what was queued ({queued})"
            raise with_flow(Violation("CANCEL-007", message, expected=(0, queued), found=(pushes, drops)), spec, reply)
    if offered(session, REFUSED_AT_THE_END):
        reply = run_flow(session, REFUSED_AT_THE_END)
        pushes = sum(isinstance(event, e.Called) and event.fn == "push" for event in reply.trace)
        message = "pushes after a flush was refused, in a flow that may not drain"
        budget.touch("CANCEL-007")
        if pushes:
            raise with_flow(Violation("CANCEL-007", message, expected=0, found=pushes), REFUSED_AT_THE_END, reply)


@checks("CANCEL-009", facet=Facet.FLOWS, kind="monitor")
def complete_once_per_sink(session: Session, budget: Budget) -> None:
    """A completed flow has told every sink so exactly once, after its last push."""
    search_flows(session, budget, "CANCEL-009", SHAPES, flows(ORDERLY))


@checks("CANCEL-011", facet=Facet.FLOWS, kind="monitor")
def flush_once_per_aggregator(session: Session, budget: Budget) -> None:
    """A completed flow has flushed every aggregator exactly once, after its last element."""
    search_flows(session, budget, "CANCEL-011", LEFTOVERS[-1:], flows(replace(ORDERLY, middle=("aggregator", "processor"))))


@checks("CANCEL-015", facet=Facet.FLOWS, kind="monitor")
def nothing_is_left_alive(session: Session, budget: Budget) -> None:
    """No buffer outlives its flow, on any path."""
    search_flows(session, budget, "CANCEL-015", (*ALL, *HOARDERS, *LEFTOVERS), flows())


@checks("CANCEL-018", facet=Facet.FLOWS, kind="example")
def cancelled_before_it_began(session: Session, budget: Budget) -> None:
    """A flow cancelled before its first element ends as Cancelled, and no source was pulled."""
    expect_end(session, budget, "CANCEL-018", CANCELLED_AT_ONCE, {"Cancelled"})
    reply = run_flow(session, CANCELLED_AT_ONCE)
    pulls = sum(isinstance(event, e.Called) and event.fn == "pull" for event in reply.trace)
    budget.touch("CANCEL-018")
    if pulls:
        raise with_flow(
            Violation("CANCEL-018", "pulls of a flow cancelled before it began", expected=0, found=pulls), CANCELLED_AT_ONCE, reply
        )

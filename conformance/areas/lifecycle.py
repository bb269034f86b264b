"""The life of a flow (FLOW): its states, why it ends, and when it is complete."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from msgspec.structs import replace as with_

from conformance.areas.reclaim import answers_done
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.models.flow import LEGAL, STATES
from conformance.strategies import ANYTHING, EMIT, END, LOSSLESS, ORDERLY, READY, fan_in, fan_out, flows, line
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Answer, Command, Facet, FlowSettings, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import expect_end, expect_flow, run_flow, search_flows, with_flow

ERROR = Script((Answer("ready"), Answer("error")), Answer("ready"))
"""A sink that fails on its second element."""
CANCEL = (Command(3),)

NATURAL = line("processor")
EMPTY = line("processor", elements=0)
CANCELLED = line("processor", elements=20, commands=CANCEL)
CANCELLED_AT_ONCE = line("processor", elements=3, commands=(Command(0),))
FAILED = line("processor", elements=5, scripts={"sink": ERROR})
TRAPPED = line("processor", elements=5, scripts={"processor": Script((Answer("trap"),), EMIT)}, settings=FlowSettings(error_policy="skip"))
OVERDUE = line(
    elements=50, scripts={"source": Script((Answer("emit", spends_ns=3_000_000),) * 50, END)}, settings=FlowSettings(deadline_ms=20)
)
INIT_FAILED = line(scripts={"sink": Script((), Answer("ready"), lifecycle=True, init=Answer("error"))})
LATE_ERRORS = tuple(
    line(
        "processor",
        elements=20,
        schedule="producer-first",
        scripts={"sink": Script((Answer("error"),), Answer("ready"))},
        commands=(Command(after),),
    )
    for after in range(5, 9)
)
"""Cancelled with elements on their way; then the sink fails while draining. After which call depends on whether sources are told."""
LATE_ERROR_ALONE = line(elements=9, scripts={"sink": Script((Answer("error"),), Answer("ready"))}, commands=(Command(1),))
"""The same where at most one element is ever on its way: cancelled behind the first pull, and the sink fails on that very element."""
LATE_CANCELS = tuple(
    line(
        "processor",
        elements=20,
        schedule="producer-first",
        scripts={"processor": Script((EMIT, EMIT, Answer("trap")), EMIT)},
        commands=(Command(after),),
    )
    for after in range(6, 14)
)
"""A trap with elements on their way; then, for some of them, a cancel while draining."""
FLUSH_FAILED = line("aggregator", scripts={"aggregator": Script((), Answer("drop"), flush=Answer("error"))})
COMPLETE_FAILED = line(scripts={"sink": Script((), Answer("ready"), complete=Answer("error"))})

ENDS = (NATURAL, EMPTY, CANCELLED, CANCELLED_AT_ONCE, FAILED, TRAPPED, OVERDUE, INIT_FAILED, LATE_ERRORS[1], LATE_CANCELS[5])
"""One flow per way to end."""

SHAPES = (
    NATURAL,
    line("processor", "processor", elements=5, capacity=1),
    line("aggregator", scripts={"aggregator": Script((), Answer("drop"), flush=Answer("emit", count=6))}, capacity=2),
    fan_out(3, elements=4),
    fan_in(elements=(1, 4)),
    fan_in(elements=(0, 3), role="filter"),
)
"""One flow per shape that completes."""


@checks("FLOW-001", facet=Facet.FLOWS, kind="table", requires=("state_tables",))
def nine_steps(session: Session, budget: Budget) -> None:
    """Exactly 9 of the 64 pairs of flow states are accepted."""
    for old in STATES:
        for new in STATES:
            accepted = answers_done(session, p.FlowTransition(old, new))
            budget.expect_equal("FLOW-001", accepted, (old, new) in LEGAL, f"whether a flow may go from {old} to {new}")


@checks("FLOW-001", facet=Facet.FLOWS, kind="monitor")
def legal_steps_only(session: Session, budget: Budget) -> None:
    """Every change of state in a trace is one of the nine legal steps."""
    search_flows(session, budget, "FLOW-001", ENDS, flows())


@checks("FLOW-002", facet=Facet.FLOWS, kind="monitor")
def nothing_after_the_end(session: Session, budget: Budget) -> None:
    """After a terminal state there is no state, call or enqueue."""
    search_flows(session, budget, "FLOW-002", ENDS, flows())


@checks("FLOW-003", facet=Facet.FLOWS, kind="monitor")
def every_step_is_reported(session: Session, budget: Budget) -> None:
    """Every transition is reported once, in order, the terminal one included."""
    search_flows(session, budget, "FLOW-003", ENDS, flows())


UNHURRIED = FlowSettings(elements_per_yield=1, observer_holds=4)
WATCHED = (
    line(elements=24, settings=with_(UNHURRIED, priority="background")),
    line("processor", elements=150, settings=UNHURRIED),
    line(elements=400, settings=UNHURRIED, commands=(Command(350),)),
    line(elements=200, settings=UNHURRIED, scripts={"sink": Script((READY,) * 150, Answer("error"))}),
)
"""Flows of many events, and an observer that is slower than they are."""


@checks("FLOW-003", facet=Facet.FLOWS, kind="example")
def slow_observers_miss_no_step(session: Session, budget: Budget) -> None:
    """An observer that takes one event at a time is told every step all the same: among many events steps are never lost."""
    for spec in WATCHED:
        reply = run_flow(session, spec)
        steps = [event for event in reply.trace if isinstance(event, e.StateChanged)]
        links = [("Created", steps[0].old) if steps else ("Created", "")]
        links += [(before.new, after.old) for before, after in pairwise(steps)]
        links.append((steps[-1].new if steps else "", reply.state))
        broken = [f"{left} | {right}" for left, right in links if left != right]
        expect_flow("FLOW-003", budget, spec, reply, "steps that do not begin where the one before ended", [], broken)


@checks("FLOW-004", facet=Facet.FLOWS, kind="monitor")
def through_draining(session: Session, budget: Budget) -> None:
    """Every exit from Running passes through Draining."""
    search_flows(session, budget, "FLOW-004", ENDS, flows())


@checks("FLOW-005", facet=Facet.FLOWS, kind="example")
def one_flow_per_reason(session: Session, budget: Budget) -> None:
    """Sources exhausted: Completed. Operator: Cancelled. Error, trap, deadline: Failed."""
    expected = {
        "Completed": (NATURAL, EMPTY),
        "Cancelled": (CANCELLED, CANCELLED_AT_ONCE),
        "Failed": (FAILED, TRAPPED, OVERDUE, FLUSH_FAILED),
    }
    for state, specs in expected.items():
        for spec in specs:
            expect_end(session, budget, "FLOW-005", spec, {state})


@checks("FLOW-005", facet=Facet.FLOWS, kind="monitor")
def the_cause_decides(session: Session, budget: Budget) -> None:
    """What a trace shows to be the cause of draining decides the terminal state."""
    search_flows(session, budget, "FLOW-005", ENDS, flows())


@checks("FLOW-006", facet=Facet.FLOWS, kind="monitor")
def the_first_reason_wins(session: Session, budget: Budget) -> None:
    """A cancel stays a cancel when draining fails, and a failure a failure when it is cancelled."""
    drawn = flows(replace(ANYTHING, losing=False, elements=12, schedules=("producer-first", "scripted")))
    search_flows(session, budget, "FLOW-006", (*LATE_ERRORS, LATE_ERROR_ALONE, *LATE_CANCELS), drawn)


@checks("FLOW-007", facet=Facet.FLOWS, kind="monitor")
def complete_means_empty(session: Session, budget: Budget) -> None:
    """A flow completes only when every source is exhausted and every queue is empty."""
    stories = [*SHAPES, line("processor", elements=9, schedule="producer-first")]
    search_flows(session, budget, "FLOW-007", stories, flows(ORDERLY))


@checks("FLOW-008", facet=Facet.FLOWS, kind="monitor")
def completion_travels(session: Session, budget: Budget) -> None:
    """Completion passes through every stage, upstream first, and reaches every sink."""
    search_flows(session, budget, "FLOW-008", SHAPES, flows(ORDERLY))


@checks("FLOW-009", facet=Facet.FLOWS, kind="monitor")
def an_empty_source(session: Session, budget: Budget) -> None:
    """A source whose first pull is none completes the flow with nothing delivered."""
    stories = [line(elements=0), EMPTY, line("filter", elements=0, capacity=1), fan_out(2, elements=0), fan_in(elements=(0, 0))]
    for story in stories:
        expect_end(session, budget, "FLOW-009", story, {"Completed"})
    search_flows(session, budget, "FLOW-009", stories, flows(replace(LOSSLESS, elements=0)))


@checks("FLOW-010", facet=Facet.FLOWS, kind="monitor")
def exhausted_is_final(session: Session, budget: Budget) -> None:
    """A source is pulled N + 1 times for N elements, and never again."""
    for count in (0, 1, 5):
        spec = line("processor", elements=count)
        reply = run_flow(session, spec)
        pulls = sum(isinstance(event, e.Called) and event.fn == "pull" for event in reply.trace)
        budget.touch("FLOW-010")
        if pulls != count + 1:
            raise with_flow(Violation("FLOW-010", f"pulls of a source of {count}", expected=count + 1, found=pulls), spec, reply)
    search_flows(session, budget, "FLOW-010", SHAPES, flows())


ALL: tuple[FlowSpec, ...] = (*ENDS, *SHAPES, COMPLETE_FAILED)
"""Every directed flow of this area; other areas use them, too."""

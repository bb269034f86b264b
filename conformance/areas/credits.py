"""Credits and demand (CREDIT): the arithmetic on one stream, and that producers respect it end to end."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.watermarks import STORIES
from conformance.checks import Budget, checks
from conformance.machines.search import search_streams
from conformance.models.streams import Policy
from conformance.strategies import ANYTHING, DROP, EMIT, PAUSE, READY, REJECT, fan_out, flows, line
from conformance.subjects.protocol import Answer, Facet, FlowSettings, Script
from conformance.subjects.session import Session
from conformance.traces.search import search_flows

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

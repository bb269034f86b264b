"""Order, sequence numbers and deliveries (ORD)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.lifecycle import SHAPES
from conformance.areas.watermarks import STORIES
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.machines.search import search_streams
from conformance.strategies import ANYTHING, END, LOSSLESS, fan_in, fan_out, flows, line
from conformance.subjects.protocol import Answer, Command, Facet, FlowSettings, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import offered, run_flow, search_flows, with_flow

LIARS = replace(ANYTHING, lying=True)
DEEP = tuple(line("processor", elements=8, capacity=4, schedule=schedule) for schedule in ("consumer-first", "producer-first"))
"""A straight flow with short and with full queues."""
LATE = (
    line(elements=20, capacity=8, schedule="producer-first", commands=(Command(5),)),
    fan_in(elements=(4, 4), capacity=4, schedule="producer-first"),
)
"""Queues that are long when a cancelled flow drains, and where two streams join."""


def _pushed(session: Session, budget: Budget, rule: str, spec: FlowSpec, expected: list[int]) -> None:
    """Evaluate the sequences that a directed flow's sink gets."""
    if not offered(session, spec):
        return
    reply = run_flow(session, spec)
    found = [event.seq for event in reply.trace if isinstance(event, e.Called) and event.fn == "push"]
    budget.touch(rule)
    if found != expected:
        raise with_flow(Violation(rule, "the sequences at the sink", expected=expected, found=found), spec, reply)


@checks("ORD-001", facet=Facet.STREAMS, kind="machine")
def first_in_first_out(session: Session, budget: Budget) -> None:
    """A stream gives its elements in the order in which it took them."""
    search_streams(session, budget, "ORD-001", STORIES)


@checks("ORD-001", facet=Facet.FLOWS, kind="monitor")
def first_in_first_out_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow every stream is first in, first out, and payloads arrive in the order in which they were made."""
    search_flows(session, budget, "ORD-001", (*DEEP, *SHAPES, *LATE), flows())


@checks("ORD-002", facet=Facet.FLOWS, kind="monitor")
def the_runtime_numbers(session: Session, budget: Budget) -> None:
    """What a component claims as its sequence is overwritten by the runtime."""
    liar = Script((Answer("emit", claims_sequence=777),) * 4, END)
    _pushed(session, budget, "ORD-002", line(scripts={"source": liar}), [0, 1, 2, 3])
    story = line("processor", scripts={"source": liar, "processor": Script((), Answer("emit", claims_sequence=5000))})
    search_flows(session, budget, "ORD-002", (story,), flows(LIARS))


@checks("ORD-003", facet=Facet.FLOWS, kind="monitor")
def one_counter(session: Session, budget: Budget) -> None:
    """Sequences come from one counter per flow: from 0, without repetition, rising on every stream; 0..N-1 from source to sink."""
    for schedule in ("consumer-first", "producer-first"):
        _pushed(session, budget, "ORD-003", line(elements=9, capacity=3, schedule=schedule), list(range(9)))
    search_flows(session, budget, "ORD-003", (*DEEP, *SHAPES), flows())


@checks("ORD-004", facet=Facet.FLOWS, kind="monitor")
def rising_behind_processors(session: Session, budget: Budget) -> None:
    """Behind a processor sequences rise strictly, with gaps or without."""
    search_flows(session, budget, "ORD-004", DEEP, flows(replace(ANYTHING, middle=("processor",), elements=10)))


@checks("ORD-005", facet=Facet.FLOWS, kind="monitor")
def forwarded_unchanged(session: Session, budget: Budget) -> None:
    """Filters and routers pass an element on with its number, its time and its buffer."""
    late = Script(tuple(Answer("emit", spends_ns=1000) for _ in range(4)), END)
    stories = [line(role, scripts={"source": late}) for role in ("filter", "router")]
    search_flows(session, budget, "ORD-005", stories, flows(replace(ANYTHING, middle=("filter", "router", "processor"))))


@checks("ORD-008", facet=Facet.FLOWS, kind="monitor")
def called_in_queue_order(session: Session, budget: Budget) -> None:
    """A component gets the elements in queue order, each once, except when a failed call is tried again."""
    failing = Script((Answer("ready"), Answer("error")), Answer("ready"))
    policies = [FlowSettings(error_policy=policy, max_retries=2) for policy in ("skip", "log-and-continue", "retry", "fail-fast")]
    stories = [line(elements=4, scripts={"sink": failing}, settings=settings) for settings in policies]
    search_flows(session, budget, "ORD-008", (*stories, *DEEP, *SHAPES, *LATE), flows())


@checks("ORD-010", facet=Facet.FLOWS, kind="monitor")
def same_order_on_branches(session: Session, budget: Budget) -> None:
    """All branches of a port carry the same elements in the same order."""
    stories = [fan_out(3, elements=6), fan_out(2, elements=6, schedule="producer-first")]
    search_flows(session, budget, "ORD-010", stories, flows(LOSSLESS))


@checks("ORD-011", facet=Facet.FLOWS, kind="monitor")
def once_per_branch(session: Session, budget: Budget) -> None:
    """Every element reaches every branch that it is meant for exactly once."""
    both = Script((Answer("route", ports=("a", "a")), Answer("route")), Answer("route", ports=("a",)))
    stories = [*SHAPES, line("router", elements=4, scripts={"router": both}), fan_in(elements=(2, 3), role="router")]
    search_flows(session, budget, "ORD-011", stories, flows(LOSSLESS))

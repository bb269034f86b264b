"""What elements carry with them, and order where streams meet (ORD-006, ORD-007, ORD-009, ORD-012, ORD-013)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.cancellation import LEFTOVERS
from conformance.areas.lifecycle import FAILED, SHAPES, TRAPPED
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.strategies import ANYTHING, END, LOSSLESS, READY, fan_in, fan_out, flows, line
from conformance.subjects.protocol import Answer, Facet, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import run_flow, search_flows, with_flow

SLOW = Script(tuple(Answer("emit", spends_ns=spends) for spends in (0, 5, 1_000_000, 7)), END)
"""A source whose pulls take different times."""
TYPED = Script(tuple(Answer("emit", content_type=kind) for kind in ("text/plain", "application/json", "x/ü")), END)


@checks("ORD-006", facet=Facet.FLOWS, kind="monitor")
def stamped_on_entry(session: Session, budget: Budget) -> None:
    """An element is stamped between its source's return and its enqueue, and keeps that stamp to the sink."""
    busy = Script((), Answer("emit", spends_ns=900))
    stories = [
        line(scripts={"source": SLOW}),
        line("processor", "filter", scripts={"source": SLOW, "processor": busy}),
        line(
            "processor", capacity=2, schedule="producer-first", scripts={"source": SLOW, "sink": Script((), Answer("ready", spends_ns=33))}
        ),
    ]
    search_flows(session, budget, "ORD-006", stories, flows(replace(ANYTHING, timed=True)))


@checks("ORD-007", facet=Facet.FLOWS, kind="monitor")
def content_types_are_kept(session: Session, budget: Budget) -> None:
    """What a component gives as content type is what the next one sees, through filters, routers and queues."""
    retyping = Script((Answer("emit", content_type="a/b"),), Answer("emit"))
    stories = [
        line(scripts={"source": TYPED}),
        line("filter", "router", scripts={"source": TYPED}, capacity=1),
        line("processor", scripts={"source": TYPED, "processor": retyping}),
    ]
    _sees(session, budget, stories[0], ["text/plain", "application/json", "x/ü"])
    search_flows(session, budget, "ORD-007", stories, flows(replace(ANYTHING, typed=True)))


def _sees(session: Session, budget: Budget, spec: FlowSpec, expected: list[str]) -> None:
    reply = run_flow(session, spec)
    found = [event.content_type for event in reply.trace if isinstance(event, e.Called) and event.fn == "push"]
    budget.touch("ORD-007")
    if found != expected:
        raise with_flow(Violation("ORD-007", "the content types that a sink sees", expected=expected, found=found), spec, reply)


@checks("ORD-009", facet=Facet.FLOWS, kind="monitor")
def merged_in_order(session: Session, budget: Budget) -> None:
    """Where streams meet, the elements of each come in its own order."""
    stories = [fan_in(elements=(6, 6), capacity=capacity, schedule="producer-first") for capacity in (1, 4)]
    stories.append(fan_in(elements=(3, 1, 5), role="filter", capacity=4, schedule="producer-first"))
    search_flows(session, budget, "ORD-009", stories, flows(replace(LOSSLESS, most_sources=3, schedules=("producer-first", "scripted"))))


@checks("ORD-012", facet=Facet.FLOWS, kind="monitor")
def each_flow_counts_from_zero(session: Session, budget: Budget) -> None:
    """The numbers of one flow are its own: whatever ran before or runs beside it, they start at 0."""
    search_flows(session, budget, "ORD-012", (line(), line("processor"), line(), *SHAPES), flows())


@checks("ORD-013", facet=Facet.FLOWS, kind="monitor")
def gaps_are_losses(session: Session, budget: Budget) -> None:
    """A number that no stream carries belongs to an element that was reported as dropped."""
    held = Script((), READY)
    stories = [fan_out(2, elements=8, policies=("drop-newest", "drop-oldest"), schedule="producer-first", sinks=(held, held)), *LEFTOVERS]
    search_flows(session, budget, "ORD-013", (*stories, FAILED, TRAPPED), flows())

"""Who gets an element: broadcast, routers, filters (TOPO-008 to TOPO-011)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.scheduling import DEFAULT
from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.strategies import ANYTHING, EMIT, END, LOSSLESS, NO_PORT, PASS, READY, REJECT, fan_in, fan_out, flows, line
from conformance.subjects.protocol import Answer, EdgeSpec, Facet, FlowSettings, FlowSpec, Script, StageSpec
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import judge_flow, offered, run_flow, search_flows, with_flow

BRANCHING = replace(LOSSLESS, most_sinks=4, most_middle=3)


def route(*ports: str) -> Answer:
    """Return a router's answer."""
    return Answer("route", ports=ports)


def crossroads(*answers: Answer, policy: str = "fail-fast") -> FlowSpec:
    """Return a source, a router with two ports (`b` has two edges), and three sinks."""
    stages = (
        StageSpec("source", "source", Script((EMIT,) * max(len(answers), 1), END)),
        StageSpec("router", "router", Script(answers, route("a"))),
        *(StageSpec(name, "sink", Script((), READY)) for name in ("k0", "k1", "k2")),
    )
    edges = (
        EdgeSpec("source", "router"),
        EdgeSpec("router", "k0", "a", capacity=2),
        EdgeSpec("router", "k1", "b", capacity=2),
        EdgeSpec("router", "k2", "b", capacity=1),
    )
    return FlowSpec(stages, edges, settings=FlowSettings(error_policy=policy), max_calls=4000)


ROUTES = crossroads(route(), route("a"), route("a", "b"), route("a", "a"), route("b"), route("b", "a", "b"))
SIEVE = Script((PASS, REJECT, REJECT, PASS), REJECT)


@checks("TOPO-008", facet=Facet.FLOWS, kind="monitor")
def one_buffer_for_all_branches(session: Session, budget: Budget) -> None:
    """Every edge of a port gets every element, in one buffer, which is released after its last consumer."""
    stories = [fan_out(branches, elements=3) for branches in (2, 5, 16)]
    stories += [fan_out(3, elements=5, schedule="producer-first"), ROUTES]
    for story in stories[:3]:
        _as_many_buffers_as_elements(session, budget, story)
    search_flows(session, budget, "TOPO-008", stories, flows(BRANCHING))


def _as_many_buffers_as_elements(session: Session, budget: Budget, spec: FlowSpec) -> None:
    reply = run_flow(session, spec)
    made = sum(isinstance(event, e.BufferEvent) and event.op == "alloc" for event in reply.trace)
    released = sum(isinstance(event, e.BufferEvent) and event.op == "release" for event in reply.trace)
    pushed = sum(isinstance(event, e.Called) and event.fn == "push" for event in reply.trace)
    expected = (3, 3, 3 * (len(spec.stages) - 1))
    budget.touch("TOPO-008")
    if (made, released, pushed) != expected:
        message = "buffers made, buffers released, and pushes"
        raise with_flow(Violation("TOPO-008", message, expected=expected, found=(made, released, pushed)), spec, reply)


@checks("TOPO-009", facet=Facet.FLOWS, kind="monitor")
def exactly_the_ports_named(session: Session, budget: Budget) -> None:
    """A router's element goes to the ports that it names, once each, in the same buffer; to none when it names none."""
    stories = [ROUTES, line("router", elements=3), fan_in(role="router")]
    search_flows(session, budget, "TOPO-009", stories, flows(replace(ANYTHING, middle=("router", "router", "filter"))))


@checks("TOPO-010", facet=Facet.FLOWS, kind="monitor")
def unknown_ports_are_errors(session: Session, budget: Budget) -> None:
    """A router that names a port which it does not have is refused when it is linked, or its call fails; no element is lost in silence."""
    for policy in ("fail-fast", "skip", "log-and-continue"):
        spec = crossroads(route("a"), route("a", NO_PORT), route(NO_PORT), policy=policy)
        if not offered(session, spec):
            continue
        try:
            session.flows.run(spec)
        except Refused:
            budget.touch("TOPO-010")
            continue
        judge_flow(session, budget, "TOPO-010", spec)
    search_flows(session, budget, "TOPO-010", (), flows(replace(ANYTHING, middle=("router",))))


@checks("TOPO-011", facet=Facet.FLOWS, kind="monitor")
def filters_pass_or_drop(session: Session, budget: Budget) -> None:
    """A filter's true forwards the element unchanged; its false drops it and releases its buffer."""
    sieved = line("filter", elements=6, scripts={"filter": SIEVE})
    reply = run_flow(session, sieved)
    pushed = [event.tag for event in reply.trace if isinstance(event, e.Called) and event.fn == "push"]
    made = sum(isinstance(event, e.BufferEvent) and event.op == "alloc" for event in reply.trace)
    budget.touch("TOPO-011")
    if (pushed, made) != (["source#0", "source#3"], 6):
        message = "what passed a filter that lets the first and the fourth pass, and the buffers made"
        raise with_flow(Violation("TOPO-011", message, expected=(["source#0", "source#3"], 6), found=(pushed, made)), sieved, reply)
    search_flows(
        session, budget, "TOPO-011", (sieved, fan_in(role="filter")), flows(replace(DEFAULT, middle=("filter", "filter", "processor")))
    )

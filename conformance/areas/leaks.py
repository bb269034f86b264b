"""Buffers in whole flows (OWN): released when the last consumer is done, whatever became of the element and however the flow ends."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as with_

from conformance.areas.cancellation import HOARDERS, INTERRUPTED, LEFTOVERS
from conformance.areas.lifecycle import ALL, ENDS
from conformance.checks import Budget, Depth, checks
from conformance.errors import Inconclusive, Violation
from conformance.strategies import EMIT, END, LOSSLESS, ORDERLY, READY, fan_out, flows, line
from conformance.subjects.protocol import Answer, Command, EdgeSpec, Facet, FlowSettings, FlowSpec, Schedule, Script, StageSpec
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import judge_flow, offered, run_flow, search_flows, with_flow

FEW, QUICK, MANY = 10, 200, 10_000
"""Elements of a long run; the rules speak of ten thousand. A runtime that loses every buffer shows it with few."""

DROPS = Script((), Answer("drop"))
REJECTS = Script((), Answer("reject"))
NOWHERE = Script((), Answer("route"))


def router_flow(sinks: int = 3, *, elements: int = 4, schedule: str = "consumer-first", script: Script | None = None) -> FlowSpec:
    """Return a source, a router and several sinks on its one port, of queues of different depths."""
    names = [f"sink{number}" for number in range(sinks)]
    stages = (
        StageSpec("source", "source", Script((EMIT,) * elements, END)),
        StageSpec("router", "router", script or Script((), Answer("route", ports=("a",)))),
        *(StageSpec(name, "sink", Script((Answer("pause"),) * number, READY)) for number, name in enumerate(names)),
    )
    edges = (EdgeSpec("source", "router"), *(EdgeSpec("router", name, "a", capacity=1 + number) for number, name in enumerate(names)))
    return FlowSpec(stages, edges, Schedule(schedule))


DROPPING = (
    line("processor", elements=6, scripts={"processor": DROPS}),
    line("filter", elements=6, scripts={"filter": REJECTS}),
    line("filter", "processor", elements=6, scripts={"filter": Script((Answer("pass"), Answer("reject")) * 3)}, schedule="producer-first"),
    router_flow(2, script=NOWHERE),
    line("aggregator", elements=6),
)
OVERFLOWING = (
    line(elements=8, capacity=1, policy="drop-oldest", schedule="producer-first"),
    line(elements=8, capacity=1, policy="drop-newest", schedule="producer-first"),
    line(elements=8, capacity=1, policy="error", schedule="producer-first", settings=FlowSettings(error_policy="skip")),
    fan_out(2, elements=6, capacity=1, policies=("drop-oldest", "drop-newest"), schedule="producer-first"),
    LEFTOVERS[0],
)
ROUTED = tuple(router_flow(sinks, schedule=schedule) for sinks in (2, 3) for schedule in ("consumer-first", "producer-first"))
BROADCAST = tuple(fan_out(3, elements=5, schedule=schedule) for schedule in ("consumer-first", "producer-first"))


@checks("OWN-024", facet=Facet.FLOWS, kind="monitor")
def inputs_are_released(session: Session, budget: Budget) -> None:
    """At every call, only buffers are alive that are queued, on their way, or in the hands of a stage."""
    search_flows(session, budget, "OWN-024", (*ALL, *ROUTED, *BROADCAST), flows(LOSSLESS), examples=15)


@checks("OWN-025", facet=Facet.FLOWS, kind="monitor")
def dropped_is_released(session: Session, budget: Budget) -> None:
    """What a component drops, rejects or routes nowhere does not stay alive."""
    search_flows(session, budget, "OWN-025", DROPPING, flows(ORDERLY), examples=15)


@checks("OWN-026", facet=Facet.FLOWS, kind="monitor")
def discarded_is_released(session: Session, budget: Budget) -> None:
    """What a full queue or a forced drain discards does not stay alive."""
    search_flows(session, budget, "OWN-026", OVERFLOWING, flows(replace(INTERRUPTED, capacities=(1, 2))), examples=15)


@checks("OWN-027", facet=Facet.FLOWS, kind="monitor")
def branches_share(session: Session, budget: Budget) -> None:
    """All branches of a router get the same buffer, and it is released after the last of them, once."""
    for spec in (spec for spec in ROUTED if offered(session, spec)):
        named(judge_flow(session, budget, "OWN-027", spec).trace)
    routers = replace(LOSSLESS, middle=("router",))
    search_flows(session, budget, "OWN-027", (), flows(routers), examples=12)


@checks("OWN-036", facet=Facet.FLOWS, kind="monitor")
def every_end_is_clean(session: Session, budget: Budget) -> None:
    """No buffer is left by a flow, whichever of its ends it comes to."""
    search_flows(session, budget, "OWN-036", (*ENDS, *HOARDERS, *LEFTOVERS, *OVERFLOWING), flows(), examples=15)


@checks("OWN-039", facet=Facet.FLOWS, kind="monitor")
def one_place_at_a_time(session: Session, budget: Budget) -> None:
    """No buffer waits in two places, but for the branches of a fan-out."""
    for spec in (spec for spec in (*ROUTED, *BROADCAST, *OVERFLOWING) if offered(session, spec)):
        named(judge_flow(session, budget, "OWN-039", spec).trace)
    search_flows(session, budget, "OWN-039", (), flows(), examples=12)


@checks("OWN-041", facet=Facet.FLOWS, kind="monitor")
def names_are_kept(session: Session, budget: Budget) -> None:
    """The handle of an allocation is the one that is queued, taken and lent, generation included."""
    churning = line("processor", elements=12, capacity=2)
    for spec in (spec for spec in (churning, *ROUTED, *DROPPING) if offered(session, spec)):
        named(judge_flow(session, budget, "OWN-041", spec).trace)
    search_flows(session, budget, "OWN-041", (), flows(), examples=12)


def named(trace: tuple[e.AnyEvent, ...]) -> None:
    """Make sure that a trace says which buffer is where.

    Raises:
        Inconclusive: it does not.
    """
    if not any(isinstance(event, e.Enqueued) and event.buffer is not None for event in trace):
        raise Inconclusive("the subject does not say which buffer an element has (`buffer` of the events enq, deq and call)")


# ---------------------------------------------------------------- long runs


def long_runs(elements: int) -> dict[str, FlowSpec]:
    """Return one long flow for each way in which an element or a flow can end."""
    calls = {"max_calls": 8 * elements + 1000}
    emits = Script((EMIT,) * elements, END)
    # the failing element comes late, so that a leak per element shows
    late = (Answer("emit"),) * (elements - elements // 10)

    def run(*roles: str, **fields: object) -> FlowSpec:
        scripts = {"source": emits, **fields.pop("scripts", {})}  # type: ignore[dict-item]  # a test's keyword
        return with_(line(*roles, scripts=scripts, **fields), **calls)  # type: ignore[arg-type]  # as above

    slow = Script((replace_spend(EMIT, 1_000_000),) * elements, END)
    return {
        "complete": run("processor"),
        "drop": run("processor", scripts={"processor": DROPS}),
        "filter": run("filter", scripts={"filter": REJECTS}),
        "route": with_(router_flow(2, elements=elements), **calls),
        "error": run("processor", scripts={"processor": Script((*late, Answer("error")), EMIT)}),
        "trap": run("processor", scripts={"processor": Script((*late, Answer("trap")), EMIT)}),
        "deadline": run("processor", scripts={"source": slow}, settings=FlowSettings(deadline_ms=elements - elements // 10)),
        "cancel": run("processor", commands=(Command(3 * elements - 5),)),
        "drain-timeout": run(
            capacity=16,
            schedule="producer-first",
            commands=(Command(2 * elements - elements // 10),),
            settings=FlowSettings(drain_timeout_ms=0),
        ),
        "evict": run(capacity=2, policy="drop-oldest", schedule="producer-first"),
    }


def replace_spend(answer: Answer, ns: int) -> Answer:
    """Return an answer that takes its time."""
    return with_(answer, spends_ns=ns)


@checks("OWN-036", facet=Facet.FLOWS, kind="example", name="long-runs-end-clean")
def long_runs_end_clean(session: Session, budget: Budget) -> None:
    """However a long flow ends, and whatever became of its elements, no buffer is left."""
    for elements in (FEW, MANY if budget.depth is Depth.DEEP else QUICK):
        for way, spec in long_runs(elements).items():
            if not offered(session, spec):
                continue
            reply = run_flow(session, spec)
            budget.touch("OWN-036", elements)
            if reply.live_buffers:
                message = f"{elements} elements that {way} leave buffers"
                raise with_flow(Violation("OWN-036", message, expected=0, found=reply.live_buffers), spec, reply)


@checks("OWN-037", facet=Facet.FLOWS, kind="example")
def ten_thousand_elements(session: Session, budget: Budget) -> None:
    """A long run through source, processor and sink leaves no buffer; ten thousand elements in a deep run, two hundred in a quick one."""
    for elements in (FEW, MANY if budget.depth is Depth.DEEP else QUICK):
        reply = run_flow(session, long_runs(elements)["complete"])
        pushed = sum(isinstance(event, e.Called) and event.fn == "push" for event in reply.trace)
        if pushed != elements:
            raise Inconclusive(f"{pushed} of {elements} elements arrived: another rule's business")
        budget.expect_equal("OWN-037", reply.live_buffers, 0, f"the number of buffers that {elements} elements leave")


# ---------------------------------------------------------------- looking for a leak


@checks("OWN-040", facet=Facet.RESOURCES, kind="example")
def leaks_can_be_found(session: Session, budget: Budget) -> None:
    """The inventory lists every live buffer with its owner and its age, oldest first to have been made, and it balances."""
    session.resources.open()
    made = [session.resources.allocate(owner, 16, flow) for owner, flow in (("component-1", 1), ("host", 2), ("component-2", 1))]
    session.resources.transfer(made[0], "component-1", "component-2")
    session.resources.release(session.resources.allocate("host", 16), "host")
    reply = session.resources.live()
    owners = {(one.handle.index, one.handle.generation): one.owner for one in reply.buffers}
    expected = {
        (handle.index, handle.generation): owner for handle, owner in zip(made, ("component-2", "host", "component-2"), strict=True)
    }
    budget.expect_equal("OWN-040", owners, expected, "the inventory: who owns what")
    ages = {(one.handle.index, one.handle.generation): one.age_ns for one in reply.buffers}
    in_order = [ages[handle.index, handle.generation] for handle in made]
    sensible = in_order == sorted(in_order, reverse=True) and in_order[-1] >= 0
    budget.expect("OWN-040", sensible, "the older a buffer, the greater its age", expected="falling, none negative", found=in_order)
    count = session.resources.live_count()
    budget.expect_equal("OWN-040", count, 3, "the live count")
    if reply.created is not None and reply.released is not None:
        budget.expect_equal("OWN-040", reply.created - reply.released, 3, "created - released")

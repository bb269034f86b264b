"""Several flows side by side (FLOW-011 to FLOW-015, FLOW-020, CANCEL-016, SCHED-012, ORD-012): what a host does, step by step."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.errors import NotOffered, Refused, SubjectError, Violation
from conformance.strategies import EMIT, LOSSLESS, flows, line
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Answer, Facet, FlowSettings, FlowSpec, HostStep, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.check import watch
from conformance.traces.search import Abort, offered

SHORT = line("processor", elements=5)
ENDLESS = with_(line(scripts={"source": Script((), EMIT)}, settings=FlowSettings(elements_per_yield=4)), max_calls=2000)
BROKEN = line("processor", elements=5, scripts={"processor": Script((EMIT, Answer("error")), EMIT)})
TRAPPED = line("processor", elements=5, scripts={"processor": Script((EMIT, Answer("trap", keeps=2)), EMIT)})
STUCK = line(
    "processor",
    scripts={"processor": Script((), Answer("error"))},
    settings=FlowSettings(error_policy="retry", max_retries=5, backoff_ms=100_000, drain_timeout_ms=1_000_000),
)
"""A flow that goes on trying, and takes its time to drain."""
EQUALS = 10
FACTOR = 10
"""How much further one of several equal flows may be than another (SCHED-012)."""

SETTLE, SHUTDOWN, STATUS = HostStep("settle"), HostStep("shutdown"), HostStep("status")
NOT_FOUND = frozenset({"flow-not-found", "not-found"})
ORDER = ("Ready", "Running", "ShuttingDown", "Stopped")


def start(*numbers: int) -> tuple[HostStep, ...]:
    """Return the steps that start these flows."""
    return tuple(HostStep("start", flow=number) for number in numbers)


def _show(steps: tuple[HostStep, ...], reply: p.HostRunReply) -> dict[str, object]:
    return {"steps": steps, "outcomes": reply.outcomes}


def _expect(
    budget: Budget, rule: str, holds: object, message: str, steps: tuple[HostStep, ...], reply: p.HostRunReply, **differ: object
) -> None:
    """Evaluate one expectation about a host's run."""
    expected, found = differ.get("expected", ""), differ.get("found", "")
    budget.expect(rule, holds, message, expected=expected, found=found, evidence=_show(steps, reply))


@checks("FLOW-011", facet=Facet.FLOWS, kind="example")
def ids_count_from_one(session: Session, budget: Budget) -> None:
    """Flows started one after another, at once and after others have ended, have different ids that rise from 1."""
    steps = (*start(0, 0, 0), SETTLE, *start(0, 1))
    reply = session.flows.host((SHORT, BROKEN), steps)
    ids = [outcome.flow for step, outcome in zip(steps, reply.outcomes, strict=False) if step.do == "start"]
    given = [number for number in ids if number is not None]
    rising = len(given) == len(ids) and given[:1] == [1] and all(one < other for one, other in itertools.pairwise(given))
    _expect(budget, "FLOW-011", rising, "the ids of five flows", steps, reply, expected="rising from 1", found=ids)
    known = [flow.id for flow in reply.flows]
    _expect(
        budget, "FLOW-011", sorted(known) == sorted(given), "the ids that flows are known by", steps, reply, expected=given, found=known
    )


@checks("FLOW-012", facet=Facet.FLOWS, kind="example")
def closed_means_closed(session: Session, budget: Budget) -> None:
    """Once a host was told to shut down it starts no flow, and none runs."""
    for before in ((), start(0), (*start(0), SETTLE)):
        steps = (*before, SHUTDOWN, *start(0), SETTLE)
        reply = session.flows.host((SHORT,), steps)
        outcome = reply.outcomes[len(before) + 1]
        _expect(budget, "FLOW-012", outcome.outcome != "done", "a flow was started after shutdown", steps, reply, expected="a refusal")
        expected = sum(step.do == "start" for step in before)
        _expect(budget, "FLOW-012", len(reply.flows) == expected, "flows that ran", steps, reply, expected=expected, found=len(reply.flows))


@checks("FLOW-012", facet=Facet.FLOWS, kind="example", requires=("shutdown_meanwhile",))
def closed_while_it_drains(session: Session, budget: Budget) -> None:
    """While a host shuts down, and its flows take their time to drain, it starts no flow."""
    begun = HostStep("shutdown", timeout_ms=1000, waits=False)
    for spec in (ENDLESS, STUCK):
        steps = (*start(0), HostStep("turns", turns=3), begun, STATUS, *start(1), STATUS, SETTLE, *start(1))
        reply = session.flows.host((spec, SHORT), steps)
        state, first, again, last = (reply.outcomes[at] for at in (3, 4, 5, 7))
        message = "a flow was started during a shutdown"
        _expect(budget, "FLOW-012", first.outcome != "done", message, steps, reply, expected="a refusal", found=first.outcome)
        _expect(budget, "FLOW-012", last.outcome != "done", "a flow was started after it", steps, reply, expected="a refusal")
        _expect(budget, "FLOW-012", len(reply.flows) == 1, "flows that ran", steps, reply, expected=1, found=len(reply.flows))
        on = {"ShuttingDown", "Stopped"}
        right = again.state in on if state.state in on else again.state != "Ready"
        _expect(budget, "FLOW-012", right, "its state after the refusal", steps, reply, expected=sorted(on), found=again.state)


@checks("FLOW-013", facet=Facet.FLOWS, kind="example")
def unknown_flows_are_not_found(session: Session, budget: Budget) -> None:
    """Asking for, or cancelling, a flow that does not exist is answered with not-found."""
    steps = (
        HostStep("query", flow=999),
        HostStep("cancel", flow=999),
        *start(0),
        HostStep("query", flow=0),
        HostStep("cancel", flow=2),
        SETTLE,
    )
    reply = session.flows.host((SHORT,), steps)
    for step, outcome in zip(steps, reply.outcomes, strict=False):
        if step.do in {"query", "cancel"}:
            message = f"the answer to {step.do} of the unknown flow {step.flow}"
            _expect(
                budget, "FLOW-013", outcome.outcome in NOT_FOUND, message, steps, reply, expected="flow-not-found", found=outcome.outcome
            )


@checks("FLOW-014", facet=Facet.FLOWS, kind="example")
def the_end_stays_the_end(session: Session, budget: Budget) -> None:
    """Cancelling a flow that is over changes nothing, however it ended."""
    for spec, settle in ((SHORT, SETTLE), (BROKEN, SETTLE), (ENDLESS, HostStep("turns", turns=3))):
        first, again = HostStep("cancel", flow=1), HostStep("cancel", flow=1)
        end = () if settle.do == "settle" else (first, SETTLE)
        steps = (*start(0), settle, *end, HostStep("query", flow=1), again, again, HostStep("query", flow=1))
        reply = session.flows.host((spec,), steps)
        before, after = (reply.outcomes[at].state for at in (-4, -1))
        _expect(
            budget,
            "FLOW-014",
            before == after,
            "the state after a cancel of a flow that is over",
            steps,
            reply,
            expected=before,
            found=after,
        )
        for outcome in reply.outcomes[-3:-1]:
            fine = outcome.outcome in {"done", "invalid-state"}
            _expect(
                budget,
                "FLOW-014",
                fine,
                "the answer to a late cancel",
                steps,
                reply,
                expected="done or invalid-state",
                found=outcome.outcome,
            )
        state = reply.flows[0].state
        _expect(budget, "FLOW-014", state == before, "the flow's final state", steps, reply, expected=before, found=state)


def _delivered(flow: p.HostedFlow) -> tuple[str, list[tuple[str, str | None, int | None]]]:
    """Return how a flow ended, and what its sinks were given."""
    trace = flow.run.trace if flow.run is not None else ()
    return flow.state, [(event.stage, event.tag, event.seq) for event in trace if isinstance(event, e.Called) and event.fn == "push"]


@checks("FLOW-015", facet=Facet.FLOWS, kind="example")
def failures_stay_at_home(session: Session, budget: Budget) -> None:
    """A flow delivers the same, with neighbours that fail and trap and without."""
    for specs in ((SHORT, BROKEN), (SHORT, TRAPPED, SHORT), (SHORT, BROKEN, TRAPPED, SHORT)):
        _same_alone(session, budget, specs)

    def law(specs: list[FlowSpec]) -> None:
        try:
            if all(offered(session, spec) for spec in specs):
                _same_alone(session, budget, (*specs, BROKEN, TRAPPED))
        except (SubjectError, NotOffered, Refused) as error:
            raise Abort(error) from error

    drawn = flows(replace(LOSSLESS, failing=True, schedules=("consumer-first", "producer-first"), most_middle=2, optional=False))
    try:
        budget.for_all(st.lists(drawn, min_size=1, max_size=3), law, max_examples=12)
    except Abort as abort:
        raise abort.cause from None


def _same_alone(session: Session, budget: Budget, specs: tuple[FlowSpec, ...]) -> None:
    steps = (*start(*range(len(specs))), SETTLE)
    together = session.flows.host(specs, steps)
    _expect(
        budget,
        "FLOW-015",
        len(together.flows) == len(specs),
        "flows that ran",
        steps,
        together,
        expected=len(specs),
        found=len(together.flows),
    )
    for flow in together.flows:
        alone = session.flows.host((specs[flow.flow],), (*start(0), SETTLE)).flows[0]
        expected, found = _delivered(alone), _delivered(flow)
        message = f"what flow {flow.id} delivered beside {len(specs) - 1} others, and how it ended"
        _expect(budget, "FLOW-015", expected == found, message, steps, together, expected=expected, found=found)


@checks("FLOW-020", facet=Facet.FLOWS, kind="example")
def hosts_go_one_way(session: Session, budget: Budget) -> None:
    """A host is ready, then running, then stopped; a second shutdown says the same as the first; afterwards nothing starts."""
    steps = (STATUS, *start(0), STATUS, HostStep("turns", turns=2), STATUS, SHUTDOWN, STATUS, SHUTDOWN, *start(0), STATUS)
    reply = session.flows.host((ENDLESS,), steps)
    seen = [str(outcome.state) for step, outcome in zip(steps, reply.outcomes, strict=False) if step.do == "status"]
    known = [state for state in seen if state in ORDER]
    places = [ORDER.index(state) for state in known]
    one_way = len(known) == len(seen) and places == sorted(places) and places[-1] == len(ORDER) - 1
    _expect(budget, "FLOW-020", one_way, "a host's states", steps, reply, expected=", ".join(ORDER), found=", ".join(seen))
    first, second = (reply.outcomes[at] for at in (5, 7))
    message = "the second shutdown"
    _expect(
        budget, "FLOW-020", second.outcome == "done" and second.counts == first.counts, message, steps, reply, expected=first, found=second
    )
    late = reply.outcomes[8].outcome
    _expect(budget, "FLOW-020", late != "done", "a flow was started by a stopped host", steps, reply, expected="a refusal", found=late)


@checks("CANCEL-016", facet=Facet.FLOWS, kind="example")
def shutdown_counts_everyone(session: Session, budget: Budget) -> None:
    """Shutdown cancels all flows, waits as long as it may, forces the rest, and reports each flow once."""
    specs = (SHORT, ENDLESS, BROKEN, STUCK)
    steps = (*start(0, 1, 2, 3, 1), HostStep("turns", turns=20), HostStep("shutdown", timeout_ms=1000), *start(0), SETTLE)
    reply = session.flows.host(specs, steps)
    counts = reply.outcomes[6].counts
    found = None if counts is None else counts.completed + counts.cancelled + counts.failed + counts.timed_out
    _expect(budget, "CANCEL-016", found == 5, "flows that a shutdown accounts for", steps, reply, expected=5, found=found)
    expected = p.ShutdownCounts(completed=1, cancelled=2, failed=1, timed_out=1)
    _expect(budget, "CANCEL-016", counts == expected, "how a shutdown counts its flows", steps, reply, expected=expected, found=counts)
    late = reply.outcomes[7].outcome
    _expect(budget, "CANCEL-016", late != "done", "a flow was started after shutdown", steps, reply, expected="a refusal", found=late)


@checks("SCHED-012", facet=Facet.FLOWS, kind="example")
def equals_advance_together(session: Session, budget: Budget) -> None:
    """Of ten equal flows none has ten times as many turns as another, for as long as all of them run."""
    equal = line(elements=120, settings=FlowSettings(elements_per_yield=1))
    steps = (*start(*[0] * EQUALS), SETTLE)
    reply = session.flows.host((equal,), steps)
    last = {flow: at for at, flow in enumerate(reply.turns)}
    if len(last) < EQUALS:
        raise Violation("SCHED-012", "flows that gave way at all", expected=EQUALS, found=len(last), evidence=_show(steps, reply))
    while_all_run = reply.turns[: min(last.values()) + 1]
    counts = Counter(while_all_run)
    fewest = min(counts[flow] for flow in last)
    most = max(counts.values())
    message = "turns of equal flows until the first of them ended"
    _expect(
        budget, "SCHED-012", most <= FACTOR * fewest, message, steps, reply, expected=f"within a factor of {FACTOR}", found=dict(counts)
    )


@checks("ORD-012", facet=Facet.FLOWS, kind="monitor")
def side_by_side_from_zero(session: Session, budget: Budget) -> None:
    """Flows that run at the same time all count from 0, also those that are started while others are under way."""
    specs = (SHORT, line(elements=9), ENDLESS)
    steps = (*start(0, 2), HostStep("turns", turns=5), *start(1, 0), SETTLE)
    reply = session.flows.host(specs, steps)
    for flow in reply.flows:
        if flow.run is not None:
            try:
                budget.touch("ORD-012", watch(specs[flow.flow], flow.run.trace, ("ORD-012",))["ORD-012"])
            except Violation as violation:
                violation.evidence = _show(steps, reply)
                raise

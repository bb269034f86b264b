"""What a subject declares to leave out: checks play around it, and infer from what it shows what follows with certainty."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings

from conformance.checks import REGISTRY, Depth, all_checks
from conformance.errors import NotOffered, SubjectCrashedError, SubjectTimeoutError, Violation
from conformance.execute import run_check
from conformance.strategies import ANYTHING, EMIT, END, fan_in, fan_out, flows, line
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, Door
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Script
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.check import watch
from conformance.traces.inferred import CREDITS, DEQUEUED, ENQUEUED, SETUP, complete, countable
from conformance.traces.offered import within
from conformance.traces.search import run_flow

LACKING = frozenset(p.FEATURES)
PLAIN = LACKING - {"flows.run/role=processor", "flows.run/role=filter"}


def door(**unsupported):
    """Return the reference, with a declaration that leaves these out (`resources_freeze` for `resources.freeze`)."""
    declared = {name.replace("_", ".", 1).replace("_", "-"): reason for name, reason in unsupported.items()}
    subject = replace(reference_subject(), unsupported=declared)
    return Door("lesser", lambda: InProcess(subject), in_process=True)


# ---------------------------------------------------------------- flows


@given(flows(replace(ANYTHING, lying=True)))
def test_a_drawn_flow_fits_into_what_is_offered_and_keeps_its_shape(spec):
    fitted = within(spec, PLAIN)
    assert not p.features_of(fitted) & PLAIN
    assert [stage.name for stage in fitted.stages] == [stage.name for stage in spec.stages]
    assert {(edge.source, edge.target) for edge in fitted.edges} == {(edge.source, edge.target) for edge in spec.edges}
    assert within(fitted, PLAIN) == fitted
    assert within(spec, ()) == spec


@settings(max_examples=30)
@given(flows())
def test_what_was_fitted_runs(spec):
    session = Session(InProcess(reference_subject()))
    assert session.flows.run(within(spec, PLAIN)).trace


def test_a_flow_that_needs_what_is_left_out_is_not_sent():
    session = Session(InProcess(replace(reference_subject(), unsupported={"flows.run/role=router": "no ports"})))
    with pytest.raises(NotOffered, match="no ports") as declined:
        run_flow(session, line("router"))
    assert declined.value.declared
    assert session.passed_over == {"flows.run/role=router": "no ports"}
    assert run_flow(session, line("processor")).state == "Completed"


# ---------------------------------------------------------------- inference


def stripped(reply):
    """Return a reply as a subject gives it that shows calls only: no movements, but with each call's and each answer's buffer."""
    trace, pending = [], None
    for event in reply.trace:
        if isinstance(event, e.Enqueued) and pending is not None and trace[pending].buffer is None:
            trace[pending] = msgspec.structs.replace(trace[pending], buffer=event.buffer)
        if isinstance(event, e.Returned) and event.outcome in {"emit", "pass"}:
            pending = len(trace)
        if isinstance(event, e.Called):
            pending = None
        early = isinstance(event, e.StateChanged) and event.old in {"Created", "Validated"}
        if not (early or isinstance(event, (e.Enqueued, e.Dequeued))):
            trace.append(event)
    return msgspec.structs.replace(reply, trace=tuple(trace))


SIMPLE = replace(
    ANYTHING, middle=("processor", "filter"), losing=False, failing=False, cancelling=False, pausing=False, schedules=("consumer-first",)
)


@settings(max_examples=60)
@given(flows(SIMPLE))
def test_of_a_flow_that_loses_nothing_every_movement_is_inferred(spec):
    reply = Session(InProcess(reference_subject())).flows.run(spec)
    shape = [(type(event), event.stream, event.seq, event.depth) for event in reply.trace if isinstance(event, (e.Enqueued, e.Dequeued))]
    again = complete(spec, stripped(reply), {ENQUEUED, DEQUEUED, CREDITS, SETUP})
    found = [(type(event), event.stream, event.seq, event.depth) for event in again.trace if isinstance(event, (e.Enqueued, e.Dequeued))]
    fans = any(sum(edge.source == stage.name for edge in spec.edges) > 1 for stage in spec.stages)
    assert sorted(map(str, found)) == sorted(map(str, shape)) if fans else found == shape
    states = [(event.old, event.new) for event in again.trace if isinstance(event, e.StateChanged)]
    assert states[:2] == [("Created", "Validated"), ("Validated", "Instantiated")]


def test_what_never_arrives_is_not_invented():
    spec = fan_out(2, elements=1)
    trace = (
        e.Called(stage="source", fn="pull"),
        e.Returned(stage="source", fn="pull", outcome="emit", buffer="b0"),
        e.Called(stage="sink0", fn="push", seq=0, tag="source#0", buffer="b0"),
        e.Returned(stage="sink0", fn="push", outcome="ready"),
    )
    reply = complete(spec, p.FlowRunReply("Completed", trace, (), {}, 0), {ENQUEUED, DEQUEUED})
    assert [(event.stream, event.seq) for event in reply.trace if isinstance(event, e.Enqueued)] == [(0, 0)]
    assert [type(event).__name__ for event in reply.trace] == ["Called", "Returned", "Enqueued", "Dequeued", "Called", "Returned"]


def test_where_two_ways_are_possible_nothing_is_inferred():
    spec = msgspec.structs.replace(fan_in(elements=(1,)), edges=(*fan_in(elements=(1,)).edges, p.EdgeSpec("source0", "middle", "default")))
    trace = (
        e.Returned(stage="source0", fn="pull", outcome="emit", buffer="b0"),
        e.Called(stage="middle", fn="process", seq=0, buffer="b0"),
    )
    reply = complete(spec, p.FlowRunReply("Completed", trace, (), {}, 0), {ENQUEUED, DEQUEUED})
    assert reply.trace == trace


def test_counts_are_compared_only_where_everything_arrived():
    reply = Session(InProcess(reference_subject())).flows.run(line("processor", elements=3, capacity=1))
    cancelled = msgspec.structs.replace(reply, state="Cancelled")
    assert countable("FLOW-016", reply, {ENQUEUED})
    assert not countable("FLOW-016", cancelled, {ENQUEUED})
    assert countable("FLOW-016", cancelled, {DEQUEUED})
    assert countable("ORD-001", cancelled, {ENQUEUED})


def test_a_subject_that_shows_everything_is_left_alone():
    reply = Session(InProcess(reference_subject())).flows.run(line("processor"))
    assert complete(line("processor"), reply, {"resources.clone"}) is reply


# ---------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("check", "outcome", "note"),
    [
        ("one-owner", "pass", "resources.budget, resources.freeze"),
        ("no-second-release", "pass", "resources.budget"),
        ("each-its-own", "pass", ""),
        ("frozen-is-never-written", "unsupported", "resources.freeze: no"),
        ("as-if-one-after-another", "pass", "resources.budget"),
    ],
)
def test_checks_play_around_operations_that_are_left_out(check, outcome, note):
    all_checks()
    result = run_check(REGISTRY.get(check), Connection(door(resources_freeze="no", resources_budget="no")), depth=Depth.QUICK)
    assert {finding.outcome for finding in result.findings} == {outcome}
    assert note in result.findings[0].message


# ---------------------------------------------------------------- a runtime that breaks


class Breaking:
    """A subject whose runtime breaks at the first operation, and whose adapter says so."""

    def __init__(self, how):
        self.how = how

    def exchange(self, request, /):
        if isinstance(request, p.Hello):
            return p.Declaration("breaking", "1", p.PROTOCOL, (p.FacetClaim(p.Facet.STREAMS),))
        return p.Broke(self.how, "the capacity must be > 0", "queue.rs:68")

    def close(self):
        """Nothing to do."""


@pytest.mark.parametrize(
    ("how", "error", "outcome"),
    [
        ("panic", SubjectCrashedError, "crash"),
        ("abort", SubjectCrashedError, "crash"),
        ("undefined-behaviour", SubjectCrashedError, "crash"),
        ("hang", SubjectTimeoutError, "timeout"),
    ],
)
def test_a_runtime_that_breaks_is_blamed_in_its_adapters_words(how, error, outcome):
    session = Session(Breaking(how))
    with pytest.raises(error, match=rf"streams.open: {how}: the capacity must be > 0 \(queue.rs:68\)"):
        session.streams.open(0)
    all_checks()
    door = Door("breaking", lambda: Breaking(how), in_process=True)
    finding = run_check(REGISTRY.get("low-marks"), Connection(door)).findings[0]
    assert (finding.outcome, finding.fault) == (outcome, "the subject")


def test_a_branch_that_never_got_anything_has_lost_nothing():
    """TOPO-008 blames a fan-out to the first edge only; that nobody reported the other branch's losses (POLICY-005) is no second fault."""
    spec = fan_out(2, elements=3, policies=("drop-oldest", "drop-oldest"))
    reply = run_flow(Session(InProcess(reference_subject())), spec)
    first_only = tuple(
        event
        for event in reply.trace
        if getattr(event, "stream", 0) != 1 and not (isinstance(event, e.Called | e.Returned) and event.stage == "sink1")
    )
    assert len(first_only) < len(reply.trace)
    watch(spec, first_only, ("POLICY-005",), None)
    with pytest.raises(Violation, match="TOPO-008"):
        watch(spec, first_only, ("TOPO-008",), None)
    unreported = tuple(event for event in reply.trace if not (isinstance(event, e.Dequeued) and event.stream == 1 and event.seq == 2))
    with pytest.raises(Violation, match="losses reported on stream 1"):
        watch(spec, unreported, ("POLICY-005",), None)


def test_last_words_are_judged_where_nobody_says_what_is_done_about_an_error():
    """ERR-007 is held to what the component itself said: a runtime may report no action, and every kind as internal."""
    failing = Script((EMIT, p.Answer("error", kind="invalid-input", message="no number")), END)
    spec = line(scripts={"source": failing})
    reply = run_flow(Session(InProcess(reference_subject())), spec)
    silent = tuple(
        msgspec.structs.replace(event, kind="internal", action="unreported") if isinstance(event, e.ErrorReported) else event
        for event in reply.trace
    )
    assert watch(spec, silent, ("ERR-007",), None)["ERR-007"]
    vague = tuple(msgspec.structs.replace(event, failure="source: internal") if isinstance(event, e.Done) else event for event in silent)
    with pytest.raises(Violation, match="does not name"):
        watch(spec, vague, ("ERR-007",), None)

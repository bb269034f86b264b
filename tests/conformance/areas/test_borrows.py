"""Loans of inputs: the flows leave their calls as they are named, and the watcher knows what a loan is."""

import pytest

from conformance.areas.borrows import EXITS, SHARED, WAYS, watch_loans
from conformance.errors import Inconclusive, Violation
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session
from conformance.traces import events as e

ALLOC, FREE = (e.BufferEvent(op=op, buffer="b") for op in ("alloc", "release"))
CALL, RETURN = e.Called(stage="p", fn="process", buffer="b"), e.Returned(stage="p", fn="process", outcome="error")
NEXT = e.Called(stage="s", fn="pull")
STATES = {
    "fails, and the flow with it": ("Failed", "error"),
    "traps": ("Failed", "trap"),
    "outlasts the deadline": ("Failed", "emit"),
    "is cancelled": ("Cancelled", "error"),
    "is cancelled without time to drain": ("Cancelled", "emit"),
    "drops": ("Completed", "drop"),
    "fails, and tries again": ("Completed", "error"),
}


@pytest.fixture
def session():
    return Session(InProcess(reference_subject()))


@pytest.mark.parametrize("way", EXITS)
def test_a_flow_leaves_a_call_as_it_is_named(session, way):
    reply = session.flows.run(EXITS[way])
    state, outcome = STATES.get(way, ("Completed", "error" if "fail" in way else "emit"))
    assert reply.state == state
    assert outcome in {event.outcome for event in reply.trace if isinstance(event, e.Returned)}


def test_a_retry_gets_the_same_buffer_again(session):
    calls = [event.buffer for event in session.flows.run(EXITS["fails, and tries again"]).trace if isinstance(event, e.Called)]
    lent = [buffer for buffer in calls if buffer is not None]
    assert len(set(lent)) < len(lent)


@pytest.mark.parametrize("way", WAYS)
def test_a_guest_leaves_its_call_as_it_is_named(session, way):
    session.guests.open(fuel=200_000)
    outcome = session.guests.call(WAYS[way]).answer.outcome
    assert outcome == ("failed" if "fails" in way else "emitted" if "emits" in way else "trapped")


@pytest.mark.parametrize("spec", SHARED)
def test_branches_share_a_buffer_of_which_one_call_fails(session, spec):
    reply = session.flows.run(spec)
    assert watch_loans(reply.trace, "fails") == 6


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ((ALLOC, CALL, RETURN, NEXT), "is alive when another is made"),
        ((ALLOC, CALL, RETURN, FREE, CALL), "lent a buffer that is gone"),
        ((CALL,), "lent a buffer that is gone"),
    ],
)
def test_a_loan_that_does_not_end_well_is_caught_at_the_call_that_shows_it(trace, words):
    with pytest.raises(Violation, match=words) as caught:
        watch_loans(trace, "fails")
    assert caught.value.evidence["event"] == len(trace) - 1


@pytest.mark.parametrize("trace", [(ALLOC, CALL, RETURN, FREE, NEXT), (ALLOC, CALL, RETURN, NEXT, CALL, RETURN, FREE, NEXT)])
def test_a_loan_that_ends_or_is_made_again_is_fine(trace):
    assert watch_loans(trace, "fails") >= 1


def test_a_trace_without_buffers_shows_nothing():
    with pytest.raises(Inconclusive, match="does not say which buffers"):
        watch_loans((e.Called(stage="p", fn="process"), RETURN), "fails")

"""Buffers in flows: the long runs come to the ends that they are named for."""

import pytest

from conformance.areas.leaks import long_runs
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session
from conformance.traces import events as e

STATES = {
    "complete": "Completed",
    "drop": "Completed",
    "filter": "Completed",
    "route": "Completed",
    "error": "Failed",
    "trap": "Failed",
    "deadline": "Failed",
    "cancel": "Cancelled",
    "drain-timeout": "Cancelled",
    "evict": "Completed",
}


@pytest.mark.parametrize("way", STATES)
def test_a_long_run_comes_to_its_end_and_leaves_nothing(way):
    reply = Session(InProcess(reference_subject())).flows.run(long_runs(40)[way])
    assert reply.state == STATES[way]
    assert reply.live_buffers == 0
    pulls = sum(isinstance(event, e.Called) and event.fn == "pull" for event in reply.trace)
    assert pulls > 20
    if way in {"drain-timeout", "evict"}:
        assert any(isinstance(event, e.Dropped) for event in reply.trace)


def test_every_way_is_looked_at():
    assert set(long_runs(10)) == set(STATES)

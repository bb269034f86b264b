"""corpus/traces: what went wrong once is recognised for ever, and the reference does not do it."""

from functools import cache
from pathlib import Path

import pytest

from conformance.rulebook import load
from conformance.subjects.connect import Connection, find
from conformance.traces.file import encode, read
from conformance.traces.judging import judge
from conformance.traces.replay import plain, replay

TRACES = sorted((Path(__file__).parents[2] / "corpus" / "traces").glob("*.jsonl"))


@cache
def broken(path):
    return {one.rule for one in judge(load(), read(path)) if one.broken is not None}


@pytest.fixture
def session():
    connection = Connection(find("reference"))
    yield connection.session()
    connection.close()


def test_there_are_traces():
    assert TRACES


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_recording_is_recognised_for_what_it_is(path):
    shown = read(path).header.shows
    assert broken(path) >= ({shown.rule} if shown is not None else set())
    assert shown is not None or not broken(path)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_reference_keeps_every_rule_when_it_runs_the_trace(path, session):
    again = replay(session, read(path))
    judged = judge(load(), again)
    assert [one.broken for one in judged if one.broken is not None] == []
    assert any(one.evaluations for one in judged)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_trace_is_stored_as_it_would_be_written_today(path):
    assert encode(read(path)) == path.read_bytes()


@pytest.mark.parametrize("path", [path for path in TRACES if read(path).header.shows is None], ids=lambda path: path.stem)
def test_a_story_of_the_reference_is_still_its_story(path, session):
    recorded = read(path)
    assert plain(replay(session, recorded)) == plain(recorded)

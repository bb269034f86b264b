"""A trace becomes a picture that believes it, whatever it says, within bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.report import scene as s
from conformance.report.conversation import of_exchanges
from conformance.report.timeline import timeline
from conformance.subjects import protocol as p
from conformance.traces import events as e
from conformance.traces.file import Exchange, Header, TraceFile

FLOW = p.FlowSpec(
    stages=(p.StageSpec("numbers", "source"), p.StageSpec("end", "sink")),
    edges=(p.EdgeSpec("numbers", "end", capacity=2, low_watermark_ratio=0.5),),
)
RUN = (
    e.StateChanged(old="Created", new="Running"),
    e.Called(stage="numbers", fn="pull"),
    e.BufferEvent(op="alloc", buffer="b0"),
    e.Returned(stage="numbers", fn="pull", outcome="emit"),
    e.Enqueued(stream=0, seq=0, depth=1, credits=1, buffer="b0"),
    e.PressureChanged(stream=0, on=True, depth=2),
    e.Dequeued(stream=0, seq=0, depth=0, credits=2, buffer="b0"),
    e.Called(stage="end", fn="push", seq=0, buffer="b0"),
    e.Returned(stage="end", fn="push", outcome="ready"),
    e.BufferEvent(op="release", buffer="b0"),
)


def test_a_buffer_goes_from_owner_to_owner_without_a_gap():
    scene = s.of_flow(FLOW, RUN)
    assert [(each.owner, each.start, each.end) for each in scene.holdings] == [
        ("made by numbers", 2, 4),
        ("in stream 0", 4, 6),
        ("taken for end", 6, 7),
        ("lent to end", 7, 8),
        ("host", 8, 9),
    ]
    assert {each.row for each in scene.holdings} == {0}


def test_calls_are_bars_from_the_call_to_its_answer():
    assert [(bar.stage, bar.start, bar.end, bar.outcome) for bar in s.of_flow(FLOW, RUN).bars] == [
        ("numbers", 1, 4, "emit"),
        ("end", 7, 9, "ready"),
    ]


def test_depth_credits_and_pressure_are_those_after_each_event():
    (track,) = s.of_flow(FLOW, RUN).streams
    assert track.depth == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert track.credits == [2, 2, 2, 2, 1, 1, 2, 2, 2, 2]
    assert track.active == [False] * 5 + [True] * 5
    assert (track.capacity, track.low) == (2, 1)


def test_a_subject_that_does_not_tell_its_credits_has_none_shown():
    (track,) = s.of_flow(FLOW, [RUN[0], e.Enqueued(stream=0, seq=0, depth=1)]).streams
    assert track.credits == [2, None]


def test_each_event_has_its_sentence_and_the_state_after_it():
    scene = s.of_flow(FLOW, RUN)
    assert scene.said[4] == "element 0 enters stream 0 (numbers → end): depth 1, credits 1"
    assert scene.said[7] == "end is called: push (element 0, lent b0)"
    assert scene.states == ["Running"] * 10


def test_buffers_that_live_at_the_same_time_have_rows_of_their_own_and_rows_are_used_again():
    run = [e.BufferEvent(op=op, buffer=name) for op, name in (("alloc", "a"), ("alloc", "b"), ("release", "a"), ("alloc", "c"))]
    rows = {each.buffer: each.row for each in s.of_flow(FLOW, run).holdings}
    assert rows == {"a": 0, "b": 1, "c": 0}


def test_a_buffer_in_two_streams_is_in_both_until_the_last_has_let_go():
    flow = p.FlowSpec(stages=FLOW.stages, edges=(FLOW.edges[0], FLOW.edges[0]))
    run = [e.Enqueued(stream=0, seq=0, depth=1, credits=1, buffer="b"), e.Enqueued(stream=1, seq=0, depth=1, credits=1, buffer="b")]
    run.append(e.Dequeued(stream=0, seq=0, depth=0, credits=2, buffer="b"))
    assert [each.owner for each in s.of_flow(flow, run).holdings] == ["in stream 0", "in streams 0, 1", "in stream 1"]


@pytest.mark.parametrize("focus", [None, 0, 4000, 8999])
def test_a_long_trace_is_a_window_that_has_the_important_event_in_it(focus):
    run = [e.Yielded(n=number) for number in range(9000)]
    scene = s.of_flow(FLOW, run, focus)
    assert (scene.length, scene.total) == (s.MOST, 9000)
    assert scene.first <= (focus or 0) < scene.first + scene.length
    assert scene.said[0].endswith(f"after {scene.first} stage executions")
    assert scene.notes


def test_what_came_before_the_window_has_still_happened():
    run = [e.Enqueued(stream=0, seq=0, depth=1, credits=1, buffer="b"), *(e.Yielded(n=1) for _ in range(9000))]
    scene = s.of_flow(FLOW, run, 9000)
    assert scene.streams[0].depth == [1] * s.MOST
    assert [(each.buffer, each.start, each.end) for each in scene.holdings] == [("b", scene.first, scene.first + s.MOST)]


def test_a_wide_flow_and_many_buffers_stay_within_bounds():
    stages = tuple(p.StageSpec(f"s{number}", "source") for number in range(300))
    edges = tuple(p.EdgeSpec(f"s{number}", "end") for number in range(300))
    run = [e.BufferEvent(op="alloc", buffer=f"b{number}" * 200) for number in range(500)]
    scene = s.of_flow(p.FlowSpec(stages=stages, edges=edges), run)
    assert (len(scene.stages), len(scene.streams), scene.rows) == (s.MOST_LANES, s.MOST_LANES, s.MOST_ROWS)
    assert len(scene.notes) == 3
    assert max(map(len, scene.said)) <= s.MOST_TEXT


names = st.sampled_from(["numbers", "end", "nobody"])
numbers = st.integers(-3, 5)
buffers = st.sampled_from([None, "b0", "b1", "b2"])
anything = st.one_of(
    st.builds(e.Called, stage=names, fn=st.just("pull"), buffer=buffers),
    st.builds(e.Returned, stage=names, fn=st.just("pull"), outcome=st.sampled_from(["emit", "trap"])),
    st.builds(e.Enqueued, stream=numbers, seq=numbers, depth=numbers, credits=numbers | st.none(), buffer=buffers),
    st.builds(e.Dequeued, stream=numbers, seq=numbers, depth=numbers, credits=numbers | st.none(), buffer=buffers),
    st.builds(e.PressureChanged, stream=numbers, on=st.booleans(), depth=numbers),
    st.builds(e.Dropped, stream=numbers, seq=numbers, reason=st.text(max_size=3)),
    st.builds(e.BufferEvent, op=st.sampled_from(["alloc", "release"]), buffer=st.sampled_from(["b0", "b1"])),
    st.builds(e.Done, state=st.text(max_size=3), reason=st.just(""), live=numbers, total=numbers),
)


@settings(max_examples=200)
@given(st.lists(anything, max_size=25))
def test_any_order_of_events_has_a_picture_in_which_a_buffer_is_in_one_place(run):
    scene = s.of_flow(FLOW, run)
    assert scene.length == len(run)
    taken = [(each.row, at) for each in scene.holdings for at in range(each.start, each.end)]
    assert len(taken) == len(set(taken)), "no two holdings share a row at a time"
    where = [(each.buffer, at) for each in scene.holdings for at in range(each.start, each.end)]
    assert len(where) == len(set(where)), "no buffer has two owners at a time"
    assert all(0 <= each.start < each.end <= len(run) for each in (*scene.holdings, *scene.bars))


H = p.Handle(0, 1)
TALK = (
    Exchange(request=p.OpenResources(), reply=p.Done()),
    Exchange(request=p.Allocate("component-1", 8), reply=p.HandleReply(H)),
    Exchange(request=p.Borrow(H, "component-2"), reply=p.Done()),
    Exchange(request=p.Transfer(H, "component-1", "transit"), reply=p.Fault("borrowed")),
    Exchange(request=p.EndBorrow(H, "component-2"), reply=p.Done()),
    Exchange(request=p.Transfer(H, "component-1", "transit"), reply=p.Done()),
    Exchange(request=p.Release(H, "transit"), reply=None),
)


def test_in_a_conversation_a_buffer_changes_its_owner_when_the_subject_says_so():
    scene = of_exchanges(TALK)
    assert [(each.owner, each.start, each.end) for each in scene.holdings] == [
        ("component-1", 1, 2),
        ("component-1, lent", 2, 4),
        ("component-1", 4, 5),
        ("transit", 5, 7),
    ]
    assert scene.stages == ["suite", "component-1", "component-2", "transit"]
    assert [bar.outcome for bar in scene.bars] == ["ok", "ok", "ok", "error", "ok", "ok", "error"]
    assert scene.said[1] == "resources.allocate(owner=component-1, capacity=8) → handle(handle=0:g1)"
    assert scene.said[6].endswith("no answer")


def test_a_conversation_about_streams_has_their_depth():
    def seen(depth, pressure="normal"):
        return p.StreamReply(depth, 2 - depth, 2, 1, pressure, True, False)

    talk = (
        Exchange(request=p.OpenStream(2), reply=seen(0)),
        Exchange(request=p.PushValue(7), reply=p.PushedReply("enqueued", seen(1))),
        Exchange(request=p.PushValue(8), reply=p.PushedReply("enqueued", seen(2, "active"))),
        Exchange(request=p.PushValue(9), reply=p.Fault("queue-full")),
        Exchange(request=p.OpenStream(2), reply=seen(0)),
    )
    first, second = of_exchanges(talk).streams
    assert first.depth == [0, 1, 2, 2, 2]
    assert first.active == [False, False, True, True, True]
    assert second.depth == [0, 0, 0, 0, 0]


def test_a_long_conversation_is_a_window():
    scene = of_exchanges([TALK[0]] * (s.MOST + 10), s.MOST + 5)
    assert (scene.first, scene.length) == (10, s.MOST)


handles = st.builds(p.Handle, st.integers(0, 2), st.integers(0, 2))
owners = st.sampled_from(["host", "transit", "component-1", "component-2"])
seen = st.builds(
    p.StreamReply,
    st.integers(-(2**70), 2**70),
    st.integers(-(2**70), 2**70),
    st.integers(-1, 2**70),
    st.integers(),
    st.text(max_size=2),
    st.booleans(),
    st.booleans(),
)
requests = st.one_of(
    st.just(p.OpenResources()),
    st.builds(p.OpenStream, st.integers(1, 4)),
    st.builds(p.PushValue, st.integers()),
    st.builds(p.Allocate, owners, st.integers(0, 9)),
    st.builds(p.Transfer, handles, owners, owners),
    st.builds(p.Borrow, handles, owners),
    st.builds(p.EndBorrow, handles, owners),
    st.builds(p.Release, handles, owners),
    st.builds(p.ForceReclaim, owners),
)
freed = st.builds(p.ReclaimedBuffer, handles, st.just(""), owners, st.integers(), st.booleans())
replies = st.one_of(
    st.none(),
    st.just(p.Done()),
    st.builds(p.HandleReply, handles),
    seen,
    st.builds(p.PushedReply, st.text(max_size=2), seen),
    st.builds(p.Fault, st.text(max_size=2)),
    st.builds(p.ReclaimedReply, st.lists(freed, max_size=2).map(tuple)),
)


@settings(max_examples=200)
@given(st.lists(st.builds(lambda request, reply: Exchange(request=request, reply=reply), requests, replies), max_size=15))
def test_any_conversation_has_a_picture_and_a_page_whatever_was_answered(talk):
    scene = of_exchanges(talk)
    assert scene.length == len(talk)
    assert all(len(track.depth) == len(talk) for track in scene.streams)
    where = [(each.buffer, at) for each in scene.holdings for at in range(each.start, each.end)]
    assert len(where) == len(set(where)), "no buffer has two owners at a time"
    assert timeline(TraceFile(Header(format=1, suite="x 1", subject="s"), exchanges=tuple(talk)))

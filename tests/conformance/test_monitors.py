"""Trace monitors on traces written by hand: a good one passes all of them, and each catches a minimal bad one.

A line is one event: its kind, then its fields in the order of `LINES`; `name=value` sets any other field.
"""

import pytest

from conformance.errors import Violation
from conformance.models.flow import LEGAL
from conformance.strategies import DROP, EMIT, END, READY, fan_in, fan_out, line
from conformance.subjects.protocol import Answer, Command, EdgeSpec, FlowRunReply, FlowSettings, FlowSpec, Script, StageSpec, StreamStats
from conformance.traces import events as e
from conformance.traces.check import watch
from conformance.traces.monitors import MONITORS, Monitor
from conformance.traces.view import View
from tests.conformance import bad_flows
from tests.conformance.bad_traces import MORE

LINES = {
    "state": (e.StateChanged, ("old", "new")),
    "call": (e.Called, ("stage", "fn", "seq", "tag")),
    "ret": (e.Returned, ("stage", "fn", "outcome")),
    "enq": (e.Enqueued, ("stream", "seq", "depth", "credits")),
    "deq": (e.Dequeued, ("stream", "seq", "depth", "credits")),
    "bp": (e.PressureChanged, ("stream", "on", "depth")),
    "drop": (e.Dropped, ("stream", "seq", "reason")),
    "buf": (e.BufferEvent, ("op", "buffer")),
    "notify": (e.Notified, ("stage", "signal")),
    "yield": (e.Yielded, ("n",)),
    "overdue": (e.Overdue, ("for_ns",)),
    "err": (e.ErrorReported, ("stage", "kind", "action")),
    "done": (e.Done, ("state", "reason", "live", "total")),
}


def event(text):
    kind, *words = text.split()
    cls, names = LINES[kind]
    fields, position = {}, 0
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value, position = names[position], word, position + 1
        fields[name] = int(value) if value.lstrip("-").isdigit() else value
    if "on" in fields:
        fields["on"] = fields["on"] == "on"
    if "ports" in fields:
        fields["ports"] = [port for port in fields["ports"].split(",") if port]
    return cls(**fields)


def trace(*texts):
    return tuple(event(text.strip()) for block in texts for text in block.strip().splitlines() if text.strip())


START = """
    state Created Validated
    state Validated Instantiated
    state Instantiated Running
"""
PULL = "call source pull \n ret source pull emit"
LAST_PULL = "call source pull \n ret source pull end"
REFUSED = "err source unavailable skip cause=queue-full"
END_OF_IT = """
    state Running Draining
    call sink complete
    ret sink complete ok
    state Draining Completed
    done Completed source-complete 0 2
"""
GOOD = trace(
    START,
    """
    call source pull
    buf alloc b0
    ret source pull emit
    enq 0 0 1 1
    deq 0 0 0 2
    call sink push 0 source#0
    ret sink push ready
    buf release b0
    call source pull
    buf alloc b1
    ret source pull emit
    enq 0 1 1 1
    deq 0 1 0 2
    call sink push 1 source#1
    ret sink push ready
    buf release b1
    """,
    LAST_PULL,
    END_OF_IT,
)
LINE = line(elements=2, capacity=2)
"""Source to sink, the flow of the good trace."""

TIGHT = line(elements=4, capacity=4, ratio=0.25, schedule="producer-first")
FILL = "\n".join(f"{PULL} \n enq 0 {i} {i + 1} {3 - i}" for i in range(4))
"""Four pulls into a stream of 4 whose low mark is 1."""
PROCESSOR = line("processor", elements=2, capacity=2)
FILTER = line("filter", elements=2, capacity=2)
BRANCHES = fan_out(2, capacity=2)
DROPPING = line(elements=4, capacity=1, policy="drop-oldest", schedule="producer-first")
LYING = line(scripts={"source": Script((Answer("emit", claims_sequence=777),), END)})
AGGREGATOR = line("aggregator", elements=1, scripts={"aggregator": Script((), DROP, flush=Answer("emit", count=1))})
CANCELLED = line(elements=9, commands=(Command(1),))
SKIPPING = line(elements=2, settings=FlowSettings(error_policy="skip"))
FAILED = f"{PULL} \n enq 0 0 1 3 \n deq 0 0 0 4 \n call sink push 0 \n ret sink push error kind=internal \n err sink internal fail"

ROUTED = FlowSpec(
    (*LINE.stages[:1], StageSpec("router", "router"), StageSpec("sink0", "sink"), StageSpec("sink1", "sink")),
    (EdgeSpec("source", "router"), EdgeSpec("router", "sink0", "a"), EdgeSpec("router", "sink1", "a")),
)


def consumed(i, stage="sink", fn="push", outcome="ready"):
    """Return an element's way through a stage that keeps its buffer."""
    made = f"call source pull \n buf alloc b{i} \n ret source pull emit \n enq 0 {i} 1 1 \n deq 0 {i} 0 2"
    return f"{made} \n call {stage} {fn} {i} \n ret {stage} {fn} {outcome}"


def refused(i):
    """Return an element that is refused and not released."""
    return f"call source pull \n buf alloc b{i} \n ret source pull emit \n drop 0 {i} refused-newest"


BAD = [
    ("FLOW-001", LINE, (START, "state Running Completed")),
    ("FLOW-001", LINE, ("state Created Running",)),
    ("FLOW-002", LINE, (START, "state Running Draining \n state Draining Failed \n call sink teardown")),
    ("FLOW-002", LINE, (START, "state Running Draining \n state Draining Failed \n enq 0 0 1 1")),
    ("FLOW-003", LINE, ("state Created Validated \n state Instantiated Running",)),
    ("FLOW-003", LINE, (START, "state Running Draining \n state Draining Completed \n done Cancelled x 0 0")),
    ("FLOW-004", LINE, (START, "state Running Completed")),
    ("FLOW-005", LINE, (START, LAST_PULL, "state Running Draining \n state Draining Cancelled \n done Cancelled x 0 0")),
    ("FLOW-005", CANCELLED, (START, PULL, "enq 0 0 1 3 \n state Running Draining \n state Draining Completed \n done Completed x 0 0")),
    ("FLOW-005", LINE, (START, FAILED, "state Running Draining \n state Draining Completed \n done Completed x 0 0")),
    (
        "FLOW-006",
        CANCELLED,
        (
            START,
            PULL,
            """
            enq 0 0 1 3
            state Running Draining
            deq 0 0 0 4
            call sink push 0
            ret sink push error kind=internal
            state Draining Failed
            done Failed x 0 0
            """,
        ),
    ),
    (
        "FLOW-006",
        line(elements=9, commands=(Command(3),)),
        (
            START,
            FAILED,
            """
            state Running Draining
            call sink teardown
            ret sink teardown ok
            state Draining Cancelled
            done Cancelled x 0 0
            """,
        ),
    ),
    ("FLOW-007", LINE, (START, "state Running Draining \n state Draining Completed")),
    ("FLOW-007", LINE, (START, PULL, "enq 0 0 1 1", LAST_PULL, "state Running Draining \n state Draining Completed")),
    ("FLOW-008", LINE, (START, "state Running Draining \n call sink complete")),
    ("FLOW-008", LINE, (START, LAST_PULL, "state Running Draining \n state Draining Failed \n done Failed stalled 0 0")),
    ("FLOW-008", AGGREGATOR, (START, LAST_PULL, "state Running Draining \n call sink complete")),
    ("FLOW-008", AGGREGATOR, (START, PULL, "enq 0 0 1 3", LAST_PULL, "call aggregator flush")),
    ("FLOW-009", LINE, (START, LAST_PULL, "state Running Draining \n state Draining Failed \n done Failed x 0 0")),
    ("FLOW-010", LINE, (START, LAST_PULL, "call source pull")),
    ("CANCEL-001", CANCELLED, (START, PULL, "call source pull")),
    ("CANCEL-009", LINE, (START, LAST_PULL, "state Running Draining \n state Draining Completed")),
    ("CANCEL-009", LINE, (START, "call sink complete \n ret sink complete ok \n call sink push 0")),
    ("CANCEL-011", AGGREGATOR, (START, LAST_PULL, "state Running Draining \n state Draining Completed")),
    ("CANCEL-011", AGGREGATOR, (START, "call aggregator flush \n ret aggregator flush emit \n call aggregator ingest 0")),
    ("CANCEL-015", LINE, (START, "buf alloc b0 \n done Completed x 0 0")),
    ("CANCEL-015", LINE, (START, "done Completed x 1 0")),
    ("CANCEL-015", LINE, (START, "buf alloc b0 \n buf release b0 \n buf release b0")),
    ("CANCEL-015", LINE, (START, "buf alloc b0 \n buf alloc b0")),
    ("ORD-001", LINE, (START, PULL, "enq 0 0 1 1", PULL, "enq 0 1 2 0 \n deq 0 1 1 1")),
    ("ORD-001", LINE, (START, "deq 0 0 0 2")),
    ("ORD-001", LINE, (START, "call sink push 0 source#1 \n ret sink push ready \n call sink push 1 source#0")),
    ("ORD-002", LYING, (START, PULL, "enq 0 777 1 3")),
    ("ORD-003", LINE, (START, PULL, "enq 0 1 1 1", PULL, "enq 0 1 2 0")),
    ("ORD-003", LINE, (START, PULL, "enq 0 1 1 1", PULL, "enq 0 0 2 0")),
    ("ORD-003", PROCESSOR, (START, PULL, "enq 0 0 1 1 \n enq 1 0 1 1")),
    ("ORD-003", FILTER, (START, "enq 1 0 1 1")),
    ("ORD-004", PROCESSOR, (START, "enq 1 3 1 1 \n deq 1 3 0 2 \n enq 1 3 1 1 \n deq 1 3 0 2")),
    ("ORD-005", FILTER, (START, "enq 0 0 1 1 \n deq 0 0 0 2 \n call filter evaluate 0 \n ret filter evaluate pass \n enq 1 1 1 1")),
    (
        "ORD-005",
        FILTER,
        (START, "enq 0 0 1 1 timestamp=5 \n deq 0 0 0 2 \n call filter evaluate 0 \n ret filter evaluate pass \n enq 1 0 1 1 timestamp=6"),
    ),
    ("ORD-005", FILTER, (START, "enq 0 0 1 1 \n deq 0 0 0 2 \n call filter evaluate 0 \n buf alloc b1")),
    ("ORD-008", LINE, (START, PULL, "enq 0 0 1 1 \n deq 0 0 0 2 \n call sink push 1")),
    ("ORD-008", LINE, (START, PULL, "enq 0 0 1 1 \n deq 0 0 0 2 \n call sink push 0 \n ret sink push ready \n call sink push 0")),
    ("ORD-010", BRANCHES, (START, PULL, "enq 0 0 1 1 \n state Running Draining \n state Draining Completed")),
    ("ORD-011", BRANCHES, (START, PULL, "enq 0 0 1 1 \n state Running Draining \n state Draining Completed")),
    ("ORD-011", LINE, (START, PULL, "enq 0 0 1 1 \n enq 0 0 2 0")),
    ("CREDIT-001", LINE, (START, PULL, "enq 0 0 1 2")),
    ("CREDIT-002", LINE, (START, PULL, "enq 0 0 1 1", PULL, "enq 0 1 2 1")),
    ("CREDIT-003", LINE, (START, PULL, "enq 0 0 1 1 \n deq 0 0 0 1")),
    ("CREDIT-004", LINE, (START, PULL, "enq 0 0 1 2")),
    ("CREDIT-004", LINE, (START, PULL, "enq 0 0 3 -1")),
    ("CREDIT-005", TIGHT, (START, FILL, "call source pull")),
    ("CREDIT-006", TIGHT, (START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n call source pull")),
    (
        "CREDIT-007",
        PROCESSOR,
        (START, PULL, "enq 0 0 1 1 \n deq 0 0 0 2 \n call processor process 0 \n ret processor process drop \n enq 1 1 1 0"),
    ),
    ("CREDIT-008", DROPPING, (START, PULL, "enq 0 0 1 0", PULL, "drop 0 0 evicted-oldest \n enq 0 1 1 1")),
    ("CREDIT-009", BRANCHES, (START, "enq 0 0 1 1 \n enq 0 1 2 0 \n bp 0 on 2 \n call source pull")),
    ("WMK-001", TIGHT, (START, PULL, "enq 0 0 1 3 \n bp 0 on 1")),
    ("WMK-001", TIGHT, (START, FILL, "call source pull")),
    ("WMK-001", TIGHT, (START, FILL)),
    ("WMK-002", TIGHT, (START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n bp 0 off 3")),
    ("WMK-002", TIGHT, (START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n deq 0 1 2 2 \n deq 0 2 1 3 \n call source pull")),
    ("WMK-002", TIGHT, (START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n deq 0 1 2 2 \n deq 0 2 1 3")),
    ("WMK-002", TIGHT, (START, FILL, "bp 0 on 4 \n state Running Draining \n bp 0 off 4 \n deq 0 0 3 1")),
    ("WMK-003", TIGHT, (START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n bp 0 off 3")),
    ("WMK-003", TIGHT, (START, PULL, "enq 0 0 1 3", PULL, "enq 0 1 2 2 \n bp 0 on 2")),
    ("WMK-003", TIGHT, (START, FILL, "bp 0 on 4 \n state Running Draining \n deq 0 0 3 1 \n bp 0 off 3 \n deq 0 1 2 2")),
    ("WMK-005", TIGHT, (START, "bp 0 off 0")),
    ("WMK-005", TIGHT, (START, "bp 0 on 4 \n bp 0 on 4")),
    ("WMK-012", LINE, (START, "enq 0 0 1 1 \n enq 0 1 2 0 \n enq 0 2 3 -1")),
    ("WMK-012", LINE, (START, "enq 0 0 1 1 \n enq 0 1 2 0 \n enq 0 2 2 0")),
    ("POLICY-001", LINE, (START, PULL, "enq 0 0 1 1 \n drop 0 0 evicted-oldest")),
    ("POLICY-001", TIGHT, (START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n call source pull")),
    ("POLICY-001", LINE, (START, PULL, LAST_PULL, "state Running Draining \n state Draining Completed")),
    (
        "POLICY-005",
        DROPPING,
        (
            START,
            "call source pull \n buf alloc b0 \n ret source pull emit \n enq 0 0 1 0",
            "call source pull \n buf alloc b1 \n ret source pull emit",
            "drop 0 0 evicted-oldest \n enq 0 1 1 0 \n call source pull",
        ),
    ),
    ("POLICY-005", DROPPING, (START, PULL, "enq 0 0 1 0", PULL, "deq 0 0 0 1 \n call sink push 0 \n ret sink push ready")),
    ("POLICY-008", LINE, (START, PULL, "enq 0 0 1 1")),
    ("POLICY-013", LINE, (START, "notify source ready")),
    ("POLICY-013", LINE, (START, "notify source pause \n notify source pause")),
    ("POLICY-013", LINE, (START, "call source pull \n notify source pause")),
    ("POLICY-014", LINE, (START, "notify source pause \n call source pull")),
    ("SCHED-001", LINE, (START, "call source pull \n call sink push 0")),
    ("SCHED-001", LINE, (START, "ret source pull emit")),
    ("SCHED-002", LINE, (START, PULL, "enq 0 0 1 1 \n call source pull")),
    (
        "SCHED-002",
        PROCESSOR,
        (START, "enq 0 0 1 1 \n enq 1 1 1 1 \n deq 0 0 0 2 \n call processor process 0"),
    ),
    ("SCHED-003", TIGHT, (START, FILL, "call source pull")),
    ("SCHED-003", LINE, (START, "call sink push 0")),
    ("SCHED-004", LINE, (START, PULL, "enq 0 0 1 1", PULL, "enq 0 1 2 0")),
    ("SCHED-006", LINE, (START, "yield 31")),
    ("OWN-024", LINE, (START, *(consumed(i) for i in range(3)), "call source pull")),
    ("OWN-024", LINE, (START, consumed(0), "done Completed source-complete 0 2")),
    ("OWN-025", PROCESSOR, (START, *(consumed(i, "processor", "process", "drop") for i in range(4)), "call source pull")),
    ("OWN-026", DROPPING, (START, *(refused(i) for i in range(3)), "call source pull")),
    ("OWN-027", ROUTED, (START, "enq 1 0 1 1 buffer=b0 \n enq 2 0 1 1 buffer=b1")),
    ("OWN-027", ROUTED, (START, "enq 1 0 1 1 buffer=b0 \n enq 2 0 1 1 buffer=b0 \n buf release b0")),
    ("OWN-036", LINE, (START, "done Completed source-complete 1 2")),
    ("OWN-036", LINE, (START, "buf alloc b0 \n done Cancelled operator-request 0 0")),
    ("OWN-039", LINE, (START, "enq 0 0 1 1 buffer=b0 \n enq 0 1 2 0 buffer=b0")),
    ("OWN-041", LINE, (START, "enq 0 0 1 1 buffer=b0")),
    ("OWN-041", LINE, (START, "buf alloc b0 \n buf alloc b1 \n enq 0 0 1 1 buffer=b0 \n deq 0 0 0 2 buffer=b1")),
    *bad_flows.BAD,
]
BAD += MORE
AT_THE_END = {"WMK-007", "WMK-013", "FLOW-016"}
"""The rules whose monitors need a summary; they have tests of their own."""


@pytest.mark.parametrize("rule", sorted(MONITORS))
def test_a_good_trace_passes(rule):
    watch(LINE, GOOD, [rule])


@pytest.mark.parametrize(("rule", "spec", "texts"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_a_minimal_bad_trace_is_caught_at_its_last_event_or_at_the_end(rule, spec, texts):
    bad = trace(*texts)
    with pytest.raises(Violation) as caught:
        watch(spec, bad, [rule])
    assert caught.value.rule == rule
    at = caught.value.evidence["event"]
    assert at in {len(bad) - 1, None} or rule in {"WMK-002", "WMK-003"}
    shorter = bad[:at] if at is not None else ()
    monitor_of(rule, spec, shorter)  # without that event nothing is wrong yet


def monitor_of(rule, spec, events):
    """Feed a monitor without ending the trace."""
    view = View(spec)
    monitor = MONITORS[rule](view)
    for index, one in enumerate(events):
        monitor.at = index
        monitor.on(one)
        view.advance(one)
    return monitor


def test_every_monitor_has_a_minimal_bad_trace():
    assert {rule for rule, _, _ in BAD} | AT_THE_END == set(MONITORS)


def reply(**changes):
    stats = StreamStats(elements=2, pressure_events=0, peak_depth=1)
    fields = {"state": "Completed", "trace": GOOD, "streams": (stats,), "stages": {}, "live_buffers": 0} | changes
    return FlowRunReply(**fields)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("FLOW-003", {"state": "Failed"}),
        ("CANCEL-015", {"live_buffers": 1}),
        ("WMK-007", {"streams": (StreamStats(elements=2, pressure_events=1, peak_depth=1),)}),
        ("WMK-013", {"streams": (StreamStats(elements=2, pressure_events=0, peak_depth=2),)}),
        ("POLICY-008", {"streams": (StreamStats(elements=3, pressure_events=0, peak_depth=1),)}),
    ],
)
def test_a_summary_that_contradicts_the_trace_is_caught(rule, changes):
    watch(LINE, GOOD, [rule], reply())
    with pytest.raises(Violation) as caught:
        watch(LINE, GOOD, [rule], reply(**changes))
    assert (caught.value.rule, caught.value.evidence["event"]) == (rule, None)


# ---------------------------------------------------------------- what must not be called a violation


@pytest.mark.parametrize(
    ("rule", "spec", "texts"),
    [
        # a drain may call a loss a failure when its time was up
        (
            "FLOW-005",
            line(elements=9, commands=(Command(1),), settings=FlowSettings(drain_timeout_ms=0)),
            (START, PULL, "enq 0 0 1 3 \n state Running Draining \n drop 0 0 discarded \n state Draining Failed \n done Failed x 0 0"),
        ),
        # the end of a flow closes an interval above the low mark
        ("WMK-002", TIGHT, (START, FILL, "bp 0 on 4 \n state Running Draining \n drop 0 0 discarded \n bp 0 off 3")),
        # a retry calls with the same element again
        (
            "ORD-008",
            line(elements=1, settings=FlowSettings(error_policy="retry", max_retries=1)),
            (START, PULL, "enq 0 0 1 3 \n deq 0 0 0 4 \n call sink push 0 \n ret sink push error kind=internal \n call sink push 0"),
        ),
        # a skipped number that a refused element had
        (
            "ORD-003",
            line(elements=3, capacity=1, policy="drop-newest"),
            (START, PULL, "enq 0 0 1 0", PULL, "drop 0 1 refused-newest", "deq 0 0 0 1", PULL, "enq 0 2 1 0"),
        ),
        # two ways from a source to a sink: payloads may overtake each other
        (
            "ORD-001",
            FlowSpec(
                (
                    StageSpec("source", "source", Script((EMIT,) * 2, END)),
                    StageSpec("filter", "filter", Script((), Answer("pass"))),
                    StageSpec("sink", "sink", Script((), READY)),
                ),
                (EdgeSpec("source", "filter"), EdgeSpec("filter", "sink"), EdgeSpec("source", "sink")),
            ),
            (START, "call sink push 1 source#1 \n ret sink push ready \n call sink push 0 source#0"),
        ),
        # numbers behind a filter that merges two sources need not rise
        (
            "ORD-003",
            fan_in(role="filter"),
            (
                START,
                """
                call source0 pull
                ret source0 pull emit
                enq 0 0 1 1
                call source1 pull
                ret source1 pull emit
                enq 1 1 1 1
                call middle evaluate 1
                ret middle evaluate pass
                enq 2 1 1 1
                call middle evaluate 0
                ret middle evaluate pass
                enq 2 0 2 0
                """,
            ),
        ),
        # a sink that said pause need not be served before its source
        (
            "SCHED-002",
            line(elements=3),
            (START, PULL, "enq 0 0 1 3 \n deq 0 0 0 4 \n call sink push 0 \n ret sink push pause", PULL, "enq 0 1 1 3 \n call source pull"),
        ),
        # a stream that drops may report pressure and go on
        ("POLICY-001", DROPPING, (START, PULL, "enq 0 0 1 0 \n bp 0 on 1 \n call source pull")),
        # what a stream refuses while its flow drains, a flush's output say, may fail the flow under a policy that skips (ERR-014)
        ("FLOW-005", SKIPPING, (START, LAST_PULL, "state Running Draining", REFUSED, "state Draining Failed \n done Failed error 0 0")),
        ("ERR-003", SKIPPING, (START, LAST_PULL, "state Running Draining", REFUSED, "state Draining Failed \n done Failed error 0 0")),
    ],
)
def test_what_the_rules_leave_open_is_not_accused(rule, spec, texts):
    watch(spec, trace(*texts), [rule])


def test_a_monitor_counts_what_it_could_have_caught_and_nothing_else():
    counts = watch(LINE, GOOD, sorted(MONITORS))
    assert counts["FLOW-001"] == 5
    assert counts["CREDIT-002"] == counts["CREDIT-003"] == 2
    assert counts["WMK-005"] == counts["FLOW-006"] == counts["ORD-002"] == counts["CANCEL-001"] == 0


def test_an_unknown_rule_has_no_monitor():
    with pytest.raises(KeyError):
        watch(LINE, GOOD, ["FLOW-999"])


def test_two_monitors_cannot_watch_one_rule():
    with pytest.raises(TypeError, match="FLOW-001"):
        type("Again", (Monitor,), {"rule": "FLOW-001"})


def test_the_view_follows_depth_credits_pressure_and_pauses():
    view = View(TIGHT)
    for one in trace(START, FILL, "bp 0 on 4 \n deq 0 0 3 1 \n call sink push 0 \n ret sink push pause"):
        view.advance(one)
    stream = view.streams[0]
    assert (stream.depth, stream.credits, stream.active, list(stream.queue)) == (3, 1, True, [1, 2, 3])
    assert view.stages["sink"].paused
    assert not view.surely_ready("sink")
    assert view.state == "Running"
    assert all(step in LEGAL for step in [("Instantiated", view.state)])

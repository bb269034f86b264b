"""The laws of every flow: whatever the graph, the components, the schedule and the moment somebody cancels."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torvyn_ref.calls import Call, Role, Signal
from torvyn_ref.flow import EdgeDef, ErrorPolicy, ErrorPolicyKind, FlowSettings, Scripted
from torvyn_ref.flow.cancellation import TERMINAL_EVENT, Reason
from torvyn_ref.flow.states import LEGAL
from torvyn_ref.streams import OverflowPolicy, StreamConfig

MIDDLE_ROLES = (Role.PROCESSOR, Role.FILTER, Role.ROUTER, Role.AGGREGATOR)
FAILURES = ("error", "trap", "drop")


@st.composite
def flows(draw):
    """A graph of up to three layers, what each component does when, how it is scheduled, and when it is cancelled."""
    layers = [
        [f"s{n}" for n in range(draw(st.integers(1, 2)))],
        [f"m{n}" for n in range(draw(st.integers(0, 3)))],
        [f"k{n}" for n in range(draw(st.integers(1, 2)))],
    ]
    roles = dict.fromkeys(layers[0], Role.SOURCE) | {name: draw(st.sampled_from(MIDDLE_ROLES)) for name in layers[1]}
    roles |= dict.fromkeys(layers[2], Role.SINK)
    names = list(roles)
    pairs = set()
    for index, name in enumerate(names):  # everybody but a sink feeds somebody, everybody but a source is fed
        after = [other for other in names[index + 1 :] if roles[other] is not Role.SOURCE]
        before = [other for other in names[:index] if roles[other] is not Role.SINK]
        if roles[name] is not Role.SINK:
            pairs.update((name, other) for other in draw(st.lists(st.sampled_from(after), min_size=1, max_size=2, unique=True)))
        if roles[name] is not Role.SOURCE:
            pairs.add((draw(st.sampled_from(before)), name))
    configs = st.builds(
        lambda policy, **shape: StreamConfig(policy=policy, rate_per_s=1000.0 if policy is OverflowPolicy.RATE_LIMIT else None, **shape),
        capacity=st.integers(1, 4),
        low_watermark_ratio=st.sampled_from([0.0, 0.5]),
        policy=st.sampled_from([OverflowPolicy.BLOCK, OverflowPolicy.BLOCK, *OverflowPolicy]),
    )
    edges = [
        EdgeDef(a, b, draw(st.sampled_from(["odd", "even"])) if roles[a] is Role.ROUTER else "default", config=draw(configs))
        for a, b in sorted(pairs)
    ]
    incidents = {name: draw(st.dictionaries(st.integers(1, 8), st.sampled_from(FAILURES), max_size=2)) for name in names}
    policy = ErrorPolicy(draw(st.sampled_from(list(ErrorPolicyKind))), max_retries=1, backoff_ns=draw(st.sampled_from([0, 1000])))
    return SimpleNamespace(
        roles=roles,
        edges=edges,
        incidents=incidents,
        counts={name: draw(st.integers(0, 8)) for name in layers[0]},
        bursts={name: draw(st.integers(0, 6)) for name in layers[1]},
        pauses={name: draw(st.sets(st.integers(1, 8), max_size=3)) for name in layers[2]},
        schedule=draw(st.lists(st.integers(0, 7), max_size=60)),
        cancel_after=draw(st.one_of(st.none(), st.integers(0, 40))),
        settings=FlowSettings(error_policy=policy, drain_timeout_ns=draw(st.sampled_from([0, 10**9]))),
    )


def component(kit, flow, name):
    role = flow.roles[name]
    happens = {"error": kit.error(), "trap": kit.Trap("boom"), "drop": {Role.PROCESSOR: False, Role.FILTER: False}.get(role)}
    script = {call: answer for call, what in flow.incidents[name].items() if (answer := happens[what]) is not None}
    match role:
        case Role.SOURCE:
            return kit.ToldSource(flow.counts[name], script, prefix="")
        case Role.PROCESSOR:
            return kit.Mapper(script)
        case Role.FILTER:
            return kit.Filter(lambda number: number % 3 != 0, script)
        case Role.ROUTER:
            ports = {edge.source_port for edge in flow.edges if edge.source == name}
            return kit.Router(lambda number: [port for port in ("odd", "even") if port in ports and number % 4 != 0], script)
        case Role.AGGREGATOR:
            return kit.Aggregator(flow.bursts[name], script)
        case _:
            return kit.Sink(dict.fromkeys(flow.pauses[name], Signal.PAUSE) | script)


def run_flow(kit, flow):
    components = {name: component(kit, flow, name) for name in flow.roles}
    run = kit.Run(components, flow.edges, settings=flow.settings, policy=Scripted(flow.schedule))

    def after_call(calls):
        if calls == flow.cancel_after:
            run.driver.cancel()

    return run.go(after_call)  # it asserts that no buffer is left


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_whatever_happens_a_flow_ends_in_order_and_leaves_nothing_behind(kit, flow):
    run = run_flow(kit, flow)
    events, report = run.trace, run.report

    # the life cycle: legal steps only, each beginning where the last one ended, through Draining, to what the reason says
    states = [event[1:] for event in events.of("state")]
    assert all(step in LEGAL for step in states)
    assert all(before[1] == after[0] for before, after in pairwise(states))
    assert states[-2] == ("Running", "Draining")
    assert states[-1][1] == report.state
    if report.reason is not Reason.SOURCE_COMPLETE:
        assert report.state.lower() == TERMINAL_EVENT[report.reason]
    assert report.reason is not Reason.STALLED
    assert events.events[-1][0] == "done"

    # every buffer is born once and dies once
    born, died = (Counter(event[1] for event in events.of(kind)) for kind in ("allocated", "released"))
    assert born == died
    assert set(born.values()) <= {1}

    # streams: credits and depth make the capacity, pressure alternates, elements are conserved
    for index, edge in enumerate(run.topology.edges):
        mine = [event for event in events.of("enqueued", "dequeued", "dropped", "pressure") if event[1] == index]
        for event in mine:
            if event[0] in {"enqueued", "dequeued"}:
                assert event[3] + event[4] == edge.config.capacity
                assert 0 <= event[3] <= edge.config.capacity
        pressure = [event[2] for event in mine if event[0] == "pressure"]
        assert pressure == [n % 2 == 0 for n in range(len(pressure))]
        assert len(pressure) % 2 == 0
        entered = [event[2] for event in mine if event[0] == "enqueued"]
        queue: list[int] = []  # first in, first out; what is lost was the oldest, or never got in
        for event in mine:
            if event[0] == "enqueued":
                queue.append(event[2])
                assert event[3] == len(queue)
            elif event[0] == "dequeued":
                assert queue.pop(0) == event[2]
                assert event[3] == len(queue)
            elif event[0] == "dropped" and event[3] in {"evicted-oldest", "discarded"} and queue and queue[0] == event[2]:
                queue.pop(0)
        assert queue == []
        if flow.roles[edge.source] is Role.SOURCE:
            assert all(earlier < later for earlier, later in pairwise(entered))
        statistics = report.streams[index]
        assert (statistics.elements, statistics.pressure_events) == (len(entered), sum(pressure))
        assert statistics.peak_depth == max((event[3] for event in mine if event[0] == "enqueued"), default=0)

    # calls: sources are told of pressure in turn; nobody dead is called; complete comes at most once, after the last push
    for name, role in flow.roles.items():
        calls = [call for stage, call in events.calls() if stage == name]
        if role is Role.SOURCE:
            signals = run.components[name].signals
            assert signals == [Signal.PAUSE if n % 2 == 0 else Signal.READY for n in range(len(signals))]
        if role is Role.SINK:
            assert calls.count(Call.COMPLETE) <= 1
            assert Call.COMPLETE not in calls[:-1]
        if role is Role.AGGREGATOR:
            assert calls.count(Call.FLUSH) <= 1
            assert Call.INGEST not in calls[calls.index(Call.FLUSH) :] if Call.FLUSH in calls else True
        dead_at = next((n for n, e in enumerate(events.events) if e[0] == "failed" and e[1] == name and e[3].poisoned), None)
        if dead_at is not None:
            assert not [e for e in events.events[dead_at:] if e[0] == "called" and e[1] == name]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_the_same_flow_under_the_same_schedule_happens_the_same_way(kit, flow):
    first, second = run_flow(kit, flow), run_flow(kit, flow)
    assert first.report == second.report
    assert [e for e in first.trace.events if e[0] != "returned"] == [e for e in second.trace.events if e[0] != "returned"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_without_failures_drops_or_cancels_every_schedule_delivers_the_same_elements(kit, flow):
    flow.incidents = {name: {} for name in flow.roles}
    flow.cancel_after = None
    flow.edges = [
        EdgeDef(e.source, e.target, e.source_port, config=StreamConfig(e.config.capacity, e.config.low_watermark_ratio)) for e in flow.edges
    ]
    one = run_flow(kit, flow)
    flow.schedule = []
    other = run_flow(kit, flow)
    assert one.report.state == other.report.state == "Completed"
    for name, role in flow.roles.items():
        if role is Role.SINK:
            assert Counter(one.components[name].seen) == Counter(other.components[name].seen)

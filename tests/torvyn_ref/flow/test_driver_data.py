"""The driver when all goes well: elements from sources to sinks, in order, through every role, with all that presses and pauses."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from torvyn_ref.calls import Call, Signal
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import DONE, YIELD, ConsumerFirst, EdgeDef, FlowSettings, FlowState, Invoke, ProducerFirst, Reason, Wait
from torvyn_ref.streams import OverflowPolicy, StreamConfig

LINE = [("s", "p"), ("p", "k")]


def texts(numbers):
    return [str(number).encode() for number in numbers]


def linear(kit, count, **sink):
    return {"s": kit.Source(count), "p": kit.Mapper(), "k": kit.Sink(**sink)}


def test_every_element_arrives_once_in_order_and_processed(kit):
    run = kit.play(linear(kit, 20), LINE)
    assert run.components["k"].seen == texts(range(20))
    assert run.report.state is FlowState.COMPLETED
    assert (run.report.elements_in, run.report.delivered, run.report.discarded, run.report.total_elements) == (20, 20, 0, 40)
    assert run.components["s"].calls == 21  # never pulled again after it had answered none
    assert run.components["k"].completes == 1
    assert [event[1:] for event in run.trace.of("state")] == [
        ("Created", "Validated"),
        ("Validated", "Instantiated"),
        ("Instantiated", "Running"),
        ("Running", "Draining"),
        ("Draining", "Completed"),
    ]


def test_an_empty_source_completes_with_nothing(kit):
    run = kit.play(linear(kit, 0), LINE)
    assert (run.report.state, run.report.elements_in, run.components["k"].seen, run.components["k"].completes) == ("Completed", 0, [], 1)


def test_the_report_agrees_with_what_was_observed(kit):
    run = kit.play(linear(kit, 7, spends=500), LINE)
    events, report = run.trace, run.report
    assert report.duration_ns == 7 * 500
    assert [stream.elements for stream in report.streams] == [sum(e[1] == index for e in events.of("enqueued")) for index in (0, 1)]
    assert [stream.peak_depth for stream in report.streams] == [
        max(e[3] for e in events.of("enqueued") if e[1] == index) for index in (0, 1)
    ]
    calls = Counter(event[1] for event in events.of("called"))
    assert {stage.name: stage.invocations for stage in report.stages} == calls
    assert {stage.name: stage.busy_ns for stage in report.stages} == {"s": 0, "p": 0, "k": 3500}
    assert events.of("done") == [("done", report)]
    assert events.events[-1] == ("done", report)


def test_the_runtime_numbers_and_stamps_elements_whatever_the_source_says(kit):
    class Liar(kit.Source):
        def pull(self, guest):
            output = super().pull(guest)
            if output is not None:
                output.sequence, output.timestamp_ns = 777, 777
            guest.clock.advance(10)
            return output

    run = kit.play({"s": Liar(3), "k": kit.Sink()}, [("s", "k")])
    assert [element[:3] for element in run.components["k"].elements] == [
        (number, kit.WALL_OFFSET + 10 * (number + 1), "text/plain") for number in range(3)
    ]


def test_a_processor_may_drop_and_keeps_the_time_of_entry(kit):
    run = kit.play({"s": kit.Source(6, spends=5), "p": kit.Mapper({2: False, 5: False}), "k": kit.Sink()}, LINE)
    assert run.components["k"].seen == texts([0, 2, 3, 5])
    assert [element[1] - kit.WALL_OFFSET for element in run.components["k"].elements] == [5, 15, 20, 30]
    sequences = [element[0] for element in run.components["k"].elements]
    assert sequences == sorted(set(sequences))


def test_a_filter_forwards_the_same_element_or_drops_it(kit):
    run = kit.play({"s": kit.Source(6), "f": kit.Filter(lambda n: n % 2 == 0), "k": kit.Sink()}, [("s", "f"), ("f", "k")])
    assert run.components["k"].seen == texts([0, 2, 4])
    assert [element[0] for element in run.components["k"].elements] == [0, 2, 4]
    assert len(run.trace.of("allocated")) == 6


def test_a_router_sends_to_the_ports_it_names_once_each_and_copies_nothing(kit):
    def ports(number):
        return [[], ["odd"], ["even"], ["odd", "even"], ["odd", "odd"]][number]

    components = {"s": kit.Source(5), "r": kit.Router(ports), "a": kit.Sink(), "b": kit.Sink()}
    run = kit.play(components, [("s", "r"), ("r", "a", "odd"), ("r", "b", "even")])
    assert (run.components["a"].seen, run.components["b"].seen) == (texts([1, 3, 4]), texts([2, 3]))
    assert len(run.trace.of("allocated")) == 5
    assert run.report.copies["CrossComponent"] == 0


@pytest.mark.parametrize("branches", [2, 5, 16])
def test_a_broadcast_shares_one_buffer_that_dies_with_its_last_reader(kit, branches):
    components = {"s": kit.Source(9)} | {f"k{n}": kit.Sink() for n in range(branches)}
    run = kit.play(components, [("s", f"k{n}") for n in range(branches)])
    logs = [run.components[f"k{n}"].elements for n in range(branches)]
    assert all(log == logs[0] for log in logs)
    assert len(logs[0]) == 9
    assert len(run.trace.of("allocated")) == len(run.trace.of("released")) == 9
    assert (run.report.elements_in, run.report.delivered) == (9, 9 * branches)


def test_a_slow_branch_holds_the_source_and_loses_nothing(kit):
    components = {"s": kit.Source(12), "fast": kit.Sink(), "slow": kit.Sink(dict.fromkeys(range(1, 99, 2), Signal.PAUSE))}
    run = kit.play(components, [EdgeDef("s", "fast"), EdgeDef("s", "slow", config=StreamConfig(2))])
    assert run.components["fast"].seen == run.components["slow"].seen == texts(range(12))


def test_sources_that_share_a_consumer_are_served_in_turn_and_keep_their_order(kit):
    components = {"a": kit.Source(10, prefix="a"), "b": kit.Source(10, prefix="b"), "c": kit.Source(10, prefix="c"), "k": kit.Sink()}
    edges = [EdgeDef(name, "k", config=StreamConfig(4)) for name in "abc"]
    for policy in (ConsumerFirst(), ProducerFirst()):
        run = kit.play(
            {name: type(c)(10, prefix=name) if name != "k" else kit.Sink() for name, c in components.items()}, edges, policy=policy
        )
        seen = run.components["k"].seen
        for name in "abc":
            assert [item for item in seen if item.startswith(name.encode())] == [f"{name}{n}".encode() for n in range(10)]
        for cut in range(3, len(seen), 3):
            shares = Counter(item[:1] for item in seen[:cut])
            assert max(shares.values()) - min(shares[name.encode()] for name in "abc") <= 1


def test_a_flush_longer_than_the_stream_waits_for_credits_and_arrives_whole_before_complete(kit):
    components = {"s": kit.Source(3), "a": kit.Aggregator(burst=13), "k": kit.Sink()}
    run = kit.play(components, [EdgeDef("s", "a"), EdgeDef("a", "k", config=StreamConfig(4))])
    assert run.components["a"].flushes == 1
    assert run.components["k"].seen == texts(range(13))
    assert max(event[3] for event in run.trace.of("enqueued") if event[1] == 1) <= 4
    calls = run.trace.calls()
    assert calls[-1] == ("k", Call.COMPLETE)
    assert calls.count(("a", Call.FLUSH)) == 1
    assert run.report.state is FlowState.COMPLETED


def test_an_aggregator_flushes_after_its_last_element_even_when_it_got_none(kit):
    run = kit.play({"s": kit.Source(0), "a": kit.Aggregator(burst=2), "k": kit.Sink()}, [("s", "a"), ("a", "k")])
    assert run.components["k"].seen == texts([0, 1])


# ---- pressure


@pytest.mark.parametrize("count", [1, 7, 20])
def test_capacity_one_switches_pressure_on_and_off_for_every_element(kit, count):
    run = kit.play({"s": kit.Source(count), "k": kit.Sink()}, [EdgeDef("s", "k", config=StreamConfig(1))])
    assert [event[2] for event in run.trace.of("pressure")] == [True, False] * count
    assert run.report.pressure_events == count


def test_a_source_hears_of_each_change_of_pressure_once_and_never_inside_a_pull(kit):
    source = kit.ToldSource(10)
    run = kit.play({"s": source, "k": kit.Sink()}, [EdgeDef("s", "k", config=StreamConfig(4))], policy=ProducerFirst())
    assert source.signals[:2] == [Signal.PAUSE, Signal.READY]
    assert all(first is not second for first, second in pairwise(source.signals))
    held = False
    for event in run.trace.events:
        if event[0] == "pressure":
            held = event[2]
        elif event[0] == "called" and event[2] is Call.PULL:
            assert not held
    assert run.components["k"].seen == texts(range(10))


def test_a_source_with_two_branches_is_ready_when_neither_presses(kit):
    source = kit.ToldSource(8)
    edges = [EdgeDef("s", "a", config=StreamConfig(2, 0.0)), EdgeDef("s", "b", config=StreamConfig(2, 0.0))]
    run = kit.play({"s": source, "a": kit.Sink(), "b": kit.Sink()}, edges, policy=ProducerFirst())
    active = set()
    for event in run.trace.events:
        if event[0] == "pressure":
            (active.add if event[2] else active.discard)(event[1])
        elif event[0] == "notified":
            assert (event[2] is Signal.PAUSE) == bool(active)
    assert source.signals
    assert [signal is Signal.PAUSE for signal in source.signals] == [n % 2 == 0 for n in range(len(source.signals))]


def test_a_source_without_the_export_is_told_all_the_same_and_nothing_happens(kit):
    run = kit.play({"s": kit.Source(10), "k": kit.Sink()}, [EdgeDef("s", "k", config=StreamConfig(2))], policy=ProducerFirst())
    assert (run.report.state, run.failures) == ("Completed", [])


def test_pressure_travels_upstream_hop_by_hop(kit):
    stages = {"s": kit.Source(40), "p": kit.Mapper(), "q": kit.Mapper(), "k": kit.Sink()}
    edges = [EdgeDef(a, b, config=StreamConfig(3, 0.0)) for a, b in (("s", "p"), ("p", "q"), ("q", "k"))]
    run = kit.play(stages, edges, policy=ProducerFirst())
    assert run.components["k"].seen == texts(range(40))
    assert {event[1] for event in run.trace.of("pressure") if event[2]} == {0, 1, 2}
    assert [stream.peak_depth for stream in run.report.streams] == [3, 3, 3]


@pytest.mark.parametrize(
    ("policy", "arrived", "reason"),
    [(OverflowPolicy.DROP_OLDEST, [8, 9], "evicted-oldest"), (OverflowPolicy.DROP_NEWEST, [0, 1], "refused-newest")],
)
def test_drop_policies_lose_what_they_say_and_never_stop_the_source(kit, policy, arrived, reason):
    source = kit.ToldSource(10)
    run = kit.play({"s": source, "k": kit.Sink()}, [EdgeDef("s", "k", config=StreamConfig(2, policy=policy))], policy=ProducerFirst())
    assert run.components["k"].seen == texts(arrived)
    assert {event[3] for event in run.trace.of("dropped")} == {reason}
    assert run.report.streams[0].dropped == len(run.trace.of("dropped")) == 8
    assert (source.signals, run.report.state) == ([], "Completed")


# ---- a sink that pauses


def test_a_sink_that_always_pauses_still_gets_everything_by_probes_further_and_further_apart(kit):
    run = kit.play({"s": kit.Source(6), "k": kit.Sink(dict.fromkeys(range(1, 99), Signal.PAUSE))}, [("s", "k")])
    assert run.components["k"].seen == texts(range(6))
    pulls = [event[4] for event in run.trace.of("called") if event[2] is Call.PULL]
    assert [(later - earlier) // 1_000_000 for earlier, later in pairwise(pulls)] == [1, 2, 4, 8, 16, 32]


def test_ready_lifts_the_hold_at_once_and_resets_the_delay(kit):
    sink = kit.Sink({1: Signal.PAUSE, 3: Signal.PAUSE})
    run = kit.play({"s": kit.Source(5), "k": sink}, [("s", "k")])
    pulls = [event[4] // 1_000_000 for event in run.trace.of("called") if event[2] is Call.PULL]
    assert pulls == [0, 1, 1, 2, 2, 2]


# ---- the shell's side


def step_by_step(run, on_yield=lambda: None):
    steps = []
    while (step := run.driver.next(run.clock.monotonic_ns())) is not DONE:
        steps.append(step)
        if isinstance(step, Invoke):
            run.driver.resume(run.instances[step.stage.name].call(step.call, step.argument), run.clock.monotonic_ns())
        elif isinstance(step, Wait):
            run.clock.advance_to(step.until)
        elif step is YIELD:
            on_yield()
    return steps


def test_the_flow_gives_way_after_each_batch(kit):
    run = kit.Run(linear(kit, 10), LINE, settings=FlowSettings(elements_per_yield=4, quantum_ns=None))
    steps = step_by_step(run)
    batches = [event[1] for event in run.trace.of("yielded")]
    assert batches == [4] * (31 // 4)
    assert steps.count(YIELD) == len(batches)


def test_the_flow_gives_way_when_its_quantum_is_over(kit):
    run = kit.Run(linear(kit, 3, spends=200), LINE, settings=FlowSettings(quantum_ns=100))
    step_by_step(run)
    assert [event[1] for event in run.trace.of("yielded")] == [3, 3, 3]


def test_what_others_do_between_two_turns_is_not_the_flows_quantum(kit):
    run = kit.Run(linear(kit, 6), LINE, settings=FlowSettings(elements_per_yield=4, quantum_ns=100))
    steps = step_by_step(run, on_yield=lambda: run.clock.advance(1000))
    assert [event[1] for event in run.trace.of("yielded")] == [4] * (19 // 4)
    assert steps.count(YIELD) == 19 // 4


def test_a_done_flow_stays_done(kit):
    run = kit.play(linear(kit, 1), LINE)
    assert run.driver.next(10**9) is DONE
    run.driver.cancel()
    assert run.driver.next(10**9) is DONE
    assert (run.driver.state, run.driver.report) == (FlowState.COMPLETED, run.report)


def test_a_shell_that_forgets_its_turn_is_told(kit):
    run = kit.Run(linear(kit, 1), LINE)
    with pytest.raises(TorvynError) as refused:
        run.driver.resume(None, 0)
    assert refused.value.kind == "not-running"
    run.driver.next(0)
    with pytest.raises(TorvynError) as refused:
        run.driver.next(0)
    assert refused.value.kind == "not-resumed"


def test_a_limit_ends_all_sources_together_as_if_they_were_exhausted(kit):
    components = {"a": kit.Source(100), "b": kit.Source(100), "k": kit.Sink()}
    run = kit.play(components, [("a", "k"), ("b", "k")], settings=FlowSettings(limit=7))
    assert (run.report.elements_in, len(run.components["k"].seen), run.report.state, run.report.reason) == (
        7,
        7,
        "Completed",
        Reason.SOURCE_COMPLETE,
    )


def test_a_closed_gate_keeps_its_stage_from_being_called_and_the_flow_from_stalling(kit):
    run = kit.Run({"s": kit.Source(1), "k": kit.Sink()}, [("s", "k")])
    run.driver.gate("s", closed=True)
    assert run.driver.next(0) == Wait(None)
    assert run.driver.next(5) == Wait(None)
    run.driver.gate("s", closed=False)
    step_by_step(run)
    assert run.components["k"].seen == texts([0])

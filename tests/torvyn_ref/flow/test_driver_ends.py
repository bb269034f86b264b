"""How flows end: failures under each policy, traps, cancels, deadlines, drains, stalls; and that nothing is left behind."""

from __future__ import annotations

import pytest

from torvyn_ref.calls import Call, Cause, ErrorKind, Failure, Output, Signal
from torvyn_ref.flow import EdgeDef, ErrorPolicy, ErrorPolicyKind, FlowSettings, FlowState, ProducerFirst, Reason
from torvyn_ref.ids import make_handle
from torvyn_ref.streams import OverflowPolicy, StreamConfig

LINE = [("s", "p"), ("p", "k")]
MS = 1_000_000
KIND = ErrorPolicyKind


def texts(numbers):
    return [str(number).encode() for number in numbers]


def under(kind, **options):
    return FlowSettings(error_policy=ErrorPolicy(kind, **options))


def failing(kit, at, failure=None):
    """A line whose processor fails at these calls."""
    return {"s": kit.Source(10), "p": kit.Mapper(dict.fromkeys(at, failure or kit.error())), "k": kit.Sink()}


# ---- error policies


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_by_default_the_first_failure_fails_the_flow_and_says_whose_it_was(kit, kind):
    run = kit.play(failing(kit, [4], Failure(kind, "broken")), LINE)
    assert run.components["k"].seen == texts(range(3))
    assert (run.report.state, run.report.reason) == ("Failed", Reason.COMPONENT_ERROR)
    assert str(run.report.failure) == f"p.process: {kind} (returned): broken"
    assert run.components["k"].completes == 0
    assert run.failures == [("p", Call.PROCESS, "fail")]
    assert ("Running", "Draining") in [event[1:] for event in run.trace.of("state")]


@pytest.mark.parametrize(("kind", "action"), [(KIND.SKIP, "skip"), (KIND.LOG_AND_CONTINUE, "log")])
def test_skip_and_log_go_on_without_the_element(kit, kind, action):
    run = kit.play(failing(kit, [2, 3, 10]), LINE, settings=under(kind))
    assert run.components["k"].seen == texts([0, 3, 4, 5, 6, 7, 8])
    assert run.failures == [("p", Call.PROCESS, action)] * 3
    assert (run.report.state, run.report.failure, {s.name: s.errors for s in run.report.stages}["p"]) == ("Completed", None, 3)


@pytest.mark.parametrize("kind", list(KIND))
def test_a_fatal_error_fails_the_flow_under_every_policy_and_the_component_is_called_no_more(kit, kind):
    run = kit.play(failing(kit, [3], Failure(ErrorKind.FATAL, "gone")), LINE, settings=under(kind, max_retries=9))
    assert (run.report.state, run.components["p"].calls) == ("Failed", 3)


def test_retry_gives_the_same_element_again_after_its_backoff_and_keeps_the_order(kit):
    run = kit.play(failing(kit, [3, 4]), LINE, settings=under(KIND.RETRY, max_retries=2, backoff_ns=7 * MS))
    assert run.components["k"].seen == texts(range(10))
    assert run.components["p"].seen == texts([0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9])
    attempts = [(event[3], event[4] // MS) for event in run.trace.of("called") if event[1] == "p"][2:5]
    assert attempts == [(attempts[0][0], 0), (attempts[0][0], 7), (attempts[0][0], 14)]
    assert run.failures == [("p", Call.PROCESS, "retry")] * 2
    assert run.report.state is FlowState.COMPLETED


def test_retries_count_anew_for_each_element(kit):
    run = kit.play(failing(kit, [1, 3, 5, 7]), LINE, settings=under(KIND.RETRY, max_retries=1))
    assert run.components["k"].seen == texts(range(10))


def test_retries_of_a_router_count_anew_for_each_element_too(kit):
    router = kit.Router(lambda _: ["even"], dict.fromkeys([1, 3, 5], kit.error()))
    edges = [("s", "r"), EdgeDef("r", "k", "even")]
    run = kit.play({"s": kit.Source(4), "r": router, "k": kit.Sink()}, edges, settings=under(KIND.RETRY, max_retries=1))
    assert (run.components["k"].seen, run.report.state) == (texts(range(4)), "Completed")


def test_exhausted_retries_fail_the_flow(kit):
    run = kit.play(failing(kit, [3, 4, 5]), LINE, settings=under(KIND.RETRY, max_retries=2))
    assert [action for *_, action in run.failures] == ["retry", "retry", "fail"]
    assert (run.report.state, run.components["k"].seen, run.components["p"].calls) == ("Failed", texts([0, 1]), 5)


def test_a_failing_source_is_pulled_again_after_a_growing_backoff(kit):
    components = {"s": kit.Source(3, dict.fromkeys([2, 3, 5], kit.error())), "k": kit.Sink()}
    run = kit.play(components, [("s", "k")], settings=under(KIND.SKIP))
    assert run.components["k"].seen == texts(range(3))
    assert [event[4] // MS for event in run.trace.of("called") if event[2] is Call.PULL] == [0, 0, 1, 3, 3, 4, 4]


def test_a_failing_sink_loses_the_element_and_no_other(kit):
    run = kit.play({"s": kit.Source(5), "k": kit.Sink({2: kit.error()})}, [("s", "k")], settings=under(KIND.SKIP))
    assert (run.components["k"].seen, run.report.delivered, run.report.state) == (texts([0, 2, 3, 4]), 4, "Completed")


def test_a_router_that_names_an_unknown_port_fails_and_says_which_ports_there_are(kit):
    components = {"s": kit.Source(3), "r": kit.Router(lambda _: ["nowhere"]), "k": kit.Sink()}
    run = kit.play(components, [("s", "r"), EdgeDef("r", "k", "even")])
    assert run.report.state is FlowState.FAILED
    assert run.report.failure.failure.message == "router 'r' chose port 'nowhere'; it has 'even'"


def test_retrying_a_router_that_never_learns_its_ports_comes_to_an_end(kit):
    router = kit.Router(lambda _: ["nowhere"])
    run = kit.play(
        {"s": kit.Source(1), "r": router, "k": kit.Sink()},
        [("s", "r"), EdgeDef("r", "k", "even")],
        settings=under(KIND.RETRY, max_retries=2),
    )
    assert (router.calls, run.report.state) == (3, "Failed")


@pytest.mark.parametrize(
    ("kind", "state", "arrived"), [(KIND.FAIL_FAST, "Failed", 2), (KIND.SKIP, "Completed", 2), (KIND.RETRY, "Completed", 2)]
)
def test_a_full_queue_under_the_error_policy_is_the_producers_failure(kit, kind, state, arrived):
    edge = EdgeDef("s", "k", config=StreamConfig(2, policy=OverflowPolicy.ERROR))
    run = kit.play({"s": kit.Source(3), "k": kit.Sink(spends=9)}, [edge], policy=ProducerFirst(), settings=under(kind, max_retries=3))
    stage, call, *_ = run.failures[0]
    assert (stage, call, run.trace.of("failed")[0][3].cause) == ("s", Call.PULL, Cause.QUEUE_FULL)
    assert run.trace.of("dropped")[0][3] == "queue-full"
    assert (run.report.state, len(run.components["k"].seen) >= arrived) == (state, True)


def test_a_flush_into_a_full_error_queue_follows_the_error_policy(kit):
    edges = [EdgeDef("s", "a"), EdgeDef("a", "k", config=StreamConfig(2, policy=OverflowPolicy.ERROR))]
    components = {"s": kit.Source(1), "a": kit.Aggregator(burst=5), "k": kit.Sink()}
    run = kit.play(components, edges, settings=under(KIND.SKIP))
    assert (run.components["k"].seen, run.report.streams[1].dropped, run.report.state) == (texts([0, 1]), 3, "Completed")
    run = kit.play({"s": kit.Source(1), "a": kit.Aggregator(burst=5), "k": kit.Sink()}, edges)
    assert run.report.state is FlowState.FAILED


# ---- dead instances and stolen buffers


@pytest.mark.parametrize("where", ["s", "p", "k"])
@pytest.mark.parametrize("kind", [KIND.FAIL_FAST, KIND.SKIP])
def test_a_trap_fails_the_flow_and_the_dead_are_not_called_again_not_even_torn_down(kit, where, kind):
    components = {"s": kit.Source(9), "p": kit.Mapper(), "k": kit.Sink()}
    components[where].script = {3: kit.Trap("unreachable")}
    for component in components.values():
        component.init = lambda _guest, _config: None
        component.teardown = lambda _guest: None
    run = kit.play(components, LINE, settings=under(kind))
    assert (run.report.state, run.report.failure.stage, run.report.failure.failure.cause) == ("Failed", where, Cause.TRAP)
    after = run.trace.events[next(i for i, event in enumerate(run.trace.events) if event[0] == "failed") :]
    assert not [event for event in after if event[0] == "called" and event[1] == where]
    assert [stage for stage, call in run.trace.calls() if call is Call.TEARDOWN] == [name for name in ("k", "p", "s") if name != where]


def test_a_component_that_hoards_buffers_and_dies_leaves_none(kit):
    class Hoarder(kit.Mapper):
        def process(self, guest, element):
            for _ in range(5):
                guest.allocate(100)
            return super().process(guest, element)

    run = kit.play({"s": kit.Source(5), "p": Hoarder({3: kit.Trap()}), "k": kit.Sink()}, LINE)
    assert run.report.state is FlowState.FAILED
    assert run.resources.budget(run.owners["p"])[0] == 0
    assert run.report.reclaimed_buffers == 0  # they went with the instance, not with the flow


def test_a_component_that_hoards_and_lives_is_relieved_at_the_end_and_the_report_says_so(kit):
    class Hoarder(kit.Sink):
        def push(self, guest, element):
            guest.allocate(100)
            return super().push(guest, element)

    run = kit.play({"s": kit.Source(4), "k": Hoarder()}, [("s", "k")])
    assert (run.report.state, run.report.reclaimed_buffers) == ("Completed", 4)


@pytest.mark.parametrize("handle", [make_handle(99, 1), "input"])
def test_returning_a_buffer_that_is_not_ones_own_is_fatal(kit, handle):
    class Thief(kit.Mapper):
        def process(self, guest, element):
            super().process(guest, element)
            return Output(element.handle if handle == "input" else handle, "")

    run = kit.play({"s": kit.Source(3), "p": Thief(), "k": kit.Sink()}, LINE, settings=under(KIND.SKIP))
    assert (run.report.state, run.report.failure.failure.cause, run.report.failure.stage) == ("Failed", Cause.OWNERSHIP, "p")


def test_a_flush_that_gives_away_what_it_does_not_own_is_fatal(kit):
    components = {"s": kit.Source(1), "a": kit.Aggregator(flush_answer=[Output(make_handle(9, 9), "")]), "k": kit.Sink()}
    run = kit.play(components, [("s", "a"), ("a", "k")])
    assert (run.report.state, run.report.failure.failure.cause) == ("Failed", Cause.OWNERSHIP)


# ---- starting and finishing


def with_lifecycle(kit, init_fails=None):
    log = []
    components = {"s": kit.Source(1), "p": kit.Mapper(), "k": kit.Sink()}
    for name, component in components.items():

        def init(_guest, config, name=name):
            log.append(("init", name, config))
            return kit.error() if name == init_fails else None

        component.init = init
        component.teardown = lambda _guest, name=name: log.append(("teardown", name))
    return components, log


def test_components_start_in_topological_order_and_stop_in_reverse(kit):
    components, log = with_lifecycle(kit)
    run = kit.play(components, LINE)
    assert log == [("init", n, f"config of {n}") for n in "spk"] + [("teardown", n) for n in "kps"]
    calls = [call for _, call in run.trace.calls()]
    assert calls[:3] == [Call.INIT] * 3
    assert calls[-4:] == [Call.COMPLETE, Call.TEARDOWN, Call.TEARDOWN, Call.TEARDOWN]


@pytest.mark.parametrize(("fails", "torn_down"), [("s", []), ("p", ["s"]), ("k", ["p", "s"])])
def test_a_failing_init_tears_down_what_had_started_and_calls_nothing_else(kit, fails, torn_down):
    components, log = with_lifecycle(kit, init_fails=fails)
    run = kit.play(components, LINE)
    assert [entry[1] for entry in log if entry[0] == "teardown"] == torn_down
    assert {call for _, call in run.trace.calls()} <= {Call.INIT, Call.TEARDOWN}
    assert [event[1:] for event in run.trace.of("state")] == [("Created", "Validated"), ("Validated", "Failed")]
    assert (run.report.failure.stage, run.report.failure.call, run.report.duration_ns) == (fails, Call.INIT, 0)


def test_a_failing_teardown_is_reported_and_stops_nobody(kit):
    components, log = with_lifecycle(kit)
    components["p"].teardown = lambda _guest: kit.error()
    run = kit.play(components, LINE)
    assert [entry[1] for entry in log if entry[0] == "teardown"] == ["k", "s"]
    assert (run.failures, run.report.state) == ([("p", Call.TEARDOWN, "log")], "Completed")


@pytest.mark.parametrize("kind", [KIND.FAIL_FAST, KIND.SKIP])
def test_a_failing_complete_fails_the_flow_and_the_other_sinks_still_complete(kit, kind):
    components = {"s": kit.Source(1), "a": kit.Sink(complete_answer=kit.error()), "b": kit.Sink()}
    run = kit.play(components, [("s", "a"), ("s", "b")], settings=under(kind))
    assert (run.report.state, run.report.failure.call, components["b"].completes) == ("Failed", Call.COMPLETE, 1)


def test_a_failing_flush_fails_the_flow(kit):
    components = {"s": kit.Source(2), "a": kit.Aggregator(flush_answer=kit.Trap()), "k": kit.Sink()}
    run = kit.play(components, [("s", "a"), ("a", "k")])
    assert (run.report.state, run.report.failure.call) == ("Failed", Call.FLUSH)


# ---- cancelling


def test_a_flow_cancelled_before_it_starts_touches_no_element(kit):
    run = kit.Run({"s": kit.Source(5), "p": kit.Mapper(), "k": kit.Sink()}, LINE)
    run.driver.cancel()
    run.go()
    assert (run.report.state, run.report.elements_in, run.components["s"].calls) == ("Cancelled", 0, 0)
    assert [event[1:] for event in run.trace.of("state")][-3:] == [
        ("Instantiated", "Running"),
        ("Running", "Draining"),
        ("Draining", "Cancelled"),
    ]


def cancel_after(run, calls, reason=Reason.OPERATOR_REQUEST):
    def hook(done):
        if done == calls:
            run.driver.cancel(reason)

    return hook


def test_a_cancelled_flow_pulls_no_more_and_delivers_what_is_queued(kit):
    run = kit.Run({"s": kit.Source(99), "k": kit.Sink()}, [("s", "k")], policy=ProducerFirst())
    run.go(cancel_after(run, 5))
    assert run.components["s"].calls == 5
    assert run.components["k"].seen == texts(range(5))
    assert (run.report.state, run.report.discarded) == ("Cancelled", 0)


def test_the_first_of_two_cancels_counts(kit):
    run = kit.Run({"s": kit.Source(99), "k": kit.Sink()}, [("s", "k")])
    run.driver.cancel(Reason.OPERATOR_REQUEST)
    run.driver.cancel(Reason.RESOURCE_EXHAUSTION)
    run.go()
    assert (run.report.state, run.report.reason) == ("Cancelled", Reason.OPERATOR_REQUEST)


def test_an_error_while_a_cancelled_flow_drains_is_reported_and_changes_nothing(kit):
    run = kit.Run({"s": kit.Source(99), "k": kit.Sink({2: kit.error()})}, [("s", "k")], policy=ProducerFirst())
    run.go(cancel_after(run, 5))
    assert (run.report.state, run.failures) == ("Cancelled", [("k", Call.PUSH, "fail")])
    assert run.components["k"].completes == 0


def test_a_drain_timeout_of_zero_discards_at_once_and_says_how_much(kit):
    settings = FlowSettings(drain_timeout_ns=0)
    run = kit.Run({"s": kit.Source(99), "k": kit.Sink()}, [("s", "k")], policy=ProducerFirst(), settings=settings)
    run.go(cancel_after(run, 5))
    assert (run.components["k"].seen, run.report.discarded, run.report.state) == ([], 5, "Cancelled")
    assert [event[3] for event in run.trace.of("dropped")] == ["discarded"] * 5


def test_a_drain_ends_at_its_timeout(kit):
    settings = FlowSettings(drain_timeout_ns=25)
    run = kit.Run({"s": kit.Source(99), "k": kit.Sink(spends=10)}, [("s", "k")], policy=ProducerFirst(), settings=settings)
    run.go(cancel_after(run, 6))
    assert (len(run.components["k"].seen), run.report.discarded, run.report.state) == (3, 3, "Cancelled")


def test_a_pending_flush_is_discarded_with_the_rest(kit):
    edges = [EdgeDef("s", "a"), EdgeDef("a", "k", config=StreamConfig(2))]
    components = {"s": kit.Source(1), "a": kit.Aggregator(burst=20), "k": kit.Sink(spends=10)}
    run = kit.play(components, edges, settings=FlowSettings(deadline_ns=35, drain_timeout_ns=0))
    assert (run.report.state, run.report.reason) == ("Failed", Reason.TIMEOUT)
    assert len(run.components["k"].seen) + run.report.discarded == 20


def test_a_retry_in_waiting_is_discarded_at_the_drains_end(kit):
    settings = FlowSettings(error_policy=ErrorPolicy(KIND.RETRY, max_retries=5, backoff_ns=100), deadline_ns=50, drain_timeout_ns=10)
    run = kit.play({"s": kit.Source(1), "k": kit.Sink({1: kit.error()})}, [("s", "k")], settings=settings)
    assert (run.report.state, run.report.discarded, run.report.duration_ns) == ("Failed", 1, 60)


def test_a_deadline_ends_a_busy_flow(kit):
    run = kit.play({"s": kit.Source(10**6, spends=10), "k": kit.Sink()}, [("s", "k")], settings=FlowSettings(deadline_ns=1000))
    assert (run.report.state, run.report.reason, run.report.elements_in) == ("Failed", Reason.TIMEOUT, 100)


def test_a_deadline_ends_an_idle_flow(kit):
    components = {"s": kit.Source(9), "k": kit.Sink(dict.fromkeys(range(1, 9), Signal.PAUSE))}
    run = kit.play(components, [("s", "k")], settings=FlowSettings(deadline_ns=2 * MS))
    assert (run.report.state, run.report.reason, run.report.duration_ns) == ("Failed", Reason.TIMEOUT, 2 * MS)


def test_pressure_that_is_on_when_the_flow_ends_is_closed_and_counted(kit):
    run = kit.Run({"s": kit.Source(9), "k": kit.Sink(spends=10)}, [EdgeDef("s", "k", config=StreamConfig(2, 0.0))], policy=ProducerFirst())
    run.go(cancel_after(run, 4))
    assert [event[2] for event in run.trace.of("pressure")] == [True, False] * (len(run.trace.of("pressure")) // 2)
    assert run.report.streams[0].pressure_ns == sum(event[4] for event in run.trace.of("pressure") if not event[2])


def test_a_flow_in_which_nothing_can_ever_happen_says_so_instead_of_waiting_for_ever(kit):
    run = kit.Run({"s": kit.Source(3), "k": kit.Sink()}, [("s", "k")])
    run.driver.edges[0].stream.may_produce = False  # a defect of the runtime: nothing sets it again
    run.go()
    assert (run.report.state, run.report.reason, run.report.failure.stage) == ("Failed", Reason.STALLED, "s")
    assert "no stage can ever run again" in run.report.failure.failure.message

"""The flow's state table, its settings, its failure decisions and its schedules, each on its own."""

from __future__ import annotations

import itertools

import pytest

from torvyn_ref.calls import Cause, ErrorKind, Failure, Role
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import ConsumerFirst, ErrorPolicy, ErrorPolicyKind, FlowState, ProducerFirst, Scripted
from torvyn_ref.flow.cancellation import TERMINAL_EVENT, Cancellation, Reason
from torvyn_ref.flow.failures import Action, decide, source_backoff_ns
from torvyn_ref.flow.settings import BATCH, FlowSettings, Priority
from torvyn_ref.flow.stage import Stage
from torvyn_ref.flow.states import TRANSITIONS, FlowEvent, Lifecycle, check_transition
from torvyn_ref.ids import Owner

LEGAL = {
    ("Created", "Validated"),
    ("Created", "Failed"),
    ("Validated", "Instantiated"),
    ("Validated", "Failed"),
    ("Instantiated", "Running"),
    ("Running", "Draining"),
    ("Draining", "Completed"),
    ("Draining", "Cancelled"),
    ("Draining", "Failed"),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(FlowState, repeat=2)))
def test_nine_of_the_64_steps_are_legal_and_the_others_name_both_states(old, new):
    if (old, new) in LEGAL:
        check_transition(old, new)
        return
    with pytest.raises(TorvynError) as refused:
        check_transition(old, new)
    assert (refused.value.kind, refused.value.fields) == ("invalid-transition", {"machine": "FlowState", "old": old, "new": new})


@pytest.mark.parametrize(("state", "event"), list(itertools.product(FlowState, FlowEvent)))
def test_an_event_without_a_cell_changes_nothing(state, event):
    heard = []
    lifecycle = Lifecycle(lambda old, new: heard.append((old, new)))
    lifecycle.state = state
    if (state, event) in TRANSITIONS:
        assert lifecycle.on(event) is TRANSITIONS[state, event]
        assert heard == [(state, TRANSITIONS[state, event])]
        return
    with pytest.raises(TorvynError) as refused:
        lifecycle.on(event)
    assert (refused.value.kind, refused.value.fields["state"], refused.value.fields["event"]) == ("invalid-transition", state, event)
    assert (lifecycle.state, heard) == (state, [])


def test_terminal_states_are_those_without_a_way_out():
    assert {state for state in FlowState if state.is_terminal} == {
        state for state in FlowState if not any(s is state for s, _ in TRANSITIONS)
    }


def test_the_first_reason_wins():
    cancellation = Cancellation()
    assert cancellation.request(Reason.TIMEOUT)
    assert not cancellation.request(Reason.OPERATOR_REQUEST)
    assert cancellation.reason is Reason.TIMEOUT


def test_every_reason_has_an_end():
    assert {reason: str(event) for reason, event in TERMINAL_EVENT.items()} == {
        Reason.SOURCE_COMPLETE: "completed",
        Reason.OPERATOR_REQUEST: "cancelled",
        **dict.fromkeys((Reason.TIMEOUT, Reason.COMPONENT_ERROR, Reason.RESOURCE_EXHAUSTION, Reason.STALLED), "failed"),
    }


@pytest.mark.parametrize(
    "bad",
    [
        {"elements_per_yield": 0},
        {"elements_per_yield": 257},
        {"limit": 0},
        {"limit": -3},
        {"quantum_ns": -1},
        {"deadline_ns": -1},
        {"drain_timeout_ns": -1},
    ],
)
def test_settings_that_mean_nothing_are_refused(bad):
    with pytest.raises(TorvynError) as refused:
        FlowSettings(**bad)
    assert (refused.value.subsystem, refused.value.kind) == ("flow", "invalid-setting")


def test_a_batch_is_the_priorities_unless_it_is_given():
    assert (
        [FlowSettings(priority=priority).batch for priority in Priority]
        == [BATCH[priority] for priority in Priority]
        == [128, 64, 32, 16, 8]
    )
    assert FlowSettings(priority=Priority.LOW, elements_per_yield=3).batch == 3


KINDS = ErrorPolicyKind


@pytest.mark.parametrize("policy", list(KINDS))
@pytest.mark.parametrize("terminal", [{"kind": ErrorKind.FATAL}, {"kind": ErrorKind.INTERNAL, "poisoned": True}])
def test_no_policy_survives_a_dead_instance_or_a_fatal_error(policy, terminal):
    assert decide(ErrorPolicy(policy, max_retries=5), Failure(message="x", **terminal), 1) is Action.FAIL


def test_what_each_policy_does_about_an_ordinary_failure():
    failure = Failure(ErrorKind.UNAVAILABLE, "busy")
    full = Failure(ErrorKind.UNAVAILABLE, "full", Cause.QUEUE_FULL)
    assert decide(ErrorPolicy(KINDS.FAIL_FAST), failure, 1) is Action.FAIL
    assert decide(ErrorPolicy(KINDS.SKIP), failure, 9) is Action.SKIP
    assert decide(ErrorPolicy(KINDS.LOG_AND_CONTINUE), failure, 9) is Action.LOG
    retry = ErrorPolicy(KINDS.RETRY, max_retries=2)
    assert [decide(retry, failure, attempts) for attempts in (1, 2, 3)] == [Action.RETRY, Action.RETRY, Action.FAIL]
    assert decide(retry, full, 1) is Action.SKIP


def test_a_failing_source_is_left_alone_longer_and_longer_up_to_100_ms():
    assert [source_backoff_ns(failures) // 1_000_000 for failures in (1, 2, 3, 7, 8, 99)] == [1, 2, 4, 64, 100, 100]


# ---- schedules


class Fake(Stage):
    """A stage that is ready when it is told so."""

    def __init__(self, name, level):
        super().__init__(index=0, name=name, role=Role.PROCESSOR, level=level, owner=Owner(1), has_lifecycle=False)
        self.ready = True

    def is_ready(self, _now):
        return self.ready


def picks(policy, stages, count):
    policy.bind(stages)
    return [stage.name if (stage := policy.pick(0)) else None for _ in range(count)]


def test_consumer_first_takes_the_deepest_and_each_of_a_level_in_turn():
    stages = [Fake("s", 0), Fake("a", 1), Fake("b", 1), Fake("k", 2)]
    stages[3].ready = False
    assert picks(ConsumerFirst(), stages, 4) == ["a", "b", "a", "b"]
    stages[1].ready = stages[2].ready = False
    assert picks(ConsumerFirst(), stages, 1) == ["s"]
    stages[0].ready = False
    assert picks(ConsumerFirst(), stages, 1) == [None]


def test_producer_first_takes_the_shallowest():
    stages = [Fake("s", 0), Fake("t", 0), Fake("k", 1)]
    assert picks(ProducerFirst(), stages, 3) == ["s", "t", "s"]
    stages[0].ready = stages[1].ready = False
    assert picks(ProducerFirst(), stages, 1) == ["k"]


def test_a_line_of_stages_is_scheduled_like_any_other_graph():
    stages = [Fake("s", 0), Fake("p", 1), Fake("k", 2)]
    assert picks(ConsumerFirst(), stages, 1) == ["k"]
    stages[2].ready = False
    assert picks(ConsumerFirst(), stages, 2) == ["p", "p"]
    stages[1].ready = stages[0].ready = False
    assert picks(ConsumerFirst(), stages, 1) == [None]


def test_a_script_chooses_among_the_ready_and_then_leaves_it_to_consumer_first():
    stages = [Fake("s", 0), Fake("p", 1), Fake("k", 2)]
    stages[1].ready = False
    assert picks(Scripted([0, 1, 2, 5]), stages, 6) == ["s", "k", "s", "k", "k", "k"]
    for stage in stages:
        stage.ready = False
    assert picks(Scripted([0]), stages, 1) == [None]

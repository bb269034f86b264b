"""The lock-steps and their searches: what they accuse, of what, and with what evidence."""

import json

import pytest

from conformance.areas.ownership import STORIES as OWNERSHIP_STORIES
from conformance.areas.ownership import allocate, borrow, end, release, step, write
from conformance.areas.watermarks import STORIES as STREAM_STORIES
from conformance.checks import Budget
from conformance.errors import Inconclusive, NotOffered, Refused, SubjectCrashedError, Violation
from conformance.machines.judge import Abort, DivergedError, Judge
from conformance.machines.ownership import OwnershipLockstep
from conformance.machines.search import search_ownership, search_streams
from conformance.machines.streams import StreamLockstep
from conformance.models.streams import Policy
from conformance.mutants.zoo import subject
from conformance.strategies import flows, line
from conformance.subjects.inprocess import InProcess, PythonSubject
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session
from conformance.traces.search import search_flows


def session(mutant=None):
    return Session(InProcess(reference_subject()) if mutant is None else subject(mutant))


def budget(*rules, seed=1):
    return Budget(check="test", rules=rules, seed=seed)


def lockstep(rule, mutant=None):
    counted = []
    return OwnershipLockstep(Judge(session(mutant), rule, counted.append), frozenset()), counted


def play(rule, mutant, *steps):
    lock, counted = lockstep(rule, mutant)
    lock.play_all(steps)
    return counted


# ---------------------------------------------------------------- ownership


def test_a_broken_rule_is_accused_with_the_steps_that_lead_there():
    with pytest.raises(Violation) as caught:
        play("OWN-007", "ends-what-is-not-open", allocate(), write("b0"), end("b0"), release("b0"))
    assert caught.value.rule == "OWN-007"
    steps = caught.value.evidence["steps"]
    assert [one["op"] for one in steps] == ["resources.allocate", "resources.write", "resources.end-borrow"]
    assert steps[0]["gave"] == {"name": "b0", "index": 0, "generation": 1}
    assert json.loads(json.dumps(caught.value.evidence)) == caught.value.evidence


def test_a_rule_is_not_accused_of_another_rule_s_violation():
    with pytest.raises(DivergedError):
        play("OWN-005", "ends-what-is-not-open", allocate(), end("b0"), borrow("b0"))


def test_one_reply_may_break_the_rule_under_test_after_another_one():
    lock = StreamLockstep(Judge(session("enqueue-costs-two"), "CREDIT-004", lambda _: None), {"op": "streams.open", "capacity": 4})
    with pytest.raises(Violation) as caught:
        lock.play({"op": "streams.push", "value": 1})
    assert caught.value.rule == "CREDIT-004"


def test_a_step_with_the_same_steps_plays_again_from_its_evidence():
    with pytest.raises(Violation) as first:
        play("OWN-016", "second-release-is-fine", allocate(), release("b0"), release("b0"))
    with pytest.raises(Violation) as again:
        play("OWN-016", "second-release-is-fine", *first.value.evidence["steps"])
    assert again.value.evidence == first.value.evidence


def test_only_evaluations_of_the_rule_under_test_are_counted():
    counted = play("OWN-004", None, allocate(), borrow("b0"), write("b0"), end("b0"), write("b0"))
    assert set(counted) == {"OWN-004"}
    assert play("OWN-011", None, allocate(), release("b0")) == []


def test_every_operation_is_fired_at_a_dead_handle():
    lock, _ = lockstep("OWN-014")
    lock.play_all([allocate(), release("b0"), step("probe", "b0")])
    fired = {one["op"] for one in lock.judge.steps[2:]}
    assert {f"resources.{op}" for op in ("inspect", "read", "write", "borrow", "end-borrow", "transfer", "freeze", "release")} <= fired
    assert all(one["outcome"] in {"stale-handle", "not-allocated"} for one in lock.judge.steps[2:])


def test_the_reference_plays_every_story_without_parting_from_the_model():
    for story in OWNERSHIP_STORIES:
        lockstep("OWN-001")[0].play_all(story)


def test_a_search_shrinks_to_few_steps_and_gives_the_same_for_the_same_seed():
    found = []
    for _ in range(2):
        with pytest.raises(Violation) as caught:
            search_ownership(session("one-borrow-only"), budget("OWN-005"), "OWN-005", ())
        found.append(caught.value.evidence)
    assert found[0] == found[1]
    assert [one["op"] for one in found[0]["steps"]] == ["resources.allocate", "resources.borrow", "resources.borrow"]


class Dying:
    """A resource manager that crashes at the third allocation."""

    def __init__(self):
        self.inner = reference_subject().resources
        self.allocations = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def allocate(self, request):
        self.allocations += 1
        if self.allocations == 3:
            raise RuntimeError("out of luck")
        return self.inner.allocate(request)


def subject_of(**facets):
    return PythonSubject("test", "1", **facets, refusal=lambda error: Refused(error.kind) if hasattr(error, "kind") else None)


def test_a_subject_that_dies_in_a_search_is_not_tried_again():
    dying = Dying()
    with pytest.raises(SubjectCrashedError):
        search_ownership(Session(InProcess(subject_of(resources=dying))), budget("OWN-001"), "OWN-001", ())
    assert dying.allocations == 3


def test_a_subject_that_declines_ends_the_search_with_its_reason():
    with pytest.raises(NotOffered):
        search_streams(Session(InProcess(subject_of(resources=Dying()))), budget("CREDIT-001"), "CREDIT-001", STREAM_STORIES)


def test_what_carries_a_death_past_the_search_is_no_ordinary_exception():
    assert not issubclass(Abort, Exception)


# ---------------------------------------------------------------- streams


def test_the_reference_plays_every_stream_story_without_parting_from_the_model():
    for story in STREAM_STORIES:
        StreamLockstep(Judge(session(), "CREDIT-004", lambda _: None), story[0]).play_all(story[1:])


def test_a_stream_search_shrinks_to_the_shortest_way():
    with pytest.raises(Violation) as caught:
        search_streams(session("drop-newest-drops-oldest"), budget("POLICY-003"), "POLICY-003", (), policies=(Policy.DROP_NEWEST,))
    steps = caught.value.evidence["steps"]
    assert steps[0]["capacity"] == 1
    assert [one["op"] for one in steps if one["op"] != "streams.inspect"] == ["streams.open", "streams.push", "streams.push"]


def test_an_unknown_operation_of_a_stream_is_the_suite_s_mistake():
    lock = StreamLockstep(Judge(session(), "CREDIT-004", lambda _: None), {"op": "streams.open", "capacity": 1})
    with pytest.raises(ValueError, match=r"streams\.juggle"):
        lock.play({"op": "streams.juggle"})


# ---------------------------------------------------------------- flows


def test_a_flow_search_shrinks_to_a_small_flow_and_shows_flow_place_and_trace():
    with pytest.raises(Violation) as caught:
        search_flows(session("asks-twice"), budget("FLOW-010"), "FLOW-010", (), flows())
    evidence = json.loads(json.dumps(caught.value.evidence))
    assert [stage["role"] for stage in evidence["flow"]["stages"]] == ["source", "sink"]
    assert evidence["trace"][-1] == {"e": "call", "stage": "s0", "fn": "pull"}


def test_a_flow_search_gives_the_same_flow_for_the_same_seed():
    found = []
    for _ in range(2):
        with pytest.raises(Violation) as caught:
            search_flows(session("a-counter-per-stage"), budget("ORD-003"), "ORD-003", (), flows())
        found.append(caught.value.evidence)
    assert found[0] == found[1]


def test_a_subject_that_refuses_a_valid_flow_leaves_the_rule_open():
    class Picky:
        def run(self, _request):
            raise Refused("invalid-topology", "no")

        def transition(self, _request):
            raise Refused("invalid-transition")

    picky = Session(InProcess(subject_of(flows=Picky())))
    for story, drawn in (((line(),), None), ((), flows())):
        with pytest.raises(Inconclusive, match="refuses a valid flow"):
            search_flows(picky, budget("FLOW-001"), "FLOW-001", story, drawn)

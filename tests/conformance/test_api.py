"""The one call for a runtime's own tests, and the strategies that it may draw from."""

import pytest
from hypothesis import given, settings

from conformance.api import ResourcesBrokenError, check_resources
from conformance.errors import Refused, SuiteError
from conformance.machines.accounts import Accounts
from conformance.machines.judge import Judge
from conformance.mutants import zoo
from conformance.strategies import LARGEST_BYTES, OWNERS, capacities, owners, resource_stories, u64s
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.reference.resources import ReferenceResources
from conformance.subjects.session import Session
from torvyn_ref.errors import TorvynError

FEW = ("POOL", "COPY-001", "BUDGET-01*")


def refusal(error):
    return Refused(error.kind, error.message, error.fields) if isinstance(error, TorvynError) else None


def test_a_facet_by_itself_is_enough():
    report = check_resources(ReferenceResources(ReferenceParts()), rules=FEW, refusal=refusal)
    assert {"POOL-006", "POOL-016", "COPY-001", "BUDGET-010"} <= set(report.passed)
    assert report.open == ()


def test_what_the_subject_does_not_claim_is_left_out():
    bare = check_resources(ReferenceResources(ReferenceParts()), rules=("POOL-008", "POOL-009"), refusal=refusal)
    claimed = check_resources(
        ReferenceResources(ReferenceParts()), rules=("POOL-008", "POOL-009"), refusal=refusal, capabilities=("exhaustion_error",)
    )
    assert (bare.passed, claimed.passed) == (("POOL-009",), ("POOL-008", "POOL-009"))


def test_a_broken_rule_is_told_with_the_operations_that_show_it():
    with pytest.raises(ResourcesBrokenError, match=r"(?s)BUDGET-010 .*fail.*\n.*expected 4352, found 0\n.*register") as caught:
        check_resources(zoo.MUTANTS["registered-anew"].subject(), rules=("BUDGET-010",))
    assert [finding.rule for finding in caught.value.findings] == ["BUDGET-010"]
    assert isinstance(caught.value, AssertionError)


def test_advice_that_is_not_taken_fails_nobody():
    report = check_resources(zoo.MUTANTS["huge-is-for-once"].subject(), rules=("POOL-013", "POOL-009"))
    assert (report.passed, report.open) == (("POOL-009",), ("POOL-013",))


class Crashing:
    def open(self, request):
        raise RuntimeError("out of order")


def test_a_subject_that_crashes_has_not_passed():
    with pytest.raises(ResourcesBrokenError, match="crash"):
        check_resources(Crashing(), rules=("POOL-015",))


def test_an_unknown_rule_is_told():
    with pytest.raises(SuiteError, match="POOL-999"):
        check_resources(reference_subject(), rules=("POOL-999",))


@given(owners(), capacities(), u64s())
def test_what_is_drawn_is_in_its_range(owner, capacity, number):
    assert owner in OWNERS
    assert 0 <= capacity <= LARGEST_BYTES
    assert 0 <= number < 2**64


@given(resource_stories())
@settings(max_examples=40)
def test_a_story_can_be_played_on_a_manager(story):
    session = Session(InProcess(reference_subject()))
    accounts = Accounts(Judge(session, "OWN-001", lambda _rule: None), p.OpenResources())
    accounts.play_all(story)
    assert session.resources.live_count() == len(accounts.live)

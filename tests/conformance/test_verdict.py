from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conformance.checks import Registry
from conformance.execute import Finding
from conformance.plan import make_plan
from conformance.rulebook import Testability, load
from conformance.subjects.protocol import Declaration, Facet, FacetClaim
from conformance.verdict import BROKEN, EXIT_CODES, EXIT_HARNESS, Outcome, Verdict, judge, worst

BOOK = load()
RULES = ("WMK-001", "WMK-002", "WMK-004", "POLICY-009")
SUBJECT = Declaration("s", "1", 1, (FacetClaim(Facet.STREAMS),))
outcomes = st.sampled_from(list(Outcome))


def small_book(*ids):
    """A rulebook of a few rules, so that a verdict can be anything."""
    return SimpleNamespace(rules=tuple(BOOK.get(each) for each in ids), digest="sha256:0", select=BOOK.select, ambiguities=(), get=BOOK.get)


def plan_of(book, *pairs):
    registry = Registry()
    for name, rules in pairs:
        registry.checks(*rules, facet=Facet.STREAMS, kind="example", name=name)(check)
    return make_plan(book, registry, SUBJECT)


def check(subject, budget):
    """Do nothing."""


def finding(rule, outcome=Outcome.PASS, name="c", evaluations=1):
    return Finding(rule=rule, check=name, outcome=outcome, evaluations=evaluations)


@given(st.lists(outcomes))
def test_the_worst_of_some_outcomes_is_one_of_them_and_none_is_worse(some):
    result = worst(some)
    assert result in some if some else result is Outcome.UNTESTED
    assert all(each.rank <= result.rank for each in some)


@given(st.lists(outcomes, min_size=1), outcomes)
def test_another_outcome_can_only_raise_the_result(some, more):
    assert worst([*some, more]).rank >= worst(some).rank


@given(st.permutations(list(Outcome)), st.integers(1, len(Outcome)))
def test_the_order_in_which_outcomes_arrive_does_not_matter(some, count):
    assert worst(some[:count]) is worst(reversed(some[:count]))


def test_the_order_of_outcomes_is_the_one_that_was_decided():
    words = "inapplicable unsupported untested pass xfail flaky inconclusive xpass fail timeout crash error"
    assert [str(outcome) for outcome in sorted(Outcome, key=lambda outcome: outcome.rank)] == words.split()


@given(st.lists(outcomes, min_size=2, max_size=2))
def test_a_verdict_is_conformant_only_if_everything_binding_passed(two):
    book = small_book("WMK-001", "WMK-002")
    plan = plan_of(book, ("c", ("WMK-001", "WMK-002")))
    judgement = judge(book, plan, [finding(rule, outcome) for rule, outcome in zip(("WMK-001", "WMK-002"), two, strict=True)])
    assert (judgement.verdict is Verdict.CONFORMANT) == (two == [Outcome.PASS, Outcome.PASS])
    assert (judgement.verdict is Verdict.NOT_CONFORMANT) == bool(set(two) & BROKEN)
    assert judgement.exit_code == (EXIT_HARNESS if Outcome.ERROR in two else EXIT_CODES[judgement.verdict])
    assert (judgement.reasons == ()) == (judgement.verdict is Verdict.CONFORMANT)


@given(st.lists(st.tuples(outcomes, st.integers(0, 2)), min_size=1, max_size=4))
def test_nothing_passes_that_was_never_evaluated(said):
    book = small_book("WMK-001")
    plan = plan_of(book, *((f"c{number}", ("WMK-001",)) for number in range(len(said))))
    findings = [
        Finding(rule="WMK-001", check=f"c{number}", outcome=outcome, evaluations=evaluations)
        for number, (outcome, evaluations) in enumerate(said)
    ]
    judgement = judge(book, plan, findings)
    if judgement.rules[0].outcome is Outcome.PASS:
        assert any(outcome is Outcome.PASS and evaluations for outcome, evaluations in said)
        assert not any(outcome is Outcome.PASS and not evaluations for outcome, evaluations in said)


def test_an_item_without_a_result_is_an_error_of_the_suite():
    book = small_book("WMK-001", "WMK-002")
    plan = plan_of(book, ("c", ("WMK-001", "WMK-002")))
    judgement = judge(book, plan, [finding("WMK-001")])
    assert (judgement.planned, judgement.executed) == (2, 1)
    assert judgement.rules[1].outcome is Outcome.ERROR
    assert "never executed" in judgement.rules[1].message
    assert judgement.exit_code == EXIT_HARNESS
    assert judgement.verdict is Verdict.INDETERMINATE


@pytest.mark.parametrize("extra", [finding("WMK-001"), finding("WMK-001", name="stranger"), finding("WMK-004")])
def test_a_result_twice_or_without_a_plan_is_an_error_of_the_suite(extra):
    book = small_book("WMK-001", "WMK-004")
    plan = plan_of(book, ("c", ("WMK-001",)))
    judgement = judge(book, plan, [finding("WMK-001"), extra])
    assert judgement.exit_code == EXIT_HARNESS


def test_a_broken_recommendation_does_not_make_a_runtime_non_conformant():
    recommended = next(rule.id for rule in BOOK if not rule.level.binding and rule.capability is None and rule.facet is Facet.STREAMS)
    book = small_book("WMK-001", recommended)
    plan = plan_of(book, ("c", ("WMK-001", recommended)))
    judgement = judge(book, plan, [finding("WMK-001"), finding(recommended, Outcome.FAIL)])
    assert judgement.verdict is Verdict.CONFORMANT
    assert judgement.rules[1].outcome is Outcome.FAIL


def test_a_rule_without_a_check_keeps_the_verdict_open():
    book = small_book("WMK-001", "WMK-002")
    judgement = judge(book, plan_of(book, ("c", ("WMK-001",))), [finding("WMK-001")])
    assert judgement.verdict is Verdict.INDETERMINATE
    assert judgement.counts == {Outcome.UNTESTED: 1, Outcome.PASS: 1}


def test_an_untestable_rule_is_listed_and_does_not_keep_the_verdict_open():
    book = small_book("WMK-001", "WMK-002")
    hidden = replace(book.rules[1], testability=Testability.UNTESTABLE, why="nobody can see it")
    book.rules = (book.rules[0], hidden)
    judgement = judge(book, plan_of(book, ("c", ("WMK-001",))), [finding("WMK-001")])
    assert judgement.verdict is Verdict.CONFORMANT
    assert judgement.rules[1].outcome is Outcome.UNTESTED
    assert judgement.rules[1].message == "untestable: nobody can see it"


def test_an_unclaimed_option_is_excused_and_an_unclaimed_facet_is_not():
    gated = "WMK-011"
    book = small_book("WMK-001", gated)
    judgement = judge(book, plan_of(book, ("c", ("WMK-001", gated))), [finding("WMK-001")])
    assert judgement.rules[1].outcome is Outcome.UNSUPPORTED
    assert judgement.verdict is Verdict.CONFORMANT
    other = Declaration("s", "1", 1, (FacetClaim(Facet.FLOWS),))
    registry = Registry()
    registry.checks("WMK-001", facet=Facet.STREAMS, kind="example")(check)
    book = small_book("WMK-001")
    judgement = judge(book, make_plan(book, registry, other), [])
    assert judgement.rules[0].outcome is Outcome.UNSUPPORTED
    assert judgement.verdict is Verdict.INDETERMINATE


def test_every_profile_has_a_verdict_of_its_own():
    book = small_book("WMK-001", "OWN-001")
    judgement = judge(book, plan_of(book, ("c", ("WMK-001", "OWN-001"))), [finding("WMK-001"), finding("OWN-001", Outcome.FAIL)])
    assert judgement.profiles == {"stream": Verdict.CONFORMANT, "core": Verdict.NOT_CONFORMANT}
    assert judgement.verdict is Verdict.NOT_CONFORMANT

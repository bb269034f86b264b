"""The kill matrix: every mutant is killed by a check of every rule that it breaks, and every check kills a mutant."""

from functools import cache

import pytest

from conformance.checks import Depth, all_checks
from conformance.errors import Inconclusive, NotOffered, Refused, SubjectError, Violation
from conformance.mutants import zoo
from conformance.mutants.registry import register
from conformance.rulebook import load
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session

CHECKS = tuple(all_checks())
MUTANTS = zoo.all_mutants()


@cache
def verdict(check, mutant):
    """Return the rule that a check accuses a mutant of, or None."""
    session = Session(InProcess(mutant.subject()))
    try:
        check.function(session, check.budget(Depth.QUICK, 1))
    except Violation as violation:
        return violation.rule
    except (SubjectError, Inconclusive, NotOffered, Refused):  # a mutant may also crash or refuse: that is no kill
        return None
    return None


def checks_of(rule):
    return [check for check in CHECKS if rule in check.rules]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed_by_a_check_of_every_rule_that_it_breaks(mutant):
    alive = [rule for rule in mutant.rules if not any(verdict(check, mutant) == rule for check in checks_of(rule))]
    assert alive == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_kills_a_mutant(check):
    suspects = [mutant for mutant in MUTANTS if set(check.rules) & set(mutant.rules)]
    assert any(verdict(check, mutant) in check.rules for mutant in suspects), [mutant.name for mutant in suspects]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_reference_passes_a_check_which_has_evaluated_all_its_rules(check):
    budget = check.budget(Depth.QUICK, 1)
    check.function(Session(InProcess(reference_subject())), budget)
    assert [rule for rule in check.rules if not budget.evaluations.get(rule)] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_says_in_one_sentence_what_is_wrong_with_it(mutant):
    assert mutant.summary.endswith(".")
    assert "\n" not in mutant.summary
    assert set(mutant.rules) <= {rule.id for rule in load().rules}


def test_the_zoo_is_a_door():
    session = Session(zoo.subject("last-in-first-out"))
    session.streams.open(4)
    for value in (1, 2):
        session.streams.push(value)
    assert session.streams.pop().value == 2
    assert session.declaration.name == "mutant:last-in-first-out"


@pytest.mark.parametrize(("name", "rules"), [("last-in-first-out", ("ORD-001",)), ("harmless", ())])
def test_a_mutant_without_a_name_of_its_own_or_without_a_fault_is_refused(name, rules):
    with pytest.raises(ValueError, match=name):
        register(name, *rules, summary="It does nothing.", build=ReferenceParts)

"""Budgets: the model's own laws, and the reading that a subject may declare."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.checks import Depth, all_checks
from conformance.errors import Violation
from conformance.models.budgets import BudgetModel, Holding
from conformance.mutants import zoo
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session

CHECKS = {check.name: check for check in all_checks()}
OWNERS = ("host", "component-1", "component-2")


def run(name, subject):
    check = CHECKS[name]
    budget = check.budget(Depth.QUICK, 1)
    check.function(Session(InProcess(subject)), budget)
    return budget


@given(st.lists(st.tuples(st.sampled_from(OWNERS), st.sampled_from((256, 4096)), st.sampled_from(OWNERS))))
@settings(max_examples=50)
def test_nobody_owns_more_than_fits(moves):
    model = BudgetModel(4096)
    for number, (owner, capacity, target) in enumerate(moves):
        if model.fits(owner, capacity):
            model.held[str(number)] = Holding(owner, capacity, 1)
        for one in model.held.values():
            if one.owner == owner != target and model.fits(target, one.capacity):
                one.owner = target
                break
        assert all(model.used(party) <= 4096 for party in OWNERS[1:])
    model.reclaimed("component-1")
    assert model.used("component-1") == 0
    model.flow_released(1)
    assert model.held == {}


def test_exactly_the_limit_fits():
    model = BudgetModel(512)
    model.held["b0"] = Holding("component-1", 256, 1)
    assert model.fits("component-1", 256)
    assert not model.fits("component-1", 257)
    assert model.fits("host", 2**40)


def test_a_subject_may_declare_that_strangers_are_unlimited():
    mutant = zoo.MUTANTS["strangers-are-free"].subject()
    with pytest.raises(Violation, match="BUDGET-009"):
        run("strangers-have-the-default", mutant)
    declared = replace(mutant, capabilities={**mutant.capabilities, Facet.RESOURCES: ("unregistered=unlimited",)})
    assert run("strangers-have-the-default", declared).evaluations["BUDGET-009"]


def test_who_declares_no_limit_for_strangers_is_asked_for_the_default_of_the_registered():
    subject = reference_subject()
    declared = replace(subject, capabilities={**subject.capabilities, Facet.RESOURCES: ("unregistered=unlimited",)})
    assert run("the-default-is-64-mib", declared).evaluations["BUDGET-008"]
    with pytest.raises(Violation, match="BUDGET-009"):  # it has declared to be unlimited, and is not
        run("strangers-have-the-default", declared)


def test_subjects_that_cannot_clone_are_judged_by_the_rest():
    subject = replace(reference_subject(), unsupported={"resources.clone": "no"})
    assert run("every-kind-counts", subject).evaluations["BUDGET-013"]

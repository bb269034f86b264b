import subprocess
import sys

import pytest

from conformance.checks import Depth, Registry
from conformance.errors import SuiteError
from conformance.plan import make_plan
from conformance.subjects.protocol import Declaration, Facet, FacetClaim
from conformance.verdict import Outcome

SUBJECT = Declaration("s", "1", 1, (FacetClaim(Facet.STREAMS), FacetClaim(Facet.FLOWS, capabilities=("consumer_first",))))


def check(subject, budget):
    """Do nothing."""


@pytest.fixture
def registry():
    registry = Registry()
    registry.checks("WMK-001", "WMK-002", facet=Facet.STREAMS, kind="machine", name="marks")(check)
    registry.checks("WMK-001", facet=Facet.FLOWS, kind="monitor", name="a-trace")(check)
    registry.checks("OWN-001", facet=Facet.RESOURCES, kind="machine", name="owners")(check)
    registry.checks("WMK-011", facet=Facet.STREAMS, kind="example", name="cycles")(check)
    registry.checks("WMK-012", facet=Facet.STREAMS, requires=("time_travel",), kind="example", name="travels")(check)
    return registry


def test_a_plan_speaks_of_every_rule_exactly_where_it_belongs(rulebook, registry):
    plan = make_plan(rulebook, registry, SUBJECT)
    assert [item.id for item in plan.items] == ["WMK-001::a-trace", "WMK-011::cycles", "WMK-001::marks", "WMK-002::marks"]
    assert {item.rule for item in plan.items} | {each.rule for each in plan.declined} == {rule.id for rule in rulebook}
    declined = {each.rule: each for each in plan.declined}
    assert declined["OWN-001"].outcome is Outcome.UNSUPPORTED
    assert declined["OWN-001"].reason == "the subject does not claim the facet resources"
    assert declined["WMK-012"].reason == "the subject does not claim time_travel"
    assert declined["WMK-003"].outcome is Outcome.UNTESTED


def test_the_subjects_own_reason_for_leaving_out_a_facet_is_passed_on(rulebook, registry):
    subject = Declaration("s", "1", 1, (FacetClaim(Facet.STREAMS),), unsupported={"resources": "no buffers in this runtime"})
    declined = {each.rule: each for each in make_plan(rulebook, registry, subject).declined}
    assert declined["OWN-001"].reason.endswith("resources: no buffers in this runtime")


def test_a_selection_leaves_the_rest_untested(rulebook, registry):
    plan = make_plan(rulebook, registry, SUBJECT, selection=["wmk-00*", "OWN"])
    assert {item.rule for item in plan.items} == {"WMK-001", "WMK-002"}
    declined = {each.rule: each for each in plan.declined}
    assert declined["CREDIT-001"].reason == "not selected"
    assert declined["OWN-001"].outcome is Outcome.UNSUPPORTED


def test_a_selection_of_nothing_names_what_was_meant(rulebook, registry):
    with pytest.raises(SuiteError, match="did you mean WMK-0"):
        make_plan(rulebook, registry, SUBJECT, selection=["WMK-0011"])


def test_the_digest_is_the_same_for_the_same_plan_in_another_process(rulebook, registry):
    program = """
from conformance.checks import Registry
from conformance.plan import make_plan
from conformance.rulebook import load
from conformance.subjects.protocol import *
def check(subject, budget):
    "Do nothing."
registry = Registry()
registry.checks("WMK-001", facet=Facet.STREAMS, kind="machine", name="marks")(check)
registry.checks("OWN-001", facet=Facet.RESOURCES, kind="machine", name="owners")(check)
print(make_plan(load(), registry, Declaration("s", "1", 1, (FacetClaim(Facet.STREAMS, 1, ("b", "a")),)), seed=3).digest)
"""
    runs = {subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout for _ in range(2)}
    assert len(runs) == 1
    assert runs.pop().startswith("sha256:")


def test_the_order_of_registration_does_not_change_the_plan(rulebook):
    def build(names):
        registry = Registry()
        for name in names:
            registry.checks("WMK-001", facet=Facet.STREAMS, kind="machine", name=name)(check)
        return make_plan(rulebook, registry, SUBJECT).digest

    assert build(["a", "b", "c"]) == build(["c", "a", "b"])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"depth": Depth.DEEP},
        {"selection": ["WMK"]},
        {"subject": Declaration("s", "2", 1, SUBJECT.facets)},
        {"subject": Declaration("s", "1", 1, (FacetClaim(Facet.STREAMS),))},
    ],
)
def test_any_change_of_what_will_be_done_changes_the_digest(rulebook, registry, change):
    before = make_plan(rulebook, registry, SUBJECT).digest
    change = dict(change)
    assert make_plan(rulebook, registry, change.pop("subject", SUBJECT), **change).digest != before


def test_another_check_changes_the_digest(rulebook, registry):
    before = make_plan(rulebook, registry, SUBJECT).digest
    registry.checks("WMK-003", facet=Facet.STREAMS, kind="example", name="new")(check)
    assert make_plan(rulebook, registry, SUBJECT).digest != before

"""The checks as a whole: which rules they cover, and that nothing in them depends on anything but the seed."""

import json

import pytest

from conformance.areas import lifecycle, ownership, watermarks
from conformance.checks import Depth, all_checks
from conformance.mutants.zoo import all_mutants
from conformance.rulebook import Capability
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session

CHECKS = {check.name: check for check in all_checks()}

REQUIRED = [
    *(f"OWN-{n:03}" for n in range(1, 18)),
    *(f"CREDIT-{n:03}" for n in range(1, 9)),
    *(f"WMK-{n:03}" for n in range(1, 6)),
    *(f"POLICY-{n:03}" for n in range(2, 7)),
    *(f"FLOW-{n:03}" for n in range(1, 11)),
    *(f"ORD-{n:03}" for n in range(1, 6)),
    "SCHED-001",
    "SCHED-002",
    "CANCEL-015",
]
UNIVERSAL = ["FLOW-001", "FLOW-002", "FLOW-004", "CREDIT-004", "WMK-005", "WMK-012", "POLICY-008", "SCHED-001", "ORD-001", "ORD-003"]


def session():
    return Session(InProcess(reference_subject()))


@pytest.mark.parametrize("rule", [*REQUIRED, *UNIVERSAL, "ORD-008", "ORD-011", "POLICY-001"])
def test_a_rule_has_a_check_and_a_mutant_that_breaks_it(rule):
    assert [check.name for check in CHECKS.values() if rule in check.rules]
    assert [mutant.name for mutant in all_mutants() if rule in mutant.rules]


@pytest.mark.parametrize("name", ["owners-only", "credits-and-depth", "completion-travels", "the-runtime-numbers"])
def test_a_check_does_the_same_for_the_same_seed_and_something_else_for_another(name):
    counts = []
    for seed in (7, 7, 8):
        budget = CHECKS[name].budget(Depth.QUICK, seed)
        CHECKS[name].function(session(), budget)
        counts.append(budget.evaluations)
    assert counts[0] == counts[1]
    assert counts[0] != counts[2]


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
def test_a_check_that_needs_a_claim_asks_for_it(check):
    assert set(check.requires) <= {
        *Capability,
        "audit",
        "by-hand",
        "flows",
        "shutdown_meanwhile",
        "signals",
        "stream_defaults",
        "virtual_clock",
    }
    assert check.summary.endswith(".")


@pytest.mark.parametrize("story", [*ownership.STORIES, *watermarks.STORIES])
def test_a_story_is_plain_data(story):
    assert json.loads(json.dumps(story)) == [dict(step) for step in story]


@pytest.mark.parametrize("spec", lifecycle.ALL)
def test_a_directed_flow_runs_on_the_reference(spec):
    assert session().flows.run(spec).trace

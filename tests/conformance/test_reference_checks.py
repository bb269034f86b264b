"""Every check of the suite against the reference, which keeps every rule: a check that is wrong shows here."""

import pytest

from conformance.checks import Depth, all_checks
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session


@pytest.mark.judged
@pytest.mark.parametrize("check", tuple(all_checks()), ids=lambda check: check.name)
def test_the_reference_passes_a_check_which_has_evaluated_all_its_rules(check):
    budget = check.budget(Depth.QUICK, 1)
    check.function(Session(InProcess(reference_subject())), budget)
    assert [rule for rule in check.rules if not budget.evaluations.get(rule)] == []

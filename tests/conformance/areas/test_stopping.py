"""Checks of stopping accept every runtime that the rules allow."""

import pytest

from conformance.checks import all_checks
from conformance.execute import run_check
from conformance.mutants.faulty_endings import DrainsAsSourcesEnd
from conformance.subjects.connect import Connection, Door
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, reference_subject


@pytest.mark.parametrize("check", ["a-loss-is-no-completion", "a-drain-stops-at-its-timeout"])
def test_a_runtime_may_drain_as_its_sources_end(check):
    door = Door("early", lambda: InProcess(reference_subject(ReferenceParts(driver=DrainsAsSourcesEnd))), in_process=True)
    connection = Connection(door)
    try:
        result = run_check(all_checks().get(check), connection)
    finally:
        connection.close()
    assert {(finding.outcome, finding.message) for finding in result.findings} == {("pass", "")}

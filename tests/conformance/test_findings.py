"""Findings: a page of failures and hand-checked causes, which is complete or says what is missing."""

from pathlib import Path

import msgspec
import pytest

from conformance.errors import SuiteError
from conformance.report import findings
from conformance.report.json import Failure
from conformance.rulebook import load
from conformance.verdict import Outcome

CAUSES = """
runtime = "Made up"
introduction = "A runtime that nobody has."
[[cause]]
id = "M-1"
kind = "defect"
severity = "high"
title = "The low mark is rounded up"
what = "It rounds."
where = ["queue.rs: low"]
costs = "Late resumption."
fix = "Truncate."
rules = ["WMK-004::low-marks", "WMK-002"]
"""


class Run(msgspec.Struct):
    failures: tuple[Failure, ...]


def failure(rule, check):
    return Failure(rule=rule, check=check, outcome=Outcome.FAIL, text="", consequence="", message="it does not")


@pytest.fixture
def causes(tmp_path):
    path = tmp_path / "causes.toml"
    path.write_text(CAUSES)
    return findings.read(path)


def test_a_page_is_complete_when_every_failure_has_one_cause(causes):
    run = Run((failure("WMK-004", "low-marks"), failure("WMK-002", "off-at-the-low-mark")))
    assert findings.problems(causes, {"debug": run}) == []


def test_a_failure_without_a_cause_and_a_cause_without_a_failure_are_said(causes):
    run = Run((failure("WMK-004", "low-marks-drawn"), failure("WMK-002", "off-at-the-low-mark")))
    assert findings.problems(causes, {"debug": run}) == [
        "M-1: WMK-004::low-marks no longer fails",
        "WMK-004::low-marks-drawn fails and has no checked cause",
    ]


def test_what_is_no_list_of_causes_is_refused(tmp_path):
    path = tmp_path / "causes.toml"
    path.write_text("cause = 7")
    with pytest.raises(SuiteError, match="no list of causes"):
        findings.read(path)
    with pytest.raises(SuiteError, match="no list of causes"):
        findings.read(tmp_path / "nothing.toml")


def test_the_causes_of_the_rust_crates_name_rules_that_exist():

    causes = findings.read(Path(__file__).parents[2] / "adapters" / "torvyn-rust" / "causes.toml")
    known = {rule.id for rule in load().rules}
    assert {name.partition("::")[0] for cause in causes.cause for name in cause.rules} <= known
    ids = [cause.id for cause in (*causes.cause, *causes.unseen)]
    assert len(ids) == len(set(ids))

"""Findings: a page of failures and hand-checked causes, which is complete or says what is missing."""

from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from conformance import known
from conformance.cli import call
from conformance.errors import SuiteError
from conformance.report import findings
from conformance.report.json import Failure
from conformance.rulebook import load
from conformance.verdict import Outcome

CAUSES = """
runtime = "Made up"
introduction = "A runtime that nobody has."
checked = 2026-11-01
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


def failure(rule, check, trace=""):
    return Failure(rule=rule, check=check, outcome=Outcome.FAIL, text="", consequence="", message="it does not", trace=trace)


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


def test_a_list_of_known_failures_leads_to_the_page(causes, tmp_path):
    run = Run((failure("WMK-004", "low-marks"), failure("WMK-002", "off-at-the-low-mark")))
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists" / "known.toml"
    listed.write_text(findings.known_failures(causes, run, "../page.md"))
    with pytest.raises(SuiteError, match="an anchor of a page that is there"):
        known.read(listed)
    (tmp_path / "page.md").write_text('<a id="m-1"></a>')
    entries = known.read(listed).failure
    assert {entry.item for entry in entries} == {("WMK-004", "low-marks"), ("WMK-002", "off-at-the-low-mark")}
    assert {(entry.issue, entry.expires) for entry in entries} == {("../page.md#m-1", date(2026, 11, 1) + timedelta(days=findings.DAYS))}


def test_small_traces_are_kept_and_those_of_a_run_before_go(causes, tmp_path):
    small, large = tmp_path / "WMK-004.low-marks.jsonl", tmp_path / "WMK-002.off-at-the-low-mark.jsonl"
    small.write_bytes(b"{}")
    large.write_bytes(b" " * (findings.LARGEST_TRACE + 1))
    run = Run((failure("WMK-004", "low-marks", trace=str(small)), failure("WMK-002", "off-at-the-low-mark", trace=str(large))))
    assert findings.traces_of({"debug": run}) == {small.name: b"{}"}
    large.unlink()
    with pytest.raises(SuiteError, match="cannot be read"):
        findings.traces_of({"debug": run})


REAL = """
runtime = "A mutant"
introduction = "It was made to be found."
checked = 2026-11-01
[[cause]]
id = "M-1"
kind = "defect"
severity = "high"
title = "Last in, first out"
what = "The queue is a stack."
where = ["queue.py: pop"]
costs = "Order."
fix = "Take from the other end."
rules = ["ORD-001"]
"""


def test_a_run_becomes_a_page_with_traces_and_a_list_that_a_run_accepts(tmp_path):
    causes = tmp_path / "causes.toml"
    causes.write_text(REAL)
    judged = ["run", "--subject", "mutant:last-in-first-out", "--rules", "ORD-001"]
    assert call([*judged, "--traces", str(tmp_path / "run"), "--report", str(tmp_path / "run.json")]) == 1
    made = ["findings", f"only={tmp_path / 'run.json'}", "--causes", str(causes), "--as", "mutant:{build}"]
    kept, listed, page = tmp_path / "page", tmp_path / "known-{build}.toml", tmp_path / "page.md"
    kept.mkdir()
    (kept / "ORD-001.gone.jsonl").write_text("")
    assert call([*made, "--traces", str(kept), "--known-failures", str(listed), "--output", str(page)]) == 0
    traces = sorted(path.name for path in kept.iterdir())
    assert traces == ["ORD-001.first-in-first-out-end-to-end.jsonl", "ORD-001.first-in-first-out.jsonl"]
    assert all(f"(page/{name})" in page.read_text() for name in traces)
    assert "--subject 'mutant:only' --rules ORD-001" in page.read_text()
    assert call([*judged, "--known-failures", str(tmp_path / "known-only.toml")]) == 2  # nothing new; the rest was not run


def test_traces_and_lists_without_a_page_are_wrong_usage(tmp_path, capsys):
    (tmp_path / "causes.toml").write_text(REAL)
    made = ["findings", f"only={tmp_path / 'run.json'}", "--causes", str(tmp_path / "causes.toml"), "--as", "x"]
    for option in ("--traces", "--known-failures"):
        assert call([*made, option, str(tmp_path / "there")]) == 4
        assert "need --output" in capsys.readouterr().err


def test_what_is_no_list_of_causes_is_refused(tmp_path):
    path = tmp_path / "causes.toml"
    path.write_text("cause = 7")
    with pytest.raises(SuiteError, match="no list of causes"):
        findings.read(path)
    with pytest.raises(SuiteError, match="no list of causes"):
        findings.read(tmp_path / "nothing.toml")


def test_the_causes_of_the_rust_crates_name_rules_that_exist():

    causes = findings.read(Path(__file__).parents[2] / "adapters" / "torvyn-rust" / "causes.toml")
    rules = {rule.id for rule in load().rules}
    assert {name.partition("::")[0] for cause in causes.cause for name in cause.rules} <= rules
    ids = [cause.id for cause in (*causes.cause, *causes.unseen)]
    assert len(ids) == len(set(ids))

"""The links from decisions to code: that they hold, and that a broken one is found."""

import json

import msgspec
import pytest

from conformance import cli, traceability
from conformance.checks import Check, Registry, all_checks
from conformance.report.rules import mutants_by_rule
from conformance.rulebook import load
from conformance.subjects.protocol import Facet


@pytest.fixture(scope="module")
def matrix():
    return traceability.build(load(), all_checks(), mutants_by_rule())


def registry(*rules):
    made = Registry()
    made.add(Check("made-up", rules, Facet.STREAMS, "table", lambda _session, _budget: None, summary="It is made up."))
    return made


def test_every_link_of_ours_holds_in_both_directions(matrix):
    assert matrix.problems == ()


def test_every_rule_is_in_the_matrix_in_exactly_one_state(matrix):
    assert [rule.id for rule in matrix.rules] == [rule.id for rule in load()]
    assert sum(matrix.counts.values()) == len(load())
    assert matrix.counts["checked"] == 0, "what is checked is proven"
    for rule in matrix.rules:
        assert bool(rule.checks) == (rule.state in {"proven", "checked"})
        assert rule.sources


def test_a_check_without_mutant_or_code_is_an_orphan():
    made = traceability.build(load(), registry("CLI-001"), {})
    assert any("CLI-001 has a check (made-up) and no mutant" in each for each in made.orphans)


def test_a_mutant_without_a_check_is_an_orphan():
    made = traceability.build(load(), registry("WMK-001"), {"CLI-001": ("lazy",), "WMK-001": ("m",)})
    assert any("CLI-001 has mutants (lazy) and no check" in each for each in made.orphans)


def test_unknown_rules_are_stale_wherever_they_are_named():
    made = traceability.build(load(), registry("WMK-999"), {"OWN-999": ("lost",)})
    assert any("the check made-up names WMK-999" in each for each in made.stale)
    assert any("the mutants lost break OWN-999" in each for each in made.stale)


def test_a_rule_id_in_code_is_found_with_its_scope_and_ranges_are_whole(tmp_path):
    package = tmp_path / "runtime"
    package.mkdir()
    (package / "a.py").write_text(
        '"""Streams (WMK-001..WMK-003)."""\nclass Gate:\n    def on(self):\n        """Go on (WMK-004), and WMK-777."""\n'
    )
    found = traceability.scan(package)
    assert set(found) == {"WMK-001", "WMK-002", "WMK-003", "WMK-004", "WMK-777"}
    assert [(anchor.file, anchor.line, anchor.where) for anchor in found["WMK-004"]] == [("runtime/a.py", 4, "Gate.on")]
    assert found["WMK-002"][0].where == ""


@pytest.mark.parametrize(("place", "stale"), [("a.py#def on", 0), ("a.py#def off", 1), ("gone.py#def on", 1), ("a.py", 1)])
def test_an_anchor_whose_text_is_gone_is_stale(tmp_path, place, stale):
    (tmp_path / "a.py").write_text("class Gate:\n    def on(self): ...\n")
    table = tmp_path / "anchors.toml"
    table.write_text(f'WMK-001 = ["{place}"]\n')
    found, problems = traceability.kept(table, tmp_path)
    assert len(problems) == stale
    assert found["WMK-001"][0].line == (2 if not stale else 0)


def test_an_anchor_of_a_rule_that_does_not_exist_is_stale(monkeypatch):
    real = traceability.code_anchors()
    extra = {**real, "WMK-777": (traceability.Anchor(file="torvyn_ref/x.py", line=1, where=""),)}
    monkeypatch.setattr(traceability, "code_anchors", lambda: extra)
    made = traceability.build(load(), all_checks(), mutants_by_rule())
    assert made.stale == ("torvyn_ref/x.py: names WMK-777, which the rulebook does not have",)


def test_a_scan_that_finds_nearly_nothing_is_no_success(monkeypatch):
    monkeypatch.setattr(traceability, "code_anchors", dict)
    made = traceability.build(load(), all_checks(), mutants_by_rule())
    assert any("the scan of" in each for each in made.stale)


def test_decisions_and_rules_must_name_each_other(monkeypatch):
    real = dict(traceability.decisions())
    real[15] = (*real[15][1:], "CLI-001", "WMK-999")
    dropped = traceability.decisions()[15][0]
    monkeypatch.setattr(traceability, "decisions", lambda: real)
    made = traceability.build(load(), all_checks(), mutants_by_rule())
    assert f"{dropped} names ADR-015, which does not name it back" in made.stale
    assert "ADR-015 names CLI-001, which does not name it back" in made.stale
    assert "ADR-015 names WMK-999, which the rulebook does not have" in made.stale


def test_the_command_shows_some_rules_and_checks_all_links(capsys, monkeypatch):
    assert cli.call(["trace-matrix", "--rules", "WMK-004"]) == 0
    out = capsys.readouterr().out
    assert "low-marks" in out
    assert "torvyn_ref/streams/watermark.py" in out
    assert "every link holds" in out
    monkeypatch.setattr(traceability, "decisions", lambda: {15: ("WMK-999",)})
    assert cli.call(["trace-matrix", "--rules", "CLI-001", "--format", "json"]) == 1
    made = msgspec.convert(json.loads(capsys.readouterr().out), traceability.TraceMatrix)
    assert [rule.id for rule in made.rules] == ["CLI-001"]
    assert made.stale

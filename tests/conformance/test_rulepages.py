"""The pages of the rules are current, and say what a reader of a failure needs."""

import re
from pathlib import Path

import msgspec
import pytest

from conformance.checks import all_checks
from conformance.mutants.registry import MUTANTS
from conformance.mutants.zoo import all_mutants
from conformance.report import rulepages
from conformance.report.rules import explain, failures
from conformance.rulebook import Area, load

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#]+)")


@pytest.fixture(scope="module")
def pages():
    return rulepages.pages(load(), all_checks())


def test_the_pages_are_current(pages):
    folder = ROOT / "docs" / "rules"
    assert sorted(path.name for path in folder.glob("*.md")) == sorted(pages)
    stale = [name for name, text in pages.items() if (folder / name).read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def test_every_rule_has_its_place_and_its_anchor(pages):
    for area in Area:
        text = pages[f"{area.lower()}.md"]
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [rule.id for rule in load().by_area(area)]


def test_every_link_leads_somewhere(pages):
    for text in pages.values():
        for target in LINK.findall(text):
            assert (ROOT / "docs" / "rules" / target).exists(), target


def test_a_page_says_all_that_a_reader_of_a_failure_needs(pages):
    section = pages["wmk.md"].partition("## WMK-004\n")[2].partition("\n## ")[0]
    for words in ("Why it matters", "Source", "How it is checked", "low-marks", "What its failure looks like", "If this fails, look at"):
        assert words in section
    assert "torvyn_ref/streams/watermark.py" in section
    assert "The low mark is rounded up." in section


def test_a_failure_that_was_kept_is_one_of_this_suite():
    all_mutants()
    checks = {check.name: check for check in all_checks()}
    for rule, sample in failures().items():
        assert sample.rule == rule
        assert rule in checks[sample.check].rules
        assert rule in MUTANTS[sample.mutant].rules
        assert sample.message


def test_an_explanation_has_the_same():
    explained = explain(load(), all_checks(), load().get("WMK-004"))
    assert explained.failure is not None
    assert explained.failure.rule == "WMK-004"
    assert any("watermark.py" in place for place in explained.code)
    assert "The low mark is rounded up." in explained.faults


def test_the_first_accusation_of_each_rule_is_kept():
    kill = {"rule": "WMK-004", "check": "c", "message": "first", "expected": "1", "found": "2"}
    later = {**kill, "message": "second"}
    matrix = {"mutants": [{"name": "a", "kills": [kill]}, {"name": "b", "kills": [later]}]}
    kept = msgspec.json.decode(rulepages.keep(msgspec.json.encode(matrix)))
    assert kept == {"WMK-004": {"mutant": "a", **kill}}

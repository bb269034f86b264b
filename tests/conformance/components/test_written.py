"""A validation as SARIF, as a page and as text: complete, and harmless whatever a component says."""

import json
import re

import msgspec
import pytest

from conformance.components.examine import FOCUS
from conformance.components.result import Finding
from conformance.components.text import render
from conformance.components.written import anchor, component_html, component_sarif
from tests.conformance.components.conftest import CORPUS

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def report(validated):
    return validated("leak-borrow", checks=("binary", "elements"))


@pytest.fixture
def hostile(report):
    finding = msgspec.structs.replace(report.findings[0], message=HOSTILE, found=HOSTILE, where=HOSTILE)
    facts = msgspec.structs.replace(report.components[0].facts, imports=(HOSTILE,), producers=(HOSTILE,))
    component = msgspec.structs.replace(report.components[0], component=HOSTILE, findings=(finding,), facts=facts)
    return msgspec.structs.replace(report, target=HOSTILE, findings=(finding,), components=(component,), reasons=(HOSTILE,))


def test_sarif_has_a_result_with_rule_place_and_the_line_that_repeats_it(report):
    (run,) = json.loads(component_sarif(report))["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"], result["kind"]) == ("OWN-021", "error", "fail")
    assert run["tool"]["driver"]["rules"][0]["id"] == "OWN-021"
    assert "--steps" in result["properties"]["reproduce"]
    assert run["properties"]["verdict"] == "not-conformant"


def test_a_disagreement_of_engines_is_open_and_a_warning_is_none_for_sarif(report):
    disagreeing = msgspec.structs.replace(report.findings[0], rule="engines-disagree", title="", text="")
    warning = msgspec.structs.replace(report.findings[0], level="warning")
    (run,) = json.loads(component_sarif(msgspec.structs.replace(report, findings=(disagreeing, warning))))["runs"]
    assert [(result["ruleId"], result["kind"], result["level"]) for result in run["results"]] == [
        ("engines-disagree", "open", "none"),
        ("OWN-021", "fail", "warning"),
    ]


def test_a_finding_is_shown_at_the_file_as_seen_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(CORPUS)
    assert anchor("components/uppercase.wasm").path == "components/uppercase.wasm"
    assert anchor("flows/router").path == "flows/router/Torvyn.toml"
    assert anchor(str(tmp_path / "x.wasm")).path == "x.wasm"


def test_the_page_has_everything_and_runs_nothing_of_the_components(hostile):
    page = component_html(hostile).decode()
    assert "Not conformant" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page
    for name in ("binary", "elements"):
        assert f'<th scope="row">{name}</th>' in page


def test_text_cannot_steer_a_terminal(hostile):
    assert "\x1b" not in render(hostile)
    assert "\u202e" not in render(hostile)


def test_every_kind_that_can_be_found_is_in_the_documentation():
    documented = (CORPUS.parent / "docs/component-validation.md").read_text()
    source = "".join(
        (CORPUS.parent / f"conformance/components/{name}.py").read_text() for name in ("diagnose", "laws", "static", "examine")
    )
    rules = {rule for _, rules in FOCUS.values() for rule in rules}
    kinds = set(re.findall(r'"[A-Z]+-[0-9]{3}",\s*"([a-z][a-z-]+)"', source)) | set(re.findall(r'"(engines-disagree)"', source))
    assert len(kinds) > 30
    assert rules
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in documented] == []
    for check in FOCUS:
        assert f"| `{check}` |" in documented


def test_a_finding_says_the_same_in_every_format(report):
    finding = report.findings[0]
    assert isinstance(finding, Finding)
    shown = (render(report), component_html(report).decode().replace("&#39;", "'").replace("&#34;", '"'))
    for text in shown:
        assert finding.message in text
        assert finding.reproduce in text

"""Every well-behaved component of the corpus is conformant, every misbehaving one is flagged with its rule: on both engines."""

import pytest

from tests.conformance.components.conftest import CATALOGUE

ENGINES = ("direct", "stock")
WELL = [entry["name"] for entry in CATALOGUE if entry["behaviour"] == "well-behaved"]
MIS = [entry for entry in CATALOGUE if entry["behaviour"] == "misbehaving"]
OPTIONS = {"wrong-port": {"ports": ["default"]}}


@pytest.mark.parametrize("name", [name for name in WELL if name != "init-fails"])
def test_a_well_behaved_component_is_conformant(validated, name):
    report = validated(name)
    assert not report.findings
    assert (report.verdict, report.exit_code, report.reasons) == ("conformant", 0, ())


def test_a_component_that_no_element_can_reach_is_never_called_conformant(validated):
    report = validated("init-fails")
    assert not report.findings
    assert (report.verdict, report.exit_code) == ("indeterminate", 2)
    assert "give it a configuration that it accepts" in report.reasons[0]


@pytest.mark.parametrize("entry", MIS, ids=[entry["name"] for entry in MIS])
def test_a_misbehaving_component_is_flagged_with_its_rule_on_both_engines(validated, entry):
    report = validated(entry["name"], target=OPTIONS.get(entry["name"]))
    findings = [finding for finding in report.findings if finding.rule in entry["breaks"]]
    assert findings, report.findings
    assert all(finding.engines == ENGINES or finding.kind in {"memory-grows", "fuel-grows"} for finding in findings)
    assert "engines-disagree" not in {finding.rule for finding in report.findings}
    finding = findings[0]
    assert finding.text
    assert finding.explain.endswith(finding.rule)
    assert finding.input
    assert f"{entry['name']}.wasm" in finding.reproduce
    if finding.level == "error":
        assert (report.verdict, report.exit_code) == ("not-conformant", 1)

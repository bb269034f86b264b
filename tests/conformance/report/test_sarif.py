import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from conformance.claims import Claim, ClaimFinding
from conformance.errors import SuiteError
from conformance.report.sarif import Anchor, SarifFinding, SarifRule, rule_anchor, run_findings, sarif
from conformance.rulebook import load
from conformance.verdict import Outcome

ROOT = Path(__file__).parents[3]


def run_of(data):
    log = json.loads(data)
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    return log["runs"][0]


def one(rule_level="MUST", severity="data-loss", outcome=Outcome.FAIL, **fields):
    rule = SarifRule(id="X-001", title="t", text="words", consequence="c", level=rule_level, severity=severity)
    finding = SarifFinding(
        rule="X-001", outcome=outcome, message="m", where=Anchor("Torvyn.toml"), identity=("check",), subject="s", **fields
    )
    return run_of(sarif([rule], [finding], version="1", category="component/x"))


def test_failures_are_results_with_stable_ids_and_places(report):
    run = run_of(run_findings(report))
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert {result["ruleId"] for result in run["results"]} == {"WMK-002", "WMK-003", "CREDIT-001", "CREDIT-002", "CREDIT-003"}
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        line = (ROOT / place["artifactLocation"]["uri"]).read_text().split("\n")[place["region"]["startLine"] - 1]
        assert line == f'id = "{result["ruleId"]}"', "the anchor is the rule's entry in the rulebook"


def test_a_defect_of_the_suite_is_no_result_but_an_unsuccessful_invocation(report):
    run = run_of(run_findings(report))
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert [note["associatedRule"]["id"] for note in invocation["toolExecutionNotifications"]] == ["OWN-001"]


def test_a_finding_keeps_its_fingerprint_while_its_words_change(make_report):
    def prints(report):
        return {result["ruleId"]: result["partialFingerprints"] for result in run_of(run_findings(report))["results"]}

    before = make_report()
    after = replace(before, failures=tuple(replace(failure, message="other words", evidence=None) for failure in before.failures))
    assert prints(before) == prints(after)
    assert prints(before) != prints(make_report(text="someone else"))
    assert len({json.dumps(each) for each in prints(before).values()}) == len(prints(before))


@pytest.mark.parametrize(
    ("level", "severity", "wanted"),
    [
        ("MUST", "data-loss", "error"),
        ("MUST NOT", "isolation", "error"),
        ("MUST", "performance", "warning"),
        ("MUST", "diagnosis", "warning"),
        ("SHOULD", "data-loss", "warning"),
        ("MAY", "data-loss", "note"),
    ],
)
def test_the_consequence_decides_the_level(level, severity, wanted):
    run = one(level, severity)
    assert run["results"][0]["level"] == wanted
    properties = run["tool"]["driver"]["rules"][0]["properties"]
    assert ("security-severity" in properties) == (severity == "isolation")


def test_what_was_not_decided_is_open_and_not_a_failure():
    (result,) = one(outcome=Outcome.INCONCLUSIVE)["results"]
    assert (result["kind"], result["level"]) == ("open", "none")


def test_a_known_failure_is_suppressed_with_its_reason():
    (result,) = one(outcome=Outcome.XFAIL, accepted="issue 7, until June")["results"]
    assert result["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "issue 7, until June"}]


def test_findings_can_be_shown_at_a_place_of_the_users_own(report):
    run = run_of(run_findings(report, Anchor.parse("src/adapter.rs:12")))
    places = {json.dumps(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) for result in run["results"]}
    assert places == {'"src/adapter.rs"'}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "C:\\x", "file:x", "a\\b", "x:0", "https://x/y"])
def test_an_anchor_outside_the_repository_is_refused(path):
    with pytest.raises(SuiteError, match="anchor"):
        Anchor.parse(path)


def test_every_rule_has_its_line():
    book = load()
    assert all(rule_anchor(rule.id).line > 1 for rule in book.rules)
    assert rule_anchor("../../x-1").path == "conformance/rulebook.py"


def test_claims_that_do_not_hold_are_results_with_rules_of_their_own(report):
    claims = tuple(ClaimFinding(kind=kind, operation="streams.push", message="x") for kind in Claim)
    run = run_of(run_findings(replace(report, claims=claims)))
    ids = {result["ruleId"] for result in run["results"]}
    assert {f"claims/{kind}" for kind in Claim} <= ids
    assert {"claims/over-claim"} < {rule["id"] for rule in run["tool"]["driver"]["rules"]}


def test_hostile_words_are_data(hostile_report):
    run = run_of(run_findings(hostile_report))
    assert "\\x1b[2J" in run["results"][0]["message"]["text"]

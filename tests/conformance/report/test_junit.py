from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from conformance.claims import Claim, ClaimFinding
from conformance.report.junit import junit
from conformance.verdict import Outcome


def cases(data):
    root = ET.fromstring(data)
    found = {}
    for case in root.iter("testcase"):
        facts = {each.get("name"): each.get("value") for each in case.iter("property")}
        found[facts["rule"]] = (case, facts)
    return root, found


@pytest.mark.parametrize(
    ("rule", "tag", "outcome"),
    [
        ("WMK-001", None, "pass"),
        ("WMK-002", "failure", "fail"),
        ("WMK-003", "failure", "flaky"),
        ("CREDIT-001", "skipped", "inconclusive"),
        ("CREDIT-002", "failure", "timeout"),
        ("CREDIT-003", "failure", "crash"),
        ("OWN-001", "error", "error"),
        ("CAP-001", "skipped", "untested"),
    ],
)
def test_every_outcome_is_told_and_the_rule_is_a_property(report, rule, tag, outcome):
    _, found = cases(junit(report))
    case, facts = found[rule]
    assert facts["outcome"] == outcome
    told = [child.tag for child in case if child.tag != "properties"]
    assert told == ([tag] if tag else [])
    if tag == "skipped":
        assert case.find("skipped").get("message").startswith(f"{outcome}: ")


def test_no_rule_is_left_out_and_the_totals_are_those_of_the_cases(report):
    root, found = cases(junit(report))
    assert set(found) == {rule.id for rule in report.rules}
    for tag, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert len(list(root.iter(tag))) == int(root.get(total)) == sum(int(suite.get(total)) for suite in root)
    assert int(root.get("tests")) == len(list(root.iter("testcase")))


def test_a_failure_has_its_whole_explanation(report):
    _, found = cases(junit(report))
    text = found["WMK-002"][0].find("failure").text
    for words in ("expected: low mark", "streams.open", "why it matters:", "repeat with:\ntorvyn-conformance run --subject"):
        assert words in text


def test_the_time_of_a_check_is_counted_once(report):
    root, _ = cases(junit(report))
    assert sum(float(case.get("time")) for case in root.iter("testcase")) == pytest.approx(0.8)


def test_known_failures_are_skips_and_a_stale_entry_is_a_failure(report):
    known = replace(report, failures=tuple(replace(failure, outcome=Outcome.XFAIL) for failure in report.failures))
    stale = replace(report, failures=tuple(replace(failure, outcome=Outcome.XPASS) for failure in report.failures))
    assert cases(junit(known))[1]["WMK-002"][0].find("skipped").get("message").startswith("xfail: ")
    assert cases(junit(stale))[1]["WMK-002"][0].find("failure").get("type") == "xpass"


def test_a_claim_that_does_not_hold_is_a_failure(report):
    claims = (ClaimFinding(kind=Claim.OVER, operation="streams.push", message="declined"),)
    root = ET.fromstring(junit(replace(report, claims=claims)))
    assert root.find("testsuite[@name='claims']/testcase/failure").get("message") == "declined"
    assert int(root.get("failures")) == len(list(root.iter("failure")))


def test_hostile_words_are_text(hostile_report):
    _, found = cases(junit(hostile_report))  # parses, although XML has no place for half of these characters
    message = found["WMK-002"][0].find("failure").get("message")
    assert "</script><script>" in message
    assert "\\x1b[2J\\u202e\\u2028\\uffff" in message

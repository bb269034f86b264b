import json
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from conformance.claims import Claim, ClaimFinding
from conformance.report import badge
from conformance.report.json import suite_digest
from conformance.verdict import Verdict

YES, NO, OPEN = Verdict.CONFORMANT, Verdict.NOT_CONFORMANT, Verdict.INDETERMINATE
CLAIMS = (ClaimFinding(kind=Claim.OVER, operation="streams.push", message="declined"),)


def shown(report):
    data = json.loads(badge.endpoint(report))
    assert set(data) == {"schemaVersion", "label", "message", "color"}
    assert data["schemaVersion"] == 1
    return data["message"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"verdict": YES, "exit_code": 0, "profiles": {"core": YES}}, "conformant"),
        ({"verdict": YES, "exit_code": 0, "profiles": {"core": YES, "full": OPEN}}, "conformant: core"),
        ({"verdict": NO, "exit_code": 1}, "not conformant"),
        ({"verdict": OPEN, "exit_code": 2}, "2 of 477 rules shown"),
        ({"verdict": OPEN, "exit_code": 2, "profiles": {"core": YES, "full": OPEN}}, "conformant: core"),
        ({"verdict": OPEN, "exit_code": 2, "profiles": {"core": YES, "full": OPEN}, "claims": CLAIMS}, "2 of 477 rules shown"),
        ({"verdict": NO, "exit_code": 3}, "no result"),
    ],
)
def test_a_badge_says_no_more_than_the_verdict_and_names_the_suite(report, fields, words):
    changed = replace(report, **fields)
    assert shown(changed) == f"{words} · suite {suite_digest(changed)[7:15]}"


def test_the_picture_has_the_same_words_and_a_title(report):
    root = ET.fromstring(badge.svg(report))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["torvyn", "no result", suite_digest(report)[7:15]]
    assert root.get("aria-label") == root.find("{http://www.w3.org/2000/svg}title").text


def test_a_badge_cannot_be_written_by_a_profile_of_a_forged_report(report):
    forged = replace(report, exit_code=2, verdict=OPEN, profiles={"<script>alert(1)</script>": YES})
    assert b"<script>" not in badge.svg(forged)

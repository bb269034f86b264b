import json

import jsonschema
import msgspec
import pytest

from conformance.errors import SuiteError
from conformance.report import schema
from conformance.report.json import LARGEST, SCHEMA_VERSION, decode, encode, suite_digest


def test_the_published_schema_is_the_one_of_the_types():
    assert schema.FILE.read_bytes() == schema.encoded(), "make docs writes it"


def test_the_schema_is_a_schema_and_the_report_keeps_it(report):
    published = json.loads(schema.FILE.read_bytes())
    validator = jsonschema.Draft202012Validator
    validator.check_schema(published)
    validator(published).validate(json.loads(encode(report)))


@pytest.mark.parametrize(
    ("path", "value"),
    [(("verdict",), 3), (("rules", 0, "outcome"), "fine"), (("counts",), []), (("planned",), "many"), (("schema_version",), None)],
)
def test_the_schema_refuses_what_is_no_report(report, path, value):
    data = json.loads(encode(report))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json.loads(schema.FILE.read_bytes()))


def test_a_report_read_again_is_the_same(report):
    assert decode(encode(report)) == report


def test_each_item_has_its_own_outcome(report):
    (line,) = report.checks
    assert line.outcomes["WMK-002"] == "fail"
    assert line.outcomes["WMK-001"] == "pass"


def test_rules_carry_their_words_so_that_a_report_can_be_read_without_the_rulebook(report):
    rule = next(rule for rule in report.rules if rule.id == "WMK-002")
    assert rule.text.startswith("A stream MUST become Normal again")
    assert rule.severity == "availability"
    assert rule.consequence


def test_the_suite_digest_is_of_suite_and_rulebook_and_not_of_the_subject(make_report):
    one, other = make_report(), make_report(text="someone else")
    assert suite_digest(one) == suite_digest(other)
    assert suite_digest(msgspec.structs.replace(one, rulebook="sha256:1")) != suite_digest(one)
    assert suite_digest(msgspec.structs.replace(one, suite="torvyn-conformance 9")) != suite_digest(one)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no report"),
        (b"[]", "is no report"),
        (b'{"schema_version": 1}', "missing required field"),
        (b'{"schema_version": %d, "verdict": "perfect"}' % (SCHEMA_VERSION + 1), "use the suite that made it"),
        (b"\xff\xfe", "is no report"),
        (b" " * (LARGEST + 1), "more than 64 MiB"),
        (b"[" * 100_000, "is no report"),
    ],
)
def test_what_is_no_report_is_refused_in_one_message(data, words):
    with pytest.raises(SuiteError, match=words):
        decode(data, "x.json")


def test_fields_of_a_later_suite_are_no_mistake(report):
    data = json.loads(encode(report)) | {"added later": [1]}
    assert decode(json.dumps(data).encode()) == report

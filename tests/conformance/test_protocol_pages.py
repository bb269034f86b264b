"""The reference of the protocol is current, and the doctor tells whose fault a mismatch is."""

import json
import re
import shlex
import sys
from pathlib import Path

import msgspec
import pytest

from conformance import cli
from conformance.subjects import pages
from conformance.subjects import protocol as p
from conformance.subjects.samples import CONDITIONAL, EXPECTED, example_of

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = Path(__file__).parent / "subjects"


def test_the_page_and_the_schemas_are_current():
    assert (ROOT / "docs" / "protocol.md").read_text("utf-8") == pages.page(), "run `make docs`"
    for name, schema in pages.schemas().items():
        assert (ROOT / "docs" / "schemas" / name).read_bytes() == schema, "run `make docs`"


@pytest.mark.parametrize("kind", [*p.REQUESTS, *p.REPLIES], ids=p.name_of)
def test_an_example_is_what_its_type_allows_and_is_shown(kind):
    example = example_of(kind)
    encoded = msgspec.json.encode(example)
    assert msgspec.json.decode(encoded, type=kind) == example
    assert f"```json\n{encoded.decode()}\n```" in pages.page()


def test_every_request_says_what_it_is_answered_with():
    replies = {p.name_of(reply) for reply in p.REPLIES}
    assert set(EXPECTED) == {p.name_of(request) for request in p.REQUESTS}
    assert set(EXPECTED.values()) <= replies
    assert set(CONDITIONAL) <= set(EXPECTED)


def test_a_schema_names_every_message():
    for line, messages in (("request-line", p.REQUESTS), ("reply-line", p.REPLIES)):
        text = pages.schemas()[f"{line}.schema.json"].decode()
        assert [p.name_of(message) for message in messages if f'"{p.name_of(message)}"' not in text] == []
        assert json.loads(text)["$schema"] == pages.DIALECT


def test_every_field_of_every_message_has_a_row():
    text = pages.page()
    for kind in (*p.REQUESTS, *p.REPLIES):
        section = re.search(rf"\n### `{re.escape(p.name_of(kind))}`\n(.*?)(?=\n##|\Z)", text, re.DOTALL)
        assert section, p.name_of(kind)
        rows = re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE)
        assert rows == list(kind.__struct_fields__)


# ---------------------------------------------------------------- the doctor


@pytest.fixture
def doctor(capsys):
    def call(subject, *arguments):
        code = cli.call(["doctor", "--subject", subject, "--format", "json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return call


def fake(name, file="fakes.py"):
    return f"stdio:{shlex.join([sys.executable, str(SUBJECTS / file), name])}"


@pytest.mark.parametrize("subject", ["reference", fake("Honest")])
def test_a_sound_adapter_is_healthy(doctor, subject):
    code, found = doctor(subject)
    assert [step for step in found["steps"] if not step["ok"]] == []
    assert (code, found["healthy"]) == (0, True)
    asked = [step["operation"] for step in found["steps"]]
    assert asked[0] == "hello"
    assert asked[-1] == "bye"
    assert {p.name_of(request) for request in p.REQUESTS} <= set(asked)


@pytest.mark.parametrize(
    ("subject", "operation", "fault", "words"),
    [
        (fake("SkipsHalf"), "streams.pop", "the declaration", "unsupported"),
        (fake("HidesOne"), "streams.complete", "the declaration", "claim"),
        (fake("Hides"), "streams.open", "the declaration", 'claim the facet "streams"'),
        (fake("Dies"), "streams.push", "the subject", ""),
        (fake("Babbles"), "streams.push", "the adapter", "one line of standard output"),
        (fake("BabblesAtOnce"), "hello", "the adapter", "one line of standard output"),
        (fake("Confused", "characters.py"), "streams.open", "the adapter", "answer `stream`"),
        (fake("Gibberish", "characters.py"), "streams.open", "the adapter", ""),
        (fake("Misnumbers", "characters.py"), "streams.open", "the adapter", ""),
        (fake("Invents", "characters.py"), "streams.open", "the adapter", ""),
        (fake("Ancient", "characters.py"), "hello", "the adapter", ""),
    ],
)
def test_a_mismatch_is_somebodys_fault(doctor, subject, operation, fault, words):
    code, found = doctor(subject)
    step = next(step for step in found["steps"] if step["operation"] == operation and not step["ok"])
    assert (code, found["healthy"]) == (1, False)
    assert step["fault"] == fault
    assert words in step["advice"]
    assert step["said"]


def test_a_runtime_that_gives_back_something_else_is_not_the_adapters_business_alone(doctor):
    code, found = doctor(fake("Modest", "characters.py"))
    step = next(step for step in found["steps"] if step["operation"] == "streams.open, push, pop")
    assert code == 1
    assert step["fault"] == "the runtime or its adapter"


def test_a_hanging_adapter_is_left_after_the_reply_timeout(doctor):
    code, found = doctor(fake("HangsLater"), "--reply-timeout", "1")
    assert code == 1
    assert any("no answer to streams.pop within 1 s" in step["said"] and step["fault"] == "the subject" for step in found["steps"])


def test_people_read_a_line_per_message_and_a_summary(capsys):
    assert cli.call(["doctor", "--subject", fake("SkipsHalf")]) == 1
    out = capsys.readouterr().out
    assert "BAD streams.pop: declined: later\n    fault of the declaration: add" in out
    assert "2 do not fit" in out.strip().split("\n")[-1]


def test_a_command_that_cannot_be_started_is_wrong_usage(capsys):
    assert cli.call(["doctor", "--subject", "stdio:/no/such/adapter"]) == 4
    assert "cannot be started" in capsys.readouterr().err

"""What a validation says when something is in its way, and that it says the same every time."""

import base64
import json
import shlex

import msgspec
import pytest

from conformance.components.examine import CHECKS
from conformance.components.model import Scenario
from conformance.components.play import Clock
from conformance.components.steps import Step, filled, read_steps
from conformance.errors import Refused, SubjectCrashedError, SuiteError
from conformance.subjects import protocol as p
from tests.conformance.components.conftest import CORPUS

LIFE = ("life-cycle", "elements")


def without_time(report):
    return msgspec.json.encode(msgspec.structs.replace(report, seconds=0.0))


@pytest.mark.parametrize("name", ["use-after-emit", "trapping-sink"])
def test_the_same_seed_finds_the_same(validated, name):
    first, second = (validated(name, checks=("elements",), seed=7) for _ in range(2))
    assert without_time(first) == without_time(second)


def test_a_finding_has_the_smallest_input_and_can_be_seen_again(validated):
    found = next(finding for finding in validated("stash-borrow").findings if finding.rule == "OWN-021")
    assert found.input == ({"call": "process"}, {"call": "process"})
    words = shlex.split(found.reproduce)
    again = validated("stash-borrow", steps=Scenario(read_steps(words[words.index("--steps") + 1])))
    assert [(each.rule, each.kind, each.message) for each in again.findings] == [(found.rule, found.kind, found.message)]
    assert again.exit_code == 1
    assert {each["answer"]["outcome"] for each in again.components[0].played} == {"answered", "trapped"}


def test_steps_alone_never_make_a_component_conformant(validated):
    report = validated("uppercase", steps=Scenario((Step("process", b"a"),)))
    assert (report.verdict, report.findings) == ("indeterminate", ())
    assert report.reasons == (f"not asked for: {', '.join(CHECKS)}",)


def test_some_checks_alone_never_make_a_component_conformant(validated):
    report = validated("uppercase", checks=("binary",))
    assert report.verdict == "indeterminate"
    assert "elements" in report.reasons[0]


def test_a_budget_that_runs_out_is_said_in_the_verdict(validated):
    ticks = iter(range(10_000))
    report = validated("uppercase", clock=Clock(20.0, lambda: float(next(ticks))), budget_seconds=20.0)
    assert (report.verdict, report.exit_code) == ("indeterminate", 2)
    outcomes = {line.name: str(line.outcome) for line in report.components[0].checks}
    assert outcomes["engines"] == "pass"
    assert outcomes["determinism"] == "not-run"
    assert "the time budget of 20 s ran out" in report.reasons[0]


def test_a_runtime_that_dies_is_not_the_components_failure(validated, meddling):
    def die(request, answer):
        if isinstance(request, p.InvokeGuest):
            raise SubjectCrashedError("gone")
        return answer(request)

    report = validated("uppercase", connection=meddling(die))
    assert (report.verdict, report.findings) == ("indeterminate", ())
    assert "crash: the runtime, not the component, failed" in report.reasons[0]


def test_engines_that_disagree_are_the_finding(validated, meddling, invoked):
    def other(_request, reply):
        return msgspec.structs.replace(reply, value="drop", outputs=()) if reply.outcome == "answered" else reply

    report = validated("uppercase", connection=meddling(invoked(other, engine="stock")), checks=("elements",))
    assert {(finding.rule, finding.kind) for finding in report.findings} == {("engines-disagree", "engines-disagree")}
    assert report.findings[0].engines == ("direct", "stock")
    assert report.verdict == "indeterminate"
    assert report.exit_code == 2


def test_an_answer_that_changes_without_a_reason_is_the_finding(validated, meddling, invoked):
    calls = iter(range(1_000_000))

    def noisy(_request, reply):
        return msgspec.structs.replace(reply, fuel=reply.fuel + next(calls))

    report = validated("uppercase", connection=meddling(invoked(noisy)), checks=("determinism",))
    assert {(finding.rule, finding.kind) for finding in report.findings} == {("CAP-041", "not-deterministic")}
    assert report.exit_code == 1


def test_a_search_that_cannot_repeat_what_it_saw_says_so(validated, meddling, invoked):
    seen = []

    def once(request, reply):
        if request.call == "process" and reply.outcome == "answered" and len(request.payload) < 3 and not seen:
            seen.append(request)
            return p.GuestInvokedReply("trapped", kind="fatal", cause="trap", breach="unreachable", message="once")
        return reply

    report = validated("uppercase", connection=meddling(invoked(once)), checks=("elements",), engines=("direct",))
    assert "ERR-002" in {finding.rule for finding in report.findings}


def test_warnings_count_only_when_they_are_wanted_to(validated, tmp_path):
    (tmp_path / "Torvyn.toml").write_text(
        f"""
        [[component]]
        name = "uppercase"
        path = "{CORPUS / "components/uppercase.wasm"}"
        capabilities = ["clock:wall"]
        """
    )
    strict, lenient = (validated(tmp_path, checks=("imports",), strict=strict) for strict in (True, False))
    assert [(finding.rule, finding.level) for finding in lenient.findings if finding.level == "warning"] == [("CON-028", "warning")]
    assert strict.exit_code == 1
    assert lenient.exit_code == 1  # required and not granted is an error by itself


def test_a_runtime_without_the_messages_is_refused_in_words(validated, meddling):
    def old(request, answer):
        reply = answer(request)
        if isinstance(reply, p.Declaration):
            facets = tuple(msgspec.structs.replace(claim, capabilities=()) for claim in reply.facets)
            return msgspec.structs.replace(reply, facets=facets)
        return reply

    with pytest.raises(SuiteError, match="does not claim 'by-hand'"):
        validated("uppercase", connection=meddling(old))
    with pytest.raises(SuiteError, match="has no engine fast; it has direct, stock"):
        validated("uppercase", engines=("fast",))
    with pytest.raises(SuiteError, match="there is no check speed"):
        validated("uppercase", checks=("speed",))


def test_steps_read_back_as_they_are_shown():
    steps = (
        Step("init", text="count=1"),
        Step("process", b"text", "a/b", "a/b"),
        Step("process", b"\xff\0", "a/b", "", times=3),
        Step("push", filled(4097), "", "x", fault=p.AllocatorFault(2, "out-of-bounds", lasting=True)),
        Step("notify-backpressure", text="pause"),
    )
    assert read_steps(json.dumps([step.show() for step in steps])) == steps
    assert base64.b64decode(steps[2].show()["base64"]) == b"\xff\0"


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '[{"call": "pull", "times": 0}]', '[{"call": "push", "fill": 99999999}]', '[{"what": 1}]']
)
def test_steps_that_are_none_are_refused_in_words(text):
    with pytest.raises(SuiteError, match="--steps"):
        read_steps(text)


def test_a_component_is_sent_once_per_session(validated, meddling):
    sent = []

    def watch(request, answer):
        if isinstance(request, p.StartGuest):
            sent.append(len(request.component))
        return answer(request)

    connection = meddling(watch)
    for name in ("dropper", "dropper", "uppercase", "dropper"):
        validated(name, connection=connection, checks=("engines",), engines=("direct",))
    assert [size > 0 for size in sent] == [True, False, True, True]


def test_nothing_can_be_started_again_before_it_was_started(meddling):
    with pytest.raises(Refused, match="no component has been started"):
        meddling(lambda request, answer: answer(request)).session().guests.start(p.StartGuest())

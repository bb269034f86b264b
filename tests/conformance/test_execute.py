import itertools
import signal

import pytest
from hypothesis import strategies as st

from conformance.checks import Depth
from conformance.errors import Inconclusive, NotOffered, Refused, SubjectCrashedError, SubjectTimeoutError, SuiteError, Violation
from conformance.execute import reproduction, run_check, run_plan
from conformance.plan import make_plan
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.stdio import StdioSettings
from conformance.verdict import Outcome, judge

RULES = ("WMK-001", "WMK-002")


@pytest.fixture
def run(registry, connection, honest_streams):
    """Run a function as a check of two rules and return the findings by rule."""

    def run_(function, *, subject=None, settings=None, rules=RULES, **options):
        registry.checks(*rules, facet=Facet.STREAMS, kind="example", name="c")(function)
        door = connection(subject, settings=settings) if subject else connection(streams=honest_streams())
        result = run_check(registry.get("c"), door, **options)
        assert [finding.rule for finding in result.findings] == list(rules), "one finding per rule, whatever happened"
        return {finding.rule: finding for finding in result.findings}

    return run_


def outcomes(findings):
    return [str(findings[rule].outcome) for rule in RULES]


def test_a_rule_passes_only_when_it_was_evaluated(run):
    def check(subject, budget):
        """Evaluate one rule of two."""
        budget.touch("WMK-001")

    findings = run(check)
    assert outcomes(findings) == ["pass", "inconclusive"]
    assert "without evaluating" in findings["WMK-002"].message


def test_a_check_that_does_nothing_passes_nothing(run):
    def check(subject, budget):
        """Return at once."""

    assert outcomes(run(check)) == ["inconclusive", "inconclusive"]


def test_a_violation_fails_its_rule_and_leaves_the_others_open(run):
    def check(subject, budget):
        """Break one rule after evaluating both."""
        budget.touch("WMK-001")
        budget.touch("WMK-002")
        raise Violation("WMK-002", "too early", expected=2, found=1, evidence={"depth": 1})

    findings = run(check)
    assert outcomes(findings) == ["inconclusive", "fail"]
    assert findings["WMK-001"].message == "the check ended early: WMK-002 was broken"
    broken = findings["WMK-002"]
    assert (broken.message, broken.expected, broken.found, broken.evidence) == ("too early", "2", "1", {"depth": 1})


def test_a_settled_rule_keeps_its_pass_when_another_one_breaks(run):
    def check(subject, budget):
        """Be through with one rule, then break the other."""
        budget.touch("WMK-001")
        budget.settle("WMK-001")
        raise Violation("WMK-002", "too early")

    assert outcomes(run(check)) == ["pass", "fail"]


def test_half_a_character_in_an_exception_can_be_reported(run):
    def check(subject, budget):
        """Say what no file can hold."""
        raise Violation("WMK-002", "bad \ud800", expected="\udfff")

    broken = run(check)["WMK-002"]
    assert (broken.message, broken.expected) == ("bad \\ud800", "\\udfff")


def test_an_accusation_by_a_stranger_is_an_error_of_the_suite(run):
    def check(subject, budget):
        """Accuse a rule that is not mine."""
        raise Violation("OWN-001", "no")

    assert outcomes(run(check)) == ["error", "error"]


@pytest.mark.parametrize(
    ("way_out", "outcome", "fault"),
    [
        (Inconclusive("could not tell"), "inconclusive", ""),
        (NotOffered("no such thing", declared=True), "unsupported", ""),
        (NotOffered("no such thing"), "inconclusive", "the subject"),
        (Refused("queue-full", "no"), "inconclusive", "the subject"),
        (SubjectCrashedError("gone"), "crash", "the subject"),
        (SubjectTimeoutError("silent"), "timeout", "the subject"),
        (ZeroDivisionError("oops"), "error", "the suite"),
        (SystemExit(0), "error", "the suite"),
    ],
)
def test_every_other_way_out_has_its_own_word(run, way_out, outcome, fault):
    def check(subject, budget):
        """Leave."""
        budget.touch("WMK-001")
        raise way_out

    findings = run(check)
    assert outcomes(findings) == [outcome, outcome]
    assert findings["WMK-001"].fault == fault


def test_an_error_of_the_suite_shows_its_traceback(run):
    def check(subject, budget):
        """Fall over."""
        return 1 / 0

    detail = run(check)["WMK-001"].detail
    assert "ZeroDivisionError" in detail
    assert "return 1 / 0" in detail


def test_ctrl_c_is_not_a_finding(run):
    def check(subject, budget):
        """Be interrupted."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(check)


def test_a_search_reports_the_smallest_example_and_the_messages_that_show_it(run):
    def check(subject, budget):
        """Push too much."""

        def law(values):
            subject.streams.open(8)
            for value in values:
                depth = subject.streams.push(value).stream.depth
                budget.expect("WMK-001", depth < 3, "too deep", expected="< 3", found=depth, evidence={"steps": values})

        budget.for_all(st.lists(st.integers(0, 9)), law)

    finding = run(check, rules=("WMK-001",))["WMK-001"]
    assert finding.outcome is Outcome.FAIL
    assert finding.evidence == {"steps": [0, 0, 0]}
    assert len(finding.transcript) >= 4
    assert '"op":"streams.push"' in finding.transcript[-1]


def test_a_violation_that_cannot_be_repeated_is_flaky_and_never_a_pass(run):
    calls = itertools.count()

    def check(subject, budget):
        """Break a rule once."""

        def law(value):
            budget.touch("WMK-001")
            if next(calls) == 7:
                raise Violation("WMK-001", "sometimes")

        budget.for_all(st.integers(), law)

    findings = run(check)
    assert outcomes(findings) == ["flaky", "inconclusive"]


def test_a_death_in_the_middle_of_a_search_is_a_crash_and_not_what_the_search_makes_of_it(run, character_subject):
    def check(subject, budget):
        """Search."""
        budget.for_all(st.integers(1, 9), subject.streams.open)

    findings = run(check, subject=character_subject("Dies"))
    assert outcomes(findings) == ["crash", "crash"]
    assert "exit code 7" in findings["WMK-001"].message
    assert "I cannot go on" in findings["WMK-001"].detail


def test_a_subject_that_dies_is_replaced_for_the_next_check(registry, connection, character_subject):
    def check(subject, budget):
        """Open a stream."""
        subject.streams.open(2)

    registry.checks("WMK-001", facet=Facet.STREAMS, kind="example", name="c")(check)
    door = connection(character_subject("Dies"))
    results = [run_check(registry.get("c"), door) for _ in range(2)]
    assert [result.findings[0].message for result in results] == ["the subject ended before it answered streams.open: exit code 7"] * 2


@pytest.mark.parametrize(
    ("name", "outcome", "fault"),
    [
        ("Hangs", "timeout", "the subject"),
        ("Mute", "timeout", "the subject"),
        ("Killed", "crash", "the subject"),
        ("Gibberish", "crash", "the subject's adapter"),
        ("Confused", "crash", "the subject's adapter"),
        ("Invents", "crash", "the subject's adapter"),
        ("Boasts", "crash", "the subject's adapter"),
        ("Shirks", "inconclusive", "the subject"),
    ],
)
def test_a_subject_with_a_bad_character_never_passes_and_never_plainly_fails(run, character_subject, name, outcome, fault):
    def check(subject, budget):
        """Look at a stream."""
        subject.streams.open(2)
        budget.touch("WMK-001")
        budget.touch("WMK-002")

    timeout = 0.3 if outcome == "timeout" else 20.0  # only for those that never answer: the others may start slowly
    findings = run(check, subject=character_subject(name), settings=StdioSettings(reply_timeout=timeout))
    assert outcomes(findings) == [outcome, outcome]
    assert findings["WMK-001"].fault == fault


def test_what_a_subject_declared_to_leave_out_is_unsupported(run, character_subject):
    def check(subject, budget):
        """Complete a stream."""
        budget.touch("WMK-001")
        subject.streams.complete()

    assert outcomes(run(check, subject=character_subject("Modest"))) == ["unsupported", "unsupported"]


def test_an_exception_inside_a_python_subject_is_its_crash(run, honest_streams, connection, registry):
    class Broken(honest_streams):
        """Raises from a push."""

        def push(self, request):
            raise KeyError(request.value)

    def check(subject, budget):
        """Push."""
        subject.streams.open(2)
        subject.streams.push(5)

    registry.checks("WMK-001", facet=Facet.STREAMS, kind="example", name="c")(check)
    finding = run_check(registry.get("c"), connection(streams=Broken())).findings[0]
    assert finding.outcome is Outcome.CRASH
    assert finding.message == "streams.push raised KeyError: 5"
    assert "raise KeyError(request.value)" in finding.detail


def test_a_subject_that_loops_for_ever_in_process_is_interrupted(run, honest_streams, connection, registry):
    class Loops(honest_streams):
        """Never returns from a push."""

        def push(self, request):
            while True:
                pass

    def check(subject, budget):
        """Push."""
        budget.for_all(st.integers(0, 9), subject.streams.push)

    registry.checks("WMK-001", facet=Facet.STREAMS, kind="example", name="c")(check)
    armed = signal.setitimer(signal.ITIMER_REAL, 0)  # pytest-timeout's own alarm steps aside
    try:
        finding = run_check(registry.get("c"), connection(streams=Loops()), check_timeout=1.0).findings[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *armed)
    assert finding.outcome is Outcome.TIMEOUT
    assert finding.message.startswith("the check did not end within 1 s: streams.push has not been answered for")
    assert "no reply" in finding.transcript[-1]


def test_a_check_that_is_only_slow_is_not_held_against_a_subject_that_answers(honest_streams, connection, registry):
    def check(subject, budget):
        """Never come to an end."""
        subject.streams.open(4)
        while True:
            subject.streams.inspect()

    registry.checks("WMK-001", facet=Facet.STREAMS, kind="example", name="c")(check)
    armed = signal.setitimer(signal.ITIMER_REAL, 0)  # as above
    try:
        finding = run_check(registry.get("c"), connection(streams=honest_streams()), check_timeout=0.1).findings[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *armed)
    assert (finding.outcome, finding.fault) == (Outcome.INCONCLUSIVE, "")
    assert finding.message.startswith("the check did not end within 0.1 s, and the subject answers")


def test_a_plan_is_executed_as_it_was_written(registry, rulebook, honest_streams, connection):
    def check(subject, budget):
        """Evaluate everything."""
        for rule in budget.rules:
            budget.touch(rule)

    registry.checks("WMK-001", "WMK-002", "OWN-001", facet=Facet.STREAMS, kind="example", name="b")(check)
    registry.checks("WMK-001", facet=Facet.STREAMS, kind="example", name="a")(check)
    declaration = connection("reference").session().declaration
    plan = make_plan(rulebook, registry, declaration, selection=["WMK"])
    seen = []
    results = run_plan(plan, registry, "reference", on_result=seen.append)
    assert [(result.check, [finding.rule for finding in result.findings]) for result in results] == [
        ("a", ["WMK-001"]),
        ("b", ["WMK-001", "WMK-002"]),
    ]
    assert seen == results
    judgement = judge(rulebook, plan, [finding for result in results for finding in result.findings])
    assert judgement.executed == judgement.planned == 3


def test_a_subject_that_cannot_be_started_ends_the_run(registry, rulebook, connection):
    declaration = connection("reference").session().declaration
    plan = make_plan(rulebook, registry, declaration)
    with pytest.raises(SuiteError):
        run_plan(plan, registry, "stdio:")


def test_a_reproduction_can_be_pasted_into_a_shell(run):
    def check(subject, budget):
        """Break a rule."""
        raise Violation("WMK-001", "no")

    finding = run(check)["WMK-001"]
    line = reproduction("stdio:./my adapter", finding, depth=Depth.DEEP, seed=7)
    assert line == "torvyn-conformance run --subject 'stdio:./my adapter' --rules WMK-001 --seed 7 --profile-run deep"


def test_evidence_without_a_json_form_is_shown_as_text(run):
    def check(subject, budget):
        """Break a rule."""
        raise Violation("WMK-001", "no", evidence={"who": p.Handle(1, 2), "what": object, "raw": b"\x00"})

    evidence = run(check)["WMK-001"].evidence
    assert evidence["who"] == {"index": 1, "generation": 2}
    assert evidence["what"] == "<class 'object'>"

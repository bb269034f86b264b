"""The pytest plugin, tried in pytest runs of its own; rules of a few quick checks only."""

import sys

import pytest

pytest_plugins = ["pytester"]

QUICK = "--torvyn-rules=WMK-004"
ITEMS = ["torvyn::WMK-004[low-marks]", "torvyn::WMK-004[low-marks-drawn]"]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest with the plugin in a process of its own."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run_(*arguments):
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly", *arguments, timeout=100)

    return run_


def test_without_a_subject_nothing_of_the_suite_is_loaded(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded():
            loaded = {name for name in sys.modules if name.partition(".")[0] in {"conformance", "torvyn_ref", "msgspec", "hypothesis"}}
            assert loaded <= {"conformance", "conformance.plugin"}
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:cacheprovider", timeout=100)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*torvyn:*")


def test_a_subject_brings_its_items_and_a_plan(run):
    result = run("--torvyn-subject", "reference", QUICK, "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "torvyn: torvyn-ref * (reference), 2 items, seed 0, quick",
            "torvyn: plan sha256:*",
            "collect* 2 items",
            f"{ITEMS[0].replace('[', '[[]')} PASSED*",
            "indeterminate: torvyn-ref *, 477 rules: 476 untested, 1 pass",
            "plan sha256:*",
        ]
    )


def test_tests_are_left_alone_unless_they_are_asked_for(run, pytester):
    path = pytester.makepyfile("def test_mine(): pass")
    run("--torvyn-subject", "reference", QUICK).assert_outcomes(passed=2)
    run("--torvyn-subject", "reference", QUICK, str(path)).assert_outcomes(passed=3)


def test_an_item_is_selected_by_its_id_and_by_keyword(run):
    run("--torvyn-subject", "reference", QUICK, ITEMS[0]).assert_outcomes(passed=1)
    result = run("--torvyn-subject", "reference", QUICK, "-k", "drawn")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["1 of 2 planned items were executed: no verdict"])


def test_an_unknown_id_is_told(run):
    result = run("--torvyn-subject", "reference", QUICK, "torvyn::WMK-004[nothing]")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no such item: torvyn::WMK-004*"])


def test_a_failure_shows_the_rule_and_the_line_that_repeats_it(run):
    result = run("--torvyn-subject", "mutant:low-mark-rounded-up", QUICK, "--torvyn-seed", "3")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "FAIL WMK-004 [[]low-marks]",
            "expected *",
            "found *",
            "rule * The low watermark MUST be capacity * ratio*",
            "repeat with *torvyn-conformance run --subject mutant:low-mark-rounded-up --rules WMK-004 --seed 3*",
            "not-conformant: mutant:low-mark-rounded-up *1 fail*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_failed_items_can_be_run_again_alone(pytester):
    arguments = (
        "-p",
        "no:randomly",
        "--torvyn-subject",
        "mutant:low-mark-rounded-up",
        "--torvyn-rules",
        "WMK-004",
        "--torvyn-rules",
        "FLOW-001",
    )
    first = pytester.runpytest_subprocess(*arguments, timeout=100)
    outcomes = first.parseoutcomes()
    assert outcomes["failed"] >= 1
    assert outcomes["passed"] >= 1
    again = pytester.runpytest_subprocess(*arguments, "--lf", timeout=100).parseoutcomes()
    assert again["failed"] == outcomes["failed"]
    assert "passed" not in again


def test_workers_find_the_same_items_with_the_same_outcomes(pytester):
    result = pytester.runpytest_subprocess("-n", "2", "-v", "--torvyn-subject", "reference", QUICK, timeout=100)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["indeterminate: torvyn-ref *1 pass"])


def test_what_a_subject_does_not_claim_is_skipped_with_its_reason(run, pytester):
    pytester.makepyfile(modest="from conformance.subjects.inprocess import PythonSubject\ndef make(): return PythonSubject('modest', '1')")
    result = run("--torvyn-subject", "python:modest:make", QUICK, "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(
        ["indeterminate: modest 1, *1 unsupported*", "SKIPPED*unsupported: the subject does not claim the facet streams"]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--torvyn-subject", "nobody"), "*'nobody' names no subject*"),
        (("--torvyn-subject", "reference", "--torvyn-rules", "WMX-001"), "*no rule 'WMX-001'*"),
        (("--torvyn-subject", "stdio:/no/such/thing"), "*cannot be started*"),
    ],
)
def test_a_users_mistake_is_told_without_a_traceback(run, arguments, words):
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_silent_subject_is_told(run):
    result = run("--torvyn-subject", f"stdio:{sys.executable} -c 'import sys; sys.exit(3)'")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*did not introduce itself: the subject ended before it answered hello: exit code 3*"])


def test_the_junit_report_names_rule_and_outcome(run, pytester):
    run("--torvyn-subject", "reference", QUICK, "--junitxml", "out.xml")
    written = (pytester.path / "out.xml").read_text()
    assert '<property name="rule" value="WMK-004"' in written
    assert '<property name="outcome" value="pass"' in written

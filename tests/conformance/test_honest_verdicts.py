"""Subjects that skip, boast, hide, hang, flood, die and babble are each named as what they are, within bounds, with documented codes."""

import json
import shlex
import sys
from datetime import date
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import cli
from conformance.claims import Claim, check_claims
from conformance.errors import SuiteError
from conformance.execute import FLAKY_RUNS
from conformance.known import chance, read
from conformance.subjects.connect import Connection, find
from conformance.subjects.stdio import StdioSettings

FAKES = Path(__file__).parent / "subjects" / "fakes.py"
RULES = "WMK-004"
WHOLE = "rule = 'A'\ncheck = 'c'\nissue = 'https://example.org/1'\nexpires = 2999-01-01\n"


def subject(name):
    return f"stdio:{shlex.join([sys.executable, str(FAKES), *name.split()])}"


@pytest.fixture
def run(capsys):
    """Judge a fake and return exit code and report."""

    def run_(name, *arguments, rules=RULES):
        chosen = ["--rules", rules] if rules else []
        timeout = "1" if name.startswith("Hangs") else "60"
        code = cli.call(["run", "--subject", subject(name), "--reply-timeout", timeout, "--format", "json", *chosen, *arguments])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else captured.err

    return run_


def kinds(report):
    return sorted((claim["kind"], claim["operation"]) for claim in report["claims"])


def test_an_honest_subject_has_no_finding_beside_its_rules(run):
    code, report = run("Honest")
    assert (code, report["verdict"], report["claims"]) == (2, "indeterminate", [])
    assert report["counts"] == {"untested": 476, "pass": 1}


@pytest.mark.parametrize(
    ("name", "code", "outcome", "words"),
    [
        ("SkipsHalf", 2, "inconclusive", "declines its operations"),
        ("HangsLater", 1, "timeout", "no answer to streams.pop within 1 s"),
        ("Floods", 1, "crash", "longer than"),
        ("FloodsWithLines", 1, "crash", ""),
        ("Dies", 1, "crash", "exit code 9"),
        ("Babbles", 1, "crash", "is no reply"),
        ("PretendsHalf", 1, "fail", ""),
        ("RoundsUp", 1, "fail", "the low mark of capacity"),
    ],
)
def test_what_is_wrong_while_rules_are_checked_is_named(run, name, code, outcome, words):
    got, report = run(name, rules="WMK-004" if name == "RoundsUp" else "WMK-002")
    assert (got, report["exit_code"]) == (code, code)
    failures = [failure for failure in report["failures"] if failure["outcome"] == outcome]
    assert failures
    assert any(words in failure["message"] for failure in failures)
    assert "error" not in report["counts"], "the subject's failure is never the suite's"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HangsAtOnce", "no answer to hello within 1 s"),
        ("DiesAtOnce", "out of everything"),
        ("BabblesAtOnce", "Welcome to my runtime!"),
        ("FloodsAtOnce", "longer than"),
    ],
)
def test_a_subject_that_does_not_introduce_itself_has_failed_and_was_not_judged(run, name, words):
    code, report = run(name)
    assert (code, report["exit_code"], report["verdict"]) == (1, 1, "not-conformant")
    assert "did not introduce itself" in report["reasons"][0]
    assert words in report["reasons"][0]
    assert report["planned"] == report["executed"] == 0
    assert report["counts"] == {"untested": 477}, "who did not introduce himself has declared nothing either"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("SkipsHalf", [("over-claim", "streams.complete"), ("over-claim", "streams.pop")]),
        ("Hides", [("under-claim", "streams")]),
        ("HidesOne", [("under-claim", "streams.complete")]),
        ("HangsLater", [("no-answer", "streams.pop")]),
    ],
)
def test_claims_are_held_against_answers(run, name, found):
    code, report = run(name)
    assert kinds(report) == found
    assert report["claims"][0]["message"] in report["reasons"]
    assert code in {1, 2}


def test_what_a_subject_writes_to_its_stderr_is_bounded_and_says_nothing_against_it(run):
    code, report = run("ChattersOnStderr", rules="WMK-002")
    assert (code, report["claims"], report["counts"]["pass"]) == (2, [], 1)


def test_a_subject_that_ends_its_judge_is_the_suites_error_and_neither_pass_nor_failure(run):
    """The worker is gone with its check; nobody can tell what the subject did, and the exit code says that the suite has failed."""
    code, report = run("EndsItsJudge", "--jobs", "2", rules="WMK-002,WMK-004")
    assert (code, report["exit_code"]) == (3, 3)
    assert report["executed"] < report["planned"]
    assert report["counts"]["error"] >= 1


def test_a_facet_that_is_claimed_and_empty_is_an_over_claim_of_every_operation(run):
    code, report = run("Boasts", rules="OWN-001,WMK-004")
    assert {kind for kind, _ in kinds(report)} == {"over-claim"}
    assert ("over-claim", "resources.allocate") in kinds(report)
    (reason,) = (reason for reason in report["reasons"] if "claims the facet resources" in reason)
    assert reason.startswith(f"the subject claims the facet resources and declines {len(report['claims'])} of its operations")
    assert ("over-claim", "resources.concurrent") not in kinds(report), "asked only of those who claim concurrency"
    assert code == 2
    assert report["counts"]["inconclusive"] == 1


@pytest.mark.parametrize("name", ["reference", "mutant:last-in-first-out"])
def test_the_reference_claims_what_it_answers(name):
    connection = Connection(find(name))
    try:
        assert check_claims(connection.session()) == ()
    finally:
        connection.close()


def test_a_subject_that_is_gone_is_asked_nothing_more():
    connection = Connection(find(subject("Dies"), StdioSettings(reply_timeout=5.0)))
    try:
        found = check_claims(connection.session())
    finally:
        connection.close()
    assert [(each.kind, each.operation) for each in found] == [(Claim.BROKEN, "streams.push")]


# ---------------------------------------------------------------- flaky


def flickering(seen, of=FLAKY_RUNS):
    """Return a subject that breaks WMK-004 once, not when repeated, and then in so many of the further runs."""
    return "Flickers x." + "".join("x" if n * seen // of < (n + 1) * seen // of else "." for n in range(of))


@pytest.mark.parametrize("seen", [0, 3, FLAKY_RUNS])
def test_a_failure_that_does_not_come_back_is_flaky_and_has_its_measured_rate(run, seen):
    code, report = run(flickering(seen), rules="WMK-004")
    assert (code, report["verdict"], report["counts"]["flaky"]) == (2, "indeterminate", 1)
    (flaky,) = report["failures"]
    assert (flaky["outcome"], flaky["check"]) == ("flaky", "low-marks")
    assert f"once repeated, it did not happen); seen in {seen} of {FLAKY_RUNS} further runs" in flaky["message"]


def test_a_failure_that_comes_back_is_a_failure_and_is_not_measured(run):
    code, report = run("Flickers xx", rules="WMK-004")
    assert (code, report["counts"]["fail"]) == (1, 1)
    assert "further runs" not in report["failures"][0]["message"]


@pytest.mark.parametrize(
    ("seen", "rate", "runs", "red"),
    [
        (3, 0.15, 20, False),
        (8, 0.15, 20, False),  # one chance in 13 is no news
        (11, 0.15, 20, True),
        (6, 0.0, 20, False),  # twenty runs that never failed are no proof that none ever does
        (7, 0.0, 20, True),
        (3, 0.0, 1000, True),  # a thousand are a better one
        (1, 0.5, 20, False),  # rarer than recorded is good news
        (20, 0.5, 20, True),
        (20, 0.9, 20, False),
        (20, 0.9, None, False),
        (11, 0.15, None, True),
    ],
)
def test_a_rate_far_above_the_recorded_one_is_red_and_one_that_chance_explains_is_not(run, listed, seen, rate, runs, red):
    entry = {"rate": rate, **({} if runs is None else {"runs": runs})}
    code, report = run(flickering(seen), "--known-failures", listed(entry, table="flaky"), rules="WMK-004")
    assert (code, report["verdict"]) == (1 if red else 2, "indeterminate")
    assert len(report["known"]["unexpected"]) == red
    if red:
        assert f"({seen} of {FLAKY_RUNS} runs, recorded {rate:.2g}" in report["known"]["unexpected"][0]


def test_two_failures_in_a_row_of_a_known_flicker_are_measured_before_they_are_news(run, listed):
    known = listed({"rate": 0.15, "runs": 20}, table="flaky")
    code, report = run("Flickers xx....x.....x....x..", "--known-failures", known, rules="WMK-004")
    assert (code, report["counts"].get("fail"), report["counts"]["flaky"]) == (2, None, 1)
    assert report["known"]["unexpected"] == []


def test_a_baseline_of_a_flicker_has_its_rate_and_makes_the_next_run_quiet(run, tmp_path):
    path = tmp_path / "known.toml"
    run(flickering(5), "--write-baseline", str(path), "--issue", "https://example.org/7", rules="WMK-004")
    (entry,) = read(path).flaky
    assert (entry.item, entry.rate, entry.runs) == (("WMK-004", "low-marks"), 0.25, FLAKY_RUNS)
    code, report = run(flickering(6), "--known-failures", str(path), rules="WMK-004")
    assert (code, report["known"]["unexpected"]) == (2, [])


@given(runs=st.integers(1, 12), before=st.integers(1, 12), rate=st.floats(0, 1), level=st.sampled_from([0.01, 0.1, 0.5]), data=st.data())
def test_the_chance_of_a_rate_falls_with_it_and_starts_at_certainty(runs, before, rate, level, data):
    recorded = data.draw(st.integers(0, before))
    chances = [chance(seen, runs, recorded, before) for seen in range(runs + 1)]
    assert chances[0] == pytest.approx(1)
    assert chances == sorted(chances, reverse=True)
    # What makes it sound: whatever the true rate, two honest measurements of it are called different no oftener than the level says.
    likely = sum(
        binomial(seen, runs, rate) * binomial(old, before, rate)
        for old in range(before + 1)
        for seen in range(runs + 1)
        if chance(seen, runs, old, before) < level
    )
    assert likely <= level + 1e-9


def binomial(seen, runs, rate):
    return comb(runs, seen) * rate**seen * (1 - rate) ** (runs - seen)


# ---------------------------------------------------------------- known failures


@pytest.fixture
def listed(tmp_path):
    """Write a list of known failures."""

    def write(*entries, table="failure"):
        path = tmp_path / "known.toml"
        defaults = {"rule": '"WMK-004"', "check": '"low-marks"', "issue": '"https://example.org/7"', "expires": "2999-12-31"}
        rows = [{**defaults, **entry} for entry in entries]
        path.write_text("".join(f"[[{table}]]\n" + "".join(f"{key} = {value}\n" for key, value in row.items()) for row in rows))
        return str(path)

    return write


def test_a_baseline_makes_the_next_run_free_of_news_and_not_conformant(run, tmp_path):
    path = tmp_path / "known.toml"
    code, before = run("RoundsUp", "--write-baseline", str(path), "--issue", "https://example.org/7", "--expires", "2999-01-31")
    assert code == 1
    entries = read(path).failure
    assert {entry.rule for entry in entries} == {failure["rule"] for failure in before["failures"] if failure["outcome"] == "fail"}
    assert {(entry.issue, entry.expires) for entry in entries} == {("https://example.org/7", date(2999, 1, 31))}
    code, after = run("RoundsUp", "--known-failures", str(path))
    assert (code, after["verdict"]) == (2, "not-conformant")
    assert after["counts"]["xfail"] >= 1
    assert after["known"]["unexpected"] == after["known"]["stale"] == after["known"]["expired"] == []


def test_an_entry_that_passes_is_stale_and_red(run, listed):
    code, report = run("Honest", "--known-failures", listed({}))
    assert code == 1
    assert "take it off the list" in report["known"]["stale"][0]
    assert report["counts"]["xpass"] == 1


def test_an_entry_past_its_last_day_is_red_and_hides_nothing(run, listed):
    code, report = run("RoundsUp", "--known-failures", listed({"expires": "2020-01-31"}), rules="WMK-004")
    assert code == 1
    assert "2020-01-31" in report["known"]["expired"][0]
    assert report["known"]["unexpected"]
    assert "xfail" not in report["counts"]


def test_a_failure_that_is_not_listed_is_news(run, listed):
    code, report = run("RoundsUp", "--known-failures", listed({}), rules="WMK-004")
    assert code == 1
    assert any("low-marks-drawn" in entry for entry in report["known"]["unexpected"])


def test_an_entry_for_a_check_that_does_not_exist_is_stale_and_one_that_was_not_selected_is_left_alone(run, listed):
    known = listed({"check": '"gone"'}, {"rule": '"WMK-001"', "check": '"on-at-capacity"'})
    _, report = run("Honest", "--known-failures", known, rules="WMK-004")
    assert len(report["known"]["stale"]) == 1
    assert "WMK-004 [gone] is listed, and no such check was executed" in report["known"]["stale"][0]


def test_a_known_flaky_one_may_do_either_and_is_red_when_it_always_fails(run, listed):
    known = listed({"rate": 0.5}, {"check": '"low-marks-drawn"', "rate": 0.5}, table="flaky")
    assert run("Honest", "--known-failures", known, rules="WMK-004")[0] == 2
    code, report = run("RoundsUp", "--known-failures", known, rules="WMK-004")
    assert code == 1
    assert "is listed as flaky and fails every time" in report["known"]["unexpected"][0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[[failure]]\nrule = 'WMK-004'\ncheck = 'c'\nexpires = 2999-01-01\n", "issue"),
        ("[[failure]]\nrule = 'WMK-004'\ncheck = 'c'\nissue = 'https://example.org/1'\n", "expires"),
        ("[[failure]]\nrule = 'WMK-004'\ncheck = 'c'\nissue = 'later'\nexpires = 2999-01-01\n", "must be a link"),
        (f"[[failure]]\n{WHOLE}rate = 0.5\n", "rate and runs belong to"),
        (f"[[flaky]]\n{WHOLE}", "rate is missing"),
        (f"[[flaky]]\n{WHOLE}rate = 1.0\n", "rate is 1; write how often"),
        (f"[[flaky]]\n{WHOLE}rate = nan\n", "rate is nan"),
        (f"[[flaky]]\n{WHOLE}rate = 0.5\nruns = 0\n", "runs is 0"),
        ("[[skip]]\n", "unknown table 'skip'"),
        ("failure = 3\n", "failure number 1"),
        ("[[failure]\n", "cannot be read"),
        (
            f"[[failure]]\n{WHOLE}" * 2,
            "listed twice",
        ),
    ],
)
def test_a_list_without_link_or_end_is_refused_before_anything_is_started(tmp_path, content, words):
    path = tmp_path / "known.toml"
    path.write_text(content)
    with pytest.raises(SuiteError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--write-baseline", "b.toml"], "needs --issue"),
        (["--write-baseline", "b.toml", "--issue", "tomorrow"], "needs --issue with a link"),
        (["--write-baseline", "b.toml", "--issue", "https://example.org/1", "--expires", "soon"], "write a date like"),
        (["--issue", "https://example.org/1"], "there is no --write-baseline"),
        (["--known-failures", "no-such-file.toml"], "cannot be read"),
        (["--transcript", "t.txt", "--jobs", "2"], "needs --jobs 1"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_started(run, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, err = run("Honest", *arguments)
    assert code == 4
    assert words in err


# ---------------------------------------------------------------- profiles, transcripts


def test_a_profile_is_judged_by_its_own_rules(run):
    code, report = run("Honest", "--profile", "secure", rules=None)
    assert code == 2
    assert {rule["profile"] for rule in report["rules"] if rule["message"] != "not selected"} == {"secure"}
    assert set(report["profiles"]) == set(report["needs"]) == {"core", "stream", "secure", "package", "full"}
    assert all(report["needs"].values())


def test_a_transcript_has_every_line_in_both_directions(run, tmp_path):
    path = tmp_path / "lines.txt"
    run("Dies", "--transcript", str(path), rules="WMK-004")
    lines = path.read_text().splitlines()
    assert lines[0].startswith("= ")
    assert json.loads(lines[1].removeprefix("> "))["request"]["op"] == "hello"
    assert json.loads(lines[2].removeprefix("< "))["reply"]["name"] == "Dies"
    assert any(line.startswith("! the subject ended before it answered streams.push") for line in lines)


def test_a_transcript_ends_where_it_is_full(tmp_path):
    path = tmp_path / "lines.txt"
    connection = Connection(find(subject("Honest"), StdioSettings(transcript=path, transcript_bytes=2000)))
    try:
        session = connection.session()
        for value in range(50):
            session.streams.open(4)
            session.streams.push(value)
    finally:
        connection.close()
    text = path.read_text()
    assert "the transcript ends here" in text
    assert len(text) < 2200

import json
import os
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import cli
from conformance.report.json import RunReport
from conformance.verdict import EXIT_USAGE

SCHEMA_KEYS = set(RunReport.__struct_fields__)


@pytest.fixture
def call(capsys):
    """Call the program in process and return code, standard output and standard error."""

    def call_(*arguments):
        code = cli.call(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call_


def run_json(call, *arguments):
    code, out, err = call("run", "--format", "json", *arguments)
    return code, json.loads(out), err


def test_a_run_says_everything_in_json(call):
    code, report, err = run_json(call, "--subject", "reference", "--rules", "WMK-004,FLOW-001")
    assert set(report) == SCHEMA_KEYS
    assert report["schema_version"] == 1
    assert (code, report["exit_code"], report["verdict"]) == (2, 2, "indeterminate")
    assert report["counts"] == {"untested": 475, "pass": 2}
    assert len(report["rules"]) == report["rules_total"] == 477
    assert report["executed"] == report["planned"] > 0
    assert report["declaration"]["name"] == "torvyn-ref"
    assert report["plan"] in err, "the plan is told before the run"
    assert all(evaluations > 0 for check in report["checks"] for evaluations in check["evaluations"].values())


def test_a_failure_carries_evidence_and_the_line_that_repeats_it(call):
    code, report, _ = run_json(call, "--subject", "mutant:low-mark-rounded-up", "--rules", "WMK-004", "--seed", "11")
    assert (code, report["verdict"]) == (1, "not-conformant")
    failure = report["failures"][0]
    assert failure["rule"] == "WMK-004"
    assert failure["evidence"]
    assert failure["reproduce"] == "torvyn-conformance run --subject mutant:low-mark-rounded-up --rules WMK-004 --seed 11"
    assert next(rule for rule in report["rules"] if rule["id"] == "WMK-004")["outcome"] == "fail"


def test_text_has_the_verdict_on_the_first_and_on_the_last_line(call):
    code, out, _ = call("run", "--subject", "mutant:low-mark-rounded-up", "--rules", "WMK-004")
    lines = out.strip().split("\n")
    assert code == 1
    assert lines[0] == lines[-1]
    assert lines[0].startswith("not-conformant: mutant:low-mark-rounded-up")
    assert "FAIL WMK-004 [low-marks]" in out
    assert "Two runtimes with one configuration resume at different depths." in out
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("Dies", "crash"), ("Gibberish", "crash"), ("Shirks", "inconclusive")],
)
def test_a_subject_with_a_bad_character_is_blamed_by_name_in_the_report(call, character_subject, name, outcome):
    code, report, _ = run_json(call, "--subject", character_subject(name), "--rules", "WMK-004")
    assert {failure["outcome"] for failure in report["failures"]} == {outcome}
    assert all(failure["fault"] for failure in report["failures"])
    assert code == (1 if outcome == "crash" else 2)
    assert "pass" not in report["counts"]


def test_a_hanging_subject_is_given_up_after_the_reply_timeout(call, character_subject):
    code, report, _ = run_json(call, "--subject", character_subject("Hangs"), "--rules", "WMK-004", "--reply-timeout", "0.5")
    assert code == 1
    assert report["counts"]["timeout"] == 1


def test_a_subject_that_claims_nothing_is_unsupported(call, tmp_path, monkeypatch):
    (tmp_path / "empty_handed.py").write_text(
        "from conformance.subjects.inprocess import PythonSubject\ndef make(): return PythonSubject('empty-handed', '0')"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, report, _ = run_json(call, "--subject", "python:empty_handed:make")
    assert code == 2
    assert set(report["counts"]) == {"unsupported", "untested"}
    assert report["planned"] == report["executed"] == 0


def test_people_read_text_while_the_report_goes_to_a_file(call, tmp_path):
    target = tmp_path / "report.json"
    code, out, _ = call("run", "--subject", "reference", "--rules", "WMK-004", "--report", str(target))
    assert code == 2
    assert out.startswith("indeterminate")
    assert "untested for good" not in out
    assert json.loads(target.read_text())["counts"]["pass"] == 1


def test_what_no_check_can_reach_is_named_in_the_verdict(call, tmp_path, monkeypatch):
    (tmp_path / "nobody.py").write_text(
        "from conformance.subjects.inprocess import PythonSubject\ndef make(): return PythonSubject('nobody', '0')"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    _, out, _ = call("run", "--subject", "python:nobody:make")
    assert "untested for good, by a reviewed reason (`explain` says it): POOL-018, CREDIT-014" in out


def test_a_device_is_written_to_and_never_replaced(call, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        code, _, _ = call("run", "--subject", "reference", "--rules", "WMK-004", "--output", str(pipe))
        assert code == 2
        assert os.read(reader, 13) == b"indeterminate"
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_result_is_written_to_a_file_whole_or_not_at_all(call, tmp_path, jobs):
    target = tmp_path / "report.json"
    arguments = ("--subject", "reference", "--rules", "WMK-004", "--format", "json", "--jobs", jobs)
    code, out, _ = call("run", *arguments, "--output", str(target))
    assert (code, out) == (2, "")
    assert json.loads(target.read_text())["counts"]["pass"] == 1
    code, _, err = call("run", *arguments, "--output", str(tmp_path / "no" / "where.json"))
    assert code == EXIT_USAGE
    assert "cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing option '--subject'"),
        (["run", "--subject", "nobody"], "names no subject"),
        (["run", "--subject", "reference", "--rules", "WMK-999"], "no rule 'WMK-999'"),
        (["run", "--subject", "reference", "--profile-run", "fast"], "is not one of 'quick', 'deep'"),
        (["run", "--subject", "reference", "--seed", "-1"], "Invalid value for '--seed'"),
        (["run", "--subject", "stdio:/no/such/adapter"], "cannot be started"),
        (["explain", "WMK-0044"], "did you mean WMK-004"),
        (["rules", "--area", "WMX"], "no rule 'WMX'"),
        (["nonsense"], "No such command 'nonsense'"),
        ([], "Usage:"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_four(call, arguments, words):
    code, out, err = call(*arguments)
    assert code == EXIT_USAGE
    assert words in out + err
    assert "Traceback" not in err


def test_help_documents_the_exit_codes(call):
    for arguments in (["--help"], ["run", "--help"]):
        code, out, _ = call(*arguments)
        assert code == 0
        assert "0 conformant" in " ".join(out.split())


def test_rules_lists_every_rule_with_its_status(call, rulebook):
    code, out, _ = call("rules", "--format", "json")
    lines = json.loads(out)
    assert code == 0
    assert [line["id"] for line in lines] == [rule.id for rule in rulebook]
    assert {line["status"] for line in lines} == {"checked", "untestable"}
    assert all(bool(line["checks"]) == (line["status"] == "checked") for line in lines)


def test_the_summary_adds_up(call):
    code, out, _ = call("rules", "--summary", "--format", "json")
    *areas, total = json.loads(out)
    assert code == 0
    assert total["area"] == "all"
    for column in ("rules", "checked", "proven", "untested", "untestable"):
        assert total[column] == sum(area[column] for area in areas)
    assert total["rules"] == 477 == total["checked"] + total["untested"] + total["untestable"]


def test_an_area_can_be_listed_alone(call):
    _, out, _ = call("rules", "--area", "wmk", "--format", "json")
    assert {line["area"] for line in json.loads(out)} == {"WMK"}
    _, out, _ = call("rules", "--area", "WMK")
    assert "WMK-015" in out


def test_a_rule_is_explained_in_its_own_words(call, rulebook):
    code, out, _ = call("explain", "wmk-004")
    rule = rulebook.get("WMK-004")
    assert code == 0
    flat = " ".join(out.split())
    for words in (rule.title, rule.text, rule.consequence, "low-marks", "low-mark-rounded-up", "ADR-015"):
        assert " ".join(words.split()) in flat
    code, out, _ = call("explain", "WMK-004", "--format", "json")
    assert json.loads(out)["rule"]["id"] == "WMK-004"


def test_every_rule_can_be_explained(call, rulebook):
    for rule in rulebook.rules[::25]:
        assert call("explain", rule.id)[0] == 0


def test_what_a_subject_writes_cannot_steer_the_terminal(call, tmp_path):
    (tmp_path / "painter.py").write_text(
        "import sys\nsys.stdin.readline()\nsys.stderr.write('\\x1b[2J\\x1b]0;owned\\x07[bold]red[/bold]')\nsys.exit(1)\n"
    )
    code, out, err = call("run", "--subject", f"stdio:{sys.executable} {tmp_path / 'painter.py'}")
    assert code == 1
    assert "\x1b" not in out + err
    assert "\\x1b[2J" in out


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_the_run_and_everything_that_it_started(character_subject, jobs):
    command = [
        sys.executable,
        "-c",
        "from conformance.cli import main; main()",
        "run",
        "--subject",
        character_subject("Hangs"),
        "--jobs",
        jobs,
    ]
    with subprocess.Popen([*command, "--rules", "WMK-004"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("plan sha256:")
        children = wait_for_children(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    for child in children:
        assert wait_for_end(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_and_their_subjects_end_with_a_run_that_is_killed(character_subject, number):
    command = [sys.executable, "-c", "from conformance.cli import main; main()", "run", "--subject", character_subject("Hangs")]
    with subprocess.Popen([*command, "--jobs", "2", "--rules", "WMK-004"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        family = wait_for_grandchildren(process)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == -number
    for member in family:
        assert wait_for_end(member)


def wait_for_grandchildren(process):
    """Return the ids of a process's children and of theirs, as soon as there are any of both: a worker has started a subject."""
    while process.poll() is None:
        children = children_of(process.pid)
        grandchildren = [each for child in children for each in children_of(child)]
        if grandchildren:
            return [*children, *grandchildren]
    raise AssertionError("the process ended")


def children_of(pid):
    """Return the ids of a process's children; none, when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def wait_for_children(process):
    """Return the ids of a process's children as soon as it has any; ends with the process."""
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return [int(child) for child in children]
    raise AssertionError("the process ended")


def wait_for_end(pid):
    """Wait, at most 20 s, until a process is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], 20)[0])
    finally:
        os.close(watch)


def test_a_worker_that_dies_is_an_error_of_the_suite_and_never_a_verdict(call, tmp_path, monkeypatch):
    (tmp_path / "lemming.py").write_text(
        """
import os
from conformance.subjects.inprocess import PythonSubject
class Streams:
    def open(self, request):
        os._exit(5)
def make():
    return PythonSubject("lemming", "1", streams=Streams())
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, report, _ = run_json(call, "--subject", "python:lemming:make", "--rules", "WMK-004", "--jobs", "2")
    assert (code, report["verdict"]) == (3, "indeterminate")
    assert report["counts"]["error"] == 1
    assert report["executed"] < report["planned"]


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -c 'from conformance.cli import main; main()' rules | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 141}
    assert done.stderr == ""

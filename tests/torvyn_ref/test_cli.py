"""The command line as its user meets it: mostly in this process, and in one of its own where signals and pipes matter."""

import json
import logging
import os
import signal
import stat
import string
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from torvyn_ref.cli import parse_duration
from torvyn_ref.errors import TorvynError
from torvyn_ref.terminal import show_logged_warnings

ENDLESS = ("--config", "flow.main.nodes.numbers.config=count=100000000")
UPPER = bytes.maketrans(string.ascii_lowercase.encode(), string.ascii_uppercase.encode())

NUMBERS = [b"%08dabcdefgh" % number for number in range(200)]
CAPITALS = [line.translate(UPPER) for line in NUMBERS]
GROUPS = [b"".join(b"%08d" % number for number in range(start, start + 3)) for start in (0, 3, 6)]


def lines(data):
    return data.splitlines()


# ---- the flows of the corpus do what their README says


OUTCOMES = {
    "linear": CAPITALS[:10],
    "filter": NUMBERS[0:10:2],
    "aggregator": [*GROUPS, b"00000009", *(b"%08d" % number for number in range(20))],
    "backpressure": NUMBERS[:40],
    "pausing": NUMBERS[:30],
    "errors": [NUMBERS[number] for number in (0, 1, 3, 4, 6, 7, 9)],
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_flow_of_the_corpus_delivers_what_its_readme_says(ref, corpus_flow, name):
    ran = ref("run", corpus_flow(name), "--output", "-")
    assert (ran.code, lines(ran.out)) == (0, OUTCOMES[name])
    assert ran.err.startswith("Completed main (source-complete) in ")
    assert "buffers    0 live\n" in ran.err


def stream(data, source, target):
    return next(one for one in data["streams"] if one["stream"] == f"{source} -> {target}")


def run_json(ref, *arguments):
    ran = ref("run", *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    return ran.json["data"]


def test_fan_in_serves_both_sources_in_their_own_order(ref, corpus_flow):
    got = lines(ref("run", corpus_flow("fan-in"), "--output", "-").out)
    low, high = [CAPITALS[number] for number in range(5)], [CAPITALS[number] for number in range(100, 105)]
    assert [line for line in got if line in low] == low
    assert [line for line in got if line in high] == high
    assert len(got) == 10
    assert set(got[:4]) & set(low)
    assert set(got[:4]) & set(high)


def test_the_router_sends_multiples_of_ten_both_ways(ref, corpus_flow):
    data = run_json(ref, corpus_flow("router"))
    assert stream(data, "parity:even", "evens:default")["elements"] == 11
    assert stream(data, "parity:odd", "odds:default")["elements"] == 13
    assert data["elements"] == {"entered": 21, "delivered": 24, "discarded": 0, "total_over_streams": 45}


def test_queues_fill_and_empty_under_backpressure(ref, corpus_flow):
    data = run_json(ref, corpus_flow("backpressure"))
    assert [one["peak_depth"] for one in data["streams"]] == [4, 4]
    assert all(one["pressure_events"] > 1 for one in data["streams"])


def test_a_flush_waits_for_room(ref, corpus_flow):
    data = run_json(ref, corpus_flow("aggregator"))
    assert stream(data, "groups:default", "end:default")["peak_depth"] == 4


def test_errors_are_counted_against_their_stage(ref, corpus_flow):
    data = run_json(ref, corpus_flow("errors"))
    assert {stage["name"]: stage["errors"] for stage in data["stages"]} == {"numbers": 0, "picky": 3, "end": 0}
    strict = ref("run", corpus_flow("errors"), "--config", "flow.main.error_policy.policy=fail-fast")
    assert strict.code == 1
    assert "picky.process: invalid-input" in strict.err


def test_granted_output_is_on_stdout(ref, corpus_flow):
    ran = ref("run", corpus_flow("wasi-stdout"))
    assert lines(ran.out) == [line for number in range(3) for line in (b"hello from a component", NUMBERS[number])]
    assert ran.code == 0


def test_granted_output_makes_way_for_data(ref, corpus_flow):
    ran = ref("run", corpus_flow("wasi-stdout"), "--output", "-")
    assert lines(ran.out) == NUMBERS[:3]
    assert ran.err.count("hello from a component") == 3
    ran = ref("run", corpus_flow("wasi-stdout"), "--format", "json")
    assert ran.json["success"]
    assert ran.err.count("hello from a component") == 3


def test_output_that_is_not_granted_is_refused_before_anything_runs(ref, corpus_flow):
    file = corpus_flow("wasi-stdout")
    file.write_text(file.read_text().replace("[security.grants.lines]", "[security.grants.numbers]"))
    ran = ref("run", file)
    assert (ran.code, ran.out) == (1, b"")
    assert len(ran.errors) == 1
    assert f"[E0520] {file}: flow.main.nodes.lines: requires stdio:stdout" in ran.errors[0]


# ---- input and output


@pytest.mark.parametrize("name", ["README.md", "torvyn_ref/cli.py"])
def test_a_file_goes_through_wasm_line_by_line(ref, corpus_flow, flows, name):
    file = flows.parents[1] / name
    ran = ref("run", corpus_flow("linear"), "--input", file, "--output", "-")
    assert ran.out == file.read_bytes().translate(UPPER)


def test_a_named_source_is_replaced(ref, corpus_flow, tmp_path):
    (tmp_path / "words").write_text("one\ntwo\n")
    ran = ref("run", corpus_flow("fan-in"), "--input", f"low={tmp_path / 'words'}", "--output", "-")
    assert sorted(lines(ran.out)) == sorted([b"ONE", b"TWO", *CAPITALS[100:105]])


@pytest.mark.parametrize(("option", "expected"), [("words", "['low', 'high']"), ("capitals=words", "no source 'capitals'")])
def test_it_must_be_clear_which_source_is_replaced(ref, corpus_flow, tmp_path, monkeypatch, option, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").write_text("one\n")
    ran = ref("run", corpus_flow("fan-in"), "--input", option)
    assert ran.code == 2
    assert ran.errors[0].startswith("error: --input: ")
    assert expected.strip("[]") in ran.errors[0]


def test_a_file_appears_whole_or_not_at_all(ref, corpus_flow, tmp_path):
    out = tmp_path / "out"
    out.write_text("what was there before")
    failing = ("--config", "flow.main.error_policy.policy=fail-fast")
    ran = ref("run", corpus_flow("errors"), *failing, "--output", out)
    assert ran.code == 1
    assert out.read_text() == "what was there before"
    assert lines((tmp_path / "out.partial").read_bytes()) == NUMBERS[:2]
    assert f"what was delivered before the end is in {out}.partial" in ran.err
    assert ref("run", corpus_flow("errors"), "--output", out).code == 0
    assert lines(out.read_bytes()) == OUTCOMES["errors"]
    assert not (tmp_path / "out.partial").exists()


def test_a_link_stays_a_link(ref, corpus_flow, tmp_path):
    (tmp_path / "link").symlink_to("real")
    assert ref("run", corpus_flow("linear"), "--output", tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink()
    assert lines((tmp_path / "real").read_bytes()) == CAPITALS[:10]


@pytest.mark.parametrize(("target", "reason"), [("none/out", "No such file"), (".", "directory"), ("a\0b", "null byte")])
def test_an_output_that_cannot_be_opened_is_refused(ref, corpus_flow, tmp_path, monkeypatch, target, reason):
    file = corpus_flow("linear")
    monkeypatch.chdir(tmp_path)
    ran = ref("run", file, "--output", target)
    assert ran.code == 2
    assert ran.errors[0].startswith("error: --output: cannot write ")
    assert reason in ran.errors[0]


def test_a_full_disk_fails_the_flow(ref, corpus_flow):
    ran = ref("run", corpus_flow("linear"), "--output", "/dev/full")
    assert ran.code == 1
    assert "end.push: fatal (engine): the output cannot be written: No space left on device" in ran.err
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_disk_that_is_full_at_the_end_is_noticed(ref, corpus_flow, tmp_path, monkeypatch):
    """The last lines are written when the file is closed."""
    (tmp_path / "out.partial").symlink_to("/dev/full")
    ran = ref("run", corpus_flow("linear"), "--output", tmp_path / "out")
    assert ran.code == 1
    assert ran.errors == [f"error: --output: cannot write {tmp_path / 'out'}: No space left on device"]


# ---- limits and ends


def test_a_limit_ends_the_flow_in_order(ref, corpus_flow):
    ran = ref("run", corpus_flow("linear"), *ENDLESS, "--limit", "3", "--output", "-")
    assert (ran.code, lines(ran.out)) == (0, CAPITALS[:3])
    assert ran.err.startswith("Completed")


def test_a_timeout_cancels_and_is_no_failure(ref, corpus_flow):
    ran = ref("run", corpus_flow("linear"), *ENDLESS, "--timeout", "1ms", "--format", "json")
    data = ran.json["data"]
    assert (ran.code, data["state"], data["reason"], data["interrupted"]) == (0, "Cancelled", "operator-request", None)
    assert data["elements"]["discarded"] == data["live_buffers"] == 0


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("2s", 2), ("1.5m", 90), ("1h", 3600), ("0s", 0)])
def test_durations_are_numbers_with_a_unit(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "", "s", "-1s", "nans", "infs", "1e3s", "1 s", "1d", "٣s", "9" * 400 + "h"])
def test_other_durations_are_refused(text):
    with pytest.raises(TorvynError) as caught:
        parse_duration(text)
    assert (caught.value.kind, caught.value.where) == ("invalid-duration", "--timeout")


# ---- JSON


def test_a_run_as_json_says_everything(ref, corpus_flow):
    ran = ref("run", corpus_flow("linear"), "--format", "json")
    assert ran.json.keys() == {"success", "command", "data", "exit_code"}
    assert (ran.json["success"], ran.json["command"], ran.json["exit_code"]) == (True, "run", 0)
    data = ran.json["data"]
    assert data.keys() == {
        "flow", "flow_id", "state", "reason", "failure", "interrupted", "duration_ns", "elements", "copies", "pressure_events",
        "live_buffers", "reclaimed_buffers", "kept", "balance", "stages", "streams", "metrics",
    }  # fmt: skip
    assert data["failure"] is None
    assert data["copies"]["HostToComponent"] == {"ops": 20, "bytes": 320}
    (numbers, *_), (first, _) = data["stages"], data["streams"]
    assert numbers.keys() == {
        "name", "role", "component", "digest", "engine", "fallback_reason", "capabilities", "invocations", "errors", "busy_ns", "fuel",
    }  # fmt: skip
    assert first.keys() == {"stream", "elements", "dropped", "pressure_events", "pressure_ns", "peak_depth", "capacity"}
    assert (numbers["digest"][:7], numbers["engine"]) == ("sha256:", "direct")


def test_a_runs_metrics_agree_with_its_report(ref, corpus_flow):
    data = run_json(ref, corpus_flow("linear"))
    (flow,) = data["metrics"]["flows"]
    assert data["metrics"]["level"] == "production"
    assert flow["flow.elements.total"] == data["elements"]["entered"]
    assert flow["flow.copies.bytes"] == sum(one["bytes"] for one in data["copies"].values())
    off = run_json(ref, corpus_flow("linear"), "--config", "observability.metrics_enabled=false")
    assert off["metrics"] is None


def test_a_failed_run_as_json_is_an_error_with_its_data(ref, corpus_flow):
    ran = ref("run", corpus_flow("errors"), "--config", "flow.main.error_policy.policy=fail-fast", "--format", "json")
    assert (ran.code, ran.err) == (1, "")
    found = ran.json
    assert found.keys() == {"error", "command", "category", "detail", "exit_code", "context", "errors", "data"}
    assert (found["error"], found["category"], found["exit_code"]) == (True, "runtime", 1)
    assert found["errors"][0]["fields"] == {"stage": "picky", "call": "process"}
    assert found["data"]["failure"]["kind"] == "invalid-input"
    assert found["data"]["state"] == "Failed"


def test_a_failing_init_names_its_start_up_stage(ref, project):
    file = project.write(
        ("a", "source", "counter-source", 'config = "bogus=1"'),
        ("b", "sink", "sink-ready"),
    )
    found = ref("run", file, "--format", "json").json
    assert found["errors"][0]["fields"] == {"stage": "a", "call": "init", "startup_stage": "component init"}


def test_a_refusal_as_json_lists_its_errors(ref, tmp_path):
    ran = ref("check", tmp_path / "none", "--format", "json")
    assert (ran.code, ran.err) == (2, "")
    assert ran.json.keys() == {"error", "command", "category", "detail", "exit_code", "file", "suggestion", "errors"}
    assert (ran.json["category"], ran.json["errors"][0]["kind"]) == ("config", "not-found")


def test_stdout_is_not_for_two(ref, corpus_flow):
    ran = ref("run", corpus_flow("linear"), "--format", "json", "--output", "-")
    assert (ran.code, ran.json["errors"][0]["kind"]) == (2, "stdout-taken")


# ---- check


def test_check_says_what_would_run(ref, corpus_flow):
    ran = ref("check", corpus_flow("linear"))
    assert (ran.code, ran.out) == (0, b"")
    warning, checked = ran.err.splitlines()
    assert warning.startswith("warning: [E0100] ")
    assert warning.endswith("/wit: the project has no wit/ of its own, so no contract in it was checked")
    assert checked == "[ok] main: numbers (source), capitals (processor), end (sink)"


def test_check_as_json_shows_components_and_capabilities(ref, corpus_flow):
    stages = ref("check", corpus_flow("wasi-stdout"), "--format", "json").json["data"]["flows"]["main"]
    assert [stage["name"] for stage in stages] == ["numbers", "greeter", "lines"]
    assert stages[2]["capabilities"] == ["stdio:stdout"]
    assert stages[0].keys() == {"name", "role", "component", "digest", "engine", "fallback_reason", "capabilities"}


def test_check_looks_at_every_flow_and_reports_every_defect(ref, corpus_flow):
    file = corpus_flow("linear")
    text = file.read_text()
    flow = text[text.index("[flow.main]") :]
    other = flow.replace("flow.main", "flow.other").replace('"uppercase"', '"gone.wasm"')
    third = flow.replace("flow.main", "flow.third").replace("torvyn:streaming/processor", "torvyn:filtering/filter")
    file.write_text(f"{text}\n{other}\n{third}")
    ran = ref("check", file)
    assert ran.code == 1
    assert [error.split("flow.")[1].split(".")[0] for error in ran.errors] == ["other", "third"]
    assert ref("check", file, "--flow", "main").code == 0
    assert ref("run", file).code == 0


def test_warnings_are_shown(ref, corpus_flow, monkeypatch):
    monkeypatch.setenv("TORVYN_RUNTIME_BOGUS", "1")
    for command in ("run", "check"):
        assert "warning: " in ref(command, corpus_flow("linear")).err
        assert "TORVYN_RUNTIME_BOGUS" in ref(command, corpus_flow("linear"), "--format", "json").json["warnings"][0]


# ---- the audit log


def events(text):
    return [next(iter(json.loads(line)["event"])) for line in text.splitlines()]


def test_the_audit_log_goes_where_it_is_told(ref, corpus_flow, tmp_path):
    file = corpus_flow("linear")
    assert ref("run", file, "--audit", tmp_path / "audit").code == 0
    kinds = [kind for kind in events((tmp_path / "audit").read_text()) if kind != "CapabilityExercisedAggregate"]
    assert kinds[-5:] == ["FlowStarted", "FlowTerminated", *["ComponentTerminated"] * 3]
    assert not (file.parent / ".torvyn/audit.jsonl").exists()
    on_stderr = ref("check", file, "--audit", "-")
    assert events("\n".join(line for line in on_stderr.err.splitlines() if line.startswith("{"))) == ["CapabilityGrantResolved"] * 2


def test_the_audit_log_is_kept_with_the_project_by_default(ref, corpus_flow):
    file = corpus_flow("linear")
    ref("run", file)
    log = file.parent / ".torvyn/audit.jsonl"
    assert "FlowStarted" in events(log.read_text())
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_the_audit_log_can_be_switched_off(ref, corpus_flow):
    file = corpus_flow("linear")
    assert ref("run", file, "--config", "security.audit_enabled=false").code == 0
    assert not (file.parent / ".torvyn/audit.jsonl").exists()


def test_an_audit_log_that_cannot_be_written_refuses_the_run(ref, corpus_flow, tmp_path):
    file = corpus_flow("linear")
    ran = ref("run", file, "--audit", tmp_path / "none" / "audit")
    assert (ran.code, ran.errors[0].startswith("error: --audit: cannot write ")) == (2, True)
    (file.parent / ".torvyn").write_text("in the way")
    ran = ref("run", file)
    assert (ran.code, "write --audit - to have it on stderr" in ran.errors[0]) == (2, True)


# ---- wrong usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "0"], "--limit"),
        (["--bogus"], "No such option: --bogus"),
        (["--format", "xml"], "--format"),
        (["--timeout", "5"], "error: --timeout: expected a number and ms, s, m or h"),
        (["--config", "foo"], "error: --config: 'foo' is not KEY=VALUE"),
        (["--config", "runtime.bogus=1"], "unknown key 'bogus'"),
        (["--config", "runtime.drain_timeout_ms=soon"], "runtime.drain_timeout_ms"),
        (["--flow", "mian"], "did you mean 'main'?"),
        (["--input", "/none"], "error: --input: cannot read /none: No such file or directory"),
        (["--input", "/"], "error: --input: cannot read /: Is a directory"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(ref, corpus_flow, arguments, said):
    ran = ref("run", corpus_flow("linear"), *arguments)
    assert (ran.code, ran.out) == (2, b"")
    assert said in ran.err


def test_help_and_version(ref):
    assert ref("--version").out.decode().startswith(f"torvyn-ref {metadata.version('torvyn-conformance')} (wasmtime ")
    for arguments in (["--help"], ["run", "--help"], ["check", "--help"]):
        assert ref(*arguments).code == 0
    assert b"Commands" in ref("--help").out


# ---- in a process of its own


@pytest.fixture
def start(isolated):
    """Start `torvyn-ref`; whatever still runs at the end of the test is killed."""
    started = []

    def popen(*arguments, **options):
        process = subprocess.Popen(
            [sys.executable, "-m", "torvyn_ref", *map(str, arguments)],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_exits_with_its_number(start, corpus_flow, number):
    process = start("run", corpus_flow("linear"), *ENDLESS, "--output", "-")
    assert process.stdout.readline() == CAPITALS[0] + b"\n"
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 128 + number
    assert not out or out.endswith(b"\n"), "nothing more, or whole lines"  # what `readline` has read ahead is not among it
    assert b"Cancelled main (operator-request)" in err
    assert b"buffers    0 live" in err


def test_a_second_signal_gives_up(start, project, components):
    """What greeter has let through, picky will try again in an hour; draining may take as long."""
    file = project.write(
        ("numbers", "source", "counter-source"),
        ("greeter", "processor", "greet"),
        ("picky", "processor", "faulty", 'config = "every=1"'),
        ("end", "sink", "sink-ready"),
        more="\n".join([
            "[runtime]\ndrain_timeout_ms = 3600000",
            '[flow.main.error_policy]\npolicy = "retry"\nbackoff_ms = 3600000',
            f'[[component]]\nname = "greet"\npath = "{components}/wasi-stdout.wasm"\ncapabilities = ["stdio:stdout"]',
            '[security.grants.greeter]\ncapabilities = ["stdio:stdout"]',
        ]),
    )  # fmt: skip
    process = start("run", file)
    assert process.stdout.readline() == b"hello from a component\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # another number: two of the same might arrive as one
    _, err = process.communicate()
    assert process.returncode in {130, 143}  # whichever was heard first
    assert err == b"error: flow-1 was stopped before it ended\n[FAIL] run: runtime\n"


def test_ctrl_c_while_waiting_for_input(start, corpus_flow):
    process = start("run", corpus_flow("linear"), "--input", "-", "--output", "-", stdin=subprocess.PIPE)
    process.stdin.write(b"one line\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"ONE LINE\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert b"elements   1 in, 1 delivered" in err


def test_input_comes_from_a_pipe_line_by_line(start, corpus_flow):
    process = start("run", corpus_flow("linear"), "--input", "-", "--output", "-", stdin=subprocess.PIPE)
    for word in (b"one", b"two"):
        process.stdin.write(word + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == word.upper() + b"\n"
    out, _ = process.communicate(b"three")
    assert (process.returncode, out) == (0, b"THREE\n")


def test_input_comes_from_nothing(start, corpus_flow):
    process = start("run", corpus_flow("linear"), "--input", "-", "--output", "-")
    out, err = process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"elements   0 in" in err


@pytest.mark.parametrize(("flow", "code"), [("linear", 141), ("wasi-stdout", 1)])
def test_a_reader_that_goes_away_fails_the_flow_without_a_traceback(start, corpus_flow, flow, code):
    """A component that prints is told that it cannot, and what it does then is its own affair."""
    process = start("run", corpus_flow(flow), *ENDLESS, *(["--output", "-"] if flow == "linear" else []))
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == code
    assert err.startswith(b"Failed main (component-error)")
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


@pytest.mark.parametrize(("arguments", "code"), [(["run"], 0), (["check"], 0), (["run", "--format", "json"], 0)])
def test_a_closed_stdout_is_no_trouble(start, corpus_flow, arguments, code):
    command, *options = arguments
    process = start(command, corpus_flow("linear"), *options, stdout=None, preexec_fn=lambda: os.close(1))
    _, err = process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in err


def test_json_that_nobody_reads_is_not_worth_a_word(start, corpus_flow):
    read, write = os.pipe()
    os.close(read)
    process = start("run", corpus_flow("linear"), "--format", "json", stdout=write)
    os.close(write)
    _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")


def test_json_that_cannot_be_written_fails(start, corpus_flow):
    with Path("/dev/full").open("wb") as full:
        process = start("run", corpus_flow("linear"), "--format", "json", stdout=full)
        _, err = process.communicate()
    assert (process.returncode, err) == (1, b"error: standard output: cannot write: No space left on device\n")


def test_what_the_rooms_log_as_a_warning_is_shown_as_one(capsys):
    show_logged_warnings()
    show_logged_warnings()
    logging.getLogger("torvyn.engine").warning("the cache is not safe: %s", "evil\x1b[2J")
    assert capsys.readouterr().err.count("warning: the cache is not safe: evil\\x1b[2J") == 1


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch], ids=["a pipe", "an empty file"])
def test_what_was_there_before_the_audit_log_stays(ref, corpus_flow, tmp_path, make):
    place = tmp_path / "audit"
    make(place)
    reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert ref("check", corpus_flow("linear"), "--flow", "nope", "--audit", place).code == 2
    finally:
        os.close(reader)
    assert place.exists()

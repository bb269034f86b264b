"""The commands around a run: what they refuse, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torvyn_ref.commands.benching import regressions
from torvyn_ref.errors import TorvynError

REPORT = {"throughput": {"elements_per_sec": 1000.0}, "latency": {"p50_us": 10.0, "p99_us": 50.0}}
WIT = "package local:mine@0.1.0;\n"


@pytest.fixture
def linear(corpus_flow):
    """The flow `linear`, with WIT of its own: its Torvyn.toml."""
    file = corpus_flow("linear")
    (file.parent / "wit").mkdir()
    (file.parent / "wit" / "mine.wit").write_text(WIT)
    return file


def test_a_fresh_project_is_checked_and_strictly_so_with_a_flow(ref, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ref("init", "My_project-2").code == 0
    assert ref("check", "My_project-2").err.splitlines()[-1] == "[ok] check: no flow, no defect"
    ran = ref("check", "My_project-2", "--strict")
    assert ran.code == 1
    assert "the manifest defines no flow" in ran.err
    assert ref("init", "My_project-2").code == 2
    assert ref("init", "My_project-2", "--force").code == 0


def test_the_project_may_be_named_once(ref, linear):
    assert ref("check", "--manifest", linear).code == 0
    ran = ref("check", linear.parent, "--manifest", linear)
    assert ran.code == 2
    assert "both name a project" in ran.err


def test_what_is_packed_can_be_inspected_published_and_resolved(ref, linear, tmp_path):
    packed = [ref("pack", linear, "--component", "uppercase", "--format", "json").json["data"]["artifacts"][0] for _ in range(2)]
    assert packed[0] == packed[1]
    data = ref("inspect", packed[0]["path"], "--format", "json").json["data"]
    assert (data["digest"], data["component"]["role"]) == (packed[0]["digest"], "processor")
    assert (data["about"]["name"], data["about"]["wit_files"]) == ("uppercase", ["mine.wit"])
    published = ref("publish", linear, "--registry", f"local:{tmp_path / 'reg'}", "--format", "json").json["data"]
    assert published["digest"] == packed[0]["digest"]
    assert (tmp_path / "reg" / "uppercase-0.1.0.torvyn").read_bytes() == Path(packed[0]["path"]).read_bytes()


def test_a_name_that_is_taken_is_a_conflict(ref, linear, tmp_path):
    registry = f"local:{tmp_path / 'reg'}"
    ref("pack", linear, "--component", "uppercase")
    assert ref("publish", linear, "--registry", registry).code == 0
    assert ref("publish", linear, "--registry", registry).code == 0  # the same once more is none
    target = tmp_path / "reg" / "uppercase-0.1.0.torvyn"
    target.write_bytes(b"another")
    ran = ref("publish", linear, "--registry", registry)
    assert (ran.code, target.read_bytes()) == (3, b"another")
    assert ref("publish", linear, "--registry", registry, "--tag", "0.2.0").code == 0
    assert ref("publish", linear, "--registry", registry, "--dry-run", "--force").code == 0
    assert target.read_bytes() == b"another"
    assert ref("publish", linear, "--registry", registry, "--tag", "../up").code == 2


def test_nothing_to_publish_is_said(ref, linear):
    ran = ref("publish", linear, "--registry", "local:reg")
    assert ran.code == 1
    assert "run torvyn-ref pack first" in ran.err


@pytest.mark.parametrize("content", [b"", b"\x00asm", b"words", b"\x00asm\x0d\x00\x01\x00\xff\xff"])
def test_what_is_no_component_is_not_inspected(ref, tmp_path, content):
    for name in ("bad.wasm", "bad.torvyn"):
        (tmp_path / name).write_bytes(content)
        ran = ref("inspect", tmp_path / name, "--format", "json")
        assert (ran.code, ran.json["error"]) == (1, True)


def test_a_doctor_names_what_is_missing(ref, linear, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = ref("doctor", linear)
    assert ran.code == 1
    failed = [line.split()[1].rstrip(":") for line in ran.err.splitlines() if line.startswith("[FAIL]")]
    assert failed == ["rustc", "cargo-component", "wasm-tools", "wasm32-wasip2"]


def test_a_benchmark_is_saved_reported_and_compared(ref, linear, tmp_path):
    report = tmp_path / "report.csv"
    ran = ref("bench", linear, "--warmup", "0s", "--baseline", "first", "--report", report, "--report-format", "csv")
    assert ran.code == 0
    saved = json.loads((linear.parent / ".torvyn" / "bench" / "first.json").read_text())
    assert (saved["flow_name"], saved["throughput"]["elements"], saved["latency"]["count"]) == ("main", 10, 10)
    assert report.read_text().startswith("metric,value\nmeasurement_secs,")
    (tmp_path / "no-report.json").write_text('{"throughput": 4}')
    ran = ref("bench", linear, "--compare", tmp_path / "no-report.json")
    assert ran.code == 2
    assert "expected a number throughput.elements_per_sec" in ran.err
    assert ref("bench", linear, "--baseline", "../up").code == 2


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        ({"throughput": {"elements_per_sec": 901.0}}, []),
        ({"throughput": {"elements_per_sec": 899.0}}, ["throughput"]),
        ({"latency": {"p50_us": 11.0, "p99_us": 55.1}}, ["latency p99"]),
        ({"latency": {"p50_us": 12.0, "p99_us": 60.0}}, ["latency p50", "latency p99"]),
    ],
)
def test_a_regression_is_beyond_the_threshold(now, worse):
    assert [each.partition(":")[0] for each in regressions(REPORT, {**REPORT, **now}, 10.0)] == worse


def test_a_report_without_numbers_is_refused():
    with pytest.raises(TorvynError, match="expected a number latency"):
        regressions({**REPORT, "latency": {"p50_us": True}}, REPORT, 10.0)


def test_colours_are_asked_for_before_the_command(ref, linear):
    assert "\x1b[" in ref("--color", "always", "check", linear).err
    assert "\x1b[" not in ref("--color", "never", "check", linear).err
    assert ref("--color", "sometimes", "check", linear).code == 2

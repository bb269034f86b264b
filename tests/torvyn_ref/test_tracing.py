"""Flows of real components, written down: hysteresis at exactly the specified depths, a trace that the judge accepts, a picture."""

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace as replace_trace

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from conformance.cli import call
from conformance.rulebook import load
from conformance.traces import events as e
from conformance.traces import file as tracefile
from conformance.traces.judging import judge
from torvyn_ref import config, tracing
from torvyn_ref.cli import app
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.host import Attachments, Host
from torvyn_ref.observe.plot import Axis, DepthRecorder

from .conftest import FLOWS, ROOT

PICTURE = ROOT / "docs/images/pressure.svg"


def broken(trace):
    return [judged.broken for judged in judge(load(), trace) if judged.broken is not None]


class Traced:
    """A flow that ran on a virtual clock: its trace, and each stream's transitions as (on, depth)."""

    def __init__(self, file, *, schedule=None, limit=None):
        self.lines = io.BytesIO()
        host = Host(config.load(file), clock=VirtualClock())
        try:
            self.outcome = tracing.run(host, None, tracing.Wanted(self.lines), schedule=schedule, attachments=Attachments(limit=limit))
        finally:
            host.close()
        self.file = tracefile.decode(self.lines.getvalue())
        self.edges = self.outcome.prepared.driver.topology.edges
        pressure = [line for line in map(json.loads, self.lines.getvalue().splitlines()) if line["e"] == "bp"]
        self.changes = [[(e["on"], e["depth"]) for e in pressure if e["stream"] == index] for index in range(len(self.edges))]

    def assert_hysteresis(self, *streams):
        """Pressure goes on at the capacity and off at the low mark, in turn, and these streams have seen it."""
        for index, (edge, changes) in enumerate(zip(self.edges, self.changes, strict=True)):
            capacity, low = edge.config.capacity, int(edge.config.capacity * edge.config.low_watermark_ratio)
            assert changes == [(True, capacity), (False, low)] * (len(changes) // 2)
            assert changes or index not in streams
        assert self.outcome.report.state == "Completed"
        assert self.outcome.report.live_buffers == 0

    def broken(self):
        return broken(self.file)


def test_producer_first_fills_the_queues_and_empties_them_to_the_low_mark(corpus_flow):
    run = Traced(corpus_flow("backpressure"), schedule="producer-first")
    run.assert_hysteresis(0, 1)
    assert [len(changes) for changes in run.changes] == [38, 38]
    assert run.outcome.report.delivered == 40
    assert run.broken() == []


@pytest.mark.parametrize("seed", range(6))
def test_drawn_schedules_keep_the_marks(corpus_flow, seed):
    run = Traced(corpus_flow("backpressure"), schedule=f"drawn:{seed}")
    run.assert_hysteresis()
    assert run.outcome.report.delivered == 40
    assert run.broken() == []


def test_a_drawn_schedule_is_the_same_for_the_same_seed(corpus_flow):
    runs = [Traced(corpus_flow("backpressure"), schedule=f"drawn:{seed}") for seed in (3, 3, 4)]
    calls = [[(event.stage, event.fn) for event in run.file.events if type(event).__name__ == "Called"] for run in runs]
    assert calls[0] == calls[1] != calls[2]


def test_the_burst_of_a_flush_goes_through_a_short_queue(corpus_flow):
    """20 elements and the last group through a queue of four: pending until there is a place, in order, none lost."""
    run = Traced(corpus_flow("aggregator"))
    run.assert_hysteresis(1)
    assert (run.outcome.report.delivered, run.outcome.report.streams[1].peak_depth) == (24, 4)
    assert run.broken() == []


def test_at_capacity_one_every_element_switches_pressure_on_and_off(project):
    file = project.write(
        ("numbers", "source", "fast-source", 'config = "count=7"'),
        ("end", "sink", "sink-ready"),
        edges=[("numbers", "end", "queue_depth = 1")],
    )
    run = Traced(file)
    run.assert_hysteresis(0)
    assert run.changes == [[(True, 1), (False, 0)] * 7]
    assert run.broken() == []


def test_a_branch_that_its_pausing_sink_holds_keeps_the_marks_of_both_branches(project):
    """The source waits for the branch that is held; whatever its queue does, it does at the marks."""
    file = project.write(
        ("numbers", "source", "fast-source", 'config = "count=30"'),
        ("ready", "sink", "sink-ready"),
        ("pausing", "sink", "sink-pausing", 'config = "every=1"'),
        edges=[("numbers", "ready", "queue_depth = 4\nlow_watermark_ratio = 0.25"), ("numbers", "pausing", "queue_depth = 4")],
    )
    run = Traced(file, schedule="producer-first")
    run.assert_hysteresis(0, 1)
    assert run.outcome.report.delivered == 60
    assert run.outcome.report.duration_ns > 0  # it waited to ask the pausing sink again
    assert run.broken() == []


def test_on_the_machines_clock_the_marks_are_the_same_and_the_judge_knows_of_the_quantum(corpus_flow):
    lines = io.BytesIO()
    host = Host(config.load(corpus_flow("backpressure")))
    try:
        outcome = tracing.run(host, "main", tracing.Wanted(lines), schedule="drawn:2")
    finally:
        host.close()
    assert outcome.report.elements_in == 40
    trace = tracefile.decode(lines.getvalue())
    assert trace.header.clock == "monotonic"
    assert broken(trace) == []


# ---- the picture


def test_the_picture_in_the_documents_is_what_the_command_draws(tmp_path):
    drawn = tmp_path / "pressure.svg"
    arguments = ["trace", str(FLOWS / "backpressure"), "--virtual", "--axis", "steps", "--plot", str(drawn), "--audit", str(tmp_path / "a")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert drawn.read_text() == PICTURE.read_text()


def test_a_picture_says_in_words_what_it_shows(corpus_flow, tmp_path):
    drawn = tmp_path / "x.svg"
    host = Host(config.load(corpus_flow("aggregator")), clock=VirtualClock())
    try:
        tracing.run(host, None, tracing.Wanted(picture=drawn, axis=Axis.TIME))
    finally:
        host.close()
    label = ET.parse(drawn).getroot().get("aria-label")
    assert "numbers:default -> groups:default: 0 activations at depths none" in label
    assert "9 activations at depths 4, 9 releases at depths 2" in label


def test_a_long_flow_is_drawn_from_its_beginning(monkeypatch, corpus_flow):
    monkeypatch.setattr("torvyn_ref.observe.plot.POINTS_MOST", 5)
    host = Host(config.load(corpus_flow("backpressure")))
    try:
        edges = host.prepare(None).driver.topology.edges
    finally:
        host.close()
    recorder = DepthRecorder(edges)
    for number in range(8):
        recorder.enqueued(number, 0, None, number % 4, 0)
    assert "the beginning only" in recorder.draw("t")


# ---- what is refused


@pytest.mark.parametrize("text", ["", "drawn", "drawn:", "drawn:-1", "drawn:x", "drawn:" + "9" * 19, "random", "consumer-first:1"])
def test_a_schedule_that_means_nothing_is_refused(text):
    with pytest.raises(TorvynError) as refused:
        tracing.parse_schedule(text)
    assert (refused.value.kind, refused.value.where) == ("invalid-schedule", "--schedule")


def test_without_a_picture_the_trace_goes_to_stdout(corpus_flow, tmp_path):
    result = CliRunner().invoke(app, ["trace", str(corpus_flow("linear")), "--limit", "3", "--audit", str(tmp_path / "a")])
    assert result.exit_code == 0
    assert tracefile.decode(result.stdout_bytes).summary.state == "Completed"


@pytest.mark.parametrize("option", ["--plot", "--out"])
def test_a_file_that_cannot_be_written_is_a_clear_error(corpus_flow, tmp_path, option):
    target = tmp_path / "missing" / "file"
    result = CliRunner().invoke(app, ["trace", str(corpus_flow("linear")), option, str(target), "--audit", str(tmp_path / "a")])
    assert result.exit_code != 0
    assert f"cannot write {target}: No such file or directory" in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


# ---- every flow of the corpus, judged


@pytest.mark.parametrize("limit", [None, 4])
@pytest.mark.parametrize("schedule", ["consumer-first", "producer-first", "drawn:5"])
@pytest.mark.parametrize("name", sorted(path.parent.name for path in FLOWS.glob("*/Torvyn.toml")))
def test_the_judge_finds_nothing_in_the_trace_of_any_flow(corpus_flow, tmp_path, capfd, name, schedule, limit):
    file = tmp_path / "t.jsonl"
    arguments = ["trace", str(corpus_flow(name)), "--virtual", "--schedule", schedule, "--out", str(file), "--audit", str(tmp_path / "a")]
    result = CliRunner().invoke(app, [*arguments, *([] if limit is None else ["--limit", str(limit)])])
    trace = tracefile.read(file)
    assert result.exit_code == (1 if trace.summary.state == "Failed" else 0), result.output
    assert trace.header.limit == limit
    assert broken(trace) == []
    assert call(["judge", str(file)]) == 0, capfd.readouterr().out


def accused(trace):
    return {shown.rule for shown in broken(trace)}


def changed(trace, change):
    """The trace with other events: `change` returns what stands in an event's place, or nothing."""
    return replace_trace(trace, events=tuple(event for old in trace.events for event in change(old)))


def is_flush(event):
    return isinstance(event, e.Returned) and event.fn == "flush"


@pytest.mark.parametrize(("claimed", "rules"), [(20, {"ORD-011", "CREDIT-015"}), (22, {"ORD-011", "POLICY-001", "CREDIT-015"})])
def test_a_flush_is_held_to_the_count_that_was_recorded(corpus_flow, claimed, rules):
    run = Traced(corpus_flow("aggregator"))
    assert [event.count for event in run.file.events if is_flush(event)] == [21]
    lying = changed(run.file, lambda event: [replace(event, count=claimed) if is_flush(event) else event])
    assert accused(lying) >= rules


def test_a_lost_element_of_a_flush_is_seen(corpus_flow):
    file = Traced(corpus_flow("aggregator")).file
    last = max(event.seq for event in file.events if isinstance(event, e.Enqueued) and event.stream == 1)
    lossy = changed(file, lambda event: [] if getattr(event, "stream", None) == 1 and getattr(event, "seq", None) == last else [event])
    assert accused(lossy) >= {"ORD-011", "CREDIT-015"}


def test_a_queue_deeper_than_one_is_seen_until_a_consumer_held_elements_back(corpus_flow):
    file = Traced(corpus_flow("linear")).file
    assert "SCHED-004" in accused(changed(file, lambda event: [replace(event, depth=2) if isinstance(event, e.Enqueued) else event]))


@pytest.mark.parametrize(("limit", "rules"), [(None, {"FLOW-007"}), (5, {"FLOW-007"}), (3, {"FLOW-010"})])
def test_a_limited_flow_is_held_to_its_limit(corpus_flow, limit, rules):
    file = Traced(corpus_flow("linear"), limit=4).file
    assert accused(file) == set()
    assert accused(replace_trace(file, header=replace(file.header, limit=limit))) >= rules


def test_a_limited_flow_is_still_held_to_empty_queues(corpus_flow):
    file = Traced(corpus_flow("linear"), limit=4).file
    left = [at for at, event in enumerate(file.events) if isinstance(event, e.Dequeued)][-1]
    assert "FLOW-007" in accused(replace_trace(file, events=(*file.events[:left], *file.events[left + 1 :])))


@pytest.mark.parametrize("name", ["linear", "aggregator"])
def test_a_trace_of_real_components_is_not_replayed_with_other_ones(corpus_flow, tmp_path, capsys, name):
    file = tmp_path / "t.jsonl"
    file.write_bytes(Traced(corpus_flow(name)).lines.getvalue())
    assert call(["replay", str(file), "--subject", "reference"]) == 4
    captured = capsys.readouterr()
    assert "cannot be replayed: its flow ran real components, and the header has no scripts" in " ".join(captured.err.split())
    assert captured.out == ""


@pytest.mark.parametrize("name", ["hoarder", "leak-frozen", "leak-mutable", "leak-then-error"])
@pytest.mark.parametrize("policy", ["skip", "retry"])
def test_what_a_component_keeps_for_itself_is_not_held_against_the_runtime(project, name, policy):
    file = project.write(
        ("numbers", "source", "counter-source", 'config = "count=7"'),
        ("keeps", "processor", name),
        ("end", "sink", "sink-ready"),
        more=f'[flow.main]\nerror_policy = {{ policy = "{policy}"{", max_retries = 2" if policy == "retry" else ""} }}',
    )
    assert Traced(file).broken() == []


def test_an_element_that_is_not_released_is_held_against_the_runtime(corpus_flow):
    file = Traced(corpus_flow("linear")).file
    given = {event.buffer for event in file.events if isinstance(event, e.Enqueued)}
    late = [event for event in file.events if isinstance(event, e.BufferEvent) and event.op == "release" and event.buffer in given]
    kept = [event for event in file.events if event not in late]
    assert "OWN-024" in accused(replace_trace(file, events=(*kept[:-1], *late, kept[-1])))


@pytest.mark.parametrize("name", ["linear", "aggregator", "fan-in", "router"])
def test_a_cancelled_flow_is_held_to_its_cancel(corpus_flow, monkeypatch, name):
    calls = []

    class Cancelling(tracing.TraceRecorder):
        def begin(self, driver, **how):
            self.asked = driver.cancel
            super().begin(driver, **how)

        def called(self, at, stage, call, element):
            super().called(at, stage, call, element)
            calls.append(stage)
            if len(calls) == 9:
                self.asked()

    monkeypatch.setattr(tracing, "TraceRecorder", Cancelling)
    run = Traced(corpus_flow(name))
    assert run.outcome.report.state == "Cancelled"
    assert run.broken() == []
    silent = changed(run.file, lambda event: [] if isinstance(event, e.CancelRequested) else [event])
    assert "FLOW-008" in accused(silent)
    drained = next(at for at, event in enumerate(run.file.events) if isinstance(event, e.CancelRequested))
    source = next(stage.name for stage in run.file.header.flow.stages if stage.role == "source")
    pulled = (e.Called(stage=source, fn="pull"), e.Returned(stage=source, fn="pull", outcome="end"))
    late = replace_trace(run.file, events=(*run.file.events[: drained + 1], *pulled, *run.file.events[drained + 1 :]))
    assert "CANCEL-001" in accused(late)


def test_spans_are_written_as_otlp_in_batches(ref, corpus_flow, tmp_path):
    target = tmp_path / "spans.jsonl"
    ran = ref("trace", corpus_flow("backpressure"), "--virtual", "--spans", target)
    assert (ran.code, ran.out) == (0, b"")
    batches = [json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"] for line in target.read_text().splitlines()]
    assert all(len(batch) == 512 for batch in batches[:-1])
    spans = [span for batch in batches for span in batch]
    by_id = {span["spanId"]: span for span in spans}
    assert len(by_id) == len(spans)
    assert all(not span["parentSpanId"] or by_id[span["parentSpanId"]]["traceId"] == span["traceId"] for span in spans)
    assert sum(span["name"].startswith("flow:") for span in spans) == 40  # a trace for each element


def test_two_outputs_cannot_share_stdout(ref, corpus_flow):
    ran = ref("trace", corpus_flow("linear"), "--out", "-", "--spans", "-")
    assert (ran.code, ran.out) == (2, b"")
    assert "both want stdout" in ran.err

import io
import json
import os
from threading import Barrier, Thread

import pytest

from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security import AuditLog, EventKind, JsonLines, RotatingFile, Severity, discard, resolve

EPOCH = 1_700_000_000_000_000_000


@pytest.fixture
def clock():
    return VirtualClock(epoch_ns=EPOCH)


def test_an_event_is_one_json_object_on_one_line(clock):
    stream = io.StringIO()
    log = AuditLog(JsonLines(stream), clock)
    log.emit(EventKind.FLOW_STARTED, flow="flow-1", component_ids=["a", "b\nc"])
    clock.advance(5)
    log.emit(EventKind.SANDBOX_VIOLATION, component="a", flow="flow-1", violation_type="memory", detail="grew past 16 MiB")
    lines = stream.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "sequence": 1,
            "timestamp_ns": EPOCH,
            "severity": "Info",
            "tenant_id": "default",
            "component_id": None,
            "flow_id": "flow-1",
            "event": {"FlowStarted": {"component_ids": ["a", "b\nc"]}},
        },
        {
            "sequence": 2,
            "timestamp_ns": EPOCH + 5,
            "severity": "Critical",
            "tenant_id": "default",
            "component_id": "a",
            "flow_id": "flow-1",
            "event": {"SandboxViolation": {"violation_type": "memory", "detail": "grew past 16 MiB"}},
        },
    ]


def test_severities_read_as_in_text_logs(clock):
    assert [severity.label for severity in Severity] == ["INFO", "WARN", "CRIT"]
    event = AuditLog(discard, clock).emit(EventKind.RESOLUTION_WARNING, component="a", detail="unused")
    assert str(event) == "WARN CapabilityResolutionWarning component=a detail='unused'"


def test_the_eleven_kinds_of_the_code_and_the_three_of_the_documentation_exist():
    assert {str(kind) for kind in EventKind} == {
        "ComponentInstantiated",
        "ComponentTerminated",
        "FlowStarted",
        "FlowTerminated",
        "CapabilityGrantResolved",
        "CapabilityDeniedAtLink",
        "CapabilityExercised",
        "CapabilityExercisedAggregate",
        "CapabilityDeniedAtRuntime",
        "CapabilityResolutionWarning",
        "SandboxViolation",
        "ComponentLoaded",
        "SignatureVerificationFailed",
        "UnsignedComponentLoaded",
    }


def test_numbers_increase_and_arrive_in_order_from_several_threads(clock):
    events = []
    log = AuditLog(events.append, clock)
    start = Barrier(4)

    def emit():
        start.wait()
        for _ in range(200):
            log.emit(EventKind.EXERCISED, capability="clock:wall")

    threads = [Thread(target=emit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.sequence for event in events] == list(range(1, 801))


def test_a_sink_that_fails_stops_nobody_and_is_counted(clock):
    stream = io.StringIO()
    stream.close()
    log = AuditLog(JsonLines(stream), clock)
    log.emit(EventKind.FLOW_STARTED)
    assert log.emit(EventKind.FLOW_TERMINATED).sequence == 2
    assert log.lost == 2
    assert log.last_problem.startswith("ValueError: ")


def test_a_resolution_is_recorded_as_warnings_then_grants_then_the_instance(clock):
    events = []
    log = AuditLog(events.append, clock)
    resolution = resolve(["clock:wall", "?stdio:stderr"], ["clock:wall", "random:crypto"], component="a")
    log.resolved(resolution, component="a", flow="f")
    log.instantiated(resolution, component="a", flow="f")
    assert [(event.kind, event.severity) for event in events] == [
        (EventKind.RESOLUTION_WARNING, Severity.WARNING),
        (EventKind.RESOLUTION_WARNING, Severity.WARNING),
        (EventKind.GRANT_RESOLVED, Severity.INFO),
        (EventKind.COMPONENT_INSTANTIATED, Severity.INFO),
    ]
    assert events[2].details == {"requested": "clock:wall", "granted": "clock:wall", "effective": "clock:wall"}
    assert events[3].details == {"resolved_capabilities": ["clock:wall"]}
    assert {(event.component, event.flow) for event in events} == {("a", "f")}


def test_a_refusal_is_recorded_once_per_capability(clock):
    events = []
    log = AuditLog(events.append, clock)
    with pytest.raises(TorvynErrors) as refusal:
        resolve(["clock:wall", "magic:x", "random:crypto"], [], component="a")
    log.denied_at_link(refusal.value, flow="f")
    assert [(event.kind, event.severity, event.component) for event in events] == [(EventKind.DENIED_AT_LINK, Severity.CRITICAL, "a")] * 3
    assert [event.details["capability"] for event in events] == ["magic:x", "clock:wall", "random:crypto"]
    assert all(event.details["reason"] for event in events)


def test_a_single_refusal_is_recorded_too(clock):
    events = []
    with pytest.raises(TorvynError) as refusal:
        resolve(["clock:wall"], [], component="a")
    AuditLog(events.append, clock).denied_at_link(refusal.value)
    assert len(events) == 1


def sequences(path):
    return [json.loads(line)["sequence"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_files_rotate_by_size_and_only_so_many_are_kept(tmp_path, clock):
    path = tmp_path / "logs" / "audit.jsonl"
    log = AuditLog(sink := RotatingFile(path, max_bytes=600, max_files=2), clock)
    for _ in range(30):
        log.emit(EventKind.EXERCISED, component="a", capability="clock:wall")
    sink.close()
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert all(file.stat().st_size <= 600 for file in files)
    kept = sequences(path.with_name("audit.jsonl.2")) + sequences(path.with_name("audit.jsonl.1")) + sequences(path)
    assert kept == list(range(kept[0], 31))
    assert log.lost == 0


def test_no_rotated_files_means_starting_anew_without_losing_the_newest(tmp_path, clock):
    path = tmp_path / "audit.jsonl"
    log = AuditLog(sink := RotatingFile(path, max_bytes=600, max_files=0), clock)
    for _ in range(30):
        log.emit(EventKind.EXERCISED, component="a", capability="clock:wall")
    sink.close()
    assert [file.name for file in tmp_path.iterdir()] == ["audit.jsonl"]
    assert sequences(path)[-1] == 30
    assert path.stat().st_size <= 600


def test_an_event_larger_than_a_file_gets_one_and_no_empty_file_is_rotated(tmp_path, clock):
    path = tmp_path / "audit.jsonl"
    log = AuditLog(sink := RotatingFile(path, max_bytes=10, max_files=3), clock)
    log.emit(EventKind.FLOW_STARTED)
    assert [file.name for file in tmp_path.iterdir()] == ["audit.jsonl"]
    log.emit(EventKind.FLOW_TERMINATED)
    sink.close()
    assert (sequences(path.with_name("audit.jsonl.1")), sequences(path)) == ([1], [2])


def test_a_log_is_continued_after_a_restart_and_read_by_its_owner_only(tmp_path, clock):
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        sink = RotatingFile(path)
        AuditLog(sink, clock).emit(EventKind.FLOW_STARTED)
        sink.close()
    assert sequences(path) == [1, 1]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_event_after_closing_opens_the_file_again(tmp_path, clock):
    path = tmp_path / "audit.jsonl"
    log = AuditLog(sink := RotatingFile(path), clock)
    log.emit(EventKind.FLOW_STARTED)
    sink.close()
    log.emit(EventKind.FLOW_TERMINATED)
    sink.close()
    assert sequences(path) == [1, 2]


def test_a_rotation_that_fails_loses_no_event(tmp_path, clock):
    path = tmp_path / "audit.jsonl"
    (tmp_path / "audit.jsonl.1" / "in the way").mkdir(parents=True)
    log = AuditLog(sink := RotatingFile(path, max_bytes=10, max_files=1), clock)
    log.emit(EventKind.FLOW_STARTED)
    log.emit(EventKind.FLOW_TERMINATED)
    sink.close()
    assert sequences(path) == [1, 2]
    assert log.lost == 0
    assert "audit.jsonl.1" in sink.rotation_problem


def test_a_log_that_cannot_be_opened_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        RotatingFile(tmp_path / "file" / "audit.jsonl")


@pytest.mark.parametrize("bounds", [{"max_bytes": 0}, {"max_files": -1}])
def test_bounds_that_make_no_sense_are_refused(tmp_path, bounds):
    with pytest.raises(ValueError, match="max_bytes"):
        RotatingFile(tmp_path / "audit.jsonl", **bounds)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_never_rotated(tmp_path, clock):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        log = AuditLog(sink := RotatingFile(pipe, max_bytes=10, max_files=3), clock)
        for _ in range(3):
            log.emit(EventKind.FLOW_STARTED, flow="main")
        sink.close()
        assert os.read(reader, 65536).count(b"FlowStarted") == 3
    finally:
        os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_severities_are_ordered_by_how_much_they_matter():
    assert sorted(Severity, key=str) != sorted(Severity)
    assert sorted([Severity.CRITICAL, Severity.INFO, Severity.WARNING]) == [Severity.INFO, Severity.WARNING, Severity.CRITICAL]
    assert Severity.WARNING <= Severity.WARNING < Severity.CRITICAL
    assert Severity.CRITICAL > Severity.INFO
    assert Severity.INFO >= Severity.INFO

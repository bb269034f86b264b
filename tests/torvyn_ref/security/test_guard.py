import pytest

from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.security import AuditLog, CapabilitySet, EventKind, Guard, HotPath, Kind, Severity, parse

ANY_POOL = "torvyn:resource-allocate"


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def guard(clock, events):
    def make(*held):
        return Guard(CapabilitySet.of(held), AuditLog(events.append, clock), clock, component="reader", flow="flow-1")

    return make


def test_an_allowed_use_is_recorded_once_before_the_check_returns(guard, events):
    guard("torvyn:runtime-inspect").check(parse("torvyn:runtime-inspect"), "list flows")
    (event,) = events
    assert (event.kind, event.severity) == (EventKind.EXERCISED, Severity.INFO)
    assert (event.component, event.flow) == ("reader", "flow-1")
    assert event.details == {"capability": "torvyn:runtime-inspect", "detail": "list flows"}


def test_a_refused_use_is_recorded_once_and_named_in_the_error(guard, events):
    with pytest.raises(TorvynError) as refusal:
        guard("network:tcp-connect:a.com:443").check(parse("network:tcp-connect:a.com:22"))
    assert (refusal.value.subsystem, refusal.value.kind, refusal.value.code) == ("security", "denied", "E0503")
    assert "reader" in str(refusal.value)
    assert "network:tcp-connect:a.com:22" in str(refusal.value)
    (event,) = events
    assert (event.kind, event.severity) == (EventKind.DENIED_AT_RUNTIME, Severity.CRITICAL)
    assert event.details["capability"] == "network:tcp-connect:a.com:22"


def test_without_capabilities_every_hot_path_flag_is_down():
    hot = HotPath.of(CapabilitySet())
    assert hot == HotPath()
    assert not any(hot.may(kind) for kind in Kind)
    assert not hot.may_allocate("small")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.is_hot_path])
def test_each_hot_path_kind_raises_its_own_flag_only(kind):
    hot = HotPath.of(CapabilitySet.of([str(kind)]))
    assert [other for other in Kind if hot.may(other)] == [kind]


def test_a_pool_scope_limits_allocation_to_that_pool(guard, events):
    limited = guard("torvyn:resource-allocate:small", "torvyn:resource-allocate:medium")
    assert limited.use(Kind.RESOURCE_ALLOCATE, "small")
    assert limited.use(Kind.RESOURCE_ALLOCATE, "medium")
    assert not limited.use(Kind.RESOURCE_ALLOCATE, "large")
    assert [event.details["capability"] for event in events] == ["torvyn:resource-allocate:large"]
    assert guard(ANY_POOL, "torvyn:resource-allocate:small").use(Kind.RESOURCE_ALLOCATE, "large")


def test_hot_path_uses_are_counted_and_add_up(guard, events, clock):
    busy = guard(ANY_POOL, "torvyn:custom-metrics")
    for _ in range(1000):
        assert busy.use(Kind.RESOURCE_ALLOCATE, "small")
        busy.tick()
    assert events == []
    clock.advance(1_500_000_000)
    busy.tick()
    for _ in range(234):
        busy.use(Kind.RESOURCE_ALLOCATE)
    busy.use(Kind.CUSTOM_METRICS)
    busy.flush()
    busy.flush()
    assert [event.kind for event in events] == [EventKind.EXERCISED_AGGREGATE] * 3
    assert [dict(event.details) for event in events] == [
        {"capability": ANY_POOL, "count": 1000, "interval_ms": 1500},
        {"capability": ANY_POOL, "count": 234, "interval_ms": 0},
        {"capability": "torvyn:custom-metrics", "count": 1, "interval_ms": 0},
    ]


def test_every_denial_on_the_hot_path_is_recorded_by_itself(guard, events):
    denied = guard()
    assert not any(denied.use(Kind.EMIT_BACKPRESSURE) for _ in range(3))
    denied.flush()
    assert [event.kind for event in events] == [EventKind.DENIED_AT_RUNTIME] * 3


def test_a_guard_records_what_a_sandbox_reports(guard, events):
    audit = guard("clock:wall", ANY_POOL)
    audit("clock:wall", "now")
    audit("torvyn:resource-allocate:small", "64 bytes")
    assert [event.details["capability"] for event in events] == ["clock:wall"]
    audit.flush()
    assert events[-1].details["count"] == 1

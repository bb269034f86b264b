"""What a component's allocator asks of its guard, and what the guest learns when it may not."""

import pytest

from torvyn_ref.calls import FlowContext
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine import guest as guest_module
from torvyn_ref.engine.guest import GuestHost, WitBufferError
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager
from torvyn_ref.resources.pools import TIER_BYTES, Tier, tier_of
from torvyn_ref.security import AuditLog, CapabilitySet, EventKind, Guard

ME, FLOW = Owner(1), FlowId(1)


@pytest.fixture
def events():
    return []


@pytest.fixture
def guest(events):
    def make(*held):
        clock = VirtualClock()
        guard = Guard(CapabilitySet.of(held), AuditLog(events.append, clock), clock, component="reader")
        return GuestHost(ResourceManager(), ME, FLOW, clock, FlowContext("f"), guard.allocations(tier_of)), guard

    return make


@pytest.mark.parametrize(
    ("size", "tier"), [(0, Tier.SMALL), (256, Tier.SMALL), (257, Tier.MEDIUM), (1048576, Tier.HUGE), (1 << 24, Tier.HUGE)]
)
def test_a_size_belongs_to_the_smallest_tier_that_holds_it(size, tier):
    assert tier_of(size) is tier


def test_a_grant_for_a_pool_allocates_from_that_pool_alone(guest, events):
    host, _ = guest("torvyn:resource-allocate:small")
    host.allocate(TIER_BYTES[Tier.SMALL])
    for size in (TIER_BYTES[Tier.SMALL] + 1, TIER_BYTES[Tier.HUGE]):
        with pytest.raises(WitBufferError, match="allocation-failed"):
            host.allocate(size)
    assert [event.kind for event in events] == [EventKind.DENIED_AT_RUNTIME] * 2
    assert events[0].details["capability"] == "torvyn:resource-allocate:medium"


def test_a_copy_is_an_allocation_too(guest, events):
    host, _ = guest("torvyn:resource-allocate:large")
    made = host.allocate(TIER_BYTES[Tier.LARGE])
    host.append(made, b"x")
    frozen = host.freeze(made)
    with pytest.raises(WitBufferError, match="allocation-failed"):
        host.clone_into_mutable(frozen)
    assert len(events) == 1


def test_what_is_permitted_is_counted_and_written_down_as_one_sum(guest, events):
    host, guard = guest("torvyn:resource-allocate")
    for _ in range(100):
        host.drop_mutable(host.allocate(16))
    assert events == []
    guard.flush()
    guard.flush()
    assert [(event.kind, event.details["count"]) for event in events] == [(EventKind.EXERCISED_AGGREGATE, 100)]


def test_without_the_capability_nothing_is_allocated(guest, events):
    host, guard = guest()
    with pytest.raises(WitBufferError, match="allocation-failed"):
        host.allocate(1)
    guard.flush()
    assert [event.kind for event in events] == [EventKind.DENIED_AT_RUNTIME]


def test_frozen_buffers_that_a_guest_keeps_count_as_handles(guest, monkeypatch):
    monkeypatch.setattr(guest_module, "MAX_HANDLES", 2)
    host, _ = guest("torvyn:resource-allocate")
    made = host.allocate(1)
    host.freeze(made)  # the spent handle, and the new one
    with pytest.raises(WitBufferError, match="allocation-failed"):
        host.allocate(1)
    host.drop_mutable(made)
    host.allocate(1)

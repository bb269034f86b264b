"""The resource manager: what each operation does, and that a refused one changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torvyn_ref.events import Observer
from torvyn_ref.ids import HOST, TRANSIT, FlowId, Owner, make_handle
from torvyn_ref.resources import (
    MAX_BUFFER_BYTES,
    CopyReason,
    ManagerConfig,
    ResourceError,
    ResourceManager,
    ResourceState,
    Tier,
    TierConfig,
)
from torvyn_ref.resources.handles import HandleTable
from torvyn_ref.resources.pools import Exhaustion

FLOW, OTHER_FLOW = FlowId(1), FlowId(2)
A, B = Owner(1), Owner(2)


def snapshot(manager):
    """Everything that anybody can observe of a manager."""
    return (
        manager.live(),
        manager.live_count,
        [manager.budget(owner) for owner in (HOST, A, B)],
        [manager.pool_metrics(tier) for tier in Tier],
        [manager.copy_stats(flow) for flow in (FLOW, OTHER_FLOW)],
        [manager.peek(each.handle, each.owner) for each in manager.live()],
        manager.created,
        manager.released,
    )


def refuse(manager, kind, operation):
    before = snapshot(manager)
    with pytest.raises(ResourceError) as refused:
        operation()
    assert refused.value.kind == kind
    assert refused.value.message
    assert snapshot(manager) == before


@pytest.fixture
def manager():
    return ResourceManager()


def make(manager, data=b"hello", owner=A, flow=FLOW):
    handle = manager.allocate(owner, len(data), flow)
    manager.write(handle, owner, 0, data)
    return handle


# ---- life


def test_a_new_buffer_is_empty_owned_and_charged_at_its_capacity(manager):
    handle = manager.allocate(A, 300, FLOW, now_ns=5)
    seen = manager.inspect(handle)
    assert (seen.state, seen.owner, seen.size, seen.capacity, seen.tier) == (ResourceState.OWNED, A, 0, 4096, Tier.MEDIUM)
    assert (seen.content_type, seen.frozen, seen.flow, seen.allocated_ns, seen.is_fallback) == ("", False, FLOW, 5, False)
    assert manager.budget(A)[0] == 4096


def test_a_released_buffer_is_gone_for_everybody(manager):
    handle = make(manager)
    manager.release(handle, A)
    assert (manager.live_count, manager.budget(A)[0]) == (0, 0)
    for operation in (
        lambda: manager.release(handle, A),
        lambda: manager.read(handle, A),
        lambda: manager.write(handle, A, 0, b"x"),
        lambda: manager.borrow(handle, B),
        lambda: manager.end_borrow(handle, B),
        lambda: manager.transfer(handle, A, B),
        lambda: manager.freeze(handle, A),
        lambda: manager.set_content_type(handle, A, "x"),
        lambda: manager.clone(handle, A, FLOW),
        lambda: manager.inspect(handle),
        lambda: manager.size(handle),
    ):
        refuse(manager, "not-allocated", operation)
    make(manager)  # the slot has a new tenant
    refuse(manager, "stale-handle", lambda: manager.read(handle, A))


def test_a_buffer_above_every_tier_has_its_own_size_and_no_pool(manager):
    handle = manager.allocate(HOST, 2_000_000, FLOW)
    seen = manager.inspect(handle)
    assert (seen.capacity, seen.tier, seen.is_fallback) == (2_000_000, Tier.HUGE, True)


def test_refused_allocations_change_nothing(manager):
    manager.register_component(A, 255)
    refuse(manager, "budget-exceeded", lambda: manager.allocate(A, 1, FLOW))
    refuse(manager, "capacity-exceeded", lambda: manager.allocate(HOST, MAX_BUFFER_BYTES + 1, FLOW))
    refuse(manager, "capacity-exceeded", lambda: manager.allocate(HOST, -1, FLOW))
    refuse(manager, "invalid-owner", lambda: manager.allocate(TRANSIT, 1, FLOW))
    refuse(manager, "invalid-owner", lambda: manager.register_component(HOST, 1))


def test_an_exhausted_pool_gives_the_budget_back():
    manager = ResourceManager(ManagerConfig(tiers=(TierConfig(Tier.SMALL, 0),), exhaustion=Exhaustion.ERROR))
    with pytest.raises(ResourceError) as refused:
        manager.allocate(A, 1, FLOW)
    assert refused.value.kind == "pool-exhausted"
    assert (manager.budget(A)[0], manager.live_count, manager.created) == (0, 0, 0)


def test_a_failure_in_the_middle_of_an_allocation_leaves_no_charge(manager, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr(HandleTable, "admit", out_of_memory)
    available = manager.pool_metrics(Tier.SMALL).available
    with pytest.raises(MemoryError):
        manager.allocate(A, 1, FLOW)
    assert (manager.budget(A)[0], manager.live_count, manager.created) == (0, 0, 0)
    assert manager.pool_metrics(Tier.SMALL).available == available


# ---- ownership and borrows


def test_only_the_owner_releases_writes_freezes_and_gives_away(manager):
    handle = make(manager)
    refuse(manager, "not-owner", lambda: manager.release(handle, B))
    refuse(manager, "not-owner", lambda: manager.write(handle, B, 0, b"x"))
    refuse(manager, "not-owner", lambda: manager.append(handle, B, b"x"))
    refuse(manager, "not-owner", lambda: manager.freeze(handle, B))
    refuse(manager, "not-owner", lambda: manager.set_content_type(handle, B, "x"))
    refuse(manager, "not-owner", lambda: manager.transfer(handle, B, HOST))
    refuse(manager, "not-owner", lambda: manager.read(handle, B))
    refuse(manager, "not-owner", lambda: manager.clone(handle, B, FLOW))
    refuse(manager, "not-owner", lambda: manager.release(handle, TRANSIT))


def test_an_open_borrow_lets_its_holder_read_and_stops_every_change(manager):
    handle = make(manager)
    manager.borrow(handle, B)
    assert manager.inspect(handle).state is ResourceState.BORROWED
    assert manager.read(handle, B) == b"hello"
    refuse(manager, "borrows-outstanding", lambda: manager.write(handle, A, 0, b"x"))
    refuse(manager, "borrows-outstanding", lambda: manager.release(handle, A))
    refuse(manager, "borrows-outstanding", lambda: manager.transfer(handle, A, HOST))
    refuse(manager, "borrows-outstanding", lambda: manager.freeze(handle, A))
    refuse(manager, "borrows-outstanding", lambda: manager.set_content_type(handle, A, "x"))
    manager.end_borrow(handle, B)
    assert manager.inspect(handle).state is ResourceState.OWNED
    refuse(manager, "not-owner", lambda: manager.read(handle, B))


def test_each_borrow_is_ended_by_who_holds_it_and_once(manager):
    handle = make(manager)
    for borrower in (B, B, HOST):
        manager.borrow(handle, borrower)
    assert manager.inspect(handle).borrow_count == 3
    refuse(manager, "not-borrowed", lambda: manager.end_borrow(handle, A))
    manager.end_borrow(handle, B)
    manager.end_borrow(handle, B)
    refuse(manager, "not-borrowed", lambda: manager.end_borrow(handle, B))
    assert manager.inspect(handle).state is ResourceState.BORROWED
    manager.end_borrow(handle, HOST)
    assert manager.inspect(handle).borrow_count == 0
    refuse(manager, "invalid-owner", lambda: manager.borrow(handle, TRANSIT))


def test_a_transfer_moves_the_owner_and_the_charge_and_nothing_else(manager):
    handle = make(manager)
    manager.set_content_type(handle, A, "text/plain")
    before, copies = manager.inspect(handle), manager.copy_stats(FLOW)
    manager.transfer(handle, A, B)
    after = manager.inspect(handle)
    assert (after.owner, after.state, after.size, after.content_type, after.flow) == (B, before.state, before.size, "text/plain", FLOW)
    assert (manager.budget(A)[0], manager.budget(B)[0]) == (0, 256)
    assert manager.copy_stats(FLOW) == copies
    refuse(manager, "not-owner", lambda: manager.read(handle, A))
    refuse(manager, "invalid-owner", lambda: manager.transfer(handle, B, TRANSIT))


def test_a_recipient_without_budget_refuses_and_a_full_one_may_keep_its_own(manager):
    manager.register_component(B, 100)
    manager.register_component(A, 256)
    handle = make(manager)
    refuse(manager, "budget-exceeded", lambda: manager.transfer(handle, A, B))
    manager.transfer(handle, A, A)
    assert manager.budget(A) == (256, 256)


# ---- bytes


def test_writes_are_all_or_nothing(manager):
    handle = manager.allocate(A, 256, FLOW)
    assert manager.append(handle, A, b"abc") == 3
    assert manager.write(handle, A, 1, b"XYZ") == 4
    assert manager.write(handle, A, 4, b"") == 4
    refuse(manager, "out-of-bounds", lambda: manager.write(handle, A, 5, b"x"))
    refuse(manager, "out-of-bounds", lambda: manager.write(handle, A, -1, b"x"))
    refuse(manager, "capacity-exceeded", lambda: manager.write(handle, A, 4, b"x" * 253))
    assert manager.write(handle, A, 4, b"x" * 252) == 256
    assert manager.read(handle, A, 0, 4) == b"aXYZ"


def test_a_frozen_buffer_is_final(manager):
    handle = make(manager)
    manager.freeze(handle, A)
    refuse(manager, "frozen", lambda: manager.write(handle, A, 0, b"x"))
    refuse(manager, "frozen", lambda: manager.freeze(handle, A))
    refuse(manager, "frozen", lambda: manager.set_content_type(handle, A, "x"))
    manager.transfer(handle, A, HOST)
    refuse(manager, "frozen", lambda: manager.write(handle, HOST, 0, b"x"))


@given(data=st.binary(max_size=300), offset=st.integers(0, 2**64), length=st.one_of(st.none(), st.integers(0, 2**64)))
def test_a_read_is_a_slice_clamped_to_the_size(data, offset, length):
    manager = ResourceManager()
    handle = make(manager, data)
    expected = data[min(offset, len(data)) :] if length is None else data[min(offset, len(data)) : min(offset + length, len(data))]
    assert manager.read(handle, A, offset, length) == expected


def test_a_clone_is_independent_carries_the_type_and_counts_one_copy(manager):
    original = make(manager)
    manager.set_content_type(original, A, "text/plain")
    manager.freeze(original, A)
    manager.borrow(original, B)
    copy = manager.clone(original, B, FLOW)
    manager.append(copy, B, b"!")
    assert (manager.read(copy, B), manager.read(original, A)) == (b"hello!", b"hello")
    assert (manager.content_type(copy), manager.inspect(copy).frozen, manager.inspect(original).borrow_count) == ("text/plain", False, 1)
    stats = manager.copy_stats(FLOW)
    assert (stats.ops_by_reason[CopyReason.CROSS_COMPONENT], stats.bytes_by_reason[CopyReason.CROSS_COMPONENT]) == (1, 5)
    manager.register_component(B, manager.budget(B)[0])
    refuse(manager, "budget-exceeded", lambda: manager.clone(original, B, FLOW))


@given(st.text(max_size=90))
def test_a_content_type_is_cut_to_63_bytes_on_a_character_boundary(text):
    manager = ResourceManager()
    handle = make(manager)
    manager.set_content_type(handle, A, text)
    kept = manager.content_type(handle)
    assert text.startswith(kept)
    assert len(kept.encode()) <= 63
    assert kept == text or len(kept.encode()) >= 60


def test_copies_count_for_the_buffers_own_flow_and_peeking_is_free(manager):
    handle = make(manager, b"12345", flow=OTHER_FLOW)
    manager.read(handle, A)
    manager.read(handle, A, 0, 0)
    manager.peek(handle, A)
    stats = manager.copy_stats(OTHER_FLOW)
    assert stats.ops_by_reason == {
        CopyReason.HOST_TO_COMPONENT: 1,
        CopyReason.COMPONENT_TO_HOST: 1,
        CopyReason.CROSS_COMPONENT: 0,
        CopyReason.POOL_RETURN: 0,
    }
    assert (stats.total_payload_bytes, manager.copy_stats(FLOW).total_copy_ops) == (10, 0)


# ---- by force


def test_force_frees_what_a_component_owns_and_ends_what_it_borrows(manager):
    mine, lent, handed_over = make(manager), make(manager, owner=HOST), make(manager)
    manager.borrow(mine, B)
    manager.borrow(lent, A)
    manager.borrow(lent, A)
    manager.borrow(lent, B)
    manager.transfer(handed_over, A, HOST)
    (record,) = manager.force_reclaim(A)
    assert (record.handle, record.previous_state, record.previous_owner, record.returned_to_pool) == (mine, ResourceState.BORROWED, A, True)
    assert (manager.budget(A)[0], manager.inspect(lent).borrow_count, manager.read(handed_over, HOST)) == (0, 1, b"hello")
    refuse(manager, "not-allocated", lambda: manager.end_borrow(mine, B))
    before = snapshot(manager)
    assert manager.force_reclaim(A) == ()
    assert manager.force_reclaim(Owner(99)) == ()
    assert snapshot(manager) == before


def test_a_flows_end_frees_its_buffers_whoever_owns_them(manager):
    mine, theirs = make(manager), make(manager)
    big = manager.allocate(HOST, 2_000_000, FLOW)
    survivor = make(manager, flow=OTHER_FLOW)
    manager.transfer(theirs, A, B)
    manager.borrow(mine, B)
    released = manager.release_flow(FLOW)
    assert (released.returned_to_pool, released.deallocated, released.borrows_cleared) == (2, 1, 1)
    assert released.bytes_released == 256 + 256 + 2_000_000
    assert {record.handle for record in released.freed} == {mine, theirs, big}
    assert [each.handle for each in manager.live()] == [survivor]
    assert (manager.budget(A)[0], manager.budget(B)[0]) == (256, 0)
    assert manager.release_flow(FLOW).freed == ()


def test_an_observer_hears_of_every_birth_and_death():
    heard = []

    class Ears(Observer):
        def allocated(self, handle, owner, capacity):
            heard.append(("born", handle, owner, capacity))

        def released(self, handle):
            heard.append(("dead", handle))

    manager = ResourceManager(observer=Ears())
    first, second = make(manager), make(manager)
    manager.release(first, A)
    manager.force_reclaim(A)
    assert heard == [("born", first, A, 256), ("born", second, A, 256), ("dead", first), ("dead", second)]


# ---- the law: whatever is tried, in whatever order, a refusal changes nothing and the books balance

OPERATIONS = st.tuples(
    st.sampled_from(["allocate", "release", "transfer", "borrow", "end_borrow", "write", "freeze", "clone", "force"]),
    st.integers(0, 9),
    st.sampled_from([HOST, A, B]),
    st.sampled_from([HOST, A, B]),
    st.integers(0, 300),
)


@settings(max_examples=60)
@given(st.lists(OPERATIONS, max_size=40))
def test_a_refusal_changes_nothing_and_the_books_always_balance(operations):
    manager = ResourceManager(ManagerConfig(table_capacity=2, tiers=(TierConfig(Tier.SMALL, 2),), exhaustion=Exhaustion.ERROR))
    manager.register_component(A, 1000)
    manager.register_component(B, 5000)
    issued = [make_handle(3, 1)]
    for name, which, first, second, size in operations:
        handle = issued[which % len(issued)]
        before = snapshot(manager)
        try:
            match name:
                case "allocate":
                    issued.append(manager.allocate(first, size, FLOW))
                case "release":
                    manager.release(handle, first)
                case "transfer":
                    manager.transfer(handle, first, second)
                case "borrow":
                    manager.borrow(handle, first)
                case "end_borrow":
                    manager.end_borrow(handle, first)
                case "write":
                    manager.write(handle, first, size // 2, b"x" * size)
                case "freeze":
                    manager.freeze(handle, first)
                case "clone":
                    issued.append(manager.clone(handle, first, FLOW))
                case "force":
                    manager.force_reclaim(first)
        except ResourceError as error:
            if error.kind == "pool-exhausted":  # the tier counts that it was found empty (POOL-014); nothing else moves
                after = snapshot(manager)
                assert (*after[:3], *after[4:]) == (*before[:3], *before[4:])
            else:
                assert snapshot(manager) == before
        live = manager.live()
        for owner in (A, B):
            assert manager.budget(owner)[0] == sum(each.capacity for each in live if each.owner == owner)
        pool = manager.pool_metrics(Tier.SMALL)
        assert pool.available + sum(each.tier is Tier.SMALL and not each.is_fallback for each in live) == pool.pool_size
        assert manager.created - manager.released == manager.live_count == len(live)
    manager.release_flow(FLOW)
    assert (manager.live_count, manager.budget(A)[0], manager.budget(B)[0]) == (0, 0, 0)


def test_a_read_into_a_place_is_a_read(manager):
    handle, place = make(manager), bytearray(5)
    manager.read_into(handle, A, memoryview(place))
    assert place == b"hello"
    stats = manager.copy_stats(FLOW)
    assert (stats.ops_by_reason[CopyReason.HOST_TO_COMPONENT], stats.bytes_by_reason[CopyReason.HOST_TO_COMPONENT]) == (1, 5)
    manager.read_into(handle, A, memoryview(place)[:0])
    refuse(manager, "not-owner", lambda: manager.read_into(handle, B, memoryview(place)))
    refuse(manager, "out-of-bounds", lambda: manager.read_into(handle, A, memoryview(bytearray(6))))
    manager.release(handle, A)
    refuse(manager, "not-allocated", lambda: manager.read_into(handle, A, memoryview(place)))

"""The buffer's state table, the handle table, the pools, the budgets and the ledger, each on its own."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.ids import HOST, U32_MAX, FlowId, Owner, handle_generation, handle_index, make_handle
from torvyn_ref.resources import CopyReason, ResourceError, Tier, TierConfig, amplification
from torvyn_ref.resources.budgets import Budgets
from torvyn_ref.resources.copies import CopyLedger, FlowBook
from torvyn_ref.resources.handles import HandleTable, OpenLoan
from torvyn_ref.resources.pools import DEFAULT_TIERS, TIER_BYTES, Block, Exhaustion, Pools
from torvyn_ref.resources.states import LEGAL, TRANSITIONS, ResourceEvent, ResourceState, successors

FLOW = FlowId(1)
COMPONENT = Owner(7)

P, O, B, L, T, F = ResourceState  # noqa: E741  # the matrix below is the spec's, by initials
LEGAL_BY_THE_SPEC = {(P, O), (O, P), (O, B), (O, L), (O, T), (B, B), (B, O), (L, O), (T, O)} | {(state, F) for state in ResourceState}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(ResourceState, repeat=2)))
def test_each_of_the_36_label_pairs_is_legal_or_not_as_the_spec_says(old, new):
    assert ((old, new) in LEGAL) == ((old, new) in LEGAL_BY_THE_SPEC)


def test_nothing_but_force_happens_to_a_freed_buffer():
    assert {event for state, event in TRANSITIONS if state is ResourceState.FREED} == {ResourceEvent.FORCE}


@pytest.mark.parametrize("event", list(ResourceEvent))
def test_a_column_is_what_the_table_says_of_its_event(event):
    assert successors(event) == {state: target for (state, happened), target in TRANSITIONS.items() if happened == event}


# ---- handles


def admit(table):
    return table.admit(Block(1, Tier.SMALL, None), COMPONENT, FLOW, FlowBook(), 0)


def kind(table, handle):
    with pytest.raises(ResourceError) as refused:
        table[handle]
    return refused.value.kind


def test_fresh_slots_count_up_and_start_at_generation_one():
    table = HandleTable(4)
    handles = [admit(table) for _ in range(3)]
    assert [(handle_index(handle), handle_generation(handle)) for handle in handles] == [(0, 1), (1, 1), (2, 1)]


def test_the_slot_freed_last_is_reused_first_with_the_next_generation():
    table = HandleTable(4)
    entries = [table[admit(table)] for _ in range(3)]
    table.remove(entries[0])
    table.remove(entries[2])
    again = [admit(table) for _ in range(3)]
    assert [(handle_index(handle), handle_generation(handle)) for handle in again] == [(2, 2), (0, 2), (3, 1)]


def test_a_table_doubles_and_no_live_handle_is_lost():
    table = HandleTable(2)
    handles = [admit(table) for _ in range(9)]
    assert table.capacity == 16
    assert [table[handle].handle for handle in handles] == handles
    assert len(table) == 9


def test_a_table_knows_who_lives():
    table = HandleTable(4)
    first, second, third = (admit(table) for _ in range(3))
    table.remove(table[second])
    assert [handle in table for handle in (first, second, third, make_handle(9, 1))] == [True, False, True, False]
    assert [entry.handle for entry in table.entries()] == [first, third]
    assert len(table) == 2
    again = admit(table)
    assert again not in {first, second, third}
    assert [entry.handle for entry in table.entries()] == [first, again, third]


def test_loans_are_told_apart_by_borrower_and_none_outlives_its_tenancy():
    table, block = HandleTable(1), Block(256, Tier.SMALL, None)
    entry = table[table.admit(block, COMPONENT, FLOW, FlowBook(), 0)]
    block.entry = entry  # as a pooled block keeps it
    entry.loans = [OpenLoan(Owner(2), 7), OpenLoan(Owner(3), 0)]
    assert [loan and (loan.borrower, loan.count, loan.since_ns) for loan in map(entry.loan_to, (Owner(2), Owner(3), Owner(4)))] == [
        (2, 1, 7),
        (3, 1, 0),
        None,
    ]
    table.remove(entry)
    again = table[table.admit(block, COMPONENT, FLOW, FlowBook(), 0)]
    assert again is entry
    assert again.loans == []


def test_a_dead_handle_says_whether_its_slot_is_vacant_or_let_again():
    table = HandleTable(2)
    handle = admit(table)
    table.remove(table[handle])
    assert kind(table, handle) == "not-allocated"
    admit(table)
    assert kind(table, handle) == "stale-handle"


@pytest.mark.parametrize("handle", [make_handle(5, 1), make_handle(U32_MAX, U32_MAX), make_handle(0, 0), make_handle(0, 2), 0, -1])
def test_a_handle_never_issued_is_refused(handle):
    table = HandleTable(2)
    admit(table)
    assert kind(table, handle) == "stale-handle"


def test_the_generation_wraps_at_32_bits():
    table = HandleTable(1)
    first = table[admit(table)]
    table._generations[0] = U32_MAX  # four thousand million tenants later
    table.remove(first)
    assert handle_generation(admit(table)) == 0


def test_a_table_without_room_is_refused():
    with pytest.raises(ResourceError) as refused:
        HandleTable(0)
    assert refused.value.kind == "allocation-failed"


@given(st.lists(st.integers(0, 30), max_size=200))
def test_no_handle_is_ever_issued_twice(choices):
    table, live, issued = HandleTable(1), [], set()
    for choice in choices:
        if choice % 3 and live:
            table.remove(live.pop(choice % len(live)))
        else:
            handle = admit(table)
            assert handle not in issued
            issued.add(handle)
            live.append(table[handle])
        assert {each.handle for each in live} == {entry.handle for entry in table.entries()}


# ---- pools


@pytest.mark.parametrize(
    ("request_bytes", "tier"),
    [
        (0, Tier.SMALL),
        (256, Tier.SMALL),
        (257, Tier.MEDIUM),
        (4096, Tier.MEDIUM),
        (4097, Tier.LARGE),
        (65536, Tier.LARGE),
        (65537, Tier.HUGE),
        (1048576, Tier.HUGE),
    ],
)
def test_a_request_goes_to_the_smallest_tier_that_holds_it(request_bytes, tier):
    pool = Pools().pool_for(request_bytes)
    assert (pool.config.tier, pool.capacity) == (tier, TIER_BYTES[tier])


def test_above_the_largest_tier_there_is_no_pool():
    assert Pools().pool_for(1048577) is None


def test_tiers_are_told_apart_by_name_not_by_position():
    pools = Pools((TierConfig(Tier.LARGE, 3), TierConfig(Tier.SMALL, 2)))
    assert [pools.metrics(tier).pool_size for tier in Tier] == [2, DEFAULT_TIERS[1].pool_size, 3, DEFAULT_TIERS[3].pool_size]


def test_an_empty_tier_falls_back_and_the_fallback_never_joins_the_pool():
    pools = Pools((TierConfig(Tier.SMALL, 1),))
    pool = pools.pool_for(1)
    pooled, fallback = pool.acquire(), pool.acquire()
    assert (pooled.pool, fallback.pool) == (pool, None)
    fallback.retire(0)
    metrics = pools.metrics(Tier.SMALL)
    assert (metrics.available, metrics.alloc_count, metrics.fallback_count, metrics.exhaustion_count, metrics.return_count) == (
        0,
        1,
        1,
        1,
        0,
    )
    pooled.retire(0)
    assert (pools.metrics(Tier.SMALL).available, pools.metrics(Tier.SMALL).return_count) == (1, 1)


def test_an_empty_tier_may_refuse_instead():
    pool = Pools((TierConfig(Tier.SMALL, 1),), Exhaustion.ERROR).pool_for(1)
    pool.acquire()
    with pytest.raises(ResourceError) as refused:
        pool.acquire()
    assert refused.value.kind == "pool-exhausted"
    assert (pool.exhausted, pool.fallbacks) == (1, 0)


def test_an_on_demand_tier_starts_empty_grows_to_its_size_and_then_reuses():
    pools = Pools((TierConfig(Tier.HUGE, 2, preallocate=False),))
    pool = pools.pool_for(100_000)
    assert pools.metrics(Tier.HUGE).available == 0
    blocks = [pool.acquire() for _ in range(3)]
    assert [block.pool is pool for block in blocks] == [True, True, False]
    for block in blocks:
        block.retire(0)
    assert pools.metrics(Tier.HUGE).available == 2
    assert pool.acquire() in blocks


@given(st.binary(max_size=256))
def test_the_next_tenant_finds_zeros(written):
    pool = Pools((TierConfig(Tier.SMALL, 1),)).pool_for(1)
    block = pool.acquire()
    block.view[: len(written)] = written
    block.retire(len(written))
    again = pool.acquire()
    assert again is block
    assert bytes(again.view) == bytes(256)


# ---- budgets


def test_exactly_the_limit_is_allowed_and_one_byte_more_is_not():
    budgets = Budgets()
    budgets.register(COMPONENT, 100)
    budgets.charge(COMPONENT, 100)
    with pytest.raises(ResourceError) as refused:
        budgets.charge(COMPONENT, 1)
    assert refused.value.kind == "budget-exceeded"
    assert refused.value.fields == {"component": COMPONENT, "current": 100, "requested": 1, "budget": 100}
    budgets.credit(COMPONENT, 60)
    assert budgets.usage(COMPONENT) == (40, 100)


def test_the_host_is_never_charged_and_a_stranger_has_the_default_limit():
    budgets = Budgets(50)
    budgets.charge(HOST, 10**9)
    assert budgets.usage(HOST) == (0, 0)
    assert budgets.usage(COMPONENT) == (0, 50)
    with pytest.raises(ResourceError):
        budgets.charge(COMPONENT, 51)


def test_a_new_limit_keeps_what_is_charged():
    budgets = Budgets()
    budgets.charge(COMPONENT, 10)
    budgets.register(COMPONENT, 5)
    assert budgets.usage(COMPONENT) == (10, 5)
    with pytest.raises(ResourceError):
        budgets.charge(COMPONENT, 1)


# ---- the ledger


def test_an_unknown_flow_has_zeros_and_asking_does_not_open_it():
    ledger = CopyLedger()
    assert ledger.stats(FLOW).total_copy_ops == 0
    assert not ledger
    assert list(ledger.stats(FLOW).ops_by_reason) == list(CopyReason)


def test_closing_takes_the_counters_once():
    ledger = CopyLedger()
    ledger[FLOW][COMPONENT].read_ops += 2
    ledger[FLOW][COMPONENT].read_bytes += 9
    ledger[FLOW][COMPONENT].cloned(HOST, 0)
    final = ledger.close(FLOW)
    assert (final.total_copy_ops, final.total_payload_bytes, final.ops_by_reason[CopyReason.CROSS_COMPONENT]) == (3, 9, 1)
    assert ledger.close(FLOW).total_copy_ops == 0


def test_a_book_without_copies_still_remembers_births_and_deaths():
    ledger = CopyLedger()
    ledger[FLOW].created += 1
    assert (ledger.book(FLOW).created, ledger.book(FlowId(2)).created, list(ledger)) == (1, 0, [FLOW])


# ---- amplification


@pytest.mark.parametrize(
    ("read", "written", "cloned", "entered", "expected"),
    [(0, 0, 0, 10, 0.0), (10, 0, 0, 10, 1.0), (10, 10, 0, 10, 2.0), (40, 0, 0, 10, 4.0), (0, 0, 10, 10, 1.0), (0, 10, 0, 0, None)],
)
def test_amplification_is_what_a_stage_moves_per_byte_that_enters_it(read, written, cloned, entered, expected):
    book = FlowBook()
    mine, other = book[COMPONENT], book[Owner(8)]
    mine.read_ops = mine.write_ops = other.read_ops = other.lent_bytes = 1
    mine.read_bytes, mine.write_bytes, mine.lent_bytes = read, written, entered
    mine.cloned(HOST, cloned)
    other.read_bytes = 99
    assert amplification(book.stats(), COMPONENT) == expected

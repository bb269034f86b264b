"""The books: balance sheet, budgets, copies by component, and that a fault in the middle of an operation leaves them as they were."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.ids import HOST, FlowId, Owner
from torvyn_ref.resources import CopyReason, ManagerConfig, ResourceError, ResourceManager, ResourceState, Tier, TierConfig, amplification
from torvyn_ref.resources.budgets import Budgets
from torvyn_ref.resources.copies import CopyRoute
from torvyn_ref.resources.handles import HandleTable
from torvyn_ref.resources.pools import Block, Pool
from torvyn_ref.resources.records import Balance, Holding

FLOW, OTHER_FLOW = FlowId(1), FlowId(2)
A, B = Owner(1), Owner(2)


@pytest.fixture
def manager():
    return ResourceManager()


def make(manager, data=b"hello", owner=A, flow=FLOW):
    handle = manager.allocate(owner, len(data), flow)
    manager.write(handle, owner, 0, data)
    return handle


# ---- the balance sheet


def test_the_balance_sheet_says_who_has_what_in_which_state(manager):
    lent, _, foreign = make(manager), make(manager), make(manager, b"x" * 300, HOST, OTHER_FLOW)
    manager.borrow(lent, B)
    manager.release(make(manager), A)
    assert manager.balance(FLOW) == Balance(3, 1, 0, (Holding(ResourceState.BORROWED, A, 1, 256), Holding(ResourceState.OWNED, A, 1, 256)))
    assert manager.balance(OTHER_FLOW).holdings == (Holding(ResourceState.OWNED, HOST, 1, 4096),)
    manager.force_reclaim(A)
    whole = manager.balance()
    assert (whole.created, whole.released, whole.reclaimed, whole.live, whole.is_even) == (4, 3, 2, 1, True)
    manager.release(foreign, HOST)
    assert manager.balance(OTHER_FLOW) == Balance(1, 1, 0)


def test_an_uneven_sheet_says_so():
    assert not Balance(2, 1, 0).is_even


def test_a_flows_books_are_kept_after_its_end_until_they_are_taken(manager):
    make(manager)
    manager.release_flow(FLOW)
    assert (manager.balance(FLOW), manager.copy_stats(FLOW).total_copy_ops) == (Balance(1, 1, 1), 1)
    assert manager.close_flow_copies(FLOW).total_payload_bytes == 5
    assert (manager.balance(FLOW), manager.close_flow_copies(FLOW).total_copy_ops) == (Balance(0, 0, 0), 0)
    assert manager.balance() == Balance(1, 1, 1)


def test_a_buffer_that_outlives_its_flows_book_is_still_found(manager):
    make(manager)
    manager.close_flow_copies(FLOW)
    manager.release(make(manager), A)
    assert [one.flow for one in manager.live(FLOW)] == [FLOW]
    assert manager.balance(FLOW) == Balance(1, 1, 0, (Holding(ResourceState.OWNED, A, 1, 256),))
    assert len(manager.release_flow(FLOW).freed) == 1
    assert (manager.live(FLOW), manager.release_flow(FLOW).freed) == ((), ())


def test_who_leaked_a_buffer_is_told_by_its_maker_and_its_age(manager):
    handle = manager.allocate(A, 1, FLOW, now_ns=1_000)
    manager.transfer(handle, A, B)
    (seen,) = manager.live(FLOW)
    assert (seen.maker, seen.owner, seen.flow, seen.age_ns(5_000)) == (A, B, FLOW, 4_000)
    (record,) = manager.release_flow(FLOW).freed
    assert (record.maker, record.previous_owner, record.allocated_ns) == (A, B, 1_000)
    manager.allocate(A, 1, FLOW)
    assert manager.live()[0].age_ns(5_000) is None


def test_a_block_in_new_hands_has_nothing_of_its_last_tenancy():
    manager = ResourceManager(ManagerConfig(tiers=(TierConfig(Tier.SMALL, 1),)))
    first = manager.allocate(A, 1, OTHER_FLOW, now_ns=7)
    manager.write(first, A, 0, b"x" * 256)
    manager.set_content_type(first, A, "text/plain")
    manager.freeze(first, A)
    manager.borrow(first, B)
    manager.force_reclaim(A)
    second = manager.inspect(manager.allocate(B, 1, FLOW))
    assert (second.state, second.owner, second.maker, second.size, second.content_type) == (ResourceState.OWNED, B, B, 0, "")
    assert (second.frozen, second.borrow_count, second.flow, second.allocated_ns) == (False, 0, FLOW, 0)
    with pytest.raises(ResourceError) as refused:
        manager.end_borrow(second.handle, B)
    assert refused.value.kind == "not-borrowed"


# ---- budgets


def test_a_component_that_is_gone_leaves_no_account(manager):
    for number in range(1, 50):
        component = Owner(number)
        manager.register_component(component, 1000)
        kept = make(manager, owner=component)
        assert [record.handle for record in manager.unregister_component(component)] == [kept]
    assert (len(manager._budgets), manager.live_count) == (0, 0)
    assert manager.budget(A) == (0, ManagerConfig().default_budget_bytes)
    assert manager.unregister_component(A) == ()


def test_a_component_that_is_only_reclaimed_keeps_its_limit(manager):
    manager.register_component(A, 256)
    make(manager)
    manager.force_reclaim(A)
    assert manager.budget(A) == (0, 256)
    make(manager)
    with pytest.raises(ResourceError):
        make(manager)


def test_a_refused_stranger_is_not_remembered():
    manager = ResourceManager(ManagerConfig(default_budget_bytes=10))
    with pytest.raises(ResourceError):
        manager.allocate(A, 1, FLOW)
    assert len(manager._budgets) == 0


@given(st.lists(st.tuples(st.sampled_from(["charge", "credit", "limit", "gone"]), st.integers(0, 50)), max_size=40))
def test_an_account_neither_underflows_nor_forgets(steps):
    budgets, used, limit = Budgets(100), 0, 100
    for name, amount in steps:
        if name == "charge":
            if used + amount > limit:
                with pytest.raises(ResourceError, match=f"uses {used} of {limit} bytes"):
                    budgets.charge(A, amount)
            else:
                budgets.charge(A, amount)
                used += amount
        elif name == "credit" and used:
            budgets.credit(A, min(amount, used))
            used -= min(amount, used)
        elif name == "limit":
            budgets.register(A, amount * 4)
            limit = amount * 4
        elif name == "gone" and not used:
            budgets.unregister(A)
            limit = 100
        assert budgets.usage(A) == (used, limit)


def test_more_than_was_charged_is_never_given_back():
    budgets = Budgets()
    budgets.charge(A, 5)
    with pytest.raises(AssertionError):
        budgets.credit(A, 6)
    with pytest.raises(AssertionError):
        budgets.unregister(A)


# ---- faults in the middle

FAULTS = [
    (name, method, cls)
    for name, touched in {
        "allocate": [(Budgets, "charge"), (Pool, "acquire"), (HandleTable, "admit"), (Block, "__init__")],
        "clone": [(Pool, "acquire"), (HandleTable, "admit")],
        "transfer": [(Budgets, "charge")],
        "release": [(HandleTable, "remove")],
    }.items()
    for cls, method in touched
]


@pytest.mark.parametrize(("name", "method", "cls"), FAULTS)
def test_a_fault_in_the_middle_of_an_operation_changes_nothing(manager, monkeypatch, name, method, cls):
    handle = make(manager)
    operation = {
        "allocate": lambda: manager.allocate(B, 5, FLOW),
        "clone": lambda: manager.clone(handle, A, FLOW),
        "transfer": lambda: manager.transfer(handle, A, B),
        "release": lambda: manager.release(handle, A),
    }[name]

    def books():
        owners = [manager.budget(owner) for owner in (A, B)]
        return manager.live(), owners, manager.balance(), manager.copy_stats(FLOW), manager.read(handle, A)

    original, failing = getattr(cls, method), [True]

    def fail(*arguments, **options):
        if failing:
            failing.clear()
            raise MemoryError(method)
        return original(*arguments, **options)

    before = books()
    manager.copy_stats(FLOW)
    monkeypatch.setattr(cls, method, fail)
    with pytest.raises(MemoryError):
        operation()
    after = books()
    assert after[:3] == before[:3]
    assert after[4] == before[4]
    operation()  # and the operation is as possible as it was


@given(st.lists(st.sampled_from([A, B, HOST]), min_size=1, max_size=8), st.integers(1, 8))
def test_wherever_a_credit_fails_both_budgets_and_the_owner_are_as_before(heirs, at):
    manager = ResourceManager()
    handle = make(manager)
    owner, given_back = A, 0

    class Failing(Budgets):
        def credit(self, owner, amount):
            nonlocal given_back
            given_back += 1
            if given_back == at:
                raise MemoryError
            super().credit(owner, amount)

    manager._budgets.__class__ = Failing
    for heir in heirs:
        try:
            manager.transfer(handle, owner, heir)
        except MemoryError:
            assert manager.inspect(handle).owner == owner
        else:
            owner = heir
        for person in (A, B):
            assert manager.budget(person)[0] == (256 if owner == person else 0)


# ---- the copy ledger


def test_copies_have_a_component_and_a_direction(manager):
    original = make(manager, b"12345")
    manager.freeze(original, A)
    manager.transfer(original, A, HOST)
    manager.borrow(original, B)
    manager.read(original, B, 0, 3)
    manager.read(original, B, 3)
    manager.clone(original, B, FLOW)
    assert manager.copy_stats(FLOW).routes == (
        CopyRoute(A, HOST, CopyReason.COMPONENT_TO_HOST, 1, 5),
        CopyRoute(HOST, B, CopyReason.HOST_TO_COMPONENT, 2, 5),
        CopyRoute(HOST, B, CopyReason.CROSS_COMPONENT, 1, 5),
    )
    assert [route.component for route in manager.copy_stats(FLOW).routes] == [A, B, B]
    assert (manager.copy_stats(FLOW).copied_by(A), manager.copy_stats(FLOW).copied_by(B)) == (5, 10)


def test_every_copy_is_heard_of_with_the_buffers_own_flow(manager):
    heard = []
    manager.on_copy = lambda *record: heard.append(record)
    handle = make(manager, b"12345")
    manager.read(handle, A)
    copy = manager.clone(handle, A, OTHER_FLOW)
    assert heard == [
        (handle, A, HOST, FLOW, 5, CopyReason.COMPONENT_TO_HOST),
        (handle, HOST, A, FLOW, 5, CopyReason.HOST_TO_COMPONENT),
        (copy, A, A, OTHER_FLOW, 5, CopyReason.CROSS_COMPONENT),
    ]


@given(st.lists(st.tuples(st.sampled_from(["look", "read", "transform", "clone"]), st.integers(1, 300)), min_size=1, max_size=6))
def test_a_stages_amplification_is_exact_for_what_it_does(elements):
    manager = ResourceManager()
    entered = moved = 0
    for action, size in elements:
        handle = make(manager, b"x" * size, A)
        manager.transfer(handle, A, HOST)
        manager.borrow(handle, B)
        entered += size
        if action in {"read", "transform"}:
            moved += len(manager.read(handle, B))
        if action == "transform":
            make(manager, b"y" * size, B)
            moved += size
        if action == "clone":
            manager.clone(handle, B, FLOW)
            moved += size
        manager.end_borrow(handle, B)
        manager.release(handle, HOST)
    stats = manager.copy_stats(FLOW)
    assert amplification(stats, B) == moved / entered
    assert amplification(stats, A) is None
    assert sum(route.bytes for route in stats.routes) == stats.total_payload_bytes == sum(map(stats.copied_by, (HOST, A, B)))
    assert sum(route.ops for route in stats.routes) == stats.total_copy_ops


# ---- the cost of a release does not depend on the pool's size


def calls_of(operation):
    """Count the Python and C functions that an operation enters."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return calls


def test_releasing_costs_the_same_whatever_the_pools_size():
    costs = set()
    for pool_size in (16, 256, 4096):
        manager = ResourceManager(ManagerConfig(tiers=(TierConfig(Tier.SMALL, pool_size),)))
        handles = [make(manager) for _ in range(pool_size)]
        for handle in (handles[-1], handles[0], handles[pool_size // 2]):
            costs.add(calls_of(lambda handle=handle, manager=manager: manager.release(handle, A)))
            costs.add(calls_of(lambda manager=manager: manager.allocate(A, 5, FLOW)) + 1000)
    assert len(costs) == 2

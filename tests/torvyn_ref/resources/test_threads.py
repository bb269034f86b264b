"""Threads: every operation holds the lock, histories are linearizable, and no byte or buffer reaches two tenants (OWN-010, OWN-042)."""

from __future__ import annotations

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pytest

from torvyn_ref.events import Observer
from torvyn_ref.ids import HOST, FlowId, Owner
from torvyn_ref.resources import LeaseKind, ManagerConfig, ResourceError, ResourceManager, ResourceState, Tier, TierConfig
from torvyn_ref.resources.handles import HandleTable

FLOW = FlowId(1)
A, B = Owner(1), Owner(2)
PEOPLE = (HOST, A, B)
THREADS = 4


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*tasks):
    """Run the tasks in threads of their own that start at once; raise what they raise."""
    start = threading.Barrier(len(tasks))

    def run(task):
        start.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


# ---- every operation holds the lock while it looks at the books


class SpyLock:
    def __init__(self):
        self.depth = self.taken = 0

    def acquire(self):
        self.depth += 1
        self.taken += 1

    def release(self):
        self.depth -= 1

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()


class GuardedTable(HandleTable):
    """A table that is only ever touched under the lock."""

    __slots__ = ("lock",)

    def _look(self):
        assert self.lock.depth > 0

    def __getitem__(self, handle):
        self._look()
        return super().__getitem__(handle)

    def __len__(self):
        self._look()
        return super().__len__()

    def __contains__(self, handle):
        self._look()
        return super().__contains__(handle)

    def entries(self):
        self._look()
        return super().entries()

    def admit(self, *arguments):
        self._look()
        return super().admit(*arguments)

    def remove(self, entry):
        self._look()
        super().remove(entry)


OPERATIONS = {
    "allocate": lambda m, h: m.allocate(A, 1, FLOW),
    "release": lambda m, h: m.release(h, A),
    "transfer": lambda m, h: m.transfer(h, A, B),
    "borrow": lambda m, h: m.borrow(h, B),
    "end_borrow": lambda m, h: (m.borrow(h, B), m.end_borrow(h, B)),
    "write": lambda m, h: m.write(h, A, 0, b"x"),
    "append": lambda m, h: m.append(h, A, b"x"),
    "read": lambda m, h: m.read(h, A),
    "read_into": lambda m, h: (m.append(h, A, b"x"), m.read_into(h, A, memoryview(bytearray(1)))),
    "peek": lambda m, h: m.peek(h, A),
    "clone": lambda m, h: m.clone(h, A, FLOW),
    "freeze": lambda m, h: m.freeze(h, A),
    "set_content_type": lambda m, h: m.set_content_type(h, A, "x"),
    "force_reclaim": lambda m, h: m.force_reclaim(A),
    "release_flow": lambda m, h: m.release_flow(FLOW),
    "register_component": lambda m, h: m.register_component(A, 1000),
    "unregister_component": lambda m, h: m.unregister_component(A),
    "lease": lambda m, h: m.lease(h, A, B, LeaseKind.READ_ONLY, until_ns=1),
    "end_lease": lambda m, h: m.end_lease(m.lease(h, A, B, LeaseKind.READ_ONLY, until_ns=1).id, B),
    "expire_leases": lambda m, h: m.expire_leases(1),
    "open_scope": lambda m, h: m.open_scope(),
    "close_scope": lambda m, h: m.close_scope(m.open_scope()),
    "lease_scope": lambda m, h: m.lease_scope().__enter__(),
    "leases": lambda m, h: m.leases(),
    "size": lambda m, h: m.size(h),
    "capacity": lambda m, h: m.capacity(h),
    "content_type": lambda m, h: m.content_type(h),
    "inspect": lambda m, h: m.inspect(h),
    "live": lambda m, h: m.live(),
    "live_count": lambda m, h: m.live_count,
    "balance": lambda m, h: m.balance(FLOW),
    "budget": lambda m, h: m.budget(A),
    "pool_metrics": lambda m, h: m.pool_metrics(Tier.SMALL),
    "copy_stats": lambda m, h: m.copy_stats(FLOW),
    "close_flow_copies": lambda m, h: m.close_flow_copies(FLOW),
}


def test_the_table_of_operations_names_them_all():
    assert set(OPERATIONS) == {name for name in dir(ResourceManager) if not name.startswith("_")}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_touches_the_books_under_the_lock_only_and_gives_it_back(name):
    manager = ResourceManager()
    handle = manager.allocate(A, 4, FLOW)
    lock, table = SpyLock(), GuardedTable(8)
    table._slots, table._generations, table.lock = manager._table._slots, manager._table._generations, lock
    manager._lock, manager._table = lock, table
    OPERATIONS[name](manager, handle)
    assert lock.taken
    assert lock.depth == 0


@pytest.mark.parametrize("name", ["read", "write", "release", "transfer", "borrow", "end_borrow", "freeze", "clone", "lease", "inspect"])
def test_a_refused_operation_gives_the_lock_back(name):
    manager = ResourceManager()
    handle = manager.allocate(A, 4, FLOW)
    manager.release(handle, A)
    with pytest.raises(ResourceError):
        OPERATIONS[name](manager, handle)
    assert together(lambda: manager._lock.acquire(blocking=False)) == [True]


def test_nobody_gets_in_while_an_operation_is_under_way():
    tried = []

    class Ears(Observer):
        def allocated(self, handle, owner, capacity):
            tried.extend(together(lambda: manager._lock.acquire(blocking=False)))

        def released(self, handle):
            self.allocated(handle, HOST, 0)

    manager = ResourceManager(observer=Ears())
    manager.release(manager.allocate(A, 1, FLOW), A)
    assert tried == [False, False]


# ---- a recorded history, and the sequential model that must explain it


@dataclass(frozen=True)
class Done:
    """One operation of a history: what was asked, what came of it, and the ticks around it."""

    name: str
    arguments: tuple[Any, ...]
    result: Any
    invoked: int
    returned: int


@dataclass(frozen=True)
class Model:
    """One buffer, one operation at a time."""

    owner: Owner
    data: bytes
    borrows: tuple[Owner, ...] = ()

    def apply(self, name, arguments):
        """Return the result, and the model afterwards."""
        match name, arguments:
            case "inspect", ():
                return (ResourceState.BORROWED if self.borrows else ResourceState.OWNED, self.owner, len(self.borrows)), self
            case "borrow", (who,):
                return None, Model(self.owner, self.data, tuple(sorted((*self.borrows, who))))
            case "end_borrow", (who,):
                if who not in self.borrows:
                    return "not-borrowed", self
                left = list(self.borrows)
                left.remove(who)
                return None, Model(self.owner, self.data, tuple(left))
            case "read", (who,):
                return (self.data if who in {self.owner, *self.borrows} else "not-owner"), self
            case "transfer", (who, heir) if who == self.owner:
                return ("borrows-outstanding", self) if self.borrows else (None, Model(heir, self.data))
            case "write", (who, data) if who == self.owner:
                return ("borrows-outstanding", self) if self.borrows else (len(data), Model(self.owner, data))
        return "not-owner", self


def explains(model, threads):
    """Tell whether some order of the operations that respects their ticks has, one at a time, the same results (Wing and Gong)."""
    seen, todo = set(), [((0,) * len(threads), model)]
    while todo:
        at, state = todo.pop()
        ahead = [(number, thread[at[number]]) for number, thread in enumerate(threads) if at[number] < len(thread)]
        if not ahead:
            return True
        horizon = min(done.returned for _, done in ahead)
        for number, done in ahead:
            if done.invoked > horizon:
                continue
            result, after = state.apply(done.name, done.arguments)
            step = (*at[:number], at[number] + 1, *at[number + 1 :]), after
            if result == done.result and step not in seen:
                seen.add(step)
                todo.append(step)
    return False


def test_the_checker_accepts_overlap_and_refuses_a_read_that_goes_back_in_time():
    write = Done("write", (A, b"new"), 3, 1, 4)
    old, new = ("read", (A,), b"old"), ("read", (A,), b"new")
    assert explains(Model(A, b"old"), [[write], [Done(*old, 2, 3), Done(*new, 5, 6)]])
    assert explains(Model(A, b"old"), [[write], [Done(*new, 2, 3)]])
    assert not explains(Model(A, b"old"), [[write], [Done(*new, 2, 3), Done(*old, 5, 6)]])
    assert not explains(Model(A, b"old"), [[write], [Done(*old, 5, 6)]])
    assert not explains(Model(A, b"old"), [[Done("inspect", (), (ResourceState.TRANSIT, A, 0), 1, 2)]])


def test_two_owners_at_once_are_explained_by_no_order():
    both = [
        [Done("transfer", (A, B), None, 1, 6)],
        [Done("write", (B, b"b"), 1, 2, 3), Done("write", (A, b"a"), 1, 4, 5)],
    ]
    assert not explains(Model(A, b""), both)


class Clock:
    """Ticks that are in the order in which they were given."""

    def __init__(self):
        self._lock, self._ticks = threading.Lock(), 0

    def tick(self):
        with self._lock:
            self._ticks += 1
            return self._ticks


def draw(chances, thread, number):
    name = chances.choice(["inspect", "inspect", "borrow", "end_borrow", "end_borrow", "read", "transfer", "transfer", "write"])
    who = chances.choice(PEOPLE)
    more = {"inspect": (), "transfer": (who, chances.choice(PEOPLE)), "write": (who, bytes([thread, *divmod(number, 256)]) * 2)}
    return name, more.get(name, (who,))


def perform(manager, handle, name, arguments):
    try:
        if name == "inspect":
            seen = manager.inspect(handle)
            return seen.state, seen.owner, seen.borrow_count
        if name == "write":
            return manager.write(handle, arguments[0], 0, arguments[1])
        return getattr(manager, name)(handle, *arguments)
    except ResourceError as error:
        return error.kind


@pytest.mark.parametrize("seed", range(6))
def test_a_concurrent_history_is_explained_by_one_operation_at_a_time(seed):
    manager, clock = ResourceManager(), Clock()
    start = bytes([99]) * 6
    handle = manager.allocate(A, 8, FLOW)
    manager.write(handle, A, 0, start)

    def task(thread):
        plan = [draw(chances, thread, number) for chances in [random.Random(f"{seed}-{thread}")] for number in range(1000)]

        def run():
            history = []
            for name, arguments in plan:
                invoked = clock.tick()
                result = perform(manager, handle, name, arguments)
                history.append(Done(name, arguments, result, invoked, clock.tick()))
            return history

        return run

    threads = together(*(task(thread) for thread in range(THREADS)))
    assert explains(Model(A, start), threads)


# ---- hammering


def test_no_observer_sees_both_owners_or_none_during_transfers():
    manager, over = ResourceManager(), threading.Event()
    handle = manager.allocate(A, 100, FLOW)

    def move():
        try:
            for _ in range(2000):
                manager.transfer(handle, A, B)
                manager.transfer(handle, B, A)
        finally:
            over.set()

    def watch():
        looks = 0
        while not looks or not over.is_set():
            seen = manager.inspect(handle)
            assert (seen.state, seen.owner in {A, B}) == (ResourceState.OWNED, True)
            balance = manager.balance()
            assert [holding.buffers for holding in balance.holdings] == [1]
            looks += 1
        return looks

    assert min(together(move, watch, watch)[1:]) > 0
    assert (manager.budget(A)[0], manager.budget(B)[0]) == (256, 0)


def test_no_buffer_is_handed_out_twice_and_no_byte_crosses_tenancies():
    pool_size = 3  # fewer than the threads use at once: pooled blocks and fallbacks change hands all the time
    manager, over = ResourceManager(ManagerConfig(table_capacity=1, tiers=(TierConfig(Tier.SMALL, pool_size),))), threading.Event()
    rounds = 400

    def work(thread):
        mine, other = Owner(10 + thread), Owner(20 + thread)

        def run():
            handles = []
            for number in range(rounds):
                pattern = bytes([thread + 1, number % 251]) * 100
                handle = manager.allocate(mine, 200, FLOW)
                handles.append(handle)
                manager.write(handle, mine, 0, pattern)
                manager.transfer(handle, mine, HOST)
                manager.borrow(handle, other)
                assert manager.read(handle, other) == pattern
                copy = manager.clone(handle, other, FLOW)
                handles.append(copy)
                manager.end_borrow(handle, other)
                manager.release(handle, HOST)
                assert manager.read(copy, other) == pattern
                if number % 3:
                    manager.release(copy, other)
                else:
                    assert [record.handle for record in manager.force_reclaim(other)] == [copy]
            return handles

        return run

    def audit():
        looks = 0
        while not looks or not over.is_set():
            balance = manager.balance()
            assert balance.is_even
            assert balance.live <= 2 * THREADS
            assert all(holding.state in {ResourceState.OWNED, ResourceState.BORROWED} for holding in balance.holdings)
            pool = manager.pool_metrics(Tier.SMALL)
            assert 0 <= pool.available <= pool_size
            looks += 1
        return []

    def all_work():
        try:
            return list(chain.from_iterable(together(*(work(thread) for thread in range(THREADS)))))
        finally:
            over.set()

    handles = together(all_work, audit)[0]
    assert len(set(handles)) == len(handles) == THREADS * rounds * 2
    assert (manager.live_count, manager.created, manager.released) == (0, len(handles), len(handles))
    assert all(manager.budget(Owner(number + thread))[0] == 0 for number in (10, 20) for thread in range(THREADS))
    pool = manager.pool_metrics(Tier.SMALL)
    assert (pool.available, pool.alloc_count, pool.alloc_count + pool.fallback_count) == (pool_size, pool.return_count, len(handles))
    writes = manager.copy_stats(FLOW)
    assert (writes.total_copy_ops, writes.total_payload_bytes) == (THREADS * rounds * 4, THREADS * rounds * 4 * 200)


def test_a_contested_release_succeeds_once():
    manager = ResourceManager()
    for _ in range(50):
        handle = manager.allocate(A, 1, FLOW)
        outcomes = together(*([lambda handle=handle: perform(manager, handle, "release", (A,))] * THREADS))
        assert sorted(map(str, outcomes)) == ["None"] + ["not-allocated"] * (THREADS - 1)


def test_a_contested_budget_is_never_overdrawn():
    manager = ResourceManager()
    manager.register_component(A, 256 * 5)

    def grab():
        outcomes = [perform(manager, A, "allocate", (1, FLOW)) for _ in range(20)]
        return outcomes.count("budget-exceeded")

    assert sum(together(*[grab] * THREADS)) == THREADS * 20 - 5
    assert manager.budget(A) == (256 * 5, 256 * 5)

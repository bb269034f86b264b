"""The checker of histories: what some order explains, what none does, and what it says of ownership."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.models import linearizability
from conformance.models.linearizability import Asked, Interval, TooLargeError, explains, ownership_after, ownership_print
from conformance.models.ownership import Buffer, OwnershipModel, Profile
from conformance.subjects import protocol as p

ONE, TWO = "component-1", "component-2"
HANDLE = p.Handle(0, 1)
NOT_OWNER, DONE = p.Fault("not-owner"), p.Done()


def register(state, operation):
    """A register: ("write", value), or ("read", what was read)."""
    what, value = operation
    if what == "write":
        return value
    return state if state == value else None


def same(value):
    return value


@pytest.mark.parametrize(
    ("read", "start", "fine"),
    [("old", 2, True), ("new", 2, True), ("old", 5, False), ("new", 5, True), ("other", 2, False)],
)
def test_a_read_beside_a_write_sees_either_and_one_after_it_only_the_new(read, start, fine):
    threads = [[Interval(("write", "new"), 1, 4)], [Interval(("read", read), start, start + 1)]]
    assert explains(threads, "old", register, same) is fine


def test_reads_do_not_go_back_in_time():
    write = [Interval(("write", "new"), 1, 6)]
    for first, second, fine in (("old", "new", True), ("new", "old", False)):
        reads = [Interval(("read", first), 2, 3), Interval(("read", second), 4, 5)]
        assert explains([write, reads], "old", register, same) is fine


operations = st.tuples(st.sampled_from(["write", "read"]), st.integers(0, 2))


@given(st.lists(st.lists(operations, max_size=3), min_size=1, max_size=3), st.data())
def test_the_search_agrees_with_trying_every_order(programs, data):
    ticks = data.draw(st.permutations([number for number, program in enumerate(programs) for _ in range(2 * len(program))]))
    times = [[tick for tick, owner in enumerate(ticks) if owner == number] for number in range(len(programs))]
    threads = [
        [Interval(operation, times[number][2 * i], times[number][2 * i + 1]) for i, operation in enumerate(program)]
        for number, program in enumerate(programs)
    ]

    def valid(order):
        state = 0
        for place, interval in enumerate(order):
            if any(later.end < interval.start for later in order[place + 1 :]):
                return False
            state = register(state, interval.operation)
            if state is None:
                return False
        return True

    everything = [interval for thread in threads for interval in thread]
    if len(everything) <= 6:
        assert explains(threads, 0, register, same) is any(valid(order) for order in itertools.permutations(everything))


def test_a_history_with_too_many_orders_is_given_up(monkeypatch):
    monkeypatch.setattr(linearizability, "MOST_STATES", 100)
    threads = [[Interval(("write", number), 0, 100)] for number in range(12)]
    with pytest.raises(TooLargeError, match="100 situations"):
        explains([*threads, [Interval(("read", "never"), 0, 100)]], 0, lambda s, o: None if o[0] == "read" else (s, o[1]), same)


# ---- ownership


def model():
    """One buffer of component-1 with two bytes."""
    made = OwnershipModel(1000, Profile())
    made.allocated(Buffer("b0", (0, 1), ONE, 256, 1, content=bytearray(b"ab")))
    return made


def explained(*threads):
    clocked = [[Interval(Asked(request, reply), start, end) for request, reply, start, end in thread] for thread in threads]
    return explains(clocked, model(), ownership_after, ownership_print)


def seen(owner, borrows=0):
    return p.BufferReply("Borrowed" if borrows else "Owned", owner, borrows, 256, 2, "", "Small", is_fallback=False)


GIVE = p.Transfer(HANDLE, ONE, TWO)


@pytest.mark.parametrize(
    ("threads", "fine"),
    [
        (([(GIVE, DONE, 1, 2)], [(p.Release(HANDLE, ONE), NOT_OWNER, 1, 2)]), True),
        (([(GIVE, DONE, 1, 2)], [(p.Release(HANDLE, ONE), DONE, 1, 2)]), False),
        (([(GIVE, DONE, 1, 2)], [(GIVE, DONE, 1, 2)]), False),
        (([(GIVE, DONE, 1, 4)], [(p.Inspect(HANDLE), seen(TWO), 1, 2), (p.Inspect(HANDLE), seen(ONE), 3, 4)]), False),
        (([(GIVE, DONE, 1, 4)], [(p.Inspect(HANDLE), seen(ONE), 1, 2), (p.Inspect(HANDLE), seen(TWO), 3, 4)]), True),
        (([(GIVE, DONE, 1, 4)], [(p.Inspect(HANDLE), seen("transit"), 1, 2)]), False),
        (([(p.Borrow(HANDLE, TWO), DONE, 1, 2)], [(p.Inspect(HANDLE), seen(ONE, 2), 3, 4)]), False),
        (([(p.Borrow(HANDLE, TWO), DONE, 1, 2)], [(p.Inspect(HANDLE), seen(ONE, 1), 3, 4)]), True),
        (([(p.Write(HANDLE, ONE, 1, b"xy"), p.CountReply(3), 1, 2)], [(p.Read(HANDLE, ONE, 0, 9), p.BytesReply(b"axb"), 1, 2)]), False),
        (([(p.Write(HANDLE, ONE, 1, b"xy"), p.CountReply(3), 1, 2)], [(p.Read(HANDLE, ONE, 0, 9), p.BytesReply(b"axy"), 1, 2)]), True),
        (([(p.Allocate("host", 9), p.HandleReply(HANDLE), 1, 2)],), False),
        (
            (
                [(p.Allocate("host", 9), p.HandleReply(p.Handle(1, 1)), 1, 2)],
                [(p.Allocate("host", 9), p.HandleReply(p.Handle(1, 1)), 1, 2)],
            ),
            False,
        ),
        (([(p.Allocate(ONE, 745), p.Fault("budget-exceeded"), 1, 2)],), True),
        (([(p.Allocate("host", 745), p.Fault("budget-exceeded"), 1, 2)],), False),
        (([(p.Allocate(ONE, 9), DONE, 1, 2)],), False),
        (([(GIVE, DONE, 1, 2)], [(p.Budget(ONE), p.BudgetReply(256), 3, 4)]), False),
        (([(GIVE, DONE, 1, 2)], [(p.Budget(ONE), p.BudgetReply(0), 3, 4)]), True),
        (([(p.Release(HANDLE, ONE), DONE, 1, 2)], [(p.LiveCount(), p.CountReply(1), 3, 4)]), False),
        (([(p.Release(HANDLE, ONE), DONE, 1, 4)], [(p.LiveCount(), p.CountReply(1), 1, 2), (p.LiveCount(), p.CountReply(0), 3, 4)]), True),
        (([(p.Inspect(HANDLE), p.Fault("not-owner"), 1, 2)],), False),
        (([(p.Inspect(HANDLE), DONE, 1, 2)],), False),
        (([(p.Freeze(HANDLE, ONE), DONE, 1, 2)], [(p.Write(HANDLE, ONE, 0, b"x"), p.CountReply(2), 3, 4)]), False),
    ],
)
def test_a_history_of_buffers_is_explained_by_the_rules_or_not(threads, fine):
    assert explained(*threads) is fine

"""Resource managers under threads (OWN): what several threads do at once could have been done one operation after another.

Programs run in real threads of the subject, which writes down when each operation began and ended. The history is held to the sequential
model of ownership. A race that is found may not show a second time; so nothing is shrunk here, and histories are kept short instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import msgspec

from conformance.areas.ownership import ONE, THREE, TWO
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Refused, Violation
from conformance.machines.ownership import BUDGETS, DEFAULT_BUDGET
from conformance.models.linearizability import Asked, Interval, TooLargeError, explains, ownership_after, ownership_print
from conformance.models.ownership import Buffer, OwnershipModel, Profile
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

RULE = "OWN-042"
PARTIES = ("host", ONE, TWO, THREE)
OWNERS = (ONE, "host", THREE)
"""Who owns the buffers that the threads fight for: `b0`, `b1`, `b2`."""
CONTENT = "0000"
"""What is in them: every write is as long, so that a read sees all of one write or all of another."""
THREADS, LENGTH, ROUNDS = 3, 8, 25

Programs = tuple[tuple[p.ThreadRequest, ...], ...]


def directed(handles: Sequence[p.Handle]) -> dict[str, Programs]:
    """Return programs that meet where a manager without a lock is wrong, by what they fight for."""
    one, host, three = handles
    look = p.Inspect(one)
    there, back = p.Transfer(one, ONE, TWO), p.Transfer(one, TWO, ONE)
    return {
        "two receivers": ((there, look), (p.Transfer(one, ONE, THREE), look)),
        "two releases": ((p.Release(host, "host"),), (p.Release(host, "host"),), (p.Release(host, "host"),)),
        "a release and a transfer": ((p.Release(one, ONE), p.Budget(ONE)), (there, p.Budget(TWO))),
        "a transfer under observation": ((there, back) * 4, (look,) * 8),
        "a release and a borrow": ((p.Release(host, "host"), p.LiveCount()), (p.Borrow(host, TWO), p.Read(host, TWO, 0, 4))),
        "borrows": ((p.Borrow(one, TWO), look), (p.Borrow(one, THREE), look)),
        "borrows that end": tuple((p.Borrow(one, who), look, p.EndBorrow(one, who)) for who in (TWO, THREE)),
        "writers and a reader": (
            tuple(p.Write(three, THREE, 0, f"a{i:03}".encode()) for i in range(4)),
            (p.Transfer(three, THREE, "host"), p.Write(three, "host", 0, b"host"), p.Read(three, "host", 0, 4)),
            (p.Borrow(three, TWO), p.Read(three, TWO, 0, 4), p.Read(three, TWO, 0, 4), p.EndBorrow(three, TWO)),
        ),
        "slots": tuple((p.Allocate("host", 16), p.Allocate(TWO, 16)) for _ in range(3)),
        "the last of a budget": tuple((p.Allocate(THREE, 16), p.Budget(THREE)) for _ in range(3)),
    }


def drawn(random: Random, handles: Sequence[p.Handle]) -> Programs:
    """Draw programs; what a thread writes nobody else writes."""

    def operation(thread: int, number: int) -> p.ThreadRequest:
        handle, who, other = random.choice(handles), random.choice(PARTIES), random.choice(PARTIES)
        return random.choice(
            (
                p.Inspect(handle),
                p.Transfer(handle, who, other),
                p.Transfer(handle, who, other),
                p.Borrow(handle, who),
                p.EndBorrow(handle, who),
                p.EndBorrow(handle, who),
                p.Read(handle, who, 0, len(CONTENT)),
                p.Write(handle, who, 0, f"{thread}{number:03}".encode()),
                p.Allocate(who, 16),
                p.Release(handle, who),
                p.Budget(random.choice((ONE, TWO, THREE))),
                p.LiveCount(),
            )
        )

    return tuple(tuple(operation(thread, number) for number in range(LENGTH)) for thread in range(1, THREADS + 1))


@checks(RULE, facet=Facet.RESOURCES, kind="machine", requires=("concurrency",))
def as_if_one_after_another(session: Session, budget: Budget) -> None:
    """Every history of threads that fight for the same buffers, slots and budgets is explained by some order of its operations."""
    random = budget.random()
    for name in directed([p.Handle(0, 0)] * len(OWNERS)):
        arena = Arena.open(session)
        arena.judge(session, budget, directed(arena.handles)[name], name)
    for number in range(budget.scaled(ROUNDS)):
        arena = Arena.open(session)
        arena.judge(session, budget, drawn(random, arena.handles), f"drawn programs, round {number}")


@dataclass(frozen=True, slots=True)
class Arena:
    """A fresh manager with three buffers, and the model of it."""

    handles: tuple[p.Handle, ...]
    model: OwnershipModel

    @classmethod
    def open(cls, session: Session) -> Arena:
        """Start over."""
        resources = session.resources
        resources.open(table_capacity=2, default_budget_bytes=DEFAULT_BUDGET)
        model = OwnershipModel(DEFAULT_BUDGET, Profile.of(session.capabilities(Facet.RESOURCES)))
        for component, limit in BUDGETS.items():
            resources.register_component(component, limit)
            model.limits[component] = limit
        handles = tuple(resources.allocate(owner, 16) for owner in OWNERS)
        for number, (handle, owner) in enumerate(zip(handles, OWNERS, strict=True)):
            resources.write(handle, owner, 0, CONTENT.encode())
            capacity = resources.inspect(handle).capacity
            key = (handle.index, handle.generation)
            model.allocated(Buffer(f"b{number}", key, owner, capacity, 1, content=bytearray(CONTENT.encode())))
        return cls(handles, model)

    def judge(self, session: Session, budget: Budget, programs: Programs, name: str) -> None:
        """Run programs, and look for an order that explains what came of them and what is there afterwards.

        Raises:
            Violation: there is none.
            Inconclusive: the subject's history is none, or has too many orders.
        """
        programs = tuple(tuple(request for request in program if _offered(session, request)) for program in programs)
        threads = session.resources.concurrent(programs)
        history = _intervals(programs, threads)
        made = [happened.reply.handle for thread in threads for happened in thread if isinstance(happened.reply, p.HandleReply)]
        last = max((interval.end for thread in history for interval in thread), default=0)
        history.append(_afterwards(session, (*self.handles, *made), last))
        budget.touch(RULE, sum(map(len, history)))
        try:
            fine = explains(history, self.model, ownership_after, ownership_print)
        except TooLargeError as error:
            raise Inconclusive(f"no order was found or excluded for {name}: {error}") from error
        if not fine and not self._alone(session, history, budget.random()):
            raise Violation(
                RULE,
                f"{name}: no order of the operations explains their replies",
                expected="some order",
                found="none",
                evidence={
                    "threads": [[_show(interval) for interval in thread] for thread in history[:-1]],
                    "afterwards": [_show(interval) for interval in history[-1]],
                },
            )

    def _alone(self, session: Session, history: Sequence[Sequence[Interval[Asked]]], random: Random) -> bool:
        """Tell whether the subject gives the same replies in one thread, in an order that the history allows.

        Then threads have nothing to do with what the model does not explain: it is another rule that the subject breaks, also when it is
        asked one thing after another, and that rule's own check says so.
        """
        for number in range(TRIES):
            order = _one_order(history, None if number == 0 else random)
            if Arena.open(session).handles != self.handles:
                return False
            (alone,) = session.resources.concurrent((tuple(interval.operation.request for interval in order),))
            if all(happened.reply == interval.operation.reply for happened, interval in zip(alone, order, strict=True)):
                return True
        return False


def _one_order(history: Sequence[Sequence[Interval[Asked]]], random: Random | None) -> list[Interval[Asked]]:
    """Return the operations in an order that their intervals allow: by their ends, or drawn."""
    waiting = [interval for thread in history for interval in thread]
    order: list[Interval[Asked]] = []
    while waiting:
        soonest = min(interval.end for interval in waiting)
        free = [interval for interval in waiting if interval.start < soonest]
        taken = min(free, key=lambda interval: interval.end) if random is None else random.choice(free)
        waiting.remove(taken)
        order.append(taken)
    return order


def _offered(session: Session, request: p.ThreadRequest) -> bool:
    host = isinstance(request, p.Borrow | p.EndBorrow) and request.borrower == "host"
    return not session.lacks(p.tag_of(request), *(["resources.borrow/borrower=host"] if host else []))


TRIES = 60
"""How many orders of a history are tried one operation after another."""


def _intervals(programs: Programs, threads: Sequence[Sequence[p.Happened]]) -> list[list[Interval[Asked]]]:
    if [len(thread) for thread in threads] != [len(program) for program in programs]:
        raise Inconclusive("the subject's history does not have one entry for each operation")
    for thread in threads:
        ticks = [tick for happened in thread for tick in (happened.start, happened.end)]
        if any(earlier >= later for earlier, later in pairwise(ticks)):
            raise Inconclusive("the ticks of a thread's history do not rise")
    return [
        [Interval(Asked(request, happened.reply), happened.start, happened.end) for request, happened in zip(program, thread, strict=True)]
        for program, thread in zip(programs, threads, strict=True)
    ]


def _afterwards(session: Session, handles: Sequence[p.Handle], last: int) -> list[Interval[Asked]]:
    """Look at everything once all threads have ended: each look is one more operation of the history, after all others."""
    looks: list[Interval[Asked]] = []

    def look(request: p.ThreadRequest, expected: type[p.ThreadReply]) -> p.ThreadReply:
        reply: p.ThreadReply
        try:
            reply = session.ask(request, expected)
        except Refused as refused:
            reply = p.Fault(refused.kind, refused.message, dict(refused.fields))
        tick = last + 1 + 2 * len(looks)
        looks.append(Interval(Asked(request, reply), tick, tick + 1))
        return reply

    look(p.LiveCount(), p.CountReply)
    for component in () if session.lacks("resources.budget") else (ONE, TWO, THREE):
        look(p.Budget(component), p.BudgetReply)
    owned = [(handle, seen) for handle in handles if isinstance(seen := look(p.Inspect(handle), p.BufferReply), p.BufferReply)]
    patterns = {handle: f"n{number:03}".encode() for number, (handle, _) in enumerate(owned)}
    for handle, seen in owned:
        look(p.Write(handle, seen.owner, 0, patterns[handle]), p.CountReply)
    for handle, seen in owned:  # a buffer that was handed out twice has another's bytes
        look(p.Read(handle, seen.owner, 0, len(CONTENT)), p.BytesReply)
    return looks


def _show(interval: Interval[Asked]) -> str:
    asked = interval.operation
    reply = asked.reply.kind if isinstance(asked.reply, p.Fault) else msgspec.json.encode(asked.reply).decode()
    return f"{interval.start}-{interval.end} {msgspec.json.encode(asked.request).decode()} -> {reply}"

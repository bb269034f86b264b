"""A guest and its model in lock-step: programs over buffers are sent call by call, and every answer is held against the rules.

A trap ends a guest and with it the log of the call, so an operation that may trap has a call of its own. When a call of several operations
traps against the model's word, the program is played once more with one operation per call, and the trap has an address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass

from conformance.checks import Budget
from conformance.errors import Refused
from conformance.machines.judge import Abort, DivergedError, Judge, Step
from conformance.models.buffers import GuestModel
from conformance.models.held import Frozen, Mutable, Profile, Spent, is_dead
from conformance.subjects.guests import (
    CONTEXT,
    ENDINGS,
    ERROR_KINDS,
    PAYLOAD,
    TRAPPED,
    U64_MAX,
    Called,
    GuestsClient,
    Op,
    Result,
    UnreadableLogError,
    encode,
)
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

BUDGET_BYTES = 64 * 1024 * 1024
SWEPT = 160
"""The first of the slots into which the sweep freezes what is left."""

CANARY = ("BUF-002", "BUF-003", "BUF-010", "BUF-020", "BUF-021", "CON-008", "CON-012", "OWN-023")
"""What it takes to read a program and to send its log: who cannot do that breaks one of these."""

LOOKED_AT = frozenset({"OWN-023", "OWN-028", "OWN-029", "BUF-020", "BUF-021", "BUF-031", "BUF-033", "POOL-004"})
"""The rules that say something about what a guest is charged, or what is counted as a copy."""
COUNTED = frozenset({"BUF-020", "BUF-031"})
"""Of those, the ones about copies: their programs are played one operation per call, so that each call has one cause."""

MOST_FILLED = 4096
"""Bytes: larger buffers are not filled to the brim, for some engines take a millisecond per page."""

NO_ROOM = "the host refused a buffer for the log"


@dataclass(frozen=True, slots=True)
class Near(Op):
    """An operation at an edge that is only known while the program runs.

    Attributes:
        edge: what the offset is counted from: `size`, `capacity`, or `fit`, the last offset at which the data fits. For an append it is the
            repetition of its one byte that is counted, from an exact fit.
        delta: how far from the edge.
    """

    edge: str = "size"
    delta: int = 0

    def at(self, model: GuestModel) -> Op:
        """Return the operation with a number for its edge."""
        held = model.slots.get(self.slot)
        size = len(held.content) if isinstance(held, (Mutable, Frozen)) else 0
        capacity = 0
        if isinstance(held, Mutable):
            capacity = model.profile.capacity(held.hint) if held.capacity is None else held.capacity
        if self.do == "append":
            left = max(capacity - size + self.delta, 0)
            return Op(self.do, self.slot, b=left if left <= MOST_FILLED else 0, data=self.data[:1] or b"~")
        edge = size if self.edge == "size" else capacity if self.edge == "capacity" else capacity - len(self.written)
        return Op(self.do, self.slot, self.into, min(max(edge + self.delta, 0), U64_MAX), self.b, self.data)


Program = tuple[tuple[Op, ...], ...]
"""Calls, each of operations."""


@dataclass(frozen=True, slots=True)
class Story:
    """A program with the budget it is played under."""

    calls: Program
    budget_bytes: int = BUDGET_BYTES


class _UnexpectedTrapError(Exception):
    """A call of several operations trapped, and none of them may."""


class _OverError(Exception):
    """The guest is dead, or cannot report: the example has said all that it can."""


class GuestLockstep:
    """One guest, opened for one example."""

    def __init__(self, judge: Judge, engine: str, profile: Profile, budget_bytes: int) -> None:
        self.judge = judge
        self.model = GuestModel(budget_bytes, profile)
        self._guests = GuestsClient(judge.ask)
        self._guests.open(engine=engine, budget_bytes=budget_bytes)

    # ---- playing

    def play_all(self, calls: Iterable[Sequence[Op]]) -> None:
        """Play a program's calls, then look at everything that is left."""
        for call in calls:
            self.play(call)
        self.sweep()

    def play_apart(self, *ops: Op) -> None:
        """Play some operations in one call, or in one each where every call has to have one cause."""
        for part in split((ops,)) if self.judge.rule in COUNTED else (ops,):
            self.play(part)

    def play(self, ops: Sequence[Op]) -> None:
        """Play one call."""
        ops = self._resolve(ops)
        if any(op.do in ENDINGS for op in ops):
            assert len(ops) == 1, "an operation that ends its call leaves no log: it stands alone"
            self._end(ops[0])
            return
        looked = self._with_looks(ops)
        called = self._call(looked, ops[0] if len(ops) == 1 else None)
        if called.trapped:
            self._trapped(ops, looked, called)
        for op, result in zip(looked, called.results, strict=True):
            self._judge(op, result)
        self.model.end(called.answer.payload)
        self._look()

    def canary(self) -> None:
        """Play a program of nothing: a host that cannot even do that is not understood any further."""
        self.play((Op("handle"),))

    def sweep(self) -> None:
        """Freeze what is unfrozen, read everything, drop everything, and see that nothing is left."""
        for slot, held in sorted(self.model.slots.items()):
            if isinstance(held, Mutable):
                into = SWEPT + slot % 64
                self.play_apart(Op("freeze", slot, into=into), Op("drop-mutable", slot))
                self._read(into)
            elif isinstance(held, Spent):
                self.play((Op("drop-mutable", slot),))
        for slot, held in sorted(self.model.slots.items()):
            if isinstance(held, Frozen):
                self._read(slot)
                self.play((Op("drop-buffer", slot),))

    def _read(self, slot: int) -> None:
        self.play_apart(Op("read-all", slot), Op("buffer-size", slot), Op("buffer-content-type", slot))

    # ---- one call

    def _resolve(self, ops: Sequence[Op]) -> tuple[Op, ...]:
        """Put numbers where edges are, by what the model reckons with."""
        if not any(isinstance(op, Near) for op in ops):
            return tuple(ops)
        forecast = deepcopy(self.model)
        forecast.begin(b"", "")
        resolved = []
        for op in ops:
            known = op.at(forecast) if isinstance(op, Near) else op
            resolved.append(known)
            for _ in forecast.judge(known, forecast.predict(known).usual):
                pass
        return tuple(resolved)

    def _with_looks(self, ops: Sequence[Op]) -> tuple[Op, ...]:
        """Add what has to be asked after an operation, and clear the way for one on a dead handle.

        The lent handles are dropped before that: their numbers may be the very ones that the dead handle had.
        """
        looked: list[Op] = []
        if len(ops) == 1 and is_dead(self.model.slots.get(ops[0].slot)):
            looked += [Op("drop-buffer", PAYLOAD), Op("drop-context", CONTEXT)]
        for op in ops:
            looked.append(op)
            if op.do in {"allocate", "clone"}:
                looked += [Op("capacity", op.into), Op("size", op.into)]
            elif op.do in {"write", "append"} and isinstance(self.model.slots.get(op.slot), Mutable | None):
                looked.append(Op("size", op.slot))
        return tuple(looked)

    def _call(self, ops: Sequence[Op], alone: Op | None) -> Called:
        step: Step = {"call": [op.show() for op in ops]}
        self.judge.steps.append(step)
        self.model.begin(encode(ops), "")
        try:
            called = self._guests.call(ops)
        except UnreadableLogError as garbled:
            self.judge.demand(CANARY, holds=False, message=f"the guest's log arrives garbled: {garbled}")
            raise
        except Refused as refused:
            self.judge.demand(CANARY, holds=False, message="the host cannot make the call", expected="an answer", found=refused)
            raise
        answer = called.answer
        step["outcome"] = [answer.outcome, answer.kind, answer.message] if called.trapped else [str(result) for result in called.results]
        if answer.outcome == "emitted" or called.trapped:
            return called
        if answer.message == NO_ROOM:
            raise _OverError
        must_trap = alone is not None and self.model.predict(alone).statuses == ("trapped",)
        rules = self.model.predict(alone).rules if alone is not None and must_trap else CANARY
        expected = "a trap" if must_trap else "a log"
        self.judge.demand(rules, holds=False, message="a program ends in no log", expected=expected, found=answer)
        raise _OverError

    def _judge(self, op: Op, result: Result) -> None:
        for expectation in self.model.judge(op, result):
            self.judge.expect(
                expectation.rules, expectation.holds, expectation.message, expected=expectation.expected, found=expectation.found
            )
        self.judge.settle()

    def _trapped(self, ops: Sequence[Op], looked: Sequence[Op], called: Called) -> None:
        """Judge a call that ended in a trap; nothing comes after it."""
        if len(ops) > 1:
            raise _UnexpectedTrapError
        prediction = self.model.predict(ops[0])
        if "trapped" in prediction.statuses:
            self._judge(ops[0], TRAPPED)
            raise _OverError
        rules = {rule for op in looked for rule in self.model.predict(op).rules}
        self.judge.demand(rules, holds=False, message=f"{ops[0].do} traps", expected=prediction.statuses[0], found=called.answer.message)

    def _end(self, op: Op) -> None:
        """Play an operation that ends the call, and judge what arrives at the host."""
        expect = self.judge.expect
        held = self.model.slots.get(op.slot)
        called = self._call_ending(op)
        answer = called.answer
        wanted = {"emit": "emitted", "drop-element": "dropped", "fail": "failed"}[op.do]
        rules = {"emit": ("OWN-023",), "fail": ("OWN-028",), "drop-element": ()}[op.do]
        lent = op.slot == PAYLOAD or (isinstance(held, Frozen) and held.lent)
        if op.do == "emit" and (lent or not isinstance(held, Frozen)):
            rules = ("OWN-003", "OWN-023") if lent else rules
            expect(rules, called.trapped, "a buffer that is not the guest's own can be emitted", expected="a trap", found=answer.outcome)
            self.judge.settle()
            raise _OverError
        self.judge.demand(rules, answer.outcome == wanted, f"{op.do} does not end the call so", expected=wanted, found=answer.outcome)
        self.model.end(None)
        if op.do == "fail":
            kind = ERROR_KINDS[op.a]
            expect(rules, answer.kind == kind, "the error has another kind", expected=kind, found=answer.kind)
            self.model.charged.add("OWN-028")
        elif isinstance(held, Frozen):
            told = (*held.history, "OWN-023")
            expect(told, answer.payload == held.content, "another payload arrives", expected=held.content, found=answer.payload)
            expect(("BUF-034",), answer.content_type.encode() == op.data, "the element's type has changed", expected=op.data, found=answer)
            kept = held.content_type.accepts(answer.buffer_content_type.encode())
            expect(("BUF-034", "BUF-020"), kept, "the buffer's type has changed", expected=held.content_type.sent, found=answer)
            self.model.emitted(op.slot)
        self.judge.settle()
        self._look()

    def _call_ending(self, op: Op) -> Called:
        step: Step = {"call": [op.show()]}
        self.judge.steps.append(step)
        self.model.begin(encode((op,)), "")
        called = self._guests.call((op,))
        step["outcome"] = [called.answer.outcome, called.answer.kind, called.answer.message]
        return called

    def _look(self) -> None:
        """Compare what the guest is charged with, and what was counted as copied, with the model."""
        rules = tuple(self.model.charged)
        self.model.charged.clear()
        if self.judge.rule not in LOOKED_AT:
            return
        seen = self._guests.observe()
        expected = (len(self.model.owned), self.model.used)
        expect = self.judge.expect
        expect(rules, (seen.owned, seen.used) == expected, "the guest is charged wrong", expected=expected, found=(seen.owned, seen.used))
        expect(rules, seen.live == seen.owned, "the host holds buffers of a call that is over", expected=seen.owned, found=seen.live)
        if self.judge.rule in COUNTED:
            total, fewest, most = self.model.copied
            counted = seen.copy_bytes == total and fewest <= seen.copy_ops <= most
            found = (seen.copy_bytes, seen.copy_ops)
            expect(rules, counted, "the wrong copies were counted", expected=(total, f"{fewest} to {most}"), found=found)
        self.judge.settle()


def engines_of(session: Session) -> tuple[str, ...]:
    """Return the engines that the subject claims, or its own choice alone."""
    claimed = sorted(name.removeprefix("engine=") for name in session.capabilities(Facet.GUESTS) if name.startswith("engine="))
    return tuple(claimed) or ("",)


def profile_of(session: Session) -> Profile:
    """Return the readings that the subject declares, on the guests' side or on the host's."""
    return Profile.of(session.capabilities(Facet.GUESTS) | session.capabilities(Facet.RESOURCES))


def play_story(session: Session, budget: Budget, rule: str, engine: str, story: Story) -> None:
    """Play one story on one engine, judged for one rule.

    Raises:
        Violation: the rule is broken.
        Abort: the subject died or declined.
    """
    profile = profile_of(session)

    def start() -> GuestLockstep:
        judge = Judge(session, rule, budget.touch)
        judge.steps.append({"open": {"engine": engine, "budget_bytes": story.budget_bytes}})
        return GuestLockstep(judge, engine, profile, story.budget_bytes)

    calls = split(story.calls) if rule in COUNTED else story.calls
    try:
        start().play_all(calls)
    except (DivergedError, _OverError):  # another rule's business, or all was said
        return
    except _UnexpectedTrapError:
        try:
            start().canary()
            start().play_all(split(story.calls))
        except (DivergedError, _OverError, _UnexpectedTrapError):
            return


def split(calls: Program) -> Program:
    """Return the same program with one operation per call, except where the operations only make sense together."""
    whole = {"copy-slot", "forge"}
    return tuple(part for call in calls for part in ([call] if whole & {op.do for op in call} else [(op,) for op in call]))


def search_guests(
    session: Session, budget: Budget, rule: str, stories: Iterable[Story], law: Callable[[Callable[[Story], None]], None] | None = None
) -> None:
    """Play the stories on every engine, then whatever `law` draws.

    Raises:
        Violation: the rule is broken; its evidence is the program.
        SubjectError, NotOffered: the subject died or declined.
    """
    stories = tuple(stories)
    try:
        for engine in engines_of(session):
            for story in stories:
                play_story(session, budget, rule, engine, story)
            if law is not None:
                law(lambda story, engine=engine: play_story(session, budget, rule, engine, story))  # type: ignore[misc]  # bound here
    except Abort as abort:
        raise abort.cause from None

"""What the lock-steps of pools, budgets and copies share: playing operations on a manager, and knowing what is alive.

A subclass says what it asks before and after each operation. The steps are data, as everywhere: an operation's tag without `resources.`,
buffers by the name that they get (`b0`, `b1`, ... in the order in which they were asked for). Who calls is the buffer's owner unless a
step says otherwise; a step on a buffer that was refused or is gone is passed over, so that one story fits several subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from conformance.checks import Budget
from conformance.errors import Refused
from conformance.machines.judge import Abort, DivergedError, Judge, Step
from conformance.models.pools import Served
from conformance.subjects import protocol as p
from conformance.subjects.session import Session

COMPONENTS = ("component-1", "component-2", "component-3")
PARTIES = ("host", *COMPONENTS)
SIZES = (0, 100, 256, 257, 4096, 5000)
"""Requests of the first three tiers."""
GIVES = {"allocate", "clone"}
"""The operations that make a buffer."""


@dataclass(slots=True)
class Held:
    """A live buffer, as the operations made it."""

    name: str
    handle: p.Handle
    owner: str
    flow: int
    seen: p.BufferReply
    size: int = 0
    borrows: Counter[str] = field(default_factory=Counter)


class Accounts:
    """One fresh manager of the subject, and what is alive in it."""

    def __init__(self, judge: Judge, opening: p.OpenResources) -> None:
        self.judge = judge
        self.live: dict[str, Held] = {}
        self.asked = 0
        judge.ask(opening, p.Done)

    # ---- what a subclass says

    def before(self, step: Step, held: Held | None) -> None:
        """Look at the subject before an operation."""

    def done(self, step: Step, held: Held | None, reply: p.Reply, gone: list[Held]) -> None:
        """Judge an operation that was done; `held` is what it was about or has made, `gone` what it has ended."""

    def refused(self, step: Step, held: Held | None, refused: Refused) -> None:
        """Judge a refusal."""

    def after(self, step: Step) -> None:
        """Judge the books after an operation, however it ended."""

    # ---- one step

    def play(self, step: Step) -> None:
        """Play one step and judge it.

        Raises:
            Violation: the rule under test is broken.
            DivergedError: another rule is.
        """
        step = dict(step)
        name = step.get("handle", "")
        held = self.live.get(name)
        op = step["op"]
        if name and held is None:
            self.asked += op in GIVES
            return
        if held is not None:
            step.setdefault("caller", held.owner)
        request, expected = self._request(step, held)
        if not self.judge.offers(step):
            self.asked += op in GIVES
            return
        self.judge.steps.append(step)
        self.before(step, held)
        made = f"b{self.asked}"
        self.asked += op in GIVES
        try:
            reply = self.judge.ask(request, expected)
        except Refused as refused:
            step["outcome"] = refused.kind
            self.refused(step, held, refused)
        else:
            step["outcome"] = "done"
            about, gone = self._happened(step, held, reply, made)
            self.done(step, about, reply, gone)
        self.after(step)
        self.judge.settle()

    def play_all(self, steps: Iterable[Step]) -> None:
        """Play a directed example."""
        for step in steps:
            self.play(step)

    @staticmethod
    def _request(step: Step, held: Held | None) -> tuple[p.AnyRequest, type[Any]]:
        op = step["op"]
        match op:
            case "allocate":
                return p.Allocate(step["owner"], step["capacity"], step.get("flow", 1)), p.HandleReply
            case "force-reclaim":
                return p.ForceReclaim(step["component"]), p.ReclaimedReply
            case "release-flow":
                return p.ReleaseFlow(step["flow"]), p.FlowReleasedReply
            case "register":
                return p.RegisterComponent(step["component"], step["budget"]), p.Done
            case "register-flow":
                return p.RegisterFlow(step["flow"]), p.Done
        assert held is not None, "every other operation is about a buffer"
        handle, caller = held.handle, step["caller"]
        match op:
            case "release":
                return p.Release(handle, caller), p.Done
            case "transfer":
                return p.Transfer(handle, caller, step["target"]), p.Done
            case "borrow":
                return p.Borrow(handle, step["borrower"]), p.Done
            case "end-borrow":
                return p.EndBorrow(handle, step["borrower"]), p.Done
            case "write":
                return p.Write(handle, caller, step["offset"], content(step)), p.CountReply
            case "read":
                return p.Read(handle, caller, step["offset"], step["length"]), p.BytesReply
            case "clone":
                return p.Clone(handle, caller, step.get("flow", held.flow)), p.HandleReply
            case "set-content-type":
                return p.SetContentType(handle, caller, "text/plain"), p.Done
            case "freeze":
                return p.Freeze(handle, caller), p.Done
            case _:
                assert op == "inspect", op
                return p.Inspect(handle), p.BufferReply

    def _happened(self, step: Step, held: Held | None, reply: p.Reply, made: str) -> tuple[Held | None, list[Held]]:
        """Take note of what an operation has changed."""
        gone: list[Held] = []
        match step["op"]:
            case "allocate" | "clone":
                assert isinstance(reply, p.HandleReply), "the judge asked for it"
                seen = self.judge.ask(p.Inspect(reply.handle), p.BufferReply)
                owner = step["owner"] if step["op"] == "allocate" else step["caller"]
                flow = step.get("flow", 1 if held is None else held.flow)
                held = self.live[made] = Held(made, reply.handle, owner, flow, seen, 0 if held is None else held.size)
            case "release":
                assert held is not None, "it was about a buffer"
                gone = [held]
            case "force-reclaim":
                gone = [one for one in self.live.values() if one.owner == step["component"]]
                for one in self.live.values():
                    del one.borrows[step["component"]]
            case "release-flow":
                gone = [one for one in self.live.values() if one.flow == step["flow"]]
            case "transfer" if held is not None:
                held.owner = step["target"]
            case "borrow" if held is not None:
                held.borrows[step["borrower"]] += 1
            case "end-borrow" if held is not None:
                held.borrows[step["borrower"]] -= 1
            case "write" if held is not None:
                size = len(content(step))
                held.size = max(held.size, step["offset"] + size) if size else held.size
            case _:
                pass
        for one in gone:
            del self.live[one.name]
        return held, gone


def content(step: Step) -> bytes:
    """Return the bytes of a write: its text, `times` over."""
    data: bytes = step["text"].encode() * step.get("times", 1)
    return data


def learn(judge: Judge, sizes: Iterable[int]) -> dict[int, Served]:
    """Ask which tier serves which request while every pool has room: the subject's own choice (`tiers=any`), to which it is then held."""
    judge.ask(p.OpenResources(), p.Done)
    served = {}
    for size in sizes:
        try:
            handle = judge.ask(p.Allocate("host", size), p.HandleReply).handle
            seen = judge.ask(p.Inspect(handle), p.BufferReply)
            judge.ask(p.Release(handle, "host"), p.Done)
        except Refused as refused:  # another rule's business; without a choice there is nothing to hold the subject to
            raise DivergedError(f"a request of {size} bytes is refused by a fresh manager: {refused}") from None
        served[size] = Served(seen.tier, seen.capacity)
    return served


# ---- drawing


class AccountsMachine(RuleBasedStateMachine):
    """Draws operations that a host would really do, most of them allowed."""

    start: Callable[[], Accounts]
    sizes: tuple[int, ...] = SIZES
    parties: tuple[str, ...] = PARTIES
    most_live = 7
    clones = False

    def __init__(self) -> None:
        super().__init__()
        self.accounts = self.start()
        self.diverged = False

    def play(self, op: str, **fields: Any) -> None:
        """Play one operation, or nothing when subject and model have parted."""
        if self.diverged:
            return
        try:
            self.accounts.play({"op": op, **fields})
        except DivergedError:
            self.diverged = True

    def pick(self, pick: int) -> str | None:
        """Return the name of a live buffer, or None."""
        names = list(self.accounts.live)
        return names[pick % len(names)] if names else None

    def on(self, pick: int, op: str, **fields: Any) -> None:
        """Play an operation on a live buffer, which is made if there is none."""
        if not self.accounts.live:
            self.play(
                "allocate", owner=self.parties[pick % len(self.parties)], capacity=self.sizes[pick % len(self.sizes)], flow=1 + pick % 2
            )
        name = self.pick(pick)
        if name is not None:
            self.play(op, handle=name, **fields)

    @rule(party=st.integers(0, 11), size=st.integers(0, 5), flow=st.integers(1, 2))
    def allocate(self, party: int, size: int, flow: int) -> None:
        """Allocate, or release when there is plenty."""
        if len(self.accounts.live) < self.most_live:
            owner = self.parties[party % len(self.parties)]
            self.play("allocate", owner=owner, capacity=self.sizes[size % len(self.sizes)], flow=flow)
        else:
            self.on(size, "release")

    @rule(pick=st.integers(0, 7))
    def release(self, pick: int) -> None:
        """Release as the owner."""
        self.on(pick, "release")

    @rule(pick=st.integers(0, 7), party=st.integers(0, 11))
    def transfer(self, pick: int, party: int) -> None:
        """Transfer as the owner."""
        self.on(pick, "transfer", target=self.parties[party % len(self.parties)])

    @rule(pick=st.integers(0, 7), borrower=st.sampled_from(PARTIES), end=st.booleans())
    def lend(self, pick: int, borrower: str, end: bool) -> None:  # noqa: FBT001 -- Hypothesis passes by keyword
        """Open a borrow, or end one that is open."""
        name = self.pick(pick)
        lent = name is not None and self.accounts.live[name].borrows[borrower] > 0
        self.on(pick, "end-borrow" if end and lent else "borrow", borrower=borrower)

    @rule(pick=st.integers(0, 7), text=st.text(alphabet="abc", max_size=4))
    def write(self, pick: int, text: str) -> None:
        """Write as the owner, at the end."""
        name = self.pick(pick)
        self.on(pick, "write", offset=0 if name is None else self.accounts.live[name].size, text=text)

    @rule(pick=st.integers(0, 7), length=st.sampled_from((0, 1, 3, 64, 2**64 - 1)))
    def read(self, pick: int, length: int) -> None:
        """Read as the owner."""
        self.on(pick, "read", offset=0, length=length)

    @precondition(lambda self: self.clones)
    @rule(pick=st.integers(0, 7))
    def clone(self, pick: int) -> None:
        """Clone as the owner, while there is not too much alive."""
        self.on(pick, "clone" if len(self.accounts.live) < self.most_live else "release")

    @rule(pick=st.integers(0, 7), what=st.sampled_from(("freeze", "set-content-type", "inspect")))
    def look(self, pick: int, what: str) -> None:
        """Do what neither moves bytes nor owners."""
        self.on(pick, what)

    @rule(which=st.integers(0, 15), component=st.sampled_from(COMPONENTS))
    def end_much(self, which: int, component: str) -> None:
        """Free much at once, seldom."""
        if which == 15:
            self.play("force-reclaim", component=component)
        elif which == 14:
            self.play("release-flow", flow=1 + (component == "component-1"))


def search(
    session: Session,
    budget: Budget,
    rule_id: str,
    start: Callable[[Judge], Accounts],
    stories: Iterable[tuple[Step, ...]],
    *,
    machine: type[AccountsMachine] = AccountsMachine,
    examples: int = 12,
    steps: int = 25,
    **attributes: Any,
) -> None:
    """Play the stories, then search for a sequence of operations that breaks one rule.

    Raises:
        Violation: there is one; its evidence is the shortest list of steps that was found.
        SubjectError, NotOffered: the subject died or declined.
    """

    def fresh() -> Accounts:
        return start(Judge(session, rule_id, budget.touch))

    drawn = type("Drawn", (machine,), {"start": staticmethod(fresh), **attributes})
    try:
        for story in stories:
            try:
                fresh().play_all(story)
            except DivergedError:  # another rule's business: its own check plays the same story
                continue
        if examples:
            budget.run_machine(drawn, max_examples=examples, steps=steps)
    except DivergedError:  # a manager that cannot even be opened as the rules want: other checks say so
        return
    except Abort as abort:
        raise abort.cause from None

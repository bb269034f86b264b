"""What Hypothesis draws for the lock-steps, and how a search over it ends.

The machines only choose operations; everything that judges is in the lock-step, so a shrunk example is a list of steps that plays without
Hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st
from hypothesis import target
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conformance.checks import Budget
from conformance.machines.judge import Abort, DivergedError, Judge, Step
from conformance.machines.ownership import COMPONENTS, OwnershipLockstep
from conformance.machines.streams import StreamLockstep
from conformance.models.streams import Policy
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

Story = tuple[Step, ...]
"""A directed example: steps, played before anything is drawn."""

owners = st.sampled_from(("host", *COMPONENTS))
callers = st.sampled_from(("host", *COMPONENTS, "transit"))
picks = st.integers(0, 7)
capacities = st.sampled_from((0, 1, 255, 256, 257, 512, 4096))
corners = st.sampled_from((0, 1, 2, 3, 7, 2**31, 2**32 - 2, 2**32 - 1))
texts = st.text(alphabet="abc", max_size=5)
ratios = st.sampled_from((0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875))

MOST_LIVE = 6
"""Allocations beyond this many live buffers are not drawn: a small world meets itself more often."""


class OwnershipMachine(RuleBasedStateMachine):
    """Draws operations on a resource manager."""

    start: Callable[[], OwnershipLockstep]

    def __init__(self) -> None:
        super().__init__()
        self.lockstep = self.start()
        self.diverged = False
        self.rare = 0

    def play(self, op: str, **fields: Any) -> None:
        """Play one operation, or nothing when subject and model have parted or there is no buffer to play it on."""
        if self.diverged or fields.get("handle", "") is None:
            return
        try:
            if op == "probe":
                self.lockstep.probe(fields)
            else:
                self.lockstep.play({"op": f"resources.{op}", **fields})
        except DivergedError:
            self.diverged = True

    def teardown(self) -> None:
        """Steer towards examples that meet more of the table."""
        target(float(len(self.lockstep.coverage.fresh)), label="cells met")

    def pick(self, pick: int) -> str | None:
        """Return the name of a live buffer, which is made if there is none; None when it cannot be made."""
        if not self.lockstep.model.live:
            self.play("allocate", owner=("host", *COMPONENTS)[pick % 4], capacity=16, flow=1)
        live = [buffer.name for buffer in self.lockstep.model.live.values()]
        if not live:
            return None
        return live[pick % len(live)]

    def buried(self, pick: int) -> str:
        """Return the name of a dead buffer."""
        graveyard = self.lockstep.model.graveyard
        key = graveyard[-1 - pick % len(graveyard)]
        return next(name for name, known in self.lockstep.names.items() if known == key)

    def owner_of(self, name: str | None) -> str:
        """Return a live buffer's owner."""
        return "host" if name is None else self.lockstep.model.live[self.lockstep.names[name]].owner

    def seldom(self) -> bool:
        """Tell whether the rare operations may still be drawn: they end or fill an example quickly."""
        return self.rare < 4 and len(self.lockstep.model.live) > 1

    def room(self) -> bool:
        """Tell whether one more may be drawn."""
        return len(self.lockstep.model.live) < MOST_LIVE

    def some_dead(self) -> bool:
        """Tell whether a buffer has been buried, and the dead have not had their turn often."""
        return self.rare < 4 and bool(self.lockstep.model.graveyard)

    @precondition(room)
    @rule(owner=owners, capacity=capacities, flow=st.integers(1, 2))
    def allocate(self, owner: str, capacity: int, flow: int) -> None:
        """Allocate."""
        self.play("allocate", owner=owner, capacity=capacity, flow=flow)

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        """Release as the owner."""
        name = self.pick(pick)
        self.play("release", handle=name, caller=self.owner_of(name))

    @rule(pick=picks, receiver=callers)
    def transfer(self, pick: int, receiver: str) -> None:
        """Transfer as the owner."""
        name = self.pick(pick)
        self.play("transfer", handle=name, source=self.owner_of(name), target=receiver)

    @rule(pick=picks, borrower=owners)
    def borrow(self, pick: int, borrower: str) -> None:
        """Open a borrow."""
        self.play("borrow", handle=self.pick(pick), borrower=borrower)

    @rule(pick=picks, borrower=owners)
    def end_borrow(self, pick: int, borrower: str) -> None:
        """End a borrow that may or may not be open."""
        self.play("end-borrow", handle=self.pick(pick), borrower=borrower)

    @rule(pick=picks, text=texts, back=st.integers(0, 3))
    def write(self, pick: int, text: str, back: int) -> None:
        """Write as the owner, at or before the end."""
        name = self.pick(pick)
        if name is None:
            return
        buffer = self.lockstep.model.live[self.lockstep.names[name]]
        self.play("write", handle=name, caller=buffer.owner, offset=max(0, len(buffer.content) - back), text=text)

    @rule(pick=picks, caller=callers, what=st.sampled_from(("release", "transfer", "write", "set-content-type", "freeze")))
    def meddle(self, pick: int, caller: str, what: str) -> None:
        """Do an owner's operation as anyone at all."""
        fields: dict[str, dict[str, Any]] = {
            "transfer": {"source": caller, "target": "component-3"},
            "write": {"caller": caller, "offset": 0, "text": "x"},
            "set-content-type": {"caller": caller, "content_type": "a/b"},
        }
        self.play(what, handle=self.pick(pick), **fields.get(what, {"caller": caller}))

    @rule(pick=picks, reader=owners)
    def read(self, pick: int, reader: str) -> None:
        """Read as anyone."""
        self.play("read", handle=self.pick(pick), reader=reader, offset=0, length=64)

    @precondition(some_dead)
    @rule(pick=picks)
    def exhume(self, pick: int) -> None:
        """Fire every operation at a dead handle."""
        self.rare += 1
        self.play("probe", handle=self.buried(pick))

    @precondition(seldom)
    @rule(index=corners, generation=corners)
    def fabricate(self, index: int, generation: int) -> None:
        """Fire every operation at a handle out of thin air, unless it happens to be real."""
        self.rare += 1
        if (index, generation) not in self.lockstep.model.live:
            self.play("probe", handle={"index": index, "generation": generation})

    @precondition(seldom)
    @rule(component=st.sampled_from(COMPONENTS))
    def force_reclaim(self, component: str) -> None:
        """Free all that a component owns."""
        self.rare += 1
        self.play("force-reclaim", component=component)

    @precondition(seldom)
    @rule(flow=st.integers(1, 3))
    def release_flow(self, flow: int) -> None:
        """Free all that a flow allocated."""
        self.rare += 1
        self.play("release-flow", flow=flow)


class StreamMachine(RuleBasedStateMachine):
    """Draws operations on one stream."""

    start: Callable[[Step], StreamLockstep]
    policies: tuple[Policy, ...]
    lockstep: StreamLockstep | None = None

    def __init__(self) -> None:
        super().__init__()
        self.diverged = False
        self.value = 0

    def teardown(self) -> None:
        """Steer towards examples that meet more of the table."""
        if self.lockstep is not None:
            target(float(len(self.lockstep.coverage.fresh)), label="cells met")

    @initialize(capacity=st.integers(1, 9), ratio=ratios, choice=st.integers(0, 3))
    def open(self, capacity: int, ratio: float, choice: int) -> None:
        """Open the stream."""
        policy = self.policies[choice % len(self.policies)]
        self._guard(lambda: self._open(capacity, ratio, policy))

    def _open(self, capacity: int, ratio: float, policy: Policy) -> None:
        self.lockstep = self.start({"op": "streams.open", "capacity": capacity, "low_watermark_ratio": ratio, "policy": str(policy)})

    def _guard(self, act: Callable[[], None]) -> None:
        if self.diverged:
            return
        try:
            act()
        except DivergedError:
            self.diverged = True

    def play(self, **step: Any) -> None:
        """Play one operation, or nothing when subject and model have parted."""
        lockstep = self.lockstep
        if lockstep is not None:
            self._guard(lambda: lockstep.play(step))

    @rule(moves=st.lists(st.booleans(), min_size=1, max_size=6))
    def move(self, moves: list[bool]) -> None:
        """Push the next number (True) or take one (False), a few times."""
        for push in moves:
            if push:
                self.value += 1
                self.play(op="streams.push", value=self.value)
            else:
                self.play(op="streams.pop")

    @rule(sure=st.sampled_from((False, False, False, False, False, False, False, True)))
    def complete(self, sure: bool) -> None:  # noqa: FBT001 -- Hypothesis passes by keyword
        """Complete the stream, seldom."""
        if sure:
            self.play(op="streams.complete")

    @invariant()
    def as_predicted(self) -> None:
        """Look at the stream: it must be as the model says without being touched, too."""
        self.play(op="streams.inspect")


def search_ownership(
    session: Session, budget: Budget, rule_id: str, stories: Iterable[Story], *, examples: int = 60, steps: int = 40
) -> None:
    """Play the stories, then search for a sequence of operations that breaks one rule.

    Raises:
        Violation: there is one; its evidence is the shortest list of steps that was found.
        SubjectError, NotOffered: the subject died or declined.
    """
    capabilities = session.capabilities(Facet.RESOURCES)

    def start() -> OwnershipLockstep:
        budget.coverage.start()
        return OwnershipLockstep(Judge(session, rule_id, budget.touch), capabilities, coverage=budget.coverage)

    def play(story: Story) -> None:
        start().play_all(story)

    machine = type("DrawnOwnership", (OwnershipMachine,), {"start": staticmethod(start)})
    _search(budget, stories, play, machine, examples, steps)


def search_streams(
    session: Session,
    budget: Budget,
    rule_id: str,
    stories: Iterable[Story],
    *,
    policies: tuple[Policy, ...] = tuple(Policy),
    examples: int = 60,
    steps: int = 40,
) -> None:
    """Play the stories, then search for a sequence of operations on one stream that breaks one rule.

    Raises:
        Violation: there is one; its evidence is the shortest list of steps that was found.
        SubjectError, NotOffered: the subject died or declined.
    """

    def start(step: Step) -> StreamLockstep:
        budget.coverage.start()
        return StreamLockstep(Judge(session, rule_id, budget.touch), step, budget.coverage)

    def play(story: Story) -> None:
        start(story[0]).play_all(story[1:])

    machine = type("DrawnStream", (StreamMachine,), {"start": staticmethod(start), "policies": policies})
    _search(budget, stories, play, machine, examples, steps)


def _search(
    budget: Budget,
    stories: Iterable[Story],
    play: Callable[[Story], None],
    machine: type[RuleBasedStateMachine],
    examples: int,
    steps: int,
) -> None:
    try:
        for story in stories:
            try:
                play(story)
            except DivergedError:  # another rule's business: its own check plays the same story
                continue
        budget.run_machine(machine, max_examples=examples, steps=steps)
    except Abort as abort:
        raise abort.cause from None

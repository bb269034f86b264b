"""What becomes of handles (OWN): dead for everybody once their buffer was taken back by force; slots reused while they are warm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from conformance.areas.ownership import ONE, THREE, TWO
from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

EVERYBODY = ("host", ONE, TWO, THREE)
DEAD = ("stale-handle", "not-allocated")
ALIVE, NEW = b"alive", b"new"


@dataclass(frozen=True, slots=True)
class Crash:
    """A component that is reclaimed: who borrows each of its buffers, and whether their slots are taken again before anybody looks."""

    borrowers: tuple[tuple[str, ...], ...]
    retaken: bool


CRASHES = (Crash(((TWO,),), retaken=False), Crash(((TWO,),), retaken=True), Crash(((), (TWO, "host", TWO), (ONE,)), retaken=True))
drawn_crashes = st.builds(
    Crash, st.lists(st.lists(st.sampled_from(EVERYBODY), max_size=3).map(tuple), min_size=1, max_size=3).map(tuple), st.booleans()
)


def uses_of(handle: p.Handle, who: str) -> dict[str, p.AnyRequest]:
    """Return everything that `who` could do with a handle, harmless to a buffer that is alive only if it is refused."""
    return {
        "inspect": p.Inspect(handle),
        "read": p.Read(handle, who, 0, 5),
        "end-borrow": p.EndBorrow(handle, who),
        "borrow": p.Borrow(handle, who),
        "write": p.Write(handle, who, 0, b"dead"),
        "set-content-type": p.SetContentType(handle, who, "dead/letter"),
        "transfer": p.Transfer(handle, who, "host"),
        "release": p.Release(handle, who),
    }


@checks("OWN-033", facet=Facet.RESOURCES, kind="machine")
def reclaimed_is_dead_for_everybody(session: Session, budget: Budget) -> None:
    """Nobody can use a handle whose buffer was reclaimed, its former borrowers included, and nobody else notices that they try."""

    def law(crash: Crash) -> None:
        _crash(session, budget, crash)

    for story in CRASHES:
        law(story)
    budget.for_all(drawn_crashes, law, max_examples=30)


def _crash(session: Session, budget: Budget, crash: Crash) -> None:
    resources = session.resources
    resources.open(table_capacity=2)
    bystander = resources.allocate(TWO, 16)
    resources.write(bystander, TWO, 0, ALIVE)
    lost = []
    for borrowers in crash.borrowers:
        handle = resources.allocate(ONE, 16)
        resources.write(handle, ONE, 0, b"secret")
        for borrower in borrowers:
            if borrower != "host" or not session.lacks("resources.borrow/borrower=host"):
                resources.borrow(handle, borrower)
        lost.append(handle)
    resources.force_reclaim(ONE)
    tenants = [resources.allocate(THREE, 16) for _ in lost] if crash.retaken else []
    for tenant in tenants:
        resources.write(tenant, THREE, 0, NEW)
    before = _seen(session, (bystander, *tenants))
    for handle, borrowers in zip(lost, crash.borrowers, strict=True):
        for who in EVERYBODY:
            for use, request in uses_of(handle, who).items():
                if isinstance(request, p.Borrow | p.EndBorrow) and who == "host" and session.lacks("resources.borrow/borrower=host"):
                    continue
                kind = _refusal(session, request)
                fine = kind in DEAD or (use == "end-borrow" and kind not in {"", None})
                if not fine or _seen(session, (bystander, *tenants)) != before:
                    budget.touch("OWN-033")
                    raise Violation(
                        "OWN-033",
                        f"after force-reclaim of {ONE}, {use} by {who} of a buffer it had is not refused without a trace",
                        expected=" or ".join(DEAD),
                        found=kind or "done" if not fine else "another buffer has changed",
                        evidence={"borrowers": list(borrowers), "slots retaken": crash.retaken, "request": use, "caller": who},
                    )
                budget.touch("OWN-033")


def _refusal(session: Session, request: p.AnyRequest) -> str:
    """Return the kind with which a request is refused, empty when it is done."""
    expected: dict[type[Any], type[Any]] = {p.Inspect: p.BufferReply, p.Read: p.BytesReply, p.Write: p.CountReply}
    try:
        session.ask(request, expected.get(type(request), p.Done))
    except Refused as refused:
        return refused.kind
    return ""


def _seen(session: Session, handles: tuple[p.Handle, ...]) -> list[object]:
    """Return what is to be seen of the living: their buffers, their bytes, their budgets, their number."""
    resources = session.resources
    buffers = [resources.inspect(handle) for handle in handles]
    found: list[object] = [(seen, resources.read(handle, seen.owner, 0, seen.size)) for seen, handle in zip(buffers, handles, strict=True)]
    if not session.lacks("resources.budget"):
        found += [resources.budget(component).used for component in (ONE, TWO, THREE)]
    return [*found, resources.live_count()]


# ---------------------------------------------------------------- slots

SLOTS = 6
orders = st.permutations(range(SLOTS)).flatmap(lambda order: st.integers(1, SLOTS).map(lambda freed: tuple(order[:freed])))


@checks("OWN-018", facet=Facet.RESOURCES, kind="machine")
def warm_slots_first(session: Session, budget: Budget) -> None:
    """Fresh indices count up from 0, and the slot freed last is taken first; for information, no runtime fails for it."""

    def law(freed: tuple[int, ...]) -> None:
        session.resources.open(table_capacity=2)
        handles = [session.resources.allocate("host", 16) for _ in range(SLOTS)]
        budget.expect_equal("OWN-018", [handle.index for handle in handles], list(range(SLOTS)), "the order of fresh indices")
        for slot in freed:
            session.resources.release(handles[slot], "host")
        taken = [session.resources.allocate("host", 16).index for _ in range(len(freed) + 1)]
        expected = [*reversed(freed), SLOTS]
        evidence = {"allocated": SLOTS, "freed": list(freed)}
        budget.expect_equal(
            "OWN-018", taken, expected, f"the order in which slots are taken after {list(freed)} were freed", evidence=evidence
        )

    law((1, 3, 0))
    budget.for_all(orders, law, max_examples=20)

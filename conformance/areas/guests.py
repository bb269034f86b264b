"""What a guest meets beside its buffers: the host's interfaces, its context, its fuel, the end of a loan, and pools that run dry.

These are single examples on every engine; `buffers` has what can be drawn.
"""

from __future__ import annotations

import re

from conformance.areas.buffers import STORIES
from conformance.checks import Budget, Depth, checks
from conformance.errors import Inconclusive, Refused, Violation
from conformance.machines.guests import engines_of, search_guests
from conformance.subjects.guests import CONTEXT, PAYLOAD, U64_MAX, Called, Op
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

KEPT = 70
"""The slot for a handle that should have been let go."""

FUEL = 200_000
MOST_TURNS = 2**24
"""A guest that turns so often within `FUEL` is not metered."""
CALLS = 100


@checks("CON-001", facet=Facet.GUESTS, kind="example")
def the_contract_is_offered(session: Session, budget: Budget) -> None:
    """A component that imports every function of the contract, with the contract's types, can be instantiated and called."""
    for engine in engines_of(session):
        try:
            session.guests.open(component_name="probe-all", engine=engine)
        except Refused as refused:
            budget.touch("CON-001")
            raise Violation(
                "CON-001", f"the engine {engine or 'of choice'} does not run a component that imports exactly the contract", found=refused
            ) from None
        answer = session.guests.send(b"payload", content_type="a/b", buffer_content_type="a/b")
        works = answer.outcome == "emitted" and answer.payload.endswith(b"probe-all!")
        budget.expect("CON-001", works, "a function of the contract does not do its work", expected="a report", found=answer)
        session.guests.close()


@checks("CON-011", facet=Facet.GUESTS, kind="example")
def the_context_is_well_formed(session: Session, budget: Budget) -> None:
    """Trace and span ids are lower-case hex or empty, a deadline is as set or 0, and every flow has an id of its own."""
    traced = (False, True) if "tracing" in session.capabilities(Facet.GUESTS) else (False,)
    flows: list[bytes] = []
    for engine in engines_of(session):
        for tracing in traced:
            for deadline_ns in (0, 1, 1_700_000_000_000_000_000, U64_MAX):
                session.guests.open(engine=engine, tracing=tracing, deadline_ns=deadline_ns)
                asked = [Op(what, CONTEXT) for what in ("trace-id", "span-id", "deadline-ns", "flow-id")]
                trace, span, deadline, flow = _values(budget, "CON-011", session.guests.call(asked))
                some = "" if tracing else "?"
                for name, value, digits in (("trace-id", trace, 32), ("span-id", span, 16)):
                    fits = isinstance(value, bytes) and re.fullmatch(rf"([0-9a-f]{{{digits}}}){some}".encode(), value)
                    expected = f"{digits} lower-case hex digits" + (" or nothing" if some else "")
                    budget.expect("CON-011", fits, f"the {name} is none", expected=expected, found=value)
                budget.expect_equal("CON-011", deadline, deadline_ns, "the deadline")
                assert isinstance(flow, bytes)
                budget.expect("CON-011", flow and flow not in flows, "two flows have the same id, or none", expected="an id", found=flow)
                flows.append(flow)
    session.guests.close()


@checks("ERR-009", facet=Facet.GUESTS, kind="example")
def a_full_tank_for_every_call(session: Session, budget: Budget) -> None:
    """A guest that uses six tenths of its fuel in every call survives a hundred calls."""
    for engine in engines_of(session):
        turns = _turns_that_last(session, engine) * 6 // 10
        session.guests.open(engine=engine, fuel=FUEL)
        for call in range(CALLS):
            called = session.guests.call([Op("spin", a=turns)])
            budget.expect(
                "ERR-009",
                not called.trapped,
                f"call {call} of {CALLS} ends early, though each takes six tenths of the fuel",
                found=called.answer.message,
                evidence={"engine": engine, "fuel": FUEL, "turns": turns},
            )
    session.guests.close()


def _turns_that_last(session: Session, engine: str) -> int:
    """Return how often a guest can turn in one call, to an eighth.

    Raises:
        Inconclusive: as often as it wants.
    """

    def survives(turns: int) -> bool:
        session.guests.open(engine=engine, fuel=FUEL)
        return not session.guests.call([Op("spin", a=turns)]).trapped

    lasts = 64
    if not survives(lasts):
        raise Inconclusive(f"{FUEL} units of fuel do not last for {lasts} turns of an empty loop: the unit is not one instruction or so")
    while survives(2 * lasts):
        lasts *= 2
        if lasts > MOST_TURNS:
            raise Inconclusive(f"a guest with {FUEL} units of fuel turns {lasts} times: its fuel is not metered")
    step = lasts // 2
    while step > lasts // 8:
        lasts += step if survives(lasts + step) else 0
        step //= 2
    return lasts


@checks("OWN-021", facet=Facet.GUESTS, kind="machine")
def loans_end(session: Session, budget: Budget) -> None:
    """A lent buffer that is kept cannot be used in a later call; one that is not let go traps when the call returns, or when it is used."""
    search_guests(session, budget, "OWN-021", STORIES)
    keep = [Op("copy-slot", PAYLOAD, into=KEPT), Op("forge", into=PAYLOAD)]
    use = [Op("drop-buffer", PAYLOAD), Op("drop-context", CONTEXT), Op("buffer-size", KEPT)]
    for engine in engines_of(session):
        session.guests.open(engine=engine)
        if session.guests.call(keep).trapped:
            budget.touch("OWN-021")
            continue
        used = session.guests.call(use)
        budget.expect(
            "OWN-021",
            used.trapped,
            "a loan that was not ended can be used in the next call",
            expected="a trap",
            found=used.results[-1],
            evidence={"engine": engine, "calls": [[op.show() for op in keep], [op.show() for op in use]]},
        )
    session.guests.close()


@checks("POOL-002", facet=Facet.GUESTS, kind="example")
def dry_pools_give_the_same_capacity(session: Session, budget: Budget) -> None:
    """With one buffer per pool, the second and third buffer of a tier are as large as the first."""
    for engine in engines_of(session):
        for hint in (10, 300) if budget.depth is Depth.QUICK else (10, 300, 5000, 70_000):
            session.guests.open(engine=engine, pool_size=1)
            program = [op for slot in range(3) for op in (Op("allocate", into=slot, a=hint), Op("capacity", slot))]
            values = _values(budget, "POOL-002", session.guests.call(program))[1::2]
            budget.expect("POOL-002", len(set(values)) == 1, "buffers of one tier differ in capacity", expected="one size", found=values)
    session.guests.close()


def _values(budget: Budget, rule: str, called: Called) -> list[int | bytes | None]:
    """Return a log's values; a call that trapped gives none and breaks the rule."""
    budget.expect(rule, not called.trapped and called.results, "the guest cannot ask", expected="answers", found=called.answer)
    return [result.value for result in called.results]

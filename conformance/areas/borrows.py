"""The loan of an input ends with the call it was made for, however the call ends (OWN): seen from guests and in whole flows."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Violation
from conformance.machines.guests import engines_of
from conformance.strategies import EMIT, READY, fan_out, line
from conformance.subjects.guests import PAYLOAD, Op
from conformance.subjects.protocol import Answer, Command, Facet, FlowSettings, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import offered, run_flow, with_flow

RULE = "OWN-022"
FUEL = 200_000

WAYS: dict[str, tuple[Op, ...]] = {
    "emits": (Op("buffer-size", PAYLOAD),),
    "emits and keeps a buffer": (Op("allocate", into=0, a=16),),
    **{f"fails in way {kind}": (Op("fail", a=kind, data=b"why"),) for kind in range(5)},
    "fails and keeps a buffer": (Op("allocate", into=1, a=16), Op("fail", a=0, data=b"why")),
    "traps": (Op("trap"),),
    "traps and keeps a buffer": (Op("allocate", into=2, a=16), Op("trap")),
    "keeps the loan": (Op("copy-slot", PAYLOAD, into=70), Op("forge", into=PAYLOAD)),
    "runs out of fuel": (Op("spin", a=2**40),),
}
"""Programs by the way in which they leave the call."""


@checks(RULE, facet=Facet.GUESTS, kind="example")
def loans_end_with_the_call(session: Session, budget: Budget) -> None:
    """After a call that emits, fails, traps or runs out of fuel, the input is gone: only what the guest itself owns is alive."""
    for engine in engines_of(session):
        for way, program in WAYS.items():
            session.guests.open(engine=engine, fuel=FUEL)
            for call in (1, 2):
                answer = session.guests.call(program).answer
                seen = session.guests.observe()
                budget.expect_equal(
                    RULE,
                    seen.live - seen.owned,
                    0,
                    f"the number of inputs that are left after a guest {way}, at call {call},",
                    evidence={"engine": engine, "calls": [[op.show() for op in program]] * call, "answer": answer.outcome},
                )
                if answer.outcome == "trapped":
                    break
    session.guests.close()


# ---------------------------------------------------------------- whole flows

SKIP = FlowSettings(error_policy="skip")
RETRY = FlowSettings(error_policy="retry", max_retries=2)


def leaving(answer: Answer, settings: FlowSettings = SKIP, **more: object) -> FlowSpec:
    """Return a flow whose processor leaves its second call in one way, and emits otherwise."""
    script = Script((EMIT, answer), EMIT)
    return line("processor", elements=5, capacity=2, scripts={"processor": script}, settings=settings, **more)  # type: ignore[arg-type]  # a flow's fields


EXITS: dict[str, FlowSpec] = {
    "emits": leaving(EMIT),
    "drops": leaving(Answer("drop")),
    "fails, and is skipped": leaving(Answer("error")),
    "fails, and the flow with it": leaving(Answer("error"), FlowSettings(), schedule="producer-first"),
    "fails late": leaving(Answer("error", kind="deadline-exceeded", spends_ns=10**9)),
    "fails, and tries again": leaving(Answer("error", kind="unavailable"), RETRY),
    "traps": leaving(Answer("trap"), schedule="producer-first"),
    "outlasts the deadline": leaving(Answer("emit", spends_ns=10**9), FlowSettings(deadline_ms=5), schedule="producer-first"),
    "is cancelled": leaving(Answer("error"), commands=(Command(5),), schedule="producer-first"),
    "is cancelled without time to drain": leaving(
        Answer("error"), FlowSettings(error_policy="skip", drain_timeout_ms=0), commands=(Command(4),)
    ),
    "sinks that fail": line(elements=4, scripts={"sink": Script((Answer("error"), READY, Answer("error")), READY)}, settings=SKIP),
}
"""Flows in a line by the way in which a call is left."""

SHARED = tuple(
    with_(fan_out(2, elements=3, sinks=(Script((Answer("error"),) * 3, READY),), schedule=schedule), settings=SKIP)
    for schedule in ("consumer-first", "producer-first")
)
"""Two sinks share every buffer, and one of them always fails."""


@checks(RULE, facet=Facet.FLOWS, kind="example")
def inputs_can_be_let_go(session: Session, budget: Budget) -> None:
    """However a call is left, its input is released before the next call, or can be lent again; and nothing is left in the end."""
    for way, spec in (*EXITS.items(), *(("fails beside another that does not", spec) for spec in SHARED)):
        if not offered(session, spec):
            continue
        reply = run_flow(session, spec)
        try:
            times = watch_loans(reply.trace, way)
            _expect(not reply.live_buffers, f"a flow in which a component {way} leaves buffers", reply.live_buffers, len(reply.trace) - 1)
        except Violation as violation:
            budget.touch(RULE)
            raise with_flow(violation, spec, reply) from None
        budget.touch(RULE, times)


def watch_loans(trace: Sequence[e.AnyEvent], way: str) -> int:
    """Return how many loans a trace shows, all of them ended.

    Raises:
        Violation: an input that nobody gets again is still alive when the next component is called, or one that somebody gets is not.
        Inconclusive: the trace does not say which buffers are lent.
    """
    again = {event.buffer: at for at, event in enumerate(trace) if isinstance(event, (e.Called, e.Enqueued)) and event.buffer is not None}
    live: set[str] = set()
    over: set[str] = set()
    lent: str | None = None
    loans = 0
    for at, event in enumerate(trace):
        match event:
            case e.BufferEvent(op="alloc"):
                live.add(event.buffer)
            case e.BufferEvent():
                live.discard(event.buffer)
            case e.Called(buffer=str(buffer)):
                _expect(not over & live, f"the input of a call that {way} is alive when another is made", over & live, at)
                _expect(buffer in live, f"a component is lent a buffer that is gone, after a call that {way}", buffer, at)
                lent = buffer
                loans += 1
            case e.Called():
                _expect(not over & live, f"the input of a call that {way} is alive when another is made", over & live, at)
            case e.Returned() if lent is not None:
                if again[lent] < at:
                    over.add(lent)
                lent = None
            case _:
                pass
    if not loans:
        raise Inconclusive("the subject does not say which buffers it lends (`buffer` of the event call)")
    return loans


def _expect(holds: bool, message: str, found: object, at: int) -> None:  # noqa: FBT001 -- it reads as an assertion
    if not holds:
        raise Violation(RULE, message, found=found, evidence={"event": at})

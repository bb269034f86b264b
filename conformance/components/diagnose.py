"""Which rule a trap breaks: judged by what the runtime says of it and by what the component had done until then."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.components.model import LENT, Event, Suspicion, Trail

_MAKING = frozenset({"allocate", "clone", "freeze"})
"""The buffer operations that put a handle into the guest's table."""

_ASKING = frozenset({"allocate", "clone"})

_SPENT: Mapping[str, tuple[str, ...]] = {"write": ("BUF-023",), "append": (), "set-content-type": ("BUF-026",), "freeze": ("CON-010",)}

_PLACES: Mapping[str, tuple[str, str]] = {
    "init": ("FLOW-018", "while it was set up"),
    "teardown": ("CANCEL-013", "while it was torn down"),
}

_CAUSES: Mapping[str, str] = {
    "unreachable": "it gave up (an `unreachable` instruction: a failed assertion, a panic, an unwrap)",
    "memory": "it read or wrote outside of its memory",
    "stack": "its call stack is exhausted",
}


def diagnose(trail: Trail, event: Event) -> Suspicion:
    """Say what a call that trapped has broken."""
    rule, kind, message, related = _diagnosis(trail, event)
    return Suspicion(
        rule,
        kind,
        message,
        scenario=trail.up_to(event),
        expected="an answer",
        found=event.answer.message,
        related=related,
        engines=(trail.engine,),
    )


def _diagnosis(trail: Trail, event: Event) -> tuple[str, str, str, tuple[str, ...]]:
    answer, call = event.answer, event.step.call
    match answer.breach:
        case "borrow-left":
            message = f"{call} returned without dropping every handle that it was lent (payload and context), or handed a lent one on"
            return "OWN-021", "borrow-left", message, ("OWN-003", "OWN-022")
        case "lent-handle":
            return "OWN-003", "lent-buffer-handed-on", f"{call} handed over a buffer that it was only lent", ("OWN-021", "OWN-023")
        case "spent-handle":
            last = answer.host_calls[-1].operation if answer.host_calls else ""
            message = (
                f"{call} used a mutable buffer after freezing it; the handle is spent (the last thing that worked: {last or 'nothing'})"
            )
            return "BUF-021", "used-after-freeze", message, ("CON-010", "BUF-023", "BUF-026")
        case "wrong-handle-type":
            return "OWN-014", "wrong-handle", f"{call} passed a handle where one of another type is due", ("OWN-020",)
        case "unknown-handle":
            return _unknown_handle(trail, event)
        case "bad-value":
            message = f"{call} passed or answered a value that its type does not have (a pointer, a discriminant, a text)"
            return "CON-001", "bad-value", message, ()
    if answer.cause in {"out-of-fuel", "timeout"}:
        return _endless(event, trail)
    how = _CAUSES.get(answer.breach, "it trapped")
    if any(one.refused and one.operation in _ASKING for one in answer.host_calls):
        message = f"{call} was refused a buffer, which a host may always do, and {how}: an error is what the contract has for that"
        return "BUF-033", "traps-when-refused", message, ("ERR-002",)
    if call in _PLACES:
        rule, when = _PLACES[call]
        return rule, f"{call}-traps", f"{how} {when}", ("ERR-002",)
    if answer.owned:
        message = f"{how} in {call}, and {answer.owned} buffers that it holds are left for the runtime to find"
        return "ERR-010", "traps-holding", message, ("ERR-002", "OWN-030")
    return "ERR-002", "traps", f"{how} in {call}: the flow ends, whatever its error policy says", ("ERR-010",)


def _endless(event: Event, trail: Trail) -> tuple[str, str, str, tuple[str, ...]]:
    call, fuel = event.step.call, event.answer.fuel
    spent = f"{call} did not return within {fuel} units of fuel"
    if call in _PLACES:
        rule, when = _PLACES[call]
        return rule, f"{call}-never-returns", f"{spent} {when}", ("ERR-008",)
    advice = "" if len(trail.events) < 2 else " although earlier calls did"
    return "ERR-008", "never-returns", f"{spent}{advice}; a runtime cuts such a call, and the flow ends", ("CANCEL-003", "CANCEL-006")


def _unknown_handle(trail: Trail, event: Event) -> tuple[str, str, str, tuple[str, ...]]:
    """Tell a handle of the past from one that never was.

    A table's indices are given out from 1 and used again, so an index above the number of handles ever given is invented. One used in a
    call that has made none of its own comes from an earlier call, if there was one.
    """
    call, answer = event.step.call, event.answer
    before = [each for each in trail.events if each is not event]
    made = sum(one.operation in _MAKING and not one.refused for one in answer.host_calls)
    ever = made + sum(one.operation in _MAKING and not one.refused for each in before for one in each.answer.host_calls)
    lent = 2 if call in LENT or any(each.step.call in LENT for each in before) else 0
    index = answer.handle
    if index is not None and (index == 0 or index > ever + lent):
        return "OWN-020", "invented-handle", f"{call} used handle {index}, which it was never given", ("OWN-014",)
    earlier = [each for each in before if each.step.call not in _PLACES]
    released = any(one.operation == "release" for one in answer.host_calls)
    if earlier and not made and not released:
        if any(each.answer.outputs for each in earlier):
            message = f"{call} used a handle of an earlier call, whose buffer it had handed over (or was only lent)"
            return "OWN-023", "used-after-handing-over", message, ("OWN-021", "OWN-014")
        if lent:
            message = f"{call} used a handle that an earlier call was lent: a loan ends with its call"
            return "OWN-021", "used-after-loan", message, ("OWN-014",)
    if released:
        return "OWN-016", "dropped-twice", f"{call} used or dropped a handle after dropping it", ("OWN-014",)
    return "OWN-014", "used-after-drop", f"{call} used a handle after dropping it", ("OWN-016", "OWN-021")

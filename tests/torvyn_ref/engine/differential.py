"""One guest on both engines, and everything that a host can see of it, side by side.

What is compared: every answer and failure, every host call with its arguments and its result (drops among them, so the order of
destructors too), the buffers that are live after each call with their bytes, and the copies counted. Fuel is not: the engines count
different instructions (ADR-022).
"""

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torvyn_ref.calls import DATA_CALL, Call, Element, Failure, FlowContext, Output
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Limits, Sandbox
from torvyn_ref.engine.stock_link import HOST_INTERFACES
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager

OWNER, UPSTREAM, FLOW = Owner(1), Owner(2), FlowId(1)
CONTEXT = FlowContext("a1", "0123456789abcdef0123456789abcdef", "0123456789abcdef", 77)
ENOUGH_FUEL = 10_000_000

KINDS = {
    # a word of the message, and what kind of trap it tells of; the first that fits counts
    "unknown handle": "handle",
    "wrong type": "handle-type",
    "borrow handles still remain": "borrows-left",
    "lift own": "own-from-borrow",
    "while borrowed": "lent",
    "cannot leave": "cannot-leave",
    "call stack exhausted": "stack",
    "invalid utf-8": "utf-8",
    "incomplete utf-8": "utf-8",
    "discriminant": "discriminant",
    "not aligned": "alignment",
    "realloc return": "out-of-bounds",
    "out of bounds": "out-of-bounds",
    "unreachable": "unreachable",
    "divide by zero": "division",
    "fuel": "fuel",
    "interrupt": "interrupt",
}

LEGITIMATE = {
    # (stock, direct): why both are right
    ("borrows-left", "own-from-borrow"): "two traps are due at once; wasmtime looks for borrows before it lifts the result",
    ("own-from-borrow", "borrows-left"): "the same, the other way round",
}
"""Where the kinds of two traps may differ. Both calls must end as the same failure; whatever else differs is a disagreement."""


class EnginesDisagree(AssertionError):
    """engines-disagree: the same bytes, the same calls, and something that a host sees differs."""


@dataclass(frozen=True)
class Seen:
    """What one call showed: its answer, the host calls during it, and what was left."""

    answer: object
    calls: tuple
    left: object


@contextmanager
def watched(log):
    """Record every call of a host function, by any engine: name, arguments, result."""
    watched_codes = {}
    for interface in HOST_INTERFACES.values():
        for function in interface.functions:
            watched_codes[function.does.__code__] = function.name
        for name, drop in interface.resources.items():
            watched_codes[drop.__code__] = f"drop {name}"

    def profile(frame, event, result):
        name = watched_codes.get(frame.f_code)
        if name is None:
            return
        if event == "call":
            code = frame.f_code
            arguments = (frame.f_locals[argument] for argument in code.co_varnames[1 : code.co_argcount])
            log.append((name, *(bytes(value) if isinstance(value, memoryview) else value for value in arguments)))
        elif event == "return":
            log.append(("answers", bytes(result) if isinstance(result, memoryview) else result))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def life(compiled, role, calls, **sandbox):
    """Make an instance, make the calls, close it; return what was seen, refusals included."""
    resources, log = ResourceManager(), []
    limits = sandbox.pop("limits", Limits(fuel=ENOUGH_FUEL, call_timeout_ms=None))
    box = Sandbox(owner=OWNER, flow=FLOW, context=CONTEXT, resources=resources, clock=VirtualClock(), limits=limits, **sandbox)
    with watched(log):
        try:
            instance = compiled.instantiate(role, box)
        except TorvynError as refusal:
            return [Seen(_refusal(refusal), tuple(log), _left(resources))]
    seen = [Seen(f"instantiated, lifecycle {instance.has_lifecycle}", tuple(log), _left(resources))]
    for number, (call, argument) in enumerate(calls):
        log.clear()
        with watched(log):
            answer = _make(instance, resources, call, argument, number)
        seen.append(Seen(answer, tuple(log), _left(resources)))
    seen.append(Seen(f"held {instance.held}", (), None))
    instance.close()
    reclaimed = resources.force_reclaim(OWNER)
    seen.append(Seen("closed", tuple(reclaimed), (resources.live_count, resources.copy_stats(FLOW))))
    return seen


def agree(engines, data, role, calls, *, where="generated", **sandbox):
    """Live the same life on both engines and return what the stock engine saw.

    Raises:
        EnginesDisagree: they saw something different.
    """
    lives = []
    for engine in engines:
        try:
            compiled = engine.compile(data, where=where)
        except TorvynError as refusal:
            lives.append([Seen(_refusal(refusal), (), None)])
        else:
            lives.append(life(compiled, role, calls, **sandbox))
    stock, direct = lives
    for step, (one, other) in enumerate(zip(stock, direct, strict=False)):
        if one != other and not _is_legitimate(one, other):
            made = "" if not 0 < step <= len(calls) else f" ({calls[step - 1][0]})"
            raise EnginesDisagree(f"engines-disagree: {where}, step {step}{made}\n  stock:  {one}\n  direct: {other}")
    if len(stock) != len(direct):
        raise EnginesDisagree(f"engines-disagree: {where}: {stock[-1]} and {direct[-1]}")
    return stock


def data_calls(role, payloads):
    """Return a role's data call for each payload."""
    call = DATA_CALL[role]
    return [(call, None if call is Call.PULL else payload) for payload in payloads]


def _make(instance, resources, call, argument, number):
    try:
        if isinstance(argument, bytes):
            handle = resources.allocate(UPSTREAM, len(argument), FLOW)
            resources.write(handle, UPSTREAM, 0, argument)
            resources.freeze(handle, UPSTREAM)
            resources.borrow(handle, OWNER)
            try:
                answer = instance.call(call, Element(number, 5, "text/plain", handle))
            finally:
                resources.end_borrow(handle, OWNER)
                resources.release(handle, UPSTREAM)
        else:
            answer = instance.call(call, argument)
    except KeyError:
        return "no such export"
    return _shown(answer, resources)


def _shown(answer, resources):
    if isinstance(answer, Failure):
        return (answer.kind, answer.cause, answer.poisoned, _kind(answer.message) if answer.poisoned else answer.message)
    if isinstance(answer, list):
        return [_shown(one, resources) for one in answer]
    if isinstance(answer, Output):
        data = resources.peek(answer.handle, OWNER)
        resources.release(answer.handle, OWNER)
        return (data, answer.content_type, answer.sequence, answer.timestamp_ns)
    return answer


def _kind(message):
    return next((kind for word, kind in KINDS.items() if word in message), message)


def _refusal(error):
    if isinstance(error, TorvynErrors):
        return tuple(map(_refusal, error.errors))
    message = _kind(error.message) if error.kind == "instantiation-failed" else error.message
    return (error.subsystem, error.kind, message, error.fields.get("cause"))


def _left(resources):
    live = sorted(resources.live(), key=lambda item: item.handle)
    return tuple((item.state, item.owner, item.frozen, item.content_type, resources.peek(item.handle, item.owner)) for item in live)


def _is_legitimate(stock, direct):
    match stock.answer, direct.answer:
        case (kind, cause, True, why), (other_kind, other_cause, True, other_why):
            same = (kind, cause) == (other_kind, other_cause) and replace(stock, answer=None) == replace(direct, answer=None)
            return same and (why, other_why) in LEGITIMATE
    return False

"""The direct engine's arguments and answers: its plain values on one side, the driver's vocabulary on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import wasmtime
from wasmtime import Trap, TrapCode, WasmtimeError

from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure, Output, Signal
from torvyn_ref.engine.direct.errors import AbiTrap, NoSuchResource
from torvyn_ref.engine.guest import CONTEXT_REP, GuestHost
from torvyn_ref.engine.imports import GuestFault, GuestTimeout
from torvyn_ref.engine.sandboxed import Enter
from torvyn_ref.engine.stock_answers import bounded, failure_of
from torvyn_ref.ids import Handle

_CAUSES: Final = {TrapCode.OUT_OF_FUEL: Cause.FUEL, TrapCode.INTERRUPT: Cause.TIMEOUT}

_SIGNALS: Final = {str(signal): signal for signal in Signal}

_NONE: Final = Handle(0)
"""No buffer's handle."""

Argument = Element | Signal | str | None
Function = Callable[..., Any]

_Fallible = Callable[..., tuple[str, Any]]
"""A lifted function whose type is a result: `ok` or `err`, and what belongs to it."""

_Made = tuple[tuple[Any, Any, Any], Any]
"""An output element as it is lifted: sequence, timestamp and content type, and the buffer's rep."""


def trap_failure(error: BaseException) -> Failure | None:
    """Tell what a trap means (spec decision 11); None for what is no guest's doing."""
    if isinstance(error, GuestTimeout):
        return Failure(ErrorKind.DEADLINE_EXCEEDED, str(error), Cause.TIMEOUT, poisoned=True)
    if isinstance(error, AbiTrap | GuestFault):
        return Failure(ErrorKind.FATAL, str(error), Cause.TRAP, poisoned=True)
    if isinstance(error, Trap):
        cause = _CAUSES.get(error.trap_code, Cause.TRAP) if error.trap_code is not None else Cause.TRAP
        kind = ErrorKind.FATAL if cause is Cause.TRAP else ErrorKind.DEADLINE_EXCEEDED
        return Failure(kind, bounded(_reason(error)), cause, poisoned=True)
    if isinstance(error, NoSuchResource):
        return Failure(ErrorKind.INTERNAL, str(error), Cause.ENGINE, poisoned=True)
    if isinstance(error, WasmtimeError):
        return failure_of(error, None)
    return None


def _reason(trap: wasmtime.Trap) -> str:
    """Return a trap's own words, without the backtrace, whose function names are the guest's."""
    lines = [line.strip() for line in trap.message.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("wasm trap:")), lines[-1] if lines else "trap")


class BreachError(Exception):
    """A host function saw the guest break its contract; carries the fault past the decoding of answers."""

    def __init__(self, fault: GuestFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _error(value: tuple[str, str | None]) -> Failure:
    case, message = value
    return Failure(ErrorKind(case), bounded(message or ""))


def _output(guest: GuestHost, value: tuple[tuple[int, int, str], int]) -> Output:
    (sequence, timestamp, content_type), rep = value
    return Output(guest.take(rep), content_type, sequence, timestamp)


# ---- what every element needs: without a call of their own


def _pull(guest: GuestHost, function: _Fallible) -> Enter:
    buffers = guest.buffers

    def enter(_argument: Argument) -> Answer:
        try:
            case, payload = function()
        except GuestFault as fault:
            raise BreachError(fault) from None
        if case == "err":
            return _error(payload)
        if payload is None:
            return None
        made: _Made = payload
        (sequence, timestamp, content_type), rep = made
        return Output(buffers.pop(rep, _NONE) or guest.take(rep), content_type, sequence, timestamp)

    return enter


def _process(guest: GuestHost, function: _Fallible) -> Enter:
    lent, new_rep, buffers = guest.lent, guest.new_rep, guest.buffers

    def enter(element: Argument) -> Answer:
        assert isinstance(element, Element)
        rep = new_rep()
        lent[rep] = element.handle
        try:
            case, payload = function(((element.sequence, element.timestamp_ns, element.content_type), rep, CONTEXT_REP))
        except GuestFault as fault:
            raise BreachError(fault) from None
        if case == "err":
            return _error(payload)
        chosen: tuple[str, Any] = payload
        case, payload = chosen
        if case == "drop":
            return None
        made: _Made = payload
        (sequence, timestamp, content_type), rep = made
        return Output(buffers.pop(rep, _NONE) or guest.take(rep), content_type, sequence, timestamp)

    return enter


def _push(guest: GuestHost, function: _Fallible) -> Enter:
    lent, new_rep = guest.lent, guest.new_rep

    def enter(element: Argument) -> Answer:
        assert isinstance(element, Element)
        rep = new_rep()
        lent[rep] = element.handle
        try:
            case, payload = function(((element.sequence, element.timestamp_ns, element.content_type), rep, CONTEXT_REP))
        except GuestFault as fault:
            raise BreachError(fault) from None
        return _error(payload) if case == "err" else _SIGNALS[payload]

    return enter


# ---- everything else


def _entering(decode: Callable[[GuestHost, Any], Answer]) -> Callable[[GuestHost, Function], Enter]:
    def entering(guest: GuestHost, function: Function) -> Enter:
        def enter(argument: Argument) -> Answer:
            if isinstance(argument, Element):
                meta = (argument.sequence, argument.timestamp_ns, argument.content_type)
                arguments: tuple[Any, ...] = ((meta, guest.lend(argument.handle), CONTEXT_REP),)
            else:
                arguments = () if argument is None else (str(argument),)
            try:
                value = function(*arguments)
            except GuestFault as fault:
                raise BreachError(fault) from None
            return decode(guest, value)

        return enter

    return entering


def _maybe_output(guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    if case == "err":
        return _error(payload)
    return None if payload is None else _output(guest, payload)


def _outputs(guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    return _error(payload) if case == "err" else [_output(guest, element) for element in payload]


def _plain(_guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    if case == "err":
        return _error(payload)
    answer: Answer = payload
    return answer


def _nothing(_guest: GuestHost, _value: None) -> Answer:
    return None


ENTER: Final[Mapping[Call, Callable[[GuestHost, Function], Enter]]] = {
    Call.INIT: _entering(_plain),
    Call.TEARDOWN: _entering(_nothing),
    Call.PULL: _pull,
    Call.NOTIFY: _entering(_nothing),
    Call.PROCESS: _process,
    Call.PUSH: _push,
    Call.COMPLETE: _entering(_plain),
    Call.EVALUATE: _entering(_plain),
    Call.ROUTE: _entering(_plain),
    Call.INGEST: _entering(_maybe_output),
    Call.FLUSH: _entering(_outputs),
}
"""How each call enters a guest, by its lifted function, and how its result reads."""

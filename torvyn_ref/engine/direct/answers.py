"""The direct engine's arguments and answers: its plain values on one side, the driver's vocabulary on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import wasmtime
from wasmtime import Trap, TrapCode, WasmtimeError

from torvyn_ref.calls import Answer, Call, Cause, ErrorKind, Failure, Output, Signal
from torvyn_ref.engine.direct.errors import AbiTrap, NoSuchResource
from torvyn_ref.engine.guest import GuestHost
from torvyn_ref.engine.imports import GuestFault, GuestTimeout
from torvyn_ref.engine.stock_answers import bounded, failure_of

_CAUSES = {TrapCode.OUT_OF_FUEL: Cause.FUEL, TrapCode.INTERRUPT: Cause.TIMEOUT}

_SIGNALS = {str(signal): signal for signal in Signal}

Decode = Callable[[GuestHost, Any], Answer]


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


def _error(value: tuple[str, str | None]) -> Failure:
    case, message = value
    return Failure(ErrorKind(case), bounded(message or ""))


def _output(guest: GuestHost, value: tuple[tuple[int, int, str], int]) -> Output:
    (sequence, timestamp, content_type), rep = value
    return Output(guest.take(rep), content_type, sequence, timestamp)


def _maybe_output(guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    if case == "err":
        return _error(payload)
    return None if payload is None else _output(guest, payload)


def _processed(guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    if case == "err":
        return _error(payload)
    case, element = payload
    return _output(guest, element) if case == "emit" else None


def _outputs(guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    return _error(payload) if case == "err" else [_output(guest, element) for element in payload]


def _signal(_guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    return _error(payload) if case == "err" else _SIGNALS[payload]


def _plain(_guest: GuestHost, value: tuple[str, Any]) -> Answer:
    case, payload = value
    if case == "err":
        return _error(payload)
    answer: Answer = payload
    return answer


def _nothing(_guest: GuestHost, _value: None) -> Answer:
    return None


DECODE: Mapping[Call, Decode] = {
    Call.INIT: _plain,
    Call.TEARDOWN: _nothing,
    Call.PULL: _maybe_output,
    Call.NOTIFY: _nothing,
    Call.PROCESS: _processed,
    Call.PUSH: _signal,
    Call.COMPLETE: _plain,
    Call.EVALUATE: _plain,
    Call.ROUTE: _plain,
    Call.INGEST: _maybe_output,
    Call.FLUSH: _outputs,
}
"""How each call's result reads."""

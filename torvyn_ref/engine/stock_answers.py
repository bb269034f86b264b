"""What came out of a call, as values: wasmtime-py's shapes become answers, wasmtime's error texts become failures.

The component API raises plain `WasmtimeError`s without a code (facts/engine.md 3), so the text decides, and only the part of it that no
guest writes: the root cause behind the last "Caused by:". The backtrace before it quotes function names, which are the guest's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from wasmtime import Store, WasmtimeError
from wasmtime.component import Record, Variant

from torvyn_ref.calls import Answer, Call, Cause, ErrorKind, Failure, Output, Signal
from torvyn_ref.engine.guest import GuestHost
from torvyn_ref.engine.imports import GuestFault, GuestTimeout

MOST_MESSAGE = 4096
"""Characters kept of a guest's error text; what follows is cut, and the cut is shown."""

_NUMBERED = re.compile(r"[0-9]+: ")
_FUEL = "all fuel consumed by WebAssembly"
_INTERRUPTED = "wasm trap: interrupt"
_MEMORY = ("exceeds memory limits", "memory count too high")
_TRAPS = (
    "wasm trap:",
    # the canonical ABI's own traps, which come without that prefix
    "borrow handles still remain",
    "handle index",
    "cannot lift own resource from a borrow",
    "cannot remove owned resource while borrowed",
    "utf-8",
    "out of bounds",
    "not aligned",
    "discriminant",
    "realloc return:",
    "for `char`",
)


def root_cause(error: WasmtimeError) -> str:
    """Return what wasmtime says went wrong, without the backtrace."""
    text = str(error)
    _, behind, causes = text.rpartition("Caused by:")
    lines = (causes if behind else text).strip().splitlines()
    return bounded("; ".join(_NUMBERED.sub("", line.strip(), count=1) for line in lines))


def failure_of(error: WasmtimeError, fault: GuestFault | None) -> Failure:
    """Tell what kind of failure ended a call; the instance is dead after each (spec decision 11).

    Args:
        error: as wasmtime-py raised it.
        fault: the breach that a host function saw during the call, if one did.
    """
    if fault is not None:
        if isinstance(fault, GuestTimeout):
            return Failure(ErrorKind.DEADLINE_EXCEEDED, str(fault), Cause.TIMEOUT, poisoned=True)
        return Failure(ErrorKind.FATAL, str(fault), Cause.TRAP, poisoned=True)
    text = root_cause(error)
    if _FUEL in text:
        return Failure(ErrorKind.DEADLINE_EXCEEDED, text, Cause.FUEL, poisoned=True)
    if _INTERRUPTED in text:
        return Failure(ErrorKind.DEADLINE_EXCEEDED, text, Cause.TIMEOUT, poisoned=True)
    if any(phrase in text for phrase in _MEMORY):
        return Failure(ErrorKind.FATAL, text, Cause.MEMORY, poisoned=True)
    if any(phrase in text for phrase in _TRAPS):
        return Failure(ErrorKind.FATAL, text, Cause.TRAP, poisoned=True)
    return Failure(ErrorKind.INTERNAL, text, Cause.ENGINE, poisoned=True)


def bounded(text: str) -> str:
    """Cut a text that a guest may have made as long as its memory."""
    return text if len(text) <= MOST_MESSAGE else f"{text[:MOST_MESSAGE]}… ({len(text)} characters)"


Decode = Callable[[Store, GuestHost, Any], Answer]


def _error(value: Variant) -> Failure:
    return Failure(ErrorKind(value.tag), bounded(value.payload or ""))


def _output(store: Store, guest: GuestHost, element: Record) -> Output:
    fields = vars(element)
    meta = vars(fields["meta"])
    handle = guest.take(fields["payload"].to_host(store).rep)
    return Output(handle, meta["content-type"], meta["sequence"], meta["timestamp-ns"])


def _maybe_output(store: Store, guest: GuestHost, value: Any) -> Answer:
    # result<option<output-element>, process-error> and result<process-result, process-error>: Record, None or Variant, untagged
    if value is None:
        return None
    return _error(value) if isinstance(value, Variant) else _output(store, guest, value)


def _outputs(store: Store, guest: GuestHost, value: Any) -> Answer:
    return _error(value) if isinstance(value, Variant) else [_output(store, guest, element) for element in value]


def _signal(_store: Store, _guest: GuestHost, value: Any) -> Answer:
    return _error(value) if isinstance(value, Variant) else Signal(value)


def _plain(_store: Store, _guest: GuestHost, value: Any) -> Answer:
    answer: Answer = _error(value) if isinstance(value, Variant) else value
    return answer


DECODE: Mapping[Call, Decode] = {
    Call.INIT: _plain,
    Call.TEARDOWN: _plain,
    Call.PULL: _maybe_output,
    Call.NOTIFY: _plain,
    Call.PROCESS: _maybe_output,
    Call.PUSH: _signal,
    Call.COMPLETE: _plain,
    Call.EVALUATE: _plain,
    Call.ROUTE: _plain,
    Call.INGEST: _maybe_output,
    Call.FLUSH: _outputs,
}
"""How each call's result reads. The shapes are exact because the component's types were compared with the contract before."""

"""From wasmtime's words to causes."""

import pytest
from wasmtime import WasmtimeError

from torvyn_ref.calls import Cause, ErrorKind
from torvyn_ref.engine.imports import GuestFault, GuestTimeout
from torvyn_ref.engine.stock_answers import failure_of, root_cause

BACKTRACE = "error while executing at wasm backtrace:\n    0:   0x1 - <unknown>!wasm trap: interrupt\n\nCaused by:\n    "


@pytest.mark.parametrize(
    ("text", "kind", "cause"),
    [
        ("wasm trap: wasm `unreachable` instruction executed", ErrorKind.FATAL, Cause.TRAP),
        ("wasm trap: integer divide by zero", ErrorKind.FATAL, Cause.TRAP),
        ("wasm trap: all fuel consumed by WebAssembly", ErrorKind.DEADLINE_EXCEEDED, Cause.FUEL),
        ("wasm trap: interrupt", ErrorKind.DEADLINE_EXCEEDED, Cause.TIMEOUT),
        ("unknown handle index 3", ErrorKind.FATAL, Cause.TRAP),
        ("borrow handles still remain at the end of the call", ErrorKind.FATAL, Cause.TRAP),
        ("discriminant 7 out of range [0..2)", ErrorKind.FATAL, Cause.TRAP),
        ("memory minimum size of 9 pages exceeds memory limits", ErrorKind.FATAL, Cause.MEMORY),
        ("mismatched resource types", ErrorKind.INTERNAL, Cause.ENGINE),
        ("something new in wasmtime 60", ErrorKind.INTERNAL, Cause.ENGINE),
    ],
)
@pytest.mark.parametrize("context", ["", BACKTRACE])
def test_the_root_cause_decides(text, kind, cause, context):
    failure = failure_of(WasmtimeError(context + text), None)
    assert (failure.kind, failure.cause, failure.message, failure.poisoned) == (kind, cause, text, True)


def test_several_causes_are_one_sentence():
    error = WasmtimeError("context\n\nCaused by:\n    0: memory fault at 0x1\n    1: wasm trap: out of bounds memory access")
    assert root_cause(error) == "memory fault at 0x1; wasm trap: out of bounds memory access"


def test_what_a_host_function_saw_comes_before_what_wasmtime_says():
    error = WasmtimeError("the host ended the call")
    failure = failure_of(error, GuestFault("buffer 7 is spent"))
    assert (failure.kind, failure.cause, failure.message) == (ErrorKind.FATAL, Cause.TRAP, "buffer 7 is spent")
    late = failure_of(error, GuestTimeout("waited too long"))
    assert (late.kind, late.cause) == (ErrorKind.DEADLINE_EXCEEDED, Cause.TIMEOUT)

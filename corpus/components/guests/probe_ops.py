"""The op-probe: a processor whose input is a little program over buffers, and whose output says what each step answered.

A program is a row of records, each a header of 24 bytes and its inline bytes, numbers little-endian:

    byte 0      the operation, by its place in `OPERATIONS`
    byte 1      the slot it works on
    byte 2      the slot its result goes into
    byte 3      1: call the host even when the slot is empty (with handle 0)
    bytes 4-7   how many inline bytes follow the header
    bytes 8-15  the number a, bytes 16-23 the number b

There are 256 slots of handles, kept between calls. Slot 128 is the payload and slot 129 the context of the running call; both are dropped
before the call returns unless the program has emptied or dropped them. Nothing else is ever dropped or forgotten unasked, so a slot may
well hold a handle that is dead.

The output is one entry per record: a byte for how it went (`STATUSES`), then for `number` 8 bytes, and for `bytes` and
`allocation-failed` a length of 4 bytes with as many bytes. A program that ends the call itself (emit, drop-element, fail) has no output.
A program that is cut short or has an unknown operation is answered `invalid-input`, when it gets there; data beyond 4 MiB and an output
beyond 256 KiB trap.
"""

from corpus.components.wat import Guest
from corpus.components.wat.library import HOST_RESULT, PORTS

SLOTS = PORTS
"""Where the slots are; only routers use that memory otherwise."""
PAYLOAD, CONTEXT = 128, 129
LOG_BYTES = 256 * 1024
MOST_DATA = 4 * 1024 * 1024
"""Bytes that one write may have, repetitions included."""

STATUSES = ("done", "number", "bytes", "capacity-exceeded", "out-of-bounds", "allocation-failed", "skipped")
"""`skipped`: the slot was empty, the host was not asked."""

_WRITTEN = f"(global.get $bytes) (global.get $bytes-len) (i32.const {HOST_RESULT})"
_DATA = "(call $repeat (local.get $text) (local.get $len) (local.get $b))"


def _number(call: str) -> str:
    return f"(call $log-number (call ${call} (local.get $handle)))"


def _bytes(call: str, arguments: str = "") -> str:
    return f"(call ${call} (local.get $handle){arguments} (i32.const {HOST_RESULT}))\n        (call $log-returned)"


def _result(call: str, arguments: str) -> str:
    return f"(call ${call} {arguments})\n        (call $log-result)"


def _made(call: str, argument: str) -> str:
    return f"{_result(call, f'{argument} (i32.const {HOST_RESULT})')}\n        (call $store (local.get $into) (call $made))"


def _drop(call: str) -> str:
    return f"""(call ${call} (local.get $handle))
        (if (i32.ge_u (local.get $slot) (i32.const {PAYLOAD})) (then (call $store (local.get $slot) (i32.const 0))))
        (call $log-done)"""


OPERATIONS: dict[str, tuple[bool, str]] = {
    "trap": (False, "(unreachable)"),
    "allocate": (False, _made("allocator.allocate", "(local.get $a)")),
    "write": (True, f"{_DATA}\n        {_result('mutable-buffer.write', f'(local.get $handle) (local.get $a) {_WRITTEN}')}"),
    "append": (True, f"{_DATA}\n        {_result('mutable-buffer.append', f'(local.get $handle) {_WRITTEN}')}"),
    "size": (True, _number("mutable-buffer.size")),
    "capacity": (True, _number("mutable-buffer.capacity")),
    "set-content-type": (
        True,
        "(call $mutable-buffer.set-content-type (local.get $handle) (local.get $text) (local.get $len))\n        (call $log-done)",
    ),
    "freeze": (
        True,
        "(call $store (local.get $into) (call $mutable-buffer.freeze (local.get $handle)))\n        (call $log-done)",
    ),
    "drop-mutable": (True, _drop("drop-mutable-buffer")),
    "drop-buffer": (True, _drop("drop-buffer")),
    "read": (True, _bytes("buffer.read", " (local.get $a) (local.get $b)")),
    "read-all": (True, _bytes("buffer.read-all")),
    "buffer-size": (True, _number("buffer.size")),
    "buffer-content-type": (True, _bytes("buffer.content-type")),
    "clone": (True, _made("allocator.clone-into-mutable", "(local.get $handle)")),
    "copy-slot": (False, "(call $store (local.get $into) (local.get $handle))\n        (call $log-done)"),
    "forge": (False, "(call $store (local.get $into) (i32.wrap_i64 (local.get $a)))\n        (call $log-done)"),
    "handle": (False, "(call $log-number (i64.extend_i32_u (local.get $handle)))"),
    "trace-id": (True, _bytes("flow-context.trace-id")),
    "span-id": (True, _bytes("flow-context.span-id")),
    "deadline-ns": (True, _number("flow-context.deadline-ns")),
    "flow-id": (True, _bytes("flow-context.flow-id")),
    "drop-context": (True, _drop("drop-flow-context")),
    "content-type": (False, "(call $log-bytes (local.get $content-type) (local.get $content-type-len))"),
    "spin": (
        False,
        """(block $spun (loop $again
          (br_if $spun (i64.eqz (local.get $a)))
          (local.set $a (i64.sub (local.get $a) (i64.const 1)))
          (br $again)))
        (call $log-done)""",
    ),
    "grow": (False, "(call $log-number (i64.extend_i32_s (memory.grow (i32.wrap_i64 (local.get $a)))))"),
    "emit": (
        True,
        """(call $let-go)
        (return (call $emit (local.get $sequence) (local.get $timestamp) (local.get $text) (local.get $len) (local.get $handle)))""",
    ),
    "drop-element": (False, "(call $let-go)\n        (return (call $drop-element))"),
    "fail": (
        False,
        """(call $let-go)
        (return (call $fail-at (i32.const 8) (i32.wrap_i64 (local.get $a)) (local.get $text) (local.get $len)))""",
    ),
}
"""What each operation does, in the order of their numbers, and whether an empty slot keeps it from being done."""

_MODULE = f"""
    ;; A slot's handle; 0 is none.
    (func $slot-at (param $slot i32) (result i32)
      (i32.add (i32.const {SLOTS}) (i32.shl (local.get $slot) (i32.const 2))))
    (func $load (param $slot i32) (result i32) (i32.load (call $slot-at (local.get $slot))))
    (func $store (param $slot i32) (param $handle i32) (i32.store (call $slot-at (local.get $slot)) (local.get $handle)))
    ;; Ends the borrows of the running call that the program has not ended itself.
    (func $let-go
      (if (call $load (i32.const {PAYLOAD})) (then (call $drop-buffer (call $load (i32.const {PAYLOAD})))))
      (if (call $load (i32.const {CONTEXT})) (then (call $drop-flow-context (call $load (i32.const {CONTEXT})))))
      (call $store (i32.const {PAYLOAD}) (i32.const 0))
      (call $store (i32.const {CONTEXT}) (i32.const 0)))
    ;; The handle an allocation gave, or 0.
    (func $made (result i32)
      (select (i32.const 0) (i32.load (i32.const {HOST_RESULT + 4})) (i32.load8_u (i32.const {HOST_RESULT}))))
    ;; $bytes: a text $times over; once for 0 and 1.
    (global $bytes (mut i32) (i32.const 0))
    (global $bytes-len (mut i32) (i32.const 0))
    (func $repeat (param $text i32) (param $len i32) (param $times i64)
      (local $at i32) (local $end i32)
      (global.set $bytes (local.get $text))
      (global.set $bytes-len (local.get $len))
      (if (i64.le_u (local.get $times) (i64.const 1)) (then (return)))
      (if (i64.gt_u (local.get $times) (i64.const {MOST_DATA})) (then (unreachable)))
      (if (i64.gt_u (i64.mul (local.get $times) (i64.extend_i32_u (local.get $len))) (i64.const {MOST_DATA})) (then (unreachable)))
      (global.set $bytes-len (i32.mul (i32.wrap_i64 (local.get $times)) (local.get $len)))
      (global.set $bytes (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (global.get $bytes-len)))
      (local.set $at (global.get $bytes))
      (local.set $end (i32.add (local.get $at) (global.get $bytes-len)))
      (block $done (loop $more
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (memory.copy (local.get $at) (local.get $text) (local.get $len))
        (local.set $at (i32.add (local.get $at) (local.get $len)))
        (br $more))))
    ;; The log: one block of the heap, a fresh one for each call.
    (global $log (mut i32) (i32.const 0))
    (global $log-end (mut i32) (i32.const 0))
    (func $log-room (param $len i32)
      (if (i32.gt_u (local.get $len) (i32.sub (i32.add (global.get $log) (i32.const {LOG_BYTES})) (global.get $log-end)))
        (then (unreachable))))
    (func $log-status (param $status i32)
      (call $log-room (i32.const 1))
      (i32.store8 (global.get $log-end) (local.get $status))
      (global.set $log-end (i32.add (global.get $log-end) (i32.const 1))))
    (func $log-done (call $log-status (i32.const {STATUSES.index("done")})))
    (func $log-number (param $number i64)
      (call $log-status (i32.const {STATUSES.index("number")}))
      (call $log-room (i32.const 8))
      (i64.store align=1 (global.get $log-end) (local.get $number))
      (global.set $log-end (i32.add (global.get $log-end) (i32.const 8))))
    (func $log-text (param $at i32) (param $len i32)
      (call $log-room (i32.const 4))
      (i32.store align=1 (global.get $log-end) (local.get $len))
      (global.set $log-end (i32.add (global.get $log-end) (i32.const 4)))
      (call $log-room (local.get $len))
      (memory.copy (global.get $log-end) (local.get $at) (local.get $len))
      (global.set $log-end (i32.add (global.get $log-end) (local.get $len))))
    (func $log-bytes (param $at i32) (param $len i32)
      (call $log-status (i32.const {STATUSES.index("bytes")}))
      (call $log-text (local.get $at) (local.get $len)))
    (func $log-returned (call $log-bytes (i32.load (i32.const {HOST_RESULT})) (i32.load (i32.const {HOST_RESULT + 4}))))
    ;; A result<_, buffer-error>: the error's cases are statuses in the same order.
    (func $log-result
      (if (i32.eqz (i32.load8_u (i32.const {HOST_RESULT}))) (then (call $log-done) (return)))
      (call $log-status (i32.add (i32.const {STATUSES.index("capacity-exceeded")}) (i32.load8_u (i32.const {HOST_RESULT + 4}))))
      (if (i32.eq (i32.load8_u (i32.const {HOST_RESULT + 4})) (i32.const 2))
        (then (call $log-text (i32.load (i32.const {HOST_RESULT + 8})) (i32.load (i32.const {HOST_RESULT + 12}))))))"""


def _dispatch() -> str:
    """Return the branch to the operation's own code: block N ends where the code of operation N begins."""
    numbers = range(len(OPERATIONS))
    text = "".join(f"(block ${number} " for number in reversed(numbers))
    text += f"(block $unknown (br_table {' '.join(f'${number}' for number in numbers)} $unknown (local.get $op))) (br $broken))"
    for number, (name, (_, code)) in enumerate(OPERATIONS.items()):
        closing = "" if number == len(OPERATIONS) - 1 else ")"
        text += f"\n        ;; {name}\n        {code}\n        (br $more){closing}"
    return text


def _needing_slot() -> str:
    """Return the set of operations that an empty slot stops, as the bits of a number."""
    return hex(sum(1 << number for number, (needs, _) in enumerate(OPERATIONS.values()) if needs))


_PROCESS = f"""
      (local $at i32) (local $end i32) (local $op i32) (local $slot i32) (local $into i32) (local $len i32) (local $text i32)
      (local $a i64) (local $b i64) (local $handle i32) (local $out i32)
      (call $store (i32.const {PAYLOAD}) (local.get $payload))
      (call $store (i32.const {CONTEXT}) (local.get $context))
      (call $read-all (local.get $payload))
      (local.set $at (global.get $data))
      (local.set $end (i32.add (global.get $data) (global.get $size)))
      (global.set $log (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {LOG_BYTES})))
      (global.set $log-end (global.get $log))
      (block $broken (block $done (loop $more
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (if (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 24)) (then (br $broken)))
        (local.set $op (i32.load8_u (local.get $at)))
        (local.set $slot (i32.load8_u offset=1 (local.get $at)))
        (local.set $into (i32.load8_u offset=2 (local.get $at)))
        (local.set $len (i32.load offset=4 align=1 (local.get $at)))
        (local.set $a (i64.load offset=8 align=1 (local.get $at)))
        (local.set $b (i64.load offset=16 align=1 (local.get $at)))
        (local.set $handle (call $load (local.get $slot)))
        (local.set $text (i32.add (local.get $at) (i32.const 24)))
        (if (i32.gt_u (local.get $len) (i32.sub (local.get $end) (local.get $text))) (then (br $broken)))
        ;; An empty slot: not asked, unless the record insists.
        (if (i32.and
              (i32.and (i32.eqz (local.get $handle)) (i32.eqz (i32.load8_u offset=3 (local.get $at))))
              (i32.wrap_i64 (i64.and (i64.const 1)
                (i64.shr_u (i64.const {_needing_slot()}) (i64.extend_i32_u (local.get $op))))))
          (then
            (local.set $at (i32.add (local.get $text) (local.get $len)))
            (call $log-status (i32.const {STATUSES.index("skipped")}))
            (br $more)))
        (local.set $at (i32.add (local.get $text) (local.get $len)))
        {_dispatch()}))
      (call $let-go)
      (local.set $out (call $buffer-of (global.get $log) (i32.sub (global.get $log-end) (global.get $log))))
      (if (i32.eqz (local.get $out)) (then (return (fail unavailable "the host refused a buffer for the log"))))
      (return (call $emit (local.get $sequence) (local.get $timestamp) (text "application/x-op-log") (local.get $out))))
      (call $let-go)
      (fail invalid-input "this is no program")"""

GUESTS = (
    Guest(
        "op-probe",
        "managed-transform",
        "Carries out the program in its payload, one host call after another, and emits what each answered.",
        {"process": _PROCESS},
        module=_MODULE,
    ),
)

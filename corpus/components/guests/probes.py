"""Guests that ask the host and report its answers in the payload they emit."""

from corpus.components.guests.common import DROP_INPUT, EMIT
from corpus.components.wat import Guest
from corpus.components.wat.library import HOST_RESULT

REPORT = f"""
    ;; The report grows in one block taken from the heap first; it is at most 64 KiB.
    (global $report (mut i32) (i32.const 0))
    (global $report-end (mut i32) (i32.const 0))
    (func $open-report
      (global.set $report (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 65536)))
      (global.set $report-end (global.get $report)))
    (func $room (param $len i32)
      (if (i32.gt_u (i32.add (i32.sub (global.get $report-end) (global.get $report)) (local.get $len)) (i32.const 65536))
        (then unreachable)))
    ;; A number is 8 bytes, little-endian.
    (func $report-number (param $number i64)
      (call $room (i32.const 8))
      (i64.store align=1 (global.get $report-end) (local.get $number))
      (global.set $report-end (i32.add (global.get $report-end) (i32.const 8))))
    ;; Bytes are their number, then themselves. This reports those a host call just returned.
    (func $report-returned
      (call $report-bytes (i32.load (i32.const {HOST_RESULT})) (i32.load (i32.const {HOST_RESULT + 4}))))
    (func $report-bytes (param $at i32) (param $len i32)
      (call $report-number (i64.extend_i32_u (local.get $len)))
      (call $room (local.get $len))
      (memory.copy (global.get $report-end) (local.get $at) (local.get $len))
      (global.set $report-end (i32.add (global.get $report-end) (local.get $len))))
    ;; A result is a number: 0 for ok, 1 more than the error's case otherwise.
    (func $report-result
      (call $report-number (i64.extend_i32_u (if (result i32) (i32.load8_u (i32.const {HOST_RESULT}))
        (then (i32.add (i32.const 1) (i32.load8_u (i32.const {HOST_RESULT + 4}))))
        (else (i32.const 0))))))
    (func $report-buffer (result i32)
      (call $buffer-of (global.get $report) (i32.sub (global.get $report-end) (global.get $report))))"""

END_REPORT = f"""
      (local.set $out (call $report-buffer)){EMIT}"""

EVERYTHING = f"""
      (local $out i32) (local $made i32) (local $frozen i32)
      (if (i64.gt_u (call $buffer.size (local.get $payload)) (i64.const 16384)) (then
        {DROP_INPUT}
        (return (fail invalid-input "more than 16384 bytes do not fit in a report"))))
      (call $open-report)
      ;; buffer, the lent one
      (call $report-number (call $buffer.size (local.get $payload)))
      (call $buffer.content-type (local.get $payload) (i32.const {HOST_RESULT}))
      (call $report-returned)
      (call $buffer.read (local.get $payload) (i64.const 1) (i64.const 3) (i32.const {HOST_RESULT}))
      (call $report-returned)
      (call $buffer.read-all (local.get $payload) (i32.const {HOST_RESULT}))
      (call $report-returned)
      ;; flow-context
      (call $flow-context.trace-id (local.get $context) (i32.const {HOST_RESULT}))
      (call $report-returned)
      (call $flow-context.span-id (local.get $context) (i32.const {HOST_RESULT}))
      (call $report-returned)
      (call $report-number (call $flow-context.deadline-ns (local.get $context)))
      (call $flow-context.flow-id (local.get $context) (i32.const {HOST_RESULT}))
      (call $report-returned)
      ;; mutable-buffer: what fits, what does not, what leaves a gap
      (call $allocator.allocate (i64.const 32) (i32.const {HOST_RESULT}))
      (call $report-result)
      (if (i32.load8_u (i32.const {HOST_RESULT})) (then
        {DROP_INPUT}
        (return (fail unavailable "the host refused a buffer"))))
      (local.set $made (i32.load (i32.const {HOST_RESULT + 4})))
      (call $mutable-buffer.write (local.get $made) (i64.const 0) (text "probe") (i32.const {HOST_RESULT}))
      (call $report-result)
      (call $mutable-buffer.append (local.get $made) (text "-all") (i32.const {HOST_RESULT}))
      (call $report-result)
      (call $mutable-buffer.write (local.get $made) (i64.const 100) (text "x") (i32.const {HOST_RESULT}))
      (call $report-result)
      (call $report-number (call $mutable-buffer.size (local.get $made)))
      (call $report-number (call $mutable-buffer.capacity (local.get $made)))
      (call $mutable-buffer.set-content-type (local.get $made) (text "text/probe"))
      (local.set $frozen (call $mutable-buffer.freeze (local.get $made)))
      (call $drop-mutable-buffer (local.get $made))
      (call $report-number (call $buffer.size (local.get $frozen)))
      (call $buffer.content-type (local.get $frozen) (i32.const {HOST_RESULT}))
      (call $report-returned)
      ;; clone-into-mutable: the copy grows, the source does not
      (call $allocator.clone-into-mutable (local.get $frozen) (i32.const {HOST_RESULT}))
      (call $report-result)
      (if (i32.load8_u (i32.const {HOST_RESULT})) (then
        (call $drop-buffer (local.get $frozen))
        {DROP_INPUT}
        (return (fail unavailable "the host refused a buffer"))))
      (local.set $made (i32.load (i32.const {HOST_RESULT + 4})))
      (call $mutable-buffer.append (local.get $made) (text "!") (i32.const {HOST_RESULT}))
      (call $report-result)
      (call $report-number (call $buffer.size (local.get $frozen)))
      (call $drop-buffer (local.get $frozen))
      (local.set $frozen (call $finish (local.get $made)))
      (call $buffer.read-all (local.get $frozen) (i32.const {HOST_RESULT}))
      (call $report-returned)
      (call $drop-buffer (local.get $frozen)){END_REPORT}"""

PRINT = f"""
      (local $stream i32) (local $out i32)
      (local.set $stream (call $stdout.get-stdout))
      (call $output-stream.blocking-write-and-flush
        (local.get $stream) (text "hello from a component\\n") (i32.const {HOST_RESULT}))
      (call $drop-output-stream (local.get $stream))
      (if (i32.load8_u (i32.const {HOST_RESULT})) (then
        (if (i32.eqz (i32.load8_u (i32.const {HOST_RESULT + 4})))
          (then (call $drop-io-error (i32.load (i32.const {HOST_RESULT + 8})))))
        {DROP_INPUT}
        (return (fail unavailable "standard output refused a write"))))
      (local.set $out (call $copy-of (local.get $payload))){EMIT}"""

ENVIRONMENT = f"""
      (local $out i32) (local $at i32) (local $left i32)
      (call $open-report)
      (call $environment.get-environment (i32.const {HOST_RESULT}))
      (local.set $at (i32.load (i32.const {HOST_RESULT})))
      (local.set $left (i32.load (i32.const {HOST_RESULT + 4})))
      (call $report-number (i64.extend_i32_u (local.get $left)))
      (block $done (loop $more
        (br_if $done (i32.eqz (local.get $left)))
        (call $report-bytes (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
        (call $report-bytes (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $more))){END_REPORT}"""


def _wasi(name: str, does: str, process: str, capability: str) -> Guest:
    return Guest(name, "transform", does, {"process": process}, module=REPORT, capabilities=(capability,))


GUESTS = (
    Guest(
        "probe-all",
        "transform",
        "Calls every function of the two host interfaces once and emits the answers.",
        {"process": EVERYTHING},
        module=REPORT,
    ),
    Guest(
        "wasi-stdout",
        "transform",
        "Prints one line on standard output for every element and emits a copy of it.",
        {"process": PRINT},
        capabilities=("stdio:stdout",),
    ),
    _wasi(
        "wasi-wall-clock",
        "Emits the wall clock's seconds and nanoseconds.",
        f"""
      (local $out i32)
      (call $open-report)
      (call $wall-clock.now (i32.const {HOST_RESULT}))
      (call $report-number (i64.load (i32.const {HOST_RESULT})))
      (call $report-number (i64.load32_u (i32.const {HOST_RESULT + 8}))){END_REPORT}""",
        "clock:wall",
    ),
    _wasi(
        "wasi-monotonic-clock",
        "Emits two readings of the monotonic clock, the earlier one first.",
        f"""
      (local $out i32)
      (call $open-report)
      (call $report-number (call $monotonic-clock.now))
      (call $report-number (call $monotonic-clock.now)){END_REPORT}""",
        "clock:monotonic",
    ),
    _wasi(
        "wasi-random",
        "Emits 16 random bytes.",
        f"""
      (local $out i32)
      (call $open-report)
      (call $random.get-random-bytes (i64.const 16) (i32.const {HOST_RESULT}))
      (call $report-returned){END_REPORT}""",
        "random:crypto",
    ),
    _wasi("wasi-environment", "Emits the number of environment variables, then each name and value.", ENVIRONMENT, "environment:read"),
)

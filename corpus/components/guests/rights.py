"""Guests about what a component may do: they ask, they try, and they say what came of it."""

from corpus.components.guests.common import DROP_INPUT, EMIT, FORWARD
from corpus.components.guests.probes import END_REPORT, REPORT
from corpus.components.wat import Guest
from corpus.components.wat.library import HOST_RESULT

ASK = f"""
      (local $out i32) (local $at i32) (local $size i32) (local $bits i32)
      (call $buffer.read-all (local.get $payload) (i32.const {HOST_RESULT}))
      (local.set $at (i32.load (i32.const {HOST_RESULT})))
      (local.set $size (i32.load (i32.const {HOST_RESULT + 4})))
      ;; What is not ASCII names no capability, and might be no text at all: it is not asked about.
      (block $read (loop $more
        (br_if $read (i32.eqz (local.get $size)))
        (local.set $bits (i32.or (local.get $bits) (i32.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $size (i32.sub (local.get $size) (i32.const 1)))
        (br $more)))
      (if (if (result i32) (i32.ge_u (local.get $bits) (i32.const 128))
          (then (i32.const 0))
          (else (call $capability-query.has-capability (i32.load (i32.const {HOST_RESULT})) (i32.load (i32.const {HOST_RESULT + 4})))))
        (then (local.set $out (call $buffer-of (text "yes"))))
        (else (local.set $out (call $buffer-of (text "no"))))){EMIT}"""


def _print(get: str, line: str, refused: str) -> str:
    return f"""
      (local.set $stream (call ${get}))
      (call $output-stream.blocking-write-and-flush (local.get $stream) (text "{line}\\n") (i32.const {HOST_RESULT}))
      (call $drop-output-stream (local.get $stream))
      (if (i32.load8_u (i32.const {HOST_RESULT})) (then
        (if (i32.eqz (i32.load8_u (i32.const {HOST_RESULT + 4})))
          (then (call $drop-io-error (i32.load (i32.const {HOST_RESULT + 8})))))
        {refused}
        (return (fail unavailable "the stream refused a write"))))"""


INIT = f"""
      (local $stream i32){_print("stdout.get-stdout", "init ran", "")}
      (call $ok (i32.const 0))"""

COMPLAIN = f"""
      (local $stream i32) (local $out i32){_print("stderr.get-stderr", "a complaint", DROP_INPUT)}
      (local.set $out (call $copy-of (local.get $payload))){EMIT}"""

INERT = f"""
      (local $out i32) (local $stdin i32)
      ;; A payload of 3333 bytes asks it to leave; every other one is answered with a report.
      (if (i64.eq (call $buffer.size (local.get $payload)) (i64.const 3333)) (then
        (call $exit.exit (i32.const 0))))
      (call $open-report)
      (local.set $stdin (call $stdin.get-stdin))
      (call $input-stream.blocking-read (local.get $stdin) (i64.const 100) (i32.const {HOST_RESULT}))
      (call $report-result)
      (call $drop-input-stream (local.get $stdin))
      (call $terminal-stdout.get-terminal-stdout (i32.const {HOST_RESULT}))
      (call $report-number (i64.extend_i32_u (i32.load8_u (i32.const {HOST_RESULT}))))
      (if (i32.load8_u (i32.const {HOST_RESULT}))
        (then (call $drop-terminal-output (i32.load (i32.const {HOST_RESULT + 4}))))){END_REPORT}"""

GUESTS = (
    Guest(
        "capability-query",
        "transform",
        'Asks whether it has the capability that its payload names, and emits "yes" or "no".',
        {"process": ASK},
    ),
    Guest(
        "init-prints",
        "managed-transform",
        "Prints one line on standard output when it is initialised, and emits copies.",
        {"init": INIT, "process": f"\n      (local $out i32){FORWARD}"},
        capabilities=("stdio:stdout",),
    ),
    Guest(
        "wasi-stderr",
        "transform",
        "Prints one line on standard error for every element and emits a copy of it.",
        {"process": COMPLAIN},
        capabilities=("stdio:stderr",),
    ),
    Guest(
        "wasi-insecure-random",
        "transform",
        "Emits 16 random bytes that need not be secret.",
        {
            "process": f"""
      (local $out i32)
      (call $open-report)
      (call $insecure.get-insecure-random-bytes (i64.const 16) (i32.const {HOST_RESULT}))
      (call $report-returned){END_REPORT}"""
        },
        module=REPORT,
        capabilities=("random:insecure",),
    ),
    Guest(
        "wasi-insecure-seed",
        "transform",
        "Emits the two numbers of a seed.",
        {
            "process": f"""
      (local $out i32)
      (call $open-report)
      (call $insecure-seed.insecure-seed (i32.const {HOST_RESULT}))
      (call $report-number (i64.load (i32.const {HOST_RESULT})))
      (call $report-number (i64.load (i32.const {HOST_RESULT + 8}))){END_REPORT}"""
        },
        module=REPORT,
        capabilities=("random:insecure",),
    ),
    Guest(
        "wasi-inert",
        "transform",
        "Does what ordinary toolchains import: emits how reading standard input went and whether there is a terminal; exits at 3333 bytes.",
        {"process": INERT},
        module=REPORT,
    ),
)

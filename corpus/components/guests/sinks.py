"""Sinks: ready, pausing, failing, printing; and two that misbehave at a given element."""

from corpus.components.guests.common import DROP_INPUT, ERROR_KINDS, KIND, configured_error
from corpus.components.wat import Behaviour, Choice, Guest, Number, Outcome

PUSHES = "\n    (global $pushes (mut i64) (i64.const 0))"
COUNT = "(global.set $pushes (i64.add (global.get $pushes) (i64.const 1)))"

TAKE = f"""
      (call $read-all (local.get $payload))
      {DROP_INPUT}
      {COUNT}"""

PRINT = f"""
      (local $stream i32) (local $at i32) (local $left i32) (local $step i32)
      {TAKE.strip()}
      ;; The line ends in the byte behind the payload, which the heap keeps spare.
      (i32.store8 (i32.add (global.get $data) (global.get $size)) (i32.const 10))
      (local.set $at (global.get $data))
      (local.set $left (i32.add (global.get $size) (i32.const 1)))
      (local.set $stream (call $stdout.get-stdout))
      ;; One blocking write takes no more than 4096 bytes.
      (block $done (loop $more
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $step
          (select (local.get $left) (i32.const 4096) (i32.lt_u (local.get $left) (i32.const 4096))))
        (call $output-stream.blocking-write-and-flush
          (local.get $stream) (local.get $at) (local.get $step) (i32.const 16))
        (if (i32.load8_u (i32.const 16)) (then
          (if (i32.eqz (i32.load8_u (i32.const 20))) (then (call $drop-io-error (i32.load (i32.const 24)))))
          (call $drop-output-stream (local.get $stream))
          (return (fail unavailable "standard output refused a write"))))
        (local.set $at (i32.add (local.get $at) (local.get $step)))
        (local.set $left (i32.sub (local.get $left) (local.get $step)))
        (br $more)))
      (call $drop-output-stream (local.get $stream))
      (call $ok (i32.const 0))"""

AT = Number("at", "the push, counted from 1, at which it happens", 3, 100_000_000)

GUESTS = (
    Guest(
        "sink-ready",
        "data-sink",
        "Reads every element and is always ready for more.",
        {"push": f"{TAKE}\n      (call $ok (i32.const 0))"},
        module=PUSHES,
    ),
    Guest(
        "sink-pausing",
        "data-sink",
        "Reads every element; answers pause to every n-th and ready to the others.",
        {"push": f"{TAKE}\n      (call $ok (call $due (global.get $pushes) (global.get $config.every)))"},
        module=PUSHES,
        settings=(Number("every", "the pushes answered with pause: each n-th; 1 for all, 0 for none", 2, 1_000_000),),
    ),
    Guest(
        "sink-failing",
        "data-sink",
        "Reads every element; answers an error to every n-th, and to complete if asked.",
        {
            "push": f"""{TAKE}
      (if (call $due (global.get $pushes) (global.get $config.every)) (then (return {configured_error(4)})))
      (call $ok (i32.const 0))""",
            "complete": """
      (if (global.get $config.complete) (then (return (call $fail-at (i32.const 4)
        (i32.sub (global.get $config.complete) (i32.const 1)) (text "as configured")))))
      (call $ok (i32.const 0))""",
        },
        module=PUSHES,
        settings=(
            Number("every", "the pushes that fail: each n-th; 0 for none", 3, 100_000_000),
            KIND,
            Choice("complete", "what complete answers", "ok", ("ok", *ERROR_KINDS)),
        ),
    ),
    Guest(
        "stdout-sink",
        "data-sink",
        "Prints every payload as a line on standard output.",
        {"push": PRINT},
        module=PUSHES,
        capabilities=("stdio:stdout",),
    ),
    Guest(
        "trapping-sink",
        "data-sink",
        "Reads elements, and traps at one.",
        {
            "push": f"""{TAKE}
      (if (i64.eq (global.get $pushes) (global.get $config.at)) (then unreachable))
      (call $ok (i32.const 0))"""
        },
        module=PUSHES,
        settings=(AT,),
        behaviour=Behaviour.MIS,
        breaks=("ERR-002",),
        outcome=Outcome.TRAP,
        at="push",
    ),
    Guest(
        "spinning-sink",
        "data-sink",
        "Reads elements, and never returns from one push.",
        {
            "push": f"""{TAKE}
      (if (i64.eq (global.get $pushes) (global.get $config.at)) (then (call $spin)))
      (call $ok (i32.const 0))"""
        },
        module=PUSHES,
        settings=(AT,),
        behaviour=Behaviour.MIS,
        breaks=("ERR-008", "CANCEL-006"),
        outcome=Outcome.NEVER_RETURNS,
        at="push",
    ),
)

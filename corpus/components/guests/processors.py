"""Processors that keep the contract, errors included."""

from corpus.components.guests.common import DROP_INPUT, EMIT, ERROR_KINDS, FORWARD, KIND, configured_error
from corpus.components.wat import Guest, Number, Text

UPPERCASE = f"""
      (local $at i32) (local $end i32) (local $bytes v128) (local $out i32)
      (call $read-all (local.get $payload))
      (local.set $at (global.get $data))
      (local.set $end (i32.add (local.get $at) (global.get $size)))
      ;; 16 bytes at a time: those between a and z lose 32. The heap's spare bytes make the last step safe, and one
      ;; step is safe even when there is nothing to raise.
      (loop $more
        (local.set $bytes (v128.load align=1 (local.get $at)))
        (v128.store align=1 (local.get $at) (i8x16.sub (local.get $bytes) (v128.and
          (v128.const i8x16 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32)
          (i8x16.lt_u
            (i8x16.sub (local.get $bytes) (v128.const i8x16 97 97 97 97 97 97 97 97 97 97 97 97 97 97 97 97))
            (v128.const i8x16 26 26 26 26 26 26 26 26 26 26 26 26 26 26 26 26)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $out (call $buffer-of (global.get $data) (global.get $size))){EMIT}"""

ANNOTATE = f"""
      (local $buffer i32) (local $out i32)
      (call $read-all (local.get $payload))
      (local.set $buffer (call $allocate (i64.add
        (i64.extend_i32_u (global.get $size)) (i64.extend_i32_u (global.get $config.suffix-len)))))
      (if (local.get $buffer) (then
        (if (call $append (local.get $buffer) (global.get $data) (global.get $size)) (then
          ;; Writing at the current size is appending, said with an offset (BUF-011).
          (call $mutable-buffer.write (local.get $buffer) (i64.extend_i32_u (global.get $size))
            (global.get $config.suffix) (global.get $config.suffix-len) (i32.const 16))
          (if (i32.eqz (i32.load8_u (i32.const 16))) (then
            (local.set $out (call $mutable-buffer.freeze (local.get $buffer)))))))
        (call $drop-mutable-buffer (local.get $buffer)))){EMIT}"""

FAULTY = f"""
      (local $out i32)
      ;; A repeated sequence number is a retry of the same element.
      (if (i64.eq (local.get $sequence) (global.get $last))
        (then (global.set $attempt (i64.add (global.get $attempt) (i64.const 1))))
        (else
          (global.set $last (local.get $sequence))
          (global.set $attempt (i64.const 1))
          (global.set $seen (i64.add (global.get $seen) (i64.const 1)))))
      (if (i32.and
            (call $due (global.get $seen) (global.get $config.every))
            (i32.or (i64.eqz (global.get $config.attempts))
              (i64.le_u (global.get $attempt) (global.get $config.attempts))))
        (then
          {DROP_INPUT}
          (return {configured_error(8)}))){FORWARD}"""

CHUNKS = f"""
      (local $buffer i32) (local $out i32) (local $offset i64) (local $total i64)
      (local.set $total (call $buffer.size (local.get $payload)))
      (local.set $buffer (call $allocate (local.get $total)))
      (if (local.get $buffer) (then
        (block $done (loop $more
          (br_if $done (i64.ge_u (local.get $offset) (local.get $total)))
          (call $buffer.read (local.get $payload) (local.get $offset)
            (i64.add (global.get $config.chunk) (i64.extend_i32_u (i64.eqz (global.get $config.chunk))))
            (i32.const 16))
          (local.set $offset (i64.add (local.get $offset) (i64.extend_i32_u (i32.load (i32.const 20)))))
          (drop (call $append (local.get $buffer) (i32.load (i32.const 16)) (i32.load (i32.const 20))))
          (br $more)))
        (local.set $out (call $finish (local.get $buffer))))){EMIT}"""

BURN = f"""
      (local $out i32) (local $left i64)
      (local.set $left (global.get $config.loops))
      (block $done (loop $more
        (br_if $done (i64.eqz (local.get $left)))
        (local.set $left (i64.sub (local.get $left) (i64.const 1)))
        (br $more))){FORWARD}"""


def _always(kind: str) -> Guest:
    return Guest(
        name=f"error-{kind}",
        world="transform",
        does=f"Answers {kind} to every element.",
        bodies={"process": f'\n      {DROP_INPUT}\n      (fail {kind} "as built")'},
    )


GUESTS = (
    Guest("uppercase", "transform", "Emits its input with ASCII letters raised.", {"process": UPPERCASE}),
    Guest(
        "uppercase-managed",
        "managed-transform",
        "Uppercase with a lifecycle: traps when called before init or after teardown, or initialised twice.",
        {
            "init": """
      (if (global.get $phase) (then unreachable))
      (global.set $phase (i32.const 1))
      (call $ok (i32.const 0))""",
            "process": UPPERCASE.replace(
                "(call $read-all", "(if (i32.ne (global.get $phase) (i32.const 1)) (then unreachable))\n      (call $read-all", 1
            ),
            "teardown": """
      (if (i32.ne (global.get $phase) (i32.const 1)) (then unreachable))
      (global.set $phase (i32.const 2))""",
        },
        module="\n    (global $phase (mut i32) (i32.const 0))",
    ),
    Guest(
        "clone-freeze",
        "transform",
        "Emits a copy of its input without reading it: clone-into-mutable, then freeze.",
        {"process": f"\n      (local $out i32){FORWARD}"},
    ),
    Guest(
        "dropper",
        "transform",
        "Drops every element.",
        {"process": f"\n      {DROP_INPUT}\n      (call $drop-element)"},
    ),
    Guest(
        "annotate",
        "managed-transform",
        "Emits its input with a suffix, written at an offset.",
        {"process": ANNOTATE},
        settings=(Text("suffix", "what is added", "!"),),
    ),
    Guest(
        "chunk-reader",
        "managed-transform",
        "Emits a copy of its input, read chunk by chunk.",
        {"process": CHUNKS},
        settings=(Number("chunk", "bytes per read; 0 reads as 1", 64, 1_048_576),),
    ),
    Guest(
        "burner",
        "managed-transform",
        "Emits a copy of its input after counting down, to use up fuel.",
        {"process": BURN},
        settings=(Number("loops", "steps to count down, each a handful of instructions", 1000, 10**12),),
    ),
    Guest(
        "faulty",
        "managed-transform",
        "Emits a copy of its input, but answers an error to every n-th element, for good or for its first attempts.",
        {"process": FAULTY},
        module="""
    (global $last (mut i64) (i64.const -1))
    (global $attempt (mut i64) (i64.const 0))
    (global $seen (mut i64) (i64.const 0))""",
        settings=(
            Number("every", "the elements that fail: each n-th; 0 for none", 3, 1_000_000),
            Number("attempts", "how often such an element fails before it passes; 0 for always", 0, 1_000_000),
            KIND,
        ),
    ),
    Guest(
        "init-fails",
        "managed-transform",
        "Refuses to be set up, whatever its configuration says.",
        {
            "init": '(fail unavailable "as built")',
            "process": "unreachable",
            "teardown": "unreachable",
        },
    ),
    *(_always(kind) for kind in ERROR_KINDS),
)

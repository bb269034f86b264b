"""Guests that look well for a few calls: what they do wrong shows only in the long run, under pressure, or on odd input."""

from corpus.components.guests.common import DROP_INPUT
from corpus.components.wat import Behaviour, Guest, Outcome

DROP = f"""
      {DROP_INPUT}
      (call $drop-element)"""
EMIT_OUT = """
      (call $emit (local.get $sequence) (local.get $timestamp)
        (local.get $content-type) (local.get $content-type-len) (local.get $out))"""


def _hidden(name: str, does: str, body: str, *breaks: str, world: str = "transform", at: str = "process", module: str = "") -> Guest:
    bodies = {"process": body} if at == "process" else {"process": DROP, at: body}
    return Guest(
        name=name,
        world=world,
        does=does,
        bodies=bodies,
        module=module,
        behaviour=Behaviour.MIS,
        breaks=breaks,
        outcome=Outcome.HIDDEN,
        at=at,
    )


GUESTS = (
    _hidden(
        "grow-memory",
        "Grows its memory by a page for every element.",
        f"\n      (drop (memory.grow (i32.const 1))){DROP}",
        "ERR-002",
    ),
    _hidden(
        "slow-down",
        "Takes longer for every element than for the one before.",
        f"""
      (local $left i32)
      (global.set $seen (i32.add (global.get $seen) (i32.const 100)))
      (local.set $left (global.get $seen))
      (loop $more (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1))))){DROP}""",
        "ERR-008",
        module="\n    (global $seen (mut i32) (i32.const 0))",
    ),
    _hidden(
        "refused-traps",
        "Traps when the host refuses it a buffer.",
        f"""
      (local $buffer i32)
      (local.set $buffer (call $allocate (i64.const 64)))
      (if (i32.eqz (local.get $buffer)) (then unreachable))
      (call $drop-mutable-buffer (local.get $buffer)){DROP}""",
        "BUF-033",
    ),
    _hidden(
        "refused-leaks",
        "Keeps its first buffer when the host refuses it a second one.",
        f"""
      (local $first i32) (local $second i32)
      (local.set $first (call $allocate (i64.const 64)))
      (local.set $second (call $allocate (i64.const 64)))
      (if (i32.and (i32.ne (local.get $first) (i32.const 0)) (i32.ne (local.get $second) (i32.const 0))) (then
        (call $drop-mutable-buffer (local.get $first))
        (call $drop-mutable-buffer (local.get $second)))){DROP}""",
        "OWN-036",
    ),
    _hidden(
        "odd-input-traps",
        "Traps on a payload that begins with 255.",
        f"""
      (call $read-all (local.get $payload))
      (if (i32.and (i32.ne (global.get $size) (i32.const 0)) (i32.eq (i32.load8_u (global.get $data)) (i32.const 255)))
        (then unreachable)){DROP}""",
        "ERR-002",
    ),
    _hidden(
        "config-traps",
        "Traps on a configuration that begins with a brace.",
        """
      (if (local.get $config-len) (then
        (if (i32.eq (i32.load8_u (local.get $config)) (i32.const 123)) (then unreachable))))
      (call $ok (i32.const 0))""",
        "FLOW-018",
        world="managed-transform",
        at="init",
    ),
    Guest(
        name="holds-on",
        world="managed-transform",
        does="Takes a buffer at its first element, and does not drop it when it is torn down.",
        bodies={
            "process": f"""
      (if (i32.eqz (global.get $held)) (then (global.set $held (call $buffer-of (text "kept"))))){DROP}""",
            "teardown": "",
        },
        module="\n    (global $held (mut i32) (i32.const 0))",
        behaviour=Behaviour.MIS,
        breaks=("OWN-036",),
        outcome=Outcome.HIDDEN,
        at="teardown",
    ),
    _hidden(
        "two-types",
        "Emits an element of one content type in a buffer of another.",
        f"""
      (local $buffer i32) (local $out i32)
      (local.set $buffer (call $allocate (i64.const 16)))
      (if (i32.eqz (local.get $buffer)) (then
        {DROP_INPUT}
        (return (fail unavailable "the host refused a buffer"))))
      (call $mutable-buffer.set-content-type (local.get $buffer) (text "x/other"))
      (local.set $out (call $mutable-buffer.freeze (local.get $buffer)))
      (call $drop-mutable-buffer (local.get $buffer))
      {DROP_INPUT}{EMIT_OUT}""",
        "BUF-034",
    ),
)

"""Sources: one that counts, and its relatives that stop, fail, trap or spin at a given element."""

from corpus.components.guests.common import KIND, configured_error
from corpus.components.wat import Behaviour, Guest, Number, Outcome, Text

COUNT = Number("count", "elements to produce", 10, 100_000_000)
FIRST = Number("first", "the number in the first element", 0, 99_999_999)
SIZE = Number("size", "bytes per element", 16, 16 * 1024 * 1024)
SEQUENCE = Number("sequence", "the sequence number claimed for every element; 0 claims the true one", 0, 10**12)
TYPE = Text("content-type", "the content type of buffer and element", "text/plain")
AT = Number("at", "the element, counted from 0, at which it happens", 3, 100_000_000)

PRODUCE = """
    ;; Elements produced so far, and the backpressure signals received; the latter change nothing (POLICY-015).
    (global $made (mut i64) (i64.const 0))
    (global $signals (mut i32) (i32.const 0))
    ;; One element: the number in 8 decimal digits (its last ones when there is room for fewer), then the alphabet
    ;; over and over. 0 when the host refuses a buffer.
    (func $produce (param $size i32) (param $number i64) (result i32)
      (local $at i32) (local $fill i32) (local $room i32) (local $done i32) (local $buffer i32)
      (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (local.get $size) (i32.const 40))))
      (call $put-decimal (local.get $at) (i32.const 8) (local.get $number))
      (if (i32.lt_u (local.get $size) (i32.const 8)) (then
        (local.set $at (i32.add (local.get $at) (i32.sub (i32.const 8) (local.get $size))))))
      (if (i32.gt_u (local.get $size) (i32.const 8)) (then
        (local.set $fill (i32.add (local.get $at) (i32.const 8)))
        (local.set $room (i32.sub (local.get $size) (i32.const 8)))
        (memory.copy (local.get $fill) (text "abcdefghijklmnopqrstuvwxyz"))
        ;; The pattern doubles until it fills the element; few instructions however large the element is.
        (local.set $done (i32.const 26))
        (block $full (loop $more
          (br_if $full (i32.ge_u (local.get $done) (local.get $room)))
          (memory.copy (i32.add (local.get $fill) (local.get $done)) (local.get $fill)
            (select (local.get $done) (i32.sub (local.get $room) (local.get $done))
              (i32.lt_u (local.get $done) (i32.sub (local.get $room) (local.get $done)))))
          (local.set $done (i32.shl (local.get $done) (i32.const 1)))
          (br $more)))))
      (local.set $buffer (call $allocate (i64.extend_i32_u (local.get $size))))
      (if (i32.eqz (local.get $buffer)) (then (return (i32.const 0))))
      (call $mutable-buffer.set-content-type
        (local.get $buffer) (global.get $config.content-type) (global.get $config.content-type-len))
      (if (i32.eqz (call $append (local.get $buffer) (local.get $at) (local.get $size)))
        (then (call $drop-mutable-buffer (local.get $buffer)) (return (i32.const 0))))
      (call $finish (local.get $buffer)))"""

NEXT = """
      (local $out i32) (local $number i64)
      (if (i64.ge_u (global.get $made) (global.get $config.count)) (then (return (call $none))))
      (local.set $number (i64.add (global.get $config.first) (global.get $made)))
      (local.set $out (call $produce (i32.wrap_i64 (global.get $config.size)) (local.get $number)))
      (if (i32.eqz (local.get $out)) (then (return (fail unavailable "the host refused a buffer"))))
      (global.set $made (i64.add (global.get $made) (i64.const 1)))
      (call $some
        (select (local.get $number) (global.get $config.sequence) (i64.eqz (global.get $config.sequence)))
        (i64.const 0) (global.get $config.content-type) (global.get $config.content-type-len) (local.get $out))"""

COUNT_SIGNALS = "(global.set $signals (i32.add (global.get $signals) (i32.const 1)))"

SETTINGS = (COUNT, FIRST, SIZE, SEQUENCE, TYPE)


def _happening_at(what: str) -> str:
    """Return a `pull` that does `what` at element `at` and counts on otherwise."""
    declarations, _, rest = NEXT.strip("\n").partition("\n")
    return f"{declarations}\n      (if (i64.eq (global.get $made) (global.get $config.at)) (then {what}))\n{rest}"


GUESTS = (
    Guest(
        name="counter-source",
        world="data-source",
        does="Produces numbered, printable elements of one size, then none. Ignores backpressure signals.",
        bodies={"pull": NEXT, "notify-backpressure": COUNT_SIGNALS},
        module=PRODUCE,
        settings=SETTINGS,
    ),
    Guest(
        name="fast-source",
        world="data-source",
        does="Counts, but answers none while it is paused: a host that pulls it then loses the rest (POLICY-014).",
        bodies={
            "pull": NEXT.replace(
                "(if (i64.ge_u (global.get $made) (global.get $config.count))",
                "(if (i32.or (global.get $paused) (i64.ge_u (global.get $made) (global.get $config.count)))",
            ),
            "notify-backpressure": "(global.set $paused (local.get $signal))",
        },
        module=PRODUCE + "\n    (global $paused (mut i32) (i32.const 0))",
        settings=SETTINGS,
    ),
    Guest(
        name="failing-source",
        world="data-source",
        does="Counts, but answers an error on every n-th pull; the element it would have made comes with the next.",
        bodies={
            "pull": f"""
      (local $out i32) (local $number i64)
      (global.set $pulls (i64.add (global.get $pulls) (i64.const 1)))
      (if (call $due (global.get $pulls) (global.get $config.every)) (then
        (return {configured_error(8)})))
{NEXT.strip().partition(chr(10))[2]}""",
            "notify-backpressure": COUNT_SIGNALS,
        },
        module=PRODUCE + "\n    (global $pulls (mut i64) (i64.const 0))",
        settings=(*SETTINGS, Number("every", "the pulls that fail: each n-th; 0 for none", 3, 1_000_000), KIND),
    ),
    Guest(
        name="trapping-source",
        world="data-source",
        does="Counts, and traps at one element.",
        bodies={"pull": _happening_at("unreachable")},
        module=PRODUCE,
        settings=(*SETTINGS, AT),
        behaviour=Behaviour.MIS,
        breaks=("ERR-002",),
        outcome=Outcome.TRAP,
        at="pull",
    ),
    Guest(
        name="spinning-source",
        world="data-source",
        does="Counts, and never returns from one pull.",
        bodies={"pull": _happening_at("(call $spin)")},
        module=PRODUCE,
        settings=(*SETTINGS, AT),
        behaviour=Behaviour.MIS,
        breaks=("ERR-008", "CANCEL-003"),
        outcome=Outcome.NEVER_RETURNS,
        at="pull",
    ),
    Guest(
        name="use-after-emit-source",
        world="data-source",
        does="Emits one buffer, keeps its handle, and reads it again on the next pull.",
        bodies={
            "pull": """
      (local $out i32)
      (if (global.get $given) (then (drop (call $buffer.size (global.get $given)))))
      (local.set $out (call $produce (i32.const 16) (i64.const 1)))
      (if (i32.eqz (local.get $out)) (then (return (fail unavailable "the host refused a buffer"))))
      (global.set $given (local.get $out))
      (call $some (i64.const 0) (i64.const 0)
        (global.get $config.content-type) (global.get $config.content-type-len) (local.get $out))""",
        },
        module=PRODUCE + "\n    (global $given (mut i32) (i32.const 0))",
        settings=(TYPE,),
        behaviour=Behaviour.MIS,
        breaks=("OWN-023",),
        outcome=Outcome.TRAP,
        at="pull",
    ),
)

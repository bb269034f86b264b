"""Guests that break one rule each. Those named `wrong-…` break the canonical ABI itself, which no compiler would."""

from corpus.components.guests.common import DROP_INPUT
from corpus.components.wat import Behaviour, Guest, Outcome

HOST_RESULT = 16
DROP = f"""
      {DROP_INPUT}
      (call $drop-element)"""
TAKE_BUFFER = """
      (local.set $buffer (call $allocate (i64.const 64)))
      (if (i32.eqz (local.get $buffer)) (then unreachable))"""
HELD = "\n    (global $held (mut i32) (i32.const 0))"
DEAD_NOW = "(if (global.get $held) (then (drop (call $buffer.size (global.get $held)))))"
"""Uses the handle kept from the last call. The input is let go first: an index it reused would hide the mistake."""
EMIT_HELD = """
      (call $emit (local.get $sequence) (local.get $timestamp)
        (local.get $content-type) (local.get $content-type-len) (global.get $held))"""


def _transform(name: str, does: str, process: str, outcome: Outcome, *breaks: str, module: str = "") -> Guest:
    return Guest(
        name=name,
        world="transform",
        does=does,
        bodies={"process": process},
        module=module,
        behaviour=Behaviour.MIS,
        breaks=breaks,
        outcome=outcome,
        at="process",
    )


def _managed(name: str, does: str, at: str, body: str, outcome: Outcome, *breaks: str) -> Guest:
    return Guest(
        name=name,
        world="managed-transform",
        does=does,
        bodies={"process": DROP, at: body},
        behaviour=Behaviour.MIS,
        breaks=breaks,
        outcome=outcome,
        at=at,
    )


LEAKS = (
    _transform(
        "leak-mutable",
        "Allocates a mutable buffer for every element and keeps it.",
        f"\n      (drop (call $allocate (i64.const 64))){DROP}",
        Outcome.LEAK,
        "OWN-036",
    ),
    _transform(
        "leak-frozen",
        "Freezes a buffer for every element and keeps it.",
        f'\n      (drop (call $buffer-of (text "kept"))){DROP}',
        Outcome.LEAK,
        "OWN-036",
    ),
    _transform(
        "leak-then-error",
        "Allocates a mutable buffer, then answers an error without dropping it.",
        f'\n      (drop (call $allocate (i64.const 64)))\n      {DROP_INPUT}\n      (fail internal "still holding")',
        Outcome.LEAK,
        "OWN-028",
    ),
    _transform(
        "hoarder",
        "Allocates buffers of a megabyte until the allocator refuses, then drops its input.",
        f"\n      (loop $more (br_if $more (call $allocate (i64.const 1048576)))){DROP}",
        Outcome.LEAK,
        "BUDGET-002",
    ),
)

BORROWS = (
    _transform(
        "leak-borrow",
        "Returns without ending its borrows.",
        "\n      (call $drop-element)",
        Outcome.TRAP,
        "OWN-021",
    ),
    _transform(
        "stash-borrow",
        "Keeps the first element's payload handle and uses it in the second call.",
        f"""
      {DROP_INPUT}
      {DEAD_NOW}
      (global.set $held (local.get $payload))
      (call $drop-element)""",
        Outcome.TRAP,
        "OWN-021",
        module=HELD,
    ),
    _transform(
        "use-after-drop",
        "Reads its payload after ending the borrow.",
        f"\n      {DROP_INPUT}\n      (drop (call $buffer.size (local.get $payload)))\n      (call $drop-element)",
        Outcome.TRAP,
        "OWN-014",
    ),
    _transform(
        "double-drop-borrow",
        "Ends the borrow of its context twice.",
        f"\n      (call $drop-flow-context (local.get $context)){DROP}",
        Outcome.TRAP,
        "OWN-014",
    ),
    _transform(
        "emit-borrowed",
        "Emits the payload it was lent.",
        """
      (call $drop-flow-context (local.get $context))
      (call $emit (local.get $sequence) (local.get $timestamp)
        (local.get $content-type) (local.get $content-type-len) (local.get $payload))""",
        Outcome.TRAP,
        "OWN-003",
        "OWN-021",
    ),
)

HANDLES = (
    _transform(
        "double-drop-own",
        "Drops a mutable buffer twice.",
        f"""
      (local $buffer i32){TAKE_BUFFER}
      (call $drop-mutable-buffer (local.get $buffer))
      (call $drop-mutable-buffer (local.get $buffer)){DROP}""",
        Outcome.TRAP,
        "OWN-016",
    ),
    _transform(
        "forged-handle",
        "Asks for the size of a buffer it never had.",
        f"\n      (drop (call $buffer.size (i32.const 4711))){DROP}",
        Outcome.TRAP,
        "OWN-020",
    ),
    _transform(
        "wrong-type-handle",
        "Passes its context where a buffer is due.",
        f"\n      (drop (call $buffer.size (local.get $context))){DROP}",
        Outcome.TRAP,
        "OWN-014",
    ),
    _transform(
        "use-after-emit",
        "Emits a buffer, and reads it in the next call.",
        f"""
      {DROP_INPUT}
      {DEAD_NOW}
      (global.set $held (call $buffer-of (text "given away"))){EMIT_HELD}""",
        Outcome.TRAP,
        "OWN-023",
        module=HELD,
    ),
    _transform(
        "emit-twice",
        "Emits one buffer, and emits it again in the next call.",
        f"""
      (if (i32.eqz (global.get $held)) (then (global.set $held (call $buffer-of (text "given twice")))))
      {DROP_INPUT}{EMIT_HELD}""",
        Outcome.TRAP,
        "OWN-023",
        module=HELD,
    ),
)

FREEZING = (
    _transform(
        "double-freeze",
        "Freezes a buffer twice.",
        f"""
      (local $buffer i32){TAKE_BUFFER}
      (call $drop-buffer (call $mutable-buffer.freeze (local.get $buffer)))
      (call $drop-buffer (call $mutable-buffer.freeze (local.get $buffer)))
      (call $drop-mutable-buffer (local.get $buffer)){DROP}""",
        Outcome.HOST_MUST_REFUSE,
        "BUF-021",
        "CON-010",
    ),
    _transform(
        "append-after-freeze",
        "Freezes a buffer, appends through the spent handle, and emits the frozen one whatever the answer was.",
        f"""
      (local $buffer i32){TAKE_BUFFER}
      (drop (call $append (local.get $buffer) (text "before")))
      (global.set $held (call $mutable-buffer.freeze (local.get $buffer)))
      (drop (call $append (local.get $buffer) (text "after")))
      (call $drop-mutable-buffer (local.get $buffer))
      {DROP_INPUT}{EMIT_HELD}""",
        Outcome.HOST_MUST_REFUSE,
        "BUF-021",
        "CON-010",
        module=HELD,
    ),
    _transform(
        "write-after-freeze",
        "Freezes a buffer, overwrites it through the spent handle, and emits the frozen one whatever the answer was.",
        f"""
      (local $buffer i32){TAKE_BUFFER}
      (drop (call $append (local.get $buffer) (text "before")))
      (global.set $held (call $mutable-buffer.freeze (local.get $buffer)))
      (call $mutable-buffer.write (local.get $buffer) (i64.const 0) (text "after") (i32.const {HOST_RESULT}))
      (call $drop-mutable-buffer (local.get $buffer))
      {DROP_INPUT}{EMIT_HELD}""",
        Outcome.HOST_MUST_REFUSE,
        "BUF-021",
        "BUF-023",
        module=HELD,
    ),
    _transform(
        "retype-after-freeze",
        "Freezes a buffer, changes its content type through the spent handle, and emits the frozen one.",
        f"""
      (local $buffer i32){TAKE_BUFFER}
      (call $mutable-buffer.set-content-type (local.get $buffer) (text "text/before"))
      (global.set $held (call $mutable-buffer.freeze (local.get $buffer)))
      (call $mutable-buffer.set-content-type (local.get $buffer) (text "text/after"))
      (call $drop-mutable-buffer (local.get $buffer))
      {DROP_INPUT}{EMIT_HELD}""",
        Outcome.HOST_MUST_REFUSE,
        "BUF-021",
        "BUF-026",
        module=HELD,
    ),
)

TRAPS = (
    _transform("trap-unreachable", "Traps on purpose.", "\n      unreachable", Outcome.TRAP, "ERR-002"),
    _transform(
        "trap-out-of-bounds",
        "Reads memory it does not have.",
        "\n      (i32.load (i32.const -4))",
        Outcome.TRAP,
        "ERR-002",
    ),
    _transform(
        "trap-holding",
        "Traps while it holds a mutable buffer, a frozen one and both borrows.",
        """
      (drop (call $allocate (i64.const 64)))
      (drop (call $buffer-of (text "held")))
      unreachable""",
        Outcome.TRAP,
        "ERR-010",
        "OWN-030",
    ),
    _transform(
        "recursion",
        "Calls itself until the stack is full.",
        "\n      (call $deeper)\n      unreachable",
        Outcome.TRAP,
        "ERR-002",
        module="\n    (func $deeper (call $deeper) (call $deeper))",
    ),
    _transform(
        "memory-bomb",
        "Grows its memory until it may not, then traps.",
        "\n      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))\n      unreachable",
        Outcome.TRAP,
        "ERR-002",
    ),
    _transform("loop-forever", "Never returns.", "\n      (call $spin)\n      unreachable", Outcome.NEVER_RETURNS, "ERR-008"),
    _managed("init-traps", "Traps while it is set up.", "init", "\n      unreachable", Outcome.TRAP, "FLOW-018", "ERR-002"),
    _managed(
        "init-spins",
        "Never gets set up.",
        "init",
        "\n      (call $spin)\n      unreachable",
        Outcome.NEVER_RETURNS,
        "FLOW-018",
    ),
    _managed("teardown-traps", "Traps while it is torn down.", "teardown", "unreachable", Outcome.TRAP, "CANCEL-013"),
    _managed(
        "teardown-spins",
        "Never gets torn down.",
        "teardown",
        "(call $spin)",
        Outcome.NEVER_RETURNS,
        "CANCEL-013",
    ),
)

WRONG = (
    _transform(
        "wrong-utf8",
        "Answers an error whose text is not UTF-8.",
        f'\n      {DROP_INPUT}\n      (fail invalid-input "\\ff\\fe\\fd")',
        Outcome.TRAP,
        "CON-001",
    ),
    _transform(
        "wrong-discriminant",
        "Answers a result that is neither ok nor err.",
        f"\n      {DROP_INPUT}\n      (i32.store8 (i32.const 64) (i32.const 7))\n      (i32.const 64)",
        Outcome.TRAP,
        "CON-001",
    ),
    _transform(
        "wrong-result-address",
        "Answers with a result outside its memory.",
        f"\n      {DROP_INPUT}\n      (i32.const -16)",
        Outcome.TRAP,
        "CON-001",
    ),
    _transform(
        "wrong-alignment",
        "Answers with a result at an odd address.",
        f"\n      {DROP_INPUT}\n      (i32.const 65)",
        Outcome.TRAP,
        "CON-001",
    ),
    _transform(
        "wrong-list",
        "Appends bytes that reach past the end of its memory.",
        f"""
      (local $buffer i32){TAKE_BUFFER}
      (drop (call $append (local.get $buffer) (i32.const -16) (i32.const 64))){DROP}""",
        Outcome.TRAP,
        "CON-001",
    ),
    Guest(
        name="wrong-signal",
        world="data-sink",
        does="Answers a backpressure signal that does not exist.",
        bodies={"push": f"\n      {DROP_INPUT}\n      (call $ok (i32.const 2))"},
        behaviour=Behaviour.MIS,
        breaks=("CON-001",),
        outcome=Outcome.TRAP,
        at="push",
    ),
)

PORTS = (
    Guest(
        name="wrong-port",
        world="content-router",
        does="Routes every element to a port that no flow has.",
        bodies={
            "route": f"""
      (local $list i32)
      {DROP_INPUT}
      (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 8)))
      (call $store-text (local.get $list) (text "no-such-port"))
      (call $ok-list (local.get $list) (i32.const 1))"""
        },
        module="""
    (func $store-text (param $at i32) (param $text i32) (param $len i32)
      (i32.store (local.get $at) (local.get $text))
      (i32.store offset=4 (local.get $at) (local.get $len)))""",
        behaviour=Behaviour.MIS,
        breaks=("TOPO-010", "CON-005"),
        outcome=Outcome.ERROR,
        at="route",
    ),
)

GUESTS = (*LEAKS, *BORROWS, *HANDLES, *FREEZING, *TRAPS, *WRONG, *PORTS)

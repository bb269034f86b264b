"""A filter, a router and an aggregator."""

from corpus.components.guests.common import DROP_INPUT
from corpus.components.wat import Choice, Guest, Number, Text
from corpus.components.wat.library import HEAP, HOST_RESULT, PORTS

FILTER = f"""
      (local $number i64)
      (local.set $number (call $peek-number (local.get $payload)))
      {DROP_INPUT}
      (if (i32.eq (global.get $config.keep) (i32.const 3 (;none;))) (then (return (call $ok (i32.const 0)))))
      ;; What was peeked at is still in place.
      (if (i32.and (global.get $config.drop-first-len) (i32.ne (i32.load (i32.const {HOST_RESULT + 4})) (i32.const 0)))
        (then (if (i32.eq
            (i32.load8_u (i32.load (i32.const {HOST_RESULT}))) (i32.load8_u (global.get $config.drop-first)))
          (then (return (call $ok (i32.const 0)))))))
      (call $ok (i32.or
        (i32.or (i32.eqz (global.get $config.keep)) (i64.lt_s (local.get $number) (i64.const 0)))
        (i32.eq (global.get $config.keep) (i32.add (i32.const 1) (call $odd (local.get $number))))))"""

PICKY = f"""
      (local $number i64)
      (local.set $number (call $peek-number (local.get $payload)))
      {DROP_INPUT}
      (if (call $odd (local.get $number)) (then (return (fail invalid-input "an odd number"))))
      (call $ok (i32.const 1))"""

ODD = """
    (func $odd (param $number i64) (result i32) (i32.wrap_i64 (i64.and (local.get $number) (i64.const 1))))"""

ROUTER = f"""
      (local $number i64) (local $both i32)
      (local.set $number (call $peek-number (local.get $payload)))
      {DROP_INPUT}
      (global.set $ports (i32.const 0))
      (local.set $both (call $due (local.get $number) (i64.const 10)))
      (if (i64.lt_s (local.get $number) (i64.const 0))
        (then (call $add-port (global.get $config.other) (global.get $config.other-len)))
        (else
          (if (i32.eqz (call $odd (local.get $number)))
            (then (call $add-port (global.get $config.even) (global.get $config.even-len))))
          (if (i32.or (local.get $both) (call $odd (local.get $number)))
            (then (call $add-port (global.get $config.odd) (global.get $config.odd-len))))))
      (call $ok-list (i32.const {PORTS}) (global.get $ports))"""

ADD_PORT = f"""
    (global $ports (mut i32) (i32.const 0))
    ;; Lists a port as often as configured; one without a name is none.
    (func $add-port (param $name i32) (param $len i32)
      (local $times i32) (local $at i32)
      (if (i32.eqz (local.get $len)) (then (return)))
      (local.set $times (i32.wrap_i64 (global.get $config.repeat)))
      (block $done (loop $more
        (br_if $done (i32.eqz (local.get $times)))
        (local.set $at (i32.add (i32.const {PORTS}) (i32.shl (global.get $ports) (i32.const 3))))
        (i32.store (local.get $at) (local.get $name))
        (i32.store offset=4 (local.get $at) (local.get $len))
        (global.set $ports (i32.add (global.get $ports) (i32.const 1)))
        (local.set $times (i32.sub (local.get $times) (i32.const 1)))
        (br $more))))"""

KEPT = f"""
    ;; The bytes kept lie at the beginning of the heap; $base is where they end. A megabyte ends a group early.
    (global $inputs (mut i64) (i64.const 0))
    (func $kept-buffer (result i32)
      (local $out i32)
      (local.set $out (call $buffer-of (i32.const {HEAP}) (i32.sub (global.get $base) (i32.const {HEAP}))))
      (global.set $base (i32.const {HEAP}))
      (global.set $inputs (i64.const 0))
      (local.get $out))"""

INGEST = f"""
      (local $out i32)
      (call $read-all (local.get $payload))
      {DROP_INPUT}
      (memory.copy (global.get $base) (global.get $data) (global.get $size))
      (global.set $base (i32.add (global.get $base) (global.get $size)))
      (global.set $inputs (i64.add (global.get $inputs) (i64.const 1)))
      (if (i32.and
            (i64.lt_u (global.get $inputs) (global.get $config.inputs))
            (i32.lt_u (global.get $base) (i32.const 1048576)))
        (then (return (call $none))))
      (local.set $out (call $kept-buffer))
      (if (i32.eqz (local.get $out)) (then (return (fail internal "the host refused a buffer"))))
      (call $some (i64.const 0) (i64.const 0) (text "text/plain") (local.get $out))"""

FLUSH = """
      (local $list i32) (local $count i32) (local $number i64) (local $text i32) (local $out i32)
      (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.shl (i32.add (i32.wrap_i64 (global.get $config.burst)) (i32.const 1)) (i32.const 5))))
      (if (i64.ne (global.get $inputs) (i64.const 0)) (then
        (local.set $out (call $kept-buffer))
        (if (i32.eqz (local.get $out)) (then (return (fail internal "the host refused a buffer"))))
        (call $put-element (local.get $list) (i64.const 0) (i64.const 0) (text "text/plain") (local.get $out))
        (local.set $count (i32.const 1))))
      (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (block $done (loop $more
        (br_if $done (i64.ge_u (local.get $number) (global.get $config.burst)))
        (call $put-decimal (local.get $text) (i32.const 8) (local.get $number))
        (local.set $out (call $buffer-of (local.get $text) (i32.const 8)))
        ;; What was made before the refusal is let go: an error hands nothing over (OWN-028).
        (if (i32.eqz (local.get $out)) (then
          (block $clean (loop $next
            (br_if $clean (i32.eqz (local.get $count)))
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (call $drop-buffer (i32.load offset=24
              (i32.add (local.get $list) (i32.shl (local.get $count) (i32.const 5)))))
            (br $next)))
          (return (fail internal "the host refused a buffer"))))
        (call $put-element (i32.add (local.get $list) (i32.shl (local.get $count) (i32.const 5)))
          (i64.const 0) (i64.const 0) (text "text/plain") (local.get $out))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (local.set $number (i64.add (local.get $number) (i64.const 1)))
        (br $more)))
      (call $ok-list (local.get $list) (local.get $count))"""

GUESTS = (
    Guest(
        "number-filter",
        "content-filter",
        "Keeps the payloads whose number is even, say; drops those that begin with a given byte; keeps other text.",
        {"evaluate": FILTER},
        module=ODD,
        settings=(
            Choice("keep", "the numbers kept", "even", ("all", "even", "odd", "none")),
            Text("drop-first", "payloads beginning with this byte are dropped; empty for no such byte", "", 1),
        ),
    ),
    Guest("picky-filter", "content-filter", "Keeps even numbers, and answers an error to odd ones.", {"evaluate": PICKY}, module=ODD),
    Guest(
        "parity-router",
        "content-router",
        "Sends even numbers to one port, odd ones to another, multiples of ten to both, and the rest to a third.",
        {"route": ROUTER},
        module=ADD_PORT + ODD,
        settings=(
            Text("even", "the port for even numbers; empty for none", "even"),
            Text("odd", "the port for odd numbers; empty for none", "odd"),
            Text("other", "the port for payloads that begin with no digit; empty for none", ""),
            Number("repeat", "how often each chosen port is named", 1, 8),
        ),
    ),
    Guest(
        "concatenator",
        "stream-aggregator",
        "Joins payloads in groups; its flush gives the last group and, if asked, a burst of numbered elements.",
        {"ingest": INGEST, "flush": FLUSH},
        module=KEPT,
        settings=(
            Number("inputs", "payloads per group; 0 and 1 join nothing", 3, 1_000_000),
            Number("burst", "elements that flush adds", 0, 4096),
        ),
    ),
)

"""Core functions every guest shares: memory, results, buffers, numbers, configuration.

A guest gets exactly the snippets its text calls, and those they call in turn. Memory is laid out once for all
(`MEMORY_MAP`), so that a reader of any .wat knows what an address is for.
"""

HOST_RESULT = 16
RESULT = 64
SETTINGS = 128
LITERALS = 512
PORTS = 2048
HEAP = 4096

MEMORY_MAP = f"""
    ;; Memory: {HOST_RESULT} results of host calls · {RESULT} the result of the running export · {SETTINGS} text settings
    ;; {LITERALS} literals · {PORTS} the router's list of ports · {HEAP} the heap, given back after every call"""

LIBC = f"""
  (core module $Libc
    (memory (export "memory") 1)
    ;; The heap begins at $base and is used up to $top. A guest that keeps bytes between calls raises $base.
    (global $base (export "base") (mut i32) (i32.const {HEAP}))
    (global $top (export "top") (mut i32) (i32.const {HEAP}))
    ;; A bump allocator. It keeps 16 spare bytes behind every block, so that loops may work in steps of 16.
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32) (local $end i64)
      (local.set $at (i32.and
        (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (local.set $end (i64.add (i64.extend_i32_u (local.get $at)) (i64.extend_i32_u (local.get $size))))
      (if (i64.gt_u
            (i64.add (local.get $end) (i64.const 16))
            (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
        (then (if (i32.eq (i32.const -1) (memory.grow (i32.sub
            (i32.wrap_i64 (i64.shr_u (i64.add (local.get $end) (i64.const 65551)) (i64.const 16)))
            (memory.size))))
          (then unreachable))))
      (if (local.get $old) (then (memory.copy (local.get $at) (local.get $old)
        (select (local.get $old-size) (local.get $size) (i32.lt_u (local.get $old-size) (local.get $size))))))
      (global.set $top (i32.wrap_i64 (local.get $end)))
      (local.get $at)))
  (core instance $libc (instantiate $Libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))"""

_RESULTS = {
    "ok": f"""
    ;; ok(value), for results whose value is a unit, a bool or an enum.
    (func $ok (param $value i32) (result i32)
      (i32.store8 (i32.const {RESULT}) (i32.const 0))
      (i32.store8 offset=4 (i32.const {RESULT}) (local.get $value))
      (i32.const {RESULT}))""",
    "ok-list": f"""
    ;; ok(list), for results whose value is a list.
    (func $ok-list (param $at i32) (param $count i32) (result i32)
      (i32.store8 (i32.const {RESULT}) (i32.const 0))
      (i32.store offset=4 (i32.const {RESULT}) (local.get $at))
      (i32.store offset=8 (i32.const {RESULT}) (local.get $count))
      (i32.const {RESULT}))""",
    "fail-at": f"""
    ;; err(kind(text)), the variant beginning $offset bytes into the result.
    (func $fail-at (param $offset i32) (param $kind i32) (param $text i32) (param $text-len i32) (result i32)
      (i32.store8 (i32.const {RESULT}) (i32.const 1))
      (local.set $offset (i32.add (local.get $offset) (i32.const {RESULT})))
      (i32.store8 (local.get $offset) (local.get $kind))
      (i32.store offset=4 (local.get $offset) (local.get $text))
      (i32.store offset=8 (local.get $offset) (local.get $text-len))
      (i32.const {RESULT}))""",
    "put-element": """
    ;; Writes an output-element record: 32 bytes.
    (func $put-element
      (param $at i32) (param $sequence i64) (param $timestamp i64) (param $type i32) (param $type-len i32)
      (param $buffer i32)
      (i64.store (local.get $at) (local.get $sequence))
      (i64.store offset=8 (local.get $at) (local.get $timestamp))
      (i32.store offset=16 (local.get $at) (local.get $type))
      (i32.store offset=20 (local.get $at) (local.get $type-len))
      (i32.store offset=24 (local.get $at) (local.get $buffer)))""",
    "emit": f"""
    ;; ok(emit(element)), a processor's result. The buffer is the runtime's from here on.
    (func $emit
      (param $sequence i64) (param $timestamp i64) (param $type i32) (param $type-len i32) (param $buffer i32)
      (result i32)
      (call $put-element (i32.const {RESULT + 16}) (local.get $sequence) (local.get $timestamp)
        (local.get $type) (local.get $type-len) (local.get $buffer))
      (call $choose (i32.const 0)))""",
    "some": f"""
    ;; ok(some(element)), a source's or an aggregator's result.
    (func $some
      (param $sequence i64) (param $timestamp i64) (param $type i32) (param $type-len i32) (param $buffer i32)
      (result i32)
      (call $put-element (i32.const {RESULT + 16}) (local.get $sequence) (local.get $timestamp)
        (local.get $type) (local.get $type-len) (local.get $buffer))
      (call $choose (i32.const 1)))""",
    "none": """
    ;; ok(none).
    (func $none (result i32) (call $choose (i32.const 0)))""",
    "drop-element": """
    ;; ok(drop).
    (func $drop-element (result i32) (call $choose (i32.const 1)))""",
    "choose": f"""
    ;; ok(case), the case's payload being in place already.
    (func $choose (param $case i32) (result i32)
      (i32.store8 (i32.const {RESULT}) (i32.const 0))
      (i32.store8 offset=8 (i32.const {RESULT}) (local.get $case))
      (i32.const {RESULT}))""",
}

_BUFFERS = {
    "drop-input": """
    ;; Ends both borrows of an input element.
    (func $drop-input (param $payload i32) (param $context i32)
      (call $drop-buffer (local.get $payload))
      (call $drop-flow-context (local.get $context)))""",
    "read-all": f"""
    ;; Copies a buffer into guest memory: $data, $size.
    (global $data (mut i32) (i32.const 0))
    (global $size (mut i32) (i32.const 0))
    (func $read-all (param $buffer i32)
      (call $buffer.read-all (local.get $buffer) (i32.const {HOST_RESULT}))
      (global.set $data (i32.load (i32.const {HOST_RESULT})))
      (global.set $size (i32.load offset=4 (i32.const {HOST_RESULT}))))""",
    "allocate": f"""
    ;; A mutable buffer, or 0 when the allocator refuses. No handle is ever 0.
    (func $allocate (param $capacity i64) (result i32)
      (call $allocator.allocate (local.get $capacity) (i32.const {HOST_RESULT}))
      (if (result i32) (i32.load8_u (i32.const {HOST_RESULT}))
        (then (i32.const 0))
        (else (i32.load offset=4 (i32.const {HOST_RESULT})))))""",
    "append": f"""
    ;; Appends, and answers 1, or 0 when the host refuses.
    (func $append (param $buffer i32) (param $at i32) (param $len i32) (result i32)
      (call $mutable-buffer.append
        (local.get $buffer) (local.get $at) (local.get $len) (i32.const {HOST_RESULT}))
      (i32.eqz (i32.load8_u (i32.const {HOST_RESULT}))))""",
    "finish": """
    ;; Freezes and lets go of the spent mutable handle.
    (func $finish (param $buffer i32) (result i32)
      (local $frozen i32)
      (local.set $frozen (call $mutable-buffer.freeze (local.get $buffer)))
      (call $drop-mutable-buffer (local.get $buffer))
      (local.get $frozen))""",
    "buffer-of": """
    ;; A frozen buffer holding these bytes, or 0 with nothing left behind when the host refuses.
    (func $buffer-of (param $at i32) (param $len i32) (result i32)
      (local $buffer i32)
      (local.set $buffer (call $allocate (i64.extend_i32_u (local.get $len))))
      (if (i32.eqz (local.get $buffer)) (then (return (i32.const 0))))
      (if (i32.eqz (call $append (local.get $buffer) (local.get $at) (local.get $len)))
        (then (call $drop-mutable-buffer (local.get $buffer)) (return (i32.const 0))))
      (call $finish (local.get $buffer)))""",
    "copy-of": f"""
    ;; A frozen copy of a lent buffer, or 0 when the allocator refuses.
    (func $copy-of (param $payload i32) (result i32)
      (call $allocator.clone-into-mutable (local.get $payload) (i32.const {HOST_RESULT}))
      (if (i32.load8_u (i32.const {HOST_RESULT})) (then (return (i32.const 0))))
      (call $finish (i32.load offset=4 (i32.const {HOST_RESULT}))))""",
}

_NUMBERS = {
    "put-decimal": """
    ;; Writes the last $digits decimal digits of a number, with leading zeros.
    (func $put-decimal (param $at i32) (param $digits i32) (param $number i64)
      (block $done (loop $more
        (br_if $done (i32.eqz (local.get $digits)))
        (local.set $digits (i32.sub (local.get $digits) (i32.const 1)))
        (i32.store8 (i32.add (local.get $at) (local.get $digits))
          (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10)))))
        (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
        (br $more))))""",
    "decimal": """
    ;; The number spelled by the digits a text begins with; -1 when there are none or more than 15.
    ;; $decimal-end is where they end.
    (global $decimal-end (mut i32) (i32.const 0))
    (func $decimal (param $at i32) (param $len i32) (result i64)
      (local $number i64) (local $digit i32) (local $end i32) (local $limit i32)
      (local.set $end (i32.add (local.get $at) (local.get $len)))
      (local.set $limit (i32.add (local.get $at) (i32.const 15)))
      (global.set $decimal-end (local.get $at))
      (block $done (loop $more
        (br_if $done (i32.ge_u (global.get $decimal-end) (local.get $end)))
        (local.set $digit (i32.sub (i32.load8_u (global.get $decimal-end)) (i32.const 48)))
        (br_if $done (i32.gt_u (local.get $digit) (i32.const 9)))
        (if (i32.eq (global.get $decimal-end) (local.get $limit)) (then (return (i64.const -1))))
        (local.set $number (i64.add
          (i64.mul (local.get $number) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
        (global.set $decimal-end (i32.add (global.get $decimal-end) (i32.const 1)))
        (br $more)))
      (select (i64.const -1) (local.get $number) (i32.eq (global.get $decimal-end) (local.get $at))))""",
    "due": """
    ;; Whether a count is a multiple of $every; an interval of 0 is never due.
    (func $due (param $count i64) (param $every i64) (result i32)
      (if (i64.eqz (local.get $every)) (then (return (i32.const 0))))
      (i64.eqz (i64.rem_u (local.get $count) (local.get $every))))""",
    "spin": """
    ;; Never comes back.
    (func $spin (loop $again (br $again)))""",
    "peek-number": f"""
    ;; The number a payload begins with, or -1; reads no more than 16 bytes of it.
    (func $peek-number (param $payload i32) (result i64)
      (call $buffer.read (local.get $payload) (i64.const 0) (i64.const 16) (i32.const {HOST_RESULT}))
      (call $decimal (i32.load (i32.const {HOST_RESULT})) (i32.load offset=4 (i32.const {HOST_RESULT}))))""",
}

_CONFIGURATION = {
    "open-config": """
    ;; Begins reading a configuration text.
    (global $cursor (mut i32) (i32.const 0))
    (global $config-end (mut i32) (i32.const 0))
    (func $open-config (param $at i32) (param $len i32)
      (global.set $cursor (local.get $at))
      (global.set $config-end (i32.add (local.get $at) (local.get $len))))""",
    "next-pair": """
    ;; Reads the next key=value pair: 1, or 0 at the end, or 2 when the text is no list of pairs.
    (global $key (mut i32) (i32.const 0))
    (global $key-len (mut i32) (i32.const 0))
    (global $value (mut i32) (i32.const 0))
    (global $value-len (mut i32) (i32.const 0))
    (func $next-pair (result i32)
      (if (i32.eq (global.get $cursor) (global.get $config-end)) (then (return (i32.const 0))))
      (global.set $key (global.get $cursor))
      (if (i32.ne (call $skip-to-delimiter) (i32.const 61 (;=;))) (then (return (i32.const 2))))
      (global.set $key-len (i32.sub (global.get $cursor) (global.get $key)))
      (global.set $cursor (i32.add (global.get $cursor) (i32.const 1)))
      (global.set $value (global.get $cursor))
      (if (i32.eq (call $skip-to-delimiter) (i32.const 61 (;=;))) (then (return (i32.const 2))))
      (global.set $value-len (i32.sub (global.get $cursor) (global.get $value)))
      ;; A comma must be followed by another pair.
      (if (i32.ne (global.get $cursor) (global.get $config-end)) (then
        (global.set $cursor (i32.add (global.get $cursor) (i32.const 1)))
        (if (i32.eq (global.get $cursor) (global.get $config-end)) (then (return (i32.const 2))))))
      (i32.const 1))""",
    "skip-to-delimiter": """
    ;; Moves to the next comma, equals sign or the end, and answers which: 44, 61 or 0.
    (func $skip-to-delimiter (result i32)
      (local $byte i32)
      (loop $more (result i32)
        (if (i32.eq (global.get $cursor) (global.get $config-end)) (then (return (i32.const 0))))
        (local.set $byte (i32.load8_u (global.get $cursor)))
        (if (i32.or (i32.eq (local.get $byte) (i32.const 44)) (i32.eq (local.get $byte) (i32.const 61)))
          (then (return (local.get $byte))))
        (global.set $cursor (i32.add (global.get $cursor) (i32.const 1)))
        (br $more)))""",
    "same": """
    ;; Whether two texts are equal.
    (func $same (param $a i32) (param $a-len i32) (param $b i32) (param $b-len i32) (result i32)
      (if (i32.ne (local.get $a-len) (local.get $b-len)) (then (return (i32.const 0))))
      (block $differ (loop $more
        (if (i32.eqz (local.get $a-len)) (then (return (i32.const 1))))
        (local.set $a-len (i32.sub (local.get $a-len) (i32.const 1)))
        (br_if $more (i32.eq
          (i32.load8_u (i32.add (local.get $a) (local.get $a-len)))
          (i32.load8_u (i32.add (local.get $b) (local.get $a-len)))))))
      (i32.const 0))""",
    "key-is": """
    ;; Whether the pair just read has this key.
    (func $key-is (param $text i32) (param $len i32) (result i32)
      (call $same (global.get $key) (global.get $key-len) (local.get $text) (local.get $len)))""",
    "value-is": """
    ;; Whether the pair just read has this value.
    (func $value-is (param $text i32) (param $len i32) (result i32)
      (call $same (global.get $value) (global.get $value-len) (local.get $text) (local.get $len)))""",
    "value-number": """
    ;; The value just read as a whole number of at most $maximum, or -1.
    (func $value-number (param $maximum i64) (result i64)
      (local $number i64)
      (local.set $number (call $decimal (global.get $value) (global.get $value-len)))
      (if (i32.or
            (i64.gt_s (local.get $number) (local.get $maximum))
            (i32.ne (global.get $decimal-end) (i32.add (global.get $value) (global.get $value-len))))
        (then (return (i64.const -1))))
      (local.get $number))""",
}

SNIPPETS: dict[str, str] = {**_RESULTS, **_BUFFERS, **_NUMBERS, **_CONFIGURATION}
"""Every shared core function by the id it is called by."""

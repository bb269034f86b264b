;; slow-down (transform): Takes longer for every element than for the one before.
(component
  (import "torvyn:streaming/types@0.1.0" (instance $types
    (export "buffer" (type $buffer (sub resource)))
    (export "mutable-buffer" (type $mutable-buffer (sub resource)))
    (export "flow-context" (type $flow-context (sub resource)))
    (type $buffer-error' (variant (case "capacity-exceeded") (case "out-of-bounds") (case "allocation-failed" string)))
    (export "buffer-error" (type $buffer-error (eq $buffer-error')))
    (type $element-meta' (record (field "sequence" u64) (field "timestamp-ns" u64) (field "content-type" string)))
    (export "element-meta" (type $element-meta (eq $element-meta')))
    (type $stream-element' (record
      (field "meta" $element-meta) (field "payload" (borrow $buffer)) (field "context" (borrow $flow-context))))
    (export "stream-element" (type $stream-element (eq $stream-element')))
    (type $output-element' (record (field "meta" $element-meta) (field "payload" (own $buffer))))
    (export "output-element" (type $output-element (eq $output-element')))
    (type $process-result' (variant (case "emit" $output-element) (case "drop")))
    (export "process-result" (type $process-result (eq $process-result')))
    (type $process-error' (variant
      (case "invalid-input" string) (case "unavailable" string) (case "internal" string)
      (case "deadline-exceeded") (case "fatal" string)))
    (export "process-error" (type $process-error (eq $process-error')))
    (type $backpressure-signal' (enum "ready" "pause"))
    (export "backpressure-signal" (type $backpressure-signal (eq $backpressure-signal')))))
  (alias export $types "buffer" (type $buffer))
  (alias export $types "mutable-buffer" (type $mutable-buffer))
  (alias export $types "flow-context" (type $flow-context))
  (alias export $types "buffer-error" (type $buffer-error))
  (alias export $types "element-meta" (type $element-meta))
  (alias export $types "stream-element" (type $stream-element))
  (alias export $types "output-element" (type $output-element))
  (alias export $types "process-result" (type $process-result))
  (alias export $types "process-error" (type $process-error))
  (alias export $types "backpressure-signal" (type $backpressure-signal))
  (core module $Libc
    (memory (export "memory") 1)
    ;; The heap begins at $base and is used up to $top. A guest that keeps bytes between calls raises $base.
    (global $base (export "base") (mut i32) (i32.const 4096))
    (global $top (export "top") (mut i32) (i32.const 4096))
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
  (alias core export $libc "realloc" (core func $realloc))
  (core func $drop-buffer (canon resource.drop $buffer))
  (core func $drop-flow-context (canon resource.drop $flow-context))
  (core module $Main
    (import "libc" "memory" (memory 1))
    (import "libc" "base" (global $base (mut i32)))
    (import "libc" "top" (global $top (mut i32)))
    (import "host" "drop-buffer" (func $drop-buffer (param i32)))
    (import "host" "drop-flow-context" (func $drop-flow-context (param i32)))
    ;; Memory: 16 results of host calls · 64 the result of the running export · 128 text settings
    ;; 512 literals · 2048 the router's list of ports · 4096 the heap, given back after every call
    (global $seen (mut i32) (i32.const 0))
    ;; ok(drop).
    (func $drop-element (result i32) (call $choose (i32.const 1)))
    ;; ok(case), the case's payload being in place already.
    (func $choose (param $case i32) (result i32)
      (i32.store8 (i32.const 64) (i32.const 0))
      (i32.store8 offset=8 (i32.const 64) (local.get $case))
      (i32.const 64))
    ;; Ends both borrows of an input element.
    (func $drop-input (param $payload i32) (param $context i32)
      (call $drop-buffer (local.get $payload))
      (call $drop-flow-context (local.get $context)))
    (func (export "process") (param $sequence i64) (param $timestamp i64) (param $content-type i32) (param $content-type-len i32) (param $payload i32) (param $context i32) (result i32)
      (local $left i32)
      (global.set $seen (i32.add (global.get $seen) (i32.const 100)))
      (local.set $left (global.get $seen))
      (loop $more (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (call $drop-input (local.get $payload) (local.get $context))
      (call $drop-element))
    ;; After every call with a result: the heap is free again.
    (func (export "done") (param i32) (global.set $top (global.get $base))))
  (core instance $main (instantiate $Main
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "drop-buffer" (func $drop-buffer))
      (export "drop-flow-context" (func $drop-flow-context))))))
  (alias core export $main "done" (core func $done))
  (alias core export $main "process" (core func $main.process))
  (func $process (param "input" $stream-element) (result (result $process-result (error $process-error)))
    (canon lift (core func $main.process) (memory $memory) (realloc $realloc) (post-return $done)))
  (instance $processor
    (export "stream-element" (type $stream-element))
    (export "process-result" (type $process-result))
    (export "process-error" (type $process-error))
    (export "process" (func $process)))
  (export "torvyn:streaming/processor@0.1.0" (instance $processor))
)

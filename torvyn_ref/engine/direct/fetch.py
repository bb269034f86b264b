"""A call's result, fetched by glue: copied into scratch memory before post-return gives it back, so that no crossing is spent on it.

The copy has the layout of the result, its strings and list<u8> behind it, with pointers into scratch memory. What is too long for that,
or leads out of the guest's memory, is left to the host, which reads the guest's memory before post-return as ever.
"""

from __future__ import annotations

from torvyn_ref.engine.direct.types import Choice, Function, Record, Sequence_, Text, Type

FETCHED_AT = 5376
MOST_FETCHED = 512
"""Bytes of a result with its strings. wasmtime charges fuel for every byte that glue copies, as for a short piece."""
FETCHED = 12
"""A word: 1 when glue has fetched the result of the call that ended last."""

_MOST_EXTENT = 2048  # of a type that glue walks through: the code for it grows with its cases
_END = FETCHED_AT + MOST_FETCHED
_ZERO = "(i32.const 0)"


def is_fetched(function: Function) -> bool:
    """Tell whether glue can fetch such a result: in memory, short, and no list inside but of bytes."""
    result = function.result
    if result is None or not function.result_in_memory:
        return False
    return result.size <= MOST_FETCHED and result.extent <= _MOST_EXTENT and _is_plain(result)


def fetch(result: Type, at: int, memory: int | None, post_return: list[str]) -> list[str]:
    """Return WAT that fetches the result whose address lies at `at` in scratch memory, runs post-return and returns; or does nothing.

    It uses the locals $n, $q, $k and $z, and the label $ask.
    """
    return [
        f"(i32.store $s offset={FETCHED} {_ZERO} {_ZERO})",
        "(block $ask",
        f"(local.set $q (i32.load $s offset={at} {_ZERO}))",
        f"(local.set $z (i64.shl (i64.extend_i32_u (memory.size $m{memory})) (i64.const 16)))",
        f"(br_if $ask (i32.and (local.get $q) (i32.const {result.alignment - 1})))",
        f"(br_if $ask (i64.gt_u (i64.add (i64.extend_i32_u (local.get $q)) (i64.const {result.size})) (local.get $z)))",
        f"(memory.copy $s $m{memory} (i32.const {FETCHED_AT}) (local.get $q) (i32.const {result.size}))",
        f"(local.set $n (i32.const {FETCHED_AT + result.size}))",
        *_pieces(result, FETCHED_AT, memory),
        f"(i32.store $s offset={FETCHED} {_ZERO} (i32.const 1))",
        *post_return,
        "(return))",
    ]


def _is_plain(ty: Type) -> bool:
    if isinstance(ty, Sequence_):
        return ty.is_bytes
    return all(_is_plain(part) for part in ty.parts)


def _pieces(ty: Type, at: int, memory: int | None) -> list[str]:
    """Return WAT that fetches the strings and bytes of a value whose copy lies at `at`."""
    if isinstance(ty, Record):
        return [line for field, offset in zip(ty.fields, ty.offsets, strict=True) for line in _pieces(field, at + offset, memory)]
    if isinstance(ty, Choice):
        lines = []
        for number, case in enumerate(ty.cases):
            inside = [] if case.payload is None else _pieces(case.payload, at + ty.payload_offset, memory)
            if inside:
                lines += [f"(if (i32.eq (i32.load8_u $s offset={at} {_ZERO}) (i32.const {number})) (then", *inside, "))"]
        return lines
    if not isinstance(ty, Text | Sequence_):
        return []
    return [
        f"(local.set $q (i32.load $s offset={at} {_ZERO}))",
        f"(local.set $k (i32.load $s offset={at + 4} {_ZERO}))",
        f"(br_if $ask (i32.gt_u (local.get $k) (i32.sub (i32.const {_END}) (local.get $n))))",
        "(br_if $ask (i64.gt_u (i64.add (i64.extend_i32_u (local.get $q)) (i64.extend_i32_u (local.get $k))) (local.get $z)))",
        f"(memory.copy $s $m{memory} (local.get $n) (local.get $q) (local.get $k))",
        f"(i32.store $s offset={at} {_ZERO} (local.get $n))",
        "(local.set $n (i32.add (local.get $n) (local.get $k)))",
    ]

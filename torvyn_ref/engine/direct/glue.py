"""Glue: generated core modules through which every crossing has the core signature `() -> ()`.

wasmtime-py converts arguments one by one and derives types at every call; a call without arguments costs a tenth. So parameters and results
travel in a scratch memory that host and glue share. The glue also drives the guest's realloc and post-return, so that one crossing of the
border suffices (facts/direct-engine.md 3).

Scratch memory: a header, then one slot per function.

    0        u32       which handler the dispatcher shall run
    16       64 x 12   reallocs wanted: alignment, size, and the pointer that came back
    1024     slots     160 bytes each: +0 pages of the guest memory, +4 number of reallocs, +8 parameters (8 bytes each), +144 result

A function has two handlers: 2k takes the parameters (of an import) or the result (of an export with a post-return), 2k+1 the pointers.
"""

from __future__ import annotations

from typing import NamedTuple

HEADER = 1024
SLOT = 160
REALLOCS = 16
MOST_REALLOCS = 64
"""Reallocs per round; the glue goes round until no more are wanted."""
PARAMETERS = 8
RESULT = 144

_LOAD = {"i32": "i32.load", "i64": "i64.load", "f32": "f32.load", "f64": "f64.load"}
_STORE = {"i32": "i32.store", "i64": "i64.store", "f32": "f32.store", "f64": "f64.store"}


def slot(number: int) -> int:
    """Return where a function's slot begins."""
    return HEADER + SLOT * number


def scratch_pages(functions: int) -> int:
    """Return how many pages hold the header and so many slots."""
    return -(-slot(functions) // 65536)


class GlueFunction(NamedTuple):
    """One function of a glue module.

    Attributes:
        number: its slot and handlers.
        is_export: True for calls into the guest (`go`), False for calls out of it.
        parameters, result: core types.
        memory, realloc: positions among the module's memories and reallocs; None when not used.
        allocates: the guest's realloc is needed to bring values in.
        has_post_return: an export with a post-return; its result is read before that runs.
    """

    number: int
    is_export: bool
    parameters: tuple[str, ...]
    result: str | None
    memory: int | None
    realloc: int | None
    allocates: bool
    has_post_return: bool = False


def module_text(functions: tuple[GlueFunction, ...], memories: int, reallocs: int) -> str:
    """Return the WAT of a glue module. It imports `s m` (scratch), `h call` (the dispatcher), `m N`, `r N`, `f N` and `p N`."""
    lines = ["(module", '(import "s" "m" (memory $s 1))', '(import "h" "call" (func $dispatch))']
    lines += [f'(import "m" "{number}" (memory $m{number} 0))' for number in range(memories)]
    lines += [f'(import "r" "{number}" (func $r{number} (param i32 i32 i32 i32) (result i32)))' for number in range(reallocs)]
    for function in functions:
        if function.is_export:
            result = f"(result {function.result})" if function.result else ""
            parameters = " ".join(function.parameters)
            lines.append(f'(import "f" "{function.number}" (func $f{function.number} (param {parameters}) {result}))')
            if function.has_post_return:
                argument = f"(param {function.result})" if function.result else ""
                lines.append(f'(import "p" "{function.number}" (func $p{function.number} {argument}))')
    for function in functions:
        lines += _export(function) if function.is_export else _import(function)
    return "\n".join([*lines, ")"])


def _import(function: GlueFunction) -> list[str]:
    base = slot(function.number)
    parameters = " ".join(f"(param {core})" for core in function.parameters)
    result = f"(result {function.result})" if function.result else ""
    lines = [f'(func (export "{function.number}") {parameters} {result} (local $n i32) (local $q i32)', *_pages(function)]
    lines += [
        f"({_STORE[core]} $s offset={base + PARAMETERS + 8 * position} (i32.const 0) (local.get {position}))"
        for position, core in enumerate(function.parameters)
    ]
    lines += _dispatch(2 * function.number)
    if function.allocates:
        lines += _reallocs(function)
    if function.result:
        lines.append(f"({_LOAD[function.result]} $s offset={base + RESULT} (i32.const 0))")
    return [*lines, ")"]


def _export(function: GlueFunction) -> list[str]:
    base = slot(function.number)
    lines = [f'(func (export "{function.number}") (local $n i32) (local $q i32)']
    if function.allocates:
        lines += _reallocs(function)
    arguments = " ".join(
        f"({_LOAD[core]} $s offset={base + PARAMETERS + 8 * position} (i32.const 0))" for position, core in enumerate(function.parameters)
    )
    call = f"(call $f{function.number} {arguments})"
    lines.append(f"({_STORE[function.result]} $s offset={base + RESULT} (i32.const 0) {call})" if function.result else call)
    lines += _pages(function)
    if function.has_post_return:
        lines += _dispatch(2 * function.number)
        argument = f"({_LOAD[function.result]} $s offset={base + RESULT} (i32.const 0))" if function.result else ""
        lines.append(f"(call $p{function.number} {argument})")
    return [*lines, ")"]


def _pages(function: GlueFunction) -> list[str]:
    if function.memory is None:
        return []
    return [f"(i32.store $s offset={slot(function.number)} (i32.const 0) (memory.size $m{function.memory}))"]


def _dispatch(handler: int) -> list[str]:
    return [f"(i32.store $s (i32.const 0) (i32.const {handler}))", "(call $dispatch)"]


def _reallocs(function: GlueFunction) -> list[str]:
    """Call realloc for every wanted piece, report the pointers, and go round while more are wanted."""
    count = slot(function.number) + 4
    piece = f"offset={REALLOCS}"
    size = f"offset={REALLOCS + 4}"
    pointer = f"offset={REALLOCS + 8}"
    zero = "(i32.const 0)"
    call = f"(call $r{function.realloc} {zero} {zero} (i32.load $s {piece} (local.get $q)) (i32.load $s {size} (local.get $q)))"
    return [
        "(block $done (loop $again",
        f"(br_if $done (i32.eqz (local.tee $n (i32.load $s offset={count} {zero}))))",
        f"(local.set $q {zero})",
        "(loop $each",
        f"(i32.store $s {pointer} (local.get $q) {call})",
        "(local.set $q (i32.add (local.get $q) (i32.const 12)))",
        "(br_if $each (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
        *_pages(function),
        *_dispatch(2 * function.number + 1),
        "(br $again)))",
    ]

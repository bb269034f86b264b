"""Glue: generated core modules through which every crossing has the core signature `() -> ()`.

wasmtime-py converts arguments one by one and derives types at every call; a call without arguments costs a tenth. So parameters and results
travel in a scratch memory that host and glue share. The glue also drives the guest's realloc and post-return, so that one crossing of the
border suffices (facts/direct-engine.md 3), and it keeps the guest from calling out while they run.

Scratch memory: a header, an area for one short string or list<u8> on its way in, then one slot per function.

    0        u32       which handler the dispatcher shall run
    4        u32       1 while the guest's realloc or post-return runs: it must not call out
    8        u32       drops in the log
    12       u32       1 when glue has fetched the result of the last call (`fetch`)
    16       64 x 12   reallocs wanted: alignment, size, and the pointer that came back
    784      56 x 4    the log of drops: handles' indices
    1024     256       the short piece
    1280     4096      a tag for each of the first handles (`Resource.lent_tag`, `owned_tag`), 0 for none
    5376     512       the result that glue has fetched
    5888     slots     160 bytes each: +0 pages of the guest memory, +4 number of reallocs, +8 parameters (8 bytes each), +144 result

Function k has two handlers: 2k+1 takes the parameters (of an import) or the result (of an export with a post-return, unless glue has
fetched it), 2k+2 the pointers.
Handler 0 is for a guest that calls out where it must not.

A number of reallocs of `PIECE` means: one piece of bytes lies in the header's area. The glue asks the guest for memory, copies it there,
and hands the pointer over: for an import to the result's address (the length then lies in the first parameter's place), for an export as
parameter (the length is there already). That saves the crossing that a longer piece takes.

Glue also drops handles without the host, where nothing can be wrong with that: a tag says that there is such a handle, and of what type,
and the drop goes into a log, which the host carries out before it does anything else (`bound`). What a guest can see is the same: a handle
is gone at once, a bad one traps at once, and between the drop and the next crossing there is only the guest. Owned resources whose
destructors may refuse are not among them (`crossings.drops_quietly`).
"""

from __future__ import annotations

from typing import NamedTuple

from torvyn_ref.engine.direct.fetch import FETCHED_AT, MOST_FETCHED, fetch
from torvyn_ref.engine.direct.types import Type

REALLOCS = 16
MOST_REALLOCS = 64
"""Reallocs per round; the glue goes round until no more are wanted."""
SHORT = 1024
MOST_SHORT = 256
"""Bytes of the longest piece that goes through scratch memory: content types, ids, small payloads. wasmtime charges fuel for every byte
that glue copies, and none for what the host copies, so this bounds what the shortcut costs a guest."""
DROPPED = 8
DROPS = 784
MOST_DROPS = 56
TAGS = SHORT + MOST_SHORT
TAGGED = 4096
"""Handles, from index 0, that glue may drop; others are dropped by the host at once."""
MOST_TAGGED = 127
"""Resource types that tags can tell apart."""
SLOTS = FETCHED_AT + MOST_FETCHED
SLOT = 160
COUNT = 4
PARAMETERS = 8
RESULT = 144
PIECE = 0xFFFFFFFF

_SEALED = 4
_ZERO = "(i32.const 0)"


def slot(number: int) -> int:
    """Return where a function's slot begins."""
    return SLOTS + SLOT * number


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
        piece: the parameter that takes the pointer of a short piece; -1 when the function takes none.
        has_post_return: an export with a post-return; its result is read before that runs.
        fetches: the type of the result that glue fetches, before post-return runs; None when it fetches none.
        leaves: a call out that realloc and post-return must not make; only resource.rep does not leave the instance.
        drops: resource.drop of the resource with this `lent_tag`, whose handles glue may drop; 0 for everything else.
    """

    number: int
    is_export: bool
    parameters: tuple[str, ...]
    result: str | None
    memory: int | None
    realloc: int | None
    allocates: bool
    piece: int = -1
    has_post_return: bool = False
    fetches: Type | None = None
    leaves: bool = True
    drops: int = 0


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
    lines = [
        f'(func (export "{function.number}") {parameters} {result} (local $n i32) (local $q i32)',
        *([f"(if (i32.load $s offset={_SEALED} {_ZERO}) (then {_dispatch(0)}))"] if function.leaves else []),
        *(_drop(function.drops) if function.drops else []),
        *_pages(function),
    ]
    lines += [
        f"({core}.store $s offset={base + PARAMETERS + 8 * position} {_ZERO} (local.get {position}))"
        for position, core in enumerate(function.parameters)
    ]
    lines.append(_dispatch(2 * function.number + 1))
    if function.piece >= 0:
        to = f"(local.get {function.piece})"
        store = f"(i32.store $m{function.memory} {to} (local.get $q)) (i32.store $m{function.memory} offset=4 {to} (local.get $n))"
        lines += _piece(function, base + PARAMETERS, store)
    if function.allocates:
        lines += _reallocs(function)
    if function.result:
        lines.append(f"({function.result}.load $s offset={base + RESULT} {_ZERO})")
    return [*lines, ")"]


def _export(function: GlueFunction) -> list[str]:
    base = slot(function.number)
    lines = [f'(func (export "{function.number}") (local $n i32) (local $q i32) (local $k i32) (local $z i64)']
    if function.piece >= 0:
        at = base + PARAMETERS + 8 * function.piece
        lines += _piece(function, at + 8, f"(i32.store $s offset={at} {_ZERO} (local.get $q))")
    if function.allocates:
        lines += _reallocs(function)
    arguments = " ".join(
        f"({core}.load $s offset={base + PARAMETERS + 8 * position} {_ZERO})" for position, core in enumerate(function.parameters)
    )
    call = f"(call $f{function.number} {arguments})"
    lines.append(f"({function.result}.store $s offset={base + RESULT} {_ZERO} {call})" if function.result else call)
    lines += _pages(function)
    if function.has_post_return:
        argument = f"({function.result}.load $s offset={base + RESULT} {_ZERO})" if function.result else ""
        post_return = _sealed(f"(call $p{function.number} {argument})")
        if function.fetches is not None:
            lines += fetch(function.fetches, base + RESULT, function.memory, post_return)
        lines += [_dispatch(2 * function.number + 1), *post_return]
    return [*lines, ")"]


def _drop(lent_tag: int) -> list[str]:
    """Take a drop down and return, unless the host has to see it at once: a handle that is not good, for one."""
    return [
        "(block $ask",
        f"(br_if $ask (i32.ge_u (local.get 0) (i32.const {TAGGED})))",
        f"(br_if $ask (i32.ne (i32.and (i32.load8_u $s offset={TAGS} (local.get 0)) (i32.const -2)) (i32.const {lent_tag})))",
        f"(br_if $ask (i32.eq (local.tee $n (i32.load $s offset={DROPPED} {_ZERO})) (i32.const {MOST_DROPS})))",
        f"(i32.store8 $s offset={TAGS} (local.get 0) {_ZERO})",
        f"(i32.store $s offset={DROPS} (i32.shl (local.get $n) (i32.const 2)) (local.get 0))",
        f"(i32.store $s offset={DROPPED} {_ZERO} (i32.add (local.get $n) (i32.const 1)))",
        "(return))",
    ]


def _pages(function: GlueFunction) -> list[str]:
    if function.memory is None:
        return []
    return [f"(i32.store $s offset={slot(function.number)} {_ZERO} (memory.size $m{function.memory}))"]


def _dispatch(handler: int) -> str:
    return f"(i32.store $s {_ZERO} (i32.const {handler})) (call $dispatch)"


def _sealed(*lines: str) -> list[str]:
    """Run guest code that must not call out."""
    flag = f"(i32.store $s offset={_SEALED} {_ZERO}"
    return [f"{flag} (i32.const 1))", *lines, f"{flag} {_ZERO})"]


def _piece(function: GlueFunction, length_at: int, hand_over: str) -> list[str]:
    """Bring a short piece in: its length is at `length_at`, `hand_over` passes pointer $q and length $n on."""
    count = f"offset={slot(function.number) + COUNT}"
    return [
        f"(if (i32.eq (i32.load $s {count} {_ZERO}) (i32.const {PIECE})) (then",
        f"(i32.store $s {count} {_ZERO} {_ZERO})",
        f"(local.set $n (i32.load $s offset={length_at} {_ZERO}))",
        *_sealed(f"(local.set $q (call $r{function.realloc} {_ZERO} {_ZERO} (i32.const 1) (local.get $n)))"),
        f"(memory.copy $m{function.memory} $s (local.get $q) (i32.const {SHORT}) (local.get $n))",
        hand_over,
        "))",
    ]


def _reallocs(function: GlueFunction) -> list[str]:
    """Call realloc for every wanted piece, report the pointers, and go round while more are wanted."""
    count = f"offset={slot(function.number) + COUNT}"
    alignment, size, pointer = (f"offset={REALLOCS + 4 * part}" for part in range(3))
    call = f"(call $r{function.realloc} {_ZERO} {_ZERO} (i32.load $s {alignment} (local.get $q)) (i32.load $s {size} (local.get $q)))"
    return [
        "(block $done (loop $again",
        f"(br_if $done (i32.eqz (local.tee $n (i32.load $s {count} {_ZERO}))))",
        f"(local.set $q {_ZERO})",
        *_sealed(
            "(loop $each",
            f"(i32.store $s {pointer} (local.get $q) {call})",
            "(local.set $q (i32.add (local.get $q) (i32.const 12)))",
            "(br_if $each (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
        ),
        *_pages(function),
        _dispatch(2 * function.number + 2),
        "(br $again)))",
    ]

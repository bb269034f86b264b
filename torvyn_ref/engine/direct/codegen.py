"""Lift and lower as generated Python: one function per type signature, made once per process, bound once per instance.

`emitter` writes what single types take; here are the crossings: a call out of the guest (`lowered`) and a call into it (`lifted`).

Generated source names, beside the emitter's: `rt` the runtime, `sb` the scratch memory, `base` the function's slot, `kept` what waits for
the function's second handler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torvyn_ref.engine.direct.emitter import Emitter, checked_char, out_of_range, trap
from torvyn_ref.engine.direct.errors import Unsupported
from torvyn_ref.engine.direct.fetch import FETCHED, FETCHED_AT, is_fetched
from torvyn_ref.engine.direct.glue import COUNT, DROPPED, MOST_SHORT, PARAMETERS, PIECE, REALLOCS, RESULT, SHORT
from torvyn_ref.engine.direct.types import Choice, Function, Handle, Record, Scalar, Sequence_, Text, Type
from torvyn_ref.engine.imports import Deferred, WitError

_FLAT = {"i32": "I4x", "i64": "Q", "f32": "f4x", "f64": "d"}

_NO_BORROWS = "if handles.borrows: trap('borrow handles still remain at the end of the call')"

Bind = Callable[..., tuple[Callable[..., Any], ...]]


def lowered(function: Function, *, has_memory: bool, views: bool) -> Bind:
    """Return the binder of a call out of the guest: `bind(rt, mem, host, base, resources)` gives its two handlers.

    `views`: the host function takes list<u8> as a view of guest memory, which it must not keep.
    """
    lends = any(owns(ty) for ty in function.parameters)
    emit = Emitter(_names(), function.resources, views=views, lends=lends)
    cores = function.flat_parameters + (("i32",) if function.result_in_memory else ())
    values = [f"p{position}" for position in range(len(cores))]
    pointer = values[-1] if function.result_in_memory else "0"
    _check_memory(function, has_memory=has_memory, outward=True)
    result = function.result
    allocates = result is not None and result.allocates
    emit("def enter():")
    with emit:
        if allocates:
            emit("nonlocal kept")
        emit(f"{','.join(['pages', '_', *values])} = {emit.structure(_flat_struct('II', cores))}.unpack_from(sb,base)")
        if has_memory:
            emit("if pages!=mem.pages: mem.refresh()")
        if function.parameters_in_memory:
            everything = Record(function.parameters)
            emit.bounds("p0", everything, "parameter")
            call = f"host(*{emit.load(everything, 'p0', 0)})"
        else:
            flat = iter(values)
            call = f"host({','.join(emit.lift(ty, flat) for ty in function.parameters)})"
        if isinstance(result, Choice) and result.kind == "result":
            _result_call(emit, function, result, call, pointer, lends=lends)
        else:
            emit(f"r={call}")
            if lends:
                emit("end_lends()")
            if isinstance(result, Scalar | Record):
                emit.check(result, "r")
            _hand_over(emit, function, result, "r", pointer)
    if allocates:
        _fill_result(emit, function)
    emit(f"return enter,{'fill' if allocates else 'None'}")
    return _bound(emit, function)


def lifted(function: Function, *, has_memory: bool, has_post_return: bool) -> Bind:
    """Return the binder of a call into the guest: `bind(rt, mem, go, base, resources)` gives the call and its two handlers."""
    emit = Emitter(_names(), function.resources)
    arguments = [f"a{position}" for position in range(len(function.parameters))]
    _check_memory(function, has_memory=has_memory, outward=False)
    allocates = function.parameters_in_memory or any(ty.allocates for ty in function.parameters)
    if allocates:
        emit(f"def pack({','.join([*arguments, 'place'])}):")
        with emit:
            emit("pass")
            _pack(emit, function, arguments)
        emit("def fill():")
        with emit:
            emit("got=rt.got(base,mem)")
            emit("if got is not None:")
            with emit:
                emit("values,place=got")
                emit("pack(*values,place)")
    fetches = has_post_return and is_fetched(function)
    if fetches:
        assert function.result is not None
        emit("def read(mem,p):")
        with emit:
            emit(_NO_BORROWS)
            emit(f"return {emit.load(function.result, 'p', 0)}")
    emit("def result():")
    with emit:
        _read_result(emit, function, has_memory=has_memory, fetches=fetches)
        if has_post_return:
            emit("nonlocal kept")
            emit("kept=r")
        else:
            emit("return r")
    emit(f"def call({','.join(arguments)}):")
    with emit:
        if has_post_return:
            emit("nonlocal kept")
        for ty, name in zip(function.parameters, arguments, strict=True):
            emit.check(ty, name)
        emit("handles.borrows=0")
        if allocates:
            _pack_or_ask(emit, function, arguments)
        else:
            _pack(emit, function, arguments)
        emit("try: go(rt.store)")
        emit("finally:")  # a trap, too, comes after what the guest has dropped
        with emit:
            emit(f"if words[{DROPPED // 4}]: rt.catch_up()")
        if fetches:
            emit(f"if words[{FETCHED // 4}]: return read(rt.fetched,{FETCHED_AT})")
        if has_post_return:
            emit("r,kept=kept,None")
            emit("return r")
        else:
            emit("return result()")
    emit(f"return call,{'result' if has_post_return else 'None'},{'fill' if allocates else 'None'}")
    return _bound(emit, function)


def is_bytes(ty: Type | None) -> bool:
    """Tell whether a value is one stretch of bytes: a string or a list<u8>."""
    return isinstance(ty, Text) or (isinstance(ty, Sequence_) and ty.is_bytes)


def short_piece(function: Function) -> tuple[str, int, Type] | None:
    """Find the one string or list<u8> among parameters that allocate nothing else, not inside a choice or a list.

    Returns:
        where it is in the arguments, as source; the flat position of its pointer; its type. None when there is no such thing.
    """
    if function.parameters_in_memory:
        return None
    found = _pieces(function.parameters, [f"a{position}" for position in range(len(function.parameters))], 0)
    return found[0] if len(found) == 1 and found[0][1] >= 0 else None


def owns(ty: Type) -> bool:
    """Tell whether a value of this type hands over a resource."""
    return ty.owned if isinstance(ty, Handle) else any(owns(part) for part in ty.parts)


def _pieces(types: tuple[Type, ...], sources: list[str], flat: int) -> list[tuple[str, int, Type]]:
    """List everything that allocates; what is no plain piece of bytes has a negative position."""
    found = []
    for ty, source in zip(types, sources, strict=True):
        if is_bytes(ty):
            found.append((source, flat, ty))
        elif isinstance(ty, Record):
            found += _pieces(ty.fields, [f"{source}[{position}]" for position in range(len(ty.fields))], flat)
        elif ty.allocates:
            found.append((source, -1, ty))
        flat += len(ty.flat)
    return found


# ---- calls into the guest


def _pack(emit: Emitter, function: Function, arguments: list[str]) -> None:
    if function.parameters_in_memory:
        everything = Record(function.parameters)
        emit(f"pointer=place({everything.alignment},{everything.size})")
        emit.store(everything, _tuple_of(arguments), "pointer", 0)
        flat = ["pointer"]
    else:
        flat = [part for ty, name in zip(function.parameters, arguments, strict=True) for part in emit.lower(ty, name)]
    if flat:
        emit(f"{emit.structure(_flat_struct('', function.flat_parameters))}.pack_into(sb,base+{PARAMETERS},{','.join(flat)})")


def _pack_or_ask(emit: Emitter, function: Function, arguments: list[str]) -> None:
    """Pass the arguments, or ask for the guest memory that they take: `fill` passes them then."""
    piece = short_piece(function)
    if piece is not None:
        source, _, ty = piece
        emit(f"data={source}{'.encode()' if isinstance(ty, Text) else ''}")
        emit(f"if len(data)<={MOST_SHORT}:")
        with emit:
            emit(f"sb[{SHORT}:{SHORT}+len(data)]=data")
            emit.short_piece("data")
            flat = [part for ty, name in zip(function.parameters, arguments, strict=True) for part in emit.lower(ty, name)]
            form = emit.structure(_flat_struct("I", function.flat_parameters))
            emit(f"{form}.pack_into(sb,base+{COUNT},{PIECE},{','.join(flat)})")
        emit(f"else: rt.want(base,[(1,len(data))],{_tuple_of(arguments)})")
        return
    emit("wanted=[]")
    if function.parameters_in_memory:
        everything = Record(function.parameters)
        emit(f"wanted.append(({everything.alignment},{everything.size}))")
    for ty, name in zip(function.parameters, arguments, strict=True):
        emit.sizes(ty, name)
    emit(f"if wanted: rt.want(base,wanted,{_tuple_of(arguments)})")
    emit(f"else: pack({','.join([*arguments, 'None'])})")


def _read_result(emit: Emitter, function: Function, *, has_memory: bool, fetches: bool) -> None:
    result = function.result
    core = result.flat[0] if result is not None and not function.result_in_memory else "i32"
    if has_memory:
        emit(f"pages,={emit.structure('<I')}.unpack_from(sb,base)")
        emit("if pages!=mem.pages: mem.refresh()")
    if not fetches:
        emit(_NO_BORROWS)
    if result is None:
        emit("r=None")
    else:
        emit(f"p,={emit.structure('<' + _FLAT[core][0])}.unpack_from(sb,base+{RESULT})")
        if function.result_in_memory:
            emit.bounds("p", result, "result")
            emit(f"r={'read(mem,p)' if fetches else emit.load(result, 'p', 0)}")
        else:
            emit(f"r={emit.lift(result, iter(['p']))}")


def _tuple_of(arguments: list[str]) -> str:
    return f"({''.join(f'{name},' for name in arguments)})"


# ---- calls out of the guest


def _result_call(emit: Emitter, function: Function, result: Choice, call: str, pointer: str, *, lends: bool) -> None:
    """Call a host function whose type is a result: `ok` goes straight to its place, `err` comes as a WitError.

    Its case and payload are the error, where that is an enum or a variant; elsewhere its payload alone is.
    """
    ok, error = (case.payload for case in result.cases)
    value = "None" if error is None else "e.payload"
    if isinstance(error, Choice) and error.kind in {"enum", "variant"}:
        value = "e.case" if error.kind == "enum" else "(e.case,e.payload)"
    emit(f"try: r={call}")
    emit("except WitError as e:")
    with emit:
        if lends:
            emit("end_lends()")
        emit(f"r=('err',{value})")
        _hand_over(emit, function, result, "r", pointer)
        emit("return")
    if lends:
        emit("end_lends()")
    if function.result_in_memory and (ok is None or not ok.allocates):
        emit.bounds(pointer, result, "return")
        emit(f"mem.view[{pointer}]=0")
        if ok is not None:
            emit.store(ok, "r", pointer, result.payload_offset)
    else:
        emit("r=('ok',r)")
        _hand_over(emit, function, result, "r", pointer)


def _hand_over(emit: Emitter, function: Function, result: Type | None, value: str, pointer: str) -> None:
    """Give a result to the guest: at once, or after its memory has been asked for. Where it goes is checked before the guest runs."""
    if result is None:
        return
    if not result.allocates:
        _finish(emit, function, value, pointer)
        return
    emit.bounds(pointer, result, "return")
    if is_bytes(result):
        if isinstance(result, Text):
            emit(f"{value}={value}.encode()")
        emit(f"n=len({value})")
        emit(f"if n<={MOST_SHORT}:")
        with emit:
            emit(f"sb[{SHORT}:{SHORT}+n]={value}")
            emit(f"{emit.structure('<II')}.pack_into(sb,base+{COUNT},{PIECE},n)")
        emit("else:")
        with emit:
            emit(f"kept={pointer},{value},n")
            emit(f"{emit.structure('<II')}.pack_into(sb,{REALLOCS},1,n)")
            emit(f"{emit.structure('<I')}.pack_into(sb,base+{COUNT},1)")
        return
    emit(f"kept={pointer}")
    emit("wanted=[]")
    emit.sizes(result, value)
    emit(f"if wanted: rt.want(base,wanted,{value})")
    emit(f"else: finish({value},{pointer},None)")


def _fill_result(emit: Emitter, function: Function) -> None:
    """Write the handler that has got guest memory for a result."""
    if is_bytes(function.result):
        _fill_bytes(emit)
        return
    emit("def finish(r,ret,place):")
    with emit:
        _finish(emit, function, "r", "ret")
    emit("def fill():")
    with emit:
        emit("got=rt.got(base,mem)")
        emit("if got is not None:")
        with emit:
            emit("r,place=got")
            emit("finish(r,kept,place)")


def _fill_bytes(emit: Emitter) -> None:
    """Write it for the one long stretch of bytes that a read returns, without what `Runtime` does for any number of pieces."""
    emit("def fill():")
    with emit:
        emit("nonlocal kept")
        emit("(ret,r,n),kept=kept,None")
        emit(f"pages,={emit.structure('<I')}.unpack_from(sb,base)")
        emit("if pages!=mem.pages: mem.refresh()")
        emit(f"p,={emit.structure('<I')}.unpack_from(sb,{REALLOCS + 8})")
        emit("if p+n>mem.size: trap('realloc return: beyond end of memory')")
        emit("if isinstance(r,Deferred): r.into(mem.view[p:p+n])")
        emit("else: mem.view[p:p+n]=r")
        emit(f"{emit.structure('<II')}.pack_into(mem.view,ret,p,n)")
        emit(f"{emit.structure('<I')}.pack_into(sb,base+{COUNT},0)")


def _finish(emit: Emitter, function: Function, value: str, pointer: str) -> None:
    result = function.result
    assert result is not None
    if function.result_in_memory:
        if not result.allocates:
            emit.bounds(pointer, result, "return")
        emit.store(result, value, pointer, 0)
    else:
        (flat,) = emit.lower(result, value)
        emit(f"{emit.structure('<' + _FLAT[result.flat[0]][0])}.pack_into(sb,base+{RESULT},{flat})")


# ---- the source as a whole


def _flat_struct(prefix: str, cores: tuple[str, ...]) -> str:
    return "<" + prefix + "".join(_FLAT[core] for core in cores)


def _check_memory(function: Function, *, has_memory: bool, outward: bool) -> None:
    needs = function.parameters_in_memory or function.result_in_memory or any(ty.allocates for ty in function.parameters)
    if needs and not has_memory:
        raise Unsupported(f"a {'lower' if outward else 'lift'} without memory of a function that needs one")


def _names() -> dict[str, Any]:
    return {"trap": trap, "checked_char": checked_char, "out_of_range": out_of_range, "WitError": WitError, "Deferred": Deferred}


def _bound(emit: Emitter, function: Function) -> Bind:
    resources = "".join(f"r{number}," for number in range(len(function.resources)))
    source = [
        "def bind(rt,mem,peer,base,resources):",
        "    host=go=peer",
        "    sb,words,handles,kept=rt.scratch,rt.words,rt.handles,None",
        "    rep,lend,end_lends,take=handles.rep,handles.lend,handles.end_lends,handles.take",
        "    entries=handles.entries",
        "    give,give_borrow=handles.give,handles.give_borrow",
        f"    {resources} = resources" if resources else "    pass",
    ]
    source += [f"    {line}" for line in [*emit.helpers, *emit.lines]]
    names = emit.names
    exec(compile("\n".join(source), "<lift and lower>", "exec"), names)  # noqa: S102  # generated from types, never from guest bytes
    bind: Bind = names["bind"]
    return bind

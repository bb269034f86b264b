"""Components of any function type, run by the direct engine's own parts and by wasmtime's component API.

The guest has one function, `f: func(x: T) -> T`. It passes its parameters on to the host's `echo: func(x: T) -> T` as they came, and then
shows the host, as bytes, the core values that it got and the memory of the result: so one sees how the host lowered a value flat, and how
into memory.
"""

from dataclasses import dataclass, field

import wasmtime
from wasmtime import component as wc

from torvyn_ref.engine.direct.bound import Bound
from torvyn_ref.engine.direct.planner import Planner
from torvyn_ref.engine.direct.reader import read
from torvyn_ref.engine.stock_types import record

CORE = {"bool": "i32", "s8": "i32", "u8": "i32", "s16": "i32", "u16": "i32", "s32": "i32", "u32": "i32", "char": "i32"}
CORE |= {"s64": "i64", "u64": "i64", "f32": "f32", "f64": "f64"}


@dataclass
class Ty:
    """A type as text: `use` where it is used, `definition` when it has a name of its own, and the types it is made of."""

    use: str
    kind: str
    parts: tuple = ()
    names: tuple = ()
    definition: str = ""
    defined: list = field(default_factory=list)


def scalar(name):
    return Ty(name, "scalar")


def text():
    return Ty("string", "string")


def listing(element):
    return Ty(f"(list {element.use})", "list", (element,), defined=element.defined)


def option(inner):
    return Ty(f"(option {inner.use})", "option", (inner,), defined=inner.defined)


def result(ok, error):
    inside = (f" {ok.use}" if ok else "") + (f" (error {error.use})" if error else "")
    return Ty(f"(result{inside})", "result", (ok, error), defined=_all(one for one in (ok, error) if one))


def tuple_(*parts):
    return Ty(f"(tuple {' '.join(part.use for part in parts)})", "tuple", parts, defined=_all(parts))


def record_(name, *parts):
    fields = " ".join(f'(field "f{number}" {part.use})' for number, part in enumerate(parts))
    return _named(name, "record", f"(record {fields})", parts, [f"f{number}" for number in range(len(parts))])


def variant(name, *parts):
    cases = " ".join(f'(case "c{number}"{f" {part.use}" if part else ""})' for number, part in enumerate(parts))
    return _named(name, "variant", f"(variant {cases})", parts, [f"c{number}" for number in range(len(parts))])


def enum(name, count):
    names = [f"e{number}" for number in range(count)]
    return _named(name, "enum", "(enum " + " ".join(f'"{one}"' for one in names) + ")", (), names)


def flags(name, count):
    names = [f"b{number}" for number in range(count)]
    return _named(name, "flags", "(flags " + " ".join(f'"{one}"' for one in names) + ")", (), names)


def _named(name, kind, definition, parts, names):
    ty = Ty(f"${name}", kind, tuple(parts), tuple(names), definition)
    ty.defined = [*_all(part for part in parts if part), ty]
    return ty


def _all(parts):
    return [ty for part in parts for ty in part.defined]


def flat(ty):
    """Return a type's core types, as the canonical ABI flattens it."""
    match ty.kind:
        case "scalar":
            return [CORE[ty.use]]
        case "string" | "list":
            return ["i32", "i32"]
        case "record" | "tuple":
            return [core for part in ty.parts for core in flat(part)]
        case "flags" | "enum":
            return ["i32"]
    joined = []
    for part in ty.parts:
        for position, core in enumerate(flat(part) if part else []):
            if position == len(joined):
                joined.append(core)
            elif joined[position] != core:
                joined[position] = "i32" if {joined[position], core} == {"i32", "f32"} else "i64"
    return ["i32", *joined]


def layout(ty):
    """Return size and alignment in memory."""
    match ty.kind:
        case "scalar":
            size = {"bool": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8}.get(ty.use, 4)
            return size, size
        case "string" | "list":
            return 8, 4
        case "record" | "tuple":
            offset, most = 0, 1
            for size, alignment in map(layout, ty.parts):
                offset, most = -(-offset // alignment) * alignment + size, max(most, alignment)
            return -(-offset // most) * most, most
        case "flags":
            size = 1 if len(ty.names) <= 8 else 2 if len(ty.names) <= 16 else 4
            return size, size
    inner = [layout(part) for part in ty.parts if part]
    most = max([1, *(alignment for _, alignment in inner)])
    return -(-(most + max([0, *(size for size, _ in inner)])) // most) * most, most


def component(ty, *, wipes=False):
    """Return the binary of the component described above; with `wipes`, its post-return overwrites all memory."""
    cores, (size, _) = flat(ty), layout(ty)
    in_memory = len(cores) > 16
    parameters = ["i32"] if in_memory else cores
    result_in_memory = len(cores) > 1
    imported = [*parameters, "i32"] if result_in_memory else parameters
    back = "" if result_in_memory else f"(result {cores[0]})"
    shown = "".join(f"({core}.store (i32.const {1024 + 8 * number}) (local.get {number}))" for number, core in enumerate(parameters))
    passed = " ".join(f"(local.get {number})" for number in range(len(parameters)))
    if result_in_memory:
        call = f"(call $echo {passed} (i32.const 2048)) (call $show (i32.const 2048) (i32.const {size})) (i32.const 2048)"
    else:
        call = (
            f"(local.set $r (call $echo {passed})) ({cores[0]}.store (i32.const 2048) (local.get $r))"
            " (call $show (i32.const 2048) (i32.const 8)) (local.get $r)"
        )
    defined = list({one.use: one for one in ty.defined}.values())
    inside = "".join(f"(type {one.use}' {one.definition}) (export \"{one.use[1:]}\" (type {one.use} (eq {one.use}')))\n" for one in defined)
    outside = "".join(f'(alias export $host "{one.use[1:]}" (type {one.use}))\n' for one in defined)
    exported = "".join(f'(export "{one.use[1:]}" (type {one.use}))' for one in defined)
    here = f"(call $show (local.get 0) (i32.const {size}))" if in_memory else ""
    local = "" if result_in_memory else f"(local $r {cores[0]})"
    memory_result = "(result i32)" if result_in_memory else back
    post_return = '(alias core export $main "p" (core func $p))' if wipes else ""
    with_post_return = "(post-return $p)" if wipes else ""
    return bytes(
        wasmtime.wat2wasm(f"""(component
  (import "host" (instance $host {inside}
    (export "echo" (func (param "x" {ty.use}) (result {ty.use})))
    (export "show" (func (param "bytes" (list u8))))))
  {outside}
  (core module $Libc
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param $o i32) (param $s i32) (param $a i32) (param $n i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get $a) (i32.const 1))) (i32.sub (i32.const 0) (local.get $a))))
      (global.set $top (i32.add (local.get $at) (local.get $n)))
      (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
        (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $n) (i32.const 16)))))))
      (local.get $at)))
  (core instance $libc (instantiate $Libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (alias export $host "echo" (func $h.echo)) (alias export $host "show" (func $h.show))
  (core func $echo (canon lower (func $h.echo) (memory $memory) (realloc $realloc)))
  (core func $show (canon lower (func $h.show) (memory $memory) (realloc $realloc)))
  (core module $Main
    (import "l" "memory" (memory 1))
    (import "h" "echo" (func $echo {"".join(f"(param {core})" for core in imported)} {back}))
    (import "h" "show" (func $show (param i32 i32)))
    (func (export "f") {"".join(f"(param {core})" for core in parameters)} {memory_result} {local}
      {shown} (call $show (i32.const 1024) (i32.const {8 * len(parameters)})) {here} {call})
    (func (export "p") (param {"i32" if result_in_memory else cores[0]})
      (memory.fill (i32.const 0) (i32.const 255) (i32.shl (memory.size) (i32.const 16)))))
  (core instance $main (instantiate $Main (with "l" (instance $libc))
    (with "h" (instance (export "echo" (func $echo)) (export "show" (func $show))))))
  (alias core export $main "f" (core func $f)) {post_return}
  (func $lifted (param "x" {ty.use}) (result {ty.use}) (canon lift (core func $f) (memory $memory) (realloc $realloc) {with_post_return}))
  (instance $api {exported} (export "f" (func $lifted)))
  (export "api" (instance $api)))""")
    )


def directly(engine, data, host, *, destructors=None):
    """Instantiate with the direct engine's parts; `host` maps names to functions."""
    plan = Planner(lambda code: wasmtime.Module(engine, code)).plan(read(data))
    store = wasmtime.Store(engine)
    bound = Bound(
        plan, store, lambda function: host[function.name], {r: d for r in plan.resources if (d := (destructors or {}).get(r.name))}
    )
    return store, bound


def stockly(engine, data, host):
    """Instantiate with wasmtime's component API; `host` maps names of functions of the interface "host" to functions without a store."""
    store, linker, compiled = wasmtime.Store(engine), wc.Linker(engine), wc.Component(engine, data)
    with linker.root() as root, root.add_instance("host") as instance:
        for name, function in host.items():
            instance.add_func(name, lambda _store, *arguments, function=function: function(*arguments))
    made = linker.instantiate(store, compiled)
    found = made.get_export_index(store, "f", made.get_export_index(store, "api"))
    function = made.get_func(store, found)
    return store, function


class Ambiguous(Exception):
    """wasmtime-py cannot be told which case is meant: it takes True for an integer."""


def to_stock(ty, value, stock):
    """Turn a value of the direct engine's form into one that wasmtime-py takes for its type `stock`."""
    match ty.kind:
        case "list":
            return value if ty.parts[0].use == "u8" else [to_stock(ty.parts[0], one, stock.element) for one in value]
        case "tuple":
            return tuple(to_stock(part, one, inner) for part, one, inner in zip(ty.parts, value, stock.elements, strict=True))
        case "record":
            inner = [field_type for _, field_type in stock.fields]
            return record([(name, to_stock(*one)) for name, *one in zip(ty.names, ty.parts, value, inner, strict=True)])
        case "flags":
            return set(value)
        case "option" | "result" | "variant":
            return _choice_to_stock(ty, value, stock)
    return value


def _choice_to_stock(ty, value, stock):
    names = {"option": ("none", "some"), "result": ("ok", "err")}.get(ty.kind, ty.names)
    parts = (None, *ty.parts) if ty.kind == "option" else ty.parts
    tag, payload = (("none", None) if value is None else ("some", value)) if ty.kind == "option" else value
    number = names.index(tag)
    cases = stock._cases()
    if parts[number]:
        payload = to_stock(parts[number], payload, cases[number][1])
    if stock._tagged():
        return wc.Variant(tag, payload)
    classes = set()
    for _, inner in cases:
        if inner:
            inner.add_classes(classes)
    if {bool, int} <= classes:
        raise Ambiguous
    return payload

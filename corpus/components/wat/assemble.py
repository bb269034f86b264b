"""From core text to a component: scan for calls, import and lower what they name, lift the exports.

Only forms that every wasmtime since 36 reads alike are used: functions are named by aliases first and referred to by
index, never by inline `(core func …)` sort references (facts: "text drift").
"""

import re
from collections.abc import Iterable, Mapping

from corpus.components.wat.exports import EXPORTED_INTERFACES, EXPORTS, WORLDS
from corpus.components.wat.interfaces import INTERFACES
from corpus.components.wat.library import LIBC, LITERALS, MEMORY_MAP, PORTS, SNIPPETS

ERROR_KINDS = ("invalid-input", "unavailable", "internal", "deadline-exceeded", "fatal")

_CALL = re.compile(r"\(call \$([\w.\-]+)")
_STRING = r'"((?:[^"\\]|\\.)*)"'
_FAIL = re.compile(rf"\(fail ([a-z-]+) {_STRING}\)")
_TEXT = re.compile(rf"\(text {_STRING}\)")
_ESCAPE = re.compile(r"\\([0-9a-fA-F]{2}|.)")

_FUNCTIONS = {call: (interface, f) for interface, i in INTERFACES.items() for call, f in i.functions.items()}
_DROPS = {f"drop-{resource}": (interface, resource) for interface, i in INTERFACES.items() for resource in i.resources}


def component(world: str, bodies: Mapping[str, str], *, module: str = "", title: str = "") -> str:
    """Return the text of a component of `world` whose exported functions have these bodies.

    Args:
        world: a key of `WORLDS`.
        bodies: per exported function, its locals and instructions. `init`, `teardown`, `complete` and
            `notify-backpressure` may be left out; they then succeed and do nothing.
        module: further fields of the core module: globals, functions, data.
        title: a comment for the top of the text.

    Raises:
        ValueError: an export the world does not have or a body that is missing, an unknown error kind, or an
            interface that `world` may not import. A misspelt helper is reported by wasmtime, when it reads the text.

    """
    if unknown := bodies.keys() - set(_exported(world)):
        raise ValueError(f"{world} does not export {', '.join(sorted(unknown))}")
    literals = _Literals()
    functions = [_core_function(name, _body(world, name, bodies), literals) for name in _exported(world)]
    own = literals.expand(module, error_offset=None).rstrip()
    own = own if not own or own.startswith("\n") else f"\n    {own}"
    text = "".join([own, *functions])
    snippets, interfaces, calls = _needs(world, text)
    data = literals.data()
    heading = f";; {title}\n" if title else ""
    return (
        f"{heading}(component"
        f"{''.join(_import(name, calls) for name in interfaces)}"
        f"{LIBC}"
        f"{''.join(_lower(call) for call in calls)}"
        f"\n  (core module $Main"
        f"{_core_imports(calls)}{MEMORY_MAP}{data}{own}{''.join(SNIPPETS[name] for name in snippets)}"
        f"{''.join(functions)}"
        f"""
    ;; After every call with a result: the heap is free again.
    (func (export "done") (param i32) (global.set $top (global.get $base))))"""
        f"{_instantiate(calls)}"
        f"{''.join(_lift(name) for name in _exported(world))}"
        f"{''.join(_export(name) for name in WORLDS[world].exports)}"
        "\n)\n"
    )


def imported_interfaces(world: str, bodies: Mapping[str, str], module: str = "") -> tuple[str, ...]:
    """Return the full names of the interfaces such a component imports, in order."""
    literals = _Literals()
    text = module + "".join(_core_function(name, _body(world, name, bodies), literals) for name in _exported(world))
    _, interfaces, _ = _needs(world, text)
    return tuple(INTERFACES[name].name for name in interfaces)


def _exported(world: str) -> list[str]:
    return [function for name in WORLDS[world].exports for function in EXPORTED_INTERFACES[name].functions]


def _body(world: str, name: str, bodies: Mapping[str, str]) -> str:
    body = bodies.get(name, EXPORTS[name].default)
    if body is None:
        raise ValueError(f"{world}: no body for {name}")
    return body


def _core_function(name: str, body: str, literals: "_Literals") -> str:
    export = EXPORTS[name]
    result = "" if export.error_offset is None else " (result i32)"
    parameters = f" {export.parameters}" if export.parameters else ""
    expanded = literals.expand(body, error_offset=export.error_offset).strip("\n").rstrip()
    lines = f"\n{expanded}" if expanded.startswith(" ") else f"\n      {expanded}" if expanded else ""
    return f'\n    (func (export "{name}"){parameters}{result}{lines})'


class _Literals:
    """Replaces the macros of guest text, and keeps the literals they named."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._free = LITERALS

    def expand(self, text: str, *, error_offset: int | None) -> str:
        """Return `text` without macros; `(fail …)` needs the offset of the running export's error."""

        def fail(match: re.Match[str]) -> str:
            kind, message = match.groups()
            if kind not in ERROR_KINDS:
                raise ValueError(f"{kind} is no process-error; expected one of {', '.join(ERROR_KINDS)}")
            if error_offset is None:
                raise ValueError(f"(fail {kind} …) outside an export that has a result")
            case = f"(i32.const {ERROR_KINDS.index(kind)} (;{kind};))"
            return f"(call $fail-at (i32.const {error_offset}) {case} {self._literal(message)})"

        return _TEXT.sub(lambda match: self._literal(match.group(1)), _FAIL.sub(fail, text))

    def data(self) -> str:
        """Return the data segments of every literal named so far."""
        return "".join(f'\n    (data (i32.const {at}) "{text}")' for text, at in self._at.items() if text)

    def _literal(self, text: str) -> str:
        size = len(_ESCAPE.sub("x", text).encode())
        if text not in self._at:
            self._at[text] = self._free
            self._free += size
            if self._free > PORTS:
                raise ValueError(f"literals need more than {PORTS - LITERALS} bytes")
        return f"(i32.const {self._at[text]}) (i32.const {size})"


def _needs(world: str, text: str) -> tuple[list[str], list[str], list[str]]:
    """Return the snippets, the interfaces and the host calls that `text` needs, each in its fixed order."""
    found: set[str] = set()
    pending = set(_CALL.findall(text))
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending |= set(_CALL.findall(SNIPPETS.get(name, "")))
    interfaces = {_FUNCTIONS[name][0] for name in found if name in _FUNCTIONS}
    interfaces |= {_DROPS[name][0] for name in found if name in _DROPS}
    interfaces |= {"types"}
    for name in reversed(INTERFACES):
        if name in interfaces:
            interfaces |= set(INTERFACES[name].needs)
    ours = {name for name in interfaces if INTERFACES[name].name.startswith("torvyn:")}
    if forbidden := ours - {*WORLDS[world].imports, "capability-query"}:
        raise ValueError(f"{world} does not import {', '.join(sorted(forbidden))}")
    calls = [name for name in (*_FUNCTIONS, *_DROPS, "realloc") if name in found]
    return [name for name in SNIPPETS if name in found], [name for name in INTERFACES if name in interfaces], calls


def _import(name: str, calls: Iterable[str]) -> str:
    interface = INTERFACES[name]
    functions = "".join(f'\n    (export "{f.name}" (func {f.type}))' for call, f in interface.functions.items() if call in calls)
    aliases = "".join(f'\n  (alias export ${name} "{exported}" (type ${alias}))' for exported, alias in interface.aliases.items())
    return f'\n  (import "{interface.name}" (instance ${name}{interface.declarations}{functions}))' + aliases


def _lower(call: str) -> str:
    if call == "realloc":
        return ""
    if call in _DROPS:
        return f"\n  (core func ${call} (canon resource.drop ${_DROPS[call][1]}))"
    interface, function = _FUNCTIONS[call]
    options = " (memory $memory) (realloc $realloc)" if function.memory else ""
    return (
        f'\n  (alias export ${interface} "{function.name}" (func $host.{call}))'
        f"\n  (core func ${call} (canon lower (func $host.{call}){options}))"
    )


def _core_imports(calls: Iterable[str]) -> str:
    lines = [
        '(import "libc" "memory" (memory 1))',
        '(import "libc" "base" (global $base (mut i32)))',
        '(import "libc" "top" (global $top (mut i32)))',
    ]
    for call in calls:
        if call == "realloc":
            lines.append('(import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))')
        else:
            core = "(param i32)" if call in _DROPS else _FUNCTIONS[call][1].core
            lines.append(f'(import "host" "{call}" (func ${call} {core}))')
    return "".join(f"\n    {line}" for line in lines)


def _instantiate(calls: Iterable[str]) -> str:
    host = "".join(f'\n      (export "{call}" (func ${call}))' for call in calls if call != "realloc")
    return f"""
  (core instance $main (instantiate $Main
    (with "libc" (instance $libc))
    (with "host" (instance{host}))))
  (alias core export $main "done" (core func $done))"""


def _lift(name: str) -> str:
    export = EXPORTS[name]
    options = "" if export.error_offset is None else " (memory $memory) (realloc $realloc) (post-return $done)"
    typed = f" {export.type}" if export.type else ""
    return (
        f'\n  (alias core export $main "{name}" (core func $main.{name}))'
        f"\n  (func ${name}{typed}"
        f"\n    (canon lift (core func $main.{name}){options}))"
    )


def _export(name: str) -> str:
    interface = EXPORTED_INTERFACES[name]
    types = "".join(f'\n    (export "{used}" (type ${used}))' for used in interface.uses)
    functions = "".join(f'\n    (export "{f}" (func ${f}))' for f in interface.functions)
    return f'\n  (instance ${name}{types}{functions})\n  (export "{interface.name}" (instance ${name}))'

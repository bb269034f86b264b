"""Resolved packages as WIT text: one canonical layout, which reads back as the same package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torvyn_ref.contract.wit.lexer import KEYWORDS
from torvyn_ref.contract.wit.model import (
    Alias,
    Borrow,
    Definition,
    Enum,
    Field,
    Flags,
    Function,
    FunctionItem,
    FunctionKind,
    InlineItem,
    Interface,
    InterfaceItem,
    InterfaceName,
    Item,
    ListOf,
    Named,
    OptionOf,
    Own,
    Package,
    PackageName,
    Primitive,
    Record,
    Resource,
    ResultOf,
    TupleOf,
    Type,
    Use,
    Variant,
    World,
)

_INDENT = "    "


def format_package(package: Package) -> str:
    """Return the whole package as the text of one file."""
    blocks = [f"package {_package(package.name)};"]
    blocks += ["\n".join(_interface(interface)) for interface in package.interfaces]
    blocks += ["\n".join(_world(world)) for world in package.worlds]
    return "\n\n".join(blocks) + "\n"


def format_type(kind: Type, *, local: dict[Named, str] | None = None) -> str:
    """Return a type as written where `local` names the types in sight; others are written `package/interface.name`."""
    match kind:
        case Primitive():
            return kind.value
        case Named():
            known = (local or {}).get(kind)
            return _name(known) if known is not None else f"{kind.interface}.{kind.name}"
        case Own(resource):
            return format_type(resource, local=local)
        case Borrow(resource):
            return f"borrow<{format_type(resource, local=local)}>"
        case ListOf(element):
            return f"list<{format_type(element, local=local)}>"
        case OptionOf(element):
            return f"option<{format_type(element, local=local)}>"
        case TupleOf(items):
            return f"tuple<{', '.join(format_type(item, local=local) for item in items)}>"
        case ResultOf(ok, error):
            first = format_type(ok, local=local) if ok is not None else "_"
            if error is not None:
                return f"result<{first}, {format_type(error, local=local)}>"
            return "result" if ok is None else f"result<{first}>"


def _name(name: str) -> str:
    return f"%{name}" if name in KEYWORDS else name


def _package(name: PackageName) -> str:
    version = f"@{name.version}" if name.version else ""
    return f"{_name(name.namespace)}:{_name(name.name)}{version}"


def _path(name: InterfaceName, home: PackageName) -> str:
    if name.package == home:
        return _name(name.name)
    version = f"@{name.package.version}" if name.package.version else ""
    return f"{_name(name.package.namespace)}:{_name(name.package.name)}/{_name(name.name)}{version}"


def _docs(docs: str) -> Iterator[str]:
    if docs:
        yield from (f"/// {line}".rstrip() for line in docs.split("\n"))


def _indented(lines: Iterable[str]) -> Iterator[str]:
    yield from (_INDENT + line if line else line for line in lines)


def _sight(name: InterfaceName, uses: Iterable[Use], types: Iterable[Definition]) -> dict[Named, str]:
    return {use.target: use.name for use in uses} | {Named(name, definition.name): definition.name for definition in types}


def _interface(interface: Interface) -> Iterator[str]:
    yield from _docs(interface.docs)
    yield f"interface {_name(interface.name.name)} {{"
    yield from _indented(_body(interface))
    yield "}"


def _body(interface: Interface) -> Iterator[str]:
    sight = _sight(interface.name, interface.uses, interface.types)
    blocks = [list(_uses(interface.uses, interface.name.package))] if interface.uses else []
    blocks += [list(_definition(definition, sight)) for definition in interface.types]
    blocks += [list(_function(function, sight)) for function in interface.functions]
    yield from _spaced(blocks)


def _spaced(blocks: Iterable[list[str]]) -> Iterator[str]:
    for number, block in enumerate(blocks):
        if number:
            yield ""
        yield from block


def _uses(uses: Iterable[Use], home: PackageName) -> Iterator[str]:
    by_interface: dict[InterfaceName, list[str]] = {}
    for use in uses:
        written = _name(use.target.name) if use.target.name == use.name else f"{_name(use.target.name)} as {_name(use.name)}"
        by_interface.setdefault(use.target.interface, []).append(written)
    for name, written_names in by_interface.items():
        yield f"use {_path(name, home)}.{{{', '.join(written_names)}}};"


def _definition(definition: Definition, sight: dict[Named, str]) -> Iterator[str]:
    yield from _docs(definition.docs)
    name = _name(definition.name)
    match definition:
        case Alias(_, target):
            yield f"type {name} = {format_type(target, local=sight)};"
        case Resource(_, functions):
            if not functions:
                yield f"resource {name};"
                return
            yield f"resource {name} {{"
            yield from _indented(_spaced([list(_function(function, sight)) for function in functions]))
            yield "}"
        case Record(_, fields):
            members = [(field.docs, f"{_name(field.name)}: {format_type(field.type, local=sight)}") for field in fields]
            yield from _members("record", name, members)
        case Variant(_, cases):
            written = [
                (case.docs, _name(case.name) + (f"({format_type(case.type, local=sight)})" if case.type is not None else ""))
                for case in cases
            ]
            yield from _members("variant", name, written)
        case Enum(_, labels):
            yield from _members("enum", name, [(label.docs, _name(label.name)) for label in labels])
        case Flags(_, labels):
            yield from _members("flags", name, [(label.docs, _name(label.name)) for label in labels])


def _members(keyword: str, name: str, members: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"{keyword} {name} {{"
    for docs, written in members:
        yield from _indented(_docs(docs))
        yield f"{_INDENT}{written},"
    yield "}"


def _function(function: Function, sight: dict[Named, str]) -> Iterator[str]:
    yield from _docs(function.docs)
    parameters = _parameters(function.parameters, sight)
    if function.kind is FunctionKind.CONSTRUCTOR:
        yield f"constructor({parameters});"
        return
    static = "static " if function.kind is FunctionKind.STATIC else ""
    yield f"{_name(function.name)}: {static}{_signature(function, sight)};"


def _signature(function: Function, sight: dict[Named, str]) -> str:
    result = f" -> {format_type(function.result, local=sight)}" if function.result is not None else ""
    return f"func({_parameters(function.parameters, sight)}){result}"


def _parameters(parameters: Iterable[Field], sight: dict[Named, str]) -> str:
    return ", ".join(f"{_name(field.name)}: {format_type(field.type, local=sight)}" for field in parameters)


def _world(world: World) -> Iterator[str]:
    sight = _sight(world.name, world.uses, world.types)
    yield from _docs(world.docs)
    yield f"world {_name(world.name.name)} {{"
    blocks = [list(_uses(world.uses, world.name.package))] if world.uses else []
    blocks += [list(_definition(definition, sight)) for definition in world.types]
    blocks += [list(_item("import", item, world, sight)) for item in world.imports]
    blocks += [list(_item("export", item, world, sight)) for item in world.exports]
    for block in blocks:
        yield from _indented(block)
    yield "}"


def _item(keyword: str, item: Item, world: World, sight: dict[Named, str]) -> Iterator[str]:
    match item:
        case InterfaceItem(interface):
            yield f"{keyword} {_path(interface, world.name.package)};"
        case FunctionItem(function):
            yield from _docs(function.docs)
            yield f"{keyword} {_name(function.name)}: {_signature(function, sight)};"
        case InlineItem(name, body):
            yield f"{keyword} {_name(name)}: interface {{"
            yield from _indented(_body(body))
            yield "}"

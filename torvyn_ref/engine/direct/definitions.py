"""What a component's binary holds: definitions in order, as the reader found them. Indices count per sort, as in the format."""

from __future__ import annotations

from typing import Any, NamedTuple

RawType = tuple[Any, ...]
"""A type as the binary has it: its constructor's name, then its parts; a part that is an int is a type index, a str a primitive."""


class CoreModule(NamedTuple):
    """An embedded core module."""

    code: bytes


class CoreInstantiate(NamedTuple):
    """A core module instantiated with core instances, by the module name that it imports."""

    module: int
    arguments: tuple[tuple[str, int], ...]


class CoreBundle(NamedTuple):
    """A core instance made of items: (name, sort, index)."""

    exports: tuple[tuple[str, str, int], ...]


class CoreType(NamedTuple):
    """A core type; only its place in the index space matters."""


class Component(NamedTuple):
    """A component inside the component."""

    definitions: tuple[Definition, ...]


class Instantiate(NamedTuple):
    """A component instantiated with items: (name, sort, index)."""

    component: int
    arguments: tuple[tuple[str, str, int], ...]


class Bundle(NamedTuple):
    """An instance made of items: (name, sort, index)."""

    exports: tuple[tuple[str, str, int], ...]


class AliasExport(NamedTuple):
    """An export of an instance (a core instance, if `core`), by name."""

    sort: str
    instance: int
    name: str
    core: bool


class AliasOuter(NamedTuple):
    """An item of the component `levels` out."""

    sort: str
    levels: int
    number: int


class TypeDefinition(NamedTuple):
    """A component type."""

    type: RawType


class Options(NamedTuple):
    """The options of a lift or lower: indices of a core memory and of core functions."""

    memory: int | None = None
    realloc: int | None = None
    post_return: int | None = None


class Lift(NamedTuple):
    """A core function as a component function of type `type`."""

    function: int
    options: Options
    type: int


class Lower(NamedTuple):
    """A component function as a core function."""

    function: int
    options: Options


class ResourceFunction(NamedTuple):
    """resource.new, resource.drop or resource.rep as a core function."""

    operation: str
    type: int


class Import(NamedTuple):
    """An import: its sort, and a type index or, for types, a bound ("eq", index) or ("sub",)."""

    name: str
    sort: str
    bound: Any


class Export(NamedTuple):
    """An export of an item."""

    name: str
    sort: str
    number: int


Definition = (
    CoreModule
    | CoreInstantiate
    | CoreBundle
    | CoreType
    | Component
    | Instantiate
    | Bundle
    | AliasExport
    | AliasOuter
    | TypeDefinition
    | Lift
    | Lower
    | ResourceFunction
    | Import
    | Export
)

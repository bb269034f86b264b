"""A plan: what making an instance of a component takes. `planner` makes it, `bound` carries it out in a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import wasmtime

from torvyn_ref.engine.direct.codegen import Bind
from torvyn_ref.engine.direct.glue import GlueFunction
from torvyn_ref.engine.direct.scope import Unimplemented
from torvyn_ref.engine.direct.types import Function, Resource


class Item(NamedTuple):
    """An export of a core instance that the plan instantiates."""

    instance: int
    name: str
    type: object
    """wasmtime's description of it."""


class Glued(NamedTuple):
    """A core function that glue provides."""

    number: int


CoreValue = Item | Glued


class HostFunction(NamedTuple):
    """A function that the component imports."""

    interface: str
    name: str
    type: Function | Unimplemented


class GuestFunction(NamedTuple):
    """A function that the component lifts."""

    number: int
    type: Function


@dataclass(slots=True)
class Crossing:
    """One lifted or lowered function, or resource built-in: everything an instance needs to bind it.

    Attributes:
        bind: the generated binder; None for resource built-ins, which need none.
        resources: what its `r0..` stand for.
        host: for lowered functions, what is called; for resource built-ins (operation, resource); for lifted ones None.
        target: for lifted functions, the core function.
    """

    glue: GlueFunction
    bind: Bind | None
    resources: tuple[Resource, ...]
    memory: CoreValue | None = None
    realloc: CoreValue | None = None
    host: HostFunction | tuple[str, Resource] | None = None
    target: CoreValue | None = None
    post_return: CoreValue | None = None


@dataclass(slots=True)
class InstantiateModule:
    """A step: instantiate a core module; imports in the module's own order."""

    module: wasmtime.Module
    imports: tuple[CoreValue, ...]


@dataclass(slots=True)
class MakeGlue:
    """A step: instantiate a glue module for these crossings."""

    module: wasmtime.Module
    crossings: tuple[Crossing, ...]
    imports: tuple[CoreValue, ...]
    """In the module's own order, after scratch memory and dispatcher."""


@dataclass(slots=True)
class Plan:
    """How to make instances of a component."""

    steps: list[InstantiateModule | MakeGlue] = field(default_factory=list)
    exports: dict[str, dict[str, GuestFunction]] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    crossings: int = 0

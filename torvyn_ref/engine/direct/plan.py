"""The planning pass: a component's definitions evaluated without running anything, into what an instance has to do.

Everything that this engine cannot run is refused here, before any guest code runs. What remains are steps: instantiate this core module
with these items, make this glue. The generated lift and lower code, and the glue modules, are part of the plan, so an instance only binds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import wasmtime

from torvyn_ref.engine.direct import reader
from torvyn_ref.engine.direct.codegen import Bind, lifted, lowered
from torvyn_ref.engine.direct.errors import Unsupported
from torvyn_ref.engine.direct.glue import GlueFunction, module_text
from torvyn_ref.engine.direct.types import Case, Choice, Flags, Function, Handle, Record, Resource, Scalar, Sequence_, Text, Type

MOST_FUNCTIONS = 4096
"""Lifted and lowered functions of one component."""


class Item(NamedTuple):
    """An export of a core instance that the plan instantiates."""

    instance: int
    name: str
    sort: str


class Glued(NamedTuple):
    """A core function that glue provides."""

    number: int


CoreValue = Item | Glued


class HostFunction(NamedTuple):
    """A function that the component imports."""

    interface: str
    name: str
    type: Function


class GuestFunction(NamedTuple):
    """A function that the component lifts."""

    number: int
    type: Function


@dataclass(slots=True)
class Crossing:
    """One lifted or lowered function, or resource built-in: everything an instance needs to bind it.

    Attributes:
        bind: the generated binder.
        resources: what its `r0..` stand for.
        host: for lowered functions, what is called; for resource built-ins (operation, resource); for lifted ones None.
        target: for lifted functions, the core function.
    """

    glue: GlueFunction
    bind: Bind
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
    imports: tuple[CoreValue | None, ...]
    """In the module's own order, after scratch memory and dispatcher."""


@dataclass(slots=True)
class Plan:
    """How to make instances of a component."""

    steps: list[InstantiateModule | MakeGlue] = field(default_factory=list)
    imports: dict[str, dict[str, Function]] = field(default_factory=dict)
    exports: dict[str, dict[str, GuestFunction]] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    crossings: int = 0


Steps = InstantiateModule | MakeGlue


class _Scope:
    """The index spaces of one component, or of one instance type."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self.outer = outer
        self.exports: dict[str, tuple[str, Any]] = {}
        self._spaces: dict[str, list[Any]] = {}

    def add(self, sort: str, value: Any) -> None:
        self._spaces.setdefault(sort, []).append(value)

    def get(self, sort: str, index: int) -> Any:
        space = self._spaces.get(sort, [])
        if index >= len(space):
            raise Unsupported(f"a {sort} with index {index}, of {len(space)}")
        return space[index]

    def up(self, count: int) -> _Scope:
        scope: _Scope | None = self
        for _ in range(count):
            scope = scope.outer if scope is not None else None
        if scope is None:
            raise Unsupported(f"an outer alias {count} levels up")
        return scope


class _Declared(NamedTuple):
    """An instance or component type: its declarations, and where they look outwards."""

    kind: str
    declarations: Sequence[reader.Definition]
    scope: _Scope


class Planner:
    """Evaluates one component.

    Args:
        compile_module: compiles core modules, from binaries and from text; it knows those that it has seen before.
    """

    def __init__(self, compile_module: Callable[[bytes], wasmtime.Module]) -> None:
        self._compile_module = compile_module
        self._plan = Plan()
        self._waiting: list[Crossing] = []
        self._modules: list[wasmtime.Module] = []
        self._host_resources: dict[tuple[str, str], Resource] = {}

    def plan(self, definitions: Sequence[reader.Definition]) -> Plan:
        """Return the plan of a component.

        Raises:
            Unsupported: a shape that this engine does not implement, by name.
        """
        scope = _Scope()
        self._evaluate(definitions, scope, None)
        self._glue()
        self._plan.exports = {
            name: {inner: item for inner, (sort, item) in value.items() if sort == "func" and isinstance(item, GuestFunction)}
            for name, (sort, value) in scope.exports.items()
            if sort == "instance"
        }
        return self._plan

    # ---- definitions

    def _evaluate(self, definitions: Sequence[reader.Definition], scope: _Scope, arguments: Mapping[str, tuple[str, Any]] | None) -> None:
        for definition in definitions:
            match definition:
                case reader.CoreModule(code):
                    scope.add("core module", self._compile_module(code))
                case reader.CoreInstantiate():
                    self._only_outermost(arguments)
                    scope.add("core instance", self._core_instance(definition, scope))
                case reader.CoreBundle(exports):
                    scope.add("core instance", {name: scope.get(sort, index) for name, sort, index in exports})
                case reader.CoreType():
                    scope.add("core type", None)
                case reader.Component(inner):
                    scope.add("component", (inner, scope))
                case reader.Instantiate(component, items):
                    inner, home = scope.get("component", component)
                    child = _Scope(home)
                    self._evaluate(inner, child, {name: (sort, scope.get(sort, index)) for name, sort, index in items})
                    scope.add("instance", child.exports)
                case reader.Bundle(exports):
                    scope.add("instance", {name: (sort, scope.get(sort, index)) for name, sort, index in exports})
                case reader.AliasExport():
                    scope.add(definition.sort, self._alias(definition, scope))
                case reader.AliasOuter(sort, count, index):
                    scope.add(sort, scope.up(count).get(sort, index))
                case reader.TypeDefinition(raw):
                    scope.add("type", self._type(raw, scope))
                case reader.Lift():
                    self._only_outermost(arguments)
                    scope.add("func", self._lift(definition, scope))
                case reader.Lower():
                    self._only_outermost(arguments)
                    scope.add("core func", self._lower(definition, scope))
                case reader.ResourceFunction(operation, type_index):
                    self._only_outermost(arguments)
                    scope.add("core func", self._resource_function(operation, scope.get("type", type_index)))
                case reader.Import(name, sort, bound):
                    scope.add(sort, self._import(name, sort, bound, scope, arguments))
                case reader.Export(name, sort, index):
                    value = scope.get(sort, index)
                    scope.exports[name] = (sort, value)
                    scope.add(sort, value)

    @staticmethod
    def _only_outermost(arguments: object) -> None:
        if arguments is not None:
            raise Unsupported("a component composed of several: an inner component with code of its own")

    def _core_instance(self, definition: reader.CoreInstantiate, scope: _Scope) -> dict[str, CoreValue]:
        module: wasmtime.Module = scope.get("core module", definition.module)
        instances: dict[str, dict[str, CoreValue]] = {name: scope.get("core instance", index) for name, index in definition.arguments}
        imports: list[CoreValue] = []
        for wanted in module.imports:
            provided = instances.get(wanted.module, {}).get(wanted.name or "")
            if provided is None:
                raise Unsupported(f"a core module's import {wanted.module} {wanted.name} that nothing provides")
            imports.append(provided)
        if any(isinstance(value, Glued) for value in imports):
            self._glue()
        number = len(self._modules)
        self._modules.append(module)
        self._plan.steps.append(InstantiateModule(module, tuple(imports)))
        return {export.name: Item(number, export.name, _sort_of(export.type)) for export in module.exports}

    @staticmethod
    def _alias(definition: reader.AliasExport, scope: _Scope) -> Any:
        if definition.core:
            instance = scope.get("core instance", definition.instance)
            if definition.name not in instance:
                raise Unsupported(f"an alias of {definition.name!r}, which a core instance does not export")
            return instance[definition.name]
        exports = scope.get("instance", definition.instance)
        if definition.name not in exports:
            raise Unsupported(f"an alias of {definition.name!r}, which an instance does not export")
        return exports[definition.name][1]

    def _import(self, name: str, sort: str, bound: Any, scope: _Scope, arguments: Mapping[str, tuple[str, Any]] | None) -> Any:
        if arguments is not None:
            if name not in arguments:
                raise Unsupported(f"an inner component's import {name!r} that nothing provides")
            return arguments[name][1]
        if sort == "instance":
            declared = scope.get("type", bound)
            if not isinstance(declared, _Declared):
                raise Unsupported(f"an import {name!r} whose type is no instance type")
            functions: dict[str, Function] = {}
            items = self._declare(declared, name, functions)
            self._plan.imports[name] = functions
            return items
        if sort == "func":  # planned like any other; that nothing provides it is for linking to say
            return HostFunction("", name, scope.get("type", bound))
        if sort == "type" and bound[0] == "eq":
            return scope.get("type", bound[1])
        raise Unsupported(f"an import of a {sort} at the top ({name!r}); interfaces are implemented")

    def _declare(self, declared: _Declared, interface: str, functions: dict[str, Function]) -> dict[str, tuple[str, Any]]:
        """Make the items of an imported instance from its type."""
        scope = _Scope(declared.scope)
        items: dict[str, tuple[str, Any]] = {}
        for declaration in declared.declarations:
            match declaration:
                case reader.TypeDefinition(raw):
                    scope.add("type", self._type(raw, scope))
                case reader.AliasOuter(sort, count, index):
                    scope.add(sort, scope.up(count).get(sort, index))
                case reader.AliasExport():
                    scope.add(declaration.sort, self._alias(declaration, scope))
                case reader.CoreType():
                    scope.add("core type", None)
                case reader.Import(name, "type", bound):
                    value = scope.get("type", bound[1]) if bound[0] == "eq" else self._host_resource(interface, name)
                    scope.add("type", value)
                    items[name] = ("type", value)
                case reader.Import(name, "func", bound):
                    function = scope.get("type", bound)
                    if not isinstance(function, Function):
                        raise Unsupported(f"{interface} {name} whose type is no function type")
                    functions[name] = function
                    value = HostFunction(interface, name, function)
                    scope.add("func", value)
                    items[name] = ("func", value)
                case _:
                    raise Unsupported(f"an imported instance with a {type(declaration).__name__} inside")
        return items

    def _host_resource(self, interface: str, name: str) -> Resource:
        resource = self._host_resources.get((interface, name))
        if resource is None:
            resource = self._host_resources[interface, name] = Resource(name, interface)
            self._plan.resources.append(resource)
        return resource

    # ---- crossings

    def _lift(self, definition: reader.Lift, scope: _Scope) -> GuestFunction:
        function = scope.get("type", definition.type)
        if not isinstance(function, Function):
            raise Unsupported("a lift whose type is no function type")
        options = definition.options
        memory, realloc = self._memory(options, scope), self._core(options.realloc, scope)
        post_return = self._core(options.post_return, scope)
        result = function.result
        allocates = function.parameters_in_memory or any(ty.allocates for ty in function.parameters)
        if allocates and realloc is None:
            raise Unsupported("a lift without realloc of a function that needs one")
        crossing = Crossing(
            glue=self._glue_function(
                is_export=True,
                parameters=function.flat_parameters,
                result=None if result is None else "i32" if function.result_in_memory else result.flat[0],
                memory=memory,
                realloc=realloc if allocates else None,
                post_return=post_return,
            ),
            bind=_lifted(_Signature.of(function), memory is not None, post_return is not None),
            resources=_resources_of(function),
            memory=memory,
            realloc=realloc if allocates else None,
            target=scope.get("core func", definition.function),
            post_return=post_return,
        )
        self._waiting.append(crossing)
        return GuestFunction(crossing.glue.number, function)

    def _lower(self, definition: reader.Lower, scope: _Scope) -> Glued:
        host = scope.get("func", definition.function)
        if not isinstance(host, HostFunction):
            raise Unsupported("a call from component to component")
        function, options = host.type, definition.options
        memory, realloc = self._memory(options, scope), self._core(options.realloc, scope)
        result = function.result
        allocates = result is not None and result.allocates
        if allocates and realloc is None:
            raise Unsupported("a lower without realloc of a function that needs one")
        parameters = function.flat_parameters + (("i32",) if function.result_in_memory else ())
        crossing = Crossing(
            glue=self._glue_function(
                is_export=False,
                parameters=parameters,
                result=None if result is None or function.result_in_memory else result.flat[0],
                memory=memory,
                realloc=realloc if allocates else None,
                post_return=None,
            ),
            bind=_lowered(_Signature.of(function), memory is not None, takes_views(host)),
            resources=_resources_of(function),
            memory=memory,
            realloc=realloc if allocates else None,
            host=host,
        )
        self._waiting.append(crossing)
        return Glued(crossing.glue.number)

    def _resource_function(self, operation: str, resource: Any) -> Glued:
        if not isinstance(resource, Resource):
            raise Unsupported(f"resource.{operation} of what is no resource")
        u32 = Scalar("u32")
        function = Function(("value",), (u32,), None if operation == "drop" else u32)
        crossing = Crossing(
            glue=self._glue_function(
                is_export=False,
                parameters=("i32",),
                result=None if operation == "drop" else "i32",
                memory=None,
                realloc=None,
                post_return=None,
            ),
            bind=_lowered(_Signature.of(function), False, False),  # noqa: FBT003  # cached by position
            resources=(),
            host=(operation, resource),
        )
        self._waiting.append(crossing)
        return Glued(crossing.glue.number)

    def _glue_function(
        self,
        *,
        is_export: bool,
        parameters: tuple[str, ...],
        result: str | None,
        memory: CoreValue | None,
        realloc: CoreValue | None,
        post_return: CoreValue | None,
    ) -> GlueFunction:
        """Number a crossing; which memory and realloc of its glue module it uses is filled in by `_glue`."""
        number = self._plan.crossings
        if number >= MOST_FUNCTIONS:
            raise Unsupported(f"more than {MOST_FUNCTIONS} functions across the component's border")
        self._plan.crossings = number + 1
        has_memory, has_realloc = memory is not None, realloc is not None
        return GlueFunction(
            number,
            is_export,
            parameters,
            result,
            0 if has_memory else None,
            0 if has_realloc else None,
            has_realloc,
            post_return is not None,
        )

    def _glue(self) -> None:
        """Make one glue module for all crossings that wait."""
        if not self._waiting:
            return
        memories: list[CoreValue] = []
        reallocs: list[CoreValue] = []

        def place(value: CoreValue | None, seen: list[CoreValue]) -> int | None:
            if value is None:
                return None
            if value not in seen:
                seen.append(value)
            return seen.index(value)

        crossings = tuple(self._waiting)
        self._waiting = []
        for crossing in crossings:
            crossing.glue = crossing.glue._replace(memory=place(crossing.memory, memories), realloc=place(crossing.realloc, reallocs))
        imports: list[CoreValue | None] = [*memories, *reallocs]
        for crossing in crossings:
            imports += [crossing.target] if crossing.target is not None else []
            imports += [crossing.post_return] if crossing.post_return is not None else []
        text = module_text(tuple(crossing.glue for crossing in crossings), len(memories), len(reallocs))
        self._plan.steps.append(MakeGlue(self._compile_module(text.encode()), crossings, tuple(imports)))

    @staticmethod
    def _core(index: int | None, scope: _Scope) -> CoreValue | None:
        if index is None:
            return None
        value: CoreValue = scope.get("core func", index)
        return value

    def _memory(self, options: reader.Options, scope: _Scope) -> CoreValue | None:
        if options.memory is None:
            return None
        memory: CoreValue = scope.get("core memory", options.memory)
        assert isinstance(memory, Item), "glue exports no memories"
        ty = next(export.type for export in self._modules[memory.instance].exports if export.name == memory.name)
        if isinstance(ty, wasmtime.MemoryType) and ty.is_64:
            raise Unsupported("a 64-bit memory")
        return memory

    # ---- types

    def _type(self, raw: reader.RawType, scope: _Scope) -> Any:
        kind = raw[0]
        if kind == "func":
            names = tuple(name for name, _ in raw[1])
            result = None if raw[2] is None else self._value(raw[2], scope)
            return Function(names, tuple(self._value(part, scope) for _, part in raw[1]), result)
        if kind in {"instance", "component"}:
            return _Declared(kind, raw[1], scope)
        if kind == "resource":
            resource = Resource("resource", None, self._core(raw[1], scope))
            self._plan.resources.append(resource)
            return resource
        return self._value_type(raw, scope)

    def _value(self, part: int | str, scope: _Scope) -> Type:
        if isinstance(part, str):
            return Text() if part == "string" else Scalar(part)
        ty = scope.get("type", part)
        if not isinstance(ty, Type):
            raise Unsupported("a type index that leads to no value type")
        return ty

    def _value_type(self, raw: reader.RawType, scope: _Scope) -> Type:
        kind, *parts = raw
        match kind:
            case "primitive":
                return self._value(parts[0], scope)
            case "record":
                return Record([self._value(part, scope) for _, part in parts[0]], [name for name, _ in parts[0]])
            case "tuple":
                return Record([self._value(part, scope) for part in parts[0]])
            case "list":
                return Sequence_(self._value(parts[0], scope))
            case "flags":
                return Flags(parts[0])
            case "own" | "borrow":
                resource = scope.get("type", parts[0])
                if not isinstance(resource, Resource):
                    raise Unsupported(f"{kind} of what is no resource")
                return Handle(resource, owned=kind == "own")
        return Choice(kind, list(self._cases(kind, parts, scope)))

    def _cases(self, kind: str, parts: Sequence[Any], scope: _Scope) -> Iterable[Case]:
        def payload(part: int | str | None) -> Type | None:
            return None if part is None else self._value(part, scope)

        match kind:
            case "variant":
                return [Case(name, payload(part)) for name, part in parts[0]]
            case "enum":
                return [Case(name, None) for name in parts[0]]
            case "option":
                return [Case("none", None), Case("some", payload(parts[0]))]
            case "result":
                return [Case("ok", payload(parts[0])), Case("err", payload(parts[1]))]
            case _:
                raise Unsupported(f"a type {kind!r} where a value type belongs")


class _Signature(NamedTuple):
    """A function's type as a key for generated code: its text, and which of its resources are the same."""

    text: str
    pattern: tuple[tuple[int, bool], ...]
    function: Any

    @classmethod
    def of(cls, function: Function) -> _Signature:
        occurrences = list(_occurrences(function))
        distinct = list(dict.fromkeys(occurrences))
        return cls(str(function), tuple((distinct.index(one), one.is_own) for one in occurrences), _Opaque(function))


class _Opaque:
    """Carries a function's type through a cache without taking part in the key."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Opaque)

    def __hash__(self) -> int:
        return 0


def takes_views(host: HostFunction) -> bool:
    """Tell whether a host function takes bytes as a view of guest memory: those that copy them into a buffer at once."""
    return host.interface.partition("@")[0] == "torvyn:streaming/types"


@lru_cache(512)
def _lowered(signature: _Signature, has_memory: bool, views: bool) -> Bind:  # noqa: FBT001  # part of the cache's key
    return lowered(signature.function.function, has_memory=has_memory, views=views)


@lru_cache(512)
def _lifted(signature: _Signature, has_memory: bool, has_post_return: bool) -> Bind:  # noqa: FBT001  # as above
    return lifted(signature.function.function, has_memory=has_memory, has_post_return=has_post_return)


def _resources_of(function: Function) -> tuple[Resource, ...]:
    """Return the resources in the order in which generated code meets them: parameters, then result."""
    return tuple(dict.fromkeys(_occurrences(function)))


def _occurrences(function: Function) -> Iterable[Resource]:
    for ty in (*function.parameters, function.result):
        yield from _resources_in(ty)


def _resources_in(ty: Type | None) -> Iterable[Resource]:
    match ty:
        case Handle():
            yield ty.resource
        case Record():
            for field_ in ty.fields:
                yield from _resources_in(field_)
        case Sequence_():
            yield from _resources_in(ty.element)
        case Choice():
            for case in ty.cases:
                yield from _resources_in(case.payload)


def _sort_of(ty: object) -> str:
    return {"FuncType": "core func", "MemoryType": "core memory", "TableType": "core table", "GlobalType": "core global"}.get(
        type(ty).__name__, "core tag"
    )

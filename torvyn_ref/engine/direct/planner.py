"""The planning pass: a component's definitions evaluated without running anything, into what an instance has to do.

Everything that this engine cannot run is refused here, before any guest code runs. What remains are steps: instantiate this core module
with these items, make this glue. The generated lift and lower code and the glue modules are part of the plan; an instance only binds them.

A valid component passes or is refused as unsupported; so does anything else that the reader lets through, for what a reference leads to is
looked at before it is used, and all work is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import wasmtime

from torvyn_ref.engine.direct import definitions as d
from torvyn_ref.engine.direct.crossings import Crossings, drops_quietly
from torvyn_ref.engine.direct.errors import Unsupported
from torvyn_ref.engine.direct.glue import MOST_TAGGED
from torvyn_ref.engine.direct.plan import CoreValue, Glued, GuestFunction, HostFunction, InstantiateModule, Item, Plan
from torvyn_ref.engine.direct.scope import Declared, DeclaredResource, Scope, Unimplemented, evaluated
from torvyn_ref.engine.direct.types import Function, Resource

MOST_DEFINITIONS = 100_000
"""Evaluated for one component: inner components are evaluated as often as they are instantiated."""

_CORE_SORTS = {
    wasmtime.FuncType: "core func",
    wasmtime.MemoryType: "core memory",
    wasmtime.TableType: "core table",
    wasmtime.GlobalType: "core global",
    wasmtime.TagType: "core tag",
}

Arguments = Mapping[str, tuple[str, Any]]


class Planner:
    """Evaluates one component.

    Args:
        compile_module: compiles core modules, from binaries and from text; it knows those that it has seen before.
    """

    def __init__(self, compile_module: Callable[[bytes], wasmtime.Module]) -> None:
        self._compile_module = compile_module
        self._plan = Plan()
        self._crossings = Crossings(self._plan, compile_module)
        self._instances = 0
        self._host_resources: dict[tuple[str, str], Resource] = {}
        self._evaluated = 0

    def plan(self, definitions: Sequence[d.Definition]) -> Plan:
        """Return the plan of a component.

        Raises:
            Unsupported: a shape that this engine does not implement, by name.
        """
        scope = Scope()
        self._evaluate(definitions, scope, None)
        self._crossings.make_glue()
        self._plan.exports = {name: _functions(name, value) for name, (sort, value) in scope.exports.items() if sort == "instance"}
        return self._plan

    # ---- definitions

    def _evaluate(self, definitions: Sequence[d.Definition], scope: Scope, arguments: Arguments | None) -> None:
        self._count(definitions)
        for definition in definitions:
            match definition:
                case d.CoreModule(code):
                    scope.add("core module", self._core_module(code))
                case d.CoreInstantiate():
                    self._only_outermost(arguments)
                    scope.add("core instance", self._core_instance(definition, scope))
                case d.CoreBundle(exports):
                    scope.add("core instance", {name: (sort, scope.get(sort, index)) for name, sort, index in exports})
                case d.CoreType():
                    scope.add("core type", None)
                case d.Component(inner):
                    scope.add("component", (inner, scope))
                case d.Instantiate(component, items):
                    inner, home = scope.get("component", component)
                    child = Scope(home)
                    self._evaluate(inner, child, {name: (sort, scope.get(sort, index)) for name, sort, index in items})
                    scope.add("instance", child.exports)
                case d.Bundle(exports):
                    scope.add("instance", {name: (sort, scope.get(sort, index)) for name, sort, index in exports})
                case d.AliasExport():
                    scope.add(definition.sort, self._alias(definition, scope))
                case d.AliasOuter(sort, count, index):
                    scope.add(sort, scope.up(count).get(sort, index))
                case d.TypeDefinition(raw):
                    scope.add("type", self._type(raw, scope))
                case d.Lift():
                    self._only_outermost(arguments)
                    scope.add("func", self._crossings.lift(definition, scope))
                case d.Lower():
                    self._only_outermost(arguments)
                    scope.add("core func", self._crossings.lower(definition, scope))
                case d.ResourceFunction(operation, type_index):
                    self._only_outermost(arguments)
                    scope.add("core func", self._crossings.builtin(operation, scope.get("type", type_index)))
                case d.Import(name, sort, bound):
                    scope.add(sort, self._import(name, sort, bound, scope, arguments))
                case d.Export(name, sort, index):
                    value = scope.get(sort, index)
                    scope.exports[name] = (sort, value)
                    scope.add(sort, value)

    def _count(self, definitions: Sequence[d.Definition]) -> None:
        self._evaluated += len(definitions)
        if self._evaluated > MOST_DEFINITIONS:
            raise Unsupported(f"more than {MOST_DEFINITIONS} definitions, inner components counted as often as they are instantiated")

    @staticmethod
    def _only_outermost(arguments: object) -> None:
        if arguments is not None:
            raise Unsupported("a component composed of several: an inner component with code of its own")

    def _core_module(self, code: bytes) -> wasmtime.Module:
        try:
            return self._compile_module(code)
        except wasmtime.WasmtimeError as error:
            raise Unsupported(f"a core module that does not compile by itself: {error}") from None

    def _core_instance(self, definition: d.CoreInstantiate, scope: Scope) -> dict[str, tuple[str, CoreValue]]:
        module: wasmtime.Module = scope.get("core module", definition.module)
        instances = {name: scope.get("core instance", index) for name, index in definition.arguments}
        imports: list[CoreValue] = []
        for wanted in module.imports:
            sort, provided = instances.get(wanted.module, {}).get(wanted.name or "", ("nothing", None))
            if sort != _core_sort(wanted.type) or not isinstance(provided, Item | Glued):
                raise Unsupported(f"a core module's import {wanted.module} {wanted.name} with {sort} behind it")
            imports.append(provided)
        if any(isinstance(value, Glued) for value in imports):
            self._crossings.make_glue()
        number = self._instances
        self._instances += 1
        self._plan.steps.append(InstantiateModule(module, tuple(imports)))
        return {export.name: (_core_sort(export.type), Item(number, export.name, export.type)) for export in module.exports}

    @staticmethod
    def _alias(definition: d.AliasExport, scope: Scope) -> Any:
        instance = scope.get("core instance" if definition.core else "instance", definition.instance)
        sort, value = instance.get(definition.name, ("nothing", None))
        if sort != definition.sort:
            raise Unsupported(f"an alias of {definition.name!r} as {definition.sort}, with {sort} behind it")
        return value

    def _import(self, name: str, sort: str, bound: Any, scope: Scope, arguments: Arguments | None) -> Any:
        if arguments is not None:
            found, value = arguments.get(name, ("nothing", None))
            if found != sort:
                raise Unsupported(f"an inner component's import {name!r} of a {sort}, with {found} behind it")
            return value
        if sort == "instance":
            declared = scope.get("type", bound)
            if not isinstance(declared, Declared) or declared.kind != "instance":
                raise Unsupported(f"an import {name!r} whose type is no instance type")
            return self._declare(declared, name)
        if sort == "func":  # planned like any other; that nothing provides it is for linking to say
            return HostFunction("", name, _function(scope.get("type", bound), name))
        if sort == "type" and bound[0] == "eq":
            return scope.get("type", bound[1])
        raise Unsupported(f"an import of a {sort} at the top ({name!r}); interfaces are implemented")

    def _declare(self, declared: Declared, interface: str) -> dict[str, tuple[str, Any]]:
        """Make the items of an imported instance from its type."""
        self._count(declared.declarations)
        scope = Scope(declared.scope)
        items: dict[str, tuple[str, Any]] = {}
        for declaration in declared.declarations:
            match declaration:
                case d.TypeDefinition(raw):
                    scope.add("type", self._type(raw, scope))
                case d.AliasOuter(sort, count, index):
                    scope.add(sort, scope.up(count).get(sort, index))
                case d.AliasExport():
                    scope.add(declaration.sort, self._alias(declaration, scope))
                case d.CoreType():
                    scope.add("core type", None)
                case d.Import(name, "type", bound):
                    value = scope.get("type", bound[1]) if bound[0] == "eq" else self._host_resource(interface, name)
                    scope.add("type", value)
                    items[name] = ("type", value)
                case d.Import(name, "func", bound):
                    value = HostFunction(interface, name, _function(scope.get("type", bound), f"{interface} {name}"))
                    scope.add("func", value)
                    items[name] = ("func", value)
                case _:
                    raise Unsupported(f"an imported instance with a {type(declaration).__name__} inside")
        return items

    def _host_resource(self, interface: str, name: str) -> Resource:
        resource = self._host_resources.get((interface, name))
        if resource is None:
            number = len(self._host_resources) + 1
            lent = 2 * number if number <= MOST_TAGGED else 0
            owned = lent + 1 if lent and drops_quietly(interface) else 0
            resource = self._host_resources[interface, name] = Resource(name, interface, lent_tag=lent, owned_tag=owned)
            self._plan.resources.append(resource)
        return resource

    def _type(self, raw: d.RawType, scope: Scope) -> Any:
        try:
            value = evaluated(raw, scope)
        except Unsupported as reason:  # no harm unless something that crosses the border is of this type
            return Unimplemented(str(reason))
        if not isinstance(value, DeclaredResource):
            return value
        destructor = None if value.destructor is None else scope.get("core func", value.destructor)
        resource = Resource("resource", None, destructor)
        self._plan.resources.append(resource)
        return resource


def _function(ty: Any, what: str) -> Function | Unimplemented:
    if not isinstance(ty, Function | Unimplemented):
        raise Unsupported(f"an import {what!r} whose type is no function type")
    return ty


def _functions(name: str, instance: Mapping[str, tuple[str, Any]]) -> dict[str, GuestFunction]:
    functions: dict[str, GuestFunction] = {}
    for inner, (sort, item) in instance.items():
        if isinstance(item, HostFunction):
            raise Unsupported(f"an export of an imported function ({name} {inner})")
        if sort == "func":
            functions[inner] = item
    return functions


def _core_sort(ty: object) -> str:
    return next((sort for kind, sort in _CORE_SORTS.items() if isinstance(ty, kind)), "something unknown")

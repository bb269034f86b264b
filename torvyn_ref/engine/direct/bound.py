"""A plan bound to a store: core modules instantiated, glue between them, generated code attached.

One host function of wasmtime's serves all crossings: glue says in scratch memory which handler it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import ref

import wasmtime

from torvyn_ref.engine.direct.errors import AbiTrap
from torvyn_ref.engine.direct.glue import DROPPED, TAGGED, TAGS, scratch_pages, slot
from torvyn_ref.engine.direct.handles import Destructor, HandleTable
from torvyn_ref.engine.direct.memory import GuestMemory
from torvyn_ref.engine.direct.plan import CoreValue, Crossing, Glued, HostFunction, InstantiateModule, Item, MakeGlue, Plan
from torvyn_ref.engine.direct.runtime import Runtime
from torvyn_ref.engine.direct.types import Resource

MOST_DESTRUCTORS = 32
"""Destructors of a guest's own resources that run inside each other: each takes some of Python's stack."""

_DROPPED = DROPPED // 4

GuestCall = Callable[..., Any]
HostCall = Callable[..., Any]


class _Handlers(list[Callable[[], object] | None]):
    """Handlers by number; a list that can be referred to weakly.

    Attributes:
        catch_up: carries out the drops that glue has logged.
    """

    catch_up: Callable[[], None]


class _NoParameters:
    """The type of every glue export, as `Func.__call__` asks for it."""

    params: tuple[()] = ()
    results: tuple[()] = ()


def _no_parameters(_store: object) -> _NoParameters:
    return _NOTHING_TYPE


_NOTHING_TYPE = _NoParameters()


class Bound:
    """The running half of an instance.

    Attributes:
        calls: the lifted functions, by interface and name.
    """

    def __init__(
        self,
        plan: Plan,
        store: wasmtime.Store,
        host: Callable[[HostFunction], HostCall],
        destructors: Mapping[Resource, Destructor],
    ) -> None:
        """Instantiate; start functions run here.

        Raises:
            wasmtime.WasmtimeError: what wasmtime says (a limit, a trap in a start function).
            BaseException: what a host function raised.
        """
        self._store = store
        self._host = host
        self._memories: dict[CoreValue, GuestMemory] = {}
        self._cores: list[Mapping[str, Any]] = []
        self._glue: dict[int, wasmtime.Func] = {}
        self._lifted: dict[int, GuestCall] = {}
        self._destructors_running = 0
        pages = scratch_pages(plan.crossings)
        self._scratch = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(pages, pages)))
        view = memoryview(self._scratch.get_buffer_ptr(store)).cast("B")
        self._handlers = _Handlers([_sealed, *[None] * (2 * plan.crossings)])
        handles = HandleTable(self._destructors(plan, destructors), view[TAGS : TAGS + TAGGED])
        self.runtime = Runtime(store, view, handles)
        self._handlers.catch_up = self.runtime.catch_up
        # A type of its own: one that another engine has seen makes wasmtime abort the process.
        self._dispatcher = wasmtime.Func(store, wasmtime.FuncType([], []), _dispatcher(self._handlers, self.runtime.words))
        for step in plan.steps:
            if isinstance(step, InstantiateModule):
                imports = [self._value(value) for value in step.imports]
                self._cores.append(wasmtime.Instance(store, step.module, imports).exports(store))
                self.runtime.catch_up()
            else:
                self._make_glue(step)
        self.calls = {
            interface: {name: self._lifted[function.number] for name, function in functions.items()}
            for interface, functions in plan.exports.items()
        }

    @property
    def memory_bytes(self) -> int:
        """Return the size of the linear memories that values cross through."""
        return sum(memory.length for memory in self._memories.values())

    def release(self) -> None:
        """Forget everything that points into the store."""
        for memory in self._memories.values():
            memory.release()
        self._handlers.clear()
        self.calls = {}
        self._lifted.clear()
        self.runtime.release()

    def _make_glue(self, step: MakeGlue) -> None:
        imports: list[Any] = [self._scratch, self._dispatcher]
        imports += [self._value(value) for value in step.imports]
        exports = wasmtime.Instance(self._store, step.module, imports).exports(self._store)
        for crossing in step.crossings:
            function = exports[str(crossing.glue.number)]
            assert isinstance(function, wasmtime.Func)
            self._bind(crossing, function)

    def _bind(self, crossing: Crossing, function: wasmtime.Func) -> None:
        number, runtime, handlers = crossing.glue.number, self.runtime, self._handlers
        base = slot(number)
        first, second = 2 * number + 1, 2 * number + 2
        if isinstance(crossing.host, tuple) and not isinstance(crossing.host, HostFunction):
            self._glue[number] = function
            handlers[first] = runtime.builtin(*crossing.host, base)
            return
        assert crossing.bind is not None
        memory = None if crossing.memory is None else self._memory(crossing.memory)
        if crossing.host is not None:
            self._glue[number] = function
            handlers[first], handlers[second] = crossing.bind(runtime, memory, self._host(crossing.host), base, crossing.resources)
            return
        # `Func.__call__` asks its own public `type()` for the types of parameters and results, at every call; the answer is always "none",
        # and saying so here halves the cost of a call. tests/torvyn_ref/engine/direct/test_glue.py holds wasmtime-py to it.
        function.type = _no_parameters  # type: ignore[method-assign, assignment]
        call, handlers[first], handlers[second] = crossing.bind(runtime, memory, function, base, crossing.resources)
        self._lifted[number] = call

    def _destructors(self, plan: Plan, host: Mapping[Resource, Destructor]) -> dict[Resource, Destructor]:
        found = dict(host)
        for resource in plan.resources:
            if resource.is_own and resource.destructor is not None:
                found[resource] = partial(self._destroy, resource)
        return found

    def _destroy(self, resource: Resource, rep: int) -> None:
        destructor = resource.destructor
        assert isinstance(destructor, Item | Glued)
        if self._destructors_running == MOST_DESTRUCTORS:
            raise AbiTrap(f"call stack exhausted: {MOST_DESTRUCTORS} destructors run inside each other")
        self._destructors_running += 1
        self._value(destructor)(self._store, rep)
        self.runtime.catch_up()
        self._destructors_running -= 1

    def _memory(self, value: CoreValue) -> GuestMemory:
        memory = self._memories.get(value)
        if memory is None:
            found = self._value(value)
            assert isinstance(found, wasmtime.Memory)
            memory = self._memories[value] = GuestMemory(self._store, found)
        return memory

    def _value(self, value: CoreValue) -> Any:
        if isinstance(value, Item):
            return self._cores[value.instance][value.name]
        return self._glue[value.number]


def _sealed() -> None:
    raise AbiTrap("cannot leave component instance: its realloc or post-return called out")


def _dispatcher(handlers: _Handlers, wanted: memoryview) -> Callable[[], None]:
    """Return the host function behind all glue.

    wasmtime-py keeps it in a table of the process until its store is closed: it must not keep the instance alive, or one that nobody
    closed would never go.
    """
    current = ref(handlers)

    def dispatch() -> None:
        if wanted[_DROPPED]:
            current().catch_up()  # type: ignore[union-attr]  # as below
        current()[wanted[0]]()  # type: ignore[index, misc]  # glue runs only inside an instance, and names only handlers that are there

    return dispatch

"""Loops that somebody would write without a runtime, over the same three components: what a flow is measured against (`ratio`).

Both do source → processor → sink and nothing else: resources are integers, buffers live in a dictionary, nobody owns, counts, limits or
observes anything, fuel is set once for ever. One loop uses wasmtime-py's component API as its documentation shows it; the other one the
direct engine's planner and its `Bound`, that is generated lift and lower code without instances, guest host or limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import wasmtime
from wasmtime import component
from wasmtime.component import ResourceHost, ResourceType

from torvyn_ref.engine.direct.bound import Bound
from torvyn_ref.engine.direct.plan import HostFunction, Plan
from torvyn_ref.engine.direct.planner import Planner
from torvyn_ref.engine.direct.reader import read
from torvyn_ref.engine.direct.types import Resource

TYPES, ALLOCATOR = "torvyn:streaming/types@0.1.0", "torvyn:streaming/buffer-allocator@0.1.0"
SOURCE, PROCESSOR, SINK, LIFECYCLE = (f"torvyn:streaming/{name}@0.1.0" for name in ("source", "processor", "sink", "lifecycle"))
PLENTY = 1 << 62
"""Fuel: the engines meter, so the loops have to be given some."""

CONTEXT = 1
MEMORY_BYTES = 256 * 1024 * 1024


class Buffers:
    """The host that both loops share: a dictionary."""

    def __init__(self) -> None:
        self.held: dict[int, bytes | bytearray] = {}
        self._next = 2  # CONTEXT is taken

    def allocate(self, _capacity: int) -> int:
        rep = self._next
        self._next = rep + 1
        self.held[rep] = bytearray()
        return rep

    def append(self, rep: int, data: bytes | memoryview) -> None:
        self.held[rep] += data

    def size(self, rep: int) -> int:
        return len(self.held[rep])

    def read_all(self, rep: int) -> bytes | bytearray:
        return self.held[rep]

    def set_content_type(self, _rep: int, _content_type: str) -> None:
        pass

    def freeze(self, rep: int) -> int:
        frozen = self._next
        self._next = frozen + 1
        self.held[frozen] = self.held.pop(rep)
        return frozen

    def drop(self, rep: int) -> None:
        self.held.pop(rep, None)


class HandMade:
    """What the loops have in common.

    Attributes:
        delivered: elements that the sink has accepted.
        last: how the last element's payload begins, for comparison.
    """

    def __init__(self) -> None:
        self.buffers = Buffers()
        self.delivered = 0
        self.last = b""

    def run(self) -> None:
        """Pull until there is nothing more."""
        raise NotImplementedError

    def close(self) -> None:
        """End the stores."""
        raise NotImplementedError


class StockLoop(HandMade):
    """On wasmtime's component API.

    Args:
        wasm: compiled for this engine: source, processor, sink.
        config: the source's.
    """

    _IDS: Mapping[str, int] = {"buffer": 1, "mutable-buffer": 2, "flow-context": 3}

    def __init__(self, engine: wasmtime.Engine, wasm: tuple[component.Component, ...], config: str) -> None:
        super().__init__()
        self._stores: list[wasmtime.Store] = []
        source, processor, sink = (self._instantiate(engine, one) for one in wasm)
        self._pull, self._process, self._push = source(SOURCE, "pull"), processor(PROCESSOR, "process"), sink(SINK, "push")
        source(LIFECYCLE, "init")(self._stores[0], config)

    def run(self) -> None:
        source, processor, sink = self._stores
        pull, process, push, held = self._pull, self._process, self._push, self.buffers.held
        while (output := pull(source)) is not None:
            rep, meta = output.payload.to_host(source).rep, output.meta
            produced = process(processor, self._element(meta, rep))
            del held[rep]
            rep = produced.payload.to_host(processor).rep
            push(sink, self._element(meta, rep))
            self.delivered += 1
            self.last = bytes(held.pop(rep)[:64])

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def _element(self, meta: object, rep: int) -> component.Record:
        element = component.Record()
        vars(element).update(meta=meta, payload=ResourceHost.borrow(rep, 1), context=ResourceHost.borrow(CONTEXT, 3))
        return element

    def _instantiate(self, engine: wasmtime.Engine, wasm: component.Component) -> Callable[[str, str], component.Func]:
        store = wasmtime.Store(engine)
        store.set_fuel(PLENTY)
        store.set_epoch_deadline(PLENTY)
        self._stores.append(store)
        with component.Linker(engine) as linker:
            with linker.root() as root:
                with root.add_instance(TYPES) as types:
                    self._define_types(types)
                with root.add_instance(ALLOCATOR) as allocator:
                    allocator.add_func("allocate", lambda _store, capacity: ResourceHost.own(self.buffers.allocate(capacity), 2))
            instance = linker.instantiate(store, wasm)

        def function(interface: str, name: str) -> component.Func:
            index = instance.get_export_index(store, name, instance.get_export_index(store, interface))
            found = None if index is None else instance.get_func(store, index)
            assert isinstance(found, component.Func)
            return found

        return function

    def _define_types(self, types: component.LinkerInstance) -> None:
        buffers = self.buffers

        def rep(store: Any, resource: Any) -> int:
            number: int = resource.to_host(store).rep
            return number

        for name, number in self._IDS.items():
            types.add_resource(name, ResourceType.host(number), lambda _store, dropped: buffers.drop(dropped))
        types.add_func("[method]buffer.size", lambda store, self_: buffers.size(rep(store, self_)))
        types.add_func("[method]buffer.read-all", lambda store, self_: bytes(buffers.read_all(rep(store, self_))))
        types.add_func("[method]mutable-buffer.append", lambda store, self_, data: buffers.append(rep(store, self_), data))
        types.add_func("[method]mutable-buffer.freeze", lambda store, self_: ResourceHost.own(buffers.freeze(rep(store, self_)), 1))

        def set_content_type(store: Any, self_: Any, content_type: str) -> None:
            buffers.set_content_type(rep(store, self_), content_type)

        types.add_func("[method]mutable-buffer.set-content-type", set_content_type)


class DirectLoop(HandMade):
    """On the direct engine's parts.

    Args:
        wasm: planned for this engine: source, processor, sink.
        config: the source's.
    """

    def __init__(self, engine: wasmtime.Engine, wasm: tuple[Plan, ...], config: str) -> None:
        super().__init__()
        self._stores: list[wasmtime.Store] = []
        self._bound = [self._instantiate(engine, plan) for plan in wasm]
        self._bound[0].calls[LIFECYCLE]["init"](config)

    def run(self) -> None:
        source, processor, sink = (bound.calls for bound in self._bound)
        pull, process, push, held = source[SOURCE]["pull"], processor[PROCESSOR]["process"], sink[SINK]["push"], self.buffers.held
        while (output := pull()[1]) is not None:
            meta, rep = output
            _, (_, (_, produced)) = process((meta, rep, CONTEXT))
            del held[rep]
            push((meta, produced, CONTEXT))
            self.delivered += 1
            self.last = bytes(held.pop(produced)[:64])

    def close(self) -> None:
        for bound in self._bound:
            bound.release()
        for store in self._stores:
            store.close()

    def _instantiate(self, engine: wasmtime.Engine, plan: Plan) -> Bound:
        store = wasmtime.Store(engine)
        store.set_fuel(PLENTY)
        store.set_epoch_deadline(PLENTY)
        store.set_limits(memory_size=MEMORY_BYTES)
        self._stores.append(store)
        destructors: dict[Resource, Callable[[int], object]] = dict.fromkeys(plan.resources, self.buffers.drop)
        return Bound(plan, store, self._host, destructors)

    def _host(self, function: HostFunction) -> Callable[..., Any]:
        buffers = self.buffers
        functions: dict[str, Callable[..., Any]] = {
            "allocate": buffers.allocate,
            "[method]buffer.size": buffers.size,
            "[method]buffer.read-all": buffers.read_all,
            "[method]mutable-buffer.append": buffers.append,
            "[method]mutable-buffer.freeze": buffers.freeze,
            "[method]mutable-buffer.set-content-type": buffers.set_content_type,
        }
        return functions[function.name]


def plan(engine: wasmtime.Engine, wasm: bytes) -> Plan:
    """Plan a component for `DirectLoop`."""
    return Planner(lambda code: wasmtime.Module(engine, code)).plan(read(wasm))

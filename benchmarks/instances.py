"""Making instances of compiled components, and the memory that flows of real components take."""

from __future__ import annotations

import time
from typing import ClassVar

from benchmarks.corpus import wasm
from benchmarks.flows import WASM_ELEMENTS
from benchmarks.shapes import SHAPES, engine, prepared
from torvyn_ref.calls import FlowContext, Role
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager

ROLES = {"counter-source": Role.SOURCE, "uppercase": Role.PROCESSOR, "sink-ready": Role.SINK, "parity-router": Role.ROUTER}


class Instantiate:
    """One instance of a component that is compiled already, made and closed: under a millisecond on the direct engine."""

    timer = time.process_time
    params: ClassVar = (["direct", "stock"], list(ROLES))
    param_names: ClassVar = ["engine", "component"]

    def setup(self, engine_name: str, component: str) -> None:
        self.compiled = engine(engine_name).compile(wasm(component), where=component)
        self.sandbox = Sandbox(Owner(1), FlowId(1), ResourceManager(), FlowContext("flow-1"), VirtualClock())

    def time_instantiate_and_close(self, _engine_name: str, component: str) -> None:
        self.compiled.instantiate(ROLES[component], self.sandbox).close()


class Memory:
    """The most memory that a process with one flow of real components takes, by payload: pools, guests and engine."""

    params: ClassVar = list(WASM_ELEMENTS)
    param_names: ClassVar = ["payload_bytes"]

    def peakmem_flow(self, payload_bytes: int) -> None:
        with prepared("direct", SHAPES["S-P-K"], payload_bytes, WASM_ELEMENTS[payload_bytes]) as flow:
            flow.run()

"""Whole flows: of scripted components, which shows what the runtime itself costs, and of real ones on the direct engine."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import ClassVar

from benchmarks.scenarios import ELEMENTS, METRICS, Scenario, flow_scenario
from benchmarks.shapes import MOST_PROCESSORS, SHAPES, prepared

KIB, MIB = 1024, 1024 * 1024
WASM_ELEMENTS = {64: 1024, 4 * KIB: 1024, 64 * KIB: 512, MIB: 128}


class Linear:
    """Scripted source → processor → sink, by payload and by who watches."""

    timer = time.process_time
    params: ClassVar = ([64, 4096], list(METRICS))
    param_names: ClassVar = ["payload_bytes", "metrics"]

    def setup(self, payload_bytes: int, metrics: str) -> None:
        self.scenario: Scenario = flow_scenario(payload_bytes, level=METRICS[metrics])

    def time_4096_elements(self, _payload_bytes: int, _metrics: str) -> None:
        self.scenario(ELEMENTS)


class FanOut:
    """Scripted source → processor → several sinks that share each buffer; elements are counted at the source."""

    timer = time.process_time
    params: ClassVar = [2, 4, 16]
    param_names: ClassVar = ["branches"]

    def setup(self, branches: int) -> None:
        self.scenario: Scenario = flow_scenario(64, branches=branches)

    def time_4096_elements(self, _branches: int) -> None:
        self.scenario(ELEMENTS)


class _Wasm:
    """A flow of real components is prepared before each sample: it runs once."""

    timer = time.process_time
    number = 1
    warmup_time = 0.0

    def prepare(self, shape: str, payload_bytes: int) -> None:
        self.cleanup = ExitStack()
        self.flow = self.cleanup.enter_context(prepared("direct", SHAPES[shape], payload_bytes, WASM_ELEMENTS[payload_bytes]))

    def teardown(self, *_parameters: int) -> None:
        self.cleanup.close()


class WasmPayloads(_Wasm):
    """Source → processor → sink on the direct engine: 1024 elements of 64 B and 4 KiB, 512 of 64 KiB, 128 of 1 MiB."""

    params: ClassVar = list(WASM_ELEMENTS)
    param_names: ClassVar = ["payload_bytes"]

    def setup(self, payload_bytes: int) -> None:
        self.prepare("S-P-K", payload_bytes)

    def time_flow(self, _payload_bytes: int) -> None:
        self.flow.run()


class WasmProcessors(_Wasm):
    """Source → 1..8 processors → sink on the direct engine: 1024 elements of 64 B."""

    params: ClassVar = list(range(1, MOST_PROCESSORS + 1))
    param_names: ClassVar = ["processors"]

    def setup(self, processors: int) -> None:
        self.prepare("S-P-K" if processors == 1 else f"S-P*{processors}-K", 64)

    def time_flow(self, _processors: int) -> None:
        self.flow.run()

"""Many flows side by side in one reactor, and the memory they take."""

from __future__ import annotations

import time
from typing import ClassVar

from benchmarks.concurrency import CONCURRENT, ELEMENTS_IN_ALL, run_concurrently
from benchmarks.scale import cpu_per_flow, memory_per_flow, one_after_another


class Concurrent:
    """1..1000 scripted flows that share 16 384 elements: flat, when flows do not get into each other's way."""

    timer = time.process_time
    number = 1
    params: ClassVar = list(CONCURRENT)
    param_names: ClassVar = ["flows"]

    def time_16384_elements(self, flows: int) -> None:
        run_concurrently(flows, ELEMENTS_IN_ALL)

    def peakmem_flows(self, flows: int) -> None:
        run_concurrently(flows, ELEMENTS_IN_ALL)


class PerFlow:
    """What a flow of 64 elements costs beside 0..999 others, from its making to its report: flat, when they do not get into its way."""

    timer = time.process_time
    number = 1
    params: ClassVar = list(CONCURRENT)
    param_names: ClassVar = ["flows"]

    def time_1000_flows(self, flows: int) -> None:
        cpu_per_flow(flows, max(CONCURRENT))


class Held:
    """Memory of one of 1000 flows that run."""

    def track_bytes_per_running_flow(self) -> int:
        return memory_per_flow(max(CONCURRENT))


class OneAfterAnother:
    """10 000 flows of one element in one reactor: none leaves anything behind."""

    timer = time.process_time
    number = 1

    def time_10000_flows(self) -> None:
        one_after_another(10_000)

    def peakmem_10000_flows(self) -> None:
        one_after_another(10_000)

"""Many flows side by side in one reactor, and the memory they take."""

from __future__ import annotations

import time
from typing import ClassVar

from benchmarks.concurrency import CONCURRENT, ELEMENTS_IN_ALL, run_concurrently


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

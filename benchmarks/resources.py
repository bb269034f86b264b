"""Single operations of the resource manager, and releases at several pool sizes, which must not matter (POOL-018)."""

from __future__ import annotations

import time
from typing import ClassVar

from benchmarks.scenarios import ELEMENTS, POOL_SIZES, RESOURCES, pool_scenario


class Operations:
    """What 4096 times one operation, or one pair that undoes itself, cost."""

    timer = time.process_time
    params: ClassVar = list(RESOURCES)
    param_names: ClassVar = ["operation"]

    def time_4096_operations(self, operation: str) -> None:
        RESOURCES[operation](ELEMENTS)


class PoolRelease:
    """4096 allocations and releases while half of the pool is in use: flat over pool sizes."""

    timer = time.process_time
    params: ClassVar = list(POOL_SIZES)
    param_names: ClassVar = ["pool_size"]

    def setup(self, pool_size: int) -> None:
        self.scenario = pool_scenario(pool_size)

    def time_4096_releases(self, _pool_size: int) -> None:
        self.scenario(ELEMENTS)

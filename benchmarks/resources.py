"""Single operations of the resource manager."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.scenarios import ELEMENTS, RESOURCES, microseconds_each


class Operations:
    """What one operation, or one pair that undoes itself, costs."""

    params: ClassVar = list(RESOURCES)
    param_names: ClassVar = ["operation"]

    def time_operations(self, operation: str) -> None:
        RESOURCES[operation](ELEMENTS)

    def track_cpu_us_each(self, operation: str) -> float:
        return microseconds_each(RESOURCES[operation], ELEMENTS)

    track_cpu_us_each.unit = "us"  # type: ignore[attr-defined]  # asv reads it from the function

"""Some of the exact counters for asv, which draws them over time; `check` holds all of them to the baseline."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.counters import NAMES, Counts, count, scenarios

_DRAWN = [
    (name, engine, shape, payload)
    for name, engine, shape, payload in scenarios()
    if payload in {64, 64 * 1024} and shape.name in {"S-K", "S-P-K", "S-P*8-K", "router"}
]
"""asv starts a process for each number: a few dozen will do."""


class PerElement:
    """Fuel, copies, bytes, buffers, host calls, crossings and Python calls of one element of the source."""

    params: ClassVar = ([name for name, *_ in _DRAWN], list(NAMES))
    param_names: ClassVar = ["scenario", "counter"]

    def setup_cache(self) -> Counts:
        return {name: count(engine, shape, payload) for name, engine, shape, payload in _DRAWN}

    def track_per_element(self, counted: Counts, scenario: str, counter: str) -> float:
        return counted[scenario][counter]

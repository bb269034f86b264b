"""Whole flows of scripted components: what the runtime itself costs per element."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.scenarios import ELEMENTS, METRICS, Scenario, calls_each, flow_scenario, microseconds_each


class Linear:
    """Source → processor → sink; the target is under 15 µs of CPU per element at 64 B, nobody watching."""

    params: ClassVar = ([64, 4096], list(METRICS))
    param_names: ClassVar = ["payload_bytes", "metrics"]

    def setup(self, payload_bytes: int, metrics: str) -> None:
        self.scenario: Scenario = flow_scenario(payload_bytes, level=METRICS[metrics])

    def time_flow(self, _payload_bytes: int, _metrics: str) -> None:
        self.scenario(ELEMENTS)

    def track_cpu_us_per_element(self, _payload_bytes: int, _metrics: str) -> float:
        return microseconds_each(self.scenario, ELEMENTS)

    track_cpu_us_per_element.unit = "us"  # type: ignore[attr-defined]  # asv reads it from the function


class Exact:
    """What does not depend on the machine."""

    def track_python_calls_per_element(self) -> float:
        return calls_each()

    track_python_calls_per_element.unit = "calls"  # type: ignore[attr-defined]  # as above


class FanOut:
    """Source → processor → several sinks that share each buffer; elements are counted at the source."""

    params: ClassVar = [2, 4, 16]
    param_names: ClassVar = ["branches"]

    def setup(self, branches: int) -> None:
        self.scenario: Scenario = flow_scenario(64, branches=branches)

    def time_flow(self, _branches: int) -> None:
        self.scenario(ELEMENTS)

    def track_cpu_us_per_element(self, _branches: int) -> float:
        return microseconds_each(self.scenario, ELEMENTS)

    track_cpu_us_per_element.unit = "us"  # type: ignore[attr-defined]  # as above

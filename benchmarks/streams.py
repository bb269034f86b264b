"""A stream's push and pop, with and without changes of pressure."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.scenarios import ELEMENTS, STREAMS, microseconds_each


class PushPop:
    """What one element costs on its way through a stream; at capacity 1 each one switches pressure on and off."""

    params: ClassVar = list(STREAMS)
    param_names: ClassVar = ["stream"]

    def time_push_pop(self, stream: str) -> None:
        STREAMS[stream](ELEMENTS)

    def track_cpu_us_each(self, stream: str) -> float:
        return microseconds_each(STREAMS[stream], ELEMENTS)

    track_cpu_us_each.unit = "us"  # type: ignore[attr-defined]  # asv reads it from the function

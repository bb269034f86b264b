"""Watermark hysteresis: pressure starts at the capacity and ends at the low mark (ADR-015, WMK-001..WMK-005).

The machine is one table: `TRANSITIONS[state, crossing]`. A crossing that is not in the table changes nothing, which is the hysteresis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from torvyn_ref.streams.errors import StreamError

DEFAULT_LOW_WATERMARK_RATIO: Final = 0.5


class Pressure(StrEnum):
    """Whether a stream holds its producer back."""

    NORMAL = "normal"
    ACTIVE = "active"


class Crossing(StrEnum):
    """Which mark the depth has just reached."""

    HIGH = "depth reached the capacity"
    LOW = "depth fell to the low mark"


TRANSITIONS: Final[Mapping[tuple[Pressure, Crossing], Pressure]] = MappingProxyType(
    {
        (Pressure.NORMAL, Crossing.HIGH): Pressure.ACTIVE,
        (Pressure.ACTIVE, Crossing.LOW): Pressure.NORMAL,
    }
)


_ACTIVE: Final = Pressure.ACTIVE  # in Python 3.11 an enum member costs 90 ns through its class: what runs per element has a name of its own


def low_watermark(capacity: int, ratio: float) -> int:
    """Return the low mark: capacity times ratio in double precision, truncated (WMK-004).

    Raises:
        StreamError: invalid-ratio outside [0, 1) or not finite (WMK-010).
    """
    if not math.isfinite(ratio) or not 0.0 <= ratio < 1.0:
        raise StreamError("invalid-ratio", f"the low watermark ratio lies in [0, 1), got {ratio}", ratio=ratio)
    return int(capacity * ratio)


class WatermarkGate:
    """One stream's pressure; it is told depths and answers with the new pressure, or None when nothing changed."""

    __slots__ = ("high", "low", "pressure")

    def __init__(self, capacity: int, ratio: float) -> None:
        self.high = capacity
        self.low = low_watermark(capacity, ratio)
        self.pressure = Pressure.NORMAL

    def enqueued(self, depth: int) -> Pressure | None:
        """Take note of the depth after an element was enqueued."""
        if depth >= self.high:
            return self._cross(Crossing.HIGH)
        return None

    def dequeued(self, depth: int) -> Pressure | None:
        """Take note of the depth after an element left the queue."""
        if depth <= self.low and self.pressure is _ACTIVE:  # without pressure every depth is low: do not ask the table each time
            return self._cross(Crossing.LOW)
        return None

    def _cross(self, crossing: Crossing) -> Pressure | None:
        pressure = TRANSITIONS.get((self.pressure, crossing))
        if pressure is not None:
            self.pressure = pressure
        return pressure

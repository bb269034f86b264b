"""Time as a parameter: the core takes clock values, and never looks at a clock itself (law 2).

All instants are integer nanoseconds. `monotonic` orders and measures; `wall` stamps elements (ORD-006).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What a shell needs to know of time."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds from an arbitrary origin; never goes back."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


class VirtualClock:
    """A clock that moves only when told to: simulations and tests wait for nothing."""

    def __init__(self, *, start_ns: int = 0, epoch_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now = start_ns
        self._epoch = epoch_ns

    def monotonic_ns(self) -> int:
        """Return the virtual instant."""
        return self._now

    def wall_ns(self) -> int:
        """Return the virtual instant counted from the chosen epoch."""
        return self._epoch + self._now

    def advance(self, nanoseconds: int) -> None:
        """Move time forward.

        Raises:
            ValueError: if asked to go back.
        """
        if nanoseconds < 0:
            raise ValueError(f"time does not go back (asked for {nanoseconds} ns)")
        self._now += nanoseconds

    def advance_to(self, instant_ns: int) -> None:
        """Move time forward to an instant; an instant already past changes nothing."""
        self._now = max(self._now, instant_ns)


def passing(clock: Clock) -> Callable[[int], object]:
    """Return what lets so many nanoseconds pass on a clock: a virtual one is advanced, any other is waited for."""
    return clock.advance if isinstance(clock, VirtualClock) else _sleep


def _sleep(nanoseconds: int) -> None:
    time.sleep(nanoseconds / 1e9)

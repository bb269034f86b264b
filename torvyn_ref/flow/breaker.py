"""The circuit breaker: a component that is unavailable again and again is left alone for a while (ERR-011).

The machine is one table. A success is not reported to it: a stage counts its failures in a row, and a count of 0 says that a call has
succeeded since, so a call that works pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from torvyn_ref.errors import TorvynError


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Open after `threshold` unavailable answers in a row; try one call again `cooldown_ns` later.

    Raises:
        TorvynError: flow/invalid-setting.
    """

    threshold: int
    cooldown_ns: int

    def __post_init__(self) -> None:
        if self.threshold < 1 or self.cooldown_ns < 0:
            message = f"a breaker opens after at least 1 failure and cools down in at least 0 ns, got {self.threshold}, {self.cooldown_ns}"
            raise TorvynError("flow", "invalid-setting", message, code="E0703")


class Circuit(StrEnum):
    """Whether a component is called."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitEvent(StrEnum):
    """What moves a circuit."""

    TOO_MANY = "unavailable too often in a row"
    COOLED = "the cool-down is over"
    ANSWERED = "a call succeeded, or failed in another way: the component is there"
    UNAVAILABLE = "unavailable once more"


TRANSITIONS: Final[Mapping[tuple[Circuit, CircuitEvent], Circuit]] = MappingProxyType(
    {
        (Circuit.CLOSED, CircuitEvent.TOO_MANY): Circuit.OPEN,
        (Circuit.OPEN, CircuitEvent.COOLED): Circuit.HALF_OPEN,
        (Circuit.HALF_OPEN, CircuitEvent.ANSWERED): Circuit.CLOSED,
        (Circuit.HALF_OPEN, CircuitEvent.UNAVAILABLE): Circuit.OPEN,
    }
)


class CircuitBreaker:
    """One stage's circuit."""

    __slots__ = ("_settings", "_unavailable", "circuit", "open_until")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._unavailable = 0
        self.circuit = Circuit.CLOSED
        self.open_until = 0

    def failed(self, now: int, *, unavailable: bool, failures_before: int) -> bool:
        """Take note of a failed call; return whether the circuit is open now.

        Args:
            now: monotonic ns.
            unavailable: the component said `unavailable`; other errors start the count over.
            failures_before: the stage's failures in a row before this one.
        """
        if not failures_before or not unavailable:
            self._unavailable = 0
            self._on(CircuitEvent.ANSWERED)
        if unavailable:
            self._unavailable += 1
            self._on(CircuitEvent.UNAVAILABLE)
        if self._unavailable >= self._settings.threshold:
            self._on(CircuitEvent.TOO_MANY)
        if self.circuit is Circuit.OPEN:
            self.open_until = now + self._settings.cooldown_ns
            return True
        return False

    def admits(self, now: int) -> bool:
        """Tell whether the component may be called; once the cool-down is over, it may be tried."""
        if self.circuit is Circuit.OPEN and now >= self.open_until:
            self._on(CircuitEvent.COOLED)
        return self.circuit is not Circuit.OPEN

    def _on(self, event: CircuitEvent) -> None:
        self.circuit = TRANSITIONS.get((self.circuit, event), self.circuit)

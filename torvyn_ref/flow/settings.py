"""How a flow runs, and what its driver can ask of its shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.breaker import BreakerSettings
from torvyn_ref.flow.failures import ErrorPolicy
from torvyn_ref.flow.stage import Invoke
from torvyn_ref.ids import Owner

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
WATCHDOG_NS: Final = 10 * MILLISECOND
"""A flow that has kept its turn for longer is told of (SCHED-011)."""
HARD_CEILING: Final = 256
"""The most stage executions between two yields (SCHED-008)."""


class Priority(StrEnum):
    """A flow's share of executions between two yields (SCHED-007)."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    BACKGROUND = "background"


BATCH: Final = {Priority.CRITICAL: 128, Priority.HIGH: 64, Priority.NORMAL: 32, Priority.LOW: 16, Priority.BACKGROUND: 8}


class FanOut(StrEnum):
    """What a paused sink means for a stage with several outputs (CREDIT-009, CREDIT-010)."""

    MIN_CREDIT = "min-credit"
    """One branch that cannot take an element holds the stage back."""
    INDEPENDENT = "independent-per-branch"
    """A paused sink holds nobody back on a stream that may lose elements: that stream's own policy decides when it is full."""


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """How a flow runs; durations in nanoseconds.

    Attributes:
        elements_per_yield: stage executions between two yields, 1 to 256; None takes the priority's (SCHED-010).
        quantum_ns: yield, too, when this much time has passed since the last yield; None switches it off.
        deadline_ns: how long the flow may run, from its start; None is for ever.
        drain_timeout_ns: how long draining may take before the rest is discarded; 0 discards at once (CANCEL-006, CANCEL-007).
        call_timeout_ns: bound of one call, other than init and teardown (ERR-008); None lets a call take for ever.
        init_timeout_ns, teardown_timeout_ns: bounds of these calls (CANCEL-013).
        cooperative_ns: how long a call in flight may still take after a cancel or the deadline, before it is interrupted (CANCEL-002).
        interrupt_grace_ns: how long after that its instance is dropped, if it does not react (CANCEL-003).
        sink_pause_delay_ns: first delay before a paused sink is probed; it doubles with each pause in a row (POLICY-012).
        fan_out: what a paused sink means for its producer's other branches.
        breaker: when a component that is unavailable is left alone (ERR-011); None is never.
        limit: sources count as exhausted once they have brought in this many elements together; None is no limit (CLI-010).

    Raises:
        TorvynError: flow/invalid-setting.
    """

    priority: Priority = Priority.NORMAL
    elements_per_yield: int | None = None
    quantum_ns: int | None = 100_000
    error_policy: ErrorPolicy = field(default_factory=ErrorPolicy)
    drain_timeout_ns: int = 5_000 * MILLISECOND
    deadline_ns: int | None = None
    call_timeout_ns: int | None = 5_000 * MILLISECOND
    init_timeout_ns: int = 5_000 * MILLISECOND
    teardown_timeout_ns: int = 2_000 * MILLISECOND
    cooperative_ns: int = 1_000 * MILLISECOND
    interrupt_grace_ns: int = 500 * MILLISECOND
    sink_pause_delay_ns: int = MILLISECOND
    fan_out: FanOut = FanOut.MIN_CREDIT
    breaker: BreakerSettings | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.elements_per_yield is not None and not 1 <= self.elements_per_yield <= HARD_CEILING:
            raise TorvynError(
                "flow", "invalid-setting", f"elements_per_yield lies in 1..{HARD_CEILING}, got {self.elements_per_yield}", code="E0703"
            )
        if self.limit is not None and self.limit < 1:
            raise TorvynError("flow", "invalid-setting", f"limit is at least 1 element, got {self.limit}", code="E0703")
        for name, value in (
            ("quantum", self.quantum_ns),
            ("deadline", self.deadline_ns),
            ("drain timeout", self.drain_timeout_ns),
            ("call timeout", self.call_timeout_ns),
            ("init timeout", self.init_timeout_ns),
            ("teardown timeout", self.teardown_timeout_ns),
            ("cooperative timeout", self.cooperative_ns),
            ("interrupt grace", self.interrupt_grace_ns),
            ("sink pause delay", self.sink_pause_delay_ns),
        ):
            if value is not None and value < 0:
                raise TorvynError("flow", "invalid-setting", f"the {name} is at least 0 ns, got {value}", code="E0703")

    @property
    def batch(self) -> int:
        """Return the stage executions between two yields."""
        return self.elements_per_yield or BATCH[self.priority]


@dataclass(frozen=True, slots=True)
class StageSetup:
    """What the driver needs to know of a stage's instance: its owner id, whether it has a life cycle, its configuration string."""

    owner: Owner
    has_lifecycle: bool = False
    config: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """A step: nothing can be done before this instant (monotonic ns; None: no timer runs), unless somebody cancels or opens a gate."""

    until: int | None


class Pause(StrEnum):
    """The steps that carry no data."""

    YIELD = "yield"
    DONE = "done"


YIELD: Final = Pause.YIELD
DONE: Final = Pause.DONE

Step = Invoke | Wait | Pause

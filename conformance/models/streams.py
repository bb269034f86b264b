"""What one stream must do: queue, credits, hysteresis and overflow policy (spec/reactor.md b, c, d).

`StreamModel` is the specification's reference model: enqueue adds one to the depth, and pressure goes on when that reaches the capacity;
dequeue takes one away, and pressure goes off when that reaches the low mark.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class Policy(StrEnum):
    """What a full stream does with one more element."""

    BLOCK = "block-producer"
    DROP_OLDEST = "drop-oldest"
    DROP_NEWEST = "drop-newest"
    ERROR = "error"


def low_mark(capacity: int, ratio: float) -> int:
    """Return the depth at which pressure ends: capacity times ratio, truncated (WMK-004)."""
    return int(capacity * ratio)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a pushed element; `refusal` is the kind of a push that is refused outright."""

    verdict: str = "enqueued"
    evicted: int | None = None
    change: str | None = None
    refusal: str | None = None


@dataclass(slots=True)
class StreamModel:
    """One stream between its producer and its consumer."""

    capacity: int
    ratio: float
    policy: Policy
    queue: deque[int] = field(default_factory=deque)
    active: bool = False
    complete: bool = False

    @property
    def low(self) -> int:
        """Return the low mark."""
        return low_mark(self.capacity, self.ratio)

    @property
    def depth(self) -> int:
        """Return the number of queued elements."""
        return len(self.queue)

    @property
    def credits(self) -> int:
        """Return how many elements the stream still takes (CREDIT-004: credits + depth = capacity)."""
        return self.capacity - len(self.queue)

    @property
    def may_produce(self) -> bool:
        """Tell whether the producer may be called (CREDIT-005, CREDIT-006; POLICY-007 for the policies that never suspend)."""
        if self.complete:
            return False
        return self.policy is not Policy.BLOCK or (self.credits > 0 and not self.active)

    def push(self, value: int) -> Pushed:
        """Take an element as the policy says."""
        if self.complete:
            return Pushed(refusal="producer-complete")
        if self.depth < self.capacity:
            self.queue.append(value)
            if self.active or self.depth < self.capacity:
                return Pushed()
            self.active = True
            return Pushed(change="active")
        match self.policy:
            case Policy.BLOCK:
                return Pushed(refusal="queue-full")
            case Policy.DROP_OLDEST:
                evicted = self.queue.popleft()
                self.queue.append(value)
                return Pushed("evicted-oldest", evicted)
            case Policy.DROP_NEWEST:
                return Pushed("refused-newest")
            case Policy.ERROR:
                return Pushed("queue-full")

    def pop(self) -> tuple[int, str | None] | None:
        """Take the oldest element; return it and the new pressure if it changed, or None when there is nothing."""
        if not self.queue:
            return None
        value = self.queue.popleft()
        if not self.active or self.depth > self.low:
            return value, None
        self.active = False
        return value, "normal"

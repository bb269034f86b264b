"""One edge of a flow: queue, credits, watermarks and policy, kept in step (CREDIT-004: credits + depth = capacity, always)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from torvyn_ref.streams.credit import CreditAccount
from torvyn_ref.streams.errors import StreamError
from torvyn_ref.streams.policy import ENQUEUED, PACED, QUEUE_FULL, REFUSED_NEWEST, OverflowPolicy, Push, Verdict
from torvyn_ref.streams.queue import BoundedQueue
from torvyn_ref.streams.watermark import DEFAULT_LOW_WATERMARK_RATIO, Pressure, WatermarkGate

T = TypeVar("T")

_ACTIVE: Final = Pressure.ACTIVE  # see watermark._ACTIVE

DEFAULT_CAPACITY: Final = 64


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """A stream's shape: capacity in elements, low mark as a fraction of it, and what happens when it is full.

    `rate_per_s` belongs to the policy `rate-limit` and to no other: elements per second that may enter (POLICY-009).
    """

    capacity: int = DEFAULT_CAPACITY
    low_watermark_ratio: float = DEFAULT_LOW_WATERMARK_RATIO
    policy: OverflowPolicy = OverflowPolicy.BLOCK
    rate_per_s: float | None = None

    def check_rate(self, *, where: str | None = None) -> None:
        """Refuse a rate that cannot be kept, a rate limit without one, and a rate of another policy.

        Raises:
            StreamError: invalid-rate, at `where`.
        """
        rate = self.rate_per_s
        if self.policy is not OverflowPolicy.RATE_LIMIT:
            if rate is None:
                return
            message = f"a rate belongs to the policy rate-limit, not to {self.policy}"
        elif rate is not None and math.isfinite(rate) and rate > 0:
            return
        else:
            message = f"rate-limit needs rate_per_s, elements per second above 0; got {'none' if rate is None else rate}"
        raise StreamError("invalid-rate", message, where=where, rate=rate)

    @property
    def interval_ns(self) -> int:
        """Return the least time between two elements that enter; 0 without a rate limit.

        Raises:
            StreamError: invalid-rate.
        """
        self.check_rate()
        return 0 if self.rate_per_s is None else math.ceil(1e9 / self.rate_per_s)


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What passed through a stream; durations in nanoseconds (FLOW-016, WMK-007, WMK-013, POLICY-008)."""

    elements: int
    dropped: int
    pressure_events: int
    pressure_ns: int
    peak_depth: int


class Stream(Generic[T]):
    """A bounded, credited, watermarked queue of elements between two stages.

    `push` and `pop` run for every element, so they do the account's arithmetic in place instead of asking queue, account and gate in turn.
    The gate is told only of depths that can matter: those from the capacity up, and, under pressure, those that fall.

    Attributes:
        may_produce: whether the producer may be called: credits are necessary, pressure forbids (CREDIT-005, CREDIT-006). At the last
            credit the depth is the capacity, so pressure alone decides.

    Raises:
        StreamError: invalid-capacity, invalid-ratio, invalid-rate.
    """

    __slots__ = (
        "active_since",
        "config",
        "credit",
        "dropped",
        "elements",
        "entered",
        "gate",
        "interval_ns",
        "items",
        "may_produce",
        "pressure_events",
        "pressure_ns",
        "producer_complete",
        "queue",
        "suspends_producer",
    )

    def __init__(self, config: StreamConfig) -> None:
        self.config = config
        self.queue: BoundedQueue[T] = BoundedQueue(config.capacity)
        self.credit = CreditAccount(config.capacity)
        self.gate = WatermarkGate(config.capacity, config.low_watermark_ratio)
        self.items = self.queue.items
        self.interval_ns = config.interval_ns
        self.entered: Push[T] = PACED if self.interval_ns else ENQUEUED
        self.suspends_producer = config.policy.suspends_producer
        self.may_produce = True
        self.producer_complete = False
        self.elements = self.dropped = self.pressure_events = self.pressure_ns = 0
        self.active_since = 0

    def push(self, element: T, now_ns: int) -> tuple[Push[T], Pressure | None]:
        """Take one element as the policy says; return what became of it, and the new pressure if it changed.

        A caller that respects `may_produce` never sees a full Block stream; one that does not gets queue-full.

        Raises:
            StreamError: producer-complete after `complete`; queue-full on a full Block stream.
        """
        if self.producer_complete:
            raise StreamError("producer-complete", "an element was pushed after the producer had completed")
        outcome = self.entered
        credit = self.credit
        if not credit.available:
            outcome = self._overflow()
            if outcome.verdict is not Verdict.EVICTED_OLDEST:
                return outcome, None
        items = self.items
        items.append(element)
        credit.available -= 1
        self.elements += 1
        depth = len(items)
        queue = self.queue
        if depth > queue.peak:  # noqa: PLR1730  # max() costs as much as the rest
            queue.peak = depth
        gate = self.gate
        if depth >= gate.high:
            change = gate.enqueued(depth)
            if change is not None:
                self.pressure_events += 1
                self.active_since = now_ns
                self.may_produce = not self.suspends_producer
                return outcome, change
        return outcome, None

    def pop(self, now_ns: int) -> tuple[T, Pressure | None]:
        """Take the oldest element; its credit returns at once (CREDIT-003). Return it, and the new pressure if it changed.

        Raises:
            StreamError: queue-empty.
        """
        items = self.items
        if not items:
            raise StreamError("queue-empty", "the queue is empty")
        element = items.popleft()
        self.credit.available += 1
        gate = self.gate
        if gate.pressure is _ACTIVE:
            change = gate.dequeued(len(items))
            if change is not None:
                self.pressure_ns += now_ns - self.active_since
                self.may_produce = not self.producer_complete
                return element, change
        return element, None

    def _overflow(self) -> Push[T]:
        """Do as the policy says with a full queue; after an eviction there is a place for the newcomer.

        Then depth and pressure are in the end what they were, and so are the credits (POLICY-002, POLICY-006).
        """
        policy = self.config.policy
        if policy.suspends_producer:
            raise StreamError("queue-full", f"the stream holds its {self.config.capacity} elements already")
        self.dropped += 1
        if policy is not OverflowPolicy.DROP_OLDEST:
            return QUEUE_FULL if policy is OverflowPolicy.ERROR else REFUSED_NEWEST
        evicted = self.items.popleft()
        self.credit.available += 1
        return Push(Verdict.EVICTED_OLDEST, evicted)

    def complete(self) -> bool:
        """Mark that the producer will push no more; return whether that is news."""
        news = not self.producer_complete
        self.producer_complete = True
        self.may_produce = False
        return news

    def settle(self, now_ns: int) -> bool:
        """Close a pressure interval that is still open when the flow ends; return whether there was one (WMK-008)."""
        if self.gate.pressure is not _ACTIVE:
            return False
        self.gate.pressure = Pressure.NORMAL
        self.pressure_ns += now_ns - self.active_since
        return True

    @property
    def depth(self) -> int:
        """Return the number of queued elements."""
        return len(self.items)

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing is queued and nothing more will come."""
        return self.producer_complete and not self.items

    def statistics(self) -> StreamStatistics:
        """Return the counters so far."""
        return StreamStatistics(self.elements, self.dropped, self.pressure_events, self.pressure_ns, self.queue.peak)

"""Mutants of one stream: queue, credits, watermarks, policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.streams import OverflowPolicy, Pressure, Push, Stream, StreamConfig, Verdict
from torvyn_ref.streams.stream import StreamStatistics
from torvyn_ref.streams.watermark import Crossing, WatermarkGate


def stream(name: str, *rules: str) -> Callable[[type[Stream[Any]]], type[Stream[Any]]]:
    """Register a faulty stream; its docstring is the summary."""

    def add(cls: type[Stream[Any]]) -> type[Stream[Any]]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(stream=cls))
        return cls

    return add


def gate(name: str, *rules: str) -> Callable[[type[WatermarkGate]], type[WatermarkGate]]:
    """Register a stream with a faulty watermark gate."""

    def add(cls: type[WatermarkGate]) -> type[WatermarkGate]:
        class WithGate(Stream[Any]):
            def __init__(self, config: StreamConfig) -> None:
                super().__init__(config)
                self.gate = cls(config.capacity, config.low_watermark_ratio)

        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(stream=WithGate))
        return cls

    return add


# ---------------------------------------------------------------- credits


@stream("one-credit-short", "CREDIT-001")
class OneCreditShort(Stream[Any]):
    """A stream starts with one credit less than it has places."""

    def __init__(self, config: StreamConfig) -> None:
        super().__init__(config)
        self.credit.available -= 1


@stream("enqueue-costs-two", "CREDIT-002", "CREDIT-004")
class EnqueueCostsTwo(Stream[Any]):
    """An enqueue spends two credits when there are two."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Spend one more."""
        result = super().push(element, now_ns)
        self.credit.available = max(0, self.credit.available - 1)
        return result


@stream("credits-come-back-in-pairs", "CREDIT-003", "CREDIT-004")
class CreditsComeBackInPairs(Stream[Any]):
    """Every second dequeue gives two credits back, the others none."""

    owed = 0

    def pop(self, now_ns: int) -> tuple[Any, Pressure | None]:
        """Withhold a credit, or give two."""
        result = super().pop(now_ns)
        self.owed ^= 1
        self.credit.available += -1 if self.owed else 1
        return result


@stream("eviction-pays-twice", "CREDIT-008", "POLICY-006", "CREDIT-004")
class EvictionPaysTwice(Stream[Any]):
    """An evicted element's credit comes back, and the newcomer costs none."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Give one more."""
        outcome, change = super().push(element, now_ns)
        if outcome.verdict is Verdict.EVICTED_OLDEST:
            self.credit.available += 1
        return outcome, change


@stream("refusal-costs-one", "POLICY-006")
class RefusalCostsOne(Stream[Any]):
    """A refused newcomer leaves a credit behind that nobody gave."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Give one for nothing."""
        outcome, change = super().push(element, now_ns)
        if outcome.verdict in {Verdict.REFUSED_NEWEST, Verdict.QUEUE_FULL}:
            self.credit.available += 1
        return outcome, change


@stream("block-evicts", "CREDIT-005", "POLICY-001")
class BlockEvicts(Stream[Any]):
    """A blocking stream never suspends its producer, and evicts when it is full."""

    def __init__(self, config: StreamConfig) -> None:
        block = config.policy is OverflowPolicy.BLOCK
        super().__init__(replace(config, policy=OverflowPolicy.DROP_OLDEST) if block else config)


@stream("credits-are-enough", "CREDIT-006", "POLICY-001", "POLICY-014", "SCHED-003", "CREDIT-009")
class CreditsAreEnough(Stream[Any]):
    """A producer may go on as soon as there is a credit, pressure or not."""

    @property
    def may_produce(self) -> bool:
        """Look at the credits only."""
        return not self.producer_complete and (not self.suspends_producer or self.credit.available > 0)

    @may_produce.setter
    def may_produce(self, value: bool) -> None:
        """Do not heed what pressure says."""


# ---------------------------------------------------------------- watermarks


@gate("on-one-early", "WMK-001")
class OnOneEarly(WatermarkGate):
    """Pressure goes on one place before the capacity."""

    __slots__ = ()

    def __init__(self, capacity: int, ratio: float) -> None:
        super().__init__(capacity, ratio)
        self.high -= 1


@gate("off-below-the-mark", "WMK-002")
class OffBelowTheMark(WatermarkGate):
    """Pressure goes off below the low mark, not at it."""

    __slots__ = ()

    def dequeued(self, depth: int) -> Pressure | None:
        """Ask for one less; nothing is less than an empty queue."""
        return super().dequeued(depth + 1 if depth else 0)


@gate("no-hysteresis", "WMK-002", "WMK-003")
class NoHysteresis(WatermarkGate):
    """Pressure goes off as soon as there is a place."""

    __slots__ = ()

    def dequeued(self, depth: int) -> Pressure | None:
        """Cross at once."""
        return self._cross(Crossing.LOW) if depth < self.high else None


@gate("low-mark-rounded-up", "WMK-004")
class LowMarkRoundedUp(WatermarkGate):
    """The low mark is rounded up."""

    __slots__ = ()

    def __init__(self, capacity: int, ratio: float) -> None:
        super().__init__(capacity, ratio)
        self.low = min(capacity - 1, math.ceil(capacity * ratio))


@gate("on-and-on", "WMK-005")
class OnAndOn(WatermarkGate):
    """Pressure goes on again each time the queue is full, on or not."""

    __slots__ = ()

    def enqueued(self, depth: int) -> Pressure | None:
        """Say it again."""
        return super().enqueued(depth) or (Pressure.ACTIVE if depth >= self.high else None)


@gate("one-is-too-small-for-pressure", "WMK-011", "WMK-001", "POLICY-013")
class OneIsTooSmallForPressure(WatermarkGate):
    """A stream of capacity 1 has no pressure."""

    __slots__ = ()

    def enqueued(self, depth: int) -> Pressure | None:
        """Leave small ones alone."""
        return None if self.high == 1 else super().enqueued(depth)


@stream("room-for-one-more", "WMK-012", "CREDIT-001", "CREDIT-004")
class RoomForOneMore(Stream[Any]):
    """A stream takes one element more than its capacity."""

    def __init__(self, config: StreamConfig) -> None:
        super().__init__(replace(config, capacity=config.capacity + 1))
        self.config = config


@stream("pressure-not-counted", "WMK-007")
class PressureNotCounted(Stream[Any]):
    """The summary knows of no pressure."""

    def statistics(self) -> StreamStatistics:
        """Leave it out."""
        return replace(super().statistics(), pressure_events=0)


@stream("peak-is-the-last-depth", "WMK-013")
class PeakIsTheLastDepth(Stream[Any]):
    """The summary's peak is the depth at the end."""

    def statistics(self) -> StreamStatistics:
        """Look too late."""
        return replace(super().statistics(), peak_depth=self.depth)


@stream("drops-are-not-elements", "POLICY-008")
class DropsAreNotElements(Stream[Any]):
    """The summary forgets the elements that were evicted later."""

    def statistics(self) -> StreamStatistics:
        """Subtract them."""
        seen = super().statistics()
        return replace(seen, elements=seen.elements - seen.dropped)


# ---------------------------------------------------------------- policies


@stream("dropping-streams-suspend", "POLICY-007", "WMK-015")
class DroppingStreamsSuspend(Stream[Any]):
    """A full stream suspends its producer whatever its policy, so that the policy can never act."""

    def __init__(self, config: StreamConfig) -> None:
        super().__init__(config)
        self.suspends_producer = True


@stream("drops-the-second-newest", "POLICY-002")
class DropsTheSecondNewest(Stream[Any]):
    """Drop-oldest evicts the tail."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Turn the queue around for the eviction."""
        if not self.credit.available and self.config.policy is OverflowPolicy.DROP_OLDEST:
            self.items.rotate(1)
        return super().push(element, now_ns)


@stream("makes-room-by-stretching", "WMK-012", "POLICY-002")
class MakesRoomByStretching(Stream[Any]):
    """Drop-oldest lets the newcomer in and forgets to evict."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Append beyond the capacity."""
        if self.credit.available or self.config.policy is not OverflowPolicy.DROP_OLDEST:
            return super().push(element, now_ns)
        self.items.append(element)
        return Push(Verdict.EVICTED_OLDEST, self.items[0]), None


@stream("drop-newest-drops-oldest", "POLICY-003")
class DropNewestDropsOldest(Stream[Any]):
    """Drop-newest is understood as drop-oldest."""

    def __init__(self, config: StreamConfig) -> None:
        newest = config.policy is OverflowPolicy.DROP_NEWEST
        super().__init__(replace(config, policy=OverflowPolicy.DROP_OLDEST) if newest else config)


@stream("full-is-no-error", "POLICY-004")
class FullIsNoError(Stream[Any]):
    """The error policy drops the newcomer in silence."""

    def __init__(self, config: StreamConfig) -> None:
        silent = config.policy is OverflowPolicy.ERROR
        super().__init__(replace(config, policy=OverflowPolicy.DROP_NEWEST) if silent else config)


@stream("last-in-first-out", "ORD-001", "ORD-009")
class LastInFirstOut(Stream[Any]):
    """A stream gives its youngest element first."""

    def pop(self, now_ns: int) -> tuple[Any, Pressure | None]:
        """Bring the youngest to the front."""
        self.items.rotate(1)
        return super().pop(now_ns)

"""Subtle mutants of streams and flows: right nearly always, and wrong at one depth, at capacity 1, after a trap, under cancel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_flows import HearsCancelLate, driver
from conformance.mutants.faulty_hosts import reactor
from conformance.mutants.faulty_streams import gate, stream
from torvyn_ref.calls import Answer, Call, Cause, Element, Failure
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.flow import FlowDriver, Reason
from torvyn_ref.flow.bounds import CallBounds, call_bounds
from torvyn_ref.flow.breaker import Circuit, CircuitBreaker
from torvyn_ref.flow.settings import FlowSettings, Step
from torvyn_ref.flow.stage import Edge, Invoke, Stage
from torvyn_ref.ids import FlowId
from torvyn_ref.reactor.coordinator import FlowHandle, Reactor
from torvyn_ref.streams import OverflowPolicy, Pressure, Push, Stream, StreamConfig, Verdict
from torvyn_ref.streams.stream import StreamStatistics
from torvyn_ref.streams.watermark import DEFAULT_LOW_WATERMARK_RATIO, WatermarkGate

# ---------------------------------------------------------------- one depth, one capacity


@gate("off-at-one-is-off-at-none", "WMK-002")
class OffAtOneIsOffAtNone(WatermarkGate):
    """A low mark of 1 is taken for 0: wrong at depth 1 only."""

    __slots__ = ()

    def dequeued(self, depth: int) -> Pressure | None:
        """Wait for the empty queue."""
        return None if self.low == 1 and depth == 1 else super().dequeued(depth)


@gate("a-ratio-of-nothing-is-the-default", "WMK-004")
class ARatioOfNothingIsTheDefault(WatermarkGate):
    """A low watermark ratio of 0 is taken for one that was not given."""

    __slots__ = ()

    def __init__(self, capacity: int, ratio: float) -> None:
        super().__init__(capacity, ratio or DEFAULT_LOW_WATERMARK_RATIO)


@gate("three-times-and-no-more", "WMK-001")
class ThreeTimesAndNoMore(WatermarkGate):
    """Pressure goes on three times in a stream's life."""

    __slots__ = ("times",)

    def __init__(self, capacity: int, ratio: float) -> None:
        super().__init__(capacity, ratio)
        self.times = 0

    def enqueued(self, depth: int) -> Pressure | None:
        """Count."""
        if depth < self.high or self.times == 3:
            return None
        self.times += self.pressure is Pressure.NORMAL
        return super().enqueued(depth)


@stream("a-single-place-is-not-evicted", "POLICY-002")
class ASinglePlaceIsNotEvicted(Stream[Any]):
    """Drop-oldest with a capacity of 1 refuses the newcomer."""

    def __init__(self, config: StreamConfig) -> None:
        single = config.capacity == 1 and config.policy is OverflowPolicy.DROP_OLDEST
        super().__init__(replace(config, policy=OverflowPolicy.DROP_NEWEST) if single else config)


@stream("two-places-need-no-pressure", "CREDIT-006")
class TwoPlacesNeedNoPressure(Stream[Any]):
    """At capacity 2 a credit is enough to wake the producer, pressure or not."""

    said = True

    @property
    def may_produce(self) -> bool:
        """Look at the credits, where there are two."""
        if self.config.capacity != 2 or not self.suspends_producer or self.producer_complete:
            return self.said
        return self.credit.available > 0

    @may_produce.setter
    def may_produce(self, value: bool) -> None:
        """Remember what pressure says."""
        self.said = value


@stream("the-turn-costs-a-credit", "CREDIT-003", "CREDIT-004")
class TheTurnCostsACredit(Stream[Any]):
    """The first element taken from a full queue of three or more does not give its credit back."""

    def pop(self, now_ns: int) -> tuple[Any, Pressure | None]:
        """Keep it."""
        full = self.depth == self.config.capacity > 2
        result = super().pop(now_ns)
        self.credit.available -= full
        return result


@stream("swaps-after-an-eviction", "ORD-001", "POLICY-002")
class SwapsAfterAnEviction(Stream[Any]):
    """After an eviction the newcomer stands one place too far in front."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Let it jump the queue."""
        outcome, change = super().push(element, now_ns)
        if outcome.verdict is Verdict.EVICTED_OLDEST and self.depth > 1:
            last = self.items.pop()
            self.items.insert(len(self.items) - 1, last)
        return outcome, change


@stream("peaks-of-one-are-none", "WMK-013")
class PeaksOfOneAreNone(Stream[Any]):
    """A peak depth of 1 is reported as 0."""

    def statistics(self) -> StreamStatistics:
        """Round down."""
        seen = super().statistics()
        return replace(seen, peak_depth=seen.peak_depth if seen.peak_depth > 1 else 0)


@stream("three-drops-are-many", "POLICY-008")
class ThreeDropsAreMany(Stream[Any]):
    """The summary counts to three drops."""

    def statistics(self) -> StreamStatistics:
        """Cut."""
        seen = super().statistics()
        return replace(seen, dropped=min(seen.dropped, 3))


# ---------------------------------------------------------------- ends


@driver("tells-two-sinks-twice", "CANCEL-009")
class TellsTwoSinksTwice(FlowDriver):
    """Where there are two sinks, the last one hears twice that it is over."""

    def _start_complete(self) -> None:
        super()._start_complete()
        if len(self._todo) > 1:
            self._todo.append(self._todo[-1])


@driver("an-end-under-pressure-is-lost", "FLOW-008")
class AnEndUnderPressureIsLost(FlowDriver):
    """The end of a stream that is announced while an output is under pressure never arrives there."""

    def _close(self, stage: Stage) -> None:
        for edge in stage.outputs:
            if edge.stream.gate.pressure is Pressure.ACTIVE:
                edge.stream.producer_complete = True
                edge.target.open_inputs += 1
        super()._close(stage)


@driver("deadlines-wait-for-idleness", "FLOW-005")
class DeadlinesWaitForIdleness(FlowDriver):
    """A deadline works only for a flow that has nothing to do."""

    asleep: int | None = None

    def _next_run(self, now: int) -> Step | None:
        if self._cancellation.reason is None:
            self.asleep, self._alarm = self._alarm or self.asleep, None
        return super()._next_run(now)

    def _idle(self, now: int) -> Step | None:
        if self._cancellation.reason is None:
            self._alarm = self.asleep
        return super()._idle(now)


@driver("after-a-trap-nobody-cleans-up", "CANCEL-015", "OWN-036")
class AfterATrapNobodyCleansUp(FlowDriver):
    """What a component has kept stays alive when it was a trap that ended the flow."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        kept = [seen.handle for seen in self._resources.live(self.flow) if seen.owner == stage.owner] if failure.poisoned else []
        for handle in kept:
            entry = self._resources._table[handle]  # noqa: SLF001 -- a fault has to be put where the runtime does not expect one
            entry.flow = FlowId(0)
            self._resources._budgets.credit(entry.owner, entry.capacity)  # noqa: SLF001 -- as above
            entry.owner = type(entry.owner)(0)
        super()._failed(stage, call, element, failure)


@driver("the-last-place-is-drained-first", "CANCEL-005", "ORD-001")
class TheLastPlaceIsDrainedFirst(FlowDriver):
    """While a cancelled flow drains, queues of more than two are emptied from the wrong end."""

    def _work(self, stage: Stage, now: int) -> Invoke:
        if self._cancellation.reason is Reason.OPERATOR_REQUEST and stage.retry is None and stage.inputs:
            for edge in stage.inputs:
                if edge.stream.depth > 2:
                    edge.stream.items.rotate(1)
        return super()._work(stage, now)


@driver("a-failed-flush-is-a-good-end", "FLOW-005")
class AFailedFlushIsAGoodEnd(FlowDriver):
    """A flow whose aggregator fails to flush is Completed."""

    def _fault(self, stage: Stage, call: Call, failure: Failure) -> None:
        super()._fault(stage, call, failure)
        if call is Call.FLUSH:
            self._failure = None
            if self._cancellation.reason is Reason.COMPONENT_ERROR:
                self._cancellation.reason = Reason.SOURCE_COMPLETE


# ---------------------------------------------------------------- fan-in and fan-out


@driver("joins-are-shuffled", "ORD-001")
class JoinsAreShuffled(FlowDriver):
    """A stage with several inputs takes the second of a queue before the first."""

    def _work(self, stage: Stage, now: int) -> Invoke:
        if len(stage.inputs) > 1 and stage.retry is None and not stage.flush_due:
            for edge in stage.inputs:
                items = edge.stream.items
                if len(items) > 1:
                    items[0], items[1] = items[1], items[0]
        return super()._work(stage, now)


@driver("the-third-branch-is-forgotten", "ORD-010", "ORD-011")
class TheThirdBranchIsForgotten(FlowDriver):
    """Of three branches two are fed."""

    def _push(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        element.uses -= max(0, len(edges) - 2)
        super()._push(stage, element, edges[:2])


@driver("pairs-share-a-number", "ORD-003")
class PairsShareANumber(FlowDriver):
    """A flush gives its second element the number of its first."""

    def _flushed(self, stage: Stage, answer: Answer) -> None:
        before = self._sequence
        super()._flushed(stage, answer)
        if self._sequence > before + 1:
            element = stage.pending[1][0] if len(stage.pending) > 1 else None
            if element is not None:
                element.sequence = before


# ---------------------------------------------------------------- two faults at once


@stream("two-wrongs-in-the-account", "CREDIT-002", "CREDIT-003", "CREDIT-004")
class TwoWrongsInTheAccount(Stream[Any]):
    """Every second enqueue costs nothing, and every second dequeue gives nothing back: in the end the account is right."""

    pushed = popped = 0

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Spend nothing every second time, where there is room."""
        result = super().push(element, now_ns)
        self.pushed += 1
        if self.pushed % 2 == 0 and result[0].verdict is Verdict.ENQUEUED:
            self.credit.available += 1
        return result

    def pop(self, now_ns: int) -> tuple[Any, Pressure | None]:
        """Give nothing back every second time."""
        self.popped += 1
        if self.popped % 2 == 0:
            self.credit.available = max(0, self.credit.available - 1)
        if self.credit.available >= self.config.capacity:
            self.credit.available = self.config.capacity - 1
        return super().pop(now_ns)


@stream("drops-the-wrong-one-and-says-nothing", "POLICY-002", "POLICY-008")
class DropsTheWrongOneAndSaysNothing(Stream[Any]):
    """Drop-oldest evicts the tail, and the summary knows of no drop."""

    def push(self, element: Any, now_ns: int) -> tuple[Push[Any], Pressure | None]:
        """Turn the queue around for the eviction."""
        if not self.credit.available and self.config.policy is OverflowPolicy.DROP_OLDEST:
            self.items.rotate(1)
        return super().push(element, now_ns)

    def statistics(self) -> StreamStatistics:
        """Leave the drops out."""
        return replace(super().statistics(), dropped=0)


@driver("closes-at-a-refusal", "POLICY-001")
class ClosesAtARefusal(FlowDriver):
    """A stage whose last element finds no place on one branch is closed at once, and its other branches never get it."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        super()._failed(stage, call, element, failure)
        if failure.cause is Cause.QUEUE_FULL:
            self._maybe_close(stage)


@driver("one-look-at-open-circuits", "ERR-011")
class OneLookAtOpenCircuits(FlowDriver):
    """What becomes ready behind an open circuit because another one was emptied is called all the same."""

    def _shed(self, now: int) -> bool:
        return super()._shed(now) and bool(self._with_pending)


class _Suspicious(CircuitBreaker):
    """A circuit that is not closed by an error of another kind."""

    def failed(self, now: int, *, unavailable: bool, failures_before: int) -> bool:
        """Go on as if nothing had been decided."""
        if self.circuit is Circuit.HALF_OPEN and not unavailable:
            return False
        return super().failed(now, unavailable=unavailable, failures_before=failures_before)


@driver("another-error-decides-nothing", "ERR-011")
class AnotherErrorDecidesNothing(FlowDriver):
    """The call after the cool-down fails in another way, and the next `unavailable` opens the circuit again."""

    def _heed(self, settings: FlowSettings) -> None:
        super()._heed(settings)
        if settings.breaker is not None:
            for stage in self.stages:
                stage.breaker = _Suspicious(settings.breaker)


@driver("a-drain-by-refusal-lasts-longer", "CANCEL-007")
class ADrainByRefusalLastsLonger(FlowDriver):
    """A drain without time that begins because a stream refused a flush goes on until nothing is left to do."""

    def _deliver_pending(self, now: int) -> None:
        super()._deliver_pending(now)
        if self._drain_end is not None and self._alarm is not None and now >= self._alarm:
            self._alarm = now + 1


@driver("complete-takes-its-time", "CANCEL-003", "CANCEL-008")
class CompleteTakesItsTime(FlowDriver):
    """Neither a cancel nor the deadline ends a call of `complete`."""

    @property
    def call_bounds(self) -> CallBounds:
        """Know of the call's own timeout only."""
        running = self._running
        if running is not None and running.invoke.call is Call.COMPLETE:
            return call_bounds(self.settings, Call.COMPLETE, self._now)
        return super().call_bounds


@driver("sheds-and-tells-later", "POLICY-014")
class ShedsAndTellsLater(FlowDriver):
    """A source whose stream an open circuit has emptied is pulled first, and told afterwards that it may go on."""

    __slots__ = ("_untold",)

    def _shed(self, now: int) -> bool:
        waiting = len(self._notices)
        shed = super()._shed(now)
        late = [self._notices.pop() for _ in range(len(self._notices) - waiting)]
        self._untold = [*getattr(self, "_untold", ()), *late[::-1]]
        return shed

    def _next_run(self, now: int) -> Step | None:
        self._notices.extend(getattr(self, "_untold", ()))
        self._untold = []
        return super()._next_run(now)


@driver("late-and-twice", "CANCEL-001", "CANCEL-009")
class LateAndTwice(HearsCancelLate):
    """A cancel is observed one call late, and sinks hear twice that it is over."""

    def _start_complete(self) -> None:
        super()._start_complete()
        self._todo.extend(list(self._todo))


# ---------------------------------------------------------------- only beside another flow


@reactor("in-company-from-one", "ORD-012")
class InCompanyFromOne(Reactor):
    """A flow that is started while the host has another one counts from 1."""

    def start(self, driver: FlowDriver, instances: Mapping[str, Instance]) -> FlowHandle:
        """Skip a number."""
        if self._flows:
            driver._sequence = 1  # noqa: SLF001 -- as above
        return super().start(driver, instances)

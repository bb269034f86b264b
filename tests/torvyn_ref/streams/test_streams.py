"""Streams: queue, credits, watermarks and policies, held against models of a few lines."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.streams import (
    OverflowPolicy,
    Pressure,
    Stream,
    StreamConfig,
    StreamError,
    Verdict,
    WatermarkGate,
    low_watermark,
)
from torvyn_ref.streams.watermark import TRANSITIONS, Crossing


def kind_of(excinfo):
    return excinfo.value.subsystem, excinfo.value.kind


# ---- the parts


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_queue_holds_at_least_one(capacity):
    with pytest.raises(StreamError) as refused:
        Stream(StreamConfig(capacity))
    assert kind_of(refused) == ("streams", "invalid-capacity")


@pytest.mark.parametrize(
    ("capacity", "ratio", "low"),
    [(1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.25, 1), (64, 0.5, 32), (7, 0.99, 6), (100, 0.29, 28), (10, 0.7, 7), (3, 1 / 3, 1)],
)
def test_the_low_mark_is_the_truncated_product_in_double_precision(capacity, ratio, low):
    assert low_watermark(capacity, ratio) == low


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, math.nan, math.inf, -math.inf])
def test_a_ratio_outside_the_unit_interval_is_refused(ratio):
    with pytest.raises(StreamError) as refused:
        Stream(StreamConfig(4, ratio))
    assert kind_of(refused) == ("streams", "invalid-ratio")


def test_the_watermark_table_has_two_transitions_and_no_other():
    assert {
        (Pressure.NORMAL, Crossing.HIGH): Pressure.ACTIVE,
        (Pressure.ACTIVE, Crossing.LOW): Pressure.NORMAL,
    } == TRANSITIONS


def test_pressure_starts_at_the_capacity_and_ends_at_the_low_mark_not_between():
    gate = WatermarkGate(8, 0.5)
    assert [gate.enqueued(depth) for depth in range(1, 9)] == [None] * 7 + [Pressure.ACTIVE]
    assert [gate.dequeued(depth) for depth in (7, 6, 5, 4, 3)] == [None, None, None, Pressure.NORMAL, None]
    assert gate.enqueued(7) is None


# ---- the model: twelve lines, written from the rule (WMK, reference model)


LOSSLESS = (OverflowPolicy.BLOCK, OverflowPolicy.RATE_LIMIT)


def shape(capacity, ratio=0.5, policy=OverflowPolicy.BLOCK):
    return StreamConfig(capacity, ratio, policy, rate_per_s=10.0 if policy is OverflowPolicy.RATE_LIMIT else None)


class Model:
    def __init__(self, capacity, ratio, policy):
        self.items, self.capacity, self.low, self.policy = [], capacity, int(capacity * ratio), policy
        self.active, self.events, self.dropped = False, 0, 0

    def push(self, item):
        if len(self.items) == self.capacity:
            if self.policy in LOSSLESS:
                return "refused"
            self.dropped += 1
            if self.policy is not OverflowPolicy.DROP_OLDEST:
                return {OverflowPolicy.ERROR: Verdict.QUEUE_FULL, OverflowPolicy.DROP_NEWEST: Verdict.REFUSED_NEWEST}[self.policy], None
            self.items = [*self.items[1:], item]
            return Verdict.EVICTED_OLDEST, None
        self.items.append(item)
        rises = not self.active and len(self.items) == self.capacity
        self.active = self.active or rises
        self.events += rises
        return Verdict.ENQUEUED, Pressure.ACTIVE if rises else None

    def pop(self):
        item, *self.items = self.items
        falls = self.active and len(self.items) <= self.low
        self.active = self.active and not falls
        return item, Pressure.NORMAL if falls else None


@given(
    capacity=st.integers(1, 9),
    ratio=st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.875]),
    policy=st.sampled_from(list(OverflowPolicy)),
    operations=st.lists(st.booleans(), max_size=120),
)
def test_a_stream_agrees_with_the_model_whatever_is_done_to_it(capacity, ratio, policy, operations):
    stream, model = Stream(shape(capacity, ratio, policy)), Model(capacity, ratio, policy)
    for now, is_push in enumerate(operations):
        if is_push:
            expected = model.push(now)
            if expected == "refused":
                with pytest.raises(StreamError) as refused:
                    stream.push(now, now)
                assert kind_of(refused) == ("streams", "queue-full")
            else:
                outcome, change = stream.push(now, now)
                assert (outcome.verdict, change) == expected
        elif model.items:
            assert stream.pop(now) == model.pop()
        else:
            with pytest.raises(StreamError) as refused:
                stream.pop(now)
            assert kind_of(refused) == ("streams", "queue-empty")
        assert list(stream.items) == model.items
        assert stream.depth + stream.credit.available == capacity
        assert (stream.gate.pressure is Pressure.ACTIVE) == model.active
        assert (stream.pressure_events, stream.dropped) == (model.events, model.dropped)
        blocked = policy in LOSSLESS and model.active
        assert stream.may_produce == (not blocked)


# ---- policies, one by one


def test_drop_oldest_hands_back_the_head_and_keeps_the_rest_in_order():
    stream = Stream(StreamConfig(2, policy=OverflowPolicy.DROP_OLDEST))
    for item in (1, 2):
        stream.push(item, 0)
    outcome, change = stream.push(3, 0)
    assert (outcome.verdict, outcome.evicted, change) == (Verdict.EVICTED_OLDEST, 1, None)
    assert list(stream.items) == [2, 3]


@pytest.mark.parametrize(
    ("policy", "verdict"), [(OverflowPolicy.DROP_NEWEST, Verdict.REFUSED_NEWEST), (OverflowPolicy.ERROR, Verdict.QUEUE_FULL)]
)
def test_a_refused_newcomer_leaves_queue_and_credits_alone(policy, verdict):
    stream = Stream(StreamConfig(1, policy=policy))
    stream.push(1, 0)
    outcome, _ = stream.push(2, 0)
    assert (outcome.verdict, outcome.evicted, list(stream.items), stream.credit.available) == (verdict, None, [1], 0)


def test_only_where_nothing_may_be_lost_a_full_stream_keeps_the_producer_from_being_called():
    for policy in OverflowPolicy:
        stream = Stream(shape(1, policy=policy))
        stream.push(1, 0)
        assert stream.may_produce == (policy not in LOSSLESS)


@pytest.mark.parametrize("rate", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_limit_without_a_rate_that_can_be_kept_is_refused(rate):
    with pytest.raises(StreamError) as refused:
        Stream(StreamConfig(1, policy=OverflowPolicy.RATE_LIMIT, rate_per_s=rate))
    assert kind_of(refused) == ("streams", "invalid-rate")


def test_a_rate_of_another_policy_is_refused():
    with pytest.raises(StreamError, match="belongs to the policy rate-limit"):
        Stream(StreamConfig(1, rate_per_s=10.0))


@pytest.mark.parametrize(("rate", "interval"), [(10.0, 100_000_000), (3.0, 333_333_334), (1e9, 1), (1e12, 1)])
def test_the_interval_of_a_rate_is_rounded_up(rate, interval):
    assert StreamConfig(1, policy=OverflowPolicy.RATE_LIMIT, rate_per_s=rate).interval_ns == interval


# ---- the end of a stream


def test_a_completed_stream_takes_nothing_and_gives_what_it_has():
    stream = Stream(StreamConfig(2))
    stream.push(1, 0)
    assert (stream.complete(), stream.complete()) == (True, False)
    assert not stream.may_produce
    with pytest.raises(StreamError) as refused:
        stream.push(2, 0)
    assert kind_of(refused) == ("streams", "producer-complete")
    assert not stream.is_complete
    assert stream.pop(0)[0] == 1
    assert stream.is_complete


def test_time_under_pressure_is_added_when_it_ends_and_an_open_interval_when_the_flow_ends():
    stream = Stream(StreamConfig(1))
    stream.push(1, 10)
    stream.pop(17)
    stream.push(2, 20)
    assert stream.settle(25) is True
    assert stream.settle(30) is False
    statistics = stream.statistics()
    assert (statistics.pressure_events, statistics.pressure_ns, statistics.peak_depth, statistics.elements) == (2, 12, 1, 2)

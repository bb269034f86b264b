"""Readings of metrics, and what lies between two of them (OBS-026, OBS-027)."""

from __future__ import annotations

import pytest

from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe import FlowReading, Histogram
from torvyn_ref.observe.metrics import FlowMetrics, StreamMetrics


def metrics():
    return FlowMetrics(FlowId(1), {"one": Owner(1)}, ["one -> two"])


def test_a_window_has_only_what_came_in_it():
    flow = metrics()
    for value in (90, 40_000, 10**12):
        flow.latency.record(value)
    flow.elements, flow.errors = 3, 1
    first = FlowReading.of(flow)
    flow.latency.record(120)
    flow.components["one"].processing_time.record(7)
    flow.elements, flow.errors = 5, 1
    window = FlowReading.of(flow).since(first)
    assert (window.elements, window.errors, window.latency.count, window.latency.total) == (2, 0, 1, 120)
    assert window.components["one"].invocations == 1
    assert 100 <= window.latency.percentile(99) <= 250


def test_a_reading_stays_what_it_was():
    flow = metrics()
    before = FlowReading.of(flow)
    flow.latency.record(5)
    flow.elements = 1
    assert (before.elements, before.latency.count) == (0, 0)


def test_a_window_that_ends_before_it_begins_has_nothing():
    flow = metrics()
    first = FlowReading.of(flow)
    flow.elements = 4
    flow.latency.record(5)
    window = first.since(FlowReading.of(flow))
    assert (window.elements, window.latency.count, window.latency.total, window.latency.percentile(50)) == (0, 0, 0, 0)


def test_extremes_of_a_window_are_those_of_its_buckets_or_of_all_values():
    histogram = Histogram((10, 100, 1000))
    for value in (5, 2000):
        histogram.record(value)
    earlier = histogram.copy()
    histogram.record(50)
    between = histogram.since(earlier)
    assert (between.minimum, between.maximum) == (10, 100)
    histogram.record(3000)
    assert histogram.since(earlier).maximum == 3000


@pytest.mark.parametrize(
    ("changes", "average"),
    [
        ([], None),
        ([(5, 1)], 1.0),
        ([(0, 1), (10, 3), (20, 0)], 2.0),
        ([(0, 4), (90, 0), (100, 0)], 3.6),
    ],
)
def test_the_average_depth_is_one_over_time(changes, average):
    stream = StreamMetrics("a -> b", 0)
    for at, depth in changes:
        stream.deepened(at, depth)
    assert stream.average_depth == average
    stream.unfollowed()
    assert stream.average_depth is None

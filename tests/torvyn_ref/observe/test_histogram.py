"""Histograms against sorted data."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.errors import TorvynError
from torvyn_ref.observe import LATENCY_NS, SIZE_BYTES, Histogram

EDGES = (10, 20, 40)


def filled(values, edges=EDGES):
    histogram = Histogram(edges)
    for value in values:
        histogram.record(value)
    return histogram


def test_the_fixed_buckets_are_the_specified_ones():
    assert len(LATENCY_NS) == 25
    assert (LATENCY_NS[:5], LATENCY_NS[-4:]) == ((100, 250, 500, 1000, 2500), (1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000))
    assert tuple(4**power for power in range(3, 13)) == SIZE_BYTES


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (9, 0), (10, 0), (11, 1), (20, 1), (21, 2), (40, 2), (41, 3), (10**18, 3)])
def test_a_bucket_includes_its_upper_edge_and_not_its_lower(value, bucket):
    assert filled([value]).buckets == [int(index == bucket) for index in range(4)]


def test_an_empty_histogram_is_all_zeros():
    empty = Histogram().as_dict()
    assert {key: value for key, value in empty.items() if key != "buckets"} == dict.fromkeys(
        ("count", "sum", "min", "max", "mean", "p50", "p90", "p95", "p99", "p999"), 0
    )
    assert [held for _, held in empty["buckets"]] == [0] * 26


def test_percentiles_lie_on_a_line_between_a_buckets_edges():
    histogram = filled([11, 12, 13, 20])  # all in (10, 20]: the k-th of four sits at 10 + k * 10/4
    assert [histogram.percentile(percent) for percent in (25, 50, 75, 100)] == [12, 15, 17, 20]
    assert histogram.percentile(0) == 12


def test_estimates_never_leave_what_was_seen():
    assert [filled([15]).percentile(percent) for percent in (0, 50, 100)] == [15, 15, 15]
    assert filled([1, 2]).percentile(99) == 2
    assert filled([50, 90]).percentile(100) == 90


def test_the_rank_is_exact_where_floating_point_is_not():
    histogram = filled([1] * 999 + [41])
    assert histogram.percentile(99.9) <= 10  # rank 999 of 1000, not 1000
    assert histogram.percentile(99.91) == 41


@pytest.mark.parametrize("percent", [-1, 100.1, math.nan])
def test_a_percentile_outside_the_hundred_is_refused(percent):
    with pytest.raises(TorvynError) as refused:
        Histogram().percentile(percent)
    assert refused.value.kind == "invalid-percentile"


@pytest.mark.parametrize("edges", [(), (0, 1), (-1, 1), (1, 1), (2, 1)])
def test_edges_ascend(edges):
    with pytest.raises(TorvynError) as refused:
        Histogram(edges)
    assert refused.value.kind == "invalid-buckets"


def test_a_clock_set_back_counts_as_no_time_at_all():
    histogram = filled([-5, 3, -7])
    assert (histogram.minimum, histogram.maximum, histogram.total, histogram.buckets[0]) == (0, 3, 3, 3)


@given(st.lists(st.integers(0, 120), min_size=1), st.lists(st.integers(0, 1000).map(lambda tenths: tenths / 10), min_size=2))
def test_percentiles_are_within_a_bucket_of_the_truth_and_grow(values, percents):
    histogram, ordered = filled(values), sorted(values)
    assert (histogram.count, histogram.total, histogram.minimum, histogram.maximum) == (len(values), sum(values), ordered[0], ordered[-1])
    assert sum(histogram.buckets) == histogram.count
    before = 0
    for percent in sorted(percents):
        estimate = histogram.percentile(percent)
        truth = ordered[max(1, math.ceil(round(percent * 10) * len(values) / 1000)) - 1]
        lower = max((edge for edge in (0, *EDGES) if edge < truth), default=0)
        upper = min((edge for edge in EDGES if truth <= edge), default=ordered[-1])
        assert lower <= estimate <= upper
        assert ordered[0] <= estimate <= ordered[-1]
        assert estimate >= before
        before = estimate

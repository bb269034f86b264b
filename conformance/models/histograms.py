"""What a histogram must hold, and what its percentiles must be (OBS-003 to OBS-006), from the values themselves."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from conformance.subjects.protocol import HistogramData

LATENCY = (*(int(step * 10**decade) for decade in range(2, 10) for step in (1, 2.5, 5)), 10**10)
"""The 25 latency edges in nanoseconds: 100 ns to 10 s."""
SIZES = tuple(64 * 4**power for power in range(10))
"""The 10 size edges in bytes: 64 B to 16 MiB."""


def filled(edges: Sequence[int], values: Sequence[int]) -> HistogramData:
    """Return the histogram of some values: each is in the first bucket whose edge it does not exceed."""
    buckets = [0] * (len(edges) + 1)
    for value in values:
        buckets[sum(edge < value for edge in edges)] += 1
    return HistogramData(tuple(edges), tuple(buckets), len(values), sum(values), min(values, default=0), max(values, default=0))


def percentile(edges: Sequence[int], values: Sequence[int], percent: float) -> tuple[float, float]:
    """Return the least and the most that a percentile may be.

    They differ by the rounding of the rank and of the result: a runtime may compute either in floating point.
    """
    if not values:
        return 0, 0
    exact = Fraction(repr(percent)) * len(values) / 100
    ranks = {max(1, ceil(rank)) for rank in (exact, percent / 100 * len(values), percent * len(values) / 100)}
    found = [_at(edges, values, rank) for rank in ranks]
    slack = 1 + max(found) * Fraction(1, 10**9)
    return max(float(min(found) - slack), float(min(values))), min(float(max(found) + slack), float(max(values)))


def _at(edges: Sequence[int], values: Sequence[int], rank: int) -> Fraction:
    """Interpolate in the bucket of the record with this rank."""
    model = filled(edges, values)
    below = 0
    for index, held in enumerate(model.buckets):
        if below + held >= rank:
            lower = edges[index - 1] if index else 0
            upper = edges[index] if index < len(edges) else model.most
            inside = lower + Fraction((upper - lower) * (rank - below), held)
            return min(max(inside, Fraction(model.least)), Fraction(model.most))
        below += held
    raise AssertionError(f"no record has the rank {rank} of {len(values)}")


def bucket_of(edges: Sequence[int], values: Sequence[int], percent: float) -> tuple[int, int]:
    """Return the edges of the bucket that holds the record of a percentile's rank, for percentiles of values that only buckets tell.

    The last bucket ends at the greatest value. Both are 0 when there is nothing.
    """
    if not values:
        return 0, 0
    ordered = sorted(values)
    rank = max(1, ceil(Fraction(repr(percent)) * len(values) / 100))
    index = sum(edge < ordered[min(rank, len(values)) - 1] for edge in edges)
    return (edges[index - 1] if index else 0), (edges[index] if index < len(edges) else max(values))

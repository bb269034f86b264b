"""Histograms with fixed buckets: nothing is allocated after construction, a record looks at 25 numbers at most (OBS-003..006)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from torvyn_ref.errors import TorvynError

SECOND: Final = 1_000_000_000

_STEPS: Final = (100, 250, 500)
LATENCY_NS: Final = (*(step * 10**decade for decade in range(8) for step in _STEPS), 10 * SECOND)
"""Upper edges of the 25 latency buckets, in nanoseconds: 100 ns to 10 s."""

SIZE_BYTES: Final = (64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)
"""Upper edges of the 10 size buckets, in bytes."""

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
"""The percentiles that a snapshot holds."""

_NONE_YET: Final = 1 << 63  # above every value: 292 years

_PRECISION: Final = 1000  # percentiles are exact to a thousandth of a percent; integer arithmetic keeps 99.9 % of 1000 at rank 999


class Histogram:
    """Counts of non-negative integers by bucket, with their sum, count, minimum and maximum.

    Bucket i counts values v with `edges[i-1] < v <= edges[i]`; one more bucket holds what lies above the last edge (OBS-003).

    Raises:
        TorvynError: observe/invalid-buckets unless the edges are positive and strictly ascending (OBS-025).
    """

    __slots__ = ("_above", "_bucket", "_least", "_up_to", "buckets", "edges", "maximum", "total")

    def __init__(self, edges: Sequence[int] = LATENCY_NS) -> None:
        self.edges = tuple(edges)
        if not self.edges or self.edges[0] <= 0 or any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise TorvynError("observe", "invalid-buckets", f"bucket edges are positive and strictly ascending, got {list(edges)}")
        self.buckets = [0] * (len(self.edges) + 1)
        self.total = 0
        self.maximum = 0
        self._least = _NONE_YET
        self._bucket = 0  # of the last value; the next one's is often the same
        self._above = self._up_to = 0  # its edges, once there is one

    def record(self, value: int) -> None:
        """Count one value; a negative one (a clock that was set back) counts as 0."""
        if value < self._least:
            self._least = value = max(value, 0)
        if value > self.maximum:  # noqa: PLR1730  # max() would cost a third of this method
            self.maximum = value
        self.total += value
        if not self._above < value <= self._up_to:
            self._find(value)
        self.buckets[self._bucket] += 1

    def _find(self, value: int) -> None:
        self._bucket = index = bisect_left(self.edges, value)
        self._above = self.edges[index - 1] if index else -1
        self._up_to = self.edges[index] if index < len(self.edges) else value

    @property
    def count(self) -> int:
        """Return how many values were recorded."""
        return sum(self.buckets)

    @property
    def minimum(self) -> int:
        """Return the smallest value recorded; 0 when there is none (OBS-006)."""
        return 0 if self._least == _NONE_YET else self._least

    @property
    def mean(self) -> float:
        """Return the average; 0 when nothing was recorded."""
        count = self.count
        return self.total / count if count else 0.0

    def percentile(self, percent: float) -> int:
        """Return an estimate of the value that `percent` per cent of the records do not exceed; 0 when there are none (OBS-004).

        The record of rank `ceil(percent/100 * count)` is looked for; within its bucket values are taken to be spread evenly, and the
        result never leaves [minimum, maximum]. It grows with `percent` (OBS-005).

        Raises:
            TorvynError: observe/invalid-percentile outside 0..100.
        """
        if not 0 <= percent <= 100:
            raise TorvynError("observe", "invalid-percentile", f"a percentile lies in 0..100, got {percent}")
        rank = max(1, -(-round(percent * _PRECISION) * self.count // (100 * _PRECISION)))
        below = 0
        for index, held in enumerate(self.buckets):
            if below + held >= rank:
                lower = self.edges[index - 1] if index else 0
                upper = self.edges[index] if index < len(self.edges) else self.maximum
                estimate = lower + (upper - lower) * (rank - below) // held
                return min(max(estimate, self.minimum), self.maximum)
            below += held
        return 0

    def copy(self) -> Histogram:
        """Return the same histogram, as it is now."""
        return self.since(None)

    def since(self, earlier: Histogram | None) -> Histogram:
        """Return what was recorded after `earlier` was copied from this one: its buckets and its sum (OBS-026).

        Which values were the extremes of the time between is not kept. They are taken to lie at the edges of their buckets, or at the
        extremes of all values where those are nearer.
        """
        between = Histogram(self.edges)
        if earlier is None:
            between.buckets, between.total, between.maximum, between._least = list(self.buckets), self.total, self.maximum, self._least
            return between
        between.buckets = [max(now - then, 0) for now, then in zip(self.buckets, earlier.buckets, strict=True)]
        between.total = max(self.total - earlier.total, 0)
        used = [index for index, held in enumerate(between.buckets) if held]
        if used:
            edges = (0, *self.edges, self.maximum)
            between._least = max(edges[used[0]], self.minimum)
            between.maximum = min(edges[used[-1] + 1], self.maximum)
        return between

    def as_dict(self) -> dict[str, Any]:
        """Return count, sum, extremes, mean, percentiles and buckets as JSON-ready data; the last bucket's edge is null."""
        return {
            "count": self.count,
            "sum": self.total,
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            **{f"p{percent:g}".replace(".", ""): self.percentile(percent) for percent in PERCENTILES},
            "buckets": [[edge, held] for edge, held in zip((*self.edges, None), self.buckets, strict=True)],
        }

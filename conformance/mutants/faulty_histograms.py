"""Mutants that count wrongly by hand: histograms, and the registry of metrics."""

from __future__ import annotations

from bisect import bisect_right
from math import floor
from typing import Any

from conformance.mutants.faulty_metrics import swapped
from torvyn_ref.errors import TorvynError
from torvyn_ref.observe import Histogram, Registry
from torvyn_ref.observe.metrics import FlowMetrics

# ---------------------------------------------------------------- histograms


@swapped("histogram", "buckets-closed-below", "OBS-003")
class ClosedBelow(Histogram):
    """A value on an edge is counted in the bucket above it."""

    def record(self, value: int) -> None:
        """Count it."""
        super().record(value)
        if value in self.edges:
            self.buckets[self.edges.index(value)] -= 1
            self.buckets[bisect_right(self.edges, value)] += 1


@swapped("histogram", "last-edge-overflows", "OBS-003")
class LastEdgeOverflows(Histogram):
    """Only a value on the very last edge is counted as overflow."""

    def record(self, value: int) -> None:
        """Count it."""
        super().record(value)
        if value == self.edges[-1]:
            self.buckets[-2] -= 1
            self.buckets[-1] += 1


@swapped("histogram", "overflow-has-no-sum", "OBS-003")
class OverflowHasNoSum(Histogram):
    """Values above the last edge are counted and not added up."""

    def record(self, value: int) -> None:
        """Count it."""
        super().record(value)
        if value > self.edges[-1]:
            self.total -= value


@swapped("histogram", "no-smallest-bucket", "OBS-003")
class NoSmallestBucket(Histogram):
    """The bucket up to the first edge is missing."""

    def __init__(self, edges: Any) -> None:
        super().__init__(edges[1:] if len(edges) > 1 else edges)


@swapped("histogram", "zero-is-no-minimum", "OBS-003")
class ZeroIsNoMinimum(Histogram):
    """A value of 0 does not lower the minimum."""

    def record(self, value: int) -> None:
        """Count it."""
        least = self._least
        super().record(value)
        if not value:
            self._least = least


@swapped("histogram", "rank-rounded-down", "OBS-004")
class RankRoundedDown(Histogram):
    """A percentile looks for the record whose rank is rounded down."""

    def percentile(self, percent: float) -> int:
        """Look one too low."""
        count = self.count
        rank = max(1, floor(percent / 100 * count)) if count else 0
        return super().percentile(rank / count * 100 if count else percent)


@swapped("histogram", "percentiles-not-interpolated", "OBS-004")
class NotInterpolated(Histogram):
    """A percentile is the upper edge of its bucket."""

    def percentile(self, percent: float) -> int:
        """Take the edge."""
        found = super().percentile(percent)
        return min((edge for edge in self.edges if edge >= found), default=found) if self.count else 0


@swapped("histogram", "percentiles-not-clamped", "OBS-004")
class NotClamped(Histogram):
    """A percentile may lie below the smallest value and above the greatest."""

    def percentile(self, percent: float) -> int:
        """Forget what was measured."""
        least, most = self._least, self.maximum
        self._least, self.maximum = 0, max(most, self.edges[-1])
        try:
            return super().percentile(percent)
        finally:
            self._least, self.maximum = least, most


@swapped("histogram", "median-of-nothing", "OBS-004", "OBS-006")
class MedianOfNothing(Histogram):
    """An empty histogram has percentiles and a minimum of 2^64 - 1."""

    @property
    def minimum(self) -> int:
        """Leak it."""
        return super().minimum if self.count else (1 << 64) - 1

    def percentile(self, percent: float) -> int:
        """Leak it."""
        return super().percentile(percent) if self.count else (1 << 64) - 1


@swapped("histogram", "p100-is-the-mean", "OBS-005")
class TopIsTheMean(Histogram):
    """The highest percentile is the mean."""

    def percentile(self, percent: float) -> int:
        """Fall at the top."""
        return super().percentile(percent) if percent < 100 else int(self.mean)


@swapped("histogram", "count-without-overflow", "OBS-005")
class CountWithoutOverflow(Histogram):
    """The count leaves out what lies above the last edge."""

    @property
    def count(self) -> int:
        """Leave the last bucket out."""
        return sum(self.buckets[:-1])


@swapped("histogram", "edges-are-sorted", "OBS-025")
class EdgesAreSorted(Histogram):
    """Edges in any order, some of them twice, are put in order."""

    def __init__(self, edges: Any) -> None:
        super().__init__(sorted(set(edges)))


# ---------------------------------------------------------------- the registry


@swapped("registry", "registered-twice", "OBS-001")
class RegisteredTwice(Registry):
    """Registering a flow again starts its metrics anew."""

    def register(self, flow: Any, components: Any, streams: Any) -> FlowMetrics:
        """Take the old one away first."""
        if flow in self._flows:
            self.deregister(flow)
        return super().register(flow, components, streams)


@swapped("registry", "deregisters-anything", "OBS-001")
class DeregistersAnything(Registry):
    """Deregistering an unknown flow is no error."""

    def deregister(self, flow: Any) -> Any:
        """Say nothing."""
        try:
            return super().deregister(flow)
        except TorvynError:
            return None


@swapped("registry", "streams-come-later", "OBS-001")
class StreamsComeLater(Registry):
    """A stream's metrics are made when its first element arrives."""

    def register(self, flow: Any, components: Any, streams: Any) -> FlowMetrics:
        """Make none."""
        del streams
        return super().register(flow, components, ())


@swapped("registry", "components-leave-one-by-one", "OBS-002")
class LeaveOneByOne(Registry):
    """A flow that is deregistered takes one component from the gauge, however many it has."""

    def deregister(self, flow: Any) -> FlowMetrics:
        """Take one away."""
        before = self.components_active
        metrics = super().deregister(flow)
        self.components_active = max(before - 1, 0)
        return metrics


@swapped("registry", "refused-flows-are-active", "OBS-002")
class RefusedAreActive(Registry):
    """The gauge of flows rises for a registration that is refused."""

    def register(self, flow: Any, components: Any, streams: Any) -> FlowMetrics:
        """Rise first."""
        try:
            return super().register(flow, components, streams)
        except TorvynError:
            self.flows_active += 1
            raise


@swapped("registry", "gauge-below-zero", "OBS-002")
class BelowZero(Registry):
    """A flow that is deregistered twice lowers the gauge twice."""

    def deregister(self, flow: Any) -> FlowMetrics:
        """Lower it first."""
        try:
            return super().deregister(flow)
        except TorvynError:
            self.flows_active -= 1
            raise

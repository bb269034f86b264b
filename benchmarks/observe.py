"""What metrics cost, one record at a time; what they cost a whole flow is in `flows`."""

from __future__ import annotations

from benchmarks.scenarios import ELEMENTS, METRIC_OPERATIONS, microseconds_each


class Histograms:
    """A record is a search among 25 edges: under 0.4 µs."""

    def track_cpu_us_per_record(self) -> float:
        return microseconds_each(METRIC_OPERATIONS["histogram record"], ELEMENTS)

    track_cpu_us_per_record.unit = "us"  # type: ignore[attr-defined]  # asv reads it from the function

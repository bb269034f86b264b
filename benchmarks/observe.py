"""What metrics cost, one record at a time; what they cost a whole flow is in `flows`."""

from __future__ import annotations

import time

from benchmarks.scenarios import ELEMENTS, METRIC_OPERATIONS


class Histograms:
    """A record is a search among 25 edges."""

    timer = time.process_time

    def time_4096_records(self) -> None:
        METRIC_OPERATIONS["histogram record"](ELEMENTS)

"""Settings of observability, all checked at once (OBS-025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.observe.metrics import Level
from torvyn_ref.observe.spans import is_ring_capacity

EXPORTERS = ("none", "stdout", "file", "otlp-http", "otlp-grpc")


@dataclass(frozen=True, slots=True)
class ObservabilitySettings:
    """How much is observed, what is kept of it, and where it goes. The defaults are those of OBS-025.

    Raises:
        TorvynError: observe/invalid-setting for each setting that is wrong, named by `where`; `TorvynErrors` for several.
    """

    level: Level = Level.PRODUCTION
    sample_rate: float = 0.01
    error_promote: bool = True
    latency_threshold_ms: int = 10
    ring_capacity: int = 64
    histogram_buckets: tuple[int, ...] = ()
    exporter: str = "none"
    endpoint: str | None = None
    batch_size: int = 512
    interval_ms: int = 5000
    inspection_port: int = 9091
    inspection_token: str | None = None

    def __post_init__(self) -> None:
        """Check every setting."""
        raise_all(TorvynError("observe", "invalid-setting", message, where=name) for name, message in self._defects())

    def _defects(self) -> Iterator[tuple[str, str]]:
        if not 0 <= self.sample_rate <= 1:
            yield "sample_rate", f"a rate lies in 0..1, got {self.sample_rate}"
        if not is_ring_capacity(self.ring_capacity):
            yield "ring_capacity", f"a ring holds a power of two of at least 8 spans, got {self.ring_capacity}"
        edges = self.histogram_buckets
        if edges and (edges[0] <= 0 or any(low >= high for low, high in pairwise(edges))):
            yield "histogram_buckets", f"bucket edges are positive and strictly ascending, got {list(edges)}"
        if self.batch_size < 1:
            yield "batch_size", f"a batch has at least 1 span, got {self.batch_size}"
        if self.interval_ms <= 0:
            yield "interval_ms", f"an interval is above 0 ms, got {self.interval_ms}"
        if self.exporter not in EXPORTERS:
            yield "exporter", f"exporters are {', '.join(EXPORTERS)}, got {self.exporter!r}"
        elif self.exporter == "otlp-http" and not self.endpoint:
            yield "endpoint", "otlp-http needs an endpoint"

"""The facet `observability` as a check sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from conformance.subjects import protocol as p


class ObservabilityClient:
    """Facet observability: what a runtime tells of itself."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def histogram(
        self,
        values: Iterable[int],
        *,
        kind: Literal["latency", "size", "custom"] = "latency",
        edges: tuple[int, ...] = (),
        percentiles: tuple[float, ...] = (),
    ) -> p.HistogramReply:
        """Fill a fresh histogram."""
        reply: p.HistogramReply = self._ask(p.FillHistogram(tuple(values), kind, edges, percentiles), p.HistogramReply)
        return reply

    def registry(self, *steps: p.RegistryStep) -> tuple[p.RegistryOutcome, ...]:
        """Do one thing after the other to a fresh registry."""
        reply: p.RegistryReply = self._ask(p.KeepRegistry(steps), p.RegistryReply)
        return reply.outcomes

    def run(self, request: p.ObserveFlow) -> p.ObservedReply:
        """Run a flow that is watched."""
        reply: p.ObservedReply = self._ask(request, p.ObservedReply)
        return reply

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

    def ids(self, count: int) -> p.TraceIdsReply:
        """Make trace and span ids."""
        reply: p.TraceIdsReply = self._ask(p.MakeTraceIds(count), p.TraceIdsReply)
        return reply

    def context(self, context: p.TraceContext, length: int = 1) -> tuple[p.TraceContext, ...]:
        """Make a chain of children."""
        reply: p.ContextsReply = self._ask(p.DescendContext(context, length), p.ContextsReply)
        return reply.contexts

    def sample(self, rate: float, trace_ids: Iterable[str]) -> tuple[bool, ...]:
        """Decide which traces are sampled."""
        reply: p.SampledReply = self._ask(p.SampleTraces(rate, tuple(trace_ids)), p.SampledReply)
        return reply.decisions

    def ring(self, capacity: int, steps: Iterable[int | None]) -> p.RingReply:
        """Push numbers into a ring, and drain it."""
        reply: p.RingReply = self._ask(p.UseRing(capacity, tuple(steps)), p.RingReply)
        return reply

    def events(self, *steps: p.EventStep, capacity: int | None = None, recent: int | None = None) -> p.EventsReply:
        """Emit events, and read them."""
        reply: p.EventsReply = self._ask(p.UseEvents(steps, capacity, recent), p.EventsReply)
        return reply

    def settings(self, settings: p.ObservationSettings) -> p.ObservationSettings:
        """Check settings."""
        reply: p.SettingsReply = self._ask(p.CheckSettings(settings), p.SettingsReply)
        return reply.settings

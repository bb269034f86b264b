"""Mutants whose diagnostic events are not what they seem, or whose settings are not looked at."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from conformance.mutants.faulty_traces import part
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from conformance.subjects.reference.parts import ObservationParts
from torvyn_ref.calls import Call, Failure
from torvyn_ref.errors import TorvynError
from torvyn_ref.observe.diagnostics import Channel, Emitter, Event, EventObserver, Recent
from torvyn_ref.observe.settings import ObservabilitySettings

# ---------------------------------------------------------------- events


@part("channel", "lost-events-are-not-counted", "OBS-022")
class NotCounted(Channel):
    """A lost event is counted only when it is the first."""

    def emit(self, event: Event) -> bool:
        """Count once."""
        taken = super().emit(event)
        self.dropped = min(self.dropped, 1)
        return taken


@part("channel", "emitters-lose-in-silence", "OBS-022")
class EmittersLose(Channel):
    """What a flow's own emitter loses is not counted."""

    def emitter(self, flow: Any) -> Emitter:
        """Give out one that does not count."""
        channel = self

        class Silent(Emitter):
            def emit(self, name: str, at: int, /, **data: Any) -> bool:
                before = channel.dropped
                taken = super().emit(name, at, **data)
                channel.dropped = before
                return taken

        return Silent(self, flow)


@part("channel", "channel-grows", "OBS-022")
class Grows(Channel):
    """The channel takes everything."""

    def emit(self, event: Event) -> bool:
        """Make room."""
        self._capacity = len(self._waiting) + 1
        return super().emit(event)


@part("channel", "channel-holds-one-less", "OBS-022")
class HoldsOneLess(Channel):
    """The channel is full one event too early."""

    def __init__(self, capacity: int = 8192, **options: Any) -> None:
        super().__init__(max(capacity - 1, 1), **options)


@part("recent", "recent-oldest-first", "OBS-023")
class OldestFirst(Recent):
    """The recent events are given oldest first."""

    def recent(self, count: int) -> tuple[Event, ...]:
        """Turn them round."""
        return super().recent(count)[::-1]


@part("recent", "flows-newest-first", "OBS-023")
class FlowsNewestFirst(Recent):
    """A flow's recent events are given newest first."""

    def for_flow(self, flow: Any) -> tuple[Event, ...]:
        """Turn them round."""
        return super().for_flow(flow)[::-1]


@part("recent", "recent-keeps-the-first", "OBS-023")
class RecentKeepsTheFirst(Recent):
    """A full buffer takes no more events."""

    def push(self, event: Event) -> None:
        """Refuse it."""
        if len(self._events) < (self._events.maxlen or 0):
            super().push(event)


@part("recent", "recent-never-forgets", "OBS-023")
class NeverForgets(Recent):
    """The buffer of recent events has no bound."""

    def __init__(self, capacity: int = 1024) -> None:
        super().__init__(capacity)
        self._events = deque()


@part("events", "events-in-the-runtimes-words", "OBS-024")
class OwnWords(EventObserver):
    """Pressure is told of under the trace's names."""

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Say bp."""
        del stream, depth, duration_ns

        class Named(Event):
            def to_json(self) -> str:
                return json.dumps({"event_type": "BackpressureActivated", "category": "performance", "at": self.at})

        if on:
            self._emitter._channel.emit(Named("backpressure.activated", at))  # noqa: SLF001  # a fault


@part("events", "events-of-another-kind", "OBS-024")
class AnotherKind(EventObserver):
    """A failure is of a category that there is not."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Say warning."""
        del stage, call, failure, action

        class Warned(Event):
            def to_json(self) -> str:
                return super().to_json().replace('"error", "at"', '"warning", "at"')

        self._emitter._channel.emit(Warned("component.error", at))  # noqa: SLF001  # a fault


# ---------------------------------------------------------------- settings


def setting(name: str, change: Callable[[dict[str, Any]], dict[str, Any]], summary: str) -> None:
    """Register a reference that reads settings in another way."""

    def settings(**given: Any) -> ObservabilitySettings:
        return ObservabilitySettings(**change(given))

    register(name, "OBS-025", summary=summary, build=lambda: ReferenceParts(observation=ObservationParts(settings=settings)))


def _clamped(given: dict[str, Any]) -> dict[str, Any]:
    return given | {"sample_rate": sorted((0.0, given.get("sample_rate", 0.01), 1.0))[1]}


def _only_first(given: dict[str, Any]) -> dict[str, Any]:
    try:
        ObservabilitySettings(**given)
    except TorvynError as error:
        first = getattr(error, "errors", (error,))[0]
        return {first.where: given[first.where]} if first.where in given else given
    return given


setting(
    "rates-are-clamped", lambda given: given | {"sample_rate": min(max(given.get("sample_rate", 0.01), 0.0), 1.0)}, "A rate above 1 is 1."
)
setting("everything-is-sampled", lambda given: {"sample_rate": 1.0} | given, "The default rate is 1.")
setting(
    "intervals-may-be-zero", lambda given: given | {"interval_ms": given.get("interval_ms", 5000) or 1}, "An interval of 0 is accepted."
)
setting("batches-may-be-empty", lambda given: given | {"batch_size": given.get("batch_size", 512) or 1}, "A batch of 0 is accepted.")
setting("exporters-need-no-endpoint", lambda given: {"endpoint": "http://localhost"} | given, "otlp-http has an endpoint by default.")
setting("edges-in-any-order", lambda given: given | {"histogram_buckets": ()}, "Edges of one's own are not looked at.")
setting("one-mistake-at-a-time", _only_first, "Of several bad settings one is named.")
setting("tokens-by-default", lambda given: {"inspection_token": "secret"} | given, "Inspection has a token by default.")

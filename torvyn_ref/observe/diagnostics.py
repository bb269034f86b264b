"""Diagnostic events: their names, the channel that never blocks, and the recent ones (OBS-022 to OBS-024)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from torvyn_ref.calls import Call, Cause, Failure
from torvyn_ref.events import Observer
from torvyn_ref.flow.states import FlowState
from torvyn_ref.ids import FlowId, Handle, Owner, show_handle, show_owner
from torvyn_ref.observe.metrics import Registry

CHANNEL_CAPACITY = 8192
RECENT_CAPACITY = 1024


class Category(StrEnum):
    """What an event is about."""

    LIFECYCLE = "lifecycle"
    PERFORMANCE = "performance"
    ERROR = "error"
    SECURITY = "security"
    RESOURCE = "resource"


CATEGORIES: Mapping[str, Category] = MappingProxyType(
    {
        **dict.fromkeys(("flow.created", "flow.started", "flow.draining", "flow.completed", "flow.cancelled"), Category.LIFECYCLE),
        **dict.fromkeys(("component.instantiated", "component.linked", "component.terminated"), Category.LIFECYCLE),
        **dict.fromkeys(
            ("flow.latency_spike", "component.slow", "backpressure.activated", "backpressure.deactivated"), Category.PERFORMANCE
        ),
        **dict.fromkeys(("scheduler.starvation", "pool.exhausted"), Category.PERFORMANCE),
        **dict.fromkeys(("flow.failed", "flow.error_budget_exceeded"), Category.ERROR),
        **dict.fromkeys(("component.error", "component.trap", "component.timeout", "component.fuel_exhausted"), Category.ERROR),
        **dict.fromkeys(("component.signature_verified", "component.signature_failed"), Category.SECURITY),
        **dict.fromkeys(("capability.denied", "capability.exercised"), Category.SECURITY),
        **dict.fromkeys(("resource.allocated", "resource.copied", "resource.transferred", "resource.freed"), Category.RESOURCE),
        "resource.leak_suspected": Category.RESOURCE,
    }
)
"""Every name that an event may have (OBS-024), and its category."""

_STATES = {
    FlowState.RUNNING: "flow.started",
    FlowState.DRAINING: "flow.draining",
    FlowState.COMPLETED: "flow.completed",
    FlowState.CANCELLED: "flow.cancelled",
    FlowState.FAILED: "flow.failed",
}
_CAUSES = {Cause.RETURNED: "component.error", Cause.TIMEOUT: "component.timeout", Cause.FUEL: "component.fuel_exhausted"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `at` in monotonic nanoseconds.

    Raises:
        KeyError: a name that no event has.
    """

    name: str
    at: int
    flow: FlowId | None = None
    data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def category(self) -> Category:
        """Return what it is about."""
        return CATEGORIES[self.name]

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        head = {"event_type": self.name, "category": str(self.category), "at": self.at}
        return json.dumps({**head, **({} if self.flow is None else {"flow_id": int(self.flow)}), **self.data})


class Recent:
    """The last events, the oldest of which makes room for the next (OBS-023)."""

    def __init__(self, capacity: int = RECENT_CAPACITY) -> None:
        self._events: deque[Event] = deque(maxlen=capacity)

    def push(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)

    def recent(self, count: int) -> tuple[Event, ...]:
        """Return so many, newest first."""
        newest = [event for _, event in zip(range(count), reversed(self._events), strict=False)]
        return tuple(newest)

    def for_flow(self, flow: FlowId) -> tuple[Event, ...]:
        """Return a flow's, oldest first."""
        return tuple(event for event in self._events if event.flow == flow)


class Channel:
    """Takes events without ever waiting: what does not fit is counted and lost (OBS-022).

    The states that a flow takes are exempt (FLOW-003): the flow's own record has them, whatever becomes of their events.

    Attributes:
        dropped: how many were lost.
    """

    def __init__(self, capacity: int = CHANNEL_CAPACITY, *, recent: Recent | None = None) -> None:
        self._capacity = capacity
        self._waiting: deque[Event] = deque()
        self.recent = recent or Recent()
        self.dropped = 0

    def emit(self, event: Event) -> bool:
        """Offer an event, and return whether it was taken."""
        self.recent.push(event)
        if len(self._waiting) >= self._capacity:
            self.dropped += 1
            return False
        self._waiting.append(event)
        return True

    def emitter(self, flow: FlowId) -> Emitter:
        """Return what offers one flow's events."""
        return Emitter(self, flow)

    def read(self, count: int | None = None) -> tuple[Event, ...]:
        """Take so many events, or all, oldest first."""
        most = len(self._waiting) if count is None else min(count, len(self._waiting))
        return tuple(self._waiting.popleft() for _ in range(most))


class Emitter:
    """Offers one flow's events; what it loses counts like any other loss."""

    def __init__(self, channel: Channel, flow: FlowId) -> None:
        self._channel = channel
        self._flow = flow

    def emit(self, name: str, at: int, /, **data: Any) -> bool:
        """Offer an event."""
        return self._channel.emit(Event(name, at, self._flow, data))


class EventObserver(Observer):
    """Tells a channel what a flow does: at level production what matters to operators, at level diagnostic also every buffer (OBS-012).

    Args:
        emitter: offers the flow's events.
        registry: says how much is told.
        components: the flow's components by stage name.
        clock: dates events of buffers, which carry no instant.
    """

    def __init__(self, emitter: Emitter, registry: Registry, components: Mapping[str, Owner], now: Any) -> None:
        self._emitter = emitter
        self._registry = registry
        self._components = components
        self._now = now

    def state(self, at: int, old: str, new: str) -> None:
        """Tell of the states that are events; of a flow's birth, and its components', with the first."""
        if not self._registry.records:
            return
        if FlowState(old) is FlowState.CREATED:
            self._emitter.emit("flow.created", at)
            for stage, component in self._components.items():
                self._emitter.emit("component.instantiated", at, component_id=int(component), stage=stage)
        name = _STATES.get(FlowState(new))
        if name is not None:
            self._emitter.emit(name, at)

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Tell of a component's failure."""
        if self._registry.records:
            name = _CAUSES.get(failure.cause, "component.trap")
            said = {"stage": stage, "call": str(call), "kind": str(failure.kind), "action": action}
            self._emitter.emit(name, at, component_id=int(self._components[stage]), **said)

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Tell that pressure begins or ends."""
        if self._registry.records:
            said = {"stream_id": stream, "depth": depth} | ({} if duration_ns is None else {"duration_ns": duration_ns})
            self._emitter.emit("backpressure.activated" if on else "backpressure.deactivated", at, **said)

    def overdue(self, at: int, for_ns: int) -> None:
        """Tell that the flow kept others waiting."""
        if self._registry.records:
            self._emitter.emit("scheduler.starvation", at, for_ns=for_ns)

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:
        """Tell of a buffer's birth, at level diagnostic."""
        if self._registry.is_diagnostic:
            said = {"resource_id": show_handle(handle), "owner": show_owner(owner), "capacity": capacity}
            self._emitter.emit("resource.allocated", self._now(), **said)

    def released(self, handle: Handle) -> None:
        """Tell of its end, at level diagnostic."""
        if self._registry.is_diagnostic:
            self._emitter.emit("resource.freed", self._now(), resource_id=show_handle(handle))

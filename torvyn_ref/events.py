"""What a runtime tells its observers: one method per kind of event, in the order in which things happen.

An observer overrides what it cares for, and only that is told: `listener` finds out once, event by event, so that what nobody hears costs
nothing. `at` is monotonic nanoseconds; streams are named by their index in the flow's edges, stages by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from torvyn_ref.calls import Answer, Call, Element, Failure, Signal
from torvyn_ref.ids import Handle, Owner

if TYPE_CHECKING:
    from torvyn_ref.flow.statistics import FlowReport
    from torvyn_ref.streams import Stream


class Watched(Protocol):
    """A running flow, as an observer may see it."""

    def listen(self) -> None:
        """Find out anew which events its observer hears."""
        ...

    def stream(self, index: int) -> Stream[Element]:
        """Return a stream, which counts what goes through it."""
        ...


class Observer:
    """Hears everything and remembers nothing. An observer never raises into the flow: what it raises is the host's defect."""

    def connect(self, flow: Watched) -> None:
        """Get to know the flow, before its first event; call its `listen` when what is listened to has changed."""

    def hears(self, event: str) -> bool:
        """Tell whether to be told of an event, by the name of its method: by default, of what is overridden."""
        return getattr(type(self), event) is not getattr(Observer, event)

    def state(self, at: int, old: str, new: str) -> None:
        """Hear that the flow changed its state."""

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Hear that a component is about to be entered."""

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Hear what a component answered."""

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Hear, in one, what `called` and `returned` say of a call, and how long it took; right after `returned`."""

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Hear that an element entered a stream."""

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Hear that a consumer took an element."""

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Hear that a stream's pressure changed."""

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Hear that an element was lost: evicted-oldest, refused-newest, queue-full or discarded."""

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:
        """Hear that a buffer came to life."""

    def released(self, handle: Handle) -> None:
        """Hear that a buffer died."""

    def notified(self, at: int, stage: str, signal: Signal) -> None:
        """Hear that a source is being told of pressure."""

    def yielded(self, at: int, executions: int) -> None:
        """Hear that the flow gives way."""

    def overdue(self, at: int, for_ns: int) -> None:
        """Hear that the flow had kept its turn for so long, when it should have given way long before (SCHED-011)."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Hear that a component failed, and what is done about it: fail, skip, log or retry."""

    def done(self, at: int, report: FlowReport) -> None:
        """Hear that the flow is over."""


class Observers(Observer):
    """Several observers, told in order, each of what it hears."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.members = tuple(observers)

    def connect(self, flow: Watched) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.connect(flow)

    def hears(self, event: str) -> bool:
        """Tell whether anybody does."""
        return any(observer.hears(event) for observer in self.members)

    def state(self, at: int, old: str, new: str) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.state(at, old, new)

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.called(at, stage, call, element)

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.returned(at, stage, call, answer)

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.worked(at, stage, call, element, answer, took_ns)

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.enqueued(at, stream, element, depth, credits_)

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.dequeued(at, stream, element, depth, credits_)

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.pressure(at, stream, on=on, depth=depth, duration_ns=duration_ns)

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.dropped(at, stream, element, reason)

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.allocated(handle, owner, capacity)

    def released(self, handle: Handle) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.released(handle)

    def notified(self, at: int, stage: str, signal: Signal) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.notified(at, stage, signal)

    def overdue(self, at: int, for_ns: int) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.overdue(at, for_ns)

    def yielded(self, at: int, executions: int) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.yielded(at, executions)

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.failed(at, stage, call, failure, action)

    def done(self, at: int, report: FlowReport) -> None:
        """Pass it on."""
        for observer in self.members:
            observer.done(at, report)


def listener(observer: Observer | None, event: str) -> Callable[..., object] | None:
    """Return what to call so that whoever hears this event, by its method's name, hears it; None when nobody does."""
    if observer is None or not observer.hears(event):
        return None
    if isinstance(observer, Observers):
        hearers = [member for member in observer.members if member.hears(event)]
        if len(hearers) == 1:
            return listener(hearers[0], event)
    heard: Callable[..., object] = getattr(observer, event)
    return heard

"""What a runtime tells its observers: one method per kind of event, in the order in which things happen.

An observer overrides what it cares for. The driver calls it only when there is one, so that a flow nobody watches pays nothing. `at` is
monotonic nanoseconds; streams are named by their index in the flow's edges, stages by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torvyn_ref.calls import Answer, Call, Element, Failure, Signal
from torvyn_ref.ids import Handle, Owner

if TYPE_CHECKING:
    from torvyn_ref.flow.statistics import FlowReport


class Observer:
    """Hears everything and remembers nothing. An observer never raises into the flow: what it raises is the host's defect."""

    def state(self, at: int, old: str, new: str) -> None:
        """Hear that the flow changed its state."""

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Hear that a component is about to be entered."""

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Hear what a component answered."""

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

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Hear that a component failed, and what is done about it: fail, skip, log or retry."""

    def done(self, at: int, report: FlowReport) -> None:
        """Hear that the flow is over."""


class Observers(Observer):
    """Several observers, told in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def state(self, at: int, old: str, new: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.state(at, old, new)

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.called(at, stage, call, element)

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.returned(at, stage, call, answer)

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.enqueued(at, stream, element, depth, credits_)

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.dequeued(at, stream, element, depth, credits_)

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.pressure(at, stream, on=on, depth=depth, duration_ns=duration_ns)

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.dropped(at, stream, element, reason)

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.allocated(handle, owner, capacity)

    def released(self, handle: Handle) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.released(handle)

    def notified(self, at: int, stage: str, signal: Signal) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.notified(at, stage, signal)

    def yielded(self, at: int, executions: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.yielded(at, executions)

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.failed(at, stage, call, failure, action)

    def done(self, at: int, report: FlowReport) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.done(at, report)

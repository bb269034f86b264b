"""Monitors of what elements carry with them, and of the order in which streams meet (ORD-006, ORD-007, ORD-009, ORD-012, ORD-013)."""

from __future__ import annotations

from conformance.models.flow import FORWARDS
from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS, LOST_IN_QUEUE

SLACK_NS = 1_000_000
"""How far two readings of real clocks may lie apart, in nanoseconds."""


class StampedOnEntry(Monitor):
    """An element's timestamp is the instant at which it entered: between its source's return and its enqueue, and carried on from there.

    A runtime that stamps the outputs of a stage anew, between that stage's return and their enqueue, is right as well (decision 5).
    """

    rule = "ORD-006"

    def prepare(self) -> None:
        """The wall clock's distance from the runtime's is not known yet."""
        self.low: int | None = None
        self.high: int | None = None
        self.stamps: dict[int, int] = {}
        self.returned: dict[str, int] = {}
        self.slack = 0 if self.view.clock == "virtual" else SLACK_NS

    def on(self, event: e.AnyEvent) -> None:
        """Judge the timestamp of each new element."""
        if isinstance(event, e.Returned):
            self.returned[event.stage] = event.at
        if not isinstance(event, e.Enqueued):
            return
        producer = self.view.producer_of(event.stream)
        role = self.view.topology.stages[producer].role
        known = event.seq in self.stamps
        stamp = self.stamps.setdefault(event.seq, event.timestamp)
        if known or role in FORWARDS:
            message = f"element {event.seq} has another timestamp on stream {event.stream}"
            self.expect(event.timestamp == stamp, message, expected=stamp, found=event.timestamp)
        elif role == "source":
            self._entered(event, self.returned.get(producer, event.at))
        elif role == "processor":
            given = self.stamps.get(self.view.stages[producer].seq or 0)
            fits = event.timestamp == given or self._fits(event, self.returned.get(producer, event.at))
            self.expect(fits, f"{producer} put out an element with another timestamp", expected=given, found=event.timestamp)

    def _fits(self, event: e.Enqueued, returned: int) -> bool:
        """Tell whether a timestamp can lie between two readings of the runtime's clock."""
        low, high = event.timestamp - event.at - self.slack, event.timestamp - returned + self.slack
        return self.low is None or self.high is None or (low <= self.high and self.low <= high)

    def _entered(self, event: e.Enqueued, returned: int) -> None:
        fits = self._fits(event, returned)
        window = f"{returned + (self.low or 0)}..{event.at + (self.high or 0)}"
        message = f"element {event.seq} is stamped before its source returned it, or after it was enqueued"
        self.expect(fits, message, expected=window, found=event.timestamp)
        low, high = event.timestamp - event.at - self.slack, event.timestamp - returned + self.slack
        self.low = low if self.low is None else max(self.low, low)
        self.high = high if self.high is None else min(self.high, high)


class ContentTypeKept(Monitor):
    """What a component gives as content type is what the next one sees."""

    rule = "ORD-007"

    def prepare(self) -> None:
        """No element has one."""
        self.types: dict[int, str] = {}
        self.answer: dict[str, str | None] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Take note of what is given, judge what is seen."""
        if isinstance(event, e.Returned):
            self.answer[event.stage] = event.content_type if event.outcome == "emit" and event.fn in DATA_FUNCTIONS else None
        elif isinstance(event, e.Enqueued):
            given = self.answer.get(self.view.producer_of(event.stream))
            if given is not None:
                self.types.setdefault(event.seq, given)
        elif isinstance(event, e.Called) and event.seq in self.types:
            given = self.types[event.seq]
            found = event.content_type
            self.expect(found == given, f"the content type of element {event.seq} at {event.stage}", expected=given, found=found)


class MergedInOrder(Monitor):
    """Where several streams meet, the elements of each are taken up in its own order."""

    rule = "ORD-009"

    def prepare(self) -> None:
        """Find the stages at which streams meet."""
        self.meeting = {i for shape in self.view.topology.stages.values() if len(shape.inputs) > 1 for i in shape.inputs}
        self.order: dict[int, list[int]] = {i: [] for i in self.meeting}

    def on(self, event: e.AnyEvent) -> None:
        """Judge each element that a merging stage is given by what entered its stream before."""
        if isinstance(event, e.Enqueued) and event.stream in self.meeting:
            self.order[event.stream].append(event.seq)
        elif isinstance(event, e.Dropped) and event.stream in self.meeting:  # a newcomer that was refused may have a twin in the queue
            if event.reason in LOST_IN_QUEUE and event.seq in self.order[event.stream]:
                self.order[event.stream].remove(event.seq)
        elif isinstance(event, e.Dequeued) and event.stream in self.meeting:
            before = self.order[event.stream]
            first = before[0] if before else None
            message = f"{self.view.consumer_of(event.stream)} takes the elements of stream {event.stream} out of order"
            self.expect(event.seq == first, message, expected=first, found=event.seq)
            if event.seq in before:
                before.remove(event.seq)


class CountsFromZero(Monitor):
    """The first element of every flow has the number 0."""

    rule = "ORD-012"

    def prepare(self) -> None:
        """No element has been seen."""
        self.first: int | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Judge the first number."""
        if self.first is None and isinstance(event, e.Enqueued | e.Dropped):
            self.first = event.seq
            self.expect(event.seq == 0, "the number of a flow's first element", expected=0, found=event.seq)


class GapsAreLosses(Monitor):
    """A number that no stream ever carried belongs to an element that was reported as dropped."""

    rule = "ORD-013"

    def prepare(self) -> None:
        """No number has been seen."""
        self.carried: set[int] = set()
        self.dropped: set[int] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Take note of numbers, and judge at the end."""
        if isinstance(event, e.Enqueued):
            self.carried.add(event.seq)
        elif isinstance(event, e.Dropped):
            self.dropped.add(event.seq)
        elif isinstance(event, e.Done) and self.carried:
            missing = set(range(max(self.carried))) - self.carried
            unexplained = sorted(missing - self.dropped)[:8]
            self.expect(not unexplained, "numbers that no element and no drop has", expected="none", found=unexplained)

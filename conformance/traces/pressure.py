"""Monitors of credits, watermarks and overflow, end to end (CREDIT, WMK, POLICY)."""

from __future__ import annotations

from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS, StreamSeen

NOTHING = frozenset({"drop", "reject", "error", "trap", "end"})
"""Outcomes of a data call that put nothing on a stream."""


def calls_producer(event: e.AnyEvent) -> bool:
    """Tell whether an event is a call that may put an element on the stage's outputs."""
    return isinstance(event, e.Called) and event.fn in DATA_FUNCTIONS and event.fn != "push"


class CreditChanges(Monitor):
    """Compares the credits of an event with those before it."""

    def change(self, event: e.Enqueued | e.Dequeued, message: str) -> None:
        """Judge that credits went down by one (enqueue) or up by one (dequeue)."""
        before = self.view.streams[event.stream].credits
        due = before - 1 if isinstance(event, e.Enqueued) else before + 1
        self.expect(event.credits == due, f"{message} on stream {event.stream}", expected=due, found=event.credits)


class StartsWithCapacity(CreditChanges):
    """A stream starts with as many credits as it has places."""

    rule = "CREDIT-001"

    def on(self, event: e.AnyEvent) -> None:
        """Judge the first element of each stream."""
        if isinstance(event, e.Enqueued) and self.view.streams[event.stream].enqueued == 0:
            due = self.view.streams[event.stream].capacity - 1
            message = f"credits after the first element of stream {event.stream}"
            self.expect(event.credits == due, message, expected=due, found=event.credits)


class EnqueueSpendsOne(CreditChanges):
    """An enqueue spends one credit."""

    rule = "CREDIT-002"

    def on(self, event: e.AnyEvent) -> None:
        """Judge an enqueue."""
        if isinstance(event, e.Enqueued):
            self.change(event, "an enqueue did not spend one credit")


class DequeueGivesOne(CreditChanges):
    """A dequeue gives one credit back."""

    rule = "CREDIT-003"

    def on(self, event: e.AnyEvent) -> None:
        """Judge a dequeue."""
        if isinstance(event, e.Dequeued):
            self.change(event, "a dequeue did not give one credit back")


class CreditsAndDepth(Monitor):
    """Credits and depth always add up to the capacity."""

    rule = "CREDIT-004"

    def on(self, event: e.AnyEvent) -> None:
        """Judge every event that shows both."""
        if isinstance(event, e.Enqueued | e.Dequeued):
            capacity = self.view.streams[event.stream].capacity
            holds = event.credits is not None and 0 <= event.credits <= capacity and event.credits + event.depth == capacity
            message = f"credits + depth of stream {event.stream}"
            self.expect(holds, message, expected=capacity, found=f"{event.credits} + {event.depth}")


class _Outputs(Monitor):
    """Judges calls of producers by the state of the streams they feed."""

    def outputs(self, event: e.AnyEvent) -> list[tuple[int, StreamSeen]]:
        """Return the lossless outputs of the stage that an event calls; empty when it calls no producer."""
        if not calls_producer(event):
            return []
        assert isinstance(event, e.Called)
        streams = ((i, self.view.streams[i]) for i in self.view.topology.stages[event.stage].outputs)
        return [(i, stream) for i, stream in streams if stream.blocks]


class NoCallWithoutCredit(_Outputs):
    """A producer is not called while its output has no credit."""

    rule = "CREDIT-005"

    def on(self, event: e.AnyEvent) -> None:
        """Judge a call of a producer with one output; several are CREDIT-009's business."""
        outputs = self.outputs(event)
        if len(outputs) == 1 and isinstance(event, e.Called):
            i, stream = outputs[0]
            self.expect(stream.credits > 0, f"{event.stage} was called while stream {i} had no credit", expected="> 0", found=0)


class NoCallUnderPressure(_Outputs):
    """A producer stays suspended while its output is under pressure, although it has credits."""

    rule = "CREDIT-006"

    def on(self, event: e.AnyEvent) -> None:
        """Judge a call of a producer whose output has credits."""
        for i, stream in self.outputs(event):
            if stream.credits and isinstance(event, e.Called):
                message = f"{event.stage} was called while stream {i} was under pressure, with {stream.credits} credits"
                self.expect(not stream.active, message)


class NothingCostsNothing(CreditChanges):
    """An invocation that yields nothing spends no credit: the next event of its stream shows it."""

    rule = "CREDIT-007"

    def prepare(self) -> None:
        """Remember the streams whose producer has just yielded nothing."""
        self.idle: set[int] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Mark the streams, and judge them when they next move."""
        if isinstance(event, e.Returned) and (event.outcome in NOTHING or (event.outcome == "route" and not event.ports)):
            self.idle.update(self.view.topology.stages[event.stage].outputs)
        if isinstance(event, e.Enqueued | e.Dequeued) and event.stream in self.idle:
            self.idle.discard(event.stream)
            self.change(event, "an invocation that yielded nothing changed the credits")


class EveryExitRestores(CreditChanges):
    """However an element leaves a stream, its credit is back by the stream's next event."""

    rule = "CREDIT-008"

    def prepare(self) -> None:
        """Remember the streams that have lost an element."""
        self.lossy: set[int] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge the events of such a stream."""
        if isinstance(event, e.Dropped) or (isinstance(event, e.Returned) and event.outcome in {"error", "trap"}):
            self.lossy.update([event.stream] if isinstance(event, e.Dropped) else self.view.topology.stages[event.stage].inputs)
        if isinstance(event, e.Enqueued | e.Dequeued) and event.stream in self.lossy:
            self.change(event, "a lost or failed element kept its credit")


class SlowestBranchDecides(_Outputs):
    """With several lossless outputs the one with the fewest credits decides: one blocked branch blocks the producer."""

    rule = "CREDIT-009"

    def on(self, event: e.AnyEvent) -> None:
        """Judge a call of a producer with several outputs."""
        outputs = self.outputs(event)
        if len(outputs) > 1 and isinstance(event, e.Called):
            blocked = [i for i, stream in outputs if not stream.producible]
            self.expect(not blocked, f"{event.stage} was called while streams {blocked} could take nothing")


class _Settling(Monitor):
    """Tells an `off` that closes an interval at the flow's end (WMK-008) from one at the low mark."""

    def prepare(self) -> None:
        """No `off` is in doubt."""
        self.early: dict[int, int] = {}

    def doubt(self, event: e.PressureChanged) -> bool:
        """Tell whether an `off` above the low mark may still be the last event of its stream; remember it then."""
        if not event.on and event.depth > self.view.streams[event.stream].low and self.view.state != "Running":
            self.early[event.stream] = self.at or 0
            return True
        return False

    def settled(self, event: e.AnyEvent) -> int | None:
        """Return the place of a doubtful `off` that was not its stream's last event, or None."""
        return self.early.get(event.stream) if isinstance(event, e.Enqueued | e.Dequeued) else None


class OnAtCapacity(Monitor):
    """Pressure goes on exactly when an enqueue brings the depth to the capacity."""

    rule = "WMK-001"

    def prepare(self) -> None:
        """No stream owes an `on`."""
        self.due: set[int] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge each `on`, and that none is missing before the producer's next call."""
        view = self.view
        if isinstance(event, e.Enqueued):
            stream = view.streams[event.stream]
            if stream.blocks and not stream.active and event.depth >= stream.capacity:
                self.due.add(event.stream)
        elif isinstance(event, e.PressureChanged) and event.on:
            stream = view.streams[event.stream]
            self.due.discard(event.stream)
            message = f"pressure on stream {event.stream} went on at depth {event.depth}"
            self.expect(event.depth == stream.depth == stream.capacity, message, expected=stream.capacity, found=event.depth)
        elif isinstance(event, e.Called) and event.fn in DATA_FUNCTIONS:
            for i in view.topology.stages[event.stage].outputs:
                self.expect(i not in self.due, f"{event.stage} was called, and stream {i} is full without pressure")

    def finish(self) -> None:
        """Judge that no `on` is missing at the end."""
        self.expect(not self.due, f"streams {sorted(self.due)} were full and never under pressure")


class OffAtLowMark(_Settling):
    """Pressure goes off at the first dequeue that brings the depth to the low mark."""

    rule = "WMK-002"

    def prepare(self) -> None:
        """No stream owes an `off`."""
        super().prepare()
        self.due: set[int] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge each `off`, and that none is missing once the consumer's call is over."""
        view = self.view
        early = self.settled(event)
        if early is not None:
            self.at = early
            self.expect(holds=False, message="pressure went off above the low mark")
        if isinstance(event, e.Dequeued):
            stream = view.streams[event.stream]
            if stream.blocks and stream.active and event.depth <= stream.low:
                self.due.add(event.stream)
        elif isinstance(event, e.PressureChanged) and not event.on:
            self.due.discard(event.stream)
            low = view.streams[event.stream].low
            if not self.doubt(event):
                message = f"pressure on stream {event.stream} went off at depth {event.depth}"
                self.expect(event.depth <= low, message, expected=f"<= {low}", found=event.depth)
        elif isinstance(event, e.Called):
            late = [i for i in self.due if view.consumer_of(i) != event.stage]
            self.expect(not late, f"streams {late} fell to the low mark and are still under pressure")

    def finish(self) -> None:
        """Judge that no `off` is missing at the end."""
        self.expect(not self.due, f"streams {sorted(self.due)} fell to the low mark and stayed under pressure")


class NothingBetweenTheMarks(_Settling):
    """Strictly between the marks pressure does not change."""

    rule = "WMK-003"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each change, and each event that is not one."""
        early = self.settled(event)
        if early is not None:
            self.at = early
            self.expect(holds=False, message="pressure changed between the marks")
        if isinstance(event, e.PressureChanged) and not self.doubt(event):
            stream = self.view.streams[event.stream]
            between = stream.low < event.depth < stream.capacity
            self.expect(not between, f"pressure on stream {event.stream} changed at depth {event.depth}", found=event.depth)


class OnOffOnOff(Monitor):
    """Pressure alternates, starting with on."""

    rule = "WMK-005"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each change."""
        if isinstance(event, e.PressureChanged):
            word = "on" if event.on else "off"
            active = self.view.streams[event.stream].active
            self.expect(event.on != active, f"pressure on stream {event.stream} went {word} twice in a row")


class PressureIsCounted(Monitor):
    """The summary counts one pressure event per activation."""

    rule = "WMK-007"

    def prepare(self) -> None:
        """Count per stream."""
        self.count = [0] * len(self.view.streams)

    def on(self, event: e.AnyEvent) -> None:
        """Count."""
        if isinstance(event, e.PressureChanged) and event.on:
            self.count[event.stream] += 1

    def finish(self) -> None:
        """Compare with the summary."""
        for i, count in enumerate(self.count if self.reply is not None else ()):
            assert self.reply is not None
            found = self.reply.streams[i].pressure_events
            self.expect(found == count, f"pressure events of stream {i}", expected=count, found=found)


class NeverMoreThanFits(Monitor):
    """The depth never exceeds the capacity, whatever the policy."""

    rule = "WMK-012"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each enqueue, by what it says and by what has gone in and out."""
        if isinstance(event, e.Enqueued):
            stream = self.view.streams[event.stream]
            depth = max(event.depth, len(stream.queue) + 1)
            self.expect(depth <= stream.capacity, f"stream {event.stream} holds more than fits", expected=stream.capacity, found=depth)


class PeakIsReported(Monitor):
    """The summary's peak depth is the largest depth after an enqueue."""

    rule = "WMK-013"

    def prepare(self) -> None:
        """No depth yet."""
        self.peak = [0] * len(self.view.streams)

    def on(self, event: e.AnyEvent) -> None:
        """Remember the largest."""
        if isinstance(event, e.Enqueued):
            self.peak[event.stream] = max(self.peak[event.stream], event.depth)

    def finish(self) -> None:
        """Compare with the summary."""
        for i, peak in enumerate(self.peak if self.reply is not None else ()):
            assert self.reply is not None
            found = self.reply.streams[i].peak_depth
            self.expect(found == peak, f"peak depth of stream {i}", expected=peak, found=found)

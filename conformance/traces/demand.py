"""Monitors of demand where streams meet or overflow: fan-in, flushes, pressure events, and pressure in a drain (CREDIT, WMK)."""

from __future__ import annotations

from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.pressure import CreditChanges

SERVED_WITHIN = 64
"""Turns of a stage after which each of its inputs that is not empty must have been served (CREDIT-012)."""


class CreditsApart(CreditChanges):
    """What happens on one stream into a stage does not change the credits of another."""

    rule = "CREDIT-011"

    def prepare(self) -> None:
        """No stream has moved."""
        topology = self.view.topology
        self.siblings = {i: set(shape.inputs) - {i} for shape in topology.stages.values() for i in shape.inputs if len(shape.inputs) > 1}
        self.moved: dict[int, bool] = dict.fromkeys(self.siblings, False)  # whether a sibling has moved since the stream's last event

    def on(self, event: e.AnyEvent) -> None:
        """Judge the credits of a stream whose siblings have moved."""
        if not isinstance(event, e.Enqueued | e.Dequeued) or event.stream not in self.siblings:
            return
        if self.moved[event.stream]:
            self.change(event, "an event of a sibling stream has changed the credits: an event of its own did not change them by one")
        self.moved[event.stream] = False
        for sibling in self.siblings[event.stream]:
            self.moved[sibling] = True


class NobodyStarves(Monitor):
    """A stage with several inputs serves each that is not empty within a bounded number of turns."""

    rule = "CREDIT-012"

    def prepare(self) -> None:
        """Nobody waits."""
        self.waiting = [0] * len(self.view.streams)

    def on(self, event: e.AnyEvent) -> None:
        """Judge how long the other inputs have waited."""
        if not isinstance(event, e.Dequeued):
            return
        self.waiting[event.stream] = 0
        for i in self.view.topology.stages[self.view.consumer_of(event.stream)].inputs:
            if i == event.stream:
                continue
            self.waiting[i] = self.waiting[i] + 1 if self.view.streams[i].queue else 0
            if self.waiting[i]:
                message = f"stream {i} is not empty and was passed over {self.waiting[i]} times"
                self.expect(self.waiting[i] <= SERVED_WITHIN, message, expected=f"<= {SERVED_WITHIN}", found=self.waiting[i])


class OverflowWaitsItsTurn(Monitor):
    """What a flush has beyond a stream's capacity waits, and enters in order, as pressure allows."""

    rule = "CREDIT-015"

    def prepare(self) -> None:
        """Nobody is flushed."""
        self.flushed: dict[str, int] = {}
        self.entered: dict[int, list[int]] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge each element of a flush as it enters a stream."""
        view = self.view
        if isinstance(event, e.Returned) and event.fn == "flush" and event.outcome == "emit":
            self.flushed[event.stage] = view.flushed(event)
        if not isinstance(event, e.Enqueued) or view.producer_of(event.stream) not in self.flushed:
            return
        stream, maker = view.streams[event.stream], view.producer_of(event.stream)
        number = self._number(event, maker)
        if number is None or not stream.blocks:
            return
        entered = self.entered.setdefault(event.stream, [])
        in_order = not entered or (number == entered[-1] + 1 if view.scripted else number > entered[-1])
        entered.append(number)
        if self.flushed[maker] > stream.capacity:
            self.expect(in_order, f"what {maker} flushed entered stream {event.stream} out of order", found=entered)
            depth = max(event.depth, len(stream.queue) + 1)
            self.expect(depth <= stream.capacity, f"stream {event.stream} holds more than fits", expected=stream.capacity, found=depth)
            self.expect(not stream.active, f"an element of {maker}'s flush entered stream {event.stream} while it was under pressure")

    def _number(self, event: e.Enqueued, maker: str) -> int | None:
        """Return an element's place in its maker's flush: by the script's count; of a real maker, the sequence."""
        if not self.view.scripted:
            return event.seq
        name, _, number = (event.tag or "").rpartition("#")
        return int(number) if name == maker and number.isdigit() else None

    def finish(self) -> None:
        """Judge that all of it has entered."""
        view = self.view
        for maker, count in self.flushed.items():
            for i in view.topology.stages[maker].outputs:
                if view.state == "Completed" and view.streams[i].blocks and count > view.streams[i].capacity:
                    found = len(self.entered.get(i, ()))
                    self.expect(found == count, f"elements of {maker}'s flush that entered stream {i}", expected=count, found=found)


class OneEventPerTransition(Monitor):
    """Every change of pressure is one event, at the depth that made it; its end says how long it lasted, or says nothing of it."""

    rule = "WMK-006"

    def prepare(self) -> None:
        """No stream is under pressure, and no event is owed."""
        streams = self.view.streams
        self.active = [False] * len(streams)
        self.owed: dict[int, tuple[bool, int, int]] = {}
        self.taken: set[int] = set()
        self.since = [0] * len(streams)

    def on(self, event: e.AnyEvent) -> None:
        """Follow depths by the rule, and hold the events to that."""
        view = self.view
        if isinstance(event, e.PressureChanged):
            if view.streams[event.stream].blocks:
                self._event(event)
            return
        if isinstance(event, e.Called | e.Done):
            # A runtime may look at depths after each call: the call that the element was taken for comes between.
            taker = event.stage if isinstance(event, e.Called) else None
            late = sorted(stream for stream in self.owed if stream not in self.taken or view.topology.edges[stream].target != taker)
            self.taken.clear()
            self.expect(not late, f"the pressure of streams {late} has changed, and no event said so")
        if isinstance(event, e.Enqueued) and view.streams[event.stream].blocks:
            if not self.active[event.stream] and event.depth >= view.streams[event.stream].capacity:
                self._due(event.stream, on=True, depth=event.depth, at=event.at)
        elif isinstance(event, e.Dequeued | e.Dropped) and view.streams[event.stream].blocks:
            depth = event.depth if isinstance(event, e.Dequeued) else view.streams[event.stream].depth - 1
            if self.active[event.stream] and depth <= view.streams[event.stream].low:
                self._due(event.stream, on=False, depth=depth, at=event.at)
                if isinstance(event, e.Dequeued):
                    self.taken.add(event.stream)

    def _due(self, stream: int, *, on: bool, depth: int, at: int) -> None:
        self.active[stream] = on
        self.owed[stream] = (on, depth, at)

    def _event(self, event: e.PressureChanged) -> None:
        word = "on" if event.on else "off"
        owed = self.owed.pop(event.stream, None)
        if owed is None and not event.on and self.active[event.stream] and self.view.state != "Running":
            owed = (False, event.depth, event.at)  # the flow's end closes the interval (WMK-008)
            self.active[event.stream] = False
        self.expect(
            owed is not None, f"an event says that stream {event.stream} went {word}, and its depth says otherwise", found=event.depth
        )
        assert owed is not None
        on, depth, at = owed
        self.expect(event.on == on, f"the event of stream {event.stream} is the wrong one", expected="on" if on else "off", found=word)
        self.expect(event.depth == depth, f"the depth at which stream {event.stream} went {word}", expected=depth, found=event.depth)
        self.expect(event.at >= at, f"stream {event.stream} went {word} before it did", expected=f">= {at}", found=event.at)
        if event.on:
            self.since[event.stream] = event.at
        elif event.duration is not None and self.view.clock == "virtual":
            due = event.at - self.since[event.stream]
            self.expect(event.duration == due, f"how long stream {event.stream} was under pressure", expected=due, found=event.duration)


class OpenIntervalsAreClosed(Monitor):
    """An interval of pressure that is open when a flow stops running is closed: by an `off`, or in the statistics."""

    rule = "WMK-008"

    def prepare(self) -> None:
        """No interval is open."""
        self.open: set[int] = set()
        self.since = [0] * len(self.view.streams)
        self.sum = [0] * len(self.view.streams)
        self.end = 0

    def on(self, event: e.AnyEvent) -> None:
        """Follow the intervals."""
        if isinstance(event, e.StateChanged) and event.new == "Draining":
            self.open = {i for i, stream in enumerate(self.view.streams) if stream.active}
        if isinstance(event, e.PressureChanged):
            if event.on:
                self.since[event.stream] = event.at
            else:
                self.sum[event.stream] += event.at - self.since[event.stream]
        self.end = event.at

    def finish(self) -> None:
        """Judge those that were open when the flow began to drain."""
        for i, stream in enumerate(self.view.streams):
            if not stream.active and i not in self.open:
                continue
            covered = self.sum[i] + (self.end - self.since[i] if stream.active else 0)
            told = None if self.reply is None else self.reply.streams[i].pressure_ns
            holds = not stream.active or (told is not None and told >= covered > 0)
            message = f"stream {i} was under pressure when the flow ended, and nothing closed the interval"
            self.expect(holds, message, expected=f"an `off`, or {covered} ns in the statistics", found=told)


class PressureIsLiftedInADrain(Monitor):
    """A stage that is held back by pressure when an operator cancels goes on during the drain, and nothing is discarded."""

    rule = "WMK-014"

    def prepare(self) -> None:
        """Nobody is held back."""
        self.held: list[str] = []
        self.late: e.Dropped | None = None
        self.busy = self.called = 0
        self.excused = False

    def on(self, event: e.AnyEvent) -> None:
        """Find who is held back at the cancel; remember what is discarded, and what else may have used up the drain's time."""
        view = self.view
        if isinstance(event, e.StateChanged) and event.new == "Draining" and view.cancel_due and view.spec.settings.drain_timeout_ms:
            self.held = [
                name
                for name, shape in view.topology.stages.items()
                if any(view.streams[i].queue for i in shape.inputs)
                and any(view.streams[i].blocks and view.streams[i].active for i in shape.outputs)
            ]
        if isinstance(event, e.Called):
            self.called = event.at
        if isinstance(event, e.Returned):
            self.busy += event.at - self.called
            self.excused |= event.outcome == "pause"
        if isinstance(event, e.Dropped) and event.reason == "discarded":
            self.late = event

    def finish(self) -> None:
        """Judge that all went on."""
        view = self.view
        paced = any(edge.rate_per_s for edge in view.spec.edges)  # a rate takes its time in a drain, too
        excused = self.excused or paced or view.failing or self.busy >= view.spec.settings.drain_timeout_ms * 1_000_000
        if self.held and not excused:
            message = f"{', '.join(self.held)} was held back by pressure when the flow was cancelled, and elements were discarded"
            self.expect(self.late is None, message, expected="a drain that delivers", found=self.late)

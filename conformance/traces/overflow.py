"""Monitors of what happens to elements that do not fit, and of what a source is told (POLICY)."""

from __future__ import annotations

from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.pressure import calls_producer


class BlockLosesNothing(Monitor):
    """Block never loses an element: the producer is not called from `on` to `off`, and nothing is evicted or refused."""

    rule = "POLICY-001"

    def on(self, event: e.AnyEvent) -> None:
        """Judge drops on lossless streams, and calls of their producers."""
        view = self.view
        if isinstance(event, e.Dropped) and view.streams[event.stream].blocks:
            message = f"stream {event.stream} blocks and lost an element: {event.reason}"
            # What a cancel, a deadline or a broken component leaves behind is discarded; a flow that just runs leaves nothing.
            ending = view.state != "Running" or view.fatal or view.cancel_due or view.spec.settings.deadline_ms is not None
            self.expect(event.reason == "discarded" and ending, message, expected="no loss", found=event.reason)
        if calls_producer(event) and isinstance(event, e.Called):
            for i in view.topology.stages[event.stage].outputs:
                if view.streams[i].blocks:
                    self.expect(not view.streams[i].active, f"{event.stage} was called while stream {i} was under pressure")

    def finish(self) -> None:
        """Judge that what was due arrived."""
        view = self.view
        if view.state != "Completed" or view.failing:
            return
        for i, stream in enumerate(view.streams):
            if stream.blocks:
                message = f"stream {i} blocks, and not all that was produced was taken from it"
                self.expect(stream.dequeued == view.expected[i], message, expected=view.expected[i], found=stream.dequeued)


class LossIsReportedAndReleased(Monitor):
    """Every element lost is reported, and its buffer is released at once, not at the flow's end."""

    rule = "POLICY-005"

    def prepare(self) -> None:
        """Nothing is lost yet."""
        self.lost = False
        self.quiet = not any(
            answer.keeps
            for script in self.view.topology.scripts.values()
            for answer in (*script.answers, script.flush, *([script.then] if script.then else []))
        ) and not any(shape.role == "aggregator" for shape in self.view.topology.stages.values())

    def on(self, event: e.AnyEvent) -> None:
        """After a loss: no more buffers are alive than elements are on their way."""
        view = self.view
        if isinstance(event, e.Dropped):
            self.lost = True
        if not self.lost or not self.quiet or not isinstance(event, e.Called):
            return
        queued = sum(len(stream.queue) for stream in view.streams)
        held = sum(len(stage.taken) for stage in view.stages.values())
        tried_again = sum(stage.failed for stage in view.stages.values())
        most = queued + held + tried_again
        message = "more buffers are alive than elements are on their way: a lost one was not released"
        self.expect(view.owed <= most, message, expected=f"<= {most}", found=view.owed)

    def finish(self) -> None:
        """Judge that every loss was reported: what was due and did not arrive was dropped."""
        view = self.view
        for i, stream in enumerate(view.streams):
            if stream.lost + stream.refused == 0 and (view.failing or view.cancel_due or stream.blocks):
                continue
            missing = view.expected[i] - stream.dequeued
            dropped = stream.lost + stream.refused
            branches = view.topology.stages[view.topology.edges[i].source].outputs
            if len(branches) > 1 and dropped == stream.dequeued == 0:
                continue  # a branch that never got anything: TOPO-008 judges that, and what was never put on a stream was not lost on it
            self.expect(dropped == missing, f"losses reported on stream {i}", expected=missing, found=dropped)


class EveryElementAccountedFor(Monitor):
    """What entered a stream has left it: taken, evicted or discarded; and the summary counts the same."""

    rule = "POLICY-008"

    def prepare(self) -> None:
        """Nothing has been dropped yet."""
        self.dropped = [0] * len(self.view.streams)

    def on(self, event: e.AnyEvent) -> None:
        """Count what the policies drop; what a drain discards is counted apart."""
        if isinstance(event, e.Dropped) and event.reason != "discarded":
            self.dropped[event.stream] += 1

    def finish(self) -> None:
        """Judge the balance of each stream at the end."""
        for i, stream in enumerate(self.view.streams):
            out = stream.dequeued + stream.lost
            message = f"elements that entered stream {i} and left it"
            self.expect(stream.enqueued == out, message, expected=stream.enqueued, found=out)
            if self.reply is not None:
                found = self.reply.streams[i].elements
                self.expect(found == stream.enqueued, f"elements of stream {i}", expected=stream.enqueued, found=found)
                found = self.reply.streams[i].dropped
                self.expect(found == self.dropped[i], f"dropped elements of stream {i}", expected=self.dropped[i], found=found)


class NoticesAlternate(Monitor):
    """A source is told to pause once, then to go on once, and never in the middle of a call."""

    rule = "POLICY-013"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each notice."""
        if not isinstance(event, e.Notified):
            return
        told = self.view.stages[event.stage].told_to_pause
        pause = event.signal == "pause"
        self.expect(pause != told, f"{event.stage} was told to {event.signal} twice in a row")
        self.expect(self.view.running is None, f"{event.stage} was told in the middle of a call of {self.view.running}")


class NoPullWhileToldToPause(Monitor):
    """A source that was told to pause is not pulled before it is told to go on."""

    rule = "POLICY-014"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each pull of a source that has been told anything."""
        if isinstance(event, e.Called) and event.fn == "pull":
            told = self.view.stages[event.stage].told_to_pause
            self.expect(not told, f"{event.stage} was pulled after it had been told to pause")


class PauseHoldsBack(Monitor):
    """While a sink pauses, who feeds its stream is not called, except to probe: when the stream is empty and time has passed."""

    rule = "POLICY-011"

    def prepare(self) -> None:
        """Nobody pauses."""
        self.since: dict[str, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge a call of a producer by the sinks that it feeds."""
        view = self.view
        if isinstance(event, e.Returned) and event.outcome == "pause":
            self.since[event.stage] = event.at
        if not calls_producer(event) or not isinstance(event, e.Called):
            return
        for i in self.heeded(event.stage):
            sink = view.consumer_of(i)
            if view.stages[sink].paused:
                probes = not view.streams[i].queue and event.at > self.since[sink]
                message = f"{event.stage} was called while {sink} paused, with {len(view.streams[i].queue)} elements on stream {i}"
                self.expect(
                    probes, message, expected="a probe: an empty stream, and later", found=f"{event.at - self.since[sink]} ns later"
                )

    def heeded(self, stage: str) -> list[int]:
        """Return the outputs whose sink's pause holds a stage back (CREDIT-010 excepts branches that may lose elements)."""
        outputs = self.view.topology.stages[stage].outputs
        if self.view.spec.settings.fan_out == "min-credit" or len(outputs) == 1:
            return list(outputs)
        return [i for i in outputs if self.view.streams[i].blocks]


class WorksWithoutHelp(Monitor):
    """A scripted source pays no attention to notices; what it made arrives all the same, and no stream overflows."""

    rule = "POLICY-015"

    def prepare(self) -> None:
        """Nobody was told."""
        self.told = False

    def on(self, event: e.AnyEvent) -> None:
        """Note that somebody was told to pause; judge depths from then on."""
        self.told |= isinstance(event, e.Notified) and event.signal == "pause"
        if self.told and isinstance(event, e.Enqueued):
            capacity = self.view.streams[event.stream].capacity
            self.expect(event.depth <= capacity, f"stream {event.stream} overflowed", expected=f"<= {capacity}", found=event.depth)

    def finish(self) -> None:
        """Judge that everything arrived."""
        view = self.view
        if not self.told or view.state != "Completed" or view.failing:
            return
        for i, stream in enumerate(view.streams):
            if stream.blocks:
                message = f"elements taken from stream {i}, whose source ignores that it is told to pause"
                self.expect(stream.dequeued == view.expected[i], message, expected=view.expected[i], found=stream.dequeued)


class OnlyNeighboursAreTold(Monitor):
    """A source is told of the pressure of its own streams, not of others'."""

    rule = "POLICY-016"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each notice by the source's own streams."""
        if not isinstance(event, e.Notified):
            return
        pressed = any(self.view.streams[i].blocks and self.view.streams[i].active for i in self.view.topology.stages[event.stage].outputs)
        message = f"{event.stage} was told to {event.signal}"
        self.expect(pressed == (event.signal == "pause"), message, expected="pressure on a stream of its own, or its end")

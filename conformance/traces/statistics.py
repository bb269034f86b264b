"""Monitors of what a finished flow says about itself: its statistics against its events (FLOW-016, FLOW-017)."""

from __future__ import annotations

from conformance.models.flow import TERMINAL
from conformance.traces import events as e
from conformance.traces.monitors import Monitor


class StatisticsFollowTheTrace(Monitor):
    """Duration, elements, pressure and peak per stream, calls, errors and time per stage: all as the events have it."""

    rule = "FLOW-016"

    def prepare(self) -> None:
        """Count from nothing."""
        streams = len(self.view.topology.edges)
        self.elements, self.pressure, self.pressure_ns, self.peak, self.since = ([0] * streams for _ in range(5))
        self.calls, self.errors, self.failed, self.busy_ns = (dict.fromkeys(self.view.stages, 0) for _ in range(4))
        self.entered = 0
        self.started: int | None = None
        self.ended: int | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Count one event."""
        match event:
            case e.StateChanged():
                if event.new == "Running":
                    self.started = event.at
                if event.new in TERMINAL:
                    self.ended = event.at
            case e.Enqueued():
                self.elements[event.stream] += 1
                self.peak[event.stream] = max(self.peak[event.stream], event.depth)
            case e.PressureChanged() if event.on:
                self.pressure[event.stream] += 1
                self.since[event.stream] = event.at
            case e.PressureChanged():
                self.pressure_ns[event.stream] += event.at - self.since[event.stream]
            case e.Called():
                self.calls[event.stage] += 1
                self.entered = event.at
            case e.Returned():
                self.busy_ns[event.stage] += event.at - self.entered
                self.failed[event.stage] += event.outcome in {"error", "trap"}
            case e.ErrorReported():
                self.errors[event.stage] += 1
            case _:
                pass

    def finish(self) -> None:
        """Compare with what the runtime says."""
        if self.reply is None:
            return
        exact = self.view.clock == "virtual"
        for i, stream in enumerate(self.reply.streams):
            found = (stream.elements, stream.pressure_events, stream.peak_depth)
            expected = (self.elements[i], self.pressure[i], self.peak[i])
            self.expect(found == expected, f"stream {i}: elements, pressure events, peak depth", expected=expected, found=found)
            if exact:
                message = f"how long stream {i} was under pressure, in ns"
                self.expect(stream.pressure_ns == self.pressure_ns[i], message, expected=self.pressure_ns[i], found=stream.pressure_ns)
        for name, stage in self.reply.stages.items():
            if name not in self.calls:
                continue
            self.expect(stage.invocations == self.calls[name], f"calls of {name}", expected=self.calls[name], found=stage.invocations)
            errors = sorted({self.errors[name], self.failed[name]})  # a full queue may be counted as the stage's error, or not
            self.expect(stage.errors in errors, f"errors of {name}", expected=" or ".join(map(str, errors)), found=stage.errors)
            fits = stage.busy_ns == self.busy_ns[name] if exact else stage.busy_ns is not None
            self.expect(fits, f"time inside {name}, in ns", expected=self.busy_ns[name], found=stage.busy_ns)
        missing = sorted(self.calls.keys() - self.reply.stages.keys())
        self.expect(not missing, "stages without statistics", expected="none", found=missing)
        if self.ended is not None:
            lasted = 0 if self.started is None else self.ended - self.started
            fits = self.reply.duration_ns == lasted if exact else self.reply.duration_ns is not None
            self.expect(fits, "how long the flow ran and drained, in ns", expected=lasted, found=self.reply.duration_ns)


class TotalSumsOverStreams(Monitor):
    """The total of a finished flow is the number of elements that entered its streams, all of them together."""

    rule = "FLOW-017"

    def prepare(self) -> None:
        """Count from nothing."""
        self.total = 0

    def on(self, event: e.AnyEvent) -> None:
        """Count what enters a stream, and compare at the end."""
        if isinstance(event, e.Enqueued):
            self.total += 1
        if isinstance(event, e.Done):
            self.expect(event.total == self.total, "the total of all streams", expected=self.total, found=event.total)

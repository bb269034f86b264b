"""Monitors of the last things: who is told of the end, in which order, and that nothing comes after it (CANCEL)."""

from __future__ import annotations

from conformance.traces import events as e
from conformance.traces.failures import FAILING, WORK
from conformance.traces.monitors import Monitor


class NoFalseNews(Monitor):
    """complete() is never called on a sink that has faulted, never twice, and never before the last push."""

    rule = "CANCEL-010"

    def prepare(self) -> None:
        """Nobody is told, nobody has faulted."""
        self.told: set[str] = set()
        self.faulted: set[str] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge pushes and completes."""
        if isinstance(event, e.Returned) and event.fn == "push" and (event.outcome == "trap" or event.kind == "fatal"):
            self.faulted.add(event.stage)
        if isinstance(event, e.ErrorReported) and event.action == "fail":
            self.faulted.add(event.stage)
        if isinstance(event, e.Called) and event.fn == "push":
            self.expect(event.stage not in self.told, f"{event.stage} got an element after complete()")
        if isinstance(event, e.Called) and event.fn == "complete":
            self.expect(event.stage not in self.faulted, f"complete() was called on {event.stage}, which has faulted")
            self.expect(event.stage not in self.told, f"complete() was called twice on {event.stage}")
            self.told.add(event.stage)
        if isinstance(event, e.Done):
            self.evaluated += len(self.faulted)


class FixedOrder(Monitor):
    """The end goes: last data call, flush (upstream first), complete, teardown, buffers released, terminal state, `done`."""

    rule = "CANCEL-012"
    STEPS = ("data", "complete", "teardown", "the end")

    def prepare(self) -> None:
        """The flow is at its first step."""
        self.step = 0
        self.flushed: set[str] = set()
        self.ended = False

    def on(self, event: e.AnyEvent) -> None:
        """Judge that no step is taken back."""
        view = self.view
        if self.ended:
            self.expect(holds=False, message=f"a `{event.__struct_config__.tag}` after `done`")
        if isinstance(event, e.Called):
            place = {"complete": 1, "teardown": 2}.get(event.fn, 0)
            message = f"{event.stage}.{event.fn} was called after {self.STEPS[self.step]}"
            self.expect(place >= self.step, message)
            self.step = place
            if event.fn == "flush":
                late = [name for name in view.topology.upstream(event.stage, "aggregator") if name not in self.flushed]
                self.expect(not late or view.failing or view.cancel_due, f"{event.stage} was flushed before {late}, which feed it")
                self.flushed.add(event.stage)
        elif isinstance(event, e.StateChanged) and event.new in {"Completed", "Cancelled", "Failed"}:
            self.expect(not view.live, f"the flow was {event.new} before its buffers were released", expected=0, found=len(view.live))
            self.step = 3
        elif isinstance(event, e.BufferEvent):
            self.expect(self.step < 3, f"a buffer was {event.op}d after the flow was {view.state}")
        elif isinstance(event, e.Done):
            self.expect(view.over, "`done` came before the terminal state", found=view.state)
            self.ended = True


class TornDownOnce(Monitor):
    """Every component that was initialised is torn down once, in the reverse order, after the drain; the dead are left alone."""

    rule = "CANCEL-013"

    def prepare(self) -> None:
        """Nobody is initialised."""
        self.standing: list[str] = []
        self.down: set[str] = set()
        self.dead: set[str] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge each teardown, and that none is missing."""
        if isinstance(event, e.Returned):
            if event.fn == "init" and event.outcome not in FAILING:
                self.standing.append(event.stage)
            if event.outcome == "trap":
                self.dead.add(event.stage)
        if isinstance(event, e.Called) and event.fn == "teardown":
            expected = next((stage for stage in reversed(self.standing) if stage not in self.down | self.dead), None)
            self.expect(event.stage == expected, "torn down out of turn", expected=expected, found=event.stage)
            self.down.add(event.stage)
        if isinstance(event, e.Called) and event.fn in WORK | {"complete"}:
            self.expect(not self.down, f"{event.stage}.{event.fn} was called after a teardown")
        if isinstance(event, e.Done) and self.standing:
            left = [stage for stage in self.standing if stage not in self.down | self.dead]
            self.expect(not left, "initialised and never torn down", expected="nobody", found=", ".join(left))

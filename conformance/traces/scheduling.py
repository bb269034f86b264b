"""Monitors of who runs when (SCHED)."""

from __future__ import annotations

from conformance.models.flow import batch_of
from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS

HOLDING = frozenset({"pause", "error", "trap"})
"""Answers after which elements may have to wait for their consumer."""


class OneAtATime(Monitor):
    """At most one invocation of a flow runs at a time; calls neither overlap nor nest."""

    rule = "SCHED-001"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each call and each return."""
        running = self.view.running
        if isinstance(event, e.Called):
            self.expect(running is None, f"{event.stage} was called while {running} was running")
        if isinstance(event, e.Returned):
            self.expect(running == event.stage, "a return without its call", expected=running, found=event.stage)


class ConsumersFirst(Monitor):
    """Under the default schedule a stage runs only when nothing downstream of it can; a source only when no other stage can."""

    rule = "SCHED-002"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each data call of a running flow."""
        view = self.view
        if not isinstance(event, e.Called) or event.fn not in DATA_FUNCTIONS or view.state != "Running":
            return
        if view.spec.schedule.policy != "consumer-first":
            return
        later = view.topology.stages if event.fn == "pull" else view.topology.downstream(event.stage)
        ready = sorted(name for name in later if view.surely_ready(name))
        self.expect(not ready, f"{event.stage} was called although {', '.join(ready)} could run")


class ReadyOnly(Monitor):
    """A stage is called only when every output can take an element, and a stage with inputs only with an element."""

    rule = "SCHED-003"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each data call."""
        view = self.view
        if not isinstance(event, e.Called) or event.fn not in DATA_FUNCTIONS:
            return
        blocked = [i for i in view.topology.stages[event.stage].outputs if not view.streams[i].producible]
        self.expect(not blocked, f"{event.stage} was called while streams {blocked} could take nothing")
        if event.fn != "pull":
            stage = view.stages[event.stage]
            self.expect(stage.taken or stage.failed, f"{event.stage} was called without an element")


class ShortQueues(Monitor):
    """Under the default schedule, with no consumer held back, no queue is ever deeper than one."""

    rule = "SCHED-004"

    def prepare(self) -> None:
        """Find out whether the flow is one of those; of real components only their answers tell."""
        scripts = self.view.topology.scripts.values()
        spec = self.view.spec
        paced = any(edge.policy == "rate-limit" for edge in spec.edges)  # then a consumer may have to wait for its own output
        self.applies = (
            not paced
            and spec.schedule.policy == "consumer-first"
            and not any(
                script.flush.count > 1 or any(answer.do in HOLDING for answer in (*script.answers, *([script.then] if script.then else [])))
                for script in scripts
            )
        )

    def on(self, event: e.AnyEvent) -> None:
        """Judge each enqueue."""
        if not self.view.scripted and isinstance(event, e.Returned) and (event.outcome in HOLDING or (event.count or 0) > 1):
            self.applies = False
        if self.applies and isinstance(event, e.Enqueued):
            self.expect(event.depth <= 1, f"stream {event.stream} is {event.depth} deep", expected=1, found=event.depth)


class YieldsInTime(Monitor):
    """A flow gives way after the configured number of stage executions, exactly, when no time quantum is set."""

    rule = "SCHED-006"

    def prepare(self) -> None:
        """Nothing has been executed yet."""
        self.since = 0

    def on(self, event: e.AnyEvent) -> None:
        """Judge each yield, and that none is missing before a running flow's next execution."""
        batch, exact = batch_of(self.view.spec.settings), self.view.clock == "virtual"  # on a real clock there is the quantum, too
        if isinstance(event, e.Yielded):
            self.since = 0
            on_time = event.n == batch or (event.n < batch and not exact)
            self.expect(on_time, "the flow yielded at another time", expected=batch, found=event.n)
        if isinstance(event, e.Called) and event.fn in DATA_FUNCTIONS and self.view.state == "Running":
            if self.since >= batch:
                self.expect(holds=False, message="the flow did not yield in time", expected=batch, found=self.since + 1)
            self.since += 1

"""Monitors of a flow's life, its completion and its end (FLOW, CANCEL)."""

from __future__ import annotations

from conformance.models.flow import LEGAL, TERMINAL
from conformance.traces import events as e
from conformance.traces.monitors import Monitor


class LegalSteps(Monitor):
    """Every change of state is one of the nine legal ones."""

    rule = "FLOW-001"

    def on(self, event: e.AnyEvent) -> None:
        """Judge a change of state."""
        if isinstance(event, e.StateChanged):
            step = f"{event.old} -> {event.new}"
            self.expect((event.old, event.new) in LEGAL, f"{step} is not a legal step")


class NothingAfterTheEnd(Monitor):
    """Terminal states are terminal: no state, call or enqueue follows."""

    rule = "FLOW-002"

    def on(self, event: e.AnyEvent) -> None:
        """Judge what follows a terminal state."""
        if not self.view.over:
            return
        late = isinstance(event, e.StateChanged | e.Called | e.Enqueued)
        self.expect(not late, f"a `{event.__struct_config__.tag}` after the flow was {self.view.state}")


class EveryStepReported(Monitor):
    """Every transition is reported once, in order, from Created to the terminal one, and the summary says the same."""

    rule = "FLOW-003"

    def prepare(self) -> None:
        """Count the final reports."""
        self.final: list[str] = []

    def on(self, event: e.AnyEvent) -> None:
        """Judge that each step starts where the last one ended."""
        if isinstance(event, e.StateChanged):
            self.expect(event.old == self.view.state, "a step is missing or out of order", expected=self.view.state, found=event.old)
        if isinstance(event, e.Done):
            self.final.append(event.state)
            self.expect(event.state == self.view.state, "`done` contradicts the last step", expected=self.view.state, found=event.state)

    def finish(self) -> None:
        """Judge that the last step is there."""
        self.expect(self.view.over, "the terminal step was not reported", found=self.view.state)
        self.expect(len(self.final) == 1, "the end must be reported once", found=len(self.final))
        if self.reply is not None:
            self.expect(
                self.reply.state == self.view.state, "the summary contradicts the trace", expected=self.view.state, found=self.reply.state
            )


class ThroughDraining(Monitor):
    """A flow that ran passes through Draining on its way out."""

    rule = "FLOW-004"

    def prepare(self) -> None:
        """Remember the states passed."""
        self.passed: list[str] = []

    def on(self, event: e.AnyEvent) -> None:
        """Judge an exit."""
        if not isinstance(event, e.StateChanged):
            return
        self.passed.append(event.new)
        if event.new in TERMINAL and "Running" in self.passed:
            self.expect("Draining" in self.passed, f"the flow went from Running to {event.new} without Draining")


class _Causes(Monitor):
    """Why a flow left Running, told from what happened before, not from what the runtime says."""

    def prepare(self) -> None:
        """Start without a cause."""
        self.cause: str | None = None
        self.drained_at = self.drained_ns = 0
        self.later_failure = self.loss = False

    def on(self, event: e.AnyEvent) -> None:
        """Find the cause at the step to Draining, and judge the end."""
        view = self.view
        if isinstance(event, e.StateChanged) and event.new == "Draining":
            self.drained_at, self.drained_ns = view.returned, event.at
            self.cause = self._cause()
        elif (
            isinstance(event, e.Returned) and event.outcome in {"error", "trap"} and (view.state == "Draining" or event.fn == "flush")
        ) or (
            isinstance(event, e.ErrorReported) and view.state == "Draining"  # what a flush made, refused by a full stream, say
        ):
            self.later_failure = True
        elif isinstance(event, e.Dropped) and event.reason == "discarded":
            # Only what the drain's timeout discards leaves the end open (decision 1), not what a failed stage leaves behind (ERR-014).
            self.loss |= event.at - self.drained_ns >= view.spec.settings.drain_timeout_ms * 1_000_000
        elif isinstance(event, e.Done) and self.cause is not None:
            self.judge(event)

    def _cause(self) -> str | None:
        """Return the one cause that is certain, or None where two are possible."""
        view = self.view
        if view.fatal:
            return None if view.cancel_due else "error"
        if view.spec.settings.deadline_ms is not None or (view.failing and view.spec.settings.error_policy == "retry"):
            return None
        if view.cancel_due:
            return None if view.ended_by_sources else "operator"
        return "sources" if view.ended_by_sources else None

    def allowed(self) -> frozenset[str]:
        """Return the terminal states that the cause allows."""
        if self.cause == "error":
            return frozenset({"Failed"})
        if self.cause == "operator":  # loss in the drain may be called a failure (decision 1)
            return frozenset({"Cancelled", "Failed"}) if self.loss else frozenset({"Cancelled"})
        if self.later_failure or self.loss:  # a failed complete() or a lost element must not read as success (ERR-014)
            return frozenset({"Completed", "Failed"})
        return frozenset({"Completed"})

    def judge(self, event: e.Done) -> None:
        """Judge the terminal state."""


class CauseDecidesTheEnd(_Causes):
    """Sources exhausted: Completed. Operator: Cancelled. Error: Failed."""

    rule = "FLOW-005"

    def judge(self, event: e.Done) -> None:
        """Judge the terminal state by the cause."""
        allowed = self.allowed()
        message = f"a flow that left Running because of {self.cause} ended as {event.state}"
        self.expect(event.state in allowed, message, expected=" or ".join(sorted(allowed)), found=event.state)


class FirstReasonWins(_Causes):
    """What happens while draining does not change why the flow ends."""

    rule = "FLOW-006"

    def judge(self, event: e.Done) -> None:
        """Judge only where a second cause came later."""
        after = self.view.cancelled_after()
        cancelled_later = after is not None and self.drained_at < after <= self.view.returned
        if (self.cause == "operator" and self.later_failure) or (self.cause == "error" and cancelled_later):
            allowed = self.allowed()
            message = f"the first reason was {self.cause}, a later one decided"
            self.expect(event.state in allowed, message, expected=" or ".join(sorted(allowed)), found=event.state)


class CompleteMeansEmpty(Monitor):
    """A flow completes only when every source is exhausted and every queue is empty."""

    rule = "FLOW-007"

    def prepare(self) -> None:
        """Nothing is known before Draining."""
        self.left: list[int] = []
        self.unfinished: list[str] = []

    def on(self, event: e.AnyEvent) -> None:
        """Look at the queues at the step to Draining, judge when the end is known."""
        view = self.view
        if isinstance(event, e.StateChanged) and event.new == "Draining":
            self.left = [i for i, stream in enumerate(view.streams) if stream.queue]
            self.unfinished = [
                name for name, shape in view.topology.stages.items() if shape.role == "source" and not view.stages[name].exhausted
            ]
        if isinstance(event, e.StateChanged) and event.new == "Completed":
            self.expect(not self.unfinished, f"the flow completed before {self.unfinished} was exhausted")
            self.expect(not self.left, f"the flow completed with elements on streams {self.left}")


class CompletionTravels(Monitor):
    """Completion passes every stage: upstream first, and to the end of the flow."""

    rule = "FLOW-008"

    def prepare(self) -> None:
        """Nothing is flushed."""
        self.flushed: set[str] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge a stage's last call, and that the flow's end comes when all sources are exhausted."""
        view = self.view
        if isinstance(event, e.Called) and event.fn == "flush" and view.state == "Running" and not view.failing:
            self._upstream_done(event.stage)
            self.flushed.add(event.stage)
        if isinstance(event, e.Called) and event.fn == "complete" and not view.failing and not view.cancel_due:
            self._upstream_done(event.stage)
        if isinstance(event, e.Done) and view.ended_by_sources and not view.failing and not view.cancel_due and not self._timed:
            self.expect(event.state == "Completed", "every source is exhausted and the flow did not complete", found=event.state)

    @property
    def _timed(self) -> bool:
        return self.view.spec.settings.deadline_ms is not None

    def _upstream_done(self, stage: str) -> None:
        view = self.view
        for source in view.topology.upstream(stage, "source"):
            self.expect(view.stages[source].exhausted, f"{stage} was told of the end before {source} had ended")
        for aggregator in view.topology.upstream(stage, "aggregator"):
            self.expect(aggregator in self.flushed, f"{stage} was told of the end before {aggregator} was flushed")
        for stream in view.topology.stages[stage].inputs:
            self.expect(not view.streams[stream].queue, f"{stage} was told of the end with elements on stream {stream}")


class EmptySourceCompletes(Monitor):
    """A flow whose sources have nothing completes with nothing."""

    rule = "FLOW-009"

    def prepare(self) -> None:
        """Count what reaches sinks."""
        self.pushes = 0

    def on(self, event: e.AnyEvent) -> None:
        """Judge the end."""
        view = self.view
        if isinstance(event, e.Called) and event.fn == "push":
            self.pushes += 1
        if not isinstance(event, e.Done):
            return
        shapes = view.topology.stages
        if view.emitted or view.failing or not view.ended_by_sources or (view.cancel_due and event.state != "Completed"):
            return
        if any(shape.role == "source" and not view.stages[name].exhausted for name, shape in shapes.items()):
            return
        self.expect(event.state == "Completed", "an empty source must complete the flow", expected="Completed", found=event.state)
        self.expect(self.pushes == 0, "a sink got an element that no source made", found=self.pushes)


class ExhaustedMeansNeverAgain(Monitor):
    """A source that returned none is not pulled again."""

    rule = "FLOW-010"

    def on(self, event: e.AnyEvent) -> None:
        """Judge a pull, and the whole run for every source that ended."""
        if isinstance(event, e.Called) and event.fn == "pull":
            exhausted = self.view.stages[event.stage].exhausted
            if exhausted:
                self.expect(holds=False, message=f"{event.stage} was pulled after it had returned none")
        if isinstance(event, e.Done):
            self.evaluated += sum(stage.exhausted for stage in self.view.stages.values())


class NoPullAfterCancel(Monitor):
    """No pull begins once the operator has cancelled."""

    rule = "CANCEL-001"

    def on(self, event: e.AnyEvent) -> None:
        """Judge each call after the cancel."""
        if isinstance(event, e.Called) and self.view.cancel_due:
            self.expect(event.fn != "pull", f"{event.stage} was pulled after the cancel")


class CompleteOncePerSink(Monitor):
    """A sink of a completed flow is told so exactly once, after its last push."""

    rule = "CANCEL-009"

    def prepare(self) -> None:
        """Count per sink."""
        self.told: dict[str, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge pushes and completes."""
        if isinstance(event, e.Called) and event.fn == "complete":
            self.told[event.stage] = self.told.get(event.stage, 0) + 1
        if isinstance(event, e.Called) and event.fn == "push":
            self.expect(event.stage not in self.told, f"{event.stage} got an element after complete()")
        if isinstance(event, e.StateChanged) and event.new == "Completed":
            for name, shape in self.view.topology.stages.items():
                if shape.role == "sink":
                    found = self.told.get(name, 0)
                    self.expect(found == 1, f"complete() of {name} in a completed flow", expected=1, found=found)


class FlushOncePerAggregator(Monitor):
    """An aggregator of a completed flow is flushed exactly once, after its last ingest."""

    rule = "CANCEL-011"

    def prepare(self) -> None:
        """Count per aggregator."""
        self.flushed: dict[str, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge ingests and flushes."""
        if isinstance(event, e.Called) and event.fn == "flush":
            self.flushed[event.stage] = self.flushed.get(event.stage, 0) + 1
        if isinstance(event, e.Called) and event.fn == "ingest":
            self.expect(event.stage not in self.flushed, f"{event.stage} got an element after flush()")
        if isinstance(event, e.StateChanged) and event.new == "Completed":
            for name, shape in self.view.topology.stages.items():
                if shape.role == "aggregator":
                    found = self.flushed.get(name, 0)
                    self.expect(found == 1, f"flush() of {name} in a completed flow", expected=1, found=found)


class NothingLeftAlive(Monitor):
    """No buffer of a flow outlives it, whatever its end."""

    rule = "CANCEL-015"

    def on(self, event: e.AnyEvent) -> None:
        """Judge every buffer event by itself, and the live count at the end."""
        alive = self.view.live
        if isinstance(event, e.BufferEvent):
            if event.op == "alloc":
                self.expect(event.buffer not in alive, f"buffer {event.buffer} came to life twice")
            else:
                self.expect(event.buffer in alive, f"buffer {event.buffer} was released and was not alive")
        if isinstance(event, e.Done):
            self.expect(event.live == 0, f"{event.live} buffers outlive the flow", expected=0, found=event.live)
            self.expect(not alive, f"buffers outlive the flow: {sorted(alive)[:4]}", expected=0, found=len(alive))

    def finish(self) -> None:
        """Judge the subject's own count."""
        if self.reply is not None:
            self.expect(self.reply.live_buffers == 0, "buffers outlive the flow", expected=0, found=self.reply.live_buffers)

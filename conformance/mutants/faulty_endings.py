"""Mutants of stopping: cancels in the middle of calls, drains, deadlines, and the order of the last things (CANCEL)."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_failures import settings
from conformance.mutants.faulty_flows import driver
from conformance.mutants.faulty_reports import Wrapped, report
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Element, Output, Role
from torvyn_ref.flow import FlowDriver, FlowReport, FlowState, Reason
from torvyn_ref.flow.bounds import CallBounds
from torvyn_ref.flow.settings import Step
from torvyn_ref.flow.stage import Stage
from torvyn_ref.ids import Handle

# ---------------------------------------------------------------- calls in flight


@driver("drops-what-is-in-flight", "CANCEL-002")
class DropsWhatIsInFlight(FlowDriver):
    """What a call in flight makes after a cancel is thrown away."""

    def resume(self, answer: Answer, now: int) -> None:
        """Take nothing for an answer."""
        stage = self._running
        if stage is not None and self._cancel_asked is not None and isinstance(answer, Output):
            self._resources.release(answer.handle, stage.owner)
            answer = None
        super().resume(answer, now)


settings(
    "interrupts-at-once",
    "CANCEL-002",
    "CANCEL-003",
    summary="A cancel interrupts the call in flight at once.",
    change=lambda old: replace(old, cooperative_ns=0),
)


class _Bounds(FlowDriver):
    """A driver some of whose bounds are missing."""

    def without(self, *names: str) -> CallBounds:
        """Return the bounds as they would be if these attributes were not set."""
        kept = {name: getattr(self, name) for name in names}
        for name in names:
            setattr(self, name, None)
        try:
            return super().call_bounds
        finally:
            for name, value in kept.items():
                setattr(self, name, value)


@driver("waits-for-the-call", "CANCEL-003", "CANCEL-004")
class WaitsForTheCall(_Bounds):
    """A cancel waits until the call in flight has returned."""

    @property
    def call_bounds(self) -> CallBounds:
        """Do not look at the cancel."""
        return self.without("_cancel_asked")


@driver("asks-politely-only", "CANCEL-003")
class AsksPolitelyOnly(FlowDriver):
    """An instance that is deaf to interruptions is not dropped before its call has timed out."""

    @property
    def call_bounds(self) -> CallBounds:
        """Interrupt in time, drop late."""
        bounds = super().call_bounds
        late = None if bounds.drop_at is None else bounds.drop_at + 60_000_000_000
        return CallBounds(bounds.interrupt_at, late)


@driver("drains-between-calls", "CANCEL-006", "CANCEL-004")
class DrainsBetweenCalls(_Bounds):
    """The end of a drain is looked at between calls only."""

    @property
    def call_bounds(self) -> CallBounds:
        """Do not look at the drain."""
        if self._drain_end is None:
            return super().call_bounds
        return self.without("_drain_end", "_cancel_asked", "_deadline")


@report("leftovers-are-not-mentioned", "CANCEL-006")
class LeftoversAreNotMentioned(Wrapped):
    """What a drain discards is not reported."""

    def dropped(self, at: int, stream: int, element: Any, reason: str) -> None:
        """Report the others."""
        if reason != "discarded":
            self.inner.dropped(at, stream, element, reason)


class DrainsAsSourcesEnd(FlowDriver):
    """No mutant: a driver that begins to drain when its sources end, as others do; what is left at the timeout makes it Failed."""

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        super()._worked(stage, element, answer)
        if stage.is_source and stage.done and self.state is FlowState.RUNNING and all(each.done for each in self.stages if each.is_source):
            self._drain(Reason.SOURCE_COMPLETE)


@driver("completes-with-a-loss", "CANCEL-006")
class CompletesWithALoss(DrainsAsSourcesEnd):
    """A flow that drains because its sources have ended is Completed, although its drain has discarded elements."""

    def _finish(self, now: int) -> None:
        lost, self._discarded = self._discarded, 0
        super()._finish(now)
        if self.report is not None:
            self.report = replace(self.report, discarded=lost)


# ---------------------------------------------------------------- the deadline


@driver("deadline-when-idle", "CANCEL-008")
class DeadlineWhenIdle(FlowDriver):
    """The deadline is looked at when there is nothing else to do."""

    def next(self, now: int) -> Step:
        """Hide it from a flow that is busy."""
        busy = self.state is FlowState.RUNNING and any(stage.is_ready(now) for stage in self.stages)
        hidden = self._alarm
        if busy:
            self._alarm = None
        step = super().next(now)
        if busy and self.state is FlowState.RUNNING:
            self._alarm = hidden
        return step


@driver("deadline-when-busy", "CANCEL-008")
class DeadlineWhenBusy(FlowDriver):
    """A flow that waits does not wake up for its deadline."""

    def _idle(self, now: int) -> Step | None:
        hidden = self._alarm
        if self.state is FlowState.RUNNING:
            self._alarm = None
        step = super()._idle(now)
        if self.state is FlowState.RUNNING:
            self._alarm = hidden
        return step


@driver("deadline-between-calls", "CANCEL-008")
class DeadlineBetweenCalls(_Bounds):
    """The deadline does not interrupt a call."""

    @property
    def call_bounds(self) -> CallBounds:
        """Do not look at the deadline."""
        return super().call_bounds if self._drain_end is not None else self.without("_deadline")


# ---------------------------------------------------------------- the last things


@driver("all-is-well", "CANCEL-010")
class AllIsWell(FlowDriver):
    """complete() is called on every sink, whatever has become of it."""

    def _start_complete(self) -> None:
        super()._start_complete()
        self._todo = deque(stage for stage in self.stages if stage.role is Role.SINK)
        for stage in self._todo:
            stage.faulted = False


@driver("tears-down-before-complete", "CANCEL-012", "CANCEL-013")
class TearsDownBeforeComplete(FlowDriver):
    """Components are torn down before their sinks are told of the end."""

    torn = False

    def _start_complete(self) -> None:
        if self.torn:
            super()._start_complete()
        else:
            super()._start_teardown()

    def _next_teardown(self, now: int) -> Step | None:
        if self._todo or self.torn or self._started is None:
            return super()._next_teardown(now)
        self.torn = True
        self._start_complete()
        return None

    def _start_teardown(self) -> None:
        super()._start_teardown()
        if self.torn:
            self._todo.clear()


@report("over-before-it-is-released", "CANCEL-012")
class OverBeforeItIsReleased(Wrapped):
    """The terminal state is reported before the last buffers are released."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.late: list[Handle] = []
        self.draining = False

    def state(self, at: int, old: str, new: str) -> None:
        """Report what was kept back, once it is too late."""
        self.inner.state(at, old, new)
        self.draining = str(new) == "Draining"
        for handle in self.late:
            self.inner.released(handle)
        self.late.clear()

    def released(self, handle: Handle) -> None:
        """Keep it back while the flow drains."""
        if self.draining:
            self.late.append(handle)
        else:
            self.inner.released(handle)

    def done(self, at: int, report: FlowReport) -> None:
        """Pass it on."""
        self.inner.done(at, report)


@driver("upstream-first", "CANCEL-013")
class UpstreamFirst(FlowDriver):
    """Components are torn down in the order in which they were initialised."""

    def _start_teardown(self) -> None:
        super()._start_teardown()
        self._todo.reverse()


settings(
    "teardown-takes-its-time",
    "CANCEL-013",
    summary="A teardown may take ten times its bound.",
    change=lambda old: replace(old, teardown_timeout_ns=10 * old.teardown_timeout_ns),
)


@driver("cancel-toggles", "CANCEL-014")
class CancelToggles(FlowDriver):
    """A second cancel takes the first one back."""

    def cancel(self, reason: Reason = Reason.OPERATOR_REQUEST, *, now: int | None = None) -> None:
        """Take it back, if it is not yet heard."""
        if self._cancel_asked is not None and self._cancellation.reason is None:
            self._cancel_asked = None
        else:
            super().cancel(reason, now=now)


_DEAF = """
import contextlib, runpy, signal
import torvyn_ref.session
torvyn_ref.session._signals = contextlib.nullcontext
signal.signal(signal.SIGINT, signal.SIG_DFL)
runpy.run_module("torvyn_ref", run_name="__main__", alter_sys=True)
"""

register(
    "killed-by-signals",
    "CANCEL-017",
    summary="The command line leaves signals to the system, which kills it.",
    build=lambda: ReferenceParts(command=(sys.executable, "-c", _DEAF)),
)

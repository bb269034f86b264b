"""Monitors of fairness: whose turn it is, how long a batch is, and that nobody is hammered or forgotten (SCHED)."""

from __future__ import annotations

from conformance.models.flow import BATCHES
from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS

TURNS = 64
"""A stage that could run all the while is called at least once in so many calls of others (SCHED-005)."""

EXECUTIONS = DATA_FUNCTIONS | {"flush"}
"""The calls that count as stage executions."""

MILLISECOND = 1_000_000
EAGER = 10
"""Failures in a row before a source's rest is judged, so that any way of growing a delay is right."""


class NobodyStarves(Monitor):
    """A source that could have been pulled all the while is pulled within a bounded number of turns."""

    rule = "SCHED-005"

    def prepare(self) -> None:
        """Nobody has waited."""
        self.sources = [name for name, shape in self.view.topology.stages.items() if shape.role == "source"]
        self.waited = dict.fromkeys(self.sources, 0)
        self.failed: set[str] = set()
        self.backing_off: set[str] = set()  # what they had made was refused, which is a source's error, too (ERR-013)

    def on(self, event: e.AnyEvent) -> None:
        """Count the calls that each source has watched."""
        if isinstance(event, e.Returned) and event.outcome == "error":
            self.failed.add(event.stage)
        if isinstance(event, e.ErrorReported):
            self.backing_off.add(event.stage)
        if isinstance(event, e.Called):
            self.backing_off.discard(event.stage)
        if not isinstance(event, e.Called) or event.fn not in DATA_FUNCTIONS:
            return
        view = self.view
        if len(self.sources) < 2 or view.spec.schedule.policy == "scripted" or view.state != "Running":
            return
        for name in self.sources:
            if name == event.stage or not self._could_run(name):
                self.waited[name] = 0
                continue
            self.waited[name] += 1
            self.expect(self.waited[name] <= TURNS, f"{name} could run and was not called for {TURNS} turns", expected=f"<= {TURNS}")

    def _could_run(self, name: str) -> bool:
        view, seen = self.view, self.view.stages[name]
        if seen.exhausted or seen.failed or seen.told_to_pause or name in self.backing_off:
            return False
        if view.spec.settings.breaker_threshold and name in self.failed:  # its circuit may be open
            return False
        outputs = view.topology.stages[name].outputs
        return all(view.streams[i].producible and view.in_time(i) and not view.stages[view.consumer_of(i)].paused for i in outputs)


class _Batches(Monitor):
    """What a flow does between two yields."""

    def prepare(self) -> None:
        """Nothing has been done."""
        self.data = self.flushes = 0

    def on(self, event: e.AnyEvent) -> None:
        """Count executions, and judge each yield."""
        if isinstance(event, e.Called) and event.fn in EXECUTIONS:
            if event.fn == "flush":
                self.flushes += 1
            else:
                self.data += 1
        if isinstance(event, e.Yielded):
            self.judge(event)
            self.data = self.flushes = 0

    def judge(self, event: e.Yielded) -> None:
        """Judge one yield."""


class BatchesCountExecutions(_Batches):
    """The number that a yield reports is the number of stage executions since the last one; a flush may count as one or not."""

    rule = "SCHED-009"

    def judge(self, event: e.Yielded) -> None:
        """Compare with the calls seen."""
        if self.view.spec.settings.breaker_threshold:  # an open circuit answers for its component, which may count as an execution
            return
        fits = self.data <= event.n <= self.data + self.flushes
        self.expect(fits, "stage executions since the last yield", expected=self.data + self.flushes, found=event.n)


class PrioritySetsTheBatch(_Batches):
    """Without a batch size of its own a flow has its priority's."""

    rule = "SCHED-007"

    def judge(self, event: e.Yielded) -> None:
        """Compare with the table."""
        settings = self.view.spec.settings
        if settings.elements_per_yield is None and settings.priority in BATCHES:
            batch = BATCHES[settings.priority]
            fits = event.n == batch or (event.n < batch and self.view.clock != "virtual")
            self.expect(fits, f"the batch of a flow of priority {settings.priority}", expected=batch, found=event.n)


class ExplicitBatchWins(_Batches):
    """A batch size of its own counts, whatever the priority."""

    rule = "SCHED-010"

    def judge(self, event: e.Yielded) -> None:
        """Compare with the setting, where the priority would say something else."""
        settings = self.view.spec.settings
        batch = settings.elements_per_yield
        if batch is not None and BATCHES.get(settings.priority) != batch:
            fits = event.n == batch or (event.n < batch and self.view.clock != "virtual")
            self.expect(fits, f"the batch of a {settings.priority} flow that was given its own", expected=batch, found=event.n)


class FailingSourcesRest(Monitor):
    """A source that fails again and again is left alone for longer and longer: not more than one pull per millisecond in the long run."""

    rule = "SCHED-014"

    def prepare(self) -> None:
        """Nobody has failed."""
        self.failures: dict[str, int] = {}
        self.since: dict[str, int] = {}
        self.called: dict[str, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Count failures in a row, and judge each further pull."""
        if isinstance(event, e.Returned) and event.fn == "pull":
            if event.outcome == "error":
                self.failures[event.stage] = self.failures.get(event.stage, 0) + 1
                self.since.setdefault(event.stage, event.at)
            else:
                self.failures.pop(event.stage, None)
                self.since.pop(event.stage, None)
        elif isinstance(event, e.Called) and event.fn == "pull" and self.failures.get(event.stage, 0):
            if self.view.spec.settings.error_policy == "retry":
                return  # its backoff is ERR-005's
            failures, elapsed = self.failures[event.stage], (event.at - self.since[event.stage]) / MILLISECOND
            allowed = EAGER + elapsed
            message = f"{event.stage} was pulled again {failures} times within {elapsed:g} ms of failing"
            self.expect(failures <= allowed, message, expected=f"<= {allowed:g}", found=failures)


class IdleFlowsHearACancel(Monitor):
    """A flow in which nothing can run waits without calling anybody, and drains as soon as it is told to."""

    rule = "SCHED-013"

    def prepare(self) -> None:
        """Nobody has been called."""
        self.calls: list[tuple[int, int]] = []  # that took time: from when to when
        self.called = 0

    def on(self, event: e.AnyEvent) -> None:
        """Judge the instant of draining by the instant of a cancel that fell into an idle time."""
        view = self.view
        if isinstance(event, e.Called):
            self.called = event.at
        if isinstance(event, e.Returned) and event.at > self.called:
            self.calls.append((self.called, event.at))
        if not (isinstance(event, e.StateChanged) and event.new == "Draining") or view.began is None:
            return
        instants = [view.began + command.at_ms * MILLISECOND for command in view.spec.commands if command.at_ms]
        if not instants or view.running is not None or view.fatal:
            return
        first = min(instants)
        if event.at >= first and not any(begin <= first <= end for begin, end in self.calls):
            late = event.at - first
            self.expect(late <= RECHECK_NS, "an idle flow was late to hear a cancel, in ns", expected=f"<= {RECHECK_NS}", found=late)


class OverdueFlowsAreToldOf(Monitor):
    """A flow that has kept its turn for more than 10 ms is warned of, once, by the time that it gives way; one that has not is not.

    What counts is the time inside calls: where time passes between two calls, the flow was waiting.
    """

    rule = "SCHED-011"

    def prepare(self) -> None:
        """Nothing has been kept."""
        self.kept = self.warned = self.entered = 0
        self.left: int | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Add up the time inside calls, and compare with the warnings whenever the flow gives way."""
        if self.view.state not in {"Running", "Draining"}:
            return
        if self.left is not None and event.at > self.left and self.view.running is None:
            self._gave_way()
        if isinstance(event, e.Called):
            self.entered = event.at
        if isinstance(event, e.Returned):
            self.kept += event.at - self.entered
        if isinstance(event, e.Overdue):
            self.warned += 1
            self.expect(self.kept > WATCHDOG_NS, "a warning about a flow that gave way in time", found=self.kept)
        if isinstance(event, e.Yielded | e.Done):
            self._gave_way()
        self.left = event.at

    def finish(self) -> None:
        """Judge what is left."""
        self._gave_way()

    def _gave_way(self) -> None:
        if self.kept > WATCHDOG_NS:
            message = f"warnings about a flow that kept its turn for {self.kept} ns"
            self.expect(self.warned == 1, message, expected=1, found=self.warned)
        self.kept = self.warned = 0


WATCHDOG_NS = 10 * MILLISECOND
"""A turn may take so long (SCHED-011)."""

RECHECK_NS = 50_000
"""An idle flow looks again at least so often, if it does not wait for an event (SCHED-013)."""

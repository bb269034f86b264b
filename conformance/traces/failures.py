"""Monitors of what becomes of a component's errors (ERR)."""

from __future__ import annotations

from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS

FAILING = frozenset({"error", "trap"})
WORK = DATA_FUNCTIONS | {"flush"}
BY_THE_RUNTIME = frozenset({"queue-full", "circuit-open", "ownership"})
"""Causes of errors that no component has returned: the runtime refused something on a stage's behalf."""


def words(text: str) -> str:
    """Return a name without what spellings differ in."""
    return text.casefold().replace("-", "").replace("_", "").replace(" ", "")


class _Ends(Monitor):
    """Knows whether something else than a component may have ended the flow."""

    @property
    def only_components(self) -> bool:
        """Tell whether neither an operator nor a deadline can be the reason of the flow's end."""
        return not self.view.cancel_due and self.view.spec.settings.deadline_ms is None


class FirstErrorIsTheLast(_Ends):
    """Under fail-fast the first error of a running flow makes it drain, and end as Failed."""

    rule = "ERR-001"

    def prepare(self) -> None:
        """Nothing has failed."""
        self.failed: str | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Judge what follows the first error."""
        view = self.view
        if view.spec.settings.error_policy != "fail-fast":
            return
        failed = isinstance(event, e.Returned) and (event.outcome in FAILING or view.leads_nowhere(event))
        if failed and isinstance(event, e.Returned) and event.fn in WORK and view.state == "Running":
            self.failed = self.failed or f"{event.stage}.{event.fn}"
        if self.failed and isinstance(event, e.Called) and event.fn in WORK:
            self.expect(view.state == "Draining", f"{event.stage}.{event.fn} was called after {self.failed} had failed", found=view.state)
        if self.failed and isinstance(event, e.Done) and self.only_components:
            self.expect(event.state == "Failed", f"{self.failed} failed under fail-fast", expected="Failed", found=event.state)


class FatalIsFinal(_Ends):
    """A component that trapped or said `fatal` gets no more data under any policy, and its flow fails."""

    rule = "ERR-002"

    def prepare(self) -> None:
        """Everybody lives."""
        self.dead: dict[str, str] = {}
        self.must_fail = False

    def on(self, event: e.AnyEvent) -> None:
        """Judge calls of the dead, and the end."""
        view = self.view
        if isinstance(event, e.Returned) and event.fn in WORK and (event.outcome == "trap" or event.kind == "fatal"):
            self.dead.setdefault(event.stage, event.outcome)
            self.must_fail |= view.state == "Running" and self.only_components
            self.evaluated += 1
        if isinstance(event, e.Called) and event.fn in WORK and event.stage in self.dead:
            self.expect(holds=False, message=f"{event.stage}.{event.fn} was called after its {self.dead[event.stage]}")
        if isinstance(event, e.Done) and self.must_fail and self.only_components:
            self.expect(event.state == "Failed", f"{', '.join(self.dead)} died while the flow ran", expected="Failed", found=event.state)


class _Lenient(_Ends):
    """Under a policy that goes on, an error costs its own element and nothing else."""

    policy = ""

    def prepare(self) -> None:
        """Nobody has failed."""
        self.errors: dict[str, int] = {}
        self.other = False
        self.lent: str | None = None
        self.lost: tuple[str, int] | None = None
        self.reported = 0

    def on(self, event: e.AnyEvent) -> None:
        """Count errors; judge that a failed element's buffer is released, and the end."""
        if self.view.spec.settings.error_policy != self.policy:
            return
        if isinstance(event, e.Called):
            self._released()
            self.lent = event.buffer
        if isinstance(event, e.Returned) and (event.outcome in FAILING or self.view.leads_nowhere(event)):
            self.errors[event.stage] = self.errors.get(event.stage, 0) + 1
            self.other |= event.fn not in DATA_FUNCTIONS
            seq = self.view.stages[event.stage].seq
            if event.outcome != "trap" and event.kind != "fatal" and self.lent is not None and seq is not None:
                self.lost = (self.lent, seq)
        if isinstance(event, e.ErrorReported) and event.cause in BY_THE_RUNTIME:
            self.errors[event.stage] = self.errors.get(event.stage, 0) + 1
            self.other |= self.view.state == "Draining"  # what a flush made and a stream refused: a failed flush fails the flow (ERR-014)
        if isinstance(event, e.ErrorReported):
            self.reported += 1
        if isinstance(event, e.Done):
            self._released()
            if self.errors and self.only_components and not self.view.fatal and not self.other:
                message = "errors that are to be skipped ended the flow"
                self.expect(event.state == "Completed", message, expected="Completed", found=event.state)

    def _released(self) -> None:
        """Judge that the buffer of an element that failed is gone, unless another branch still has it."""
        if self.lost is None:
            return
        (buffer, seq), self.lost = self.lost, None
        view = self.view
        elsewhere = any(seq in stream.queue for stream in view.streams) or any(
            any(seq == taken for _, taken in stage.taken) for stage in view.stages.values()
        )
        if not elsewhere:
            self.expect(buffer not in view.live, f"the buffer {buffer} of an element that failed was not released")

    def finish(self) -> None:
        """Judge that nothing but the failed elements is missing, and that the summary counts the errors."""
        view = self.view
        if view.spec.settings.error_policy != self.policy or not self.errors:
            return
        if view.state == "Completed":
            for i, stream in enumerate(view.streams):
                if stream.blocks:
                    message = f"elements taken from stream {i}, in a flow that skips errors"
                    self.expect(stream.dequeued == view.expected[i], message, expected=view.expected[i], found=stream.dequeued)
        if self.reply is not None:
            for stage, count in self.errors.items():
                found = self.reply.stages[stage].errors if stage in self.reply.stages else None
                self.expect(found == count, f"errors of {stage} in the summary", expected=count, found=found)


class SkipLosesOneElement(_Lenient):
    """Skip discards the failing element, releases its buffer, counts the error, and goes on."""

    rule = "ERR-003"
    policy = "skip"


class LogSaysSo(_Lenient):
    """Log-and-continue is skip, with one event per error."""

    rule = "ERR-004"
    policy = "log-and-continue"

    def finish(self) -> None:
        """Judge the number of events, too."""
        super().finish()
        if self.view.spec.settings.error_policy == self.policy and self.errors:
            due = sum(self.errors.values())
            self.expect(self.reported == due, "error events of a flow that logs errors", expected=due, found=self.reported)


class RetryRepeats(_Ends):
    """Retry gives the same element again, at most n times, not before the backoff is over; then it is fail-fast."""

    rule = "ERR-005"

    def prepare(self) -> None:
        """Nobody has failed."""
        self.failures: dict[str, tuple[int | None, int, int]] = {}  # stage -> element, failures in a row, when the last one was
        self.exhausted: str | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Judge the next call of a stage that has failed, and the end."""
        settings = self.view.spec.settings
        if settings.error_policy != "retry":
            return
        if isinstance(event, e.Returned) and event.fn in DATA_FUNCTIONS:
            if (event.outcome == "error" and event.kind != "fatal") or self.view.leads_nowhere(event):
                _, before, _ = self.failures.get(event.stage, (None, 0, 0))
                self.failures[event.stage] = (self.view.stages[event.stage].seq, before + 1, event.at)
                if before + 1 > settings.max_retries and self.view.state == "Running":
                    self.exhausted = event.stage
                self.evaluated += 1
            elif event.outcome != "trap":
                self.failures.pop(event.stage, None)
        if isinstance(event, e.Called) and event.fn in DATA_FUNCTIONS and event.stage in self.failures:
            seq, failures, at = self.failures[event.stage]
            self.expect(event.seq == seq, f"{event.stage} got another element after a failure", expected=seq, found=event.seq)
            message = f"{event.stage} was tried again although it had failed {failures} times"
            self.expect(failures <= settings.max_retries, message, expected=f"at most {settings.max_retries} retries", found=failures)
            waited = event.at - at
            least = settings.backoff_ms * 1_000_000
            self.expect(waited >= least, f"{event.stage} was tried again too soon", expected=f">= {least} ns", found=waited)
        if isinstance(event, e.Done) and self.exhausted and self.only_components:
            self.expect(event.state == "Failed", f"{self.exhausted} has no retries left", expected="Failed", found=event.state)


class OwnKindReported(Monitor):
    """An error event carries the kind that the component returned."""

    rule = "ERR-006"

    def prepare(self) -> None:
        """Nothing is returned."""
        self.returned: dict[str, str | None] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge an error event by the answer before it."""
        if isinstance(event, e.Returned) and event.outcome in FAILING:
            self.returned[event.stage] = event.kind
        elif isinstance(event, e.Returned):  # who names no port has failed, too, and no rule says of which kind that is (TOPO-010)
            self.returned.pop(event.stage, None)
        if isinstance(event, e.ErrorReported) and event.cause not in BY_THE_RUNTIME and event.stage in self.returned:
            due = self.returned[event.stage]
            self.expect(event.kind == due, f"the kind of an error of {event.stage}", expected=due, found=event.kind)


class FailureNamesItsComponent(_Ends):
    """A flow that failed says which component failed, and with which error."""

    rule = "ERR-007"

    def prepare(self) -> None:
        """Nothing has failed."""
        self.first: tuple[str, str] | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Remember the first error that ends the flow, and judge its last words."""
        if isinstance(event, e.ErrorReported) and event.action == "fail" and self.first is None:
            self.first = event.stage, event.kind
        # Who does not say what is done about an error does one thing under fail-fast. What the component said is the original error; of
        # a call that the runtime gave up there is none.
        silent = self.view.spec.settings.error_policy == "fail-fast" and self.view.state == "Running" and self.first is None
        if isinstance(event, e.Returned) and event.outcome in FAILING and event.kind not in {None, "deadline-exceeded"} and silent:
            self.first = event.stage, event.kind or ""
        if isinstance(event, e.Done) and event.state == "Failed" and self.first is not None and self.only_components:
            text = words(event.failure or "")
            for what in self.first:
                message = "the failure does not name the component and its error"
                self.expect(words(what) in text, message, expected=what, found=event.failure)


class OpenCircuitsCallNobody(Monitor):
    """A component that was unavailable too often in a row is not called again until its cool-down is over."""

    rule = "ERR-011"

    def prepare(self) -> None:
        """Every circuit is closed."""
        self.unavailable: dict[str, int] = {}
        self.open_until: dict[str, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Count answers, and judge calls."""
        settings = self.view.spec.settings
        if not settings.breaker_threshold or not isinstance(event, e.Called | e.Returned) or event.fn not in DATA_FUNCTIONS:
            return
        if isinstance(event, e.Called):
            due = self.open_until.get(event.stage)
            if due is not None:
                left = due - event.at
                self.expect(left <= 0, f"{event.stage} was called while its circuit was open", expected="no call", found=f"{left} ns early")
        elif event.outcome == "error" and event.kind == "unavailable":
            self.unavailable[event.stage] = self.unavailable.get(event.stage, 0) + 1
            if self.unavailable[event.stage] >= settings.breaker_threshold:
                self.open_until[event.stage] = event.at + settings.breaker_cooldown_ms * 1_000_000
        else:
            self.unavailable.pop(event.stage, None)
            self.open_until.pop(event.stage, None)


class OneEventPerError(Monitor):
    """Every error of a component is reported by one event, before anything else is called."""

    rule = "ERR-012"

    def prepare(self) -> None:
        """Nothing is owed."""
        self.owed: list[str] = []
        self.refused: set[str] = set()

    def on(self, event: e.AnyEvent) -> None:
        """Judge errors and events against each other."""
        if isinstance(event, e.Returned):
            if event.outcome in FAILING:
                self.owed.append(event.stage)
            outputs = self.view.topology.stages[event.stage].outputs
            ports = {self.view.topology.edges[i].port for i in outputs}
            if event.outcome == "route" and not ports.issuperset(event.ports or ()):
                self.refused.add(event.stage)
        if isinstance(event, e.ErrorReported):
            if event.stage in self.owed:
                self.owed.remove(event.stage)
                self.evaluated += 1
            else:
                known = event.cause in BY_THE_RUNTIME or event.stage in self.refused
                self.refused.discard(event.stage)
                self.expect(known, f"an error of {event.stage} was reported that it did not have", found=event.cause)
        if isinstance(event, e.Called | e.Done):
            self.expect(not self.owed, "an error was not reported", expected="an event each", found=", ".join(self.owed))


class CrashLeavesNothing(Monitor):
    """What a component had when it crashed, its own and what it was lent, is released before the flow is over."""

    rule = "ERR-010"

    def prepare(self) -> None:
        """Nobody has anything."""
        self.own: dict[str, set[str]] = {name: set() for name in self.view.stages}
        self.lent: dict[str, str | None] = {}
        self.left: dict[str, str] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Follow buffers, and judge the end."""
        running = self.view.running
        if isinstance(event, e.Called):
            self.lent[event.stage] = event.buffer
        if isinstance(event, e.BufferEvent):
            if event.op == "alloc" and running is not None:
                self.own[running].add(event.buffer)
            elif event.op == "release":
                for own in self.own.values():
                    own.discard(event.buffer)
                self.left.pop(event.buffer, None)
        if isinstance(event, e.Enqueued) and event.buffer is not None:
            for own in self.own.values():
                own.discard(event.buffer)
        if isinstance(event, e.Returned) and event.outcome == "trap":
            lent = self.lent.get(event.stage)
            self.left |= dict.fromkeys([*self.own[event.stage], *([lent] if lent in self.view.live else [])], event.stage)
            self.evaluated += bool(self.left)
        if isinstance(event, e.Done) and self.left:
            who = ", ".join(sorted(set(self.left.values())))
            self.expect(holds=False, message=f"buffers of {who} outlive the crash", expected=0, found=len(self.left))

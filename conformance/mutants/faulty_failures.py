"""Mutants of what a flow does about errors (ERR)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_flows import driver
from conformance.mutants.faulty_reports import Wrapped, report
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Call, Cause, Element, ErrorKind, Failure
from torvyn_ref.flow import ErrorPolicy, ErrorPolicyKind, FlowDriver, FlowReport, FlowSettings, Wait
from torvyn_ref.flow.settings import Step
from torvyn_ref.flow.stage import Stage
from torvyn_ref.flow.statistics import StageFailure
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import Reclaimed, ResourceManager
from torvyn_ref.resources.records import FlowRelease

SKIP = ErrorPolicyKind.SKIP
GOING_ON = frozenset({ErrorPolicyKind.SKIP, ErrorPolicyKind.LOG_AND_CONTINUE})


def settings(name: str, *rules: str, summary: str, change: Callable[[FlowSettings], FlowSettings]) -> None:
    """Register a driver that does not run with the settings that it was given."""

    class Changed(FlowDriver):
        def __init__(self, *args: Any, **options: Any) -> None:
            options["settings"] = change(options["settings"])
            super().__init__(*args, **options)

    register(name, *rules, summary=summary, build=lambda: ReferenceParts(driver=Changed))


def _policy(change: Callable[[ErrorPolicy], ErrorPolicy]) -> Callable[[FlowSettings], FlowSettings]:
    return lambda old: replace(old, error_policy=change(old.error_policy))


@driver("unavailable-is-forgiven", "ERR-001")
class UnavailableIsForgiven(FlowDriver):
    """Under fail-fast a component that is unavailable loses its element, and the flow goes on."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        given = self.settings
        if failure.kind is ErrorKind.UNAVAILABLE and given.error_policy.kind is ErrorPolicyKind.FAIL_FAST:
            self.settings = replace(given, error_policy=ErrorPolicy(SKIP))
        super()._failed(stage, call, element, failure)
        self.settings = given


@driver("one-error-is-free", "ERR-001")
class OneErrorIsFree(FlowDriver):
    """Under fail-fast the first error is skipped, the second one fails the flow."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        given = self.settings
        if not stage.errors and given.error_policy.kind is ErrorPolicyKind.FAIL_FAST:
            self.settings = replace(given, error_policy=ErrorPolicy(SKIP))
        super()._failed(stage, call, element, failure)
        self.settings = given


@driver("fatal-is-an-error", "ERR-002")
class FatalIsAnError(FlowDriver):
    """A lenient policy skips `fatal`, too."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        fatal = failure.kind is ErrorKind.FATAL and not failure.poisoned
        super()._failed(stage, call, element, replace(failure, kind=ErrorKind.INTERNAL) if fatal else failure)


@driver("traps-are-errors", "ERR-002")
class TrapsAreErrors(FlowDriver):
    """A lenient policy skips traps, and calls the dead instance again."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        trap = failure.cause is Cause.TRAP
        super()._failed(stage, call, element, replace(failure, kind=ErrorKind.INTERNAL, poisoned=False) if trap else failure)


@driver("skipped-errors-do-not-count", "ERR-003", "ERR-013")
class SkippedErrorsDoNotCount(FlowDriver):
    """Errors that are skipped are missing in the summary."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        super()._failed(stage, call, element, failure)
        if self.settings.error_policy.kind is SKIP:
            stage.errors -= 1


@driver("failed-elements-are-kept", "ERR-003")
class FailedElementsAreKept(FlowDriver):
    """The buffer of an element that is skipped stays alive until the flow ends."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        if element is not None and self.settings.error_policy.kind is SKIP:
            element.uses += 1
        super()._failed(stage, call, element, failure)


@driver("one-error-costs-the-queue", "ERR-003", "ERR-004")
class OneErrorCostsTheQueue(FlowDriver):
    """A lenient policy loses with the failing element everything that waits behind it."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        super()._failed(stage, call, element, failure)
        if self.settings.error_policy.kind in GOING_ON:
            self._discard_inputs(stage)


@report("logs-the-first", "ERR-004", "ERR-012")
class LogsTheFirst(Wrapped):
    """Only the first error of each component is reported."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.known: set[str] = set()

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Report it once."""
        if stage not in self.known:
            self.inner.failed(at, stage, call, failure, action)
        self.known.add(stage)


settings(
    "gives-up-early",
    "ERR-005",
    summary="The last retry is not made.",
    change=_policy(lambda policy: replace(policy, max_retries=max(policy.max_retries - 1, 0))),
)
settings(
    "tries-once-too-often",
    "ERR-005",
    summary="There is one retry more than allowed.",
    change=_policy(lambda policy: replace(policy, max_retries=policy.max_retries + 1)),
)
settings("tries-again-at-once", "ERR-005", summary="The backoff is not kept.", change=_policy(lambda policy: replace(policy, backoff_ns=0)))


@driver("retry-is-skip", "ERR-005")
class RetryIsSkip(FlowDriver):
    """The element that is to be tried again is lost, and the next one is tried."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        super()._failed(stage, call, element, failure)
        if stage.retry is not None:
            self._end_use(stage.retry)
            stage.retry = None
            self._maybe_close(stage)


@driver("sleeps-through-a-cancel", "ERR-005")
class SleepsThroughACancel(FlowDriver):
    """While an element waits to be tried again, nothing else is waited for."""

    def next(self, now: int) -> Step:
        """Wait for the backoff, whatever else is due."""
        step = super().next(now)
        waiting = [stage.not_before for stage in self.stages if stage.retry is not None]
        return Wait(max(waiting)) if isinstance(step, Wait) and waiting else step


@report("everything-is-internal", "ERR-006")
class EverythingIsInternal(Wrapped):
    """Whatever a component says, an internal error is reported."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Forget what it was."""
        self.inner.failed(at, stage, call, replace(failure, kind=ErrorKind.INTERNAL), action)


@report("timeouts-are-traps", "ERR-006")
class TimeoutsAreTraps(Wrapped):
    """A call that took too long is reported as a trap."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Forget why it trapped."""
        cause = Cause.TRAP if failure.cause is Cause.TIMEOUT else failure.cause
        self.inner.failed(at, stage, call, replace(failure, cause=cause), action)


@report("something-went-wrong", "ERR-007")
class SomethingWentWrong(Wrapped):
    """A failed flow says that a component failed, and not which."""

    def done(self, at: int, report: FlowReport) -> None:
        """Leave out the names."""
        if report.failure is not None:
            report = replace(report, failure=StageFailure("a component", report.failure.call, Failure(ErrorKind.INTERNAL, "it failed")))
        self.inner.done(at, report)


settings(
    "patient-with-everybody",
    "ERR-008",
    summary="A call may take ten times its timeout.",
    change=lambda old: replace(old, call_timeout_ns=None if old.call_timeout_ns is None else 10 * old.call_timeout_ns),
)


class _TheDeadKeep(ResourceManager):
    """A component that has died keeps what it had."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.died: set[Owner] = set()

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Take nothing."""
        self.died.add(component)
        return ()

    def release_flow(self, flow: FlowId) -> FlowRelease:
        """Take nothing, if anybody has died."""
        return FlowRelease() if self.died else super().release_flow(flow)


register(
    "the-dead-keep",
    "ERR-010",
    summary="A component that has trapped keeps its buffers for ever.",
    build=lambda: ReferenceParts(manager=_TheDeadKeep),
)
settings(
    "never-opens", "ERR-011", summary="The circuit breaker is offered, and stays closed.", change=lambda old: replace(old, breaker=None)
)


@report("retries-are-no-errors", "ERR-012")
class RetriesAreNoErrors(Wrapped):
    """An error that is tried again is not reported."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Wait for the outcome."""
        if str(action) != "retry":
            self.inner.failed(at, stage, call, failure, action)


@driver("sources-must-not-fail", "ERR-013")
class SourcesMustNotFail(FlowDriver):
    """An error of a source ends the flow, whatever the policy."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        given = self.settings
        if call is Call.PULL and failure.cause is Cause.RETURNED:
            self.settings = replace(given, error_policy=ErrorPolicy())
        super()._failed(stage, call, element, failure)
        self.settings = given


@driver("the-end-cannot-fail", "ERR-014")
class TheEndCannotFail(FlowDriver):
    """Errors of complete and flush are ignored."""

    def _fault(self, stage: Stage, call: Call, failure: Failure) -> None:
        if call in {Call.COMPLETE, Call.FLUSH}:
            stage.faulted = True
            self._close(stage)
        else:
            super()._fault(stage, call, failure)


@driver("starts-in-any-case", "ERR-015")
class StartsInAnyCase(FlowDriver):
    """A component that cannot be initialised is used all the same."""

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        if call is Call.INIT:
            stage.initialised = True
        else:
            super()._failed(stage, call, element, failure)

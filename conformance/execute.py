"""Carry out checks: one session, one check, one finding per rule, whatever the check did on its way out.

Nothing here decides about a verdict. It only tells apart who stopped a check (the rule, the subject, its adapter, the suite itself) and
makes sure that every planned item ends with exactly one finding.
"""

from __future__ import annotations

import atexit
import os
import shlex
import signal
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec.structs import replace

from conformance.checks import Budget, Check, Depth, Registry, all_checks
from conformance.errors import (
    Inconclusive,
    NotOffered,
    Refused,
    SubjectBrokeError,
    SubjectError,
    SubjectTimeoutError,
    SuiteError,
    Violation,
)
from conformance.plan import Plan
from conformance.seeding import blind
from conformance.subjects.connect import Connection, find
from conformance.subjects.protocol import tag_of
from conformance.subjects.session import Session
from conformance.subjects.stdio import StdioSettings
from conformance.traces.file import encode
from conformance.traces.record import of_episode, shows
from conformance.verdict import Outcome
from conformance.workers import deaf_to_interrupts, uninterrupted, workers

CHECK_TIMEOUT = 600.0
"""Seconds after which a check is ended from outside: an in-process subject that loops for ever cannot be asked to stop."""
PATIENCE = 10.0
"""Seconds for which a subject may leave one request without an answer before it, and not a slow machine, is blamed for that."""

INTERRUPTED = 130

FLAKY_RUNS = 20
"""How often a check is run again to measure how often a violation is seen that could not be repeated at once, or is known to flicker."""

SHOWN_BY_A_TRACE = frozenset({Outcome.FAIL, Outcome.FLAKY, Outcome.CRASH, Outcome.TIMEOUT})
"""The outcomes of which the last conversation is kept."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one check says about one rule.

    Attributes:
        evaluations: how often the rule was evaluated; a pass has at least one.
        expected, found: where two things differ.
        evidence: what shows it: the smallest counterexample, JSON-ready.
        program: the counterexample as the generator prints it.
        transcript: the last messages, oldest first.
        detail: a traceback, or the end of the subject's stderr.
        fault: who is to blame when it is not the rule: the subject, its adapter, the suite.
        seen, runs: of a flaky one, and of one that is known to be: in how many of how many further runs the violation was seen again.
    """

    rule: str
    check: str
    outcome: Outcome
    message: str = ""
    evaluations: int = 0
    expected: str = ""
    found: str = ""
    evidence: Any = None
    program: str = ""
    transcript: tuple[str, ...] = ()
    detail: str = ""
    fault: str = ""
    seen: int = 0
    runs: int = 0


class CheckResult(msgspec.Struct, frozen=True):
    """One executed check. `seconds` is the only part that differs between two runs of the same plan.

    `coverage` counts the cells of the tables that its machines have met (`conformance.machines.coverage`). `counterexample` is the trace
    file of what its failure shows (docs/traces.md); empty when nothing failed, or the conversation was too long. `drawn` is the number
    of examples that were drawn after the directed ones.
    """

    check: str
    findings: tuple[Finding, ...]
    seconds: float
    coverage: dict[str, dict[str, int]] = {}
    counterexample: bytes = b""
    drawn: int = 0


class OverdueError(BaseException):
    """A check took too long; not an `Exception`, so that no search takes it for a failure to be made smaller.

    Attributes:
        by_subject: the subject has left one request without an answer for `PATIENCE`; otherwise nobody hangs, and the check is only slow.
    """

    def __init__(self, message: str, *, by_subject: bool) -> None:
        super().__init__(message)
        self.by_subject = by_subject


# ---------------------------------------------------------------- one check


def run_check(
    check: Check,
    connection: Connection,
    *,
    depth: Depth = Depth.QUICK,
    seed: int = 0,
    check_timeout: float | None = None,
    shrink: bool = True,
    flickering: Collection[tuple[str, str]] = (),
) -> CheckResult:
    """Run one check against the subject behind a connection, and return a finding for each of its rules.

    Without `shrink` the first violation is told as it was found, not as the smallest one. What is known to flicker, by rule and check, is
    measured even when it fails twice in a row.

    Raises:
        SuiteError: the subject cannot be started at all.
        KeyboardInterrupt: the user wants to stop.
    """
    started = time.perf_counter()
    budget = check.budget(depth, seed, shrink=shrink)
    session: Session | None = None
    stopped: BaseException | None = None
    try:
        session = connection.session()
        with blind(), _alarm(check_timeout, session):
            check.function(session, budget)
    except (KeyboardInterrupt, SuiteError):
        connection.close()
        raise
    except BaseException as error:  # noqa: BLE001 -- every way out of a check becomes a finding; the interrupt is handled above
        stopped = error
    findings = tuple(_encodable(finding) for finding in _findings(check, budget, session, stopped))
    counterexample = _counterexample(findings, session, seed)
    if isinstance(stopped, OverdueError):
        connection.close()
    connection.settle()
    if shrink:
        known = {rule for rule, name in flickering if name == check.name}
        findings = tuple(_confirmed(finding, check, connection, budget, check_timeout, known) for finding in findings)
    coverage = {table: dict(counts) for table, counts in budget.coverage.counts.items()}
    return CheckResult(check.name, findings, time.perf_counter() - started, coverage, counterexample, budget.drawn[0])


def _counterexample(findings: Iterable[Finding], session: Session | None, seed: int) -> bytes:
    """Return the conversation that shows a failure, as a trace file; nothing when there is no failure or no conversation."""
    failed = next((finding for finding in findings if finding.outcome in SHOWN_BY_A_TRACE), None)
    episode = session.episode() if session is not None else ()
    if failed is None or session is None or not episode:
        return b""
    shown = shows(failed.rule, failed.check, failed.message, failed.expected, failed.found, failed.evidence, episode)
    return encode(of_episode(session.declaration, episode, seed=seed, shows=shown))


def _confirmed(
    finding: Finding, check: Check, connection: Connection, spent: Budget, check_timeout: float | None, flickering: set[str]
) -> Finding:
    """Return a finding that says how far it can be trusted: a failure is seen twice, and a flaky one has its rate.

    A search repeats by itself what it has found. A directed check does not, so it is run once more. A failure of a rule that is known to
    flicker has its rate as well, and stays a failure if every run fails.
    """
    searched = spent.drawn[0] > 0
    if finding.outcome is Outcome.FAIL and not searched and not _seen_again(finding, check, connection, spent, check_timeout):
        message = f"{finding.message} (and once repeated, it did not happen)"
        finding = replace(finding, outcome=Outcome.FLAKY, message=message)
    if finding.outcome is not Outcome.FLAKY and (finding.outcome is not Outcome.FAIL or finding.rule not in flickering):
        return finding
    seen = sum(_seen_again(finding, check, connection, spent, check_timeout) for _ in range(FLAKY_RUNS))
    message = f"{finding.message}; seen in {seen} of {FLAKY_RUNS} further runs"
    outcome = Outcome.FLAKY if seen < FLAKY_RUNS else finding.outcome
    return replace(finding, outcome=outcome, message=message, seen=seen, runs=FLAKY_RUNS)


def _seen_again(finding: Finding, check: Check, connection: Connection, spent: Budget, check_timeout: float | None) -> bool:
    """Run a check once more, from the same seed, and tell whether it accuses the same rule."""
    try:
        session = connection.session()
        with blind(), _alarm(check_timeout, session):
            check.function(session, check.budget(spent.depth, spent.seed, shrink=False))
    except (KeyboardInterrupt, SuiteError):
        connection.close()
        raise
    except BaseException as error:  # noqa: BLE001 -- whatever else it is, it is not the violation that is looked for
        violation = _find_violation(error)
        return violation is not None and violation.rule == finding.rule
    finally:
        connection.settle()
    return False


def _findings(check: Check, budget: Budget, session: Session | None, stopped: BaseException | None) -> tuple[Finding, ...]:
    dead = session.failure if session is not None else None
    if dead is not None and not isinstance(stopped, (Violation, SubjectError)):
        stopped = dead  # what a search makes of a subject that died in its middle is noise
    violation = _find_violation(stopped)
    transcript = tuple(session.transcript()) if session is not None and stopped is not None else ()
    if violation is not None and violation.rule not in check.rules:
        stopped = ValueError(f"the check {check.name!r} accuses {violation.rule}, which is none of its rules")
        violation = None
    findings = []
    for rule in check.rules:
        evaluations = budget.evaluations.get(rule, 0)
        if violation is not None and rule == violation.rule:
            flaky = violation is not stopped
            findings.append(_failed(check, violation, evaluations, transcript, flaky=flaky, program=_program(stopped)))
        elif stopped is None or rule in budget.settled:
            findings.append(_ended(rule, check, session, evaluations))
        else:
            findings.append(_stopped(rule, check, stopped, violation, evaluations, transcript))
    return tuple(findings)


def _ended(rule: str, check: Check, session: Session | None, evaluations: int) -> Finding:
    """Return the finding of a rule whose check found nothing, as far as the subject offers what it asks."""
    missing = {} if session is None else session.passed_over
    if evaluations:
        outcome, message = Outcome.PASS, f"passed over, for the subject does not offer it: {', '.join(sorted(missing))}" if missing else ""
    elif missing:
        outcome, message = Outcome.UNSUPPORTED, "; ".join(f"{name}: {reason}" for name, reason in sorted(missing.items()))
    else:
        outcome, message = Outcome.INCONCLUSIVE, "the check ended without evaluating the rule once"
    return Finding(rule=rule, check=check.name, outcome=outcome, message=message, evaluations=evaluations)


def _find_violation(stopped: BaseException | None) -> Violation | None:
    """Return the violation that ended a check: raised as such, or wrapped by a search that could not repeat it."""
    if isinstance(stopped, Violation):
        return stopped
    if isinstance(stopped, BaseExceptionGroup):
        for part in stopped.exceptions:
            found = _find_violation(part)
            if found is not None:
                return found
    return None


def _failed(check: Check, violation: Violation, evaluations: int, transcript: tuple[str, ...], *, flaky: bool, program: str) -> Finding:
    return Finding(
        rule=violation.rule,
        check=check.name,
        outcome=Outcome.FLAKY if flaky else Outcome.FAIL,
        message=f"{violation.message} (and once repeated, it did not happen)" if flaky else violation.message,
        evaluations=max(evaluations, 1),
        expected=violation.expected,
        found=violation.found,
        evidence=_plain(violation.evidence),
        program=program or _program(violation),
        transcript=transcript,
    )


def _stopped(
    rule: str, check: Check, stopped: BaseException, violation: Violation | None, evaluations: int, transcript: tuple[str, ...]
) -> Finding:
    """Return the finding of a rule whose check did not get to its end."""
    outcome, message, detail, fault = Outcome.ERROR, f"{type(stopped).__name__}: {stopped}", "", "the suite"
    if violation is not None:
        outcome, message, fault = Outcome.INCONCLUSIVE, f"the check ended early: {violation.rule} was broken", ""
        transcript = ()
    elif isinstance(stopped, OverdueError):
        outcome, fault = (Outcome.TIMEOUT, "the subject") if stopped.by_subject else (Outcome.INCONCLUSIVE, "")
        message = str(stopped)
    elif isinstance(stopped, SubjectError):
        outcome = Outcome.TIMEOUT if isinstance(stopped, SubjectTimeoutError) else Outcome.CRASH
        message, detail, fault = stopped.message, stopped.detail, stopped.fault
    elif isinstance(stopped, NotOffered):
        outcome, fault = (Outcome.UNSUPPORTED, "") if stopped.declared else (Outcome.INCONCLUSIVE, "the subject")
        claim = "" if stopped.declared else f"the subject claims the facet {check.facet} and declines its operations: "
        message = f"{claim}{stopped}"
    elif isinstance(stopped, Inconclusive):
        outcome, message, fault = Outcome.INCONCLUSIVE, str(stopped) or "the check could not decide", ""
    elif isinstance(stopped, Refused):
        outcome, message, fault = Outcome.INCONCLUSIVE, f"the subject refused what the check needs: {stopped}", "the subject"
    else:
        detail = "".join(traceback.format_exception(stopped, limit=-12))
    return Finding(
        rule=rule,
        check=check.name,
        outcome=outcome,
        message=message,
        evaluations=evaluations,
        evidence=_plain(stopped.evidence) if isinstance(stopped, SubjectBrokeError) else None,
        program=_program(stopped),
        transcript=transcript,
        detail=detail,
        fault=fault,
    )


def _encodable(finding: Finding) -> Finding:
    """Return a finding whose words can be written as UTF-8; half a character in an exception's text becomes its escape."""
    words = {name: getattr(finding, name) for name in ("message", "expected", "found", "program", "detail")}
    return replace(finding, **{name: text.encode("utf-8", "backslashreplace").decode() for name, text in words.items()})


def _program(error: BaseException | None) -> str:
    """Return what the generator noted on an exception: the smallest example, as a program."""
    return "\n".join(getattr(error, "__notes__", ()))


def _plain(evidence: Any) -> Any:
    """Return evidence as plain JSON data; what has no JSON form is shown as text."""
    if evidence is None:
        return None
    return msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(evidence, str_keys=True, enc_hook=repr)))


@contextmanager
def _alarm(seconds: float | None, session: Session) -> Iterator[None]:
    """Interrupt the block after some seconds, where the platform can and nobody else uses the alarm.

    A subject that has just been asked is given `PATIENCE` to answer, so that a slow machine is not taken for a subject that hangs.
    """
    usable = (
        seconds is not None
        and hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    )
    if not usable or seconds is None:
        yield
        return

    waited_for: list[object] = []

    def ring(_signal: int, _frame: object) -> None:
        late = f"the check did not end within {seconds:g} s"
        request, waited = session.asked or (None, 0.0)
        if request is None or (waited_for and waited_for[0] is not request):
            message = f"{late}, and the subject answers: this machine is too slow for this depth, or the subject is"
            raise OverdueError(message, by_subject=False)
        if waited >= min(PATIENCE, seconds):
            raise OverdueError(f"{late}: {tag_of(request)} has not been answered for {waited:.0f} s", by_subject=True)
        waited_for[:] = [request]

    before = signal.signal(signal.SIGALRM, ring)
    # Again every second: an exception raised inside a destructor or a foreign callback is swallowed there.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- a whole plan


def run_plan(
    plan: Plan,
    registry: Registry,
    subject: str,
    *,
    settings: StdioSettings | None = None,
    check_timeout: float | None = CHECK_TIMEOUT,
    flickering: Collection[tuple[str, str]] = (),
    on_result: Callable[[CheckResult], object] = lambda _result: None,
) -> list[CheckResult]:
    """Execute a plan in this process and return the results in the plan's order.

    Raises:
        SuiteError: the subject cannot be started.
    """
    connection = Connection(find(subject, settings))
    results = []
    try:
        for name, rules in plan.by_check().items():
            result = run_check(
                registry.get(name), connection, depth=plan.depth, seed=plan.seed, check_timeout=check_timeout, flickering=flickering
            )
            result = narrow(result, rules)
            on_result(result)
            results.append(result)
    finally:
        connection.close()
    return results


def narrow(result: CheckResult, rules: Iterable[str]) -> CheckResult:
    """Return a result with the findings of some rules only: those that the plan has."""
    wanted = frozenset(rules)
    findings = tuple(finding for finding in result.findings if finding.rule in wanted)
    shown = result.counterexample if any(finding.outcome in SHOWN_BY_A_TRACE for finding in findings) else b""
    return CheckResult(result.check, findings, result.seconds, result.coverage, shown, result.drawn)


_worker: tuple[Connection, Registry] | None = None


def _start_worker(subject: str, settings: StdioSettings | None) -> None:
    global _worker  # noqa: PLW0603 -- a worker process has one subject for its whole life
    connection = Connection(find(subject, settings))

    def end(_signal: int, _frame: object) -> None:
        connection.kill()
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGTERM, end)
    deaf_to_interrupts()
    atexit.register(connection.close)
    _worker = connection, all_checks()


def _work(
    check: str, rules: tuple[str, ...], depth: Depth, seed: int, check_timeout: float | None, flickering: frozenset[tuple[str, str]]
) -> CheckResult:
    assert _worker is not None, "the worker was started without its initialiser"
    connection, registry = _worker
    result = run_check(registry.get(check), connection, depth=depth, seed=seed, check_timeout=check_timeout, flickering=flickering)
    return narrow(result, rules)


def run_plan_parallel(
    plan: Plan,
    subject: str,
    jobs: int,
    *,
    settings: StdioSettings | None = None,
    check_timeout: float | None = CHECK_TIMEOUT,
    flickering: Collection[tuple[str, str]] = (),
    on_result: Callable[[CheckResult], object] = lambda _result: None,
) -> list[CheckResult]:
    """Execute a plan of the suite's own checks in worker processes; the results are those of `run_plan`, in the same order.

    A worker that dies leaves its checks without a result; the judgement reports them as errors of the suite.

    Raises:
        SuiteError: the subject cannot be started.
    """
    results: dict[str, CheckResult] = {}
    by_check = plan.by_check()
    common = plan.depth, plan.seed, check_timeout, frozenset(flickering)
    with workers(jobs, _start_worker, (subject, settings)) as pool:
        with uninterrupted():  # workers inherit it until they can handle an interrupt themselves
            futures = {name: pool.submit(_work, name, rules, *common) for name, rules in by_check.items()}
        for name, future in futures.items():
            result = _result_of(future)
            if result is not None:
                on_result(result)
                results[name] = result
    return [results[name] for name in by_check if name in results]


def _result_of(future: Any) -> CheckResult | None:
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 -- not needed without workers

    try:
        result: CheckResult = future.result()
    except BrokenProcessPool:
        return None
    return result


def reproduction(subject: str, finding: Finding, *, depth: Depth, seed: int) -> str:
    """Return the one command line that shows a finding again."""
    deep = f" --profile-run {depth}" if depth is not Depth.QUICK else ""
    return f"torvyn-conformance run --subject {shlex.quote(subject)} --rules {finding.rule} --seed {seed}{deep}"

"""Validating components: every check of every component, and a verdict that says what was not shown."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from importlib.metadata import version

import msgspec

from conformance.checks import Depth
from conformance.components.examine import CHECKS, FOCUS, GIVEN, Examination, Examined, smaller
from conformance.components.model import BUDGET_BYTES, Level, Outcome, Suspicion, Target, Wishes
from conformance.components.play import Clock
from conformance.components.result import SCHEMA_VERSION, CheckLine, ComponentReport, Finding, ValidationReport
from conformance.errors import SuiteError
from conformance.rulebook import Rulebook, load
from conformance.subjects.connect import Connection
from conformance.subjects.protocol import Facet
from conformance.verdict import EXIT_CODES, Verdict

BY_HAND = "by-hand"
"""The capability of the facet guests that a subject needs to run components for this."""

DISAGREEMENT = "engines-disagree"
"""Stands where a rule's id stands, when two engines differ: one of them is wrong, and nobody knows whether the component is."""

_DONE = frozenset({Outcome.PASS, Outcome.INAPPLICABLE})


def engines_of(connection: Connection, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the engines to validate on.

    Raises:
        SuiteError: the subject cannot run components by hand, or lacks an engine that is wanted.
    """
    session = connection.session()
    claims = session.capabilities(Facet.GUESTS)
    name = session.declaration.name
    if BY_HAND not in claims:
        raise SuiteError(
            f"{name} cannot validate components: it does not claim {BY_HAND!r} on the facet guests (messages guests.start, guests.invoke)"
        )
    offered = sorted(claim.removeprefix("engine=") for claim in claims if claim.startswith("engine="))
    unknown = [engine for engine in wanted if engine not in offered]
    if unknown:
        raise SuiteError(f"{name} has no engine {', '.join(unknown)}; it has {', '.join(offered) or 'one without a name'}")
    return wanted or tuple(offered) or ("",)


def check_names(wishes: Wishes) -> tuple[str, ...]:
    """Return the checks to make.

    Raises:
        SuiteError: one is no check.
    """
    if wishes.steps is not None:
        return (GIVEN,)
    unknown = [name for name in wishes.checks if name not in CHECKS]
    if unknown:
        raise SuiteError(f"there is no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    return tuple(name for name in CHECKS if not wishes.checks or name in wishes.checks)


def validate(
    targets: tuple[Target, ...],
    connection: Connection,
    wishes: Wishes,
    *,
    what: str = "",
    clock: Clock | None = None,
    rulebook: Rulebook | None = None,
) -> ValidationReport:
    """Validate components on a subject.

    Args:
        targets: the components.
        connection: to the subject that runs them.
        wishes: what the user wants.
        what: what the user called them.
        clock: how the time budget is measured; from now on, when not given.
        rulebook: the suite's own, when not given.

    Raises:
        SuiteError: the subject cannot, or a wish is none that can be met.
    """
    clock = clock or Clock(wishes.budget_seconds)
    rulebook = rulebook or load()
    engines = engines_of(connection, wishes.engines)
    names = check_names(wishes)
    reports = []
    for target in targets:
        examination = Examination(target, connection, wishes, engines, clock)
        examined = []
        for name in names:
            wishes.on_check(name)
            examined.append(examination.make(name))
        reports.append(_report(examination, examined, rulebook))
    verdict = max((Verdict(report.verdict) for report in reports), key=_BADNESS.index)
    named = len(reports) > 1
    return ValidationReport(
        schema_version=SCHEMA_VERSION,
        suite=version("torvyn-conformance"),
        target=what or ", ".join(target.name for target in targets),
        verdict=str(verdict),
        exit_code=EXIT_CODES[verdict],
        reasons=tuple(f"{report.component}: {reason}" if named else reason for report in reports for reason in report.reasons),
        findings=tuple(sorted((each for report in reports for each in report.findings), key=_worst_first)),
        components=tuple(reports),
        subject=wishes.subject,
        engines=engines,
        seed=wishes.seed,
        depth=str(Depth.DEEP if wishes.deep else Depth.QUICK),
        seconds=round(clock.passed, 3),
        budget_seconds=wishes.budget_seconds,
    )


_BADNESS = (Verdict.CONFORMANT, Verdict.INDETERMINATE, Verdict.NOT_CONFORMANT)


def _worst_first(finding: Finding) -> tuple[int, str, str, str]:
    return list(Level).index(finding.level), finding.where, finding.rule, finding.kind


def _report(examination: Examination, examined: Iterable[Examined], rulebook: Rulebook) -> ComponentReport:
    examined = tuple(examined)
    findings = _findings(examination, examined, rulebook)
    reasons = _reasons(examination.wishes, examined, findings)
    broken = any(finding.level is Level.ERROR and finding.rule != DISAGREEMENT for finding in findings)
    broken = broken or (examination.wishes.strict and any(finding.level is Level.WARNING for finding in findings))
    seen = examination.player.seen
    facts = msgspec.structs.replace(
        examination.static.facts,
        configuration=examination.life.config,
        fuel=dict(sorted(seen.fuel.items())),
        memory_bytes=seen.memory_bytes,
        answers=dict(sorted(seen.answers.items())),
    )
    return ComponentReport(
        component=examination.target.name,
        digest="sha256:" + hashlib.sha256(examination.target.wasm).hexdigest(),
        verdict=str(Verdict.NOT_CONFORMANT if broken else Verdict.INDETERMINATE if reasons else Verdict.CONFORMANT),
        reasons=reasons,
        findings=findings,
        checks=tuple(_line(check) for check in examined),
        facts=facts,
        played=tuple(examination.played),
    )


def _line(check: Examined) -> CheckLine:
    summary, rules = FOCUS.get(check.name, ("", ()))
    return CheckLine(name=check.name, outcome=check.settled, summary=summary, reason=check.reason, scenarios=check.scenarios, rules=rules)


def _findings(examination: Examination, examined: tuple[Examined, ...], rulebook: Rulebook) -> tuple[Finding, ...]:
    """Return the findings, each once: what several checks saw is the first one's, with the smallest input of all."""
    merged: dict[tuple[str, str], tuple[str, Suspicion]] = {}
    for check in examined:
        for key, suspicion in check.found.items():
            known = merged.get(key)
            merged[key] = (check.name, suspicion) if known is None else (known[0], smaller(known[1], suspicion))
    made = (finding_of(examination, check, suspicion, rulebook) for check, suspicion in merged.values())
    return tuple(sorted(made, key=_worst_first))


def finding_of(examination: Examination, check: str, suspicion: Suspicion, rulebook: Rulebook) -> Finding:
    """Put a suspicion together with its rule's words and the command lines that show it again."""
    rule = next((rule for rule in rulebook.rules if rule.id == suspicion.rule), None)
    return Finding(
        rule=suspicion.rule,
        kind=suspicion.kind,
        level=suspicion.level,
        check=check,
        message=suspicion.message,
        where=examination.target.name,
        expected=suspicion.expected,
        found=suspicion.found,
        engines=suspicion.engines,
        related=suspicion.related,
        title=rule.title if rule is not None else "",
        text=rule.text if rule is not None else "",
        consequence=rule.consequence if rule is not None else "",
        severity=str(rule.severity) if rule is not None else "",
        input=() if suspicion.scenario is None else tuple(step.show() for step in suspicion.scenario.steps),
        reproduce=_reproduce(examination, check, suspicion),
        explain=f"torvyn-conformance explain {suspicion.rule}" if rule is not None else "",
    )


def _reproduce(examination: Examination, check: str, suspicion: Suspicion) -> str:
    target, wishes, scenario = examination.target, examination.wishes, suspicion.scenario
    words = ["torvyn-conformance", "component", target.path, *target.arguments]
    words += ["--subject", wishes.subject] if wishes.subject != Wishes().subject else []
    words += ["--fuel", str(wishes.fuel)] if wishes.fuel != Wishes().fuel else []
    if scenario is None:
        return shlex.join([*words, "--check", check])
    words += ["--buffer-budget", str(scenario.budget_bytes)] if scenario.budget_bytes != BUDGET_BYTES else []
    steps = msgspec.json.encode([step.show() for step in scenario.steps]).decode()
    return shlex.join([*words, "--steps", steps])


def _reasons(wishes: Wishes, examined: tuple[Examined, ...], findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return what keeps the verdict from being better: what was found, and what was not shown."""
    reasons = []
    for level in (Level.ERROR, Level.WARNING) if wishes.strict else (Level.ERROR,):
        rules = [finding.rule for finding in findings if finding.level is level]
        if rules:
            reasons.append(f"{len(rules)} {level}{'s' if len(rules) > 1 else ''}: {', '.join(sorted(set(rules)))}")
    undone: dict[tuple[Outcome, str], list[str]] = {}
    for check in examined:
        if check.outcome is not None and check.outcome not in _DONE:
            undone.setdefault((check.outcome, check.reason), []).append(check.name)
    reasons += [f"{', '.join(names)} {outcome}: {reason}" for (outcome, reason), names in undone.items()]
    left_out = [name for name in CHECKS if name not in {check.name for check in examined}]
    if left_out:
        reasons.append(f"not asked for: {', '.join(left_out)}")
    return tuple(reasons)

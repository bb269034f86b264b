"""The JSON report of a run: a versioned, typed document; whatever else is shown about a run is made from it.

Schema version 1. Additions keep the version; a field that is removed, renamed or changes its meaning raises it. `seconds` are the only
values that differ between two runs of the same plan against the same subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from conformance.claims import ClaimFinding
from conformance.errors import SuiteError
from conformance.execute import CheckResult, Finding, reproduction
from conformance.machines.coverage import merged
from conformance.plan import Plan
from conformance.rulebook import Rulebook
from conformance.subjects.protocol import Declaration
from conformance.verdict import Judgement, Outcome, Verdict

SCHEMA_VERSION = 1
LARGEST = 64 << 20
"""Bytes; a report beyond this is not read."""


class _Head(msgspec.Struct):
    """What is read of a report before the rest is trusted to have a certain form."""

    schema_version: int


class RuleLine(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the rulebook and what became of it.

    Attributes:
        text, consequence, severity: the rule's words, what it means for a user that it is broken, and the kind of that harm.
    """

    id: str
    area: str
    level: str
    profile: str
    title: str
    outcome: Outcome
    message: str
    checks: tuple[str, ...]
    text: str = ""
    consequence: str = ""
    severity: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One finding that is neither a pass nor a declared absence, with everything that shows it.

    Attributes:
        text, consequence: the rule's words, and what it means for a user that it is broken.
        evidence: the smallest counterexample as data; `program` is the same as the generator prints it.
        reproduce: the one command line that shows it again.
        trace: the file that `run --traces` has kept it in; empty when it kept none.
    """

    rule: str
    check: str
    outcome: Outcome
    text: str
    consequence: str
    message: str
    expected: str = ""
    found: str = ""
    evidence: Any = None
    program: str = ""
    transcript: tuple[str, ...] = ()
    detail: str = ""
    fault: str = ""
    reproduce: str = ""
    trace: str = ""


class CheckLine(msgspec.Struct, frozen=True, kw_only=True):
    """One executed check: the rules it judged, how often each was evaluated, what came of it, and how long the check took."""

    name: str
    evaluations: dict[str, int]
    seconds: float
    outcomes: dict[str, Outcome] = {}


class TableCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of a table of states and events: how often the machines met each, and which they did not meet at all."""

    cells: dict[str, int]
    unreached: tuple[str, ...]


class KnownLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run held against a list of known failures: what nobody knew, and entries that are stale or past their last day."""

    file: str
    unexpected: tuple[str, ...]
    stale: tuple[str, ...]
    expired: tuple[str, ...]


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run.

    Attributes:
        needs: for each profile, what keeps it from being conformant.
        claims: where the subject answers otherwise than it declares.
        known: when the run was held against a list of known failures.
    """

    schema_version: int
    suite: str
    verdict: Verdict
    exit_code: int
    reasons: tuple[str, ...]
    profiles: dict[str, Verdict]
    subject: str
    declaration: Declaration
    selection: tuple[str, ...]
    depth: str
    seed: int
    rulebook: str
    generator: str
    plan: str
    planned: int
    executed: int
    rules_total: int
    counts: dict[Outcome, int]
    rules: tuple[RuleLine, ...]
    failures: tuple[Failure, ...]
    checks: tuple[CheckLine, ...]
    coverage: dict[str, TableCoverage] = {}
    needs: dict[str, tuple[str, ...]] = {}
    claims: tuple[ClaimFinding, ...] = ()
    known: KnownLine | None = None


SHOWN = frozenset(Outcome) - {Outcome.PASS, Outcome.UNSUPPORTED, Outcome.UNTESTED, Outcome.INAPPLICABLE}
"""The outcomes of a finding that are shown with their evidence."""


def build(
    rulebook: Rulebook,
    plan: Plan,
    subject: str,
    results: Iterable[CheckResult],
    judgement: Judgement,
    *,
    claims: tuple[ClaimFinding, ...] = (),
    known: KnownLine | None = None,
) -> RunReport:
    """Put a run's parts together."""
    results = tuple(results)
    rules = {rule.id: rule for rule in rulebook.rules}
    failures = [
        failure_of(rulebook, plan, subject, finding) for result in results for finding in result.findings if finding.outcome in SHOWN
    ]
    failures.sort(key=lambda failure: (-failure.outcome.rank, failure.rule, failure.check))
    return RunReport(
        schema_version=SCHEMA_VERSION,
        suite=plan.suite,
        verdict=judgement.verdict,
        exit_code=judgement.exit_code,
        reasons=judgement.reasons,
        profiles=dict(judgement.profiles),
        subject=subject,
        declaration=plan.subject,
        selection=plan.selection,
        depth=str(plan.depth),
        seed=plan.seed,
        rulebook=plan.rulebook,
        generator=plan.generator,
        plan=plan.digest,
        planned=judgement.planned,
        executed=judgement.executed,
        rules_total=len(judgement.rules),
        counts=judgement.counts,
        rules=tuple(
            RuleLine(
                id=result.rule,
                area=str(rules[result.rule].area),
                level=str(rules[result.rule].level),
                profile=str(rules[result.rule].profile),
                title=rules[result.rule].title,
                outcome=result.outcome,
                message=result.message,
                checks=result.checks,
                text=rules[result.rule].text,
                consequence=rules[result.rule].consequence,
                severity=str(rules[result.rule].severity),
            )
            for result in judgement.rules
        ),
        failures=tuple(failures),
        checks=tuple(
            CheckLine(
                name=result.check,
                evaluations={finding.rule: finding.evaluations for finding in result.findings},
                seconds=round(result.seconds, 3),
                outcomes={finding.rule: finding.outcome for finding in result.findings},
            )
            for result in results
        ),
        coverage={
            table: TableCoverage(cells=cells, unreached=tuple(name for name, count in cells.items() if not count))
            for table, cells in merged(result.coverage for result in results).items()
        },
        needs=dict(judgement.needs),
        claims=claims,
        known=known,
    )


def encode(report: RunReport) -> bytes:
    """Return a report as indented JSON, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def decode(data: bytes, name: str = "the report") -> RunReport:
    """Read a report of this schema version, or of an earlier one.

    Raises:
        SuiteError: it is too large, no report, or of a later version; the message says which, and where it goes wrong.
    """
    if len(data) > LARGEST:
        raise SuiteError(f"{name} has more than {LARGEST >> 20} MiB; no report is that large")
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema_version > SCHEMA_VERSION:
            known = f"this suite reads versions up to {SCHEMA_VERSION}: use the suite that made it"
            raise SuiteError(f"{name} has schema version {head.schema_version}, and {known}")
        return msgspec.json.decode(data, type=RunReport)
    except msgspec.MsgspecError as error:
        hint = "; `torvyn-conformance run --report FILE.json` writes one"
        raise SuiteError(f"{name} is no report of torvyn-conformance: {error}{hint}") from error


def with_traces(report: RunReport, kept: Mapping[str, Path]) -> RunReport:
    """Return a report whose failures name the files, by check, that their counterexamples were kept in."""
    failures = (replace(failure, trace=str(kept[failure.check])) if failure.check in kept else failure for failure in report.failures)
    return replace(report, failures=tuple(failures))


def suite_digest(report: RunReport) -> str:
    """Return `sha256:` and hex digits over the suite's version and its rulebook: who judged, whoever was judged."""
    return f"sha256:{sha256(msgspec.json.encode([report.suite, report.rulebook])).hexdigest()}"


def failure_of(rulebook: Rulebook, plan: Plan, subject: str, finding: Finding) -> Failure:
    """Put a finding together with its rule's words and the command that repeats it."""
    rule = rulebook.get(finding.rule)
    return Failure(
        rule=finding.rule,
        check=finding.check,
        outcome=finding.outcome,
        text=rule.text,
        consequence=rule.consequence,
        message=finding.message,
        expected=finding.expected,
        found=finding.found,
        evidence=finding.evidence,
        program=finding.program,
        transcript=finding.transcript,
        detail=finding.detail,
        fault=finding.fault,
        reproduce=reproduction(subject, finding, depth=plan.depth, seed=plan.seed),
    )

"""SARIF 2.1.0, as code scanning services read it: stable rule ids, the consequence as severity, places relative to the repository.

`sarif` writes a log from findings of any kind (a run's, a component's); `run_findings` makes those of a run. A finding keeps its
fingerprint as long as rule, check and subject keep their names, so that a service recognises it in the next run.

A rule's consequence decides the level: harm to data, isolation, results or availability is an `error`, harm to diagnosis or speed a
`warning`; a broken SHOULD is never more than a warning, a MAY a note. What could not be decided is `open`, not a failure. What went wrong
in the suite itself is no result at all but a notification of an unsuccessful invocation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

import msgspec

from conformance.claims import Claim, ClaimFinding
from conformance.errors import SuiteError
from conformance.report.json import Failure, RunReport, suite_digest
from conformance.report.words import clean, explanation, shortened
from conformance.rulebook import FOLDER, Level, Severity
from conformance.verdict import Outcome

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
TOOL = "torvyn-conformance"

GRAVE = frozenset({Severity.DATA_LOSS, Severity.ISOLATION, Severity.AVAILABILITY, Severity.WRONG_RESULT})
SECURITY: Mapping[str, str] = {Severity.ISOLATION: "8.0"}
"""The kinds of harm that a service should file under security, with their score of 10."""


class Anchor(msgspec.Struct, frozen=True):
    """A place in a repository: a relative path with forward slashes, and a line from 1.

    Raises:
        SuiteError: the path is absolute or leads out of the repository, or the line is none.
    """

    path: str
    line: int = 1

    def __post_init__(self) -> None:
        """Refuse what no service could show."""
        path = PurePosixPath(self.path)
        if not self.path or path.is_absolute() or ".." in path.parts or "\\" in self.path or ":" in self.path:
            raise SuiteError(f"the anchor {self.path!r} is no path inside a repository; write it like src/adapter.rs or src/adapter.rs:12")
        if self.line < 1:
            raise SuiteError(f"the anchor {self.path}:{self.line} has no line; lines begin at 1")

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Read `PATH` or `PATH:LINE`.

        Raises:
            SuiteError: it is no place inside a repository.
        """
        path, colon, line = text.rpartition(":")
        return cls(path, int(line)) if colon and line.isdecimal() else cls(text)


class SarifRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that something was held to; the words are the rulebook's."""

    id: str
    title: str
    text: str
    consequence: str
    level: str
    severity: str
    tags: tuple[str, ...] = ()


def _claimed(kind: Claim, title: str, text: str, consequence: str) -> SarifRule:
    tags = ("conformance", "claims")
    return SarifRule(
        id=f"claims/{kind}", title=title, text=text, consequence=consequence, level=Level.SHOULD, severity=Severity.DIAGNOSIS, tags=tags
    )


CLAIMS = {
    Claim.OVER: _claimed(
        Claim.OVER,
        "A subject offers what it claims",
        "An operation of a claimed facet SHOULD be answered, or the declaration says that it is not.",
        "What looks judged is not.",
    ),
    Claim.UNDER: _claimed(
        Claim.UNDER,
        "A subject claims what it offers",
        "A facet or an operation that is answered SHOULD be claimed.",
        "What could be judged is not, and a defect can hide there.",
    ),
    Claim.BROKEN: _claimed(
        Claim.BROKEN,
        "A subject answers an example of each request",
        "Every request SHOULD be answered, refused or declined.",
        "The subject died, hung or spoke nonsense; nothing more was asked of it.",
    ),
}
"""What a subject is held to beside the rules (docs/verdicts.md)."""


class SarifFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found.

    Attributes:
        message: what happened, in full; the first line stands alone.
        where: the place in the user's repository that it is shown at.
        identity: what makes it the same finding in another run; the rule is always part of it.
        subject: who it is about.
        accepted: why it is known and accepted for the time being; empty when it is not.
    """

    rule: str
    outcome: Outcome
    message: str
    where: Anchor
    identity: tuple[str, ...]
    subject: str
    properties: Mapping[str, Any] = {}
    accepted: str = ""


def sarif(
    rules: Iterable[SarifRule],
    findings: Iterable[SarifFinding],
    *,
    version: str,
    category: str,
    properties: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a SARIF log with one run, as indented JSON.

    Args:
        rules: at least those of the findings.
        findings: what was found.
        version: the suite's.
        category: tells several logs about one commit apart; for example `run/my-runtime`.
        properties: more about the run.

    Raises:
        KeyError: a finding names a rule that is not given.
    """
    known = {rule.id: rule for rule in rules}
    places = {rule: index for index, rule in enumerate(known)}
    findings = tuple(findings)
    defects = [finding for finding in findings if finding.outcome is Outcome.ERROR]
    run = {
        "tool": {"driver": {"name": TOOL, "semanticVersion": version, "rules": [_descriptor(rule) for rule in known.values()]}},
        "automationDetails": {"id": f"{TOOL}/{category}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not defects, "toolExecutionNotifications": [_notification(defect) for defect in defects]}],
        "results": [
            _result(finding, known[finding.rule], places[finding.rule]) for finding in findings if finding.outcome is not Outcome.ERROR
        ],
        "properties": dict(properties or {}),
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2) + b"\n"


def run_findings(report: RunReport, anchor: Anchor | None = None) -> bytes:
    """Return a run's failures as a SARIF log.

    They are shown at the rule's entry in the rulebook, which is a file of this repository, or all at one anchor of the user's: the
    adapter, say, or the source file that implements what was judged.
    """
    lines = {rule.id: rule for rule in report.rules}
    broken = dict.fromkeys(failure.rule for failure in report.failures if failure.rule in lines)
    rules = [
        SarifRule(
            id=rule.id,
            title=rule.title,
            text=rule.text,
            consequence=rule.consequence,
            level=rule.level,
            severity=rule.severity,
            tags=("conformance", rule.area, rule.profile),
        )
        for rule in (lines[each] for each in broken)
    ]
    subject = report.declaration.name
    findings = [_finding(failure, subject, anchor or rule_anchor(failure.rule)) for failure in report.failures if failure.rule in lines]
    findings += [_claim(claim, subject, anchor or Anchor("docs/verdicts.md")) for claim in report.claims]
    rules += [CLAIMS[kind] for kind in dict.fromkeys(claim.kind for claim in report.claims)]
    return sarif(
        rules,
        findings,
        version=report.suite.rpartition(" ")[2],
        category=f"run/{subject}",
        properties={
            "verdict": report.verdict,
            "subject": f"{subject} {report.declaration.version}".strip(),
            "suiteDigest": suite_digest(report),
            "plan": report.plan,
            "planned": report.planned,
            "executed": report.executed,
            "counts": report.counts,
        },
    )


def rule_anchor(rule: str) -> Anchor:
    """Return where a rule stands in this repository; the rulebook's first line for one that is not in it."""
    area = rule.partition("-")[0].lower()
    path = f"conformance/rulebook/{area}.toml"
    return Anchor(path, _lines(area).get(rule, 1)) if _lines(area) else Anchor("conformance/rulebook.py")


# ---------------------------------------------------------------- inside


@cache
def _lines(area: str) -> dict[str, int]:
    file = FOLDER / f"{area}.toml"
    if not area.isalpha() or not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").split("\n")
    return {line.partition('"')[2].partition('"')[0]: number for number, line in enumerate(lines, 1) if line.startswith("id = ")}


def _finding(failure: Failure, subject: str, where: Anchor) -> SarifFinding:
    rows = explanation(failure)
    first, *rest = rows
    body = "\n".join(f"{row.label}: {row.text}" if not row.code else f"{row.label}:\n{row.text}" for row in rest if row.label != "rule")
    return SarifFinding(
        rule=failure.rule,
        outcome=failure.outcome,
        message=f"{first.text}\n\n{body}",
        where=where,
        identity=(failure.check, subject),
        subject=subject,
        properties={"check": failure.check, "outcome": failure.outcome, "reproduce": failure.reproduce},
        accepted=failure.message if failure.outcome is Outcome.XFAIL else "",
    )


def _claim(claim: ClaimFinding, subject: str, where: Anchor) -> SarifFinding:
    rule = CLAIMS[claim.kind].id
    message = clean(shortened(claim.message))
    return SarifFinding(rule=rule, outcome=Outcome.FAIL, message=message, where=where, identity=(claim.operation, subject), subject=subject)


def _descriptor(rule: SarifRule) -> dict[str, Any]:
    level = _level(rule)
    score = SECURITY.get(rule.severity)
    tags = [*rule.tags, *([rule.severity] if rule.severity else []), *(["security"] if score else [])]
    return {
        "id": rule.id,
        "name": "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", rule.title)) or rule.id.replace("-", ""),
        "shortDescription": {"text": rule.title or rule.id},
        "fullDescription": {"text": rule.text or rule.title or rule.id},
        "help": {
            "text": f"{rule.text}\n\nWhy it matters: {rule.consequence}\n\n{TOOL} explain {rule.id}",
            "markdown": f"{rule.text}\n\n**Why it matters.** {rule.consequence}\n\n`{TOOL} explain {rule.id}` says more.",
        },
        "defaultConfiguration": {"level": level},
        "properties": {
            "tags": tags,
            "precision": "very-high",
            "problem.severity": {"error": "error", "warning": "warning"}.get(level, "recommendation"),
            **({"security-severity": score} if score else {}),
        },
    }


def _result(finding: SarifFinding, rule: SarifRule, index: int) -> dict[str, Any]:
    failed = finding.outcome not in {Outcome.INCONCLUSIVE, Outcome.FLAKY}
    mark = sha256(msgspec.json.encode([finding.rule, *finding.identity])).hexdigest()
    suppressed = {"suppressions": [{"kind": "external", "status": "accepted", "justification": clean(shortened(finding.accepted))}]}
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "kind": "fail" if failed else "open",
        "level": _level(rule) if failed else "none",
        "message": {"text": clean(shortened(finding.message, lines=200))},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": finding.where.path, "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": finding.where.line},
                },
                "logicalLocations": [{"name": clean(shortened(finding.subject, characters=200)), "kind": "module"}],
            }
        ],
        "partialFingerprints": {"torvynFinding/v1": mark},
        "properties": dict(finding.properties),
        **(suppressed if finding.accepted else {}),
    }


def _notification(finding: SarifFinding) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": clean(shortened(finding.message, lines=200))},
        "associatedRule": {"id": finding.rule},
        "properties": dict(finding.properties),
    }


def _level(rule: SarifRule) -> str:
    if rule.level == Level.MAY:
        return "note"
    return "error" if rule.level in {Level.MUST, Level.MUST_NOT} and _severity(rule) in {*GRAVE, None} else "warning"


def _severity(rule: SarifRule) -> Severity | None:
    return Severity(rule.severity) if rule.severity in set(Severity) else None

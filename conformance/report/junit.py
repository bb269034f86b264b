"""JUnit XML: a suite per area, a case per rule and check, and a skipped case for every rule that was not executed.

Each case has its rule, check, level, profile and outcome as properties. `fail`, `xpass`, `flaky`, `crash` and `timeout` are failures
whose type is the outcome; `error` (the suite itself failed) is an error; `xfail`, `inconclusive`, `unsupported`, `untested` and
`inapplicable` are skips that begin with their own word, for JUnit has no other place for them. A check's time is shared by its rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree as ET

from conformance.report.json import CheckLine, Failure, RuleLine, RunReport, suite_digest
from conformance.report.words import clean, explanation
from conformance.verdict import Outcome

FAILED = frozenset({Outcome.FAIL, Outcome.XPASS, Outcome.FLAKY, Outcome.CRASH, Outcome.TIMEOUT})


class _Case(NamedTuple):
    rule: RuleLine
    outcome: Outcome
    message: str
    check: CheckLine | None = None
    failure: Failure | None = None


def junit(report: RunReport) -> bytes:
    """Return a run as JUnit XML."""
    failures = {(failure.rule, failure.check): failure for failure in report.failures}
    checks = {check.name: check for check in report.checks}
    root = ET.Element("testsuites", name=_text(f"torvyn-conformance: {report.subject}"))
    total: Counter[str] = Counter()
    for area in dict.fromkeys(rule.area for rule in report.rules):
        cases = [case for rule in report.rules if rule.area == area for case in _cases(rule, checks, failures)]
        counts = Counter(_kind(case.outcome) for case in cases)
        suite = ET.SubElement(root, "testsuite", {"name": area, **_counts(counts, len(cases))})
        suite.set("time", f"{sum(_seconds(case) for case in cases):.3f}")
        if not total:
            _properties(suite, _facts(report))
        for case in cases:
            _write(suite, case)
        total.update(counts)
    if report.claims:
        suite = ET.SubElement(root, "testsuite", {"name": "claims", **_counts(Counter(failures=len(report.claims)), len(report.claims))})
        for claim in report.claims:
            element = ET.SubElement(suite, "testcase", classname="torvyn.claims", name=_text(f"{claim.kind}[{claim.operation}]"))
            ET.SubElement(element, "failure", type=str(claim.kind), message=_text(claim.message))
        total["failures"] += len(report.claims)
    for key, value in _counts(total, total.total()).items():
        root.set(key, value)
    root.set("time", f"{sum(check.seconds for check in report.checks):.3f}")
    ET.indent(root)
    encoded: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return encoded + b"\n"


def _cases(rule: RuleLine, checks: dict[str, CheckLine], failures: dict[tuple[str, str], Failure]) -> Iterator[_Case]:
    if not rule.checks:
        yield _Case(rule, rule.outcome, rule.message)
    for name in rule.checks:
        failure = failures.get((rule.id, name))
        check = checks.get(name)
        if failure is not None:
            yield _Case(rule, failure.outcome, failure.message, check, failure)
        else:
            yield _Case(rule, check.outcomes.get(rule.id, rule.outcome) if check is not None else rule.outcome, rule.message, check)


def _write(suite: ET.Element, case: _Case) -> None:
    name = f"{case.rule.id}[{case.check.name}]" if case.check is not None else case.rule.id
    element = ET.SubElement(suite, "testcase", classname=_text(f"torvyn.{case.rule.area}"), name=_text(name), time=f"{_seconds(case):.3f}")
    facts = {
        "rule": case.rule.id,
        "title": case.rule.title,
        "level": case.rule.level,
        "profile": case.rule.profile,
        "outcome": case.outcome,
    }
    if case.check is not None:
        facts |= {"check": case.check.name, "evaluations": str(case.check.evaluations.get(case.rule.id, 0))}
    _properties(element, facts)
    kind = _kind(case.outcome)
    if kind == "passed":
        return
    if kind == "skipped":
        ET.SubElement(element, "skipped", message=_text(f"{case.outcome}: {case.message or case.outcome.meaning}"))
        return
    told = ET.SubElement(element, kind.removesuffix("s"), type=str(case.outcome), message=_text(case.message))
    if case.failure is not None:
        told.text = _text(
            "\n".join(f"{row.label}: {row.text}" if not row.code else f"{row.label}:\n{row.text}" for row in explanation(case.failure))
        )


def _facts(report: RunReport) -> dict[str, str]:
    return {
        "verdict": report.verdict,
        "subject": f"{report.declaration.name} {report.declaration.version}".strip(),
        "suite": report.suite,
        "suite digest": suite_digest(report),
        "plan": report.plan,
        "seed": str(report.seed),
        "depth": report.depth,
        "executed": f"{report.executed} of {report.planned}",
    }


def _properties(parent: ET.Element, facts: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for key, value in facts.items():
        ET.SubElement(properties, "property", name=key, value=_text(str(value)))


def _kind(outcome: Outcome) -> str:
    if outcome is Outcome.PASS:
        return "passed"
    if outcome is Outcome.ERROR:
        return "errors"
    return "failures" if outcome in FAILED else "skipped"


def _counts(counts: Counter[str], cases: int) -> dict[str, str]:
    return {"tests": str(cases), **{kind: str(counts[kind]) for kind in ("failures", "errors", "skipped")}}


def _seconds(case: _Case) -> float:
    return case.check.seconds / max(len(case.check.evaluations), 1) if case.check is not None else 0.0


def _text(text: str) -> str:
    """Return text that XML 1.0 can hold: what is not printable (controls, surrogates, non-characters) becomes its escape."""
    return clean(text)

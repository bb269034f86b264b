"""A validation as SARIF and as a page; what a component said is data there, cleaned and bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from conformance.components.model import Level
from conformance.components.result import ComponentReport, Finding, ValidationReport
from conformance.components.validate import DISAGREEMENT
from conformance.report.page import page
from conformance.report.sarif import Anchor, SarifFinding, SarifRule, sarif
from conformance.report.words import Row, clean, shortened
from conformance.rulebook import Rulebook, load
from conformance.verdict import Outcome

MANIFEST = "Torvyn.toml"

HEADLINES = {"conformant": "Conformant", "not-conformant": "Not conformant", "indeterminate": "Indeterminate"}

LEADS = {
    "conformant": "Every check got to its end, and nothing was found against it.",
    "not-conformant": "It breaks a rule. Each finding has the smallest input that shows it and the line that shows it again.",
    "indeterminate": "Nothing was found that breaks a rule, and not everything was shown.",
}


# ---------------------------------------------------------------- SARIF


def component_sarif(report: ValidationReport, rulebook: Rulebook | None = None) -> bytes:
    """Return the findings as a SARIF log, shown at the component's file or its project's manifest.

    A rule that only warnings name is not shown as broken but as advice.
    """
    rulebook = rulebook or load()
    known = {rule.id: rule for rule in rulebook.rules}
    grave = {finding.rule for finding in report.findings if finding.level is Level.ERROR}
    rules = []
    for name in dict.fromkeys(finding.rule for finding in report.findings):
        rule = known.get(name)
        rules.append(
            SarifRule(
                id=name,
                title=rule.title if rule else "Two engines disagree",
                text=rule.text if rule else "The engines of a runtime give the same answers to the same calls.",
                consequence=rule.consequence if rule else "One of them is wrong, and the component may not be.",
                level=(str(rule.level) if rule else "MUST") if name in grave else "SHOULD",
                severity=str(rule.severity) if rule else "diagnosis",
                tags=("component", *((str(rule.area),) if rule else ())),
            )
        )
    where = anchor(report.target)
    findings = [
        SarifFinding(
            rule=finding.rule,
            outcome=Outcome.INCONCLUSIVE if finding.rule == DISAGREEMENT else Outcome.FAIL,  # whose fault a disagreement is, is open
            message="\n".join([clean(finding.message), "", *(f"{row.label}: {row.text}" for row in rows(finding)[1:])]),
            where=where,
            identity=(finding.kind, finding.where),
            subject=finding.where,
            properties={"kind": finding.kind, "level": str(finding.level), "check": finding.check, "reproduce": finding.reproduce},
        )
        for finding in report.findings
    ]
    properties = {"verdict": report.verdict, "target": report.target, "runtime": report.subject, "engines": report.engines}
    return sarif(rules, findings, version=report.suite, category=f"component/{Path(report.target).name}", properties=properties)


def anchor(target: str) -> Anchor:
    """Return where a target's findings are shown: its path from here, or its name when it is elsewhere."""
    path = Path(target)
    place = path / MANIFEST if path.is_dir() else path
    try:
        relative = place.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        relative = Path(place.name)
    text = relative.as_posix()
    return Anchor(text if text and ":" not in text and "\\" not in text else "component.wasm")


def rows(finding: Finding) -> tuple[Row, ...]:
    """Return all that is needed to understand a finding and to see it again, in reading order."""
    made = [Row("what happened", finding.message)]
    if finding.expected or finding.found:
        made += [Row("expected", finding.expected), Row("found", finding.found)]
    if finding.text:
        made.append(Row("rule", " ".join(finding.text.split())))
    if finding.input:
        lines = (f"{number}. {msgspec.json.encode(step).decode()}" for number, step in enumerate(finding.input, start=1))
        made.append(Row("smallest input", "\n".join(lines), code=True))
    if finding.consequence:
        made.append(Row("why it matters", " ".join(finding.consequence.split())))
    if finding.related:
        made.append(Row("see also", ", ".join(finding.related)))
    made.append(Row("repeat with", finding.reproduce, code=True))
    return tuple(Row(row.label, clean(shortened(row.text)), row.code) for row in made)


# ---------------------------------------------------------------- HTML


def component_html(report: ValidationReport) -> bytes:
    """Return a validation as one self-contained page."""
    errors = sum(finding.level is Level.ERROR for finding in report.findings)
    bound = "" if report.budget_seconds is None else f" of {report.budget_seconds:g}"
    return page(
        "component.html",
        title=f"{HEADLINES[report.verdict]}: {clean(report.target)}",
        styles=("report.css", "component.css"),
        report=report,
        who=clean(report.target),
        headline=HEADLINES[report.verdict],
        lead=LEADS[report.verdict],
        reasons=[clean(reason) for reason in report.reasons],
        facts=[
            ("Errors", str(errors)),
            ("Warnings", str(sum(finding.level is Level.WARNING for finding in report.findings))),
            ("Engines", ", ".join(engine or "of its choice" for engine in report.engines)),
            ("Depth", report.depth),
            ("Seed", str(report.seed)),
            ("Seconds", f"{report.seconds:.1f}{bound}"),
        ],
        components=[_component(each) for each in report.components],
        footer=f"Run on {clean(report.subject)}. Schema {report.schema_version}.",
    )


def _component(report: ComponentReport) -> dict[str, Any]:
    facts = report.facts
    known = [
        ("Digest", report.digest),
        ("Size", f"{facts.size} bytes, {facts.modules} core modules"),
        ("Role", facts.role or "none"),
        ("World", facts.world or "none"),
        ("Imports", ", ".join(facts.imports) or "nothing"),
        ("Exports", ", ".join(facts.exports) or "nothing"),
        ("Needs", ", ".join(facts.needs) or "no capability"),
        ("Made by", ", ".join(facts.producers)),
        ("Memory", "" if facts.memory_bytes is None else f"up to {facts.memory_bytes // 1024} KiB"),
        ("Fuel at most", ", ".join(f"{call} {fuel}" for call, fuel in facts.fuel.items())),
        ("Answers", ", ".join(f"{answer} ×{count}" for answer, count in facts.answers.items())),  # noqa: RUF001 -- a multiplication sign
    ]
    return {
        "name": clean(report.component),
        "verdict": report.verdict,
        "findings": [
            {
                "rule": finding.rule,
                "title": finding.title or finding.kind,
                "outcome": "fail" if finding.level is Level.ERROR else str(finding.level),
                "tag": finding.kind + (f" on {' and '.join(finding.engines)}" if any(finding.engines) else ""),
                "rows": rows(finding),
            }
            for finding in report.findings
        ],
        "checks": report.checks,
        "facts": [(name, clean(shortened(value))) for name, value in known if value],
    }

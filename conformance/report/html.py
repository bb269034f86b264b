"""The HTML report: the verdict first, then what stands behind it, in one file that needs no network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conformance.report.json import Failure, KnownLine, RuleLine, RunReport, TableCoverage, suite_digest
from conformance.report.killmatrix import KillMatrix
from conformance.report.page import page
from conformance.report.words import clean, explanation, shortened
from conformance.rulebook import Level
from conformance.verdict import EXIT_HARNESS, Outcome

MOST = 200
"""How many failures are shown; the JSON report has all of them."""
SHORT = 400
"""Characters of a name or a sentence that a subject has made."""

HEADLINES = {"conformant": "Conformant", "not-conformant": "Not conformant", "indeterminate": "Indeterminate"}


def html(report: RunReport, kills: KillMatrix | None = None, folder: Path | None = None) -> bytes:
    """Return a run as a page, with the kill matrix when there is one; `folder` is where the page will be, for its links to traces."""
    failures = report.failures[:MOST]
    titles = {rule.id: rule.title for rule in report.rules}
    broken = report.exit_code == EXIT_HARNESS
    who = _short(f"{report.declaration.name} {report.declaration.version}".strip())
    bar = _bar({str(outcome): count for outcome, count in report.counts.items()})
    return page(
        "report.html",
        title=f"{HEADLINES.get(report.verdict, report.verdict)}: {who}",
        styles=("report.css",),
        scripts=("report.js",),
        report=report,
        who=who,
        tone="error" if broken else report.verdict,
        headline="No result" if broken else HEADLINES.get(report.verdict, report.verdict),
        lead=_lead(report),
        bar=bar,
        legend_text=", ".join(f"{part['count']} {part['outcome']}" for part in bar),
        facts=_facts(report),
        profiles=[_profile(name, verdict, report) for name, verdict in report.profiles.items()],
        claims=[
            {"kind": str(claim.kind), "operation": _short(claim.operation), "message": _short(claim.message)} for claim in report.claims
        ],
        known=_known(report.known),
        failures=[_failure(failure, titles, folder or Path()) for failure in failures],
        left_out=len(report.failures) - len(failures),
        areas=_areas(report.rules),
        levels=[str(level) for level in Level if any(rule.level == level for rule in report.rules)],
        rules=_rules(report, kills),
        kills=None if kills is None else _kills(kills),
        coverage=[_table(name, table) for name, table in report.coverage.items()],
        meanings=[(str(outcome), outcome.meaning) for outcome in reversed(Outcome) if outcome in report.counts],
        provenance=_provenance(report),
    )


def _lead(report: RunReport) -> str:
    passed, total = report.counts.get(Outcome.PASS, 0), report.rules_total
    only = f" Only {' '.join(report.selection)} was asked for." if report.selection else ""
    if report.exit_code == EXIT_HARNESS:
        return "The suite itself failed in this run, and its verdict is worth nothing. The failures below say what to repair."
    if report.verdict == "conformant":
        what = "Every binding rule that was asked for" if only else "Every binding rule"
        return f"{what} was executed and held: {passed} of {total} rules passed, and what was executed is what was planned.{only}"
    if report.verdict == "not-conformant":
        count = len({failure.rule for failure in report.failures if failure.outcome.rank >= Outcome.FAIL.rank})
        what = "1 rule was broken" if count == 1 else f"{count} rules were broken"
        return f"{what}. Each failure has its smallest counterexample and the line that repeats it.{only}"
    return f"Nothing binding was found broken, and not everything binding was shown: {passed} of {total} rules passed.{only}"


def _facts(report: RunReport) -> list[tuple[str, str]]:
    evaluations = sum(sum(check.evaluations.values()) for check in report.checks)
    return [
        ("Executed", f"{report.executed} of {report.planned} planned"),
        ("Evaluations", f"{evaluations:,}".replace(",", "\u202f")),
        ("Depth", report.depth),
        ("Seed", str(report.seed)),
        ("Suite digest", suite_digest(report).removeprefix("sha256:")[:12]),
    ]


def _provenance(report: RunReport) -> list[tuple[str, str, bool]]:
    claims = [
        f"{claim.facet} ({', '.join(claim.capabilities)})" if claim.capabilities else str(claim.facet)
        for claim in report.declaration.facets
    ]
    left_out = [f"{facet}: {reason}" for facet, reason in report.declaration.unsupported.items()]
    return [
        ("Subject", _short(report.subject), True),
        (
            "Says of itself",
            _short(f"{report.declaration.name} {report.declaration.version}, {report.declaration.language or 'no language'}"),
            False,
        ),
        ("Facets", _short(", ".join(claims) or "none", 2000), False),
        *([("Declined", _short("; ".join(left_out), 2000), False)] if left_out else []),
        ("Selection", " ".join(report.selection) or "every rule", False),
        ("Suite", f"{report.suite}, {report.generator}", False),
        ("Suite digest", suite_digest(report), True),
        ("Rulebook", report.rulebook, True),
        ("Plan", report.plan, True),
        ("Report schema", str(report.schema_version), False),
    ]


def _bar(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a bar's segments, from the best outcome to what was not looked at; a few of a thousand are still seen."""
    order = [Outcome.PASS, *(each for each in reversed(Outcome) if each is not Outcome.PASS)]
    shown = [(outcome, counts[outcome]) for outcome in order if counts.get(outcome)]
    total = sum(count for _, count in shown) or 1
    widths = [max(1000 * count / total, 6.0) for _, count in shown]
    scale = 1000 / (sum(widths) or 1)
    x, segments = 0.0, []
    for (outcome, count), width in zip(shown, widths, strict=True):
        segments.append({"outcome": str(outcome), "count": count, "x": round(x, 2), "width": round(width * scale, 2)})
        x += width * scale
    return segments


def _known(known: KnownLine | None) -> list[tuple[str, str]]:
    """Return what a list of known failures did not expect, as words and entries."""
    if known is None:
        return []
    words = (("new", known.unexpected), ("stale", known.stale), ("expired", known.expired))
    return [(word, _short(entry)) for word, entries in words for entry in entries[:MOST]] or [("as known", _short(known.file))]


def _profile(name: str, verdict: str, report: RunReport) -> dict[str, Any]:
    own = [rule for rule in report.rules if rule.profile == name]
    counts = Counter(str(rule.outcome) for rule in own)
    bar = _bar(counts)
    return {
        "name": name,
        "verdict": verdict,
        "bar": bar,
        "label": ", ".join(f"{part['count']} {part['outcome']}" for part in bar),
        "passed": counts[Outcome.PASS],
        "total": len(own),
        "areas": list(dict.fromkeys(rule.area for rule in own)),
        "needs": [_short(each) for each in report.needs.get(name, ())],
    }


def _failure(failure: Failure, titles: Mapping[str, str], folder: Path) -> dict[str, Any]:
    page_ = os.path.relpath(Path(failure.trace).with_suffix(".html"), folder) if failure.trace else ""
    return {
        "rule": failure.rule,
        "title": titles.get(failure.rule, ""),
        "outcome": str(failure.outcome),
        "check": failure.check,
        "rows": explanation(failure),
        "travel": quote(page_.replace(os.sep, "/")),  # quoted, a scheme is no scheme: the link can only lead to a file beside this one
    }


def _areas(rules: Iterable[RuleLine]) -> list[dict[str, Any]]:
    areas: dict[str, list[dict[str, Any]]] = {}
    for rule in rules:
        shown = {"id": rule.id, "title": rule.title, "outcome": str(rule.outcome), "binding": rule.level in {Level.MUST, Level.MUST_NOT}}
        areas.setdefault(rule.area, []).append(shown)
    return [
        {"name": name, "rules": own, "total": len(own), "passed": sum(rule["outcome"] == Outcome.PASS for rule in own)}
        for name, own in areas.items()
    ]


def _rules(report: RunReport, kills: KillMatrix | None) -> list[dict[str, Any]]:
    evaluations = {(rule, check.name): count for check in report.checks for rule, count in check.evaluations.items()}
    breaking: dict[str, list[str]] = {}
    for mutant in kills.mutants if kills is not None else ():
        for rule_id in mutant.breaks:
            breaking.setdefault(rule_id, []).append(mutant.name)
    return [
        {
            "id": rule.id,
            "area": rule.area,
            "level": rule.level,
            "title": rule.title,
            "outcome": str(rule.outcome),
            "message": _short(rule.message),
            "text": rule.text,
            "consequence": rule.consequence,
            "severity": rule.severity,
            "checks": [{"name": name, "evaluations": evaluations.get((rule.id, name), 0)} for name in rule.checks],
            "mutants": breaking.get(rule.id, []),
        }
        for rule in report.rules
    ]


def _kills(kills: KillMatrix) -> dict[str, Any]:
    """Return the matrix by area of what the mutants break; the survivors come first in the list."""
    areas: dict[str, list[dict[str, Any]]] = {}
    mutants = []
    for mutant in kills.mutants:
        shown = {
            "name": _short(mutant.name),
            "summary": _short(mutant.summary),
            "breaks": mutant.breaks,
            "killed": mutant.killed,
            "kills": mutant.kills,
            "spared": mutant.spared_by,
            "seconds": f"{mutant.seconds:.2f} s" if mutant.seconds else "",
            "examples": sum(kill.examples for kill in mutant.kills) or "",
        }
        mutants.append(shown)
        areas.setdefault(mutant.breaks[0].partition("-")[0] if mutant.breaks else "none", []).append(shown)
    mutants.sort(key=lambda mutant: (mutant["killed"], mutant["name"]))
    return {
        "total": kills.total,
        "killed": kills.killed,
        "mutants": mutants,
        "areas": areas,
        "problems": [_short(each) for each in kills.problems],
    }


def _table(name: str, table: TableCoverage) -> dict[str, Any]:
    """Return a table of cells `state: event outcome` as rows of states and columns of events."""
    rows: dict[str, dict[str, list[tuple[str, int]]]] = {}
    for cell, count in table.cells.items():
        state, _, rest = cell.partition(": ")
        event, _, outcome = rest.partition(" ")
        rows.setdefault(state, {}).setdefault(event, []).append((outcome, count))
    events = list(dict.fromkeys(event for row in rows.values() for event in row))
    return {
        "name": name,
        "events": events,
        "rows": [(state, [row.get(event, []) for event in events]) for state, row in rows.items()],
        "met": len(table.cells) - len(table.unreached),
        "total": len(table.cells),
    }


def _short(text: str, characters: int = SHORT) -> str:
    return clean(shortened(text, characters=characters))

"""What people read: a verdict first and last, a table in between, and for each failure all that is needed to understand and repeat it."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.report.json import Failure, RunReport
from conformance.report.rules import AreaSummary, Explanation, RuleStatus
from conformance.report.words import clean, explanation
from conformance.verdict import Outcome

WIDTH = 120

STYLES = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.CRASH: "bold red",
    Outcome.TIMEOUT: "bold red",
    Outcome.ERROR: "bold magenta",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.FLAKY: "yellow",
}
VERDICT_STYLES = {"conformant": "bold green", "not-conformant": "bold red", "indeterminate": "bold yellow"}


def verdict_line(report: RunReport) -> str:
    """Return the verdict in one line, with the numbers that it rests on."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())
    who = f"{report.declaration.name} {report.declaration.version}".strip()
    return clean(f"{report.verdict}: {who}, {report.rules_total} rules: {counts}")


def render_run(report: RunReport) -> str:
    """Render a finished run."""
    console, buffer = console_and_buffer()
    line = Text(verdict_line(report), style=VERDICT_STYLES[report.verdict])
    console.print(line)
    what = f"only {' '.join(report.selection)}, " if report.selection else ""
    console.print(_plain(f"{report.executed} of {report.planned} planned items executed, {what}{report.depth}, seed {report.seed}"))
    console.print(_plain(f"plan {report.plan}"))
    console.print()
    console.print(_areas(report))
    for failure in report.failures:
        console.print()
        _show_failure(console, failure)
    console.print()
    for reason in report.reasons:
        console.print(_plain(f"- {reason}"))
    untestable = [rule.id for rule in report.rules if rule.message.startswith("untestable: ")]
    if untestable:
        console.print(_plain(f"untested for good, by a reviewed reason (`explain` says it): {', '.join(untestable)}"))
    for table, coverage in report.coverage.items():
        met = len(coverage.cells) - len(coverage.unreached)
        left = f"; not reached: {', '.join(coverage.unreached)}" if coverage.unreached else ""
        console.print(_plain(f"coverage of the table {table}: {met} of {len(coverage.cells)} cells{left}"))
    for claim in report.claims:
        console.print(_plain(f"{claim.kind}: {claim.message}"))
    if report.known is not None:
        for word, entries in (("new", report.known.unexpected), ("stale", report.known.stale), ("expired", report.known.expired)):
            for entry in entries:
                console.print(_plain(f"{word}: {entry}"))
    for profile, verdict in report.profiles.items():
        needs = "; ".join(report.needs.get(profile, ()))
        console.print(_plain(f"profile {profile}: {verdict}{f' ({needs})' if needs else ''}"))
    console.print(line)
    return tidy(buffer)


def render_failure(failure: Failure) -> str:
    """Render one failure alone."""
    console, buffer = console_and_buffer()
    _show_failure(console, failure)
    return tidy(buffer).strip("\n")


def render_rules(lines: Iterable[RuleStatus]) -> str:
    """Render one line per rule."""
    console, buffer = console_and_buffer()
    table = plain_table("rule", "level", "status", "title", "checks", "mutants")
    for line in lines:
        table.add_row(line.id, line.level, line.status, line.title, ", ".join(line.checks), ", ".join(line.mutants))
    console.print(table)
    return tidy(buffer)


def render_summary(lines: Iterable[AreaSummary]) -> str:
    """Render the counts per area."""
    console, buffer = console_and_buffer()
    table = plain_table("area", *(f">{word}" for word in ("rules", "checked", "proven", "untested", "untestable")))
    for line in lines:
        table.add_row(line.area, *map(str, (line.rules, line.checked, line.proven, line.untested, line.untestable)))
    console.print(table)
    console.print(_plain("checked: a check judges it; proven: a seeded fault shows that the check can fail."))
    return tidy(buffer)


def render_explanation(explanation: Explanation) -> str:
    """Render one rule with everything known about it."""
    console, buffer = console_and_buffer()
    rule = explanation.rule
    console.print(Text(f"{rule.id} {rule.title}", style="bold"))
    console.print(_plain(f"{rule.level}, area {rule.area}, profile {rule.profile}, facet {rule.facet}, {explanation.status}"))
    _section(console, "The rule", rule.text)
    _section(console, f"When it is broken ({rule.severity})", rule.consequence)
    _section(console, "How it is tested", rule.test)
    if rule.why:
        _section(console, f"Testability: {rule.testability}", rule.why)
    if rule.accepts:
        _section(console, "Also accepted", "\n".join(rule.accepts))
    if explanation.ambiguities:
        _section(console, "Where the sources disagree", "\n".join(explanation.ambiguities))
    if rule.note:
        _section(console, "Note", rule.note)
    checks = "\n".join(f"{check.name} ({check.kind}, facet {check.facet}): {check.summary}" for check in explanation.checks)
    _section(console, "Checks", checks or "none yet")
    _section(console, "Seeded faults that they find", "\n".join(explanation.mutants) or "none yet")
    if explanation.failure is not None:
        _section(console, "What its failure looks like", explanation.failure.text())
    if explanation.code or explanation.faults:
        _section(console, "If this fails, look at", "\n".join((*explanation.code, *explanation.faults)))
    decisions = [f"ADR-{number:03d}" for number in rule.adrs]
    _section(console, "Sources", "\n".join((*rule.source, *decisions)))
    if explanation.checks:
        _section(console, "Try it", explanation.run)
    return tidy(buffer)


# ---------------------------------------------------------------- inside


def console_and_buffer() -> tuple[Console, io.StringIO]:
    """Return a console that writes into a buffer: in colour when standard output is a terminal, and wide enough when it is not."""
    buffer = io.StringIO()
    terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    return Console(file=buffer, force_terminal=terminal, width=width, highlight=False, markup=False, emoji=False), buffer


def _plain(text: str) -> Text:
    return Text(clean(text))


def plain_table(*columns: str) -> Table:
    """Return a table without lines; a column whose title starts with > is aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def _areas(report: RunReport) -> Table:
    outcomes = [outcome for outcome in reversed(Outcome) if outcome in report.counts]
    table = plain_table("area", ">rules", *(f">{outcome}" for outcome in outcomes))
    for area in dict.fromkeys(rule.area for rule in report.rules):
        rules = [rule for rule in report.rules if rule.area == area]
        if all(rule.message == "not selected" for rule in rules):
            continue
        cells = []
        for outcome in outcomes:
            count = sum(rule.outcome == outcome for rule in rules)
            cells.append(Text(str(count) if count else ".", style=STYLES.get(outcome, "") if count else "dim"))
        table.add_row(area, str(len(rules)), *cells)
    return table


def _show_failure(console: Console, failure: Failure) -> None:
    head = Text(f"{failure.outcome.upper()} {failure.rule} [{failure.check}]", style=STYLES.get(failure.outcome, "bold"))
    console.print(head)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for row in explanation(failure):
        table.add_row(row.label, Text(row.text))
    console.print(table)


def _section(console: Console, title: str, body: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(Padding(_plain(body), (0, 0, 0, 2)))


def tidy(buffer: io.StringIO) -> str:
    """Return what was written, without the blanks that pad tables to their width."""
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n"))

"""The kill matrix as people read it: a verdict first and last, and for each mutant what killed it, in how many examples, in what time."""

from __future__ import annotations

from rich.text import Text

from conformance.mutants.matrix import Hunt, Kill, KillMatrix
from conformance.report.text import console_and_buffer, plain_table, tidy
from conformance.report.words import clean


def line(matrix: KillMatrix) -> str:
    """Return what came of the hunt, in one line."""
    count = len(matrix.problems)
    words = "all is well" if not count else f"{count} problem{'s' if count > 1 else ''}"
    return f"{matrix.killed} of {matrix.total} mutants killed in {matrix.seconds:g} s: {words}"


def render(matrix: KillMatrix) -> str:
    """Render the matrix."""
    console, buffer = console_and_buffer()
    verdict = Text(line(matrix), style="bold red" if matrix.problems else "bold green")
    console.print(verdict)
    console.print(Text(clean(f"{matrix.depth}, seed {matrix.seed}, {matrix.suite}")))
    console.print()
    table = plain_table("mutant", "breaks", "killed by", "example", ">tried", ">ms")
    for one in matrix.mutants:
        for number, row in enumerate(_rows(one)):
            table.add_row(one.name if number == 0 else "", *row)
    console.print(table)
    console.print()
    for problem in matrix.problems:
        console.print(Text(clean(f"- {problem}")))
    kills = [kill for one in matrix.mutants for kill in one.kills]
    drawn = sum(kill.how == "drawn" for kill in kills)
    console.print(Text(clean(f"{len(kills) - drawn} kills by a directed example, {drawn} by one that was searched for")))
    console.print(verdict)
    return tidy(buffer)


def _rows(one: Hunt) -> list[tuple[str | Text, ...]]:
    by_rule: dict[str, Kill] = {}
    for kill in one.kills:
        by_rule.setdefault(kill.rule, kill)
    rows: list[tuple[str | Text, ...]] = [_row(rule, by_rule.get(rule)) for rule in one.breaks]
    rows += [(Text("(other)", style="bold red"), *_row("", kill)[1:]) for kill in one.elsewhere]
    return rows


def _row(rule: str, kill: Kill | None) -> tuple[str | Text, ...]:
    if kill is None:
        return rule, Text("nothing", style="bold red"), "", "", ""
    return (
        rule,
        f"[{kill.check}]" if kill.rule == rule else f"{kill.rule} [{kill.check}]",
        kill.how,
        str(kill.examples),
        f"{kill.seconds * 1000:.0f}",
    )

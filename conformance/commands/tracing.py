"""`torvyn-conformance trace-matrix`: every rule between its decisions, checks, mutants and code; 1 when a link is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from conformance.checks import all_checks
from conformance.commands.output import Format, FormatOption, as_json, emit
from conformance.plan import select
from conformance.report.rules import mutants_by_rule
from conformance.report.words import clean
from conformance.rulebook import load
from conformance.traceability import TraceMatrix, build

EXITS = "Exit codes: 0 every link holds in both directions, 1 an orphan or a stale anchor, 3 the rulebook is damaged, 4 wrong usage."


def trace_matrix(
    rules: Annotated[list[str] | None, typer.Option("--rules", help="Show only these rules; the links of all are checked.")] = None,
    output_format: FormatOption = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", help="Write the matrix to this file instead of standard output.")] = None,
) -> None:
    """Show decision, document, rule, check, mutant and code of every rule, and what is wrong with the links between them."""
    rulebook = load()
    whole = build(rulebook, all_checks(rulebook), mutants_by_rule())
    wanted = {rule.id for rule in select(rulebook, rules or [])}
    shown = msgspec.structs.replace(whole, rules=tuple(rule for rule in whole.rules if rule.id in wanted))
    emit(as_json(shown) if output_format is Format.JSON else render(shown), output)
    raise typer.Exit(1 if whole.problems else 0)


def render(matrix: TraceMatrix) -> str:
    """Render the matrix as text, a paragraph per rule."""
    lines = []
    for rule in matrix.rules:
        lines.append(f"{rule.id} {rule.level}, {rule.state}: {rule.title}")
        decisions = [f"ADR-{number:03d}" for number in rule.adrs]
        code = dict.fromkeys(f"{anchor.file}:{anchor.line} {anchor.where}".rstrip() for anchor in rule.code)
        for word, found in (
            ("from", (*decisions, *rule.sources)),
            ("checks", rule.checks),
            ("mutants", rule.mutants),
            ("code", tuple(code)),
        ):
            if found:
                lines.append(f"  {word:<8} {'; '.join(found)}")
    lines.append("")
    lines += [f"- {problem}" for problem in matrix.problems]
    lines.append(", ".join(f"{count} {state}" for state, count in matrix.counts.items()))
    lines.append("every link holds" if not matrix.problems else f"{len(matrix.problems)} links are broken")
    return clean("\n".join(lines)) + "\n"

"""`torvyn-conformance findings`: reports of a runtime's builds and hand-checked causes, made into one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.output import as_json, emit, read_bounded
from conformance.errors import SuiteError
from conformance.report import findings as report
from conformance.report.json import LARGEST, RunReport, decode
from conformance.rulebook import load

EXITS = "Exit codes: 0 every failure has a checked cause, 1 some have none or a cause is no longer seen, 4 wrong usage."


def findings(
    runs: Annotated[list[str], typer.Argument(metavar="BUILD=REPORT.json...", help="What `run --report` has written, one per build.")],
    causes: Annotated[Path, typer.Option("--causes", help="The causes, as TOML.")],
    subject: Annotated[str, typer.Option("--as", help="The subject in the lines that repeat a finding; {build} is the build.")],
    outcomes: Annotated[Path | None, typer.Option("--outcomes", help="Write what became of every rule, per build, as JSON.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file instead of standard output.")] = None,
) -> None:
    """Write what fails, why, since when it is known, and how to see it again; refuse to while a failure has no checked cause."""
    reports: dict[str, RunReport] = {}
    for argument in runs:
        build, equals, path = argument.partition("=")
        if not equals:
            raise SuiteError(f"{argument!r} must be written BUILD=REPORT.json, for example release=reports/release.json")
        reports[build] = decode(read_bounded(Path(path), LARGEST), path)
    known = report.read(causes)
    emit(report.page(known, reports, load(), subject=subject), output)
    if outcomes is not None:
        emit(as_json(report.outcomes(reports)), outcomes)
    missing = report.problems(known, reports)
    for problem in missing:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if missing else 0)

"""`torvyn-conformance findings`: reports of a runtime's builds and hand-checked causes, made into one page."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    known: Annotated[
        str | None,
        typer.Option("--known-failures", help="Write each build's known failures, as TOML; {build} is the build."),
    ] = None,
    traces: Annotated[
        Path | None, typer.Option("--traces", help="Keep the traces of the runs (`run --traces`) in this directory, and no others.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file instead of standard output.")] = None,
) -> None:
    """Write what fails, why, since when it is known, and how to see it again; refuse to while a failure has no checked cause."""
    if (known is not None or traces is not None) and output is None:
        raise SuiteError("--known-failures and --traces are linked with the page: they need --output")
    reports: dict[str, RunReport] = {}
    for argument in runs:
        build, equals, path = argument.partition("=")
        if not equals:
            raise SuiteError(f"{argument!r} must be written BUILD=REPORT.json, for example release=reports/release.json")
        reports[build] = decode(read_bounded(Path(path), LARGEST), path)
    checked = report.read(causes)
    kept = {} if traces is None else report.traces_of(reports)
    beside = "" if traces is None or output is None else _from(traces, output.parent)
    emit(report.page(checked, reports, load(), subject=subject, traces=kept, kept=beside), output)
    if traces is not None:
        _keep(kept, traces)
    if known is not None and output is not None:
        for build, run in reports.items():
            listed = Path(known.replace("{build}", build))
            emit(report.known_failures(checked, run, _from(output, listed.parent)), listed)
    if outcomes is not None:
        emit(as_json(report.outcomes(reports)), outcomes)
    missing = report.problems(checked, reports)
    for problem in missing:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if missing else 0)


def _from(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _keep(traces: Mapping[str, bytes], folder: Path) -> None:
    """Write traces into a directory; those that a run before has left there, and that nothing shows any more, go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.jsonl"):
            if path.name not in traces:
                path.unlink()
    except OSError as error:
        raise SuiteError(f"the directory {folder} cannot be written: {error.strerror}") from error
    for name, trace in traces.items():
        emit(trace, folder / name)

"""`judge` and `replay`: what a recorded trace says of the rules, and whether it happens again (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.output import Format, FormatOption, as_json, emit
from conformance.errors import SubjectError, SuiteError
from conformance.execute import CheckResult
from conformance.report import traces as text
from conformance.report.timeline import timeline
from conformance.rulebook import load
from conformance.subjects import protocol as p
from conformance.subjects.connect import FORMS, Connection, find
from conformance.subjects.stdio import StdioSettings
from conformance.traces.file import TraceFile, TraceFileError, decode, read
from conformance.traces.judging import judge
from conformance.traces.replay import replay
from conformance.verdict import EXIT_CODES, Verdict

TraceArgument = Annotated[Path, typer.Argument(help="A trace file (docs/traces.md).")]


def judge_trace(trace: TraceArgument, output_format: FormatOption = Format.TEXT) -> None:
    """Apply every monitor to a recorded trace, from this runtime or another one.

    Exits with 1 when a binding rule is broken, and with 2 when the trace shows nothing about any rule.
    """
    rulebook = load()
    recorded = read(trace)
    result = text.judgement_of(rulebook, str(trace), recorded, judge(rulebook, recorded))
    emit(as_json(result) if output_format is Format.JSON else text.render_judgement(result), None)
    if any(line.binding for line in result.broken):
        raise typer.Exit(EXIT_CODES[Verdict.NOT_CONFORMANT])
    raise typer.Exit(EXIT_CODES[Verdict.CONFORMANT] if result.kept or result.broken else EXIT_CODES[Verdict.INDETERMINATE])


def replay_trace(
    trace: TraceArgument,
    subject: Annotated[str, typer.Option("--subject", help=f"Who runs it again: {FORMS}.")],
    against: Annotated[str, typer.Option("--against", help="With whom it is compared.")] = "reference",
    output_format: FormatOption = Format.TEXT,
    reply_timeout: Annotated[
        float, typer.Option("--reply-timeout", min=0.01, help="Seconds that a stdio subject may take for one answer.")
    ] = StdioSettings().reply_timeout,
) -> None:
    """Run a recorded trace again, and show recording, reference and subject side by side where they first differ.

    Exits with 1 when the subject breaks a binding rule this time, or dies of it, and with 2 when it does not offer what the trace needs.
    """
    rulebook = load()
    recorded = read(trace)
    settings = StdioSettings(reply_timeout=reply_timeout)
    names = [against, subject] if subject != against else [subject]
    runs = [(name, _run(name, settings, recorded)) for name in names]
    columns = [text.column_of(rulebook, name, run, judge(rulebook, run)) for name, run in (("recorded", recorded), *runs)]
    result = text.replayed(rulebook, str(trace), recorded, columns)
    emit(as_json(result) if output_format is Format.JSON else text.render_replay(result), None)
    last = runs[-1][1]
    if any(exchange.reply is None for exchange in last.exchanges) or any(line.binding for line in columns[-1].broken):
        raise typer.Exit(EXIT_CODES[Verdict.NOT_CONFORMANT])
    if any(isinstance(exchange.reply, p.Unsupported) for exchange in last.exchanges):
        raise typer.Exit(EXIT_CODES[Verdict.INDETERMINATE])


def _run(name: str, settings: StdioSettings, recorded: TraceFile) -> TraceFile:
    connection = Connection(find(name, settings))
    try:
        return replay(connection.session(), recorded)
    except SubjectError as error:
        raise SuiteError(f"the subject {name!r} did not introduce itself: {error}\n{error.detail}".rstrip()) from error
    finally:
        connection.close()


def write_counterexamples(results: Iterable[CheckResult], directory: Path) -> dict[str, Path]:
    """Write the counterexamples of a run into a directory, which is made if need be; return the files by check.

    Beside each trace stands the page to travel through it. What no reader of traces accepts, for its size, is left out.

    Raises:
        SuiteError: a file cannot be written.
    """
    written: dict[str, Path] = {}
    for result in results:
        if not result.counterexample:
            continue
        rule = next((finding.rule for finding in result.findings if finding.outcome in text.FAILED), result.findings[0].rule)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SuiteError(f"the directory {directory} cannot be made: {error.strerror}") from error
        path = directory / f"{rule}.{result.check}.jsonl"
        try:
            trace = decode(result.counterexample, str(path))
        except TraceFileError:
            continue
        emit(result.counterexample, path)
        emit(timeline(trace, path.name), path.with_suffix(".html"))
        written[result.check] = path
    return written

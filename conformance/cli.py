"""`torvyn-conformance`: judge a subject, list the rules, explain one. Exit codes: docs/exit-codes.md.

A further command is a function in a module of `conformance.commands` and one line at the end of the registrations here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from conformance.checks import Depth, Registry, all_checks
from conformance.commands import doctor, mutants, skeletons, tracing
from conformance.commands import findings as findings_command
from conformance.commands import report as report_command
from conformance.commands import timeline as timeline_command
from conformance.commands import traces as trace_commands
from conformance.commands.component import component
from conformance.commands.judging import areas_of, follow_up, hold_to_its_claims, meet, start_transcript, surprised, told
from conformance.commands.output import BROKEN_PIPE, EXITS, INTERRUPTED, Format, FormatOption, as_json, emit
from conformance.commands.traces import write_counterexamples
from conformance.errors import SuiteError
from conformance.execute import CheckResult, run_plan, run_plan_parallel
from conformance.known import baseline, compare
from conformance.known import read as read_known
from conformance.plan import Plan, make_plan, select
from conformance.report import rules as rule_report
from conformance.report import text
from conformance.report.formats import ENDINGS, targets, write
from conformance.report.json import KnownLine, build, encode, with_traces
from conformance.report.sarif import Anchor
from conformance.report.words import clean
from conformance.rulebook import Profile, RulebookError, UnknownRuleError, load
from conformance.subjects.connect import FORMS
from conformance.subjects.stdio import StdioSettings
from conformance.verdict import EXIT_HARNESS, EXIT_USAGE, judge, lowered

_ClickError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Wrong usage, as typer reports it; found through its public subclass, because newer typers bring their own click."""

app = typer.Typer(
    name="torvyn-conformance",
    help="Judge a runtime by the rules of Torvyn.",
    epilog=EXITS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(epilog=EXITS)
def run(
    subject: Annotated[str, typer.Option("--subject", help=f"Who is judged: {FORMS}.")],
    rules: Annotated[
        list[str] | None, typer.Option("--rules", help="Only these rules: ids, areas or globs (WMK-004, WMK, 'WMK-*'). Repeatable.")
    ] = None,
    depth: Annotated[Depth, typer.Option("--profile-run", help="How much to try.")] = Depth.QUICK,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same examples, in every process.")] = 0,
    output_format: FormatOption = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", help="Write the result to this file instead of standard output.")] = None,
    traces: Annotated[
        Path | None,
        typer.Option(
            "--traces", help="Write the smallest counterexample of every failing check into this directory, as a trace and as a page."
        ),
    ] = None,
    reports: Annotated[
        list[str] | None,
        typer.Option(
            "--report", metavar="FILE", help=f"Write a report to this file, too: {', '.join(ENDINGS)}, or FORMAT=FILE. Repeatable."
        ),
    ] = None,
    anchor: report_command.AnchorOption = None,
    profiles: Annotated[
        list[Profile] | None, typer.Option("--profile", help="Judge by this profile's rules alone. Repeatable; all by default.")
    ] = None,
    known_file: Annotated[
        Path | None, typer.Option("--known-failures", metavar="FILE", help="What is known to fail; the exit code then says what is new.")
    ] = None,
    baseline_file: Annotated[
        Path | None, typer.Option("--write-baseline", metavar="FILE", help="Write what fails as a list of known failures; needs --issue.")
    ] = None,
    issue: Annotated[
        str | None, typer.Option("--issue", metavar="URL", help="Where the failures of --write-baseline are followed up.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DATE", help="Their last day, for example 2027-01-31; in 90 days by default.")
    ] = None,
    transcript: Annotated[
        Path | None, typer.Option("--transcript", metavar="FILE", help="Write every line exchanged with a stdio subject; needs --jobs 1.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Worker processes; the result does not depend on it.")] = 1,
    reply_timeout: Annotated[
        float, typer.Option("--reply-timeout", min=0.01, help="Seconds that a stdio subject may take for one answer.")
    ] = StdioSettings().reply_timeout,
) -> None:
    """Run the checks against a subject and say what they amount to."""
    settings = StdioSettings(reply_timeout=reply_timeout, transcript=start_transcript(transcript, subject, jobs))
    wanted = targets(reports or [])  # a mistake here is told before anything is started
    place = None if anchor is None else Anchor.parse(anchor)
    known = None if known_file is None else read_known(known_file)
    tracked = follow_up(baseline_file, issue, expires)
    rulebook = load()
    registry = all_checks(rulebook)
    selection = [*(rules or []), *([] if rules else areas_of(profiles or []))]
    meeting = meet(rulebook, subject, settings, selection)
    met = not meeting.failures
    plan = make_plan(rulebook, registry, meeting.declaration, selection=selection, depth=depth, seed=seed, met=met)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    notes.print(f"plan {plan.digest}: {len(plan.items)} items, seed {seed}, {depth}", markup=False)
    results = _execute(plan, registry, subject, settings, jobs, notes, () if known is None else [entry.item for entry in known.flaky])
    claims = hold_to_its_claims(subject, settings, meeting, plan, results)
    if baseline_file is not None and tracked is not None:
        emit(baseline(results, issue=tracked[0], expires=tracked[1]), baseline_file)
    compared = None if known is None else compare(known, plan, results, datetime.now(UTC).date())
    results = results if compared is None else list(compared.results)
    findings = [finding for result in results for finding in result.findings]
    judgement = judge(rulebook, plan, findings, profiles=[str(profile) for profile in profiles or []])
    judgement = lowered(judgement, broken=meeting.failures, doubtful=told(claims))
    held = None
    if compared is not None:
        judgement = surprised(judgement, compared, met=met)
        held = KnownLine(file=str(known_file), unexpected=compared.unexpected, stale=compared.stale, expired=compared.expired)
    report = build(rulebook, plan, subject, results, judgement, claims=claims, known=held)
    if traces is not None:
        kept = write_counterexamples(results, traces)
        for written in kept.values():
            notes.print(f"counterexample: {written}", markup=False)
        report = with_traces(report, kept)
    problems: list[str] = []
    for path, report_format in wanted:
        try:
            emit(write(report, report_format, anchor=place, folder=path.parent), path)
        except SuiteError as error:  # the run is over, and what it found is told all the same
            problems += error.problems
    emit(encode(report) if output_format is Format.JSON else text.render_run(report), output)
    if problems:
        raise SuiteError(*problems)
    raise typer.Exit(judgement.exit_code)


@app.command("rules", epilog=EXITS)
def list_rules(
    area: Annotated[list[str] | None, typer.Option("--area", help="Only this area. Repeatable.")] = None,
    *,
    summary: Annotated[bool, typer.Option("--summary", help="Counts per area instead of one line per rule.")] = False,
    output_format: FormatOption = Format.TEXT,
) -> None:
    """List the rules: which are checked, by what, and which faults prove that the checks can fail."""
    rulebook = load()
    lines = rule_report.rule_lines(rulebook, all_checks(rulebook), select(rulebook, area or []))
    if summary:
        table = rule_report.summarise(lines)
        emit(as_json(table) if output_format is Format.JSON else text.render_summary(table), None)
    else:
        emit(as_json(lines) if output_format is Format.JSON else text.render_rules(lines), None)


@app.command(epilog=EXITS)
def explain(
    rule: Annotated[str, typer.Argument(help="A rule's id, for example WMK-004.")],
    output_format: FormatOption = Format.TEXT,
) -> None:
    """Explain one rule: its words, where they come from, what happens when it is broken, and how it is checked."""
    rulebook = load()
    explanation = rule_report.explain(rulebook, all_checks(rulebook), rulebook.get(rule))
    emit(as_json(explanation) if output_format is Format.JSON else text.render_explanation(explanation), None)


app.command("judge", epilog=EXITS)(trace_commands.judge_trace)
app.command("replay", epilog=EXITS)(trace_commands.replay_trace)
app.command(epilog=EXITS)(component)
app.command("mutants", epilog=mutants.EXITS)(mutants.mutants)
app.command("doctor", epilog=doctor.EXITS)(doctor.doctor)
app.command("new-adapter", epilog=skeletons.EXITS)(skeletons.new_adapter)
app.command("trace-matrix", epilog=tracing.EXITS)(tracing.trace_matrix)
app.command("report", epilog=EXITS)(report_command.report)
app.command("findings", epilog=findings_command.EXITS)(findings_command.findings)
app.command("trace", epilog=EXITS)(timeline_command.trace)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with the documented code; a user's mistake is one message, not a traceback."""
    sys.exit(call(sys.argv[1:] if arguments is None else arguments))


def call(arguments: list[str]) -> int:
    """Run the program with these arguments and return its exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="torvyn-conformance", standalone_mode=False)
        sys.stdout.flush()
    except _ClickError as error:
        error.show()  # type: ignore[attr-defined]  # every one of them can
        return EXIT_USAGE
    except (SuiteError, UnknownRuleError) as error:
        return _complain(str(error), EXIT_USAGE)
    except RulebookError as error:
        return _complain(str(error), EXIT_HARNESS)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's own last flush is quiet
        return BROKEN_PIPE
    if code == INTERRUPTED:  # newer typers answer Ctrl-C with this code instead of an exception
        return _complain("interrupted: nothing was decided", INTERRUPTED)
    return code if isinstance(code, int) else 0


# ---------------------------------------------------------------- inside


def _execute(
    plan: Plan,
    registry: Registry,
    subject: str,
    settings: StdioSettings,
    jobs: int,
    notes: Console,
    flickering: Collection[tuple[str, str]],
) -> list[CheckResult]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
    ) as progress:
        task = progress.add_task("checks", total=len(plan.by_check()))

        def on_result(result: CheckResult) -> None:
            progress.update(task, advance=1, description=clean(result.check))

        if jobs > 1:
            return run_plan_parallel(plan, subject, jobs, settings=settings, flickering=flickering, on_result=on_result)
        return run_plan(plan, registry, subject, settings=settings, flickering=flickering, on_result=on_result)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"torvyn-conformance: {clean(message)}\n")
    return code

"""`torvyn-ref`: run a flow on the reference runtime, check it without running, and what else a project needs (docs/torvyn-ref.md)."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Annotated

import anyio
import typer

from torvyn_ref import session, summary, tracing
from torvyn_ref.clock import VirtualClock
from torvyn_ref.commands.benching import bench
from torvyn_ref.commands.checking import check, link
from torvyn_ref.commands.diagnosing import doctor
from torvyn_ref.commands.packing import inspect, pack, publish
from torvyn_ref.commands.shared import (
    HERE,
    SIGNALLED,
    AuditOption,
    FlowOption,
    Format,
    FormatOption,
    InsecureOption,
    LevelOption,
    LogLevel,
    ManifestOption,
    OfflineOption,
    ProjectArgument,
    SetOption,
    guest_output,
    host_of,
    parse_duration,
    project_at,
    reported,
    warned,
)
from torvyn_ref.commands.starting import init
from torvyn_ref.compiled import is_compiled
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowState
from torvyn_ref.host import Attachments
from torvyn_ref.observe.plot import Axis
from torvyn_ref.reactor import open_feed
from torvyn_ref.taps import OutputFile
from torvyn_ref.terminal import Colour, Exit, Loudness, detail, hang_up, plain, print_json, say, screen, show_logged_warnings, warn

app = typer.Typer(
    name="torvyn-ref",
    help="Torvyn's reference runtime: run a flow of WebAssembly components, or check it without running.\n\n"
    "Words for people go to stderr, data goes to stdout. Exit codes: 0 done, 1 failed or refused, 2 wrong usage, configuration or file, "
    "130 interrupted, 141 the reader of stdout has gone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer's signature
    if wanted:
        compiled = ", compiled" if is_compiled() else ""
        sys.stdout.write(f"torvyn-ref {metadata.version('torvyn-conformance')} (wasmtime {metadata.version('wasmtime')}{compiled})\n")
        raise typer.Exit


@app.callback()
def torvyn_ref(
    color: Annotated[Colour, typer.Option("--color", help="When words for people have colours.")] = Colour.AUTO,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,  # noqa: FBT002  # typer's way to write a flag
) -> None:
    """Take what comes before the command."""
    del version  # it has been shown
    screen.colour(color)


@app.command()
def run(
    project: ProjectArgument = HERE,
    flow: FlowOption = None,
    manifest: ManifestOption = None,
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="[NODE=]FILE|-", help="Replace the source by the lines of a file, one element each."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE|-", help="Write the payload of every delivered element, a line each.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Stop after N elements have entered.")] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Cancel after this long: 500ms, 2s, 1.5m, 1h.")
    ] = None,
    overrides: SetOption = None,
    log_level: LevelOption = LogLevel.INFO,
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # typer's way to write a flag
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Run a flow to its end: completion, --limit, --timeout or Ctrl-C.

    Ctrl-C lets what is under way reach its end; a second one gives it up.
    """
    as_json = format_ is Format.JSON
    screen.loudness = Loudness[log_level.name]
    interruption = session.Interruption()
    with reported("run", interruption, as_json=as_json), ExitStack() as stack:
        seconds = None if timeout is None else parse_duration(timeout)
        if output == "-" and as_json:
            message = "--output - and --format json both want stdout"
            raise TorvynError("cli", "stdout-taken", message, where="--output", hint="write --output FILE")
        host = stack.enter_context(host_of(project_at(project, manifest), overrides, audit, offline=offline, insecure=insecure))
        host.project.flow(flow)  # before any file is opened
        feed, fed_stage = open_feed(input_) if input_ is not None else (None, None)
        if feed is not None:
            stack.callback(feed.close)
        sink = OutputFile(output) if output is not None else None
        attachments = Attachments(
            feed=feed,
            feed_stage=fed_stage,
            tap=sink,
            stdout=guest_output(sys.stderr if output == "-" or as_json else sys.stdout),
            stderr=guest_output(sys.stderr),
            limit=limit,
        )
        prepared = host.prepare(flow, attachments)
        stack.callback(prepared.close)
        for stage in prepared.stages:
            detail(f"{stage.name} ({stage.role}): {stage.component}, {stage.digest}, on the {stage.engine} engine")
        shares_terminal = sys.stdout.isatty() and (output == "-" or any("stdio:stdout" in stage.capabilities for stage in prepared.stages))
        progress = None if as_json or shares_terminal else screen.console

        async def go() -> session.Outcome:
            return await session.run(host, prepared, feed=feed, timeout_s=seconds, console=progress, interruption=interruption)

        if sink is not None:
            sink.open()
        partial: Path | None = None
        whole = False
        try:
            outcome = anyio.run(go)
            whole = outcome.report.state is not FlowState.FAILED
        finally:
            partial = sink.finish(whole=whole) if sink is not None else None
            if partial is not None and not as_json:
                say(f"what was delivered before the end is in {plain(str(partial))}")
        code = _exit_code(whole=whole, sink=sink, interruption=interruption)
        if as_json:
            _print_run(outcome, code)
        else:
            for warning in prepared.warnings:
                warn(warning)
            summary.show(outcome, screen.console)
        raise typer.Exit(code)


@app.command()
def trace(
    project: ProjectArgument = HERE,
    flow: FlowOption = None,
    manifest: ManifestOption = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE|-", help="Write the trace, JSON lines; - is stdout, the default without --plot and --spans."),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the depth of every queue over time.")] = None,
    spans: Annotated[
        str | None, typer.Option("--spans", metavar="FILE|-", help="Write every span, as OTLP in lines of JSON; - is stdout.")
    ] = None,
    axis: Annotated[Axis, typer.Option("--axis", help="What the picture's width is: time, or steps (enqueues and dequeues).")] = Axis.TIME,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", metavar="NAME", help="consumer-first, producer-first or drawn:SEED; as configured, when not given."),
    ] = None,
    virtual: Annotated[  # noqa: FBT002  # typer's way to write a flag
        bool, typer.Option("--virtual", help="On a virtual clock: time passes only where the flow waits. Every run is the same.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Stop after N elements have entered.")] = None,
    overrides: SetOption = None,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # as above
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Run a flow and write down what happens: a trace for torvyn-conformance to judge, a picture, spans for OpenTelemetry."""
    interruption = session.Interruption()
    with reported("trace", interruption, as_json=False), ExitStack() as stack:
        if schedule is not None:
            tracing.parse_schedule(schedule)  # before anything is loaded
        clock = VirtualClock() if virtual else None
        host = stack.enter_context(
            host_of(project_at(project, manifest), overrides, audit, offline=offline, insecure=insecure, clock=clock)
        )
        if spans == "-" and out == "-":
            raise TorvynError("cli", "stdout-taken", "--out - and --spans - both want stdout", where="--spans")
        target = "-" if out is None and plot is None and spans is None else out
        lines = None if target is None else stack.enter_context(tracing.open_trace(target))
        attachments = Attachments(stdout=guest_output(sys.stderr), stderr=guest_output(sys.stderr), limit=limit)
        otlp = None if spans is None else stack.enter_context(tracing.open_trace(spans, "--spans"))
        wanted = tracing.Wanted(lines, plot, otlp, axis)
        outcome = tracing.run(host, flow, wanted, schedule=schedule, attachments=attachments, interruption=interruption)
        for warning in outcome.prepared.warnings:
            warn(warning)
        summary.show(outcome, screen.console)
        raise typer.Exit(_exit_code(whole=outcome.report.state is not FlowState.FAILED, sink=None, interruption=interruption))


app.command()(check)
app.command()(link)
app.command()(init)
app.command()(pack)
app.command()(publish)
app.command()(inspect)
app.command()(doctor)
app.command()(bench)


def main() -> None:
    """Run the command line."""
    if sys.stdout is None:  # closed by whoever started this
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    show_logged_warnings()
    try:
        app()
    except KeyboardInterrupt:  # once more, when everything was said
        raise SystemExit(SIGNALLED + signal.SIGINT) from None
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # said already, or nobody's concern: the reader has gone
            hang_up()


def _exit_code(*, whole: bool, sink: OutputFile | None, interruption: session.Interruption) -> int:
    if not whole:
        return Exit.READER_GONE if sink is not None and sink.reader_gone else Exit.FAILED
    return Exit.OK if interruption.by is None else SIGNALLED + interruption.by


def _print_run(outcome: session.Outcome, code: int) -> None:
    data = summary.as_data(outcome)
    warnings = warned(outcome.prepared.warnings)
    if outcome.report.state is not FlowState.FAILED:
        print_json({"success": True, "command": "run", "data": data, "exit_code": code, **warnings})
        return
    error = summary.failed(outcome)
    failure = {"error": True, "command": "run", "category": "runtime", "detail": error["message"]}
    failure |= {"context": error.get("fields", {}).get("stage"), "exit_code": code}
    print_json({**failure, "errors": [error], "data": data, **warnings})

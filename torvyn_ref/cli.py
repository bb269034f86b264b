"""`torvyn-ref`: run a flow on the reference runtime, or check it without running (docs/torvyn-ref.md)."""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, TextIO

import anyio
import typer

from torvyn_ref import config, session, summary, tracing
from torvyn_ref.clock import Clock, SystemClock, VirtualClock
from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.flow import FlowState
from torvyn_ref.host import Attachments, Host
from torvyn_ref.observe.plot import Axis
from torvyn_ref.packaging import Credentials, RegistryOptions
from torvyn_ref.planning import StageInfo, each
from torvyn_ref.reactor import open_feed
from torvyn_ref.security.audit import AuditLog, AuditSink, discard
from torvyn_ref.security.sinks import JsonLines, RotatingFile
from torvyn_ref.taps import OutputFile
from torvyn_ref.terminal import Exit, console, fail, hang_up, plain, print_json, say, show_logged_warnings, warn

app = typer.Typer(
    name="torvyn-ref",
    help="Torvyn's reference runtime: run a flow of WebAssembly components, or check it without running.\n\n"
    "Words for people go to stderr, data goes to stdout. Exit codes: 0 done, 1 failed or refused, 2 wrong usage, configuration or file, "
    "130 interrupted, 141 the reader of stdout has gone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Format(StrEnum):
    """How results are given."""

    TEXT = "text"
    JSON = "json"


_DURATION = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIGNALLED = 128
"""A run that a signal ended exits with this and the signal's number."""

ProjectArgument = Annotated[
    Path, typer.Argument(metavar="FLOW", help="A Torvyn.toml, or the directory that holds one.", show_default=False)
]
FlowOption = Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Which flow of the project; the first, when not given.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--config", metavar="KEY=VALUE", help="Override a configuration key: runtime.drain_timeout_ms=100. May be repeated."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="text on stderr, or JSON on stdout.")]
AuditOption = Annotated[
    str | None,
    typer.Option("--audit", metavar="FILE|-", help="Where the audit log goes, as JSON lines; - is stderr. Default: as configured."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Ask no registry: use what the cache holds.")]
InsecureOption = Annotated[
    bool, typer.Option("--insecure-registry", help="Speak plain HTTP to registries. A token for them is read from TORVYN_REGISTRY_TOKEN.")
]


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer's signature
    if wanted:
        sys.stdout.write(f"torvyn-ref {metadata.version('torvyn-conformance')} (wasmtime {metadata.version('wasmtime')})\n")
        raise typer.Exit


@app.callback()
def torvyn_ref(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,  # noqa: FBT002  # typer's way to write a flag
) -> None:
    """Take what comes before the command."""


@app.command()
def run(
    project: ProjectArgument,
    flow: FlowOption = None,
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
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # typer's way to write a flag
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Run a flow to its end: completion, --limit, --timeout or Ctrl-C.

    Ctrl-C lets what is under way reach its end; a second one gives it up.
    """
    as_json = format_ is Format.JSON
    interruption = session.Interruption()
    with _reported("run", interruption, as_json=as_json), ExitStack() as stack:
        seconds = None if timeout is None else parse_duration(timeout)
        if output == "-" and as_json:
            message = "--output - and --format json both want stdout"
            raise TorvynError("cli", "stdout-taken", message, where="--output", hint="write --output FILE")
        host = stack.enter_context(_host(project, overrides, audit, offline=offline, insecure=insecure))
        host.project.flow(flow)  # before any file is opened
        feed, fed_stage = open_feed(input_) if input_ is not None else (None, None)
        if feed is not None:
            stack.callback(feed.close)
        sink = OutputFile(output) if output is not None else None
        attachments = Attachments(
            feed=feed,
            feed_stage=fed_stage,
            tap=sink,
            stdout=_guest_output(sys.stderr if output == "-" or as_json else sys.stdout),
            stderr=_guest_output(sys.stderr),
            limit=limit,
        )
        prepared = host.prepare(flow, attachments)
        stack.callback(prepared.close)
        shares_terminal = sys.stdout.isatty() and (output == "-" or any("stdio:stdout" in stage.capabilities for stage in prepared.stages))
        progress = None if as_json or shares_terminal else console

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
            summary.show(outcome, console)
        raise typer.Exit(code)


@app.command()
def trace(
    project: ProjectArgument,
    flow: FlowOption = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE|-", help="Write the trace, JSON lines; - is stdout, the default without --plot."),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the depth of every queue over time.")] = None,
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
    """Run a flow and write down what happens: a trace that torvyn-conformance can judge, a picture of its queues, or both."""
    interruption = session.Interruption()
    with _reported("trace", interruption, as_json=False), ExitStack() as stack:
        if schedule is not None:
            tracing.parse_schedule(schedule)  # before anything is loaded
        clock = VirtualClock() if virtual else None
        host = stack.enter_context(_host(project, overrides, audit, offline=offline, insecure=insecure, clock=clock))
        target = "-" if out is None and plot is None else out
        lines = None if target is None else stack.enter_context(tracing.open_trace(target))
        attachments = Attachments(stdout=_guest_output(sys.stderr), stderr=_guest_output(sys.stderr), limit=limit)
        wanted = tracing.Wanted(lines, plot, axis)
        outcome = tracing.run(host, flow, wanted, schedule=schedule, attachments=attachments, interruption=interruption)
        for warning in outcome.prepared.warnings:
            warn(warning)
        summary.show(outcome, console)
        raise typer.Exit(_exit_code(whole=outcome.report.state is not FlowState.FAILED, sink=None, interruption=interruption))


@app.command()
def check(
    project: ProjectArgument,
    flow: FlowOption = None,
    overrides: SetOption = None,
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # typer's way to write a flag
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Check a flow, or all flows of a project, without running: configuration, graph, components, contracts, capabilities.

    No guest code runs.
    """
    as_json = format_ is Format.JSON
    with _reported("check", as_json=as_json), _host(project, overrides, audit, offline=offline, insecure=insecure) as host:
        host.project.flow(flow)  # a project without flows, or without this one, is refused here
        names = [flow] if flow is not None else list(host.project.flows)
        checked: dict[str, tuple[StageInfo, ...]] = {}
        errors: list[TorvynError] = []
        for name in names:
            try:
                checked[name] = host.check(name)
            except TorvynError as error:
                errors += each(error)
        raise_all(errors)
        if as_json:
            data = {name: [_stage_data(stage) for stage in stages] for name, stages in checked.items()}
            print_json({"success": True, "command": "check", "data": {"flows": data}, **_warned(host.project.warnings)})
            return
        for warning in host.project.warnings:
            warn(warning)
        for name, stages in checked.items():
            say(("ok", "green"), f" {name}: {', '.join(f'{stage.name} ({stage.role})' for stage in stages)}")


def parse_duration(text: str) -> float:
    """Return a duration such as `500ms`, `2s`, `1.5m` or `1h` in seconds (CLI-005).

    Raises:
        TorvynError: cli/invalid-duration.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match["number"]) * _SECONDS[match["unit"]] if match else math.inf
    if not math.isfinite(seconds):
        message = f"expected a number and ms, s, m or h, such as 500ms or 2s, found {plain(text)[:40]!r}"
        raise TorvynError("cli", "invalid-duration", message, where="--timeout")
    return seconds


def main() -> None:
    """Run the command line."""
    if sys.stdout is None:  # closed by whoever started this
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    show_logged_warnings()
    try:
        app()
    except KeyboardInterrupt:  # once more, when everything was said
        raise SystemExit(_SIGNALLED + signal.SIGINT) from None
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # said already, or nobody's concern: the reader has gone
            hang_up()


@contextmanager
def _host(
    project: Path, overrides: list[str] | None, audit: str | None, *, offline: bool, insecure: bool, clock: Clock | None = None
) -> Iterator[Host]:
    loaded = config.load(project, overrides=_overrides(overrides or []))
    with ExitStack() as stack:
        log = AuditLog(_audit_sink(loaded, audit, stack), SystemClock())
        token = os.environ.get("TORVYN_REGISTRY_TOKEN")
        registry = RegistryOptions(insecure=insecure, credentials=Credentials(token=token) if token else None)
        host = Host(loaded, clock=clock, audit=log, registry=registry, offline=offline)
        stack.callback(host.close)
        yield host
        if log.lost:
            warn(f"{log.lost} audit events could not be written: {log.last_problem}")


def _audit_sink(project: config.Project, target: str | None, stack: ExitStack) -> AuditSink:
    """Return where audit events go; stdout is for data, so what would go there goes to stderr."""
    if target is None:
        if not project.security.audit_enabled:
            return discard
        if project.security.audit_target != "file":
            target = "-"
    if target == "-":
        return JsonLines(sys.stderr)
    path = Path(target) if target is not None else project.root / ".torvyn" / "audit.jsonl"
    try:
        if target is not None and not path.parent.is_dir():  # a slip of the finger makes no directories
            raise FileNotFoundError(None, f"there is no directory {path.parent}")
        path.parent.mkdir(exist_ok=True, mode=0o700)
        if not path.exists():  # only what this run makes may go again: never somebody's empty file, never a device
            stack.callback(_forget_if_empty, path)
        sink = RotatingFile(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "write --audit - to have it on stderr" if target is None else None
        raise TorvynError("cli", "audit-failed", f"cannot write {path}: {reason}", where="--audit", hint=hint) from error
    stack.callback(sink.close)
    return sink


def _forget_if_empty(path: Path) -> None:
    """Take an audit log away that nothing was written to, and its directory, when it was made for nothing."""
    with suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()
            if path.parent.name == ".torvyn":
                path.parent.rmdir()


def _overrides(pairs: list[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    raise_all(
        TorvynError("cli", "invalid-override", f"{plain(pair)[:80]!r} is not KEY=VALUE", where="--config")
        for (key, equals, _), pair in zip(split, pairs, strict=True)
        if not key or not equals
    )
    return {key: value for key, _, value in split}


def _guest_output(stream: TextIO) -> Callable[[bytes], object]:
    """Return where a guest's own output goes: what it writes is seen at once, and an OSError is told to the guest."""

    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.flush()

    return write


@contextmanager
def _reported(command: str, interruption: session.Interruption | None = None, *, as_json: bool) -> Iterator[None]:
    """Turn what went wrong into words, or JSON, and an exit code."""
    try:
        yield
    except TorvynError as error:
        by = interruption.by if interruption is not None else None
        abandoned = by is not None and (error.subsystem, error.kind) == ("flow", "abandoned")
        fail(command, error, as_json=as_json, code=_SIGNALLED + by if abandoned and by is not None else None)
    except KeyboardInterrupt:
        raise typer.Exit(_SIGNALLED + signal.SIGINT) from None


def _exit_code(*, whole: bool, sink: OutputFile | None, interruption: session.Interruption) -> int:
    if not whole:
        return Exit.READER_GONE if sink is not None and sink.reader_gone else Exit.FAILED
    return Exit.OK if interruption.by is None else _SIGNALLED + interruption.by


def _stage_data(stage: StageInfo) -> dict[str, Any]:
    return {
        "name": stage.name,
        "role": stage.role,
        "component": stage.component,
        "digest": stage.digest,
        "engine": stage.engine,
        "fallback_reason": stage.fallback_reason,
        "capabilities": list(stage.capabilities),
    }


def _print_run(outcome: session.Outcome, code: int) -> None:
    data = summary.as_data(outcome)
    warned = _warned(outcome.prepared.warnings)
    if outcome.report.state is not FlowState.FAILED:
        print_json({"success": True, "command": "run", "data": data, "exit_code": code, **warned})
        return
    error = summary.failed(outcome)
    failure = {"error": True, "command": "run", "category": "runtime", "detail": error["message"], "exit_code": code}
    print_json({**failure, "errors": [error], "data": data, **warned})


def _warned(warnings: tuple[str, ...]) -> dict[str, list[str]]:
    return {"warnings": list(warnings)} if warnings else {}

"""`torvyn-ref`: run a flow on the reference runtime, or check it without running.

People read stderr; data goes to stdout (CLI-001, CLI-002). Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import anyio
import typer
from rich.console import Console

from torvyn_ref import config, session, summary
from torvyn_ref.clock import SystemClock
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.flow import FlowState
from torvyn_ref.host import Attachments, Host
from torvyn_ref.packaging.registry import RegistryOptions
from torvyn_ref.security.audit import AuditLog, AuditSink, discard
from torvyn_ref.security.sinks import JsonLines, RotatingFile

app = typer.Typer(name="torvyn-ref", help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


class Exit(IntEnum):
    """Exit codes (CLI-003, CLI-004)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    ENVIRONMENT = 3
    INTERRUPTED = 130


class Format(StrEnum):
    """How results are given."""

    TEXT = "text"
    JSON = "json"


CATEGORIES = {
    "config": "config",
    "cli": "io",
    "contract": "contract",
    "topology": "link",
    "packaging": "packaging",
    "security": "security",
}
"""The error category of each subsystem (CLI-002); what is not here is `runtime`."""

_USAGE = {"config", "io"}
_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

ProjectArgument = Annotated[
    Path, typer.Argument(metavar="FLOW", help="A Torvyn.toml, or the directory that holds one.", show_default=False)
]
FlowOption = Annotated[str | None, typer.Option("--flow", help="Which flow of the project; the first, when not given.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--config", metavar="KEY=VALUE", help="Override a configuration key, e.g. runtime.drain_timeout_ms=100.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="text on stderr, or JSON on stdout.")]
AuditOption = Annotated[
    str | None,
    typer.Option("--audit", metavar="FILE|-", help="Where the audit log goes, as JSON lines; - is stderr. Default: as configured."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Ask no registry: use what the cache holds.")]
InsecureOption = Annotated[bool, typer.Option("--insecure-registry", help="Speak plain HTTP to registries.")]


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
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after so many elements have entered.")] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Cancel after this long: 500ms, 2s, 1.5m, 1h.")
    ] = None,
    overrides: SetOption = None,
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # typer's way to write a flag
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Run a flow to its end: completion, --limit, --timeout or Ctrl-C (which drains; twice, to stop at once)."""
    with _reported("run", format_), ExitStack() as stack:
        seconds = None if timeout is None else parse_duration(timeout)
        if output == "-" and format_ is Format.JSON:
            raise TorvynError("cli", "stdout-taken", "--output - and --format json both want stdout", hint="write --output FILE")
        host = stack.enter_context(_host(project, overrides, audit, offline=offline, insecure=insecure))
        feed, fed_stage = session.open_input(input_) if input_ is not None else (None, None)
        host.project.flow(flow)
        sink = _Output(output)
        busy = output == "-" or format_ is Format.JSON
        attachments = Attachments(
            feed=feed,
            feed_stage=fed_stage,
            tap=sink if output is not None else None,
            stdout=_guest_output(sys.stderr if busy else sys.stdout),
            stderr=_guest_output(sys.stderr),
            limit=limit,
        )
        finished = False
        try:
            outcome = _run_in_loop(host, flow, attachments, seconds, sink, show=format_ is Format.TEXT)
            finished = outcome.report.state is not FlowState.FAILED
        finally:
            partial = sink.finish(whole=finished)
        code = Exit.INTERRUPTED if outcome.interrupted else Exit.FAILED if outcome.report.state is FlowState.FAILED else Exit.OK
        if format_ is Format.JSON:
            _print_run(outcome, code)
        else:
            _show_warnings(outcome.prepared.warnings)
            summary.show(outcome, console)
            if partial is not None:
                console.print(f"what was delivered before the failure is in {partial}", highlight=False)
        raise typer.Exit(code)


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
    """Check a flow without running it: configuration, graph, components, contracts, capabilities. No guest code runs."""
    with _reported("check", format_), _host(project, overrides, audit, offline=offline, insecure=insecure) as host:
        host.project.flow(flow)  # a project without flows, or without this one, is refused here
        names = [flow] if flow is not None else list(host.project.flows)
        checked = {name: host.check(name) for name in names}
        if format_ is Format.JSON:
            data = {
                name: [
                    {
                        "name": stage.name,
                        "role": stage.role,
                        "component": stage.component,
                        "digest": stage.digest,
                        "engine": stage.engine,
                        "capabilities": list(stage.capabilities),
                    }
                    for stage in stages
                ]
                for name, stages in checked.items()
            }
            _print_json({"success": True, "command": "check", "data": {"flows": data}, **_warned(host.project.warnings)})
            return
        _show_warnings(host.project.warnings)
        for name, stages in checked.items():
            console.print(f"[green]ok[/] {name}: {', '.join(f'{stage.name} ({stage.role})' for stage in stages)}", highlight=False)


def parse_duration(text: str) -> float:
    """Return a duration such as `500ms`, `2s`, `1.5m` or `1h` in seconds (CLI-005).

    Raises:
        TorvynError: cli/invalid-duration.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match["number"]) * _SECONDS[match["unit"]] if match else math.inf
    if not math.isfinite(seconds):
        raise TorvynError(
            "cli",
            "invalid-duration",
            f"{text[:40]!r} is no duration",
            where="--timeout",
            hint="write a number and ms, s, m or h: 500ms, 2s",
        )
    return seconds


def main() -> None:
    """Run the command line."""
    app()


class _Output:
    """The output, opened when the flow is ready to start: a run that never starts leaves no file."""

    def __init__(self, target: str | None) -> None:
        self._target = target
        self._file: session.OutputFile | None = None

    def open(self, _prepared: object) -> None:
        """Open it."""
        if self._target is not None:
            self._file = session.OutputFile(self._target)

    def __call__(self, payload: bytes) -> None:
        assert self._file is not None
        self._file(payload)

    def finish(self, *, whole: bool) -> Path | None:
        """Close it; return where a partial output was left."""
        if self._file is None:
            return None
        self._file.finish(whole=whole)
        return None if whole else self._file.partial


def _run_in_loop(
    host: Host, flow: str | None, attachments: Attachments, seconds: float | None, sink: _Output, *, show: bool
) -> session.Outcome:
    async def go() -> session.Outcome:
        progress = console if show else None
        return await session.run(host, flow, attachments, timeout_s=seconds, console=progress, on_prepared=sink.open)

    try:
        return anyio.run(go)
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def _host(project: Path, overrides: list[str] | None, audit: str | None, *, offline: bool, insecure: bool) -> Iterator[Host]:
    loaded = config.load(project, overrides=_overrides(overrides or []))
    with ExitStack() as stack:
        log = AuditLog(_audit_sink(loaded, audit, stack), SystemClock())
        host = Host(loaded, audit=log, registry=RegistryOptions(insecure=insecure), offline=offline)
        stack.callback(host.close)
        yield host
        if log.lost:
            console.print(f"[yellow]warning:[/] {log.lost} audit events could not be written: {log.last_problem}", highlight=False)


def _audit_sink(project: config.Project, target: str | None, stack: ExitStack) -> AuditSink:
    if target == "-":
        return JsonLines(sys.stderr)
    if target is None:
        if not project.security.audit_enabled or project.security.audit_target != "file":
            return JsonLines(sys.stderr) if project.security.audit_enabled else discard
        target = str(project.root / ".torvyn" / "audit.jsonl")
        Path(target).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sink = RotatingFile(target)
    stack.callback(sink.close)
    return sink


def _overrides(pairs: list[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    for (key, equals, _), pair in zip(split, pairs, strict=True):
        if not key or not equals:
            raise TorvynError("cli", "invalid-override", f"{pair[:80]!r} is not KEY=VALUE", where="--config")
    return {key: value for key, _, value in split}


def _guest_output(stream: Any) -> Any:
    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.flush()

    return write


@contextmanager
def _reported(command: str, format_: Format) -> Iterator[None]:
    """Turn what went wrong into words, or JSON, and an exit code."""
    try:
        yield
    except TorvynError as error:
        _fail(command, format_, error)
    except BrokenPipeError:
        raise typer.Exit(Exit.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _fail(command: str, format_: Format, error: TorvynError) -> NoReturn:
    errors = error.errors if isinstance(error, TorvynErrors) else (error,)
    category = CATEGORIES.get(error.subsystem, "runtime")
    code = Exit.USAGE if category in _USAGE else Exit.FAILED
    if format_ is Format.JSON:
        failure = {"error": True, "command": command, "category": category, "detail": str(error), "exit_code": int(code)}
        _print_json({**failure, "errors": [one.as_dict() for one in errors]})
    else:
        for one in errors:
            console.print("[bold red]error:[/] ", end="")
            console.print(str(one), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def _print_run(outcome: session.Outcome, code: Exit) -> None:
    data = summary.as_data(outcome)
    warned = _warned(outcome.prepared.warnings)
    if code is not Exit.FAILED:
        _print_json({"success": True, "command": "run", "data": data, "exit_code": int(code), **warned})
        return
    detail = data["failure"] or f"the flow ended {outcome.report.state} ({outcome.report.reason})"
    failure = {"error": True, "command": "run", "category": "runtime", "detail": detail, "exit_code": int(code)}
    _print_json({**failure, "errors": [{"subsystem": "flow", "kind": outcome.report.reason, "message": detail}], "data": data, **warned})


def _warned(warnings: tuple[str, ...]) -> dict[str, list[str]]:
    return {"warnings": list(warnings)} if warnings else {}


def _show_warnings(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)


def _print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")

"""What the commands of `torvyn-ref` share: options, the host of a project, and how a failure is told (CLI-002, CLI-003, CLI-005)."""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from torvyn_ref import config, session
from torvyn_ref.clock import Clock, SystemClock
from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.host import Host
from torvyn_ref.packaging import Credentials, RegistryOptions
from torvyn_ref.security.audit import AuditLog, AuditSink, discard
from torvyn_ref.security.sinks import JsonLines, RotatingFile
from torvyn_ref.terminal import fail, plain, warn


class Format(StrEnum):
    """How results are given: `human` is another word for `text`."""

    TEXT = "text"
    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """How much is said besides results."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"


_DURATION = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
SIGNALLED = 128
"""A run that a signal ended exits with this and the signal's number."""

HERE = Path()
ProjectArgument = Annotated[
    Path,
    typer.Argument(
        metavar="[FLOW]", help="A Torvyn.toml, or the directory that holds one; this directory, when not given.", show_default=False
    ),
]
ManifestOption = Annotated[
    Path | None, typer.Option("--manifest", metavar="FILE", help="The project's Torvyn.toml, instead of the argument.")
]
FlowOption = Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Which flow of the project; the first, when not given.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--config", metavar="KEY=VALUE", help="Override a configuration key: runtime.drain_timeout_ms=100. May be repeated."),
]
LevelOption = Annotated[
    LogLevel, typer.Option("--log-level", help="error: no warnings; warn, info: also those; debug: also what ran where.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="text (or human) on stderr, or JSON on stdout.")]
AuditOption = Annotated[
    str | None,
    typer.Option("--audit", metavar="FILE|-", help="Where the audit log goes, as JSON lines; - is stderr. Default: as configured."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Ask no registry: use what the cache holds.")]
InsecureOption = Annotated[
    bool, typer.Option("--insecure-registry", help="Speak plain HTTP to registries. A token for them is read from TORVYN_REGISTRY_TOKEN.")
]


def parse_duration(text: str, *, where: str = "--timeout") -> float:
    """Return a duration such as `500ms`, `2s`, `1.5m` or `1h` in seconds (CLI-005).

    Raises:
        TorvynError: cli/invalid-duration.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match["number"]) * _SECONDS[match["unit"]] if match else math.inf
    if not math.isfinite(seconds):
        message = f"expected a number and ms, s, m or h, such as 500ms or 2s, found {plain(text)[:40]!r}"
        raise TorvynError("cli", "invalid-duration", message, where=where)
    return seconds


def project_at(argument: Path, manifest: Path | None) -> Path:
    """Return where the project is: the argument, `--manifest`, or this directory.

    Raises:
        TorvynError: cli/two-projects, when both say it.
    """
    if manifest is None:
        return argument
    if argument != HERE:
        raise TorvynError("cli", "two-projects", f"{argument} and --manifest {manifest} both name a project", where="--manifest")
    return manifest


@contextmanager
def host_of(
    project: Path, overrides: list[str] | None, audit: str | None, *, offline: bool, insecure: bool, clock: Clock | None = None
) -> Iterator[Host]:
    """Give the host of a project, with its audit log, and close both at the end."""
    loaded = config.load(project, overrides=overrides_of(overrides or []))
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


def overrides_of(pairs: list[str]) -> dict[str, str]:
    """Return KEY=VALUE pairs as a mapping.

    Raises:
        TorvynError: cli/invalid-override.
    """
    split = [pair.partition("=") for pair in pairs]
    raise_all(
        TorvynError("cli", "invalid-override", f"{plain(pair)[:80]!r} is not KEY=VALUE", where="--config")
        for (key, equals, _), pair in zip(split, pairs, strict=True)
        if not key or not equals
    )
    return {key: value for key, _, value in split}


def guest_output(stream: TextIO) -> Callable[[bytes], object]:
    """Return where a guest's own output goes: what it writes is seen at once, and an OSError is told to the guest."""

    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.flush()

    return write


@contextmanager
def reported(command: str, interruption: session.Interruption | None = None, *, as_json: bool) -> Iterator[None]:
    """Turn what went wrong into words, or JSON, and an exit code."""
    try:
        yield
    except TorvynError as error:
        by = interruption.by if interruption is not None else None
        abandoned = by is not None and (error.subsystem, error.kind) == ("flow", "abandoned")
        fail(command, error, as_json=as_json, code=SIGNALLED + by if abandoned and by is not None else None)
    except KeyboardInterrupt:
        raise typer.Exit(SIGNALLED + signal.SIGINT) from None


def warned(warnings: tuple[str, ...]) -> dict[str, list[str]]:
    """Return warnings as a result has them: not at all when there are none (CLI-001)."""
    return {"warnings": list(warnings)} if warnings else {}

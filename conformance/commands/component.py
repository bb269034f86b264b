"""`torvyn-conformance component TARGET`: validate a component, or those of a project (docs/component-validation.md)."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.commands.output import as_json, emit
from conformance.components.door import contained
from conformance.components.examine import CHECKS
from conformance.components.manifest import find_targets, read_bounded
from conformance.components.model import BUDGET_BYTES, Scenario, Wishes
from conformance.components.result import ValidationReport
from conformance.components.steps import read_steps
from conformance.components.text import render
from conformance.components.validate import validate
from conformance.components.written import component_html, component_sarif
from conformance.errors import SubjectError, SuiteError
from conformance.subjects.connect import FORMS, Connection
from conformance.subjects.stdio import StdioSettings

MOST_PAYLOAD = 1 << 24
"""Bytes: no buffer holds more (POOL-004)."""


REPLY_TIMEOUT = 300.0
"""Seconds: compiling a component of 20 MiB takes an engine half a minute, and a busy machine longer."""


class Format(StrEnum):
    """How a validation is written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    HTML = "html"


def component(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A component's .wasm file, a Torvyn.toml, or the directory that holds one.")
    ],
    subject: Annotated[str, typer.Option("--subject", help=f"Which runtime runs it: {FORMS}.")] = "reference",
    engines: Annotated[
        list[str] | None, typer.Option("--engine", help="Only this engine of the runtime. Repeatable; default: all.")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="The configuration text for init, for a single file.")] = None,
    grants: Annotated[
        list[str] | None, typer.Option("--grant", help="Declare and grant this capability. Repeatable; default: all that it imports.")
    ] = None,
    ports: Annotated[list[str] | None, typer.Option("--port", help="An output port that a router's flow has. Repeatable.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="Only this node of a project: NODE or FLOW.NODE.")] = None,
    payloads: Annotated[
        list[Path] | None, typer.Option("--payload", help="A file whose content is tried as an element, too. Repeatable.")
    ] = None,
    checks: Annotated[list[str] | None, typer.Option("--check", help=f"Only this check: {', '.join(CHECKS)}. Repeatable.")] = None,
    steps: Annotated[str | None, typer.Option("--steps", help="Play these calls only, as a finding shows them (JSON).")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same elements.")] = 0,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0.01, help="Seconds for all of it. What is not done by then is said in the verdict.")
    ] = None,
    fuel: Annotated[int, typer.Option("--fuel", min=1, help="Fuel per call, about one per instruction.")] = Wishes().fuel,
    buffer_budget: Annotated[int, typer.Option("--buffer-budget", min=1, help="Bytes of buffers that --steps may hold.")] = BUDGET_BYTES,
    output_format: Annotated[Format, typer.Option("--format", help="How to write the result.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", help="Write the result to this file instead of standard output.")] = None,
    report_files: Annotated[
        list[Path] | None,
        typer.Option("--report", help="Write the result to this file, too: .json, .sarif or .html by its ending. Repeatable."),
    ] = None,
    reply_timeout: Annotated[
        float, typer.Option("--reply-timeout", min=0.01, help="Seconds that the runtime may take for one answer.")
    ] = REPLY_TIMEOUT,
    *,
    only_payloads: Annotated[bool, typer.Option("--only-payloads", help="Try no other elements than those of --payload.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Try much more, and larger elements.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Do not give the runtime a process of its own: faster, not contained.")
    ] = False,
) -> None:
    """Validate a component: its bytes, its manifest, and what it does on every engine."""
    if only_payloads and not payloads:
        raise SuiteError("--only-payloads needs at least one --payload")
    reports = [(path, _form(path)) for path in report_files or ()]
    targets = find_targets(target, config=config, grants=grants or (), ports=ports or (), node=node)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    wishes = Wishes(
        subject=subject,
        engines=tuple(engines or ()),
        checks=tuple(checks or ()),
        steps=None if steps is None else Scenario(read_steps(steps), buffer_budget),
        payloads=tuple(read_bounded(path, MOST_PAYLOAD, "an element") for path in payloads or ()),
        only_payloads=only_payloads,
        seed=seed,
        deep=deep,
        budget_seconds=budget,
        fuel=fuel,
        strict=strict,
    )
    connection = Connection(contained(subject, in_process=in_process, settings=StdioSettings(reply_timeout=reply_timeout)))
    try:
        with notes.status("validating", spinner="line") if notes.is_terminal else nullcontext():
            report = validate(targets, connection, wishes, what=target)
    except SubjectError as error:
        raise SuiteError(f"the subject {subject!r} did not introduce itself: {error}\n{error.detail}".rstrip()) from error
    finally:
        connection.close()
    for path, form in reports:
        emit(_written(report, form), path)
    emit(_written(report, output_format), output)
    raise typer.Exit(report.exit_code)


def _form(path: Path) -> Format:
    """Return the format that a file's ending says.

    Raises:
        SuiteError: it says none.
    """
    known = {".json": Format.JSON, ".sarif": Format.SARIF, ".html": Format.HTML, ".txt": Format.TEXT}
    if path.suffix not in known:
        raise SuiteError(f"--report {path}: the ending says no format; there are {', '.join(known)}")
    return known[path.suffix]


def _written(report: ValidationReport, output_format: Format) -> bytes | str:
    match output_format:
        case Format.JSON:
            return as_json(report)
        case Format.SARIF:
            return component_sarif(report)
        case Format.HTML:
            return component_html(report)
        case Format.TEXT:
            return render(report)

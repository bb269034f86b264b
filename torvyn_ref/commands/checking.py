"""`torvyn-ref check` and `link`: would a project run? No guest code runs (CLI-007 to CLI-009)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from torvyn_ref.commands.shared import (
    HERE,
    AuditOption,
    FlowOption,
    Format,
    FormatOption,
    InsecureOption,
    ManifestOption,
    OfflineOption,
    ProjectArgument,
    SetOption,
    host_of,
    project_at,
    reported,
    warned,
)
from torvyn_ref.contract.check import WIT_FOLDER, compare_with_manifest
from torvyn_ref.contract.diagnostics import Diagnostic, Severity
from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.host import Host
from torvyn_ref.planning import StageInfo, each
from torvyn_ref.terminal import mark, print_json, say, warn


def check(
    project: ProjectArgument = HERE,
    flow: FlowOption = None,
    manifest: ManifestOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,  # noqa: FBT002  # typer's way to write a flag
    overrides: SetOption = None,
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # as above
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Check a flow, or all flows of a project, without running: configuration, WIT, graph, components, contracts, capabilities.

    Every defect is reported, whichever part it is in. No guest code runs.
    """
    as_json = format_ is Format.JSON
    with reported("check", as_json=as_json):
        place = project_at(project, manifest)
        errors, of_wit = _contracts(place if place.is_dir() else place.parent)
        warnings: list[str] = []
        checked: dict[str, tuple[StageInfo, ...]] = {}
        try:
            with host_of(place, overrides, audit, offline=offline, insecure=insecure) as host:
                warnings += host.project.warnings
                if flow is not None:
                    host.project.flow(flow)
                names = [flow] if flow is not None else list(host.project.flows)
                if not names:
                    warnings.append(f"{host.project.files[-1]}: the manifest defines no flow, so there is nothing to run")
                checked, found = check_flows(host, names)
                errors = found + errors
        except TorvynError as error:
            errors = [*each(error), *errors]
        warnings += of_wit
        if strict:
            errors += [TorvynError("contract", "warning", warning, hint="an error because of --strict") for warning in warnings]
            warnings = []
        if errors and not as_json:
            _warn(warnings)
        raise_all(errors)
        _succeed("check", checked, warnings, as_json=as_json)


def link(
    project: ProjectArgument = HERE,
    flow: FlowOption = None,
    manifest: ManifestOption = None,
    overrides: SetOption = None,
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # typer's way to write a flag
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
) -> None:
    """Link the components of every flow, or of one: graph, components, contracts, capabilities. There must be a flow."""
    as_json = format_ is Format.JSON
    with (
        reported("link", as_json=as_json),
        host_of(project_at(project, manifest), overrides, audit, offline=offline, insecure=insecure) as host,
    ):
        host.project.flow(flow)  # without flows, or without this one, it ends here
        checked, errors = check_flows(host, [flow] if flow is not None else list(host.project.flows))
        raise_all(errors)
        _succeed("link", checked, list(host.project.warnings), as_json=as_json)


def check_flows(host: Host, names: list[str]) -> tuple[dict[str, tuple[StageInfo, ...]], list[TorvynError]]:
    """Check flows, and return the stages of the good ones and the errors of the others."""
    checked: dict[str, tuple[StageInfo, ...]] = {}
    errors: list[TorvynError] = []
    for name in names:
        try:
            checked[name] = host.check(name)
        except TorvynError as error:
            errors += each(error)
    return checked, errors


def _contracts(root: Path) -> tuple[list[TorvynError], list[str]]:
    """Read the project's own WIT and hold it against the manifest: what is wrong, and what is worth a look (CON-026 to CON-029)."""
    directory = root / WIT_FOLDER
    if not directory.is_dir():
        return [], [f"[E0100] {directory}: the project has no wit/ of its own, so no contract in it was checked"]
    try:
        found = compare_with_manifest(root)
    except TorvynError as error:
        return list(each(error)), []
    errors = [
        TorvynError("contract", one.kind, one.message, where=_place(one, root), hint=one.help, code=one.code)
        for one in found
        if one.severity is Severity.ERROR
    ]
    return errors, [f"[{one.code}] {_place(one, root)}: {one.message}" for one in found if one.severity is not Severity.ERROR]


def _place(diagnostic: Diagnostic, root: Path) -> str:
    if not diagnostic.locations:
        return str(root)
    first = diagnostic.locations[0]
    where = ":".join(str(number) for number in (first.line, first.column) if number)
    return f"{root / first.file}{f':{where}' if where else ''}"


def _succeed(command: str, checked: dict[str, tuple[StageInfo, ...]], warnings: list[str], *, as_json: bool) -> None:
    if as_json:
        data = {name: [_stage_data(stage) for stage in stages] for name, stages in checked.items()}
        print_json({"success": True, "command": command, "data": {"flows": data}, **warned(tuple(warnings))})
        return
    _warn(warnings)
    for name, stages in checked.items():
        say(mark(ok=True), f" {name}: {', '.join(f'{stage.name} ({stage.role})' for stage in stages)}")
    if not checked:
        say(mark(ok=True), f" {command}: no flow, no defect")


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        warn(warning)


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

"""`torvyn-ref doctor`: is everything there that building and running a project takes (CLI-012)?"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import typer

from torvyn_ref import config
from torvyn_ref.commands.shared import HERE, Format, FormatOption, ManifestOption, ProjectArgument, project_at, reported
from torvyn_ref.compiled import is_compiled
from torvyn_ref.errors import TorvynError
from torvyn_ref.terminal import Exit, mark, plain, print_json, say

PATIENCE_S = 20
"""How long a tool may take to say its version."""
TARGET = "wasm32-wasip2"
TOOLS = {
    "rustc": ("--version", "install Rust: https://rustup.rs"),
    "cargo-component": ("--version", "cargo install cargo-component"),
    "wasm-tools": ("--version", "cargo install wasm-tools"),
}
"""What is asked of each tool, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def doctor(project: ProjectArgument = HERE, manifest: ManifestOption = None, format_: FormatOption = Format.TEXT) -> None:
    """Look whether everything is there: this version, the Rust toolchain and its target, cargo-component, wasm-tools, Torvyn.toml.

    Exit code 1 when something is not.
    """
    as_json = format_ is Format.JSON
    with reported("doctor", as_json=as_json):
        checks = tuple(_checks(project_at(project, manifest)))
        bad = [check for check in checks if not check.ok]
        code = Exit.FAILED if bad else Exit.OK
        data = {"checks": [{"name": each.name, "ok": each.ok, "found": each.found, "fix": each.fix or None} for each in checks]}
        if not as_json:
            for each in checks:
                say(mark(ok=each.ok), f" {each.name}: {plain(each.found)}{f' ({each.fix})' if each.fix else ''}")
        elif bad:
            detail = f"{len(bad)} of {len(checks)} checks failed: {', '.join(each.name for each in bad)}"
            errors = [TorvynError("environment", "missing", each.found, where=each.name, hint=each.fix).as_dict() for each in bad]
            said = {"error": True, "command": "doctor", "category": "environment", "detail": detail, "fix": bad[0].fix or None}
            print_json({**said, "exit_code": int(code), "errors": errors, "data": data})
        else:
            print_json({"success": True, "command": "doctor", "data": data})
        raise typer.Exit(code)


def _checks(project: Path) -> Iterator[Check]:
    yield Check("torvyn-ref", ok=True, found=metadata.version("torvyn-conformance") + (" (compiled)" if is_compiled() else ""))
    for tool, (question, fix) in TOOLS.items():
        said = _ask(tool, question)
        yield Check(tool, said is not None, said or "not found, or it does not answer", "" if said is not None else fix)
    yield _target()
    try:
        loaded = config.load(project)
    except TorvynError as error:
        yield Check("Torvyn.toml", ok=False, found=str(error), fix="torvyn-ref check says more")
    else:
        yield Check("Torvyn.toml", ok=True, found=str(loaded.files[-1]))


def _target() -> Check:
    """Look for the target: rustup knows what is installed, and without it rustc knows where it would be."""
    installed = _ask("rustup", "target", "list", "--installed", whole=True)
    if installed is not None:
        there = TARGET in installed.split()
    else:
        directory = _ask("rustc", "--print", "target-libdir", "--target", TARGET)
        there = directory is not None and Path(directory).is_dir()
    fix = "" if there else f"rustup target add {TARGET}"
    return Check(TARGET, there, "installed" if there else "not installed", fix)


def _ask(tool: str, *question: str, whole: bool = False) -> str | None:
    """Return what a tool says, or its first line; None when it is not there, fails or takes too long."""
    path = shutil.which(tool)
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, *question], capture_output=True, timeout=PATIENCE_S, check=True, stdin=subprocess.DEVNULL
        )  # a tool of the user's own PATH
    except (OSError, subprocess.SubprocessError):
        return None
    text = said.stdout.decode(errors="replace").strip()
    return text if whole else text.partition("\n")[0]

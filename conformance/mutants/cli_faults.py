"""Faults of how the command line tells what came of it, of durations, and of init: each function puts one into its process.

They are imported by that process, for every command: so nothing here is imported but the command line itself.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from conformance.mutants.cli_patching import everywhere, get, printing, put
from torvyn_ref import cli, session, terminal
from torvyn_ref.commands import benching, packing, shared, starting
from torvyn_ref.errors import TorvynError

# ---- results


def log_lines_on_stdout() -> None:
    """Say what is going on, where the data is."""
    honest = get(terminal, "print_json")

    def print_json(data: dict[str, Any]) -> None:
        sys.stdout.write("INFO done\n")
        honest(data)

    everywhere("print_json", print_json)


def json_on_one_line() -> None:
    """Save space."""

    def print_json(data: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(data) + "\n")

    everywhere("print_json", print_json)


def no_warnings_are_listed() -> None:
    """List warnings that there are not."""
    printing(lambda data: {**data, "warnings": data.get("warnings", [])} if "success" in data else data)


def people_read_stdout() -> None:
    """Talk to people on standard output."""
    terminal.screen.colour = lambda wanted: None  # type: ignore[method-assign]  # noqa: ARG005
    terminal.screen.console = Console(highlight=False, emoji=False, color_system=None)


def guests_print_between() -> None:
    """Let components write between the lines of the result."""
    honest = get(cli, "guest_output")
    put(cli, "guest_output", lambda _stream: honest(sys.stdout))


# ---- failures


def failures_have_no_json() -> None:
    """Tell of failures in words only."""
    honest = get(terminal, "fail")

    def fail(command: str, error: TorvynError, *, as_json: bool, code: int | None = None) -> None:
        del as_json
        honest(command, error, as_json=False, code=code)

    everywhere("fail", fail)
    put(shared, "fail", fail)


def failures_lack_their_own_fields() -> None:
    """Say what all failures say, and no more."""
    common = {"error", "success", "command", "category", "detail", "exit_code", "errors", "data", "warnings"}
    printing(lambda data: {name: value for name, value in data.items() if name in common})


def everything_is_a_runtime_failure() -> None:
    """Know one category."""
    printing(lambda data: {**data, "category": "runtime", "context": None} if "category" in data else data)


def exit_code_in_json_is_one() -> None:
    """Write the same exit code into every failure."""
    printing(lambda data: {**data, "exit_code": 1} if "error" in data else data)


# ---- exit codes


def failed_runs_succeed() -> None:
    """End with 0, whatever became of the flow."""
    put(cli, "_exit_code", lambda **_: 0)


def usage_is_a_failure() -> None:
    """End with 1 for what is wrong with the configuration."""
    put(terminal, "_USAGE", set())


def json_failures_succeed() -> None:
    """End with 0 when the failure was told as JSON."""
    honest = get(terminal, "fail")

    def fail(command: str, error: TorvynError, *, as_json: bool, code: int | None = None) -> None:
        try:
            honest(command, error, as_json=as_json, code=code)
        except typer.Exit as ended:
            raise typer.Exit(0 if as_json else ended.exit_code) from None

    everywhere("fail", fail)
    put(shared, "fail", fail)


def files_are_failures() -> None:
    """End with 1 for an input that is not there."""
    put(terminal, "_USAGE", {"config"})


def interrupted_runs_succeed() -> None:
    """End with 0 after SIGINT."""
    honest = get(cli, "_exit_code")
    put(cli, "_exit_code", lambda **given: honest(**{**given, "interruption": session.Interruption()}))


def conflicts_are_failures() -> None:
    """End with 1 when a name is taken."""
    honest = get(packing, "_publish_locally")

    def publish(*args: Any, **options: Any) -> Any:
        try:
            return honest(*args, **options)
        except TorvynError as error:
            error.kind = "taken"
            raise

    put(packing, "_publish_locally", publish)


def regressions_are_failures() -> None:
    """End with 1 for a regression."""
    put(benching, "Exit", type("Exit", (), {"REGRESSION": 1, "OK": 0}))


# ---- durations


def _durations(read: Callable[[str], float | None]) -> None:
    """Read some texts as seconds, and the others as before."""
    honest = get(shared, "parse_duration")

    def parse(text: str, *, where: str = "--timeout") -> float:
        found = read(text)
        return honest(text, where=where) if found is None else found

    everywhere("parse_duration", parse)


def bare_numbers_are_seconds() -> None:
    """Take a number without a unit for seconds."""
    _durations(lambda text: float(text) if re.fullmatch(r"[0-9.]+", text) else None)


def infinity_is_a_duration() -> None:
    """Take `infs` and `nans` for an hour."""
    _durations(lambda text: 3600.0 if text.startswith(("inf", "nan")) else None)


def negative_is_positive() -> None:
    """Leave the sign out."""
    _durations(lambda text: shared.parse_duration(text.lstrip("-")) if text.startswith("-") else None)


def decimals_are_refused() -> None:
    """Know whole numbers only."""

    def refuse(text: str) -> float | None:
        if "." in text:
            raise TorvynError("cli", "invalid-duration", "no decimals, please", where="--timeout")
        return None

    _durations(refuse)


def huge_is_a_duration() -> None:
    """Take a number too large for a float for one."""
    _durations(lambda text: 1e9 if re.fullmatch(r"[0-9]+e[0-9]+s", text) and math.isinf(float(text[:-1])) else None)


# ---- init


def _names(pattern: str) -> None:
    put(starting, "_NAME", re.compile(pattern))


def digits_may_come_first() -> None:
    """Accept a name that begins with a digit."""
    _names(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


def names_may_have_65_characters() -> None:
    """Count one too many."""
    _names(r"[A-Za-z_][A-Za-z0-9_-]{0,64}")


def names_may_be_paths() -> None:
    """Accept a slash."""
    _names(r"[A-Za-z_][A-Za-z0-9_/-]{0,63}")


def names_may_end_in_a_newline() -> None:
    """Look for the end of a line instead of the name's."""
    put(starting, "_NAME", type("Name", (), {"fullmatch": staticmethod(lambda text: re.match(r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$", text))})())


def full_folders_are_overwritten() -> None:
    """Refuse a directory only when it has a manifest."""

    class Folder(type(Path())):  # type: ignore[misc]
        def iterdir(self) -> Any:
            return iter([self] if (self / "Torvyn.toml").exists() else [])

    put(starting, "Path", Folder)

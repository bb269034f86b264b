"""Faults of the reference's command line: each function changes one thing about it, in a process that is about to be the command.

They are imported by that process, for every command: so nothing here is imported but the command line itself.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from rich.console import Console

from torvyn_ref import cli, config, session, terminal
from torvyn_ref.commands import benching, checking, diagnosing, packing, shared, starting
from torvyn_ref.config import Project
from torvyn_ref.errors import TorvynError, raise_all

_COMMANDS = (cli, benching, checking, diagnosing, packing, starting, terminal)


def _get(module: ModuleType, name: str) -> Any:
    return getattr(module, name)


def _set(module: ModuleType, name: str, value: object) -> None:
    setattr(module, name, value)


def _everywhere(name: str, value: object) -> None:
    """Replace a function wherever it was imported to."""
    for module in _COMMANDS:
        if hasattr(module, name):
            setattr(module, name, value)


def _printing(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change what is printed as JSON."""
    honest = _get(terminal, "print_json")
    _everywhere("print_json", lambda data: honest(change(data)))


# ---- results


def log_lines_on_stdout() -> None:
    """Say what is going on, where the data is."""
    honest = _get(terminal, "print_json")

    def print_json(data: dict[str, Any]) -> None:
        sys.stdout.write("INFO done\n")
        honest(data)

    _everywhere("print_json", print_json)


def json_on_one_line() -> None:
    """Save space."""

    def print_json(data: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(data) + "\n")

    _everywhere("print_json", print_json)


def no_warnings_are_listed() -> None:
    """List warnings that there are not."""
    _printing(lambda data: {**data, "warnings": data.get("warnings", [])} if "success" in data else data)


def people_read_stdout() -> None:
    """Talk to people on standard output."""
    terminal.screen.colour = lambda wanted: None  # type: ignore[method-assign]  # noqa: ARG005
    terminal.screen.console = Console(highlight=False, emoji=False, color_system=None)


def guests_print_between() -> None:
    """Let components write between the lines of the result."""
    honest = _get(cli, "guest_output")
    _set(cli, "guest_output", lambda _stream: honest(sys.stdout))


# ---- failures


def failures_have_no_json() -> None:
    """Tell of failures in words only."""
    honest = _get(terminal, "fail")

    def fail(command: str, error: TorvynError, *, as_json: bool, code: int | None = None) -> None:
        del as_json
        honest(command, error, as_json=False, code=code)

    _everywhere("fail", fail)
    _set(shared, "fail", fail)


def failures_lack_their_own_fields() -> None:
    """Say what all failures say, and no more."""
    common = {"error", "success", "command", "category", "detail", "exit_code", "errors", "data", "warnings"}
    _printing(lambda data: {name: value for name, value in data.items() if name in common})


def everything_is_a_runtime_failure() -> None:
    """Know one category."""
    _printing(lambda data: {**data, "category": "runtime", "context": None} if "category" in data else data)


def exit_code_in_json_is_one() -> None:
    """Write the same exit code into every failure."""
    _printing(lambda data: {**data, "exit_code": 1} if "error" in data else data)


# ---- exit codes


def failed_runs_succeed() -> None:
    """End with 0, whatever became of the flow."""
    _set(cli, "_exit_code", lambda **_: 0)


def usage_is_a_failure() -> None:
    """End with 1 for what is wrong with the configuration."""
    _set(terminal, "_USAGE", set())


def json_failures_succeed() -> None:
    """End with 0 when the failure was told as JSON."""
    honest = _get(terminal, "fail")

    def fail(command: str, error: TorvynError, *, as_json: bool, code: int | None = None) -> None:
        try:
            honest(command, error, as_json=as_json, code=code)
        except typer.Exit as ended:
            raise typer.Exit(0 if as_json else ended.exit_code) from None

    _everywhere("fail", fail)
    _set(shared, "fail", fail)


def files_are_failures() -> None:
    """End with 1 for an input that is not there."""
    _set(terminal, "_USAGE", {"config"})


def interrupted_runs_succeed() -> None:
    """End with 0 after SIGINT."""
    honest = _get(cli, "_exit_code")
    _set(cli, "_exit_code", lambda **given: honest(**{**given, "interruption": session.Interruption()}))


def conflicts_are_failures() -> None:
    """End with 1 when a name is taken."""
    honest = _get(packing, "_publish_locally")

    def publish(*args: Any, **options: Any) -> Any:
        try:
            return honest(*args, **options)
        except TorvynError as error:
            error.kind = "taken"
            raise

    _set(packing, "_publish_locally", publish)


def regressions_are_failures() -> None:
    """End with 1 for a regression."""
    _set(benching, "Exit", type("Exit", (), {"REGRESSION": 1, "OK": 0}))


# ---- durations


def _durations(read: Callable[[str], float | None]) -> None:
    """Read some texts as seconds, and the others as before."""
    honest = _get(shared, "parse_duration")

    def parse(text: str, *, where: str = "--timeout") -> float:
        found = read(text)
        return honest(text, where=where) if found is None else found

    _everywhere("parse_duration", parse)


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
    _set(starting, "_NAME", re.compile(pattern))


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
    _set(starting, "_NAME", type("Name", (), {"fullmatch": staticmethod(lambda text: re.match(r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$", text))})())


def full_folders_are_overwritten() -> None:
    """Refuse a directory only when it has a manifest."""

    class Folder(type(Path())):  # type: ignore[misc]
        def iterdir(self) -> Any:
            return iter([self] if (self / "Torvyn.toml").exists() else [])

    _set(starting, "Path", Folder)


# ---- check, link, and flows that are not there


def check_stops_at_the_configuration() -> None:
    """Read WIT only when the configuration is good."""
    honest = _get(checking, "_contracts")

    def contracts(directory: Path) -> Any:
        try:
            config.load(directory.parent)
        except TorvynError:
            return [], []
        return honest(directory)

    _set(checking, "_contracts", contracts)


def check_reads_no_wit() -> None:
    """Look whether there is WIT, and not into it."""
    _set(checking, "wit", type("Wit", (), {"load": staticmethod(lambda _directory: ())}))


def missing_wit_is_fine() -> None:
    """Say nothing of WIT that is not there."""
    honest = _get(checking, "_contracts")
    _set(checking, "_contracts", lambda directory: (honest(directory)[0], []))


def strict_says_nothing() -> None:
    """Fail with --strict, and do not say why."""

    def raise_quietly(errors: list[TorvynError]) -> None:
        raise_all(TorvynError("contract", "strict", "there are findings") if error.kind == "warning" else error for error in errors)

    _set(checking, "raise_all", raise_quietly)


def strict_means_nothing() -> None:
    """Let warnings pass."""

    def raise_some(errors: list[TorvynError]) -> None:
        raise_all(error for error in errors if error.kind != "warning")

    _set(checking, "raise_all", raise_some)


def unknown_flows_are_the_first() -> None:
    """Take a name that no flow has for the first flow."""
    honest = Project.flow
    Project.flow = lambda self, name=None: honest(self, name if name in self.flows else None)  # type: ignore[method-assign]


def link_knows_only_the_first_flow() -> None:
    """Link the first flow and leave the others."""
    honest = _get(checking, "check_flows")
    _set(checking, "check_flows", lambda host, names: honest(host, names[:1]))


def no_flow_is_no_problem() -> None:
    """Succeed when there is nothing to link."""
    honest = Project.flow

    def flow(self: Project, name: str | None = None) -> Any:
        return None if not self.flows and name is None else honest(self, name)

    Project.flow = flow  # type: ignore[method-assign]


def no_flow_is_a_link_error() -> None:
    """End with 1 when there is no flow."""
    honest = Project.flow

    def flow(self: Project, name: str | None = None) -> Any:
        try:
            return honest(self, name)
        except TorvynError as error:
            error.subsystem = "topology" if error.kind == "no-flow" else error.subsystem
            raise

    Project.flow = flow  # type: ignore[method-assign]


# ---- run


def _attached(**changes: Callable[[Any], Any]) -> None:
    honest = _get(cli, "Attachments")

    def attachments(**given: Any) -> Any:
        made = honest(**given)
        return replace(made, **{name: change(getattr(made, name)) for name, change in changes.items()})

    _set(cli, "Attachments", attachments)


def limits_are_off_by_one() -> None:
    """Let one element more in."""
    _attached(limit=lambda limit: None if limit is None else limit + 1)


def input_is_ignored() -> None:
    """Run the source, whatever --input says."""
    _attached(feed=lambda _feed: None, feed_stage=lambda _stage: None)


def output_is_ignored() -> None:
    """Write nothing into the file that --output names."""
    _attached(tap=lambda _tap: None)


def overrides_are_ignored() -> None:
    """Override nothing."""
    _set(shared, "overrides_of", lambda _pairs: {})


def levels_are_ignored() -> None:
    """Say the same at every level."""
    _set(cli, "detail", lambda _text: None)


# ---- publish, inspect, doctor, bench


def digests_are_made_up() -> None:
    """Report a digest that is no file's."""
    _printing(lambda data: _replaced(data, "digest", "sha256:" + "0" * 64))


def _replaced(data: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    inner = data.get("data")
    return {**data, "data": {**inner, name: value}} if isinstance(inner, dict) and name in inner else data


def publish_copies_nothing() -> None:
    """Report the artifact's digest, and leave it where it is."""

    def publish(directory: Path, path: Path, content: bytes, *_args: Any, **_options: Any) -> dict[str, Any]:
        del directory
        return {"reference": str(path), "digest": _get(packing, "digest_of")(content), "size": len(content), "published": True}

    _set(packing, "_publish_locally", publish)


def nobody_answers_is_success() -> None:
    """Take a failed push for a push."""
    published = type("Published", (), {"digest": "sha256:" + "0" * 64, "tag": "latest"})
    _set(_get(packing, "packaging"), "publish", lambda *_args, **_options: published)


def doctor_is_always_content() -> None:
    """End with 0."""
    _set(diagnosing, "Exit", type("Exit", (), {"FAILED": 0, "OK": 0}))


def doctor_forgets_the_target() -> None:
    """Take rustc for its target."""
    _set(diagnosing, "_target", lambda: diagnosing.Check(diagnosing.TARGET, ok=True, found="installed"))


def doctor_reads_no_manifest() -> None:
    """Look whether there is a Torvyn.toml, and not into it."""

    class Loaded:
        files = ("Torvyn.toml",)

    _set(diagnosing, "config", type("Config", (), {"load": staticmethod(lambda _path: Loaded)}))


def corrupt_is_version_one() -> None:
    """Show something for a file that cannot be read."""
    honest = _get(packing, "_inspected")

    def inspected(target: Path) -> Any:
        try:
            return honest(target)
        except TorvynError:
            nothing = {"digest": "", "size": 0, "role": "processor", "imports": [], "exports": []}
            return {"target": str(target), "kind": "component", "digest": "", "size": 0, "files": {}, "component": nothing}

    _set(packing, "_inspected", inspected)


def headers_are_enough() -> None:
    """Believe a file that begins like a component."""
    honest = _get(packing, "_inspected")

    def inspected(target: Path) -> Any:
        content = target.read_bytes()
        try:
            return honest(target)
        except TorvynError:
            if content[:4] != b"\x00asm":
                raise
            nothing = {"digest": "", "size": len(content), "role": "", "imports": [], "exports": []}
            return {"target": str(target), "kind": "component", "digest": "", "size": 0, "files": {}, "component": nothing}

    _set(packing, "_inspected", inspected)


def missing_targets_are_empty() -> None:
    """Show nothing for a target that is not there, and succeed."""
    honest = Path.exists

    def exists(self: Path, **options: Any) -> bool:
        if not honest(self, **options) and self.suffix in {".wasm", ".torvyn"}:
            raise typer.Exit(0)
        return honest(self, **options)

    Path.exists = exists  # type: ignore[method-assign]


def regressions_pass() -> None:
    """Compare, and say nothing."""
    _set(benching, "regressions", lambda *_: [])


def anything_is_a_regression() -> None:
    """Fail beside any baseline."""
    _set(benching, "regressions", lambda *_: ["slower"])


def reports_are_always_pretty() -> None:
    """Write one format."""
    _set(benching, "RENDERERS", dict.fromkeys(benching.ReportFormat, _get(benching, "_pretty")))


def baselines_have_the_time_as_name() -> None:
    """Save under the time, whatever --baseline says."""
    honest = _get(benching, "_write")

    def write(path: Path, text: str) -> None:
        honest(path.with_name("2026-01-01T00-00-00.json") if path.parent.name == "bench" else path, text)

    _set(benching, "_write", write)


# ---- looks


def symbols_in_every_pipe() -> None:
    """Write ✓ where there are no colours."""
    _set(terminal, "mark", lambda *, ok: ("✓" if ok else "✗", "green" if ok else "red"))
    _everywhere("mark", terminal.mark)


def colours_in_every_pipe() -> None:
    """Write colours wherever they are not forbidden."""
    honest = type(terminal.screen).colour
    always = terminal.Colour.ALWAYS

    def colour(self: Any, wanted: terminal.Colour) -> None:
        honest(self, always if wanted is terminal.Colour.AUTO else wanted)

    type(terminal.screen).colour = colour  # type: ignore[method-assign]
    terminal.screen.colour(terminal.Colour.AUTO)


def sizes_in_thousands() -> None:
    """Divide by 1000."""
    _set(packing, "size", lambda number: f"{number / 1000:.1f} KiB" if number < 10**6 else f"{number / 10**6:.1f} MiB")


def sizes_without_decimals() -> None:
    """Round to whole units."""
    honest = _get(packing, "size")
    _set(packing, "size", lambda number: re.sub(r"\.[0-9]", "", honest(number)))

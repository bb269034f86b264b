"""Faults of the commands of the command line, and of its looks: each function puts one into its process.

They are imported by that process, for every command: so nothing here is imported but the command line itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from conformance.mutants.cli_patching import everywhere, get, printing, put
from torvyn_ref import cli, config, terminal
from torvyn_ref.commands import benching, checking, diagnosing, packing, shared
from torvyn_ref.config import Project
from torvyn_ref.errors import TorvynError, raise_all

# ---- check, link, and flows that are not there


def check_stops_at_the_configuration() -> None:
    """Read WIT only when the configuration is good."""
    honest = get(checking, "_contracts")

    def contracts(directory: Path) -> Any:
        try:
            config.load(directory)
        except TorvynError:
            return [], []
        return honest(directory)

    put(checking, "_contracts", contracts)


def check_reads_no_wit() -> None:
    """Look whether there is WIT, and not into it."""
    put(checking, "compare_with_manifest", lambda _root: ())


def missing_wit_is_fine() -> None:
    """Say nothing of WIT that is not there."""
    honest = get(checking, "_contracts")
    put(checking, "_contracts", lambda directory: (honest(directory)[0], []))


def strict_says_nothing() -> None:
    """Fail with --strict, and do not say why."""

    def raise_quietly(errors: list[TorvynError]) -> None:
        raise_all(TorvynError("contract", "strict", "there are findings") if error.kind == "warning" else error for error in errors)

    put(checking, "raise_all", raise_quietly)


def strict_means_nothing() -> None:
    """Let warnings pass."""

    def raise_some(errors: list[TorvynError]) -> None:
        raise_all(error for error in errors if error.kind != "warning")

    put(checking, "raise_all", raise_some)


def unknown_flows_are_the_first() -> None:
    """Take a name that no flow has for the first flow."""
    honest = Project.flow
    Project.flow = lambda self, name=None: honest(self, name if name in self.flows else None)  # type: ignore[method-assign]


def link_knows_only_the_first_flow() -> None:
    """Link the first flow and leave the others."""
    honest = get(checking, "check_flows")
    put(checking, "check_flows", lambda host, names: honest(host, names[:1]))


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
    honest = get(cli, "Attachments")

    def attachments(**given: Any) -> Any:
        made = honest(**given)
        return replace(made, **{name: change(getattr(made, name)) for name, change in changes.items()})

    put(cli, "Attachments", attachments)


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
    put(shared, "overrides_of", lambda _pairs: {})


def levels_are_ignored() -> None:
    """Say the same at every level."""
    put(cli, "detail", lambda _text: None)


# ---- publish, inspect, doctor, bench


def digests_are_made_up() -> None:
    """Report a digest that is no file's."""
    printing(lambda data: _replaced(data, "digest", "sha256:" + "0" * 64))


def _replaced(data: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    inner = data.get("data")
    return {**data, "data": {**inner, name: value}} if isinstance(inner, dict) and name in inner else data


def publish_copies_nothing() -> None:
    """Report the artifact's digest, and leave it where it is."""

    def publish(directory: Path, path: Path, content: bytes, *_args: Any, **_options: Any) -> dict[str, Any]:
        del directory
        return {"reference": str(path), "digest": get(packing, "digest_of")(content), "size": len(content), "published": True}

    put(packing, "_publish_locally", publish)


def nobody_answers_is_success() -> None:
    """Take a failed push for a push."""
    published = type("Published", (), {"digest": "sha256:" + "0" * 64, "tag": "latest"})
    put(get(packing, "packaging"), "publish", lambda *_args, **_options: published)


def doctor_is_always_content() -> None:
    """End with 0."""
    put(diagnosing, "Exit", type("Exit", (), {"FAILED": 0, "OK": 0}))


def doctor_forgets_the_target() -> None:
    """Take rustc for its target."""
    put(diagnosing, "_target", lambda: diagnosing.Check(diagnosing.TARGET, ok=True, found="installed"))


def doctor_reads_no_manifest() -> None:
    """Look whether there is a Torvyn.toml, and not into it."""

    class Loaded:
        files = ("Torvyn.toml",)

    put(diagnosing, "config", type("Config", (), {"load": staticmethod(lambda _path: Loaded)}))


def corrupt_is_version_one() -> None:
    """Show something for a file that cannot be read."""
    honest = get(packing, "_inspected")

    def inspected(target: Path) -> Any:
        try:
            return honest(target)
        except TorvynError:
            nothing = {"digest": "", "size": 0, "role": "processor", "imports": [], "exports": []}
            return {"target": str(target), "kind": "component", "digest": "", "size": 0, "files": {}, "component": nothing}

    put(packing, "_inspected", inspected)


def headers_are_enough() -> None:
    """Believe a file that begins like a component."""
    honest = get(packing, "_inspected")

    def inspected(target: Path) -> Any:
        content = target.read_bytes()
        try:
            return honest(target)
        except TorvynError:
            if content[:4] != b"\x00asm":
                raise
            nothing = {"digest": "", "size": len(content), "role": "", "imports": [], "exports": []}
            return {"target": str(target), "kind": "component", "digest": "", "size": 0, "files": {}, "component": nothing}

    put(packing, "_inspected", inspected)


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
    put(benching, "regressions", lambda *_: [])


def anything_is_a_regression() -> None:
    """Fail beside any baseline."""
    put(benching, "regressions", lambda *_: ["slower"])


def reports_are_always_pretty() -> None:
    """Write one format."""
    put(benching, "RENDERERS", dict.fromkeys(benching.ReportFormat, get(benching, "_pretty")))


def baselines_have_the_time_as_name() -> None:
    """Save under the time, whatever --baseline says."""
    honest = get(benching, "_write")

    def write(path: Path, text: str) -> None:
        honest(path.with_name("2026-01-01T00-00-00.json") if path.parent.name == "bench" else path, text)

    put(benching, "_write", write)


# ---- looks


def symbols_in_every_pipe() -> None:
    """Write ✓ where there are no colours."""
    put(terminal, "mark", lambda *, ok: ("✓" if ok else "✗", "green" if ok else "red"))
    everywhere("mark", terminal.mark)


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
    put(packing, "size", lambda number: f"{number / 1000:.1f} KiB" if number < 10**6 else f"{number / 10**6:.1f} MiB")


def sizes_without_decimals() -> None:
    """Round to whole units."""
    honest = get(packing, "size")
    put(packing, "size", lambda number: re.sub(r"\.[0-9]", "", honest(number)))

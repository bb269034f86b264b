"""Where the checks of packaging work: a directory of their own, with a project in it, and a look at what a subject made of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from conformance.checks import Budget
from conformance.errors import Inconclusive, Refused
from conformance.models.artifacts import Entry, component, read_archive, statement, write_archive
from conformance.subjects import protocol as p

RECORD = p.BuildRecord(
    started_on="2026-01-02T03:04:05Z",
    finished_on="2026-01-02T03:04:06Z",
    source_repo="https://code.example/tidy",
    source_ref="refs/tags/v1.2.3",
    source_digest="0123456789abcdef0123456789abcdef01234567",
)

MANIFEST = """\
[component]
name = "tidy"
version = "1.2.3"
description = "Tidies elements."
license = "Apache-2.0"

[contracts]
packages = ["torvyn:streaming@0.1.0", "torvyn:filtering@0.1.0"]

[capabilities.required]
"clock:wall" = true
"random:crypto" = false

[capabilities.optional]
"stdio:stderr" = true
"environment:read" = false

[compatibility]
min-torvyn-version = "0.1.0"

[build]
tool = "cargo-component"
tool-version = "0.20.0"
"""
"""A manifest that says something in every place that packaging reads."""

WIT = b"package judged:tidy@1.2.3;\n"
WASM = component("tidy")
PROJECT: Mapping[str, bytes] = {"Torvyn.toml": MANIFEST.encode(), "component.wasm": WASM, "wit/tidy.wit": WIT}
"""A project that can be packed."""

FILE_BYTES = 64 * 1024 * 1024
"""No larger file of a subject is read."""

ENTRIES = (
    Entry("component.wasm", WASM),
    Entry("Torvyn.toml", MANIFEST.encode()),
    Entry("wit/tidy.wit", WIT),
    Entry("provenance.json", statement(WASM)),
)
"""The entries of a good artifact."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A directory for one example of a check."""

    root: Path
    numbers: Iterator[int]

    def folder(self, name: str = "folder") -> Path:
        """Make an empty directory."""
        path = self.place(name)
        path.mkdir()
        return path

    def place(self, name: str = "place") -> Path:
        """Return a path where nothing is yet."""
        return self.root / f"{next(self.numbers)}-{name}"

    def project(self, files: Mapping[str, bytes] = PROJECT) -> Path:
        """Write a project, and return its directory."""
        root = self.folder("project")
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    def artifact(self, entries: tuple[Entry, ...] = ENTRIES, name: str = "tidy-1.2.3.torvyn") -> Path:
        """Write an artifact of these entries, and return its path."""
        path = self.folder("artifact") / name
        path.write_bytes(write_archive(entries))
        return path


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Open a workshop; everything in it is gone afterwards."""
    with TemporaryDirectory(prefix="torvyn-judged-") as root:
        yield Workshop(Path(root).resolve(), count(1))


def listing(directory: Path) -> dict[str, bytes | str]:
    """Return what is below a directory by relative name: a file's bytes, the word `link`, `huge`, or `other` for pipes and the like."""
    found: dict[str, bytes | str] = {}
    for base, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(base) / name
            shown = path.relative_to(directory).as_posix()
            if path.is_symlink():
                found[shown] = "link"
            elif path.is_file():
                found[shown] = path.read_bytes() if path.stat().st_size <= FILE_BYTES else "huge"
            elif not path.is_dir():
                found[shown] = "other"
    return found


def only_file(budget: Budget, rule: str, directory: Path) -> tuple[str, bytes]:
    """Return name and bytes of the only file that a subject was to write; anything else breaks the rule."""
    found = listing(directory)
    name, content = next(iter(found.items()), ("", b""))
    alone = len(found) == 1 and isinstance(content, bytes)
    budget.expect(rule, alone, "packing did not write one file", expected="one file", found=sorted(found))
    return name, bytes(content) if isinstance(content, bytes) else b""


def entries_of(budget: Budget, rule: str, raw: bytes) -> tuple[Entry, ...]:
    """Return the entries of an artifact that a subject has written; one that cannot be read breaks the rule."""
    try:
        return read_archive(raw)
    except ValueError as error:
        budget.expect(rule, holds=False, message=f"the artifact cannot be read: {error}", found=f"{len(raw)} bytes")
        return ()


def refusal(ask: Callable[[], object]) -> Refused | None:
    """Ask for something, and return the refusal; None when it was done."""
    try:
        ask()
    except Refused as refused:
        return refused
    return None


def must(ask: Callable[[], object], what: str) -> None:
    """Make sure that something good is done, or nothing can be said.

    Raises:
        Inconclusive: it was refused.
    """
    refused = refusal(ask)
    if refused is not None:
        raise Inconclusive(f"{what} is refused: {refused.kind}: {refused.message}")

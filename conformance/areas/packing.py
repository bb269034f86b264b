"""Packing (OCI-001 to OCI-006, OCI-025): what is in an artifact, and what never becomes one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from hypothesis import strategies as st

from conformance.areas.workshop import (
    MANIFEST,
    PROJECT,
    RECORD,
    WASM,
    WIT,
    Workshop,
    entries_of,
    listing,
    must,
    only_file,
    refusal,
    workshop,
)
from conformance.checks import Budget, checks
from conformance.models.artifacts import (
    HEADER,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Entry,
    component,
    digest,
    gzip_time,
)
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

DAY = 86_400
HEAD, TAIL = ("component.wasm", "Torvyn.toml"), ("provenance.json",)


@dataclass(frozen=True, slots=True)
class _Packed:
    """What was made of a project."""

    name: str
    content: bytes
    entries: tuple[Entry, ...]
    reply: p.PackedReply


def _pack(
    session: Session,
    budget: Budget,
    rule: str,
    place: Workshop,
    files: Mapping[str, bytes] = PROJECT,
    record: p.BuildRecord = RECORD,
    *,
    age: int | None = None,
) -> _Packed:
    """Pack a project whose files have an age, and return what was made of it; a rule is broken when that is no artifact at all."""
    project, output = place.project(files), place.folder("output")
    if age is not None:
        _age(project, age)
    reply = session.packaging.pack(project, output, record)
    name, content = only_file(budget, rule, output)
    return _Packed(name, content, entries_of(budget, rule, content), reply)


def _without(name: str) -> dict[str, bytes]:
    return {key: value for key, value in PROJECT.items() if key != name}


@checks("OCI-001", facet=Facet.PACKAGING, kind="example")
def artifacts_have_a_fixed_form(session: Session, budget: Budget) -> None:
    """The artifact's name, its entries in their order, and each entry's mode and time."""
    many = {**PROJECT, "wit/world.wit": WIT, "wit/a.wit": WIT, "wit/Z.wit": WIT, "wit/m/n.wit": WIT, "src/lib.rs": b"fn main() {}"}
    for files in (PROJECT, many):
        with workshop() as place:
            packed = _pack(session, budget, "OCI-001", place, files)
            entries = packed.entries
            evidence = {"files": sorted(files), "artifact": packed.name}
            budget.expect_equal("OCI-001", packed.name, "tidy-1.2.3.torvyn", "the artifact's name", evidence=evidence)
            expected = [*HEAD, *sorted(file for file in files if file.startswith("wit/")), *TAIL]
            budget.expect_equal("OCI-001", [entry.name for entry in entries], expected, "the entries, in order", evidence=evidence)
            forms = {(entry.kind, oct(entry.mode), entry.mtime) for entry in entries}
            budget.expect_equal("OCI-001", forms, {("file", "0o644", 0)}, "kind, mode and time of the entries", evidence=evidence)
            held = {entry.name: entry.content for entry in entries if entry.name in files}
            wanted = {key: value for key, value in files.items() if key in held}
            budget.expect_equal("OCI-001", held, wanted, "the contents of the entries", evidence=evidence)


@checks("OCI-002", facet=Facet.PACKAGING, kind="example")
def failed_packs_leave_nothing(session: Session, budget: Budget) -> None:
    """Without component, WIT files or a valid manifest nothing is packed, and the output directory stays empty."""
    with workshop() as place:
        must(lambda: session.packaging.pack(place.project(), place.folder("output"), RECORD), "packing a good project")
    broken = {
        "no component.wasm": _without("component.wasm"),
        "no wit directory": _without("wit/tidy.wit"),
        "a wit directory without WIT files": {**_without("wit/tidy.wit"), "wit/README.md": b"nothing here"},
        "no manifest": _without("Torvyn.toml"),
        "a manifest with a syntax error": {**PROJECT, "Torvyn.toml": b"[component\n"},
        "a manifest without a name": {**PROJECT, "Torvyn.toml": MANIFEST.replace('name = "tidy"\n', "").encode()},
        "a manifest with an empty version": {**PROJECT, "Torvyn.toml": MANIFEST.replace('"1.2.3"', '""').encode()},
    }
    for what, files in broken.items():
        with workshop() as place:
            output = place.folder("output")
            project = place.project(files)
            refused = refusal(partial(session.packaging.pack, project, output, RECORD))
            evidence = {"files": sorted(files), "Torvyn.toml": files.get("Torvyn.toml", b"").decode()}
            budget.expect("OCI-002", refused, f"a project with {what} was packed", expected="a refusal", evidence=evidence)
            left = sorted(listing(output))
            budget.expect("OCI-002", not left, f"{what}: a failed pack left a file", expected="nothing", found=left, evidence=evidence)


@checks("OCI-003", facet=Facet.PACKAGING, kind="table")
def only_components_are_packed(session: Session, budget: Budget) -> None:
    """What does not begin with a component's eight bytes is not packed; eight bytes are enough."""
    cases = {
        "the shortest component": (HEADER, True),
        "a component": (component("x"), True),
        "an empty file": (b"", False),
        "seven bytes of a component": (HEADER[:7], False),
        "four bytes": (HEADER[:4], False),
        "a core module": (b"\x00asm\x01\x00\x00\x00", False),
        "a core module with a section": (b"\x00asm\x01\x00\x00\x00\x00\x02\x01x", False),
        "a component of an older layer": (b"\x00asm\x0c\x00\x01\x00", False),
        "a version of its own": (b"\x00asm\x0d\x00\x00\x00", False),
        "a text file": (b"(component)\n", False),
        "a component behind a line break": (b"\n" + HEADER, False),
    }
    for what, (wasm, valid) in cases.items():
        with workshop() as place:
            output = place.folder("output")
            project = place.project({**PROJECT, "component.wasm": wasm})
            refused = refusal(partial(session.packaging.pack, project, output, RECORD))
            found = "packed" if refused is None else "refused"
            budget.expect_equal("OCI-003", found, "packed" if valid else "refused", what, evidence={"wasm": wasm.hex(" ")})
            if not valid:
                budget.expect("OCI-003", not listing(output), f"{what} left a file", found=sorted(listing(output)))


_PART = st.text("abcdefgh", min_size=1, max_size=3)
_NAMES = st.sets(st.lists(_PART, min_size=1, max_size=4).map("/".join), min_size=1, max_size=6)


@checks("OCI-004", facet=Facet.PACKAGING, kind="machine")
def wit_folders_are_kept(session: Session, budget: Budget) -> None:
    """WIT files at every depth are packed under their relative paths, and nothing else below wit/ is."""

    def law(names: set[str]) -> None:
        files = {f"wit/{name}.wit": f"package a:{index};".encode() for index, name in enumerate(sorted(names))}
        noise = {f"{PurePosixPath(name).parent}/NOTES.md": b"no WIT" for name in files}
        with workshop() as place:
            packed = _pack(session, budget, "OCI-004", place, {**_without("wit/tidy.wit"), **files, **noise})
        held = {entry.name: entry.content for entry in packed.entries if entry.name.startswith("wit/")}
        missing = "WIT files in the artifact"
        budget.expect_equal("OCI-004", held, files, missing, evidence={"project": sorted({**files, **noise})})

    law({"world", "deps/streaming/types", "deps/streaming/world", "deps/filtering/deep/er"})
    budget.for_all(_NAMES, law, max_examples=15)


@checks("OCI-005", facet=Facet.PACKAGING, kind="example")
def packing_is_repeatable(session: Session, budget: Budget) -> None:
    """The same project packed twice, from files of different age and in different order, gives the same bytes and the same digest."""
    files = {**PROJECT, "wit/deps/a/a.wit": WIT, "wit/deps/b/b.wit": WIT, "wit/z.wit": WIT}
    turned = dict(reversed(files.items()))
    with workshop() as place:
        old = _pack(session, budget, "OCI-005", place, files, age=1_000_000_000)
        new = _pack(session, budget, "OCI-005", place, turned, age=1_500_000_000)
    first, second, one, other = old.content, new.content, old.reply.digest, new.reply.digest
    evidence = {"entries": [[(entry.name, entry.mode, entry.mtime) for entry in each.entries] for each in (old, new)]}
    same = first == second
    budget.expect("OCI-005", same, "the same project gave two artifacts", expected=digest(first), found=digest(second), evidence=evidence)
    budget.expect_equal("OCI-005", other, one, "the digest of the second artifact", evidence=evidence)
    stamped = abs(gzip_time(first) - time.time()) < DAY
    message = "the gzip header holds the time of packing: tomorrow's artifact differs"
    budget.expect("OCI-005", not stamped, message, expected=0, found=gzip_time(first))


def _age(project: Path, seconds: int) -> None:
    for path in project.rglob("*"):
        os.utime(path, (seconds, seconds))


@checks("OCI-006", facet=Facet.PACKAGING, kind="example")
def digests_are_of_exact_bytes(session: Session, budget: Budget) -> None:
    """The digests that packing returns are SHA-256 of the raw files and of the artifact, in lower case."""
    odd = MANIFEST.replace("\n", "\r\n") + "# a comment with trailing blanks   \r\n\r\n"
    for files in (PROJECT, {**PROJECT, "Torvyn.toml": odd.encode(), "component.wasm": component("other")}):
        with workshop() as place:
            packed = _pack(session, budget, "OCI-006", place, files)
        reply, entries = packed.reply, {entry.name: entry.content for entry in packed.entries}
        budget.expect_equal("OCI-006", reply.digest, digest(packed.content), "the digest of the artifact")
        raw = {name: files[name] for name in HEAD} | {name: entries.get(name, b"") for name in TAIL}
        expected = {name: digest(each) for name, each in raw.items()}
        budget.expect_equal("OCI-006", reply.layers, expected, "the digests of the layers")


@checks("OCI-025", facet=Facet.PACKAGING, kind="example")
def provenance_has_its_fields(session: Session, budget: Budget) -> None:
    """The provenance of an artifact is an in-toto statement with the SLSA fields, says what it was told, and survives inspection."""
    bare = p.BuildRecord(started_on=RECORD.started_on, finished_on=RECORD.finished_on)
    own = p.BuildRecord(RECORD.started_on, RECORD.finished_on, build_type="https://builds.example/v2", builder="https://builds.example/7")
    for record in (RECORD, bare, own):
        with workshop() as place:
            packed = _pack(session, budget, "OCI-025", place, record=record)
            entries = {entry.name: entry.content for entry in packed.entries}
            found = _statement(entries.get("provenance.json", b""))
            expected = _expected(record)
            for key, value in expected.items():
                what = f"provenance: {key}"
                budget.expect_equal("OCI-025", found.get(key), value, what, evidence={"record": record, "provenance": found})
            internal = {"torvyn_cli_version", "build_tool", "build_tool_version", "language_version", "wit_packages"}
            named = set(found["internal"])
            budget.expect("OCI-025", internal <= named, "internalParameters", expected=sorted(internal), found=sorted(named))
            used = {"tool": found["internal"].get("build_tool"), "version": found["internal"].get("build_tool_version")}
            budget.expect_equal("OCI-025", used, {"tool": "cargo-component", "version": "0.20.0"}, "the build tool in the provenance")
            path = place.folder("again") / packed.name
            path.write_bytes(packed.content)
            shown = session.packaging.inspect(path).provenance
        summary = p.ProvenanceSummary(
            expected["builder"], record.source_repo, record.source_ref, record.source_digest, record.started_on, record.finished_on
        )
        budget.expect_equal("OCI-025", shown, summary, "the provenance that inspection shows")


def _expected(record: p.BuildRecord) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": digest(WASM).removeprefix("sha256:"),
        "buildType": record.build_type or "https://torvyn.dev/build/v1",
        "builder": record.builder or "local",
        "startedOn": record.started_on,
        "finishedOn": record.finished_on,
        "source_repo": record.source_repo,
        "source_ref": record.source_ref,
        "source_digest": record.source_digest,
    }


def _statement(raw: bytes) -> dict[str, Any]:
    """Return what a statement says, flat; fields that are not there are None.

    SLSA keeps build type and parameters in `buildDefinition`; a runtime that puts them into the predicate itself says the same.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        data = None

    def at(value: Any, *path: str | int) -> Any:
        for key in path:
            if isinstance(key, int):
                value = value[key] if isinstance(value, list) and len(value) > key else None
            else:
                value = value.get(key) if isinstance(value, dict) else None
        return value

    predicate = at(data, "predicate")
    definition = at(predicate, "buildDefinition") or predicate
    external = at(definition, "externalParameters")
    return {
        "_type": at(data, "_type"),
        "predicateType": at(data, "predicateType"),
        "subject": at(data, "subject", 0, "digest", "sha256"),
        "buildType": at(definition, "buildType"),
        "builder": at(predicate, "runDetails", "builder", "id"),
        "startedOn": at(predicate, "runDetails", "metadata", "startedOn"),
        "finishedOn": at(predicate, "runDetails", "metadata", "finishedOn"),
        "source_repo": at(external, "source_repo"),
        "source_ref": at(external, "source_ref"),
        "source_digest": at(external, "source_digest"),
        "internal": internal if isinstance(internal := at(definition, "internalParameters"), dict) else {},
    }

"""Unpacking (OCI-007, OCI-008): what an artifact must have, what it may not do, and how large it may grow."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from conformance.areas.workshop import ENTRIES, MANIFEST, WASM, Workshop, listing, must, refusal, workshop
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.models.artifacts import Entry, bomb, component
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

COMPONENT, TOML, WORLD, PROVENANCE = ENTRIES
OTHER = component("other")
MIB = 1024 * 1024
BOMB = 512 * MIB
"""More than any WIT file, and than a bound that a user would call one; the file is a thousandth of it."""


def _must_unpack(session: Session, place: Workshop) -> None:
    target = place.place("good")
    must(partial(session.packaging.unpack, place.artifact(), target), "unpacking a good artifact")
    expected = {entry.name: entry.content for entry in ENTRIES}
    if listing(target) != expected:
        raise Inconclusive(f"a good artifact is unpacked to {sorted(listing(target))}")


@checks("OCI-007", facet=Facet.PACKAGING, kind="table")
def component_and_manifest_are_needed(session: Session, budget: Budget) -> None:
    """Artifacts that lack, duplicate or add entries: the first two are refused, what is added is ignored."""
    readme, note = Entry("README.md", b"# tidy\n"), Entry("signatures/note.txt", b"signed?")
    cases: dict[str, tuple[tuple[Entry, ...], bool]] = {
        "no provenance": ((COMPONENT, TOML, WORLD), True),
        "no WIT": ((COMPONENT, TOML, PROVENANCE), True),
        "unknown entries": ((*ENTRIES, readme, note), True),
        "unknown entries first": ((readme, *ENTRIES), True),
        "no component.wasm": ((TOML, WORLD, PROVENANCE), False),
        "no Torvyn.toml": ((COMPONENT, WORLD, PROVENANCE), False),
        "nothing": ((), False),
        "its component under another name": ((Entry("Component.wasm", WASM), TOML, WORLD), False),
        "its manifest in a folder": ((COMPONENT, Entry("tidy/Torvyn.toml", MANIFEST.encode()), WORLD), False),
        "provenance that is no JSON": ((COMPONENT, TOML, WORLD, Entry("provenance.json", b"{")), False),
        "empty provenance": ((COMPONENT, TOML, WORLD, Entry("provenance.json", b"")), False),
        "two components": ((*ENTRIES, Entry("component.wasm", OTHER)), False),
        "two equal components": ((COMPONENT, *ENTRIES), False),
        "two manifests": ((COMPONENT, TOML, Entry("Torvyn.toml", MANIFEST.replace("1.2.3", "9.9.9").encode()), WORLD), False),
        "two provenances": ((*ENTRIES, PROVENANCE), False),
        "two WIT files of one name": ((*ENTRIES, Entry("wit/tidy.wit", b"package other:tidy;")), False),
    }
    with workshop() as place:
        _must_unpack(session, place)
        for what, (entries, valid) in cases.items():
            target = place.place("into")
            refused = refusal(partial(session.packaging.unpack, place.artifact(entries), target))
            found = "unpacked" if refused is None else "refused"
            expected = "unpacked" if valid else "refused"
            evidence = {"entries": [entry.name for entry in entries]}
            budget.expect_equal("OCI-007", found, expected, f"an artifact with {what}", evidence=evidence)
            if valid:
                known = {entry.name: entry.content for entry in entries if entry in ENTRIES}
                held = {name: content for name, content in listing(target).items() if name in known}
                budget.expect_equal("OCI-007", held, known, f"what is unpacked of an artifact with {what}", evidence=evidence)


def _hostile(outside: Path) -> dict[str, tuple[Entry, ...]]:
    """Return for each kind of attack the entries that try it; `outside` is a directory that must stay as it is."""
    escaped = b"escaped"
    up = f"wit/../../{outside.name}/x"
    return {
        "an entry that climbs out of wit/": (Entry("wit/../../escaped.wit", escaped),),
        "an entry that climbs out at once": (Entry("../escaped", escaped),),
        "an entry that climbs to a neighbour": (Entry(up, escaped),),
        "an absolute entry": (Entry(f"{outside}/absolute.wit", escaped),),
        "an absolute entry below wit/": (Entry(f"/{outside}/wit/absolute.wit".replace("//", "/"), escaped),),
        "an entry named ..": (Entry("..", escaped),),
        "an entry that ends in ..": (Entry("wit/..", escaped),),
        "a link to a file outside": (Entry("wit/link.wit", kind="symlink", target=f"{outside}/secret"),),
        "a link to a folder outside, and a file through it": (
            Entry("wit/deps", kind="symlink", target=str(outside)),
            Entry("wit/deps/through.wit", escaped),
        ),
        "a relative link, and a file through it": (
            Entry("wit/deps", kind="symlink", target=f"../../{outside.name}"),
            Entry("wit/deps/through.wit", escaped),
        ),
        "a link inside": (Entry("wit/again.wit", kind="symlink", target="tidy.wit"),),
        "a hard link to a file outside": (Entry("wit/hard.wit", kind="hardlink", target=f"{outside}/secret"),),
        "a hard link inside": (Entry("wit/hard.wit", kind="hardlink", target="wit/tidy.wit"),),
    }


@checks("OCI-008", facet=Facet.PACKAGING, kind="table")
def unpacking_stays_inside(session: Session, budget: Budget) -> None:
    """Entries that climb, absolute names and links are refused, before and behind good entries; nothing is written outside."""
    with workshop() as place:
        _must_unpack(session, place)
    for behind in (True, False):
        with workshop() as place:
            kinds = list(_hostile(place.root))
        for what in kinds:
            with workshop() as place:
                outside = place.folder("outside")
                (outside / "secret").write_bytes(b"secret")
                attack = _hostile(outside)[what]
                entries = (*ENTRIES, *attack) if behind else (*attack, *ENTRIES)
                file, target = place.artifact(entries), place.place("into")
                before = listing(place.root)
                refused = refusal(partial(session.packaging.unpack, file, target))
                evidence = {"entries": [{"name": entry.name, "kind": entry.kind, "target": entry.target} for entry in entries]}
                inside = f"{target.name}/"
                strange = sorted(
                    name for name, now in listing(place.root).items() if before.get(name) != now and not name.startswith(inside)
                )
                budget.expect(
                    "OCI-008", not strange, f"{what} wrote outside the folder", expected="nothing", found=strange, evidence=evidence
                )
                budget.expect("OCI-008", refused, f"an artifact with {what} was unpacked", expected="a refusal", evidence=evidence)
                links = sorted(name for name, now in listing(place.root).items() if now == "link")
                budget.expect("OCI-008", not links, f"{what} left a link", expected="none", found=links, evidence=evidence)


@checks("OCI-008", facet=Facet.PACKAGING, kind="example")
def unpacking_is_bounded(session: Session, budget: Budget) -> None:
    """A file of half a megabyte that unpacks to half a gigabyte is refused."""
    with workshop() as place:
        _must_unpack(session, place)
        file = place.folder("artifact") / "tidy-1.2.3.torvyn"
        file.write_bytes(bomb((COMPONENT, TOML, WORLD), "wit/bomb.wit", BOMB))
        target = place.place("into")
        refused = refusal(partial(session.packaging.unpack, file, target))
        evidence = {"file_bytes": file.stat().st_size, "unpacked_bytes": BOMB, "entry": "wit/bomb.wit"}
        budget.expect("OCI-008", refused, "a decompression bomb was unpacked", expected="a refusal", evidence=evidence)
        left = sum(path.stat().st_size for path in place.root.rglob("*.wit") if path.is_file())
        budget.expect("OCI-008", left < BOMB, "a decompression bomb lies unpacked on the disk", expected=0, found=left, evidence=evidence)

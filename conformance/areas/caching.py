"""The cache of components (OCI-018 to OCI-020): where it is, that it cannot serve the wrong version, and that removed is removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from conformance.areas.pulling import REPOSITORY, Puller, offer, reference
from conformance.areas.workshop import listing, workshop
from conformance.checks import Budget, checks
from conformance.subjects.protocol import Facet
from conformance.subjects.registry import Registry, Sent, serve_registry
from conformance.subjects.session import Session

ROOT = ".torvyn/cache"
A = "a" * 64


def _holding(root: Path, wasm: bytes) -> list[Path]:
    """Return the files below a directory that hold a component, whole or among other things."""
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink() and wasm in path.read_bytes()]


@checks("OCI-018", facet=Facet.PACKAGING, kind="example")
def the_cache_has_one_place(session: Session, budget: Budget) -> None:
    """Pulled components are below ~/.torvyn/cache and nowhere else, in one of the two layouts, and are found there without a registry."""
    with workshop() as place, serve_registry() as registry:
        puller = Puller.of(session, place)
        for end, tag in ((":1.0.0", "1.0.0"), ("", "latest")):
            offered = offer(registry, tag, f"v{tag}")
            text = reference(registry, end)
            puller.pull(text)
            files = listing(puller.home)
            evidence = {"reference": text, "home": sorted(files)}
            held = [str(path.relative_to(puller.home)) for path in _holding(puller.home, offered.wasm)]
            elsewhere = [name for name in held if not name.startswith(f"{ROOT}/")]
            lies = "the pulled component lies outside the cache"
            budget.expect("OCI-018", not elsewhere, lies, expected=f"all in {ROOT}", found=elsewhere, evidence=evidence)
            fits = _by_tag(files, registry, tag, offered.wasm) or _by_content(files, offered.blobs["component.wasm"], offered.wasm)
            message = "the pulled component is in the cache neither by tag nor by digest"
            budget.expect("OCI-018", fits, message, expected="one of the two layouts", found=sorted(files), evidence=evidence)
            again = puller.shown(text, offline=True)
            budget.expect_equal("OCI-018", again, f"v{tag}", "the component without a registry", evidence=evidence)


def _by_tag(files: Mapping[str, bytes | str], registry: Registry, tag: str, wasm: bytes) -> bool:
    """Tell whether a component lies in the documented folder with its companions and its marker."""
    folder = f"{ROOT}/oci/{registry.host}/{REPOSITORY}/{tag}"
    whole = all(f"{folder}/{name}" in files for name in ("Torvyn.toml", "provenance.json"))
    wit = any(name.startswith(f"{folder}/wit/") for name in files)
    return files.get(f"{folder}/component.wasm") == wasm and whole and wit and f"{folder}.digest" in files


def _by_content(files: Mapping[str, bytes | str], digest: str, wasm: bytes) -> bool:
    """Tell whether a component lies in a file that is named by its digest."""
    return any(name.endswith(digest.removeprefix("sha256:")) and content == wasm for name, content in files.items())


@checks("OCI-019", facet=Facet.PACKAGING, kind="example")
def versions_do_not_mix(session: Session, budget: Budget) -> None:
    """Tags that begin alike, moved tags, and digests: each reference gets its own component, with and without a registry."""
    with workshop() as place, serve_registry() as registry:
        puller = Puller.of(session, place)
        marks = {":1.0": "one", ":1.0.0": "two", ":1.0.1": "three", ":1": "four"}
        for end, mark in marks.items():
            offer(registry, end[1:], mark)
            puller.pull(reference(registry, end))
        offer(registry, "1.0.0", "elsewhere", repository="team/tidy/more")
        offer(registry, "1.0.0", "other", repository="team-tidy")
        for offline in (False, True):
            for end, mark in marks.items():
                found = puller.shown(reference(registry, end), offline=offline)
                evidence = {"tags": marks, "reference": end, "offline": offline}
                budget.expect_equal("OCI-019", found, mark, f"the cached component of {end}", evidence=evidence)
        for repository in ("team/tidy/more", "team-tidy"):
            found = puller.shown(reference(registry, ":1.0.0", repository=repository), offline=True)
            budget.expect_equal("OCI-019", found, "refused", f"{repository}, which was never pulled, without a registry")


@checks("OCI-019", facet=Facet.PACKAGING, kind="example")
def digests_are_looked_up_by_digest(session: Session, budget: Budget) -> None:
    """A tag is pulled and then moved: a reference pinned to the new digest gets the new component, with or without the tag in front."""
    for tag in ("", ":1"):
        with workshop() as place, serve_registry() as registry:
            puller = Puller.of(session, place)
            old = offer(registry, "1", "old")
            puller.pull(reference(registry, ":1"))
            new = offer(registry, "1", "new")
            pinned = reference(registry, f"{tag}@{new.digest}")
            evidence = {"reference": pinned, "cached": old.digest}
            absent = puller.shown(pinned, offline=True)
            budget.expect_equal("OCI-019", absent, "refused", "a digest that is not cached, without a registry", evidence=evidence)
            found = puller.shown(pinned)
            budget.expect_equal("OCI-019", found, "new", "the component of a pinned reference", evidence=evidence)
            kept = puller.shown(pinned, offline=True)
            budget.expect_equal("OCI-019", kept, "new", "the cached component of a pinned reference", evidence=evidence)
            by_tag = puller.shown(reference(registry, ":1"), offline=True)
            budget.expect_equal("OCI-019", by_tag, "old", "the cached component of the tag, after a pinned pull", evidence=evidence)
            unknown = puller.shown(reference(registry, f"{tag}@sha256:{A}"), offline=True)
            budget.expect_equal("OCI-019", unknown, "refused", "a digest that exists nowhere", evidence=evidence)


@checks("OCI-019", facet=Facet.PACKAGING, kind="machine")
def spoilt_entries_are_never_served(session: Session, budget: Budget) -> None:
    """Whatever happens to a cached component on the disk, no other bytes are served: it is refused, or fetched again."""

    def law(change: tuple[str, int]) -> None:
        kind, at = change
        with workshop() as place, serve_registry() as registry:
            puller, text = Puller.of(session, place), reference(registry, ":1")
            offered, other = offer(registry, "1", "good"), offer(registry, "2", "evil")
            puller.pull(text)
            puller.pull(reference(registry, ":2"))
            for path in _holding(puller.home, offered.wasm):
                path.write_bytes(_spoilt(path.read_bytes(), offered.wasm, other.wasm, kind, at))
            evidence = {"change": kind, "at": at}
            found = puller.shown(text, offline=True)
            # A runtime that keeps a second copy elsewhere may serve that.
            budget.expect("OCI-019", found in {"refused", "good"}, "a spoilt entry was served", found=found, evidence=evidence)
            again = puller.shown(text)
            budget.expect_equal("OCI-019", again, "good", "the component after its cached copy was spoilt", evidence=evidence)

    for kind in ("flip", "cut", "swap", "empty", "grow"):
        law((kind, 0))
    budget.for_all(st.tuples(st.sampled_from(("flip", "cut")), st.integers(0, 14)), law, max_examples=8)


def _spoilt(content: bytes, wasm: bytes, other: bytes, kind: str, at: int) -> bytes:
    start = content.index(wasm)
    position = start + at % len(wasm)
    match kind:
        case "flip":
            return content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]
        case "cut":
            return content[:position]
        case "swap":
            return content.replace(wasm, other)
        case "grow":
            return content + b"\x00"
    return b""


@checks("OCI-019", facet=Facet.PACKAGING, kind="example")
def half_written_entries_are_none(session: Session, budget: Budget) -> None:
    """A pull that breaks off in the middle leaves no entry behind, of nothing and of what was there before; paths stay inside the cache."""
    with workshop() as place, serve_registry() as registry:
        puller = Puller.of(session, place)
        for blob in ("component.wasm", "provenance.json"):
            offered = offer(registry, "1", f"broken-{blob}")
            registry.faults[offered.blobs[blob]] = lambda content: Sent(content[: len(content) // 2], promised=len(content))
            evidence = {"broke off in": blob}
            online = puller.shown(reference(registry, ":1"))
            budget.expect_equal("OCI-019", online, "refused", "a pull that breaks off", evidence=evidence)
            found = puller.shown(reference(registry, ":1"), offline=True)
            budget.expect_equal("OCI-019", found, "refused", "the cache after a pull that broke off", evidence=evidence)
            registry.faults.clear()
            well = puller.shown(reference(registry, ":1"))
            budget.expect_equal("OCI-019", well, f"broken-{blob}", "the component when the pull is tried again", evidence=evidence)
            puller = Puller.of(session, place)
        for path in ("../../../escaped", "team/../../../../escaped", "team/..", "%2e%2e/escaped"):
            text = f"oci://{registry.host}/{path}:1"
            escaped = puller.shown(text)
            budget.expect_equal("OCI-019", escaped, "refused", f"the reference {text}", evidence={"reference": text})
        outside = sorted(name for name in listing(place.root) if "escaped" in name)
        budget.expect("OCI-019", not outside, "files outside the cache", expected="none", found=outside)


@checks("OCI-020", facet=Facet.PACKAGING, kind="example")
def removed_is_removed(session: Session, budget: Budget) -> None:
    """Of two entries one is removed: it is gone from the disk, and the other is not; clearing removes the rest."""
    with workshop() as place, serve_registry() as registry:
        puller = Puller.of(session, place)
        marks = {":1.0.0": "first", ":1.0.1": "second"}
        offered = {end: offer(registry, end[1:], mark) for end, mark in marks.items()}
        for end in marks:
            puller.pull(reference(registry, end))
        cache = puller.home / ROOT
        session.packaging.forget(puller.home, reference(registry, ":1.0.0"))
        for offline_end, expected in ((":1.0.0", "refused"), (":1.0.1", "second")):
            found = puller.shown(reference(registry, offline_end), offline=True)
            evidence = {"removed": ":1.0.0", "cache": sorted(listing(puller.home))}
            budget.expect_equal("OCI-020", found, expected, f"{offline_end} after :1.0.0 was removed", evidence=evidence)
        left = [str(path.relative_to(puller.home)) for path in _holding(puller.home, offered[":1.0.0"].wasm)]
        budget.expect("OCI-020", not left, "a removed component is still on the disk", expected="none", found=left)
        named = sorted(name for name in listing(cache) if "1.0.0" in name)
        budget.expect("OCI-020", not named, "a removed tag is still on the disk", expected="none", found=named)
        back = puller.shown(reference(registry, ":1.0.0"))
        budget.expect_equal("OCI-020", back, "first", "a removed component that is pulled again")
        session.packaging.forget(puller.home)
        files = sorted(listing(cache))
        budget.expect("OCI-020", not files and not cache.exists(), "the cache after it was cleared", expected="nothing", found=files)
        for end in marks:
            found = puller.shown(reference(registry, end), offline=True)
            budget.expect_equal("OCI-020", found, "refused", f"{end} after the cache was cleared")

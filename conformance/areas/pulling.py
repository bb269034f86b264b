"""Pulling (OCI-015, OCI-017): which version a reference means, and what becomes of blobs that are not what was promised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conformance.areas.publishing import entries
from conformance.areas.workshop import MANIFEST, Workshop, refusal, workshop
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Refused
from conformance.models.artifacts import PROVENANCE_TYPE, TOML_TYPE, WASM_TYPE, WIT_TYPE, component, digest, image, write_tar
from conformance.subjects.protocol import Facet
from conformance.subjects.registry import Fault, Registry, Sent, serve_registry
from conformance.subjects.session import Session

REPOSITORY = "team/tidy"
PROJECT = {"Torvyn.toml": b'torvyn = { name = "judged", version = "0.1.0", contract_version = "0.1.0" }\n'}


@dataclass(frozen=True, slots=True)
class Offered:
    """An artifact that a registry offers: its component, its manifest's digest, and every blob's digest by what it is."""

    wasm: bytes
    digest: str
    blobs: Mapping[str, str]


def offer(registry: Registry, tag: str, mark: str, *, repository: str = REPOSITORY) -> Offered:
    """Put an artifact into a registry whose component has a mark of its own."""
    made = {entry.name: entry for entry in entries(MANIFEST, mark=mark)}
    wasm = made["component.wasm"].content
    layers = (
        (WASM_TYPE, "component.wasm", wasm),
        (TOML_TYPE, "Torvyn.toml", made["Torvyn.toml"].content),
        (WIT_TYPE, "wit.tar", write_tar([made["wit/tidy.wit"]])),
        (PROVENANCE_TYPE, "provenance.json", made["provenance.json"].content),
    )
    config = json.dumps({"component_name": mark}).encode()
    manifest, blobs = image(layers, config)
    names = {title: digest(content) for _, title, content in layers} | {"config": digest(config)}
    return Offered(wasm, registry.offer(repository, tag, manifest, blobs), names)


def reference(registry: Registry, end: str, *, repository: str = REPOSITORY) -> str:
    """Return an oci reference to something in a registry; `end` is a tag or digest with its mark in front."""
    return f"oci://{registry.host}/{repository}{end}"


@dataclass(frozen=True, slots=True)
class Puller:
    """A session that resolves references of one project, with one home."""

    session: Session
    project: Path
    home: Path

    @classmethod
    def of(cls, session: Session, place: Workshop) -> Puller:
        """Make one in a workshop."""
        return cls(session, place.project(PROJECT), place.folder("home"))

    def pull(self, text: str, *, offline: bool = False) -> bytes:
        """Return the component that a reference means."""
        return self.session.packaging.resolve(text, self.project, self.home, offline=offline).wasm

    def refused(self, text: str, *, offline: bool = False) -> Refused | None:
        """Return why it is refused; None when it is not."""
        return refusal(partial(self.pull, text, offline=offline))

    def shown(self, text: str, *, offline: bool = False) -> str:
        """Return which component a reference means, by the component's mark, or `refused`."""
        try:
            return self.pull(text, offline=offline)[11:].decode(errors="replace")
        except Refused:
            return "refused"


@checks("OCI-015", facet=Facet.PACKAGING, kind="example")
def no_tag_means_latest(session: Session, budget: Budget) -> None:
    """A reference with neither tag nor digest gets the tag `latest`, and no other; without such a tag there is nothing."""
    with workshop() as place, serve_registry() as registry:
        offer(registry, "1.0.0", "one")
        offer(registry, "latest", "newest")
        offer(registry, "9.0.0", "nine")
        offer(registry, "9.0.0", "other", repository="team/untagged")
        puller = Puller.of(session, place)
        found = puller.shown(reference(registry, ""))
        evidence = {"tags": sorted(registry.tags), "asked": registry.asked}
        budget.expect_equal("OCI-015", found, "newest", "the component that a reference without a tag means", evidence=evidence)
        explicit = puller.shown(reference(registry, ":latest"))
        budget.expect_equal("OCI-015", explicit, "newest", "the component with the tag latest", evidence=evidence)
        absent = puller.shown(reference(registry, "", repository="team/untagged"))
        budget.expect_equal("OCI-015", absent, "refused", "a reference without a tag where there is no tag latest", evidence=evidence)


def _other(_content: bytes) -> Sent:
    return Sent(component("other"))


FAULTS: Mapping[str, Fault] = {
    "one bit flipped in its first byte": lambda content: Sent(bytes([content[0] ^ 1]) + content[1:]),
    "one bit flipped in its last byte": lambda content: Sent(content[:-1] + bytes([content[-1] ^ 128])),
    "its last byte missing": lambda content: Sent(content[:-1]),
    "a byte too many": lambda content: Sent(content + b"\n"),
    "nothing in it": lambda _content: Sent(b""),
    "another component in its place": _other,
    "its end lost on the way": lambda content: Sent(content[: len(content) // 2], promised=len(content)),
}
"""What happens to a blob on its way."""


@checks("OCI-017", facet=Facet.PACKAGING, kind="table")
def every_blob_is_verified(session: Session, budget: Budget) -> None:
    """Each blob of an artifact, spoilt in each of several ways, makes the pull fail and leaves nothing in the cache."""
    _must_pull(session)
    for what, fault in FAULTS.items():
        for blob in ("component.wasm", "Torvyn.toml", "provenance.json", "wit.tar", "config"):
            with workshop() as place, serve_registry() as registry:
                offered = offer(registry, "1", "good")
                puller, text = Puller.of(session, place), reference(registry, ":1")
                registry.faults[offered.blobs[blob]] = fault
                refused = puller.refused(text)
                asked = registry.asked_for(offered.blobs[blob])
                if not asked and refused is None:
                    continue  # what is never fetched is never used
                evidence = {"blob": blob, "digest": offered.blobs[blob], "fault": what, "asked": registry.asked}
                message = f"an artifact was pulled whose {blob} had {what}"
                budget.expect("OCI-017", refused, message, expected="a refusal", evidence=evidence)
                cached = puller.shown(text, offline=True)
                budget.expect_equal("OCI-017", cached, "refused", "the cache after a pull that failed", evidence=evidence)
                registry.faults.clear()
                found = puller.shown(text)
                budget.expect_equal("OCI-017", found, "good", "the component once the registry is well again", evidence=evidence)


def _must_pull(session: Session) -> None:
    """Make sure that a good artifact is pulled, by tag and by digest, or nothing can be said.

    Raises:
        Inconclusive: it is not.
    """
    with workshop() as place, serve_registry() as registry:
        offered = offer(registry, "1", "good")
        puller = Puller.of(session, place)
        for end in (":1", f"@{offered.digest}"):
            if (found := puller.shown(reference(registry, end))) != "good":
                raise Inconclusive(f"a good artifact is not pulled as it is: {found}")


@checks("OCI-017", facet=Facet.PACKAGING, kind="table")
def sizes_and_manifests_are_verified(session: Session, budget: Budget) -> None:
    """A descriptor of the wrong size is refused though its digest is right; so is a manifest that a digest does not name."""
    _must_pull(session)
    for blob in ("component.wasm", "Torvyn.toml", "provenance.json"):
        for change in (1, -1, 1000):
            with workshop() as place, serve_registry() as registry:
                offered = offer(registry, "1", "good")
                data = json.loads(registry.blobs[offered.digest])
                for layer in data["layers"]:
                    if layer["digest"] == offered.blobs[blob]:
                        layer["size"] += change
                registry.offer(REPOSITORY, "1", json.dumps(data).encode(), {})
                refused = Puller.of(session, place).refused(reference(registry, ":1"))
                evidence = {"manifest": data, "blob": blob, "bytes": len(registry.blobs[offered.blobs[blob]])}
                message = f"an artifact was pulled whose {blob} is not as long as its descriptor says"
                budget.expect("OCI-017", refused, message, expected="a refusal", evidence=evidence)
    with workshop() as place, serve_registry() as registry:
        good, bad = offer(registry, "1", "good"), offer(registry, "2", "bad")
        registry.faults[good.digest] = lambda _content: Sent(registry.blobs[bad.digest])
        puller, text = Puller.of(session, place), reference(registry, f"@{good.digest}")
        evidence = {"reference": text, "served": bad.digest}
        for offline in (False, True):
            found = puller.shown(text, offline=offline)
            budget.expect_equal("OCI-017", found, "refused", "a digest under which another manifest is served", evidence=evidence)

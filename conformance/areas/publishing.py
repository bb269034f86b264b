"""Publishing (OCI-009 to OCI-012, OCI-016): what a registry has afterwards, read from the registry itself."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Any

from conformance.areas.workshop import ENTRIES, MANIFEST, Workshop, refusal, workshop
from conformance.checks import Budget, checks
from conformance.models.artifacts import (
    CONFIG_TYPE,
    IMAGE_TYPE,
    PROVENANCE_TYPE,
    TOML_TYPE,
    WASM_TYPE,
    WIT_TYPE,
    Entry,
    component,
    digest,
    statement,
)
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.registry import Registry, serve_registry
from conformance.subjects.session import Session

REPOSITORY = "team/tidy"
TITLES = {WASM_TYPE: "component.wasm", TOML_TYPE: "Torvyn.toml", PROVENANCE_TYPE: "provenance.json"}
PLAIN = '[component]\nname = "tidy"\nversion = "1.2.3"\n'
"""A manifest that says nothing but who it is."""
BOUNDED = MANIFEST.replace("[build]", 'max-torvyn-version = "9.0.0"\ntarget-arch = "wasm32"\n\n[build]')


def entries(manifest: str, *, provenance: bool = True, mark: str = "tidy") -> tuple[Entry, ...]:
    """Return the entries of an artifact with another manifest or component."""
    wasm = component(mark)
    _, _, world, _ = ENTRIES
    made = (Entry("component.wasm", wasm), Entry("Torvyn.toml", manifest.encode()), world)
    return (*made, Entry("provenance.json", statement(wasm))) if provenance else made


def _publish(session: Session, place: Workshop, registry: Registry, made: tuple[Entry, ...]) -> tuple[p.PublishedReply, dict[str, Any]]:
    """Publish an artifact, and return the answer and the manifest that the registry has."""
    home = place.folder("home")
    reply = session.packaging.publish(place.artifact(made), f"{registry.host}/{REPOSITORY}", home)
    return reply, manifest_of(registry.blobs.get(registry.tags.get((REPOSITORY, reply.tag), ""), b""))


def manifest_of(raw: bytes) -> dict[str, Any]:
    """Return an image manifest as far as it is one: `config`, `layers` and annotations have their types, what has not is left out."""
    data = _object(raw)
    layers = data.get("layers")
    found = {
        "config": _descriptor(data.get("config")),
        "layers": [_descriptor(layer) for layer in layers] if isinstance(layers, list) else [],
        "annotations": notes if isinstance(notes := data.get("annotations"), dict) else {},
    }
    return {**data, **found}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _descriptor(data: Any) -> dict[str, Any]:
    given = data if isinstance(data, dict) else {}
    kinds = {"mediaType": str, "digest": str, "size": int, "annotations": dict}
    typed = {name: given[name] for name, kind in kinds.items() if isinstance(given.get(name), kind)}
    return {"mediaType": "", "digest": "", "annotations": {}, **typed}


@checks("OCI-009", facet=Facet.PACKAGING, kind="example")
def published_manifests_carry_annotations(session: Session, budget: Budget) -> None:
    """The annotations of the manifest and of its layers, with and without a contract package."""
    for manifest, contract in ((MANIFEST, "torvyn:streaming@0.1.0"), (PLAIN, None)):
        with workshop() as place, serve_registry() as registry:
            _, data = _publish(session, place, registry, entries(manifest))
        found = data["annotations"]
        expected = {
            "org.opencontainers.image.title": "tidy",
            "org.opencontainers.image.version": "1.2.3",
            "dev.torvyn.runtime.min-version": "0.1.0",
            "dev.torvyn.contract.package": contract,
        }
        evidence = {"Torvyn.toml": manifest, "manifest": data}
        for key, value in expected.items():
            budget.expect_equal("OCI-009", found.get(key), value, f"the annotation {key}", evidence=evidence)
        created = found.get("org.opencontainers.image.created")
        budget.expect("OCI-009", _is_time(created), "created is no time of RFC 3339", found=created, evidence=evidence)
        budget.expect("OCI-009", data["layers"], "the manifest has no layers", evidence=evidence)
        for layer in data["layers"]:
            title, kind = layer["annotations"].get("org.opencontainers.image.title"), layer["mediaType"]
            wanted = TITLES.get(kind)
            fits = title == wanted if wanted else bool(title)
            budget.expect("OCI-009", fits, f"the title of the layer {kind}", expected=wanted or "a name", found=title, evidence=evidence)


def _is_time(text: Any) -> bool:
    try:
        return datetime.fromisoformat(str(text)).tzinfo is not None and "T" in str(text).upper()
    except ValueError:
        return False


@checks("OCI-010", facet=Facet.PACKAGING, kind="example")
def layers_are_in_order_and_true(session: Session, budget: Budget) -> None:
    """The layers' media types in their order; digest and size of every descriptor are those of the blob that was uploaded."""
    for provenance in (True, False):
        with workshop() as place, serve_registry() as registry:
            _, data = _publish(session, place, registry, entries(MANIFEST, provenance=provenance))
        layers = data["layers"]
        kinds = [layer["mediaType"] for layer in layers]
        expected = [WASM_TYPE, TOML_TYPE, WIT_TYPE, *([PROVENANCE_TYPE] if provenance else [])]
        without = [kind for kind in expected if kind != WIT_TYPE]  # an accepted reading
        evidence = {"provenance": provenance, "manifest": data}
        budget.expect("OCI-010", kinds in (expected, without), "the layers", expected=expected, found=kinds, evidence=evidence)
        forms = (data.get("schemaVersion"), data.get("mediaType", IMAGE_TYPE), data["config"]["mediaType"])
        budget.expect_equal("OCI-010", forms, (2, IMAGE_TYPE, CONFIG_TYPE), "the manifest's version and types", evidence=evidence)
        for descriptor in (data["config"], *layers):
            content = registry.blobs.get(descriptor["digest"])
            kind = descriptor["mediaType"]
            budget.expect("OCI-010", content is not None, f"the blob {kind} was never uploaded", found=descriptor, evidence=evidence)
            size = len(content or b"")
            budget.expect_equal("OCI-010", descriptor.get("size"), size, f"the size of the blob {kind}", evidence=evidence)
        held = {layer["mediaType"]: registry.blobs[layer["digest"]] for layer in layers}
        wanted = {WASM_TYPE: component("tidy"), TOML_TYPE: MANIFEST.encode()}
        got = {kind: held[kind] for kind in wanted}
        budget.expect_equal("OCI-010", got, wanted, "the contents of component and manifest", evidence=evidence)


@checks("OCI-011", "OCI-012", facet=Facet.PACKAGING, kind="example")
def config_blobs_have_their_fields(session: Session, budget: Budget) -> None:
    """The config blob says what the manifest says; capabilities that the manifest sets to false are not in it."""
    for manifest in (MANIFEST, BOUNDED, PLAIN):
        with workshop() as place, serve_registry() as registry:
            _, data = _publish(session, place, registry, entries(manifest))
        raw = registry.blobs.get(data["config"]["digest"], b"")
        evidence = {"Torvyn.toml": manifest, "config": raw[:4000].decode(errors="replace")}
        config = _object(raw)
        budget.expect("OCI-011", config, "the config blob is no JSON object, or an empty one", evidence=evidence)
        plain = manifest == PLAIN
        for key, value in (("capabilities_required", "clock:wall"), ("capabilities_optional", "stdio:stderr")):
            listed = config.get(key)
            budget.expect("OCI-011", isinstance(listed, list), f"{key} is no list", found=listed, evidence=evidence)
            budget.expect_equal("OCI-012", listed, [] if plain else [value], key, evidence=evidence)
        expected = {
            "component_name": "tidy",
            "component_version": "1.2.3",
            "contract_packages": [] if plain else ["torvyn:streaming@0.1.0", "torvyn:filtering@0.1.0"],
        }
        for key, wanted in expected.items():
            budget.expect_equal("OCI-011", config.get(key), wanted, key, evidence=evidence)
        said = config.get("runtime_compatibility")
        compatibility = said if isinstance(said, dict) else {}
        bounds = {key: compatibility.get(key) for key in ("min_torvyn_version", "max_torvyn_version", "wasi_target", "target_arch")}
        needs = {
            "min_torvyn_version": "0.1.0",
            "max_torvyn_version": "9.0.0" if manifest == BOUNDED else None,
            "wasi_target": "preview2",
            "target_arch": ["wasm32"],
        }
        budget.expect_equal("OCI-011", bounds, needs, "runtime_compatibility", evidence=evidence)
        tools = (config.get("build_tool"), config.get("build_tool_version"))
        if plain:
            named = all(isinstance(tool, str) for tool in tools)
            budget.expect("OCI-011", named, "build_tool and build_tool_version are no texts", found=tools, evidence=evidence)
        else:
            budget.expect_equal("OCI-011", tools, ("cargo-component", "0.20.0"), "the build tool", evidence=evidence)


@checks("OCI-016", facet=Facet.PACKAGING, kind="example")
def publishing_overwrites_no_tag_unasked(session: Session, budget: Budget) -> None:
    """The tag is the manifest's version unless one is given; one that is taken moves with force only; the digest is returned."""
    for given in (None, "stable"):
        with workshop() as place, serve_registry() as registry:
            home, tag = place.folder("home"), given or "1.2.3"
            target = f"{registry.host}/{REPOSITORY}" + (f":{given}" if given else "")
            first, second = (place.artifact(entries(MANIFEST, mark=mark)) for mark in ("first", "second"))
            reply = session.packaging.publish(first, target, home)
            before = registry.tags.get((REPOSITORY, tag))
            tags = {name: found for (_, name), found in registry.tags.items()}
            evidence = {"target": target, "tags": tags}
            budget.expect("OCI-016", before, f"nothing was published under {tag}", expected=tag, found=sorted(tags), evidence=evidence)
            told = (reply.tag, reply.digest)
            budget.expect_equal("OCI-016", told, (tag, before), "tag and digest that publishing returns", evidence=evidence)
            refused = refusal(partial(session.packaging.publish, second, target, home))
            budget.expect("OCI-016", refused, "a tag that was taken was published again", expected="a refusal", evidence=evidence)
            after = registry.tags.get((REPOSITORY, tag))
            budget.expect_equal("OCI-016", after, before, "the tag after a publication that was refused", evidence=evidence)
            stuck = refusal(partial(session.packaging.publish, second, target, home, force=True))
            budget.expect("OCI-016", stuck is None, "a tag that was taken is not moved with force", found=stuck, evidence=evidence)
            again = session.packaging.publish(second, target, home, force=True)
            moved = registry.tags.get((REPOSITORY, tag))
            budget.expect("OCI-016", moved not in {before, None}, "the tag did not move with force", found=moved, evidence=evidence)
            budget.expect_equal("OCI-016", again.digest, moved, "the digest that publishing with force returns", evidence=evidence)
            content = digest(registry.blobs[moved or ""])
            budget.expect_equal("OCI-016", again.digest, content, "the digest of the manifest's bytes", evidence=evidence)

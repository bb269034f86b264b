"""A packed archive as the OCI artifact that a registry gets (OCI-009..OCI-012), and its publication (OCI-016)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from torvyn_ref.config import read_manifest
from torvyn_ref.packaging.archive import COMPONENT, MANIFEST, PROVENANCE, read_archive
from torvyn_ref.packaging.artifact import (
    DEFAULT_LIMITS,
    MANIFEST_TYPE,
    PROVENANCE_TYPE,
    TITLE,
    WASM_TYPE,
    WIT_TYPE,
    Artifact,
    Limits,
    assemble,
)
from torvyn_ref.packaging.inspection import Inspection, describe
from torvyn_ref.packaging.packing import wit_layer
from torvyn_ref.packaging.provenance import Provenance, read_statement
from torvyn_ref.packaging.reference import OciReference
from torvyn_ref.packaging.registry import DEFAULT_OPTIONS, RegistryOptions, push

CREATED: Final = "org.opencontainers.image.created"
VERSION: Final = "org.opencontainers.image.version"
MIN_VERSION: Final = "dev.torvyn.runtime.min-version"
CONTRACT: Final = "dev.torvyn.contract.package"
WIT_TITLE: Final = "wit.tar"


@dataclass(frozen=True, slots=True)
class Published:
    """Where something was published: the tag, and the digest of its manifest."""

    tag: str
    digest: str


def image(archive: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[Artifact, str]:
    """Return an archive as an OCI artifact, and its version.

    Raises:
        TorvynError: as `read_archive`; (config, …) for its manifest; corrupt-artifact, digest-mismatch for its provenance.
    """
    files = read_archive(archive, limits)
    where = str(archive)
    manifest = read_manifest(files[MANIFEST], origin=f"{where}: {MANIFEST}")
    raw = files.get(PROVENANCE)
    provenance = read_statement(raw, files[COMPONENT], where=where) if raw is not None else None
    about = describe(manifest, wasm_size=len(files[COMPONENT]), wit=(), provenance=provenance)
    layers = [
        (files[COMPONENT], WASM_TYPE, COMPONENT),
        (files[MANIFEST], MANIFEST_TYPE, MANIFEST),
        (wit_layer(files), WIT_TYPE, WIT_TITLE),
        *([(raw, PROVENANCE_TYPE, PROVENANCE)] if raw is not None else []),
    ]
    # The time of the build where it is known: publishing the same archive twice then gives the same digest.
    annotations = {
        CREATED: _created(provenance),
        TITLE: about.name,
        VERSION: about.version,
        MIN_VERSION: about.min_torvyn_version,
        **({CONTRACT: about.contract_packages[0]} if about.contract_packages else {}),
    }
    return assemble(layers, config=_config(about), annotations=annotations), about.version


def publish(
    archive: Path,
    reference: OciReference,
    options: RegistryOptions = DEFAULT_OPTIONS,
    *,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Published:
    """Push an archive to a registry; without a tag in the reference the tag is the manifest's version (OCI-016).

    Raises:
        TorvynError: as `image` and `push`; tag-exists when the tag names something else and `force` is not set.
    """
    artifact, number = image(archive, limits)
    # A tag cannot hold the plus sign of a version's build metadata; OCI tools write it as an underscore.
    target = reference if reference.tag else replace(reference, tag=number.replace("+", "_"))
    return Published(target.tag or number, push(target, artifact, options, force=force))


def _created(provenance: Provenance | None) -> str:
    finished = provenance.finished_on if provenance is not None else None
    with suppress(ValueError):
        if finished is not None and datetime.fromisoformat(finished).tzinfo is not None:
            return finished
    return datetime.now(UTC).isoformat(timespec="seconds")


def _config(about: Inspection) -> dict[str, Any]:
    compatibility = {
        "min_torvyn_version": about.min_torvyn_version,
        "wasi_target": about.wasi_target,
        "target_arch": [about.target_arch],
    }
    if about.max_torvyn_version is not None:
        compatibility["max_torvyn_version"] = about.max_torvyn_version
    return {
        "component_name": about.name,
        "component_version": about.version,
        "contract_packages": list(about.contract_packages),
        "capabilities_required": list(about.capabilities_required),
        "capabilities_optional": list(about.capabilities_optional),
        "runtime_compatibility": compatibility,
        "build_tool": about.build_tool,
        "build_tool_version": about.build_tool_version,
    }

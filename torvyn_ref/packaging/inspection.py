"""What an artifact says about its component, for an operator who has to decide (OCI-029)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torvyn_ref.config import Manifest, PackageManifest, read_manifest
from torvyn_ref.packaging.archive import COMPONENT, MANIFEST, PROVENANCE, WIT, read_archive
from torvyn_ref.packaging.artifact import DEFAULT_LIMITS, Limits
from torvyn_ref.packaging.provenance import Provenance, read_statement

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a component is, what it needs and where it came from."""

    name: str
    version: str
    description: str
    license: str
    contract_packages: tuple[str, ...]
    capabilities_required: tuple[str, ...]
    capabilities_optional: tuple[str, ...]
    min_torvyn_version: str
    max_torvyn_version: str | None
    wasi_target: str
    target_arch: str
    build_tool: str
    build_tool_version: str
    wasm_size: int
    wit_files: tuple[str, ...]
    provenance: Provenance | None
    deprecation: str | None


def inspect(archive: Path, limits: Limits = DEFAULT_LIMITS) -> Inspection:
    """Read an archive and say what is in it.

    Raises:
        TorvynError: as `read_archive` and `read_manifest`; corrupt-artifact, digest-mismatch for provenance that does not hold.
    """
    files = read_archive(archive, limits)
    where = str(archive)
    manifest = read_manifest(files[MANIFEST], origin=f"{where}: {MANIFEST}")
    raw = files.get(PROVENANCE)
    provenance = read_statement(raw, files[COMPONENT], where=where) if raw is not None else None
    return describe(manifest, wasm_size=len(files[COMPONENT]), wit=tuple(_wit(files)), provenance=provenance)


def describe(manifest: Manifest | PackageManifest, *, wasm_size: int, wit: tuple[str, ...], provenance: Provenance | None) -> Inspection:
    """Return what a manifest says, beside what was counted."""
    identity = manifest.component if isinstance(manifest, PackageManifest) else manifest.torvyn
    assert identity is not None  # the reader refuses a manifest with neither
    needs, compatibility, deprecation = manifest.capabilities, manifest.compatibility, manifest.deprecation
    text = None
    if deprecation is not None:
        successor = f"; use {deprecation.successor}" if deprecation.successor else ""
        text = f"deprecated since {deprecation.deprecated_since}: {deprecation.message}{successor}"
    return Inspection(
        name=identity.name,
        version=identity.version,
        description=identity.description,
        license=identity.license,
        contract_packages=manifest.contracts.packages,
        capabilities_required=tuple(name for name, wanted in needs.required.items() if wanted),
        capabilities_optional=tuple(name for name, wanted in needs.optional.items() if wanted),
        min_torvyn_version=compatibility.min_torvyn_version,
        max_torvyn_version=compatibility.max_torvyn_version,
        wasi_target=compatibility.wasi_target,
        target_arch=compatibility.target_arch,
        build_tool=manifest.build.tool or UNKNOWN,
        build_tool_version=manifest.build.tool_version,
        wasm_size=wasm_size,
        wit_files=wit,
        provenance=provenance,
        deprecation=text,
    )


def _wit(files: Mapping[str, bytes]) -> list[str]:
    return sorted(name.removeprefix(f"{WIT}/") for name in files if name.startswith(f"{WIT}/"))

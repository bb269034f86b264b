"""Packing a component into a `.torvyn` archive, and unpacking one into a directory (OCI-001..OCI-008).

The archive is written last and whole: whatever fails before leaves no file behind. The same inputs give the same bytes (OCI-005): entries
come in one order, with one mode and time zero, and the gzip header has no time either.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Final

from torvyn_ref.config import Manifest, PackageManifest, read_manifest
from torvyn_ref.packaging.archive import COMPONENT, MANIFEST, PROVENANCE, WIT, read_archive
from torvyn_ref.packaging.artifact import DEFAULT_LIMITS, Limits, check_component, digest_of
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import read_bounded, written_whole
from torvyn_ref.packaging.provenance import BuildRecord, statement

SUFFIX: Final = ".torvyn"
_MODE: Final = 0o644
_MAX_WIT_FILES: Final = 900
"""Together with the other entries fewer than a reader admits."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished archive: where it is, its digest, and those of its layers by entry name (OCI-006)."""

    path: Path
    digest: str
    layers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def pack(
    project: Path, output: Path, record: BuildRecord, *, wasm: Path | None = None, wit: Path | None = None, limits: Limits = DEFAULT_LIMITS
) -> Packed:
    """Pack a project's component into `<name>-<version>.torvyn`.

    Args:
        project: the directory with Torvyn.toml.
        output: the directory to write to; it is made when needed.
        record: what the provenance says about the build.
        wasm: the component; the project's component.wasm otherwise.
        wit: the directory with the WIT files; the project's wit/ otherwise.
        limits: the most bytes to read.

    Raises:
        TorvynError: not-found, unreadable, too-large, not-a-component, no-wit-files; (config, …) for a manifest that is not valid.
    """
    wasm, wit = wasm or project / COMPONENT, wit or project / WIT
    component = read_bounded(wasm, limits.component)
    check_component(component, where=str(wasm))
    files = _wit_files(wit, limits)
    raw = read_bounded(project / MANIFEST, limits.manifest)
    manifest = read_manifest(raw, origin=str(project / MANIFEST))
    name, number = _identity(manifest, where=str(project / MANIFEST))
    provenance = statement(component, record, _internal(manifest))
    entries = [(COMPONENT, component), (MANIFEST, raw), *files, (PROVENANCE, provenance)]
    content = _archive(entries)
    path = output / f"{name}-{number}{SUFFIX}"
    try:
        with written_whole(path) as stream:
            stream.write(content)
    except OSError as error:
        raise refused("unreadable", f"the artifact cannot be written: {error.strerror or error}", where=str(path)) from None
    layers = {COMPONENT: component, MANIFEST: raw, PROVENANCE: provenance}
    return Packed(path, digest_of(content), MappingProxyType({name: digest_of(bytes_) for name, bytes_ in layers.items()}))


def unpack(archive: Path, directory: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Unpack an archive into a directory that is empty or not there yet.

    The archive is read whole and found good before the first file is written. Entries that are no part of an artifact are left out
    (OCI-007), and none can name a place outside, since all were refused that try (OCI-008).

    Raises:
        TorvynError: as `read_archive`; not-empty when the directory holds anything.
    """
    files = read_archive(archive, limits)
    try:
        if directory.exists() and any(directory.iterdir()):
            raise refused("not-empty", "the directory to unpack into is not empty", where=str(directory), hint="name a new one")
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=directory.parent) as temporary:
            whole = Path(temporary) / "artifact"
            for name, content in files.items():
                if name in (COMPONENT, MANIFEST, PROVENANCE) or name.startswith(f"{WIT}/"):
                    path = whole / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            whole.replace(directory)
    except OSError as error:
        raise refused("unreadable", f"the directory cannot be written: {error.strerror or error}", where=str(directory)) from None


def wit_layer(files: Mapping[str, bytes]) -> bytes:
    """Return the WIT files of an artifact as the tar that is their layer (J-29)."""
    return _tar([(name, content) for name, content in sorted(files.items()) if name.startswith(f"{WIT}/")])


def _wit_files(directory: Path, limits: Limits) -> list[tuple[str, bytes]]:
    """Return every WIT file below a directory with its entry name, in order (OCI-004).

    Raises:
        TorvynError: not-found without the directory, no-wit-files when it holds none.
    """
    if not directory.is_dir():
        raise refused("not-found", "the directory with the WIT files does not exist", where=str(directory))
    found = sorted((path.relative_to(directory).as_posix(), path) for path in directory.rglob("*.wit") if path.is_file())
    if not found:
        raise refused("no-wit-files", "the directory holds no .wit file", where=str(directory), hint="the contract belongs there")
    if len(found) > _MAX_WIT_FILES:
        raise refused("too-large", f"the directory holds more than {_MAX_WIT_FILES} .wit files", where=str(directory))
    return [(f"{WIT}/{name}", read_bounded(path, limits.other_blob)) for name, path in found]


def _identity(manifest: Manifest | PackageManifest, *, where: str) -> tuple[str, str]:
    if isinstance(manifest, PackageManifest):
        return manifest.component.name, manifest.component.version
    if manifest.torvyn is None:  # the reader refuses a manifest with neither
        raise refused("not-found", "the manifest has no identity", where=where)
    return manifest.torvyn.name, manifest.torvyn.version


def _internal(manifest: Manifest | PackageManifest) -> dict[str, object]:
    return {
        "torvyn_cli_version": version("torvyn-conformance"),
        "build_tool": manifest.build.tool,
        "build_tool_version": manifest.build.tool_version,
        "language_version": manifest.build.language_version,
        "wit_packages": list(manifest.contracts.packages),
    }


def _archive(entries: Iterable[tuple[str, bytes]]) -> bytes:
    # No file name and no time in the header: they would make two archives of the same files differ.
    return gzip.compress(_tar(entries), mtime=0)


def _tar(entries: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), _MODE, 0
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()

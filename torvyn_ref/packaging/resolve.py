"""From a component reference to verified bytes (OCI-021).

A name leads to its `[[component]]`; a file is read; a layout or registry artifact is fetched whole, every blob checked for digest and size
(OCI-017), and kept in the cache. Nothing is returned that was not checked in this call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torvyn_ref.contract.versions import Version
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.admission import check_inside
from torvyn_ref.packaging.archive import COMPONENT, MANIFEST, PROVENANCE, read_archive
from torvyn_ref.packaging.artifact import (
    DEFAULT_LIMITS,
    MANIFEST_TYPE,
    PROVENANCE_TYPE,
    WASM_TYPE,
    Descriptor,
    Limits,
    Source,
    check_component,
    check_limits,
    component_layer,
    digest_of,
    parse_manifest,
    verified,
)
from torvyn_ref.packaging.cache import Cache
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import read_bounded
from torvyn_ref.packaging.layout import Layout, is_layout
from torvyn_ref.packaging.reference import FileReference, LayoutReference, NameReference, OciReference, Reference, parse_reference
from torvyn_ref.packaging.registry import DEFAULT_OPTIONS, RegistryOptions, RegistrySource

LOCAL_BUILDS: Final = Path("target") / "torvyn"
_BUILD = re.compile(r"(?P<name>[A-Za-z0-9_-]+)-(?P<version>[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)")


@dataclass(frozen=True, slots=True)
class ResolvedComponent:
    """A component's verified bytes, and where they came from."""

    wasm: bytes
    """The component."""
    digest: str
    """sha256 of `wasm`."""
    origin: str
    """The file, layout or registry reference the bytes came from, for people."""
    artifact: str | None = None
    """Digest of the OCI manifest, when there is one."""
    cached: bool = False
    """Whether everything came from the cache."""

    @property
    def size(self) -> int:
        """Length of `wasm` in bytes."""
        return len(self.wasm)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Everything resolution needs besides the reference."""

    base_dir: Path
    """Relative paths start here: the manifest's directory (OCI-023)."""
    components: Mapping[str, str]
    """Component names to what they stand for, as `Project.component_sources` gives it."""
    cache: Cache | None = None
    options: RegistryOptions = DEFAULT_OPTIONS
    limits: Limits = DEFAULT_LIMITS
    offline: bool = False
    """Use no registry: only what the cache holds."""
    refresh: bool = False
    """Ask the registry even for a tag that is cached."""

    def resolve(self, reference: str | Reference) -> ResolvedComponent:
        """Return a component's verified bytes; see `resolve`."""
        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        name = None
        if isinstance(parsed, NameReference):
            name = parsed.name
            parsed = self._named(name)
        if isinstance(parsed, FileReference):
            return self._file(self.base_dir / parsed.path, name)
        if isinstance(parsed, LayoutReference):
            layout = Layout(self.base_dir / parsed.directory)
            return self._fetched(layout.source(parsed.tag, parsed.digest))
        assert isinstance(parsed, OciReference)
        return self._registry(parsed)

    def _named(self, name: str) -> Reference:
        if name not in self.components:
            known = ", ".join(sorted(self.components)[:8]) or "none"
            raise refused("not-found", "no component has this name", where=repr(name), hint=f"components: {known}")
        parsed = parse_reference(self.components[name])
        if isinstance(parsed, NameReference):
            raise refused("invalid-reference", "a component's reference must not be another name", where=repr(name), hint="use a path")
        return parsed

    def _file(self, path: Path, name: str | None) -> ResolvedComponent:
        if path.is_dir():
            if is_layout(path):
                return self._fetched(Layout(path).source(None, None))
            path = self._local_build(path, name)
        if path.suffix == ".torvyn":
            files = read_archive(path, self.limits)
            check_inside(files, where=str(path))
            wasm = files[COMPONENT]
        else:
            wasm = read_bounded(path, self.limits.component)
            check_component(wasm, where=str(path))
        return ResolvedComponent(wasm, digest_of(wasm), str(path))

    def _registry(self, reference: OciReference) -> ResolvedComponent:
        if self.cache is not None and not (self.refresh and reference.digest is None):
            found = self._cached(reference, self.cache)
            if found is not None:
                return found
        if self.offline:
            raise refused("not-found", "the cache does not hold it and the registry may not be asked", where=str(reference))
        with closing(RegistrySource(reference, self.options)) as source:
            return self._fetched(source, reference)

    def _cached(self, reference: OciReference, cache: Cache) -> ResolvedComponent | None:
        """Return a component the cache holds completely; one missing or corrupted blob makes it a miss."""
        raw = cache.manifest_of(reference)
        if raw is None:
            return None
        where = str(reference)
        manifest = parse_manifest(raw, where=where)
        check_limits(manifest, self.limits, where=where)
        layer = component_layer(manifest, where=where)
        blobs: dict[str, bytes] = {}
        for descriptor in manifest.descriptors:
            content = cache.blob(descriptor.digest, descriptor.size)
            if content is None or len(content) != descriptor.size:
                return None
            blobs[descriptor.media_type] = content
        _check_inside(blobs, where)
        return ResolvedComponent(blobs[WASM_TYPE], layer.digest, where, digest_of(raw), cached=True)

    def _fetched(self, source: Source, reference: OciReference | None = None) -> ResolvedComponent:
        """Fetch an artifact whole, verifying every blob; only a complete and right one becomes known to the cache."""
        raw = source.manifest(self.limits.manifest)
        manifest = parse_manifest(raw, where=source.where)
        layer = component_layer(manifest, where=source.where)
        check_limits(manifest, self.limits, where=source.where)
        keep = self.cache if reference is not None else None
        blobs: dict[str, bytes] = {}
        for descriptor in manifest.descriptors:
            content = keep.blob(descriptor.digest, descriptor.size) if keep is not None else None
            if content is None or len(content) != descriptor.size:
                content = _fetch(source, descriptor, keep)
            blobs[descriptor.media_type] = content
        _check_inside(blobs, source.where)
        if keep is not None and reference is not None:
            keep.store_manifest(reference, raw)
        return ResolvedComponent(blobs[WASM_TYPE], layer.digest, source.where, digest_of(raw))

    def _local_build(self, directory: Path, name: str | None) -> Path:
        """Return the newest build of exactly this component, from its own directory or else the project's (OCI-021, OCI-022).

        Without a name, the directory must hold builds of one component only.
        """
        for place in (directory / LOCAL_BUILDS, self.base_dir / LOCAL_BUILDS):
            found: dict[str, list[tuple[Version, Path]]] = {}
            for file in place.glob("*.torvyn"):
                match = _BUILD.fullmatch(file.stem)
                if match is not None and name in (None, match["name"]) and (version := _version(match["version"])) is not None:
                    found.setdefault(match["name"], []).append((version, file))
            if len(found) > 1:
                raise refused(
                    "invalid-reference", f"builds of several components are here: {', '.join(sorted(found)[:8])}", where=str(place)
                )
            for builds in found.values():
                return max(builds, key=_newest)[1]
        raise refused(
            "not-found",
            "the directory is no OCI layout and holds no build",
            where=str(directory),
            hint=f"build it into {LOCAL_BUILDS}, or name the .wasm file",
        )


def resolve(
    reference: str | Reference,
    *,
    base_dir: Path,
    components: Mapping[str, str] | None = None,
    cache: Cache | None = None,
    options: RegistryOptions = DEFAULT_OPTIONS,
    limits: Limits = DEFAULT_LIMITS,
    offline: bool = False,
    refresh: bool = False,
) -> ResolvedComponent:
    """Return the verified bytes a component reference stands for.

    Args:
        reference: any form of OCI-024, as text or parsed.
        base_dir: where relative paths start: the manifest's directory.
        components: component names to what they stand for, as `Project.component_sources` gives it.
        cache: where registry artifacts are kept; None keeps nothing.
        options: how to talk to a registry.
        limits: the most bytes to read.
        offline: use no registry.
        refresh: ask the registry even for a cached tag.

    Raises:
        TorvynError: subsystem "packaging"; the kinds are listed in `torvyn_ref.packaging.errors`.
    """
    return Resolver(base_dir, components or {}, cache, options, limits, offline, refresh).resolve(reference)


def _check_inside(blobs: Mapping[str, bytes], where: str) -> None:
    """Hold what an artifact says of itself, by media types, against its component and this runtime."""
    check_component(blobs[WASM_TYPE], where=where)
    names = {WASM_TYPE: COMPONENT, MANIFEST_TYPE: MANIFEST, PROVENANCE_TYPE: PROVENANCE}
    check_inside({name: blobs[kind] for kind, name in names.items() if kind in blobs}, where=where)


def _fetch(source: Source, descriptor: Descriptor, keep: Cache | None) -> bytes:
    with closing(source.blob(descriptor)) as chunks:
        if keep is None:
            return b"".join(verified(chunks, descriptor, where=source.where))
        keep.store_blob(chunks, descriptor, where=source.where)
    content = keep.blob(descriptor.digest, descriptor.size)
    if content is None:
        raise refused("cache-failed", f"the cache lost {descriptor.digest} right after it was stored", where=str(keep.root))
    return content


def _version(text: str) -> Version | None:
    """Read the version in a build's name; None when it is none, and the file no build."""
    try:
        return Version.parse(text)
    except TorvynError:
        return None


def _newest(build: tuple[Version, Path]) -> tuple[object, ...]:
    """Order builds by version, and those that differ in build metadata only by name."""
    version, file = build
    return (*version.precedence, file.name)

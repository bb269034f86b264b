"""Artifacts: an OCI image manifest and its blobs, believed only after digest and size agree (OCI-017).

Reading is in two steps. `parse_manifest` turns raw manifest bytes into descriptors; `Verifier` follows a blob's bytes as they arrive and
decides at the end whether they are what the descriptor promised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.reference import parse_digest

IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE: Final = "application/vnd.torvyn.component.config.v1+json"
WASM_TYPE: Final = "application/vnd.torvyn.component.wasm.v1+wasm"
MANIFEST_TYPE: Final = "application/vnd.torvyn.component.manifest.v1+toml"
WIT_TYPE: Final = "application/vnd.torvyn.component.wit.v1+tar"
PROVENANCE_TYPE: Final = "application/vnd.torvyn.component.provenance.v1+json"
SIGNATURE_TYPE: Final = "application/vnd.torvyn.component.signature.v1+json"

TITLE: Final = "org.opencontainers.image.title"

MIB = 1024 * 1024
_MAX_LAYERS = 64
_COMPONENT_HEADER = b"\x00asm\x0d\x00\x01\x00"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read from outside, in bytes."""

    manifest: int = 4 * MIB
    component: int = 64 * MIB
    other_blob: int = 16 * MIB
    """Config, Torvyn.toml, WIT and provenance, each."""


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A promise: bytes of this media type, digest and size."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, content: bytes, media_type: str, title: str | None = None) -> Descriptor:
        """Describe content that is at hand."""
        return cls(media_type, digest_of(content), len(content), MappingProxyType({TITLE: title} if title else {}))

    def as_dict(self) -> dict[str, Any]:
        """Return the descriptor as JSON-ready data."""
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            data["annotations"] = dict(self.annotations)
        return data


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """A parsed image manifest."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """Every blob the manifest names, each digest once."""
        return tuple({descriptor.digest: descriptor for descriptor in (self.config, *self.layers)}.values())


@dataclass(frozen=True, slots=True)
class Artifact:
    """A complete artifact in memory: the raw manifest and every blob by digest."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The digest of the raw manifest, which names the artifact."""
        return digest_of(self.manifest)


class Source(Protocol):
    """Where artifacts come from: a registry or a layout."""

    where: str
    """Named in errors."""

    def manifest(self, limit: int) -> bytes:
        """Return the raw manifest asked for, at most `limit` bytes."""
        ...

    def blob(self, descriptor: Descriptor) -> Generator[bytes]:
        """Yield a blob's bytes, unverified."""
        ...


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_component(content: bytes, *, where: str) -> None:
    """Refuse bytes that do not start like a WebAssembly component (OCI-003).

    Raises:
        TorvynError: (packaging, not-a-component).
    """
    if content[:8] == _COMPONENT_HEADER:
        return
    if content[:8] == b"\x00asm\x01\x00\x00\x00":
        found, hint = "a core WebAssembly module", "wrap it into a component first (wasm-tools component new)"
    elif len(content) < 8:
        found, hint = f"{len(content)} bytes", "the file is truncated"
    elif content[:4] == b"\x00asm":
        found, hint = f"WebAssembly of an unknown version ({content[4:8].hex(' ')})", None
    else:
        found, hint = "something else", None
    raise refused("not-a-component", f"expected a WebAssembly component, found {found}", where=where, hint=hint)


def verified(chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> Iterator[bytes]:
    """Pass bytes on while counting and hashing them; raise as soon as they cannot be what was promised.

    The consumer must drain it: only the end of the iteration means that digest and size agree.

    Raises:
        TorvynError: (packaging, size-mismatch) or (packaging, digest-mismatch).
    """
    seen = 0
    hasher = hashlib.sha256()
    for chunk in chunks:
        seen += len(chunk)
        if seen > descriptor.size:
            raise _size_mismatch(descriptor, f"more than {descriptor.size}", where)
        hasher.update(chunk)
        yield chunk
    if seen != descriptor.size:
        raise _size_mismatch(descriptor, str(seen), where)
    found = f"sha256:{hasher.hexdigest()}"
    if found != descriptor.digest:
        raise digest_mismatch("the blob", descriptor.digest, found, where=where)


def _size_mismatch(descriptor: Descriptor, found: str, where: str) -> TorvynError:
    return refused("size-mismatch", f"the blob {descriptor.digest} should have {descriptor.size} bytes, found {found}", where=where)


def digest_mismatch(what: str, expected: str, found: str, *, where: str) -> TorvynError:
    """Build the error for bytes that are not the ones a digest names."""
    hint = "the content was changed on its way or in its store; do not use it"
    return refused("digest-mismatch", f"{what} should be {expected}, found {found}", where=where, hint=hint)


def check_manifest_digest(raw: bytes, expected: str | None, *, where: str) -> str:
    """Return the digest of raw manifest bytes, after comparing it with the one that was asked for.

    Raises:
        TorvynError: (packaging, digest-mismatch).
    """
    found = digest_of(raw)
    if expected is not None and found != expected:
        raise digest_mismatch("the manifest", expected, found, where=where)
    return found


def parse_json(raw: bytes, *, kind: str, what: str, where: str) -> dict[str, Any]:
    """Parse untrusted JSON that must be an object; a key written twice is refused, since readers would disagree on it.

    Raises:
        TorvynError: of the given kind.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is written twice")
        return found

    try:
        data = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise refused(kind, f"{what} is not valid JSON: {error}", where=where) from None
    if not isinstance(data, dict):
        raise refused(kind, f"{what} is not a JSON object", where=where)
    return data


def parse_descriptor(data: Any, *, kind: str, what: str, where: str) -> Descriptor:
    """Read one descriptor from untrusted data.

    Raises:
        TorvynError: of the given kind, naming what is wrong with it.
    """
    if not isinstance(data, dict):
        raise refused(kind, f"{what} is not an object", where=where)
    media_type, digest, size = data.get("mediaType"), data.get("digest"), data.get("size")
    if not isinstance(media_type, str) or not media_type:
        raise refused(kind, f"{what} has no mediaType", where=where)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise refused(kind, f"{what} has no valid size", where=where)
    if not isinstance(digest, str):
        raise refused(kind, f"{what} has no digest", where=where)
    try:
        digest = parse_digest(digest)
    except TorvynError as error:
        raise refused(kind, f"{what}: {error.message}", where=where) from None
    return Descriptor(media_type, digest, size, _annotations(data.get("annotations"), kind=kind, what=what, where=where))


def _annotations(data: Any, *, kind: str, what: str, where: str) -> Mapping[str, str]:
    if data is None:
        return MappingProxyType({})
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise refused(kind, f"{what} has annotations that are not strings", where=where)
    return MappingProxyType(data)


def parse_manifest(raw: bytes, *, where: str) -> ImageManifest:
    """Parse raw image-manifest bytes.

    Raises:
        TorvynError: (packaging, invalid-manifest).
    """
    kind = "invalid-manifest"
    data = parse_json(raw, kind=kind, what="the manifest", where=where)
    if data.get("schemaVersion") != 2:
        raise refused(kind, "the manifest's schemaVersion is not 2", where=where)
    if (media_type := data.get("mediaType", IMAGE_MANIFEST)) != IMAGE_MANIFEST:
        raise refused(kind, f"expected an image manifest, found {str(media_type)[:80]!r}", where=where)
    layers = data.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= _MAX_LAYERS:
        raise refused(kind, f"the manifest should have 1 to {_MAX_LAYERS} layers", where=where)
    return ImageManifest(
        config=parse_descriptor(data.get("config"), kind=kind, what="the config descriptor", where=where),
        layers=tuple(parse_descriptor(layer, kind=kind, what=f"layer {index}", where=where) for index, layer in enumerate(layers)),
        annotations=_annotations(data.get("annotations"), kind=kind, what="the manifest", where=where),
    )


def component_layer(manifest: ImageManifest, *, where: str) -> Descriptor:
    """Return the one layer that is the component.

    Raises:
        TorvynError: (packaging, not-a-component) when there is none, (packaging, invalid-manifest) when there are several.
    """
    found = [layer for layer in manifest.layers if layer.media_type == WASM_TYPE]
    if not found:
        types = ", ".join(sorted({layer.media_type[:80] for layer in manifest.layers}))
        raise refused("not-a-component", f"no layer has the type {WASM_TYPE}; found {types}", where=where)
    if len(found) > 1:
        raise refused("invalid-manifest", f"{len(found)} layers have the type {WASM_TYPE}, expected one", where=where)
    return found[0]


def check_limits(manifest: ImageManifest, limits: Limits, *, where: str) -> None:
    """Refuse an artifact that promises more bytes than allowed, before any of them is fetched.

    Raises:
        TorvynError: (packaging, too-large).
    """
    for descriptor in manifest.descriptors:
        limit = limits.component if descriptor.media_type == WASM_TYPE else limits.other_blob
        if descriptor.size > limit:
            raise refused(
                "too-large", f"the blob {descriptor.digest} has {descriptor.size} bytes, at most {limit} are allowed", where=where
            )


def assemble(
    layers: Iterable[tuple[bytes, str, str]], *, config: Mapping[str, Any], annotations: Mapping[str, str] | None = None
) -> Artifact:
    """Build an artifact from its layers (content, media type, file name), in order; the same input gives the same bytes.

    Every descriptor's size is its blob's length (OCI-010) and every layer carries its file name (OCI-009).
    """
    config_blob = json.dumps(config, indent=2, sort_keys=True).encode()
    contents = tuple(layers)
    descriptors = [Descriptor.of(content, media_type, title) for content, media_type, title in contents]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": Descriptor.of(config_blob, CONFIG_TYPE).as_dict(),
        "layers": [descriptor.as_dict() for descriptor in descriptors],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    blobs = {digest_of(config_blob): config_blob}
    blobs.update({descriptor.digest: content for descriptor, (content, _, _) in zip(descriptors, contents, strict=True)})
    return Artifact(json.dumps(manifest, separators=(",", ":")).encode(), MappingProxyType(blobs))

"""OCI image-layout directories: `oci-layout`, `index.json` and `blobs/sha256/`, read with distrust and written atomically."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from torvyn_ref.packaging.artifact import (
    DEFAULT_LIMITS,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Artifact,
    Descriptor,
    check_manifest_digest,
    parse_descriptor,
    parse_json,
)
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import chunks_of, read_bounded, written_whole
from torvyn_ref.packaging.reference import DEFAULT_TAG, parse_digest

MARKER: Final = "oci-layout"
REF_NAME: Final = "org.opencontainers.image.ref.name"
_VERSION = "1.0.0"
_MAX_ENTRIES = 10_000
_KIND = "invalid-layout"


def is_layout(directory: Path) -> bool:
    """Tell whether a directory claims to be an image layout."""
    return (directory / MARKER).is_file()


class Layout:
    """An image layout that exists.

    Raises:
        TorvynError: not-found, invalid-layout, too-large, unreadable; on construction, since the index is read once.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.where = f"oci-layout:{directory}"
        if not directory.is_dir():
            raise refused("not-found", "the layout directory does not exist", where=self.where)
        if not is_layout(directory):
            raise refused(_KIND, f"the directory holds no {MARKER} file", where=self.where)
        marker = parse_json(read_bounded(directory / MARKER, 4096), kind=_KIND, what=MARKER, where=self.where)
        if marker.get("imageLayoutVersion") != _VERSION:
            raise refused(_KIND, f"expected imageLayoutVersion {_VERSION}", where=self.where)
        self.entries = self._read_index()

    def _read_index(self) -> tuple[Descriptor, ...]:
        raw = read_bounded(self.directory / "index.json", DEFAULT_LIMITS.manifest)
        index = parse_json(raw, kind=_KIND, what="index.json", where=self.where)
        if index.get("schemaVersion") != 2:
            raise refused(_KIND, "index.json has not schemaVersion 2", where=self.where)
        manifests = index.get("manifests")
        if not isinstance(manifests, list) or len(manifests) > _MAX_ENTRIES:
            raise refused(_KIND, f"index.json should hold up to {_MAX_ENTRIES} manifests", where=self.where)
        return tuple(
            parse_descriptor(entry, kind=_KIND, what=f"index.json entry {at}", where=self.where) for at, entry in enumerate(manifests)
        )

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in index order."""
        return tuple(entry.annotations[REF_NAME] for entry in self.entries if REF_NAME in entry.annotations)

    def find(self, tag: str | None, digest: str | None) -> Descriptor:
        """Return the index entry of a digest, else of a tag, else of the only manifest, else of `latest` (OCI-015).

        Raises:
            TorvynError: not-found; invalid-layout when one tag names two manifests.
        """
        if digest is not None:
            found = [entry for entry in self.entries if entry.digest == digest]
            wanted = digest
        elif tag is None and len({entry.digest for entry in self.entries}) == 1:
            found = list(self.entries)
            wanted = DEFAULT_TAG
        else:
            wanted = tag or DEFAULT_TAG
            found = [entry for entry in self.entries if entry.annotations.get(REF_NAME) == wanted]
        if not found:
            known = ", ".join(self.tags[:8]) or "none"
            raise refused("not-found", f"the layout holds no {wanted!r}", where=self.where, hint=f"tags: {known}")
        if len({entry.digest for entry in found}) > 1:
            raise refused(_KIND, f"the tag {wanted!r} names {len(found)} manifests", where=self.where)
        return found[0]

    def source(self, tag: str | None, digest: str | None) -> LayoutSource:
        """Return the artifact of a tag or digest, ready to be fetched and verified."""
        return LayoutSource(self, self.find(tag, digest))


class LayoutSource:
    """One artifact of a layout (the `Source` protocol)."""

    def __init__(self, layout: Layout, entry: Descriptor) -> None:
        self.where = layout.where
        self._blobs = layout.directory / "blobs" / "sha256"
        self._entry = entry

    def manifest(self, limit: int) -> bytes:
        """Return the raw manifest after comparing it with its index entry.

        Raises:
            TorvynError: not-found, too-large, invalid-manifest, size-mismatch, digest-mismatch.
        """
        if self._entry.media_type == IMAGE_INDEX:
            raise refused("invalid-manifest", "expected an image manifest, found a nested index", where=self.where)
        raw = read_bounded(self._path(self._entry.digest), limit)
        check_manifest_digest(raw, self._entry.digest, where=self.where)
        if len(raw) != self._entry.size:
            message = f"index.json says {self._entry.size} bytes for {self._entry.digest}, found {len(raw)}"
            raise refused("size-mismatch", message, where=self.where)
        return raw

    def blob(self, descriptor: Descriptor) -> Generator[bytes]:
        """Yield a blob's bytes, unverified."""
        return chunks_of(self._path(descriptor.digest))

    def _path(self, digest: str) -> Path:
        return self._blobs / parse_digest(digest).removeprefix("sha256:")


def push_to_layout(directory: Path, artifact: Artifact, tag: str | None = None, *, force: bool = True) -> str:
    """Write an artifact into a layout, creating it when needed, and return the manifest's digest.

    Blobs come first and the index last, each by rename: a reader sees the old state or the new one. Writers wait for each other.

    Args:
        directory: the layout.
        artifact: what to write.
        tag: the name to give it; a tag that is there moves.
        force: False refuses to move a tag that names something else (OCI-016).

    Raises:
        TorvynError: tag-exists, invalid-layout, unreadable.
    """
    where = f"oci-layout:{directory}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            if not is_layout(directory):
                with written_whole(directory / MARKER) as stream:
                    stream.write(json.dumps({"imageLayoutVersion": _VERSION}).encode())
            entries = Layout(directory).entries if (directory / "index.json").exists() else ()
            return _push(directory, entries, artifact, tag, force=force, where=where)
    except OSError as error:
        raise refused("unreadable", f"the layout cannot be written: {error.strerror or error}", where=where) from None


def _push(directory: Path, entries: tuple[Descriptor, ...], artifact: Artifact, tag: str | None, *, force: bool, where: str) -> str:
    digest = artifact.digest
    taken = [entry for entry in entries if tag is not None and entry.annotations.get(REF_NAME) == tag and entry.digest != digest]
    if taken and not force:
        raise refused("tag-exists", f"the tag {tag!r} names {taken[0].digest}", where=where, hint="use another tag, or force")
    blobs = directory / "blobs" / "sha256"
    for name, content in ((digest, artifact.manifest), *artifact.blobs.items()):
        with written_whole(blobs / name.removeprefix("sha256:")) as stream:
            stream.write(content)
    entry = Descriptor.of(artifact.manifest, IMAGE_MANIFEST)
    if tag is not None:
        entry = replace(entry, annotations=MappingProxyType({REF_NAME: tag}))
    if tag is None:
        kept = [other for other in entries if other.digest != digest or REF_NAME in other.annotations]
    else:
        kept = [other for other in entries if other.annotations.get(REF_NAME) != tag]
    index: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": IMAGE_INDEX,
        "manifests": [one.as_dict() for one in (*kept, entry)],
    }
    with written_whole(directory / "index.json") as stream:
        stream.write(json.dumps(index, indent=2).encode())
    return digest


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the layout for writing: the index is read, changed and written back."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

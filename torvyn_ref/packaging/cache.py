"""The artifact cache: blobs under their digest, and an index from references to manifests (OCI-018, OCI-019, J-30).

    ROOT/blobs/sha256/<hex>      manifests and blobs, as fetched
    ROOT/index/<hex>.json        one file per reference (named by the reference's hash): {"reference", "digest"}

Every read is verified; what does not match its name is removed and counts as absent. Every write is a temporary file renamed into place, so
readers and writers in other processes need no lock. No name taken from outside ever becomes a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.artifact import DEFAULT_LIMITS, Descriptor, check_manifest_digest, digest_of, parse_json, parse_manifest, verified
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import read_bounded, written_whole
from torvyn_ref.packaging.reference import OciReference, parse_digest

_MAX_INDEX_ENTRY: Final = 8192


def default_root(environment: Mapping[str, str] | None = None) -> Path:
    """Return the cache's usual place: `$TORVYN_HOME/cache`, else `~/.torvyn/cache` (OCI-018)."""
    variables = os.environ if environment is None else environment
    if home := variables.get("TORVYN_HOME"):
        return Path(home) / "cache"
    return Path(variables.get("HOME") or Path.home()) / ".torvyn" / "cache"


class Cache:
    """A content-addressed store of artifacts in one private directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._index = root / "index"

    def blob(self, digest: str, limit: int = DEFAULT_LIMITS.component) -> bytes | None:
        """Return a blob whose bytes match its digest, or None; a file that does not match is removed."""
        path = self._blob(digest)
        try:
            content = read_bounded(path, limit, follow=False)
        except TorvynError as error:
            if error.kind in ("unreadable", "too-large"):
                _remove(path)
            return None
        if digest_of(content) != digest:
            _remove(path)
            return None
        return content

    def manifest_of(self, reference: OciReference) -> bytes | None:
        """Return the raw manifest cached for a reference, or None.

        A reference with a digest is looked up by the digest alone: no tag can lead it elsewhere (OCI-019).
        """
        digest = reference.digest if reference.digest is not None else self._pointed(reference)
        return self.blob(digest, DEFAULT_LIMITS.manifest) if digest is not None else None

    def store_manifest(self, reference: OciReference, raw: bytes) -> str:
        """Store a verified manifest, point its reference at it, and return its digest. Call it after its blobs are stored."""
        digest = check_manifest_digest(raw, reference.digest, where=str(reference))
        self._write(self._blob(digest), [raw])
        entry = json.dumps({"reference": reference.rendered(), "digest": digest})
        self._write(self._pointer(reference), [entry.encode()])
        return digest

    def store_blob(self, chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> None:
        """Store a blob while verifying it; on a mismatch, or when the chunks break off, nothing stays.

        Raises:
            TorvynError: digest-mismatch, size-mismatch, and whatever the chunks raise.
        """
        self._write(self._blob(descriptor.digest), verified(chunks, descriptor, where=where))

    def remove(self, reference: OciReference) -> bool:
        """Forget a reference with all that no other entry needs, and return whether it was there (OCI-020).

        A blob that a writer in another process has just stored may go with it; that writer's next reader fetches it again.
        """
        raw = self.manifest_of(reference)
        found = _remove(self._pointer(reference))
        if raw is None:
            return found
        needed = {digest for pointer in self._index.glob("*.json") for digest in self._needed_by(pointer)}
        for digest in _named_by(raw) - needed:
            _remove(self._blob(digest))
        return True

    def clear(self) -> None:
        """Delete the whole cache (OCI-020)."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _needed_by(self, pointer: Path) -> set[str]:
        """Return the digests that an entry of the index leads to; nothing for one that leads nowhere."""
        try:
            raw = self.blob(parse_digest(str(_entry(pointer).get("digest"))), DEFAULT_LIMITS.manifest)
        except TorvynError:
            return set()
        return set() if raw is None else _named_by(raw)

    def _pointed(self, reference: OciReference) -> str | None:
        path = self._pointer(reference)
        try:
            entry = _entry(path)
            if entry.get("reference") == reference.rendered():
                return parse_digest(str(entry.get("digest")))
        except TorvynError as error:
            if error.kind == "not-found":
                return None
        _remove(path)
        return None

    def _blob(self, digest: str) -> Path:
        return self._blobs / parse_digest(digest).removeprefix("sha256:")

    def _pointer(self, reference: OciReference) -> Path:
        name = hashlib.sha256(reference.rendered().encode()).hexdigest()
        return self._index / f"{name}.json"

    def _write(self, path: Path, chunks: Iterable[bytes]) -> None:
        try:
            # mkdir gives its mode to the last directory only: make each level private.
            for directory in (self.root, path.parent.parent, path.parent):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with written_whole(path) as stream:
                for chunk in chunks:
                    stream.write(chunk)
        except OSError as error:
            raise refused("cache-failed", f"the cache cannot be written: {error.strerror or error}", where=str(self.root)) from None


def _entry(path: Path) -> dict[str, Any]:
    raw = read_bounded(path, _MAX_INDEX_ENTRY, follow=False)
    return parse_json(raw, kind="corrupt-artifact", what="the cache entry", where=str(path))


def _named_by(raw: bytes) -> set[str]:
    """Return the digest of a manifest and those of its blobs."""
    blobs = parse_manifest(raw, where="the cache").descriptors
    return {digest_of(raw), *(blob.digest for blob in blobs)}


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError:
        shutil.rmtree(path, ignore_errors=True)  # a directory where a file belongs
    return True

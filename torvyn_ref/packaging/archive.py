"""`.torvyn` archives: a gzip tar of component.wasm, Torvyn.toml, wit/ and provenance.json, read into memory and never unpacked to disk.

Nothing in an archive becomes a path, so an entry that tries to escape (OCI-008) is refused for what it is.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from torvyn_ref.packaging.artifact import DEFAULT_LIMITS, Limits, check_component, parse_json
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import read_bounded

COMPONENT: Final = "component.wasm"
MANIFEST: Final = "Torvyn.toml"
PROVENANCE: Final = "provenance.json"
WIT: Final = "wit"
"""The entries of an archive; what else it holds is ignored."""

_KIND: Final = "corrupt-artifact"
_MAX_ENTRIES: Final = 1000
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


def read_archive(path: Path, limits: Limits = DEFAULT_LIMITS) -> Mapping[str, bytes]:
    """Return an archive's files by name.

    Raises:
        TorvynError: not-found, unreadable, too-large; corrupt-artifact for a broken archive, a duplicate, a link, an escaping name, a
            missing component.wasm or Torvyn.toml, or provenance that is no JSON (OCI-007); not-a-component.
    """
    return archive_files(read_bounded(path, limits.component + limits.other_blob), where=str(path), limits=limits)


def archive_files(raw: bytes, *, where: str, limits: Limits = DEFAULT_LIMITS) -> Mapping[str, bytes]:
    """Return the files of an archive that is in memory.

    Raises:
        TorvynError: as `read_archive`, about the bytes alone.
    """
    files = _entries(_decompressed(raw, limits.component + limits.other_blob, where), where)
    for name in (COMPONENT, MANIFEST):
        if name not in files:
            raise refused(_KIND, f"the archive holds no {name}", where=where)
    if PROVENANCE in files:
        parse_json(files[PROVENANCE], kind=_KIND, what=PROVENANCE, where=where)
    if len(files[COMPONENT]) > limits.component:
        raise refused("too-large", f"{COMPONENT} is larger than {limits.component} bytes", where=where)
    check_component(files[COMPONENT], where=f"{where}: {COMPONENT}")
    return files


def _decompressed(content: bytes, limit: int, where: str) -> bytes:
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = inflater.decompress(content, limit + 1)
    except zlib.error as error:
        raise refused(_KIND, f"the archive is not valid gzip: {error}", where=where) from None
    if len(plain) > limit:
        raise refused("too-large", f"the archive unpacks to more than {limit} bytes", where=where)
    if not inflater.eof:
        raise refused(_KIND, "the archive is truncated", where=where)
    return plain


def _entries(plain: bytes, where: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            # Counting also ends an archive whose headers lead back to themselves.
            for count, member in enumerate(archive):
                if count >= _MAX_ENTRIES:
                    raise refused(_KIND, f"the archive holds more than {_MAX_ENTRIES} entries", where=where)
                if member.isdir():
                    continue
                shown = repr(member.name[:80])
                if not member.isreg():
                    raise refused(_KIND, f"the entry {shown} is not a plain file", where=where)
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not name.parts:
                    raise refused(_KIND, f"the entry {shown} leaves the archive", where=where)
                if str(name) in files:
                    raise refused(_KIND, f"the entry {shown} is there twice", where=where)
                stream = archive.extractfile(member)
                content = stream.read() if stream is not None else b""
                if len(content) != member.size:
                    raise refused(_KIND, f"the entry {shown} is truncated", where=where)
                files[str(name)] = content
    except (tarfile.TarError, ValueError, OverflowError, EOFError, OSError) as error:
        raise refused(_KIND, f"the archive is not a valid tar: {error}", where=where) from None
    return files

"""The formats of packaging, from the rulebook: `.torvyn` files read and written, what an image manifest must say, versions in their order.

It reads more than a runtime may: an archive is listed as it is, so that a check can say what is wrong with it. And it writes archives that
no packer makes, because a reader has to refuse them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HEADER = b"\x00asm\x0d\x00\x01\x00"
"""How a component begins (OCI-003)."""

PLAIN_BYTES = 256 * 1024 * 1024
"""No archive is read that unpacks to more."""

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

WASM_TYPE = "application/vnd.torvyn.component.wasm.v1+wasm"
TOML_TYPE = "application/vnd.torvyn.component.manifest.v1+toml"
WIT_TYPE = "application/vnd.torvyn.component.wit.v1+tar"
PROVENANCE_TYPE = "application/vnd.torvyn.component.provenance.v1+json"
CONFIG_TYPE = "application/vnd.torvyn.component.config.v1+json"
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"


def component(mark: str) -> bytes:
    """Return the smallest component, with a custom section that tells it from others."""
    name = mark.encode()
    content = bytes([len(name)]) + name
    return HEADER + b"\x00" + bytes([len(content)]) + content


def digest(content: bytes) -> str:
    """Return a digest in its one form (OCI-006)."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


# ---------------------------------------------------------------- archives


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an archive.

    Attributes:
        kind: file, symlink, hardlink, directory, pipe or device.
        target: of a link.
    """

    name: str
    content: bytes = b""
    kind: str = "file"
    target: str = ""
    mode: int = 0o644
    mtime: int = 0


_TYPES = {
    "file": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "directory": tarfile.DIRTYPE,
    "pipe": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}


def write_archive(entries: Iterable[Entry]) -> bytes:
    """Return a gzip tar with these entries, whatever they are."""
    return gzip.compress(write_tar(entries), mtime=0)


def write_tar(entries: Iterable[Entry]) -> bytes:
    """Return a tar with these entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            header = tarfile.TarInfo(entry.name)
            header.type, header.linkname, header.mode, header.mtime = _TYPES[entry.kind], entry.target, entry.mode, entry.mtime
            header.size = len(entry.content)
            archive.addfile(header, io.BytesIO(entry.content))
    return buffer.getvalue()


def read_archive(raw: bytes) -> tuple[Entry, ...]:
    """List an archive as it is.

    Raises:
        ValueError: it is no gzip tar.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_inflated(raw)), mode="r:") as archive:
            return tuple(
                Entry(
                    header.name,
                    b"" if (stream := archive.extractfile(header) if header.isreg() else None) is None else stream.read(),
                    next((kind for kind, code in _TYPES.items() if code == header.type), "other"),
                    header.linkname,
                    header.mode,
                    int(header.mtime),
                )
                for header in archive
            )
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"no gzip tar: {error}") from error


def _inflated(raw: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        plain = file.read(PLAIN_BYTES + 1)
    if len(plain) > PLAIN_BYTES:
        raise ValueError(f"no gzip tar: it unpacks to more than {PLAIN_BYTES} bytes")
    return plain


def gzip_time(raw: bytes) -> int:
    """Return the time in a gzip header, in seconds; 0 means none."""
    return int(struct.unpack_from("<I", raw, 4)[0]) if len(raw) >= 8 else 0


def bomb(before: Iterable[Entry], name: str, size: int) -> bytes:
    """Return a small archive with an entry of `size` zero bytes (a multiple of 1 MiB) behind the others."""
    head = write_tar(before)
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o644
    start = head[: _end(head)] + header.tobuf(tarfile.GNU_FORMAT)
    zeros = bytes(1024 * 1024)
    # A block of zeros that is flushed whole may be repeated as it is: nothing has to be squeezed five hundred times.
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = squeeze.compress(start) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(zeros) + squeeze.flush(zlib.Z_FULL_FLUSH)
    last = squeeze.compress(bytes(1024)) + squeeze.flush()
    count = size // len(zeros)
    check = zlib.crc32(start)
    for _ in range(count):
        check = zlib.crc32(zeros, check)
    check = zlib.crc32(bytes(1024), check)
    total = len(start) + size + 1024
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + first + block * count + last + struct.pack("<II", check, total & 0xFFFFFFFF)


def _end(tar: bytes) -> int:
    """Return where the entries of a tar end and its two empty blocks begin."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        archive.getmembers()
        return archive.offset - 512 if tar[archive.offset - 512 : archive.offset] == bytes(512) else archive.offset


# ---------------------------------------------------------------- provenance


def statement(wasm: bytes, **other: Any) -> bytes:
    """Return a good provenance statement about a component; `other` replaces parts of it."""
    data = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "component.wasm", "digest": {"sha256": hashlib.sha256(wasm).hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": "https://torvyn.dev/build/v1",
                "externalParameters": {"source_repo": None, "source_ref": None, "source_digest": None},
                "internalParameters": {
                    "torvyn_cli_version": "0.1.0",
                    "build_tool": "",
                    "build_tool_version": "",
                    "language_version": None,
                    "wit_packages": [],
                },
            },
            "runDetails": {
                "builder": {"id": "local"},
                "metadata": {"startedOn": "2026-01-02T03:04:05Z", "finishedOn": "2026-01-02T03:04:06Z"},
            },
        },
        **other,
    }
    return json.dumps(data).encode()


# ---------------------------------------------------------------- images


def image(layers: Iterable[tuple[str, str, bytes]], config: bytes = b"{}") -> tuple[bytes, dict[str, bytes]]:
    """Return the image manifest of some layers (media type, file name, content), and all blobs by digest."""
    layers = tuple(layers)

    def describe(media_type: str, content: bytes, **annotations: str) -> dict[str, Any]:
        found: dict[str, Any] = {"mediaType": media_type, "digest": digest(content), "size": len(content)}
        return {**found, "annotations": {name.replace("_", "."): value for name, value in annotations.items()}} if annotations else found

    data = {
        "schemaVersion": 2,
        "mediaType": IMAGE_TYPE,
        "config": describe(CONFIG_TYPE, config),
        "layers": [describe(kind, content, org_opencontainers_image_title=title) for kind, title, content in layers],
    }
    return json.dumps(data).encode(), {digest(content): content for content in (config, *(content for _, _, content in layers))}


# ---------------------------------------------------------------- versions

_SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def precedence(version: str) -> tuple[Any, ...]:
    """Return a key that orders semantic versions (semver 2.0.0, section 11).

    Raises:
        ValueError: it is none.
    """
    found = _SEMVER.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is no version")
    major, minor, patch, words = found.groups()
    # A pre-release comes before its release; in it numbers come before words, and fewer parts before more.
    parts = [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in words.split(".")] if words else []
    return (int(major), int(minor), int(patch), words is None, parts)

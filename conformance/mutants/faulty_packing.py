"""Mutants that pack what they should not, read artifacts too kindly, or take one reference for another."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref import packaging
from torvyn_ref.config import read_manifest
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import archive, packing
from torvyn_ref.packaging.artifact import check_component
from torvyn_ref.packaging.provenance import statement


def instead(*swaps: tuple[object, str, Any]) -> Callable[[], AbstractContextManager[None]]:
    """Return what surrounds a request and puts something else in the place of parts of a module or class, as (owner, name, other)."""

    @contextmanager
    def during() -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, other in swaps:
                stack.enter_context(patch.object(owner, name, other))
            yield

    return during


def faulty(name: str, rule: str, summary: str, *swaps: tuple[object, str, Any]) -> None:
    """Register a mutant of packaging with some functions swapped."""
    register(name, rule, summary=summary, build=lambda: ReferenceParts(during=instead(*swaps)))


# ---------------------------------------------------------------- packing

_tar, _files, _statement = packing._tar, packing._wit_files, statement  # noqa: SLF001 -- a mutant swaps what nobody else may see
_read_manifest, _check_component = read_manifest, check_component

faulty(
    "entries-by-name",
    "OCI-001",
    "The entries of an artifact are sorted by name.",
    (packing, "_tar", lambda entries: _tar(sorted(entries))),
)


def _stamped(entries: Any) -> bytes:
    with patch.object(packing, "_MODE", 0o755):
        return _tar(entries)


faulty("entries-may-be-run", "OCI-001", "The entries of an artifact have mode 0755.", (packing, "_tar", _stamped))
faulty("named-by-name-only", "OCI-001", "The artifact's name lacks the version.", (packing, "SUFFIX", ""))


def _pack_first(project: Path, output: Path, record: Any, **options: Any) -> Any:
    (output / "unfinished.torvyn").write_bytes(b"")
    made = _pack(project, output, record, **options)
    (output / "unfinished.torvyn").unlink()
    return made


_pack = packaging.pack
faulty("opens-the-artifact-first", "OCI-002", "A failed pack leaves an empty file.", (packaging, "pack", _pack_first))


def _no_wit(directory: Path, limits: Any) -> Any:
    return _files(directory, limits) if any(directory.rglob("*.wit")) else []


faulty("packs-without-a-contract", "OCI-002", "A project without WIT files is packed.", (packing, "_wit_files", _no_wit))


def _any_manifest(raw: bytes, *, origin: str) -> Any:
    try:
        return _read_manifest(raw, origin=origin)
    except TorvynError:
        return _read_manifest(b'component = { name = "unnamed", version = "0.0.0" }', origin=origin)


faulty("packs-broken-manifests", "OCI-002", "A project with a broken manifest is packed.", (packing, "read_manifest", _any_manifest))


def _any_wasm(component: bytes, *, where: str) -> None:
    if component[:4] != b"\x00asm" or len(component) < 8:
        _check_component(component, where=where)


faulty(
    "packs-core-modules", "OCI-003", "Only the first four bytes of the component are looked at.", (packing, "check_component", _any_wasm)
)


def _long_wasm(component: bytes, *, where: str) -> None:
    _check_component(component if len(component) > 8 else b"", where=where)


faulty("eight-bytes-are-too-few", "OCI-003", "A component of exactly eight bytes is refused.", (packing, "check_component", _long_wasm))


def _shallow(directory: Path, limits: Any) -> list[tuple[str, bytes]]:
    return [(name, content) for name, content in _files(directory, limits) if name.count("/") <= 1]


def _flat(directory: Path, limits: Any) -> list[tuple[str, bytes]]:
    found = {f"wit/{Path(name).name}": content for name, content in _files(directory, limits)}
    return sorted(found.items())


faulty("wit-of-the-top-only", "OCI-004", "WIT files in folders are left out.", (packing, "_wit_files", _shallow))
faulty("wit-without-folders", "OCI-004", "WIT files lose their folders.", (packing, "_wit_files", _flat))


class _Stamping:
    """The module gzip, with the time in every header."""

    @staticmethod
    def compress(content: bytes, *, mtime: float | None = 0) -> bytes:
        """Compress, whatever time is asked for."""
        del mtime
        return gzip.compress(content, mtime=time.time())


faulty("stamps-the-time-of-packing", "OCI-005", "The gzip header holds the time of packing.", (packing, "gzip", _Stamping))


def _aged(directory: Path, limits: Any) -> list[tuple[str, bytes]]:
    return sorted(_files(directory, limits), key=lambda entry: (directory / entry[0].removeprefix("wit/")).stat().st_ino)


faulty("wit-as-the-disk-has-it", "OCI-005", "WIT files are packed in the order in which they were made.", (packing, "_wit_files", _aged))


def _lines(content: bytes) -> str:
    return packaging.digest_of(content.replace(b"\r\n", b"\n"))


def _shouted(content: bytes) -> str:
    return packaging.digest_of(content).upper().replace("SHA256", "sha256")


faulty("digests-of-tidied-text", "OCI-006", "Line ends are made alike before a digest is taken.", (packing, "digest_of", _lines))
faulty("shouts-digests", "OCI-006", "Digests are written in upper case.", (packing, "digest_of", _shouted))


def _says(**other: Any) -> Any:
    """Return a writer of statements that says something else in one place."""

    def write(wasm: bytes, record: Any, internal: Any) -> bytes:
        data = json.loads(_statement(wasm, record, internal))
        for path, value in other.items():
            *tables, last = path.split("__")
            table = data
            for key in tables:
                table = table[key]
            table[last] = value
        return json.dumps(data).encode()

    return write


def _prefixed(wasm: bytes, record: Any, internal: Any) -> bytes:
    return _statement(wasm, record, internal).replace(b'"sha256": "', b'"sha256": "sha256:')


faulty(
    "statements-of-an-older-type",
    "OCI-025",
    "Statements are of type v0.1.",
    (packing, "statement", _says(_type="https://in-toto.io/Statement/v0.1")),
)
faulty("subjects-with-a-prefix", "OCI-025", "The subject's digest has a prefix.", (packing, "statement", _prefixed))
faulty(
    "builders-are-local",
    "OCI-025",
    "Every build is said to be local.",
    (packing, "statement", _says(predicate__runDetails__builder={"id": "local"})),
)


def _at_once(wasm: bytes, record: Any, internal: Any) -> bytes:
    return _statement(wasm, replace(record, finished_on=record.started_on), internal)


faulty("builds-take-no-time", "OCI-025", "The statement says that the build ended when it began.", (packing, "statement", _at_once))

# ---------------------------------------------------------------- unpacking

_entries, _decompressed = archive._entries, archive._decompressed  # noqa: SLF001 -- as above


def _lenient(**kinds: bool) -> Any:
    """Return a reader of tars that lets some things through: `last` of two entries, links `copied`, `names` that climb."""

    def read(plain: bytes, where: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                strange = member.name.startswith("/") or ".." in member.name.split("/")
                if (
                    (member.name in found and not kinds.get("last"))
                    or (not member.isreg() and not kinds.get("links"))
                    or (strange and not kinds.get("names"))
                ):
                    return _entries(plain, where)
                if member.isreg():
                    stream = tar.extractfile(member)
                    found[member.name] = stream.read() if stream is not None else b""
        return found

    return read


faulty("the-last-entry-wins", "OCI-007", "Of two entries of one name the last is taken.", (archive, "_entries", _lenient(last=True)))
faulty(
    "provenance-is-never-read",
    "OCI-007",
    "Provenance that is no JSON is unpacked.",
    (archive, "parse_json", lambda *_arguments, **_options: {}),
)


def _no_guests(plain: bytes, where: str) -> dict[str, bytes]:
    found = _entries(plain, where)
    strange = [name for name in found if name.partition("/")[0] not in {"component.wasm", "Torvyn.toml", "provenance.json", "wit"}]
    if strange:
        raise TorvynError("packaging", "corrupt-artifact", f"unknown entry {strange[0]}", where=where)
    return found


faulty("unknown-entries-are-errors", "OCI-007", "An artifact with an unknown entry is refused.", (archive, "_entries", _no_guests))
faulty("links-are-left-out", "OCI-008", "Links in an artifact are passed over.", (archive, "_entries", _lenient(links=True)))


def _unpack_climbing(file: Path, directory: Path) -> None:
    """Unpack an artifact's WIT to wherever its entries lead."""
    files = packaging.read_archive(file)
    directory.mkdir()
    for name, content in files.items():
        if name.startswith(("wit/", "component", "Torvyn", "prov")):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


faulty(
    "entries-may-climb",
    "OCI-008",
    "An entry below wit/ is written where its name leads.",
    (archive, "_entries", _lenient(names=True)),
    (packaging, "unpack", _unpack_climbing),
)


def _unpack_links(file: Path, directory: Path) -> None:
    """Unpack an artifact as tar does, with links and through them, but no name that climbs."""
    packaging.read_archive(file)
    with tarfile.open(file) as tar:
        for member in tar:
            if member.isreg() or member.issym():
                tar.extract(member, directory, filter="fully_trusted")


faulty(
    "links-are-followed",
    "OCI-008",
    "Links are unpacked, and files through them.",
    (archive, "_entries", _lenient(links=True)),
    (packaging, "unpack", _unpack_links),
)


def _endless(content: bytes, limit: int, where: str) -> bytes:
    """Take an archive beyond the limit for what stands before the entry that is too large."""
    try:
        return _decompressed(content, limit, where)
    except TorvynError as error:
        if error.kind != "too-large":
            raise
        # The whole would be half a gigabyte: its first three entries stand for it.
        return zlib.decompressobj(31).decompress(content, 6 * 512) + bytes(1024)


faulty(
    "inflates-without-end",
    "OCI-008",
    "An artifact may unpack to any size.",
    (archive, "_decompressed", _endless),
)

"""Mutants on the way from an artifact to a registry and back: what is published, what is believed of a pull, what the cache serves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from conformance.mutants.faulty_packing import faulty
from torvyn_ref import packaging
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import cache, image, registry
from torvyn_ref.packaging.artifact import (
    WASM_TYPE,
    Artifact,
    Descriptor,
    assemble,
    check_manifest_digest,
    digest_of,
    parse_manifest,
    verified,
)
from torvyn_ref.packaging.cache import Cache
from torvyn_ref.packaging.image import Published
from torvyn_ref.packaging.inspection import Inspection, describe
from torvyn_ref.packaging.reference import OciReference
from torvyn_ref.packaging.registry import RegistrySource
from torvyn_ref.packaging.resolve import Resolver

resolving = import_module("torvyn_ref.packaging.resolve")
"""The module; in its package the function of this name hides it."""

# ---------------------------------------------------------------- publishing


def remade(change: Callable[[dict[str, Any]], None]) -> Any:
    """Return an assembler whose manifests are changed before they are signed by their digest."""

    def make(layers: Any, **options: Any) -> Artifact:
        made = assemble(layers, **options)
        data = json.loads(made.manifest)
        change(data)
        return replace(made, manifest=json.dumps(data).encode())

    return make


def _untitled(data: dict[str, Any]) -> None:
    for layer in data["layers"][1:]:
        del layer["annotations"]


def _undated(data: dict[str, Any]) -> None:
    data["annotations"][image.CREATED] = "2026-01-02 03:04:05"


def _last_contract(*arguments: Any, **options: Any) -> Inspection:
    found = describe(*arguments, **options)
    return replace(found, contract_packages=found.contract_packages[::-1])


def _sized(data: dict[str, Any]) -> None:
    for layer in data["layers"][1:]:
        layer["size"] = 0


def _turned(data: dict[str, Any]) -> None:
    data["layers"][1], data["layers"][2] = data["layers"][2], data["layers"][1]


faulty("undated-images", "OCI-009", "The time of creation has no zone.", (image, "assemble", remade(_undated)))
faulty("untitled-layers", "OCI-009", "Only the first layer has a title.", (image, "assemble", remade(_untitled)))
faulty(
    "no-least-version",
    "OCI-009",
    "The least version is not annotated.",
    (image, "assemble", remade(lambda data: data["annotations"].pop(image.MIN_VERSION, None))),
)
faulty("the-last-contract", "OCI-009", "The last contract package is annotated.", (image, "describe", _last_contract))
faulty("sizes-of-zero", "OCI-010", "All layers but the first are said to be empty.", (image, "assemble", remade(_sized)))
faulty("wit-before-the-manifest", "OCI-010", "The WIT layer comes before the manifest.", (image, "assemble", remade(_turned)))

_config = image._config  # noqa: SLF001 -- a mutant swaps what nobody else may see


def configured(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a writer of config blobs that are changed."""
    return lambda about: change(_config(about))


def _one_arch(data: dict[str, Any]) -> dict[str, Any]:
    needs = {**data["runtime_compatibility"], "target_arch": "wasm32"}
    return {**data, "runtime_compatibility": needs}


def _unbounded(data: dict[str, Any]) -> dict[str, Any]:
    needs = {key: value for key, value in data["runtime_compatibility"].items() if key != "max_torvyn_version"}
    return {**data, "runtime_compatibility": needs}


def _everything(manifest: Any, **options: Any) -> Inspection:
    needs = manifest.capabilities
    found = describe(manifest, **options)
    return replace(found, capabilities_required=tuple(needs.required), capabilities_optional=tuple(needs.optional))


faulty("one-architecture", "OCI-011", "The architecture is a text and no list.", (image, "_config", configured(_one_arch)))
faulty("no-greatest-version", "OCI-011", "The greatest version is left out.", (image, "_config", configured(_unbounded)))
faulty(
    "no-tool-version",
    "OCI-011",
    "The build tool's version is left out.",
    (image, "_config", configured(lambda data: {key: value for key, value in data.items() if key != "build_tool_version"})),
)
faulty("all-capabilities", "OCI-012", "Capabilities that are set to false are listed, too.", (image, "describe", _everything))

_publish, _image = packaging.publish, image.image


def _as_latest(archive: Path, *arguments: Any) -> tuple[Artifact, str]:
    return _image(archive, *arguments)[0], "latest"


def _file_digest(archive: Path, *arguments: Any, **options: Any) -> Published:
    return replace(_publish(archive, *arguments, **options), digest=digest_of(archive.read_bytes()))


def _moves_anyway(archive: Path, *arguments: Any, force: bool = False) -> Published:
    try:
        return _publish(archive, *arguments, force=force)
    except TorvynError:
        _publish(archive, *arguments, force=True)
        raise


faulty("tags-are-overwritten", "OCI-016", "A tag that is taken moves unasked.", (RegistrySource, "exists", lambda _self: None))
faulty("published-as-latest", "OCI-016", "Without a tag, `latest` is published.", (image, "image", _as_latest))
faulty("the-digest-of-the-file", "OCI-016", "Publishing returns the digest of the file.", (packaging, "publish", _file_digest))
faulty("refuses-and-moves", "OCI-016", "A refused publication has moved the tag.", (packaging, "publish", _moves_anyway))
faulty(
    "force-is-ignored",
    "OCI-016",
    "A tag that is taken never moves.",
    (packaging, "publish", lambda archive, target, options, *, force: _publish(archive, target, options, force=force and False)),
)

# ---------------------------------------------------------------- pulling


def _latest(tag: str) -> property:
    return property(lambda self: self.tag or tag)


faulty("the-highest-is-the-latest", "OCI-015", "No tag means the highest version.", (OciReference, "wanted_tag", _latest("9.0.0")))


def _unread(self: Cache, digest: str, limit: int = 1 << 26) -> bytes | None:
    """Return a cached blob as it lies there."""
    path = self._blob(digest)
    return path.read_bytes()[:limit] if path.is_file() else None


def _anything(chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> Iterator[bytes]:
    del descriptor, where
    yield from chunks


def _counted(chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> Iterator[bytes]:
    """Look at the size alone."""
    whole = b"".join(chunks)
    if len(whole) != descriptor.size:
        yield from verified([whole], descriptor, where=where)
    yield whole


def _hashed(chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> Iterator[bytes]:
    """Look at the digest alone."""
    whole = b"".join(chunks)
    yield from verified([whole], replace(descriptor, size=len(whole)), where=where)


def _component_only(chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> Iterator[bytes]:
    yield from (verified if descriptor.media_type == WASM_TYPE else _anything)(chunks, descriptor, where=where)


_inside = (resolving, "_check_inside", lambda _blobs, _where: None)
faulty(
    "blobs-are-not-hashed",
    "OCI-017",
    "Only the size of a blob is verified.",
    (cache, "verified", _counted),
    (Cache, "blob", _unread),
    _inside,
)


def _fetched_by_digest(self: Any, source: Any, reference: Any = None) -> Any:
    """Fetch an artifact with every size as the blob has it."""
    parse = parse_manifest

    def lenient(raw: bytes, *, where: str) -> Any:
        found = parse(raw, where=where)
        return replace(found, layers=tuple(replace(layer, size=_length(source, layer)) for layer in found.layers))

    with patch.object(resolving, "parse_manifest", lenient):
        return _fetched(self, source, reference)


def _length(source: Any, layer: Descriptor) -> int:
    return sum(len(chunk) for chunk in source.blob(replace(layer, size=1 << 20)))


_fetched = Resolver._fetched  # noqa: SLF001 -- as above
faulty("blobs-are-not-counted", "OCI-017", "Only the digest of a blob is verified.", (Resolver, "_fetched", _fetched_by_digest))
faulty(
    "only-the-component-is-verified",
    "OCI-017",
    "Manifest, WIT and configuration are taken as they come.",
    (cache, "verified", _component_only),
    (Cache, "blob", _unread),
    _inside,
)


def _as_asked(raw: bytes, expected: str | None, *, where: str) -> str:
    return expected if expected is not None else check_manifest_digest(raw, expected, where=where)


faulty(
    "manifests-are-believed",
    "OCI-017",
    "A manifest is not compared with the digest that asked for it.",
    (registry, "check_manifest_digest", _as_asked),
    (cache, "check_manifest_digest", _as_asked),
    (Cache, "blob", _unread),
)


def _early(self: Any, source: Any, reference: Any = None) -> Any:
    """Enter an artifact into the cache before its blobs are there."""
    if reference is not None:
        self.cache.store_manifest(reference, source.manifest(1 << 22))
    return _fetched(self, source, reference)


def _in_place(self: Cache, chunks: Iterable[bytes], descriptor: Descriptor, *, where: str) -> None:
    """Write a blob where it belongs while it is verified."""
    path = self._blob(descriptor.digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        file.truncate(descriptor.size)  # room is made first, so that the disk cannot fill up on the way

        def through() -> Iterator[bytes]:
            for chunk in chunks:
                file.write(chunk)
                yield chunk

        for _ in verified(through(), descriptor, where=where):
            pass


_hasty = ((Resolver, "_fetched", _early), (Cache, "store_blob", _in_place), (Cache, "blob", _unread), _inside)
faulty("caches-before-it-verifies", "OCI-017", "What fails to verify stays in the cache.", *_hasty)

# ---------------------------------------------------------------- the cache


def _elsewhere(environment: Mapping[str, str]) -> Path:
    return Path(environment["HOME"]) / ".cache" / "torvyn"


def _half_name(self: Cache, digest: str) -> Path:
    return self.root / "blobs" / digest.removeprefix("sha256:")[:32]


def _stem(self: Cache, reference: OciReference) -> Path:
    """Replace the extension of a tag instead of appending one."""
    name = hashlib.sha256(str(Path(reference.rendered()).with_suffix(".digest")).encode()).hexdigest()
    return self.root / "index" / f"{name}.json"


_manifest_of, _remove = Cache.manifest_of, Cache.remove


def _by_tag(self: Cache, reference: OciReference) -> bytes | None:
    return _manifest_of(self, replace(reference, digest=None))


def _by_tag_too(self: Cache, reference: OciReference) -> bytes | None:
    """Take the tag for the digest where both are written."""
    return _by_tag(self, reference) if reference.tag else _manifest_of(self, reference)


faulty("the-cache-is-elsewhere", "OCI-018", "The cache is in ~/.cache/torvyn.", (packaging, "default_root", _elsewhere))
faulty("blobs-by-half-a-digest", "OCI-018", "Blobs are named by the first half of their digests.", (Cache, "_blob", _half_name))
faulty("caches-nothing", "OCI-018", "Nothing is ever found in the cache.", (Cache, "manifest_of", lambda _self, _reference: None))
faulty("pinned-by-tag", "OCI-019", "A pinned reference is looked up by its tag.", (Cache, "manifest_of", _by_tag))
faulty("pinned-by-tag-where-there-is-one", "OCI-019", "Of tag and digest, the tag is looked up.", (Cache, "manifest_of", _by_tag_too))
faulty("markers-replace-the-extension", "OCI-019", "1.0.0 and 1.0.1 share a marker.", (Cache, "_pointer", _stem))
faulty("the-cache-is-believed", "OCI-019", "Cached bytes are served as they are.", (Cache, "blob", _unread), _inside)
faulty("half-an-entry-is-one", "OCI-019", "A pull that broke off leaves what it had.", *_hasty)


def _pointer_only(self: Cache, reference: OciReference) -> bool:
    self._pointer(reference).unlink(missing_ok=True)
    return True


def _and_neighbours(self: Cache, reference: OciReference) -> bool:
    for path in self.root.glob("index/*"):
        path.unlink()
    return _remove(self, reference)


def _index_only(self: Cache) -> None:
    for path in self.root.glob("index/*"):
        path.unlink()


faulty("removes-the-marker-only", "OCI-020", "A removed component stays on the disk.", (Cache, "remove", _pointer_only))
faulty("removes-the-neighbours", "OCI-020", "Removing one entry forgets all.", (Cache, "remove", _and_neighbours))
faulty("clears-the-index-only", "OCI-020", "Clearing leaves the blobs.", (Cache, "clear", _index_only))

# ---------------------------------------------------------------- resolution

_resolve, _file, _registry, _local_build = packaging.resolve, Resolver._file, Resolver._registry, Resolver._local_build  # noqa: SLF001 -- as above


def _fresh(reference: str, **options: Any) -> Any:
    return _resolve(reference, refresh=True, **options)


def _here(reference: str, *, base_dir: Path, **options: Any) -> Any:
    del base_dir
    return _resolve(reference, base_dir=Path.cwd(), **options)


def _falls_through(self: Resolver, path: Path, name: str | None) -> Any:
    try:
        return _file(self, path, name)
    except TorvynError as error:
        builds = sorted((self.base_dir / "target" / "torvyn").glob(f"{path.name}-*.torvyn"))
        if error.kind != "not-found" or not builds:
            raise
        return _file(self, builds[0], name)


def _prefix(self: Resolver, directory: Path, name: str | None) -> Path:
    found = sorted((self.base_dir / "target" / "torvyn").glob(f"{name}*.torvyn"))
    return found[-1] if found else _local_build(self, directory, name)


def _built_first(self: Resolver, reference: OciReference) -> Any:
    """Let a local build answer for a repository of its name."""
    name = reference.repository.rpartition("/")[2]
    builds = sorted((self.base_dir / "target" / "torvyn").glob(f"{name}-*.torvyn"))
    return _file(self, builds[0], None) if builds else _registry(self, reference)


faulty("asks-the-registry-first", "OCI-021", "The registry is asked before the cache.", (packaging, "resolve", _fresh))
faulty("missing-files-fall-through", "OCI-021", "A file that is not there is looked for among builds.", (Resolver, "_file", _falls_through))
faulty("builds-by-prefix", "OCI-022", "Builds of longer names are taken, too.", (Resolver, "_local_build", _prefix))
faulty("builds-by-text", "OCI-022", "Versions of builds are compared as text.", (resolving, "_newest", lambda build: str(build[0])))
faulty(
    "pre-releases-win",
    "OCI-022",
    "A pre-release counts as newer than its release.",
    (resolving, "_newest", lambda build: (build[0].major, build[0].minor, build[0].patch, str(build[0]))),
)
faulty("builds-answer-for-registries", "OCI-022", "A local build answers an oci reference.", (Resolver, "_registry", _built_first))
faulty("paths-start-where-i-am", "OCI-023", "Relative paths start at the working directory.", (packaging, "resolve", _here))

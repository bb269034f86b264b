"""`torvyn-ref pack`, `publish` and `inspect`: components as artifacts (CLI-004, CLI-011, CLI-013)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from torvyn_ref import config, packaging
from torvyn_ref.commands.shared import HERE, Format, FormatOption, InsecureOption, ManifestOption, ProjectArgument, project_at, reported
from torvyn_ref.config import PackageManifest, read_manifest
from torvyn_ref.contract.world import identify
from torvyn_ref.engine.choice import make_engine
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import Credentials, RegistryOptions, Resolver, check_component, digest_of, parse_oci, read_archive
from torvyn_ref.packaging.archive import COMPONENT, MANIFEST
from torvyn_ref.packaging.artifact import DEFAULT_LIMITS
from torvyn_ref.packaging.files import read_bounded, written_whole
from torvyn_ref.summary import size
from torvyn_ref.terminal import mark, print_json, say

ARTIFACTS = Path(".torvyn") / "artifacts"
ENDING = ".torvyn"
LOCAL = "local:"


def pack(
    project: ProjectArgument = HERE,
    manifest: ManifestOption = None,
    component: Annotated[str | None, typer.Option("--component", metavar="NAME", help="Only this component; all, when not given.")] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="DIR", help="Where artifacts go. Default: .torvyn/artifacts.")] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Instead of the project's version, in the artifact's name.")
    ] = None,
    format_: FormatOption = Format.TEXT,
) -> None:
    """Pack the project's components, each as one artifact: component.wasm and its manifest. The same input gives the same bytes."""
    as_json = format_ is Format.JSON
    with reported("pack", as_json=as_json):
        loaded = config.load(project_at(project, manifest))
        names = [component] if component is not None else list(loaded.components)
        if not names or names[0] not in loaded.components:
            known = ", ".join(loaded.components) or "none"
            message = "the project has no component" if component is None else f"the project has no component {component!r}"
            raise TorvynError("config", "unknown-component", message, where=str(loaded.files[-1]), hint=f"components: {known}")
        version = tag or loaded.version
        resolver = Resolver(loaded.root, loaded.component_sources(), None, offline=True)
        found = {name: resolver.resolve(name).wasm for name in names}  # all of them, or none
        sources = loaded.component_sources()
        directory = output if output is not None else loaded.root / ARTIFACTS
        packed = [
            _packed(name, version, content, _record(loaded.root / sources[name].removeprefix("file://")), loaded.root, directory)
            for name, content in found.items()
        ]
        if as_json:
            print_json({"success": True, "command": "pack", "data": {"artifacts": packed}})
            return
        for one in packed:
            say(mark(ok=True), f" {one['path']}: {size(one['size'])}, {one['digest']}")


def publish(
    project: ProjectArgument = HERE,
    manifest: ManifestOption = None,
    artifact: Annotated[
        Path | None, typer.Option("--artifact", metavar="FILE", help="What to publish; the latest packed one, when not given.")
    ] = None,
    registry: Annotated[
        str | None, typer.Option("--registry", metavar="WHERE", help="local:DIR, or an OCI reference. Default: [registry].default.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="The name to publish under; the artifact's own, when not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,  # noqa: FBT002  # typer's way to write a flag
    force: Annotated[bool, typer.Option("--force", help="Replace another artifact of that name.")] = False,  # noqa: FBT002  # as above
    insecure: InsecureOption = False,  # noqa: FBT002  # as above
    format_: FormatOption = Format.TEXT,
) -> None:
    """Publish an artifact, and say its digest once it is there. Exit code 3 when the name is taken by another."""
    as_json = format_ is Format.JSON
    with reported("publish", as_json=as_json):
        place = project_at(project, manifest)
        root = place if place.is_dir() else place.parent
        path = artifact if artifact is not None else _latest(root / ARTIFACTS)
        read_archive(path)  # what is no artifact is not published
        content = read_bounded(path, DEFAULT_LIMITS.component + DEFAULT_LIMITS.other_blob)
        target = registry or _default_registry(place)
        if target.startswith(LOCAL):
            found = _publish_locally(root / target.removeprefix(LOCAL), path, content, tag, force=force, dry_run=dry_run)
        else:
            found = _publish_remotely(target, path, tag, force=force, insecure=insecure, dry_run=dry_run)
        if as_json:
            print_json({"success": True, "command": "publish", "data": found})
            return
        say(mark(ok=True), f" {found['reference']}: {found['digest']}{' (nothing was done: --dry-run)' if dry_run else ''}")


def inspect(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A component (.wasm), or an artifact (.torvyn).")],
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show what a component or an artifact is: digest, size, interfaces, role. What is corrupt is refused."""
    as_json = format_ is Format.JSON
    with reported("inspect", as_json=as_json):
        if not target.exists():
            raise TorvynError("config", "not-found", "there is no such file", where=str(target), hint="name a .wasm or a .torvyn file")
        data = _inspected(target)
        if as_json:
            print_json({"success": True, "command": "inspect", "data": data})
            return
        say(mark(ok=True), f" {data['target']}: {size(data['size'])}, {data['digest']}")
        say(f"component  {size(data['component']['size'])}, {data['component']['digest']}")
        say(f"role       {data['component']['role']}")
        for direction in ("imports", "exports"):
            for name in data["component"][direction]:
                say(f"{direction:10} {name}")


def _inspected(target: Path) -> dict[str, Any]:
    where = str(target)
    content = read_bounded(target, DEFAULT_LIMITS.component + DEFAULT_LIMITS.other_blob)
    files: Mapping[str, bytes] = {"component.wasm": content}
    if target.suffix == ENDING:
        files = read_archive(target)
    wasm = files["component.wasm"]
    check_component(wasm, where=where)
    engine = make_engine("auto", threaded=False)
    try:
        shape = engine.compile(wasm, where=where).shape
        role = identify(shape, where=where).role
    finally:
        engine.close()
    about = _about(target) if target.suffix == ENDING else None
    return {
        "target": where,
        "about": about,
        "kind": "artifact" if target.suffix == ENDING else "component",
        "digest": digest_of(content),
        "size": len(content),
        "files": {name: len(held) for name, held in files.items()},
        "component": {
            "digest": digest_of(wasm),
            "size": len(wasm),
            "role": str(role),
            "imports": sorted(map(str, shape.imports)),
            "exports": sorted(map(str, shape.exports)),
        },
    }


def _about(target: Path) -> dict[str, Any]:
    """Return what an artifact says about its component."""
    found = packaging.inspect(target)
    said = {each.name: getattr(found, each.name) for each in fields(found)}
    if found.provenance is not None:
        told = ("builder", "build_type", "started_on", "finished_on")
        said["provenance"] = {name: getattr(found.provenance, name) for name in told}
    return said


def _packed(name: str, version: str, wasm: bytes, record: packaging.BuildRecord, root: Path, output: Path) -> dict[str, Any]:
    """Pack one component, under a manifest of its own; the project's WIT goes with it."""
    if (root / MANIFEST).is_file() and isinstance(read_manifest((root / MANIFEST).read_bytes(), origin=MANIFEST), PackageManifest):
        manifest = (root / MANIFEST).read_bytes()
    else:
        manifest = f"[component]\nname = {json.dumps(name)}\nversion = {json.dumps(version)}\n".encode()
    with TemporaryDirectory(prefix="torvyn-pack-") as folder:
        place = Path(folder)
        (place / COMPONENT).write_bytes(wasm)
        (place / MANIFEST).write_bytes(manifest)
        made = packaging.pack(place, output, record, wit=root / "wit")
    return {"path": str(made.path), "size": made.path.stat().st_size, "digest": made.digest}


def _record(source: Path) -> packaging.BuildRecord:
    """Return what is known of a build that somebody else made: when its result was written; the same result gives the same artifact.

    SOURCE_DATE_EPOCH, the seconds that reproducible builds agree on, goes first.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(given) if given.isdecimal() else int(source.stat().st_mtime) if source.is_file() else 0
    moment = datetime.fromtimestamp(seconds, UTC).isoformat()
    return packaging.BuildRecord(moment, moment)


def _written(path: Path, content: bytes) -> dict[str, Any]:
    try:
        with written_whole(path) as stream:
            stream.write(content)
    except OSError as error:
        raise TorvynError("cli", "cannot-write", f"cannot write: {error.strerror or error}", where=str(path), path=str(path)) from error
    return {"path": str(path), "size": len(content), "digest": digest_of(content)}


def _latest(directory: Path) -> Path:
    found = sorted(directory.glob(f"*{ENDING}"), key=lambda path: (path.stat().st_mtime_ns, path.name)) if directory.is_dir() else []
    if not found:
        raise TorvynError("packaging", "not-found", "there is no packed artifact", where=str(directory), hint="run torvyn-ref pack first")
    return found[-1]


def _default_registry(project: Path) -> str:
    """Return the registry that the project names, else one of its own (J-37)."""
    return config.load(project).registry.default or f"{LOCAL}.torvyn/registry"


def _publish_locally(directory: Path, path: Path, content: bytes, tag: str | None, *, force: bool, dry_run: bool) -> dict[str, Any]:
    """Copy an artifact into a directory, and read back what is there."""
    stem = path.stem if tag is None else f"{path.stem.rpartition('-')[0] or path.stem}-{tag}"
    name = f"{stem}{ENDING}"
    if os.sep in name or name.startswith("."):
        raise TorvynError("cli", "invalid-tag", "a tag is no path", where="--tag")
    target, digest = directory / name, digest_of(content)
    reference = f"{LOCAL}{target}"
    if target.exists() and not force and digest_of(target.read_bytes()) != digest:
        hint = "use another --tag, or --force"
        raise TorvynError("packaging", "tag-exists", f"{name} is another artifact already", where=reference, hint=hint)
    if not dry_run:
        _written(target, content)
        digest = digest_of(target.read_bytes())
    return {"reference": reference, "digest": digest, "size": len(content), "published": not dry_run}


def _publish_remotely(target: str, path: Path, tag: str | None, *, force: bool, insecure: bool, dry_run: bool) -> dict[str, Any]:
    """Push an artifact to a registry."""
    reference = parse_oci(f"{target}:{tag}" if tag is not None else target)
    size_ = path.stat().st_size
    if dry_run:
        return {"reference": str(reference), "digest": digest_of(path.read_bytes()), "size": size_, "published": False}
    token = os.environ.get("TORVYN_REGISTRY_TOKEN")
    options = RegistryOptions(insecure=insecure, credentials=Credentials(token=token) if token else None)
    published = packaging.publish(path, reference, options, force=force)
    return {"reference": str(reference), "digest": published.digest, "tag": published.tag, "size": size_, "published": True}

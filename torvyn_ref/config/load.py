"""Read Torvyn.toml and everything that layers over it, check all of it, and hand back a typed project.

Precedence, high to low (CFG-009): overrides (the command line), `TORVYN_*` variables, pipeline.toml, Torvyn.toml, the user's config.toml,
the defaults of the schema. Every mistake in every layer is reported at once, with its file and field.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import tomli
from pydantic import ValidationError

from torvyn_ref.config import environment as env
from torvyn_ref.config import shape
from torvyn_ref.config.explain import explain
from torvyn_ref.config.ineffective import without_effect
from torvyn_ref.config.merge import Layer, Tree, canonical, dotted, merge, refused
from torvyn_ref.config.project import Project, components_of
from torvyn_ref.config.schema import Manifest, PackageManifest
from torvyn_ref.config.semantics import check
from torvyn_ref.config.suggest import nearest
from torvyn_ref.errors import TorvynError, raise_all

MANIFEST: Final = "Torvyn.toml"
PIPELINE: Final = "pipeline.toml"
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_ERRORS: Final = 100

PIPELINE_TABLES: Final = frozenset({"flow", "runtime", "observability", "security"})
USER_TABLES: Final = frozenset({"runtime", "observability", "security", "registry", "build", "test"})

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def load(
    path: str | os.PathLike[str],
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Project:
    """Load a project from its Torvyn.toml or from the directory that holds it.

    Args:
        path: the manifest, or its directory. A pipeline.toml beside it is read too (CFG-007).
        environment: the variables to use instead of the process's own: for `${VAR}`, `TORVYN_*`, and HOME or XDG_CONFIG_HOME (the
            user's file).
        overrides: dotted paths to values, above every other layer; text is read as the type expected there.

    Raises:
        TorvynError: subsystem "config"; a `TorvynErrors` when there is more than one mistake. Kinds: not-found, unreadable, too-large,
            syntax, unknown-key, missing-key, missing-value, wrong-type, invalid-value, undefined-variable, duplicate, too-few-nodes,
            no-edges, unknown-node, self-loop, unknown-grant-key, unknown-component.
    """
    variables = dict(os.environ if environment is None else environment)
    given = Path(path)
    manifest = given / MANIFEST if given.is_dir() else given
    pipeline = manifest.with_name(PIPELINE)
    user = _user_file(variables)

    errors: list[TorvynError] = []
    layers: list[Layer] = []
    files: list[Path] = []
    for file, tables in ((user, USER_TABLES), (manifest, None), (pipeline, PIPELINE_TABLES)):
        if file is None or (file is not manifest and not file.exists()):
            continue
        tree = _read(file, errors)
        if tree is None:
            continue
        files.append(file)
        layers.append(_file_layer(file, tree, tables, variables, errors))
    if manifest not in files:
        raise_all(errors)
    if pipeline in files and not layers[-1].tree.get("flow"):
        errors.append(
            refused(
                "missing-value",
                "pipeline.toml needs at least one flow",
                origin=str(pipeline),
                path=("flow",),
                code="E0702",
                hint="add [flow.<name>], or remove the file",
            )
        )

    from_environment, warnings = env.layers(variables)
    layers += from_environment
    layers += _override_layers(overrides or {}, errors)
    merged = merge(layers, fallback=str(manifest))
    validated: Manifest | PackageManifest | None = None
    model = PackageManifest if isinstance(merged.tree.get("component"), dict) else Manifest
    try:
        validated = model.model_validate(merged.tree)
    except ValidationError as error:
        errors += explain(error, model, merged)
    errors += check(merged)
    raise_all(_bounded(errors, manifest))
    assert validated is not None  # validation either returned or left an error
    return Project(
        root=manifest.parent,
        files=tuple(files),
        manifest=validated,
        components=components_of(validated),
        warnings=(*warnings, *without_effect(merged)),
        origins=MappingProxyType({dotted(path): origin for path, origin in merged.origins.items()}),
    )


def read_manifest(raw: bytes, *, origin: str) -> Manifest | PackageManifest:
    """Read the manifest inside an artifact: checked like a project's, with no other layer over it and no variable put in.

    Raises:
        TorvynError: as `load`, about the bytes alone.
    """
    errors: list[TorvynError] = []
    tree = _parse(raw, origin, errors)
    if tree is None:
        raise_all(errors)
        raise AssertionError("a manifest that could not be parsed left an error")
    model = PackageManifest if isinstance(tree.get("component"), dict) else Manifest
    merged = merge([Layer(origin, canonical(tree, model, origin=origin, errors=errors))], fallback=origin)
    validated: Manifest | PackageManifest | None = None
    try:
        validated = model.model_validate(merged.tree)
    except ValidationError as error:
        errors += explain(error, model, merged)
    errors += check(merged)
    raise_all(_bounded(errors, Path(origin)))
    assert validated is not None  # validation either returned or left an error
    return validated


def _user_file(environment: Mapping[str, str]) -> Path | None:
    """Return the path of the user's configuration, or None when the environment names no home."""
    if base := environment.get("XDG_CONFIG_HOME"):
        return Path(base) / "torvyn" / "config.toml"
    if home := environment.get("HOME"):
        return Path(home) / ".config" / "torvyn" / "config.toml"
    return None


def _read(file: Path, errors: list[TorvynError]) -> Tree | None:
    """Read and parse one file, or note why that failed (CFG-001)."""

    def failed(kind: str, message: str, code: str, hint: str | None = None) -> None:
        errors.append(refused(kind, message, origin=str(file), path=(), code=code, hint=hint))

    try:
        if not stat.S_ISREG(file.stat().st_mode):
            failed("unreadable", "expected a regular file", "E0703")
            return None
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        failed("not-found", "the file does not exist", "E0700", "name a Torvyn.toml, or a directory that holds one")
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        failed("unreadable", f"the file cannot be read: {reason}", "E0703")
        return None
    return _parse(raw, str(file), errors)


def _parse(raw: bytes, origin: str, errors: list[TorvynError]) -> Tree | None:
    """Parse a file's bytes, or note why that failed."""

    def failed(kind: str, message: str, code: str) -> None:
        errors.append(refused(kind, message, origin=origin, path=(), code=code))

    if len(raw) > MAX_FILE_BYTES:
        failed("too-large", f"the file is larger than {MAX_FILE_BYTES} bytes", "E0703")
        return None
    try:
        return tomli.loads(raw.decode())
    except UnicodeDecodeError as error:
        failed("syntax", f"the file is not UTF-8 (byte {error.start})", "E0701")
    except (tomli.TOMLDecodeError, ValueError, RecursionError) as error:
        # RecursionError and plain ValueError: tomli's bounds on nesting, key parts and digits.
        failed("syntax", f"not valid TOML: {error}", "E0701")
    return None


def _file_layer(file: Path, tree: Tree, tables: frozenset[str] | None, environment: Mapping[str, str], errors: list[TorvynError]) -> Layer:
    """Turn a parsed file into a layer: only the tables it may hold, aliases resolved, variables put in."""
    origin = str(file)
    if tables is not None:
        for key in [key for key in tree if key not in tables]:
            near = nearest(key, sorted(tables))
            del tree[key]
            hint = f"did you mean {near!r}?" if near else f"{file.name} may hold {', '.join(sorted(tables))}"
            errors.append(refused("unknown-key", f"{file.name} has no table {key!r}", origin=origin, path=(key,), code="E0701", hint=hint))
    security = tree.get("security")
    if tables is USER_TABLES and isinstance(security, dict) and "grants" in security:
        del security["grants"]
        errors.append(
            refused(
                "unknown-key",
                "grants belong to a project",
                origin=origin,
                path=("security", "grants"),
                code="E0701",
                hint="write them in the project's Torvyn.toml",
            )
        )
    model = PackageManifest if isinstance(tree.get("component"), dict) else Manifest
    clean = canonical(tree, model, origin=origin, errors=errors)
    return Layer(origin, env.interpolate(clean, environment, origin=origin, errors=errors), frozenset({"flow"}))


def _override_layers(overrides: Mapping[str, Any], errors: list[TorvynError]) -> list[Layer]:
    layers: list[Layer] = []
    for name, value in overrides.items():
        origin = "override"
        path = tuple(name.split("."))
        if not all(_BARE_KEY.fullmatch(key) for key in path):
            errors.append(
                refused(
                    "invalid-value",
                    f"expected a dotted path such as runtime.worker_threads, found {name!r}",
                    origin="override",
                    path=(),
                    code="E0703",
                )
            )
            continue
        read = shape.from_text(value, shape.at(Manifest, path)) if isinstance(value, str) else value
        layers.append(Layer(origin, canonical(env.nested(path, read), Manifest, origin=origin, errors=errors)))
    return layers


def _bounded(errors: list[TorvynError], manifest: Path) -> list[TorvynError]:
    """Keep a reader's screen: the first hundred errors, then how many there are besides."""
    if len(errors) <= MAX_ERRORS:
        return errors
    rest = len(errors) - MAX_ERRORS
    return [*errors[:MAX_ERRORS], TorvynError("config", "too-many-errors", f"and {rest} more errors", where=str(manifest))]

"""Mutants that put the layers of a configuration on top of each other in their own way, or its variables into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from conformance.mutants.faulty_configuration import loader, loading
from conformance.mutants.faulty_packing import faulty
from torvyn_ref import config
from torvyn_ref.config import Project, environment, merge, shape
from torvyn_ref.config.merge import Layer, Merged, Tree
from torvyn_ref.errors import TorvynError

_load, _read, _merge, _layers = config.load, loading._read, loading.merge, environment.layers  # noqa: SLF001 -- a mutant swaps what nobody else may see

# ---------------------------------------------------------------- layers


def stacked(change: Callable[[list[Layer]], list[Layer]]) -> tuple[object, str, Any]:
    """Return the swap of a merge whose layers are changed before."""
    return (loading, "merge", lambda layers, *, fallback: _merge(change(layers), fallback=fallback))


def _is(layer: Layer, what: str) -> bool:
    origin = layer.origin
    return {
        "override": origin == "override",
        "environment": origin.startswith("environment"),
        "pipeline": origin.endswith("pipeline.toml"),
        "manifest": origin.endswith("Torvyn.toml"),
        "user": origin.endswith("config.toml"),
    }[what]


def _order(*names: str) -> Callable[[list[Layer]], list[Layer]]:
    return lambda layers: [layer for name in names for layer in layers if _is(layer, name)]


def _only(what: str, keep: Callable[[Tree], Tree]) -> Callable[[list[Layer]], list[Layer]]:
    return lambda layers: [replace(layer, tree=keep(layer.tree)) if _is(layer, what) else layer for layer in layers]


def _flows_only(tree: Tree) -> Tree:
    return {key: value for key, value in tree.items() if key == "flow"}


faulty(
    "layers-upside-down", "CFG-009", "The lowest layer wins.", stacked(_order("override", "environment", "pipeline", "manifest", "user"))
)
faulty(
    "the-environment-beats-the-command",
    "CFG-009",
    "A variable wins over the command line.",
    stacked(_order("user", "manifest", "pipeline", "override", "environment")),
)
faulty(
    "the-manifest-beats-the-pipeline",
    "CFG-009",
    "Torvyn.toml wins over pipeline.toml.",
    stacked(_order("user", "pipeline", "manifest", "environment", "override")),
)
faulty(
    "the-user-beats-the-project",
    "CFG-009",
    "The user's file wins over the project's.",
    stacked(_order("manifest", "pipeline", "user", "environment", "override")),
)
faulty("no-users-file", "CFG-009", "The user's file is not read.", (loading, "_user_file", lambda _environment: None))
faulty("environment-is-ignored", "CFG-009", "No variable sets anything.", (environment, "layers", lambda _variables: ([], [])))
faulty(
    "everything-is-from-the-manifest",
    "CFG-009",
    "Every value is said to come from Torvyn.toml.",
    (Project, "origin", lambda self, _key: str(self.root / "Torvyn.toml")),
)
faulty("pipeline-settings-are-dropped", "CFG-008", "The settings of pipeline.toml have no effect.", stacked(_only("pipeline", _flows_only)))


def _whole_tables(layers: list[Layer]) -> list[Layer]:
    """Let a table of pipeline.toml replace the manifest's."""
    top = {key for layer in layers if _is(layer, "pipeline") for key in layer.tree if key != "flow"}
    return _only("manifest", lambda tree: {key: value for key, value in tree.items() if key not in top})(layers)


faulty("pipeline-tables-replace", "CFG-008", "A table of pipeline.toml replaces the manifest's.", stacked(_whole_tables))
faulty(
    "flows-are-mixed",
    "CFG-007",
    "A flow in both files has the nodes of both.",
    stacked(lambda layers: [replace(layer, whole=frozenset()) for layer in layers]),
)


def _all_flows(layers: list[Layer]) -> list[Layer]:
    """Let pipeline.toml replace all flows."""
    if not any(_is(layer, "pipeline") for layer in layers):
        return layers
    return _only("manifest", lambda tree: {key: value for key, value in tree.items() if key != "flow"})(layers)


faulty("all-flows-are-replaced", "CFG-007", "pipeline.toml replaces flows of other names, too.", stacked(_all_flows))

DEFAULTS: Mapping[str, Any] = {
    "worker_threads": 0,
    "max_memory_per_component": "16MiB",
    "default_queue_depth": 64,
    "default_priority": 5,
    "default_capability_policy": "deny-all",
    "tracing_enabled": True,
}


def _without_defaults(tree: Tree) -> Tree:
    found = {key: _without_defaults(value) if isinstance(value, dict) else value for key, value in tree.items()}
    return {key: value for key, value in found.items() if key not in DEFAULTS or value != DEFAULTS[key]}


def _merged_by_difference(layers: list[Layer]) -> list[Layer]:
    return [replace(layer, tree=_without_defaults(layer.tree)) if at else layer for at, layer in enumerate(layers)]


faulty("merges-what-differs", "CFG-010", "A value that equals the default overrides nothing.", stacked(_merged_by_difference))
faulty(
    "deny-all-is-no-override",
    "CFG-010",
    "deny-all does not override allow-all.",
    stacked(lambda layers: [replace(layer, tree=_permissive(layer.tree)) for layer in layers]),
)


def _permissive(tree: Tree) -> Tree:
    security = tree.get("security")
    if not isinstance(security, dict) or security.get("default_capability_policy") != "deny-all":
        return tree
    return {**tree, "security": {key: value for key, value in security.items() if key != "default_capability_policy"}}


_put = merge._put  # noqa: SLF001 -- as above


def _adding(merged: Merged, base: Tree, over: Tree, path: Any, layer: Layer) -> None:
    """Add lists to each other instead of replacing them."""
    if path[:2] == ("security", "grants"):
        over = {key: (*base.get(key, ()), *value) if isinstance(value, tuple) else value for key, value in over.items()}
    _put(merged, base, over, path, layer)


def _all_grants(merged: Merged, base: Tree, over: Tree, path: Any, layer: Layer) -> None:
    if path == ("security",) and "grants" in over:
        base.pop("grants", None)
    _put(merged, base, over, path, layer)


faulty("grants-add-up", "CFG-011", "An override adds to a list of grants.", (merge, "_put", _adding))
faulty("grants-are-replaced-together", "CFG-011", "An override drops the grants of other keys.", (merge, "_put", _all_grants))

# ---------------------------------------------------------------- variables


def _dots(variables: Mapping[str, str]) -> Any:
    """Take every underscore for a dot."""
    found, warnings = _layers({name: value for name, value in variables.items() if name.count("_") <= 1})
    for name, value in variables.items():
        if name.startswith("TORVYN_") and name not in environment.RESERVED:
            path = tuple(name.removeprefix("TORVYN_").lower().split("_"))
            found.append(Layer(f"environment variable {name}", environment.nested(path, value)))
    return found, warnings


def _some(variables: Mapping[str, str]) -> Any:
    return _layers({name: value for name, value in variables.items() if name.count("_") != 3})


def _texts(text: str, _annotation: Any) -> str:
    return text


faulty("underscores-are-dots", "CFG-012", "Every underscore of a variable is a dot.", (environment, "layers", _dots))
faulty("variables-of-three-words-are-lost", "CFG-012", "Variables with three underscores set nothing.", (environment, "layers", _some))
faulty("variables-are-texts", "CFG-012", "Numbers in variables stay texts.", (shape, "from_text", _texts))


def _reserved(variables: Mapping[str, str]) -> Any:
    """Take a reserved name for a path, and complain that there is none."""
    for name in environment.RESERVED & variables.keys():
        raise TorvynError("config", "unknown-key", f"{name} sets no key", where=name)
    return _layers(variables)


def _log_level(variables: Mapping[str, str]) -> Any:
    found, warnings = _layers(variables)
    if variables.get("TORVYN_HOME"):
        place = {"runtime": {"compilation_cache_dir": variables["TORVYN_HOME"]}}
        found.append(Layer("environment variable TORVYN_HOME", place))
    return found, warnings


faulty("reserved-names-are-unknown-keys", "CFG-013", "A reserved variable is an unknown key.", (environment, "layers", _reserved))
faulty("home-moves-the-cache", "CFG-013", "TORVYN_HOME sets a key.", (environment, "layers", _log_level))

_interpolate = environment.interpolate


def _lenient(tree: Tree, variables: Mapping[str, str], *, origin: str, errors: list[TorvynError]) -> Tree:
    """Put nothing in the place of an undefined variable."""
    kept = len(errors)
    found = _interpolate(tree, variables, origin=origin, errors=errors)
    if len(errors) == kept:
        return found
    names = {error.message.split("'")[1] for error in errors[kept:] if error.kind == "undefined-variable"}
    del errors[kept:]
    return _interpolate(tree, {**dict.fromkeys(names, ""), **variables}, origin=origin, errors=errors)


def _twice(tree: Tree, variables: Mapping[str, str], *, origin: str, errors: list[TorvynError]) -> Tree:
    once = _interpolate(tree, variables, origin=origin, errors=errors)
    return _interpolate(once, variables, origin=origin, errors=[])


def _with_defaults(tree: Tree, variables: Mapping[str, str], *, origin: str, errors: list[TorvynError]) -> Tree:
    shell = {f"{name}:-x": variables.get(name, "x") for name in ("ONE", "MISSING")}
    return _interpolate(tree, {**shell, **variables}, origin=origin, errors=errors)


def _shallow(tree: Tree, variables: Mapping[str, str], *, origin: str, errors: list[TorvynError]) -> Tree:
    """Leave the strings inside lists alone."""
    return {
        key: value if isinstance(value, tuple) else _shallow(value, variables, origin=origin, errors=errors) if isinstance(value, dict) else
        _interpolate({key: value}, variables, origin=origin, errors=errors)[key]
        for key, value in tree.items()
    }  # fmt: skip


def _before_parsing(file: Path, errors: list[TorvynError]) -> Tree | None:
    """Put variables into the file's text."""
    if file.is_file():
        text = file.read_text()
        for name, value in _BEFORE.items():
            text = text.replace(f"${{{name}}}", value)
        file.write_text(text)
    found: Tree | None = _read(file, errors)
    return found


_BEFORE: dict[str, str] = {}


def _noting(path: Path, *, environment: Mapping[str, str], **options: Any) -> Project:
    _BEFORE.clear()
    _BEFORE.update(environment)
    return _load(path, environment=environment, **options)


def interpolating(name: str, rule: str, summary: str, change: Any) -> None:
    """Register a mutant that puts variables in in its own way."""
    faulty(name, rule, summary, (environment, "interpolate", change))


interpolating("undefined-is-empty", "CFG-014", "An undefined variable is an empty text.", _lenient)
interpolating("variables-in-variables", "CFG-014", "A value is looked through for variables again.", _twice)
interpolating("defaults-as-in-a-shell", "CFG-014", "`${NAME:-x}` has a default.", _with_defaults)
interpolating("lists-are-left-alone", "CFG-015", "Variables in lists stay as they are.", _shallow)
interpolating("nothing-is-put-in", "CFG-015", "No variable is ever put in.", lambda tree, _variables, **_options: tree)
faulty(
    "variables-before-toml",
    "CFG-015",
    "Variables are put into the file before it is parsed.",
    (loading, "_read", _before_parsing),
    loader(_noting),
)

"""Mutants that read a configuration in their own way: layers, variables, sizes, flows, and what they keep to themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from conformance.mutants.faulty_packing import faulty
from torvyn_ref import config
from torvyn_ref.config import Edge, Flow, Project, environment, merge, semantics, shape, suggest, values
from torvyn_ref.config.merge import Layer, Merged, Tree
from torvyn_ref.config.project import StreamSettings
from torvyn_ref.errors import TorvynError, TorvynErrors

loading = import_module("torvyn_ref.config.load")
"""The module; in its package the function of this name hides it."""

_load, _read, _merge, _layers, _check = config.load, loading._read, loading.merge, environment.layers, loading.check  # noqa: SLF001 -- a mutant swaps what nobody else may see


def loader(change: Callable[..., Any]) -> tuple[object, str, Any]:
    """Return the swap of the whole loader."""
    return (config, "load", change)


def _rewritten(old: str, new: str, *, file: str = "Torvyn.toml") -> tuple[object, str, Any]:
    """Return the swap of a loader that takes some text of a file for another."""

    def load(path: Path, **options: Any) -> Project:
        place = Path(path) / file
        if place.is_file():
            place.write_text(place.read_text().replace(old, new))
        return _load(path, **options)

    return loader(load)


# ---------------------------------------------------------------- files and mistakes


def _one_kind(file: Path, errors: list[TorvynError]) -> Tree | None:
    found: Tree | None = _read(file, errors)
    for error in errors:
        error.kind = "unreadable"
    return found


def _goes_on(file: Path, errors: list[TorvynError]) -> Tree | None:
    """Go on with an empty file after a syntax error, and complain about that, too."""
    found = _read(file, errors)
    return {} if found is None and errors and errors[-1].kind == "syntax" else found


def _first_only(path: Path, **options: Any) -> Project:
    try:
        return _load(path, **options)
    except TorvynErrors as errors:
        raise errors.errors[0] from errors


def _types_first(merged: Merged) -> Any:
    """Say nothing of what stands between keys when a value is wrong."""
    return () if "runtime" in merged.tree else _check(merged)


faulty("broken-files-are-unreadable", "CFG-001", "A file with a syntax error is called unreadable.", (loading, "_read", _one_kind))
faulty("goes-on-after-syntax-errors", "CFG-001", "After a syntax error the empty rest is checked.", (loading, "_read", _goes_on))
faulty("only-the-first-mistake", "CFG-002", "Only the first mistake is told.", loader(_first_only))
faulty("ranges-after-types", "CFG-002", "Of several errors those beyond the third are left out.", (loading, "MAX_ERRORS", 3))

_flow_check, _edge_check = semantics._flow, semantics._edge  # noqa: SLF001 -- as above


def without(kind: str, check: Callable[..., Any], *, many: bool = True) -> Callable[..., Any]:
    """Return a check that keeps one kind of error to itself, or tells the first of its errors alone."""

    def some(*arguments: Any) -> Any:
        found = [error for error in check(*arguments) if error.kind != kind]
        return found if many else found[:1]

    return some


faulty("one-node-is-enough", "CFG-003", "A flow of one node is accepted.", (semantics, "_flow", without("too-few-nodes", _flow_check)))
faulty("edges-are-optional", "CFG-003", "A flow without edges is accepted.", (semantics, "_flow", without("no-edges", _flow_check)))
faulty("self-loops-are-fine", "CFG-004", "An edge may lead from a node to itself.", (semantics, "_edge", without("self-loop", _edge_check)))
faulty("unknown-nodes-are-fine", "CFG-004", "An edge may lead nowhere.", (semantics, "_edge", without("unknown-node", _edge_check)))
faulty("one-end-at-a-time", "CFG-004", "Of two unknown ends one is told.", (semantics, "_edge", without("", _edge_check, many=False)))


def _tables_only(end: Any) -> Any:
    return _endpoint(end) if isinstance(end, dict) else None


_endpoint = semantics._endpoint_node  # noqa: SLF001 -- as above
faulty(
    "edges-as-texts-are-not-checked", "CFG-004", "Edges written as texts may lead anywhere.", (semantics, "_endpoint_node", _tables_only)
)

# ---------------------------------------------------------------- values

_parse_size = values.parse_size


def _thousands(text: str) -> int:
    found = _parse_size(text)
    return found // 1024 * 1000 if text.strip().lower().endswith("k") else found


def _megabytes(text: str) -> int:
    return _parse_size(text.removesuffix("B") if text.endswith("MB") else text)


def _wrapping(text: str) -> int:
    digits = text.strip(" \tKMGiBkmgb")
    return int(digits) * 1024**3 % 2**64 if text.endswith("GiB") and digits.isdigit() else _parse_size(text)


def _exact_case(text: str) -> int:
    if text.strip() != text.strip().upper().replace("I", "i"):
        raise ValueError("expected K, M or G")
    return _parse_size(text)


def _tight(text: str) -> int:
    return _parse_size(text.replace(" ", "?")) if " " in text.strip() else _parse_size(text)


def sizes(name: str, rule: str, summary: str, read: Callable[[str], int]) -> None:
    """Register a mutant that reads sizes in its own way."""
    faulty(name, rule, summary, (values, "parse_size", read))


sizes("a-k-is-a-thousand", "CFG-005", "K means 1000.", _thousands)
sizes("megabytes-are-read", "CFG-005", "MB is read as M.", _megabytes)
sizes("sizes-wrap-around", "CFG-005", "A size beyond 64 bits wraps around.", _wrapping)
sizes("sizes-by-case", "CFG-005", "Units in small letters are refused.", _exact_case)
sizes("no-space-in-sizes", "CFG-005", "No space is allowed between number and unit.", _tight)


def _elsewhere(old: str, key: str) -> tuple[object, str, Any]:
    """Return the swap of a loader with another grammar for one key."""

    def load(path: Path, **options: Any) -> Project:
        place = Path(path) / "Torvyn.toml"
        lines = place.read_text().splitlines(keepends=True) if place.is_file() else []
        place.write_text("".join(line.replace(old, "M") if line.startswith(key) else line for line in lines))
        return _load(path, **options)

    return loader(load)


faulty("nodes-read-megabytes", "CFG-006", "A node's max_memory may be in MB.", _elsewhere("MB", "max_memory"))
faulty("needs-in-other-units", "CFG-006", "A component's max-buffer-size may be in MB.", _elsewhere("MB", "capabilities.torvyn.max-buffer"))

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

# ---------------------------------------------------------------- flows

_settings = Project.stream_settings


def _depth(self: Project, flow: Flow, edge: Edge) -> StreamSettings:
    """Upstream: the edge's depth, or 64."""
    return replace(_settings(self, flow, edge), queue_depth=edge.queue_depth or 64)


def _flow_first(self: Project, flow: Flow, edge: Edge) -> StreamSettings:
    found = _settings(self, flow, edge)
    return replace(found, queue_depth=flow.default_queue_depth or found.queue_depth)


def _largest(self: Project, flow: Flow, edge: Edge) -> StreamSettings:
    found = _settings(self, flow, edge)
    own = self.runtime.backpressure.default_queue_depth
    return replace(
        found,
        queue_depth=own
        if edge.queue_depth is None and flow.default_queue_depth is None and own
        else max(found.queue_depth, edge.queue_depth or 0, flow.default_queue_depth or 0),
    )


faulty("depth-of-the-edge-or-64", "CFG-017", "Only the edge's own depth counts.", (Project, "stream_settings", _depth))
faulty("the-flow-beats-the-edge", "CFG-017", "The flow's depth wins over the edge's.", (Project, "stream_settings", _flow_first))
faulty("the-deepest-wins", "CFG-017", "Of edge and flow the deeper wins.", (Project, "stream_settings", _largest))
faulty("bogus-policies-block", "CFG-016", "An unknown policy blocks.", _rewritten('policy = "bogus"', 'policy = "block-producer"'))
faulty("policies-in-any-case", "CFG-016", "Capitals in a policy do not matter.", _rewritten("Block-Producer", "block-producer"))
faulty("block-is-unknown", "CFG-016", "`block` is no policy.", _rewritten('policy = "block"', 'policy = "blocks"'))
faulty(
    "pipeline-policies-are-not-checked",
    "CFG-016",
    "Policies of pipeline.toml may be anything.",
    _rewritten('policy = "bogus"', 'policy = "error"', file="pipeline.toml"),
)
faulty(
    "inline-schedules-are-not-checked",
    "CFG-018",
    "An inline flow may have any scheduling policy.",
    _rewritten('scheduling_policy = "bogus"', 'scheduling_policy = "priority"'),
)
faulty(
    "pipeline-schedules-are-not-checked",
    "CFG-018",
    "A flow of pipeline.toml may have any scheduling policy.",
    _rewritten('scheduling_policy = "bogus"', 'scheduling_policy = "priority"', file="pipeline.toml"),
)

_nearest = suggest.nearest
faulty("unknown-keys-are-ignored", "CFG-019", "An unknown key in [runtime] is passed over.", _rewritten("runtime.zzqqxxjjkk = 1\n", ""))
faulty(
    "unknown-node-keys-are-ignored",
    "CFG-019",
    "An unknown key of a node is passed over.",
    _rewritten("max_memry = 1\n", "", file="pipeline.toml"),
)
faulty(
    "no-suggestions",
    "CFG-019",
    "Nothing is suggested for an unknown key.",
    (import_module("torvyn_ref.config.explain"), "nearest", lambda _word, _known: None),
)
faulty(
    "suggests-something",
    "CFG-019",
    "Something is suggested for every unknown key.",
    (import_module("torvyn_ref.config.explain"), "nearest", lambda word, known: _nearest(word, known) or next(iter(known), None)),
)


def _last(self: Project) -> str | None:
    return next(reversed(tuple(self.flows)), None)


def _longest(self: Project) -> str | None:
    return sorted(self.flows)[len(self.flows) // 2] if self.flows else None


faulty("the-last-flow-is-the-default", "CFG-020", "The last flow is the default.", (Project, "default_flow", property(_last)))
faulty(
    "a-flow-in-the-middle-is-the-default",
    "CFG-020",
    "The default is the middle one of the alphabet.",
    (Project, "default_flow", property(_longest)),
)

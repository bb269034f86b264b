"""Mutants that read a configuration in their own way: layers, variables, sizes, flows, and what they keep to themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from conformance.mutants.faulty_packing import faulty
from torvyn_ref import config
from torvyn_ref.config import Edge, Flow, Project, semantics, suggest, values
from torvyn_ref.config.merge import Merged, Tree
from torvyn_ref.config.project import StreamSettings
from torvyn_ref.errors import TorvynError, TorvynErrors

loading = import_module("torvyn_ref.config.load")
"""The module; in its package the function of this name hides it."""

_load, _read, _check = config.load, loading._read, loading.check  # noqa: SLF001 -- a mutant swaps what nobody else may see


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

"""Layers of settings put on top of each other, remembering where each value came from.

Merging is by presence (CFG-010): a value that is written wins over the layer below even when it equals the default. Tables merge key
by key, those of pipeline.toml too (CFG-008), so a grant's list is replaced while other grants stay (CFG-011); a flow of a higher file
replaces the flow of that name whole (CFG-007).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torvyn_ref.config import shape
from torvyn_ref.config.settings import Section
from torvyn_ref.errors import TorvynError

Path = tuple[str | int, ...]
Tree = dict[str, Any]

MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings: a file, an environment variable or an override."""

    origin: str
    tree: Tree
    whole: frozenset[str] = frozenset()
    """Top-level tables whose entries replace the lower layer's entries whole."""


def dotted(path: Path) -> str:
    """Write a path as a reader of the file would: `flow.main.edges[0].from`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else key
    return text


def refused(kind: str, message: str, *, origin: str, path: Path, code: str, hint: str | None = None) -> TorvynError:
    """Build a configuration error that names its file and field."""
    name = dotted(path)
    where = f"{origin}: {name}" if name else origin
    return TorvynError("config", kind, message, where=where, hint=hint, code=code, file=origin, field=name)


@dataclass(slots=True)
class Merged:
    """The result of merging, and the origin of every value in it."""

    tree: Tree = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    fallback: str = ""

    def origin(self, path: Path) -> str:
        """Return where the value at a path, or the nearest table around it, came from."""
        for length in range(len(path), 0, -1):
            found = self.origins.get(path[:length])
            if found is not None:
                return found
        return self.fallback

    def refused(self, kind: str, message: str, path: Path, *, code: str, hint: str | None = None) -> TorvynError:
        """Build an error about the value at a path, naming the layer it came from."""
        return refused(kind, message, origin=self.origin(path), path=path, code=code, hint=hint)


def merge(layers: list[Layer], *, fallback: str) -> Merged:
    """Put layers on top of each other, the lowest first; `fallback` is blamed for what no layer wrote."""
    merged = Merged(fallback=fallback)
    for layer in layers:
        _put(merged, merged.tree, layer.tree, (), layer)
    return merged


def _put(merged: Merged, base: Tree, over: Tree, path: Path, layer: Layer) -> None:
    replaces = len(path) == 1 and path[0] in layer.whole
    for key, value in over.items():
        here = (*path, key)
        present = base.get(key)
        if isinstance(value, dict) and isinstance(present, dict) and not replaces:
            _put(merged, present, value, here, layer)
            continue
        if key in base:
            for known in [known for known in merged.origins if known[: len(here)] == here]:
                del merged.origins[known]
        base[key] = _copy(value)
        for inner in _paths(value, here):
            merged.origins[inner] = layer.origin


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _paths(value: Any, path: Path) -> Iterator[Path]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))


def canonical(tree: Mapping[str, Any], root: type[Section], *, origin: str, errors: list[TorvynError]) -> Tree:
    """Return a copy with aliases replaced by the keys they stand for and arrays made read-only.

    A key written in two spellings is an error, and so is nesting beyond `MAX_DEPTH`.
    """
    result: Tree = _canonical(tree, root, (), origin, errors)
    return result


def _canonical(value: Any, annotation: Any, path: Path, origin: str, errors: list[TorvynError]) -> Any:
    if len(path) > MAX_DEPTH:
        errors.append(refused("invalid-value", f"nested deeper than {MAX_DEPTH} levels", origin=origin, path=path[:4], code="E0703"))
        return None
    if isinstance(value, (list, tuple)):
        inner = shape.below(annotation, 0)
        return tuple(_canonical(item, inner, (*path, index), origin, errors) for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        return value
    section = shape.section_of(annotation)
    aliases = section.aliases if section is not None else {}
    result: Tree = {}
    written: dict[str, str] = {}
    for key, item in value.items():
        name = aliases.get(key, key)
        if name in written:
            errors.append(
                refused(
                    "duplicate",
                    f"the same setting is written twice, as {written[name]!r} and as {key!r}",
                    origin=origin,
                    path=(*path, key),
                    code="E0706",
                    hint=f"keep {name!r}",
                )
            )
            continue
        written[name] = key
        result[name] = _canonical(item, shape.below(annotation, name), (*path, name), origin, errors)
    return result

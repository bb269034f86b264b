"""What the environment contributes: `${VAR}` inside strings, and `TORVYN_*` variables that set known keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torvyn_ref.config import shape
from torvyn_ref.config.merge import Layer, Path, Tree, refused
from torvyn_ref.config.schema import Manifest
from torvyn_ref.config.suggest import nearest
from torvyn_ref.errors import TorvynError

PREFIX = "TORVYN_"
RESERVED = frozenset({"TORVYN_LOG", "TORVYN_HOME", "TORVYN_STATE_DIR", "TORVYN_REGISTRY_TOKEN", "TORVYN_SIGNING_KEY"})
"""Variables with a meaning of their own: never configuration paths (CFG-013)."""

# `${}` has no name and an unclosed `${` has no end: neither matches, both stay as written (CFG-014).
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def variable_of(path: tuple[str, ...]) -> str:
    """Return the variable that sets a configuration path: the path in capitals, joined by underscores (CFG-012)."""
    return PREFIX + "_".join(path).replace("-", "_").upper()


def known_variables() -> dict[str, tuple[str, ...]]:
    """Return every variable that sets something, with the path it sets."""
    return {variable_of(written): meant for written, meant in shape.leaves(Manifest)}


def nested(path: tuple[str, ...], value: Any) -> Tree:
    """Return the tree that holds one value at a path."""
    *tables, last = path
    tree: Tree = {last: value}
    for key in reversed(tables):
        tree = {key: tree}
    return tree


def layers(environment: Mapping[str, str]) -> tuple[list[Layer], list[str]]:
    """Read the `TORVYN_*` variables.

    Returns:
        One layer per variable that sets a known key, and a warning for each variable that sets nothing. Those are no errors: other
        programs may use the prefix.
    """
    known = known_variables()
    found: list[Layer] = []
    warnings: list[str] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in RESERVED:
            continue
        path = known.get(name)
        if path is None:
            near = nearest(name, known)
            warnings.append(f"{name} sets no configuration key" + (f"; did you mean {near}?" if near else ""))
            continue
        value = shape.from_text(environment[name], shape.at(Manifest, path))
        found.append(Layer(f"environment variable {name}", nested(path, value)))
    return found, warnings


def interpolate(tree: Tree, environment: Mapping[str, str], *, origin: str, errors: list[TorvynError]) -> Tree:
    """Replace `${VAR}` in every string value, once, without looking into what was put in (CFG-014, CFG-015).

    An undefined variable is an error and leaves the text as it was; an empty one is allowed. Keys are left alone.
    """
    result: Tree = _interpolate(tree, environment, (), origin, errors)
    return result


def _interpolate(value: Any, environment: Mapping[str, str], path: Path, origin: str, errors: list[TorvynError]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolate(item, environment, (*path, key), origin, errors) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_interpolate(item, environment, (*path, at), origin, errors) for at, item in enumerate(value))
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in environment:
            return environment[name]
        errors.append(
            refused(
                "undefined-variable",
                f"the environment variable {name!r} is not defined",
                origin=origin,
                path=path,
                code="E0705",
                hint=f"define {name}, or write the value here",
            )
        )
        return match.group(0)

    return _VARIABLE.sub(replace, value)

"""The schema seen from outside: which keys a table knows, what lies below a key, and how a value is spelled as text."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from torvyn_ref.config.settings import Section
from torvyn_ref.config.values import WrittenAsText

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


def _alternatives(annotation: Any) -> tuple[list[Any], bool]:
    """Return the plain types an annotation allows, None left out, and whether any of them is written as text."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        plain, textual = _alternatives(inner)
        return plain, textual or any(isinstance(item, WrittenAsText) for item in metadata)
    if origin in (Union, types.UnionType):
        found: list[Any] = []
        textual = False
        for alternative in get_args(annotation):
            plain, text = _alternatives(alternative)
            found += plain
            textual = textual or text
        return found, textual
    return ([] if annotation is type(None) else [annotation]), False


def section_of(annotation: Any) -> type[Section] | None:
    """Return the table type an annotation stands for, or None when it is not a table with known keys."""
    for plain in _alternatives(annotation)[0]:
        if isinstance(plain, type) and issubclass(plain, Section):
            return plain
    return None


@cache
def keys_of(section: type[Section]) -> Mapping[str, Any]:
    """Return the keys of a table as written in TOML, each with its annotation."""
    # The closing None keeps Annotated legal for a field without metadata.
    return {field.alias or name: Annotated[field.annotation, *field.metadata, None] for name, field in section.model_fields.items()}


def below(annotation: Any, key: str | int) -> Any:
    """Return the annotation under a key (or under any index of an array), or None when the schema knows nothing there."""
    section = section_of(annotation)
    if section is not None and isinstance(key, str):
        return keys_of(section).get(section.aliases.get(key, key))
    for plain in _alternatives(annotation)[0]:
        origin, arguments = get_origin(plain), get_args(plain)
        if isinstance(key, str) and isinstance(origin, type) and issubclass(origin, Mapping):
            return arguments[1]
        if isinstance(key, int) and origin is tuple:
            return arguments[0]
    return None


def at(root: Any, path: tuple[str | int, ...]) -> Any:
    """Return the annotation at a path below `root`, or None."""
    for key in path:
        if root is None:
            return None
        root = below(root, key)
    return root


def leaves(root: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield every setting with a fixed path: the path as it may be written (aliases included), and the path it means.

    Tables with free keys and arrays of tables are left out.
    """
    for key, annotation in keys_of(root).items():
        section = section_of(annotation)
        if section is not None:
            yield from leaves(section, (*path, key))
        elif not _has_free_keys(annotation):
            yield (*path, key), (*path, key)
            yield from (((*path, alias), (*path, key)) for alias, meant in root.aliases.items() if meant == key)


def _has_free_keys(annotation: Any) -> bool:
    for plain in _alternatives(annotation)[0]:
        origin, arguments = get_origin(plain), get_args(plain)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return True
        if origin is tuple and section_of(arguments[0]) is not None:
            return True
    return False


def from_text(text: str, annotation: Any) -> Any:
    """Read a value written as plain text (environment, command line) as the type the schema expects.

    A text that does not fit is returned as it is: validation then says what was expected there.
    """
    plain, textual = _alternatives(annotation)
    if textual:
        return text
    for alternative in plain:
        if alternative is bool and text in ("true", "false"):
            return text == "true"
        if alternative is int and _INTEGER.fullmatch(text):
            return int(text)
        if alternative is float:
            try:
                return float(text)
            except ValueError:
                return text
        if get_origin(alternative) is tuple:
            return tuple(item.strip() for item in text.split(",")) if text else ()
        if alternative is str or get_origin(alternative) is Literal:
            return text
    return text

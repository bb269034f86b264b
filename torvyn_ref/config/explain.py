"""Validation errors in the reader's words: which key, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from torvyn_ref.config import shape
from torvyn_ref.config.merge import Merged, Path
from torvyn_ref.config.settings import Section
from torvyn_ref.config.suggest import nearest
from torvyn_ref.config.values import describe
from torvyn_ref.errors import TorvynError

_EXPECTED_TYPE = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "model_type": "a table",
    "mapping_type": "a table",
    "dict_type": "a table",
}
_BOUND = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def explain(error: ValidationError, root: type[Section], merged: Merged) -> Iterator[TorvynError]:
    """Yield one `TorvynError` per mistake pydantic found."""
    for detail in error.errors(include_url=False):
        yield _explain(detail, root, merged)


def _explain(detail: ErrorDetails, root: type[Section], merged: Merged) -> TorvynError:
    path: Path = detail["loc"]
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "torvyn":
        return merged.refused(context["kind"], context["message"], path, code=context["code"], hint=context["hint"])
    if kind == "extra_forbidden":
        return _unknown_key(path, root, merged)
    if kind == "missing":
        return merged.refused("missing-key", "the required key is missing", path, code="E0701", hint=_purpose(path, root))
    if kind == "enum":
        return _unknown_word(path, found, context["expected"], merged)
    if kind in _BOUND:
        name, words = _BOUND[kind]
        return merged.refused("invalid-value", f"expected {words} {context[name]}, found {describe(found)}", path, code="E0703")
    if kind in _EXPECTED_TYPE:
        return merged.refused("wrong-type", f"expected {_EXPECTED_TYPE[kind]}, found {describe(found)}", path, code="E0701")
    return merged.refused("invalid-value", f"{detail['msg']}, found {describe(found)}", path, code="E0703")


def _unknown_key(path: Path, root: type[Section], merged: Merged) -> TorvynError:
    """Say that a key is unknown, and which known one is near (CFG-019)."""
    *table, key = path
    section = shape.section_of(shape.at(root, tuple(table)))
    known = [*shape.keys_of(section), *section.aliases] if section is not None else []
    near = nearest(str(key), known)
    return merged.refused(
        "unknown-key",
        f"unknown key {describe(key)}",
        path,
        code="E0701",
        hint=f"did you mean {near!r}?" if near else "remove it, or look for its name in the reference",
    )


def _unknown_word(path: Path, found: Any, expected: str, merged: Merged) -> TorvynError:
    """Say which words are known where another one stands, such as those of overflow policies (CFG-016)."""
    if not isinstance(found, str):
        return merged.refused("wrong-type", f"expected a string, found {describe(found)}", path, code="E0701")
    words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = nearest(found, words)
    return merged.refused(
        "invalid-value",
        f"expected {expected.replace(chr(39), '')}, found {describe(found)}",
        path,
        code="E0703",
        hint=f"did you mean {near!r}?" if near else None,
    )


def _purpose(path: Path, root: type[Section]) -> str | None:
    """Say what the missing key is for, from the schema's own documentation."""
    *table, key = path
    section = shape.section_of(shape.at(root, tuple(table)))
    if section is None:
        return None
    for name, field in section.model_fields.items():
        if key in (name, field.alias) and field.description:
            return field.description
    return None

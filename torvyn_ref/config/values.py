"""The scalar grammars of Torvyn.toml: sizes, fuel, ratios, names and versions, as types that pydantic validates."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

U64_MAX: Final = 2**64 - 1
I64_MAX: Final = 2**63 - 1

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# ASCII keeps the grammar closed: without it `\d` admits other scripts' digits and IGNORECASE lets the Kelvin sign stand for K.
_SIZE = re.compile(r"\s*(\d+)\s*(|B|KiB|K|MiB|M|GiB|G)\s*", re.ASCII | re.IGNORECASE)
_FACTOR = {"": 1, "b": 1, "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": GIB, "gib": GIB}
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = r"[0-9A-Za-z-]+"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    rf"(?:\+{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?"
)


class WrittenAsText:
    """Marks a type whose TOML spelling is a string although its value is a number (a size)."""


def refusal(kind: str, message: str, *, code: str, hint: str | None = None) -> PydanticCustomError:
    """Build the validation error that `load` turns into a `TorvynError` of this kind."""
    return PydanticCustomError("torvyn", "{message}", {"kind": kind, "message": message, "code": code, "hint": hint})


def parse_size(text: str) -> int:
    """Return the bytes a size string stands for: digits, then nothing, B, K, KiB, M, MiB, G or GiB, in any case (CFG-005).

    Raises:
        ValueError: the text is outside the grammar, or the size does not fit in 64 bits.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected a size such as 512, 64KiB or 16MiB (a whole number and B, K, KiB, M, MiB, G or GiB)")
    digits, unit = match.groups()
    # 20 digits hold every u64; more are only leading zeros or an overflow, and int() refuses endless digits anyway.
    significant = digits.lstrip("0")
    size = int(significant or "0") * _FACTOR[unit.lower()] if len(significant) <= 20 else U64_MAX + 1
    if size > U64_MAX:
        raise ValueError("the size does not fit in 64 bits")
    return size


def _size(value: Any) -> int:
    if not isinstance(value, str):
        raise refusal(
            "wrong-type",
            f"expected a size as a string, found {describe(value)}",
            code="E0701",
            hint='write it in quotes, for example "16MiB"',
        )
    try:
        return parse_size(value)
    except ValueError as error:
        raise refusal("invalid-value", f"{error}, found {describe(value)}", code="E0703") from None


def _fuel(value: Any) -> int | Literal["unlimited"]:
    if value == "unlimited":
        return "unlimited"
    if isinstance(value, str):
        raise refusal("invalid-value", f'expected a positive integer or "unlimited", found {describe(value)}', code="E0703")
    if isinstance(value, bool) or not isinstance(value, int):
        raise refusal("wrong-type", f'expected a positive integer or "unlimited", found {describe(value)}', code="E0701")
    if not 0 < value <= U64_MAX:
        raise refusal(
            "invalid-value",
            f'expected a positive integer or "unlimited", found {describe(value)}',
            code="E0703",
            hint='to switch metering off, write "unlimited"' if value == 0 else None,
        )
    return value


def _non_empty(value: str) -> str:
    if not value:
        raise refusal("missing-value", "must not be empty", code="E0702")
    return value


def _name(value: str) -> str:
    _non_empty(value)
    if not _NAME.fullmatch(value):
        raise refusal("invalid-value", f"expected letters, digits, '_' and '-' only, found {describe(value)}", code="E0703")
    return value


def _version(value: str) -> str:
    _non_empty(value)
    if not _VERSION.fullmatch(value):
        raise refusal(
            "invalid-value",
            f"expected a semantic version, found {describe(value)}",
            code="E0703",
            hint='write three numbers, for example "0.1.0"',
        )
    return value


def _rate(value: float) -> float:
    if not math.isfinite(value) or value <= 0:
        raise refusal("invalid-value", f"expected elements per second above 0, found {describe(value)}", code="E0703")
    return value


def _ratio(value: float) -> float:
    if not math.isfinite(value) or not 0.0 <= value < 1.0:
        raise refusal("invalid-value", f"expected a ratio of at least 0 and less than 1, found {describe(value)}", code="E0703")
    return value


def _probability(value: float) -> float:
    if not 0.0 <= value <= 1.0:  # false for NaN too
        raise refusal("invalid-value", f"expected a rate between 0 and 1, found {describe(value)}", code="E0703")
    return value


def _block_alias(value: Any) -> Any:
    return "block-producer" if value == "block" else value


_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    (dict, "a table"),
    ((list, tuple), "an array"),
)


def describe(value: Any) -> str:
    """Say what was found, in TOML's words and short enough for one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value) if not isinstance(value, int) or abs(value) <= U64_MAX else "an integer beyond 64 bits"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    for kind, words in _TYPES:
        if isinstance(value, kind):
            return words
    return f"a {type(value).__name__}"


def _read_only(value: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(value)


T = TypeVar("T")

Table = Annotated[Mapping[str, T], AfterValidator(_read_only), PlainSerializer(dict)]
"""A TOML table with free keys, read-only, in file order."""

Size = Annotated[int, PlainValidator(_size, json_schema_input_type=str), WrittenAsText()]
"""Bytes, written as a size string (CFG-005, CFG-006)."""

Fuel = Annotated[int | Literal["unlimited"], PlainValidator(_fuel, json_schema_input_type=int | Literal["unlimited"])]
"""Fuel per guest call: a positive number, or "unlimited" for no metering (decision 11)."""

Count = Annotated[int, Field(ge=0, le=I64_MAX)]
"""A number of things; 0 is allowed."""

Depth = Annotated[int, Field(ge=1, le=I64_MAX)]
"""The capacity of a queue, in elements (WMK-009)."""

Milliseconds = Annotated[int, Field(ge=0, le=I64_MAX)]
"""A duration in whole milliseconds; 0 means at once."""

Timeout = Annotated[int, Field(ge=1, le=I64_MAX)]
"""A bound in whole milliseconds that must leave some time."""

Batch = Annotated[int, Field(ge=1, le=256)]
"""Stage executions before a flow yields (SCHED-008)."""

Priority = Annotated[int, Field(ge=1, le=10)]
"""A component's scheduling weight, 1 (lowest) to 10 (highest)."""

Ratio = Annotated[float, AfterValidator(_ratio)]
"""Where pressure ends, as a share of the queue's capacity: at least 0, less than 1, finite (WMK-010)."""

Rate = Annotated[float, AfterValidator(_rate)]
"""Elements per second: above 0, finite (POLICY-009)."""

Probability = Annotated[float, AfterValidator(_probability)]
"""A share between 0 and 1, both included."""

Text = Annotated[str, AfterValidator(_non_empty)]
"""A string that must not be empty."""

Name = Annotated[str, AfterValidator(_name)]
"""A name: letters, digits, '_' and '-'."""

Version = Annotated[str, AfterValidator(_version)]
"""A semantic version."""

WithBlockAlias = BeforeValidator(_block_alias)
"""Reads the documentation's `block` as `block-producer` (J-23)."""

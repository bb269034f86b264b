"""Settings and their layers, from the rulebook: known keys, the precedence, sizes, interpolation, and what counts as a near miss.

The keys are those of the specification's table of the configuration; a runtime may have more. Nothing here knows how a runtime merges: the
highest layer that says something about a key decides it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

Layer = Literal["user", "manifest", "pipeline", "environment", "command-line"]
LAYERS: tuple[Layer, ...] = ("user", "manifest", "pipeline", "environment", "command-line")
"""From low to high (CFG-009); below all of them are the defaults."""

KIB = 1024
U64 = 2**64
UNITS: Mapping[str, int] = MappingProxyType(
    {"": 1, "b": 1, "k": KIB, "kib": KIB, "m": KIB**2, "mib": KIB**2, "g": KIB**3, "gib": KIB**3},
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A known key: values that it may have, as written in TOML, and its default where the sources agree on one."""

    values: tuple[Any, ...]
    default: Any = None
    size: bool = False


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "runtime.worker_threads": Setting((1, 3, 8, 0, 16, 2), 0),
        "runtime.max_memory_per_component": Setting(("1MiB", "2MiB", "16MiB", "64KiB", "3MiB", "1GiB"), "16MiB", size=True),
        "runtime.default_fuel_per_invocation": Setting((1, 1_000_000, 5000, 77, 2_000_000, 42), 1_000_000),
        "runtime.compilation_cache_dir": Setting(("one", "two", ".torvyn/cache", "/abs/three", "f o u r", "five"), ".torvyn/cache"),
        "runtime.scheduling.policy": Setting(("round-robin", "weighted-fair", "priority", "round-robin", "priority", "weighted-fair")),
        "runtime.scheduling.default_priority": Setting((1, 5, 10, 2, 7, 9), 5),
        "runtime.backpressure.default_queue_depth": Setting((1, 64, 128, 2, 1000, 32), 64),
        "runtime.backpressure.backpressure_policy": Setting(
            ("drop-oldest", "block-producer", "drop-newest", "error", "drop-oldest", "drop-newest"), "block-producer"
        ),
        "observability.tracing_enabled": Setting((True, False, True, False, True, False), default=True),
        "observability.tracing_exporter": Setting(("stdout", "otlp-grpc", "none", "otlp-http", "stdout", "none"), "stdout"),
        "observability.tracing_endpoint": Setting(("http://a:1", "http://b:2", "http://c:3", "http://d:4", "http://e:5", "http://f:6")),
        "observability.tracing_sample_rate": Setting((0.5, 1.0, 0.25, 0.0, 0.125, 0.75)),
        "observability.metrics_enabled": Setting((True, False, True, False, True, False), default=True),
        "observability.metrics_exporter": Setting(("none", "prometheus", "otlp", "none", "prometheus", "otlp"), "none"),
        "observability.metrics_endpoint": Setting(("a:1", "b:2", "c:3", "d:4", "e:5", "f:6")),
        "security.default_capability_policy": Setting(
            ("allow-all", "deny-all", "allow-all", "deny-all", "allow-all", "deny-all"), "deny-all"
        ),
    }
)
"""The keys that every layer may set; neighbours in a list of values differ."""

PROJECT_SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "torvyn.description": Setting(("one", "two")),
        "torvyn.license": Setting(("MIT", "BSD-3-Clause")),
        "torvyn.repository": Setting(("https://a.example", "https://b.example")),
        "build.release": Setting((False, True)),
        "build.target": Setting(("wasm32-wasip1", "wasm32-wasip2")),
        "test.timeout_seconds": Setting((1, 60)),
        "test.fixtures_dir": Setting(("here", "tests/fixtures")),
        "registry.default": Setting(("r.example/a", "r.example/b")),
    }
)
"""Keys of a project that the environment and the command line may set, too."""


def default_of(key: str) -> Any:
    """Return the default of a key in the form in which a runtime reports it; None where the sources do not agree."""
    setting = SETTINGS[key]
    return size(setting.default) if setting.size and setting.default else setting.default


def effective(layers: Mapping[Layer, Mapping[str, Any]], key: str) -> tuple[Any, Layer | Literal["default"]]:
    """Return a key's value, in the form in which a runtime reports it, and the layer that it comes from."""
    for layer in reversed(LAYERS):
        if key in layers.get(layer, {}):
            value = layers[layer][key]
            setting = SETTINGS.get(key)
            return (size(value) if setting is not None and setting.size else value), layer
    return default_of(key), "default"


def variable(key: str) -> str:
    """Return the environment variable of a key (CFG-012)."""
    return "TORVYN_" + key.replace(".", "_").replace("-", "_").upper()


def text(value: Any) -> str:
    """Return a value as it is written outside TOML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def toml(values: Mapping[str, Any]) -> str:
    """Return dotted keys as lines of TOML; they belong before a file's first table."""
    return "".join(f"{key} = {literal(value)}\n" for key, value in values.items())


def literal(value: Any) -> str:
    """Return a value as TOML. JSON's texts are TOML's, as long as nothing beyond the basic plane is escaped."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# ---------------------------------------------------------------- sizes


def size(written: str) -> int | None:
    """Return the bytes of a size (CFG-005); None for what is none."""
    trimmed = written.strip(" \t\n\r\f\v")
    digits = len(trimmed) - len(trimmed.lstrip("0123456789"))
    unit = trimmed[digits:].lstrip(" \t\n\r\f\v").lower()
    if not digits or unit not in UNITS:
        return None
    value = int(trimmed[:digits]) * UNITS[unit]
    return value if value < U64 else None


# ---------------------------------------------------------------- interpolation


def interpolated(template: str, environment: Mapping[str, str]) -> str | None:
    """Return a text with its variables put in (CFG-014); None when one is not defined."""
    done, rest = "", template
    while True:
        before, mark, after = rest.partition("${")
        name, brace, behind = after.partition("}")
        if not mark or not brace:
            return done + rest
        if not name:
            done, rest = f"{done}{before}${{}}", behind
        elif name not in environment:
            return None
        else:
            done, rest = f"{done}{before}{environment[name]}", behind


# ---------------------------------------------------------------- names


def misspelt(word: str, at: int, letter: str, kind: str) -> str:
    """Return a word that is one edit away."""
    at %= len(word)
    match kind:
        case "drop":
            return word[:at] + word[at + 1 :]
        case "add":
            return word[:at] + letter + word[at:]
    return word[:at] + letter + word[at + 1 :]


def keys_of(table: str) -> frozenset[str]:
    """Return the last parts of the known keys of a table."""
    return frozenset(key.rpartition(".")[2] for key in all_keys() if key.rpartition(".")[0] == table)


def all_keys() -> Iterable[str]:
    """Return every known key."""
    return (*SETTINGS, *PROJECT_SETTINGS)

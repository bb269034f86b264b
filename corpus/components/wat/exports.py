"""What a guest may export: the functions of each role with their types, and the worlds they make up.

The core parameters' names are the vocabulary of every guest body: `$sequence`, `$timestamp`, `$content-type`,
`$content-type-len`, `$payload`, `$context` for an element, `$config` and `$config-len` for `init`, `$signal` for
`notify-backpressure`.
"""

from dataclasses import dataclass

ELEMENT_PARAMETERS = (
    "(param $sequence i64) (param $timestamp i64) (param $content-type i32) (param $content-type-len i32)"
    " (param $payload i32) (param $context i32)"
)


@dataclass(frozen=True, slots=True)
class ExportedFunction:
    """One exported function: its component type, its core parameters, and where an error goes in its result."""

    type: str
    parameters: str = ""
    error_offset: int | None = None
    """Bytes from the start of the result to the error variant; None for a function without a result."""
    default: str | None = None
    """The body used when a guest gives none; None when every guest must give one."""


@dataclass(frozen=True, slots=True)
class ExportedInterface:
    """One exported instance: the types it uses, and its functions."""

    name: str
    uses: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """A world a guest targets."""

    role: str
    imports: tuple[str, ...]
    exports: tuple[str, ...]


def _result(ok: str | None) -> str:
    return f"(result (result {ok} (error $process-error)))" if ok else "(result (result (error $process-error)))"


_ELEMENT = '(param "{}" $stream-element) '
_OK = "(call $ok (i32.const 0))"

EXPORTS: dict[str, ExportedFunction] = {
    "process": ExportedFunction(_ELEMENT.format("input") + _result("$process-result"), ELEMENT_PARAMETERS, 8),
    "pull": ExportedFunction(_result("(option $output-element)"), "", 8),
    "notify-backpressure": ExportedFunction('(param "signal" $backpressure-signal)', "(param $signal i32)", default=""),
    "push": ExportedFunction(_ELEMENT.format("element") + _result("$backpressure-signal"), ELEMENT_PARAMETERS, 4),
    "complete": ExportedFunction(_result(None), "", 4, _OK),
    "init": ExportedFunction('(param "config" string) ' + _result(None), "(param $config i32) (param $config-len i32)", 4, _OK),
    "teardown": ExportedFunction("", default=""),
    "evaluate": ExportedFunction(_ELEMENT.format("element") + _result("bool"), ELEMENT_PARAMETERS, 4),
    "route": ExportedFunction(_ELEMENT.format("element") + _result("(list string)"), ELEMENT_PARAMETERS, 4),
    "ingest": ExportedFunction(_ELEMENT.format("element") + _result("(option $output-element)"), ELEMENT_PARAMETERS, 8),
    "flush": ExportedFunction(_result("(list $output-element)"), "", 4),
}
"""Every exported function, by name. Names are unique across Torvyn's interfaces."""

EXPORTED_INTERFACES: dict[str, ExportedInterface] = {
    "processor": ExportedInterface("torvyn:streaming/processor@0.1.0", ("stream-element", "process-result", "process-error"), ("process",)),
    "source": ExportedInterface(
        "torvyn:streaming/source@0.1.0",
        ("output-element", "process-error", "backpressure-signal"),
        ("pull", "notify-backpressure"),
    ),
    "sink": ExportedInterface(
        "torvyn:streaming/sink@0.1.0",
        ("stream-element", "backpressure-signal", "process-error"),
        ("push", "complete"),
    ),
    "lifecycle": ExportedInterface("torvyn:streaming/lifecycle@0.1.0", ("process-error",), ("init", "teardown")),
    "filter": ExportedInterface("torvyn:filtering/filter@0.1.0", ("stream-element", "process-error"), ("evaluate",)),
    "router": ExportedInterface("torvyn:filtering/router@0.1.0", ("stream-element", "process-error"), ("route",)),
    "aggregator": ExportedInterface(
        "torvyn:aggregation/aggregator@0.1.0",
        ("stream-element", "output-element", "process-error"),
        ("ingest", "flush"),
    ),
}

WORLDS: dict[str, World] = {
    "transform": World("processor", ("types", "allocator"), ("processor",)),
    "managed-transform": World("processor", ("types", "allocator"), ("processor", "lifecycle")),
    "data-source": World("source", ("types", "allocator"), ("source", "lifecycle")),
    "data-sink": World("sink", ("types",), ("sink", "lifecycle")),
    "content-filter": World("filter", ("types",), ("filter", "lifecycle")),
    "content-router": World("router", ("types",), ("router", "lifecycle")),
    "stream-aggregator": World("aggregator", ("types", "allocator"), ("aggregator", "lifecycle")),
}
"""Torvyn's worlds: the role, the Torvyn interfaces they may import, the interfaces they export."""

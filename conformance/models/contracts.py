"""Texts for checks of component projects and compositions: the streaming contract, pieces of WASI, and a project that is in order."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from conformance.models.pipelines import INTERFACES

TYPES = """\
interface types {
    resource buffer {
        size: func() -> u64;
        content-type: func() -> string;
        read: func(offset: u64, len: u64) -> list<u8>;
        read-all: func() -> list<u8>;
    }
    resource mutable-buffer {
        write: func(offset: u64, bytes: list<u8>) -> result<_, buffer-error>;
        append: func(bytes: list<u8>) -> result<_, buffer-error>;
        size: func() -> u64;
        capacity: func() -> u64;
        set-content-type: func(content-type: string);
        freeze: func() -> buffer;
    }
    resource flow-context {
        trace-id: func() -> string;
        span-id: func() -> string;
        deadline-ns: func() -> u64;
        flow-id: func() -> string;
    }
    variant buffer-error { capacity-exceeded, out-of-bounds, allocation-failed(string) }
    record element-meta { sequence: u64, timestamp-ns: u64, content-type: string }
    record stream-element { meta: element-meta, payload: borrow<buffer>, context: borrow<flow-context> }
    record output-element { meta: element-meta, payload: buffer }
    variant process-result { emit(output-element), drop }
    variant process-error { invalid-input(string), unavailable(string), internal(string), deadline-exceeded, fatal(string) }
    enum backpressure-signal { ready, pause }
}
"""

ALLOCATOR = """\
interface buffer-allocator {
    use types.{buffer, mutable-buffer, buffer-error};
    allocate: func(capacity-hint: u64) -> result<mutable-buffer, buffer-error>;
    clone-into-mutable: func(source: borrow<buffer>) -> result<mutable-buffer, buffer-error>;
}
"""

PROCESSOR = """\
interface processor {
    use types.{stream-element, process-result, process-error};
    process: func(input: stream-element) -> result<process-result, process-error>;
}
"""

SOURCE = """\
interface source {
    use types.{output-element, process-error, backpressure-signal};
    pull: func() -> result<option<output-element>, process-error>;
    notify-backpressure: func(signal: backpressure-signal);
}
"""

SINK = """\
interface sink {
    use types.{stream-element, backpressure-signal, process-error};
    push: func(element: stream-element) -> result<backpressure-signal, process-error>;
    complete: func() -> result<_, process-error>;
}
"""

FILTER = """\
interface filter {
    use torvyn:streaming/types@0.1.0.{stream-element, process-error};
    evaluate: func(element: stream-element) -> result<bool, process-error>;
}
"""

ROUTER = """\
interface router {
    use torvyn:streaming/types@0.1.0.{stream-element, process-error};
    route: func(element: stream-element) -> result<list<string>, process-error>;
}
"""

AGGREGATOR = """\
interface aggregator {
    use torvyn:streaming/types@0.1.0.{stream-element, output-element, process-error};
    ingest: func(element: stream-element) -> result<option<output-element>, process-error>;
    flush: func() -> result<list<output-element>, process-error>;
}
"""

STREAMING: Mapping[str, str] = MappingProxyType(
    {"types": TYPES, "buffer-allocator": ALLOCATOR, "processor": PROCESSOR, "source": SOURCE, "sink": SINK}
)
"""The interfaces of `torvyn:streaming`, without lifecycle; a component vendors those that it uses."""

_VENDORED: Mapping[str, str] = MappingProxyType(
    {
        "torvyn-streaming": "package torvyn:streaming@0.1.0;\n" + "".join(STREAMING.values()),
        "torvyn-filtering": "package torvyn:filtering@0.1.0;\n" + FILTER + ROUTER,
        "torvyn-aggregation": "package torvyn:aggregation@0.1.0;\n" + AGGREGATOR,
        "random": (
            "package wasi:random@0.2.3;\ninterface random { get-random-u64: func() -> u64; }\n"
            "interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }\n"
        ),
        "clocks": "package wasi:clocks@0.2.3;\ninterface wall-clock { now: func() -> u64; }\n",
    }
)

MANIFEST = '[component]\nname = "greeter"\nversion = "0.1.0"\n'


def world(*items: str, name: str = "greeter", role: str = "processor") -> str:
    """Return a world of a role that imports the types, with further items (`import wasi:random/random@0.2.3`)."""
    own = f"export {INTERFACES[role]}@0.1.0" if role else ""
    lines = ["import torvyn:streaming/types@0.1.0", *items, *([own] if own else [])]
    return f"world {name} {{\n" + "".join(f"    {line};\n" for line in lines) + "}\n"


def project(
    manifest: str | bytes | None = MANIFEST, *worlds: str, package: str = "acme:greeter@0.1.0", wit: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Return the files of a component's project; in order as it stands.

    Args:
        manifest: the text of Torvyn.toml; None for none.
        worlds: the worlds of its package; by default one of a processor.
        package: its package's name.
        wit: the files directly under `wit/` instead.
    """
    texts = {"world.wit": f"package {package};\n\n" + "\n".join(worlds or (world(),))} if wit is None else wit
    files = {f"wit/{name}": text.encode() for name, text in texts.items()}
    files |= {f"wit/deps/{name}/package.wit": text.encode() for name, text in _VENDORED.items()}
    if manifest is not None:
        files["Torvyn.toml"] = manifest if isinstance(manifest, bytes) else manifest.encode()
    return files


def streaming(*interfaces: str, version: str = "0.1.0", **changed: str) -> dict[str, str]:
    """Return the streaming package as a component vendors it: the types, and some interfaces; `changed` replaces texts."""
    names = ("types", *interfaces)
    texts = {name: changed.get(name.replace("-", "_"), STREAMING[name]) for name in names}
    return {f"{name}.wit": f"package torvyn:streaming@{version};\n{text}" for name, text in texts.items()}

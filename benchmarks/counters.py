"""What an element costs in things that can be counted: the same on every machine, so they may gate.

A flow of `2n` elements minus one of `n`: start and end cancel out. Per element of the source:

- fuel: wasm instructions, glue included
- copies, bytes: as the copy ledger has them
- allocations: buffers
- host_calls: functions of the host that guests called, destructors included
- crossings: entries into wasm, and calls out of it, as wasmtime-py makes them
- python_calls: functions of `torvyn_ref` entered, generated code included, comprehensions apart, which newer Pythons inline
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import wasmtime

import torvyn_ref
from benchmarks.shapes import ENGINES, SHAPES, Shape, prepared
from torvyn_ref.engine.stock_link import HOST_INTERFACES

Counts = dict[str, dict[str, float]]
"""Counters by name, by scenario."""

KIB, MIB = 1024, 1024 * 1024
NAMES = ("fuel", "copies", "bytes", "allocations", "host_calls", "crossings", "python_calls")

ELEMENTS = 20
"""The router's pattern repeats after 10, the aggregator's after 4."""

_PAYLOADS: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "scripted": dict.fromkeys((64, 4 * KIB, 64 * KIB, MIB), tuple(SHAPES)),
    "direct": {
        **dict.fromkeys((64, 4 * KIB, 64 * KIB), tuple(SHAPES)),
        MIB: ("S-K", "S-P-K", "S-P*8-K", "S-P-K*4", "router", "filter"),  # the aggregator ends a group at a megabyte
    },
    "stock": {64: tuple(SHAPES), 4 * KIB: ("S-K", "S-P-K")},  # beyond, an element takes it too long
}

_PACKAGE = str(Path(torvyn_ref.__file__).parent)
_GENERATED = "<lift and lower>"
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_BORDER = str(Path(wasmtime.__file__).parent)
_CROSSINGS = {("_func.py", "__call__"), ("_func.py", "trampoline"), ("_linker.py", "func_impl"), ("_linker.py", "resource_dtor_impl")}
"""wasmtime-py's own functions on the way in and out, of core modules and of components."""


def scenarios() -> Iterator[tuple[str, str, Shape, int]]:
    """Yield the name, engine, shape and payload of everything that is counted."""
    for engine in ENGINES:
        for payload, shapes in _PAYLOADS[engine].items():
            for name in shapes:
                yield f"{engine} {name} {payload} B", engine, SHAPES[name], payload


def count_all(only: str = "") -> Counts:
    """Count every scenario whose name begins with `only`, by scenario and counter."""
    return {name: count(engine, shape, payload) for name, engine, shape, payload in scenarios() if name.startswith(only)}


def count(engine: str, shape: Shape, payload: int) -> dict[str, float]:
    """Return the counters of one element."""
    short, long = (_totals(engine, shape, payload, elements) for elements in (ELEMENTS, 2 * ELEMENTS))
    each = {name: Fraction(long[name] - short[name], ELEMENTS) for name in NAMES}
    return {name: int(value) if value.denominator == 1 else float(value) for name, value in each.items()}


def _totals(engine: str, shape: Shape, payload: int, elements: int) -> dict[str, int]:
    with prepared(engine, shape, payload, elements) as flow, _watching() as seen:
        report = flow.run()
    assert report.elements_in == elements
    return {
        "fuel": sum(instance.fuel_used for instance in flow.instances.values()),
        "copies": sum(report.copies.values()),
        "bytes": sum(report.copied_bytes.values()),
        "allocations": flow.resources.created,
        **seen,
    }


class _Kinds(dict[CodeType, tuple[str, ...]]):
    """Which counters a function adds to, worked out when it is first seen."""

    def __init__(self) -> None:
        super().__init__()
        self._host = {function.does.__code__ for interface in HOST_INTERFACES.values() for function in interface.functions}
        self._host |= {drop.__code__ for interface in HOST_INTERFACES.values() for drop in interface.resources.values()}

    def __missing__(self, code: CodeType) -> tuple[str, ...]:
        kinds = self[code] = tuple(self._of(code))
        return kinds

    def _of(self, code: CodeType) -> Iterator[str]:
        path = code.co_filename
        if path == _GENERATED or (path.startswith(_PACKAGE) and code.co_name not in _COMPREHENSIONS):
            yield "python_calls"
        if code in self._host:
            yield "host_calls"
        if path.startswith(_BORDER) and (Path(path).name, code.co_name) in _CROSSINGS:
            yield "crossings"


@contextmanager
def _watching() -> Iterator[dict[str, int]]:
    """Count calls of Python functions in this thread."""
    seen = dict.fromkeys(("host_calls", "crossings", "python_calls"), 0)
    kinds = _Kinds()

    def hear(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            for kind in kinds[frame.f_code]:
                seen[kind] += 1

    collects = gc.isenabled()
    gc.disable()  # what it finalises, and when, is the machine's business
    sys.setprofile(hear)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()

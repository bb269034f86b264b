"""The engines that the reference subject has, and the components that they have compiled."""

from __future__ import annotations

from atexit import register
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from types import MappingProxyType

from conformance.errors import Refused
from torvyn_ref.engine.direct import DirectEngine
from torvyn_ref.engine.protocol import Compiled, Engine
from torvyn_ref.engine.stock import StockEngine

ENGINES: Mapping[str, Callable[[], Engine]] = MappingProxyType(
    {"direct": lambda: DirectEngine(threaded=False), "stock": lambda: StockEngine(threaded=False)}
)
"""The engines by name, the subject's own choice first. Calls end by fuel alone, so that runs repeat exactly."""

MOST_COMPILED = 16
"""Compiled components kept per process: a suite has a handful, and a client that sends others must not fill the memory."""


@cache
def _engine(name: str) -> Engine:
    return ENGINES[name]()


_COMPILED: dict[tuple[str, bytes], Compiled] = {}


@register
def _let_go() -> None:
    """Give engines back while the process still has what it takes: wasmtime-py complains otherwise."""
    _COMPILED.clear()
    _engine.cache_clear()


def compiled(engine: str, component: bytes) -> Compiled:
    """Compile with the engine of this name, or of the subject's choice; the latest ones are kept.

    Raises:
        Refused: there is no such engine.
        TorvynError: it is no component that the engine can run.
    """
    if engine and engine not in ENGINES:
        raise Refused("unknown-engine", f"{engine!r} is none of {', '.join(ENGINES)}", {"engine": engine})
    engine = engine or next(iter(ENGINES))
    key = (engine, sha256(component).digest())
    found = _COMPILED.get(key)
    if found is None:
        found = _engine(engine).compile(component, where="the component that the suite sent")
        if len(_COMPILED) >= MOST_COMPILED:
            _COMPILED.clear()
        _COMPILED[key] = found
    return found

"""Which engine runs a component: the direct one, the stock one, or the first that can (ADR-022)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torvyn_ref.calls import Role
from torvyn_ref.engine.compilecache import CompileCache
from torvyn_ref.engine.direct import DirectEngine
from torvyn_ref.engine.direct.engine import DirectCompiled
from torvyn_ref.engine.protocol import ComponentShape, Engine, Instance, Sandbox
from torvyn_ref.engine.stock import StockCompiled, StockEngine
from torvyn_ref.errors import TorvynError

LOG = logging.getLogger("torvyn.engine")


@dataclass(frozen=True, slots=True)
class FallenBack:
    """A component that the stock engine runs because the direct one does not implement its shape."""

    stock: StockCompiled
    fallback_reason: str

    @property
    def engine_name(self) -> str:
        """Return "stock"."""
        return self.stock.engine_name

    @property
    def shape(self) -> ComponentShape:
        """Return the imports and exports."""
        return self.stock.shape

    def instantiate(self, role: Role, sandbox: Sandbox) -> Instance:
        """Make an instance in a store of its own.

        Raises:
            TorvynError: as `StockCompiled.instantiate`.
        """
        return self.stock.instantiate(role, sandbox)


class AutoEngine:
    """Runs components directly, and gives those of a shape that the direct engine does not implement to the stock engine.

    Both share one wasmtime engine, one ticker and one compiler: a component is validated and compiled once.

    Args:
        threaded, cache: as in `StockEngine`.
    """

    name = "auto"

    def __init__(self, *, threaded: bool = True, cache: CompileCache | None = None) -> None:
        self._direct = DirectEngine(threaded=threaded, cache=cache)

    def compile(self, component: bytes, *, where: str) -> DirectCompiled | FallenBack:
        """Validate with wasmtime, then compile for the direct engine, or else for the stock engine; the log says why.

        Raises:
            TorvynError: engine/invalid-component, naming `where`; engine/engines-disagree when wasmtime accepts what the direct engine
                cannot read: that is a defect of one of them, and nothing to hide behind the other.
        """
        validated = self._direct.stock.compile(component, where=where)
        try:
            return self._direct.prepare(validated, component, where=where)
        except TorvynError as error:
            if error.kind != "unsupported-component":
                raise
            LOG.info("%s runs on the stock engine: %s", where, error.message)
            return FallenBack(validated, error.message)

    def tick(self) -> None:
        """Let one period pass for every running guest (`limits.PERIOD_MS`)."""
        self._direct.tick()

    def close(self) -> None:
        """Stop the ticker; idempotent. Instances still open must be closed by their owners."""
        self._direct.close()


ENGINES: Mapping[str, type[AutoEngine | DirectEngine | StockEngine]] = MappingProxyType(
    {engine.name: engine for engine in (AutoEngine, DirectEngine, StockEngine)}
)
"""The engines for WebAssembly components, by name."""


def make_engine(choice: str, *, cache: CompileCache | None = None, threaded: bool = True) -> Engine:
    """Start an engine.

    Args:
        choice: "direct" refuses the components that it does not implement; "auto" gives those to the stock engine.
        cache: keeps compiled code between runs; None compiles afresh in every run.
        threaded: False starts no ticker thread; time then passes for guests only when the engine's `tick` is called.

    Raises:
        TorvynError: engine/engine-unavailable, for any other name.
    """
    if choice not in ENGINES:
        raise TorvynError(
            "engine",
            "engine-unavailable",
            f"this version has no engine {str(choice)!r} for WebAssembly components",
            hint=f"use one of {', '.join(ENGINES)}",
        )
    return ENGINES[choice](cache=cache, threaded=threaded)

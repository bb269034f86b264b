"""The direct engine: wasmtime judges and compiles, this package wires and converts (ADR-022).

A component is first given to wasmtime's own `Component`, which validates it whole; then it is read, planned and compiled here. Both engines
refuse the same imports, exports and types, from the same tables (`interfaces`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import wasmtime

from torvyn_ref.calls import Call, Failure, Role
from torvyn_ref.engine.compilecache import CompileCache
from torvyn_ref.engine.direct.answers import ENTER, BreachError, trap_failure
from torvyn_ref.engine.direct.bound import Bound
from torvyn_ref.engine.direct.errors import Malformed, NoSuchResource, Unsupported
from torvyn_ref.engine.direct.plan import HostFunction, Plan
from torvyn_ref.engine.direct.planner import Planner
from torvyn_ref.engine.direct.reader import read
from torvyn_ref.engine.direct.types import Resource
from torvyn_ref.engine.imports import HostInterface, split_version
from torvyn_ref.engine.interfaces import GRANT_IMPORTS, GUEST_IMPORTS
from torvyn_ref.engine.limits import EpochTicker
from torvyn_ref.engine.protocol import ComponentShape, Sandbox
from torvyn_ref.engine.sandboxed import SandboxedInstance
from torvyn_ref.engine.stock import StockCompiled, StockEngine
from torvyn_ref.engine.stock_link import HOST_INTERFACES
from torvyn_ref.errors import TorvynError
from torvyn_ref.security.grants import CapabilitySet

_NAME: Final = "direct"


class DirectEngine:
    """Compiles components for direct execution.

    Args:
        threaded, cache: as in `StockEngine`.

    Attributes:
        stock: what validates; engine and ticker are the same.
    """

    name = _NAME

    def __init__(self, *, threaded: bool = True, cache: CompileCache | None = None) -> None:
        self.stock = StockEngine(threaded=threaded, cache=cache)

    def compile(self, component: bytes, *, where: str) -> DirectCompiled:
        """Validate with wasmtime, then read, plan and compile.

        Raises:
            TorvynError: engine/invalid-component, naming `where`; engine/unsupported-component for a valid one whose shape this engine does
                not implement, naming the shape.
        """
        return self.prepare(self.stock.compile(component, where=where), component, where=where)

    def prepare(self, validated: StockCompiled, component: bytes, *, where: str) -> DirectCompiled:
        """Read, plan and compile a component that wasmtime has validated.

        Raises:
            TorvynError: engine/unsupported-component, engine/engines-disagree.
        """
        try:
            plan = Planner(self.stock.compiler.module).plan(read(component))
        except Unsupported as shape:
            raise TorvynError(
                "engine",
                "unsupported-component",
                f"the direct engine does not implement {shape}",
                where=where,
                hint='use engine = "auto" or "stock"',
                shape=str(shape),
            ) from None
        except Malformed as problem:
            raise TorvynError(
                "engine",
                "engines-disagree",
                f"wasmtime accepts the component and the direct engine cannot read it: {problem}",
                where=where,
                hint="please report it, with the component",
            ) from None
        return DirectCompiled(validated, plan, self.stock)

    def tick(self) -> None:
        """Let one period pass for every running guest (`limits.PERIOD_MS`)."""
        self.stock.tick()

    def close(self) -> None:
        """Stop the ticker; idempotent."""
        self.stock.close()


class DirectCompiled:
    """A component ready for direct instances."""

    engine_name = _NAME
    fallback_reason = None

    def __init__(self, validated: StockCompiled, plan: Plan, engine: StockEngine) -> None:
        self._validated = validated
        self._plan = plan
        self._engine = engine

    @property
    def shape(self) -> ComponentShape:
        """Return the imports and exports."""
        return self._validated.shape

    def instantiate(self, role: Role, sandbox: Sandbox) -> DirectInstance:
        """Make an instance in a store of its own.

        Raises:
            TorvynError: as `StockCompiled.instantiate`.
        """
        exports = self._validated.checked_exports(role, sandbox)
        instance = DirectInstance(
            self._engine.wasm_engine, self._engine.ticker, sandbox, role, has_lifecycle=any(Call.INIT in calls for _, calls in exports)
        )
        try:
            instance.start(self._plan, exports)
        except BaseException as error:
            instance.close()
            sandbox.buffers.force_reclaim(sandbox.owner)
            failure = trap_failure(error.fault if isinstance(error, BreachError) else error)
            if failure is None:
                raise
            raise self._validated.instantiation_failed(failure) from error
        return instance


class DirectInstance(SandboxedInstance):
    """A component whose core modules run by themselves, with the canonical ABI in Python."""

    def __init__(self, engine: wasmtime.Engine, ticker: EpochTicker, sandbox: Sandbox, role: Role, *, has_lifecycle: bool) -> None:
        super().__init__(engine, ticker, sandbox, role, has_lifecycle=has_lifecycle)
        self._capabilities = sandbox.capabilities
        self._guest.defers = True
        self._bound: Bound | None = None

    def start(self, plan: Plan, exports: list[tuple[str, tuple[Call, ...]]]) -> None:
        """Instantiate under the limits of a call.

        Raises:
            WasmtimeError: what wasmtime says.
            BaseException: what a host function raised while start functions ran.
        """
        self._entered = True
        self._begin()
        try:
            self._bound = Bound(plan, self._store, self._host_call, self._destructors(plan))
        finally:
            self._end()
            self._entered = False
        self._functions = {call: ENTER[call](self._guest, self._bound.calls[name][call]) for name, calls in exports for call in calls}

    @property
    def memory_bytes(self) -> int | None:
        """Return the size of the guest's linear memories, None once it is closed; the stock engine cannot tell."""
        return None if self._bound is None else self._bound.memory_bytes

    def _failure_of(self, error: BaseException) -> Failure | None:
        return trap_failure(error.fault if isinstance(error, BreachError) else error)

    def _release(self) -> None:
        self._functions = {}
        if self._bound is not None:
            self._bound.release()
            self._bound = None

    # ---- host functions

    def _host_call(self, function: HostFunction) -> Callable[..., Any]:
        interface = _interface(function.interface)
        does = next(known.does for known in interface.functions if known.name == function.name)
        return partial(does, self._server(interface))

    def _server(self, interface: HostInterface) -> object:
        if interface.name in GUEST_IMPORTS:
            return self._guest
        return CapabilitySet.of(self._capabilities) if interface.name in GRANT_IMPORTS else self._wasi

    def _destructors(self, plan: Plan) -> Mapping[Resource, Callable[[int], object]]:
        found: dict[Resource, Callable[[int], object]] = {}
        for resource in plan.resources:
            if resource.interface is not None:
                interface = _interface(resource.interface)
                if resource.name not in interface.resources:
                    raise NoSuchResource(f"import `{resource.name}` has the wrong type: {interface.name} has no such resource")
                found[resource] = partial(interface.resources[resource.name], self._server(interface))
        return found


def _interface(name: str) -> HostInterface:
    return HOST_INTERFACES[split_version(name)[0]]

"""The stock engine: wasmtime's own component API, one store per instance.

It is the oracle: slow with bytes, and nobody's interpretation but wasmtime's. What it guards, because the API does not (facts/engine.md):
exceptions that Python must not lose, handles that only the host's tables know to be good, integers that would wrap, calls that come back
in, and stores that a trap has poisoned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import wasmtime
from wasmtime import WasmtimeError, component
from wasmtime.component import Component, Linker, ResourceHost

from torvyn_ref.calls import Call, Cause, Element, Failure, Role, Signal
from torvyn_ref.engine.compilecache import CompileCache
from torvyn_ref.engine.compiler import Compiler
from torvyn_ref.engine.guest import CONTEXT_REP
from torvyn_ref.engine.imports import in_series, split_version
from torvyn_ref.engine.interfaces import LIFECYCLE, ROLE_EXPORTS, SERIES, GuestInterface
from torvyn_ref.engine.limits import EpochTicker
from torvyn_ref.engine.protocol import ComponentShape, Sandbox
from torvyn_ref.engine.sandboxed import Enter, SandboxedInstance
from torvyn_ref.engine.stock_answers import DECODE, failure_of, root_cause
from torvyn_ref.engine.stock_link import RESOURCE_IDS, Border, Plan, link, make_plan, wrong_type
from torvyn_ref.engine.stock_types import Resources, record
from torvyn_ref.errors import TorvynError, raise_all

_MAGIC: Final = b"\0asm"
_CORE_MODULE: Final = b"\x01\x00\x00\x00"
_BUFFER: Final = RESOURCE_IDS["buffer"]
_CONTEXT: Final = RESOURCE_IDS["flow-context"]

_NAME: Final = "stock"


class StockEngine:
    """Compiles components with wasmtime and runs each instance in a store of its own.

    Args:
        threaded: False starts no ticker thread; time then passes for guests only when `tick` is called.
        cache: keeps compiled code between runs; None compiles afresh in every run.
    """

    name = _NAME

    def __init__(self, *, threaded: bool = True, cache: CompileCache | None = None) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        config.epoch_interruption = True
        config.cranelift_nan_canonicalization = True  # the same bits on every machine, and from run to run
        config.wasm_relaxed_simd_deterministic = True
        self.wasm_engine = wasmtime.Engine(config)
        self.ticker = EpochTicker(self.wasm_engine.increment_epoch, threaded=threaded)
        self.compiler = Compiler(self.wasm_engine, cache)

    def compile(self, component: bytes, *, where: str) -> StockCompiled:
        """Compile a component's bytes; text is refused, whatever wasmtime-py would make of it.

        Raises:
            TorvynError: engine/invalid-component, naming `where`.
        """
        problem = _not_a_component(component)
        if problem is None:
            try:
                compiled = self.compiler.component(component)
            except WasmtimeError as error:
                problem = root_cause(error)
            else:
                return StockCompiled(self.wasm_engine, self.ticker, compiled, where)
        raise TorvynError(
            "engine",
            "invalid-component",
            f"this is not a WebAssembly component that can run: {problem}",
            where=where,
            hint="build it again with a component toolchain, or fetch it again if it was cut short",
        )

    def tick(self) -> None:
        """Let one period pass for every running guest (`limits.PERIOD_MS`)."""
        self.ticker.tick()

    def close(self) -> None:
        """Stop the ticker; idempotent. Instances still open must be closed by their owners."""
        self.ticker.close()
        self.compiler.forget()


def _not_a_component(data: bytes) -> str | None:
    if data[:4] != _MAGIC:
        return "it does not begin like WebAssembly" if data else "it is empty"
    if data[4:8] == _CORE_MODULE:
        return "it is a core module; a component toolchain makes a component of it"
    return None


@dataclass(frozen=True, slots=True)
class _Export:
    """An exported interface that this runtime calls: its name in the binary, and its functions that have the contract's type."""

    name: str
    calls: tuple[Call, ...]


class StockCompiled:
    """A compiled component. What it imports and exports is read once."""

    engine_name = _NAME
    fallback_reason = None

    def __init__(self, engine: wasmtime.Engine, ticker: EpochTicker, compiled: Component, where: str) -> None:
        self._engine = engine
        self._ticker = ticker
        self._component = compiled
        self._where = where
        ty = compiled.type
        imports = ty.imports(engine)
        self._exports = ty.exports(engine)
        self.shape = ComponentShape(tuple(imports), tuple(self._exports))
        self._plan, self._resources = make_plan(imports, engine, where)
        self._found: dict[GuestInterface, tuple[_Export | None, tuple[TorvynError, ...]]] = {}

    def instantiate(self, role: Role, sandbox: Sandbox) -> StockInstance:
        """Make an instance in a store of its own.

        Raises:
            TorvynError: engine/missing-import and engine/missing-export, engine/wrong-type, all of them together; then
                engine/instantiation-failed. Nothing is left behind.
        """
        exports = self.checked_exports(role, sandbox)
        has_lifecycle = any(Call.INIT in calls for _, calls in exports)
        instance = StockInstance(self._engine, self._ticker, sandbox, role, has_lifecycle=has_lifecycle)
        try:
            instance.start(self._component, self._plan, exports)
        except BaseException as error:
            instance.close()
            sandbox.buffers.force_reclaim(sandbox.owner)
            if isinstance(error, WasmtimeError):
                raise self.instantiation_failed(failure_of(error, instance.border.fault)) from error
            raise
        return instance

    def checked_exports(self, role: Role, sandbox: Sandbox) -> list[tuple[str, tuple[Call, ...]]]:
        """Check everything that stands between the component and an instance; return the interfaces to call, with their functions.

        Raises:
            TorvynError: engine/missing-import, engine/missing-export and engine/wrong-type, all of them together.
        """
        main, errors = self._export(ROLE_EXPORTS[role], required=True)
        lifecycle, more = self._export(LIFECYCLE, required=False)
        raise_all((*self._plan.problems(sandbox.capabilities, self._where), *errors, *more))
        return [(export.name, export.calls) for export in (main, lifecycle) if export is not None]

    def _export(self, interface: GuestInterface, *, required: bool) -> tuple[_Export | None, tuple[TorvynError, ...]]:
        if interface not in self._found:
            self._found[interface] = self._find(interface, required=required)
        return self._found[interface]

    def _find(self, interface: GuestInterface, *, required: bool) -> tuple[_Export | None, tuple[TorvynError, ...]]:
        named = [(name, *split_version(name)) for name in self._exports]
        for wanted in interface.names:
            for name, bare, version in named:
                if bare == wanted and in_series(version, SERIES):
                    return self._check(name, interface, self._resources)
        near = [name for name, bare, _ in named if bare in interface.names]
        if not required and not near:
            return None, ()
        return None, (self._missing_export(f"{interface.names[0]}@{SERIES}.x", near),)

    def _check(self, name: str, interface: GuestInterface, resources: Resources) -> tuple[_Export | None, tuple[TorvynError, ...]]:
        ty = self._exports[name].ty
        exports = ty.exports(self._engine) if isinstance(ty, component.ComponentInstanceType) else {}
        errors: list[TorvynError] = []
        for call, signature in interface.functions.items():
            item = exports[call].ty if call in exports else None
            if not isinstance(item, component.FuncType):
                errors.append(self._missing_export(f"{name} {call}", []))
            elif (wrong := wrong_type(item, signature, resources, self._where, f"export {name} {call}")) is not None:
                errors.append(wrong)
        return (None, tuple(errors)) if errors else (_Export(name, tuple(interface.functions)), ())

    def _missing_export(self, name: str, near: list[str]) -> TorvynError:
        found = ", ".join(near or self.shape.exports) or "nothing"
        return TorvynError(
            "engine",
            "missing-export",
            f"the component does not export {name}; it exports {found}",
            where=self._where,
            hint="check the role that the flow gives it, and the contract version that it was built for",
            name=name,
        )

    def instantiation_failed(self, failure: Failure) -> TorvynError:
        """Say that an instance could not be made."""
        return TorvynError(
            "engine",
            "instantiation-failed",
            f"the component could not be instantiated: {failure.message}",
            where=self._where,
            hint="raise its limits" if failure.cause in {Cause.MEMORY, Cause.FUEL, Cause.TIMEOUT} else None,
            cause=str(failure.cause),
        )


class StockInstance(SandboxedInstance):
    """A component behind wasmtime's component API."""

    def __init__(self, engine: wasmtime.Engine, ticker: EpochTicker, sandbox: Sandbox, role: Role, *, has_lifecycle: bool) -> None:
        super().__init__(engine, ticker, sandbox, role, has_lifecycle=has_lifecycle)
        self.border = Border(self._guest, self._wasi, sandbox.capabilities)
        self._linker = Linker(engine)

    def start(self, compiled: Component, plan: Plan, exports: list[tuple[str, tuple[Call, ...]]]) -> None:
        """Link, instantiate under the limits of a call, and look the functions up.

        Raises:
            WasmtimeError: what wasmtime says.
            BaseException: what a host function raised while start functions ran.
        """
        link(self._linker, plan, self.border)
        self._entered = True
        self._begin()
        try:
            instance = self._linker.instantiate(self._store, compiled)
        except WasmtimeError:
            if self.border.raised is not None:
                raise self.border.raised from None
            raise
        finally:
            self._end()
            self._entered = False
        for name, calls in exports:
            interface = instance.get_export_index(self._store, name)
            for call in calls:
                index = instance.get_export_index(self._store, call, interface)
                function = instance.get_func(self._store, index) if index is not None else None
                assert function is not None, f"{name} {call} was there when the component was checked"
                self._functions[call] = self._entering(call, function)

    def _entering(self, call: Call, function: Callable[..., Any]) -> Enter:
        store, guest, lower, decode = self._store, self._guest, self._lower, DECODE[call]
        return lambda argument: decode(store, guest, function(store, *lower(argument)))

    def _failure_of(self, error: BaseException) -> Failure | None:
        if not isinstance(error, WasmtimeError):
            return None
        if self.border.raised is not None:
            self._dead = failure_of(error, self.border.fault)
            raise self.border.raised from None
        return failure_of(error, self.border.fault)

    def _release(self) -> None:
        self._functions = {}
        self._linker.close()

    def _lower(self, argument: Element | Signal | str | None) -> tuple[Any, ...]:
        if argument is None:
            return ()
        if not isinstance(argument, Element):
            return (str(argument),)
        meta = (("sequence", argument.sequence), ("timestamp-ns", argument.timestamp_ns), ("content-type", argument.content_type))
        payload = ResourceHost.borrow(self._guest.lend(argument.handle), _BUFFER)
        context = ResourceHost.borrow(CONTEXT_REP, _CONTEXT)
        return (record((("meta", record(meta)), ("payload", payload), ("context", context))),)

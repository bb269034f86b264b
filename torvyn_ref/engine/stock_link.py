"""Linking by hand: what a component imports against what its sandbox provides, checked first, then defined function by function.

wasmtime's linker takes host functions without types and matches versions by semver; both are too kind. Here every imported function's
type is compared with the contract's, and every version with the series provided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol

import wasmtime
from wasmtime import WasmtimeError, component
from wasmtime.component import Linker, LinkerInstance, ResourceType

from torvyn_ref.engine.guest import GuestHost
from torvyn_ref.engine.imports import GuestFault, HostFunction, HostInterface, WitError, in_series, split_version
from torvyn_ref.engine.interfaces import GRANT_IMPORTS, GUEST_IMPORTS, TORVYN_IMPORTS
from torvyn_ref.engine.stock_types import Describer, InStore, Lift, Lower, Resources, TooLargeTypeError, lifting, returning
from torvyn_ref.errors import TorvynError
from torvyn_ref.security.grants import CapabilitySet
from torvyn_ref.wasi import WASI_IMPORTS, WasiHost, capability_for

HOST_INTERFACES: Mapping[str, HostInterface] = {**TORVYN_IMPORTS, **WASI_IMPORTS}

Host = GuestHost | CapabilitySet | WasiHost
"""What host functions work on."""

RESOURCE_IDS: Mapping[str, int] = {
    name: number for number, name in enumerate(chain.from_iterable(interface.resources for interface in HOST_INTERFACES.values()), start=1)
}
"""The number by which wasmtime tells a resource's type. Names are unique among the interfaces provided."""


class Extern(Protocol):
    """An import or export as wasmtime-py describes it (its class is not public)."""

    @property
    def ty(self) -> object:
        """Return the item's type."""
        ...


@dataclass(frozen=True, slots=True)
class PlannedFunction:
    """One imported function, with its conversions."""

    function: HostFunction
    lifts: tuple[Lift | None, ...]
    ok: Lower
    err: Callable[[WitError], Any]


@dataclass(frozen=True, slots=True)
class PlannedInterface:
    """One imported interface, under the name by which the component imports it."""

    import_name: str
    interface: HostInterface
    functions: tuple[PlannedFunction, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be linked for a component, and what cannot be."""

    interfaces: tuple[PlannedInterface, ...]
    errors: tuple[TorvynError, ...]

    def problems(self, capabilities: frozenset[str], where: str) -> Iterator[TorvynError]:
        """Yield every reason for which a sandbox with these grants cannot run the component."""
        yield from self.errors
        for planned in self.interfaces:
            capability = planned.interface.capability
            if capability is not None and capability not in capabilities:
                yield _missing(where, planned.import_name, f"grant {capability}", capability=str(capability))


class Border:
    """What host functions of one instance share with its calls: the host objects, and what was raised on the way.

    It knows neither the store nor the instance: wasmtime-py keeps callbacks in a table of the process, and what they hold lives as long.
    """

    def __init__(self, guest: GuestHost, wasi: WasiHost, capabilities: frozenset[str]) -> None:
        self._guest = guest
        self._wasi = wasi
        self._capabilities = capabilities
        self.fault: GuestFault | None = None
        self.raised: BaseException | None = None

    def host(self, interface: HostInterface) -> Host:
        """Return the object that serves an interface."""
        if interface.name in GUEST_IMPORTS:
            return self._guest
        return CapabilitySet.of(self._capabilities) if interface.name in GRANT_IMPORTS else self._wasi

    def stop(self, reason: BaseException) -> WasmtimeError:
        """Remember why a host function did not return, and say what ends the call inside wasmtime.

        KeyboardInterrupt and SystemExit are swallowed by ctypes, and other exceptions pass through a global of wasmtime-py: neither may
        see them.
        """
        if isinstance(reason, GuestFault):
            self.fault = reason
        else:
            self.raised = reason
        return WasmtimeError("the host ended the call")


def make_plan(imports: Mapping[str, Extern], engine: wasmtime.Engine, where: str) -> tuple[Plan, Resources]:
    """Compare a component's imports with the interfaces that this runtime has, grants aside."""
    resources = Resources(RESOURCE_IDS)
    items = {name: _items(extern, engine) for name, extern in imports.items()}
    for name, exports in items.items():
        if split_version(name)[0] in HOST_INTERFACES:
            for exported, item in exports.items():
                if isinstance(item, ResourceType):
                    resources.learn(exported, item)
    interfaces: list[PlannedInterface] = []
    errors: list[TorvynError] = []
    for name, exports in items.items():
        bare, version = split_version(name)
        interface = HOST_INTERFACES.get(bare)
        if interface is None or not in_series(version, interface.series):
            errors.append(_missing(where, name, _hint(name, interface)))
            continue
        functions, wrong = _functions(name, interface, exports, resources, where)
        interfaces.append(PlannedInterface(name, interface, tuple(functions)))
        errors.extend(wrong)
    return Plan(tuple(interfaces), tuple(errors)), resources


def link(linker: Linker, plan: Plan, border: Border) -> None:
    """Define everything that a plan lists."""
    with linker.root() as root:
        for planned in plan.interfaces:
            with root.add_instance(planned.import_name) as instance:
                _define(instance, planned, border.host(planned.interface), border)


def _define(instance: LinkerInstance, planned: PlannedInterface, host: Host, border: Border) -> None:
    for name, drop in planned.interface.resources.items():
        instance.add_resource(name, ResourceType.host(RESOURCE_IDS[name]), _destructor(partial(drop, host), border))
    for function in planned.functions:
        instance.add_func(function.function.name, _callback(function, host, border))


def _destructor(drop: Callable[[int], None], border: Border) -> Callable[[InStore, int], None]:
    def dropped(_store: InStore, rep: int) -> None:
        try:
            drop(rep)
        except BaseException as error:  # noqa: BLE001 - it must not reach ctypes; the call raises it again outside
            raise border.stop(error) from None

    return dropped


def _callback(planned: PlannedFunction, host: Host, border: Border) -> Callable[..., Any]:
    does, lifts, ok, err = partial(planned.function.does, host), planned.lifts, planned.ok, planned.err

    def called(store: InStore, *arguments: Any) -> Any:
        try:
            plain = [argument if lift is None else lift(store, argument) for lift, argument in zip(lifts, arguments, strict=True)]
            return ok(does(*plain))
        except WitError as refused:
            return err(refused)
        except WasmtimeError:
            raise
        except BaseException as error:  # noqa: BLE001 - it must not reach ctypes; the call raises it again outside
            raise border.stop(error) from None

    return called


def _items(extern: Extern, engine: wasmtime.Engine) -> dict[str, object]:
    ty = extern.ty
    if not isinstance(ty, component.ComponentInstanceType):
        return {}
    return {name: exported.ty for name, exported in ty.exports(engine).items()}


def _functions(
    name: str, interface: HostInterface, exports: Mapping[str, object], resources: Resources, where: str
) -> tuple[list[PlannedFunction], list[TorvynError]]:
    known = {function.name: function for function in interface.functions}
    planned: list[PlannedFunction] = []
    errors: list[TorvynError] = []
    for exported, item in exports.items():
        if not isinstance(item, component.FuncType):
            continue
        function = known.get(exported)
        if function is None:
            errors.append(_missing(where, f"{name} {exported}", f"this runtime's {interface.name} has no such function"))
            continue
        wrong = wrong_type(item, interface.signature(function), resources, where, f"import {name} {exported}")
        if wrong is not None:
            errors.append(wrong)
            continue
        ok, err = returning(item.result, resources)
        planned.append(PlannedFunction(function, tuple(lifting(ty) for _, ty in item.params), ok, err))
    return planned, errors


def wrong_type(function: component.FuncType, expected: str, resources: Resources, where: str, what: str) -> TorvynError | None:
    """Return the error engine/wrong-type unless a function's type is the expected one."""
    try:
        found = Describer(resources).function(function)
    except TooLargeTypeError:
        found = "a type larger than any of the contract"
    if found == expected:
        return None
    return TorvynError(
        "engine",
        "wrong-type",
        f"{what} has another type than the contract's: expected {expected}, found {found}",
        where=where,
        hint="build the component against this contract's WIT",
        expected=expected,
        found=found,
    )


def _missing(where: str, name: str, hint: str, **fields: Any) -> TorvynError:
    return TorvynError(
        "engine",
        "missing-import",
        f"the component imports {name}, which its sandbox does not provide",
        where=where,
        hint=hint,
        name=name,
        **fields,
    )


def _hint(name: str, interface: HostInterface | None) -> str:
    bare = split_version(name)[0]
    if interface is not None:
        return f"this runtime provides {bare} in versions {interface.series}.x"
    try:
        kinds = capability_for(name)
    except KeyError:
        return "no interface of this runtime has this name"
    return f"needs capability {' or '.join(kinds)}, which this runtime does not implement yet"

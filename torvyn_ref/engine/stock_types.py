"""wasmtime's component types as WIT text, and values across their border: how the stock engine checks and converts.

wasmtime-py leaves results, options and variants untagged where the Python classes of their cases do not overlap. Which shape a type takes
is worked out here once per function, from the type itself, by the same rule (`ValType.add_classes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wasmtime import Store, StoreContext, component
from wasmtime.component import ResourceHost, ResourceType, ValType, Variant

from torvyn_ref.engine.imports import WitError
from torvyn_ref.ids import U32_MAX, U64_MAX

MOST_NODES = 500
"""How much of a type is looked at. Torvyn's and WASI's largest have about 40 parts; a hostile one may have a million."""

_PRIMITIVE: Mapping[type, str] = {
    component.Bool: "bool",
    component.S8: "s8",
    component.S16: "s16",
    component.S32: "s32",
    component.S64: "s64",
    component.U8: "u8",
    component.U16: "u16",
    component.U32: "u32",
    component.U64: "u64",
    component.F32: "f32",
    component.F64: "f64",
    component.Char: "char",
    component.String: "string",
}


class Resources:
    """The resources a component's imports name, and the ids that this runtime gives them in its stores."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = ids
        self._known: list[tuple[ResourceType, str]] = []

    def learn(self, name: str, resource: ResourceType) -> None:
        """Remember that an imported interface calls this resource `name`."""
        if name in self._ids and self.name(resource) is None:
            self._known.append((resource, name))

    def name(self, resource: ResourceType) -> str | None:
        """Return what the imports call a resource; None for one that they do not mention."""
        return next((name for known, name in self._known if known == resource), None)

    def id(self, resource: ResourceType) -> int:
        """Return the id of a resource that has a name."""
        name = self.name(resource)
        assert name is not None
        return self._ids[name]


class TooLargeTypeError(Exception):
    """A type with more parts than any that this runtime knows."""


class Describer:
    """Renders types as WIT text, structurally: only resources keep their names."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._left = MOST_NODES

    def function(self, function: component.FuncType) -> str:
        """Render a function's type, such as `func(offset: u64) -> list<u8>`.

        Raises:
            TooLargeTypeError: above `MOST_NODES` parts.
        """
        self._left = MOST_NODES
        parameters = ", ".join(f"{name}: {self._type(ty)}" for name, ty in function.params)
        result = function.result
        return f"func({parameters})" + (f" -> {self._type(result)}" if result is not None else "")

    def _type(self, ty: ValType | None) -> str:
        self._left -= 1
        if self._left < 0:
            raise TooLargeTypeError
        if ty is None:
            return "_"
        if (primitive := _PRIMITIVE.get(type(ty))) is not None:
            return primitive
        match ty:
            case component.ListType():
                return f"list<{self._type(ty.element)}>"
            case component.OptionType():
                return f"option<{self._type(ty.payload)}>"
            case component.ResultType():
                return self._result(ty.ok, ty.err)
            case component.TupleType():
                return f"tuple<{', '.join(self._type(element) for element in ty.elements)}>"
            case component.RecordType():
                return f"record{{{', '.join(f'{name}: {self._type(field)}' for name, field in ty.fields)}}}"
            case component.VariantType():
                return f"variant{{{', '.join(self._case(name, payload) for name, payload in ty.cases)}}}"
            case component.EnumType():
                return f"enum{{{', '.join(ty.names)}}}"
            case component.FlagsType():
                return f"flags{{{', '.join(ty.names)}}}"
            case component.OwnType():
                return f"own<{self._resources.name(ty.ty) or '?'}>"
            case component.BorrowType():
                return f"borrow<{self._resources.name(ty.ty) or '?'}>"
            case _:
                return type(ty).__name__.removesuffix("Type").lower()  # stream, future, error-context: nothing here has them

    def _result(self, ok: ValType | None, err: ValType | None) -> str:
        if ok is None and err is None:
            return "result"
        return f"result<{self._type(ok)}, {self._type(err)}>" if err is not None else f"result<{self._type(ok)}>"

    def _case(self, name: str, payload: ValType | None) -> str:
        return name if payload is None else f"{name}({self._type(payload)})"


InStore = Store | StoreContext
"""What a value is read from: a store outside of calls, its context inside them."""

Lift = Callable[[InStore, Any], Any]
Lower = Callable[[Any], Any]


def lifting(ty: ValType) -> Lift | None:
    """Return how an argument that a guest passes becomes a plain value; None when it is one already.

    A handle must be resolved to its rep in any case: a borrow that the host never looks at fails the guest's call (facts/engine.md 2).
    """
    match ty:
        case component.OwnType() | component.BorrowType():
            return _rep
        case component.ListType() if isinstance(ty.element, component.OwnType | component.BorrowType):
            return lambda store, handles: [_rep(store, handle) for handle in handles]
        case _:
            return None


def _rep(store: InStore, handle: component.ResourceAny) -> int:
    return handle.to_host(store).rep


def lowering(ty: ValType | None, resources: Resources) -> Lower:
    """Return how a plain value becomes what wasmtime-py takes for `ty`, its range checked: wasmtime-py would wrap it silently."""
    match ty:
        case component.U64():
            return _in_range(U64_MAX)
        case component.U32():
            return _in_range(U32_MAX)
        case component.OwnType():
            number = resources.id(ty.ty)
            return lambda rep: ResourceHost.own(rep, number)
        case component.RecordType():
            fields = [(name, lowering(field, resources)) for name, field in ty.fields]
            return lambda values: record((name, lower(value)) for (name, lower), value in zip(fields, values, strict=True))
        case component.ListType() if not isinstance(ty.element, component.U8):
            element = lowering(ty.element, resources)
            return lambda values: [element(value) for value in values]
        case _:
            return _same


def returning(ty: ValType | None, resources: Resources) -> tuple[Lower, Callable[[WitError], Any]]:
    """Return how a host function's plain answer, and its `WitError`, become what wasmtime-py takes for its result type."""
    if not isinstance(ty, component.ResultType):
        return lowering(ty, resources), _no_error
    ok = lowering(ty.ok, resources)
    err = _variant(ty.err, resources)
    if not _tagged((ty.ok, ty.err)):
        return ok, err
    return (lambda value: Variant("ok", ok(value))), (lambda error: Variant("err", err(error)))


def _variant(ty: ValType | None, resources: Resources) -> Callable[[WitError], Any]:
    if not isinstance(ty, component.VariantType):
        return _no_error
    cases = {name: lowering(payload, resources) for name, payload in ty.cases}
    if _tagged(payload for _, payload in ty.cases):
        return lambda error: Variant(error.case, cases[error.case](error.payload))
    return lambda error: cases[error.case](error.payload)


def _no_error(error: WitError) -> Any:
    raise error  # a host function whose type has no error raised one: the host's defect


def _tagged(cases: Iterable[ValType | None]) -> bool:
    """Tell whether wasmtime-py tags a choice between these payloads: whether two of them may be of the same Python class."""
    seen: set[type] = set()
    for payload in cases:
        classes: set[type] = set()
        if payload is None:
            classes.add(object)
        else:
            payload.add_classes(classes)
        if classes & seen:
            return True
        seen |= classes
    return False


def _same(value: Any) -> Any:
    return value


def _in_range(most: int) -> Lower:
    def lower(value: Any) -> Any:
        if not 0 <= value <= most:
            raise OverflowError(f"{value} does not fit in 0..{most}")
        return value

    return lower


def record(fields: Iterable[tuple[str, Any]]) -> component.Record:
    """Return wasmtime-py's value of a WIT record; fields keep their kebab-case names."""
    value = component.Record()
    for name, content in fields:
        setattr(value, name, content)
    return value

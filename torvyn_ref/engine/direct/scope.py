"""Index spaces, and component types evaluated in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torvyn_ref.engine.direct.definitions import Definition, RawType
from torvyn_ref.engine.direct.errors import Unsupported
from torvyn_ref.engine.direct.types import Case, Choice, Flags, Function, Handle, Record, Resource, Scalar, Sequence_, Text, Type


class Scope:
    """The index spaces of one component, or of one instance type.

    Attributes:
        exports: what a component exports: sort and value, by name.
    """

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.exports: dict[str, tuple[str, Any]] = {}
        self._spaces: dict[str, list[Any]] = {}

    def add(self, sort: str, value: Any) -> None:
        """Give a value the next index of its sort."""
        self._spaces.setdefault(sort, []).append(value)

    def get(self, sort: str, index: int) -> Any:
        """Return what has an index.

        Raises:
            Unsupported: nothing has.
        """
        space = self._spaces.get(sort, [])
        if index >= len(space):
            raise Unsupported(f"a {sort} with index {index}, of {len(space)}")
        return space[index]

    def up(self, count: int) -> Scope:
        """Return the scope that many components further out.

        Raises:
            Unsupported: there are not as many.
        """
        scope: Scope | None = self
        while count and scope is not None:
            scope, count = scope.outer, count - 1
        if scope is None:
            raise Unsupported("an outer alias beyond the outermost component")
        return scope


class Declared(NamedTuple):
    """An instance or component type: its declarations, and where they look outwards."""

    kind: str
    declarations: Sequence[Definition]
    scope: Scope


class DeclaredResource(NamedTuple):
    """A resource type that a component defines: the index of its destructor, a core function."""

    destructor: int | None


class Unimplemented(NamedTuple):
    """A type that this engine does not implement, and why."""

    reason: str


def evaluated(raw: RawType, scope: Scope) -> Function | Declared | DeclaredResource | Type:
    """Return what a type definition defines.

    Raises:
        Unsupported: a type that this engine does not implement, by name.
    """
    kind = raw[0]
    if kind == "func":
        names = tuple(name for name, _ in raw[1])
        result = None if raw[2] is None else _part(raw[2], scope)
        return Function(names, tuple(_part(part, scope) for _, part in raw[1]), result)
    if kind in {"instance", "component"}:
        return Declared(kind, raw[1], scope)
    if kind == "resource":
        return DeclaredResource(raw[1])
    return _value_type(raw, scope)


def _part(part: int | str, scope: Scope) -> Type:
    if isinstance(part, str):
        return Text() if part == "string" else Scalar(part)
    ty = scope.get("type", part)
    if isinstance(ty, Unimplemented):
        raise Unsupported(ty.reason)
    if not isinstance(ty, Type):
        raise Unsupported("a type index that leads to no value type")
    return ty


def _value_type(raw: RawType, scope: Scope) -> Type:
    kind, *parts = raw
    match kind:
        case "primitive":
            return _part(parts[0], scope)
        case "record":
            return Record([_part(part, scope) for _, part in parts[0]], [name for name, _ in parts[0]])
        case "tuple":
            return Record([_part(part, scope) for part in parts[0]])
        case "list":
            return Sequence_(_part(parts[0], scope))
        case "flags":
            return Flags(parts[0])
        case "own" | "borrow":
            resource = scope.get("type", parts[0])
            if not isinstance(resource, Resource):
                raise Unsupported(f"{kind} of what is no resource")
            return Handle(resource, owned=kind == "own")
    return Choice(kind, _cases(kind, parts, scope))


def _cases(kind: str, parts: Sequence[Any], scope: Scope) -> list[Case]:
    def payload(part: int | str | None) -> Type | None:
        return None if part is None else _part(part, scope)

    match kind:
        case "variant":
            return [Case(name, payload(part)) for name, part in parts[0]]
        case "enum":
            return [Case(name, None) for name in parts[0]]
        case "option":
            return [Case("none", None), Case("some", payload(parts[0]))]
        case "result":
            return [Case("ok", payload(parts[0])), Case("err", payload(parts[1]))]
        case _:
            raise Unsupported(f"a type {kind!r} where a value type belongs")

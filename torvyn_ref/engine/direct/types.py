"""Component value types with their canonical layout: size, alignment and flattened core types (Component Model, "Canonical ABI").

`str()` of a type is its WIT text, expanded, with resources by name: two types are equal when, and only when, their texts are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torvyn_ref.engine.direct.errors import Unsupported

MOST_FLAT_PARAMETERS = 16
MOST_FLAT_RESULTS = 1

MOST_EXTENT = 1 << 15
"""Of one type: types form a graph, whose expansion, and the code for it, may be exponentially larger than the binary."""
MOST_DEPTH = 16
"""Types in a type; Python nests neither loops nor parentheses without end."""

SCALARS = {
    # name: size, core type, struct code
    "bool": (1, "i32", "B"),
    "s8": (1, "i32", "b"),
    "u8": (1, "i32", "B"),
    "s16": (2, "i32", "h"),
    "u16": (2, "i32", "H"),
    "s32": (4, "i32", "i"),
    "u32": (4, "i32", "I"),
    "s64": (8, "i64", "q"),
    "u64": (8, "i64", "Q"),
    "f32": (4, "f32", "f"),
    "f64": (8, "f64", "d"),
    "char": (4, "i32", "I"),
}


def align_to(offset: int, alignment: int) -> int:
    """Return the first multiple of `alignment` at or after `offset`."""
    return (offset + alignment - 1) // alignment * alignment


@dataclass(eq=False)
class Resource:
    """A resource type; identity is what counts.

    Attributes:
        name: for errors and type texts.
        interface: the imported interface that defines it; None for the component's own.
        destructor: of an own resource, in the plan's terms; None when it has none.
        lent_tag, owned_tag: how glue tells a handle that it may drop by itself (`glue`); 0 where the host has to be asked at once.
    """

    name: str
    interface: str | None = None
    destructor: object | None = None
    lent_tag: int = 0
    owned_tag: int = 0

    @property
    def is_own(self) -> bool:
        """Tell whether the component itself defines it."""
        return self.interface is None


class Type:
    """A value type.

    Attributes:
        size, alignment: in memory, in bytes.
        flat: its core types when passed flat.
        is_fixed: it has the same fields whatever its value (no case to choose).
        allocates: lowering it takes guest memory (strings and lists inside).
        parts: the types directly inside.
        extent: how long its text is, about, in characters.
        depth: types inside each other.
    """

    size: int
    alignment: int
    flat: tuple[str, ...]
    is_fixed = True
    allocates = False
    parts: tuple[Type, ...] = ()
    extent = 8
    depth = 1

    def _bound(self, parts: Sequence[Type], names: Sequence[str] = ()) -> None:
        """Note what is inside.

        Raises:
            Unsupported: too much of it.
        """
        self.parts = tuple(parts)
        self.extent = 8 + sum(part.extent for part in parts) + sum(8 + len(name) for name in names)
        self.depth = 1 + max((part.depth for part in parts), default=0)
        if self.extent > MOST_EXTENT:
            raise Unsupported(f"a type whose text is longer than {MOST_EXTENT} characters")
        if self.depth > MOST_DEPTH:
            raise Unsupported(f"more than {MOST_DEPTH} types inside each other")


class Scalar(Type):
    """A number, bool or char."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size, core, self.code = SCALARS[name]
        self.alignment = self.size
        self.flat = (core,)

    def __str__(self) -> str:
        return self.name


class Text(Type):
    """string."""

    size, alignment, flat, allocates = 8, 4, ("i32", "i32"), True

    def __str__(self) -> str:
        return "string"


class Sequence_(Type):  # noqa: N801  # `list` and `Sequence` are taken
    """list<element>."""

    size, alignment, flat, allocates = 8, 4, ("i32", "i32"), True

    def __init__(self, element: Type) -> None:
        self._bound([element])
        self.element = element
        self.is_bytes = isinstance(element, Scalar) and element.name == "u8"

    def __str__(self) -> str:
        return f"list<{self.element}>"


class Handle(Type):
    """own<resource> or borrow<resource>."""

    size, alignment, flat = 4, 4, ("i32",)

    def __init__(self, resource: Resource, *, owned: bool) -> None:
        self.resource = resource
        self.owned = owned

    def __str__(self) -> str:
        return f"{'own' if self.owned else 'borrow'}<{self.resource.name}>"


class Flags(Type):
    """flags of up to 32 names."""

    def __init__(self, names: Sequence[str]) -> None:
        if not 0 < len(names) <= 32:
            raise Unsupported(f"flags with {len(names)} names; 1 to 32 are implemented")
        self._bound((), names)
        self.names = tuple(names)
        self.size = self.alignment = 1 if len(names) <= 8 else 2 if len(names) <= 16 else 4
        self.flat = ("i32",)
        self.code = {1: "B", 2: "H", 4: "I"}[self.size]

    def __str__(self) -> str:
        return f"flags{{{', '.join(self.names)}}}"


class Record(Type):
    """A record, or a tuple (without names)."""

    def __init__(self, fields: Sequence[Type], names: Sequence[str] | None = None) -> None:
        if not fields:
            raise Unsupported("a record or tuple without fields")
        self._bound(fields, names or ())
        self.fields = tuple(fields)
        self.names = None if names is None else tuple(names)
        offset, self.alignment = 0, 1
        offsets = []
        for field in self.fields:
            offset = align_to(offset, field.alignment)
            offsets.append(offset)
            offset += field.size
            self.alignment = max(self.alignment, field.alignment)
        self.offsets = tuple(offsets)
        self.size = align_to(offset, self.alignment)
        self.flat = tuple(core for field in self.fields for core in field.flat)
        self.is_fixed = all(field.is_fixed for field in self.fields)
        self.allocates = any(field.allocates for field in self.fields)

    def __str__(self) -> str:
        if self.names is None:
            return f"tuple<{', '.join(map(str, self.fields))}>"
        return f"record{{{', '.join(f'{name}: {field}' for name, field in zip(self.names, self.fields, strict=True))}}}"


class Case(NamedTuple):
    """One case of a choice."""

    name: str
    payload: Type | None


class Choice(Type):
    """A variant, enum, option or result: a discriminant, and the payload of one case."""

    is_fixed = False

    def __init__(self, kind: str, cases: Sequence[Case]) -> None:
        self.kind = kind
        self.cases = tuple(cases)
        payloads = [case.payload for case in cases if case.payload is not None]
        if not 0 < len(cases) <= 256:
            raise Unsupported(f"a choice of {len(cases)} cases; 1 to 256 are implemented")
        self._bound(payloads, [case.name for case in cases])
        if kind == "option" and isinstance(payloads[0], Choice) and payloads[0].kind == "option":
            raise Unsupported("an option of an option")
        self.alignment = max([1, *(payload.alignment for payload in payloads)])
        self.payload_offset = self.alignment
        self.size = align_to(self.payload_offset + max([0, *(payload.size for payload in payloads)]), self.alignment)
        joined: list[str] = []
        for payload in payloads:
            self.allocates = self.allocates or payload.allocates
            for position, core in enumerate(payload.flat):
                if position == len(joined):
                    joined.append(core)
                elif joined[position] != core:
                    if {joined[position], core} & {"f32", "f64"}:
                        raise Unsupported("a choice whose cases put a float and an integer into one place")
                    joined[position] = "i64"
        self.flat = ("i32", *joined)

    def __str__(self) -> str:
        if self.kind == "enum":
            return f"enum{{{', '.join(case.name for case in self.cases)}}}"
        if self.kind == "option":
            return f"option<{self.cases[1].payload}>"
        if self.kind == "result":
            ok, err = (case.payload for case in self.cases)
            if ok is None and err is None:
                return "result"
            return f"result<{'_' if ok is None else ok}, {err}>" if err is not None else f"result<{ok}>"
        shown = (case.name if case.payload is None else f"{case.name}({case.payload})" for case in self.cases)
        return f"variant{{{', '.join(shown)}}}"


def _resources_in(types: Sequence[Type | None]) -> Iterator[Resource]:
    for ty in types:
        if isinstance(ty, Handle):
            yield ty.resource
        elif ty is not None:
            yield from _resources_in(ty.parts)


class Function(NamedTuple):
    """A function's type."""

    names: tuple[str, ...]
    parameters: tuple[Type, ...]
    result: Type | None

    @property
    def extent(self) -> int:
        """Return how long its text is, about, in characters."""
        return sum(part.extent for part in (*self.parameters, self.result) if part is not None) + sum(map(len, self.names))

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Return the resources in it, each once, in the order of its text."""
        return tuple(dict.fromkeys(self.occurrences))

    @property
    def occurrences(self) -> tuple[Resource, ...]:
        """Return the resource of every handle in it, in the order of its text."""
        return tuple(_resources_in((*self.parameters, self.result)))

    def __str__(self) -> str:
        parameters = ", ".join(f"{name}: {ty}" for name, ty in zip(self.names, self.parameters, strict=True))
        return f"func({parameters})" + (f" -> {self.result}" if self.result is not None else "")

    @property
    def flat_parameters(self) -> tuple[str, ...]:
        """Return the core types of the parameters; one pointer when they are too many."""
        flat = tuple(core for ty in self.parameters for core in ty.flat)
        return flat if len(flat) <= MOST_FLAT_PARAMETERS else ("i32",)

    @property
    def parameters_in_memory(self) -> bool:
        """Tell whether the parameters go through memory."""
        return sum(len(ty.flat) for ty in self.parameters) > MOST_FLAT_PARAMETERS

    @property
    def result_in_memory(self) -> bool:
        """Tell whether the result goes through memory."""
        return self.result is not None and len(self.result.flat) > MOST_FLAT_RESULTS

"""The component binary format: bytes in, definitions out, in order. Core modules stay bytes.

Everything is bounded by the input's length and by `MOST_NESTING`; what the format has and this engine does not is refused by name. Whether
a component is *valid* is not judged here: wasmtime does that before (ADR-022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torvyn_ref.engine.direct.definitions import (
    AliasExport,
    AliasOuter,
    Bundle,
    Component,
    CoreBundle,
    CoreInstantiate,
    CoreModule,
    CoreType,
    Definition,
    Export,
    Import,
    Instantiate,
    Lift,
    Lower,
    Options,
    RawType,
    ResourceFunction,
    TypeDefinition,
)
from torvyn_ref.engine.direct.errors import Malformed, Unsupported

T = TypeVar("T")

PREAMBLE = b"\0asm\x0d\0\x01\0"
MOST_NESTING = 32
"""Components in components, and types in types."""

PRIMITIVES = {
    0x7F: "bool",
    0x7E: "s8",
    0x7D: "u8",
    0x7C: "s16",
    0x7B: "u16",
    0x7A: "s32",
    0x79: "u32",
    0x78: "s64",
    0x77: "u64",
    0x76: "f32",
    0x75: "f64",
    0x74: "char",
    0x73: "string",
}
UNSUPPORTED_TYPES = {
    0x67: "a list of fixed length",
    0x66: "stream",
    0x65: "future",
    0x64: "error-context",
    0x63: "map",
    0x43: "an async function type",
    0x3E: "an async resource destructor",
}
CORE_SORTS = {
    0x00: "core func",
    0x01: "core table",
    0x02: "core memory",
    0x03: "core global",
    0x04: "core tag",
    0x10: "core type",
    0x11: "core module",
    0x12: "core instance",
}
CORE_VALUE_TYPES = frozenset({0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F})
"""Numbers, vectors, and the two references of WebAssembly 2: one byte each."""
SORTS = {0x01: "func", 0x03: "type", 0x04: "component", 0x05: "instance"}
SECTIONS = (
    "custom",
    "core module",
    "core instance",
    "core type",
    "component",
    "instance",
    "alias",
    "type",
    "canon",
    "start",
    "import",
    "export",
    "value",
)


def read(data: bytes) -> tuple[Definition, ...]:
    """Return a component's definitions, in order.

    Raises:
        Malformed: the bytes do not follow the format.
        Unsupported: they do, and use something that this engine lacks.
    """
    if data[:8] != PREAMBLE:
        if data[:4] == PREAMBLE[:4] and data[4:8] == b"\x01\0\0\0":
            raise Malformed("this is a core module, not a component", 4)
        raise Malformed("this does not begin like a component", 0)
    return tuple(_Reader(data, 8, len(data), 0).component())


class _Reader:
    """A cursor over one stretch of the input."""

    def __init__(self, data: bytes, start: int, end: int, depth: int) -> None:
        if depth > MOST_NESTING:
            raise Unsupported(f"more than {MOST_NESTING} components or types inside each other")
        self._data = data
        self._at = start
        self._end = end
        self._depth = depth

    # ---- sections

    def component(self) -> list[Definition]:
        definitions: list[Definition] = []
        while self._at < self._end:
            number = self._byte()
            size = self._u32()
            if size > self._end - self._at:
                raise Malformed(f"a section of {size} bytes does not fit", self._at)
            inner = _Reader(self._data, self._at, self._at + size, self._depth)
            self._at += size
            if number >= len(SECTIONS):
                raise Malformed(f"there is no section {number}", inner._at)
            inner._section(SECTIONS[number], definitions)
        return definitions

    def _section(self, name: str, definitions: list[Definition]) -> None:
        if name == "custom":
            return
        if name == "core module":
            definitions.append(CoreModule(bytes(self._data[self._at : self._end])))
            return
        if name == "component":
            if self._data[self._at : self._at + 8] != PREAMBLE:
                raise Malformed("an inner component does not begin like one", self._at)
            inner = _Reader(self._data, self._at + 8, self._end, self._depth + 1)
            definitions.append(Component(tuple(inner.component())))
            return
        readers: dict[str, Callable[[], Definition]] = {
            "core instance": self._core_instance,
            "core type": self._core_type,
            "instance": self._instance,
            "alias": self._alias,
            "type": lambda: TypeDefinition(self._type()),
            "canon": self._canon,
            "import": lambda: Import(self._extern_name(), *self._extern()),
            "export": self._export,
        }
        if name not in readers:
            raise Unsupported(f"a {name} section")
        definitions.extend(self._vector(readers[name]))
        if self._at != self._end:
            raise Malformed(f"the {name} section is longer than what it holds", self._at)

    # ---- definitions

    def _core_instance(self) -> Definition:
        form = self._byte()
        if form == 0x00:
            module = self._u32()
            return CoreInstantiate(module, self._vector(self._core_argument))
        if form == 0x01:
            return CoreBundle(self._vector(lambda: (self._name(), self._core_sort(), self._u32())))
        raise Malformed(f"there is no core instance form 0x{form:02x}", self._at - 1)

    def _core_argument(self) -> tuple[str, int]:
        name = self._name()
        self._expect(0x12, "an instance as a core module's argument")
        return name, self._u32()

    def _core_type(self) -> Definition:
        form = self._byte()
        if form != 0x60:
            raise Unsupported(f"core type 0x{form:02x}")
        self._vector(self._core_value_type)
        self._vector(self._core_value_type)
        return CoreType()

    def _core_value_type(self) -> None:
        byte = self._byte()
        if byte not in CORE_VALUE_TYPES:
            raise Unsupported(f"a core type with 0x{byte:02x} in it (garbage-collected references)")

    def _instance(self) -> Definition:
        form = self._byte()
        if form == 0x00:
            component = self._u32()
            return Instantiate(component, self._vector(lambda: (self._name(), *self._item())))
        if form == 0x01:
            return Bundle(self._vector(lambda: (self._extern_name(), *self._item())))
        raise Malformed(f"there is no instance form 0x{form:02x}", self._at - 1)

    def _alias(self) -> Definition:
        sort = self._sort()
        form = self._byte()
        if form in {0x00, 0x01}:
            instance = self._u32()
            return AliasExport(sort, instance, self._name(), core=form == 0x01)
        if form == 0x02:
            return AliasOuter(sort, self._u32(), self._u32())
        raise Malformed(f"there is no alias form 0x{form:02x}", self._at - 1)

    def _canon(self) -> Definition:
        operation = self._byte()
        if operation == 0x00:
            self._expect(0x00, "canon lift")
            function = self._u32()
            options = self._options()
            return Lift(function, options, self._u32())
        if operation == 0x01:
            self._expect(0x00, "canon lower")
            return Lower(self._u32(), self._options())
        if operation in {0x02, 0x03, 0x04}:
            return ResourceFunction({0x02: "new", 0x03: "drop", 0x04: "rep"}[operation], self._u32())
        raise Unsupported(f"canonical built-in 0x{operation:02x} (asynchronous calls, streams, threads)")

    def _options(self) -> Options:
        found: dict[str, int] = {}
        for _ in range(self._u32()):
            option = self._byte()
            if option in {0x01, 0x02}:
                raise Unsupported(f"string encoding {'utf16' if option == 0x01 else 'latin1+utf16'}: only utf8 is implemented")
            if option in {0x03, 0x04, 0x05}:
                found[{0x03: "memory", 0x04: "realloc", 0x05: "post_return"}[option]] = self._u32()
            elif option != 0x00:
                raise Unsupported(f"canonical option 0x{option:02x} (asynchronous calls, garbage-collected references)")
        return Options(**found)

    def _export(self) -> Definition:
        name = self._extern_name()
        sort, index = self._item()
        if self._flag():
            self._extern()
        return Export(name, sort, index)

    def _extern(self) -> tuple[str, Any]:
        kind = self._byte()
        if kind == 0x00:
            self._expect(0x11, "a core module's type")
            return "core module", self._u32()
        if kind == 0x03:
            bound = self._byte()
            if bound == 0x00:
                return "type", ("eq", self._u32())
            if bound == 0x01:
                return "type", ("sub",)
            raise Malformed(f"there is no type bound 0x{bound:02x}", self._at - 1)
        if kind == 0x02:
            raise Unsupported("an imported or exported value")
        if kind in {0x01, 0x04, 0x05}:
            return {0x01: "func", 0x04: "component", 0x05: "instance"}[kind], self._u32()
        raise Malformed(f"there is no kind of import 0x{kind:02x}", self._at - 1)

    # ---- types

    def _type(self) -> RawType:
        form = self._byte()
        if form in PRIMITIVES:
            return "primitive", PRIMITIVES[form]
        if form == 0x72:
            return "record", self._vector(self._field)
        if form == 0x71:
            return "variant", self._vector(self._case)
        if form == 0x70:
            return "list", self._value_type()
        if form == 0x6F:
            return "tuple", self._vector(self._value_type)
        if form in {0x6E, 0x6D}:
            return "flags" if form == 0x6E else "enum", self._vector(self._name)
        if form == 0x6B:
            return "option", self._value_type()
        if form == 0x6A:
            return "result", self._optional(self._value_type), self._optional(self._value_type)
        if form in {0x69, 0x68}:
            return "own" if form == 0x69 else "borrow", self._u32()
        if form == 0x40:
            parameters = self._vector(self._field)
            if self._byte() == 0x00:
                return "func", parameters, self._value_type()
            self._expect(0x00, "a function without result")
            return "func", parameters, None
        if form in {0x41, 0x42}:
            inner = _Reader(self._data, self._at, self._end, self._depth + 1)
            declarations = inner._vector(inner._declaration)
            self._at = inner._at
            return "component" if form == 0x41 else "instance", declarations
        if form == 0x3F:
            self._expect(0x7F, "a resource represented by an i32")
            return "resource", self._optional(self._u32)
        raise Unsupported(UNSUPPORTED_TYPES.get(form, f"type constructor 0x{form:02x}"))

    def _field(self) -> tuple[str, int | str]:
        return self._name(), self._value_type()

    def _case(self) -> tuple[str, int | str | None]:
        name, payload = self._name(), self._optional(self._value_type)
        self._expect(0x00, "a variant case that refines no other")
        return name, payload

    def _declaration(self) -> Definition:
        form = self._byte()
        if form == 0x00:
            return self._core_type()
        if form == 0x01:
            return TypeDefinition(self._type())
        if form == 0x02:
            return self._alias()
        if form == 0x03:
            return Import(self._extern_name(), *self._extern())
        if form == 0x04:
            name = self._extern_name()
            sort, bound = self._extern()
            return Import(name, sort, bound)  # an exported declaration binds an item just as an import does
        raise Malformed(f"there is no declaration 0x{form:02x}", self._at - 1)

    def _value_type(self) -> int | str:
        value = self._s33()
        if value >= 0:
            return value
        primitive = PRIMITIVES.get(value + 128)
        if primitive is None:
            raise Unsupported(UNSUPPORTED_TYPES.get(value + 128, f"value type {value}"))
        return primitive

    # ---- pieces

    def _item(self) -> tuple[str, int]:
        return self._sort(), self._u32()

    def _sort(self) -> str:
        sort = self._byte()
        if sort == 0x00:
            return self._core_sort()
        if sort == 0x02:
            raise Unsupported("values as items")
        if sort not in SORTS:
            raise Malformed(f"there is no sort 0x{sort:02x}", self._at - 1)
        return SORTS[sort]

    def _core_sort(self) -> str:
        sort = self._byte()
        if sort not in CORE_SORTS:
            raise Malformed(f"there is no core sort 0x{sort:02x}", self._at - 1)
        return CORE_SORTS[sort]

    def _extern_name(self) -> str:
        form = self._byte()
        if form not in {0x00, 0x01}:
            raise Unsupported(f"a name of form 0x{form:02x} (version suffix)")
        return self._name()

    def _name(self) -> str:
        size = self._u32()
        if size > self._end - self._at:
            raise Malformed(f"a name of {size} bytes does not fit", self._at)
        self._at += size
        try:
            return bytes(self._data[self._at - size : self._at]).decode()
        except UnicodeDecodeError:
            raise Malformed("a name is not UTF-8", self._at - size) from None

    def _vector(self, item: Callable[[], T]) -> tuple[T, ...]:
        count = self._u32()
        if count > self._end - self._at:  # every item takes a byte at least
            raise Malformed(f"{count} items do not fit", self._at)
        return tuple(item() for _ in range(count))

    def _optional(self, item: Callable[[], T]) -> T | None:
        return item() if self._flag() else None

    def _flag(self) -> bool:
        flag = self._byte()
        if flag > 1:
            raise Malformed(f"0x{flag:02x} where 0x00 or 0x01 belongs", self._at - 1)
        return flag == 1

    def _expect(self, byte: int, what: str) -> None:
        found = self._byte()
        if found != byte:
            raise Unsupported(f"0x{found:02x} where {what} has 0x{byte:02x}")

    def _byte(self) -> int:
        if self._at >= self._end:
            raise Malformed("the end comes too early", self._at)
        self._at += 1
        return self._data[self._at - 1]

    def _u32(self) -> int:
        result = self._leb(5)
        if result >> 32:
            raise Malformed("a number does not fit in 32 bits", self._at)
        return result

    def _s33(self) -> int:
        start = self._at
        result = self._leb(5)
        bits = 7 * (self._at - start)
        return result - (1 << bits) if self._data[self._at - 1] & 0x40 else result

    def _leb(self, most: int) -> int:
        result = shift = 0
        for _ in range(most):
            byte = self._byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
            shift += 7
        raise Malformed("a number is longer than it may be", self._at)

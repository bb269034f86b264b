"""WIT packages as values: frozen, every name resolved, comparable across files and versions.

Documentation and positions ride along but take no part in equality: a package whose comments changed is the same contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Span:
    """Where something stands: file, line and column, counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class PackageName:
    """`namespace:name@version`; the version may be absent."""

    namespace: str
    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.unversioned}@{self.version}" if self.version else self.unversioned

    @property
    def unversioned(self) -> str:
        """`namespace:name`."""
        return f"{self.namespace}:{self.name}"


@dataclass(frozen=True, slots=True)
class InterfaceName:
    """An interface or a world of a package; written as component imports and exports are named."""

    package: PackageName
    name: str

    def __str__(self) -> str:
        return f"{self.unversioned}@{self.package.version}" if self.package.version else self.unversioned

    @property
    def unversioned(self) -> str:
        """`namespace:package/interface`."""
        return f"{self.package.unversioned}/{self.name}"


class Primitive(StrEnum):
    """The types that need no definition."""

    BOOL = "bool"
    S8 = "s8"
    S16 = "s16"
    S32 = "s32"
    S64 = "s64"
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    F32 = "f32"
    F64 = "f64"
    CHAR = "char"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Named:
    """A defined type that is no resource, by the interface that defines it."""

    interface: InterfaceName
    name: str


@dataclass(frozen=True, slots=True)
class Own:
    """A handle that is handed over."""

    resource: Named


@dataclass(frozen=True, slots=True)
class Borrow:
    """A handle that is lent for one call."""

    resource: Named


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list<element>`."""

    element: Type


@dataclass(frozen=True, slots=True)
class OptionOf:
    """`option<element>`."""

    element: Type


@dataclass(frozen=True, slots=True)
class ResultOf:
    """`result<ok, error>`; either may be absent."""

    ok: Type | None
    error: Type | None


@dataclass(frozen=True, slots=True)
class TupleOf:
    """`tuple<…>`."""

    items: tuple[Type, ...]


Type = Primitive | Named | Own | Borrow | ListOf | OptionOf | ResultOf | TupleOf


@dataclass(frozen=True, slots=True)
class Field:
    """A record's field, or a function's parameter."""

    name: str
    type: Type
    docs: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Case:
    """A variant's case."""

    name: str
    type: Type | None = None
    docs: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Label:
    """An enum's case or a flag."""

    name: str
    docs: str = field(default="", compare=False)


class FunctionKind(StrEnum):
    """How a function is called."""

    FREE = "free"
    METHOD = "method"
    STATIC = "static"
    CONSTRUCTOR = "constructor"


@dataclass(frozen=True, slots=True)
class Function:
    """A function; a method's `self` and a constructor's result are left out, as in the text."""

    name: str
    parameters: tuple[Field, ...] = ()
    result: Type | None = None
    kind: FunctionKind = FunctionKind.FREE
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)

    def component_name(self, resource: str = "") -> str:
        """Return the name it has inside an instance, such as `[method]buffer.size`."""
        if self.kind is FunctionKind.FREE:
            return self.name
        if self.kind is FunctionKind.CONSTRUCTOR:
            return f"[constructor]{resource}"
        return f"[{self.kind}]{resource}.{self.name}"


@dataclass(frozen=True, slots=True)
class Record:
    """`record`."""

    name: str
    fields: tuple[Field, ...]
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Variant:
    """`variant`."""

    name: str
    cases: tuple[Case, ...]
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Enum:
    """`enum`."""

    name: str
    cases: tuple[Label, ...]
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Flags:
    """`flags`."""

    name: str
    flags: tuple[Label, ...]
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Alias:
    """`type name = target`."""

    name: str
    target: Type
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Resource:
    """`resource`, with its functions."""

    name: str
    functions: tuple[Function, ...] = ()
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)


Definition = Record | Variant | Enum | Flags | Alias | Resource


@dataclass(frozen=True, slots=True)
class Use:
    """A type made visible under a local name; `target` is where it is defined, however long the chain of uses."""

    name: str
    target: Named
    resource: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface: what it uses, defines and offers."""

    name: InterfaceName
    uses: tuple[Use, ...] = ()
    types: tuple[Definition, ...] = ()
    functions: tuple[Function, ...] = ()
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)

    def definition(self, name: str) -> Definition | None:
        """Return the type defined here under this name."""
        return next((definition for definition in self.types if definition.name == name), None)

    def all_functions(self) -> Mapping[str, Function]:
        """Return every function by its name inside an instance, resources' functions included."""
        return dict(self._all_functions())

    def _all_functions(self) -> Iterator[tuple[str, Function]]:
        for definition in self.types:
            if isinstance(definition, Resource):
                for function in definition.functions:
                    yield function.component_name(definition.name), function
        for function in self.functions:
            yield function.name, function


@dataclass(frozen=True, slots=True)
class InterfaceItem:
    """A world's import or export of a whole interface."""

    interface: InterfaceName

    @property
    def name(self) -> str:
        """The name of the import or export."""
        return str(self.interface)


@dataclass(frozen=True, slots=True)
class FunctionItem:
    """A world's import or export of a single function."""

    function: Function

    @property
    def name(self) -> str:
        """The name of the import or export."""
        return self.function.name


@dataclass(frozen=True, slots=True)
class InlineItem:
    """A world's import or export of an interface written in place; its types belong to the world's name."""

    name: str
    body: Interface


Item = InterfaceItem | FunctionItem | InlineItem


@dataclass(frozen=True, slots=True)
class World:
    """A world, with what it includes merged in."""

    name: InterfaceName
    imports: tuple[Item, ...] = ()
    exports: tuple[Item, ...] = ()
    uses: tuple[Use, ...] = ()
    types: tuple[Definition, ...] = ()
    docs: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)

    def exported_interfaces(self) -> tuple[InterfaceName, ...]:
        """Return the interfaces it exports whole, in order."""
        return tuple(item.interface for item in self.exports if isinstance(item, InterfaceItem))

    def imported_interfaces(self) -> tuple[InterfaceName, ...]:
        """Return the interfaces it imports whole, in order."""
        return tuple(item.interface for item in self.imports if isinstance(item, InterfaceItem))


@dataclass(frozen=True, slots=True)
class Package:
    """A package: interfaces and worlds, in the order of their names' files and lines."""

    name: PackageName
    interfaces: tuple[Interface, ...] = ()
    worlds: tuple[World, ...] = ()

    def interface(self, name: str) -> Interface | None:
        """Return an interface by its short name."""
        return next((interface for interface in self.interfaces if interface.name.name == name), None)

    def world(self, name: str) -> World | None:
        """Return a world by its short name."""
        return next((world for world in self.worlds if world.name.name == name), None)

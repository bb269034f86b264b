"""What a component's bytes say of themselves: imports, exports, size, toolchain. A small reader of our own, so that no runtime is believed.

Only the outermost component's import and export names are read; types are the engines' business. Every length is checked against what is
left, so that no bytes can make it read, allocate or recurse beyond their own number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAGIC = b"\0asm"
CORE = b"\x01\x00\x00\x00"
COMPONENT = b"\x0d\x00\x01\x00"

MOST_BYTES = 47 * 1024 * 1024
"""Larger components do not cross the protocol: a line has 64 MiB, and bytes take four thirds of their number there."""

MOST_NAMES = 10_000
MOST_NAME_BYTES = 1024
MOST_PRODUCERS = 64

_CUSTOM, _CORE_MODULE, _IMPORT, _EXPORT = 0, 1, 10, 11
_COMPONENT = 4
_SECTIONS = 12


class NoComponentError(Exception):
    """The bytes are no component. `offset` is where that shows, in bytes from the start."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Binary:
    """A component as its bytes describe it.

    Attributes:
        size: its bytes.
        imports, exports: names with versions, in the binary's order.
        modules, components: core modules and components directly inside.
        code_bytes: the bytes of those.
        producers: the tools that made it, as they signed it.
    """

    size: int
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    modules: int = 0
    components: int = 0
    code_bytes: int = 0
    producers: tuple[str, ...] = field(default=())


class _Reader:
    """A cursor over some bytes that never leaves them."""

    def __init__(self, data: memoryview, start: int, end: int) -> None:
        self.data = data
        self.at = start
        self.end = end

    def byte(self, what: str) -> int:
        if self.at >= self.end:
            raise NoComponentError(f"the bytes end inside {what}", self.at)
        self.at += 1
        return self.data[self.at - 1]

    def number(self, what: str) -> int:
        """Read an unsigned LEB128 of at most 32 bits."""
        value = shift = 0
        start = self.at
        while True:
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
            shift += 7
            if shift > 28:
                raise NoComponentError(f"{what} has a number that is too long", start)
        if value > 0xFFFF_FFFF:
            raise NoComponentError(f"{what} has a number above 32 bits", start)
        return value

    def take(self, length: int, what: str) -> memoryview:
        if length > self.end - self.at:
            raise NoComponentError(f"{what} claims {length} bytes, and {self.end - self.at} are left", self.at)
        self.at += length
        return self.data[self.at - length : self.at]

    def name(self, what: str) -> str:
        length = self.number(what)
        if length > MOST_NAME_BYTES:
            raise NoComponentError(f"{what} has a name of {length} bytes; {MOST_NAME_BYTES} are read", self.at)
        try:
            return str(self.take(length, what), "utf-8")
        except UnicodeDecodeError:
            raise NoComponentError(f"{what} has a name that is not UTF-8", self.at) from None


def read(data: bytes) -> Binary:
    """Read a component's outside.

    Raises:
        NoComponentError: the bytes are empty, something else, a core module, cut short, or malformed where this looks.
    """
    if not data:
        raise NoComponentError("the file is empty")
    if data[:4] != MAGIC:
        raise NoComponentError("it does not begin like WebAssembly; a component is a .wasm file made by a component toolchain")
    if data[4:8] == CORE:
        raise NoComponentError("it is a core module; a component toolchain makes a component of it (wasm-tools component new)", 4)
    if data[4:8] != COMPONENT:
        raise NoComponentError(f"its version is {data[4:8].hex() or 'missing'}; a component's is {COMPONENT.hex()}", 4)
    view = memoryview(data)
    reader = _Reader(view, 8, len(data))
    imports: list[str] = []
    exports: list[str] = []
    producers: list[str] = []
    modules = components = code = 0
    while reader.at < reader.end:
        start = reader.at
        kind = reader.byte("a section")
        length = reader.number("a section")
        if kind >= _SECTIONS:
            raise NoComponentError(f"section {kind} is none that a component has", start)
        body_start = reader.at
        reader.take(length, f"section {kind}")
        body = _Reader(view, body_start, reader.at)
        if kind == _IMPORT:
            imports += _imports(body)
        elif kind == _EXPORT:
            exports += _exports(body)
        elif kind == _CORE_MODULE:
            modules, code = modules + 1, code + length
        elif kind == _COMPONENT:
            components, code = components + 1, code + length
        elif kind == _CUSTOM:
            producers += _producers(body)
    return Binary(len(data), tuple(imports), tuple(exports), modules, components, code, tuple(producers[:MOST_PRODUCERS]))


def _extern_name(reader: _Reader, what: str) -> str:
    tag = reader.byte(what)
    if tag not in {0, 1, 2}:
        raise NoComponentError(f"{what} has a name of an unknown form ({tag})", reader.at - 1)
    name = reader.name(what)
    if tag == 2:  # a name with attributes, such as the suffix of its version
        for _ in range(_count(reader, what)):
            reader.byte(what)
            reader.name(what)
    return name


def _imports(reader: _Reader) -> list[str]:
    names = []
    for _ in range(_count(reader, "the imports")):
        names.append(_extern_name(reader, "an import"))
        _extern_type(reader)
    return names


def _exports(reader: _Reader) -> list[str]:
    names = []
    for _ in range(_count(reader, "the exports")):
        names.append(_extern_name(reader, "an export"))
        sort = reader.byte("an export")
        if sort == 0:
            reader.byte("an export")
        reader.number("an export")
        if reader.byte("an export"):
            _extern_type(reader)
    return names


def _extern_type(reader: _Reader) -> None:
    """Skip the description of an import or export: core module, function, value, type, component or instance."""
    kind = reader.byte("a description")
    if kind == 0:
        reader.byte("a description")
        reader.number("a description")
    elif kind in {2, 3}:  # a value: equal to another, or of a type; a type: equal to another, or a resource
        bound = reader.byte("a description")
        if bound == 0 or kind == 2:
            reader.number("a description")
    elif kind in {1, 4, 5}:
        reader.number("a description")
    else:
        raise NoComponentError(f"an import or export is of an unknown kind ({kind})", reader.at - 1)


def _count(reader: _Reader, what: str) -> int:
    count = reader.number(what)
    if count > MOST_NAMES:
        raise NoComponentError(f"{what} are {count}; {MOST_NAMES} are read", reader.at)
    return count


def _producers(reader: _Reader) -> list[str]:
    """Read what a `producers` section says; one that cannot be read says nothing, for it changes nothing."""
    try:
        if reader.name("a custom section") != "producers":
            return []
        found = []
        for _ in range(min(_count(reader, "the producers"), 8)):
            reader.name("a producer")
            for _ in range(min(_count(reader, "the producers"), MOST_PRODUCERS)):
                name, version = reader.name("a producer"), reader.name("a producer")
                found.append(f"{name} {version}".strip())
    except NoComponentError:
        return []
    return found

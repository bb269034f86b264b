"""WIT packages as the judge thinks of them: a few plain values, written out as text (CON-040).

They say no more than the edits of `conformance.models.edits` need. Types are WIT text: `u32`, `list<string>`, `borrow<handle>`, or the name
of a type of the same interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = re.compile(r"[a-z][a-z0-9-]*")

Named = tuple[str, str]
"""A parameter, field, case or flag: its name and its type, which is empty where it has none."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `result` is empty where it returns nothing."""

    name: str
    parameters: tuple[Named, ...] = ()
    result: str = ""

    def text(self) -> str:
        """Return it as WIT."""
        parameters = ", ".join(f"{name}: {kind}" for name, kind in self.parameters)
        return f"{self.name}: func({parameters}){f' -> {self.result}' if self.result else ''};"

    def mentions(self) -> Iterator[str]:
        """Yield the types that it names."""
        yield from (kind for _, kind in self.parameters)
        yield self.result


@dataclass(frozen=True, slots=True)
class Definition:
    """A type: record, variant, enum, flags, resource, or `type` for an alias, whose target is the only member's type."""

    kind: str
    name: str
    members: tuple[Named, ...] = ()
    functions: tuple[Function, ...] = ()

    def text(self) -> str:
        """Return it as WIT."""
        if self.kind == "type":
            return f"type {self.name} = {self.members[0][1]};"
        if self.kind == "resource":
            return f"resource {self.name} {{ {' '.join(function.text() for function in self.functions)} }}"
        form = "{}: {}" if self.kind == "record" else "{}({})"
        members = ", ".join(form.format(name, kind) if kind else name for name, kind in self.members)
        return f"{self.kind} {self.name} {{ {members} }}"

    def mentions(self) -> Iterator[str]:
        """Yield the types that it names."""
        yield from (kind for _, kind in self.members)
        for function in self.functions:
            yield from function.mentions()


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface."""

    name: str
    types: tuple[Definition, ...] = ()
    functions: tuple[Function, ...] = ()

    def text(self) -> str:
        """Return it as WIT."""
        lines = [*(one.text() for one in self.types), *(one.text() for one in self.functions)]
        return f"interface {self.name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"

    def named(self) -> frozenset[str]:
        """Return the words that its types and functions use for types."""
        items: list[Definition | Function] = [*self.types, *self.functions]
        return frozenset(word for one in items for kind in one.mentions() for word in _WORD.findall(kind))


@dataclass(frozen=True, slots=True)
class World:
    """A world: what it imports and exports, by the interfaces' names as they are written."""

    name: str
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as WIT."""
        items = [*(f"import {name};" for name in self.imports), *(f"export {name};" for name in self.exports)]
        return f"world {self.name} {{\n" + "".join(f"  {item}\n" for item in items) + "}\n"


@dataclass(frozen=True, slots=True)
class Package:
    """A package; `version` is empty where it names none."""

    name: str
    version: str = ""
    interfaces: tuple[Interface, ...] = ()
    worlds: tuple[World, ...] = ()

    @property
    def head(self) -> str:
        """Return the line that names it."""
        return f"package {self.name}{f'@{self.version}' if self.version else ''};\n"

    def text(self) -> str:
        """Return it as WIT."""
        items: list[Interface | World] = [*self.interfaces, *self.worlds]
        return self.head + "".join(f"\n{one.text()}" for one in items)

    def files(self) -> dict[str, str]:
        """Return it as one file."""
        return {"package.wit": self.text()}

    def files_apart(self, *, commented: bool = False) -> dict[str, str]:
        """Return it as a file for each interface and world, in the opposite order; with comments, other documentation and other spaces."""
        files: dict[str, str] = {}
        items: list[Interface | World] = [*self.interfaces, *self.worlds]
        for one in reversed(items):
            text = one.text()
            if commented:
                text = f"/// What {one.name} is for.\n// once upon a time\n/* and\n   still */ {text}".replace("{\n", "{ // begins\n\n    ")
            files[f"{one.name}.wit"] = self.head + text
        return files or self.files()

    def worldly(self) -> frozenset[str]:
        """Return the names that worlds use."""
        return frozenset(name for world in self.worlds for name in (*world.imports, *world.exports))

"""WIT as written: what the parser hands to the resolver. Names are still words."""

from __future__ import annotations

from dataclasses import dataclass, field

from torvyn_ref.contract.wit.model import FunctionKind, PackageName, Span


@dataclass(frozen=True, slots=True)
class TypeNode:
    """A type expression: a word, and what stands between its angle brackets (None for `_`)."""

    word: str
    span: Span
    arguments: tuple[TypeNode | None, ...] = ()
    builtin: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A field, case, flag or parameter."""

    name: str
    span: Span
    type: TypeNode | None = None
    docs: str = ""


@dataclass(frozen=True, slots=True)
class FunctionNode:
    """A function."""

    name: str
    span: Span
    kind: FunctionKind
    parameters: tuple[Member, ...]
    result: TypeNode | None
    docs: str = ""


@dataclass(frozen=True, slots=True)
class DefinitionNode:
    """A type definition: `keyword` says which; a resource has functions, an alias a target, the others members."""

    keyword: str
    name: str
    span: Span
    docs: str = ""
    members: tuple[Member, ...] = ()
    functions: tuple[FunctionNode, ...] = ()
    target: TypeNode | None = None

    def contained_names(self) -> set[str]:
        """Return the types it contains by name; through a handle a type does not contain another."""
        names: set[str] = set()
        pending = [member.type for member in self.members if member.type]
        pending += [self.target] if self.target else []
        while pending:
            found = pending.pop()
            if not found.builtin:
                names.add(found.word)
            elif found.word not in ("own", "borrow"):
                pending += [argument for argument in found.arguments if argument]
        return names


@dataclass(frozen=True, slots=True)
class PathNode:
    """An interface or world by name; without a package it is of the package it is written in."""

    name: str
    span: Span
    package: PackageName | None = None


@dataclass(frozen=True, slots=True)
class UseNode:
    """`use path.{name as local}`, one per name."""

    path: PathNode
    name: str
    local: str
    span: Span


@dataclass(frozen=True, slots=True)
class Body:
    """What stands between an interface's braces."""

    uses: tuple[UseNode, ...] = ()
    definitions: tuple[DefinitionNode, ...] = ()
    functions: tuple[FunctionNode, ...] = ()


@dataclass(frozen=True, slots=True)
class InterfaceNode:
    """An interface."""

    name: str
    span: Span
    body: Body
    docs: str = ""


@dataclass(frozen=True, slots=True)
class ItemNode:
    """An import or export of a world: a path, a function, or an interface in place."""

    exported: bool
    span: Span
    path: PathNode | None = None
    function: FunctionNode | None = None
    name: str = ""
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class IncludeNode:
    """`include path with { name as local }`."""

    path: PathNode
    renames: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WorldNode:
    """A world."""

    name: str
    span: Span
    items: tuple[ItemNode, ...] = ()
    includes: tuple[IncludeNode, ...] = ()
    body: Body = field(default_factory=Body)
    docs: str = ""


@dataclass(frozen=True, slots=True)
class FileNode:
    """One file."""

    package: PackageName | None
    span: Span
    interfaces: tuple[InterfaceNode, ...] = ()
    worlds: tuple[WorldNode, ...] = ()

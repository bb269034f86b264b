"""The types and functions of one body, from words to resolved values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torvyn_ref.contract.wit.model import (
    Alias,
    Borrow,
    Case,
    Definition,
    Enum,
    Field,
    Flags,
    Function,
    FunctionKind,
    Label,
    ListOf,
    Named,
    OptionOf,
    Own,
    Primitive,
    Record,
    Resource,
    ResultOf,
    Span,
    TupleOf,
    Type,
    Use,
    Variant,
)
from torvyn_ref.contract.wit.syntax import DefinitionNode, FunctionNode, Member, TypeNode

_PLACEHOLDER = Primitive.BOOL
"""Stands where a type could not be resolved; the errors collected keep it from getting out."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a visible type name leads to."""

    named: Named
    resource: bool


@dataclass(frozen=True, slots=True)
class Context:
    """A body's names, for resolving what it defines. A name is None when its use led nowhere, which has been reported."""

    report: Callable[[Span, str, str], None]
    uses: tuple[Use, ...]
    visible: Mapping[str, Target | None]

    def definition(self, node: DefinitionNode) -> Definition:
        """Resolve a type definition."""
        self._unique(node.members)
        match node.keyword:
            case "type":
                assert node.target is not None
                return Alias(node.name, self.type(node.target), node.docs, node.span)
            case "record":
                return Record(node.name, self._fields(node.members), node.docs, node.span)
            case "variant":
                cases = tuple(Case(m.name, self.type(m.type) if m.type else None, m.docs) for m in node.members)
                return Variant(node.name, cases, node.docs, node.span)
            case "enum":
                return Enum(node.name, tuple(Label(m.name, m.docs) for m in node.members), node.docs, node.span)
            case "flags":
                return Flags(node.name, tuple(Label(m.name, m.docs) for m in node.members), node.docs, node.span)
            case _:
                self._unique(node.functions)
                return Resource(node.name, tuple(self.function(f) for f in node.functions), node.docs, node.span)

    def function(self, node: FunctionNode) -> Function:
        """Resolve a function."""
        self._unique(node.parameters)
        if node.kind is FunctionKind.METHOD and any(member.name == "self" for member in node.parameters):
            self.report(node.span, "duplicate", f"the method {node.name} names a parameter self, which it has anyway")
        result = self.type(node.result) if node.result else None
        if result is not None and node.result is not None and _lends(result):
            self.report(node.result.span, "borrow-in-result", f"{node.name} returns a borrow; only parameters are lent")
        return Function(node.name, self._fields(node.parameters), result, node.kind, node.docs, node.span)

    def type(self, node: TypeNode) -> Type:
        """Resolve a type expression; what cannot be resolved is reported."""
        if not node.builtin:
            target = self.visible.get(node.word)
            if target is None:
                if node.word not in self.visible:
                    self.report(node.span, "unknown-name", f"no type {node.word} is visible here")
                return _PLACEHOLDER
            return Own(target.named) if target.resource else target.named
        match node.word, node.arguments:
            case ("own" | "borrow") as word, (TypeNode() as argument,):
                inner = self.type(argument)
                if not isinstance(inner, Own) or argument.builtin:
                    if inner is not _PLACEHOLDER or argument.builtin:
                        self.report(argument.span, "not-a-resource", f"{word}<{argument.word}>: {argument.word} is no resource")
                    return _PLACEHOLDER
                return inner if word == "own" else Borrow(inner.resource)
            case "list", (TypeNode() as argument,):
                return ListOf(self.type(argument))
            case "option", (TypeNode() as argument,):
                return OptionOf(self.type(argument))
            case "result", arguments:
                ok, error, *_ = *(self.type(argument) if argument else None for argument in arguments), None, None
                return ResultOf(ok, error)
            case "tuple", arguments:
                return TupleOf(tuple(self.type(argument) for argument in arguments if argument))
            case _:
                return Primitive(node.word)

    def _unique(self, members: Iterable[Member | FunctionNode]) -> None:
        taken: set[str] = set()
        for member in members:
            if member.name in taken:
                self.report(member.span, "duplicate", f"the name {member.name} is taken")
            taken.add(member.name)

    def _fields(self, members: Iterable[Member]) -> tuple[Field, ...]:
        return tuple(Field(member.name, self.type(member.type), member.docs) for member in members if member.type)


def _lends(kind: Type) -> bool:
    match kind:
        case Borrow():
            return True
        case ListOf(element) | OptionOf(element):
            return _lends(element)
        case ResultOf(ok, error):
            return any(_lends(part) for part in (ok, error) if part is not None)
        case TupleOf(items):
            return any(_lends(item) for item in items)
        case _:
            return False

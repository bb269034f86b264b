"""From tokens to the text's structure: one file at a time, stopping at the first thing that is no WIT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from torvyn_ref.contract.wit.lexer import Kind, Token, syntax_error, tokens
from torvyn_ref.contract.wit.model import FunctionKind, PackageName, Primitive, Span
from torvyn_ref.contract.wit.syntax import (
    Body,
    DefinitionNode,
    FileNode,
    FunctionNode,
    IncludeNode,
    InterfaceNode,
    ItemNode,
    Member,
    PathNode,
    TypeNode,
    UseNode,
    WorldNode,
)

MAX_DEPTH: Final = 32
"""Angle brackets within angle brackets; WIT in use needs four."""

_PRIMITIVES = frozenset(Primitive)
_UNSUPPORTED = frozenset({"async", "future", "stream"})
_GATES = frozenset({"since", "unstable", "deprecated"})
_T = TypeVar("_T")


def parse_file(text: str, file: str) -> FileNode:
    """Return the structure of one file.

    Raises:
        TorvynError: subsystem "contract", at file:line:column. Kinds: syntax; unsupported, for WIT that this subset leaves out (async,
            streams, futures, nested packages); too-large.

    """
    return _Parser(tokens(text, file)).file()


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    # Reading tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.kind in (Kind.SIGN, Kind.KEYWORD) and self._next.text in texts

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> Token:
        return self._take() if self._is(text) else self._fail(f"expected `{text}`")

    def _name(self, what: str) -> Token:
        if self._next.kind is not Kind.NAME:
            keyword = self._next.text if self._next.kind is Kind.KEYWORD else None
            self._fail(f"expected {what}", hint=f"write %{keyword} to use the keyword as a name" if keyword else None)
        return self._take()

    def _fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        token = self._next
        if token.kind is Kind.KEYWORD and token.text in _UNSUPPORTED:
            raise syntax_error(
                token.span, f"`{token.text}` is not supported", kind="unsupported", hint="Torvyn's contracts are those of WASI 0.2"
            )
        found = token.kind if token.kind is Kind.END else f"`{token.text}`"
        raise syntax_error(token.span, f"{message}, found {found}", hint=hint)

    def _until(self, closing: str, read: Callable[[], _T]) -> tuple[_T, ...]:
        """Read comma-separated items up to and over `closing`; a last comma is allowed."""
        items: list[_T] = []
        while not self._accept(closing):
            items.append(read())
            if not self._accept(","):
                self._expect(closing)
                break
        return tuple(items)

    # Files

    def file(self) -> FileNode:
        package: PackageName | None = None
        start = self._next.span
        interfaces: list[InterfaceNode] = []
        worlds: list[WorldNode] = []
        while self._next.kind is not Kind.END:
            docs = self._gates()
            span = self._next.span
            if self._accept("package"):
                if package is not None or interfaces or worlds:
                    raise syntax_error(span, "a file names its package once, first")
                package, start = self._package_name(), span
                if self._is("{"):
                    raise syntax_error(self._next.span, "nested packages are not supported", kind="unsupported")
                self._expect(";")
            elif self._accept("interface"):
                interfaces.append(self._interface(span, docs))
            elif self._accept("world"):
                worlds.append(self._world(span, docs))
            elif self._is("use"):
                raise syntax_error(span, "`use` outside an interface is not supported", kind="unsupported", hint="use full names instead")
            else:
                self._fail("expected `package`, `interface` or `world`")
        return FileNode(package, start, tuple(interfaces), tuple(worlds))

    def _package_name(self) -> PackageName:
        namespace = self._name("a namespace").text
        self._expect(":")
        name = self._name("a package name").text
        return PackageName(namespace, name, self._version())

    def _version(self) -> str | None:
        if not self._accept("@"):
            return None
        if self._next.kind is not Kind.VERSION:
            self._fail("expected a version such as 0.1.0")
        return self._take().text

    def _gates(self) -> str:
        """Skip `@since(…)` and its kin; answer the documentation of what follows, which may stand on either side."""
        docs = self._next.docs
        while self._accept("@"):
            gate = self._name("a gate")
            if gate.text not in _GATES:
                raise syntax_error(gate.span, f"unknown gate `@{gate.text}`", hint=f"known: {', '.join(sorted(_GATES))}")
            self._expect("(")
            while not self._accept(")"):
                if self._next.kind is Kind.END or self._is("{", "}", ";", "("):
                    self._fail("expected `)`")
                self._take()
            docs = docs or self._next.docs
        return docs

    # Interfaces and worlds

    def _interface(self, span: Span, docs: str) -> InterfaceNode:
        name = self._name("an interface name").text
        self._expect("{")
        return InterfaceNode(name, span, self._body(), docs)

    def _body(self) -> Body:
        uses: list[UseNode] = []
        definitions: list[DefinitionNode] = []
        functions: list[FunctionNode] = []
        while not self._accept("}"):
            docs = self._gates()
            if self._is("use"):
                uses += self._use()
            elif (definition := self._definition(docs)) is not None:
                definitions.append(definition)
            else:
                functions.append(self._named_function(docs))
        return Body(tuple(uses), tuple(definitions), tuple(functions))

    def _world(self, span: Span, docs: str) -> WorldNode:
        name = self._name("a world name").text
        self._expect("{")
        items: list[ItemNode] = []
        includes: list[IncludeNode] = []
        uses: list[UseNode] = []
        definitions: list[DefinitionNode] = []
        while not self._accept("}"):
            inner = self._gates()
            if self._is("use"):
                uses += self._use()
            elif self._accept("include"):
                includes.append(self._include())
            elif self._is("import", "export"):
                items.append(self._item(inner))
            elif (definition := self._definition(inner)) is not None:
                definitions.append(definition)
            else:
                self._fail("expected `import`, `export`, `include`, `use` or a type")
        return WorldNode(name, span, tuple(items), tuple(includes), Body(tuple(uses), tuple(definitions)), docs)

    def _item(self, docs: str) -> ItemNode:
        token = self._take()
        exported = token.text == "export"
        name = self._name("a name")
        follows = self._tokens[self._at + 1]
        if self._is(":") and follows.kind is Kind.KEYWORD and follows.text in ("func", "interface", "async"):
            self._take()
            if self._accept("interface"):
                self._expect("{")
                return ItemNode(exported, token.span, name=name.text, body=self._body())
            function = self._function(name.text, name.span, FunctionKind.FREE, docs)
            return ItemNode(exported, token.span, function=function)
        path = self._rest_of_path(name)
        self._expect(";")
        return ItemNode(exported, token.span, path=path)

    def _include(self) -> IncludeNode:
        path = self._path()
        renames: tuple[tuple[str, str], ...] = ()
        if self._accept("with"):
            self._expect("{")
            renames = self._until("}", self._rename)
            self._accept(";")
        else:
            self._expect(";")
        return IncludeNode(path, renames)

    def _rename(self) -> tuple[str, str]:
        name = self._name("a name").text
        self._expect("as")
        return name, self._name("a name").text

    def _use(self) -> list[UseNode]:
        self._expect("use")
        path = self._path()
        self._expect(".")
        self._expect("{")
        names = self._until("}", self._used_name)
        if not names:
            raise syntax_error(path.span, "`use` names no type")
        self._expect(";")
        return [UseNode(path, name, local, span) for name, local, span in names]

    def _used_name(self) -> tuple[str, str, Span]:
        name = self._name("a type name")
        return name.text, self._name("a name").text if self._accept("as") else name.text, name.span

    def _path(self) -> PathNode:
        return self._rest_of_path(self._name("an interface"))

    def _rest_of_path(self, first: Token) -> PathNode:
        if not self._accept(":"):
            return PathNode(first.text, first.span)
        package = self._name("a package name").text
        self._expect("/")
        name = self._name("an interface name").text
        return PathNode(name, first.span, PackageName(first.text, package, self._version()))

    # Types

    def _definition(self, docs: str) -> DefinitionNode | None:
        keyword = self._next
        if keyword.kind is not Kind.KEYWORD or keyword.text not in ("record", "variant", "enum", "flags", "type", "resource"):
            return None
        self._take()
        name = self._name("a type name")
        if keyword.text == "type":
            self._expect("=")
            target = self._type()
            self._expect(";")
            return DefinitionNode("type", name.text, name.span, docs, target=target)
        if keyword.text == "resource":
            return DefinitionNode("resource", name.text, name.span, docs, functions=self._resource_functions())
        self._expect("{")
        members = self._until("}", {"record": self._field, "variant": self._case}.get(keyword.text, self._label))
        if not members:
            raise syntax_error(name.span, f"the {keyword.text} {name.text} has no members")
        return DefinitionNode(keyword.text, name.text, name.span, docs, members)

    def _label(self) -> Member:
        docs = self._gates()
        name = self._name("a name")
        return Member(name.text, name.span, docs=docs)

    def _field(self) -> Member:
        label = self._label()
        self._expect(":")
        return Member(label.name, label.span, self._type(), label.docs)

    def _case(self) -> Member:
        label = self._label()
        if not self._accept("("):
            return label
        payload = self._type()
        self._expect(")")
        return Member(label.name, label.span, payload, label.docs)

    def _resource_functions(self) -> tuple[FunctionNode, ...]:
        if self._accept(";"):
            return ()
        self._expect("{")
        functions: list[FunctionNode] = []
        while not self._accept("}"):
            docs = self._gates()
            if self._is("constructor"):
                token = self._take()
                self._expect("(")
                parameters = self._until(")", self._field)
                if self._is("->"):
                    raise syntax_error(self._next.span, "a constructor with a result is not supported", kind="unsupported")
                self._expect(";")
                functions.append(FunctionNode("constructor", token.span, FunctionKind.CONSTRUCTOR, parameters, None, docs))
            else:
                functions.append(self._named_function(docs, FunctionKind.METHOD))
        return tuple(functions)

    def _named_function(self, docs: str, kind: FunctionKind = FunctionKind.FREE) -> FunctionNode:
        name = self._name("a function, a type or `}`")
        self._expect(":")
        if kind is FunctionKind.METHOD and self._accept("static"):
            kind = FunctionKind.STATIC
        return self._function(name.text, name.span, kind, docs)

    def _function(self, name: str, span: Span, kind: FunctionKind, docs: str) -> FunctionNode:
        self._expect("func")
        self._expect("(")
        parameters = self._until(")", self._field)
        result = self._type() if self._accept("->") else None
        self._expect(";")
        return FunctionNode(name, span, kind, parameters, result, docs)

    def _type(self) -> TypeNode:
        token = self._next
        if token.kind is Kind.NAME:
            self._take()
            return TypeNode(token.text, token.span)
        if token.kind is not Kind.KEYWORD:
            self._fail("expected a type")
        if token.text in _PRIMITIVES:
            self._take()
            return TypeNode(token.text, token.span, builtin=True)
        least, most = {"list": (1, 1), "option": (1, 1), "own": (1, 1), "borrow": (1, 1), "result": (0, 2), "tuple": (1, 16)}.get(
            token.text, (-1, -1)
        )
        if most < 0:
            self._fail("expected a type")
        self._take()
        arguments = self._type_arguments(token) if self._accept("<") else ()
        if not least <= len(arguments) <= most:
            raise syntax_error(token.span, f"`{token.text}` takes {least if least == most else f'{least} to {most}'} types")
        return TypeNode(token.text, token.span, arguments, builtin=True)

    def _type_arguments(self, outer: Token) -> tuple[TypeNode | None, ...]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise syntax_error(outer.span, f"types nest deeper than {MAX_DEPTH}", kind="too-large")
        arguments = self._until(">", self._argument_of_result if outer.text == "result" else self._type)
        self._depth -= 1
        if not arguments:
            raise syntax_error(outer.span, f"`{outer.text}<>` names no type")
        return arguments

    def _argument_of_result(self) -> TypeNode | None:
        return None if self._accept("_") else self._type()

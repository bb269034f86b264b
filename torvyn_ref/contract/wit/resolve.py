"""From written names to resolved packages: every use followed to the definition, every mistake of a package reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Final

from torvyn_ref.contract.wit.definitions import Context, Target
from torvyn_ref.contract.wit.lexer import syntax_error
from torvyn_ref.contract.wit.model import (
    FunctionItem,
    InlineItem,
    Interface,
    InterfaceItem,
    InterfaceName,
    Item,
    Named,
    Package,
    PackageName,
    Resource,
    Span,
    Use,
    World,
)
from torvyn_ref.contract.wit.syntax import (
    Body,
    FileNode,
    IncludeNode,
    InterfaceNode,
    ItemNode,
    PathNode,
    WorldNode,
)
from torvyn_ref.errors import TorvynError, raise_all

MAX_CHAIN: Final = 64
"""How far a use is followed from interface to interface, and an include from world to world."""

MAX_ERRORS: Final = 100
"""How many mistakes are reported."""


def resolve(files: Sequence[FileNode], dependencies: Iterable[Package]) -> Package:
    """Return the package these files make up.

    Raises:
        TorvynError: subsystem "contract"; a `TorvynErrors` when there is more than one mistake. Kinds: unknown-name, unknown-package,
            duplicate, cycle, not-a-resource, borrow-in-result, package-mismatch, too-large, unsupported, syntax (no package named).

    """
    resolver = _Resolver(files, dependencies)
    package = resolver.package()
    raise_all(resolver.errors[:MAX_ERRORS])
    return package


class _Scope:
    """The names of one body: what it defines and what it uses. The first of two equal names counts."""

    def __init__(self, name: InterfaceName, body: Body) -> None:
        self.name = name
        self.body = body
        self.definitions = {node.name: node for node in reversed(body.definitions)}
        self.uses = {node.local: node for node in reversed(body.uses)}


class _Resolver:
    def __init__(self, files: Sequence[FileNode], dependencies: Iterable[Package]) -> None:
        self.errors: list[TorvynError] = []
        self._name = self._package_name(files)
        self._dependencies = {package.name: package for package in dependencies}
        self._foreign_targets = {
            interface.name: _visible(interface) for package in self._dependencies.values() for interface in package.interfaces
        }
        self._interface_nodes: dict[str, InterfaceNode] = {}
        self._world_nodes: dict[str, WorldNode] = {}
        taken: set[str] = set()
        for file in files:
            for interface in file.interfaces:
                if self._unique(taken, interface.name, interface.span):
                    self._interface_nodes[interface.name] = interface
            for world in file.worlds:
                if self._unique(taken, world.name, world.span):
                    self._world_nodes[world.name] = world
        self._scopes = {node.name: self._scope(node.name, node.body) for node in self._interface_nodes.values()}
        self._worlds: dict[str, World] = {}

    def package(self) -> Package:
        interfaces = tuple(self._interface(node) for node in self._interface_nodes.values())
        worlds = tuple(self._world(node, ()) for node in self._world_nodes.values())
        return Package(self._name, interfaces, worlds)

    # Errors

    def _error(self, span: Span, kind: str, message: str, *, hint: str | None = None) -> None:
        self.errors.append(syntax_error(span, message, kind=kind, hint=hint))

    def _unique(self, taken: set[str], name: str, span: Span) -> bool:
        if name in taken:
            self._error(span, "duplicate", f"the name {name} is taken")
            return False
        taken.add(name)
        return True

    def _all_unique(self, body: Body) -> None:
        taken: set[str] = set()
        for use in body.uses:
            self._unique(taken, use.local, use.span)
        for definition in body.definitions:
            self._unique(taken, definition.name, definition.span)
        for function in body.functions:
            self._unique(taken, function.name, function.span)

    # Names

    def _package_name(self, files: Sequence[FileNode]) -> PackageName:
        named = [file for file in files if file.package is not None]
        if not named or named[0].package is None:
            raise syntax_error(files[0].span, "no file names the package", hint="begin with `package namespace:name@version;`")
        for file in named[1:]:
            if file.package != named[0].package:
                self._error(file.span, "package-mismatch", f"this file is of {file.package}, {named[0].span.file} of {named[0].package}")
        return named[0].package

    def _scope(self, name: str, body: Body) -> _Scope:
        return _Scope(InterfaceName(self._name, name), body)

    def _scope_name(self, path: PathNode) -> InterfaceName:
        return InterfaceName(path.package or self._name, path.name)

    def _foreign(self, path: PathNode) -> Package | None:
        """Return the dependency a path leads into, having reported a missing one."""
        assert path.package is not None
        if (found := self._dependencies.get(path.package)) is not None:
            return found
        others = sorted(str(name) for name in self._dependencies if name.unversioned == path.package.unversioned)
        hint = f"there is {', '.join(others)}" if others else f"put {path.package} under deps/"
        self._error(path.span, "unknown-package", f"the package {path.package} is not here", hint=hint)
        return None

    def _is_own(self, path: PathNode) -> bool:
        return path.package is None or path.package == self._name

    def _export_of(self, path: PathNode, name: str, span: Span, steps: int) -> Target | None:
        """Follow `path.{name}` to where the type is defined, having reported what leads nowhere."""
        found: Target | None = None
        if steps > MAX_CHAIN:
            self._error(span, "cycle", f"the uses of {name} lead in a circle, or over more than {MAX_CHAIN} interfaces")
            return None
        if not self._is_own(path):
            package = self._foreign(path)
            if package is None:
                return None
            visible = self._foreign_targets.get(InterfaceName(package.name, path.name))
            if visible is None:
                self._error(path.span, "unknown-name", f"{package.name} has no interface {path.name}")
                return None
            found = visible.get(name)
        elif (scope := self._scopes.get(path.name)) is None:
            self._error(path.span, "unknown-name", f"{self._name} has no interface {path.name}")
            return None
        elif name in scope.definitions:
            found = _defined(scope, name)
        elif (use := scope.uses.get(name)) is not None:
            return self._export_of(use.path, use.name, use.span, steps + 1)
        if found is None:
            self._error(span, "unknown-name", f"{path.name} has no type {name}")
        return found

    # Bodies

    def _interface(self, node: InterfaceNode) -> Interface:
        return self._body(self._scopes[node.name], node.docs, node.span)

    def _body(self, scope: _Scope, docs: str, span: Span) -> Interface:
        context = self._context(scope)
        return Interface(
            scope.name,
            context.uses,
            tuple(context.definition(node) for node in scope.body.definitions),
            tuple(context.function(node) for node in scope.body.functions),
            docs,
            span,
        )

    def _context(self, scope: _Scope) -> Context:
        """Return a body's names for resolving what it defines, having checked them."""
        self._all_unique(scope.body)
        self._acyclic(scope)
        uses: list[Use] = []
        visible: dict[str, Target | None] = {name: _defined(scope, name) for name in scope.definitions}
        for use in scope.body.uses:
            target = self._export_of(use.path, use.name, use.span, 0)
            visible.setdefault(use.local, target)
            if target is not None:
                uses.append(Use(use.local, target.named, target.resource))
        return Context(self._error, tuple(uses), visible)

    def _acyclic(self, scope: _Scope) -> None:
        """Report types that contain themselves; WIT has no recursive types."""
        mentions = {name: node.contained_names() for name, node in scope.definitions.items()}
        try:
            TopologicalSorter(mentions).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            self._error(scope.definitions[cycle[0]].span, "cycle", f"a type contains itself: {' in '.join(cycle)}")

    # Worlds

    def _world(self, node: WorldNode, trail: tuple[str, ...]) -> World:
        if node.name in self._worlds:
            return self._worlds[node.name]
        scope = self._scope(node.name, node.body)
        context = self._context(scope)
        types = tuple(context.definition(definition) for definition in node.body.definitions)
        imports: dict[str, Item] = {}
        exports: dict[str, Item] = {}
        uses = dict.fromkeys(context.uses)
        for item_node in node.items:
            side = exports if item_node.exported else imports
            item = self._item(item_node, context)
            if item is not None and item.name in side:
                self._error(item_node.span, "duplicate", f"the name {item.name} is taken")
            elif item is not None:
                side[item.name] = item
        for include in node.includes:
            world = self._included(include.path, (*trail, node.name))
            if world is not None:
                self._merge(include, world, imports, exports)
                uses.update(dict.fromkeys(world.uses))
        made = World(scope.name, tuple(imports.values()), tuple(exports.values()), tuple(uses), types, node.docs, node.span)
        self._worlds[node.name] = made
        return made

    def _included(self, path: PathNode, trail: tuple[str, ...]) -> World | None:
        if not self._is_own(path):
            package = self._foreign(path)
            if package is None:
                return None
            world, home = package.world(path.name), package.name
        elif path.name in trail or len(trail) > MAX_CHAIN:
            self._error(path.span, "cycle", f"the world {path.name} includes itself, or includes nest deeper than {MAX_CHAIN}")
            return None
        else:
            node = self._world_nodes.get(path.name)
            world, home = self._world(node, trail) if node else None, self._name
        if world is None:
            self._error(path.span, "unknown-name", f"{home} has no world {path.name}")
        elif world.types or (home != self._name and any(isinstance(i, InlineItem) for i in (*world.imports, *world.exports))):
            self._error(path.span, "unsupported", f"the world {path.name} defines types of its own, and cannot be included")
            return None
        return world

    def _merge(self, include: IncludeNode, world: World, imports: dict[str, Item], exports: dict[str, Item]) -> None:
        renames, span = dict(include.renames), include.path.span
        known = {item.name: item for item in (*world.imports, *world.exports)}
        for name in renames:
            if isinstance(known.get(name), InlineItem):
                self._error(span, "unsupported", f"{name} is an interface written in place, and cannot be renamed")
            elif not isinstance(known.get(name), FunctionItem):
                self._error(span, "unknown-name", f"{world.name} has no import or export {name} that can be renamed")
        for into, items in ((imports, world.imports), (exports, world.exports)):
            for item in items:
                renamed = item
                if isinstance(item, FunctionItem) and item.name in renames:
                    renamed = FunctionItem(replace(item.function, name=renames[item.name]))
                if renamed.name in into and not isinstance(renamed, InterfaceItem):
                    self._error(span, "duplicate", f"the name {renamed.name} is taken", hint="rename it: include … with { … as … }")
                into.setdefault(renamed.name, renamed)

    def _item(self, node: ItemNode, context: Context) -> Item | None:
        if node.function is not None:
            return FunctionItem(context.function(node.function))
        if node.body is not None:
            return InlineItem(node.name, self._body(self._scope(node.name, node.body), "", node.span))
        assert node.path is not None
        if self._is_own(node.path):
            known = node.path.name in self._interface_nodes
        else:
            package = self._foreign(node.path)
            if package is None:
                return None
            known = package.interface(node.path.name) is not None
        if not known:
            self._error(node.path.span, "unknown-name", f"{node.path.package or self._name} has no interface {node.path.name}")
            return None
        return InterfaceItem(self._scope_name(node.path))


def _defined(scope: _Scope, name: str) -> Target:
    return Target(Named(scope.name, name), scope.definitions[name].keyword == "resource")


def _visible(interface: Interface) -> dict[str, Target]:
    """Return the types that can be used from an interface, those it uses itself included."""
    used = {use.name: Target(use.target, use.resource) for use in interface.uses}
    own = {node.name: Target(Named(interface.name, node.name), isinstance(node, Resource)) for node in interface.types}
    return used | own

"""What a new version of a WIT package does to those who use the old one (CON-040..CON-044).

Two resolved packages are compared by structure. Names carry the comparison: nothing is taken to have been renamed, except the parameters
of a function, whose order says which is which. A type that is only mentioned changes where it is defined and nowhere else, so a changed
record is one change and not one per function that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from torvyn_ref.contract.same import owning, same, same_named, same_optional
from torvyn_ref.contract.versions import Version
from torvyn_ref.contract.wit import (
    Alias,
    Definition,
    Enum,
    Flags,
    Function,
    FunctionItem,
    InlineItem,
    Interface,
    InterfaceItem,
    Item,
    Package,
    Record,
    Resource,
    Type,
    Use,
    Variant,
    World,
    format_type,
)

T = TypeVar("T")

UNVERSIONED = "0.0.0"
"""The version of a package that names none."""


class Verdict(StrEnum):
    """What a new version is to users of the old one, the worst last (CON-040)."""

    COMPATIBLE = "compatible"
    COMPATIBLE_WITH_ADDITIONS = "compatible-with-additions"
    BREAKING = "breaking"
    INCOMPATIBLE = "incompatible"


class Change(StrEnum):
    """Whether something is gone, new, or another than before."""

    REMOVED = "removed"
    ADDED = "added"
    CHANGED = "changed"


class Kind(StrEnum):
    """The class of a breaking change: what a tool sorts by, never derived from words of a message (CON-044)."""

    MISSING_FUNCTION = "missing-function"
    MISSING_INTERFACE = "missing-interface"
    TYPE_SIGNATURE = "type-signature"
    OWNERSHIP = "ownership"
    FIELD_REMOVED = "field-removed"
    CASE_REMOVED = "variant-case-removed"
    INCOMPATIBLE = "incompatible-major"


CODES: Mapping[Kind, str] = {
    Kind.INCOMPATIBLE: "E0140",
    Kind.MISSING_FUNCTION: "E0141",
    Kind.MISSING_INTERFACE: "E0142",
    Kind.TYPE_SIGNATURE: "E0143",
    Kind.OWNERSHIP: "E0144",
    Kind.FIELD_REMOVED: "E0145",
    Kind.CASE_REMOVED: "E0146",
}
"""The upstream's number of each kind."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two versions.

    Attributes:
        path: the names that lead to it, outermost first.
        change: what became of it.
        breaking: whether it breaks who uses the package; everything else is minor.
        what: the difference in words.
        kind: of a breaking one.
        links: whether a component that was built against the old version still links. Adding a case is minor for people, and fatal for the
            component model, which compares types whole (J-19).
    """

    path: tuple[str, ...]
    change: Change
    breaking: bool
    what: str
    kind: Kind | None = None
    links: bool = True


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two versions differ: deterministic, in the order of the old package, then what only the new one has (CON-041)."""

    old_version: str
    new_version: str
    differences: tuple[Difference, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst change decides; another major version is another contract, whatever its structure (CON-040)."""
        if _major(self.old_version) != _major(self.new_version):
            return Verdict.INCOMPATIBLE
        if any(difference.breaking for difference in self.differences):
            return Verdict.BREAKING
        return Verdict.COMPATIBLE_WITH_ADDITIONS if self.differences else Verdict.COMPATIBLE

    @property
    def link_compatible(self) -> bool:
        """Tell whether a component built against the old version links with the new one (J-19)."""
        return self.verdict is not Verdict.INCOMPATIBLE and all(difference.links for difference in self.differences)

    @property
    def breaking(self) -> tuple[Difference, ...]:
        """The breaking differences: those that get a diagnostic (CON-043)."""
        return tuple(difference for difference in self.differences if difference.breaking)


def compare(old: Package, new: Package) -> Comparison:
    """Return every difference between two versions of a package."""
    found = [*_interfaces(old, new), *_worlds(old, new)]
    return Comparison(old.name.version or UNVERSIONED, new.name.version or UNVERSIONED, tuple(found))


def compare_interfaces(old: Package, new: Package, names: Iterable[str]) -> tuple[Difference, ...]:
    """Return the differences of some interfaces, those that both packages have (CON-054, CON-055)."""
    differences: list[Difference] = []
    for name in names:
        before, after = old.interface(name), new.interface(name)
        if before is not None and after is not None:
            differences += _interface(before, after)
    return tuple(differences)


def _major(version: str) -> int:
    return Version.parse(version).major


def _breaks(path: tuple[str, ...], change: Change, kind: Kind, what: str) -> Difference:
    return Difference(path, change, breaking=True, what=what, kind=kind, links=False)


def _adds(path: tuple[str, ...], what: str, *, links: bool = True) -> Difference:
    return Difference(path, Change.ADDED, breaking=False, what=what, links=links)


def _matched(
    old: Mapping[str, T],
    new: Mapping[str, T],
    removed: Callable[[str], Difference],
    added: Callable[[str], Difference],
    both: Callable[[str, T, T], Iterable[Difference]],
) -> Iterator[Difference]:
    """Go through two sets of named things: those that are gone or there twice in the old order, then those that are new."""
    for name, before in old.items():
        if name in new:
            yield from both(name, before, new[name])
        else:
            yield removed(name)
    yield from (added(name) for name in new if name not in old)


def _interfaces(old: Package, new: Package) -> Iterator[Difference]:
    yield from _matched(
        {interface.name.name: interface for interface in old.interfaces},
        {interface.name.name: interface for interface in new.interfaces},
        lambda name: _breaks((name,), Change.REMOVED, Kind.MISSING_INTERFACE, f"the interface {name} is gone"),
        lambda name: _adds((name,), f"the interface {name} is new"),
        lambda _, before, after: _interface(before, after),
    )


def _interface(old: Interface, new: Interface) -> Iterator[Difference]:
    name = old.name.name
    yield from _types((name,), old.types, new.types)
    yield from _used((name,), old.uses, new.uses)
    yield from _functions((name,), old.functions, new.functions)


def _types(path: tuple[str, ...], old: Sequence[Definition], new: Sequence[Definition]) -> Iterator[Difference]:
    def gone(name: str) -> Difference:
        return _breaks((*path, name), Change.REMOVED, Kind.INCOMPATIBLE, f"the type {name} is gone")

    yield from _matched(
        {definition.name: definition for definition in old},
        {definition.name: definition for definition in new},
        gone,
        lambda name: _adds((*path, name), f"the type {name} is new"),
        lambda name, before, after: _definition((*path, name), before, after),
    )


def _used(path: tuple[str, ...], old: Sequence[Use], new: Sequence[Use]) -> Iterator[Difference]:
    """Compare types under borrowed names: they can be named from here, too, so they are types of this interface."""

    def another(name: str, before: Use, after: Use) -> Iterator[Difference]:
        if not same_named(before.target, after.target):
            yield _breaks((*path, name), Change.CHANGED, Kind.TYPE_SIGNATURE, f"the used type {name} is another one")

    yield from _matched(
        {use.name: use for use in old},
        {use.name: use for use in new},
        lambda name: _breaks((*path, name), Change.REMOVED, Kind.INCOMPATIBLE, f"the used type {name} is gone"),
        lambda name: _adds((*path, name), f"the used type {name} is new"),
        another,
    )


def _functions(path: tuple[str, ...], old: Sequence[Function], new: Sequence[Function]) -> Iterator[Difference]:
    yield from _matched(
        {_function_name(function): function for function in old},
        {_function_name(function): function for function in new},
        lambda name: _breaks((*path, name), Change.REMOVED, Kind.MISSING_FUNCTION, f"the function {name} is gone"),
        lambda name: _adds((*path, name), f"the function {name} is new"),
        lambda name, before, after: _function((*path, name), before, after),
    )


def _function_name(function: Function) -> str:
    return function.name or "constructor"


def _definition(path: tuple[str, ...], old: Definition, new: Definition) -> Iterator[Difference]:
    match old, new:
        case Record(), Record():
            yield from _record(path, old, new)
        case Variant(), Variant():
            types = {case.name: case.type for case in old.cases}, {case.name: case.type for case in new.cases}
            yield from _labels(path, "case", *types, removed=Kind.CASE_REMOVED)
        case Enum(), Enum():
            names = dict.fromkeys(case.name for case in old.cases), dict.fromkeys(case.name for case in new.cases)
            yield from _labels(path, "case", *names, removed=Kind.CASE_REMOVED)
        case Flags(), Flags():
            names = dict.fromkeys(flag.name for flag in old.flags), dict.fromkeys(flag.name for flag in new.flags)
            yield from _labels(path, "flag", *names, removed=Kind.INCOMPATIBLE)
        case Alias(), Alias():
            if not same(old.target, new.target):
                yield _breaks(path, Change.CHANGED, Kind.TYPE_SIGNATURE, _became("the type", old.target, new.target))
        case Resource(), Resource():
            yield from _functions(path, old.functions, new.functions)
        case _:
            what = f"{path[-1]} was a {type(old).__name__.lower()} and is a {type(new).__name__.lower()}"
            yield _breaks(path, Change.CHANGED, Kind.TYPE_SIGNATURE, what)


def _record(path: tuple[str, ...], old: Record, new: Record) -> Iterator[Difference]:
    """Compare two records: a value of one is none of the other unless names, types and order of all fields are the same."""
    before, after = {field.name: field.type for field in old.fields}, {field.name: field.type for field in new.fields}

    def retyped(name: str, one: Type, other: Type) -> Iterator[Difference]:
        if not same(one, other):
            yield _breaks((*path, name), Change.CHANGED, Kind.TYPE_SIGNATURE, _became(f"the field {name}", one, other))

    yield from _matched(
        before,
        after,
        lambda name: _breaks((*path, name), Change.REMOVED, Kind.FIELD_REMOVED, f"the field {name} is gone"),
        lambda name: _breaks((*path, name), Change.ADDED, Kind.INCOMPATIBLE, f"the field {name} is new, and every value must have it"),
        retyped,
    )
    if _moved(before, after):
        yield _breaks(path, Change.CHANGED, Kind.INCOMPATIBLE, f"the fields of {path[-1]} have another order")


def _labels(
    path: tuple[str, ...], word: str, old: Mapping[str, Type | None], new: Mapping[str, Type | None], *, removed: Kind
) -> Iterator[Difference]:
    """Compare cases or flags. Their order is their number; a new one keeps the others' only behind them."""

    def another(name: str, before: Type | None, after: Type | None) -> Iterator[Difference]:
        if not same_optional(before, after):
            yield _breaks((*path, name), Change.CHANGED, Kind.TYPE_SIGNATURE, f"the {word} {name} carries something else")

    yield from _matched(
        old,
        new,
        lambda name: _breaks((*path, name), Change.REMOVED, removed, f"the {word} {name} is gone"),
        lambda name: _adds((*path, name), f"the {word} {name} is new", links=False),
        another,
    )
    if _moved(old, new):
        yield _breaks(path, Change.CHANGED, Kind.INCOMPATIBLE, f"the {word}s of {path[-1]} have another order, and so other numbers")


def _moved(old: Iterable[str], new: Iterable[str]) -> bool:
    """Tell whether names that both have follow each other in another order."""
    olds, news = list(old), list(new)
    return [name for name in olds if name in set(news)] != [name for name in news if name in set(olds)]


def _function(path: tuple[str, ...], old: Function, new: Function) -> Iterator[Difference]:
    name = path[-1]
    if old.kind is not new.kind:
        yield _breaks(path, Change.CHANGED, Kind.TYPE_SIGNATURE, f"{name} was a {old.kind} function and is a {new.kind} one")
        return
    if len(old.parameters) != len(new.parameters):
        what = f"{name} took {len(old.parameters)} parameters and takes {len(new.parameters)}"
        yield _breaks(path, Change.CHANGED, Kind.TYPE_SIGNATURE, what)
    else:
        for before, after in zip(old.parameters, new.parameters, strict=True):
            if not same(before.type, after.type):
                kind = Kind.OWNERSHIP if same(owning(before.type), owning(after.type)) else Kind.TYPE_SIGNATURE
                what = _became(f"the parameter {before.name} of {name}", before.type, after.type)
                yield _breaks((*path, before.name), Change.CHANGED, kind, what)
            elif before.name != after.name:
                what = f"the parameter {before.name} of {name} is called {after.name}"
                yield Difference((*path, before.name), Change.CHANGED, breaking=False, what=what, links=False)
    if not same_optional(old.result, new.result):
        yield _breaks(path, Change.CHANGED, Kind.TYPE_SIGNATURE, f"{name} returns something else")


def _worlds(old: Package, new: Package) -> Iterator[Difference]:
    yield from _matched(
        {world.name.name: world for world in old.worlds},
        {world.name.name: world for world in new.worlds},
        lambda name: _breaks((name,), Change.REMOVED, Kind.INCOMPATIBLE, f"the world {name} is gone"),
        lambda name: _adds((name,), f"the world {name} is new"),
        lambda _, before, after: _world(before, after),
    )


def _world(old: World, new: World) -> Iterator[Difference]:
    """Compare two worlds from the component's side: what it must offer must not vanish, what it needs must not grow."""
    path = (old.name.name,)
    yield from _matched(
        _items(old.exports),
        _items(new.exports),
        lambda name: _breaks((*path, name), Change.REMOVED, Kind.INCOMPATIBLE, f"{path[0]} does not export {name} any more"),
        lambda name: _adds((*path, name), f"{path[0]} exports {name}"),
        lambda name, before, after: _item((*path, name), old.name.package.unversioned, before, after),
    )
    yield from _matched(
        _items(old.imports),
        _items(new.imports),
        lambda name: Difference((*path, name), Change.REMOVED, breaking=False, what=f"{path[0]} does not import {name} any more"),
        lambda name: _breaks((*path, name), Change.ADDED, Kind.INCOMPATIBLE, f"{path[0]} needs the import {name}"),
        lambda name, before, after: _item((*path, name), old.name.package.unversioned, before, after),
    )
    yield from _types(path, old.types, new.types)


def _items(items: Iterable[Item]) -> Mapping[str, Item]:
    """Return a world's items by name; an interface by its name without version, in which two versions of one package differ."""
    return {_item_name(item): item for item in items}


def _item_name(item: Item) -> str:
    return item.interface.unversioned if isinstance(item, InterfaceItem) else item.name


def _item(path: tuple[str, ...], package: str, old: Item, new: Item) -> Iterator[Difference]:
    match old, new:
        case FunctionItem(before), FunctionItem(after):
            yield from _function(path, before, after)
        case InterfaceItem(before), InterfaceItem(after):
            # The package's own interfaces are compared where they are defined; of a foreign one the major version is the contract.
            one, other = before.package, after.package
            if one.unversioned != package and _major(one.version or UNVERSIONED) != _major(other.version or UNVERSIONED):
                yield _breaks(path, Change.CHANGED, Kind.INCOMPATIBLE, f"{before} became {after}")
        case InlineItem(body=before), InlineItem(body=after):
            for difference in _interface(before, after):
                yield replace(difference, path=(*path, *difference.path[1:]))
        case _:
            yield _breaks(path, Change.CHANGED, Kind.TYPE_SIGNATURE, f"{path[-1]} is another kind of item")


def _became(what: str, old: Type, new: Type) -> str:
    return f"{what} was {format_type(old)} and is {format_type(new)}"

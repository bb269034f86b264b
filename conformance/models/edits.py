"""Every labelled edit of a WIT package, and what the rules say of it: the verdict table of CON-040 as code.

An edit knows its place, so a set of edits that do not meet can be applied together, and the worst of them decides. Nothing here compares
packages: the oracle is that the suite made the change itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from conformance.models.packages import Definition, Function, Interface, Named, Package, World

BREAKING, MINOR = "breaking", "minor"
REMOVED, ADDED, CHANGED = "removed", "added", "changed"

TYPE_SIGNATURE = frozenset({"type-signature"})
OTHERWISE = frozenset({"incompatible-major"})
EITHER = TYPE_SIGNATURE | OTHERWISE
"""For changes that may be read as one of a type's signature or as one of the others (CON-044)."""

DUAL = frozenset({"interface", "function", "type", "resource", "case", "flag", "world", "export"})
"""What can be removed and added freely: the removal breaks, the addition does not, and each undoes the other (CON-042)."""

_NEW = "brand-new"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a package.

    Attributes:
        label: what it does, in words.
        what: the kind of thing that is changed ("function", "case", "parameter" ...).
        path: the names that lead to it.
        change: removed, added or changed.
        severity: breaking or minor.
        apply: does it.
        kinds: the kinds that its diagnostic may have, when it breaks.
        optional: a runtime may leave the change out: it is accepted as none.
        links: whether what was built before still links afterwards.
        dual: it is a removal whose inverse is a mere addition, or the reverse.
    """

    label: str
    what: str
    path: tuple[str, ...]
    change: str
    severity: str
    apply: Callable[[Package], Package]
    kinds: frozenset[str] = OTHERWISE
    optional: bool = False
    links: bool = True
    dual: bool = False

    @property
    def claims(self) -> tuple[tuple[str, ...], ...]:
        """Return the parts of the package that it has for itself: an item of an interface, or a whole interface or world."""
        if self.what in {"export", "import"}:
            return self.path[:1], self.path[1:]
        return (self.path[:1] if self.what in {"world", "interface"} else self.path[:2],)

    def __str__(self) -> str:
        """Render the label with its place."""
        return f"{self.label} ({'/'.join(self.path)})"


def together(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return those edits, the first ones first, that do not meet each other."""
    chosen: list[Edit] = []
    for edit in edits:
        if not any(_meet(one, two) for other in chosen for one in edit.claims for two in other.claims):
            chosen.append(edit)
    return tuple(chosen)


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def apply(package: Package, edits: Iterable[Edit]) -> Package:
    """Return a package with all edits."""
    for edit in edits:
        package = edit.apply(package)
    return package


def verdicts(edits: Iterable[Edit]) -> frozenset[str]:
    """Return the verdicts that a comparison of the package before and after may have."""
    made = tuple(edits)
    if any(edit.severity == BREAKING for edit in made):
        return frozenset({"breaking"})
    if any(not edit.optional for edit in made):
        return frozenset({"compatible-with-additions"})
    return frozenset({"compatible", "compatible-with-additions"} if made else {"compatible"})


# ---- the table


def edits(package: Package) -> tuple[Edit, ...]:
    """Return every edit of the table that a package has a place for."""
    return (*_interfaces(package), *_worlds(package))


def _interfaces(package: Package) -> Iterator[Edit]:
    new = Interface(_NEW, functions=(Function("f", (("x", "u32"),)),))
    yield Edit(
        "add an interface",
        "interface",
        (_NEW,),
        ADDED,
        MINOR,
        lambda one: replace(one, interfaces=(*one.interfaces, new)),
        dual=True,
    )
    for interface in package.interfaces:
        if interface.name not in package.worldly():
            yield Edit(
                "remove an interface",
                "interface",
                (interface.name,),
                REMOVED,
                BREAKING,
                _without_interface(interface.name),
                frozenset({"missing-interface"}),
                dual=True,
            )
        yield from _functions(interface)
        yield from _types(interface)


def _without_interface(name: str) -> Callable[[Package], Package]:
    return lambda package: replace(package, interfaces=tuple(one for one in package.interfaces if one.name != name))


def _within(name: str, change: Callable[[Interface], Interface]) -> Callable[[Package], Package]:
    """Return what changes one interface of a package."""
    return lambda package: replace(package, interfaces=tuple(change(i) if i.name == name else i for i in package.interfaces))


def _with_function(name: str, made: Callable[[Function], Function | None]) -> Callable[[tuple[Function, ...]], tuple[Function, ...]]:
    """Return what changes one function of several; None removes it."""
    return lambda functions: tuple(
        other for function in functions if (other := made(function) if function.name == name else function) is not None
    )


Functions = Callable[[tuple[Function, ...]], tuple[Function, ...]]


def _functions(interface: Interface) -> Iterator[Edit]:
    def at(change: Functions) -> Callable[[Package], Package]:
        return _within(interface.name, lambda one: replace(one, functions=change(one.functions)))

    handles = frozenset(definition.name for definition in interface.types if definition.kind == "resource")
    yield from _function_edits((interface.name,), interface.functions, at, handles)
    for definition in interface.types:
        if definition.kind == "resource":

            def inside(change: Functions, name: str = definition.name) -> Callable[[Package], Package]:
                return _with_type(interface.name, name, lambda one: replace(one, functions=change(one.functions)))

            yield from _function_edits((interface.name, definition.name), definition.functions, inside, handles)


def _function_edits(
    path: tuple[str, ...], functions: tuple[Function, ...], at: Callable[[Functions], Callable[[Package], Package]], handles: frozenset[str]
) -> Iterator[Edit]:
    new = Function(_NEW, (("x", "u32"),), "string")
    yield Edit("add a function", "function", (*path, _NEW), ADDED, MINOR, at(lambda all_: (*all_, new)), dual=True)
    for function in functions:
        place = (*path, function.name)
        gone = at(_with_function(function.name, lambda _: None))
        yield Edit("remove a function", "function", place, REMOVED, BREAKING, gone, frozenset({"missing-function"}), dual=True)

        def changed(
            label: str,
            change: Callable[[Function], Function],
            kinds: frozenset[str] = TYPE_SIGNATURE,
            name: str = function.name,
            place: tuple[str, ...] = place,
        ) -> Edit:
            return Edit(label, "signature", place, CHANGED, BREAKING, at(_with_function(name, change)), kinds)

        yield changed("add a parameter", lambda one: replace(one, parameters=(*one.parameters, ("one-more", "u8"))))
        if function.result:
            yield changed("drop the result", lambda one: replace(one, result=""))
            yield changed("change the result", lambda one: replace(one, result=other_type(one.result)))
            yield from (changed("change inside the result", _with_result(other)) for other in inner_types(function.result))
        else:
            yield changed("return something", lambda one: replace(one, result="bool"))
        yield from _parameter_edits(function, changed, place, at, handles)


def _parameter_edits(
    function: Function,
    changed: Callable[..., Edit],
    place: tuple[str, ...],
    at: Callable[[Functions], Callable[[Package], Package]],
    handles: frozenset[str],
) -> Iterator[Edit]:
    if not function.parameters:
        return
    yield changed("remove a parameter", lambda one: replace(one, parameters=one.parameters[:-1]))
    for index, (name, kind) in enumerate(function.parameters):
        if "borrow<" in kind:
            taken = _BORROW.sub(r"\1", kind)
            yield changed("take what was lent", _with_parameter(index, (name, taken)), frozenset({"ownership"}))
        elif kind in handles:
            yield changed("lend what was taken", _with_parameter(index, (name, f"borrow<{kind}>")), frozenset({"ownership"}))
        yield changed("change a parameter's type", _with_parameter(index, (name, other_type(kind))))
        for other in inner_types(kind):
            yield changed("change inside a parameter's type", _with_parameter(index, (name, other)))
        renaming = at(_with_function(function.name, _with_parameter(index, (_NEW, kind))))
        yield Edit("rename a parameter", "parameter", place, CHANGED, MINOR, renaming, optional=True, links=False)


_BORROW = re.compile(r"borrow<([a-z0-9-]+)>")
_PRIMITIVE = re.compile(r"(?<![a-z0-9-])(?:bool|[us](?:8|16|32|64)|f32|f64|char|string)(?![a-z0-9-])")


def other_type(kind: str) -> str:
    """Return a type that is another one."""
    return "string" if kind != "string" else "u32"


def inner_types(kind: str) -> tuple[str, ...]:
    """Return types that differ from a composed one in one place inside; none for a type that is not composed."""
    if "<" not in kind:
        return ()
    return tuple(
        f"{kind[: match.start()]}{'f64' if match[0] != 'f64' else 'char'}{kind[match.end() :]}" for match in _PRIMITIVE.finditer(kind)
    )


def _with_result(kind: str) -> Callable[[Function], Function]:
    return lambda function: replace(function, result=kind)


def _with_parameter(index: int, parameter: Named) -> Callable[[Function], Function]:
    return lambda function: replace(function, parameters=_put(function.parameters, index, parameter))


def _put(items: tuple[Named, ...], index: int, item: Named) -> tuple[Named, ...]:
    return (*items[:index], item, *items[index + 1 :])


def _with_type(interface: str, name: str, change: Callable[[Definition], Definition | None]) -> Callable[[Package], Package]:
    """Return what changes one type of an interface; None removes it."""

    def types(one: Interface) -> Interface:
        changed = (change(definition) if definition.name == name else definition for definition in one.types)
        return replace(one, types=tuple(definition for definition in changed if definition is not None))

    return _within(interface, types)


def _with_new_type(interface: str, new: Definition) -> Callable[[Package], Package]:
    return _within(interface, lambda one: replace(one, types=(*one.types, new)))


def _with_members(interface: str, name: str, change: Callable[[tuple[Named, ...]], tuple[Named, ...]]) -> Callable[[Package], Package]:
    """Return what changes the members of a type."""
    return _with_type(interface, name, lambda one: replace(one, members=change(one.members)))


def _without(index: int) -> Callable[[tuple[Named, ...]], tuple[Named, ...]]:
    return lambda members: (*members[:index], *members[index + 1 :])


def _with(index: int, member: Named) -> Callable[[tuple[Named, ...]], tuple[Named, ...]]:
    return lambda members: _put(members, index, member)


def _types(interface: Interface) -> Iterator[Edit]:
    for new in (Definition("record", _NEW, (("x", "u32"),)), Definition("resource", f"{_NEW}-handle")):
        added = _with_new_type(interface.name, new)
        what = "resource" if new.kind == "resource" else "type"
        yield Edit(f"add a {what}", what, (interface.name, new.name), ADDED, MINOR, added, dual=True)
    for definition in interface.types:
        place = (interface.name, definition.name)
        if definition.name not in interface.named():
            what = "resource" if definition.kind == "resource" else "type"
            removal = _with_type(interface.name, definition.name, lambda _: None)
            yield Edit(f"remove a {what}", what, place, REMOVED, BREAKING, removal, EITHER, dual=True)
        if definition.kind == "type":
            aimed = _with_members(interface.name, definition.name, _with(0, ("", other_type(definition.members[0][1]))))
            yield Edit("retarget an alias", "alias", place, CHANGED, BREAKING, aimed, TYPE_SIGNATURE)
            for other in inner_types(definition.members[0][1]):
                aimed = _with_members(interface.name, definition.name, _with(0, ("", other)))
                yield Edit("change inside an alias", "alias", place, CHANGED, BREAKING, aimed, TYPE_SIGNATURE)
        elif definition.kind != "resource":
            yield from _member_edits(place, definition)


def _member_edits(place: tuple[str, str], definition: Definition) -> Iterator[Edit]:
    record, carries = definition.kind == "record", definition.kind in {"record", "variant"}
    word = "field" if record else "flag" if definition.kind == "flags" else "case"

    new: Named = (_NEW, "u32") if record else (_NEW, "")
    severity, dual = (BREAKING, False) if record else (MINOR, True)
    addition = _with_members(*place, lambda members: (*members, new))
    yield Edit(f"add a {word}", word, (*place, _NEW), ADDED, severity, addition, EITHER, links=False, dual=dual)
    for index, (name, kind) in enumerate(definition.members):
        if len(definition.members) > 1:
            kinds = {"field": frozenset({"field-removed"}), "case": frozenset({"variant-case-removed"}), "flag": OTHERWISE}[word]
            last = index == len(definition.members) - 1  # only then do the others keep their numbers when it comes back
            removal = _with_members(*place, _without(index))
            yield Edit(f"remove a {word}", word, (*place, name), REMOVED, BREAKING, removal, kinds, dual=not record and last)
        if carries:
            other = "" if kind and not record and index % 2 else other_type(kind)
            retyped = _with_members(*place, _with(index, (name, other)))
            label = f"retype a {word}" if kind and other else f"drop a {word}'s payload" if kind else f"give a {word} a payload"
            yield Edit(label, word, (*place, name), CHANGED, BREAKING, retyped, TYPE_SIGNATURE)
            for inner in inner_types(kind):
                retyped = _with_members(*place, _with(index, (name, inner)))
                yield Edit(f"change inside a {word}'s type", word, (*place, name), CHANGED, BREAKING, retyped, TYPE_SIGNATURE)
    if len(definition.members) > 1:
        turned = _with_members(*place, lambda members: (*members[1:], members[0]))
        yield Edit(f"reorder {word}s", word, place, CHANGED, BREAKING, turned, EITHER)
    other_kind = Definition("enum" if definition.kind != "enum" else "flags", definition.name, (("one", ""), ("two", "")))
    yield Edit("change a type's kind", "kind", place, CHANGED, BREAKING, _with_type(*place, lambda _: other_kind), EITHER)


def _exporting(name: str, *, no_more: bool = False) -> Callable[[World], World]:
    return lambda world: replace(world, exports=tuple(one for one in world.exports if one != name) if no_more else (*world.exports, name))


def _importing(name: str, *, no_more: bool = False) -> Callable[[World], World]:
    return lambda world: replace(world, imports=tuple(one for one in world.imports if one != name) if no_more else (*world.imports, name))


def _worlds(package: Package) -> Iterator[Edit]:
    new = World(f"{_NEW}-world")
    yield Edit("add a world", "world", (new.name,), ADDED, MINOR, lambda one: replace(one, worlds=(*one.worlds, new)), dual=True)
    for world in package.worlds:

        def at(change: Callable[[World], World | None], name: str = world.name) -> Callable[[Package], Package]:
            return lambda one: replace(
                one, worlds=tuple(w for old in one.worlds if (w := change(old) if old.name == name else old) is not None)
            )

        yield Edit("remove a world", "world", (world.name,), REMOVED, BREAKING, at(lambda _: None), dual=True)
        spare = [interface.name for interface in package.interfaces if interface.name not in (*world.imports, *world.exports)]
        for name in spare[:1]:
            place = (world.name, name)
            yield Edit("add a world's export", "export", place, ADDED, MINOR, at(_exporting(name)), dual=True)
            yield Edit("add a world's import", "import", place, ADDED, BREAKING, at(_importing(name)), EITHER)
        for name in world.exports:
            fewer = at(_exporting(name, no_more=True))
            yield Edit("remove a world's export", "export", (world.name, name), REMOVED, BREAKING, fewer, EITHER, dual=True)
        for name in world.imports:
            fewer = at(_importing(name, no_more=True))
            yield Edit("remove a world's import", "import", (world.name, name), REMOVED, MINOR, fewer)

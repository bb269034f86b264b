"""What Hypothesis draws for contracts: packages with everything that an edit can get hold of, and edits of them."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.models.edits import Edit, edits, together
from conformance.models.packages import Definition, Function, Interface, Named, Package, World

VERSIONS = ("", "0.1.0", "0.2.3", "1.0.0", "1.4.2", "3.0.0")

_plain = st.sampled_from(("bool", "u8", "u32", "u64", "string", "list<u8>", "option<string>", "result<u32, string>", "tuple<u8, char>"))
_members = st.sampled_from(("left", "right", "interface-id", "function-count", "lent"))
_names = st.sampled_from(("one", "two", "three"))


def _unique(names: st.SearchStrategy[str], least: int, most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(names, min_size=least, max_size=most, unique=True)


@st.composite
def _functions(draw: st.DrawFn, kinds: tuple[str, ...], prefix: str) -> tuple[Function, ...]:
    known = st.sampled_from(kinds) | _plain if kinds else _plain
    found = []
    for name in draw(_unique(_names, 0, 2)):
        parameters = tuple((parameter, draw(known)) for parameter in draw(_unique(_members, 0, 2)))
        result = draw(st.just("") | _plain)
        found.append(Function(f"{prefix}{name}", parameters, result))
    return tuple(found)


@st.composite
def _definition(draw: st.DrawFn, kind: str, name: str) -> Definition:
    if kind == "type":
        return Definition(kind, name, (("", draw(_plain)),))
    if kind == "resource":
        return Definition(kind, name, functions=draw(_functions((), "do-")))
    members: list[Named] = []
    for member in draw(_unique(_members, 1, 3)):
        carried = _plain if kind == "record" else st.just("") | _plain if kind == "variant" else st.just("")
        members.append((member, draw(carried)))
    return Definition(kind, name, tuple(members))


@st.composite
def _interface(draw: st.DrawFn, name: str) -> Interface:
    kinds = draw(st.lists(st.sampled_from(("record", "variant", "enum", "flags", "type", "resource")), max_size=3))
    types = [draw(_definition(kind, f"{kind}-{number}" if kind != "type" else f"alias-{number}")) for number, kind in enumerate(kinds)]
    handles = [one.name for one in types if one.kind == "resource"]
    usable = [*(one.name for one in types if one.kind != "resource"), *handles, *(f"borrow<{handle}>" for handle in handles)]
    return Interface(name, tuple(types), draw(_functions(tuple(usable), "")))


@st.composite
def packages(draw: st.DrawFn, versions: tuple[str, ...] = VERSIONS) -> Package:
    """Draw a package."""
    names = draw(_unique(st.sampled_from(("types", "sink", "extras")), 1, 3))
    worlds = []
    for name in draw(_unique(st.sampled_from(("plain-world", "other-world")), 0, 2)):
        imports, exports = draw(_unique(st.sampled_from(names), 0, 2)), draw(_unique(st.sampled_from(names), 0, 1))
        worlds.append(World(name, tuple(imports), tuple(export for export in exports if export not in imports)))
    interfaces = tuple(draw(_interface(name)) for name in names)
    return Package("acme:drawn", draw(st.sampled_from(versions)), interfaces, tuple(worlds))


@st.composite
def edited(draw: st.DrawFn, *, most: int = 4, dual: bool = False) -> tuple[Package, tuple[Edit, ...]]:
    """Draw a package and edits of it that do not meet; with `dual`, removals of what may be added again as well as any others."""
    package = draw(packages())
    possible = [edit for edit in edits(package) if not dual or edit.dual]
    chosen = draw(st.lists(st.sampled_from(possible), max_size=most)) if possible else []
    return package, together(chosen)

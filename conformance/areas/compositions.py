"""Whether components fit together, from their contracts alone (CON-050 to CON-058)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from conformance.areas.manifests import told
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.models.contracts import TYPES, streaming
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

Connections = Sequence[tuple[str, str]]

SHARED = "interface shared {{ record point {{ x: u32, y: {} }} f: func(at: point) -> {}; }}\n"
STRAIGHT = (("from", "through"), ("through", "to"))


def part(
    name: str,
    role: str,
    *more: dict[str, str],
    vendored: dict[str, str] | None = None,
    requires: tuple[str, ...] = (),
    granted: tuple[str, ...] = (),
) -> p.Part:
    """Return a component of a role that vendors the streaming package, and `more` packages."""
    own = f"package acme:{name}-part@0.1.0;\nworld {name}-world {{ export torvyn:streaming/{role}@0.1.0; }}\n"
    return p.Part(name, ({"world.wit": own}, streaming(role) if vendored is None else vendored, *more), requires, granted)


def shared(version: str = "1.0.0", kind: str = "u32", result: str = "bool", more: str = "") -> dict[str, str]:
    """Return a package that components share: `kind` and `result` change it, `more` adds to it."""
    return {"shared.wit": f"package acme:common@{version};\n{SHARED.format(kind, result)}{more}"}


def line(*more: p.Part, **middle: tuple[str, ...]) -> tuple[p.Part, ...]:
    """Return a source, a processor and a sink."""
    return part("from", "source"), part("through", "processor", **middle), part("to", "sink"), *more  # type: ignore[arg-type]  # its two tuples


def _evidence(parts: Iterable[p.Part], connections: Connections, reply: p.ContractCheckedReply) -> dict[str, object]:
    return {
        "components": {one.name: [text for package in one.packages for text in package.values()] for one in parts},
        "capabilities": {one.name: {"requires": one.requires, "granted": one.granted} for one in parts},
        "connections": [" -> ".join(ends) for ends in connections],
        "diagnostics": told(reply),
    }


def must_fit(session: Session) -> None:
    """Make sure that a good composition passes, or nothing can be said.

    Raises:
        Inconclusive: it does not.
    """
    reply = session.contracts.compose(line(), STRAIGHT)
    if not reply.ok:
        raise Inconclusive(f"a good composition does not pass: {told(reply)}")


def of_kind(reply: p.ContractCheckedReply, *kinds: str) -> list[p.Diagnostic]:
    """Return a reply's errors of some kinds."""
    return [one for one in reply.diagnostics if one.severity == "error" and one.kind in kinds]


def _names(diagnostic: p.Diagnostic, *names: str) -> bool:
    return all(name in diagnostic.about or f"'{name}'" in diagnostic.message for name in names)


def expect(
    session: Session,
    budget: Budget,
    rule: str,
    parts: Sequence[p.Part],
    connections: Connections,
    wanted: Callable[[p.ContractCheckedReply], list[p.Diagnostic]],
    expected: Sequence[tuple[str, ...]] | bool,  # noqa: FBT001 -- a list of names, or whether there is anything at all
    what: str,
) -> None:
    """Hold a composition's diagnostics to what is expected: the names that each is to have, one each; or whether there are any."""
    reply = session.contracts.compose(parts, connections)
    found, evidence = wanted(reply), _evidence(parts, connections, reply)
    if isinstance(expected, bool):
        budget.expect(rule, bool(found) == expected, f"{what}: {'not ' if expected else ''}told", found=told(reply), evidence=evidence)
    else:
        budget.expect_equal(rule, len(found), len(expected), f"the number of errors about {what}", evidence=evidence)
        for names in expected:
            fits = any(_names(one, *names) for one in found)
            budget.expect(rule, fits, f"no error about {what} names {', '.join(names)}", found=told(reply), evidence=evidence)
    if expected:
        budget.expect(rule, not reply.ok, f"{what} passes", found=told(reply), evidence=evidence)


@checks("CON-050", facet=Facet.CONTRACTS, kind="table")
def bad_ends_are_told_each(session: Session, budget: Budget) -> None:
    """One connection to an unknown component, one with two bad ends, two connections with one each."""
    must_fit(session)
    for connections, bad in (
        ((*STRAIGHT, ("through", "nowhere")), ("nowhere",)),
        ((*STRAIGHT, ("nowhere", "to")), ("nowhere",)),
        ((*STRAIGHT, ("nowhere", "elsewhere")), ("nowhere", "elsewhere")),
        ((*STRAIGHT, ("through", "thither"), ("hither", "to")), ("thither", "hither")),
    ):
        expected = [(name,) for name in bad]
        expect(session, budget, "CON-050", line(), connections, lambda r: of_kind(r, "invalid-topology"), expected, "unknown components")


@checks("CON-051", facet=Facet.CONTRACTS, kind="table")
def lonely_components_are_told(session: Session, budget: Budget) -> None:
    """Components in no connection, one and two of them; none where all are connected."""
    must_fit(session)

    def lonely(reply: p.ContractCheckedReply) -> list[p.Diagnostic]:
        return of_kind(reply, "disconnected")

    alone, other = part("alone", "processor"), part("apart", "sink")
    expect(session, budget, "CON-051", line(alone), STRAIGHT, lonely, [("alone",)], "a component in no connection")
    expect(session, budget, "CON-051", line(alone, other), STRAIGHT, lonely, [("alone",), ("apart",)], "components in no connection")
    connected = (*STRAIGHT, ("from", "alone"), ("alone", "apart"))
    expect(session, budget, "CON-051", line(alone, other), connected, lonely, [], "connected components")


@checks("CON-052", facet=Facet.CONTRACTS, kind="table")
def sources_and_sinks_have_one_side(session: Session, budget: Budget) -> None:
    """A connection into a source, one out of a sink, both at once, and neither."""
    must_fit(session)
    second, last = part("second", "source"), part("last", "sink")
    more = (*STRAIGHT, ("second", "through"), ("through", "last"))
    for wrong, incoming, outgoing in (
        ((("through", "second"),), ["second"], []),
        ((("to", "last"),), [], ["to"]),
        ((("to", "from"),), ["from"], ["to"]),
        ((), [], []),
    ):
        parts, connections = line(second, last), (*more, *wrong)
        for kind, names in (("source-has-incoming", incoming), ("sink-has-outgoing", outgoing)):

            def of(reply: p.ContractCheckedReply, kind: str = kind) -> list[p.Diagnostic]:
                return of_kind(reply, kind)

            expect(session, budget, "CON-052", parts, connections, of, [(name,) for name in names], kind)


@checks("CON-053", facet=Facet.CONTRACTS, kind="table")
def circles_are_told_once(session: Session, budget: Budget) -> None:
    """A circle of two, one of four, two disjoint ones: one error each time; none for a diamond."""
    must_fit(session)
    rings = [part(name, "processor") for name in ("a", "b", "c", "d")]

    def circle(reply: p.ContractCheckedReply) -> list[p.Diagnostic]:
        return of_kind(reply, "invalid-topology")

    fed = (*STRAIGHT, *(("from", one.name) for one in rings), *((one.name, "to") for one in rings))
    for ends, count in (
        ("ab ba", 1),
        ("ab bc cd da", 1),
        ("ab ba cd dc", 1),
        ("aa", 1),
        ("ab ac bd cd", 0),
    ):
        connections = (*fed, *(tuple(pair) for pair in ends.split()))
        expect(session, budget, "CON-053", line(*rings), connections, circle, [()] * count, "circles")  # type: ignore[arg-type]  # pairs


@checks("CON-054", facet=Facet.CONTRACTS, kind="table")
def connected_components_agree(session: Session, budget: Budget) -> None:
    """A shared package that breaks from upstream to downstream is told; additions, worlds and unconnected components are not."""
    must_fit(session)

    def breaking(reply: p.ContractCheckedReply) -> list[p.Diagnostic]:
        return of_kind(reply, "incompatible-major")

    extra = "interface extra { f: func(); }\n"
    more = SHARED.format("u32", "bool").replace("f: func", "g: func(); f: func")
    richer = {"shared.wit": f"package acme:common@1.0.0;\n{more}"}
    for what, up, down, told_of in (
        ("a field of another type", shared(), shared(kind="string"), True),
        ("a function of another result", shared(), shared(result="u8"), True),
        ("a function that downstream lacks", richer, shared(), True),
        ("a function that only downstream has", shared(), richer, False),
        ("a world that only upstream has", shared(more="world w { }\n"), shared(), False),
        ("an interface that only upstream has", shared(more=extra), shared(), False),
        ("the same package", shared(), shared(), False),
        ("another patch of the same package", shared("1.0.1"), shared("1.2.0"), False),
    ):
        parts = (part("from", "source", up), part("through", "processor", down), part("to", "sink"))
        expect(session, budget, "CON-054", parts, STRAIGHT, breaking, told_of, what)
        apart = (part("from", "source", up), part("through", "processor"), part("to", "sink", down))
        expect(session, budget, "CON-054", apart, STRAIGHT, breaking, expected=False, what=f"{what}, of components that are not connected")
    changed = streaming("processor", types=TYPES.replace("sequence: u64", "sequence: u32"))
    expect(
        session,
        budget,
        "CON-054",
        (part("from", "source"), part("through", "processor", vendored=changed), part("to", "sink")),
        STRAIGHT,
        breaking,
        expected=True,
        what="another sequence in the elements' metadata",
    )


@checks("CON-055", facet=Facet.CONTRACTS, kind="table")
def only_what_both_have_is_compared(session: Session, budget: Budget) -> None:
    """Components that vendor only their own interface fit; so do one with more and one with fewer of them."""
    whole = streaming("source", "processor", "sink", "buffer-allocator")
    for what, first, second in (
        ("components with the whole package each", whole, whole),
        ("a source and a sink with their own interface each", streaming("source"), streaming("sink")),
        (
            "one with the whole package and one with its own interface",
            streaming("source", "processor", "buffer-allocator"),
            streaming("sink"),
        ),
        ("one without the allocator and one with it", streaming("source"), streaming("sink", "buffer-allocator")),
    ):
        parts = part("from", "source", vendored=first), part("to", "sink", vendored=second)
        reply = session.contracts.compose(parts, (("from", "to"),))
        evidence = _evidence(parts, (("from", "to"),), reply)
        budget.expect("CON-055", reply.ok, f"{what} do not fit", found=told(reply), evidence=evidence)


@checks("CON-056", facet=Facet.CONTRACTS, kind="table")
def requirements_need_their_grant(session: Session, budget: Budget) -> None:
    """Required capabilities with their grants, without one of two, and with grants whose names are only alike."""
    must_fit(session)

    def unmet(reply: p.ContractCheckedReply) -> list[p.Diagnostic]:
        return of_kind(reply, "unmet-capability")

    both = ("wasi-random", "wasi-clocks")
    for granted, missing in (
        (both, ()),
        (("wasi-clocks", "wasi-random", "wasi-http"), ()),
        (("wasi-random",), ("wasi-clocks",)),
        ((), both),
        (("wasi-rando", "wasi-clocks-more"), both),
        (("WASI-RANDOM", "wasi", "*", " wasi-clocks"), both),
    ):
        parts = line(requires=both, granted=granted)
        expected = [("through", name) for name in missing]
        reply = session.contracts.compose(parts, STRAIGHT)
        evidence = _evidence(parts, STRAIGHT, reply)
        found = unmet(reply)
        budget.expect_equal("CON-056", len(found), len(expected), "the number of capabilities told as unmet", evidence=evidence)
        for component, name in expected:
            fits = any(_names(one, component) and name in f"{one.about} {one.message}" for one in found)
            budget.expect("CON-056", fits, f"no error says that {component} lacks {name}", found=told(reply), evidence=evidence)
        budget.expect_equal("CON-056", reply.ok, not expected, "whether the composition passes", evidence=evidence)
    elsewhere = (part("from", "source", granted=both), part("through", "processor", requires=both), part("to", "sink"))
    expect(session, budget, "CON-056", elsewhere, STRAIGHT, unmet, expected=True, what="a grant to another component")


@checks("CON-057", facet=Facet.CONTRACTS, kind="table")
def a_pipeline_has_one_major_of_a_package(session: Session, budget: Budget) -> None:
    """Three components, one of them with another major than the first, wherever it stands; minors and other packages do not count."""
    must_fit(session)

    def majors(reply: p.ContractCheckedReply) -> list[p.Diagnostic]:
        return of_kind(reply, "version-range-unsatisfiable")

    for versions, strangers in (
        (("1.0.0", "1.5.0", "1.0.1"), ()),
        (("1.0.0", "1.5.0", "2.0.0"), ("to",)),
        (("1.0.0", "2.0.0", "1.0.0"), ("through",)),
        (("2.0.0", "1.0.0", "1.5.0"), ("through", "to")),
        (("1.0.0", None, "3.0.0"), ("to",)),
        (("0.1.0", "0.2.0", "1.0.0"), ("to",)),
        (("1.0.0", "10.0.0", "1.0.0"), ("through",)),
    ):
        roles = (("from", "source"), ("through", "processor"), ("to", "sink"))
        parts = [
            part(name, role, *([] if version is None else [shared(version)])) for (name, role), version in zip(roles, versions, strict=True)
        ]
        expect(session, budget, "CON-057", parts, STRAIGHT, majors, [(name,) for name in strangers], f"the versions {versions}")


@checks("CON-058", facet=Facet.CONTRACTS, kind="example")
def all_errors_come_at_once(session: Session, budget: Budget) -> None:
    """A composition with one defect of each kind: each is told, in one answer."""
    must_fit(session)
    parts = (
        part("from", "source", shared()),
        part("through", "processor", shared(kind="string"), requires=("wasi-random",)),
        part("to", "sink", shared("2.0.0")),
        part("alone", "processor"),
    )
    connections = (*STRAIGHT, ("through", "nowhere"), ("through", "from"), ("to", "through"))
    reply = session.contracts.compose(parts, connections)
    found = Counter(one.kind for one in reply.diagnostics if one.severity == "error")
    evidence = _evidence(parts, connections, reply)
    for kind, least in (
        ("invalid-topology", 2),  # the unknown component, and a circle
        ("disconnected", 1),
        ("source-has-incoming", 1),
        ("sink-has-outgoing", 1),
        ("incompatible-major", 1),
        ("unmet-capability", 1),
        ("version-range-unsatisfiable", 1),
    ):
        enough = found[kind] >= least
        budget.expect("CON-058", enough, f"{kind} is not told among the others", expected=least, found=dict(found), evidence=evidence)

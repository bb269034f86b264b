"""Mutants that put together what does not fit, or tell of it badly (CON-050 to CON-058)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.contract.composition import Part, compose
from torvyn_ref.contract.diagnostics import Diagnostic

Connections = Sequence[tuple[str, str]]
Tell = Callable[[Sequence[Diagnostic]], Sequence[Diagnostic]]
Change = Callable[[Sequence[Part], Connections], tuple[Sequence[Part], Connections]]


def composing(
    name: str, *rules: str, summary: str, tell: Tell = lambda found: found, change: Change = lambda parts, joined: (parts, joined)
) -> None:
    """Register a composition of something else, or one that tells something else."""

    def composed(parts: Sequence[Part], connections: Connections) -> tuple[Diagnostic, ...]:
        return tuple(tell(compose(*change(parts, connections))))

    register(name, *rules, summary=summary, build=lambda: ReferenceParts(compose=composed))


def _without(kind: str, *, word: str = "") -> Tell:
    return lambda found: [one for one in found if one.kind != kind or word not in one.message]


def _first_of(kind: str, word: str) -> Tell:
    def tell(found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
        matching = [one for one in found if one.kind == kind and word in one.message]
        return [one for one in found if one not in matching[1:]]

    return tell


UNKNOWN, CIRCLE = "which is no component", "in a circle"

composing(
    "unknown-ends-pass",
    "CON-050",
    summary="A connection to an unknown component is left out without a word.",
    tell=_without("invalid-topology", word=UNKNOWN),
)
composing("one-bad-end-is-told", "CON-050", summary="Of two bad ends one is told.", tell=_first_of("invalid-topology", UNKNOWN))
composing("loneliness-passes", "CON-051", summary="A component in no connection passes.", tell=_without("disconnected"))
composing("one-lonely-component-is-told", "CON-051", summary="Of two lonely components one is told.", tell=_first_of("disconnected", ""))
composing("sources-may-be-fed", "CON-052", summary="A connection may lead into a source.", tell=_without("source-has-incoming"))
composing("sinks-may-feed", "CON-052", summary="A connection may lead out of a sink.", tell=_without("sink-has-outgoing"))
composing("circles-compose", "CON-053", summary="A circle passes.", tell=_without("invalid-topology", word=CIRCLE))


def _each_circle(found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
    circles = [one for one in found if CIRCLE in one.message]
    return [*found, *(replace(one, message=f"{one.message}, seen from {name}") for one in circles for name in one.about[1:])]


def _loops_aside(parts: Sequence[Part], connections: Connections) -> tuple[Sequence[Part], Connections]:
    return parts, [ends for ends in connections if ends[0] != ends[1]]


composing("circles-are-told-per-stage", "CON-053", summary="A circle is told of each component in it.", tell=_each_circle)
composing("a-loop-is-no-circle", "CON-053", summary="A component that feeds itself passes.", change=_loops_aside)


def _backwards(parts: Sequence[Part], connections: Connections) -> tuple[Sequence[Part], Connections]:
    return parts, [(target, source) for source, target in connections]


def _downstream_is_old(parts: Sequence[Part], connections: Connections) -> tuple[Diagnostic, ...]:
    told = [one for one in compose(parts, connections) if one.kind != "incompatible-major"]
    turned = [one for one in compose(*_backwards(parts, connections)) if one.kind == "incompatible-major"]
    return (*told, *turned)


composing("anything-reads-anything", "CON-054", summary="Shared packages are not compared.", tell=_without("incompatible-major"))
register(
    "downstream-is-the-old-side",
    "CON-054",
    summary="The downstream package is taken for the old one.",
    build=lambda: ReferenceParts(compose=_downstream_is_old),
)


def _everybody_meets(parts: Sequence[Part], connections: Connections) -> tuple[Diagnostic, ...]:
    told = [one for one in compose(parts, connections) if one.kind != "incompatible-major"]
    all_pairs = [(one.name, other.name) for number, one in enumerate(parts) for other in parts[number + 1 :]]
    return (*told, *(one for one in compose(parts, all_pairs) if one.kind == "incompatible-major"))


register(
    "strangers-are-compared",
    "CON-054",
    summary="Components that are not connected are compared, too.",
    build=lambda: ReferenceParts(compose=_everybody_meets),
)


def _whole_packages(parts: Sequence[Part], connections: Connections) -> tuple[Diagnostic, ...]:
    """Hold a missing interface against a component, as Torvyn 0.1.1 does."""
    by_name = {part.name: {package.name.unversioned: package for package in part.packages} for part in parts}
    missing = [
        Diagnostic("incompatible-major", "E0140", f"{source!r} and {target!r}: {name} has no {interface.name.name}", about=(source, target))
        for source, target in connections
        if source in by_name and target in by_name
        for name, package in by_name[source].items()
        if name in by_name[target]
        for interface in package.interfaces
        if by_name[target][name].interface(interface.name.name) is None
    ]
    return (*compose(parts, connections), *missing)


register(
    "whole-packages-are-compared",
    "CON-055",
    summary="An interface that one of two components does not vendor is missing.",
    build=lambda: ReferenceParts(compose=_whole_packages),
)
composing("requirements-are-wishes", "CON-056", summary="A required capability needs no grant.", tell=_without("unmet-capability"))


def _alike(parts: Sequence[Part], connections: Connections) -> tuple[Sequence[Part], Connections]:
    def kindly(part: Part) -> Part:
        more = [name for name in part.requires if any(name.startswith(grant) or grant.startswith(name) for grant in part.granted)]
        return replace(part, granted=(*part.granted, *more))

    return [kindly(part) for part in parts], connections


def _shared_grants(parts: Sequence[Part], connections: Connections) -> tuple[Sequence[Part], Connections]:
    everything = tuple(grant for part in parts for grant in part.granted)
    return [replace(part, granted=everything) for part in parts], connections


composing("grants-by-prefix", "CON-056", summary="A grant covers every name that begins like it.", change=_alike)
composing("grants-for-everybody", "CON-056", summary="A grant to one component is one to all.", change=_shared_grants)
composing("generations-mix", "CON-057", summary="Majors of one package may differ.", tell=_without("version-range-unsatisfiable"))


def _neighbours(parts: Sequence[Part], connections: Connections) -> tuple[Diagnostic, ...]:
    """Compare majors of connected components only."""
    joined = {frozenset(ends) for ends in connections}
    return tuple(
        one for one in compose(parts, connections) if one.kind != "version-range-unsatisfiable" or frozenset(one.about[:2]) in joined
    )


register(
    "only-neighbours-have-majors",
    "CON-057",
    summary="Majors are compared between connected components only.",
    build=lambda: ReferenceParts(compose=_neighbours),
)
composing("the-first-error-ends-it", "CON-058", summary="Only the first error of a composition is told.", tell=lambda found: found[:1])
composing(
    "capabilities-only-if-all-else-fits",
    "CON-058",
    summary="Unmet capabilities are told only when nothing else is wrong.",
    tell=lambda found: [one for one in found if one.kind != "unmet-capability"] or found,
)

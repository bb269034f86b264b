"""Mutants of the graph: flows that should never have been accepted, and orders that nobody declared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import count

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Role
from torvyn_ref.errors import TorvynErrors
from torvyn_ref.flow import EdgeDef, StageDef, Topology, TopologyError, topology

Build = Callable[[Sequence[StageDef], Sequence[EdgeDef]], Topology]


def graph(name: str, *rules: str) -> Callable[[Build], Build]:
    """Register a faulty way to build graphs; its docstring is the summary."""

    def add(build: Build) -> Build:
        summary = (build.__doc__ or "").strip()
        register(name, *rules, summary=summary, build=lambda: ReferenceParts(topology=build))
        return build

    return add


def forgiving(stages: Sequence[StageDef], edges: Sequence[EdgeDef], *kinds: str) -> Topology:
    """Build a graph whatever defects of these kinds it has."""
    try:
        return Topology.build(stages, edges)
    except (TopologyError, TorvynErrors) as error:
        if not _only(error, kinds):
            raise
    limits, topology.MAX_FAN, topology.MAX_STAGES = (topology.MAX_FAN, topology.MAX_STAGES), 10**6, 10**6
    defects, topology._defects = topology._defects, lambda *_given: []  # noqa: SLF001 -- what it would say is known
    try:
        return Topology.build(stages, edges)
    finally:
        topology._defects = defects  # noqa: SLF001 -- as above
        topology.MAX_FAN, topology.MAX_STAGES = limits


def _only(error: Exception, kinds: Collection[str]) -> bool:
    found = error.errors if isinstance(error, TorvynErrors) else (error,)
    return all(getattr(one, "kind", "") in kinds for one in found)


@graph("ghosts-are-ignored", "TOPO-001")
def _ghosts(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """An edge that names an unknown stage is left out."""
    names = {stage.name for stage in stages}
    return Topology.build(stages, [edge for edge in edges if edge.source in names and edge.target in names])


@graph("self-loops-are-ignored", "TOPO-001")
def _loops(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """An edge from a stage to itself is left out."""
    return Topology.build(stages, [edge for edge in edges if edge.source != edge.target])


@graph("sources-cannot-be-fed", "TOPO-001")
def _fed(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """An edge into a source is left out."""
    sources = {stage.name for stage in stages if stage.role is Role.SOURCE}
    return Topology.build(stages, [edge for edge in edges if edge.target not in sources])


@graph("circles-are-cut", "TOPO-001")
def _cut(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """An edge that leads back to an earlier declared stage is left out where it closes a circle."""
    order = {stage.name: place for place, stage in enumerate(stages)}
    back = [edge for edge in edges if order.get(edge.target, 0) < order.get(edge.source, 0)]
    pairs = {(edge.source, edge.target) for edge in edges}
    return Topology.build(stages, [edge for edge in edges if edge not in back or (edge.target, edge.source) not in pairs])


@graph("dead-ends-are-fine", "TOPO-002")
def _dead_ends(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """A stage that leads nowhere may swallow what it is given."""
    middle = {stage.name for stage in stages if stage.role is not Role.SOURCE}
    if {stage.name for stage in stages} - {edge.source for edge in edges} <= middle:
        return forgiving(stages, edges, "missing-output")
    return Topology.build(stages, edges)


@graph("idle-sources-are-fine", "TOPO-003")
def _idle_sources(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """A source without an edge is left out."""
    used = {edge.source for edge in edges} | {edge.target for edge in edges}
    return Topology.build([stage for stage in stages if stage.role is not Role.SOURCE or stage.name in used], edges)


@graph("seventeen-per-port", "TOPO-004")
def _seventeen(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """Any number of edges may leave or enter a port."""
    return forgiving(stages, edges, "fan-out", "fan-in")


@graph("sixteen-per-stage", "TOPO-004")
def _per_stage(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """The limit of edges counts a stage's ports together."""
    for stage in stages:
        leaving = [edge for edge in edges if edge.source == stage.name]
        if len(leaving) > topology.MAX_FAN:
            raise TopologyError("fan-out", f"{stage.name} has {len(leaving)} edges")
    return Topology.build(stages, edges)


@graph("the-last-of-a-name-wins", "TOPO-005")
def _last_name(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """Of two stages of one name the later replaces the earlier."""
    return Topology.build(list({stage.name: stage for stage in stages}.values()), edges)


@graph("nameless-ports-are-the-default", "TOPO-005")
def _nameless(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """A port without a name is taken for the default one."""
    return Topology.build(stages, [replace(edge, source_port=edge.source_port or "default") for edge in edges])


@graph("stops-at-the-first-error", "TOPO-006")
def _first_error(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """Only the first thing that is wrong with a graph is told."""
    try:
        return Topology.build(stages, edges)
    except TorvynErrors as errors:
        raise errors.errors[0] from None


@graph("doubles-are-merged", "TOPO-007")
def _merged(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """The same edge twice is taken for one."""
    return Topology.build(stages, list(dict.fromkeys(edges)))


_runs = count()


@graph("another-order-every-time", "TOPO-012")
def _another_order(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """Stages of one level come in declared order one time, and backwards the next."""
    if next(_runs) % 2:
        return Topology.build(stages, edges)
    built = Topology.build(stages, edges)
    order = sorted(range(len(stages)), key=lambda place: (built.levels[place], -place))
    return Topology(tuple(built.stages[i] for i in order), built.edges, tuple(built.levels[i] for i in order))


@graph("one-stage-too-many", "TOPO-015")
def _one_more(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    """The limit of stages that is declared is not kept."""
    return forgiving(stages, edges, "too-many-stages")

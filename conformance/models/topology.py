"""Which graphs are flows: every defect that the rules name, found from the definition (TOPO-001 to TOPO-005, TOPO-007).

Written from the rules' words, one question each, and in no hurry: reachability by closing a relation, a cycle as a stage that reaches
itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.subjects.protocol import FlowSpec

ROLES = frozenset({"source", "processor", "sink", "filter", "router", "aggregator"})
MOST_PER_PORT = 16
"""Edges that may leave, or enter, one port of one stage (TOPO-004)."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong with a graph.

    Attributes:
        rule: the rule that forbids it.
        kind: its symbolic kind, as a runtime reports it.
        message: what is wrong, in words.
        stage: where; empty where it is the whole graph.
    """

    rule: str
    kind: str
    message: str
    stage: str = ""


def reach(edges: frozenset[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return for each stage the stages that its elements can get to: the transitive closure of the edges."""
    following: dict[str, set[str]] = {}
    for source, target in edges:
        following.setdefault(source, set()).add(target)
    closure: dict[str, frozenset[str]] = {}
    for start, next_stages in following.items():
        seen: set[str] = set()
        todo = list(next_stages)
        while todo:
            stage = todo.pop()
            if stage not in seen:
                seen.add(stage)
                todo.extend(following.get(stage, ()))
        closure[start] = frozenset(seen)
    return closure


def defects(flow: FlowSpec) -> tuple[Defect, ...]:
    """Return everything that is wrong with a flow's graph; nothing for a flow that may run."""
    return tuple(_defects(flow))


def _defects(flow: FlowSpec) -> Iterator[Defect]:
    if not flow.stages:
        yield Defect("TOPO-001", "empty", "the flow has no stages")
        return
    names = Counter(stage.name for stage in flow.stages)
    for name, count in names.items():
        if not name:
            yield Defect("TOPO-005", "empty-name", "a stage has no name")
        if count > 1:
            yield Defect("TOPO-005", "duplicate-stage", f"{count} stages are called {name!r}", name)
    yield from _edges(flow, frozenset(names))
    yield from _places(flow)
    yield from _connected(flow, frozenset(names))


def _edges(flow: FlowSpec, names: frozenset[str]) -> Iterator[Defect]:
    for edge in flow.edges:
        for end in (edge.source, edge.target):
            if end not in names:
                yield Defect("TOPO-001", "unknown-stage", f"an edge names {end!r}, which is no stage", end)
        if not edge.port:
            yield Defect("TOPO-005", "empty-name", f"an edge from {edge.source!r} leaves by a port without a name", edge.source)
        if edge.source == edge.target:
            yield Defect("TOPO-001", "self-loop", f"an edge leads {edge.source!r} to itself", edge.source)
    for (source, port, target), count in Counter((edge.source, edge.port, edge.target) for edge in flow.edges).items():
        if count > 1:
            yield Defect("TOPO-007", "parallel-edges", f"{count} edges lead from port {port!r} of {source!r} to {target!r}", source)
    for (source, port), count in Counter((edge.source, edge.port) for edge in flow.edges).items():
        if count > MOST_PER_PORT:
            yield Defect("TOPO-004", "fan-out", f"{count} edges leave port {port!r} of {source!r}", source)
    for target, count in Counter(edge.target for edge in flow.edges).items():
        if count > MOST_PER_PORT:
            yield Defect("TOPO-004", "fan-in", f"{count} edges enter {target!r}", target)


def _places(flow: FlowSpec) -> Iterator[Defect]:
    """Find stages whose edges do not fit their role."""
    roles = {stage.role for stage in flow.stages}
    for role in ("source", "sink"):
        if role not in roles:
            yield Defect("TOPO-001", f"no-{role}", f"the flow has no {role}")
    feeding, fed = {edge.source for edge in flow.edges}, {edge.target for edge in flow.edges}
    for stage in flow.stages:
        name = stage.name
        if stage.role == "source" and name in fed:
            yield Defect("TOPO-001", "source-has-input", f"an edge leads into the source {name!r}", name)
        if stage.role == "sink" and name in feeding:
            yield Defect("TOPO-001", "sink-has-output", f"an edge leads out of the sink {name!r}", name)
        if stage.role != "sink" and name not in feeding:
            rule = "TOPO-003" if stage.role == "source" else "TOPO-002"
            yield Defect(rule, "missing-output", f"no edge leads out of the {stage.role} {name!r}", name)
        if stage.role != "source" and name not in fed:
            rule = "TOPO-001" if stage.role == "sink" else "TOPO-002"
            yield Defect(rule, "missing-input", f"no edge leads into the {stage.role} {name!r}", name)


def _connected(flow: FlowSpec, names: frozenset[str]) -> Iterator[Defect]:
    edges = frozenset((e.source, e.target) for e in flow.edges if e.source in names and e.target in names and e.source != e.target)
    closure = reach(edges)
    if any(stage in after for stage, after in closure.items()):
        yield Defect("TOPO-001", "cycle", "the flow runs in a circle")
    reached = {stage.name for stage in flow.stages if stage.role == "source"}
    for source in tuple(reached):
        reached |= closure.get(source, frozenset())
    for stage in flow.stages:
        if stage.name not in reached:
            yield Defect("TOPO-001", "unreachable", f"no source leads to {stage.name!r}", stage.name)

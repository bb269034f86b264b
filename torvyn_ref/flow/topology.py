"""A flow's graph: validated as a whole, every defect reported, then ordered (TOPO-001..TOPO-012, LINK-001..LINK-011)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torvyn_ref.calls import Role
from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.streams import StreamConfig

MAX_FAN = 16
"""Edges leaving, or entering, one port of one stage (TOPO-004)."""

MAX_STAGES = 1024
"""Stages of one flow: the specification names no limit and allows one (TOPO-015)."""

DEFAULT_PORT = "default"


@dataclass(frozen=True, slots=True)
class StageDef:
    """A stage by name and role."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class EdgeDef:
    """A stream from one stage's port to another's."""

    source: str
    target: str
    source_port: str = DEFAULT_PORT
    target_port: str = DEFAULT_PORT
    config: StreamConfig = field(default_factory=StreamConfig)

    def __str__(self) -> str:
        return f"{self.source}:{self.source_port} -> {self.target}:{self.target_port}"


class TopologyError(TorvynError):
    """A defect of the graph.

    `kind` is one of: empty, duplicate-stage, empty-name, unknown-stage, self-loop, source-has-input, sink-has-output, no-source, no-sink,
    missing-input, missing-output, cycle, unreachable, fan-out, fan-in, parallel-edges, too-many-stages.
    """

    def __init__(self, kind: str, message: str, *, where: str | None = None, code: str | None = None, **fields: Any) -> None:
        super().__init__("topology", kind, message, where=where, code=code, **fields)


@dataclass(frozen=True, slots=True)
class Topology:
    """A valid graph, in a deterministic topological order: sources first, ties by declaration (TOPO-012).

    Attributes:
        stages: in topological order.
        edges: in the order given; a stream's id is its index here.
        levels: the length of the longest path from a source, per stage in `stages` order.
    """

    stages: tuple[StageDef, ...]
    edges: tuple[EdgeDef, ...]
    levels: tuple[int, ...]

    @classmethod
    def build(
        cls,
        stages: Sequence[StageDef],
        edges: Sequence[EdgeDef],
        *,
        where: str | None = None,
        max_fan_out: int = MAX_FAN,
        max_fan_in: int = MAX_FAN,
    ) -> Topology:
        """Validate and order a graph; a graph may have limits of its own for the edges of a port (LINK-007).

        Raises:
            TopologyError: a defect; TorvynErrors when there are several.
        """
        raise_all(_defects(stages, edges, where, max_fan_out, max_fan_in))
        order = _kahn([stage.name for stage in stages], edges)
        by_name = {stage.name: stage for stage in stages}
        level = dict.fromkeys(order, 0)
        for name in order:
            for edge in edges:
                if edge.source == name:
                    level[edge.target] = max(level[edge.target], level[name] + 1)
        # Sources first: a stable sort by "is no source" keeps the order topological, for sources have no inputs.
        order.sort(key=lambda name: by_name[name].role is not Role.SOURCE)
        return cls(tuple(by_name[name] for name in order), tuple(edges), tuple(level[name] for name in order))


def _defects(
    stages: Sequence[StageDef], edges: Sequence[EdgeDef], where: str | None, max_fan_out: int, max_fan_in: int
) -> list[TopologyError]:
    errors: list[TopologyError] = []

    def found(kind: str, message: str, code: str, **fields: Any) -> None:
        errors.append(TopologyError(kind, message, where=where, code=code, **fields))

    if not stages:
        found("empty", "the flow has no stages", "E0900")
        return errors
    if len(stages) > MAX_STAGES:
        found("too-many-stages", f"the flow has {len(stages)} stages, at most {MAX_STAGES} are allowed", "E0900")
        return errors
    names = Counter(stage.name for stage in stages)
    for name, count in names.items():
        if not name:
            found("empty-name", "a stage has an empty name", "E0901")
        if count > 1:
            found("duplicate-stage", f"{count} stages are named {name!r}", "E0901", stage=name)
    for edge in edges:
        for end, port in ((edge.source, edge.source_port), (edge.target, edge.target_port)):
            if end not in names:
                found("unknown-stage", f"edge {edge} names {end!r}; the stages are {', '.join(map(repr, names))}", "E0902", stage=end)
            if not port:
                found("empty-name", f"edge {edge} has an empty port", "E0902", stage=end)
        if edge.source == edge.target:
            found("self-loop", f"edge {edge} leads a stage to itself", "E0903", stage=edge.source)
    for ends, count in Counter((e.source, e.source_port, e.target, e.target_port) for e in edges).items():
        if count > 1:
            found("parallel-edges", f"{count} edges connect {ends[0]}:{ends[1]} to {ends[2]}:{ends[3]}", "E0205", stage=ends[0])
    for kind, limit, fans in (
        ("fan-out", max_fan_out, Counter((e.source, e.source_port) for e in edges)),
        ("fan-in", max_fan_in, Counter((e.target, e.target_port) for e in edges)),
    ):
        for (name, port), count in fans.items():
            if count > limit:
                found(kind, f"{name}:{port} has {count} edges, at most {limit} are allowed", "E0925", stage=name)
    _role_defects(stages, edges, found)
    known = [edge for edge in edges if edge.source in names and edge.target in names and edge.source != edge.target]
    order = _kahn(list(names), known)
    if len(order) < len(names):
        cycle = _cycle([name for name in names if name not in order], known)
        found("cycle", f"the flow runs in a circle: {' -> '.join(cycle)}", "E0920", stages=cycle)
    elif not errors:
        reached = {stage.name for stage in stages if stage.role is Role.SOURCE}
        for name in order:
            if name in reached:
                reached.update(edge.target for edge in known if edge.source == name)
        for name in order:
            if name not in reached:
                found("unreachable", f"no source leads to stage {name!r}", "E0921", stage=name)
    return errors


def _role_defects(stages: Sequence[StageDef], edges: Sequence[EdgeDef], found: Any) -> None:
    roles = {stage.role for stage in stages}
    if Role.SOURCE not in roles:
        found("no-source", "the flow has no source", "E0926")
    if Role.SINK not in roles:
        found("no-sink", "the flow has no sink", "E0927")
    sources = {edge.source for edge in edges}
    targets = {edge.target for edge in edges}
    for stage in stages:
        has_input, has_output = stage.name in targets, stage.name in sources
        if stage.role is Role.SOURCE and has_input:
            found("source-has-input", f"source {stage.name!r} has an incoming edge", "E0922", stage=stage.name)
        if stage.role is Role.SINK and has_output:
            found("sink-has-output", f"sink {stage.name!r} has an outgoing edge", "E0923", stage=stage.name)
        if stage.role is not Role.SOURCE and not has_input:
            found("missing-input", f"{stage.role} {stage.name!r} has no incoming edge", "E0924", stage=stage.name)
        if stage.role is not Role.SINK and not has_output:
            found("missing-output", f"{stage.role} {stage.name!r} has no outgoing edge", "E0924", stage=stage.name)


def _kahn(names: Sequence[str], edges: Sequence[EdgeDef]) -> list[str]:
    waiting = Counter(edge.target for edge in edges)
    ready = [name for name in names if not waiting[name]]
    order: list[str] = []
    while ready:
        name = ready.pop(0)
        order.append(name)
        for edge in edges:
            if edge.source == name:
                waiting[edge.target] -= 1
                if not waiting[edge.target]:
                    ready.append(edge.target)
    return order


def _cycle(names: Sequence[str], edges: Sequence[EdgeDef]) -> list[str]:
    """Return one closed path among stages that Kahn's walk left over: walk backwards, every one of them has a predecessor there."""
    inside = set(names)
    path = [names[0]]
    while True:
        previous = next(edge.source for edge in edges if edge.target == path[-1] and edge.source in inside)
        if previous in path:
            loop = path[path.index(previous) :]
            return [*reversed([*loop, previous])] if loop[0] != previous else [previous, *reversed(loop)]
        path.append(previous)

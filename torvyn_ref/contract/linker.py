"""Whole pipelines, linked one after the other: first the graph, then everybody's imports and capabilities (LINK-001..LINK-023).

Nothing is started. What a flow needs to start is in `torvyn_ref.planning`, which asks the same rooms about components that were resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from torvyn_ref.calls import Role
from torvyn_ref.contract.link import Binding, Candidate, Linked, link
from torvyn_ref.contract.world import role_of_interface
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, TorvynErrors, raise_all
from torvyn_ref.flow.topology import MAX_FAN, EdgeDef, StageDef, Topology, TopologyError
from torvyn_ref.security.grants import Policy


@dataclass(frozen=True, slots=True)
class Node:
    """A node: the interface that it is to have, its component's imports and exports, what that declares, and what is granted to it."""

    name: str
    interface: str
    shape: ComponentShape
    declared: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is to be linked; an edge without settings has depth 64, blocks its producer, and joins ports named `default` (LINK-023)."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[EdgeDef, ...]
    max_fan_out: int = MAX_FAN
    max_fan_in: int = MAX_FAN


@dataclass(frozen=True, slots=True)
class LinkedNode:
    """A node that can be started: its role, and what serves its imports."""

    name: str
    role: Role
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class LinkedPipeline:
    """A pipeline that can be started.

    Attributes:
        nodes: in topological order; which of several possible ones is not promised (LINK-011).
        streams: each edge with the number of its stream, in the order given (LINK-019).
    """

    name: str
    nodes: tuple[LinkedNode, ...]
    streams: tuple[tuple[int, EdgeDef], ...]


class Linker:
    """Links pipelines, and numbers their streams through (LINK-019)."""

    def __init__(self) -> None:
        self._streams = count()

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link one pipeline.

        Args:
            pipeline: the pipeline.
            topology_only: an import that nothing serves is no reason to refuse it (LINK-020).

        Raises:
            TorvynError, TorvynErrors: all that is wrong with the graph (what `topology.Topology.build` and `world.role_of_interface`
                raise, and empty-name for the pipeline, E0205); or, when nothing is, all that is wrong with imports and capabilities, over
                all nodes (what `link.link` raises): who mends the graph first need not read the consequences of its faults (LINK-021).
        """
        topology = self._topology(pipeline)
        candidates = [
            Candidate(
                node=node.name,
                interface=node.interface,
                component=node.name,
                shape=node.shape,
                declared=node.declared,
                granted=node.granted,
                upstreams=tuple(edge.source for edge in pipeline.edges if edge.target == node.name),
            )
            for node in pipeline.nodes
        ]
        linked = self._bind(candidates, topology_only=topology_only)
        nodes = tuple(LinkedNode(stage.name, stage.role, linked[stage.name].bindings) for stage in topology.stages)
        return LinkedPipeline(pipeline.name, nodes, tuple((next(self._streams), edge) for edge in topology.edges))

    def _bind(self, candidates: Sequence[Candidate], *, topology_only: bool) -> Mapping[str, Linked]:
        """Find what serves everybody's imports."""
        return link(candidates, Policy.DENY_ALL, upstream_exports=True, skip_unresolved=topology_only)

    def _topology(self, pipeline: Pipeline) -> Topology:
        """Judge the graph, every defect of it."""
        errors: list[TorvynError] = []
        if not pipeline.name:
            errors.append(TopologyError("empty-name", "the pipeline has no name", code="E0205"))
        stages: list[StageDef] = []
        for node in pipeline.nodes:
            try:
                stages.append(StageDef(node.name, role_of_interface(node.interface, where=f"node '{node.name}', interface")))
            except TorvynError as error:
                error.fields.setdefault("node", node.name)
                errors += _each(error)
        if len(stages) < len(pipeline.nodes):  # without every role the graph would be judged for what is missing from it
            raise_all(errors)
        try:
            built = Topology.build(stages, pipeline.edges, max_fan_out=pipeline.max_fan_out, max_fan_in=pipeline.max_fan_in)
        except TorvynError as error:
            raise_all([*errors, *_each(error)])
            raise
        raise_all(errors)
        return built


def _each(error: TorvynError) -> Sequence[TorvynError]:
    return error.errors if isinstance(error, TorvynErrors) else (error,)

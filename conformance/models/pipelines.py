"""Pipelines as data for the linker's rules: nodes of each role, edges, and which kinds may be told of which defect (LINK-001..LINK-010)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from conformance.models.topology import defects
from conformance.subjects import protocol as p

TYPES, ALLOCATOR = "torvyn:streaming/types@0.1.0", "torvyn:streaming/buffer-allocator@0.1.0"

INTERFACES: Mapping[str, str] = MappingProxyType(
    {
        "source": "torvyn:streaming/source",
        "processor": "torvyn:streaming/processor",
        "sink": "torvyn:streaming/sink",
        "filter": "torvyn:filtering/filter",
        "router": "torvyn:filtering/router",
        "aggregator": "torvyn:aggregation/aggregator",
    }
)
"""The interface of each role."""

TOPOLOGY = "topology-error"

KINDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "empty": frozenset({TOPOLOGY, "empty"}),
        "empty-name": frozenset({TOPOLOGY, "empty-name"}),
        "duplicate-stage": frozenset({TOPOLOGY, "duplicate-stage", "duplicate-node"}),
        "unknown-stage": frozenset({TOPOLOGY, "unknown-stage", "unknown-node"}),
        "self-loop": frozenset({TOPOLOGY, "self-loop", "cyclic-dependency"}),
        "no-source": frozenset({TOPOLOGY, "no-source"}),
        "no-sink": frozenset({TOPOLOGY, "no-sink"}),
        "source-has-input": frozenset({"role-violation", "source-has-input"}),
        "sink-has-output": frozenset({"role-violation", "sink-has-output"}),
        "missing-input": frozenset({TOPOLOGY, "missing-input", "unconnected", "unreachable"}),
        "missing-output": frozenset({TOPOLOGY, "missing-output", "unconnected"}),
        "cycle": frozenset({"cyclic-dependency", "cycle"}),
        "unreachable": frozenset({TOPOLOGY, "unreachable", "unconnected"}),
        "fan-out": frozenset({TOPOLOGY, "fan-out"}),
        "fan-in": frozenset({TOPOLOGY, "fan-in"}),
    }
)
"""What a runtime may call each defect of `conformance.models.topology`: the linker's category, or the finer word."""

RULES: Mapping[str, str] = MappingProxyType(
    {
        "empty": "LINK-002",
        "empty-name": "LINK-001",
        "duplicate-stage": "LINK-010",
        "unknown-stage": "LINK-003",
        "self-loop": "LINK-010",
        "no-source": "LINK-008",
        "no-sink": "LINK-008",
        "source-has-input": "LINK-005",
        "sink-has-output": "LINK-005",
        "missing-input": "LINK-009",
        "missing-output": "LINK-009",
        "cycle": "LINK-006",
        "unreachable": "LINK-004",
        "fan-out": "LINK-007",
        "fan-in": "LINK-007",
    }
)
"""The linker's rule that forbids each defect."""


def node(
    name: str,
    role: str,
    *imports: str,
    exports: tuple[str, ...] = (),
    capabilities: tuple[str, ...] = (),
    granted: tuple[str, ...] = (),
    interface: str | None = None,
) -> p.PipelineNode:
    """Return a node that is in order: it imports the types, and exports the interface of its role."""
    own = INTERFACES[role]
    return p.PipelineNode(
        name,
        own if interface is None else interface,
        imports=(TYPES, *imports),
        exports=(f"{own}@0.1.0", *exports),
        capabilities=capabilities,
        granted=granted,
    )


def edge(text: str) -> p.PipelineEdge:
    """Read `source -> target` or `source:port -> target:port`."""
    (source, source_port), (target, target_port) = (end.partition(":")[::2] for end in text.split(" -> "))
    return p.PipelineEdge(source, target, source_port or None, target_port or None)


def pipeline(nodes: Iterable[p.PipelineNode], *edges: str, name: str = "judged") -> p.Pipeline:
    """Return a pipeline."""
    return p.Pipeline(name, tuple(nodes), tuple(map(edge, edges)))


Serving = tuple[str, str]
"""What serves an import: wasi or torvyn; upstream and the node; ambiguous; or unresolved."""


def serving(asked: p.Pipeline, host: frozenset[str], wasi: frozenset[str]) -> dict[tuple[str, str], Serving]:
    """Return what serves each node's imports, told from the rules: host first, then the direct upstreams, each counted once (LINK-012).

    `host` and `wasi` are what the host offers, by full name; every capability is taken to be granted.
    """
    exports = {one.name: frozenset(one.exports) for one in asked.nodes}
    found: dict[tuple[str, str], Serving] = {}
    for one in asked.nodes:
        above = {edge.source for edge in asked.edges if edge.target == one.name}
        for wanted in one.imports:
            offering = sorted(name for name in above if wanted in exports[name])
            if wanted in wasi:
                served: Serving = ("wasi", "")
            elif wanted in host:
                served = ("torvyn", "")
            elif len(offering) > 1:
                served = ("ambiguous", "")
            else:
                served = ("upstream", offering[0]) if offering else ("unresolved", "")
            found[one.name, wanted] = served
    return found


def found(asked: p.Pipeline, roles: Mapping[str, str]) -> frozenset[str]:
    """Return the defects of a pipeline's graph, by their kinds in `RULES`; `roles` tells each interface's role."""
    flow = p.FlowSpec(
        tuple(p.StageSpec(one.name, roles[one.interface]) for one in asked.nodes),
        tuple(p.EdgeSpec(one.source, one.target, one.source_port or "default") for one in asked.edges),
    )
    return frozenset(defect.kind for defect in defects(flow))

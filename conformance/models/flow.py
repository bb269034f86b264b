"""What a flow may do: its eight states, and which stages are ready (spec/reactor.md a, e).

The states are a table of the nine legal steps. Readiness is recomputed from what a trace has shown: depths, credits, pressure, pauses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from conformance.subjects.protocol import EdgeSpec, FlowSettings, FlowSpec

STATES = ("Created", "Validated", "Instantiated", "Running", "Draining", "Completed", "Cancelled", "Failed")
TERMINAL = frozenset({"Completed", "Cancelled", "Failed"})
LEGAL = frozenset(
    {
        ("Created", "Validated"),
        ("Created", "Failed"),
        ("Validated", "Instantiated"),
        ("Validated", "Failed"),
        ("Instantiated", "Running"),
        ("Running", "Draining"),
        ("Draining", "Completed"),
        ("Draining", "Cancelled"),
        ("Draining", "Failed"),
    }
)
"""The 9 legal pairs of the 64 (FLOW-001)."""

DATA_CALLS = {"source": "pull", "processor": "process", "sink": "push", "filter": "evaluate", "router": "route", "aggregator": "ingest"}
"""The call that moves one element through a stage of each role, by its WIT name."""

BATCHES = {"critical": 128, "high": 64, "normal": 32, "low": 16, "background": 8}
"""Stage executions between two yields, by priority (SCHED-007)."""

FORWARDS = frozenset({"filter", "router"})
"""The roles that create no element (ORD-005)."""

LOSSLESS = frozenset({"block-producer", "rate-limit"})
"""The overflow policies under which nothing is lost."""


def batch_of(settings: FlowSettings) -> int:
    """Return how many stage executions a flow makes between two yields: what it was given, else its priority's (SCHED-010)."""
    return BATCHES[settings.priority] if settings.elements_per_yield is None else settings.elements_per_yield


@dataclass(frozen=True, slots=True)
class StageShape:
    """A stage's place: its role, and the streams (by number) at its inputs and outputs."""

    name: str
    role: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def data_call(self) -> str:
        """Return the call that moves an element through this stage."""
        return DATA_CALLS[self.role]


class Topology:
    """A flow's graph with the questions that rules ask of it."""

    def __init__(self, spec: FlowSpec) -> None:
        self.edges: tuple[EdgeSpec, ...] = spec.edges
        self.stages = {
            stage.name: StageShape(
                stage.name,
                stage.role,
                tuple(i for i, edge in enumerate(spec.edges) if edge.target == stage.name),
                tuple(i for i, edge in enumerate(spec.edges) if edge.source == stage.name),
            )
            for stage in spec.stages
        }
        self.scripts = {stage.name: stage.script for stage in spec.stages}
        self._downstream = {name: self._reach(name) for name in self.stages}

    def _reach(self, start: str) -> frozenset[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for stream in self.stages[todo.pop()].outputs:
                target = self.edges[stream].target
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return frozenset(seen)

    def downstream(self, stage: str) -> frozenset[str]:
        """Return the stages that a stage's elements can reach."""
        return self._downstream[stage]

    def upstream_of(self, stage: str) -> frozenset[str]:
        """Return the stages from which elements can reach a stage."""
        return frozenset(name for name, reached in self._downstream.items() if stage in reached)

    def upstream(self, stage: str, role: str) -> tuple[str, ...]:
        """Return the stages of a role from which elements can reach a stage."""
        return tuple(name for name, shape in self.stages.items() if shape.role == role and stage in self._downstream[name])

    def paths(self, start: str, end: str) -> int:
        """Return in how many ways elements can get from one stage to another (2 stands for more)."""
        if start == end:
            return 1
        return min(sum(self.paths(start, self.edges[stream].source) for stream in self.stages[end].inputs), 2)

    def on_port(self, stage: str, ports: Iterable[str] | None) -> tuple[int, ...]:
        """Return the streams that leave a stage by the named ports (all of them when None), each once (TOPO-008, TOPO-009)."""
        wanted = None if ports is None else set(ports)
        return tuple(i for i in self.stages[stage].outputs if wanted is None or self.edges[i].port in wanted)

    def is_monotone(self, stream: int) -> bool:
        """Tell whether sequences must strictly increase on a stream.

        They do where every element is new (ORD-003). A filter or router passes on the numbers that it gets (ORD-005); where several streams
        meet at its input, their interleaving is free (ORD-009).
        """
        stage = self.stages[self.edges[stream].source]
        if stage.role not in FORWARDS:
            return True
        return len(stage.inputs) == 1 and self.is_monotone(stage.inputs[0])

    def blocks(self, stream: int) -> bool:
        """Tell whether a full stream suspends its producer (POLICY-001, POLICY-007)."""
        return self.edges[stream].policy in LOSSLESS

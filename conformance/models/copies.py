"""What a copy ledger must say: operations and bytes, by flow and reason (spec/resources.md COPY), and the copies of a whole flow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.models.flow import Topology
from conformance.subjects.protocol import Answer, FlowSpec

READ, WRITE, CLONE, RETURN = "HostToComponent", "ComponentToHost", "CrossComponent", "PoolReturn"
REASONS = (READ, WRITE, CLONE, RETURN)
ALIASES = {"PayloadRead": READ, "PayloadWrite": WRITE}
"""Other names that the specification accepts (COPY-007, D-18)."""
METADATA = "MetadataMarshal"
"""Counted apart, if at all (COPY-008)."""


def named(ops: dict[str, int]) -> dict[str, int]:
    """Return counts under the rulebook's names."""
    return {ALIASES.get(reason, reason): count for reason, count in ops.items()}


@dataclass(slots=True)
class FlowLedger:
    """One flow's copies. An operation on no bytes may count or not (COPY-004), so each reason has a least and a most."""

    least: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    routes: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def copied(self, reason: str, size: int, source: str, target: str) -> None:
        """Take note of one copy that succeeded."""
        self.least[reason] += bool(size)
        self.most[reason] += 1
        self.moved[reason] += size
        if size:
            self.routes[source, target, reason] += size

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all reasons."""
        return self.moved.total()

    def allows(self, reason: str, ops: int) -> bool:
        """Tell whether a number of operations fits."""
        return self.least[reason] <= ops <= self.most[reason]


# ---- whole flows


@dataclass(slots=True)
class StageWork:
    """What one stage copies: payload bytes that entered, were read and were written."""

    entered: int = 0
    read: int = 0
    written: int = 0

    @property
    def amplification(self) -> float | None:
        """Return bytes moved per byte received (COPY-017); None where nothing was received."""
        return (self.read + self.written) / self.entered if self.entered else None


@dataclass(slots=True)
class FlowWork:
    """The copies of a whole flow, and of each stage."""

    ops: Counter[str] = field(default_factory=Counter)
    total_bytes: int = 0
    stages: dict[str, StageWork] = field(default_factory=dict)

    def count(self, reason: str, ops: int, size: int) -> None:
        """Add copies."""
        self.ops[reason] += ops
        self.total_bytes += size


def expected_copies(spec: FlowSpec) -> FlowWork:
    """Return what a flow copies that runs to its natural end without a failure, a loss or a cancel: the topology oracle (COPY-015).

    Every stage is played element by element with the answers of its script: a source writes what it emits, a processor reads and writes
    it (or clones), others copy only what their script reads.

    Raises:
        ValueError: the flow has an aggregator or several inputs into one stage, whose order the scripts do not fix.
    """
    topology, work = Topology(spec), FlowWork()
    arrived: dict[str, list[int]] = {stage.name: [] for stage in spec.stages}
    for name in sorted(topology.stages, key=lambda name: sum(name in topology.downstream(other) for other in topology.stages)):
        shape, script, done = topology.stages[name], topology.scripts[name], StageWork()
        if shape.role == "aggregator" or len(shape.inputs) > 1:
            raise ValueError(f"{name}: the oracle knows no aggregators and no fan-in")
        work.stages[name] = done
        if shape.role == "source":
            emits = [answer for answer in script.answers if answer.do == "emit"]
            for number, answer in enumerate(emits):
                size = max(answer.size, len(f"{name}#{number} "))
                work.count(WRITE, 1, size)
                done.written += size
                _deliver(topology, arrived, name, size, None)
            continue
        for index, size in enumerate(arrived[name]):
            answer = script.answers[index] if index < len(script.answers) else script.then or Answer("emit")
            done.entered += size
            pieces = -(-size // answer.chunk) if answer.chunk else 1
            work.count(READ, answer.reads * pieces, answer.reads * size)
            done.read += answer.reads * size
            if answer.do == "emit" and answer.clones:
                work.count(CLONE, 1, size)
            elif answer.do == "emit":
                work.count(READ, 1, size)
                work.count(WRITE, 1, size)
                done.read += size
                done.written += size
            if answer.do in {"emit", "pass", "route"}:
                _deliver(topology, arrived, name, size, answer.ports if answer.do == "route" else None)
    return work


def _deliver(topology: Topology, arrived: dict[str, list[int]], name: str, size: int, ports: tuple[str, ...] | None) -> None:
    for stream in topology.stages[name].outputs if ports is None else topology.on_port(name, list(ports)):
        arrived[topology.edges[stream].target].append(size)

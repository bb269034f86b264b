"""What a flow's end says about its life (FLOW-016, FLOW-017)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torvyn_ref.calls import Call, Failure
from torvyn_ref.flow.cancellation import Reason
from torvyn_ref.flow.states import FlowState
from torvyn_ref.ids import Owner, show_owner
from torvyn_ref.resources import Balance, CopyReason, Reclaimed
from torvyn_ref.streams import StreamStatistics


@dataclass(frozen=True, slots=True)
class StageStatistics:
    """A stage's work: calls made, calls failed, nanoseconds inside the component, bytes copied per byte that entered (COPY-017)."""

    name: str
    invocations: int
    errors: int
    busy_ns: int
    amplification: float | None = None


@dataclass(frozen=True, slots=True)
class StageFailure:
    """Which component failed, in which call, and how (ERR-007)."""

    stage: str
    call: Call
    failure: Failure

    def __str__(self) -> str:
        return f"{self.stage}.{self.call}: {self.failure.kind} ({self.failure.cause}): {self.failure.message}"


@dataclass(frozen=True, slots=True)
class Kept:
    """Buffers that one stage still had when the flow ended, and that were taken back: who leaked, how much, since when (OWN-040).

    Attributes:
        stage: who had them; `host` for the runtime itself.
        maker: the stage that allocated them.
        capacity: in bytes, summed.
        oldest_ns: age of the oldest; None when no allocation named its instant.
    """

    stage: str
    maker: str
    buffers: int
    capacity: int
    oldest_ns: int | None


def kept(freed: Iterable[Reclaimed], stages: Mapping[Owner, str], now: int) -> tuple[Kept, ...]:
    """Sum up what a flow's end took back, by who had it and who made it."""
    groups: dict[tuple[str, str], list[Reclaimed]] = {}
    for record in freed:
        stage, maker = (stages.get(owner, show_owner(owner)) for owner in (record.previous_owner, record.maker))
        groups.setdefault((stage, maker), []).append(record)
    sums = []
    for (stage, maker), records in sorted(groups.items()):
        ages = [now - record.allocated_ns for record in records if record.allocated_ns]
        sums.append(Kept(stage, maker, len(records), sum(record.capacity for record in records), max(ages, default=None)))
    return tuple(sums)


@dataclass(frozen=True, slots=True)
class FlowReport:
    """A finished flow.

    Attributes:
        elements_in: elements that sources brought in.
        delivered: elements that sinks accepted, summed over sinks.
        discarded: elements thrown away when the flow ended.
        duration_ns: Running and Draining together.
        streams: in the order of the flow's edges.
        live_buffers: of this flow, after everything was released: 0, or the runtime is broken (CANCEL-015).
        reclaimed_buffers: what components had kept and the flow's end took back.
        kept: the same, by stage.
        balance: of the flow's buffers after that: all that were created have been released, or are live.
    """

    state: FlowState
    reason: Reason
    failure: StageFailure | None
    elements_in: int
    delivered: int
    discarded: int
    duration_ns: int
    streams: tuple[StreamStatistics, ...]
    stages: tuple[StageStatistics, ...]
    copies: dict[CopyReason, int]
    copied_bytes: dict[CopyReason, int]
    live_buffers: int
    reclaimed_buffers: int
    kept: tuple[Kept, ...]
    balance: Balance

    @property
    def total_elements(self) -> int:
        """Return the sum over streams (FLOW-017): N elements through S → P → K count 2N."""
        return sum(stream.elements for stream in self.streams)

    @property
    def pressure_events(self) -> int:
        """Return how often pressure set in, over all streams."""
        return sum(stream.pressure_events for stream in self.streams)

"""The copy ledger: every byte that crosses a component boundary, by flow and reason (COPY-001..COPY-018)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torvyn_ref.ids import FlowId


class CopyReason(StrEnum):
    """Why bytes were copied. Order is normative (COPY-007)."""

    HOST_TO_COMPONENT = "HostToComponent"
    COMPONENT_TO_HOST = "ComponentToHost"
    CROSS_COMPONENT = "CrossComponent"
    POOL_RETURN = "PoolReturn"


@dataclass(frozen=True, slots=True)
class CopyStats:
    """A flow's copies so far: operations and bytes by reason; `total_*` are their sums (COPY-006)."""

    ops_by_reason: dict[CopyReason, int]
    bytes_by_reason: dict[CopyReason, int]

    @property
    def total_copy_ops(self) -> int:
        """Return the number of copies, whatever the reason."""
        return sum(self.ops_by_reason.values())

    @property
    def total_payload_bytes(self) -> int:
        """Return the bytes copied, whatever the reason."""
        return sum(self.bytes_by_reason.values())


class FlowCopies:
    """One flow's running counters; the manager adds to them on its hot path."""

    __slots__ = ("cross_bytes", "cross_ops", "read_bytes", "read_ops", "write_bytes", "write_ops")

    def __init__(self) -> None:
        self.read_ops = self.read_bytes = 0  # host → component
        self.write_ops = self.write_bytes = 0  # component → host
        self.cross_ops = self.cross_bytes = 0  # clone-into-mutable

    def stats(self) -> CopyStats:
        """Return the counters as a value. A pool return never copies, so its count is 0 (D-46)."""
        reason = CopyReason
        return CopyStats(
            {
                reason.HOST_TO_COMPONENT: self.read_ops,
                reason.COMPONENT_TO_HOST: self.write_ops,
                reason.CROSS_COMPONENT: self.cross_ops,
                reason.POOL_RETURN: 0,
            },
            {
                reason.HOST_TO_COMPONENT: self.read_bytes,
                reason.COMPONENT_TO_HOST: self.write_bytes,
                reason.CROSS_COMPONENT: self.cross_bytes,
                reason.POOL_RETURN: 0,
            },
        )


class CopyLedger(dict[FlowId, FlowCopies]):
    """Counters by flow, opened when first asked for (COPY-014), kept after the flow has ended until they are taken (COPY-013)."""

    def __missing__(self, flow: FlowId) -> FlowCopies:
        copies = self[flow] = FlowCopies()
        return copies

    def stats(self, flow: FlowId) -> CopyStats:
        """Return a flow's counters; an unknown flow has zeros (COPY-012)."""
        return (self.get(flow) or FlowCopies()).stats()

    def close(self, flow: FlowId) -> CopyStats:
        """Return a flow's final counters and forget them; a second call returns zeros."""
        return (self.pop(flow, None) or FlowCopies()).stats()

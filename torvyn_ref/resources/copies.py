"""The copy ledger: every byte that crosses a component boundary, by flow, component and reason (COPY-001..COPY-018)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from torvyn_ref.ids import HOST, FlowId, Handle, Owner


class CopyReason(StrEnum):
    """Why bytes were copied. Order is normative (COPY-007)."""

    HOST_TO_COMPONENT = "HostToComponent"
    COMPONENT_TO_HOST = "ComponentToHost"
    CROSS_COMPONENT = "CrossComponent"
    POOL_RETURN = "PoolReturn"


CopyListener = Callable[[Handle, Owner, Owner, FlowId, int, CopyReason], None]
"""Hears of one copy: buffer, source, target, the buffer's flow, bytes, reason. The instant is the listener's to note (COPY-009)."""


@dataclass(frozen=True, slots=True)
class CopyRoute:
    """Copies that went the same way for the same reason (COPY-009).

    A write goes from the component to the host, a read from the host to the component, and a clone from the owner of the original to the
    component that asked for it. The host's number is no component's.
    """

    source: Owner
    target: Owner
    reason: CopyReason
    ops: int
    bytes: int

    @property
    def component(self) -> Owner:
        """Return whose call caused the copies."""
        return self.source if self.reason is CopyReason.COMPONENT_TO_HOST else self.target


@dataclass(frozen=True, slots=True)
class CopyStats:
    """A flow's copies so far: operations and bytes by reason; `total_*` are their sums (COPY-006).

    Attributes:
        routes: the same copies by component and direction.
        lent_bytes: by component, the sizes of the buffers lent to it, one borrow at a time: what has entered a stage.
    """

    ops_by_reason: dict[CopyReason, int]
    bytes_by_reason: dict[CopyReason, int]
    routes: tuple[CopyRoute, ...] = ()
    lent_bytes: dict[Owner, int] = field(default_factory=dict)

    @property
    def total_copy_ops(self) -> int:
        """Return the number of copies, whatever the reason."""
        return sum(self.ops_by_reason.values())

    @property
    def total_payload_bytes(self) -> int:
        """Return the bytes copied, whatever the reason."""
        return sum(self.bytes_by_reason.values())

    def copied_by(self, component: Owner) -> int:
        """Return the bytes that a component's calls have copied."""
        return sum(route.bytes for route in self.routes if route.component == component)


SUSPICIOUS_AMPLIFICATION: Final = 3.0
"""A stage above this copies more than reading and writing each element once can explain (COPY-017)."""


def amplification(stats: CopyStats, component: Owner) -> float | None:
    """Return a stage's copy amplification: bytes that it read, wrote and cloned per byte that entered it (COPY-017, D-21).

    0.0 for a stage that looks at metadata only, 1.0 for one that reads, 2.0 for one that reads and writes as much; a clone counts once.
    None when nothing has entered it, as for a source: there is no ratio.
    """
    entered = stats.lent_bytes.get(component, 0)
    return stats.copied_by(component) / entered if entered else None


class ComponentCopies:
    """One component's running counters in one flow; the manager adds to them on its hot path."""

    __slots__ = ("cross", "lent_bytes", "read_bytes", "read_ops", "write_bytes", "write_ops")

    def __init__(self) -> None:
        self.read_ops = self.read_bytes = 0  # host → component
        self.write_ops = self.write_bytes = 0  # component → host
        self.lent_bytes = 0
        self.cross: dict[Owner, tuple[int, int]] = {}  # clone-into-mutable: ops and bytes by the original's owner

    def cloned(self, source: Owner, size: int) -> None:
        """Count one clone of a buffer that `source` owns."""
        ops, total = self.cross.get(source, (0, 0))
        self.cross[source] = (ops + 1, total + size)

    def routes(self, component: Owner) -> Iterator[CopyRoute]:
        """Return the counters that are not zero, with their direction."""
        if self.read_ops:
            yield CopyRoute(HOST, component, CopyReason.HOST_TO_COMPONENT, self.read_ops, self.read_bytes)
        if self.write_ops:
            yield CopyRoute(component, HOST, CopyReason.COMPONENT_TO_HOST, self.write_ops, self.write_bytes)
        for source, (ops, size) in self.cross.items():
            yield CopyRoute(source, component, CopyReason.CROSS_COMPONENT, ops, size)


class FlowBook:
    """One flow's books: copies by component, opened when a component first counts, and how many buffers were born and have died."""

    __slots__ = ("components", "created", "reclaimed", "released")

    def __init__(self) -> None:
        self.components: dict[Owner, ComponentCopies] = {}
        self.created = self.released = self.reclaimed = 0

    @property
    def live(self) -> int:
        """Return how many buffers of the flow live."""
        return self.created - self.released

    def __getitem__(self, component: Owner) -> ComponentCopies:
        copies = self.components.get(component)
        if copies is None:
            copies = self.components[component] = ComponentCopies()
        return copies

    def stats(self) -> CopyStats:
        """Return the counters as a value. A pool return never copies, so its count is 0 (D-46)."""
        routes = tuple(route for component, copies in self.components.items() for route in copies.routes(component))
        return CopyStats(
            {reason: sum(route.ops for route in routes if route.reason is reason) for reason in CopyReason},
            {reason: sum(route.bytes for route in routes if route.reason is reason) for reason in CopyReason},
            routes,
            {component: copies.lent_bytes for component, copies in self.components.items() if copies.lent_bytes},
        )


class CopyLedger(dict[FlowId, FlowBook]):
    """Books by flow, opened when first asked for (COPY-014), kept after the flow has ended until they are taken (COPY-013).

    Attributes:
        outlived: flows whose book was taken while buffers of theirs lived: a later book does not know of those.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outlived: set[FlowId] = set()

    def may_live(self, flow: FlowId) -> bool:
        """Tell whether buffers of a flow may live; at a flow's end nearly always none does, and nobody has to look for them."""
        return self.book(flow).live > 0 or flow in self.outlived

    def __missing__(self, flow: FlowId) -> FlowBook:
        book = self[flow] = FlowBook()
        return book

    def book(self, flow: FlowId) -> FlowBook:
        """Return a flow's book; an unknown flow has an empty one, which is not kept (COPY-012)."""
        return self.get(flow) or FlowBook()

    def stats(self, flow: FlowId) -> CopyStats:
        """Return a flow's copies; an unknown flow has zeros (COPY-012)."""
        return self.book(flow).stats()

    def close(self, flow: FlowId) -> CopyStats:
        """Return a flow's final copies and forget its book; a second call returns zeros."""
        stats = self.stats(flow)
        book = self.pop(flow, None)
        if book is not None and book.live:
            self.outlived.add(flow)
        return stats

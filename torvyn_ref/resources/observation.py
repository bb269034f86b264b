"""Looking at a manager: buffers, budgets, pools, copies and the balance sheet. Nothing here changes a buffer (OWN-040)."""

from __future__ import annotations

from collections import Counter

from torvyn_ref.ids import FlowId, Handle, Owner
from torvyn_ref.resources.copies import CopyStats
from torvyn_ref.resources.leasing import Leasing
from torvyn_ref.resources.pools import Tier, TierMetrics
from torvyn_ref.resources.records import Balance, Holding, Inspection
from torvyn_ref.resources.states import ResourceState


class Observation(Leasing):
    """Each method returns what was true at one instant, whatever other threads do."""

    def size(self, handle: Handle) -> int:
        """Return a live buffer's size in bytes."""
        with self._lock:
            return self._table[handle].size

    def capacity(self, handle: Handle) -> int:
        """Return a live buffer's capacity in bytes."""
        with self._lock:
            return self._table[handle].capacity

    def content_type(self, handle: Handle) -> str:
        """Return a live buffer's content type; empty when none was set."""
        with self._lock:
            return self._table[handle].content_type

    def inspect(self, handle: Handle) -> Inspection:
        """Describe a live buffer.

        Raises:
            ResourceError: stale-handle, not-allocated.
        """
        with self._lock:
            return self._describe(self._table[handle])

    def live(self, flow: FlowId | None = None) -> tuple[Inspection, ...]:
        """Describe every live buffer, or those of one flow: who owns it, who made it, since when (OWN-040)."""
        with self._lock:
            return tuple(self._describe(entry) for entry in (self._table.entries() if flow is None else self._entries_of(flow)))

    @property
    def live_count(self) -> int:
        """Return the number of live buffers."""
        with self._lock:
            return len(self._table)

    def balance(self, flow: FlowId | None = None) -> Balance:
        """Return the balance sheet of the manager, or of one flow whose copies have not been taken yet."""
        with self._lock:
            buffers: Counter[tuple[ResourceState, Owner]] = Counter()
            capacity: Counter[tuple[ResourceState, Owner]] = Counter()
            for entry in self._table.entries() if flow is None else self._entries_of(flow):
                buffers[entry.state, entry.owner] += 1
                capacity[entry.state, entry.owner] += entry.capacity
            holdings = tuple(Holding(*key, buffers[key], capacity[key]) for key in sorted(buffers))
            book = self if flow is None else self._ledger.book(flow)
            return Balance(book.created, book.released, book.reclaimed, holdings)

    def budget(self, owner: Owner) -> tuple[int, int]:
        """Return (used, limit) in bytes."""
        with self._lock:
            return self._budgets.usage(owner)

    def pool_metrics(self, tier: Tier) -> TierMetrics:
        """Return a tier's counters."""
        with self._lock:
            return self._pools.metrics(tier)

    def copy_stats(self, flow: FlowId) -> CopyStats:
        """Return a flow's copies so far; zeros for a flow never seen (COPY-012)."""
        with self._lock:
            return self._ledger.stats(flow)

    def close_flow_copies(self, flow: FlowId) -> CopyStats:
        """Return a flow's final copies and forget its book, births and deaths included; until then both are kept (COPY-013)."""
        with self._lock:
            return self._ledger.close(flow)

"""The manager's lease operations; what a lease permits and forbids is in `leases`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torvyn_ref.ids import HOST, Handle, Owner, show_handle
from torvyn_ref.resources.core import ManagerCore
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.leases import Lease, LeaseId, LeaseKind, ScopeId, may_be_leased


class Leasing(ManagerCore):
    """Grant, end and reclaim leases."""

    def lease(
        self,
        handle: Handle,
        owner: Owner,
        holder: Owner,
        kind: LeaseKind,
        *,
        scope: ScopeId | None = None,
        until_ns: int | None = None,
        now_ns: int = 0,
    ) -> Lease:
        """Lend a buffer's bytes to `holder` until a scope closes or an instant comes. Leases over by `now_ns` end first.

        Raises:
            ResourceError: invalid-owner, invalid-lease (no bound, or one that is over), stale-handle, not-allocated, not-owner, frozen (a
                mutable lease), borrows-outstanding, mutable-lease-active, read-only-leases-active (a mutable lease beside them).
        """
        if holder < HOST:
            raise self._invalid_owner("lease to", holder)
        with self._lock:
            self._leases.expire(now_ns)
            entry = self._table[handle]
            if entry.owner != owner:
                raise self._not_owner(entry, owner)
            self._leases.check_bound(handle, scope, until_ns, now_ns)
            if not may_be_leased(entry, kind):
                raise self._busy(entry, "lease")
            if entry.frozen and kind is LeaseKind.MUTABLE:
                raise ResourceError("frozen", f"{show_handle(handle)} is frozen: only read-only leases are left", handle=handle)
            return self._leases.grant(entry, holder, kind, scope, until_ns, now_ns)

    def end_lease(self, lease: LeaseId, caller: Owner) -> None:
        """End a lease before its bound: its holder may, and the host.

        Raises:
            ResourceError: not-leased.
        """
        with self._lock:
            self._leases.end_all([self._leases.find(lease, caller)])

    def expire_leases(self, now_ns: int) -> tuple[Lease, ...]:
        """Reclaim the leases whose instant has come by `now_ns`, monotonic."""
        with self._lock:
            return self._leases.expire(now_ns)

    def open_scope(self) -> ScopeId:
        """Open a scope that leases can be bounded by: a stage, a call, whatever its opener will close."""
        with self._lock:
            return self._leases.open_scope()

    def close_scope(self, scope: ScopeId) -> tuple[Lease, ...]:
        """Close a scope and reclaim the leases it bounds; closing it again reclaims nothing."""
        with self._lock:
            return self._leases.close_scope(scope)

    @contextmanager
    def lease_scope(self) -> Iterator[ScopeId]:
        """Have a scope for a `with` block: its leases are reclaimed however the block is left."""
        scope = self.open_scope()
        try:
            yield scope
        finally:
            self.close_scope(scope)

    def leases(self) -> tuple[Lease, ...]:
        """Return every open lease, the oldest first."""
        with self._lock:
            return tuple(self._leases)

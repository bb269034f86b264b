"""Leases: access to a buffer that outlives one call and is still bounded, by a scope or by an instant (OM:35-41, D-13, D-16).

Nothing upstream implements them; these are the readings chosen here, where the sources leave room:

- A lease is granted by the buffer's owner, to the host, to a component or to itself. It is bounded: by a scope, by an instant, or by both,
  whichever comes first. A lease without a bound is refused (`invalid-lease`).
- Read-only leases are shared: their holders and the owner read and clone, nobody writes. A mutable lease is exclusive: its holder reads,
  clones and writes, everybody else is shut out, the owner's reads included ("mutable leases block all other access").
- A lease lends bytes, not rights: transfer, release, freeze and retagging stay with the owner and are refused while any lease is open,
  with `mutable-lease-active` or `read-only-leases-active` (E0304, E0305). A frozen buffer takes read-only leases only (BUF-023).
- Borrows and leases exclude each other: the state table has neither Leased → Borrowed nor Borrowed → Leased. A further read-only lease
  joins without a transition, because Leased → Leased is no legal pair (D-13: six labels, 15 pairs).
- The last lease to end makes the buffer Owned again; it never goes from Leased to Pooled, only by way of Owned or Freed (D-16).
- Leases end when the holder ends them, when their scope closes, when their instant has come, when the holder's component is reclaimed, and
  with the buffer itself. The host may end any lease. The manager has no clock: an instant has come when a caller says so.
- A lease is not charged to its holder, as a borrow is not (BUDGET-006).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Final, NewType

from torvyn_ref.ids import HOST, Handle, Owner, show_handle, show_owner
from torvyn_ref.resources.errors import ResourceError
from torvyn_ref.resources.states import ResourceEvent, ResourceState, successors

if TYPE_CHECKING:
    from torvyn_ref.resources.handles import Entry

LeaseId = NewType("LeaseId", int)
"""A lease's number, never used again in a manager."""

ScopeId = NewType("ScopeId", int)
"""A scope's number, never used again in a manager."""

_LEASE: Final = successors(ResourceEvent.LEASE)
_LAST_LEASE_ENDS: Final = successors(ResourceEvent.LAST_LEASE_ENDS)


class LeaseKind(StrEnum):
    """What a lease permits: reading, shared with others; or reading and writing, alone."""

    READ_ONLY = "read-only"
    MUTABLE = "mutable"


@dataclass(frozen=True, slots=True)
class Lease:
    """One open lease. `until_ns` is the first monotonic instant at which it is over; None: only its scope bounds it."""

    id: LeaseId
    handle: Handle
    holder: Owner
    kind: LeaseKind
    scope: ScopeId | None
    until_ns: int | None
    granted_ns: int


class LeaseBook:
    """The open leases and scopes of one manager. The manager checks who asks, and holds its lock."""

    def __init__(self) -> None:
        self._open: dict[LeaseId, tuple[Lease, Entry]] = {}
        self._scopes: set[ScopeId] = set()
        self._lease_ids = count(1)
        self._scope_ids = count(1)

    def __iter__(self) -> Iterator[Lease]:
        return (lease for lease, _ in self._open.values())

    def open_scope(self) -> ScopeId:
        """Return a new scope."""
        scope = ScopeId(next(self._scope_ids))
        self._scopes.add(scope)
        return scope

    def close_scope(self, scope: ScopeId) -> tuple[Lease, ...]:
        """End what is bounded by a scope; closing it again ends nothing."""
        self._scopes.discard(scope)
        return self.end_all([lease for lease in self if lease.scope == scope])

    def check_bound(self, handle: Handle, scope: ScopeId | None, until_ns: int | None, now_ns: int) -> None:
        """Refuse a lease that nothing would ever end, or that is over before it begins.

        Raises:
            ResourceError: invalid-lease.
        """
        if scope is None and until_ns is None:
            problem = "needs a bound: give it a scope, an instant, or both"
        elif scope is not None and scope not in self._scopes:
            problem = f"names scope {scope}, which is not open"
        elif until_ns is not None and until_ns <= now_ns:
            problem = f"would end at {until_ns} ns, and it is {now_ns} ns already"
        else:
            return
        raise ResourceError("invalid-lease", f"a lease of {show_handle(handle)} {problem}", handle=handle)

    def grant(self, entry: Entry, holder: Owner, kind: LeaseKind, scope: ScopeId | None, until_ns: int | None, now_ns: int) -> Lease:
        """Open a lease on a buffer in a state that allows it (the manager has checked)."""
        lease = Lease(LeaseId(next(self._lease_ids)), entry.handle, holder, kind, scope, until_ns, now_ns)
        if entry.leases is None:
            entry.leases = {}
        entry.leases[lease.id] = lease
        entry.state = _LEASE.get(entry.state, entry.state)  # a further read-only lease joins: no transition
        self._open[lease.id] = (lease, entry)
        return lease

    def find(self, lease: LeaseId, caller: Owner) -> Lease:
        """Return an open lease that `caller` may end: its holder, or the host.

        Raises:
            ResourceError: not-leased.
        """
        found = self._open.get(lease)
        if found is None or caller not in {found[0].holder, HOST}:
            raise ResourceError("not-leased", f"{show_owner(caller)} holds no lease {lease}", lease=lease, holder=caller)
        return found[0]

    def end_all(self, leases: list[Lease]) -> tuple[Lease, ...]:
        """End leases; a buffer's last one makes it Owned again."""
        for lease in leases:
            _, entry = self._open.pop(lease.id)
            assert entry.leases is not None
            del entry.leases[lease.id]
            if not entry.leases:
                entry.leases = None
                entry.state = _LAST_LEASE_ENDS[entry.state]
        return tuple(leases)

    def expire(self, now_ns: int) -> tuple[Lease, ...]:
        """End the leases whose instant has come."""
        return self.end_all([lease for lease in self if lease.until_ns is not None and lease.until_ns <= now_ns])

    def end_held_by(self, holder: Owner) -> tuple[Lease, ...]:
        """End a component's leases: it is gone."""
        return self.end_all([lease for lease in self if lease.holder == holder])

    def drop(self, entry: Entry) -> None:
        """Forget the leases of a buffer whose life ends."""
        for lease in entry.leases or ():
            del self._open[lease]
        entry.leases = None


def access(entry: Entry, caller: Owner) -> LeaseKind | None:
    """Return the strongest lease that `caller` holds on a buffer; None when it holds none."""
    held = [lease.kind for lease in (entry.leases or {}).values() if lease.holder == caller]
    return max(held, key=list(LeaseKind).index, default=None)


def is_exclusive(entry: Entry) -> bool:
    """Tell whether a mutable lease is open on a buffer."""
    return any(lease.kind is LeaseKind.MUTABLE for lease in (entry.leases or {}).values())


def lease_active(entry: Entry, action: str) -> ResourceError:
    """Return the refusal of what a buffer's open leases forbid (E0304, E0305)."""
    leases = entry.leases or {}
    exclusive = is_exclusive(entry)
    holders = ", ".join(sorted({show_owner(lease.holder) for lease in leases.values()}))
    what = "a mutable lease is" if exclusive else f"{len(leases)} read-only lease(s) are"
    return ResourceError(
        "mutable-lease-active" if exclusive else "read-only-leases-active",
        f"cannot {action} {show_handle(entry.handle)} while {what} open ({holders})",
        handle=entry.handle,
        leases=len(leases),
    )


def may_be_leased(entry: Entry, kind: LeaseKind) -> bool:
    """Tell whether a buffer's state lets a lease begin, or a read-only one join others."""
    return entry.state in _LEASE or (entry.state is ResourceState.LEASED and kind is LeaseKind.READ_ONLY and not is_exclusive(entry))

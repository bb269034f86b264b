"""The one error type of the resource room, with the symbolic kinds of spec/resources.md (i)."""

from __future__ import annotations

from typing import Any, Final

from torvyn_ref.errors import TorvynError

CODES: Final = {
    "stale-handle": "E0300",
    "not-owner": "E0301",
    "not-allocated": "E0302",
    "borrows-outstanding": "E0303",
    "mutable-lease-active": "E0304",
    "read-only-leases-active": "E0305",
    "budget-exceeded": "E0306",
    "allocation-failed": "E0307",
    "capacity-exceeded": "E0308",
    "out-of-bounds": "E0309",
}


class ResourceError(TorvynError):
    """A refused resource operation: nothing has changed (OWN-003).

    `kind` is one of: stale-handle, not-owner, not-allocated, borrows-outstanding, mutable-lease-active, read-only-leases-active,
    budget-exceeded, allocation-failed, capacity-exceeded, out-of-bounds, pool-exhausted, invalid-lease (no bound that can end it),
    not-leased (ending a lease that is not open), not-borrowed (ending a borrow that is not open, OWN-007), frozen (writing after freeze,
    BUF-023), invalid-owner (`transit` named from outside, OWN-011), illegal-transition. `fields` hold the kind's data.
    """

    def __init__(self, kind: str, message: str, **fields: Any) -> None:
        super().__init__("resources", kind, message, code=CODES.get(kind), **fields)

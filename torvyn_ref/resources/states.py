"""The life of a buffer: six states, one table (spec/resources.md b1, OWN-038).

Everything that changes a buffer's state goes through `TRANSITIONS`; the label matrix that a runtime may expose is derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ResourceState(StrEnum):
    """Where a buffer is in its life."""

    POOLED = "Pooled"
    OWNED = "Owned"
    BORROWED = "Borrowed"
    LEASED = "Leased"
    TRANSIT = "Transit"
    FREED = "Freed"


class ResourceEvent(StrEnum):
    """What can happen to a buffer."""

    ALLOCATE = "allocate"
    BORROW = "borrow"
    LAST_BORROW_ENDS = "last-borrow-ends"
    LEASE = "lease"
    LAST_LEASE_ENDS = "last-lease-ends"
    BEGIN_TRANSFER = "begin-transfer"
    COMPLETE_TRANSFER = "complete-transfer"
    RELEASE = "release"
    FORCE = "force"


_S, _E = ResourceState, ResourceEvent

TRANSITIONS: Final[Mapping[tuple[ResourceState, ResourceEvent], ResourceState]] = MappingProxyType(
    {
        (_S.POOLED, _E.ALLOCATE): _S.OWNED,
        (_S.OWNED, _E.RELEASE): _S.POOLED,
        (_S.OWNED, _E.BORROW): _S.BORROWED,
        (_S.OWNED, _E.LEASE): _S.LEASED,
        (_S.OWNED, _E.BEGIN_TRANSFER): _S.TRANSIT,
        (_S.BORROWED, _E.BORROW): _S.BORROWED,
        (_S.BORROWED, _E.LAST_BORROW_ENDS): _S.OWNED,
        (_S.LEASED, _E.LAST_LEASE_ENDS): _S.OWNED,
        (_S.TRANSIT, _E.COMPLETE_TRANSFER): _S.OWNED,
        **{(state, _E.FORCE): _S.FREED for state in _S},
    }
)


def successors(event: ResourceEvent) -> dict[ResourceState, ResourceState]:
    """Return the table's column for one event: the states in which it is legal, and what each becomes."""
    return {state: target for (state, happened), target in TRANSITIONS.items() if happened is event}


LEGAL: Final[frozenset[tuple[ResourceState, ResourceState]]] = frozenset((state, target) for (state, _), target in TRANSITIONS.items())
"""The 15 legal label pairs of the 36 (OWN-038); `Freed` is terminal, and freeing twice is harmless."""

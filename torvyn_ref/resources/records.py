"""What the resource manager tells about buffers: values, never the live books."""

from __future__ import annotations

from dataclasses import dataclass, field

from torvyn_ref.ids import HOST, FlowId, Handle, Owner
from torvyn_ref.resources.budgets import DEFAULT_BUDGET_BYTES
from torvyn_ref.resources.leases import Lease
from torvyn_ref.resources.pools import DEFAULT_TIERS, Exhaustion, Tier, TierConfig
from torvyn_ref.resources.states import ResourceState


@dataclass(frozen=True, slots=True)
class ManagerConfig:
    """How a manager starts: handle-table room, pools, and the budget in bytes of a component that has none of its own."""

    table_capacity: int = 65536
    tiers: tuple[TierConfig, ...] = DEFAULT_TIERS
    exhaustion: Exhaustion = Exhaustion.FALLBACK
    default_budget_bytes: int = DEFAULT_BUDGET_BYTES


@dataclass(frozen=True, slots=True)
class Loan:
    """The open borrows of one buffer by one borrower: how many, and since when, monotonic (0: the first named no instant)."""

    borrower: Owner
    count: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """A live buffer as an observer sees it; sizes in bytes (OWN-040).

    Attributes:
        allocated_ns: when it was allocated, monotonic; 0 when the allocation named no instant.
        maker: who allocated it; `owner` is who has it now.
        leases: open leases on it.
        loans: who borrows it, and since when.
    """

    handle: Handle
    state: ResourceState
    owner: Owner
    borrow_count: int
    capacity: int
    size: int
    tier: Tier
    is_fallback: bool
    content_type: str
    flow: FlowId
    frozen: bool
    allocated_ns: int
    maker: Owner = HOST
    leases: tuple[Lease, ...] = ()
    loans: tuple[Loan, ...] = ()

    def age_ns(self, now_ns: int) -> int | None:
        """Return for how long it has been alive; None when its allocation named no instant."""
        return now_ns - self.allocated_ns if self.allocated_ns else None


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """One buffer freed by force (OWN-030), with what tells who leaked it: its maker, and the instant of its allocation (0: unknown)."""

    handle: Handle
    previous_state: ResourceState
    previous_owner: Owner
    capacity: int
    returned_to_pool: bool
    maker: Owner = HOST
    allocated_ns: int = 0


@dataclass(frozen=True, slots=True)
class FlowRelease:
    """What freeing a flow's buffers freed (OWN-034): `bytes_released` sums capacities."""

    returned_to_pool: int = 0
    deallocated: int = 0
    bytes_released: int = 0
    borrows_cleared: int = 0
    freed: tuple[Reclaimed, ...] = field(default=(), repr=False)
    leases_cleared: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """How many live buffers one owner has in one state, and their capacity in bytes."""

    state: ResourceState
    owner: Owner
    buffers: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The ownership balance sheet of a manager or of one flow: what was created was released, or is live (OWN-001, OWN-036).

    Attributes:
        released: buffers whose life has ended, those taken by force included.
        reclaimed: those taken by force.
        holdings: the live ones, by state and owner.
    """

    created: int
    released: int
    reclaimed: int
    holdings: tuple[Holding, ...] = ()

    @property
    def live(self) -> int:
        """Return the number of live buffers."""
        return sum(holding.buffers for holding in self.holdings)

    @property
    def is_even(self) -> bool:
        """Tell whether created = released + live, as it always is unless a buffer was lost or freed twice."""
        return self.created == self.released + self.live

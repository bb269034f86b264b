"""What budgets must say: who owns which capacity, under which limit (spec/resources.md BUDGET)."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "host"


@dataclass(slots=True)
class Holding:
    """A buffer as a budget sees it: whose it is, what it is charged at, and the flow that it dies with."""

    owner: str
    capacity: int
    flow: int


class BudgetModel:
    """Limits and holdings; usage is never stored, so it can neither drift nor underflow (BUDGET-004).

    Attributes:
        default: the limit of a component that has none of its own; None when the subject declares such components to be unlimited.
        limits: of those that were given one.
        held: the live buffers by name.
    """

    def __init__(self, default: int | None) -> None:
        self.default = default
        self.limits: dict[str, int] = {}
        self.held: dict[str, Holding] = {}

    def limit(self, owner: str) -> int | None:
        """Return a party's limit in bytes; None when it has none, as the host (BUDGET-007, BUDGET-009)."""
        return None if owner == HOST else self.limits.get(owner, self.default)

    def used(self, owner: str) -> int:
        """Return what a component's buffers add up to; the host's count for nobody (BUDGET-001, BUDGET-006, BUDGET-007)."""
        return 0 if owner == HOST else sum(one.capacity for one in self.held.values() if one.owner == owner)

    def fits(self, owner: str, capacity: int) -> bool:
        """Tell whether one more buffer is within the limit; exactly the limit is (BUDGET-002)."""
        limit = self.limit(owner)
        return limit is None or self.used(owner) + capacity <= limit

    def reclaimed(self, owner: str) -> None:
        """Forget what a component owned; its limit stays (BUDGET-011)."""
        self.held = {name: one for name, one in self.held.items() if one.owner != owner}

    def flow_released(self, flow: int) -> None:
        """Forget what a flow had allocated."""
        self.held = {name: one for name, one in self.held.items() if one.flow != flow}

"""What only shows after very many operations: counters and generations that are too narrow, books that lose an entry now and then."""

from __future__ import annotations

from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

TENANCIES = 2**16 + 2
"""Tenants of one slot: more than 16 bits can count."""
CHARGED = 300
"""Buffers that one component owns at once."""


@checks("OWN-017", facet=Facet.RESOURCES, kind="example")
def handles_outlast_sixteen_bits(session: Session, budget: Budget) -> None:
    """Of 65538 buffers that live one after another in the same slot no two have the same handle."""
    session.resources.open(table_capacity=2)
    seen: dict[tuple[int, int], int] = {}
    for number in range(TENANCIES):
        handle = session.resources.allocate("host", 16)
        session.resources.release(handle, "host")
        key = (handle.index, handle.generation)
        before = seen.setdefault(key, number)
        if before != number:
            raise Violation(
                "OWN-017",
                f"buffer {number} has the handle of buffer {before}, which was released long ago",
                expected="a handle never issued before",
                found=f"index {handle.index}, generation {handle.generation}",
                evidence={"allocated and released": number + 1},
            )
    budget.touch("OWN-017", TENANCIES)


@checks("BUDGET-001", facet=Facet.RESOURCES, kind="example")
def every_one_of_many_is_charged(session: Session, budget: Budget) -> None:
    """The use of a component that owns 300 buffers is the sum of their capacities, after each one of them."""
    session.resources.open()
    owner, used = "component-1", 0
    for number in range(CHARGED):
        try:
            handle = session.resources.allocate(owner, 16)
        except Refused as refused:
            raise Violation("BUDGET-001", f"buffer {number} of 16 bytes was refused: {refused}") from refused
        used += session.resources.inspect(handle).capacity
        found = session.resources.budget(owner).used
        budget.expect_equal("BUDGET-001", found, used, f"the use of {owner} after {number + 1} buffers")

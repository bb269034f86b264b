"""Reclaim by force, the end of a flow, state labels and budgets (OWN, BUDGET): the same machine and stories as ownership."""

from __future__ import annotations

from conformance.areas.ownership import STORIES
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.machines.search import search_ownership
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session


@checks("OWN-030", facet=Facet.RESOURCES, kind="machine")
def reclaim_takes_all(session: Session, budget: Budget) -> None:
    """Force-reclaim frees all that a component owns, with a record each, and ends the borrows that it holds."""
    search_ownership(session, budget, "OWN-030", STORIES)


@checks("OWN-031", facet=Facet.RESOURCES, kind="machine")
def reclaim_takes_no_more(session: Session, budget: Budget) -> None:
    """Force-reclaim leaves the buffers of others alone, and those that the component has given away."""
    search_ownership(session, budget, "OWN-031", STORIES)


@checks("OWN-032", facet=Facet.RESOURCES, kind="machine")
def reclaiming_nothing(session: Session, budget: Budget) -> None:
    """Force-reclaim of a component that owns nothing returns an empty list."""
    search_ownership(session, budget, "OWN-032", STORIES)


@checks("OWN-034", facet=Facet.RESOURCES, kind="machine")
def a_flow_is_released(session: Session, budget: Budget) -> None:
    """Releasing a flow frees exactly what was allocated under it, whoever owns it now, and counts it."""
    search_ownership(session, budget, "OWN-034", STORIES)


@checks("OWN-035", facet=Facet.RESOURCES, kind="machine")
def flows_for_life(session: Session, budget: Budget) -> None:
    """A buffer stays with the flow that it was allocated for, whoever owns it."""
    search_ownership(session, budget, "OWN-035", STORIES)


@checks("OWN-038", facet=Facet.RESOURCES, kind="table", requires=("state_tables",))
def resource_labels(session: Session, budget: Budget) -> None:
    """Exactly 15 of the 36 pairs of state labels are legal."""
    labels = ("Pooled", "Owned", "Borrowed", "Leased", "Transit", "Freed")
    legal = {("Pooled", "Owned"), ("Owned", "Pooled"), ("Owned", "Borrowed"), ("Owned", "Leased"), ("Owned", "Transit")}
    legal |= {("Borrowed", "Owned"), ("Borrowed", "Borrowed"), ("Leased", "Owned"), ("Transit", "Owned")}
    legal |= {(label, "Freed") for label in labels}
    for old in labels:
        for new in labels:
            accepted = answers_done(session, p.ResourceTransition(old, new))
            budget.expect_equal("OWN-038", accepted, (old, new) in legal, f"whether a buffer may go from {old} to {new}")


@checks("BUDGET-004", facet=Facet.RESOURCES, kind="machine")
def budgets_add_up(session: Session, budget: Budget) -> None:
    """A component's use is the sum of the capacities it owns, after every operation."""
    search_ownership(session, budget, "BUDGET-004", STORIES)


@checks("BUDGET-005", facet=Facet.RESOURCES, kind="machine")
def receivers_pay_first(session: Session, budget: Budget) -> None:
    """A transfer that the receiver's budget does not allow is refused, and charges nobody."""
    search_ownership(session, budget, "BUDGET-005", STORIES)


def answers_done(session: Session, request: p.ResourceTransition | p.FlowTransition) -> bool:
    """Tell whether a question about two states is answered with yes.

    Raises:
        NotOffered, SubjectError: it is not answered.
    """
    try:
        session.ask(request, p.Done)
    except Refused:
        return False
    return True

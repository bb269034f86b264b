"""The life of a flow: eight states, nine legal steps, one table (FLOW-001..FLOW-006)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from torvyn_ref.errors import TorvynError


class FlowState(StrEnum):
    """Where a flow is in its life."""

    CREATED = "Created"
    VALIDATED = "Validated"
    INSTANTIATED = "Instantiated"
    RUNNING = "Running"
    DRAINING = "Draining"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"
    FAILED = "Failed"

    @property
    def is_terminal(self) -> bool:
        """Tell whether nothing can follow (FLOW-002)."""
        return self in TERMINAL


class FlowEvent(StrEnum):
    """What can happen to a flow."""

    VALIDATED = "validated"
    INSTANTIATED = "instantiated"
    STARTED = "started"
    DRAIN = "drain"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


_S, _E = FlowState, FlowEvent

TRANSITIONS: Final[Mapping[tuple[FlowState, FlowEvent], FlowState]] = MappingProxyType(
    {
        (_S.CREATED, _E.VALIDATED): _S.VALIDATED,
        (_S.CREATED, _E.FAILED): _S.FAILED,
        (_S.VALIDATED, _E.INSTANTIATED): _S.INSTANTIATED,
        (_S.VALIDATED, _E.FAILED): _S.FAILED,
        (_S.INSTANTIATED, _E.STARTED): _S.RUNNING,
        (_S.RUNNING, _E.DRAIN): _S.DRAINING,
        (_S.DRAINING, _E.COMPLETED): _S.COMPLETED,
        (_S.DRAINING, _E.CANCELLED): _S.CANCELLED,
        (_S.DRAINING, _E.FAILED): _S.FAILED,
    }
)

LEGAL: Final[frozenset[tuple[FlowState, FlowState]]] = frozenset((old, new) for (old, _), new in TRANSITIONS.items())
"""The 9 legal pairs of the 64."""

TERMINAL: Final = frozenset({_S.COMPLETED, _S.CANCELLED, _S.FAILED})


def check_transition(old: FlowState, new: FlowState) -> None:
    """Accept one of the nine legal steps.

    Raises:
        TorvynError: flow/invalid-transition, naming both states (FLOW-001).
    """
    if (old, new) not in LEGAL:
        raise TorvynError(
            "flow",
            "invalid-transition",
            f"a flow in state {old} cannot become {new}",
            machine="FlowState",
            old=old,
            new=new,
        )


class Lifecycle:
    """One flow's state; every change is reported, in order, exactly once (FLOW-003)."""

    __slots__ = ("_report", "state")

    def __init__(self, report: Callable[[FlowState, FlowState], None]) -> None:
        self.state = FlowState.CREATED
        self._report = report

    def on(self, event: FlowEvent) -> FlowState:
        """Take an event and return the new state.

        Raises:
            TorvynError: flow/invalid-transition, naming state and event; the state stays as it is.
        """
        new = TRANSITIONS.get((self.state, event))
        if new is None:
            raise TorvynError(
                "flow",
                "invalid-transition",
                f"a flow in state {self.state} has no event {event!s}",
                state=self.state,
                event=event,
            )
        old, self.state = self.state, new
        self._report(old, new)
        return new

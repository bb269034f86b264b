"""Why a flow ends, and what it ends as (FLOW-005, FLOW-006)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from torvyn_ref.flow.states import FlowEvent


class Reason(StrEnum):
    """Why a flow drains."""

    SOURCE_COMPLETE = "source-complete"
    OPERATOR_REQUEST = "operator-request"
    TIMEOUT = "timeout"
    COMPONENT_ERROR = "component-error"
    RESOURCE_EXHAUSTION = "resource-exhaustion"
    STALLED = "stalled"


TERMINAL_EVENT: Final[Mapping[Reason, FlowEvent]] = MappingProxyType(
    {
        Reason.SOURCE_COMPLETE: FlowEvent.COMPLETED,
        Reason.OPERATOR_REQUEST: FlowEvent.CANCELLED,
        Reason.TIMEOUT: FlowEvent.FAILED,
        Reason.COMPONENT_ERROR: FlowEvent.FAILED,
        Reason.RESOURCE_EXHAUSTION: FlowEvent.FAILED,
        Reason.STALLED: FlowEvent.FAILED,
    }
)
"""What a drained flow becomes."""


class Cancellation:
    """The first reason wins; later ones are heard and ignored (FLOW-006)."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason: Reason | None = None

    def request(self, reason: Reason) -> bool:
        """Ask the flow to end; return whether this reason is the one that counts."""
        if self.reason is not None:
            return False
        self.reason = reason
        return True

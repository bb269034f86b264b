"""What flows out of a flow, for the operator: a tap on its sinks (CLI-010)."""

from __future__ import annotations

from typing import Protocol

from torvyn_ref.calls import Answer, Call, Element, Role, Signal
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.ids import HOST
from torvyn_ref.resources import ResourceManager


class Tap(Protocol):
    """Takes the payload of an element that a sink has accepted."""

    def __call__(self, payload: bytes, /) -> object:
        """Take one payload."""
        ...


class TappedInstance:
    """A sink whose accepted elements are seen outside. The host looks at its own buffers: no guest copy is counted."""

    def __init__(self, instance: Instance, tap: Tap, resources: ResourceManager) -> None:
        self._instance = instance
        self._tap = tap
        self._resources = resources

    @property
    def role(self) -> Role:
        """Return the component's role."""
        return self._instance.role

    @property
    def has_lifecycle(self) -> bool:
        """Tell whether the component exports `lifecycle`."""
        return self._instance.has_lifecycle

    @property
    def fuel_used(self) -> int:
        """Return the fuel spent so far."""
        return self._instance.fuel_used

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call; after a push that was accepted, show the payload."""
        answer = self._instance.call(call, argument)
        if call is Call.PUSH and isinstance(answer, Signal) and isinstance(argument, Element):
            self._tap(self._resources.peek(argument.handle, HOST))
        return answer

    def close(self) -> None:
        """Drop the instance."""
        self._instance.close()

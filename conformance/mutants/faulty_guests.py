"""Mutants that treat real components in a flow otherwise than their contract says (CON-003, CON-004, CON-006)."""

from __future__ import annotations

from typing import Any

from conformance.mutants.faulty_flows import driver
from conformance.mutants.guests import Around, instance
from torvyn_ref.calls import Answer, Call, Element, Failure, Output, Role, Signal
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowDriver
from torvyn_ref.flow.stage import Stage


class _Unmanaged(Around):
    """Has no life cycle, whatever it exports."""

    @property
    def has_lifecycle(self) -> bool:
        """Say no."""
        return False


def _managed_only(inner: Instance) -> Instance:
    if inner.has_lifecycle or inner.role is not Role.FILTER:
        return inner
    inner.close()
    raise TorvynError("engine", "missing-export", "a filter must export torvyn:streaming/lifecycle")


instance("life-cycles-are-left-out", "CON-003", summary="No component is initialised or torn down.", make=_Unmanaged)
instance("filters-must-be-managed", "CON-003", summary="A filter without a life cycle is refused.", make=_managed_only)


class _Erring(Around):
    """Takes a filter's error for a no."""

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make the call."""
        answer = super().call(call, argument)
        return False if call is Call.EVALUATE and isinstance(answer, Failure) else answer


instance("a-filters-error-is-a-no", "CON-004", summary="An element for which a filter fails is dropped in silence.", make=_Erring)


@driver("passed-by-copy", "CON-004")
class PassedByCopy(FlowDriver):
    """What a filter passes goes on in a buffer of its own."""

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        if answer is True and element is not None:
            resources, owner = self._resources, stage.owner
            resources.borrow(element.handle, owner)
            handle = resources.clone(element.handle, owner, self.flow)
            resources.end_borrow(element.handle, owner)
            resources.freeze(handle, owner)
            answer = Output(handle, element.content_type)
        super()._worked(stage, element, answer)


@driver("flushed-backwards", "CON-006")
class FlushedBackwards(FlowDriver):
    """A flush's elements are delivered from the end of its list."""

    def _flushed(self, stage: Stage, answer: Answer) -> None:
        super()._flushed(stage, answer[::-1] if isinstance(answer, list) else answer)


@driver("groups-wait-for-the-flush", "CON-006")
class GroupsWaitForTheFlush(FlowDriver):
    """What an aggregator emits is kept back until it is flushed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: list[Output] = []

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        if stage.role is Role.AGGREGATOR and isinstance(answer, Output):
            self._kept.append(answer)
            answer = None
        super()._worked(stage, element, answer)

    def _flushed(self, stage: Stage, answer: Answer) -> None:
        given = [one for one in answer if isinstance(one, Output)] if isinstance(answer, list) else []
        super()._flushed(stage, [*self._kept, *given])

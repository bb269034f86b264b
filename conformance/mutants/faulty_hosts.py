"""Mutants of the host: who is who, who may start, and what one flow does to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, count
from typing import Any, ClassVar
from weakref import WeakSet

from conformance.mutants.faulty_flows import driver
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Call
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowDriver, FlowState
from torvyn_ref.ids import FlowId, Ids
from torvyn_ref.reactor.coordinator import FlowHandle, Reactor, ReactorStatus, ReadyFlows, ShutdownReport


def ids(name: str, make: Callable[[], Any], summary: str) -> None:
    """Register a host that numbers its flows in another way."""

    def build() -> ReferenceParts:
        def numbered() -> Ids:
            given = Ids()
            given._flows = make()  # noqa: SLF001 -- a mutant is the reference with one part replaced
            return given

        return ReferenceParts(ids=numbered)

    register(name, "FLOW-011", summary=summary, build=build)


ids("flows-from-zero", count, "The first flow of a host has the id 0.")
ids("odd-ids-only", lambda: chain((1, 3, 2), count(4)), "The third flow's id is lower than the second's.")


def reactor(name: str, *rules: str) -> Callable[[type[Reactor]], type[Reactor]]:
    """Register a faulty reactor; its docstring is the summary."""

    def add(cls: type[Reactor]) -> type[Reactor]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(reactor=cls))
        return cls

    return add


@reactor("never-closed", "FLOW-012", "CANCEL-016", "FLOW-020")
class NeverClosed(Reactor):
    """A flow can be started after shutdown."""

    def start(self, *args: Any, **options: Any) -> FlowHandle:
        """Forget that it is closing."""
        closing, self._closing = self._closing, False
        try:
            return super().start(*args, **options)
        finally:
            self._closing = closing


@reactor("open-while-it-drains", "FLOW-012")
class OpenWhileItDrains(Reactor):
    """Flows are refused once a shutdown is over, and not while it waits for the others to drain."""

    def start(self, *args: Any, **options: Any) -> FlowHandle:
        """Close when nothing runs any more."""
        closing = self._closing
        self._closing = closing and all(handle.is_over for handle in self._flows.values())
        try:
            return super().start(*args, **options)
        finally:
            self._closing = closing


@reactor("unknown-is-internal", "FLOW-013")
class UnknownIsInternal(Reactor):
    """An unknown flow is reported as an internal error."""

    def flow(self, flow: FlowId) -> FlowHandle:
        """Call it a bug."""
        try:
            return super().flow(flow)
        except TorvynError as error:
            raise TorvynError("flow", "internal", error.message) from error


@reactor("late-cancels-count", "FLOW-014")
class LateCancelsCount(Reactor):
    """A flow that is over and is cancelled is called cancelled."""

    def flow(self, flow: FlowId) -> FlowHandle:
        """Rewrite history when somebody who asked before asks again."""
        handle = super().flow(flow)
        if handle.is_over and handle.driver._cancel_asked is not None:  # noqa: SLF001 -- as above
            handle.driver._lifecycle.state = FlowState.CANCELLED  # noqa: SLF001 -- as above
        return handle


@driver("one-for-all", "FLOW-015")
class OneForAll(FlowDriver):
    """When a component of one flow fails, all flows are cancelled."""

    everyone: ClassVar[WeakSet[FlowDriver]] = WeakSet()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.everyone.add(self)

    def _fault(self, stage: Any, call: Call, failure: Any) -> None:
        super()._fault(stage, call, failure)
        for other in list(self.everyone):
            if other is not self:
                other.cancel()


@reactor("always-running", "FLOW-020")
class AlwaysRunning(Reactor):
    """A host that has stopped says that it is running."""

    @property
    def status(self) -> ReactorStatus:
        """Look at the flows only."""
        return ReactorStatus.RUNNING if self._flows else ReactorStatus.READY


@reactor("the-late-are-forgotten", "CANCEL-016")
class TheLateAreForgotten(Reactor):
    """A shutdown does not count the flows that it had to abandon."""

    async def shutdown(self, timeout_s: float = 30.0) -> ShutdownReport:
        """Leave them out."""
        return replace(await super().shutdown(timeout_s), timed_out=0)


@reactor("waits-for-ever", "CANCEL-016")
class WaitsForEver(Reactor):
    """A shutdown waits for every flow, however long that takes."""

    async def shutdown(self, timeout_s: float = 30.0) -> ShutdownReport:  # noqa: ARG002 -- that is the fault
        """Do not look at the time."""
        return await super().shutdown(1e6)


@reactor("the-first-flow-hogs", "SCHED-012")
class TheFirstFlowHogs(Reactor):
    """The first flow gives way as if it were alone."""

    def start(self, *args: Any, **options: Any) -> FlowHandle:
        """Hide the others from it."""
        first = not self._flows
        handle = super().start(*args, **options)
        if first:
            handle._ready = ReadyFlows()  # noqa: SLF001 -- a mutant is the reference with one part replaced
        return handle

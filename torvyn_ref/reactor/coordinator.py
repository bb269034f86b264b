"""One task per flow: ask the driver, make the call, give way where the driver says so (ADR-003, SCHED-001, SCHED-006).

The reactor runs on asyncio and on trio. Whatever ends a flow's task (completion, its cancellation, a defect of the host), its instances
are closed and its buffers released before the task is gone.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from torvyn_ref.clock import Clock, SystemClock
from torvyn_ref.engine.protocol import Instance, Interruptible
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import DONE, FlowDriver, FlowReport, FlowState, Invoke, Reason, Wait
from torvyn_ref.ids import FlowId
from torvyn_ref.resources import ResourceManager

ENDED_KEPT: Final = 1024
"""Flows that are over and still known by their ids; of older ones only the count is kept, so that a reactor may run for ever."""

SOLO_NS: Final = 4_000_000
SOLO_YIELDS: Final = 16


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """How a shutdown went: every flow counts once (CANCEL-016)."""

    completed: int
    cancelled: int
    failed: int
    timed_out: int


class ReactorStatus(StrEnum):
    """Where a reactor is in its life (FLOW-020)."""

    READY = "Ready"
    RUNNING = "Running"
    SHUTTING_DOWN = "ShuttingDown"
    STOPPED = "Stopped"


class ReadyFlows:
    """How many of a reactor's flows have something to do: a flow gives way to the others at each yield, and to the event loop when alone.

    A turn of the event loop costs some microseconds and a system call, which is a waste on a flow that is the only one. It takes a turn
    when the last was `SOLO_NS` ago, or after `SOLO_YIELDS` yields whatever the clock says: so late a signal, a timer or a cancel may come.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class FlowHandle:
    """A flow that runs in a reactor. Its methods belong to the reactor's event loop, except `hear`, `give_up` and `overdue`.

    Those three work from any thread, and so while a guest keeps the loop's own thread: that is when a cancel needs them.
    """

    __slots__ = ("_clock", "_ended", "_ends_at", "_error", "_given_up", "_instances", "_over", "_ready", "_scope", "_woken", "driver")

    def __init__(
        self,
        driver: FlowDriver,
        instances: Mapping[str, Instance],
        clock: Clock,
        ready: ReadyFlows,
        ended: Callable[[FlowHandle], object],
    ) -> None:
        self.driver = driver
        self._ready = ready
        self._ended = ended
        self._instances = [instances[stage.name] for stage in driver.stages]
        self._clock = clock
        self._woken = anyio.Event()
        self._over = anyio.Event()
        self._scope = anyio.CancelScope()
        self._error: BaseException | None = None
        self._ends_at: int | None = None
        self._given_up = False
        for instance in self._instances:
            if isinstance(instance, Interruptible):
                instance.oversee(self.overdue)

    @property
    def id(self) -> FlowId:
        """Return the flow's id."""
        return self.driver.flow

    @property
    def state(self) -> FlowState:
        """Return the flow's state."""
        return self.driver.state

    def cancel(self, reason: Reason = Reason.OPERATOR_REQUEST) -> None:
        """Ask the flow to stop pulling and drain; idempotent, and without effect on a flow that is over (CANCEL-014, FLOW-014)."""
        self.driver.cancel(reason)
        self.wake()

    def abandon(self) -> None:
        """Stop the flow's task at its next yield: what is queued is lost, what it holds is released, there is no report."""
        self._scope.cancel()

    def hear(self, reason: Reason = Reason.OPERATOR_REQUEST) -> None:
        """Take note of a cancel, from any thread: a call in flight has the cooperative timeout from now (CANCEL-003, CANCEL-014).

        A flow that waits is not woken by it; `cancel` does that, from the event loop.
        """
        self.driver.cancel(reason, now=self._clock.monotonic_ns())

    def end_at(self, instant: int) -> None:
        """Cancel the flow, as an operator would, if a call is in flight at this instant of the clock."""
        self._ends_at = instant

    def give_up(self) -> None:
        """As `abandon`, from any thread: interrupt the call in flight, and stop the flow's task when it has returned."""
        self._given_up = True

    def overdue(self) -> bool:
        """Tell whether the call in flight has reached a bound of the driver's and must end now (CANCEL-003, CANCEL-008, CANCEL-013)."""
        now = self._clock.monotonic_ns()
        if self._ends_at is not None and now >= self._ends_at:
            self.driver.cancel(now=self._ends_at)
        end = self.driver.call_bounds.interrupt_at
        return self._given_up or (end is not None and now >= end)

    @property
    def is_over(self) -> bool:
        """Tell whether the flow's task has ended, in whatever way."""
        return self._over.is_set()

    async def over(self) -> None:
        """Wait until the flow's task has ended, in whatever way."""
        await self._over.wait()

    def wake(self) -> None:
        """End the flow's waiting, if it waits: something outside has changed."""
        self._woken.set()

    async def wait(self) -> FlowReport:
        """Wait until the flow is over and return its report.

        Raises:
            TorvynError: flow/abandoned, when its task was stopped before it could end by itself.
            BaseException: what the host's own code raised inside the flow's task.
        """
        await self.over()
        if self._error is not None:
            raise self._error
        if self.driver.report is None:
            raise TorvynError("flow", "abandoned", f"flow-{self.id} was stopped before it ended")
        return self.driver.report

    async def _run(self, resources: ResourceManager) -> None:
        try:
            with self._scope:
                await checkpoint()  # a flow whose task is cancelled before it begins calls nothing
                await self._drive()
        except Exception as error:  # noqa: BLE001  # a host defect: this flow's, and not its neighbours' (FLOW-015)
            self._error = error
        finally:
            self._ready.count -= 1
            self._leave_nothing(resources)
            self._over.set()
            self._ended(self)

    def _leave_nothing(self, resources: ResourceManager) -> None:
        """Close the instances, and free what a flow without a report still holds; each happens, whatever goes wrong with another."""
        try:
            with ExitStack() as stack:
                if self.driver.report is None:
                    stack.callback(resources.close_flow_copies, self.id)
                    stack.callback(resources.release_flow, self.id)
                for instance in self._instances:
                    stack.callback(instance.close)
        except Exception as error:  # noqa: BLE001  # as in _run
            self._error = self._error or error
        self._instances = []

    async def _drive(self) -> None:
        driver, instances, clock, ready = self.driver, self._instances, self._clock.monotonic_ns, self._ready
        give_way = _way_to_give_way()
        now = had_turn = clock()
        solo_yields = 0
        while True:
            step = driver.next(now)
            if isinstance(step, Invoke):
                answer = instances[step.stage.index].call(step.call, step.argument)
                if self._given_up:
                    self._scope.cancel()
                    await checkpoint()
                now = clock()
                driver.resume(answer, now)
            elif isinstance(step, Wait):
                await self._pause(step.until)
                now = clock()
            elif step is DONE:
                return
            elif ready.count > 1 or now - had_turn >= SOLO_NS or solo_yields >= SOLO_YIELDS:
                await give_way()
                now = had_turn = clock()
                solo_yields = 0
            else:
                solo_yields += 1

    async def _pause(self, until: int | None) -> None:
        """Sleep to an instant of the clock, or until woken, whichever comes first (SCHED-013)."""
        seconds = math.inf if until is None else max(0, until - self._clock.monotonic_ns()) / 1e9
        self._ready.count -= 1
        try:
            with anyio.move_on_after(seconds):
                await self._woken.wait()
        finally:
            self._ready.count += 1
        self._woken = anyio.Event()


def _way_to_give_way() -> Callable[[], Awaitable[object]]:
    """Return the cheapest way to let every other task run first; anyio's own looks its event loop up each time."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio's loop
        return checkpoint
    return partial(asyncio.sleep, 0)


class Reactor:
    """Runs flows side by side; an async context manager: leaving it waits for every flow, and for good.

    What is raised inside its block leaves it as anyio's task groups do it: in an exception group, with every flow's task cancelled.

    Example:
        async with Reactor(resources) as reactor:
            handle = reactor.start(driver, instances)
            report = await handle.wait()
    """

    def __init__(self, resources: ResourceManager, *, clock: Clock | None = None) -> None:
        self._resources = resources
        self._clock = clock or SystemClock()
        self._ready = ReadyFlows()
        self._flows: dict[FlowId, FlowHandle] = {}
        self._ended: deque[FlowHandle] = deque()
        self._forgotten: Counter[FlowState] = Counter()
        self._late: set[FlowId] = set()
        self._closing = False
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._stack.__aexit__(kind, error, traceback)
        finally:
            self._tasks = None

    @property
    def status(self) -> ReactorStatus:
        """Return where the reactor is in its life (FLOW-020)."""
        busy = any(not handle.is_over for handle in self._flows.values())
        if self._closing or (self._flows and self._tasks is None):
            return ReactorStatus.SHUTTING_DOWN if busy else ReactorStatus.STOPPED
        return ReactorStatus.RUNNING if self._flows else ReactorStatus.READY

    def start(self, driver: FlowDriver, instances: Mapping[str, Instance]) -> FlowHandle:
        """Run a flow in a task of its own. The reactor owns the instances from here on, and closes them.

        Raises:
            TorvynError: flow/shutting-down once shutdown has begun, and outside of the reactor's block (FLOW-012); flow/duplicate-flow for
                a flow that it knows already. The instances are closed, except those of the flow that is known.
        """
        if driver.flow in self._flows:
            raise TorvynError("flow", "duplicate-flow", f"flow-{driver.flow} was started before", flow=driver.flow)
        if self._tasks is None or self._closing:
            for instance in instances.values():
                instance.close()
            why = "it is shutting down" if self._closing else "its block is not entered, or left"
            raise TorvynError("flow", "shutting-down", f"the reactor takes no new flows: {why}", code="E0414")
        handle = FlowHandle(driver, instances, self._clock, self._ready, self._has_ended)
        self._flows[handle.id] = handle
        self._ready.count += 1
        self._tasks.start_soon(handle._run, self._resources, name=f"flow-{handle.id}")  # noqa: SLF001  # the handle's other half
        return handle

    def _has_ended(self, handle: FlowHandle) -> None:
        """Keep a flow that is over known, and forget the oldest of many; not while a shutdown counts them."""
        self._ended.append(handle)
        if len(self._ended) > ENDED_KEPT and not self._closing:
            oldest = self._ended.popleft()
            self._forgotten[oldest.state] += 1
            del self._flows[oldest.id]

    def flow(self, flow: FlowId) -> FlowHandle:
        """Return a flow's handle; it stays known after the flow has ended, until `ENDED_KEPT` others have.

        Raises:
            TorvynError: flow/flow-not-found (FLOW-013).
        """
        handle = self._flows.get(flow)
        if handle is None:
            raise TorvynError("flow", "flow-not-found", f"no flow-{flow} runs here", code="E0400", flow=flow)
        return handle

    async def shutdown(self, timeout_s: float = 30.0) -> ShutdownReport:
        """Refuse new flows, cancel all, wait at most `timeout_s`, then abandon what is left (CANCEL-016).

        When it returns, no flow's task is left. Every flow counts once: as completed, cancelled or failed, or as timed out when it had to
        be abandoned here. A second call reports the same.
        """
        self._closing = True
        handles = list(self._flows.values())
        for handle in handles:
            handle.cancel()
        with anyio.move_on_after(timeout_s):
            for handle in handles:
                await handle.over()
        for handle in handles:
            if not handle.is_over:
                self._late.add(handle.id)
                handle.abandon()
        for handle in handles:
            await handle.over()
        states = [handle.state for handle in handles if handle.id not in self._late]
        counts = self._forgotten + Counter(states)
        completed, cancelled = counts[FlowState.COMPLETED], counts[FlowState.CANCELLED]
        return ShutdownReport(completed, cancelled, failed=counts.total() - completed - cancelled, timed_out=len(self._late))

"""Run a flow to its end, synchronously, on a virtual clock: time passes only where somebody waits or a component says so."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import count
from typing import Protocol

from torvyn_ref.calls import Answer, Call, Element, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.bounds import UNBOUND, CallBounds
from torvyn_ref.flow.driver import FlowDriver
from torvyn_ref.flow.settings import DONE, Wait
from torvyn_ref.flow.stage import Invoke
from torvyn_ref.flow.statistics import FlowReport


class Instance(Protocol):
    """The part of an engine's instance that a simulation needs."""

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call."""
        ...


class SimulatedTime:
    """A virtual clock that somebody else has appointments with, and calls that take time until they reach their bounds.

    Attributes:
        clock: what it moves.
        bounds: gives the bounds of the call in flight; a simulation sets it to its driver's.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.bounds: Callable[[], CallBounds] = lambda: UNBOUND
        self._appointments: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()

    def at(self, instant_ns: int, do: Callable[[], object]) -> None:
        """Do something when an instant is reached: in the middle of a call, or while the flow waits."""
        heapq.heappush(self._appointments, (instant_ns, next(self._order), do))

    def pass_to(self, until: int | None) -> None:
        """Move on to an instant, or to the next appointment if that comes first, and keep it.

        Raises:
            TorvynError: flow/never-ends, without an instant and without an appointment.
        """
        if self._appointments and (until is None or self._appointments[0][0] <= until):
            instant, _, do = heapq.heappop(self._appointments)
            self.clock.advance_to(instant)
            do()
        elif until is not None:
            self.clock.advance_to(until)
        else:
            raise TorvynError("flow", "never-ends", "a simulated flow waits for something outside of it")

    def spend(self, nanoseconds: int | None, *, deaf: bool = False) -> bool:
        """Let a call take so much time (None: for ever), and return whether it may; it may not beyond its bounds.

        Args:
            nanoseconds: how long it wants to take.
            deaf: it does not react to an interruption and has to be dropped.

        Raises:
            TorvynError: flow/never-ends, when it takes for ever and has no bound.
        """
        end = None if nanoseconds is None else self.clock.monotonic_ns() + nanoseconds
        while True:
            now = self.clock.monotonic_ns()
            if end is not None and now >= end:
                return True
            bounds = self.bounds()
            bound = bounds.drop_at if deaf else bounds.interrupt_at
            if bound is not None and now >= bound:
                return False
            self.pass_to(min((instant for instant in (end, bound) if instant is not None), default=None))


def simulate(
    driver: FlowDriver,
    instances: Mapping[str, Instance],
    time: VirtualClock | SimulatedTime,
    *,
    after_call: Callable[[int], object] | None = None,
) -> FlowReport:
    """Drive a flow until it is over and return its report.

    Args:
        driver: the flow, on the same clock.
        instances: by stage name.
        time: advanced to the instants that the driver waits for; components may advance it, too.
        after_call: hears the number of calls that have returned, after each; may cancel the driver.

    Raises:
        TorvynError: flow/never-ends, when only an event from outside could go on.
    """
    if isinstance(time, VirtualClock):
        time = SimulatedTime(time)
    now = time.clock.monotonic_ns
    time.bounds = lambda: driver.call_bounds
    calls = 0
    if after_call is not None:
        after_call(0)
    while True:
        step = driver.next(now())
        if isinstance(step, Invoke):
            answer = instances[step.stage.name].call(step.call, step.argument)
            driver.resume(answer, now())
            calls += 1
            if after_call is not None:
                after_call(calls)
        elif isinstance(step, Wait):
            time.pass_to(step.until)
        elif step is DONE:
            assert driver.report is not None
            return driver.report

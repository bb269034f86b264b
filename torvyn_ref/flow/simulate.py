"""Run a flow to its end, synchronously, on a virtual clock: time passes only where somebody waits or a component says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torvyn_ref.calls import Answer, Call, Element, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.driver import FlowDriver
from torvyn_ref.flow.settings import DONE, Wait
from torvyn_ref.flow.stage import Invoke
from torvyn_ref.flow.statistics import FlowReport


class Instance(Protocol):
    """The part of an engine's instance that a simulation needs."""

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call."""
        ...


def simulate(
    driver: FlowDriver,
    instances: Mapping[str, Instance],
    clock: VirtualClock,
    *,
    after_call: Callable[[int], object] | None = None,
) -> FlowReport:
    """Drive a flow until it is over and return its report.

    Args:
        driver: the flow, on the same clock.
        instances: by stage name.
        clock: advanced to the instants that the driver waits for; components may advance it, too.
        after_call: hears the number of calls that have returned, after each; may cancel the driver.

    Raises:
        TorvynError: flow/never-ends, when only an event from outside could go on.
    """
    calls = 0
    if after_call is not None:
        after_call(0)
    while True:
        step = driver.next(clock.monotonic_ns())
        if isinstance(step, Invoke):
            answer = instances[step.stage.name].call(step.call, step.argument)
            driver.resume(answer, clock.monotonic_ns())
            calls += 1
            if after_call is not None:
                after_call(calls)
        elif isinstance(step, Wait):
            if step.until is None:
                raise TorvynError("flow", "never-ends", "a simulated flow waits for something outside of it")
            clock.advance_to(step.until)
        elif step is DONE:
            assert driver.report is not None
            return driver.report

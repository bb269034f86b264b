"""One run of one prepared flow, with what an operator does to it: signals, a timeout, input that arrives, live progress (CLI-010)."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from torvyn_ref.clock import VirtualClock
from torvyn_ref.flow import FlowReport
from torvyn_ref.flow.simulate import simulate as drive
from torvyn_ref.host import Host, PreparedFlow
from torvyn_ref.observe import Level
from torvyn_ref.reactor import Feed, FlowHandle, Reactor

_REFRESH_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        interrupted: the signal that ended it early, if one did.
        metrics: the host's metrics when the flow was over; None when they are off.
        fuel: spent by each stage's instance, by stage name.
    """

    prepared: PreparedFlow
    report: FlowReport
    interrupted: signal.Signals | None
    metrics: dict[str, Any] | None
    fuel: dict[str, int]


class Interruption:
    """Which signal the operator sent first."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None


async def run(
    host: Host,
    prepared: PreparedFlow,
    *,
    feed: Feed | None = None,
    timeout_s: float | None = None,
    later: tuple[tuple[float, Callable[[], object]], ...] = (),
    console: Console | None = None,
    interruption: Interruption | None = None,
) -> Outcome:
    """Run a prepared flow to its end, and close it.

    In the main thread, the first SIGINT or SIGTERM cancels the flow, which drains; a second one abandons it.

    Args:
        host: the host that prepared it.
        prepared: the flow.
        feed: the input attached to it.
        timeout_s: cancel the flow after this many seconds, as an operator would.
        later: what else to do after so many seconds, if the flow still runs then.
        console: where to show live progress; None shows none.
        interruption: learns of the first signal, also when the run raises.

    Raises:
        TorvynError: flow/abandoned, after a second signal; whatever the host itself raised.
    """
    interruption = interruption or Interruption()
    report: FlowReport | None = None
    problem: Exception | None = None
    try:
        with _signals() as signals:
            async with Reactor(host.resources, clock=host.clock) as reactor, anyio.create_task_group() as tasks:
                handle = host.start(reactor, prepared)
                if signals is not None:
                    tasks.start_soon(_listen, signals, handle, interruption)
                if timeout_s is not None:
                    tasks.start_soon(_later, timeout_s, handle.cancel)
                for seconds, action in later:
                    tasks.start_soon(_later, seconds, action)
                if feed is not None:
                    tasks.start_soon(feed.pump, handle.wake)
                if console is not None and console.is_terminal:
                    tasks.start_soon(_show_progress, console, prepared)
                try:
                    report = await handle.wait()
                except Exception as error:  # noqa: BLE001  # raised below, outside of the task groups that would wrap it
                    problem = error
                tasks.cancel_scope.cancel()
        if problem is not None:
            raise problem
        assert report is not None
        return _outcome(host, prepared, report, interruption.by)
    finally:
        prepared.close()


def simulate(host: Host, prepared: PreparedFlow) -> Outcome:
    """Run a prepared flow to its end on the host's virtual clock, at once, and close it.

    Raises:
        TorvynError: flow/never-ends, when only an event from outside could go on; whatever the host itself raised.
    """
    assert isinstance(host.clock, VirtualClock)
    try:
        host.record_start(prepared)
        report = drive(prepared.driver, prepared.instances, host.clock)
        return _outcome(host, prepared, report, None)
    finally:
        prepared.close()


def _outcome(host: Host, prepared: PreparedFlow, report: FlowReport, interrupted: signal.Signals | None) -> Outcome:
    watched = host.metrics.level is not Level.OFF
    metrics = host.metrics.snapshot(host.clock.monotonic_ns(), host.resources) if watched else None
    fuel = {name: instance.fuel_used for name, instance in prepared.instances.items()}
    return Outcome(prepared, report, interrupted, metrics, fuel)


@contextmanager
def _signals() -> Iterator[AsyncIterator[signal.Signals] | None]:
    """Receive SIGINT and SIGTERM, where that is possible: only the main thread may."""
    if threading.current_thread() is threading.main_thread():
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            yield signals
    else:
        yield None


async def _listen(signals: AsyncIterator[signal.Signals], handle: FlowHandle, interruption: Interruption) -> None:
    async for number in signals:
        if interruption.by is None:
            interruption.by = number
            handle.cancel()
        else:
            handle.abandon()


async def _later(seconds: float, action: Callable[[], object]) -> None:
    await anyio.sleep(seconds)
    action()


async def _show_progress(console: Console, prepared: PreparedFlow) -> None:
    driver = prepared.driver

    def line() -> Text:
        entered, delivered = driver.progress
        return Text(f"{prepared.name}: {driver.state.lower()}, {entered} elements in, {delivered} delivered", style="dim")

    with Live(line(), console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            await anyio.sleep(_REFRESH_S)
            live.update(line(), refresh=True)

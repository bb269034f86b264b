"""One run of one prepared flow, with what an operator does to it: signals, a timeout, input that arrives, live progress (CLI-010)."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from rich.console import Console
from rich.live import Live
from rich.text import Text

from torvyn_ref.clock import VirtualClock
from torvyn_ref.flow import FlowReport
from torvyn_ref.flow.simulate import simulate as drive
from torvyn_ref.host import Host, PreparedFlow
from torvyn_ref.observe import Level
from torvyn_ref.reactor import Feed, FlowHandle, Reactor
from torvyn_ref.signals import heard_at_once

_REFRESH_S = 0.1
_HEEDED = (signal.SIGINT, signal.SIGTERM)
_TURNS = 4  # of the event loop, after which a signal that has arrived is received


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

    def heard(self, number: int) -> None:
        """Take note of a signal; the first one counts."""
        self.by = self.by or signal.Signals(number)


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

    In the main thread, the first SIGINT or SIGTERM cancels the flow, which drains; a second one abandons it. Both are heard, and so is
    the timeout, while a component's call goes on for ever: a cancel gives it the cooperative timeout, a second signal ends it at once.

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
            async with Reactor(host.resources, clock=host.clock) as reactor, AsyncExitStack() as stack, anyio.create_task_group() as tasks:
                handle = host.start(reactor, prepared)
                if signals is not None:
                    relay = stack.enter_context(heard_at_once(_Early(handle, interruption)))
                    tasks.start_soon(_listen, relay, handle, interruption)
                    tasks.start_soon(_take, signals)
                if timeout_s is not None:
                    handle.end_at(host.clock.monotonic_ns() + round(timeout_s * 1e9))
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
                for _ in range(_TURNS):
                    await checkpoint()
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
        with anyio.open_signal_receiver(*_HEEDED) as signals:
            yield signals
    else:
        yield None


class _Early:
    """Takes note of signals from another thread: the first is a cancel, the second gives the flow up. `_listen` does the rest."""

    def __init__(self, handle: FlowHandle, interruption: Interruption) -> None:
        self._handle = handle
        self._interruption = interruption
        self._first = True

    def __call__(self, number: int) -> None:
        if number not in _HEEDED:
            return
        if self._first:
            self._first = False
            self._interruption.heard(number)
            self._handle.hear()
        else:
            self._handle.give_up()


async def _listen(relay: socket.socket, handle: FlowHandle, interruption: Interruption) -> None:
    first = True
    while True:
        await anyio.wait_readable(relay)
        for number in relay.recv(64):
            if number not in _HEEDED:
                continue
            if first:
                first = False
                interruption.heard(number)
                handle.cancel()
            else:
                handle.abandon()


async def _take(signals: AsyncIterator[signal.Signals]) -> None:
    """Receive signals and do nothing about them: what nobody has received when the receiver closes, some event loops raise again."""
    async for _ in signals:
        pass


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

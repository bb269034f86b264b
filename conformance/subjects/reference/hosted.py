"""A host with several flows: the reference's own reactor on an event loop whose time is virtual."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.trace import TraceWriter
from torvyn_ref.calls import Answer, Call, Element, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowDriver
from torvyn_ref.flow.simulate import SimulatedTime
from torvyn_ref.ids import Handle, Owner
from torvyn_ref.reactor.coordinator import FlowHandle, Reactor, ShutdownReport
from torvyn_ref.resources import ManagerConfig, ResourceManager

Prepare = Callable[..., tuple[FlowDriver, dict[str, ScriptedInstance]]]


class VirtualSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it moves the clock on to it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; when nothing is, the time until the next timer has passed.

        Raises:
            RuntimeError: there is no timer, either: the host waits for something that never comes.
        """
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise RuntimeError("the host waits for something that never comes")
        self._clock.advance(max(1, round(timeout * 1e9)))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(VirtualSelector(clock))
        self._virtual = clock

    def time(self) -> float:
        """Return the virtual instant in seconds."""
        return self._virtual.monotonic_ns() / 1e9


class _Buffers(Observer):
    """Tells each flow's trace of the flow's own buffers."""

    def __init__(self) -> None:
        self.writers: dict[Owner, Observer] = {}
        self._by_buffer: dict[Handle, Observer] = {}

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:
        """Find out whose it is."""
        writer = self.writers.get(owner)
        if writer is not None:
            self._by_buffer[handle] = writer
            writer.allocated(handle, owner, capacity)

    def released(self, handle: Handle) -> None:
        """Remember whose it was."""
        writer = self._by_buffer.pop(handle, None)
        if writer is not None:
            writer.released(handle)


class _Turns(Observer):
    """Notes who gives way, and passes everything on."""

    def __init__(self, inner: Observer, flow: int, turns: list[int]) -> None:
        for name in vars(Observer):
            if not name.startswith("_") and name != "yielded":
                setattr(self, name, getattr(inner, name))
        self._inner, self._flow, self._turns = inner, flow, turns

    def yielded(self, at: int, executions: int) -> None:
        """Note it."""
        self._turns.append(self._flow)
        self._inner.yielded(at, executions)


class _Bounded:
    """An instance whose flow is stopped after so many calls of all its instances."""

    def __init__(self, inner: ScriptedInstance, calls: Iterator[int], most: int, stop: Callable[[], object]) -> None:
        self._inner, self._calls, self._most, self._stop = inner, calls, most, stop
        self.has_lifecycle = inner.has_lifecycle
        self.close = inner.close

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call."""
        answer = self._inner.call(call, argument)
        if next(self._calls) >= self._most:
            self._stop()
        return answer


@dataclass(slots=True)
class _Started:
    """A flow that the host knows."""

    spec: int
    handle: FlowHandle
    writer: TraceWriter


@dataclass(slots=True)
class _Host:
    """One run of a host."""

    parts: ReferenceParts
    request: p.RunHost
    prepare: Prepare
    reply: Callable[..., p.FlowRunReply]
    clock: VirtualClock = field(default_factory=VirtualClock)
    started: dict[int, _Started] = field(default_factory=dict)
    turns: list[int] = field(default_factory=list)
    outcomes: list[p.HostOutcome] = field(default_factory=list)
    shutdowns: list[asyncio.Future[ShutdownReport]] = field(default_factory=list)

    async def play(self) -> p.HostRunReply:
        """Do one thing after the other."""
        buffers = _Buffers()
        manager = self.parts.manager(ManagerConfig(table_capacity=256), observer=buffers)
        ids = self.parts.ids()
        async with self.parts.reactor(manager, clock=self.clock) as reactor:
            for step in self.request.steps:
                try:
                    outcome = await self._step(step, reactor, manager, buffers, ids)
                except TorvynError as error:
                    outcome = p.HostOutcome(error.kind)
                self.outcomes.append(outcome)
            await reactor.shutdown()
            for begun in self.shutdowns:
                await begun
        return p.HostRunReply(tuple(self.outcomes), tuple(self._ended(manager)), tuple(self.turns))

    async def _step(self, step: p.HostStep, reactor: Reactor, manager: ResourceManager, buffers: _Buffers, ids: Any) -> p.HostOutcome:
        match step.do:
            case "start":
                return self._start(step.flow, reactor, manager, buffers, ids)
            case "turns":
                for _ in range(step.turns):
                    await checkpoint()
            case "settle":
                for started in self.started.values():
                    await started.handle.over()
            case "query":
                return p.HostOutcome(state=str(reactor.flow(step.flow).state))  # type: ignore[arg-type]  # any number may be asked for
            case "cancel":
                reactor.flow(step.flow).cancel()  # type: ignore[arg-type]  # as above
            case "status":
                return p.HostOutcome(state=str(reactor.status))
            case "shutdown" if not step.waits:
                self.shutdowns.append(asyncio.ensure_future(reactor.shutdown(step.timeout_ms / 1000)))
                await checkpoint()
            case "shutdown":
                report = await reactor.shutdown(step.timeout_ms / 1000)
                counts = p.ShutdownCounts(report.completed, report.cancelled, report.failed, report.timed_out)
                return p.HostOutcome(counts=counts)
        return p.HostOutcome()

    def _start(self, number: int, reactor: Reactor, manager: ResourceManager, buffers: _Buffers, ids: Any) -> p.HostOutcome:
        if number >= len(self.request.flows):
            return p.HostOutcome("no-such-flow")
        spec = self.request.flows[number]
        flow = ids.next_flow()
        writer = TraceWriter(self.clock)
        writer.manager = manager
        observer = self.parts.observe(writer)
        owners = [ids.next_component() for _ in spec.stages]
        buffers.writers.update(dict.fromkeys(owners, observer))
        time = SimulatedTime(self.clock)
        turns = _Turns(observer, flow, self.turns)
        driver, instances = self.prepare(spec, flow=flow, owners=iter(owners), manager=manager, observer=turns, time=time)
        time.bounds = lambda: driver.call_bounds
        calls = iter(range(1, spec.max_calls + 10**9))
        bounded: dict[str, Any] = {name: _Bounded(one, calls, spec.max_calls, driver.cancel) for name, one in instances.items()}
        handle = reactor.start(driver, bounded)
        self.started[flow] = _Started(number, handle, writer)
        return p.HostOutcome(flow=flow)

    def _ended(self, manager: ResourceManager) -> Iterator[p.HostedFlow]:
        for flow, started in self.started.items():
            report, spec = started.handle.driver.report, self.request.flows[started.spec]
            run = None if report is None else self.reply(spec, report, started.writer.events, len(manager.live(started.handle.id)))
            yield p.HostedFlow(flow, started.spec, str(started.handle.state), run)


def run_host(parts: ReferenceParts, request: p.RunHost, prepare: Prepare, reply: Callable[..., p.FlowRunReply]) -> p.HostRunReply:
    """Make a host, do one thing after the other to it, and shut it down."""
    host = _Host(parts, request, prepare, reply)
    return anyio.run(host.play, backend="asyncio", backend_options={"loop_factory": lambda: VirtualLoop(host.clock)})

"""What is measured: whole flows of scripted components, and single operations of the core, each as a callable that does `n` of them.

A scenario is built once and run many times; what it returns is the CPU time of `n` repetitions, set-up apart. CPU time, not wall time:
on a shared machine the latter measures the neighbours.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from torvyn_ref.calls import Element, FlowContext, Output, Role, Signal
from torvyn_ref.clock import SystemClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import Guest, ScriptedInstance
from torvyn_ref.flow import DONE, EdgeDef, FlowDriver, FlowState, Invoke, StageDef, StageSetup, Topology
from torvyn_ref.ids import HOST, FlowId, Owner
from torvyn_ref.observe import Histogram, Level, Registry, observe
from torvyn_ref.resources import ManagerConfig, ResourceManager, Tier, TierConfig
from torvyn_ref.streams import Stream, StreamConfig

ELEMENTS = 4096
"""Repetitions in one measurement: long enough to drown set-up, short enough for many rounds."""

METRICS: dict[str, Level | None] = {"none": None, "off": Level.OFF, "production": Level.PRODUCTION, "diagnostic": Level.DIAGNOSTIC}
"""Who watches a flow: nobody, or an observer at one of the levels."""

FLOW = FlowId(1)
FIRST, SECOND = Owner(1), Owner(2)

Scenario = Callable[[int], int]
"""Does `n` elements or operations and returns the CPU nanoseconds that they took."""


class CountedSource:
    """Emits `count` elements of the same bytes."""

    def __init__(self, count: int, payload: bytes) -> None:
        self._left = count
        self._payload = payload

    def pull(self, guest: Guest) -> Output | None:
        if not self._left:
            return None
        self._left -= 1
        return guest.emit(self._payload)


class ReadAndEmit:
    """A processor that reads its input and emits as many bytes, as a guest would."""

    def process(self, guest: Guest, element: Element) -> Output:
        return guest.emit(guest.read(element))


class ReadingSink:
    """A sink that reads all that it gets."""

    def push(self, guest: Guest, element: Element) -> Signal:
        guest.read(element)
        return Signal.READY


def flow_scenario(payload_bytes: int, *, branches: int = 1, level: Level | None = None) -> Scenario:
    """Return a flow source → processor → `branches` sinks, watched at `level` (None: no observer at all)."""
    roles = {"source": Role.SOURCE, "processor": Role.PROCESSOR} | {f"sink-{n}": Role.SINK for n in range(branches)}
    edges = [EdgeDef("source", "processor")] + [EdgeDef("processor", f"sink-{n}") for n in range(branches)]
    topology = Topology.build([StageDef(name, role) for name, role in roles.items()], edges)
    owners = {name: Owner(index) for index, name in enumerate(roles, start=1)}
    setups = {name: StageSetup(owner) for name, owner in owners.items()}
    payload = b"x" * payload_bytes
    clock = SystemClock()

    def run(count: int) -> int:
        observer = None
        if level is not None:
            observer = observe(Registry(level=level), FLOW, topology, setups)
        resources = ResourceManager()
        driver = FlowDriver(topology, setups, flow=FLOW, resources=resources, observer=observer)
        components = {
            name: CountedSource(count, payload) if role is Role.SOURCE else ReadAndEmit() if role is Role.PROCESSOR else ReadingSink()
            for name, role in roles.items()
        }
        instances = {
            name: ScriptedInstance(component, roles[name], Sandbox(owners[name], FLOW, resources, FlowContext("00"), clock))
            for name, component in components.items()
        }
        in_order = [instances[stage.name] for stage in driver.stages]
        monotonic_ns = time.monotonic_ns
        begin = time.process_time_ns()
        now = monotonic_ns()
        while True:  # the loop that a reactor's task runs
            step = driver.next(now)
            if step.__class__ is Invoke:
                answer = in_order[step.stage.index].call(step.call, step.argument)
                now = monotonic_ns()
                driver.resume(answer, now)
            elif step is DONE:
                break
            else:
                now = monotonic_ns()
        spent = time.process_time_ns() - begin
        report = driver.report
        assert report is not None
        assert report.state is FlowState.COMPLETED
        assert report.delivered == count * branches
        assert report.live_buffers == 0
        return spent

    return run


def operation_scenario(prepare: Callable[[ResourceManager], Callable[[int], object]]) -> Scenario:
    """Return a scenario of a resource operation: `prepare` makes, for a fresh manager, what does it `n` times."""

    def run(count: int) -> int:
        operate = prepare(ResourceManager())
        begin = time.process_time_ns()
        operate(count)
        return time.process_time_ns() - begin

    return run


def _allocate_release(resources: ResourceManager) -> Callable[[int], object]:
    def operate(count: int) -> None:
        for _ in range(count):
            resources.release(resources.allocate(FIRST, 64, FLOW), FIRST)

    return operate


def _borrow_end(resources: ResourceManager) -> Callable[[int], object]:
    handle = resources.allocate(HOST, 64, FLOW)

    def operate(count: int) -> None:
        for _ in range(count):
            resources.borrow(handle, FIRST)
            resources.end_borrow(handle, FIRST)

    return operate


def _transfer(resources: ResourceManager) -> Callable[[int], object]:
    handle = resources.allocate(FIRST, 64, FLOW)

    def operate(count: int) -> None:
        for _ in range(count // 2):
            resources.transfer(handle, FIRST, SECOND)
            resources.transfer(handle, SECOND, FIRST)

    return operate


def _write_read(size: int) -> Callable[[ResourceManager], Callable[[int], object]]:
    def prepare(resources: ResourceManager) -> Callable[[int], object]:
        handle = resources.allocate(FIRST, size, FLOW)
        payload = b"x" * size

        def operate(count: int) -> None:
            for _ in range(count):
                resources.write(handle, FIRST, 0, payload)
                resources.read(handle, FIRST)

        return operate

    return prepare


def pool_scenario(pool_size: int) -> Scenario:
    """Return a scenario of allocation and release in a pool of so many small buffers, half of them in use all the time."""

    def run(count: int) -> int:
        resources = ResourceManager(ManagerConfig(tiers=(TierConfig(Tier.SMALL, pool_size),)))
        for _ in range(pool_size // 2):
            resources.allocate(HOST, 64, FLOW)
        operate = _allocate_release(resources)
        operate(1)  # which makes the buffer that all others use again
        begin = time.process_time_ns()
        operate(count)
        return time.process_time_ns() - begin

    return run


def stream_scenario(capacity: int) -> Scenario:
    """Return a scenario that fills and empties a stream: a push and a pop for each element, pressure on and off once a round."""

    def run(count: int) -> int:
        stream: Stream[int] = Stream(StreamConfig(capacity))
        rounds = count // capacity
        begin = time.process_time_ns()
        for _ in range(rounds):
            for item in range(capacity):
                stream.push(item, 0)
            for _ in range(capacity):
                stream.pop(0)
        spent = time.process_time_ns() - begin
        assert stream.elements == rounds * capacity
        return spent

    return run


FLOWS: dict[str, Scenario] = {
    "linear 64 B": flow_scenario(64),
    "linear 64 B, metrics off": flow_scenario(64, level=Level.OFF),
    "linear 64 B, metrics production": flow_scenario(64, level=Level.PRODUCTION),
    "linear 64 B, metrics diagnostic": flow_scenario(64, level=Level.DIAGNOSTIC),
    "linear 4 KiB": flow_scenario(4096),
    "linear 4 KiB, metrics production": flow_scenario(4096, level=Level.PRODUCTION),
    "fan-out of 4, 64 B": flow_scenario(64, branches=4),
}

RESOURCES: dict[str, Scenario] = {
    "allocate + release": operation_scenario(_allocate_release),
    "borrow + end": operation_scenario(_borrow_end),
    "transfer": operation_scenario(_transfer),
    "write + read 64 B": operation_scenario(_write_read(64)),
    "write + read 4 KiB": operation_scenario(_write_read(4096)),
}

POOL_SIZES = (16, 64, 256, 1024, 4096)
POOLS: dict[str, Scenario] = {f"allocate + release, pool of {size}": pool_scenario(size) for size in POOL_SIZES}


def _record(count: int) -> int:
    histogram = Histogram()
    record = histogram.record
    begin = time.process_time_ns()
    for value in range(count):
        record(value << 8)
    spent = time.process_time_ns() - begin
    assert histogram.count == count
    return spent


METRIC_OPERATIONS: dict[str, Scenario] = {"histogram record": _record}

STREAMS: dict[str, Scenario] = {
    "push + pop, capacity 1": stream_scenario(1),
    "push + pop, capacity 64": stream_scenario(64),
}


def nanoseconds_each(scenario: Scenario, count: int) -> float:
    """Run a scenario once, the garbage collector switched off, and return the CPU nanoseconds of each of its `count` repetitions."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        return scenario(count) / count
    finally:
        if was_enabled:
            gc.enable()

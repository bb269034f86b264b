"""Flows of every shape, on every engine, driven by hand: what `counters` counts and the `time_` benchmarks of whole flows repeat.

There is no reactor here, no thread and no machine's clock, so a shape does exactly the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from benchmarks.corpus import UNLIMITED_FUEL, wasm
from benchmarks.scenarios import CountedSource, ReadAndEmit, ReadingSink
from torvyn_ref.calls import Element, FlowContext, Output, Role
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.direct import DirectEngine
from torvyn_ref.engine.protocol import Engine, Instance, Limits, Sandbox
from torvyn_ref.engine.scripted import Guest, ScriptedInstance
from torvyn_ref.engine.stock import StockEngine
from torvyn_ref.flow import DONE, EdgeDef, FlowDriver, FlowReport, FlowSettings, FlowState, Invoke, StageDef, StageSetup, Topology
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe import Level, Registry, observe
from torvyn_ref.resources import ResourceManager

FLOW = FlowId(1)
ENGINES = ("scripted", "direct", "stock")
MOST_PROCESSORS = 8


@dataclass(frozen=True, slots=True)
class Node:
    """A stage: what it is called, what it is, and the corpus' component that plays it, with its configuration."""

    name: str
    role: Role
    component: str
    config: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A topology: what stands between a source and its sinks.

    Attributes:
        middle: the stages between, each fed by the one before.
        ports: the last stage's outputs, one sink each.
    """

    name: str
    middle: tuple[Node, ...]
    ports: tuple[str, ...] = ("default",)


def _processors(count: int) -> tuple[Node, ...]:
    return tuple(Node(f"p{number}", Role.PROCESSOR, "uppercase") for number in range(1, count + 1))


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("S-K", ()),
        Shape("S-P-K", _processors(1)),
        *(Shape(f"S-P*{count}-K", _processors(count)) for count in range(2, MOST_PROCESSORS + 1)),
        Shape("S-P-K*2", _processors(1), ("default",) * 2),
        Shape("S-P-K*4", _processors(1), ("default",) * 4),
        Shape("router", (Node("parity", Role.ROUTER, "parity-router"),), ("even", "odd")),
        Shape("filter", (Node("evens", Role.FILTER, "number-filter", "keep=even"),)),
        Shape("aggregator", (Node("groups", Role.AGGREGATOR, "concatenator", "inputs=4,burst=0"),)),
    )
}


class _ByParity:
    """Scripted, what parity-router and number-filter do: it looks at the number that an element begins with."""

    def evaluate(self, guest: Guest, element: Element) -> bool:
        return not _number(guest, element) % 2

    def route(self, guest: Guest, element: Element) -> list[str]:
        number = _number(guest, element)
        return [port for port, chosen in (("even", not number % 2), ("odd", number % 2 or not number % 10)) if chosen]


class _Groups:
    """Scripted, what the concatenator does."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def ingest(self, guest: Guest, element: Element) -> Output | None:
        self._held.append(guest.read(element))
        if len(self._held) < 4:
            return None
        joined, self._held = b"".join(self._held), []
        return guest.emit(joined)

    def flush(self, guest: Guest) -> list[Output]:
        return [guest.emit(b"".join(self._held))] if self._held else []


class _NumberedSource(CountedSource):
    """Elements that begin with their numbers, as the counter-source's do."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__(count, b"")
        self._count, self._rest = count, b"x" * (size - 8)

    def pull(self, guest: Guest) -> Output | None:
        self._payload = b"%08d" % (self._count - self._left) + self._rest
        return super().pull(guest)


def _number(guest: Guest, element: Element) -> int:
    return int(guest.read(element)[:8])


@cache
def engine(name: str) -> Engine:
    """Return an engine without a thread; the same one each time, for it keeps what it has compiled."""
    return DirectEngine(threaded=False) if name == "direct" else StockEngine(threaded=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A flow that has not begun."""

    driver: FlowDriver
    instances: Mapping[str, Instance]
    resources: ResourceManager

    def run(self) -> FlowReport:
        """Run to the end and return the report."""
        driver, instances = self.driver, self.instances
        now = 0
        while (step := driver.next(now)) is not DONE:
            now += 1
            if isinstance(step, Invoke):
                driver.resume(instances[step.stage.name].call(step.call, step.argument), now)
        report = driver.report
        assert report is not None
        assert report.state is FlowState.COMPLETED, report
        assert report.live_buffers == 0
        return report


@contextmanager
def prepared(engine_name: str, shape: Shape, payload_bytes: int, count: int) -> Iterator[Prepared]:
    """Make a flow of a shape, observed at level production; its instances are closed in the end."""
    source = Node("source", Role.SOURCE, "counter-source", f"count={count},size={payload_bytes}")
    sinks = [Node(f"k{number}", Role.SINK, "sink-ready") for number in range(1, len(shape.ports) + 1)]
    nodes = [source, *shape.middle, *sinks]
    line = [source, *shape.middle]
    edges = [EdgeDef(one.name, other.name) for one, other in pairwise(line)]
    edges += [EdgeDef(line[-1].name, sink.name, port) for sink, port in zip(sinks, shape.ports, strict=True)]
    topology = Topology.build([StageDef(node.name, node.role) for node in nodes], edges)
    resources, clock = ResourceManager(), VirtualClock()
    instances: dict[str, Instance] = {}
    setups: dict[str, StageSetup] = {}
    try:
        for number, node in enumerate(nodes, start=1):
            sandbox = Sandbox(Owner(number), FLOW, resources, FlowContext("flow-1"), clock, Limits(fuel=UNLIMITED_FUEL))
            made = instances[node.name] = _instance(engine_name, node, sandbox, payload_bytes, count)
            setups[node.name] = StageSetup(Owner(number), made.has_lifecycle, node.config)
        observer = observe(Registry(level=Level.PRODUCTION), FLOW, topology, setups)
        settings = FlowSettings(quantum_ns=None)  # it yields by count, not by clock
        driver = FlowDriver(topology, setups, flow=FLOW, resources=resources, settings=settings, observer=observer)
        yield Prepared(driver, instances, resources)
    finally:
        for made in instances.values():
            made.close()


def _instance(engine_name: str, node: Node, sandbox: Sandbox, payload_bytes: int, count: int) -> Instance:
    if engine_name != "scripted":
        return engine(engine_name).compile(wasm(node.component), where=node.component).instantiate(node.role, sandbox)
    scripted: Mapping[Role, object] = {
        Role.SOURCE: _NumberedSource(count, payload_bytes),
        Role.PROCESSOR: ReadAndEmit(),
        Role.SINK: ReadingSink(),
        Role.FILTER: _ByParity(),
        Role.ROUTER: _ByParity(),
        Role.AGGREGATOR: _Groups(),
    }
    return ScriptedInstance(scripted[node.role], node.role, sandbox)

"""A kit for flows: scripted components, a recorder of everything that happens, and `play`, which runs a flow on a virtual clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from torvyn_ref.calls import Call, ErrorKind, Failure, FlowContext, Output, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance, Trap
from torvyn_ref.events import Observer
from torvyn_ref.flow import EdgeDef, FlowDriver, StageDef, StageSetup, Topology
from torvyn_ref.flow.simulate import simulate
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager

FLOW = FlowId(1)
WALL_OFFSET = 1_000_000_000_000


class Component:
    """Notes its calls; answers with what `script` says for the n-th data call (an exception is raised, None means: do the usual)."""

    role: Role

    def __init__(self, script=None, *, spends=0):
        self.script = script or {}
        self.spends = spends
        self.calls = 0
        self.seen = []

    def _scripted(self, guest):
        self.calls += 1
        if self.spends:
            guest.clock.advance(self.spends)
        answer = self.script.get(self.calls)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Source(Component):
    role = Role.SOURCE

    def __init__(self, count, script=None, *, prefix="", spends=0):
        super().__init__(script, spends=spends)
        self.left = count
        self.emitted = 0
        self.prefix = prefix

    def pull(self, guest):
        if (answer := self._scripted(guest)) is not None:
            return answer
        if not self.left:
            return None
        self.left -= 1
        self.emitted += 1
        return guest.emit(f"{self.prefix}{self.emitted - 1}".encode(), "text/plain")


class ToldSource(Source):
    """A source that hears of pressure."""

    def __init__(self, count, script=None, **options):
        super().__init__(count, script, **options)
        self.signals = []

    def notify_backpressure(self, _guest, signal):
        self.signals.append(signal)


class Mapper(Component):
    role = Role.PROCESSOR

    def process(self, guest, element):
        self.seen.append(guest.read(element))
        answer = self._scripted(guest)
        if answer is False:
            return None
        return guest.emit(self.seen[-1].upper(), element.content_type) if answer is None else answer


class Filter(Component):
    role = Role.FILTER

    def __init__(self, keeps, script=None):
        super().__init__(script)
        self.keeps = keeps

    def evaluate(self, guest, element):
        answer = self._scripted(guest)
        return self.keeps(int(guest.read(element))) if answer is None else answer


class Router(Component):
    role = Role.ROUTER

    def __init__(self, ports, script=None):
        super().__init__(script)
        self.ports = ports

    def route(self, guest, element):
        answer = self._scripted(guest)
        return self.ports(int(guest.read(element))) if answer is None else answer


class Aggregator(Component):
    """Keeps everything and gives `burst` elements at the end."""

    role = Role.AGGREGATOR

    def __init__(self, burst=1, script=None, *, flush_answer=None):
        super().__init__(script)
        self.burst = burst
        self.flush_answer = flush_answer
        self.flushes = 0

    def ingest(self, guest, element):
        self.seen.append(guest.read(element))
        return self._scripted(guest)

    def flush(self, guest):
        self.flushes += 1
        if isinstance(self.flush_answer, Exception):
            raise self.flush_answer
        return self.flush_answer or [guest.emit(str(index).encode()) for index in range(self.burst)]


class Sink(Component):
    role = Role.SINK

    def __init__(self, script=None, *, spends=0, complete_answer=None):
        super().__init__(script, spends=spends)
        self.completes = 0
        self.complete_answer = complete_answer
        self.elements = []

    def push(self, guest, element):
        answer = self._scripted(guest)
        if isinstance(answer, Failure):
            return answer
        self.seen.append(guest.read(element))
        self.elements.append((element.sequence, element.timestamp_ns, element.content_type, element.handle))
        return answer or Signal.READY

    def complete(self, _guest):
        self.completes += 1
        return self.complete_answer


class Recorder(Observer):
    """Everything that happened, as tuples."""

    def __init__(self):
        self.events = []

    def state(self, at, old, new):
        self.events.append(("state", str(old), str(new)))

    def called(self, at, stage, call, element):
        self.events.append(("called", stage, call, element.sequence if element else None, at))

    def returned(self, at, stage, call, answer):
        self.events.append(("returned", stage, call, answer))

    def enqueued(self, at, stream, element, depth, credits_):
        self.events.append(("enqueued", stream, element.sequence, depth, credits_))

    def dequeued(self, at, stream, element, depth, credits_):
        self.events.append(("dequeued", stream, element.sequence, depth, credits_))

    def pressure(self, at, stream, *, on, depth, duration_ns):
        self.events.append(("pressure", stream, on, depth, duration_ns))

    def dropped(self, at, stream, element, reason):
        self.events.append(("dropped", stream, element.sequence, str(reason)))

    def allocated(self, handle, owner, capacity):
        self.events.append(("allocated", handle))

    def released(self, handle):
        self.events.append(("released", handle))

    def notified(self, at, stage, signal):
        self.events.append(("notified", stage, signal))

    def yielded(self, at, executions):
        self.events.append(("yielded", executions))

    def failed(self, at, stage, call, failure, action):
        self.events.append(("failed", stage, call, failure, str(action)))

    def done(self, at, report):
        self.events.append(("done", report))

    def of(self, *kinds):
        return [event for event in self.events if event[0] in kinds]

    def calls(self, stage=None):
        return [(event[1], event[2]) for event in self.of("called") if stage in {None, event[1]}]


class Run:
    """A flow ready to run, and what became of it."""

    def __init__(self, components, edges, *, budget=None, **driver_options):
        edges = [edge if isinstance(edge, EdgeDef) else EdgeDef(*edge) for edge in edges]
        self.components = components
        self.topology = Topology.build([StageDef(name, component.role) for name, component in components.items()], edges)
        self.clock = VirtualClock()
        self.trace = Recorder()
        self.resources = ResourceManager(observer=self.trace)
        self.owners = {name: Owner(index) for index, name in enumerate(components, start=1)}
        if budget is not None:
            for owner in self.owners.values():
                self.resources.register_component(owner, budget)
        self.instances = {
            name: ScriptedInstance(
                component, component.role, Sandbox(self.owners[name], FLOW, self.resources, FlowContext("f"), self.clock)
            )
            for name, component in components.items()
        }
        self.driver = FlowDriver(
            self.topology,
            {name: StageSetup(self.owners[name], self.instances[name].has_lifecycle, f"config of {name}") for name in components},
            flow=FLOW,
            resources=self.resources,
            observer=self.trace,
            wall_offset_ns=WALL_OFFSET,
            **driver_options,
        )
        self.report = None

    def go(self, after_call=None):
        self.report = simulate(self.driver, self.instances, self.clock, after_call=after_call)
        assert (self.report.live_buffers, self.resources.live_count) == (0, 0)
        return self

    @property
    def failures(self):
        return [(event[1], event[2], event[4]) for event in self.trace.of("failed")]


def play(components, edges, after_call=None, **options):
    """Run a flow to its end."""
    return Run(components, edges, **options).go(after_call)


def returned_error(kind=ErrorKind.INTERNAL, message="no"):
    return Failure(kind, message)


@pytest.fixture(scope="session")
def kit():
    return SimpleNamespace(
        Aggregator=Aggregator,
        Call=Call,
        Component=Component,
        Filter=Filter,
        Mapper=Mapper,
        Output=Output,
        Recorder=Recorder,
        Router=Router,
        Run=Run,
        Sink=Sink,
        Source=Source,
        ToldSource=ToldSource,
        Trap=Trap,
        WALL_OFFSET=WALL_OFFSET,
        error=returned_error,
        play=play,
    )

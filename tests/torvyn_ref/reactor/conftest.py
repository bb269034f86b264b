"""A kit for the reactor: scripted flows that share one resource manager, and a look at what they left behind."""

from __future__ import annotations

from itertools import count, pairwise

import pytest

from torvyn_ref.calls import FlowContext, Role, Signal
from torvyn_ref.clock import SystemClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.flow import EdgeDef, FlowDriver, FlowSettings, StageDef, StageSetup, Topology
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Source:
    role = Role.SOURCE

    def __init__(self, count=None, *, before=None):
        self.left = count
        self.pulls = 0
        self.before = before

    def pull(self, guest):
        self.pulls += 1
        if self.before is not None and (answer := self.before(self.pulls)) is not None:
            return answer
        if self.left is not None:
            if not self.left:
                return None
            self.left -= 1
        return guest.emit(b"element %d" % self.pulls)


class Copy:
    role = Role.PROCESSOR

    def __init__(self, before=None):
        self.calls = 0
        self.before = before

    def process(self, guest, element):
        self.calls += 1
        if self.before is not None and (answer := self.before(self.calls)) is not None:
            return answer
        return guest.clone(element)


class Sink:
    role = Role.SINK

    def __init__(self, after=None, *, signal=Signal.READY):
        self.got = []
        self.after = after
        self.signal = signal

    def push(self, guest, element):
        self.got.append(guest.read(element))
        if self.after is not None:
            self.after(len(self.got))
        return self.signal


class Keeper(Copy):
    """Keeps a mutable buffer for every element that passes."""

    def process(self, guest, element):
        guest.allocate(16)
        return super().process(guest, element)


class Watched(ScriptedInstance):
    closed = 0

    def close(self):
        self.closed += 1
        super().close()


class Kit:
    Source, Copy, Sink, Keeper = Source, Copy, Sink, Keeper

    def __init__(self):
        self.resources = ResourceManager()
        self.ids = count(1)
        self.owners = count(1)
        self.instances = []

    def flow(self, *components, observer=None, instance=Watched, **settings):
        """A line of scripted components: its driver and its instances."""
        clock = SystemClock()
        flow = FlowId(next(self.ids))
        names = [f"s{index}" for index in range(len(components))]
        stages = [StageDef(name, component.role) for name, component in zip(names, components, strict=True)]
        topology = Topology.build(stages, [EdgeDef(*ends) for ends in pairwise(names)])
        setups, instances = {}, {}
        for name, component in zip(names, components, strict=True):
            owner = Owner(next(self.owners))
            self.resources.register_component(owner, 1 << 20)
            sandbox = Sandbox(owner, flow, self.resources, FlowContext(f"flow-{flow}"), clock)
            instances[name] = instance(component, component.role, sandbox)
            setups[name] = StageSetup(owner, instances[name].has_lifecycle)
        self.instances += instances.values()
        driver = FlowDriver(topology, setups, flow=flow, resources=self.resources, settings=FlowSettings(**settings), observer=observer)
        return driver, instances

    def assert_nothing_left(self):
        assert self.resources.live_count == 0
        assert [instance.closed for instance in self.instances] == [1] * len(self.instances)


@pytest.fixture
def kit():
    return Kit()

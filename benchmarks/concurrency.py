"""Scripted flows that run at the same time in one reactor."""

from __future__ import annotations

import sys
import time

import anyio

from benchmarks.scenarios import CountedSource, ReadAndEmit, ReadingSink
from torvyn_ref.calls import FlowContext, Role
from torvyn_ref.clock import SystemClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.flow import EdgeDef, FlowDriver, FlowState, StageDef, StageSetup, Topology
from torvyn_ref.ids import FlowId, Ids
from torvyn_ref.reactor import Reactor
from torvyn_ref.resources import ResourceManager

CONCURRENT = (1, 10, 100, 1000)
ELEMENTS_IN_ALL = 16_384

_ROLES = {"source": Role.SOURCE, "processor": Role.PROCESSOR, "sink": Role.SINK}
_LINE = Topology.build(
    [StageDef(name, role) for name, role in _ROLES.items()], [EdgeDef("source", "processor"), EdgeDef("processor", "sink")]
)


class FlowMaker:
    """Makes scripted lines of three stages that share one resource manager."""

    def __init__(self) -> None:
        self.resources = ResourceManager()
        self.clock = SystemClock()
        self._ids = Ids()

    def make(self, elements: int | None) -> tuple[FlowDriver, dict[str, ScriptedInstance]]:
        """Make a flow of so many elements of 64 bytes; None never ends."""
        flow: FlowId = self._ids.next_flow()
        owners = {name: self._ids.next_component() for name in _ROLES}
        components = {"source": CountedSource(elements or sys.maxsize, b"x" * 64), "processor": ReadAndEmit(), "sink": ReadingSink()}
        context = FlowContext(f"flow-{flow}")
        instances = {
            name: ScriptedInstance(component, _ROLES[name], Sandbox(owners[name], flow, self.resources, context, self.clock))
            for name, component in components.items()
        }
        setups = {name: StageSetup(owner) for name, owner in owners.items()}
        return FlowDriver(_LINE, setups, flow=flow, resources=self.resources), instances

    def forget(self, driver: FlowDriver) -> None:
        """Forget a flow's components, as a host does when it closes it."""
        for stage in driver.stages:
            self.resources.unregister_component(stage.owner)


def run_concurrently(flows: int, elements: int) -> int:
    """Run flows that share so many elements of 64 bytes; return the CPU nanoseconds from the first start to the last report."""
    maker = FlowMaker()
    each = elements // flows

    async def run() -> int:
        made = [maker.make(each) for _ in range(flows)]
        begin = time.process_time_ns()
        async with Reactor(maker.resources, clock=maker.clock) as reactor:
            handles = [reactor.start(driver, instances) for driver, instances in made]
            reports = [await handle.wait() for handle in handles]
        spent = time.process_time_ns() - begin
        assert all(report.state is FlowState.COMPLETED and report.delivered == each for report in reports)
        return spent

    return anyio.run(run)

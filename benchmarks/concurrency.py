"""Scripted flows that run at the same time in one reactor."""

from __future__ import annotations

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


def run_concurrently(flows: int, elements: int) -> int:
    """Run flows that share so many elements of 64 bytes; return the CPU nanoseconds from the first start to the last report."""
    resources, clock, ids = ResourceManager(), SystemClock(), Ids()
    each = elements // flows

    def make() -> tuple[FlowDriver, dict[str, ScriptedInstance]]:
        flow: FlowId = ids.next_flow()
        owners = {name: ids.next_component() for name in _ROLES}
        components = {"source": CountedSource(each, b"x" * 64), "processor": ReadAndEmit(), "sink": ReadingSink()}
        instances = {
            name: ScriptedInstance(component, _ROLES[name], Sandbox(owners[name], flow, resources, FlowContext(f"flow-{flow}"), clock))
            for name, component in components.items()
        }
        return FlowDriver(_LINE, {name: StageSetup(owner) for name, owner in owners.items()}, flow=flow, resources=resources), instances

    async def run() -> int:
        made = [make() for _ in range(flows)]
        begin = time.process_time_ns()
        async with Reactor(resources, clock=clock) as reactor:
            handles = [reactor.start(driver, instances) for driver, instances in made]
            reports = [await handle.wait() for handle in handles]
        spent = time.process_time_ns() - begin
        assert all(report.state is FlowState.COMPLETED and report.delivered == each for report in reports)
        return spent

    return anyio.run(run)

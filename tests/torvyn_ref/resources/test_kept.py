"""What a flow's end says of buffers that stages had kept: in its report, and in the words that `run` prints."""

from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

from torvyn_ref import summary
from torvyn_ref.calls import FlowContext, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.flow import EdgeDef, FlowDriver, StageDef, StageSetup, Topology
from torvyn_ref.flow.simulate import simulate
from torvyn_ref.flow.statistics import Kept, kept
from torvyn_ref.ids import HOST, FlowId, Handle, Owner
from torvyn_ref.resources import Balance, Reclaimed, ResourceManager, ResourceState

FLOW = FlowId(1)
MILLISECOND = 1_000_000


class Source:
    def __init__(self):
        self.left = 3

    def pull(self, guest):
        guest.clock.advance(MILLISECOND)
        self.left -= 1
        return guest.emit(b"hello") if self.left >= 0 else None


class HoardingSink:
    def push(self, guest, element):
        guest.resources.allocate(guest.owner, 300, guest.flow, now_ns=guest.clock.monotonic_ns())
        return Signal.READY


def run(sink):
    manager, clock = ResourceManager(), VirtualClock()
    topology = Topology.build([StageDef("source", Role.SOURCE), StageDef("hoarder", Role.SINK)], [EdgeDef("source", "hoarder")])
    instances, setups = {}, {}
    for number, (name, role, component) in enumerate([("source", Role.SOURCE, Source()), ("hoarder", Role.SINK, sink)], start=1):
        instances[name] = ScriptedInstance(component, role, Sandbox(Owner(number), FLOW, manager, FlowContext("f"), clock))
        setups[name] = StageSetup(Owner(number))
    driver = FlowDriver(topology, setups, flow=FLOW, resources=manager)
    report = simulate(driver, instances, clock)
    assert manager.balance().is_even
    return driver, report


def words(driver, report, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(summary, "say", lambda *parts: out.write("".join(p if isinstance(p, str) else p[0] for p in parts) + "\n"))
    stages = tuple(SimpleNamespace(name=s.name, role="", engine="", fallback_reason=None) for s in report.stages)
    prepared = SimpleNamespace(name="main", stages=stages, driver=driver)
    summary.show(SimpleNamespace(report=report, prepared=prepared), Console(file=io.StringIO()))
    return out.getvalue()


def test_a_flow_that_keeps_nothing_balances_and_names_nobody(monkeypatch):
    driver, report = run(SimpleNamespace(push=lambda guest, element: Signal.READY))
    assert (report.kept, report.balance) == ((), Balance(3, 3, 0))
    said = words(driver, report, monkeypatch)
    assert "balance    3 created = 3 released + 0 live\n" in said
    assert "kept" not in said


def test_a_run_names_the_stage_that_kept_buffers_how_many_and_for_how_long(monkeypatch):
    driver, report = run(HoardingSink())
    assert report.kept == (Kept("hoarder", "hoarder", 3, 3 * 4096, 3 * MILLISECOND),)
    assert (report.reclaimed_buffers, report.balance) == (3, Balance(6, 6, 3))
    said = words(driver, report, monkeypatch)
    assert "kept       hoarder: 3 (12.0 KiB), the oldest for 3.0 ms\n" in said
    assert "buffers    0 live (3 kept by components were taken back)\n" in said


def test_what_was_kept_is_summed_up_by_who_had_it_and_who_made_it():
    def record(owner, maker, capacity, at):
        return Reclaimed(Handle(1), ResourceState.OWNED, owner, capacity, returned_to_pool=True, maker=maker, allocated_ns=at)

    freed = [
        record(Owner(1), Owner(1), 10, 50),
        record(HOST, Owner(1), 20, 0),
        record(Owner(1), Owner(1), 30, 40),
        record(Owner(9), HOST, 1, 0),
    ]
    assert kept(freed, {Owner(1): "worker"}, 100) == (
        Kept("component-9", "host", 1, 1, None),
        Kept("host", "worker", 1, 20, None),
        Kept("worker", "worker", 2, 40, 60),
    )

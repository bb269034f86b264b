"""Metrics of flows that ran: counted once, at the right place, at the right level, and exported."""

from __future__ import annotations

import json
import sys

import pytest

from torvyn_ref.calls import Call, Element, ErrorKind, Failure, FlowContext, Output, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import EdgeDef, ErrorPolicy, ErrorPolicyKind, FlowDriver, FlowSettings, ProducerFirst, StageDef, StageSetup, Topology
from torvyn_ref.flow.simulate import simulate
from torvyn_ref.ids import FlowId, Handle, Owner, make_handle
from torvyn_ref.observe import Level, MetricsObserver, Registry, observe
from torvyn_ref.observe.export import to_json, to_prometheus
from torvyn_ref.resources import ResourceManager
from torvyn_ref.streams import StreamConfig

FLOW = FlowId(4)
WALL = 1_700_000_000_000_000_000


class Source:
    def __init__(self, count, *, handle=None):
        self.left = count
        self.handle = handle

    def pull(self, guest):
        guest.clock.advance(100)
        if not self.left:
            return None
        self.left -= 1
        return guest.emit(b"x" * 10) if self.handle is None else Output(self.handle, "")


class Mapper:
    def __init__(self, failing=()):
        self.calls, self.failing = 0, failing

    def process(self, guest, element):
        self.calls += 1
        guest.clock.advance(1000)
        if self.calls in self.failing:
            return Failure(ErrorKind.INTERNAL, "no")
        return guest.emit(guest.read(element))


class Sink:
    def push(self, guest, element):
        guest.clock.advance(10)
        guest.read(element)
        return Signal.READY


class Run:
    def __init__(
        self, components, edges, *, level=Level.PRODUCTION, capacity=64, registry=None, settings=None, policy=None, after_call=None
    ):
        roles = {"pull": Role.SOURCE, "process": Role.PROCESSOR, "push": Role.SINK}
        stages = [StageDef(name, next(role for call, role in roles.items() if hasattr(c, call))) for name, c in components.items()]
        topology = Topology.build(stages, [EdgeDef(*edge, config=StreamConfig(capacity, 0.0)) for edge in edges])
        setups = {name: StageSetup(Owner(index)) for index, name in enumerate(components, start=11)}
        self.clock, self.resources = VirtualClock(start_ns=500), ResourceManager()
        self.registry = registry or Registry(level=level)
        observer = observe(self.registry, FLOW, topology, setups, wall_offset_ns=WALL)
        instances = {
            stage.name: ScriptedInstance(
                components[stage.name], stage.role, Sandbox(setups[stage.name].owner, FLOW, self.resources, FlowContext("f"), self.clock)
            )
            for stage in stages
        }
        driver = FlowDriver(
            topology, setups, flow=FLOW, resources=self.resources, settings=settings, policy=policy, observer=observer, wall_offset_ns=WALL
        )
        hook = None if after_call is None else lambda calls: after_call(self, calls)
        self.report = simulate(driver, instances, self.clock, after_call=hook)
        self.metrics = self.registry.flow(FLOW)

    def snapshot(self):
        return self.registry.snapshot(self.clock.monotonic_ns(), self.resources)


def line(count, **options):
    return Run({"s": Source(count), "p": Mapper(), "k": Sink()}, [("s", "p"), ("p", "k")], **options)


def test_elements_count_once_where_they_enter_and_their_age_where_they_leave():
    run = line(10)
    (flow,) = run.snapshot()["flows"]
    assert (flow["flow.elements.total"], flow["flow.elements.errors"], flow["flow.state"]) == (10, 0, "Completed")
    latency = flow["flow.latency"]
    assert (latency["count"], latency["min"], latency["max"]) == (10, 1010, 1010)
    assert flow["flow.active_duration"] == run.report.duration_ns == 10 * 1110 + 100
    assert flow["flow.throughput"] == pytest.approx(10 * 1e9 / 11200)


def test_components_and_streams_agree_with_the_flows_report():
    run = line(10)
    (flow,) = run.snapshot()["flows"]
    for component, stage in zip(flow["components"], run.report.stages, strict=True):
        assert (component["component"], component["component.invocations"]) == (stage.name, stage.invocations)
        assert component["component.processing_time"]["sum"] == stage.busy_ns
    assert [component["component_id"] for component in flow["components"]] == [11, 12, 13]
    assert [stream["stream.elements.transferred"] for stream in flow["streams"]] == [10, 10]
    assert flow["flow.copies.total"] == sum(run.report.copies.values()) == 40
    assert flow["flow.copies.bytes"] == 400


def test_pressure_is_counted_when_it_begins_and_timed_when_it_ends():
    run = line(9, capacity=2, policy=ProducerFirst())
    (flow,) = run.snapshot()["flows"]
    for stream, statistics in zip(flow["streams"], run.report.streams, strict=True):
        assert stream["stream.backpressure.events"] == statistics.pressure_events > 0
        assert stream["stream.backpressure.duration_ns"] == statistics.pressure_ns > 0
        assert (stream["stream.queue.peak_depth"], stream["stream.queue.current_depth"]) == (statistics.peak_depth, 0)


def test_a_broadcast_element_has_one_latency_its_longest():
    run = Run({"s": Source(5), "a": Sink(), "b": Sink()}, [("s", "a"), ("s", "b")])
    assert (run.metrics.elements, run.metrics.latency.count, run.metrics.latency.minimum) == (5, 5, 20)


def test_failures_count_for_the_component_and_the_flow():
    settings = FlowSettings(error_policy=ErrorPolicy(ErrorPolicyKind.SKIP))
    run = Run({"s": Source(6), "p": Mapper({2, 3}), "k": Sink()}, [("s", "p"), ("p", "k")], settings=settings)
    assert (run.metrics.elements, run.metrics.errors, run.metrics.components["p"].errors, run.metrics.latency.count) == (6, 2, 2, 4)
    assert run.metrics.components["s"].errors == run.metrics.components["k"].errors == 0


def test_what_a_source_may_not_give_away_has_not_entered():
    run = Run({"s": Source(3, handle=make_handle(7, 7)), "k": Sink()}, [("s", "k")])
    assert (run.report.elements_in, run.metrics.elements, run.metrics.errors) == (0, 0, 1)


def test_waiting_times_are_a_matter_of_the_diagnostic_level():
    production = line(9, capacity=3, policy=ProducerFirst())
    diagnostic = line(9, capacity=3, policy=ProducerFirst(), level=Level.DIAGNOSTIC)
    assert [stream.wait_time.count for stream in production.metrics.streams] == [0, 0]
    assert [stream.wait_time.count for stream in diagnostic.metrics.streams] == [9, 9]
    assert diagnostic.metrics.streams[0].wait_time.maximum > 0


def test_level_off_records_nothing_but_the_flows_state():
    run = line(10, level=Level.OFF)
    (flow,) = run.snapshot()["flows"]
    assert flow["flow.state"] == "Completed"
    assert flow["flow.elements.total"] == flow["flow.latency"]["count"] == flow["flow.copies.total"] == 0
    assert all(component["component.invocations"] == 0 for component in flow["components"])
    assert all(stream["stream.elements.transferred"] == stream["stream.queue.peak_depth"] == 0 for stream in flow["streams"])


def test_the_level_may_change_while_the_flow_runs():
    def toggle(run, calls):
        run.registry.level = {0: Level.OFF, 9: Level.PRODUCTION, 18: Level.DIAGNOSTIC, 24: Level.OFF}.get(calls, run.registry.level)

    run = line(10, after_call=toggle)  # three calls an element: elements 4 to 8 are seen
    assert (run.metrics.elements, run.metrics.latency.count, run.metrics.components["p"].invocations) == (5, 5, 5)


# ---- the registry


def test_gauges_follow_registration_and_a_flow_is_registered_once():
    registry = Registry()
    registry.register(FLOW, {"s": Owner(1), "k": Owner(2)}, ["s -> k"])
    with pytest.raises(TorvynError) as refused:
        registry.register(FLOW, {}, [])
    assert (refused.value.subsystem, refused.value.kind) == ("observe", "duplicate-flow")
    registry.register(FlowId(5), {"x": Owner(3)}, [])
    assert (registry.flows_active, registry.components_active) == (2, 3)
    assert registry.deregister(FLOW).id == FLOW
    assert (registry.flows_active, registry.components_active) == (1, 1)
    for unknown in (registry.deregister, registry.flow):
        with pytest.raises(TorvynError) as refused:
            unknown(FLOW)
        assert refused.value.kind == "unknown-flow"
    assert (registry.flows_active, registry.components_active) == (1, 1)


def test_metrics_are_made_at_registration_and_only_there():
    def parts(run):
        metrics = run.registry.flow(FLOW)
        return [metrics, *metrics.components.values(), *metrics.streams, metrics.latency.buckets]

    before = []
    run = line(50, after_call=lambda run, calls: before.extend(parts(run)) if calls == 0 else None)
    assert all(now is then for now, then in zip(parts(run), before, strict=True))
    with pytest.raises(AttributeError):
        run.metrics.surprise = 1


def test_an_observer_raises_nothing_for_events_it_cannot_place():
    registry = Registry(level=Level.DIAGNOSTIC)
    observer = MetricsObserver(registry.register(FLOW, {"s": Owner(1)}, ["only"]), registry)
    element = Element(0, 0, "", Handle(1))
    observer.worked(1, "ghost", Call.PULL, None, None, 1)
    observer.failed(1, "ghost", Call.PULL, Failure(ErrorKind.INTERNAL, "x"), "fail")
    observer.enqueued(1, 9, element, 1, 0)
    observer.dequeued(1, 9, element, 0, 1)
    observer.dropped(1, 9, element, "discarded")
    assert registry.snapshot(1)["system"]["system.events_dropped"] == 4


# ---- snapshots


def test_a_running_flows_copies_and_duration_are_those_of_now():
    seen = []

    def look(run, calls):
        if calls == 6:
            (flow,) = run.snapshot()["flows"]
            seen.append((flow["flow.state"], flow["flow.copies.total"], flow["flow.active_duration"]))

    line(10, after_call=look)
    assert seen == [("Running", 8, 2220)]


def test_a_snapshot_is_json_and_holds_the_pools():
    run = line(3)
    data = json.loads(to_json(run.registry, run.clock.monotonic_ns(), run.resources))
    small = data["pools"][0]
    assert (small["tier"], small["pool.capacity"], small["pool.allocated"], small["pool.returned"], small["pool.reuse_rate"]) == (
        "small",
        4096,
        6,
        6,
        1.0,
    )
    assert data["system"] == {"system.flows.active": 1, "system.components.active": 3, "system.events_dropped": 0}
    assert data["level"] == "production"
    assert json.loads(to_json(Registry(), 0))["pools"] == []


def test_prometheus_reads_what_is_exported():
    parser = pytest.importorskip("prometheus_client.parser")
    run = line(10)
    families = {family.name: family for family in parser.text_string_to_metric_families(to_prometheus(run.registry, 0, run.resources))}
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families.values() for s in family.samples}
    flow = ("flow_id", "4")
    assert samples["torvyn_flow_elements_total", (flow,)] == 10
    assert samples["torvyn_component_invocations_total", (("component", "p"), ("component_id", "12"), flow)] == 10
    assert samples["torvyn_pool_allocated_total", (("tier", "small"),)] == 20
    assert samples["torvyn_flow_latency_count", (flow,)] == 10
    assert samples["torvyn_flow_latency_bucket", (flow, ("le", "1000"))] == 0
    assert (
        samples["torvyn_flow_latency_bucket", (flow, ("le", "2500"))] == samples["torvyn_flow_latency_bucket", (flow, ("le", "+Inf"))] == 10
    )
    assert families["torvyn_system_flows_active"].type == "gauge"


def test_without_the_extra_the_export_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(TorvynError) as refused:
        to_prometheus(Registry(), 0)
    assert refused.value.kind == "missing-extra"
    assert "torvyn-conformance[prometheus]" in refused.value.hint

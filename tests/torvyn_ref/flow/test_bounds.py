"""Calls that take too long: until when they may, what an interruption does to the flow, and how long a cancel takes at most."""

import pytest

from torvyn_ref.calls import Call, Cause, ErrorKind, FlowContext, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.engine.scripted import Interrupted, ScriptedInstance
from torvyn_ref.flow import EdgeDef, FlowDriver, FlowSettings, FlowState, Reason, StageDef, StageSetup, Topology
from torvyn_ref.flow.bounds import UNBOUND, CallBounds, call_bounds
from torvyn_ref.flow.simulate import SimulatedTime, simulate
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager

MS = 1_000_000
SETTINGS = FlowSettings()


class Slow:
    """A component of any role whose named calls take so long; None is for ever."""

    def __init__(self, time, elements=3, deaf=False, **takes):
        self.time, self.left, self.deaf, self.takes = time, elements, deaf, takes

    def spend(self, call):
        if call in self.takes and not self.time.spend(self.takes[call], deaf=self.deaf):
            raise Interrupted("interrupted")

    def init(self, guest, config):
        self.spend("init")

    def teardown(self, guest):
        self.spend("teardown")

    def pull(self, guest):
        self.spend("pull")
        if not self.left:
            return None
        self.left -= 1
        return guest.emit(b"x")

    def push(self, guest, element):
        self.spend("push")
        return Signal.READY

    def complete(self, guest):
        self.spend("complete")


class Run:
    def __init__(self, settings=SETTINGS, source=None, sink=None):
        self.clock = VirtualClock()
        self.time = SimulatedTime(self.clock)
        resources = ResourceManager()
        roles = {"s": Role.SOURCE, "k": Role.SINK}
        components = {"s": Slow(self.time, **(source or {})), "k": Slow(self.time, **(sink or {}))}
        self.instances = {}
        for number, (name, role) in enumerate(roles.items(), start=1):
            sandbox = Sandbox(Owner(number), FlowId(1), resources, FlowContext("1"), self.clock)
            self.instances[name] = ScriptedInstance(components[name], role, sandbox)
        topology = Topology.build([StageDef(name, role) for name, role in roles.items()], [EdgeDef("s", "k")])
        setups = {name: StageSetup(Owner(number), has_lifecycle=True) for number, name in enumerate(roles, start=1)}
        self.driver = FlowDriver(topology, setups, flow=FlowId(1), resources=resources, settings=settings)

    def cancel_at(self, milliseconds):
        instant = milliseconds * MS
        self.time.at(instant, lambda: self.driver.cancel(now=instant))
        return self

    def play(self):
        return simulate(self.driver, self.instances, self.time)

    @property
    def elapsed_ms(self):
        return self.clock.monotonic_ns() / MS


@pytest.mark.parametrize(("call", "milliseconds"), [(Call.PULL, 5000), (Call.COMPLETE, 5000), (Call.INIT, 5000), (Call.TEARDOWN, 2000)])
def test_every_call_has_the_bound_of_its_kind(call, milliseconds):
    assert call_bounds(SETTINGS, call, 7) == CallBounds(7 + milliseconds * MS, 7 + milliseconds * MS)


def test_a_cancel_gives_the_call_in_flight_a_second_and_then_half_a_second_more():
    assert call_bounds(SETTINGS, Call.PULL, 0, asked_to_end=10 * MS) == CallBounds(1010 * MS, 1510 * MS)
    assert call_bounds(SETTINGS, Call.TEARDOWN, 0, asked_to_end=10 * MS) == CallBounds(2000 * MS, 2000 * MS)


def test_a_drains_end_has_no_grace():
    assert call_bounds(SETTINGS, Call.PUSH, 0, drain_end=50 * MS) == CallBounds(50 * MS, 50 * MS)


def test_without_a_call_there_is_no_bound():
    assert Run().driver.call_bounds == UNBOUND


@pytest.mark.parametrize(("deaf", "elapsed"), [(False, 5000), (True, 5000)])
def test_a_call_that_hangs_fails_the_flow_at_its_timeout(deaf, elapsed):
    run = Run(sink={"push": None, "deaf": deaf})
    report = run.play()
    assert (report.state, run.elapsed_ms) == (FlowState.FAILED, elapsed)
    failure = report.failure.failure
    assert (report.failure.stage, failure.kind, failure.cause) == ("k", ErrorKind.DEADLINE_EXCEEDED, Cause.TIMEOUT)
    assert report.live_buffers == 0


@pytest.mark.parametrize(("deaf", "elapsed"), [(False, 1030), (True, 1530)])
@pytest.mark.parametrize("place", ["source", "sink"])
def test_a_cancel_interrupts_a_hanging_call_and_then_drops_its_instance(place, deaf, elapsed):
    run = Run(**{place: {"pull": None, "push": None, "deaf": deaf}}).cancel_at(30)
    report = run.play()
    assert (report.state, report.reason, report.failure, run.elapsed_ms) == (FlowState.CANCELLED, Reason.OPERATOR_REQUEST, None, elapsed)


def test_a_call_that_finishes_within_the_cooperative_timeout_counts():
    run = Run(source={"pull": 900 * MS}).cancel_at(100)
    report = run.play()
    assert (report.state, report.delivered, run.elapsed_ms) == (FlowState.CANCELLED, 1, 900)


def test_a_cancel_in_the_middle_of_a_call_is_the_reason_although_the_call_then_fails():
    run = Run(source={"pull": None}).cancel_at(1)
    assert run.play().reason is Reason.OPERATOR_REQUEST


def test_the_deadline_interrupts_a_busy_flow():
    run = Run(FlowSettings(deadline_ns=50 * MS), source={"pull": None})
    report = run.play()
    assert (report.state, report.reason, run.elapsed_ms) == (FlowState.FAILED, Reason.TIMEOUT, 1050)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_hanging_teardown_is_bounded_and_not_fatal(deaf):
    run = Run(sink={"teardown": None, "deaf": deaf})
    assert (run.play().state, run.elapsed_ms) == (FlowState.COMPLETED, 2000)


def test_a_hanging_complete_fails_a_completing_flow():
    run = Run(sink={"complete": None})
    assert (run.play().state, run.elapsed_ms) == (FlowState.FAILED, 5000)


def test_a_hanging_init_fails_the_start():
    run = Run(sink={"init": None})
    report = run.play()
    assert (report.state, report.elements_in, run.elapsed_ms) == (FlowState.FAILED, 0, 5000)


def test_a_simulated_call_without_a_bound_that_hangs_is_the_flows_failure_and_not_an_endless_loop():
    report = Run(FlowSettings(call_timeout_ns=None), sink={"push": None}).play()
    assert "waits for something outside" in report.failure.failure.message

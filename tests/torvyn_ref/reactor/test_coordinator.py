import anyio
import pytest
from anyio.lowlevel import checkpoint

from torvyn_ref.calls import ErrorKind, Failure, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.scripted import Trap
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.flow import ErrorPolicy, ErrorPolicyKind, FlowDriver, FlowState, Reason
from torvyn_ref.flow.settings import MILLISECOND
from torvyn_ref.reactor import Reactor, ReactorStatus, ShutdownReport

pytestmark = pytest.mark.anyio


async def reaches(condition):
    """Give way until something has happened; pytest-timeout bounds it."""
    while not condition():
        await checkpoint()


def trap(call):
    def before(calls):
        if calls == call:
            raise Trap("unreachable")

    return before


async def test_a_flow_runs_to_its_end_and_reports_it(kit):
    sink = kit.Sink()
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(100), kit.Copy(), sink))
        report = await handle.wait()
    assert (report.state, report.reason, report.delivered) == (FlowState.COMPLETED, Reason.SOURCE_COMPLETE, 100)
    assert sink.got == [b"element %d" % number for number in range(1, 101)]
    assert (handle.state, handle.is_over) == (FlowState.COMPLETED, True)
    kit.assert_nothing_left()


async def test_leaving_the_block_waits_for_every_flow(kit):
    sinks = [kit.Sink(), kit.Sink()]
    async with Reactor(kit.resources) as reactor:
        handles = [reactor.start(*kit.flow(kit.Source(50), sink)) for sink in sinks]
    assert [handle.state for handle in handles] == [FlowState.COMPLETED] * 2
    assert [len(sink.got) for sink in sinks] == [50, 50]
    kit.assert_nothing_left()


async def test_flows_take_turns_at_their_yields(kit):
    order = []
    sinks = [kit.Sink(lambda _count, name=name: order.append(name)) for name in "ab"]
    async with Reactor(kit.resources) as reactor:
        for sink in sinks:
            reactor.start(*kit.flow(kit.Source(64), sink, elements_per_yield=8, quantum_ns=None))
    turns = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert len(turns) > 16


@pytest.mark.parametrize("crash", ["trap", "error", "host-defect", "cancel", "abandon"])
async def test_a_crashing_neighbour_changes_nothing_for_the_others(kit, crash):
    """FLOW-015: the same outputs with and without it."""
    alone, beside = kit.Sink(), kit.Sink()
    async with Reactor(kit.resources) as reactor:
        reactor.start(*kit.flow(kit.Source(200), kit.Copy(), alone))

    def misbehave(calls):
        if calls < 20:
            return None
        if crash == "trap":
            raise Trap("unreachable")
        if crash == "host-defect":
            raise LookupError("a defect of the host")
        if crash == "error":
            return Failure(ErrorKind.FATAL, "no more")
        (neighbour.cancel if crash == "cancel" else neighbour.abandon)()
        return None

    async with Reactor(kit.resources) as reactor:
        neighbour = reactor.start(*kit.flow(kit.Source(), kit.Copy(misbehave), kit.Sink()))
        healthy = reactor.start(*kit.flow(kit.Source(200), kit.Copy(), beside))
        report = await healthy.wait()
    assert report.state is FlowState.COMPLETED
    assert beside.got == alone.got
    assert neighbour.is_over
    kit.assert_nothing_left()


async def test_a_trap_fails_its_flow_and_takes_back_what_the_dead_instance_held(kit):
    async with Reactor(kit.resources) as reactor:
        report = await reactor.start(*kit.flow(kit.Source(10), kit.Keeper(trap(3)), kit.Sink())).wait()
    assert (report.state, report.reason, report.live_buffers) == (FlowState.FAILED, Reason.COMPONENT_ERROR, 0)
    assert str(report.failure) == "s1.process: fatal (trap): unreachable"
    kit.assert_nothing_left()


async def test_wait_raises_what_the_hosts_own_code_raised(kit):
    defect = LookupError("the host is wrong")

    def fail(_count):
        raise defect

    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(3), kit.Keeper(), kit.Sink(fail)))
        for _ in range(2):
            with pytest.raises(LookupError) as caught:
                await handle.wait()
            assert caught.value is defect
    kit.assert_nothing_left()


async def test_an_instance_that_cannot_be_closed_keeps_no_other_from_being_closed(kit):
    driver, instances = kit.flow(kit.Source(3), kit.Keeper(), kit.Sink())
    real = instances["s1"].close

    def close():
        real()
        raise LookupError("cannot be closed")

    instances["s1"].close = close
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(driver, instances)
        neighbour = reactor.start(*kit.flow(kit.Source(100), kit.Sink()))
        with pytest.raises(LookupError):
            await handle.wait()
        assert (await neighbour.wait()).state is FlowState.COMPLETED
    kit.assert_nothing_left()


async def test_cancel_drains_an_endless_flow(kit):
    sink = kit.Sink()
    source = kit.Source()
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(source, kit.Copy(), sink))
        await reaches(lambda: len(sink.got) >= 10)
        handle.cancel()
        pulls = source.pulls
        report = await handle.wait()
    assert (report.state, report.reason, report.discarded) == (FlowState.CANCELLED, Reason.OPERATOR_REQUEST, 0)
    assert source.pulls == pulls
    assert report.delivered == report.elements_in == len(sink.got)
    kit.assert_nothing_left()


async def test_cancel_before_the_first_step_calls_no_component(kit):
    source = kit.Source()
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(source, kit.Sink()))
        handle.cancel()
        report = await handle.wait()
    assert (report.state, report.elements_in, source.pulls) == (FlowState.CANCELLED, 0, 0)
    kit.assert_nothing_left()


async def test_cancel_of_a_flow_that_is_over_changes_nothing(kit):
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(1), kit.Sink()))
        report = await handle.wait()
        handle.cancel()
        handle.abandon()
        assert await handle.wait() is report
        assert handle.state is FlowState.COMPLETED


async def test_cancel_ends_a_wait_that_no_timer_would_end(kit):
    driver, instances = kit.flow(kit.Source(), kit.Sink())
    driver.gate("s0", closed=True)
    waiting = []

    class Noted(FlowDriver):
        __slots__ = ()

        def next(self, now):
            waiting.append(super().next(now))
            return waiting[-1]

    driver.__class__ = Noted
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(driver, instances)
        await reaches(lambda: waiting)
        assert waiting[-1].until is None
        handle.cancel()
        assert (await handle.wait()).state is FlowState.CANCELLED
    kit.assert_nothing_left()


async def test_of_many_flows_that_are_over_the_oldest_are_only_counted(kit, monkeypatch):
    monkeypatch.setattr("torvyn_ref.reactor.coordinator.ENDED_KEPT", 3)
    async with Reactor(kit.resources) as reactor:
        handles = []
        for _ in range(5):
            handles.append(reactor.start(*kit.flow(kit.Source(1), kit.Sink())))
            await handles[-1].wait()
        for handle in handles[:2]:
            with pytest.raises(TorvynError) as caught:
                reactor.flow(handle.id)
            assert caught.value.kind == "flow-not-found"
        assert [reactor.flow(handle.id) for handle in handles[2:]] == handles[2:]
        assert await reactor.shutdown() == ShutdownReport(completed=5, cancelled=0, failed=0, timed_out=0)


async def test_a_flow_that_is_alone_still_lets_others_have_their_turns(kit):
    """It gives the event loop a turn after so much time or so many yields, whichever comes first."""
    turns = []
    async with Reactor(kit.resources, clock=VirtualClock()) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(), kit.Sink(), elements_per_yield=1, quantum_ns=None))
        while len(turns) < 5:
            turns.append(handle.driver.progress[0])
            await checkpoint()
        handle.cancel()
        assert (await handle.wait()).state is FlowState.CANCELLED
    assert turns[-1] > turns[0]
    assert turns[-1] <= 5 * 16


async def test_an_abandoned_flow_has_no_report_and_leaves_nothing(kit):
    sink = kit.Sink()
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(), kit.Keeper(), sink))
        await reaches(lambda: len(sink.got) >= 3)
        handle.abandon()
        with pytest.raises(TorvynError) as caught:
            await handle.wait()
        assert (caught.value.subsystem, caught.value.kind) == ("flow", "abandoned")
    kit.assert_nothing_left()


async def test_a_flow_abandoned_before_it_began_calls_nothing(kit):
    source = kit.Source()
    async with Reactor(kit.resources) as reactor:
        reactor.start(*kit.flow(source, kit.Sink())).abandon()
    assert source.pulls == 0
    kit.assert_nothing_left()


async def test_a_cancelled_scope_around_the_reactor_leaves_nothing(kit):
    sink = kit.Sink()
    with anyio.CancelScope() as scope:
        async with Reactor(kit.resources) as reactor:
            handle = reactor.start(*kit.flow(kit.Source(), kit.Keeper(), sink))
            await reaches(lambda: len(sink.got) >= 3)
            scope.cancel()
    assert scope.cancelled_caught
    assert handle.is_over
    kit.assert_nothing_left()


async def test_an_exception_in_the_reactors_block_leaves_nothing(kit):
    handles = []

    async def go():
        async with Reactor(kit.resources) as reactor:
            handles.append(reactor.start(*kit.flow(kit.Source(), kit.Keeper(), kit.Sink())))
            await checkpoint()
            raise LookupError("the caller's own")

    with pytest.raises(ExceptionGroup) as caught:
        await go()
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert handles[0].is_over
    kit.assert_nothing_left()


async def test_a_waiter_that_goes_away_does_not_disturb_the_flow(kit):
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(200), kit.Sink()))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await handle.wait()
        assert (await handle.wait()).delivered == 200


async def test_an_observer_that_raises_is_the_flows_own_trouble(kit):
    class Broken(Observer):
        def enqueued(self, at, stream, element, depth, credits_):
            raise LookupError("observer")

    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(3), kit.Sink(), observer=Broken()))
        neighbour = reactor.start(*kit.flow(kit.Source(3), kit.Sink()))
        with pytest.raises(LookupError):
            await handle.wait()
        assert (await neighbour.wait()).state is FlowState.COMPLETED
    kit.assert_nothing_left()


class Hurried:
    """A clock that gains an hour whenever it is looked at: no wait is left when the reactor comes to it."""

    def __init__(self):
        self.now = 0

    def monotonic_ns(self):
        self.now += 3_600_000_000_000
        return self.now

    def wall_ns(self):
        return self.now


async def test_waits_are_as_long_as_the_clock_says(kit):
    """A failing source backs off, a paused sink is probed: on a clock that has moved on, neither takes any time."""
    source = kit.Source(20, before=lambda pull: Failure(ErrorKind.UNAVAILABLE, "later") if pull % 2 else None)
    sink = kit.Sink(signal=Signal.PAUSE)
    driver, instances = kit.flow(source, sink, error_policy=ErrorPolicy(ErrorPolicyKind.SKIP))
    async with Reactor(kit.resources, clock=Hurried()) as reactor:
        report = await reactor.start(driver, instances).wait()
    assert report.delivered == 20
    kit.assert_nothing_left()


async def test_a_deadline_ends_an_endless_flow(kit):
    async with Reactor(kit.resources) as reactor:
        report = await reactor.start(*kit.flow(kit.Source(), kit.Sink(), deadline_ns=2 * MILLISECOND)).wait()
    assert (report.state, report.reason) == (FlowState.FAILED, Reason.TIMEOUT)
    kit.assert_nothing_left()


async def test_shutdown_counts_every_flow_once(kit):
    """CANCEL-016: a finished one, an endless one, a failed one, and one that its paused sink and its drain bound hold back."""
    sink = kit.Sink()
    async with Reactor(kit.resources) as reactor:
        await reactor.start(*kit.flow(kit.Source(5), kit.Sink())).wait()
        await reactor.start(*kit.flow(kit.Source(5), kit.Copy(trap(2)), kit.Sink())).wait()
        reactor.start(*kit.flow(kit.Source(), sink))
        await reaches(lambda: sink.got)
        assert reactor.status is ReactorStatus.RUNNING
        report = await reactor.shutdown()
        assert report == ShutdownReport(completed=1, cancelled=1, failed=1, timed_out=0)
        assert reactor.status is ReactorStatus.STOPPED
        assert await reactor.shutdown() == report
    kit.assert_nothing_left()


async def test_shutdown_abandons_what_does_not_end_in_time_and_waits_for_its_task(kit):
    hour = ErrorPolicy(ErrorPolicyKind.RETRY, max_retries=9, backoff_ns=3_600_000 * MILLISECOND)
    stuck = kit.Copy(lambda _calls: Failure(ErrorKind.UNAVAILABLE, "not now"))
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(5), stuck, kit.Sink(), error_policy=hour, drain_timeout_ns=10**18))
        done = reactor.start(*kit.flow(kit.Source(5), kit.Sink()))
        await done.wait()
        await reaches(lambda: stuck.calls)
        report = await reactor.shutdown(timeout_s=0)
        assert report == ShutdownReport(completed=1, cancelled=0, failed=0, timed_out=1)
        assert handle.is_over
        kit.assert_nothing_left()
        assert await reactor.shutdown() == report


async def test_new_flows_are_refused_once_shutdown_has_begun(kit):
    sink = kit.Sink()
    async with Reactor(kit.resources) as reactor:
        assert reactor.status is ReactorStatus.READY
        await reactor.shutdown()
        with pytest.raises(TorvynError) as caught:
            reactor.start(*kit.flow(kit.Source(1), sink))
        assert (caught.value.kind, caught.value.code) == ("shutting-down", "E0414")
    assert not sink.got
    kit.assert_nothing_left()


async def test_new_flows_are_refused_outside_of_the_reactors_block(kit):
    reactor = Reactor(kit.resources)
    with pytest.raises(TorvynError, match="not entered"):
        reactor.start(*kit.flow(kit.Source(1), kit.Sink()))
    async with reactor:
        reactor.start(*kit.flow(kit.Source(1), kit.Sink()))
    with pytest.raises(TorvynError, match="left"):
        reactor.start(*kit.flow(kit.Source(1), kit.Sink()))
    assert reactor.status is ReactorStatus.STOPPED
    kit.assert_nothing_left()


async def test_a_flow_is_started_once(kit):
    driver, instances = kit.flow(kit.Source(1), kit.Sink())
    async with Reactor(kit.resources) as reactor:
        reactor.start(driver, instances)
        with pytest.raises(TorvynError) as caught:
            reactor.start(driver, instances)
    assert caught.value.kind == "duplicate-flow"
    kit.assert_nothing_left()


async def test_an_unknown_flow_is_not_found_and_a_finished_one_still_is(kit):
    async with Reactor(kit.resources) as reactor:
        handle = reactor.start(*kit.flow(kit.Source(1), kit.Sink()))
        await handle.wait()
        assert reactor.flow(handle.id) is handle
        with pytest.raises(TorvynError) as caught:
            reactor.flow(999)
        assert (caught.value.kind, caught.value.code) == ("flow-not-found", "E0400")

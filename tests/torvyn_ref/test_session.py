"""A run with what an operator does to it, on both event loops."""

import io
import os
import signal
import threading

import anyio
import anyio.lowlevel
import pytest
from rich.console import Console

from torvyn_ref import session
from torvyn_ref.calls import Call
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowState, Reason
from torvyn_ref.host import Attachments
from torvyn_ref.reactor import Feed, Reactor

ENDLESS = {"flow.main.nodes.numbers.config": "count=100000000"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


pytestmark = pytest.mark.anyio


@pytest.fixture
def prepare(host, corpus_flow):
    def prepare_(name="linear", overrides=None, **attached):
        made = host(corpus_flow(name), overrides=overrides or {})
        return made, made.prepare(attachments=Attachments(**attached))

    return prepare_


async def test_a_run_ends_by_itself_and_is_closed(prepare, audit_kinds):
    outcome = await session.run(*prepare())
    assert (outcome.report.state, outcome.interrupted) == (FlowState.COMPLETED, None)
    assert outcome.metrics["flows"][0]["flow.elements.total"] == 10
    assert outcome.fuel.keys() == {"numbers", "capitals", "end"}
    assert min(outcome.fuel.values()) > 0
    ends = [kind for kind in audit_kinds() if kind != "CapabilityExercisedAggregate"]  # what a component has used is told as it ends
    assert ends[-4:] == ["FlowTerminated", *["ComponentTerminated"] * 3]


async def test_without_metrics_there_are_none(prepare):
    outcome = await session.run(*prepare(overrides={"observability.level": "off"}))
    assert outcome.metrics is None


async def test_a_timeout_cancels_an_endless_flow(prepare):
    outcome = await session.run(*prepare(overrides=ENDLESS), timeout_s=0.001)
    assert (outcome.report.state, outcome.report.reason) == (FlowState.CANCELLED, Reason.OPERATOR_REQUEST)
    assert outcome.interrupted is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_drains_the_flow(prepare, number):
    seen = []

    def tap(payload):
        seen.append(payload)
        if len(seen) == 5:
            os.kill(os.getpid(), number)

    outcome = await session.run(*prepare(overrides=ENDLESS, tap=tap))
    report = outcome.report
    assert (report.state, outcome.interrupted) == (FlowState.CANCELLED, number)
    assert (report.discarded, report.delivered) == (0, report.elements_in)
    assert len(seen) == report.delivered


class Impatient(Observer):
    """Presses Ctrl-C when the first element fails, and again while the flow drains."""

    def failed(self, at, stage, call, failure, action):
        signal.raise_signal(signal.SIGINT)

    def state(self, at, old, new):
        if new == FlowState.DRAINING:
            signal.raise_signal(signal.SIGINT)


async def test_the_second_signal_gives_the_flow_up(prepare):
    """The element is to be tried again in an hour, and draining may take as long."""
    stubborn = {
        "flow.main.error_policy.policy": "retry",
        "flow.main.error_policy.backoff_ms": 3_600_000,
        "runtime.drain_timeout_ms": 3_600_000,
    }
    interruption = session.Interruption()
    host, prepared = prepare("errors", stubborn, observer=Impatient())
    with pytest.raises(TorvynError) as caught:
        await session.run(host, prepared, interruption=interruption)
    assert (caught.value.kind, interruption.by) == ("abandoned", signal.SIGINT)


class AtTheCall(Observer):
    """Does something when the component that never returns is about to be called."""

    def __init__(self, do):
        self._do = do

    def called(self, at, stage, call, element):
        if call is Call.PROCESS:
            self._do()


@pytest.fixture(params=["direct", "stock"])
def spinning(request, project, host):
    """A flow whose processor never returns, with nothing else to stop it for an hour."""

    def prepare(do=lambda: None, **runtime):
        lines = {"component_timeout_ms": 600_000, "cooperative_cancel_timeout_ms": 10, "drain_timeout_ms": 10, **runtime}
        settings = "\n".join(f"{key} = {value}" for key, value in lines.items())
        stages = ("numbers", "source", "counter-source"), ("spins", "processor", "loop-forever"), ("end", "sink", "sink-ready")
        made = host(
            project.write(*stages, more=f'[runtime]\nengine = "{request.param}"\ndefault_fuel_per_invocation = "unlimited"\n{settings}')
        )
        return made, made.prepare(attachments=Attachments(observer=AtTheCall(do)))

    return prepare


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_is_heard_while_a_guest_never_returns_and_interrupts_it_after_the_cooperative_timeout(spinning, number):
    outcome = await session.run(*spinning(lambda: os.kill(os.getpid(), number)))
    report = outcome.report
    assert (report.state, report.reason, outcome.interrupted) == (FlowState.CANCELLED, Reason.OPERATOR_REQUEST, number)
    assert {stage.name: stage.errors for stage in report.stages if stage.errors} == {"spins": 1}
    assert report.live_buffers == 0


async def test_a_second_signal_ends_a_call_at_once(spinning):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    host, prepared = spinning(twice, cooperative_cancel_timeout_ms=3_600_000, drain_timeout_ms=3_600_000)
    interruption = session.Interruption()
    with pytest.raises(TorvynError) as caught:
        await session.run(host, prepared, interruption=interruption)
    assert (caught.value.kind, interruption.by) == ("abandoned", signal.SIGINT)
    assert host.resources.live_count == 0


async def test_a_timeout_is_heard_while_a_guest_never_returns(spinning):
    outcome = await session.run(*spinning(), timeout_s=0.01)
    assert (outcome.report.state, outcome.report.reason) == (FlowState.CANCELLED, Reason.OPERATOR_REQUEST)
    assert outcome.interrupted is None


async def test_a_cancel_from_another_thread_is_heard_while_a_guest_never_returns(spinning):
    handles = []

    def elsewhere():
        thread = threading.Thread(target=handles[0].hear)
        thread.start()
        thread.join()

    host, prepared = spinning(elsewhere)
    async with Reactor(host.resources, clock=host.clock) as reactor:
        handles.append(host.start(reactor, prepared))
        report = await handles[0].wait()
    prepared.close()
    assert (report.state, report.reason) == (FlowState.CANCELLED, Reason.OPERATOR_REQUEST)


async def test_signals_are_left_alone_afterwards(prepare):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    await session.run(*prepare())
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after[1] == before[1]
    assert callable(after[0])
    assert "torvyn-signals" not in {thread.name for thread in threading.enumerate()}


def test_a_run_needs_no_main_thread(prepare, anyio_backend):
    host, prepared = prepare()
    outcomes = []

    def work():
        outcomes.append(anyio.run(lambda: session.run(host, prepared), backend=anyio_backend))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcomes[0].report.state is FlowState.COMPLETED


async def test_what_the_host_raises_is_raised_as_it_is(prepare):
    class Broken(Observer):
        def called(self, at, stage, call, element):
            if call is Call.PUSH:
                raise LookupError("observer")

    with pytest.raises(LookupError, match="observer"):
        await session.run(*prepare(observer=Broken()))


async def test_a_cancelled_run_leaves_nothing(prepare):
    with anyio.CancelScope() as scope:
        await session.run(*prepare(overrides=ENDLESS, tap=lambda _payload: scope.cancel()))
    assert scope.cancelled_caught


async def test_a_fed_flow_runs_until_its_input_ends(prepare):
    read, write = os.pipe()
    feed = Feed(read, where="pipe", owned=True)
    seen = []

    def tap(payload):
        seen.append(payload)
        if len(seen) == 2:
            os.write(write, b"three\n")
            os.close(write)

    os.write(write, b"one\ntwo\n")
    host, prepared = prepare(feed=feed, tap=tap)
    outcome = await session.run(host, prepared, feed=feed)
    feed.close()
    assert seen == [b"ONE", b"TWO", b"THREE"]
    assert outcome.report.state is FlowState.COMPLETED


async def test_a_fed_flow_whose_input_never_comes_can_time_out(prepare):
    read, write = os.pipe()
    feed = Feed(read, where="pipe", owned=True)
    host, prepared = prepare(feed=feed)
    outcome = await session.run(host, prepared, feed=feed, timeout_s=0.001)
    feed.close()
    os.close(write)
    assert (outcome.report.state, outcome.report.elements_in) == (FlowState.CANCELLED, 0)


async def test_input_that_is_no_good_fails_the_flow(prepare):
    read, write = os.pipe()
    os.close(write)
    feed = Feed(read, where="pipe", owned=True)
    feed._problem = TorvynError("cli", "input-failed", "cannot read pipe: Input/output error")
    host, prepared = prepare(feed=feed)
    outcome = await session.run(host, prepared, feed=feed)
    feed.close()
    assert outcome.report.state is FlowState.FAILED
    assert str(outcome.report.failure) == "numbers.pull: internal (engine): cannot read pipe: Input/output error"


async def test_progress_is_shown_on_a_terminal_and_only_there(prepare, monkeypatch):
    monkeypatch.setattr(session, "_REFRESH_S", 0)
    terminal, file = io.StringIO(), io.StringIO()
    host, prepared = prepare(overrides=ENDLESS)
    console = Console(file=terminal, force_terminal=True, width=80)

    async def stop_when_shown():
        while "main: running" not in terminal.getvalue():
            await anyio.lowlevel.checkpoint()
        prepared.driver.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_when_shown)
        await session.run(host, prepared, console=console)
    await session.run(*prepare(), console=Console(file=file))
    assert terminal.getvalue().endswith("\x1b[2K")  # and taken away
    assert file.getvalue() == ""

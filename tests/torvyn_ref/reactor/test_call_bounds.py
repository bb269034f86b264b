"""Guests that never return, in the real shell: each call has the bound that its place in the flow gives it (CANCEL-003, CANCEL-013)."""

import anyio
import pytest

from torvyn_ref import config
from torvyn_ref.calls import Call, Cause
from torvyn_ref.flow import FlowState, Reason
from torvyn_ref.host import Host
from torvyn_ref.reactor import Reactor

NEVER = 3_600_000
"""Milliseconds: whoever waits for this has lost the test."""


@pytest.fixture(params=["direct", "stock"])
def run(request, project, tmp_path, anyio_backend):
    """Run a project whose calls may take an hour, on this engine and event loop."""
    name = request.param

    def play(*stages, runtime, flow=""):
        bounds = {"component_timeout_ms": NEVER, "component_init_timeout_ms": NEVER, **runtime}
        lines = "\n".join(f"{key} = {value}" for key, value in bounds.items())
        settings = f'[runtime]\nengine = "{name}"\ndefault_fuel_per_invocation = "unlimited"\n{lines}'
        path = project.write(*stages, more=f"{settings}\n{flow}")
        host = Host(config.load(path, environment={}), cache_root=tmp_path / "cache")
        prepared = host.prepare()

        async def main():
            async with Reactor(host.resources, clock=host.clock) as reactor:
                return await host.start(reactor, prepared).wait()

        try:
            return anyio.run(main, backend=anyio_backend)
        finally:
            prepared.close()
            assert host.resources.live_count == 0

    return play


def line(processor):
    return ("numbers", "source", "counter-source"), ("spins", "processor", processor), ("end", "sink", "sink-ready")


def failed_by_timeout(report, call):
    assert report.state is FlowState.FAILED
    assert (report.failure.stage, report.failure.call, report.failure.failure.cause) == ("spins", call, Cause.TIMEOUT)


def test_a_deadline_interrupts_a_guest_that_is_in_the_middle_of_a_call(run):
    report = run(
        *line("loop-forever"), runtime={"cooperative_cancel_timeout_ms": 10, "drain_timeout_ms": 10}, flow="[flow.main]\ndeadline_ms = 20"
    )
    assert (report.state, report.reason) == (FlowState.FAILED, Reason.TIMEOUT)


def test_init_has_a_bound_of_its_own(run):
    failed_by_timeout(run(*line("init-spins"), runtime={"component_init_timeout_ms": 20}), Call.INIT)


def test_teardown_has_a_bound_of_its_own_and_the_flow_completes(run):
    report = run(*line("teardown-spins"), runtime={"component_teardown_timeout_ms": 20})
    assert report.state is FlowState.COMPLETED
    assert {stage.name: stage.errors for stage in report.stages if stage.errors} == {"spins": 1}


def test_a_bound_is_gone_after_the_call_that_it_was_for(run):
    """The deadline's alarm makes each call a bounded one; none of these takes long, and all of them go on to the end."""
    report = run(*line("uppercase"), runtime={}, flow=f"[flow.main]\ndeadline_ms = {NEVER}")
    assert (report.state, report.live_buffers) == (FlowState.COMPLETED, 0)

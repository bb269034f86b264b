"""From a project to instances: what is refused and when, what the audit hears, and that nothing is left."""

import pytest

from torvyn_ref.clock import SystemClock, VirtualClock
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowState
from torvyn_ref.flow.simulate import simulate
from torvyn_ref.host import Attachments, Host
from torvyn_ref.planning import STARTUP_STAGES, each
from torvyn_ref.reactor import Reactor

FLOWS = ("aggregator", "backpressure", "errors", "fan-in", "filter", "linear", "pausing", "router", "wasi-stdout")

GRANTED = '[security.grants.greeter]\ncapabilities = ["stdio:stdout"]'
GREETER = (("numbers", "source", "counter-source"), ("greeter", "processor", "greet"), ("end", "sink", "sink-ready"))


@pytest.fixture
def greeter(project, components):
    """Write a project with a component that prints: declared, and granted or not."""
    declared = f'[[component]]\nname = "greet"\npath = "{components}/wasi-stdout.wasm"\ncapabilities = ["stdio:stdout"]'
    return lambda granted: project.write(*GREETER, more=f"{declared}\n{granted}")


class Wall(VirtualClock):
    """A clock for `simulate`: waiting takes no time, calls take none either."""


def play(host, prepared):
    report = simulate(prepared.driver, prepared.instances, host.clock)
    prepared.close()
    return report


def refused(action, *arguments):
    with pytest.raises(TorvynError) as caught:
        action(*arguments)
    return each(caught.value)


def test_the_corpus_has_no_other_flows(flows):
    assert sorted(path.parent.name for path in flows.glob("*/Torvyn.toml")) == sorted(FLOWS)


@pytest.mark.parametrize("name", FLOWS)
def test_every_flow_of_the_corpus_is_checked_without_an_instance_and_runs(host, engine, corpus_flow, name):
    host = host(corpus_flow(name), clock=Wall())
    stages = host.check()
    assert engine.counts["instantiated"] == 0
    prepared = host.prepare()
    assert [stage.name for stage in stages] == [stage.name for stage in prepared.driver.stages]
    assert engine.counts["instantiated"] == len(stages) == engine.counts["live"]
    report = play(host, prepared)
    assert (report.state, report.live_buffers) == (FlowState.COMPLETED, 0)


def waits(host, monkeypatch):
    """Prepare the host's flow, and return what its components wait with."""
    found, made = [], Host._sandbox
    monkeypatch.setattr(Host, "_sandbox", lambda self, *arguments: found.append(made(self, *arguments)) or found[-1])
    host.prepare().close()
    assert found
    return [sandbox.wait for sandbox in found]


def test_a_guest_that_waits_lets_a_virtual_clock_advance(host, corpus_flow, monkeypatch):
    host = host(corpus_flow("linear"), clock=VirtualClock())
    waiting = waits(host, monkeypatch)
    for wait in waiting:
        wait(7)
    assert host.clock.monotonic_ns() == 7 * len(waiting)


def test_a_guest_that_waits_on_the_machines_clock_sleeps(host, corpus_flow, monkeypatch):
    slept = []
    monkeypatch.setattr("torvyn_ref.clock.time.sleep", slept.append)
    for wait in waits(host(corpus_flow("linear"), clock=SystemClock()), monkeypatch):
        wait(2_500_000_000)
    assert set(slept) == {2.5}


def test_a_component_used_twice_is_compiled_once(host, engine, corpus_flow):
    host(corpus_flow("fan-in")).check()
    assert engine.counts["compiled"] == 3


def test_flow_ids_are_unique_and_increase(host, corpus_flow):
    host = host(corpus_flow("linear"))
    prepared = [host.prepare() for _ in range(3)]
    assert [one.driver.flow for one in prepared] == [1, 2, 3]
    for one in prepared:
        one.close()


def test_an_unknown_flow_is_the_configurations_error(host, corpus_flow):
    (error,) = refused(host(corpus_flow("linear")).check, "mian")
    assert (error.subsystem, error.kind, error.hint) == ("config", "unknown-flow", "did you mean 'main'?")


# ---- the audit


async def run(host, prepared):
    async with Reactor(host.resources) as reactor:
        return await host.start(reactor, prepared).wait()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_audit_tells_a_flows_life_in_order(host, audited, audit_kinds, greeter):
    host = host(greeter(GRANTED))
    said = []
    prepared = host.prepare(attachments=Attachments(limit=2, stdout=said.append))
    assert audit_kinds() == ["CapabilityGrantResolved"] * 3 + ["ComponentInstantiated"] * 3
    await run(host, prepared)
    prepared.close()
    prepared.close()
    assert said == [b"hello from a component\n"] * 2
    rest = audit_kinds()[6:]
    assert rest == [
        "FlowStarted",
        *["CapabilityExercised"] * 2,
        "FlowTerminated",
        "ComponentTerminated",
        *["CapabilityExercisedAggregate", "ComponentTerminated"] * 2,  # of those that allocate
    ]
    assert {event.flow for event in audited} == {"main"}
    assert next(event for event in audited if event.kind == "FlowTerminated").details == {"state": "Completed"}
    greeted = [event for event in audited if event.component == "greeter"]
    assert [str(event.kind) for event in greeted] == [
        "CapabilityGrantResolved",
        "CapabilityGrantResolved",
        "ComponentInstantiated",
        "CapabilityExercised",
        "CapabilityExercised",
        "CapabilityExercisedAggregate",
        "ComponentTerminated",
    ]


def test_a_denied_capability_is_recorded_and_no_guest_code_runs(host, engine, audited, audit_kinds, greeter):
    """CAP-060: not even the other components of the flow are instantiated."""
    said = []
    host = host(greeter(""))
    errors = refused(host.prepare, None, Attachments(stdout=said.append))
    assert {(error.subsystem, error.kind) for error in errors} == {("security", "missing-required")}
    assert [error.fields["startup_stage"] for error in errors] == ["linking"] * len(errors)
    assert set(audit_kinds()) == {"CapabilityDeniedAtLink"}
    assert {event.flow for event in audited} == {"main"}
    assert (engine.counts["instantiated"], engine.counts["calls"], said) == (0, 0, [])


def test_a_flow_that_is_closed_unstarted_was_never_started(host, audit_kinds, corpus_flow):
    host(corpus_flow("linear")).prepare().close()
    assert "FlowStarted" not in audit_kinds()
    assert "FlowTerminated" not in audit_kinds()
    assert audit_kinds().count("ComponentInstantiated") == audit_kinds().count("ComponentTerminated") == 3


# ---- start-up stages (FLOW-019)


def with_stage(position, *stage):
    stages = [("numbers", "source", "counter-source"), ("capitals", "processor", "uppercase"), ("end", "sink", "sink-ready")]
    stages[position] = stage
    return stages


CASES = {
    "topology construction": (with_stage(1, "capitals", "torvyn:streaming/procesor", "uppercase"), {}, "unknown-interface"),
    "topology validation": (
        with_stage(1, "capitals", "processor", "uppercase"),
        {"edges": [("numbers", "end")]},
        "missing-input missing-output",
    ),
    "contract validation": (with_stage(1, "capitals", "processor", "number-filter"), {}, "interface-mismatch"),
    "linking": (with_stage(1, "capitals", "processor", "wasi-random"), {}, "capability-mismatch"),
    "compilation": (with_stage(1, "capitals", "processor", "broken.wasm"), {}, "invalid-component"),
    "instantiation": (with_stage(2, "end", "sink", "sink-ready", 'max_memory = "1B"'), {}, "instantiation-failed"),
}


@pytest.mark.parametrize("stage", CASES)
def test_a_start_up_failure_is_labelled_with_its_stage_file_and_field(host, engine, project, stage):
    stages, options, expected = CASES[stage]
    file = project.write(*stages, **options)
    (project.root / "broken.wasm").write_bytes(b"\0asm\x0d\0\x01\0" + b"\xff" * 8)
    errors = refused(host(file).prepare)
    assert " ".join(error.kind for error in errors) == expected
    for error in errors:
        assert error.fields["startup_stage"] == stage
        assert error.where.startswith(f"{file}: flow.main")
    assert engine.counts["live"] == 0
    if stage != "instantiation":
        assert engine.counts["instantiated"] == 0


def test_a_failing_init_is_a_failed_flow_that_names_its_stage(host, corpus_flow, project):
    host = host(project.write(*with_stage(1, "capitals", "processor", "init-fails")), clock=Wall())
    report = play(host, host.prepare())
    assert report.state is FlowState.FAILED
    assert (report.failure.stage, report.failure.call) == ("capitals", "init")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_reactor_that_is_shutting_down_is_the_last_stage(host, corpus_flow):
    host = host(corpus_flow("linear"))
    prepared = host.prepare()
    async with Reactor(host.resources) as reactor:
        await reactor.shutdown()
        (error,) = refused(host.start, reactor, prepared)
    assert (error.kind, error.fields["startup_stage"]) == ("shutting-down", "reactor registration")


def test_the_labels_are_the_specifications_eight():
    assert set(CASES) | {"component init", "reactor registration"} == set(STARTUP_STAGES)
    assert len(STARTUP_STAGES) == 8


def test_instantiation_that_fails_in_the_middle_closes_what_was_there(host, engine, audit_kinds, project):
    host = host(project.write(*with_stage(2, "end", "sink", "sink-ready", 'max_memory = "1B"')))
    (error,) = refused(host.prepare)
    assert "flow.main.nodes.end.component" in error.where
    assert (engine.counts["instantiated"], engine.counts["live"], host.resources.live_count) == (2, 0, 0)
    assert audit_kinds().count("ComponentTerminated") == 2


CONSEQUENCES = [("capability-mismatch", "linking"), ("interface-mismatch", "contract validation")]


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([("numbers", "a"), ("a", "b"), ("b", "c"), ("c", "d")], [*CONSEQUENCES, ("not-found", "linking")]),
        # A wrong graph comes before imports and capabilities (LINK-021), not before files that are not there.
        (
            [("numbers", "a"), ("a", "b"), ("b", "a"), ("c", "d")],
            [("cycle", "topology validation"), ("missing-input", "topology validation"), ("not-found", "linking")],
        ),
    ],
)
def test_several_defects_are_reported_together_each_once(host, engine, project, edges, expected):
    file = project.write(
        ("numbers", "source", "counter-source"),
        ("a", "processor", "missing.wasm"),
        ("b", "processor", "missing.wasm"),
        ("c", "processor", "wasi-random"),
        ("d", "sink", "number-filter"),
        edges=edges,
    )
    with pytest.raises(TorvynErrors) as caught:
        host(file).check()
    found = [(error.kind, error.fields["startup_stage"]) for error in caught.value.errors]
    assert sorted(found) == expected
    assert str(caught.value).count(str(file)) == len(found)
    assert engine.counts["instantiated"] == 0


# ---- settings


def test_an_engine_that_is_not_there_is_refused_once(project, tmp_path):
    from torvyn_ref import config
    from torvyn_ref.host import Host

    host = Host(config.load(project.write(more='[runtime]\nengine = "scripted"'), environment={}), cache_root=tmp_path)
    (error,) = refused(host.check)
    assert (error.kind, error.where) == ("engine-unavailable", f"{project.file}: runtime.engine")


def test_metrics_are_kept_until_the_flow_is_closed(host, corpus_flow):
    host = host(corpus_flow("linear"), clock=Wall())
    prepared = host.prepare()
    simulate(prepared.driver, prepared.instances, host.clock)
    (flow,) = host.metrics.snapshot(0)["flows"]
    assert (flow["flow.elements.total"], flow["flow.state"]) == (10, "Completed")
    prepared.close()
    assert host.metrics.snapshot(0)["flows"] == []


@pytest.mark.parametrize("switch", [{"observability.level": "off"}, {"observability.metrics_enabled": "false"}])
def test_metrics_can_be_switched_off(host, corpus_flow, switch):
    host = host(corpus_flow("linear"), overrides=switch, clock=Wall())
    prepared = host.prepare()
    assert host.metrics.snapshot(0)["flows"] == []
    play(host, prepared)


def test_an_attached_observer_hears_the_flow_beside_the_metrics(host, corpus_flow):
    class Ends(Observer):
        heard = ()

        def done(self, at, report):
            self.heard = (*self.heard, report.state)

    observer = Ends()
    host = host(corpus_flow("linear"), clock=Wall())
    play(host, host.prepare(attachments=Attachments(observer=observer)))
    assert observer.heard == (FlowState.COMPLETED,)


def test_the_tap_sees_what_sinks_accept_and_copies_nothing(host, corpus_flow):
    seen = []
    host = host(corpus_flow("linear"), clock=Wall())
    plain = play(host, host.prepare())
    tapped = play(host, host.prepare(attachments=Attachments(tap=seen.append)))
    assert seen == [b"%08dABCDEFGH" % number for number in range(10)]
    assert tapped.copies == plain.copies


def test_a_tap_that_cannot_write_fails_the_flow(host, engine, corpus_flow):
    def full(_payload):
        raise OSError(28, "No space left on device")

    host = host(corpus_flow("linear"), clock=Wall())
    report = play(host, host.prepare(attachments=Attachments(tap=full)))
    assert report.state is FlowState.FAILED
    assert "No space left on device" in report.failure.failure.message

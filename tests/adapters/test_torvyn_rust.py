"""The Rust adapter, when it has been built (`TORVYN_RUST_ADAPTER` names it): each operation moves upstream's own state, and breaks tell.

What a pass over all rules says of Torvyn is committed beside the adapter; a slice of it is run again here.
"""

import json
import os
from pathlib import Path

import msgspec
import pytest

from conformance.checks import all_checks
from conformance.errors import NotOffered, Refused, SubjectBrokeError
from conformance.execute import run_check
from conformance.strategies import fan_out, line
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, find
from conformance.subjects.session import Session
from conformance.traces import events as e

ADAPTER = os.environ.get("TORVYN_RUST_ADAPTER", "")
HERE = Path(__file__).parents[2] / "adapters" / "torvyn-rust"
SLICE = ("transit-is-nobody", "no-table-of-nothing", "no-small-buffer-for-a-large-request", "low-marks", "exhausted-is-final", "nine-steps")

built = pytest.mark.skipif(not ADAPTER, reason="the Rust adapter is not built: see adapters/torvyn-rust/judge --quick")


@pytest.fixture
def session():
    opened = Session(find(f"stdio:{ADAPTER}").open())
    yield opened
    opened.close()


@built
def test_it_says_who_it_is_and_what_it_leaves_out(session):
    declaration = session.declaration
    assert (declaration.version, declaration.language) == ("0.1.1", "Rust")
    assert {claim.facet for claim in declaration.facets} == {"resources", "streams", "flows"}
    named = {p.name_of(request) for request in p.REQUESTS} | p.FEATURES.keys()
    assert declaration.unsupported.keys() <= named
    assert all(declaration.unsupported.values())


@built
def test_what_is_declined_is_declined_when_it_is_asked(session):
    session.resources.open()
    handle = session.resources.allocate("host", 8)
    for ask in (
        lambda: session.resources.freeze(handle, "host"),
        lambda: session.resources.clone(handle, "host"),
        lambda: session.resources.budget("component-1"),
        session.resources.live,
        lambda: session.resources.close_copies(1),
        lambda: session.flows.run(line("router")),
        lambda: session.flows.run(line(schedule="producer-first")),
    ):
        with pytest.raises(NotOffered):
            ask()


@built
def test_operations_on_buffers_are_the_managers(session):
    resources = session.resources
    resources.open()
    resources.register_flow(1)
    resources.register_component("component-1", 256)
    handle = resources.allocate("component-1", 100)
    assert resources.write(handle, "component-1", 2, b"xyz") == 5  # upstream fills the gap with zeros
    assert resources.read(handle, "host", 0, 5) == b"\0\0xyz"
    resources.set_content_type(handle, "component-1", "a/b")
    resources.borrow(handle, "component-2")
    assert (resources.inspect(handle).state, resources.inspect(handle).content_type) == ("Borrowed", "a/b")
    resources.end_borrow(handle, "component-2")
    with pytest.raises(Refused, match=r"E0306") as refused:
        resources.allocate("component-1", 1)
    assert refused.value.fields == {"component": "component-1", "current": 256, "requested": 256, "budget": 256}
    resources.transfer(handle, "component-1", "host")
    copies = resources.copies(1)
    assert (copies.total_copy_ops, copies.total_payload_bytes) == (2, 8)
    assert resources.pool("small").alloc_count == 1
    resources.release(handle, "host")
    assert (resources.live_count(), resources.pool("small").return_count) == (0, 1)
    resources.allocate("component-1", 1, 9)
    assert len(resources.force_reclaim("component-1")) == 1
    resources.allocate("host", 1, 9)
    assert resources.release_flow(9).returned_to_pool == 1


@built
def test_a_stream_moves_as_the_drivers_do(session):
    streams = session.streams
    streams.open(2, 0.5, "drop-oldest")
    assert [streams.push(n).verdict for n in (1, 2, 3)] == ["enqueued", "enqueued", "evicted-oldest"]
    assert (streams.pop().value, streams.inspect().credits) == (2, 1)
    assert streams.complete().may_produce is False


@built
def test_a_flow_runs_on_the_driver_and_its_clock_is_virtual(session):
    slow = line(elements=3, scripts={"source": p.Script((p.Answer("emit", spends_ns=3_600_000_000_000),) * 3, p.Answer("end"))})
    slow = msgspec.structs.replace(slow, settings=p.FlowSettings(call_timeout_ms=10_000_000))
    reply = session.flows.run(slow)  # three hours, on a virtual clock
    assert reply.state == "Completed"
    assert reply.trace[-1].at == 3 * 3_600_000_000_000
    calls = [(event.stage, event.fn) for event in reply.trace if isinstance(event, e.Called)]
    assert calls == [("source", "pull"), ("sink", "push")] * 3 + [("source", "pull")]
    assert session.flows.run(fan_out(2, elements=1)).streams[1].elements == 0  # upstream feeds the first edge only


@built
def test_a_claimed_flow_reaches_the_manager_as_it_is_claimed(session):
    session.resources.open()
    for flow in (1, 2):
        session.resources.register_flow(flow)
    handle = session.resources.allocate("host", 8, 1)
    session.resources.write(handle, "host", 0, b"abc")
    session.resources.write(handle, "host", 0, b"de", claimed_flow=2)
    assert [session.resources.copies(flow).total_payload_bytes for flow in (1, 2)] == [3, 2]


@built
def test_a_slow_owner_finds_what_the_channel_had_room_for(session):
    settings = p.FlowSettings(priority="background", observer_holds=3)
    told = {
        holds: [
            event
            for event in session.flows.run(line(elements=40, settings=msgspec.structs.replace(settings, observer_holds=holds))).trace
            if isinstance(event, e.StateChanged | e.Yielded)
        ]
        for holds in (0, 3)
    }
    assert told[3] == told[0][:3]
    assert len(told[0]) == 3 + 81 // 8  # three steps, and a yield for each eight executions


def overrun(session):
    session.resources.open(tiers=tuple(p.TierSetting(tier, 1) for tier in ("small", "medium", "large", "huge")))
    handle = session.resources.allocate("host", 2 * 1024 * 1024)
    session.resources.write(handle, "host", 0, bytes(2 * 1024 * 1024))


@built
@pytest.mark.parametrize(
    ("break_it", "how"),
    [
        (lambda session: session.streams.open(0), "panic: BoundedQueue capacity must be > 0"),
        (overrun, "undefined-behaviour: memory outside of an allocation was touched"),
    ],
)
def test_what_breaks_is_said_and_a_fresh_process_goes_on(session, break_it, how):
    with pytest.raises(SubjectBrokeError, match=how):
        break_it(session)
    session.resources.open()
    assert session.resources.live_count() == 0
    assert session.streams.open(2).capacity == 2


@built
@pytest.mark.parametrize("name", SLICE)
def test_a_slice_of_the_rules_has_the_committed_outcomes(name):
    outcomes = json.loads((HERE / "outcomes.json").read_text())["release" if "/release/" in ADAPTER else "debug"]
    connection = Connection(find(f"stdio:{ADAPTER}"))
    found = {finding.rule: str(finding.outcome) for finding in run_check(all_checks().get(name), connection).findings}
    connection.close()
    assert found == {rule: outcomes.get(rule, "pass") for rule in found}  # what broke is listed

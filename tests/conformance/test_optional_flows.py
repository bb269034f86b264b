"""Rate limits, independent branches, circuit breakers: they are drawn, a subject is spared them, and no monitor accuses what is right."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from msgspec.structs import replace as with_

from conformance.strategies import ANYTHING, LOSSLESS, OPTIONAL, flows
from conformance.subjects.connect import Connection, find
from conformance.subjects.protocol import Answer, EdgeSpec, FlowSettings, FlowSpec, Schedule, Script, StageSpec
from conformance.traces.check import monitors, watch
from conformance.traces.offered import claimed
from conformance.traces.search import run_flow


def used(spec):
    """Return the optional features of a flow, as capabilities."""
    found = {"rate_limit"} if any(edge.policy == "rate-limit" for edge in spec.edges) else set()
    found |= {"independent_per_branch"} if spec.settings.fan_out == "independent-per-branch" else set()
    return found | ({"circuit_breaker"} if spec.settings.breaker_threshold else set())


@pytest.mark.parametrize("variety", [ANYTHING, LOSSLESS])
def test_each_optional_feature_is_drawn_and_so_are_flows_without_any(variety):
    seen = []

    @settings(max_examples=60)
    @given(flows(variety))
    def look(spec):
        seen.append(frozenset(used(spec)))

    look()
    assert frozenset() in seen
    assert set().union(*seen) == set(OPTIONAL)


def test_none_is_drawn_where_a_variety_leaves_them_out():
    @settings(max_examples=30)
    @given(flows(replace(ANYTHING, optional=False)))
    def look(spec):
        assert used(spec) == set()

    look()


@given(flows())
@settings(max_examples=50)
def test_a_subject_is_never_asked_for_what_it_does_not_claim_and_gets_the_rest_as_it_was(spec):
    assert claimed(spec, OPTIONAL) == spec
    plain = claimed(spec, ())
    assert used(plain) == set()
    assert all(edge.policy != "rate-limit" and not edge.rate_per_s for edge in plain.edges)
    for one in OPTIONAL:
        assert used(claimed(spec, {one})) == used(spec) & {one}


SOURCE, SINK = StageSpec("s", "source", Script((Answer("emit"),) * 4, Answer("end"))), StageSpec("k", "sink", Script((), Answer("ready")))


INTO, OUT = EdgeSpec("s", "m", capacity=2), EdgeSpec("m", "k", capacity=2)


def line(script, role="processor", *, into=INTO, out=OUT, **config):
    return FlowSpec((SOURCE, StageSpec("m", role, script), SINK), (into, out), settings=FlowSettings(**config))


ONCE_AWAY = Script((Answer("emit"), Answer("error", kind="unavailable")), Answer("emit"))
LOST = Script((Answer("route", ports=("a", "nope")),), Answer("route", ports=("a",)))
PACED = EdgeSpec("m", "k", capacity=2, policy="rate-limit", rate_per_s=1000.0)

FLUSHED = FlowSpec(
    (
        StageSpec("s", "source", Script((), Answer("end"))),
        StageSpec("m", "aggregator", Script((), Answer("drop"), flush=Answer("emit", count=4))),
        StageSpec("k", "sink", Script((Answer("error", kind="unavailable"),), Answer("ready"))),
    ),
    (INTO, EdgeSpec("m", "k", capacity=1)),
    settings=FlowSettings(error_policy="log-and-continue", breaker_threshold=1, breaker_cooldown_ms=1),
)

RIGHT = {
    "a flush goes on behind an open circuit": FLUSHED,
    "an element waits for its consumer's own rate": line(Script((), Answer("emit")), out=PACED),
    "a producer is paced": line(Script((), Answer("emit")), into=with_(PACED, source="s", target="m")),
    "an open circuit fails elements without a call": line(ONCE_AWAY, error_policy="skip", breaker_threshold=1, breaker_cooldown_ms=1),
    "a router's unknown port is tried again": line(LOST, "router", out=EdgeSpec("m", "k", "a"), error_policy="retry", max_retries=1),
}


def test_a_router_whose_branches_are_discarded_is_not_accused():
    routed = FlowSpec(
        (
            SOURCE,
            StageSpec("m", "router", Script((Answer("route", ports=("a", "b")), Answer("trap")), Answer("route", ports=("a",)))),
            StageSpec("k", "sink", Script((), Answer("pause"))),
            StageSpec("l", "sink", Script((), Answer("pause"))),
        ),
        (INTO, EdgeSpec("m", "k", "a", capacity=3), EdgeSpec("m", "l", "b", capacity=3)),
        schedule=Schedule("producer-first"),
        settings=FlowSettings(drain_timeout_ms=0),
    )
    connection = Connection(find("reference"))
    try:
        reply = run_flow(connection.session(), routed)
    finally:
        connection.close()
    assert sum(event.__class__.__name__ == "Dropped" and event.stream in {1, 2} for event in reply.trace) == 2
    assert watch(routed, reply.trace, ("OWN-027",), reply)["OWN-027"] > 0


@pytest.mark.parametrize("spec", RIGHT.values(), ids=RIGHT)
def test_no_monitor_accuses_a_flow_that_is_right(spec):
    connection = Connection(find("reference"))
    try:
        reply = run_flow(connection.session(), spec)
        assert reply.state == "Completed"
        for rule in monitors():
            watch(spec, reply.trace, (rule,), reply)
    finally:
        connection.close()

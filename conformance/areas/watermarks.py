"""Watermarks and hysteresis (WMK): the gate of one stream, and what a flow's trace shows of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.machines.search import Story, search_streams
from conformance.models.streams import Policy
from conformance.strategies import ANYTHING, EMIT, END, ORDERLY, PAUSE, READY, flows, line
from conformance.subjects.protocol import Answer, Command, Facet, FlowSettings, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import run_flow, search_flows, with_flow

LOW_MARKS = (
    (1, 0.5, 0),
    (2, 0.5, 1),
    (3, 0.5, 1),
    (4, 0.25, 1),
    (5, 0.75, 3),
    (6, 0.125, 0),
    (7, 0.875, 6),
    (9, 0.0, 0),
    (10, 0.5, 5),
    (64, 0.5, 32),
    (100, 0.75, 75),
)
"""Capacity, ratio (exact in binary, so that every way of rounding agrees), low mark."""


def _open(capacity: int, ratio: float = 0.5, policy: Policy = Policy.BLOCK) -> dict[str, Any]:
    return {"op": "streams.open", "capacity": capacity, "low_watermark_ratio": ratio, "policy": str(policy)}


def _moves(word: str) -> tuple[dict[str, Any], ...]:
    """Return the operations that a word spells: + push, - pop, ? inspect, . complete."""
    steps: list[dict[str, Any]] = []
    for sign in word:
        if sign == "+":
            steps.append({"op": "streams.push", "value": 1 + sum(step["op"] == "streams.push" for step in steps)})
        else:
            steps.append({"op": {"-": "streams.pop", "?": "streams.inspect", ".": "streams.complete"}[sign]})
    return tuple(steps)


STORIES: tuple[Story, ...] = (
    # up to the capacity, down to nothing, and once more
    *(
        (_open(capacity, ratio), *_moves("?" + "+" * capacity + "?" + "-" * capacity + "?" + "+" * capacity + "-"))
        for capacity, ratio in ((1, 0.5), (2, 0.5), (4, 0.25), (8, 0.5))
    ),
    # between the marks, in both directions, without and with pressure
    (_open(8, 0.5), *_moves("++++++-+-+-+?+++?-+-+-+?---?+-+-+")),
    (_open(4, 0.0), *_moves("++++?-+--?+-+---?++++")),
    # a place that is free while pressure is on: at the smallest capacities, too
    *((_open(capacity, 0.0), *_moves("+" * capacity + "?-?+?" + "-" * capacity + "?+?")) for capacity in (2, 3)),
    # a push on a full stream, a pop on an empty one, a push after the end
    *((_open(2, 0.5, policy), *_moves("-?+++?+?---?++.?+?--?-")) for policy in Policy),
    # a full stream under each policy, for a while
    *((_open(3, 0.5, policy), *_moves("++++++?-+?+++--?--?")) for policy in Policy),
    *((_open(1, 0.0, policy), *_moves("+++?-?++-?-")) for policy in Policy),
    # the end of an empty stream, of one with elements, of a full one, and of one under pressure
    *((_open(4, 0.0, policy), *_moves(moves)) for policy in Policy for moves in (".+-?", "+.+--?", "++++.+-?", "++++-.+---?")),
)

FULL = (Policy.BLOCK,)


@checks("WMK-001", facet=Facet.STREAMS, kind="machine")
def on_at_capacity(session: Session, budget: Budget) -> None:
    """Pressure goes on exactly when an enqueue brings the depth to the capacity."""
    search_streams(session, budget, "WMK-001", STORIES, policies=FULL)


@checks("WMK-001", facet=Facet.FLOWS, kind="monitor")
def on_at_capacity_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow every `on` is at the capacity, and none is missing before the producer's next call."""
    stories = [line(elements=5, capacity=capacity, schedule="producer-first") for capacity in (1, 3)]
    search_flows(session, budget, "WMK-001", stories, flows())


@checks("WMK-002", facet=Facet.STREAMS, kind="machine")
def off_at_the_low_mark(session: Session, budget: Budget) -> None:
    """Pressure goes off at the first dequeue that brings the depth to the low mark."""
    half: Story = (_open(64, 0.5), *_moves("+" * 64 + "-" * 64))
    search_streams(session, budget, "WMK-002", (*STORIES, half), policies=FULL)


@checks("WMK-002", facet=Facet.FLOWS, kind="monitor")
def off_at_the_low_mark_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow every `off` is at the low mark, and none is missing once the consumer's call is over."""
    stories = [line(elements=9, capacity=4, ratio=ratio, schedule="producer-first") for ratio in (0.0, 0.25, 0.5)]
    search_flows(session, budget, "WMK-002", stories, flows())


@checks("WMK-003", facet=Facet.STREAMS, kind="machine")
def nothing_between_the_marks(session: Session, budget: Budget) -> None:
    """Strictly between the marks pressure stays as it is."""
    search_streams(session, budget, "WMK-003", STORIES, policies=FULL)


@checks("WMK-004", facet=Facet.STREAMS, kind="table")
def low_marks(session: Session, budget: Budget) -> None:
    """The low mark is the capacity times the ratio, truncated."""
    for capacity, ratio, low in LOW_MARKS:
        found = session.streams.open(capacity, ratio).low
        budget.expect_equal(
            "WMK-004", found, low, f"the low mark of capacity {capacity}, ratio {ratio}", evidence={"capacity": capacity, "ratio": ratio}
        )


@checks("WMK-004", facet=Facet.STREAMS, kind="machine")
def low_marks_drawn(session: Session, budget: Budget) -> None:
    """The low mark of drawn capacities and ratios is truncated, too."""
    search_streams(session, budget, "WMK-004", (), steps=4)


@checks("WMK-005", facet=Facet.STREAMS, kind="machine")
def on_off_on_off(session: Session, budget: Budget) -> None:
    """Pressure alternates, starting with on."""
    search_streams(session, budget, "WMK-005", STORIES, policies=FULL)


@checks("WMK-005", facet=Facet.FLOWS, kind="monitor")
def on_off_on_off_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow pressure alternates on every stream, starting with on."""
    search_flows(session, budget, "WMK-005", (line("processor", elements=5, capacity=1),), flows())


MS = 1_000_000
SLOW = Script((), Answer("ready", spends_ns=1500))
UNDER_PRESSURE = tuple(
    line("processor", elements=20, capacity=capacity, schedule="producer-first", commands=(Command(after),), settings=settings)
    for capacity, after in ((2, 7), (2, 8), (4, 13), (4, 14))
    for settings in (FlowSettings(), FlowSettings(drain_timeout_ms=0))
)
"""Flows that are cancelled with streams under pressure, and stages held back by it."""
CAUGHT_FULL = tuple(
    line(
        elements=3,
        capacity=1,
        scripts={"source": Script((Answer("emit", spends_ns=2 * MS),) * 3, END), "sink": Script((), Answer("ready", spends_ns=3 * MS))},
        commands=(Command(1),),
        settings=settings,
    )
    for settings in (FlowSettings(), FlowSettings(drain_timeout_ms=0))
)
"""The same for a runtime that serves consumers first: cancelled when the one place of its stream has just been taken."""


@checks("WMK-006", facet=Facet.FLOWS, kind="monitor")
def one_event_per_transition(session: Session, budget: Budget) -> None:
    """In a flow every change of pressure is one event, with the depth that made it and the right instant and duration."""
    quick = Script((Answer("emit", spends_ns=700),) * 12, END)
    stories = [
        line(elements=12, capacity=capacity, schedule="producer-first", scripts={"source": quick, "sink": SLOW}) for capacity in (1, 4)
    ]
    search_flows(session, budget, "WMK-006", (*CAUGHT_FULL, *stories, *UNDER_PRESSURE), flows(replace(ANYTHING, elements=10)))


@checks("WMK-007", facet=Facet.FLOWS, kind="monitor")
def pressure_is_counted(session: Session, budget: Budget) -> None:
    """The summary counts one pressure event per activation."""
    search_flows(session, budget, "WMK-007", (line(elements=5, capacity=1),), flows())


@checks("WMK-008", facet=Facet.FLOWS, kind="monitor")
def open_intervals_are_closed(session: Session, budget: Budget) -> None:
    """Pressure that is on when a flow stops is switched off by its end, or counted in the statistics."""
    failing = Script((Answer("trap", spends_ns=10),), EMIT)
    stories = [line("processor", elements=9, capacity=2, schedule="producer-first", scripts={"processor": failing})]
    stories += [*UNDER_PRESSURE, *CAUGHT_FULL]
    search_flows(session, budget, "WMK-008", stories, flows(replace(ANYTHING, elements=10, capacities=(1, 2))))


CAPACITIES = (1, 2, 63, 64, 1000)
BAD_RATIOS = (-0.1, -1.0, 1.0, 1.5, 1e300)
"""Not a number and infinity are no JSON: a manifest can say them, this protocol cannot."""


def _accepts(session: Session, spec: FlowSpec) -> bool:
    try:
        session.flows.run(spec)
    except Refused:
        return False
    return True


@checks("WMK-009", facet=Facet.STREAMS, kind="table")
def no_stream_of_nothing(session: Session, budget: Budget) -> None:
    """A stream of capacity 0 is refused, of 1 and more it is not."""
    for capacity in (0, *CAPACITIES):
        try:
            session.streams.open(capacity)
            accepted = True
        except Refused:
            accepted = False
        budget.expect_equal("WMK-009", accepted, capacity > 0, f"whether a stream of capacity {capacity} is accepted")


@checks("WMK-009", facet=Facet.FLOWS, kind="table")
def no_flow_with_a_stream_of_nothing(session: Session, budget: Budget) -> None:
    """A flow with a stream of capacity 0 is refused before it runs, with 1 and more it is not."""
    for capacity in (0, *CAPACITIES):
        accepted = _accepts(session, line("processor", elements=1, capacity=capacity))
        budget.expect_equal("WMK-009", accepted, capacity > 0, f"whether a flow with streams of capacity {capacity} is accepted")


@checks("WMK-010", facet=Facet.STREAMS, kind="table")
def no_impossible_low_mark(session: Session, budget: Budget) -> None:
    """A low watermark ratio outside [0, 1) is refused, one inside is not."""
    for ratio in (*BAD_RATIOS, 0.0, 0.5, 0.875):
        try:
            session.streams.open(4, ratio)
            accepted = True
        except Refused:
            accepted = False
        budget.expect_equal("WMK-010", accepted, 0 <= ratio < 1, f"whether the ratio {ratio} is accepted")


@checks("WMK-010", facet=Facet.FLOWS, kind="table")
def no_flow_with_an_impossible_low_mark(session: Session, budget: Budget) -> None:
    """A flow with a low watermark ratio outside [0, 1) is refused before it runs."""
    for ratio in (*BAD_RATIOS, 0.0, 0.5, 0.875):
        plain = line("processor", elements=1)
        spec = with_(plain, edges=(plain.edges[0], with_(plain.edges[1], low_watermark_ratio=ratio)))
        budget.expect_equal("WMK-010", _accepts(session, spec), 0 <= ratio < 1, f"whether a flow with the ratio {ratio} is accepted")


@checks("WMK-011", facet=Facet.FLOWS, kind="example", requires=("consumer_first",))
def capacity_one(session: Session, budget: Budget) -> None:
    """At capacity 1 N elements from source to sink give exactly N times on and N times off."""
    for count in (1, 2, 7, 20):
        spec = line(elements=count, capacity=1)
        reply = run_flow(session, spec)
        found = [sum(isinstance(event, e.PressureChanged) and event.on is on for event in reply.trace) for on in (True, False)]
        budget.touch("WMK-011")
        if found != [count, count]:
            violation = Violation("WMK-011", f"{count} elements at capacity 1: on and off", expected=[count, count], found=found)
            raise with_flow(violation, spec, reply)


@checks("WMK-012", facet=Facet.STREAMS, kind="machine")
def never_more_than_fits(session: Session, budget: Budget) -> None:
    """The depth of a stream never exceeds its capacity, whatever its policy."""
    search_streams(session, budget, "WMK-012", STORIES)


@checks("WMK-012", facet=Facet.FLOWS, kind="monitor")
def never_more_than_fits_end_to_end(session: Session, budget: Budget) -> None:
    """In a flow no stream is ever deeper than its capacity, flushes and drops included."""
    search_flows(session, budget, "WMK-012", (line(elements=9, capacity=2, policy="drop-oldest", schedule="producer-first"),), flows())


@checks("WMK-013", facet=Facet.FLOWS, kind="monitor")
def the_peak_is_reported(session: Session, budget: Budget) -> None:
    """The summary's peak depth is the largest depth that the trace shows."""
    held = Script((PAUSE, PAUSE), READY)
    stories = [line(elements=9, capacity=4, schedule="producer-first"), line(elements=5, capacity=4, scripts={"sink": held})]
    search_flows(session, budget, "WMK-013", stories, flows(replace(ORDERLY, capacities=(2, 4, 8))))


@checks("WMK-014", facet=Facet.FLOWS, kind="monitor")
def pressure_is_lifted_in_a_drain(session: Session, budget: Budget) -> None:
    """A stage held back by pressure when an operator cancels goes on in the drain: everything queued is delivered."""
    stories = [spec for spec in UNDER_PRESSURE if spec.settings.drain_timeout_ms]
    drawn = replace(ANYTHING, failing=False, pausing=False, elements=10, capacities=(1, 2), schedules=("producer-first", "scripted"))
    search_flows(session, budget, "WMK-014", stories, flows(drawn))


@checks("WMK-015", facet=Facet.STREAMS, kind="machine")
def dropping_streams_never_suspend(session: Session, budget: Budget) -> None:
    """Under a policy that drops, pressure may be reported but never suspends the producer."""
    search_streams(session, budget, "WMK-015", STORIES, policies=(Policy.DROP_OLDEST, Policy.DROP_NEWEST))

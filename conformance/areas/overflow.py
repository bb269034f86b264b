"""Overflow policies and what sources are told (POLICY)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.watermarks import STORIES
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.machines.search import search_streams
from conformance.models.streams import Policy
from conformance.strategies import ANYTHING, LOSSLESS, ORDERLY, PAUSE, fan_out, flows, line
from conformance.subjects.protocol import Facet, FlowRunReply, FlowSettings, FlowSpec, Schedule, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import expect_end, run_flow, search_flows, with_flow

LOSSY = replace(ORDERLY, middle=("processor", "filter"), most_middle=2, capacities=(1, 2), schedules=("producer-first", "scripted"))
"""Flows whose full streams lose elements."""


def _expect(rule: str, budget: Budget, spec: FlowSpec, reply: FlowRunReply, message: str, expected: object, found: object) -> None:
    """Evaluate one expectation about a directed flow."""
    budget.touch(rule)
    if expected != found:
        raise with_flow(Violation(rule, message, expected=expected, found=found), spec, reply)


def _pushed(reply: FlowRunReply) -> list[str | None]:
    """Return the payload tags that sinks were given, in order."""
    return [event.tag for event in reply.trace if isinstance(event, e.Called) and event.fn == "push"]


def _drops(reply: FlowRunReply, reason: str) -> int:
    """Return how many elements were lost for a reason."""
    return sum(isinstance(event, e.Dropped) and event.reason == reason for event in reply.trace)


@checks("POLICY-001", facet=Facet.FLOWS, kind="monitor")
def block_loses_nothing(session: Session, budget: Budget) -> None:
    """A blocking stream loses nothing: its producer is suspended from on to off."""
    stories = [line("processor", elements=6, capacity=2, schedule="producer-first"), fan_out(2, elements=6, schedule="producer-first")]
    search_flows(session, budget, "POLICY-001", stories, flows(LOSSLESS))


@checks("POLICY-002", facet=Facet.STREAMS, kind="machine")
def drop_oldest(session: Session, budget: Budget) -> None:
    """Drop-oldest evicts the head of a full stream; depth stays, survivors keep their order."""
    search_streams(session, budget, "POLICY-002", STORIES, policies=(Policy.DROP_OLDEST,))


@checks("POLICY-003", facet=Facet.STREAMS, kind="machine")
def drop_newest(session: Session, budget: Budget) -> None:
    """Drop-newest discards the newcomer of a full stream, which stays as it is."""
    search_streams(session, budget, "POLICY-003", STORIES, policies=(Policy.DROP_NEWEST,))


@checks("POLICY-004", facet=Facet.STREAMS, kind="machine")
def error_on_full(session: Session, budget: Budget) -> None:
    """Error refuses the newcomer of a full stream as queue-full, and the stream stays as it is."""
    search_streams(session, budget, "POLICY-004", STORIES, policies=(Policy.ERROR,))


@checks("POLICY-004", facet=Facet.FLOWS, kind="example")
def queue_full_is_an_error(session: Session, budget: Budget) -> None:
    """In a flow queue-full is an error of the producing stage: fail-fast fails the flow, skip drops the element and goes on."""
    held = Schedule("scripted", (0, 0, 0, 0))  # the source, four times
    fatal = replace_schedule(line(elements=4, capacity=1, policy="error"), held)
    expect_end(session, budget, "POLICY-004", fatal, {"Failed"})
    patient = replace_schedule(line(elements=4, capacity=1, policy="error", settings=FlowSettings(error_policy="skip")), held)
    reply = run_flow(session, patient)
    _expect("POLICY-004", budget, patient, reply, "under skip the flow goes on", "Completed", reply.state)
    lost = _drops(reply, "queue-full")
    _expect("POLICY-004", budget, patient, reply, "what was not refused was delivered", 4 - lost, len(_pushed(reply)))
    refused = "at least one" if lost else "none"  # how many depends on how long the failing source is left alone (SCHED-014)
    _expect("POLICY-004", budget, patient, reply, "elements refused by a full stream whose consumer is held", "at least one", refused)


@checks("POLICY-005", facet=Facet.FLOWS, kind="monitor")
def losses_are_reported_and_released(session: Session, budget: Budget) -> None:
    """Every element lost is reported, and its buffer is released at once."""
    stories = [line(elements=8, capacity=2, policy=policy, schedule="producer-first") for policy in ("drop-oldest", "drop-newest")]
    stories.append(fan_out(2, elements=8, policies=("drop-oldest", "drop-newest"), schedule="producer-first"))
    search_flows(session, budget, "POLICY-005", stories, flows(LOSSY))


@checks("POLICY-006", facet=Facet.STREAMS, kind="machine")
def credits_of_lost_elements(session: Session, budget: Budget) -> None:
    """An eviction is one credit back and one spent; a refusal costs nothing."""
    search_streams(session, budget, "POLICY-006", STORIES, policies=(Policy.DROP_OLDEST, Policy.DROP_NEWEST, Policy.ERROR))


@checks("POLICY-007", facet=Facet.STREAMS, kind="machine")
def dropping_producers_go_on(session: Session, budget: Budget) -> None:
    """Under drop and error policies a full stream does not suspend its producer."""
    search_streams(session, budget, "POLICY-007", STORIES, policies=(Policy.DROP_OLDEST, Policy.DROP_NEWEST, Policy.ERROR))


@checks("POLICY-007", facet=Facet.FLOWS, kind="example")
def ten_pulls_eight_drops(session: Session, budget: Budget) -> None:
    """With the consumer held, ten pulls into a dropping stream of 2 are ten pulls and eight drops."""
    for policy, reason, survivors in (
        ("drop-oldest", "evicted-oldest", ["source#8", "source#9"]),
        ("drop-newest", "refused-newest", ["source#0", "source#1"]),
    ):
        spec = line(elements=10, capacity=2, policy=policy, schedule="producer-first")
        reply = run_flow(session, spec)
        _expect("POLICY-007", budget, spec, reply, f"drops under {policy}", 8, _drops(reply, reason))
        _expect("POLICY-007", budget, spec, reply, f"survivors under {policy}", survivors, _pushed(reply))


@checks("POLICY-008", facet=Facet.FLOWS, kind="monitor")
def every_element_is_accounted_for(session: Session, budget: Budget) -> None:
    """What enters a stream leaves it: taken, evicted or discarded; and the summary counts the same."""
    search_flows(session, budget, "POLICY-008", (line(elements=8, capacity=2, policy="drop-oldest", schedule="producer-first"),), flows())


@checks("POLICY-012", facet=Facet.FLOWS, kind="example")
def pausing_for_ever(session: Session, budget: Budget) -> None:
    """A sink that answers pause to everything still receives every element of a finite source, and the flow ends."""
    for capacity in (1, 4):
        spec = line(elements=5, capacity=capacity, scripts={"sink": Script((), PAUSE)})
        reply = run_flow(session, spec)
        _expect("POLICY-012", budget, spec, reply, "the flow ends", "Completed", reply.state)
        _expect("POLICY-012", budget, spec, reply, "every element arrives", [f"source#{i}" for i in range(5)], _pushed(reply))


@checks("POLICY-013", facet=Facet.FLOWS, kind="monitor")
def notices_alternate(session: Session, budget: Budget) -> None:
    """A source is told to pause and to go on in turn, and never in the middle of a call."""
    stories = [line(elements=6, capacity=2, schedule="producer-first"), fan_out(3, elements=6, capacity=1)]
    search_flows(session, budget, "POLICY-013", stories, flows(replace(ANYTHING, capacities=(1, 2))))


@checks("POLICY-013", facet=Facet.FLOWS, kind="example")
def sources_are_told(session: Session, budget: Budget) -> None:
    """A source whose stream comes under pressure is told once per transition."""
    spec = line(elements=4, capacity=1)
    reply = run_flow(session, spec)
    signals = [event.signal for event in reply.trace if isinstance(event, e.Notified)]
    _expect("POLICY-013", budget, spec, reply, "the source was told to pause at each activation", 4, signals.count("pause"))


@checks("POLICY-014", facet=Facet.FLOWS, kind="monitor")
def no_pull_while_told_to_pause(session: Session, budget: Budget) -> None:
    """No source is pulled between `pause` and `ready`."""
    stories = [line(elements=12, capacity=4, schedule="producer-first"), fan_out(3, elements=6, capacity=1)]
    search_flows(session, budget, "POLICY-014", stories, flows(replace(ANYTHING, capacities=(1, 2))))


def replace_schedule(spec: FlowSpec, schedule: Schedule) -> FlowSpec:
    """Return a flow with another schedule."""
    return FlowSpec(spec.stages, spec.edges, schedule, spec.settings, spec.commands, spec.max_calls)

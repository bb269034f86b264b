"""Who runs when (SCHED)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.lifecycle import ALL, SHAPES
from conformance.checks import Budget, checks
from conformance.strategies import ANYTHING, PAUSE, READY, fan_out, flows, line
from conformance.subjects.protocol import Facet, FlowSettings, Script
from conformance.subjects.session import Session
from conformance.traces.search import search_flows

DEFAULT = replace(ANYTHING, schedules=("consumer-first",), elements=10)
"""Flows under the default schedule."""


@checks("SCHED-001", facet=Facet.FLOWS, kind="monitor")
def one_at_a_time(session: Session, budget: Budget) -> None:
    """The invocations of a flow neither overlap nor nest."""
    search_flows(session, budget, "SCHED-001", ALL, flows())


@checks("SCHED-002", facet=Facet.FLOWS, kind="monitor", requires=("consumer_first",))
def consumers_first(session: Session, budget: Budget) -> None:
    """By default a stage runs only when nothing downstream of it can, and a source only when no other stage can."""
    search_flows(session, budget, "SCHED-002", (line("processor", "processor", elements=5), fan_out(3), *SHAPES), flows(DEFAULT))


@checks("SCHED-003", facet=Facet.FLOWS, kind="monitor")
def ready_stages_only(session: Session, budget: Budget) -> None:
    """A stage runs only when all its outputs can take an element, and with an element if it has inputs."""
    held = Script((PAUSE,) * 3, READY)
    stories = [
        line(role, elements=6, capacity=1, schedule="producer-first", scripts={"sink": held}) for role in ("processor", "filter", "router")
    ]
    stories.append(fan_out(2, elements=12, capacity=4, schedule="producer-first"))
    search_flows(session, budget, "SCHED-003", stories, flows(replace(ANYTHING, capacities=(1, 2))))


@checks("SCHED-004", facet=Facet.FLOWS, kind="monitor", requires=("consumer_first",))
def short_queues(session: Session, budget: Budget) -> None:
    """By default, with no consumer held back, no queue is deeper than one."""
    orderly = replace(DEFAULT, failing=False, pausing=False)
    search_flows(session, budget, "SCHED-004", (line("processor", "processor", elements=5), fan_out(3)), flows(orderly))


@checks("SCHED-006", facet=Facet.FLOWS, kind="monitor")
def yields_in_time(session: Session, budget: Budget) -> None:
    """A flow yields after exactly the configured number of stage executions, while no time quantum is set."""
    stories = [line(elements=100), *(line(elements=9, settings=FlowSettings(elements_per_yield=batch)) for batch in (1, 4))]
    search_flows(session, budget, "SCHED-006", stories, flows())

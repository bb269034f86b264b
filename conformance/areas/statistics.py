"""What a finished flow says about its life (FLOW-016, FLOW-017)."""

from __future__ import annotations

from dataclasses import replace

from conformance.areas.cancellation import LEFTOVERS
from conformance.areas.lifecycle import ALL
from conformance.checks import Budget, checks
from conformance.strategies import ANYTHING, END, PAUSE, READY, fan_out, flows, line
from conformance.subjects.protocol import Answer, Facet, Script
from conformance.subjects.session import Session
from conformance.traces.search import search_flows

BUSY = (
    line(
        "processor",
        scripts={"source": Script((Answer("emit", spends_ns=700),) * 3, END), "processor": Script((), Answer("emit", spends_ns=5))},
    ),
    line(elements=6, capacity=2, schedule="producer-first", scripts={"sink": Script((PAUSE, PAUSE), Answer("ready", spends_ns=1_000_000))}),
    line("processor", elements=4, capacity=1, scripts={"sink": Script((), READY)}),
    fan_out(3, elements=4, capacity=1),
)
"""Flows whose calls take time, whose streams come under pressure, or both."""


@checks("FLOW-016", facet=Facet.FLOWS, kind="monitor")
def statistics_follow_the_trace(session: Session, budget: Budget) -> None:
    """Duration, elements, pressure, peaks, calls, errors and times of a finished flow are what its events say."""
    search_flows(session, budget, "FLOW-016", (*BUSY, *ALL, *LEFTOVERS), flows(replace(ANYTHING, timed=True)))


@checks("FLOW-017", facet=Facet.FLOWS, kind="monitor")
def the_total_sums_over_streams(session: Session, budget: Budget) -> None:
    """N elements through source, processor and sink are a total of 2N."""
    search_flows(session, budget, "FLOW-017", (line("processor", elements=5), fan_out(3), *LEFTOVERS), flows())

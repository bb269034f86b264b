"""Judging a trace: the monitors of some rules, fed with it in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conformance.subjects.protocol import FlowRunReply, FlowSpec
from conformance.traces import (
    buffers,
    demand,
    endings,
    failures,
    fairness,
    lifecycle,
    metadata,
    order,
    overflow,
    pressure,
    routing,
    scheduling,
    startup,
    statistics,
)
from conformance.traces.events import AnyEvent
from conformance.traces.monitors import MONITORS, Monitor
from conformance.traces.view import View

ROOMS = (
    *(lifecycle, startup, endings, statistics, order, metadata, routing),
    *(pressure, demand, overflow, failures, scheduling, fairness, buffers),
)
"""The modules whose monitors are known here; importing them fills `MONITORS`."""


def monitors() -> Mapping[str, type[Monitor]]:
    """Return every monitor by the rule that it watches."""
    return MONITORS


def watch(spec: FlowSpec, trace: Iterable[AnyEvent], rules: Iterable[str], reply: FlowRunReply | None = None) -> dict[str, int]:
    """Run the monitors of some rules over a trace and return how often each has evaluated its rule.

    Raises:
        Violation: a rule is broken; its evidence names the event by its place in the trace.
        KeyError: no monitor watches a rule.
    """
    view = View(spec)
    monitors = [MONITORS[rule](view, reply) for rule in rules]
    for index, event in enumerate(trace):
        view.reach(event.at)
        for monitor in monitors:
            monitor.at = index
            monitor.on(event)
        view.advance(event)
    for monitor in monitors:
        monitor.at = None
        monitor.finish()
    return {monitor.rule: monitor.evaluated for monitor in monitors}

"""Judging whole trace files: every monitor on the events of a flow, every model on a conversation.

Unlike a check, which looks at one rule, this says of every rule whether the trace kept it, broke it, or never came near it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from conformance.errors import Violation
from conformance.models.topology import defects
from conformance.rulebook import Rulebook
from conformance.subjects import protocol as p
from conformance.traces.check import monitors
from conformance.traces.conversation import Conversation
from conformance.traces.events import AnyEvent
from conformance.traces.file import Shows, TraceFile
from conformance.traces.monitors import Monitor
from conformance.traces.view import View


class Judged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a trace says of one rule.

    Attributes:
        evaluations: how often it reached a situation in which the rule could have been broken.
        broken: how it was; None when it was kept, or (without evaluations) never reached.
    """

    rule: str
    evaluations: int
    broken: Shows | None = None


def applicable(rulebook: Rulebook, claims: Iterable[str]) -> tuple[str, ...]:
    """Return the rules of flows that monitors watch and that bind a subject with these capabilities."""
    claimed, watched = frozenset(claims), monitors()
    return tuple(rule.id for rule in rulebook.rules if rule.id in watched and (rule.capability is None or str(rule.capability) in claimed))


def judge_events(view: View, events: Iterable[AnyEvent], rules: Iterable[str], reply: p.FlowRunReply | None = None) -> tuple[Judged, ...]:
    """Apply the monitors of some rules to the events of a flow that nothing is known of yet, but what `view` starts with.

    A monitor that has found its rule broken looks no further.
    """
    watched = monitors()
    watching = [watched[rule](view, reply) for rule in rules]
    results: dict[str, Judged] = {}

    def ask(at: int | None, event: AnyEvent | None) -> None:
        for monitor in tuple(watching):
            monitor.at = at
            try:
                monitor.finish() if event is None else monitor.on(event)
            except Violation as violation:
                watching.remove(monitor)
                results[monitor.rule] = _broken(monitor, violation, at)

    for at, event in enumerate(events):
        view.reach(event.at)
        ask(at, event)
        view.advance(event)
    ask(None, None)
    for monitor in watching:
        results[monitor.rule] = Judged(rule=monitor.rule, evaluations=monitor.evaluated)
    return tuple(results[rule] for rule in sorted(results))


def _broken(monitor: Monitor, violation: Violation, at: int | None) -> Judged:
    shown = Shows(rule=monitor.rule, message=violation.message, expected=violation.expected, found=violation.found, at=at)
    return Judged(rule=monitor.rule, evaluations=monitor.evaluated, broken=shown)


def _runs(request: p.AnyRequest, reply: p.AnyReply | None) -> Iterator[tuple[p.FlowSpec, p.FlowRunReply]]:
    """Yield the flows that an exchange has run, as far as they are flows."""
    if isinstance(request, p.RunFlow) and isinstance(reply, p.FlowRunReply):
        yield from [(request.spec, reply)] if not defects(request.spec) else []
    elif isinstance(request, p.RunHost) and isinstance(reply, p.HostRunReply):
        for flow in reply.flows:
            if flow.run is not None and flow.flow < len(request.flows) and not defects(request.flows[flow.flow]):
                yield request.flows[flow.flow], flow.run


def judge(rulebook: Rulebook, trace: TraceFile) -> tuple[Judged, ...]:
    """Judge a trace by every rule that it can be judged by."""
    claims: Mapping[str, tuple[str, ...]] = trace.header.claims
    flows = claims.get(str(p.Facet.FLOWS), ())
    if trace.header.flow is not None:
        view = View(trace.header.flow, clock=trace.header.clock, scripted=trace.scripted, limit=trace.header.limit)
        return judge_events(view, trace.events, applicable(rulebook, flows), trace.reply)
    conversation = Conversation(claims)
    for at, exchange in enumerate(trace.exchanges):
        conversation.take(at, exchange.request, exchange.reply)
        for spec, run in _runs(exchange.request, exchange.reply):
            monitored = judge_events(View(spec), run.trace, applicable(rulebook, flows), run)
            conversation.judged(at, ((one.rule, one.evaluations, one.broken) for one in monitored))
    return tuple(
        Judged(rule=rule, evaluations=count, broken=conversation.broken.get(rule))
        for rule, count in sorted(conversation.evaluations.items())
    )

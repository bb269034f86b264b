"""Spans and diagnostic events of flows that run: promotion, names, OTLP, and the names of events (OBS-016, 017, 019 to 021, 024)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from msgspec.structs import replace as with_

from conformance.areas.metrics import FAILURES, PLAIN, PRESSED, hold, watch
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Violation
from conformance.models.tracing import CATEGORIES, EVENTS, OtlpSpan, spans_of
from conformance.strategies import ANYTHING, EMIT, END, READY, fan_out, flows, line
from conformance.subjects.protocol import (
    Answer,
    Facet,
    FlowSettings,
    FlowSpec,
    ObservedReply,
    ObserveFlow,
    Script,
    TraceSettings,
    features_of,
)
from conformance.subjects.session import Session
from conformance.traces import events as e

MS = 1_000_000
NEVER, ALWAYS = TraceSettings(sample_rate=0.0, latency_threshold_ms=0), TraceSettings(sample_rate=1.0)
BAD = {"error", "trap"}


def exported(budget: Budget, rule: str, reply: ObservedReply) -> list[OtlpSpan]:
    """Return the spans that a run has exported.

    Raises:
        Violation: what was exported is not OTLP.
    """
    found = spans_of(reply.spans)
    if isinstance(found, str):
        budget.touch(rule)
        raise Violation(
            rule, "what was exported is no OTLP/JSON", expected="an ExportTraceServiceRequest", found=found, evidence=reply.spans[:2000]
        )
    return found


def _told(spans: list[OtlpSpan]) -> list[str]:
    """Return spans as evidence: their names, some of them."""
    return [f"{span.name} {span.trace_id[-6:]}/{span.span_id[-4:]} below {span.parent[-4:] or 'nothing'}" for span in spans[:30]]


def _erring(place: str, bad: Answer) -> FlowSpec:
    """Return a line of ten elements, of which one stage refuses the fourth."""
    usual = {"source": EMIT, "processor": EMIT, "sink": READY}[place]
    rest = (EMIT,) * 6 if place == "source" else ()
    script = Script((usual, usual, usual, bad, *rest), END if place == "source" else usual)
    return line("processor", elements=10, scripts={place: script}, settings=FlowSettings(error_policy="skip"))


@checks("OBS-016", facet=Facet.OBSERVABILITY, kind="example")
def errors_and_slowness_promote(session: Session, budget: Budget) -> None:
    """An error in any component promotes, if errors do; a latency above the threshold, and not one at it; nothing else does."""

    def promoted(spec: FlowSpec, tracing: TraceSettings, *, expected: bool, why: str) -> None:
        if session.lacks(*features_of(spec)):
            return
        reply = watch(session, ObserveFlow(spec, tracing=tracing))
        evidence = {"tracing": tracing, "spec": spec, "spans": _told(exported(budget, "OBS-016", reply))}
        budget.expect_equal("OBS-016", reply.promoted, expected, f"whether a flow is promoted: {why}", evidence=evidence)

    for place in ("source", "processor", "sink"):
        for bad in (Answer("error", kind="unavailable"), Answer("error", kind="invalid-input"), Answer("trap")):
            spec = _erring(place, bad)
            what = f"the {place} answers {bad.do} ({bad.kind})"
            promoted(spec, NEVER, expected=True, why=what)
            promoted(spec, with_(NEVER, error_promote=False), expected=False, why=f"{what}, and errors do not promote")
    for took, threshold, expected in (
        (10 * MS, 10, False),
        (10 * MS + 1, 10, True),
        (10 * MS - 1, 10, False),
        (3 * MS, 3, False),
        (3 * MS + 1, 3, True),
        (900 * MS, 0, False),
    ):
        busy = Script((EMIT, EMIT, Answer("emit", spends_ns=took)), EMIT)
        spec = line("processor", elements=5, scripts={"processor": busy})
        why = f"an element takes {took} ns, the threshold is {threshold} ms"
        promoted(spec, with_(NEVER, latency_threshold_ms=threshold), expected=expected, why=why)
    for spec in PLAIN:
        promoted(spec, NEVER, expected=False, why="nothing happens")


def _data_calls(reply: ObservedReply) -> Counter[int]:
    """Count the calls that were given an element, by its number."""
    return Counter(event.seq for event in reply.run.trace if isinstance(event, e.Called) and event.seq is not None and event.fn != "notify")


@checks("OBS-017", facet=Facet.OBSERVABILITY, kind="example")
def promotion_exports_the_past(session: Session, budget: Budget) -> None:
    """Not a span goes out before an error; after it, those of the calls before it have, oldest first, as many as the ring holds."""
    for capacity, elements in ((1024, 10), (64, 10), (8, 10), (1024, 40)):
        bad = elements // 2
        script = Script((*(EMIT,) * bad, Answer("error"), EMIT), EMIT)
        spec = line("processor", elements=elements, scripts={"processor": script}, settings=FlowSettings(error_policy="skip"))
        if session.lacks(*features_of(spec)):
            continue
        tracing = with_(NEVER, ring_capacity=capacity)
        reply = watch(session, ObserveFlow(spec, tracing=tracing))
        spans = exported(budget, "OBS-017", reply)
        calls = [span for span in spans if span.kind == "component"]
        evidence = {"tracing": tracing, "elements": elements, "fails": bad, "spans": _told(spans)}
        shown = Counter(span.sequence for span in calls if span.sequence is not None)
        wanted = _data_calls(reply)
        missing = {number: count for number, count in wanted.items() if shown[number] < count}
        if capacity == 1024:  # everything is kept: nothing may be missing
            budget.expect("OBS-017", not missing, "calls whose spans are not exported", expected="none", found=missing, evidence=evidence)
        else:
            failed = next((index for index, span in enumerate(spans) if _code(span) == 2), 0)
            early = {span.trace_id for span in spans[:failed]} - {span.trace_id for span in spans[failed : failed + 1]}
            budget.expect("OBS-017", early, "no span of another element, before the error, is exported", evidence=evidence)
        begins = [int(span.raw["startTimeUnixNano"]) for span in calls]
        budget.expect("OBS-017", begins == sorted(begins), "the exported calls are not oldest first", found=begins, evidence=evidence)
        ids = [span.span_id for span in spans]
        budget.expect_equal("OBS-017", len(set(ids)), len(ids), "spans that are exported once", evidence=evidence)
        quiet = watch(session, ObserveFlow(spec, tracing=with_(tracing, error_promote=False)))
        none = exported(budget, "OBS-017", quiet)
        budget.expect("OBS-017", not none, "spans of a flow that is neither sampled nor promoted", expected="none", found=_told(none))


@checks("OBS-019", facet=Facet.OBSERVABILITY, kind="monitor")
def traces_hold_together(session: Session, budget: Budget) -> None:
    """At full sampling every span's parent is a span of its trace, exported with it, and the calls on an element are one trace."""

    def law(spec: FlowSpec) -> None:
        reply = watch(session, ObserveFlow(spec, tracing=ALWAYS))
        spans = exported(budget, "OBS-019", reply)
        trace_of = {span.span_id: span.trace_id for span in spans}
        evidence = {"spec": spec, "spans": _told(spans)}
        budget.expect_equal("OBS-019", len(trace_of), len(spans), "spans with ids of their own", evidence=evidence)
        lost = [span.name for span in spans if span.parent and trace_of.get(span.parent) != span.trace_id]
        budget.expect("OBS-019", not lost, "spans whose parent is no span of their trace", expected="none", found=lost, evidence=evidence)
        traces: dict[int, set[str]] = {}
        for span in spans:
            if span.kind == "component" and span.sequence is not None:
                traces.setdefault(span.sequence, set()).add(span.trace_id)
        torn = sorted(number for number, ids in traces.items() if len(ids) > 1)
        budget.expect("OBS-019", not torn, "elements whose calls are in several traces", expected="none", found=torn, evidence=evidence)

    stories = (line("processor", "processor", elements=4), line("filter", elements=4), fan_out(2, elements=3), *PRESSED[:2])
    variety = replace(ANYTHING, middle=("processor", "filter"), failing=False, cancelling=False, losing=False)
    hold(session, budget, stories, flows(variety), law, examples=20)


@checks("OBS-020", facet=Facet.OBSERVABILITY, kind="monitor")
def spans_have_documented_names(session: Session, budget: Budget) -> None:
    """Every span has one of the five names, with the number of its element in it; a run with all five things shows all five."""
    kinds: set[str] = set()
    for spec in (*PRESSED, *FAILURES, *PLAIN):
        if session.lacks(*features_of(spec)):
            continue
        reply = watch(session, ObserveFlow(spec, level="diagnostic", tracing=ALWAYS))
        for span in exported(budget, "OBS-020", reply):
            kind = span.kind
            budget.expect("OBS-020", kind, "a span's name is none of the five", expected="flow:…, component:…:invoke:…, …", found=span.name)
            assert kind is not None
            kinds.add(kind)
            if kind == "component" and span.sequence is not None:
                number = int(span.name.rpartition(":")[2])
                budget.expect_equal("OBS-020", number, span.sequence, f"the number in {span.name}, beside its attribute", evidence=span.raw)
    missing = {"flow", "component", "transfer", "copy", "backpressure"} - kinds
    message = "runs that copy, hand over and come under pressure show no span of some kinds"
    budget.expect("OBS-020", not missing, message, expected="all five", found=sorted(kinds))


@checks("OBS-021", facet=Facet.OBSERVABILITY, kind="monitor")
def spans_are_valid_otlp(session: Session, budget: Budget) -> None:
    """Ids, times, attributes and status of every span are as OTLP's JSON has them; calls that failed have status 2, and no others."""

    def law(spec: FlowSpec) -> None:
        reply = watch(session, ObserveFlow(spec, level="diagnostic", tracing=ALWAYS))
        spans = exported(budget, "OBS-021", reply)
        for span in spans:
            wrong = span.defects()
            budget.expect("OBS-021", not wrong, f"a span is not valid: {span.name}", expected="OTLP", found=wrong, evidence=span.raw)
        roots = [span for span in spans if not span.parent]
        budget.expect("OBS-021", roots or not spans, "there is no root among the spans", evidence=_told(spans))
        calls = [event for event in reply.run.trace if isinstance(event, e.Called | e.Returned)]
        bad = sum(
            isinstance(back, e.Returned) and back.outcome in BAD and isinstance(call, e.Called) and call.seq is not None
            for call, back in pairwise(calls)
        )
        failed = [span for span in spans if _code(span) == 2]
        given = sum(span.kind == "component" for span in failed)
        pulls = sum(isinstance(back, e.Returned) and back.outcome in BAD and back.fn in {"pull", "flush"} for back in calls)
        evidence = {"spec": spec, "spans": _told(failed)}
        holds = bad <= given <= bad + pulls
        budget.expect("OBS-021", holds, "calls with status 2", expected=f"{bad} to {bad + pulls}", found=given, evidence=evidence)

    hold(session, budget, (*FAILURES, *PLAIN[:3], PRESSED[0]), flows(replace(ANYTHING, cancelling=False)), law, examples=20)


def _code(span: OtlpSpan) -> object:
    return span.status.get("code") if isinstance(span.status, dict) else None


@checks("OBS-024", facet=Facet.OBSERVABILITY, kind="monitor")
def events_have_documented_names(session: Session, budget: Budget) -> None:
    """Every event of flows that fail, are cancelled, are under pressure or nothing of it has a documented name and category."""
    names: set[str] = set()
    for spec in (*FAILURES, *PRESSED, *PLAIN):
        if session.lacks(*features_of(spec)):
            continue
        for text in watch(session, ObserveFlow(spec, level="diagnostic", events=True)).events:
            try:
                event = json.loads(text)
            except (ValueError, RecursionError):
                event = None
            budget.expect("OBS-024", isinstance(event, dict), "an event is no JSON object", found=text[:300])
            assert isinstance(event, dict)
            name, category = event.get("event_type"), event.get("category")
            budget.expect(
                "OBS-024", name in EVENTS, "an event's name is not documented", expected="`event_type`", found=name, evidence=event
            )
            names.add(str(name))
            if "category" in event:
                known = category in CATEGORIES
                message = "an event's category is not documented"
                budget.expect("OBS-024", known, message, expected=" or ".join(sorted(CATEGORIES)), found=category, evidence=event)
    if not names:
        raise Inconclusive("not one event in runs that fail and come under pressure")
    started = {"flow.started", "flow.completed", "flow.failed"} & names
    budget.expect("OBS-024", started, "runs that begin and end tell of neither", expected="flow.started, ...", found=sorted(names))

"""The metrics of flows that run, held against their traces (OBS-007 to OBS-012, OBS-026, OBS-027)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, NotOffered, Refused
from conformance.models.figures import Seen, averages, cut, depths, errors_by_answers, latencies, seen
from conformance.models.histograms import LATENCY, bucket_of, filled
from conformance.strategies import ANYTHING, DROP, EMIT, END, LOSSLESS, READY, REJECT, fan_in, fan_out, flows, line
from conformance.subjects.protocol import (
    Answer,
    Command,
    Facet,
    FlowFigures,
    FlowSettings,
    FlowSpec,
    LevelSwitch,
    ObservedReply,
    ObserveFlow,
    Script,
    Window,
    features_of,
)
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.inferred import complete
from conformance.traces.offered import claimed, within

AVERAGE, WINDOWS = "observability.run/average-depth", "observability.run/windows"
SLOW = Answer("ready", spends_ns=1_000_000)
PERCENTS = (0.0, 50.0, 90.0, 99.0, 100.0)
UNHURRIED = Script((Answer("emit", spends_ns=50),) * 20, END)
PULLED = Script((Answer("emit", spends_ns=300),) * 6, END)


def failing(*roles: str, policy: str = "skip", **scripts: Script) -> FlowSpec:
    """Return a line of ten elements, some of whose components fail."""
    settings = FlowSettings(error_policy=policy, max_retries=2, backoff_ms=1)
    return line(*roles, elements=10, scripts=scripts, settings=settings)


def _some(usual: Answer, *bad: Answer) -> Script:
    return Script((usual, *bad, usual, *bad[:1]), usual)


FAILURES = (
    failing("processor", processor=_some(EMIT, Answer("error"), Answer("error", kind="unavailable"))),
    failing("processor", "filter", processor=_some(EMIT, Answer("error")), filter=_some(Answer("pass"), Answer("error")), policy="retry"),
    failing("processor", processor=_some(EMIT, Answer("trap"))),
    failing("aggregator", aggregator=_some(DROP, Answer("error", kind="invalid-input")), policy="log-and-continue"),
    failing("processor", sink=_some(READY, Answer("error", kind="internal"), Answer("error", kind="deadline-exceeded"))),
    failing(source=Script((EMIT, Answer("error", kind="unavailable"), EMIT), END)),
    failing("processor", processor=Script((EMIT, Answer("error", kind="fatal")), EMIT), policy="fail-fast"),
)
"""Components that fail in each way: skipped, retried, logged, at once."""

PRESSED = (
    line(elements=12, capacity=3, schedule="producer-first", scripts={"sink": Script((), SLOW)}),
    line("processor", elements=8, capacity=1, schedule="producer-first", scripts={"processor": Script((), Answer("emit", spends_ns=700))}),
    line(
        elements=20, capacity=4, ratio=0.0, schedule="producer-first", scripts={"source": Script((Answer("emit", spends_ns=50),) * 20, END)}
    ),
    with_(line(elements=12, capacity=4, schedule="producer-first", scripts={"sink": Script((), SLOW)}), commands=(Command(6),)),
    fan_out(2, elements=9, capacity=2, schedule="producer-first"),
    fan_out(2, elements=9, capacity=2, policies=("drop-oldest", "drop-newest"), schedule="producer-first"),
)
"""Flows whose streams come under pressure, and out of it; one is cancelled meanwhile."""

PLAIN = (
    line("processor", "processor", "processor", elements=10),
    line(elements=1),
    line("filter", elements=6, scripts={"filter": Script((REJECT, Answer("pass"), REJECT))}),
    line("aggregator", elements=5, scripts={"aggregator": Script((), DROP, flush=Answer("emit", count=3))}),
    fan_in(elements=(3, 4)),
    fan_out(3, elements=4),
)


def watch(session: Session, request: ObserveFlow) -> ObservedReply:
    """Run one valid flow, watched, and complete its trace where the subject has said that it cannot show everything.

    Raises:
        SubjectError, NotOffered: the subject died, declined, or had declared to leave out what the flow needs.
        Inconclusive: it refuses a valid flow, so that nothing can be said.
    """
    unsupported = session.declaration.unsupported
    missing = sorted(features_of(request.spec) & unsupported.keys())
    if session.lacks(*missing):
        raise NotOffered(unsupported[missing[0]], operation=missing[0], declared=True)
    try:
        reply = session.observability.run(request)
    except Refused as refused:
        raise Inconclusive(f"the subject refuses a valid flow: {refused}") from refused
    return with_(reply, run=complete(request.spec, reply.run, unsupported.keys()))


def shown(reply: ObservedReply, reading: FlowFigures | None = None) -> dict[str, Any]:
    """Return what a finding about metrics is judged by."""
    return {"state": reply.run.state, "figures": reading or reply.readings[-1], "events": len(reply.run.trace)}


def between(
    budget: Budget, rule: str, what: str, found: Mapping[Any, int], least: Mapping[Any, int], most: Mapping[Any, int], evidence: Any
) -> None:
    """Hold counters against the least and the most that they may be."""
    for key, value in found.items():
        low, high = least.get(key, 0), most.get(key, 0)
        expected = low if low == high else f"{low} to {high}"
        budget.expect(rule, low <= value <= high, f"{what} of {key}", expected=expected, found=value, evidence=evidence)


def hold(
    session: Session, budget: Budget, stories: Iterable[FlowSpec], drawn: SearchStrategy[FlowSpec] | None, law: Any, *, examples: int = 30
) -> None:
    """Hold a law against directed flows, then against drawn ones."""
    lacking, capabilities = frozenset(session.declaration.unsupported), session.capabilities(Facet.FLOWS)
    for story in stories:
        if not session.lacks(*features_of(story)):
            law(story)
    if drawn is not None:
        budget.for_all(drawn, lambda spec: law(within(claimed(spec, capabilities), lacking)), max_examples=examples)


def parts(spec: FlowSpec, reply: ObservedReply, calls: int) -> tuple[Seen, Seen]:
    """Return what has happened for certain at a reading, and what may have."""
    certain, possible = cut(reply.run.trace, calls)
    return seen(spec, reply.run.trace[:certain]), seen(spec, reply.run.trace[:possible])


@checks("OBS-007", facet=Facet.OBSERVABILITY, kind="monitor")
def elements_are_counted_at_the_source(session: Session, budget: Budget) -> None:
    """However many stages there are, whatever is dropped, made or lost on the way: as many elements as the sources gave."""

    def law(spec: FlowSpec) -> None:
        reply = watch(session, ObserveFlow(spec, readings=(5,)))
        whole = seen(spec, reply.run.trace).elements
        budget.expect_equal("OBS-007", reply.readings[-1].elements, whole, "flow.elements.total", evidence=shown(reply))
        least, most = parts(spec, reply, 5)
        early = reply.readings[0].elements
        message = "flow.elements.total after 5 calls"
        evidence = shown(reply, reply.readings[0])
        expected = f"{least.elements} to {most.elements}"
        budget.expect("OBS-007", least.elements <= early <= most.elements, message, expected=expected, found=early, evidence=evidence)

    hold(session, budget, (*PLAIN, *FAILURES, *PRESSED), flows(), law)


@checks("OBS-008", facet=Facet.OBSERVABILITY, kind="monitor")
def latency_from_source_to_sink(session: Session, budget: Budget) -> None:
    """Every delivered element has one latency, from its entry at the source to its exit at the last sink; rejected ones have none."""
    busy, slow = Script((), Answer("emit", spends_ns=40_000)), Script((), SLOW)
    stories = (
        line("processor", elements=6, scripts={"source": PULLED, "processor": busy, "sink": slow}),
        line("processor", elements=6, capacity=8, schedule="producer-first", scripts={"source": PULLED, "sink": slow}),
        line("filter", elements=6, scripts={"source": PULLED, "filter": Script((REJECT, Answer("pass"), REJECT)), "sink": slow}),
        with_(line(elements=20, capacity=8, schedule="producer-first", scripts={"sink": slow}), commands=(Command(9),)),
        fan_out(2, elements=6, capacity=8, sinks=(slow, Script((), Answer("ready", spends_ns=7_000)))),
        line(elements=0),
    )

    def law(spec: FlowSpec) -> None:
        reply = watch(session, ObserveFlow(spec))
        found = reply.readings[-1].latency
        wanted = latencies(spec, reply.run.trace)
        models = [filled(LATENCY, values) for values in wanted]
        evidence = shown(reply) | {"latencies_ns": wanted[0]}
        budget.expect_equal("OBS-008", found.count, models[0].count, "the number of latencies", evidence=evidence)
        fits = any((found.buckets, found.sum) == (model.buckets, model.sum) for model in models)
        expected = f"{models[0].sum} ns in all, in the buckets of {wanted[0]}"
        message = "what flow.latency recorded"
        budget.expect("OBS-008", fits, message, expected=expected, found=f"{found.sum} ns in all: {found.buckets}", evidence=evidence)

    variety = replace(LOSSLESS, middle=("processor", "filter"), timed=True, most_sources=1, most_sinks=1, most_middle=0)
    hold(session, budget, stories, flows(variety), law)


@checks("OBS-009", facet=Facet.OBSERVABILITY, kind="monitor")
def errors_count_twice(session: Session, budget: Budget) -> None:
    """Each answer other than success is an error of its component, and the flow's errors are those of all components."""

    def law(spec: FlowSpec) -> None:
        reply = watch(session, ObserveFlow(spec))
        figures = reply.readings[-1]
        answers, reported = errors_by_answers(reply.run.trace), seen(spec, reply.run.trace).errors
        if not answers:
            return
        found = {name: component.errors for name, component in figures.components.items()}
        # A runtime may report an error without a bad answer (an output that it cannot take), or keep a bad teardown to itself.
        least = {name: min(answers[name], reported[name]) for name in found}
        most = {name: max(answers[name], reported[name]) for name in found}
        between(budget, "OBS-009", "errors", found, least, most, shown(reply))
        budget.expect_equal("OBS-009", figures.errors, sum(found.values()), "flow.elements.errors", evidence=shown(reply))

    hold(session, budget, FAILURES, flows(replace(ANYTHING, cancelling=False)), law, examples=40)


@checks("OBS-010", facet=Facet.OBSERVABILITY, kind="monitor")
def pressure_is_counted_once(session: Session, budget: Budget) -> None:
    """Pressure counts when it begins; how long it lasted is added when it ends, also when the flow does."""

    def law(spec: FlowSpec) -> None:
        moments = (4, 7, 12)
        reply = watch(session, ObserveFlow(spec, readings=moments))
        if not any(isinstance(event, e.PressureChanged) for event in reply.run.trace):
            return
        for calls, reading in zip((*moments, 10**9), reply.readings, strict=True):
            least, most = parts(spec, reply, calls)
            evidence = shown(reply, reading) | {"calls": calls}
            events = {index: stream.pressure_events for index, stream in enumerate(reading.streams)}
            between(budget, "OBS-010", "stream.backpressure.events", events, least.pressure_events, most.pressure_events, evidence)
            lasted = {index: stream.pressure_ns for index, stream in enumerate(reading.streams)}
            between(budget, "OBS-010", "stream.backpressure.duration_ns", lasted, least.pressure_ns, most.pressure_ns, evidence)

    hold(session, budget, PRESSED, flows(replace(LOSSLESS, timed=True, capacities=(1, 2))), law)


@checks("OBS-011", facet=Facet.OBSERVABILITY, kind="monitor")
def the_peak_stays(session: Session, budget: Budget) -> None:
    """The peak depth is the greatest depth so far: it grows with the queue, and stays when the queue empties."""

    def law(spec: FlowSpec) -> None:
        moments = (3, 6, 10, 15, 20)
        reply = watch(session, ObserveFlow(spec, readings=moments))
        before = dict.fromkeys(range(len(spec.edges)), 0)
        for calls, reading in zip((*moments, 10**9), reply.readings, strict=True):
            least, most = parts(spec, reply, calls)
            evidence = shown(reply, reading) | {"calls": calls}
            peaks = {index: stream.peak_depth for index, stream in enumerate(reading.streams)}
            between(budget, "OBS-011", "stream.queue.peak_depth", peaks, least.peaks, most.peaks, evidence)
            fell = {index: (before[index], peak) for index, peak in peaks.items() if peak < before[index]}
            budget.expect("OBS-011", not fell, "the peak depth has fallen", expected="never", found=fell, evidence=evidence)
            before = peaks

    hold(session, budget, PRESSED, flows(), law)


SWITCHED = (
    line("processor", elements=20, capacity=4, schedule="producer-first"),
    line(elements=20, capacity=2, schedule="producer-first", scripts={"sink": Script((), SLOW)}),
    with_(FAILURES[0], settings=FlowSettings(error_policy="skip")),
)


@checks("OBS-012", facet=Facet.OBSERVABILITY, kind="monitor")
def levels_switch_while_flows_run(session: Session, budget: Budget) -> None:
    """Off counts nothing; from the moment of a switch on, everything is counted or nothing is, in flows that run already."""

    def law(spec: FlowSpec, begin: int, end: int, level: str) -> None:
        on: Any = level
        switches = (LevelSwitch(begin, on), LevelSwitch(end, "off"))
        reply = watch(session, ObserveFlow(spec, level="off", switches=switches, readings=(begin, end)))
        trace = reply.run.trace
        (from_certain, from_possible), (to_certain, to_possible) = cut(trace, begin), cut(trace, end)
        least, most = seen(spec, trace[from_possible:to_certain]), seen(spec, trace[from_certain:to_possible])
        evidence = {"on_after_calls": begin, "off_after_calls": end, "level": level}
        first = reply.readings[0]
        counted = [first.elements, first.errors, *(each.invocations for each in first.components.values())]
        counted += [each.transferred for each in first.streams]
        budget.expect("OBS-012", not any(counted), "metrics counted at level off", expected=0, found=first, evidence=evidence)
        for name, reading in (("after the second switch", reply.readings[1]), ("at the end", reply.readings[2])):
            said = evidence | {"figures": reading, "read": name}
            between(budget, "OBS-012", "elements", {"flow": reading.elements}, {"flow": least.elements}, {"flow": most.elements}, said)
            calls = {name: each.invocations for name, each in reading.components.items()}
            between(budget, "OBS-012", "calls", calls, least.calls, most.calls, said)
            errors = {name: each.errors for name, each in reading.components.items()}
            between(budget, "OBS-012", "errors", errors, least.errors, most.errors, said)
            transferred = {index: each.transferred for index, each in enumerate(reading.streams)}
            between(budget, "OBS-012", "elements of stream", transferred, least.transferred, most.transferred, said)

    for spec in SWITCHED:
        if session.lacks(*features_of(spec)):
            continue
        for level in ("production", "diagnostic"):
            for begin, end in ((0, 10), (7, 21), (12, 13)):
                law(spec, begin, end, level)
        quiet = watch(session, ObserveFlow(spec, level="off")).readings[-1]
        budget.expect_equal("OBS-012", (quiet.elements, quiet.latency.count), (0, 0), "elements and latencies of a flow at level off")


@checks("OBS-026", facet=Facet.OBSERVABILITY, kind="monitor")
def windows_leave_the_warm_up_out(session: Session, budget: Budget) -> None:
    """After a warm-up that is a thousand times as slow, a window counts its own elements, calls and errors, and has its own percentiles."""
    if session.lacks(WINDOWS):
        return
    warm = 5
    answers = (*(Answer("emit", spends_ns=4_000_000),) * warm, Answer("error"), *(Answer("emit", spends_ns=3_000),) * 14)
    settings = FlowSettings(error_policy="skip")
    stories = (
        line("processor", elements=20, scripts={"processor": Script(answers, EMIT)}, settings=settings),
        line(
            "processor", elements=20, capacity=3, schedule="producer-first", scripts={"processor": Script(answers, EMIT)}, settings=settings
        ),
    )

    def law(spec: FlowSpec, begin: int, end: int) -> None:
        request = ObserveFlow(spec, readings=(begin, end), windows=(Window(0, 1), Window(0, 2), Window(1, 0)), percentiles=PERCENTS)
        reply = watch(session, request)
        first, second, last = reply.readings
        for (earlier, later), window in zip(((first, second), (first, last)), reply.windows[:2], strict=True):
            evidence = {"begin": earlier, "end": later, "window": window}
            found, expected = _counters(window), _difference(_counters(later), _counters(earlier))
            budget.expect_equal("OBS-026", found, expected, "the counters of a window", evidence=evidence)
            buckets = tuple(now - then for now, then in zip(later.latency.buckets, earlier.latency.buckets, strict=True))
            budget.expect_equal("OBS-026", window.latency.buckets, buckets, "the latencies of a window, by bucket", evidence=evidence)
            values = [edge for edge, held in zip((*LATENCY, later.latency.most), buckets, strict=True) for _ in range(held)]
            for percent, value in zip(PERCENTS, window.latency_percentiles, strict=True):
                low, high = bucket_of(LATENCY, values, percent)
                message = f"the percentile {percent:g} of a window's latencies"
                budget.expect("OBS-026", low <= value <= high, message, expected=f"{low} to {high}", found=value, evidence=evidence)
        backwards = _counters(reply.windows[2])
        negative = {name: count for name, count in backwards.items() if count}
        budget.expect("OBS-026", not negative, "a window that ends before it begins counts", expected=0, found=negative)

    for spec in stories:
        if not session.lacks(*features_of(spec)):
            for begin, end in ((3 * warm, 50), (3 * warm + 1, 30), (0, 9)):
                law(spec, begin, end)


def _counters(figures: FlowFigures) -> dict[str, int]:
    """Return all counters by name."""
    counters = {"elements": figures.elements, "errors": figures.errors, "latencies": figures.latency.count}
    for name, component in figures.components.items():
        counters |= {f"{name}: calls": component.invocations, f"{name}: errors": component.errors}
    for index, stream in enumerate(figures.streams):
        counters |= {f"stream {index}: elements": stream.transferred, f"stream {index}: pressure": stream.pressure_events}
        counters[f"stream {index}: pressure ns"] = stream.pressure_ns
    return counters


def _difference(later: dict[str, int], earlier: dict[str, int]) -> dict[str, int]:
    return {name: max(count - earlier[name], 0) for name, count in later.items()}


@checks("OBS-027", facet=Facet.OBSERVABILITY, kind="monitor")
def the_average_depth_is_one(session: Session, budget: Budget) -> None:
    """The average depth of a queue that fills and empties is one over time or samples: neither its peak nor its end."""
    if session.lacks(AVERAGE):
        return
    sink, source = Script((), SLOW), Script((Answer("emit", spends_ns=200_000),) * 12, END)
    busy = Script((), Answer("emit", spends_ns=9_000))
    stories = (
        line(elements=12, capacity=12, schedule="producer-first", scripts={"sink": sink}),
        line(elements=12, capacity=6, ratio=0.0, schedule="producer-first", scripts={"sink": sink, "source": source}),
        line(
            "processor",
            elements=12,
            capacity=8,
            schedule="producer-first",
            scripts={"processor": busy},
        ),
    )

    def law(spec: FlowSpec) -> None:
        reply = watch(session, ObserveFlow(spec, level="diagnostic"))
        for index, stream in enumerate(reply.readings[-1].streams):
            if not depths(reply.run.trace, index):
                continue
            if stream.average_depth is None:
                raise Inconclusive(f"a subject that does not keep average depths declares {AVERAGE}")
            known = averages(reply.run.trace, index)
            low, high = min(known) * (1 - 1e-9), max(known) * (1 + 1e-9)
            message = f"the average depth of stream {index}"
            holds = low <= stream.average_depth <= high
            expected = f"{low:.3f} to {high:.3f}"
            budget.expect("OBS-027", holds, message, expected=expected, found=stream.average_depth, evidence=shown(reply))

    hold(session, budget, stories, flows(replace(LOSSLESS, timed=True, pausing=False)), law)

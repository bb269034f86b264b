"""Ids, contexts, sampling, the ring, channels of events, settings: what traces and events are made of (OBS-014 to OBS-025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.areas.histograms import CUSTOM
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.tracing import SPAN_ID, TRACE_ID, channel, ring, sampled, well_formed
from conformance.subjects.protocol import EventStep, Facet, ObservationSettings, TraceContext
from conformance.subjects.session import Session

ROOT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)
MANY = 100_000
BAD_TRACE_IDS = ("", "0" * 32, "4bf92f3577b34da6a3ce929d0e0e473", "4BF92F3577B34DA6A3CE929D0E0E4736", "g" * 32, "4bf92f3577b34da6" * 3)
BAD_SPAN_IDS = ("", "0" * 16, "00f067aa0ba902b", "00F067AA0BA902B7", "00f067aa0ba902b7" * 2)


@checks("OBS-014", facet=Facet.OBSERVABILITY, kind="example")
def ids_are_unique(session: Session, budget: Budget) -> None:
    """A hundred thousand trace ids and span ids, made in a loop, are well formed, and no two are alike; what is no id is refused."""
    reply = session.observability.ids(MANY)
    for what, ids, pattern in (("trace", reply.trace_ids, TRACE_ID), ("span", reply.span_ids, SPAN_ID)):
        budget.expect_equal("OBS-014", len(ids), MANY, f"the number of {what} ids")
        bad = next((each for each in ids if not well_formed(each, pattern)), None)
        budget.expect("OBS-014", bad is None, f"a {what} id is not well formed", expected=pattern.pattern, found=bad)
        budget.expect_equal("OBS-014", len(set(ids)), MANY, f"different {what} ids")
    again = session.observability.ids(1000)
    shared = set(again.trace_ids) & set(reply.trace_ids) or set(again.span_ids) & set(reply.span_ids)
    budget.expect("OBS-014", not shared, "ids come again in a second request", expected="none", found=sorted(shared)[:3])
    wrong = [with_(ROOT, trace_id=bad) for bad in BAD_TRACE_IDS] + [with_(ROOT, span_id=bad) for bad in BAD_SPAN_IDS]
    for context in wrong:
        try:
            session.observability.context(context)
        except Refused as refused:
            budget.expect_equal("OBS-014", refused.kind, "invalid-id", "why a context with a bad id is refused", evidence=context)
        else:
            budget.expect("OBS-014", None, "a context with a bad id is accepted", expected="invalid-id", found=context)


TRACE_IDS = st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex)
RATES = st.sampled_from((0.0, 1.0, -1.0, 2.0, 0.5, 0.01, 1e-9)) | st.floats(0, 1)


def _near(rate: float) -> list[str]:
    """Return trace ids whose deciding number is around a rate's bound, at its corners, and one that is large read the other way round."""
    bound = int(rate * (2**64 - 1))
    numbers = [0, 1, 2**63, 2**64 - 1, *(max(0, min(2**64 - 1, bound + delta)) for delta in (-(2**20), 2**20))]
    return ["00000000000000ff" + number.to_bytes(8, "little").hex() for number in numbers] + ["ff00000000000000" + "00000000000000ff"]


@checks("OBS-015", facet=Facet.OBSERVABILITY, kind="example")
def sampling_is_a_function(session: Session, budget: Budget) -> None:
    """Whether a trace is sampled follows from the last bytes of its id and the rate, and never less follows from a higher one."""

    def law(drawn: tuple[float, list[str]]) -> None:
        rate, ids = drawn
        found = session.observability.sample(rate, ids)
        evidence = {"rate": rate, "trace_ids": ids}
        budget.expect_equal("OBS-015", len(found), len(ids), "the number of decisions", evidence=evidence)
        for trace_id, decision in zip(ids, found, strict=True):
            expected = sampled(trace_id, rate)
            if expected is not None:
                budget.expect_equal("OBS-015", decision, expected, f"the decision about {trace_id} at the rate {rate}", evidence=evidence)
        again = session.observability.sample(rate, ids[::-1])[::-1]
        budget.expect_equal("OBS-015", again, found, "the decisions, asked once more in another order", evidence=evidence)
        if 0 < rate < 1:
            more = session.observability.sample(min(1.0, rate * 2), ids)
            lost = [trace_id for trace_id, few, many in zip(ids, found, more, strict=True) if few and not many]
            budget.expect("OBS-015", not lost, "a trace is sampled at a rate and not at a higher one", found=lost, evidence=evidence)

    for rate in (0.0, -0.5, 1.0, 1.5, 0.5, 0.25, 0.01, 0.999):
        law((rate, _near(rate)))
    budget.for_all(st.tuples(RATES, st.lists(TRACE_IDS, min_size=1, max_size=12)), law, max_examples=40)


@checks("OBS-018", facet=Facet.OBSERVABILITY, kind="example")
def the_ring_keeps_the_last(session: Session, budget: Budget) -> None:
    """A ring of any legal capacity keeps the last entries, gives them oldest first, and is empty then; others are refused."""
    for capacity in (0, 1, 2, 4, 7, 9, 12, 63, 65, 100):
        try:
            session.observability.ring(capacity, [1])
        except Refused as refused:
            budget.expect_equal("OBS-018", refused.kind, "invalid-capacity", f"why a ring of {capacity} is refused")
        else:
            budget.expect("OBS-018", None, f"a ring of {capacity} entries is accepted", expected="invalid-capacity", found="done")

    def law(drawn: tuple[int, list[int | None]]) -> None:
        capacity, steps = drawn
        reply = session.observability.ring(capacity, steps)
        drained, left = ring(capacity, steps)
        evidence = {"capacity": capacity, "steps": steps}
        budget.expect_equal("OBS-018", list(reply.drained), drained, "what draining gave", evidence=evidence)
        budget.expect_equal("OBS-018", reply.left, left, "what is left", evidence=evidence)

    for capacity in (8, 64, 1024):
        for extra in (-1, 0, 1, 5, capacity):
            law((capacity, [*range(capacity + extra), None, None, 7, None]))
    entries = st.lists(st.integers(0, 99) | st.none(), max_size=40)
    budget.for_all(st.tuples(st.sampled_from((8, 16)), entries), law, max_examples=40)


@checks("OBS-019", facet=Facet.OBSERVABILITY, kind="example")
def children_stay_in_their_trace(session: Session, budget: Budget) -> None:
    """In a chain of contexts every child has the trace and the flags of the first, a new span, and the one before it as parent."""

    def law(drawn: tuple[TraceContext, int]) -> None:
        context, length = drawn
        contexts = session.observability.context(context, length)
        evidence = {"context": context, "contexts": contexts[:4]}
        budget.expect_equal("OBS-019", len(contexts), length, "the length of a chain", evidence=evidence)
        before, seen = context, {context.span_id}
        for child in contexts:
            found = (child.trace_id, child.parent, child.flags)
            expected = (context.trace_id, before.span_id, context.flags)
            budget.expect_equal("OBS-019", found, expected, "trace, parent and flags of a child", evidence=evidence)
            fresh = child.span_id not in seen and well_formed(child.span_id, SPAN_ID)
            budget.expect("OBS-019", fresh, "a child's span id is not new", found=child.span_id, evidence=evidence)
            seen.add(child.span_id)
            before = child

    for flags in (0, 1, 2, 3):
        law((with_(ROOT, flags=flags), 4))
        law((with_(ROOT, flags=flags, parent="00f067aa0ba90000"), 1))
    law((ROOT, 500))
    spans = st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex)
    contexts = st.builds(TraceContext, TRACE_IDS, spans, st.integers(0, 3), st.none() | spans)
    budget.for_all(st.tuples(contexts, st.integers(1, 6)), law, max_examples=30)


BOUND = 8192


def _played(session: Session, budget: Budget, rule: str, steps: Sequence[EventStep], *, capacity: int | None, recent: int) -> None:
    """Hold steps against a channel that refuses newcomers, and one that lets the oldest go."""
    reply = session.observability.events(*steps, capacity=capacity, recent=recent)
    models = [channel(steps, capacity or BOUND, recent, keeps_new=keeps_new) for keeps_new in (False, True)]
    evidence = {"steps": steps, "capacity": capacity, "recent": recent}
    if rule == "OBS-022":
        budget.expect_equal(rule, reply.dropped, models[0][1], "events_dropped", evidence=evidence)
    found = [_short(each) for each in reply.seen]
    expected = [[_short(each) for each in seen] for seen, _ in models]
    budget.expect(rule, found in expected, "the events that were given", expected=expected[0], found=found, evidence=evidence)


def _short(numbers: Sequence[int]) -> tuple[object, ...]:
    """Return numbers, of many only how many they are and their ends."""
    return tuple(numbers) if len(numbers) <= 40 else (*numbers[:3], f"... {len(numbers)} in all, sum {sum(numbers)} ...", *numbers[-3:])


FLOWS = st.integers(1, 2)


@checks("OBS-022", facet=Facet.OBSERVABILITY, kind="example")
def lost_events_are_counted(session: Session, budget: Budget) -> None:
    """A channel that nobody reads takes 8192 events and counts every further one as lost; once it is read, it goes on."""
    for per_flow in (False, True):
        for extra in (-1, 0, 1, 7):
            _played(session, budget, "OBS-022", [EventStep("emit", BOUND + extra, per_flow=per_flow)], capacity=None, recent=64)
        steps = [
            EventStep("emit", BOUND + 5, per_flow=per_flow),
            EventStep("read", 3),
            EventStep("emit", 2, per_flow=not per_flow),
            EventStep("emit", 4, 2, per_flow),
            EventStep("read", 2 * BOUND),
            EventStep("emit", 1, per_flow=per_flow),
            EventStep("read", 9),
        ]
        _played(session, budget, "OBS-022", steps, capacity=None, recent=64)
    emits = st.builds(EventStep, st.just("emit"), st.integers(0, 9), FLOWS, st.booleans())
    drawn = st.lists(emits | st.builds(EventStep, st.just("read"), st.integers(0, 9)), max_size=12)
    budget.for_all(
        st.tuples(st.integers(1, 8), drawn),
        lambda each: _played(session, budget, "OBS-022", each[1], capacity=each[0], recent=64),
        max_examples=40,
    )


@checks("OBS-023", facet=Facet.OBSERVABILITY, kind="example")
def recent_events_can_be_asked_for(session: Session, budget: Budget) -> None:
    """The buffer of recent events holds the last ones; `recent` gives them newest first, `for-flow` one flow's oldest first."""
    for size in (1, 4, 100):
        for extra in (-1, 0, 1, 9):
            first = [EventStep("emit", max(size + extra, 0), 1), EventStep("emit", 2, 2), EventStep("emit", 1, 1)]
            asked = [EventStep("recent", 1), EventStep("recent", 3), EventStep("recent", size + 5), EventStep("recent", 0)]
            of_flows = [EventStep("for-flow", flow=1), EventStep("for-flow", flow=2), EventStep("for-flow", flow=3)]
            _played(session, budget, "OBS-023", [*first, *asked, *of_flows], capacity=50, recent=size)
    steps = st.lists(
        st.builds(EventStep, st.just("emit"), st.integers(0, 4), FLOWS, st.booleans())
        | st.builds(EventStep, st.sampled_from(("recent", "for-flow")), st.integers(0, 6), FLOWS),
        max_size=14,
    )
    budget.for_all(
        st.tuples(st.integers(1, 6), steps),
        lambda each: _played(session, budget, "OBS-023", each[1], capacity=8, recent=each[0]),
        max_examples=40,
    )


DEFAULTS: dict[str, Any] = {
    "level": "production",
    "sample_rate": 0.01,
    "error_promote": True,
    "latency_threshold_ms": 10,
    "ring_capacity": 64,
    "batch_size": 512,
    "interval_ms": 5000,
    "inspection_port": 9091,
    "inspection_token": "",
}
BAD: tuple[tuple[str, Any], ...] = (
    ("sample_rate", -0.001),
    ("sample_rate", 1.001),
    ("sample_rate", 50.0),
    ("ring_capacity", 0),
    ("ring_capacity", 4),
    ("ring_capacity", 63),
    ("ring_capacity", 96),
    ("histogram_buckets", (5, 5)),
    ("histogram_buckets", (5, 9, 8)),
    ("batch_size", 0),
    ("interval_ms", 0),
    ("exporter", "otlp-http"),
)
GOOD: tuple[tuple[str, Any], ...] = (
    ("sample_rate", 0.0),
    ("sample_rate", 1.0),
    ("ring_capacity", 8),
    ("ring_capacity", 4096),
    ("histogram_buckets", (1, 2, 3)),
    ("batch_size", 1),
    ("interval_ms", 1),
    ("latency_threshold_ms", 0),
    ("error_promote", False),
    ("level", "off"),
    ("level", "diagnostic"),
)
NAMED = {"exporter": "endpoint"}
"""Whose fault a bad value is, where that is another setting's."""
BAD_EDGES: dict[str, tuple[int, ...]] = {"no edge": (), "equal edges": (5, 5), "falling edges": (5, 9, 8), "an edge at 0": (0, 5)}


@checks("OBS-025", facet=Facet.OBSERVABILITY, kind="table")
def bad_settings_are_refused(session: Session, budget: Budget) -> None:
    """Each bad setting is refused and named, all of them at once; each good one is kept; what is not set has its default."""
    found = session.observability.settings(ObservationSettings())
    for name, expected in DEFAULTS.items():
        budget.expect_equal("OBS-025", getattr(found, name), expected, f"the default of {name}")
    for name, value in GOOD:
        reply = session.observability.settings(with_(ObservationSettings(), **{name: value}))
        budget.expect_equal("OBS-025", getattr(reply, name), value, f"{name}, set to {value!r}")
    kept = session.observability.settings(ObservationSettings(exporter="otlp-http", endpoint="http://127.0.0.1:4318"))
    budget.expect_equal("OBS-025", (kept.exporter, kept.endpoint), ("otlp-http", "http://127.0.0.1:4318"), "an exporter with its endpoint")
    for name, value in BAD:
        _refused(session, budget, {name: value}, (NAMED.get(name, name),))
    _refused(session, budget, {"sample_rate": 2.0, "batch_size": 0, "ring_capacity": 10}, ("sample_rate", "batch_size", "ring_capacity"))


def _refused(session: Session, budget: Budget, values: dict[str, Any], names: tuple[str, ...]) -> None:
    settings = with_(ObservationSettings(), **values)
    try:
        session.observability.settings(settings)
    except Refused as refused:
        budget.expect_equal("OBS-025", refused.kind, "invalid-settings", f"why {values} is refused", evidence=values)
        told = refused.fields.get("settings")
        if told:
            budget.expect_equal("OBS-025", sorted(told), sorted(names), f"the settings that are named for {values}", evidence=values)
    else:
        budget.expect("OBS-025", None, f"bad settings are accepted: {values}", expected="invalid-settings", found="done", evidence=values)


@checks("OBS-025", facet=Facet.OBSERVABILITY, kind="example")
def edges_ascend(session: Session, budget: Budget) -> None:
    """A histogram with edges that are none is refused; with good ones it is not."""
    if session.lacks(CUSTOM):
        return
    session.observability.histogram([1], kind="custom", edges=(1, 2))
    for what, edges in BAD_EDGES.items():
        try:
            session.observability.histogram([1], kind="custom", edges=edges)
        except Refused as refused:
            budget.expect_equal("OBS-025", refused.kind, "invalid-buckets", f"why {what} is refused")
        else:
            budget.expect("OBS-025", None, f"a histogram with {what} is accepted", expected="invalid-buckets", found=edges)

"""Histograms and the registry of metrics, by hand (OBS-001 to OBS-006)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from conformance.checks import Budget, checks
from conformance.models.histograms import LATENCY, SIZES, filled, percentile
from conformance.strategies import line
from conformance.subjects.protocol import Facet, FlowFigures, HistogramData, ObserveFlow, RegistryStep
from conformance.subjects.session import Session
from conformance.traces.search import offered

CUSTOM = "observability.histogram/kind=custom"


def around(edges: Sequence[int]) -> list[int]:
    """Return values on, just below and just above each edge, and 0."""
    return [0, *(edge + delta for edge in edges for delta in (-1, 0, 1))]


KINDS = {"latency": LATENCY, "size": SIZES}
PERCENTS = (0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
MOST = 2 * 10**10
"""The largest value recorded: above the last edge, and a million of them fit in 64 bits."""
STORIES: tuple[list[int], ...] = (
    [],
    [7],
    [100],
    [101],
    [250, 250, 250],
    [120, 240],
    [MOST, MOST - 5],
    list(range(1000)),
    [1] * 99 + [10**9],
    around(LATENCY),
)


def _values(edges: Sequence[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(st.sampled_from(around(edges)) | st.integers(0, MOST), max_size=40)


@st.composite
def _any(draw: st.DrawFn) -> tuple[str, tuple[int, ...], list[int]]:
    """Draw a kind of histogram, its edges, and values for it."""
    kind = draw(st.sampled_from((*KINDS, "custom")))
    edges = KINDS.get(kind) or tuple(sorted(draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=12))))
    return kind, edges, draw(_values(edges))


def _fill(session: Session, kind: Any, edges: tuple[int, ...], values: Sequence[int], percents: tuple[float, ...] = ()) -> Any:
    return session.observability.histogram(values, kind=kind, edges=edges if kind == "custom" else (), percentiles=percents)


def _known(session: Session, kind: str) -> bool:
    return kind != "custom" or not session.lacks(CUSTOM)


def _compare(budget: Budget, rule: str, found: HistogramData, expected: HistogramData, values: Sequence[int]) -> None:
    evidence = {"values": list(values[:200])}
    for what in ("edges", "buckets", "count", "sum", "least", "most"):
        if what == "least" and not values:
            continue  # OBS-006
        budget.expect_equal(rule, getattr(found, what), getattr(expected, what), f"a histogram's {what}", evidence=evidence)


@checks("OBS-003", facet=Facet.OBSERVABILITY, kind="example")
def buckets_are_closed_above(session: Session, budget: Budget) -> None:
    """Values on, just below and just above each edge are in the bucket that they belong to, alone and together, and the sums are right."""
    for kind, edges in KINDS.items():
        values = around(edges)
        _compare(budget, "OBS-003", _fill(session, kind, edges, values).histogram, filled(edges, values), values)
        for value in (0, 1, edges[0], edges[-1], edges[-1] + 1, MOST):
            _compare(budget, "OBS-003", _fill(session, kind, edges, [value]).histogram, filled(edges, [value]), [value])

    def law(drawn: tuple[str, tuple[int, ...], list[int]]) -> None:
        kind, edges, values = drawn
        if _known(session, kind):
            _compare(budget, "OBS-003", _fill(session, kind, edges, values).histogram, filled(edges, values), values)

    budget.for_all(_any(), law, max_examples=60)


@checks("OBS-004", facet=Facet.OBSERVABILITY, kind="example")
def percentiles_follow_the_formula(session: Session, budget: Budget) -> None:
    """Percentiles of known values, in every bucket and beyond the last, are those that rank and interpolation give."""

    def law(drawn: tuple[str, tuple[int, ...], list[int]]) -> None:
        kind, edges, values = drawn
        if not _known(session, kind):
            return
        reply = _fill(session, kind, edges, values, PERCENTS)
        evidence = {"kind": kind, "edges": edges, "values": values}
        budget.expect_equal("OBS-004", len(reply.percentiles), len(PERCENTS), "the number of percentiles", evidence=evidence)
        for percent, found in zip(PERCENTS, reply.percentiles, strict=True):
            least, most = percentile(edges, values, percent)
            expected = f"{least:g}" if least == most else f"{least:.2f} to {most:.2f}"
            message = f"the percentile {percent:g} of {len(values)} values"
            budget.expect("OBS-004", least <= found <= most, message, expected=expected, found=found, evidence=evidence)

    for values in STORIES:
        law(("latency", LATENCY, values))
    law(("size", SIZES, around(SIZES)))
    budget.for_all(_any(), law, max_examples=80)


@checks("OBS-005", facet=Facet.OBSERVABILITY, kind="example")
def percentiles_rise(session: Session, budget: Budget) -> None:
    """Whatever was recorded, a higher percentile is never lower, and the buckets add up to the count."""
    percents = tuple(each / 2 for each in range(201))

    def law(drawn: tuple[str, tuple[int, ...], list[int]]) -> None:
        kind, edges, values = drawn
        if not _known(session, kind):
            return
        reply = _fill(session, kind, edges, values, percents)
        evidence = {"kind": kind, "edges": edges, "values": values}
        falls = [(at, low, high) for at, low, high in zip(percents, reply.percentiles, reply.percentiles[1:], strict=False) if low > high]
        budget.expect("OBS-005", not falls, "percentiles fall", expected="p(n) <= p(n + 0.5)", found=falls[:3], evidence=evidence)
        added = sum(reply.histogram.buckets)
        budget.expect_equal("OBS-005", added, reply.histogram.count, "the sum of the buckets, beside the count", evidence=evidence)

    for kind, edges in KINDS.items():
        law((kind, edges, around(edges)))
        law((kind, edges, [edges[-1] + 5, edges[-1] + 1, edges[2], edges[2] + 1]))
    budget.for_all(_any(), law, max_examples=60)


@checks("OBS-006", facet=Facet.OBSERVABILITY, kind="example")
def nothing_has_minimum_zero(session: Session, budget: Budget) -> None:
    """The histograms of a fresh flow, of one that had no element, and an empty one by hand have the minimum 0."""
    for kind, edges in KINDS.items():
        budget.expect_equal("OBS-006", _fill(session, kind, edges, []).histogram.least, 0, f"the minimum of an empty {kind} histogram")
    (fresh,) = session.observability.registry(RegistryStep("register", 1, ("one",), 1))
    spec = line(elements=0)
    idle = session.observability.run(ObserveFlow(spec)).readings[-1] if offered(session, spec) else None
    for figures in (fresh.figures, idle):
        if figures is None:
            continue
        budget.expect_equal("OBS-006", figures.latency.least, 0, "the minimum latency of a flow without elements", evidence=figures)
        for name, component in figures.components.items():
            if not component.invocations:
                least = component.processing_time.least
                budget.expect_equal("OBS-006", least, 0, f"the minimum processing time of {name}, which was not called", evidence=figures)


def _blank(figures: FlowFigures | None) -> bool:
    """Tell whether metrics exist, and have counted nothing."""
    if figures is None:
        return False
    counts = [figures.elements, figures.errors, figures.latency.count]
    counts += [count for each in figures.components.values() for count in (each.invocations, each.errors, each.processing_time.count)]
    counts += [count for each in figures.streams for count in (each.transferred, each.pressure_events, each.peak_depth)]
    return not any(counts)


@checks("OBS-001", facet=Facet.OBSERVABILITY, kind="example")
def metrics_exist_at_registration(session: Session, budget: Budget) -> None:
    """A registered flow has all its metrics at once, at zero; a flow is registered once and deregistered once, and others are none."""
    steps = (
        RegistryStep("register", 1, ("source", "sink"), 1),
        RegistryStep("register", 2, ("a", "b", "c"), 2),
        RegistryStep("register", 1, ("source", "sink"), 1),
        RegistryStep("deregister", 3),
        RegistryStep("deregister", 1),
        RegistryStep("deregister", 1),
        RegistryStep("register", 1, ("source", "middle", "sink"), 2),
        RegistryStep("deregister", 2),
    )
    expected = ("done", "done", "duplicate-flow", "unknown-flow", "done", "unknown-flow", "done", "done")
    outcomes = session.observability.registry(*steps)
    budget.expect_equal("OBS-001", len(outcomes), len(steps), "the number of outcomes")
    for step, outcome, wanted in zip(steps, outcomes, expected, strict=True):
        budget.expect_equal("OBS-001", outcome.outcome, wanted, f"what came of {step.do} {step.flow}", evidence=steps)
        if step.do != "register" or wanted != "done":
            continue
        figures = outcome.figures
        budget.expect("OBS-001", _blank(figures), f"the metrics of flow {step.flow} right after its registration", found=figures)
        assert figures is not None
        budget.expect_equal("OBS-001", sorted(figures.components), sorted(step.components), "the components with metrics")
        budget.expect_equal("OBS-001", len(figures.streams), step.streams, "the streams with metrics")


STEPS = st.lists(
    st.builds(
        RegistryStep,
        st.sampled_from(("register", "register", "deregister")),
        st.integers(1, 3),
        st.lists(st.sampled_from("abcd"), unique=True, max_size=4).map(tuple),
        st.integers(0, 2),
    ),
    max_size=14,
)


@checks("OBS-002", facet=Facet.OBSERVABILITY, kind="example")
def gauges_go_up_and_down(session: Session, budget: Budget) -> None:
    """Whatever is registered and deregistered, in any order, the gauges show the flows that there are, and their components."""

    def law(steps: Sequence[RegistryStep]) -> None:
        active: dict[int, int] = {}
        for index, outcome in enumerate(session.observability.registry(*steps)):
            step = steps[index]
            if outcome.outcome == "done":  # whether it should have been is OBS-001
                if step.do == "register":
                    active[step.flow] = len(step.components)
                else:
                    active.pop(step.flow, None)
            found = (outcome.flows_active, outcome.components_active)
            evidence = {"steps": steps[: index + 1]}
            budget.expect_equal(
                "OBS-002", found, (len(active), sum(active.values())), "the gauges of flows and components", evidence=evidence
            )

    three = tuple(RegistryStep("register", flow, ("a", "b", "c")[:flow], 1) for flow in (1, 2, 3))
    for order in ((1, 2, 3), (3, 1, 2), (2, 2, 9, 1, 1, 3, 3)):
        law((*three, *(RegistryStep("deregister", flow) for flow in order), *three))
    budget.for_all(STEPS, law, max_examples=40)

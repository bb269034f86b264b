"""Pipelines whose graphs are wrong or right: what the linker refuses, what it calls it, and what it returns (LINK-001..LINK-011)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import msgspec
from hypothesis import strategies as st

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.models.pipelines import INTERFACES, KINDS, RULES, found, node, pipeline
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

LINE = (node("from", "source"), node("through", "processor"), node("to", "sink"))
STRAIGHT = ("from -> through", "through -> to")
MIDDLE = ("processor", "filter", "router", "aggregator")


def told(outcome: p.LinkOutcome) -> list[str]:
    """Return an outcome's diagnostics for people."""
    return [f"{one.severity} {one.kind} {'/'.join(one.about)}: {one.message}" for one in outcome.diagnostics]


def shown(asked: p.Pipeline) -> dict[str, object]:
    """Return a pipeline as evidence."""
    return {
        "pipeline": asked.name,
        "nodes": [f"{one.name} {one.interface}" for one in asked.nodes],
        "edges": [f"{one.source}:{one.source_port or 'default'} -> {one.target}:{one.target_port or 'default'}" for one in asked.edges],
    }


def errors(outcome: p.LinkOutcome) -> list[p.Diagnostic]:
    """Return what refuses a pipeline."""
    return [one for one in outcome.diagnostics if one.severity == "error"]


def _names(diagnostic: p.Diagnostic, name: str) -> bool:
    return name in diagnostic.about or name in diagnostic.message


def must_link(session: Session) -> None:
    """Make sure that a good pipeline links, or nothing can be said.

    Raises:
        Inconclusive: it does not.
    """
    (outcome,) = session.contracts.link(pipeline(LINE, *STRAIGHT))
    if not outcome.ok:
        raise Inconclusive(f"a good pipeline does not link: {told(outcome)}")


def expect_refused(budget: Budget, rule: str, outcome: p.LinkOutcome, asked: p.Pipeline, defect: str, *about: str) -> None:
    """Expect a pipeline to be refused for a defect, told of the nodes concerned."""
    evidence = {**shown(asked), "diagnostics": told(outcome)}
    budget.expect(rule, not outcome.ok, f"a pipeline with the defect {defect} is linked", expected="refused", found="ok", evidence=evidence)
    fitting = [one for one in errors(outcome) if one.kind in KINDS[defect]]
    budget.expect(
        rule,
        fitting,
        f"no error is about the defect {defect}",
        expected=" or ".join(sorted(KINDS[defect])),
        found=told(outcome),
        evidence=evidence,
    )
    for name in about:
        named = any(_names(one, name) for one in fitting)
        budget.expect(rule, named, f"no error about the defect {defect} names {name!r}", found=told(outcome), evidence=evidence)


def expect_linked(budget: Budget, rule: str, outcome: p.LinkOutcome, asked: p.Pipeline) -> None:
    """Expect a pipeline to be linked."""
    budget.expect(rule, outcome.ok, "a good pipeline is refused", found=told(outcome), evidence=shown(asked))


@dataclass(frozen=True, slots=True)
class Case:
    """A pipeline with one defect: the rule, the defect, the nodes that the error must name."""

    rule: str
    defect: str
    pipeline: p.Pipeline
    about: tuple[str, ...] = ()


def _cases() -> Iterable[Case]:
    yield Case("LINK-001", "empty-name", pipeline(LINE, *STRAIGHT, name=""))
    yield Case("LINK-002", "empty", pipeline(()))
    for broken in (("from -> thruogh", "through -> to"), ("from -> through", "through -> to", "nowhere -> to")):
        yield Case("LINK-003", "unknown-stage", pipeline(LINE, *broken), (("nowhere",) if len(broken) > 2 else ("thruogh",)))
    for alone in ("source", "sink", *MIDDLE):
        defect = "missing-output" if alone == "source" else "missing-input"
        yield Case("LINK-004", defect, pipeline((*LINE, node("alone", alone)), *STRAIGHT), ("alone",))
    island = (*LINE, node("isle", "processor"), node("beach", "sink"))
    yield Case("LINK-004", "missing-input", pipeline(island, *STRAIGHT, "isle -> beach"), ("isle",))
    yield Case("LINK-005", "source-has-input", pipeline((*LINE, node("second", "source")), *STRAIGHT, "second -> from"), ("from",))
    yield Case("LINK-005", "sink-has-output", pipeline((*LINE, node("second", "sink")), *STRAIGHT, "to -> second"), ("to",))
    ring = (*LINE, node("again", "processor"), node("around", "filter"))
    for length in (2, 3):
        way = ("through", "again", "around")[:length]
        circle = [f"{one} -> {other}" for one, other in pairwise((*way, way[0]))]
        some = [one for one in ring if one.name in (*way, "from", "to")]
        yield Case("LINK-006", "cycle", pipeline(some, *STRAIGHT, *circle), way)
    for role in MIDDLE:
        nodes = (node("from", "source"), node("second", "source"), node("middle", role), node("to", "sink"), node("last", "sink"))
        yield Case("LINK-009", "missing-input", pipeline(nodes, "from -> to", "second -> last", "middle -> last"), ("middle",))
        yield Case("LINK-009", "missing-output", pipeline(nodes, "from -> to", "second -> last", "from -> middle"), ("middle",))
    yield Case("LINK-008", "no-source", pipeline((node("through", "processor"), node("to", "sink")), "through -> to"))
    yield Case("LINK-008", "no-sink", pipeline((node("from", "source"), node("through", "processor")), "from -> through"))
    yield Case("LINK-010", "duplicate-stage", pipeline((*LINE, node("through", "filter")), *STRAIGHT), ("through",))
    yield Case("LINK-010", "self-loop", pipeline(LINE, *STRAIGHT, "through -> through"), ("through",))


RULES_OF_GRAPHS = tuple(f"LINK-{number:03}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10))


@checks(*RULES_OF_GRAPHS, facet=Facet.CONTRACTS, kind="table")
def graphs_with_a_defect_are_refused(session: Session, budget: Budget) -> None:
    """One pipeline per defect: it is refused, and the error says which defect it is and where."""
    must_link(session)
    for case in _cases():
        (outcome,) = session.contracts.link(case.pipeline)
        expect_refused(budget, case.rule, outcome, case.pipeline, case.defect, *case.about)
        evidence = {**shown(case.pipeline), "diagnostics": told(outcome)}
        if case.defect == "empty":
            budget.expect_equal("LINK-002", len(errors(outcome)), 1, "the number of errors of an empty pipeline", evidence=evidence)
        if case.defect == "cycle":
            (text, *_) = [one.message for one in errors(outcome) if one.kind in KINDS["cycle"]]
            closed = all(name in text for name in case.about) and any(text.count(name) > 1 for name in case.about)
            budget.expect("LINK-006", closed, "the error's text does not show a closed path", found=text, evidence=evidence)


@checks("LINK-007", facet=Facet.CONTRACTS, kind="table")
def fans_have_limits_of_their_own(session: Session, budget: Budget) -> None:
    """Sixteen edges of a port are linked, seventeen are not, unless the topology says so; lower limits count; ports count apart."""
    must_link(session)

    def fan(count: int, *, out: bool, ports: int = 1) -> p.Pipeline:
        many = [node(f"end-{number}", "sink" if out else "source") for number in range(count)]
        one = node("hub", "router" if out else "aggregator")
        rest = node("feed" if out else "drain", "source" if out else "sink")
        hubs = ["hub" if ports == 1 else f"hub:p{number % ports}" for number in range(count)]
        fans = [f"{hub} -> {end.name}" if out else f"{end.name} -> {hub}" for hub, end in zip(hubs, many, strict=True)]
        return pipeline((rest, one, *many), "feed -> hub" if out else "hub -> drain", *fans)

    for out, defect in ((True, "fan-out"), (False, "fan-in")):
        limit = "max_fan_out" if out else "max_fan_in"
        cases: tuple[tuple[p.Pipeline, bool], ...] = (
            (fan(16, out=out), True),
            (fan(17, out=out), False),
            (fan(32, out=out, ports=2), True),
            (msgspec.structs.replace(fan(17, out=out), **{limit: 17}), True),
            (msgspec.structs.replace(fan(18, out=out), **{limit: 17}), False),
            (msgspec.structs.replace(fan(3, out=out), **{limit: 2}), False),
        )
        for asked, fits in cases:
            (outcome,) = session.contracts.link(asked)
            if fits:
                expect_linked(budget, "LINK-007", outcome, asked)
            else:
                expect_refused(budget, "LINK-007", outcome, asked, defect, "hub")


# ---- drawn graphs


@st.composite
def _graphs(draw: st.DrawFn) -> p.Pipeline:
    """Draw a graph that has a chance to be right: edges mostly lead forward."""
    inner = draw(st.lists(st.sampled_from(("processor", "filter", "router", "aggregator", "source", "sink")), max_size=4))
    roles = ["source", *inner, "sink"]
    nodes = [node(f"n{number}", role) for number, role in enumerate(roles)]
    names = [one.name for one in nodes]
    numbers = st.integers(0, len(names) - 1)
    edges = {(number, number + 1) for number in range(len(names) - 1) if roles[number] != "sink" and roles[number + 1] != "source"}
    for number, role in enumerate(roles):  # what the chain leaves open
        if role == "sink" and 0 < number < len(roles) - 1:
            edges.add((0, number))
            edges.add((0, number + 1)) if roles[number + 1] != "source" else None
    edges ^= draw(st.sets(st.tuples(numbers, numbers), max_size=2))
    texts = [f"{names[one]} -> {names[other]}" for one, other in sorted(edges)]
    return pipeline(draw(st.permutations(nodes)), *draw(st.permutations(texts)))


def expect_order(budget: Budget, rule: str, asked: p.Pipeline, outcome: p.LinkOutcome) -> None:
    """Expect every node once, and every edge to lead forward: which of several orders it is does not matter."""
    names = [one.name for one in outcome.nodes]
    evidence = {**shown(asked), "order": names}
    budget.expect_equal(rule, sorted(names), sorted(one.name for one in asked.nodes), "the nodes that are linked", evidence=evidence)
    for one in asked.edges:
        forward = names.index(one.source) < names.index(one.target)
        budget.expect(rule, forward, f"{one.target} stands before {one.source}, which feeds it", found=names, evidence=evidence)


@checks("LINK-004", "LINK-005", "LINK-006", "LINK-009", "LINK-010", "LINK-011", facet=Facet.CONTRACTS, kind="machine")
def drawn_graphs_are_judged_by_their_defects(session: Session, budget: Budget) -> None:
    """Drawn graphs: those without a defect are linked in a topological order, the others refused for defects that they have."""
    must_link(session)
    roles: Mapping[str, str] = {interface: role for role, interface in INTERFACES.items()}

    def law(asked: p.Pipeline) -> None:
        defects = found(asked, roles)
        (outcome,) = session.contracts.link(asked)
        if not defects:
            expect_linked(budget, "LINK-011", outcome, asked)
            expect_order(budget, "LINK-011", asked, outcome)
            return
        evidence = {**shown(asked), "defects": sorted(defects), "diagnostics": told(outcome)}
        for defect in sorted(defects):
            rule = RULES[defect]
            if rule in budget.rules:
                message = f"a pipeline with the defect {defect} is linked"
                budget.expect(rule, not outcome.ok, message, expected="refused", found="ok", evidence=evidence)
        for one in errors(outcome):
            real = any(one.kind in KINDS[defect] for defect in defects)
            (rule, *_) = [
                *(RULES[defect] for defect, kinds in KINDS.items() if one.kind in kinds and RULES[defect] in budget.rules),
                "LINK-011",
            ]
            budget.expect(rule, real, f"an error is about no defect of the graph: {one.kind}", found=one.message, evidence=evidence)

    diamond = (node("from", "source"), node("left", "filter"), node("right", "processor"), node("to", "sink"))
    law(pipeline(reversed(diamond), "right -> to", "left -> to", "from -> right", "from -> left"))
    law(pipeline(LINE, *STRAIGHT))
    budget.for_all(_graphs(), law, max_examples=60)

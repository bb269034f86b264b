"""Which graphs may run (TOPO-001 to TOPO-007, TOPO-012, TOPO-015): valid ones, and each with one thing made wrong.

What is wrong with a graph is said by `conformance.models.topology`, written from the rules. A graph is made wrong by one small change of
a valid one, directed or drawn; so the reasons to refuse it are known, and so is that there was none before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.areas.startup import with_lifecycles
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, NotOffered, Refused, SubjectError, Violation
from conformance.models.topology import MOST_PER_PORT, defects
from conformance.strategies import END, LOSSLESS, READY, fan_in, fan_out, flows, line
from conformance.subjects.protocol import EdgeSpec, Facet, FlowSpec, Script, StageSpec
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.file import TraceFile, of_flow
from conformance.traces.record import header
from conformance.traces.replay import first_difference, plain
from conformance.traces.search import Abort, offered, run_flow, with_flow

SMALL = replace(LOSSLESS, elements=1, capacities=(2,), pausing=False, schedules=("consumer-first",), optional=False)
"""Valid graphs of all shapes that do little when they run, and nothing that a runtime need not be able to."""
ALIKE = replace(LOSSLESS, schedules=("consumer-first",), optional=False)
"""Valid graphs that run the same each time."""

VALID = (line(elements=1), line("processor", "processor", elements=1), fan_out(3, elements=1), fan_in(elements=(1, 1)))

Change = Callable[[FlowSpec, int], FlowSpec]
"""One thing made wrong; the number says where."""


def _edge(spec: FlowSpec, source: str, target: str) -> FlowSpec:
    return with_(spec, edges=(*spec.edges, EdgeSpec(source, target)))


def _names(spec: FlowSpec, *roles: str) -> list[str]:
    return [stage.name for stage in spec.stages if stage.role in roles]


def _pick(names: list[str], at: int) -> str:
    return names[at % len(names)]


def _middle(spec: FlowSpec) -> list[str]:
    return [stage.name for stage in spec.stages if stage.role not in {"source", "sink"}] or _names(spec, "source")


def _roles(spec: FlowSpec, old: str) -> FlowSpec:
    """Make processors of all stages of a role."""
    stages = tuple(StageSpec(stage.name, "processor") if stage.role == old else stage for stage in spec.stages)
    return with_(spec, stages=stages)


def _at(spec: FlowSpec, at: int, **fields: str) -> FlowSpec:
    """Change one edge."""
    place = at % len(spec.edges)
    changed = with_(spec.edges[place], **fields)
    return with_(spec, edges=(*spec.edges[:place], changed, *spec.edges[place + 1 :]))


def _ghost(spec: FlowSpec, at: int) -> FlowSpec:
    """Let an edge start, or end, at a stage that does not exist."""
    return _at(spec, at // 2, **({"source": "ghost"} if at % 2 else {"target": "ghost"}))


def _island(spec: FlowSpec, _at: int) -> FlowSpec:
    """Add a stage that feeds a sink and is fed by nobody."""
    stages = (*spec.stages, StageSpec("island", "processor"))
    return _edge(with_(spec, stages=stages), "island", _names(spec, "sink")[0])


def _circle(spec: FlowSpec, _at: int) -> FlowSpec:
    """Add two stages that feed each other, and a way in and out."""
    stages = (*spec.stages, StageSpec("c0", "processor"), StageSpec("c1", "processor"))
    spec = with_(spec, stages=stages)
    for source, target in ((_names(spec, "source")[0], "c0"), ("c0", "c1"), ("c1", "c0"), ("c1", _names(spec, "sink")[0])):
        spec = _edge(spec, source, target)
    return spec


def _dangling(spec: FlowSpec, at: int) -> FlowSpec:
    """Add a stage of some middle role that is fed and feeds nobody."""
    role = ("processor", "filter", "router", "aggregator")[at % 4]
    stages = (*spec.stages, StageSpec("dangling", role))
    return _edge(with_(spec, stages=stages), _names(spec, "source")[0], "dangling")


def _unfed(spec: FlowSpec, at: int) -> FlowSpec:
    """Add a stage of some middle role that feeds a sink and is not fed."""
    role = ("processor", "filter", "router", "aggregator")[at % 4]
    stages = (*spec.stages, StageSpec("unfed", role))
    return _edge(with_(spec, stages=stages), "unfed", _names(spec, "sink")[0])


def _named(spec: FlowSpec, at: int, name: str) -> FlowSpec:
    """Add a source and call it something that it must not be called."""
    source = StageSpec(name, "source", Script((), END))
    grown = with_(spec, stages=(*spec.stages, source))
    return grown if name in {stage.name for stage in spec.stages} else _edge(grown, name, _pick(_names(spec, "sink"), at))


CHANGES: Mapping[str, tuple[Change, ...]] = {
    "TOPO-001": (
        lambda _spec, _at: FlowSpec((), ()),
        lambda spec, _at: _roles(spec, "source"),
        lambda spec, _at: _roles(spec, "sink"),
        _ghost,
        lambda spec, at: _edge(spec, _pick(_middle(spec), at), _pick(_middle(spec), at)),
        lambda spec, at: _edge(spec, _pick(_middle(spec), at), _pick(_names(spec, "source"), at + 1)),
        lambda spec, at: _edge(spec, _pick(_names(spec, "sink"), at), _pick([*_names(spec, "sink")], at + 1)),
        _circle,
        _island,
    ),
    "TOPO-002": (_dangling, _unfed),
    "TOPO-003": (lambda spec, _at: with_(spec, stages=(*spec.stages, StageSpec("alone", "source", Script((), END)))),),
    "TOPO-005": (
        lambda spec, at: _named(spec, at, spec.stages[at % len(spec.stages)].name),
        lambda spec, at: _named(spec, at, ""),
        lambda spec, at: _at(spec, at, port=""),
    ),
    "TOPO-007": (lambda spec, at: with_(spec, edges=(*spec.edges, spec.edges[at % len(spec.edges)])),),
}
"""How a valid graph is made to break each rule."""


def refused_for(session: Session, spec: FlowSpec) -> frozenset[str] | None:
    """Ask for a flow and return the kinds for which it is refused; None when it is accepted. An empty set: refused, without kinds."""
    try:
        session.flows.run(spec)
    except Refused as refused:
        kinds = refused.fields.get("kinds", ())
        return frozenset(map(str, kinds)) if isinstance(kinds, list | tuple) else frozenset()
    return None


def demand_refusal(session: Session, budget: Budget, rule: str, spec: FlowSpec) -> None:
    """Hold one graph that breaks a rule against the subject.

    Raises:
        Violation: it is accepted, or refused for things that are not wrong with it.
    """
    if not offered(session, spec):
        return
    wrong = defects(spec)
    reasons = [defect.message for defect in wrong if defect.rule == rule]
    assert reasons, f"this graph does not break {rule}"
    found = refused_for(session, spec)
    budget.touch(rule)
    known = {defect.kind for defect in wrong}
    evidence = {"flow": spec, "event": None}
    if found is None:
        raise Violation(rule, f"a flow was accepted although {reasons[0]}", expected="invalid-topology", found="done", evidence=evidence)
    if found and not found & known:
        message = f"a flow was refused for the wrong reason; {reasons[0]}"
        raise Violation(rule, message, expected=" or ".join(sorted(known)), found=", ".join(sorted(found)), evidence=evidence)


def demand_acceptance(session: Session, budget: Budget, rule: str, spec: FlowSpec) -> None:
    """Hold one valid graph against the subject.

    Raises:
        Violation: it is refused.
    """
    assert not defects(spec), "a valid graph"
    if not offered(session, spec):
        return
    found = refused_for(session, spec)
    budget.touch(rule)
    if found is not None:
        message = "a valid flow was refused"
        raise Violation(rule, message, expected="done", found=", ".join(sorted(found)), evidence={"flow": spec, "event": None})


def hold(session: Session, budget: Budget, rule: str) -> None:
    """Make every valid graph break a rule, in every way, and demand that it is refused; then drawn ones."""
    changes = CHANGES[rule]
    for spec in VALID:
        demand_acceptance(session, budget, rule, spec)
        for change in changes:
            for at in range(3):
                demand_refusal(session, budget, rule, change(spec, at))

    def law(drawn: tuple[FlowSpec, int, int]) -> None:
        spec, which, at = drawn
        try:
            demand_acceptance(session, budget, rule, spec)
            broken = changes[which](spec, at)
            if any(defect.rule == rule for defect in defects(broken)):
                demand_refusal(session, budget, rule, broken)
        except (SubjectError, NotOffered, Inconclusive) as error:
            raise Abort(error) from error

    try:
        budget.for_all(st.tuples(flows(SMALL), st.integers(0, len(changes) - 1), st.integers(0, 7)), law, max_examples=25)
    except Abort as abort:
        raise abort.cause from None


@checks("TOPO-001", facet=Facet.FLOWS, kind="example")
def impossible_graphs(session: Session, budget: Budget) -> None:
    """No stages, no source, no sink, unknown stages, self-loops, sources with inputs, sinks with outputs, cycles, islands: all refused."""
    hold(session, budget, "TOPO-001")


@checks("TOPO-002", facet=Facet.FLOWS, kind="example")
def middles_have_both_ends(session: Session, budget: Budget) -> None:
    """A processor, filter, router or aggregator without an input, or without an output, is refused."""
    for role in ("processor", "filter", "router", "aggregator"):
        spec = line(role, elements=1)
        for edge in range(len(spec.edges)):
            demand_refusal(session, budget, "TOPO-002", with_(spec, edges=spec.edges[:edge] + spec.edges[edge + 1 :]))
    hold(session, budget, "TOPO-002")


@checks("TOPO-003", facet=Facet.FLOWS, kind="example")
def sources_lead_somewhere(session: Session, budget: Budget) -> None:
    """A source without an edge is refused."""
    hold(session, budget, "TOPO-003")


def _routed(counts: Iterable[tuple[str, int]]) -> FlowSpec:
    """Return a router with so many sinks on each port."""
    stages = [StageSpec("source", "source", Script((), END)), StageSpec("router", "router")]
    edges = [EdgeSpec("source", "router")]
    for port, count in counts:
        for number in range(count):
            stages.append(StageSpec(f"{port}{number}", "sink", Script((), READY)))
            edges.append(EdgeSpec("router", f"{port}{number}", port))
    return FlowSpec(tuple(stages), tuple(edges))


@checks("TOPO-004", facet=Facet.FLOWS, kind="example")
def sixteen_per_port(session: Session, budget: Budget) -> None:
    """16 edges may leave or enter a port, 17 may not; 9 and 8 on two ports may."""
    most = MOST_PER_PORT
    for count in (1, most - 1, most):
        demand_acceptance(session, budget, "TOPO-004", fan_out(count, elements=1))
        demand_acceptance(session, budget, "TOPO-004", fan_in(elements=(1,) * count))
    demand_acceptance(session, budget, "TOPO-004", _routed((("a", 9), ("b", 8))))
    for count in (most + 1, 2 * most):
        demand_refusal(session, budget, "TOPO-004", fan_out(count, elements=1))
        demand_refusal(session, budget, "TOPO-004", fan_in(elements=(1,) * count))
    demand_refusal(session, budget, "TOPO-004", _routed((("a", most + 1), ("b", 1))))


@checks("TOPO-005", facet=Facet.FLOWS, kind="example")
def names_are_unique(session: Session, budget: Budget) -> None:
    """Two stages of one name, a stage without a name and a port without a name are refused."""
    if session.lacks("flows.run/names"):
        return
    hold(session, budget, "TOPO-005")


@checks("TOPO-006", facet=Facet.FLOWS, kind="example")
def all_errors_at_once(session: Session, budget: Budget) -> None:
    """A graph with three independent defects is refused with all three of them."""
    spec = line("processor", elements=1)
    three: dict[str, Callable[[FlowSpec], FlowSpec]] = {
        "duplicate-stage": lambda flow: _named(flow, 0, "source"),
        "self-loop": lambda flow: _edge(flow, "processor", "processor"),
        "unknown-stage": lambda flow: _edge(flow, "processor", "ghost"),
        "sink-has-output": lambda flow: _edge(flow, "sink", "processor"),
    }
    for left_out in three:
        broken = spec
        for kind, change in three.items():
            if kind != left_out:
                broken = change(broken)
        expected = frozenset(three) - {left_out}
        found = refused_for(session, broken)
        if found is not None and not found:
            raise Inconclusive("the subject refuses the graph without saying what is wrong with it (`kinds`)")
        budget.touch("TOPO-006")
        if found is None or not expected <= found:
            message = "a graph with three defects is not refused with all of them"
            shown = ", ".join(sorted(found or ()))
            raise Violation(
                "TOPO-006", message, expected=", ".join(sorted(expected)), found=shown, evidence={"flow": broken, "event": None}
            )


@checks("TOPO-007", facet=Facet.FLOWS, kind="example")
def no_edge_twice(session: Session, budget: Budget) -> None:
    """The same edge twice is refused, wherever it is."""
    hold(session, budget, "TOPO-007")


@checks("TOPO-012", facet=Facet.FLOWS, kind="monitor", requires=("consumer_first",))
def the_same_graph_twice(session: Session, budget: Budget) -> None:
    """The same flow run twice makes the same trace; sources come first, and ties are broken by declaration."""
    for spec in (fan_out(4, elements=2), fan_in(elements=(1, 2, 1)), line("router", "filter", elements=3)):
        _twice(session, budget, spec)
        _initialised_as_declared(session, budget, with_lifecycles(spec))

    def law(spec: FlowSpec) -> None:
        try:
            _twice(session, budget, spec)
        except (SubjectError, NotOffered, Inconclusive) as error:
            raise Abort(error) from error

    try:
        budget.for_all(flows(replace(ALIKE, most_sources=3, most_sinks=3)), law, max_examples=15)
    except Abort as abort:
        raise abort.cause from None


def _twice(session: Session, budget: Budget, spec: FlowSpec) -> None:
    runs: list[TraceFile] = [of_flow(header(session.declaration, flow=spec), run_flow(session, spec)) for _ in range(2)]
    lines = [plain(run) for run in runs]
    at = first_difference(*lines)
    budget.touch("TOPO-012")
    if at is not None:
        one, other = (run[at] if at < len(run) else "(ended)" for run in lines)
        reply = runs[1].reply
        assert reply is not None, "it was made of one"
        violation = Violation("TOPO-012", "the same flow, run twice, went two ways", expected=one, found=other, evidence={"event": at})
        raise with_flow(violation, spec, reply)


def _initialised_as_declared(session: Session, budget: Budget, spec: FlowSpec) -> None:
    """In these flows the stages of one role are alike: they must come up in the order in which they were declared, sources first."""
    reply = run_flow(session, spec)
    found = [event.stage for event in reply.trace if isinstance(event, e.Called) and event.fn == "init"]
    expected = [stage.name for stage in spec.stages]
    budget.touch("TOPO-012")
    if found != expected:
        raise with_flow(Violation("TOPO-012", "the order in which components come up", expected=expected, found=found), spec, reply)


@checks("TOPO-015", facet=Facet.FLOWS, kind="example", requires=("node_limit",))
def a_limit_is_kept(session: Session, budget: Budget) -> None:
    """A runtime that declares `node_limit=n` accepts flows of n stages, and refuses those of n + 1."""
    claims = [claim.partition("=")[2] for claim in session.capabilities(Facet.FLOWS) if claim.startswith("node_limit=")]
    if len(claims) != 1 or not claims[0].isdecimal() or int(claims[0]) < 3:
        raise Inconclusive("the subject claims node_limit, and not with one number of at least 3 stages (`node_limit=1000`)")
    limit = int(claims[0])
    demand_acceptance(session, budget, "TOPO-015", line(*("processor",) * (limit - 2), elements=0))
    too_long = line(*("processor",) * (limit - 1), elements=0)
    found = refused_for(session, too_long)
    budget.expect("TOPO-015", found is not None, f"a flow of {limit + 1} stages was accepted", expected="a refusal", found="done")

"""What serves an import, what a linked pipeline looks like, and which phase speaks when (LINK-012 to LINK-023, CON-002, CON-013)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec
from hypothesis import strategies as st

from conformance.areas.linking import LINE, STRAIGHT, errors, expect_linked, expect_order, must_link, shown, told
from conformance.checks import Budget, checks
from conformance.models.pipelines import ALLOCATOR, INTERFACES, KINDS, TYPES, node, pipeline, serving
from conformance.subjects import protocol as p
from conformance.subjects.guests import component
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

HELPER, OTHER = "acme:helper/tools@1.0.0", "acme:helper/gauges@1.2.0"
CLOCK, RANDOM = "wasi:clocks/wall-clock@0.2.3", "wasi:random/random@0.2.3"
DENIED = frozenset({"capability-denied", "capability-mismatch", "missing-required", "incompatible-scope"})
"""What an import of WASI without its grant may be called: by the linker, by the manifest's check, or by the resolution of capabilities."""

GRAPH = frozenset(kind for kinds in KINDS.values() for kind in kinds)

REAL = {
    "source": ("counter-source", "failing-source"),
    "processor": ("uppercase", "uppercase-managed", "two-types"),
    "sink": ("sink-ready", "sink-pausing"),
    "filter": ("number-filter",),
    "router": ("parity-router",),
    "aggregator": ("concatenator",),
}
"""Components of the corpus by role."""


def linked(session: Session, budget: Budget, rule: str, asked: p.Pipeline) -> p.LinkOutcome:
    """Link one pipeline that is in order, and return what came of it."""
    (outcome,) = session.contracts.link(asked)
    expect_linked(budget, rule, outcome, asked)
    return outcome


def bindings(outcome: p.LinkOutcome, name: str) -> dict[str, tuple[str, str]]:
    """Return what serves a node's imports; nothing for a node that the outcome leaves out."""
    return {one.import_name: (one.provider, one.node) for node_ in outcome.nodes if node_.name == name for one in node_.bindings}


def _of_kind(outcome: p.LinkOutcome, kind: str) -> Counter[tuple[str, str]]:
    """Return the node and the import of each error of a kind; empty texts where the error does not name them."""
    return Counter((one.about[0], one.about[-1]) if one.about else ("", "") for one in errors(outcome) if one.kind == kind)


@checks("LINK-012", facet=Facet.CONTRACTS, kind="table")
def the_host_serves_before_an_upstream(session: Session, budget: Budget) -> None:
    """Imports that host and upstream offer, that a direct upstream offers, and that only an indirect one or a downstream one offers."""
    must_link(session)
    generous = node("from", "source", exports=(TYPES, CLOCK, HELPER))
    middle = node("through", "processor", CLOCK, HELPER, capabilities=("clock:wall",), granted=("clock:wall",))
    outcome = linked(session, budget, "LINK-012", pipeline((generous, middle, node("to", "sink")), *STRAIGHT))
    evidence = {"from exports": generous.exports, "through imports": middle.imports}
    found = bindings(outcome, "through")
    for name, expected in ((TYPES, ("torvyn", "")), (CLOCK, ("wasi", "")), (HELPER, ("upstream", "from"))):
        budget.expect_equal("LINK-012", found.get(name), expected, f"what serves {name}", evidence=evidence)
    last = node("to", "sink", HELPER)
    for what, asked in (
        ("an indirect upstream", pipeline((node("from", "source", exports=(HELPER,)), node("through", "processor"), last), *STRAIGHT)),
        (
            "a downstream",
            pipeline((node("from", "source", HELPER), node("through", "processor", exports=(HELPER,)), node("to", "sink")), *STRAIGHT),
        ),
    ):
        (refused,) = session.contracts.link(asked)
        told_of = [one for one in errors(refused) if one.kind == "unresolved-import" and HELPER in (*one.about, one.message)]
        message = f"an import is served by {what}"
        budget.expect("LINK-012", told_of, message, expected="unresolved-import", found=told(refused), evidence=shown(asked))


@checks("LINK-013", "LINK-020", facet=Facet.CONTRACTS, kind="example")
def every_missing_import_is_told_once(session: Session, budget: Budget) -> None:
    """Two components with two missing imports each: four errors; none of them when only the topology is asked about."""
    must_link(session)
    missing = (HELPER, OTHER)
    nodes = (node("from", "source"), node("through", "processor", *missing), node("to", "sink", *missing))
    asked = pipeline(nodes, *STRAIGHT)
    (outcome,) = session.contracts.link(asked)
    found = _of_kind(outcome, "unresolved-import")
    expected = Counter((name, wanted) for name in ("through", "to") for wanted in missing)
    evidence = {**shown(asked), "imports": missing, "diagnostics": told(outcome)}
    budget.expect_equal("LINK-013", found, expected, "the imports told as unresolved, once per component", evidence=evidence)
    budget.expect("LINK-013", not outcome.ok, "a pipeline with missing imports is linked", evidence=evidence)
    budget.settle("LINK-013")
    only = msgspec.structs.replace(asked, topology_only=True)
    outcome = linked(session, budget, "LINK-020", only)
    expect_order(budget, "LINK-020", only, outcome)
    wrong = msgspec.structs.replace(pipeline(nodes, "from -> through", "through -> to", "to -> through"), topology_only=True)
    (outcome,) = session.contracts.link(wrong)
    budget.expect("LINK-020", not outcome.ok, "a wrong topology is linked in topology-only mode", evidence=shown(wrong))


@checks("LINK-014", "LINK-015", facet=Facet.CONTRACTS, kind="example")
def two_providers_are_one_too_many(session: Session, budget: Budget) -> None:
    """A diamond whose branches export the same interface is ambiguous; one branch alone is not, nor one upstream by two ports."""
    must_link(session)

    def diamond(*exporters: str) -> p.Pipeline:
        branches = [node(name, "processor", exports=(HELPER,) if name in exporters else ()) for name in ("left", "right")]
        ends = node("from", "source"), node("to", "sink", HELPER)
        return pipeline((*ends, *branches), "from -> left", "from -> right", "left -> to", "right -> to")

    asked = diamond("left", "right")
    (outcome,) = session.contracts.link(asked)
    ambiguous = [one for one in errors(outcome) if one.kind == "ambiguous-provider"]
    evidence = {**shown(asked), "diagnostics": told(outcome)}
    budget.expect("LINK-014", ambiguous, "two providers of one import are no error", found=told(outcome), evidence=evidence)
    named = any("to" in (*one.about, one.message) and HELPER in f"{one.about} {one.message}" for one in ambiguous)
    budget.expect("LINK-014", named, "the error names neither node nor import", found=told(outcome), evidence=evidence)
    one_sided = linked(session, budget, "LINK-014", diamond("right"))
    budget.expect_equal("LINK-014", bindings(one_sided, "to").get(HELPER), ("upstream", "right"), "what serves the import")
    budget.settle("LINK-014")
    ends = (node("from", "source"), node("through", "router", exports=(HELPER,)), node("to", "sink", HELPER))
    parallel = pipeline(ends, "from -> through", "through:a -> to", "through:b -> to")
    outcome = linked(session, budget, "LINK-015", parallel)
    found = bindings(outcome, "to").get(HELPER)
    budget.expect_equal("LINK-015", found, ("upstream", "through"), "what serves an import over two edges", evidence=shown(parallel))


@checks("LINK-016", facet=Facet.CONTRACTS, kind="table")
def wasi_needs_a_grant(session: Session, budget: Budget) -> None:
    """By name and by the bytes of real components: with the grant linked, without it or with another one refused."""
    must_link(session)
    real = (("wasi-wall-clock", "clock:wall"), ("wasi-random", "random:crypto"), ("wasi-stdout", "stdio:stdout"))
    candidates: list[tuple[p.PipelineNode, str]] = [
        (node("through", "processor", CLOCK), "clock:wall"),
        (node("through", "processor", RANDOM), "random:crypto"),
        (node("through", "processor", "wasi:cli/environment@0.2.0"), "environment:read"),
        *((p.PipelineNode("through", INTERFACES["processor"], component(name)), capability) for name, capability in real),
    ]
    for one, capability in candidates:
        other = "clock:monotonic" if capability != "clock:monotonic" else "clock:wall"
        for granted, fits in (((capability,), True), ((), False), ((other,), False)):
            middle = msgspec.structs.replace(one, capabilities=(capability,), granted=granted)
            asked = pipeline((LINE[0], middle, LINE[2]), *STRAIGHT)
            (outcome,) = session.contracts.link(asked)
            evidence = {**shown(asked), "declared": capability, "granted": granted, "diagnostics": told(outcome)}
            if fits:
                budget.expect("LINK-016", outcome.ok, f"{capability} is granted, and refused", found=told(outcome), evidence=evidence)
                continue
            denied = [item for item in errors(outcome) if item.kind in DENIED and "through" in (*item.about, item.message)]
            budget.expect("LINK-016", denied, f"{capability} is not granted, and linked", found=told(outcome), evidence=evidence)


@checks("LINK-017", facet=Facet.CONTRACTS, kind="table")
def real_components_link(session: Session, budget: Budget) -> None:
    """Components of the corpus, of every role: the host serves the streaming interfaces that they import."""
    nodes = [
        p.PipelineNode(f"{role}-{number}", INTERFACES[role], component(name), exports=())
        for role, names in REAL.items()
        for number, name in enumerate(names)
    ]
    middle = [one.name for one in nodes if not one.name.startswith(("source", "sink"))]
    edges = [*(f"source-{number} -> {middle[0]}" for number in range(2)), *(f"{middle[-1]} -> sink-{number}" for number in range(2))]
    edges += [f"{one} -> {other}" for one, other in pairwise(middle)]
    asked = pipeline(nodes, *edges)
    outcome = linked(session, budget, "LINK-017", asked)
    for one in outcome.nodes:
        for name, (provider, _) in bindings(outcome, one.name).items():
            if name.startswith("torvyn:streaming/"):
                budget.expect_equal("LINK-017", provider, "torvyn", f"what serves {name} of {one.name}", evidence=shown(asked))
        names = {name.partition("@")[0] for name in bindings(outcome, one.name)}
        budget.expect("LINK-017", TYPES.partition("@")[0] in names, f"the types of {one.name} are served by nothing", found=sorted(names))


@checks("LINK-018", facet=Facet.CONTRACTS, kind="table")
def names_are_compared_whole(session: Session, budget: Budget) -> None:
    """Names that contain, begin with or end like one that the host serves are served by nobody, although everything is granted."""
    must_link(session)
    everything = ("random:crypto", "random:insecure", "clock:wall", "clock:monotonic", "stdio:stdout", "environment:read")
    alike = (
        "x:wasi/randomizer",
        "acme:wasi-random/random",
        "wasi:random/randomizer@0.2.0",
        "wasi:randomness/random@0.2.0",
        "wasix:random/random@0.2.0",
        "wasi:cli/stdout-writer@0.2.0",
        "torvyn:streaming/types-more@0.1.0",
        "torvyn:streaming-types/types@0.1.0",
        "acme:torvyn/buffer-allocator@0.1.0",
        "torvyn:streaming/allocator@0.1.0",
    )
    for name in alike:
        middle = node("through", "processor", name, capabilities=everything, granted=everything)
        asked = pipeline((LINE[0], middle, LINE[2]), *STRAIGHT)
        (outcome,) = session.contracts.link(asked)
        evidence = {"import": name, "diagnostics": told(outcome)}
        served = bindings(outcome, "through").get(name) if outcome.ok else None
        budget.expect("LINK-018", not outcome.ok, f"{name} is served", expected="unresolved-import", found=served, evidence=evidence)
    for name in (TYPES, ALLOCATOR, RANDOM, TYPES.partition("@")[0]):
        middle = node("through", "processor", name, capabilities=everything, granted=everything)
        linked(session, budget, "LINK-018", pipeline((LINE[0], middle, LINE[2]), *STRAIGHT))
    near = node("from", "source", exports=("acme:helper/tools-more@1.0.0",))
    (outcome,) = session.contracts.link(pipeline((near, node("through", "processor", HELPER), LINE[2]), *STRAIGHT))
    budget.expect("LINK-018", not outcome.ok, f"{HELPER} is served by an upstream that exports acme:helper/tools-more")


@checks("LINK-019", facet=Facet.CONTRACTS, kind="example")
def streams_are_numbered_through(session: Session, budget: Budget) -> None:
    """Two pipelines of one linker: nodes in topological order, edges in the order given, numbers that go on; a new linker begins at 0."""
    must_link(session)
    diamond = (node("to", "sink"), node("right", "processor"), node("left", "filter"), node("from", "source"))
    edges = ("left -> to", "from -> right", "right -> to", "from -> left")
    asked = (pipeline(diamond, *edges, name="first"), pipeline(LINE, *reversed(STRAIGHT), name="second"), pipeline(LINE, *STRAIGHT))
    for pipelines in (asked, asked[1:]):
        numbers = iter(range(100))
        for one, outcome in zip(pipelines, session.contracts.link(*pipelines), strict=True):
            expect_linked(budget, "LINK-019", outcome, one)
            expect_order(budget, "LINK-019", one, outcome)
            found = [(stream.stream, stream.source, stream.target) for stream in outcome.edges]
            expected = [(next(numbers), stream.source, stream.target) for stream in one.edges]
            budget.expect_equal("LINK-019", found, expected, f"the streams of the pipeline {one.name!r}", evidence=shown(one))


@checks("LINK-021", facet=Facet.CONTRACTS, kind="example")
def the_graph_comes_first(session: Session, budget: Budget) -> None:
    """A cycle hides what follows from it; a missing import and a missing grant are told together."""
    must_link(session)
    clock = node("again", "filter", CLOCK, capabilities=("clock:wall",))
    nodes = (node("from", "source"), node("through", "processor", HELPER), clock, node("to", "sink"))
    circle = pipeline(nodes, *STRAIGHT, "through -> again", "again -> through")
    (outcome,) = session.contracts.link(circle)
    evidence = {**shown(circle), "diagnostics": told(outcome)}
    kinds = {one.kind for one in errors(outcome)}
    budget.expect("LINK-021", kinds & KINDS["cycle"], "the cycle is not told", found=sorted(kinds), evidence=evidence)
    budget.expect(
        "LINK-021", kinds <= GRAPH, "imports are judged although the graph is wrong", found=sorted(kinds - GRAPH), evidence=evidence
    )
    line = pipeline(nodes, "from -> through", "through -> again", "again -> to")
    (outcome,) = session.contracts.link(line)
    evidence = {**shown(line), "diagnostics": told(outcome)}
    kinds = {one.kind for one in errors(outcome)}
    both = "unresolved-import" in kinds and kinds & DENIED
    expected = "unresolved-import and capability-denied"
    budget.expect(
        "LINK-021", both, "the import and the grant are not told together", expected=expected, found=sorted(kinds), evidence=evidence
    )


@checks("LINK-022", facet=Facet.CONTRACTS, kind="table")
def roles_are_last_segments(session: Session, budget: Budget) -> None:
    """Each role by its interface, with and without a version; names that only contain one are no role."""
    must_link(session)
    middle = [node(f"the-{role}", role) for role in INTERFACES if role not in {"source", "sink"}]
    names = [one.name for one in middle]
    edges = (f"from -> {names[0]}", *(f"{one} -> {other}" for one, other in pairwise(names)), f"{names[-1]} -> to")
    for version in ("", "@0.1.0"):
        nodes = [msgspec.structs.replace(one, interface=f"{one.interface}{version}") for one in (LINE[0], *middle, LINE[2])]
        outcome = linked(session, budget, "LINK-022", pipeline(nodes, *edges))
        found = {one.name: one.role for one in outcome.nodes}
        expected = {"from": "source", "to": "sink", **{f"the-{role}": role for role in INTERFACES if role not in {"source", "sink"}}}
        budget.expect_equal("LINK-022", found, expected, "the roles")
    for wrong in (
        "acme:resource/x",
        "torvyn:streaming/sourcex",
        "torvyn:sinking/ship",
        "torvyn:streaming",
        "torvyn:filtering/filters",
        "x",
    ):
        for place in (0, 1, 2):
            nodes = [msgspec.structs.replace(one, interface=wrong) if at == place else one for at, one in enumerate(LINE)]
            (outcome,) = session.contracts.link(pipeline(nodes, *STRAIGHT))
            role = next((one.role for one in outcome.nodes if one.name == LINE[place].name), "")
            budget.expect("LINK-022", not outcome.ok, f"{wrong!r} is taken for a role", expected="refused", found=role)


@checks("LINK-023", facet=Facet.CONTRACTS, kind="example")
def edges_have_defaults(session: Session, budget: Budget) -> None:
    """An edge without settings has depth 64, blocks its producer and joins the default ports; what is written is kept."""
    must_link(session)
    written = p.PipelineEdge("through", "to", "out", "in", queue_depth=7, policy="drop-oldest")
    nodes = (LINE[0], node("through", "router"), LINE[2])
    asked = p.Pipeline("judged", nodes, (p.PipelineEdge("from", "through"), written, p.PipelineEdge("through", "to", queue_depth=1)))
    outcome = linked(session, budget, "LINK-023", asked)
    found = [(one.source_port, one.target_port, one.queue_depth, one.policy) for one in outcome.edges]
    expected = [
        ("default", "default", 64, "block-producer"),
        ("out", "in", 7, "drop-oldest"),
        ("default", "default", 1, "block-producer"),
    ]
    budget.expect_equal("LINK-023", found, expected, "the settings of the edges", evidence=shown(asked))


# ---- drawn pipelines


OFFERS = (HELPER, OTHER, "acme:gauge/dials@0.3.0")
"""Interfaces that only components offer."""


@st.composite
def _pipelines(draw: st.DrawFn) -> p.Pipeline:
    """Draw a pipeline without a defect of its graph, whose components import and export what they like."""
    names = [f"n{number}" for number in range(draw(st.integers(2, 5)))]
    some = st.lists(st.sampled_from((*OFFERS, CLOCK, ALLOCATOR)), max_size=3, unique=True)
    roles = ("source", *["router"] * (len(names) - 2), "sink")
    everything = ("clock:wall", "torvyn:resource-allocate")  # a sink's world has no allocator in it: it needs the grant (decision 7)
    nodes = [
        msgspec.structs.replace(node(name, role, *draw(some), exports=tuple(draw(some))), capabilities=everything, granted=everything)
        for name, role in zip(names, roles, strict=True)
    ]
    pairs = [(one, other) for at, one in enumerate(names) for other in names[at + 1 :]]
    left_out = set(draw(st.lists(st.sampled_from(pairs), max_size=3))) - set(pairwise(names))
    chosen = [pair for pair in pairs if pair not in left_out]
    edges = [f"{one} -> {other}" for one, other in chosen]
    edges += [f"{one}:second -> {other}" for one, other in chosen if one != names[0] and draw(st.booleans())]
    return pipeline(draw(st.permutations(nodes)), *edges)


@checks("LINK-012", "LINK-013", "LINK-014", "LINK-015", facet=Facet.CONTRACTS, kind="machine")
def drawn_imports_are_served_as_the_rules_say(session: Session, budget: Budget) -> None:
    """Drawn pipelines: every import is bound, ambiguous or unresolved exactly as the order of providers says."""
    must_link(session)

    def law(asked: p.Pipeline) -> None:
        expected = serving(asked, frozenset({TYPES, ALLOCATOR}), frozenset({CLOCK}))
        parallel = {(one.source, one.target) for one in asked.edges if one.source_port == "second"}
        (outcome,) = session.contracts.link(asked)
        evidence = {
            **shown(asked),
            "imports": {one.name: one.imports for one in asked.nodes},
            "exports": {one.name: one.exports for one in asked.nodes},
            "diagnostics": told(outcome),
        }
        wrong = {key for key, (how, _) in expected.items() if how in {"ambiguous", "unresolved"}}
        for rule, how, kind in (("LINK-013", "unresolved", "unresolved-import"), ("LINK-014", "ambiguous", "ambiguous-provider")):
            wanted = Counter(key for key in wrong if expected[key][0] == how)
            found = _of_kind(outcome, kind)
            through_two_ports = any((up, name) in parallel for name, _ in wanted | found for up in (one.name for one in asked.nodes))
            broken = rule
            if how == "ambiguous" and found - wanted and through_two_ports:
                broken = "LINK-015"  # one upstream was counted twice
            elif how == "unresolved" and any(expected.get(key, ("", ""))[0] not in {"", "unresolved"} for key in found):
                broken = "LINK-012"  # somebody serves it who was not asked
            budget.expect_equal(broken, found, wanted, f"the imports told as {kind}", evidence=evidence)
        if parallel:
            budget.touch("LINK-015")
        budget.expect_equal("LINK-013", outcome.ok, not wrong, "whether the pipeline is linked", evidence=evidence)
        if outcome.ok:
            bound = {(one.name, name): how for one in outcome.nodes for name, how in bindings(outcome, one.name).items()}
            budget.expect_equal("LINK-012", bound, expected, "what serves the imports", evidence=evidence)

    ends = (node("n0", "source", exports=(HELPER,)), node("n1", "router", HELPER, exports=(OTHER,)), node("n2", "sink", OTHER))
    law(pipeline(ends, "n0 -> n1", "n1 -> n2", "n1:second -> n2"))
    for last in ("n1", "n2", "n3"):  # each of three upstreams is the only one that offers it
        middle = [node(name, "router", exports=(HELPER,) if name == last else ()) for name in ("n1", "n2", "n3")]
        fan = [edge for name in ("n1", "n2", "n3") for edge in (f"n0 -> {name}", f"{name} -> n4")]
        law(pipeline((node("n0", "source"), *middle, node("n4", "sink", HELPER)), *fan))
    budget.for_all(_pipelines(), law, max_examples=80)

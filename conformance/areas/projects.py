"""Flows as users write them: start-up stages, bounds of a configuration, roles from interfaces (FLOW-019, TOPO-013, TOPO-014)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Refused
from conformance.subjects.guests import component
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

SOURCE, PROCESSOR, SINK = (f"torvyn:streaming/{role}" for role in ("source", "processor", "sink"))
FILTER, ROUTER, AGGREGATOR = "torvyn:filtering/filter", "torvyn:filtering/router", "torvyn:aggregation/aggregator"

HEAD = 'torvyn = { name = "judged", version = "0.1.0", contract_version = "0.1.0" }\n'

Node = tuple[str, str, str]
"""A node: its component, its interface, and further lines."""

NUMBERS: Node = ("counter-source", SOURCE, 'config = "count=2"')
CAPITALS: Node = ("uppercase", PROCESSOR, "")
END: Node = ("sink-ready", SINK, "")
LINE: Mapping[str, Node] = {"numbers": NUMBERS, "middle": CAPITALS, "end": END}
STRAIGHT = (("numbers", "middle", ""), ("middle", "end", ""))

STAGES: Mapping[str, frozenset[str]] = {
    "topology construction": frozenset({"topology construction"}),
    "topology validation": frozenset({"topology validation"}),
    "contract validation": frozenset({"contract validation"}),
    "linking": frozenset({"linking"}),
    "compilation": frozenset({"compilation"}),
    "instantiation": frozenset({"instantiation"}),
    "component initialisation": frozenset({"component initialisation", "component initialization", "component init"}),
    "reactor registration": frozenset({"reactor registration"}),
}
"""The eight stages in their order, and how each may be spelt."""


def project(
    nodes: Mapping[str, Node], edges: tuple[tuple[str, str, str], ...], components: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Return the files of a project with one flow; a source may name its port (`node:port`); `components` replace the corpus's bytes."""
    names = dict.fromkeys(name for name, _, _ in nodes.values())
    manifest = HEAD
    for name in names:
        manifest += f'[[component]]\nname = "{name}"\npath = "{name}.wasm"\n'
    for node, (name, interface, more) in nodes.items():
        manifest += f'[flow.main.nodes.{node}]\ncomponent = "{name}"\ninterface = "{interface}"\n{more}\n'
    for source, target, more in edges:
        node, _, port = source.partition(":")
        ends = f'from = {{ node = "{node}", port = "{port or "default"}" }}\nto = {{ node = "{target}", port = "default" }}\n'
        manifest += f"[[flow.main.edges]]\n{ends}{more}\n"
    files = {f"{name}.wasm": (components or {}).get(name) or component(name) for name in names}
    return {"Torvyn.toml": manifest.encode(), **files}


def outcome(session: Session, files: dict[str, bytes], *, shutting_down: bool = False) -> tuple[str, str | None, tuple[str, ...]]:
    """Start a project and return how it went (a state, or `refused`), the start-up stage named, and the kinds."""
    try:
        reply = session.flows.start_project(files, shutting_down=shutting_down)
    except Refused as refused:
        stage, kinds = refused.fields.get("startup_stage"), refused.fields.get("kinds") or ()
        return "refused", None if stage is None else str(stage), tuple(map(str, kinds))
    return reply.state, reply.startup_stage, ()


def _faults() -> dict[str, tuple[dict[str, bytes], bool]]:
    """Return for each start-up stage a project that fails there and nowhere before, and whether the host is shutting down."""
    circle = {**LINE, "again": CAPITALS}
    way_back = (*STRAIGHT, ("middle", "again", ""), ("again", "middle", ""))
    return {
        "topology construction": (project({**LINE, "middle": ("uppercase", f"{PROCESSOR}x", "")}, STRAIGHT), False),
        "topology validation": (project(circle, way_back), False),
        "contract validation": (project({**LINE, "numbers": ("uppercase", SOURCE, "")}, STRAIGHT), False),
        "linking": (project({**LINE, "middle": ("wasi-stdout", PROCESSOR, "")}, STRAIGHT), False),
        "compilation": (project(LINE, STRAIGHT, {"uppercase": component("uppercase")[:200]}), False),
        "instantiation": (project({**LINE, "middle": ("uppercase", PROCESSOR, 'max_memory = "16KiB"')}, STRAIGHT), False),
        "component initialisation": (project({**LINE, "middle": ("init-traps", PROCESSOR, "")}, STRAIGHT), False),
        "reactor registration": (project(LINE, STRAIGHT), True),
    }


def _must_run(session: Session) -> None:
    """Make sure that a good project runs, or nothing can be said.

    Raises:
        Inconclusive: it does not.
    """
    found = outcome(session, project(LINE, STRAIGHT))
    if found[0] != "Completed":
        raise Inconclusive(f"a good project does not run: {found}")


@checks("FLOW-019", facet=Facet.FLOWS, kind="example")
def failures_name_their_stage(session: Session, budget: Budget) -> None:
    """One fault at each of the eight start-up stages: nothing runs, and the refusal names that stage."""
    _must_run(session)
    for stage, (files, shutting_down) in _faults().items():
        state, named, _ = outcome(session, files, shutting_down=shutting_down)
        evidence = {"stage": stage, "Torvyn.toml": files["Torvyn.toml"].decode(), "shutting_down": shutting_down}
        message = f"a flow with a fault of {stage} was not refused"
        budget.expect("FLOW-019", state in {"refused", "Failed"}, message, expected="refused", found=state, evidence=evidence)
        fits = named in STAGES[stage]
        budget.expect("FLOW-019", fits, f"the stage named for a fault of {stage}", expected=stage, found=named, evidence=evidence)


@checks("TOPO-013", facet=Facet.FLOWS, kind="example")
def configurations_have_bounds(session: Session, budget: Budget) -> None:
    """One node, no edge, priorities 0 and 11 and a queue depth of 0 are refused; two nodes, 1 and 10, and a depth of 1 are not."""
    _must_run(session)

    def two(more: str = "", edge: str = "") -> dict[str, bytes]:
        return project({"numbers": NUMBERS, "end": ("sink-ready", SINK, more)}, (("numbers", "end", edge),))

    cases = (
        ("one node", project({"numbers": NUMBERS}, ()), False),
        ("no edge", project({"numbers": NUMBERS, "end": END}, ()), False),
        ("priority 0", two("priority = 0"), False),
        ("priority 11", two("priority = 11"), False),
        ("queue depth 0", two(edge="queue_depth = 0"), False),
        ("two nodes", two(), True),
        ("priority 1", two("priority = 1"), True),
        ("priority 10", two("priority = 10"), True),
        ("queue depth 1", two(edge="queue_depth = 1"), True),
    )
    for what, files, valid in cases:
        state, _, _ = outcome(session, files)
        expected = "Completed" if valid else "refused"
        budget.expect_equal("TOPO-013", state, expected, f"a flow with {what}", evidence={"Torvyn.toml": files["Torvyn.toml"].decode()})


@checks("TOPO-014", facet=Facet.FLOWS, kind="example")
def roles_come_from_interfaces(session: Session, budget: Budget) -> None:
    """Each of the six interfaces gives its role; any other name is refused, and not taken for the nearest one."""
    _must_run(session)
    six: dict[str, Node] = {
        "numbers": NUMBERS,
        "capitals": CAPITALS,
        "sieve": ("number-filter", FILTER, ""),
        "roads": ("parity-router", ROUTER, ""),
        "sum": ("concatenator", AGGREGATOR, ""),
        "even": END,
        "odd": END,
    }
    line = ("numbers", "capitals", "sieve", "roads")
    edges = (*((one, other, "") for one, other in pairwise(line)), ("roads:even", "sum", ""), ("sum", "even", ""), ("roads:odd", "odd", ""))
    roles = session.flows.start_project(project(six, edges)).roles
    expected = {name: interface.rpartition("/")[2] for name, (_, interface, _) in six.items()}
    budget.expect_equal("TOPO-014", roles, expected, "the roles of nodes, by their interfaces")
    for wrong in ("unknown", "torvyn:streaming/sourcex", "torvyn:streaming", "torvyn:streaming/process", "torvyn:filtering/processor"):
        files = project({**LINE, "middle": ("uppercase", wrong, "")}, STRAIGHT)
        state, _, _ = outcome(session, files)
        budget.expect_equal("TOPO-014", state, "refused", f"a node with the interface {wrong!r}", evidence={"interface": wrong})

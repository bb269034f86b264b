"""What is wrong with a configuration (CFG-001 to CFG-004, CFG-016, CFG-018 to CFG-020): files, fields, flows, policies, unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from conformance.areas.configured import HEAD, SINK, Written, edge, errors_of, flow, load, mistakes, must_load, node, shown
from conformance.areas.workshop import Workshop, workshop
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.settings import SETTINGS, all_keys, keys_of, misspelt
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

GOOD = Written(manifest=HEAD + flow("main"))


@checks("CFG-001", facet=Facet.CONFIG, kind="example")
def files_have_errors_of_their_own(session: Session, budget: Budget) -> None:
    """A missing, an unreadable and a broken manifest give one error each, and each another one."""
    must_load(session, GOOD)
    broken = f"{HEAD}[runtime\nworker_threads = \nfoo = 1\n"
    kinds: dict[str, str] = {}
    with workshop() as place:
        cases = {
            "a missing file": place.folder("empty"),
            "a folder in its place": _folder(place),
            "a syntax error": place.project({"Torvyn.toml": broken.encode()}),
        }
        home = place.folder("home")
        for what, project in cases.items():
            try:
                session.config.load(project, home)
            except Refused as refused:
                found = errors_of(refused)
            else:
                budget.expect("CFG-001", holds=False, message=f"{what} was accepted", expected="a refusal")
                return
            evidence = {"case": what, "errors": found}
            budget.expect_equal("CFG-001", len(found), 1, f"the number of errors for {what}", evidence=evidence)
            kinds[what] = found[0].get("kind", "")
    apart = len(set(kinds.values())) == len(kinds)
    budget.expect("CFG-001", apart, "two kinds of broken files have the same error", expected="three kinds", found=kinds)


def _folder(place: Workshop) -> Path:
    project = place.folder("odd")
    (project / "Torvyn.toml").mkdir()
    return project


BAD: Mapping[str, str] = {
    "runtime.max_memory_per_component": '"12MB"',
    "runtime.default_fuel_per_invocation": "0",
    "runtime.scheduling.policy": '"bogus"',
    "runtime.scheduling.default_priority": "11",
    "runtime.backpressure.default_queue_depth": "0",
    "runtime.backpressure.backpressure_policy": '"bogus"',
    "observability.tracing_exporter": '"bogus"',
    "observability.tracing_sample_rate": "1.5",
    "observability.metrics_exporter": '"bogus"',
    "security.default_capability_policy": '"maybe"',
    "flow.main.nodes.a.priority": "0",
    "flow.main.nodes.b.max_memory": '"much"',
}
"""Keys with a value of the right type that is wrong: a parser that stops at a wrong type has not come to validation."""


@checks("CFG-002", facet=Facet.CONFIG, kind="machine")
def all_bad_fields_are_told(session: Session, budget: Budget) -> None:
    """Any set of bad fields gives an error for each of them and for nothing else, whatever order they stand in."""
    must_load(session, GOOD)

    def law(keys: tuple[str, ...]) -> None:
        lines = "".join(f"{key} = {BAD[key]}\n" for key in keys)
        nodes = dict.fromkeys(("a", "b"), f'component = "x.wasm"\ninterface = "{SINK}"')
        body = "".join(f"flow.main.nodes.{name}.{line}\n" for name, text in nodes.items() for line in text.splitlines())
        written = Written(manifest=lines + body + HEAD + edge("main"))
        found = mistakes(session, written) or ()
        told = sorted({one.get("field", "") for one in found})
        budget.expect_equal("CFG-002", told, sorted(keys), "the fields with an error", evidence=shown(written))

    law(("runtime.scheduling.default_priority", "observability.tracing_sample_rate", "flow.main.nodes.a.priority"))
    law(tuple(BAD))
    law(tuple(BAD)[::-1])
    drawn = st.lists(st.sampled_from(sorted(BAD)), min_size=1, max_size=6, unique=True).map(tuple)
    budget.for_all(drawn, law, max_examples=20)


def _expect_refused(session: Session, budget: Budget, rule: str, written: Written, what: str, least: int = 1) -> None:
    """Expect a refusal with at least so many errors."""
    found = mistakes(session, written)
    budget.expect(rule, found is not None, f"{what} was accepted", expected="a refusal", evidence=shown(written))
    told = len(found or ())
    budget.expect(rule, told >= least, f"errors for {what}", expected=f"at least {least}", found=found, evidence=shown(written))


def _expect_loaded(session: Session, budget: Budget, rule: str, written: Written, what: str) -> None:
    found = mistakes(session, written)
    budget.expect(rule, found is None, f"{what} was refused", expected="accepted", found=found, evidence=shown(written))


@checks("CFG-003", facet=Facet.CONFIG, kind="table")
def flows_have_nodes_and_edges(session: Session, budget: Budget) -> None:
    """Flows of no node, one node, or no edge are refused in both files; two nodes and one edge are enough."""
    # One node cannot have an edge that is right: that it is too few shows in the number of mistakes.
    cases = {
        "a flow of nothing": ("[flow.main]\n", 2),
        "a flow of no nodes": ('[flow.main]\ndescription = "empty"\nedges = []\n', 2),
        "a flow of one node and an edge to itself": (node("main", "a") + edge("main", "a", "a"), 2),
        "a flow of one node without edges": (node("main", "a"), 2),
        "a flow without edges": (node("main", "a") + node("main", "b"), 1),
        "a flow with an empty list of edges": ("[flow.main]\nedges = []\n" + node("main", "a") + node("main", "b"), 1),
    }
    for what, (body, least) in cases.items():
        _expect_refused(session, budget, "CFG-003", Written(manifest=HEAD + body), what, least)
        beside = Written(manifest=HEAD + flow("other"), pipeline=body)
        _expect_refused(session, budget, "CFG-003", beside, f"{what} in pipeline.toml", least)
    _expect_loaded(session, budget, "CFG-003", GOOD, "a flow of two nodes and an edge")
    _expect_loaded(session, budget, "CFG-003", Written(pipeline=flow("main")), "such a flow in pipeline.toml")


@checks("CFG-004", facet=Facet.CONFIG, kind="table")
def edges_lead_between_nodes(session: Session, budget: Budget) -> None:
    """An unknown node at either end or at both, and an edge from a node to itself, in both spellings of an edge."""
    nodes = node("main", "a") + node("main", "b")
    spelt = '[[flow.main.edges]]\nfrom = "{}:default"\nto = "{}:default"\n'
    cases = (("a", "nowhere", 1), ("nowhere", "b", 1), ("nowhere", "elsewhere", 2), ("a", "a", 1), ("b", "b", 1), ("a", "A", 1))
    for source, target, least in cases:
        for text in (edge("main", source, target), spelt.format(source, target)):
            what = f"an edge from {source} to {target}"
            _expect_refused(session, budget, "CFG-004", Written(manifest=HEAD + nodes + edge("main") + text), what, least)
            _expect_refused(session, budget, "CFG-004", Written(pipeline=nodes + edge("main") + text), f"{what} in pipeline.toml", least)
    for text in (edge("main"), spelt.format("a", "b")):
        _expect_loaded(session, budget, "CFG-004", Written(manifest=HEAD + nodes + text), "an edge from a to b")


POLICIES = ("block-producer", "drop-oldest", "drop-newest", "error")
WRONG = ("bogus", "Block-Producer", "block_producer", "drop", "", "blocking")


def _policy_places(value: str) -> dict[str, Written]:
    line = f'backpressure_policy = "{value}"'
    return {
        "an edge": Written(manifest=HEAD + flow("main", edges=edge("main", more=f'backpressure.backpressure_policy = "{value}"'))),
        "a flow": Written(manifest=HEAD + flow("main", f"backpressure.{line}")),
        "a flow of pipeline.toml": Written(pipeline=flow("main", f"backpressure.{line}")),
        "the runtime": Written(manifest=f"runtime.backpressure.{line}\n" + HEAD + flow("main")),
    }


@checks("CFG-016", facet=Facet.CONFIG, kind="table")
def policies_are_known(session: Session, budget: Budget) -> None:
    """Unknown overflow policies are refused wherever they stand; the known ones are in effect, and `block` means `block-producer`."""
    for value in WRONG:
        for place, written in _policy_places(value).items():
            _expect_refused(session, budget, "CFG-016", written, f"the policy {value!r} of {place}")
    for value in (*POLICIES, "block"):
        for place, written in _policy_places(value).items():
            try:
                found = [stream.policy for each in load(session, written).flows for stream in each.streams]
            except Refused as refused:
                found = [f"refused: {refused.message}"]
            expected = ["block-producer" if value == "block" else value]
            budget.expect_equal("CFG-016", found, expected, f"the policy {value!r} of {place}", evidence=shown(written))


@checks("CFG-018", facet=Facet.CONFIG, kind="table")
def scheduling_policies_are_known(session: Session, budget: Budget) -> None:
    """A flow's unknown scheduling policy is refused inline and in pipeline.toml; the three known ones are accepted in both."""
    for value in ("bogus", "Round-Robin", "fifo", ""):
        body = flow("main", f'scheduling_policy = "{value}"')
        _expect_refused(session, budget, "CFG-018", Written(manifest=HEAD + body), f"the scheduling policy {value!r} of an inline flow")
        _expect_refused(session, budget, "CFG-018", Written(pipeline=body), f"the scheduling policy {value!r} in pipeline.toml")
    for value in ("round-robin", "weighted-fair", "priority"):
        body = flow("main", f'scheduling_policy = "{value}"')
        for written in (Written(manifest=HEAD + body), Written(pipeline=body)):
            _expect_loaded(session, budget, "CFG-018", written, f"the scheduling policy {value!r}")


def _levels(key: str) -> dict[str, Written]:
    """Return projects with an unknown key, one for each level of the files."""
    line, good = f"{key} = 1\n", HEAD + flow("main")
    component = '[[component]]\nname = "x"\npath = "x.wasm"\n'
    return {
        "top": Written(manifest=line + good),
        "torvyn": Written(manifest=f"[torvyn]\nname = 'j'\nversion = '0.1.0'\ncontract_version = '0.1.0'\n{line}" + flow("main")),
        **{
            table: Written(manifest=f"{table}.{line}{good}")
            for table in ("runtime", "runtime.scheduling", "runtime.backpressure", "observability", "security", "registry", "build", "test")
        },
        "component": Written(manifest=HEAD + component + line + flow("main")),
        "flow": Written(manifest=HEAD + flow("main", line)),
        "node": Written(manifest=HEAD + flow("main", a=line)),
        "edge": Written(manifest=HEAD + flow("main", edges=edge("main", more=line))),
        "pipeline.toml": Written(pipeline=line + flow("main")),
        "runtime of pipeline.toml": Written(pipeline=f"runtime.{line}" + flow("main")),
        "node of pipeline.toml": Written(pipeline=flow("main", b=line)),
    }


NEAR: Mapping[str, tuple[str, str]] = {
    "torvyn": ("descripton", "description"),
    "runtime": ("worker_thread", "worker_threads"),
    "runtime.scheduling": ("polcy", "policy"),
    "runtime.backpressure": ("default_queue_deph", "default_queue_depth"),
    "observability": ("tracing_exporterr", "tracing_exporter"),
    "security": ("default_capability_polices", "default_capability_policy"),
    "registry": ("defualt", "default"),
    "build": ("relase", "release"),
    "test": ("timeout_second", "timeout_seconds"),
    "component": ("langauge", "language"),
    "flow": ("default_queue_dept", "default_queue_depth"),
    "node": ("fuel_budgets", "fuel_budget"),
    "edge": ("queue_dpeth", "queue_depth"),
    "runtime of pipeline.toml": ("wroker_threads", "worker_threads"),
    "node of pipeline.toml": ("max_memry", "max_memory"),
    "top": ("obserability", "observability"),
    "pipeline.toml": ("runtme", "runtime"),
}
"""For each level a misspelt key, within one edit per three characters, and what was meant."""
FAR = "zzqqxxjjkk"


@checks("CFG-019", facet=Facet.CONFIG, kind="machine")
def unknown_keys_are_errors(session: Session, budget: Budget) -> None:
    """An unknown key at every level is an error; near a known key it says which was meant, far from all it suggests nothing."""
    must_load(session, GOOD)
    for level, (wrong, meant) in NEAR.items():
        for key in (wrong, FAR):
            written = _levels(key)[level]
            found = mistakes(session, written)
            message = f"an unknown key in {level} was accepted"
            budget.expect("CFG-019", found is not None, message, expected="a refusal", evidence=shown(written))
            about = [one for one in found or () if key in one.get("field", "") or key in one.get("message", "")]
            budget.expect("CFG-019", about, f"no error is about {key} in {level}", found=found, evidence=shown(written))
            hint = about[0].get("hint", "")
            if key == FAR:
                suggests = "did you mean" in hint.lower()
                budget.expect("CFG-019", not suggests, f"a suggestion for {key} in {level}", expected="none", found=hint)
            else:
                budget.expect(
                    "CFG-019", meant in hint, f"the hint for {key} in {level}", expected=meant, found=hint, evidence=shown(written)
                )

    def law(case: tuple[str, int, str, str]) -> None:
        key, at, letter, kind = case
        table, _, name = key.rpartition(".")
        wrong = misspelt(name, at, letter, kind)
        if wrong in keys_of(table):
            return
        written = Written(manifest=f"{table}.{wrong} = 1\n" + HEAD + flow("main"))
        found = mistakes(session, written)
        budget.expect("CFG-019", found is not None, f"the unknown key {wrong} was accepted", evidence=shown(written))
        hint = next((one.get("hint", "") for one in found or () if one.get("field") == f"{table}.{wrong}"), "")
        budget.expect("CFG-019", name in hint, f"the hint for {wrong}", expected=name, found=found, evidence=shown(written))

    keys = sorted(key for key in all_keys() if key in SETTINGS and len(key.rpartition(".")[2]) >= 6)
    drawn = st.tuples(st.sampled_from(keys), st.integers(1, 30), st.sampled_from("aeqz_"), st.sampled_from(("drop", "add", "swap")))
    budget.for_all(drawn, law, max_examples=25)


@checks("CFG-020", facet=Facet.CONFIG, kind="example")
def the_first_flow_is_the_default(session: Session, budget: Budget) -> None:
    """Of three flows the default is the first in file order (or, as accepted, the first of the alphabet), wherever they stand."""
    for names in (("m", "a", "z"), ("z", "m", "a"), ("b", "c", "d"), ("only",)):
        body = "".join(flow(name) for name in names)
        for written in (Written(manifest=HEAD + body), Written(pipeline=body)):
            try:
                found = load(session, written).default_flow
            except Refused as refused:
                found = f"refused: {refused.message}"
            fits = found in {names[0], min(names)}
            budget.expect("CFG-020", fits, f"the default of {', '.join(names)}", expected=names[0], found=found, evidence=shown(written))

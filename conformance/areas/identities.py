"""What real components are, told by their bytes, and which patches of the contract are one contract (CON-002, CON-013)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from conformance.areas.imports import REAL, bindings
from conformance.areas.linking import LINE, STRAIGHT, must_link, shown, told
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.pipelines import ALLOCATOR, TYPES, node, pipeline
from conformance.subjects import protocol as p
from conformance.subjects.guests import component
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

EMPTY = b"\0asm\x0d\0\x01\0"
"""The smallest component: it imports nothing and exports nothing."""


def _patched(name: str, version: str) -> bytes:
    """Return a component of the corpus as if it had been built against another patch of the contract; the names keep their length."""
    return component(name).replace(b"@0.1.0", f"@{version}".encode())


@checks("CON-002", facet=Facet.CONTRACTS, kind="table")
def a_component_is_what_it_exports(session: Session, budget: Budget) -> None:
    """Real components of every role, with and without a life cycle; one that exports nothing; and each in a node of another role."""
    for role, names in REAL.items():
        for name in names:
            found = session.contracts.identify(component(name))
            budget.expect_equal("CON-002", found.role, role, f"the role of {name}", evidence={"exports": found.exports})
    try:
        role = session.contracts.identify(EMPTY).role
    except Refused as refused:
        fits = refused.kind == "no-exported-interface"
        budget.expect("CON-002", fits, "a component without exports", expected="no-exported-interface", found=refused.kind)
    else:
        budget.expect("CON-002", holds=False, message="a component without exports has a role", found=role)
    for place, role in ((0, "source"), (1, "processor"), (2, "sink")):
        for other in REAL:
            if other == role:
                continue
            nodes = [p.PipelineNode(one.name, one.interface, component(REAL[one_role][0])) for one, one_role in _roles(LINE)]
            nodes[place] = msgspec.structs.replace(nodes[place], component=component(REAL[other][0]))
            (outcome,) = session.contracts.link(pipeline(nodes, *STRAIGHT))
            message = f"a {other} is linked as a {role}"
            budget.expect("CON-002", not outcome.ok, message, expected="refused", found="ok")


def _roles(nodes: Iterable[p.PipelineNode]) -> list[tuple[p.PipelineNode, str]]:
    return [(one, one.interface.rpartition("/")[2]) for one in nodes]


@checks("CON-013", facet=Facet.CONTRACTS, kind="table")
def patches_of_the_contract_are_one_contract(session: Session, budget: Budget) -> None:
    """Imports of 0.1.0, of later 0.1.x and without a version, by name and in the bytes of real components, are all served by the host."""
    must_link(session)
    bare = [name.partition("@")[0] for name in (TYPES, ALLOCATOR)]
    for version in ("", "@0.1.0", "@0.1.1", "@0.1.9", "@0.1.27"):
        wanted = tuple(f"{name}{version}" for name in bare)
        middle = msgspec.structs.replace(node("through", "processor"), imports=wanted)
        asked = pipeline((LINE[0], middle, LINE[2]), *STRAIGHT)
        (outcome,) = session.contracts.link(asked)
        evidence = {"imports": wanted, "diagnostics": told(outcome)}
        budget.expect("CON-013", outcome.ok, f"imports of {version or 'no version'} are refused", found=told(outcome), evidence=evidence)
        found = {name: provider for name, (provider, _) in bindings(outcome, "through").items()}
        budget.expect_equal("CON-013", found, dict.fromkeys(wanted, "torvyn"), "what serves the imports", evidence=evidence)
    for version in ("0.1.1", "0.1.9"):
        names = (REAL["source"][0], REAL["processor"][1], REAL["sink"][0])
        for name, (role, known) in zip(names, REAL.items(), strict=False):
            try:
                found_role = session.contracts.identify(_patched(name, version)).role
            except Refused as refused:
                found_role = f"refused: {refused}"
            budget.expect_equal("CON-013", found_role, role, f"the role of {name} built for {version}", evidence={"like": known})
        nodes = [p.PipelineNode(one.name, one.interface, _patched(name, version)) for one, name in zip(LINE, names, strict=True)]
        asked = pipeline(nodes, *STRAIGHT)
        (outcome,) = session.contracts.link(asked)
        budget.expect("CON-013", outcome.ok, f"components built for {version} are refused", found=told(outcome), evidence=shown(asked))

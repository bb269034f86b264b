"""How a flow comes up (FLOW-018)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.strategies import fan_in, fan_out, flows, line
from conformance.subjects.protocol import Answer, Facet, FlowSpec
from conformance.subjects.session import Session
from conformance.traces.search import search_flows


def with_lifecycles(spec: FlowSpec, **faults: Answer) -> FlowSpec:
    """Return a flow in which every component has a life cycle; the named ones answer `init` with something else than ok."""
    stages = tuple(
        with_(stage, script=with_(stage.script, lifecycle=True, init=faults.get(stage.name, Answer("ok")))) for stage in spec.stages
    )
    return with_(spec, stages=stages)


SHAPES = (line("processor", "filter"), fan_out(3), fan_in(role="filter"), line("router", "aggregator"))


def one_bad_init(spec: FlowSpec) -> Iterator[FlowSpec]:
    """Yield the flow with each component in turn failing its init, and trapping in it."""
    for stage in spec.stages:
        for fault in (Answer("error"), Answer("trap", keeps=1)):
            yield with_lifecycles(spec, **{stage.name: fault})


@checks("FLOW-018", facet=Facet.FLOWS, kind="monitor")
def initialised_in_order(session: Session, budget: Budget) -> None:
    """Init comes once per component, upstream first, before any element; when one fails, the others are torn down and nothing runs."""
    stories = [with_lifecycles(spec) for spec in SHAPES]
    stories += [bad for spec in SHAPES for bad in one_bad_init(spec)]
    search_flows(session, budget, "FLOW-018", stories, flows())

"""A fault at every place (OWN-036): the same small flows again and again, each time with one thing going wrong one call later.

Where a flow breaks decides which buffers are where: in a queue, lent, just returned, kept by a component. So every place gets its turn.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.strategies import EMIT, END, fan_out, line
from conformance.subjects.protocol import Answer, Command, Facet, FlowSettings, FlowSpec, StageSpec
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import judge_flow, run_flow

ELEMENTS = 3
SMALL = (
    line("processor", elements=ELEMENTS, capacity=2, schedule="producer-first"),
    line("processor", "aggregator", elements=ELEMENTS),
    fan_out(2, elements=ELEMENTS, capacity=2, schedule="producer-first"),
)
FAULTS = (Answer("error", keeps=1), Answer("trap", keeps=1))
IMPATIENT = FlowSettings(drain_timeout_ms=0)


def cancelled_after_every_call(spec: FlowSpec, calls: int) -> Iterator[FlowSpec]:
    """Yield the flow cancelled before its first call, and after each of its calls; drained, and discarded at once."""
    for number in range(calls + 1):
        yield with_(spec, commands=(Command(number),))
        yield with_(spec, commands=(Command(number),), settings=IMPATIENT)


def broken_at_every_answer(spec: FlowSpec) -> Iterator[FlowSpec]:
    """Yield the flow with each stage failing, and trapping, at each of its answers, while it keeps a buffer of its own."""
    for place, stage in enumerate(spec.stages):
        for number in range(ELEMENTS):
            for fault in FAULTS:
                stages = (*spec.stages[:place], _breaking(stage, number, fault), *spec.stages[place + 1 :])
                yield with_(spec, stages=stages)


def _breaking(stage: StageSpec, number: int, fault: Answer) -> StageSpec:
    usual = EMIT if stage.role == "source" else stage.script.then
    answers = (*stage.script.answers, *(usual for _ in range(ELEMENTS) if usual is not None))
    then = END if stage.role == "source" else stage.script.then
    return with_(stage, script=with_(stage.script, answers=(*answers[:number], fault, *answers[number + 1 : ELEMENTS]), then=then))


@checks("OWN-036", facet=Facet.FLOWS, kind="example", name="a-fault-at-every-place")
def a_fault_at_every_place(session: Session, budget: Budget) -> None:
    """Wherever a small flow is cancelled, fails or traps, no buffer is left."""
    for spec in SMALL:
        calls = sum(isinstance(event, e.Called) for event in run_flow(session, spec).trace)
        for broken in (*cancelled_after_every_call(spec, calls), *broken_at_every_answer(spec)):
            judge_flow(session, budget, "OWN-036", broken)

"""Whose turn it is, and for how long (SCHED-005, SCHED-007 to SCHED-010, SCHED-013, SCHED-014)."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.models.flow import BATCHES
from conformance.strategies import ANYTHING, EMIT, END, PAUSE, fan_in, flows, line
from conformance.subjects.protocol import Answer, Command, Facet, FlowSettings, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.search import judge_flow, run_flow, search_flows, with_flow

ENDLESS = Script((), EMIT)
FAILING = Script((), Answer("error", kind="unavailable"))
PRIORITIES = replace(ANYTHING, priorities=True, elements=40, most_middle=2, failing=False)
MOST, FEWEST = 256, 1
WINDOW_MS = 200


def endless(sources: int, schedule: str, *, role: str = "processor", capacity: int = 4) -> FlowSpec:
    """Return sources that never end, merged; the run is bounded by its calls."""
    spec = fan_in(elements=(0,) * sources, role=role, schedule=schedule, capacity=capacity)
    stages = tuple(with_(stage, script=ENDLESS) if stage.role == "source" else stage for stage in spec.stages)
    return with_(spec, stages=stages, max_calls=1000)


@checks("SCHED-005", facet=Facet.FLOWS, kind="monitor")
def sources_take_turns(session: Session, budget: Budget) -> None:
    """Of several sources that never end each is pulled again and again, and each arrives, under every schedule of the runtime's own."""
    judge_flow(
        session, budget, "SCHED-005", with_(endless(2, "consumer-first"), max_calls=240)
    )  # what starves at once shows in a short run
    for sources, schedule in ((2, "consumer-first"), (3, "consumer-first"), (2, "producer-first"), (3, "producer-first")):
        for role in ("processor", "filter"):
            spec = endless(sources, schedule, role=role)
            reply = judge_flow(session, budget, "SCHED-005", spec)
            pulls = [
                sum(isinstance(v, e.Called) and v.stage == f"source{i}" and v.fn == "pull" for v in reply.trace) for i in range(sources)
            ]
            budget.touch("SCHED-005")
            if min(pulls) * 64 < sum(pulls):
                raise with_flow(
                    Violation("SCHED-005", "pulls of sources that never end", expected="each in its turn", found=pulls), spec, reply
                )
    search_flows(session, budget, "SCHED-005", (), flows(replace(ANYTHING, most_sources=3, elements=40, most_middle=1)), examples=15)


@checks("SCHED-007", facet=Facet.FLOWS, kind="monitor")
def priority_sets_the_batch(session: Session, budget: Budget) -> None:
    """Critical 128, high 64, normal 32, low 16, background 8 executions between two yields."""
    stories = [line(elements=140, settings=FlowSettings(elements_per_yield=None, priority=priority)) for priority in BATCHES]
    search_flows(session, budget, "SCHED-007", stories, flows(PRIORITIES))


@checks("SCHED-008", facet=Facet.FLOWS, kind="example")
def batches_are_bounded(session: Session, budget: Budget) -> None:
    """A batch of 0 or of 257 is refused before the flow starts; 1 and 256 are accepted."""
    for batch, valid in ((0, False), (MOST + 1, False), (100_000, False), (FEWEST, True), (MOST, True)):
        spec = line(settings=FlowSettings(elements_per_yield=batch))
        try:
            session.flows.run(spec)
            accepted = True
        except Refused:
            accepted = False
        budget.expect_equal("SCHED-008", accepted, valid, f"whether {batch} executions between two yields are accepted")


@checks("SCHED-009", facet=Facet.FLOWS, kind="monitor")
def executions_are_counted(session: Session, budget: Budget) -> None:
    """100 elements from source to sink are 201 executions and, at 32 each, 6 yields."""
    spec = line(elements=100)
    reply = run_flow(session, spec)
    found = [event.n for event in reply.trace if isinstance(event, e.Yielded)]
    budget.touch("SCHED-009")
    if found != [32] * 6:
        raise with_flow(Violation("SCHED-009", "the yields of 201 executions", expected=[32] * 6, found=found), spec, reply)
    stories = [line("processor", elements=30, settings=FlowSettings(elements_per_yield=4))]
    search_flows(session, budget, "SCHED-009", stories, flows())


@checks("SCHED-010", facet=Facet.FLOWS, kind="monitor")
def explicit_batches_win(session: Session, budget: Budget) -> None:
    """A flow with a batch size of its own yields after that many executions, whatever its priority."""
    stories = [line(elements=20, settings=FlowSettings(elements_per_yield=4, priority=priority)) for priority in BATCHES]
    search_flows(session, budget, "SCHED-010", stories, flows(PRIORITIES))


@checks("SCHED-011", facet=Facet.FLOWS, kind="monitor", requires=("watchdog",))
def overdue_flows_are_told_of(session: Session, budget: Budget) -> None:
    """A component that is busy for 50 ms gives one warning, and its flow goes on; short calls and long waits give none."""
    busy = Answer("emit", spends_ns=50_000_000)
    nearly = Script((Answer("emit", spends_ns=9_999_999),) * 3, END)
    stories = [
        line(scripts={"source": Script((EMIT, busy, EMIT), END)}, settings=FlowSettings(elements_per_yield=1)),
        line("processor", scripts={"processor": Script((busy,), EMIT)}),
        line(scripts={"source": nearly}, settings=FlowSettings(elements_per_yield=1)),
        line(scripts={"source": nearly}),
        line(elements=9, scripts={"sink": Script((), PAUSE)}, settings=FlowSettings(sink_pause_delay_ms=50)),
    ]
    warnings = (1, 1, 0, 1, 0)
    for story, expected in zip(stories, warnings, strict=True):
        reply = judge_flow(session, budget, "SCHED-011", story)
        found = (sum(isinstance(event, e.Overdue) for event in reply.trace), reply.state)
        budget.touch("SCHED-011")
        if found != (expected, "Completed"):
            violation = Violation("SCHED-011", "warnings, and how the flow ended", expected=(expected, "Completed"), found=found)
            raise with_flow(violation, story, reply)
    search_flows(session, budget, "SCHED-011", (), flows(replace(ANYTHING, timed=True)), examples=15)


@checks("SCHED-013", facet=Facet.FLOWS, kind="monitor", requires=("virtual_clock",))
def idle_flows_hear_a_cancel(session: Session, budget: Budget) -> None:
    """A flow that waits for a timer drains when it is cancelled and not when the timer ends, and calls nobody meanwhile."""
    waiting = FlowSettings(error_policy="retry", max_retries=3, backoff_ms=10_000)
    held = FlowSettings(sink_pause_delay_ms=50)
    stories = [
        line(scripts={"source": FAILING}, settings=waiting, commands=(Command(1, at_ms=300),)),
        line("processor", scripts={"processor": Script((Answer("error"),), EMIT)}, settings=waiting, commands=(Command(2, at_ms=5),)),
        line(elements=9, scripts={"sink": Script((), PAUSE)}, settings=held, commands=(Command(2, at_ms=20),)),
    ]
    for story in stories:
        reply = judge_flow(session, budget, "SCHED-013", with_(story, max_calls=100))
        drained = next(at for at, event in enumerate(reply.trace) if isinstance(event, e.StateChanged) and event.new == "Draining")
        calls = sum(isinstance(event, e.Called) for event in reply.trace[:drained])
        budget.touch("SCHED-013")
        if calls > 8:
            violation = Violation("SCHED-013", "calls of a flow that has nothing to do", expected="the first few", found=calls)
            raise with_flow(violation, story, reply)


@checks("SCHED-014", facet=Facet.FLOWS, kind="monitor")
def failing_sources_rest(session: Session, budget: Budget) -> None:
    """A source that always fails is not pulled more than once per millisecond, while the flow goes on without its elements."""
    for policy, window in (("skip", WINDOW_MS // 10), ("skip", WINDOW_MS), ("log-and-continue", WINDOW_MS)):
        settings = FlowSettings(error_policy=policy, deadline_ms=window)
        spec = with_(line(scripts={"source": FAILING}, settings=settings), max_calls=10 * window)
        reply = judge_flow(session, budget, "SCHED-014", spec)
        pulls = sum(isinstance(event, e.Called) and event.fn == "pull" for event in reply.trace)
        budget.touch("SCHED-014")
        if not 1 <= pulls <= window + 1:
            violation = Violation("SCHED-014", f"pulls of a failing source in {window} ms", expected=f"1..{window + 1}", found=pulls)
            raise with_flow(violation, spec, reply)
    search_flows(session, budget, "SCHED-014", (), flows(), examples=10)

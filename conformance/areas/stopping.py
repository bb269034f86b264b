"""Stopping in bounded time and in order: cancels in the middle of calls, drains, deadlines, teardown (CANCEL)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.areas.lifecycle import ALL, COMPLETE_FAILED
from conformance.areas.projects import LINE, NUMBERS, STRAIGHT, project
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.strategies import ANYTHING, EMIT, END, PAUSE, READY, fan_out, flows, line
from conformance.subjects.protocol import Answer, Command, Facet, FlowRunReply, FlowSettings, FlowSpec, Script
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.offered import within
from conformance.traces.search import calls_of, drops, errors_of, expect_flow, pushed, run_flow, search_flows

MS = 1_000_000
FAST = FlowSettings(call_timeout_ms=4000, cooperative_ms=100, interrupt_grace_ms=50, drain_timeout_ms=200, teardown_timeout_ms=30)
"""Bounds that can be told apart, and from their defaults."""
TICK_MS = 20
"""How late a bound may be kept: interruptions come at the ticks of an epoch."""
HANG, DEAF = Answer("hang"), Answer("hang", deaf=True)
PLACES = {"source": EMIT, "processor": EMIT, "sink": READY}


def taking(place: str, answer: Answer, *, elements: int = 4, settings: FlowSettings = FAST, commands: tuple[Command, ...] = ()) -> FlowSpec:
    """Return source, processor, sink, one of which answers its second call like this."""
    usual = PLACES[place]
    rest = (EMIT,) * (elements - 2)
    script = Script((EMIT, answer, *rest), END) if place == "source" else Script((usual, answer), usual)
    return line("processor", elements=elements, scripts={place: script}, settings=settings, commands=commands)


def never_complete(answer: Answer, settings: FlowSettings, *, commands: tuple[Command, ...] = ()) -> FlowSpec:
    """Return a flow whose sink never comes back from `complete`."""
    return line(elements=1, scripts={"sink": Script((), READY, complete=answer)}, settings=settings, commands=commands)


def took_ms(reply: FlowRunReply) -> float:
    """Return a flow's whole virtual time in milliseconds."""
    return (reply.trace[-1].at - reply.trace[0].at) / MS


def _within(
    rule: str, budget: Budget, spec: FlowSpec, reply: FlowRunReply, message: str, least: float, most: float, *, ends: tuple[str, ...]
) -> None:
    """Evaluate when a flow is over, and as what."""
    took = took_ms(reply)
    expect_flow(rule, budget, spec, reply, message, f"{least} to {most} ms", took, holds=least <= took <= most)
    expect_flow(rule, budget, spec, reply, "its end", " or ".join(ends), reply.state, holds=reply.state in ends)


@checks("CANCEL-002", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def a_call_in_flight_counts(session: Session, budget: Budget) -> None:
    """A call in flight at the cancel that returns within the cooperative timeout is finished, and what it made is delivered."""
    for place, usual in PLACES.items():
        for cooperative, spends in ((1000, 100), (1000, 990), (100, 90)):
            slow = with_(usual, spends_ns=spends * MS)
            spec = taking(place, slow, settings=with_(FAST, cooperative_ms=cooperative), commands=(Command(0, at_ms=5),))
            reply = run_flow(session, spec)
            expect_flow("CANCEL-002", budget, spec, reply, "its end", "Cancelled", reply.state)
            expect_flow(
                "CANCEL-002", budget, spec, reply, f"elements delivered: the {place} was busy with the second", 2, len(pushed(reply))
            )
            expect_flow("CANCEL-002", budget, spec, reply, "errors", [], errors_of(reply))


@checks("CANCEL-003", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def interrupted_then_dropped(session: Session, budget: Budget) -> None:
    """A call that does not return is interrupted when the cooperative timeout is over; a deaf instance is dropped."""
    for place in PLACES:
        for cooperative, grace in ((1000, 500), (100, 50)):
            settings = with_(FAST, cooperative_ms=cooperative, interrupt_grace_ms=grace)
            for answer, due in ((HANG, cooperative), (DEAF, cooperative + grace)):
                spec = taking(place, answer, settings=settings, commands=(Command(0, at_ms=5),))
                reply = run_flow(session, spec)
                message = f"when a flow is over that was cancelled after 5 ms, in the middle of a call of the {place}"
                _within("CANCEL-003", budget, spec, reply, message, 5 + due, 5 + due + TICK_MS, ends=("Cancelled",))
    for answer, due in ((HANG, FAST.cooperative_ms), (DEAF, FAST.cooperative_ms + FAST.interrupt_grace_ms)):
        spec = never_complete(answer, FAST, commands=(Command(0, at_ms=5),))
        reply = run_flow(session, spec)
        message = "when a flow is over that was cancelled after 5 ms, while its sink was told that all was complete"
        _within("CANCEL-003", budget, spec, reply, message, 5 + due, 5 + due + TICK_MS, ends=("Cancelled", "Failed"))


@st.composite
def _stuck(draw: st.DrawFn) -> FlowSpec:
    """Draw a flow with calls of any length, cancelled at any time."""
    lengths = st.sampled_from((0, 1, 30, 90, 150, 900))

    def answer(usual: Answer) -> Answer:
        kind = draw(st.sampled_from(("usual", "usual", "usual", "hang", "deaf")))
        if kind != "usual":
            return HANG if kind == "hang" else DEAF
        return with_(usual, spends_ns=draw(lengths) * MS)

    scripts = {
        place: Script(tuple(answer(usual) for _ in range(3)), END if place == "source" else usual) for place, usual in PLACES.items()
    }
    teardown = draw(st.sampled_from((Answer("ok"), HANG)))
    scripts["sink"] = with_(scripts["sink"], lifecycle=True, teardown=teardown, complete=draw(st.sampled_from((Answer("ok"), HANG, DEAF))))
    return line(
        "processor",
        capacity=draw(st.sampled_from((1, 4))),
        schedule=draw(st.sampled_from(("consumer-first", "producer-first"))),
        scripts=scripts,
        settings=with_(FAST, drain_timeout_ms=draw(st.sampled_from((0, 50, 200)))),
        commands=(Command(0, at_ms=draw(st.sampled_from((0, 1, 40, 200, 700)))),),
    )


@checks("CANCEL-004", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def cancelling_takes_bounded_time(session: Session, budget: Budget) -> None:
    """Whatever components do, a cancelled flow is over after cooperative timeout, escalation, drain and teardown."""

    def law(spec: FlowSpec) -> None:
        reply = run_flow(session, spec)
        cancelled = spec.commands[0].at_ms
        if took_ms(reply) <= cancelled:
            return
        settings = spec.settings
        most = settings.cooperative_ms + settings.interrupt_grace_ms + settings.drain_timeout_ms + settings.teardown_timeout_ms + TICK_MS
        took = took_ms(reply) - cancelled
        expect_flow("CANCEL-004", budget, spec, reply, "ms from the cancel to the end", f"<= {most}", took, holds=took <= most)

    for place in PLACES:
        for answer in (HANG, DEAF):
            law(taking(place, answer, commands=(Command(0, at_ms=5),)))
    budget.for_all(_stuck(), law, max_examples=60)


@checks("CANCEL-006", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def a_drain_stops_at_its_timeout(session: Session, budget: Budget) -> None:
    """A drain is over at its timeout, even in the middle of a call; what is left is reported, one by one, and released."""
    for slow, delivered in ((with_(READY, spends_ns=20 * MS), 2), (with_(READY, spends_ns=600 * MS), 0), (HANG, 0), (DEAF, 0)):
        spec = line(
            elements=20,
            capacity=8,
            schedule="producer-first",
            scripts={"sink": Script((), slow)},
            settings=with_(FAST, drain_timeout_ms=50),
            commands=(Command(6),),
        )
        reply = run_flow(session, spec)
        message = "when a flow is over that was cancelled at once and may drain for 50 ms"
        _within("CANCEL-006", budget, spec, reply, message, 50, 50 + FAST.interrupt_grace_ms + TICK_MS, ends=("Cancelled", "Failed"))
        in_flight = sum(isinstance(event, e.Returned) and event.fn == "push" and event.outcome == "trap" for event in reply.trace)
        found = (len(pushed(reply)) - in_flight, in_flight, drops(reply, "discarded"))
        expect_flow("CANCEL-006", budget, spec, reply, "delivered, in flight, discarded", (delivered, 1, 5 - delivered), found)
        expect_flow("CANCEL-006", budget, spec, reply, "buffers alive at the end", 0, reply.live_buffers)


@checks("CANCEL-006", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def a_drain_loses_nothing_unseen(session: Session, budget: Budget) -> None:
    """With consumers served first, too, a drain is over in time; its one element is delivered, given up in a call, or reported."""
    for spends in (20, 60, 600):
        spec = line(
            "processor",
            elements=3,
            scripts={"processor": Script((), with_(EMIT, spends_ns=spends * MS))},
            settings=with_(FAST, drain_timeout_ms=50),
            commands=(Command(1),),
        )
        reply = run_flow(session, spec)
        message = f"when a flow is over that may drain for 50 ms, and whose processor takes {spends} ms"
        _within("CANCEL-006", budget, spec, reply, message, 20, 50 + FAST.interrupt_grace_ms + TICK_MS, ends=("Cancelled", "Failed"))
        given_up = sum(isinstance(event, e.Returned) and event.fn == "process" and event.outcome == "trap" for event in reply.trace)
        found = len(pushed(reply)) + given_up + drops(reply, "discarded")
        expect_flow("CANCEL-006", budget, spec, reply, "elements delivered, given up in a call, or reported as discarded", 1, found)


@checks("CANCEL-006", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def a_loss_is_no_completion(session: Session, budget: Budget) -> None:
    """A flow whose sources have ended has Completed only if nothing was lost: with its drain's time up and elements left it ends Failed.

    When a runtime begins to drain is its own choice (FLOW-005): as its sources end, with elements queued, or when they are through.
    """
    for spends, role in ((20, ()), (600, ()), (20, ("processor",)), (600, ("processor",))):
        slow = with_(READY, spends_ns=spends * MS)
        scripts, settings = {"sink": Script((), slow)}, with_(FAST, drain_timeout_ms=50)
        spec = line(*role, elements=5, capacity=8, schedule="producer-first", scripts=scripts, settings=settings)
        reply = run_flow(session, spec)
        given_up = sum(isinstance(event, e.Returned) and event.fn == "push" and event.outcome == "trap" for event in reply.trace)
        lost = drops(reply, "discarded") + given_up
        delivered = len(pushed(reply)) - given_up
        expect_flow(
            "CANCEL-006", budget, spec, reply, "elements delivered, given up in a call, or reported as discarded", 5, delivered + lost
        )
        expect_flow("CANCEL-006", budget, spec, reply, f"its end, {lost} elements lost", "Failed" if lost else "Completed", reply.state)


BUSY = Script((Answer("emit", spends_ns=2 * MS),) * 50, END)
IDLE = {
    "a paused sink": line(elements=400, scripts={"sink": Script((), PAUSE)}, settings=FlowSettings(deadline_ms=50)),
    "a backoff": line(
        elements=4,
        scripts={"sink": Script((), Answer("error"))},
        settings=FlowSettings(error_policy="retry", max_retries=9, backoff_ms=60_000, deadline_ms=50, drain_timeout_ms=0),
    ),
}


@checks("CANCEL-008", facet=Facet.FLOWS, kind="example")
def busy_or_idle(session: Session, budget: Budget) -> None:
    """The deadline ends a flow that has always something to do, and one that waits."""
    busy = {
        schedule: line("processor", schedule=schedule, scripts={"source": BUSY}, settings=FlowSettings(deadline_ms=50))
        for schedule in ("consumer-first", "producer-first")
    }
    for what, spec in (busy | IDLE).items():
        reply = run_flow(session, spec)
        message = f"when a flow with a deadline of 50 ms is over ({what})"
        _within("CANCEL-008", budget, spec, reply, message, 50, 70, ends=("Failed",))
    early = line(elements=20, scripts={"source": Script((Answer("emit", spends_ns=MS),) * 20, END)}, settings=FlowSettings(deadline_ms=50))
    reply = run_flow(session, early)
    expect_flow("CANCEL-008", budget, early, reply, "the end of a flow that is done before its deadline", "Completed", reply.state)


@checks("CANCEL-008", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def in_the_middle_of_a_call(session: Session, budget: Budget) -> None:
    """The deadline ends a flow in the middle of a call, too: as a cancel would, within its bounds."""
    for place in PLACES:
        for answer, due in ((HANG, 150), (DEAF, 200)):
            spec = taking(place, answer, settings=with_(FAST, deadline_ms=50))
            reply = run_flow(session, spec)
            message = f"when a flow with a deadline of 50 ms is over whose {place} hangs"
            _within("CANCEL-008", budget, spec, reply, message, 50, due + TICK_MS, ends=("Failed",))
    for answer, due in ((HANG, 150), (DEAF, 200)):
        spec = never_complete(answer, with_(FAST, deadline_ms=50))
        reply = run_flow(session, spec)
        message = "when a flow with a deadline of 50 ms is over whose sink hangs when it is told that all was complete"
        _within("CANCEL-008", budget, spec, reply, message, 50, due + TICK_MS, ends=("Failed",))


BAD_SINKS = tuple(Script((READY, bad), READY) for bad in (Answer("error"), Answer("error", kind="fatal"), Answer("trap")))
FAULTED = tuple(
    with_(fan_out(2, elements=6, capacity=4, sinks=(script,), schedule="producer-first"), commands=commands)
    for script in BAD_SINKS
    for commands in ((), (Command(4),))
)
"""One of two sinks breaks: while the flow runs, and while it drains."""


@checks("CANCEL-010", facet=Facet.FLOWS, kind="monitor")
def complete_is_never_false_news(session: Session, budget: Budget) -> None:
    """complete() is not called on a sink that has faulted, at most once on any, and never before its last push."""
    search_flows(session, budget, "CANCEL-010", (*FAULTED, *ALL), flows(replace(ANYTHING, elements=8, most_middle=1)))


def _alive(spec: FlowSpec, *, teardown: Answer = Answer("ok")) -> FlowSpec:  # noqa: B008 -- a frozen value
    """Return a flow all of whose components have a life cycle."""
    return with_(spec, stages=tuple(with_(stage, script=with_(stage.script, lifecycle=True, teardown=teardown)) for stage in spec.stages))


LIVES = tuple(_alive(spec) for spec in (*ALL, *FAULTED[:3], COMPLETE_FAILED))
NESTED = line(
    "aggregator",
    "aggregator",
    elements=3,
    scripts={name: Script((), Answer("drop"), flush=Answer("emit", count=2)) for name in ("aggregator", "aggregator2")},
)


@checks("CANCEL-012", facet=Facet.FLOWS, kind="monitor")
def a_fixed_order(session: Session, budget: Budget) -> None:
    """Whatever ends a flow: data, flush, complete, teardown, buffers, terminal state, and nothing after `done`."""
    search_flows(session, budget, "CANCEL-012", (*LIVES, _alive(NESTED)), flows())


@checks("CANCEL-013", facet=Facet.FLOWS, kind="monitor")
def torn_down_once(session: Session, budget: Budget) -> None:
    """Every component that was initialised is torn down once, in the reverse order; the dead are left alone."""
    search_flows(session, budget, "CANCEL-013", LIVES, flows())


@checks("CANCEL-013", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def teardown_is_bounded(session: Session, budget: Budget) -> None:
    """A teardown that fails, traps or hangs is no failure of the flow, and takes at most its bound."""
    plain = line("processor", elements=2)
    for answer in (Answer("error"), Answer("trap"), HANG, DEAF):
        for bound in (30, 2000):
            spec = _alive(with_(plain, settings=with_(FAST, teardown_timeout_ms=bound)), teardown=answer)
            reply = run_flow(session, spec)
            most = 3 * (bound + TICK_MS) if answer.do == "hang" else TICK_MS
            _within("CANCEL-013", budget, spec, reply, "when a flow is over whose teardowns do not work", 0, most, ends=("Completed",))
            expect_flow("CANCEL-013", budget, spec, reply, "teardowns", 3, len(calls_of(reply, "teardown")))


AGAIN = ((4, 4), (4, 5, 6), (0, 0, 0, 0), (3, 3, 3, 9))


def _cancelled_again(session: Session, budget: Budget, spec: FlowSpec) -> None:
    """Evaluate that a flow cancelled more than once ends as one that was cancelled once."""
    once = run_flow(session, with_(spec, commands=(Command(spec.commands[0].after_calls),)))
    reply = run_flow(session, spec)
    ends = [event.new for event in reply.trace if isinstance(event, e.StateChanged)]
    expect_flow("CANCEL-014", budget, spec, reply, "the states of a flow that is cancelled again", _states(once), ends)
    expect_flow("CANCEL-014", budget, spec, reply, "`done` events", 1, sum(isinstance(event, e.Done) for event in reply.trace))
    if pushed(reply) != pushed(once):
        raise Violation("CANCEL-014", "a second cancel changes what is delivered", expected=pushed(once), found=pushed(reply))


def _states(reply: FlowRunReply) -> list[str]:
    return [event.new for event in reply.trace if isinstance(event, e.StateChanged)]


@checks("CANCEL-014", facet=Facet.FLOWS, kind="example")
def cancelling_twice(session: Session, budget: Budget) -> None:
    """A second cancel, at once or while the flow drains, changes nothing."""
    for moments in AGAIN:
        spec = line("processor", elements=20, schedule="producer-first", commands=tuple(Command(moment) for moment in moments))
        _cancelled_again(session, budget, within(spec, session.declaration.unsupported))


@checks("CANCEL-014", facet=Facet.FLOWS, kind="example", requires=("concurrency",))
def cancelling_from_threads(session: Session, budget: Budget) -> None:
    """Eight threads that cancel at once are one cancel."""
    for after in (0, 3, 7):
        spec = line("processor", elements=20, schedule="producer-first", commands=(Command(after, callers=8),))
        _cancelled_again(session, budget, within(spec, session.declaration.unsupported))


@checks("CANCEL-017", facet=Facet.FLOWS, kind="example", requires=("signals",))
def signals_stop_gracefully(session: Session, budget: Budget) -> None:
    """A process that runs a flow without end and is sent SIGINT or SIGTERM drains it, says Cancelled, and accounts for every element."""
    files = project({**LINE, "numbers": (NUMBERS[0], NUMBERS[1], 'config = "count=100000000"')}, STRAIGHT)
    for number in ("SIGINT", "SIGTERM"):
        reply = session.flows.signal_project(files, number)
        budget.expect("CANCEL-017", not reply.killed, f"{number} kills the process, or does not end it", evidence=reply)
        budget.expect_equal("CANCEL-017", reply.state, "Cancelled", f"what a flow says that was stopped by {number}", evidence=reply)
        whole = reply.entered == reply.delivered + reply.discarded and reply.delivered > 0
        budget.expect("CANCEL-017", whole, f"elements are missing after {number}", expected="in = delivered + discarded", found=reply)

"""What a component's error does to its flow (ERR)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.strategies import ANYTHING, EMIT, END, KINDS, PASS, PAUSE, READY, flows, line
from conformance.subjects.protocol import Answer, Command, EdgeSpec, Facet, FlowSettings, FlowSpec, Schedule, Script, StageSpec
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.failures import FAILING, words
from conformance.traces.search import calls_of, errors_of, expect_end, expect_flow, pushed, run_flow, search_flows

ROLES = ("source", "processor", "filter", "sink")
USUAL = {"source": EMIT, "processor": EMIT, "filter": PASS, "sink": READY}
PASSING = tuple(kind for kind in KINDS if kind != "fatal")
LENIENT = ("skip", "log-and-continue", "retry")
BROKEN = replace(ANYTHING, elements=8, most_middle=2)
UNAVAILABLE = Answer("error", kind="unavailable", message="out of order")
TWO_CIRCUITS = FlowSpec(
    (
        StageSpec("source", "source", Script((EMIT,) * 8, END)),
        StageSpec("processor", "processor", Script((EMIT, EMIT, EMIT, UNAVAILABLE), EMIT)),
        StageSpec("sink", "sink", Script((PAUSE, with_(UNAVAILABLE, spends_ns=2_000_000)), READY)),
    ),
    (EdgeSpec("source", "processor", capacity=8), EdgeSpec("processor", "sink", capacity=8)),
    Schedule("scripted", (0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1)),
    FlowSettings(error_policy="skip", breaker_threshold=1, breaker_cooldown_ms=10),
)
"""Two circuits are open: the sink's, whose pause holds the processor until its queue is empty, and the processor's."""


def failing(role: str, answers: Iterable[Answer | None], policy: str = "fail-fast", *, elements: int = 5, **settings: int) -> FlowSpec:
    """Return a straight flow in which one stage gives these answers first; None stands for the usual one.

    A source emits `elements` elements besides its failures.
    """
    usual = USUAL[role]
    first = tuple(answer or usual for answer in answers)
    rest = elements - sum(answer == EMIT for answer in first)
    script = Script((*first, *(EMIT,) * max(rest, 0)), END) if role == "source" else Script(first, usual)
    roles = (role,) if role in {"processor", "filter"} else ("processor",)
    plain = FlowSettings(error_policy=policy)
    return line(*roles, elements=elements, scripts={role: script}, settings=with_(plain, **settings))


def error(kind: str = "internal") -> Answer:
    """Return an error of a kind."""
    return Answer("error", kind=kind, message="out of order")


@checks("ERR-001", facet=Facet.FLOWS, kind="monitor")
def the_first_error_is_the_last(session: Session, budget: Budget) -> None:
    """Without another policy the first error, of whatever kind and wherever, ends the flow as Failed; nothing more is delivered."""
    stories = []
    for role in ROLES:
        for kind in KINDS:
            spec = failing(role, (None, None, error(kind)))
            stories.append(spec)
            reply = run_flow(session, spec)
            expect_flow("ERR-001", budget, spec, reply, f"the end of a flow whose {role} says {kind}", "Failed", reply.state)
            arrived = len(pushed(reply)) - (role == "sink")  # a sink is called for the element that it fails on
            message = f"elements delivered before the {role} fails on its third"
            expect_flow("ERR-001", budget, spec, reply, message, "<= 2", arrived, holds=arrived <= 2)
    search_flows(session, budget, "ERR-001", stories, flows(BROKEN))


@checks("ERR-001", facet=Facet.FLOWS, kind="example", requires=("consumer_first",))
def everything_before_the_error(session: Session, budget: Budget) -> None:
    """Consumers first, a failure at element k leaves exactly k delivered."""
    for role in ("processor", "filter", "sink"):
        for k in (0, 1, 4):
            spec = failing(role, (*(None,) * k, error()))
            reply = run_flow(session, spec)
            arrived = pushed(reply)[:k] if role == "sink" else pushed(reply)
            expect_flow("ERR-001", budget, spec, reply, f"delivered before element {k}", [f"source#{i}" for i in range(k)], arrived)


@checks("ERR-002", facet=Facet.FLOWS, kind="monitor")
def fatal_is_final(session: Session, budget: Budget) -> None:
    """Under every policy `fatal` and traps end the flow as Failed, and the component gets no more data."""
    stories = []
    for policy in ("fail-fast", *LENIENT):
        for role in ROLES:
            for last in (error("fatal"), Answer("trap")):
                spec = failing(role, (None, last), policy, max_retries=3)
                stories.append(spec)
                expect_end(session, budget, "ERR-002", spec, {"Failed"})
    search_flows(session, budget, "ERR-002", stories, flows(BROKEN))


def _complement(session: Session, budget: Budget, rule: str, spec: FlowSpec, role: str, failures: frozenset[int]) -> None:
    """Evaluate that exactly the elements on which a stage does not fail arrive, in order, in a completed flow that counts its errors."""
    reply = run_flow(session, spec)
    elements = sum(answer == EMIT for answer in spec.stages[0].script.answers)
    every = [f"source#{i}" for i in range(elements)]
    due = every if role in {"source", "sink"} else [tag for i, tag in enumerate(every) if i not in failures]
    expect_flow(rule, budget, spec, reply, "the end of a flow that goes on after errors", "Completed", reply.state)
    expect_flow(rule, budget, spec, reply, f"what the sink is given when the {role} fails {sorted(failures)}", due, pushed(reply))
    counted = reply.stages[role].errors if role in reply.stages else None
    expect_flow(rule, budget, spec, reply, f"errors of the {role} in the summary", len(failures), counted)


def _places() -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.integers(0, 6), max_size=4)


def _failing_at(role: str, failures: frozenset[int], policy: str, kind: str) -> FlowSpec:
    return failing(role, (error(kind) if i in failures else None for i in range(7)), policy, elements=7)


def _crowded(policy: str) -> list[FlowSpec]:
    """Return flows in which elements wait behind the one that fails."""
    plain = [failing(role, (None, error()), policy) for role in ("processor", "filter", "sink")]
    return [with_(spec, schedule=Schedule("producer-first")) for spec in plain]


@checks("ERR-003", facet=Facet.FLOWS, kind="monitor")
def skip_loses_one_element(session: Session, budget: Budget) -> None:
    """Under skip each failing element is lost, released and counted, and everything else arrives in order."""
    for role in ("processor", "filter"):
        for kind in PASSING:
            _complement(session, budget, "ERR-003", _failing_at(role, frozenset({1, 3}), "skip", kind), role, frozenset({1, 3}))
    budget.for_all(
        _places(),
        lambda failures: _complement(
            session, budget, "ERR-003", _failing_at("processor", failures, "skip", "internal"), "processor", failures
        ),
        max_examples=20,
    )
    search_flows(session, budget, "ERR-003", _crowded("skip"), flows(BROKEN))


@checks("ERR-004", facet=Facet.FLOWS, kind="monitor")
def log_and_continue_says_so(session: Session, budget: Budget) -> None:
    """Log-and-continue is skip with an event per error."""
    for role in ("processor", "filter", "sink"):
        failures = frozenset({0, 2, 3})
        spec = _failing_at(role, failures, "log-and-continue", "unavailable")
        _complement(session, budget, "ERR-004", spec, role, failures)
        reply = run_flow(session, spec)
        reported = [words(event.stage) for event in errors_of(reply)]
        expect_flow("ERR-004", budget, spec, reply, "error events", [role] * len(failures), reported)
    search_flows(session, budget, "ERR-004", _crowded("log-and-continue"), flows(BROKEN))


@checks("ERR-005", facet=Facet.FLOWS, kind="monitor")
def retry_repeats_in_place(session: Session, budget: Budget) -> None:
    """After k failures, k at most n, the same element is delivered once, in its place, by call k + 1; after n + 1 the flow fails."""
    stories = []
    for role in ("processor", "filter", "sink"):
        for retries, failures in ((1, 1), (3, 2), (3, 3), (0, 1), (2, 3)):
            spec = failing(role, (None, *(error("unavailable"),) * failures), "retry", max_retries=retries, backoff_ms=20)
            stories.append(spec)
            reply = run_flow(session, spec)
            state = "Completed" if failures <= retries else "Failed"
            expect_flow("ERR-005", budget, spec, reply, f"the end after {failures} failures with {retries} retries", state, reply.state)
            calls = [event.tag for event in calls_of(reply, "process", "evaluate", "push") if event.stage == role]
            due = (
                [f"source#{i}" for i in (0, *(1,) * (failures + 1), 2, 3, 4)]
                if state == "Completed"
                else ["source#0", *["source#1"] * (retries + 1)]
            )
            expect_flow("ERR-005", budget, spec, reply, f"the elements that the {role} was given", due, calls)
            if state == "Completed":
                once = list(dict.fromkeys(pushed(reply)))
                expect_flow("ERR-005", budget, spec, reply, "deliveries, in order", [f"source#{i}" for i in range(5)], once)
    search_flows(session, budget, "ERR-005", stories, flows(BROKEN))


@checks("ERR-005", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",), name="a-backoff-can-be-cancelled")
def a_backoff_can_be_cancelled(session: Session, budget: Budget) -> None:
    """A cancel during a long backoff does not wait for it."""
    settings = {"max_retries": 3, "backoff_ms": 60_000, "drain_timeout_ms": 100}
    spec = with_(failing("sink", (None, error()), "retry", **settings), commands=(Command(0, at_ms=10),))
    reply = run_flow(session, spec)
    took = (reply.trace[-1].at - reply.trace[0].at) / 1e6
    message = "ms from the start to the end of a flow cancelled after 10 ms, with a drain of 100 ms and a backoff of a minute"
    expect_flow("ERR-005", budget, spec, reply, message, "<= 150", took, holds=took <= 150)
    expect_flow("ERR-005", budget, spec, reply, "its end", "Cancelled or Failed", reply.state, holds=reply.state in {"Cancelled", "Failed"})


@checks("ERR-006", facet=Facet.FLOWS, kind="monitor")
def the_own_kind_is_reported(session: Session, budget: Budget) -> None:
    """An error event carries the kind that the component returned; of a trap it is fatal."""
    stories = []
    for role in ROLES:
        for kind in KINDS:
            spec = failing(role, (None, error(kind)))
            stories.append(spec)
            reply = run_flow(session, spec)
            found = [words(event.kind) for event in errors_of(reply)]
            expect_flow("ERR-006", budget, spec, reply, f"the kinds reported when the {role} says {kind}", [words(kind)], found)
        trap = failing(role, (None, Answer("trap")), "skip")
        reply = run_flow(session, trap)
        found = [words(event.kind) for event in errors_of(reply)]
        expect_flow("ERR-006", budget, trap, reply, f"the kinds reported when the {role} traps", ["fatal"], found)
    search_flows(session, budget, "ERR-006", stories, flows(BROKEN))


@checks("ERR-006", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def a_timeout_is_called_so(session: Session, budget: Budget) -> None:
    """A call that does not return is reported as a timeout, and its kind is deadline-exceeded."""
    for role in ROLES:
        spec = failing(role, (None, Answer("hang")), "skip", call_timeout_ms=30)
        reply = run_flow(session, spec)
        found = [(words(event.kind), event.cause) for event in errors_of(reply)]
        expect_flow("ERR-006", budget, spec, reply, f"kind and cause when the {role} hangs", [("deadlineexceeded", "timeout")], found)


@checks("ERR-007", facet=Facet.FLOWS, kind="monitor")
def the_failure_names_its_component(session: Session, budget: Budget) -> None:
    """The last words of a failed flow name the component and the error, not only that there was one."""
    stories = [failing(role, (None, error(kind))) for role in ROLES for kind in KINDS]
    stories += [failing("sink", (Answer("trap"),), "skip"), failing("processor", (error("unavailable"),) * 3, "retry", max_retries=2)]
    search_flows(session, budget, "ERR-007", stories, flows(BROKEN))


@checks("ERR-008", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def every_call_is_bounded(session: Session, budget: Budget) -> None:
    """A call that loops, sleeps, or does not even hear that it is interrupted ends at the component timeout, and the flow fails."""
    slow = Answer("hang"), Answer("hang", deaf=True)
    for role in ROLES:
        for answer in (*slow, with_(USUAL[role], spends_ns=9_000_000_000)):
            for timeout in (30, 5000):
                spec = failing(role, (None, answer), "skip", call_timeout_ms=timeout)
                reply = run_flow(session, spec)
                took = (reply.trace[-1].at - reply.trace[0].at) / 1e6
                message = f"ms until a flow ends whose {role} takes too long, with a timeout of {timeout} ms"
                most = timeout + spec.settings.interrupt_grace_ms
                expect_flow("ERR-008", budget, spec, reply, message, f"{timeout} to {most}", took, holds=timeout <= took <= most)
                expect_flow("ERR-008", budget, spec, reply, "its end", "Failed", reply.state)
    patient = failing("processor", (with_(EMIT, spends_ns=29_000_000),) * 5, call_timeout_ms=30)
    reply = run_flow(session, patient)
    expect_flow("ERR-008", budget, patient, reply, "the end of a flow whose calls take less than the timeout", "Completed", reply.state)


HOARDS = tuple(
    failing(role, (None, answer), policy, call_timeout_ms=30)
    for role in ROLES
    for policy in ("fail-fast", "skip")
    for answer in (Answer("trap", keeps=2), Answer("error", keeps=1, kind="fatal"))
)
HANGING_HOARDS = tuple(failing(role, (None, Answer("hang", keeps=2)), "skip", call_timeout_ms=30) for role in ROLES)


@checks("ERR-010", facet=Facet.FLOWS, kind="monitor")
def a_crash_leaves_nothing(session: Session, budget: Budget) -> None:
    """What a component owns and what it was lent when it traps is released; nothing is left at the flow's end."""
    search_flows(session, budget, "ERR-010", HOARDS, flows(BROKEN))


@checks("ERR-010", facet=Facet.FLOWS, kind="example", requires=("virtual_clock",))
def a_timeout_leaves_nothing(session: Session, budget: Budget) -> None:
    """What a component owns when it is interrupted is released, too."""
    search_flows(session, budget, "ERR-010", HANGING_HOARDS, None)
    for spec in HANGING_HOARDS:
        reply = run_flow(session, spec)
        expect_flow("ERR-010", budget, spec, reply, "buffers alive at the end", 0, reply.live_buffers)


@checks("ERR-011", facet=Facet.FLOWS, kind="example", requires=("circuit_breaker", "virtual_clock"))
def an_open_circuit_calls_nobody(session: Session, budget: Budget) -> None:
    """After N unavailable answers elements fail without a call, until the cool-down is over; then one call decides."""
    for policy in ("skip", "log-and-continue"):
        for threshold in (1, 3):
            spec = _breaking(policy, threshold, bad=threshold + 1)
            reply = run_flow(session, spec)
            calls = calls_of(reply, "push")
            start, cooldown = reply.trace[0].at, spec.settings.breaker_cooldown_ms * 1_000_000
            times = [event.at - start for event in calls]
            quiet = [after - before for before, after in pairwise(times)]
            message = "ns without a call after the circuit opened"
            opened, again = quiet[threshold - 1], quiet[threshold]
            expect_flow("ERR-011", budget, spec, reply, message, f">= {cooldown}", opened, holds=opened >= cooldown)
            expect_flow("ERR-011", budget, spec, reply, message + " again", f">= {cooldown}", again, holds=again >= cooldown)
            arrived = sum(event.stream == 0 for event in reply.trace if isinstance(event, e.Dequeued))
            errors = reply.stages["sink"].errors
            delivered = len(calls) - (threshold + 1)
            expect_flow("ERR-011", budget, spec, reply, "elements that failed, with and without a call", arrived - delivered, errors)
            expect_flow("ERR-011", budget, spec, reply, "its end", "Completed", reply.state)
    steady = _breaking("skip", 3, bad=2)
    reply = run_flow(session, steady)
    expect_flow("ERR-011", budget, steady, reply, "calls below the threshold", 40, len(calls_of(reply, "push")))
    bad = with_(UNAVAILABLE, kind="internal")
    back = _breaking("skip", 3, bad=0, answers=(UNAVAILABLE,) * 3 + (bad, UNAVAILABLE, UNAVAILABLE))
    reply = run_flow(session, back)
    times = [event.at for event in calls_of(reply, "push")]
    pauses = sum(after - before >= back.settings.breaker_cooldown_ms * 1_000_000 for before, after in pairwise(times))
    expect_flow("ERR-011", budget, back, reply, "times that it opened, where the call that decides failed in another way", 1, pauses)


@checks("ERR-011", facet=Facet.FLOWS, kind="monitor", requires=("circuit_breaker",))
def nobody_behind_an_open_circuit(session: Session, budget: Budget) -> None:
    """Whatever else a flow does meanwhile, nobody is called behind an open circuit."""
    search_flows(session, budget, "ERR-011", [_breaking("skip", 2, bad=3), TWO_CIRCUITS], flows(replace(BROKEN, capacities=(1, 4))))


def _breaking(policy: str, threshold: int, *, bad: int, answers: tuple[Answer, ...] = ()) -> FlowSpec:
    """Return a flow with an element per ms whose sink is unavailable at first, or answers like this."""
    settings = FlowSettings(error_policy=policy, breaker_threshold=threshold, breaker_cooldown_ms=10)
    scripts = {"source": Script((Answer("emit", spends_ns=1_000_000),) * 40, END), "sink": Script(answers or (UNAVAILABLE,) * bad, READY)}
    return line(elements=40, scripts=scripts, settings=settings)


@checks("ERR-012", facet=Facet.FLOWS, kind="monitor")
def one_event_per_error(session: Session, budget: Budget) -> None:
    """Every error of a component is one event, whatever is done about it."""
    stories = [failing(role, (None, error(), error()), policy, max_retries=2) for role in ROLES for policy in ("fail-fast", *LENIENT)]
    stories.append(line(scripts={"sink": Script((), READY, complete=error())}))
    search_flows(session, budget, "ERR-012", stories, flows(BROKEN))


@checks("ERR-013", facet=Facet.FLOWS, kind="example")
def sources_and_sinks_too(session: Session, budget: Budget) -> None:
    """A source that fails is pulled again; a sink that fails loses its element and no other; under fail-fast both end the flow."""
    for policy in ("skip", "log-and-continue"):
        for role in ("source", "sink"):
            _complement(session, budget, "ERR-013", _failing_at(role, frozenset({2, 5}), policy, "unavailable"), role, frozenset({2, 5}))
    for role in ("source", "sink"):
        budget.for_all(
            _places(),
            lambda failures, role=role: _complement(  # type: ignore[misc]  # bound here
                session, budget, "ERR-013", _failing_at(role, failures, "skip", "internal"), role, failures
            ),
            max_examples=15,
        )
        expect_end(session, budget, "ERR-013", _failing_at(role, frozenset({2}), "fail-fast", "internal"), {"Failed"})


@checks("ERR-014", facet=Facet.FLOWS, kind="example")
def errors_while_draining(session: Session, budget: Budget) -> None:
    """Errors of complete and flush fail a completing flow; an error in an operator's drain is reported, and the flow is Cancelled."""
    skip = FlowSettings(error_policy="skip")
    for settings in (FlowSettings(), skip):
        for bad in (error(), Answer("trap")):
            for spec in (
                line(elements=2, scripts={"sink": Script((), READY, complete=bad)}, settings=settings),
                line("aggregator", elements=2, scripts={"aggregator": Script((), Answer("drop"), flush=bad)}, settings=settings),
            ):
                _reported(session, budget, spec, "Failed")
    for after in range(5, 8):
        spec = line(
            elements=20, capacity=8, schedule="producer-first", scripts={"sink": Script((error(),), READY)}, commands=(Command(after),)
        )
        _reported(session, budget, spec, "Cancelled")


def _reported(session: Session, budget: Budget, spec: FlowSpec, state: str) -> None:
    reply = run_flow(session, spec)
    failed = sum(isinstance(event, e.Returned) and event.outcome in FAILING for event in reply.trace)
    expect_flow("ERR-014", budget, spec, reply, "the end of a flow with an error while it drained", state, reply.state)
    expect_flow("ERR-014", budget, spec, reply, "errors reported", failed, len(errors_of(reply)), holds=0 < failed == len(errors_of(reply)))


@checks("ERR-015", facet=Facet.FLOWS, kind="example")
def no_data_without_validation(session: Session, budget: Budget) -> None:
    """A flow that is refused is not run; one whose init fails, wherever, ends as Failed without any data call."""
    plain = line("processor", elements=3)
    nowhere = with_(plain, edges=(plain.edges[0], with_(plain.edges[1], target="nobody")))
    endless = with_(plain, edges=(*plain.edges, with_(plain.edges[0], source="processor", target="processor")))
    for broken in (nowhere, endless, with_(plain, edges=plain.edges[:1]), with_(plain, stages=plain.stages[1:])):
        try:
            reply = session.flows.run(broken)
        except Refused:
            budget.touch("ERR-015")
            continue
        data = [event.fn for event in calls_of(reply, "pull", "process", "push")]
        expect_flow("ERR-015", budget, broken, reply, "an invalid flow's end and data calls", ("Failed", []), (reply.state, data))
    for place in range(3):
        for bad in (error(), error("fatal"), Answer("trap")):
            stages = tuple(
                with_(stage, script=with_(stage.script, lifecycle=True, init=bad if i == place else Answer("ok")))
                for i, stage in enumerate(plain.stages)
            )
            spec = with_(plain, stages=stages)
            reply = run_flow(session, spec)
            data = [event.fn for event in calls_of(reply, "pull", "process", "push")]
            message = f"the end and the data calls of a flow whose stage {place} cannot be initialised"
            expect_flow("ERR-015", budget, spec, reply, message, ("Failed", []), (reply.state, data))

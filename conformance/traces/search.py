"""Running flows on a subject and watching them: directed ones first, then drawn ones, shrunk when one shows a violation."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis.strategies import SearchStrategy

from conformance.checks import Budget
from conformance.errors import Inconclusive, NotOffered, Refused, SubjectBrokeError, SubjectError, Violation
from conformance.subjects.protocol import Facet, FlowRunReply, FlowSpec, features_of
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.check import watch
from conformance.traces.inferred import DEQUEUED, ENQUEUED, complete, countable, needs, told
from conformance.traces.offered import claimed, within

AROUND = 6
"""How many events before a finding are shown with it."""


class Abort(BaseException):
    """The subject died, declined or refused in the middle of a search: carried past Hypothesis, which would try to shrink it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def run_flow(session: Session, spec: FlowSpec) -> FlowRunReply:
    """Run one valid flow, and complete its trace where the subject has said that it cannot show everything.

    Raises:
        SubjectError, NotOffered: the subject died, declined, or had declared to leave out what the flow needs.
        Inconclusive: it refuses a valid flow, so that nothing can be said.
    """
    missing = sorted(features_of(spec) & session.declaration.unsupported.keys())
    if session.lacks(*missing):
        raise NotOffered(session.declaration.unsupported[missing[0]], operation=missing[0], declared=True)
    try:
        reply = session.flows.run(spec)
    except Refused as refused:
        raise Inconclusive(f"the subject refuses a valid flow: {refused}") from refused
    return complete(spec, reply, session.declaration.unsupported.keys())


def offered(session: Session, spec: FlowSpec) -> bool:
    """Tell whether the subject can run a flow; one that it cannot is passed over, and noted as such."""
    return not session.lacks(*features_of(spec))


def judge_flow(session: Session, budget: Budget, rule: str, spec: FlowSpec) -> FlowRunReply:
    """Run one flow and watch one rule.

    Raises:
        Violation: the rule is broken; its evidence is the flow, the place in its trace, and the events before.
    """
    reply = run_flow(session, spec)
    if not told(reply):  # by which stream an element came is not certain, and a monitor would blame the subject for it
        session.passed_over[DEQUEUED] = session.declaration.unsupported.get(DEQUEUED, "")
        return reply
    if not countable(rule, reply, session.declaration.unsupported):  # what was left in a stream may have gone in unseen
        session.passed_over[ENQUEUED] = session.declaration.unsupported[ENQUEUED]
        return reply
    try:
        times = watch(spec, reply.trace, (rule,), reply)[rule]
    except Violation as violation:
        budget.touch(rule)
        raise with_flow(violation, spec, reply) from None
    if times:
        budget.touch(rule, times)
    return reply


def with_flow(violation: Violation, spec: FlowSpec, reply: FlowRunReply) -> Violation:
    """Return a violation with the flow that shows it as its evidence."""
    at = (violation.evidence or {}).get("event")
    last = len(reply.trace) if at is None else at + 1
    violation.evidence = {
        "flow": msgspec.to_builtins(spec),
        "event": at,
        "trace": [msgspec.to_builtins(event) for event in reply.trace[max(0, last - AROUND) : last]],
    }
    return violation


def expect_end(session: Session, budget: Budget, rule: str, spec: FlowSpec, states: Iterable[str]) -> None:
    """Run a directed flow whose terminal state the rule fixes.

    Raises:
        Violation: it ends in another.
    """
    if not offered(session, spec):
        return
    reply = run_flow(session, spec)
    allowed = sorted(states)
    budget.touch(rule)
    if reply.state not in allowed:
        raise with_flow(Violation(rule, "the flow ends in the wrong state", expected=" or ".join(allowed), found=reply.state), spec, reply)


def expect_flow(
    rule: str,
    budget: Budget,
    spec: FlowSpec,
    reply: FlowRunReply,
    message: str,
    expected: object,
    found: object,
    *,
    holds: bool | None = None,
) -> None:
    """Evaluate one expectation about a directed flow: `found` equals `expected`; or `holds`, where equality cannot say it.

    Raises:
        Violation: it does not; its evidence is the flow and the end of its trace.
    """
    budget.touch(rule)
    if not (expected == found if holds is None else holds):
        raise with_flow(Violation(rule, message, expected=expected, found=found), spec, reply)


def calls_of(reply: FlowRunReply, *functions: str) -> list[e.Called]:
    """Return the calls of some functions, in order."""
    return [event for event in reply.trace if isinstance(event, e.Called) and event.fn in functions]


def pushed(reply: FlowRunReply) -> list[str | None]:
    """Return the payload tags that sinks were given, in order."""
    return [event.tag for event in calls_of(reply, "push")]


def drops(reply: FlowRunReply, reason: str) -> int:
    """Return how many elements were lost for a reason."""
    return sum(isinstance(event, e.Dropped) and event.reason == reason for event in reply.trace)


def errors_of(reply: FlowRunReply) -> list[e.ErrorReported]:
    """Return the errors that were reported, in order."""
    return [event for event in reply.trace if isinstance(event, e.ErrorReported)]


def search_flows(
    session: Session, budget: Budget, rule: str, stories: Iterable[FlowSpec], drawn: SearchStrategy[FlowSpec] | None, *, examples: int = 50
) -> None:
    """Watch one rule over directed flows, then over drawn ones.

    Raises:
        Violation: the rule is broken, by the smallest flow that was found.
        SubjectError, NotOffered, Inconclusive: see `run_flow`.
    """
    lacking, capabilities = frozenset(session.declaration.unsupported), session.capabilities(Facet.FLOWS)
    if session.lacks(*needs(rule)):
        return
    for story in stories:
        if offered(session, story):
            judge_flow(session, budget, rule, story)
    if drawn is None:
        return

    def law(spec: FlowSpec) -> None:
        spec = within(claimed(spec, capabilities), lacking)
        try:
            judge_flow(session, budget, rule, spec)
        except SubjectBrokeError as error:  # the subject can be asked again, so the search may look for a smaller flow that breaks it
            error.evidence = {"flow": msgspec.to_builtins(spec)}
            raise
        except (SubjectError, NotOffered, Inconclusive) as error:
            raise Abort(error) from error

    try:
        budget.for_all(drawn, law, max_examples=examples)
    except Abort as abort:
        raise abort.cause from None

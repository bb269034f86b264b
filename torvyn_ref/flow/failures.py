"""What a flow does about a component's failure: one decision, in one place (ERR-001..ERR-005, ERR-013)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from torvyn_ref.calls import Cause, Failure

FIRST_BACKOFF_NS: Final = 1_000_000
LAST_BACKOFF_NS: Final = 100_000_000


class ErrorPolicyKind(StrEnum):
    """The error policies."""

    FAIL_FAST = "fail-fast"
    RETRY = "retry"
    SKIP = "skip"
    LOG_AND_CONTINUE = "log-and-continue"


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """A flow's error policy: `max_retries` extra attempts for the same element, at least `backoff_ns` apart."""

    kind: ErrorPolicyKind = ErrorPolicyKind.FAIL_FAST
    max_retries: int = 0
    backoff_ns: int = 0


class Action(StrEnum):
    """What happens after a failure."""

    FAIL = "fail"
    SKIP = "skip"
    LOG = "log"
    RETRY = "retry"


def decide(policy: ErrorPolicy, failure: Failure, attempts: int) -> Action:
    """Decide about a failed data call that has been tried `attempts` times.

    Fatal errors, traps and dead instances end the flow under every policy (ERR-002). A full queue under the `error` overflow policy is
    never
    retried: the element was made, there is no place for it (POLICY-004).
    """
    if failure.is_terminal or policy.kind is ErrorPolicyKind.FAIL_FAST:
        return Action.FAIL
    if policy.kind is ErrorPolicyKind.SKIP:
        return Action.SKIP
    if policy.kind is ErrorPolicyKind.LOG_AND_CONTINUE:
        return Action.LOG
    if failure.cause is Cause.QUEUE_FULL:
        return Action.SKIP
    return Action.RETRY if attempts <= policy.max_retries else Action.FAIL


def source_backoff_ns(failures_in_a_row: int) -> int:
    """Return how long to leave a failing source alone: 1 ms, doubling to 100 ms (SCHED-014)."""
    return int(min(FIRST_BACKOFF_NS << min(failures_in_a_row - 1, 16), LAST_BACKOFF_NS))

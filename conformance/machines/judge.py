"""How a lock-step run judges: one rule at a time, so that every finding has one address.

A subject that leaves the model by another rule than the one under test is not this check's business: the two no longer agree on the state,
so the example ends (`DivergedError`), and the check of that other rule reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from conformance.errors import NotOffered, SubjectError, Violation
from conformance.subjects import protocol as p
from conformance.subjects.session import Session

T = TypeVar("T", bound=p.Reply)

Step = dict[str, Any]
"""One operation as data: the message's tag under `op`, its fields by name, buffers by the name they were given (`b0`, `b1`, ...)."""


class DivergedError(Exception):
    """The subject left the model by a rule that is not under test: nothing later in this example means anything."""


class Abort(BaseException):
    """The subject died or declined in the middle of a search: carried past Hypothesis, which would try to shrink it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Judge:
    """Decides about one rule, counts how often it was evaluated, and remembers the operations that led there."""

    def __init__(self, session: Session, rule: str, count: Callable[[str], object]) -> None:
        self._session = session
        self.rule = rule
        self._count = count
        self.steps: list[Step] = []

    def expect(self, rules: Iterable[str], holds: bool, message: str, *, expected: object = "", found: object = "") -> None:  # noqa: FBT001 -- reads like assert
        """Take note of one expectation, which every one of `rules` demands.

        Raises:
            Violation: it does not hold, and the rule under test demands it.
            DivergedError: it does not hold, and the rule under test has nothing to say about it.
        """
        asked = self.rule in rules
        if asked:
            self._count(self.rule)
        if holds:
            return
        if asked:
            raise Violation(self.rule, message, expected=expected, found=found, evidence={"steps": [dict(step) for step in self.steps]})
        raise DivergedError(message)

    def ask(self, request: p.AnyRequest, expected: type[T]) -> T:
        """Send one request; what is no answer ends the whole search.

        Raises:
            Refused: the subject refused the operation.
            Abort: the subject died, or does not offer it.
        """
        try:
            return self._session.ask(request, expected)
        except (SubjectError, NotOffered) as error:
            raise Abort(error) from error

"""How a lock-step run judges: one rule at a time, so that every finding has one address.

A subject that leaves the model by another rule than the one under test is not this check's business: the two no longer agree on the state,
so the example ends after that step (`DivergedError`), and the check of that other rule reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from conformance.errors import NotOffered, Refused, SubjectBrokeError, SubjectError, Violation
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
        self._parted = ""

    def expect(
        self, rules: Iterable[str], holds: object, message: str, *, expected: object = "", found: object = "", parts: bool = True
    ) -> None:
        """Take note of one expectation, which every one of `rules` demands.

        Where it does not hold and the rule under test has nothing to say about it, the rest of the step is still judged: one reply may show
        several rules broken. `settle` ends the example then; not when the expectation was only about what the subject says of itself
        (`parts=False`), for subject and model still agree on what there is.

        Raises:
            Violation: it does not hold, and the rule under test demands it.
        """
        asked = self.rule in rules
        if asked:
            self._count(self.rule)
        if holds:
            return
        if asked:
            raise Violation(self.rule, message, expected=expected, found=found, evidence={"steps": [dict(step) for step in self.steps]})
        if parts:
            self._parted = self._parted or message

    def demand(self, rules: Iterable[str], holds: object, message: str, *, expected: object = "", found: object = "") -> None:
        """Take note of an expectation without which the rest of the step means nothing.

        Raises:
            Violation: as `expect`.
            DivergedError: it does not hold, and the rule under test has nothing to say about it.
        """
        self.expect(rules, holds, message, expected=expected, found=found)
        if not holds:
            raise DivergedError(message)

    def settle(self) -> None:
        """End a step.

        Raises:
            DivergedError: an expectation of another rule did not hold in it.
        """
        if self._parted:
            raise DivergedError(self._parted)

    def refused(self, rules: Iterable[str], request: p.AnyRequest, refused: Refused) -> DivergedError:
        """Judge the refusal of something that cannot be refused, and return the end of the example.

        Raises:
            Violation: as `expect`.
        """
        message = f"{p.tag_of(request)} was refused although nothing forbids it"
        self.expect(rules, holds=False, message=message, expected="done", found=refused)
        return DivergedError(message)

    def offers(self, step: Step) -> bool:
        """Tell whether the subject offers a step; what it has declared to leave out is passed over, and noted as such."""
        operation = f"resources.{step['op'].removeprefix('resources.')}"
        host = operation in {"resources.borrow", "resources.end-borrow"} and step["borrower"] == "host"
        return not self._session.lacks(operation, *(["resources.borrow/borrower=host"] if host else []))

    def ask(self, request: p.AnyRequest, expected: type[T]) -> T:
        """Send one request; what is no answer ends the whole search.

        Raises:
            Refused: the subject refused the operation.
            SubjectBrokeError: the runtime broke, and its adapter said so.
            Abort: the subject died, or does not offer it.
        """
        try:
            return self._session.ask(request, expected)
        except SubjectBrokeError as error:  # the subject can be asked again, so the search may look for fewer steps that break it
            error.evidence = {"steps": [dict(step) for step in self.steps]}
            raise
        except (SubjectError, NotOffered) as error:
            raise Abort(error) from error

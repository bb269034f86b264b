"""What a check can find, and what can keep it from finding anything: each with its own word, for a verdict depends on whose fault it is.

`Violation`, `Inconclusive` and `NotOffered` are results of a check. `Refused` is a subject doing its work: it refused one operation. A
`SubjectError` means that the subject stopped being one: it died, went silent, or answered what the protocol does not allow. A
`SuiteError` is a mistake of whoever started the suite. Every other exception out of a check is a defect of the suite, and reported as
`error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Violation(Exception):
    """The subject broke a rule.

    Attributes:
        rule: the id of the rule that was broken; one of the check's own rules.
        message: one sentence, what happened.
        expected, found: the two things that differ, as text; empty where the message says all.
        evidence: what shows it (operations, a trace, a table row), JSON-ready.
    """

    def __init__(self, rule: str, message: str, *, expected: object = "", found: object = "", evidence: Any = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.expected = str(expected)
        self.found = str(found)
        self.evidence = evidence

    def __str__(self) -> str:
        """Render `RULE: message`, with expected and found when they are given."""
        difference = f" (expected {self.expected}, found {self.found})" if self.expected or self.found else ""
        return f"{self.rule}: {self.message}{difference}"


class Inconclusive(Exception):
    """The check ran and cannot say: nothing was shown either way."""


class NotOffered(Exception):
    """The subject does not offer an operation.

    Attributes:
        operation: the message's tag ("streams.push"), or the name of what is missing.
        reason: the subject's words.
        declared: whether the subject had said so beforehand; a subject that claims a facet and then declines its operations over-claims.
    """

    def __init__(self, reason: str, *, operation: str = "", declared: bool = False) -> None:
        super().__init__(f"{operation}: {reason}" if operation else reason)
        self.operation = operation
        self.reason = reason
        self.declared = declared


class Refused(Exception):
    """The subject refused an operation; nothing has changed. `kind` is the specification's symbolic kind, `fields` its data."""

    def __init__(self, kind: str, message: str = "", fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.fields: Mapping[str, Any] = fields or {}

    def __str__(self) -> str:
        """Render `kind: message`."""
        return f"{self.kind}: {self.message}" if self.message else self.kind


class SubjectError(Exception):
    """The subject cannot be judged any further: never a `pass`, and never the plain failure of one rule.

    Attributes:
        detail: more than one line of it: the tail of its stderr, a traceback, the line that could not be read.
    """

    fault = "the subject"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        """Render the message; the detail is shown by reports."""
        return self.message


class SubjectCrashedError(SubjectError):
    """The subject ended, or raised something that is not an answer."""


class SubjectBrokeError(SubjectCrashedError):
    """The runtime broke and its adapter outlived it: the subject can be asked again, so that what broke it can be made smaller.

    Attributes:
        evidence: what broke it, JSON-ready; set by whoever knows.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.evidence: Any = None


class SubjectTimeoutError(SubjectError):
    """The subject did not answer in time."""


class SubjectProtocolError(SubjectError):
    """The subject answered what the protocol does not allow: garbage, the wrong reply, too much."""

    fault = "the subject's adapter"


class SuiteError(Exception):
    """A mistake of whoever started the suite: an unknown subject, rule or option. Shown as one message, without a traceback.

    Attributes:
        problems: every mistake that was found, one sentence each.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

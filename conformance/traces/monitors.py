"""Trace monitors: one small class per rule, fed event by event.

A monitor sees each event together with the situation before it (`view`), counts what it has evaluated, and raises a `Violation` that names
the event. It knows nothing of the subject: the same monitors judge a run, a recorded trace, or a trace written by hand.
"""

from __future__ import annotations

from typing import ClassVar

from conformance.errors import Violation
from conformance.subjects.protocol import FlowRunReply
from conformance.traces.events import AnyEvent
from conformance.traces.view import View

MONITORS: dict[str, type[Monitor]] = {}
"""The monitors by the rule that they watch."""


class Monitor:
    """Watches one rule.

    Attributes:
        rule: the rule.
        reply: the subject's own summary of the run; None for a bare trace.
        at: the place in the trace of the event being judged; None at the end.
        evaluated: how often the trace has reached a situation in which the rule could have been broken.
    """

    rule: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if cls.rule in MONITORS:
            raise TypeError(f"two monitors watch {cls.rule}")
        if cls.rule:
            MONITORS[cls.rule] = cls

    def __init__(self, view: View, reply: FlowRunReply | None = None) -> None:
        self.view = view
        self.reply = reply
        self.at: int | None = None
        self.evaluated = 0
        self.prepare()

    def prepare(self) -> None:
        """Set up what the monitor remembers."""

    def on(self, event: AnyEvent) -> None:
        """Judge one event; `self.view` is the situation before it.

        Raises:
            Violation: the rule is broken.
        """

    def finish(self) -> None:
        """Judge the whole run.

        Raises:
            Violation: the rule is broken.
        """

    def expect(self, holds: object, message: str, *, expected: object = "", found: object = "") -> None:
        """Take note of one evaluation, and raise a `Violation` unless it holds."""
        self.evaluated += 1
        if not holds:
            raise Violation(self.rule, message, expected=expected, found=found, evidence={"event": self.at})

"""Mutants that do the right thing and report something else: a trace that lies is a broken runtime, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Call, Element
from torvyn_ref.events import Observer


class Wrapped(Observer):
    """Passes everything on; subclasses pass on something else."""

    def __init__(self, inner: Observer) -> None:
        for name in vars(Observer):
            if not name.startswith("_") and name not in vars(type(self)):
                setattr(self, name, getattr(inner, name))
        self.inner: Any = inner


def report(name: str, *rules: str) -> Callable[[type[Wrapped]], type[Wrapped]]:
    """Register a reference whose observer lies; its docstring is the summary."""

    def add(cls: type[Wrapped]) -> type[Wrapped]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(observe=cls))
        return cls

    return add


@report("draining-not-reported", "FLOW-001", "FLOW-004")
class DrainingNotReported(Wrapped):
    """A flow seems to end straight from Running."""

    def state(self, at: int, old: str, new: str) -> None:
        """Leave Draining out."""
        if str(new) != "Draining":
            self.inner.state(at, "Running" if str(old) == "Draining" else old, new)


@report("ends-before-it-is-over", "FLOW-002")
class EndsBeforeItIsOver(Wrapped):
    """The terminal state is reported before the last calls are made."""

    early = False

    def state(self, at: int, old: str, new: str) -> None:
        """Guess how it will end."""
        if self.early and str(old) == "Draining":
            return
        self.inner.state(at, old, new)
        if str(new) == "Draining":
            self.early = True
            self.inner.state(at, new, "Completed")


@report("start-not-reported", "FLOW-003")
class StartNotReported(Wrapped):
    """The step to Running is not reported."""

    def state(self, at: int, old: str, new: str) -> None:
        """Leave it out."""
        if str(new) != "Running":
            self.inner.state(at, old, new)


@report("calls-overlap", "SCHED-001")
class CallsOverlap(Wrapped):
    """A source's pull seems to go on while its element travels."""

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Leave the end of a pull out."""
        if call is not Call.PULL:
            self.inner.returned(at, stage, call, answer)


@report("losses-not-reported", "POLICY-005", "POLICY-008")
class LossesNotReported(Wrapped):
    """Elements are dropped in silence."""

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Say nothing."""


@report("on-is-repeated", "WMK-005")
class OnIsRepeated(Wrapped):
    """That pressure is on is reported twice."""

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Say it again."""
        for _ in range(2 if on else 1):
            self.inner.pressure(at, stream, on=on, depth=depth, duration_ns=duration_ns)

"""What a mutant is, and where mutants are collected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.subjects.inprocess import PythonSubject
from conformance.subjects.reference import ReferenceParts, reference_subject


@dataclass(frozen=True, slots=True)
class Mutant:
    """The reference with one seeded fault.

    Attributes:
        name: unique, in kebab-case; `mutant:NAME` names the subject.
        rules: the rules that the fault breaks; at least one check of one of them must kill it.
        summary: what it does wrong, one sentence.
        build: makes the parts; called for each subject anew.
    """

    name: str
    rules: tuple[str, ...]
    summary: str
    build: Callable[[], ReferenceParts]

    def subject(self) -> PythonSubject:
        """Make the faulty subject."""
        return reference_subject(self.build(), name=f"mutant:{self.name}")


MUTANTS: dict[str, Mutant] = {}
"""All mutants by name; the rooms fill it when they are imported."""


def register(name: str, *rules: str, summary: str, build: Callable[[], ReferenceParts]) -> None:
    """Add a mutant to the zoo.

    Raises:
        ValueError: there is one of that name, or it breaks nothing.
    """
    if name in MUTANTS:
        raise ValueError(f"there are two mutants named {name!r}")
    if not rules:
        raise ValueError(f"the mutant {name!r} breaks no rule")
    MUTANTS[name] = Mutant(name, rules, summary, build)

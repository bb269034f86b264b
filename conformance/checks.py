"""The registry of checks, and what a check is given.

A check is a function `check(subject, budget)` that carries the ids of the rules it checks:

    @checks("WMK-001", "WMK-002", facet=Facet.STREAMS, kind="machine")
    def hysteresis(subject: Session, budget: Budget) -> None:
        "Pressure starts at the capacity and ends at the low mark."
        ...

It returns when it found nothing, and raises `Violation`, `Inconclusive` or `NotOffered` (`conformance.errors`) otherwise. Returning is not
enough for a pass: a check says which rules it has really evaluated through `budget.touch(rule)` (or `expect`, `expect_equal`, which touch
and compare). A rule with no evaluation is `inconclusive`, so that a check whose generator never reached the interesting case cannot pass
(law 3).

When a check ends early because one rule was violated, its other rules are `inconclusive` as well, except those that it has settled with
`budget.settle(rule)`: "I am through with this one".
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from conformance.errors import SuiteError, Violation
from conformance.machines.coverage import Coverage
from conformance.seeding import derive
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

if TYPE_CHECKING:
    import hypothesis
    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import SearchStrategy

    from conformance.rulebook import Rulebook

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V")

CheckFunction = Callable[[Session, "Budget"], None]
Kind = Literal["machine", "table", "monitor", "example"]

AREAS_PACKAGE = "conformance.areas"


class Depth(StrEnum):
    """How much a run tries: `quick` for every change, `deep` for a release."""

    QUICK = "quick"
    DEEP = "deep"


DEEPER = 20
"""How many times as many examples a deep run draws."""

LONGER = 3
"""How many times as many steps a machine may take in a deep run."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one check may spend, where its randomness comes from, and where it writes down what it has evaluated.

    Attributes:
        depth: quick or deep.
        seed: the seed of the run; the check's own is derived from it and from the check's name.
        check: the check's name.
        rules: the rules that the check may speak about.
        evaluations: how often each rule has been evaluated.
        settled: the rules that the check is through with.
        coverage: which cells of the tables its machines have met.
        shrink: whether a violation is made smaller before it is told; who only wants to know whether there is one does without.
        drawn: one entry, how many examples have been drawn; what a check plays before it draws anything is not counted.
    """

    depth: Depth = Depth.QUICK
    seed: int = 0
    check: str = ""
    rules: tuple[str, ...] = ()
    evaluations: dict[str, int] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    coverage: Coverage = field(default_factory=Coverage)
    shrink: bool = True
    drawn: list[int] = field(default_factory=lambda: [0])

    # ---- what was evaluated

    def touch(self, rule: str, times: int = 1) -> None:
        """Write down that a rule was evaluated: a situation was reached in which the subject could have broken it.

        Raises:
            ValueError: the rule is none of the check's.
        """
        self._own(rule)
        self.evaluations[rule] = self.evaluations.get(rule, 0) + times

    def settle(self, rule: str) -> None:
        """Write down that a rule was evaluated as far as the check goes, whatever happens to its other rules from here on.

        Raises:
            ValueError: the rule is none of the check's, or was never touched.
        """
        self._own(rule)
        if not self.evaluations.get(rule):
            raise ValueError(f"{self.check}: {rule} is settled but was never evaluated")
        self.settled.add(rule)

    def expect(self, rule: str, holds: object, message: str, *, expected: object = "", found: object = "", evidence: Any = None) -> None:
        """Evaluate a rule: touch it, and raise a `Violation` unless it holds."""
        self.touch(rule)
        if not holds:
            raise Violation(rule, message, expected=expected, found=found, evidence=evidence)

    def expect_equal(self, rule: str, found: object, expected: object, what: str, *, evidence: Any = None) -> None:
        """Evaluate a rule that demands one value: touch it, and raise a `Violation` when `what` has another."""
        self.touch(rule)
        if found != expected:
            raise Violation(rule, f"{what} is wrong", expected=repr(expected), found=repr(found), evidence=evidence)

    def _own(self, rule: str) -> None:
        if rule not in self.rules:
            raise ValueError(f"the check {self.check!r} speaks about {rule}, which is none of its rules ({', '.join(self.rules)})")

    # ---- randomness

    @property
    def own_seed(self) -> int:
        """Return the check's own seed, the same in every process and for every number of workers."""
        return derive(self.seed, self.check)

    def random(self) -> Random:
        """Return a generator with the check's own seed, for checks that need no shrinking."""
        return Random(self.own_seed)  # noqa: S311 -- it must be repeatable, not secret

    def scaled(self, examples: int) -> int:
        """Return how many examples to draw, where a quick run draws `examples`."""
        return examples * (DEEPER if self.depth is Depth.DEEP else 1)

    def settings(self, *, max_examples: int = 50, stateful_step_count: int = 30) -> hypothesis.settings:
        """Return Hypothesis settings: the numbers are those of a quick run; no database, no deadline, nothing that depends on time."""
        from hypothesis import HealthCheck, Phase, Verbosity  # noqa: PLC0415 -- the plugin imports this module in every pytest run
        from hypothesis import settings as make  # noqa: PLC0415 -- as above

        return make(
            max_examples=self.scaled(max_examples),
            stateful_step_count=stateful_step_count * (LONGER if self.depth is Depth.DEEP else 1),
            derandomize=False,  # the seed decides
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            phases=(Phase.explicit, Phase.generate, Phase.target, *([Phase.shrink] if self.shrink else [])),
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example),
        )

    def seeded(self, test: F) -> F:
        """Give a Hypothesis test or a state machine the check's own seed."""
        from hypothesis import seed  # noqa: PLC0415 -- the plugin imports this module in every pytest run

        return seed(self.own_seed)(test)

    def run_machine(self, factory: Callable[[], RuleBasedStateMachine], *, max_examples: int = 50, steps: int = 30) -> None:
        """Run a state machine; `factory` makes one (a closure over subject and budget)."""
        from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415 -- the plugin imports this module in every pytest run

        def make() -> RuleBasedStateMachine:
            self.drawn[0] += 1
            return factory()

        run_state_machine_as_test(
            self.seeded(make),  # type: ignore[arg-type]  # a factory function is documented to do
            settings=self.settings(max_examples=max_examples, stateful_step_count=steps),
        )

    def for_all(self, strategy: SearchStrategy[V], law: Callable[[V], None], *, max_examples: int = 50) -> None:
        """Hold a law against drawn values; the smallest value that breaks it ends the check with the law's own exception."""
        from hypothesis import given  # noqa: PLC0415 -- the plugin imports this module in every pytest run

        def test(value: V) -> None:
            self.drawn[0] += 1
            law(value)

        self.seeded(self.settings(max_examples=max_examples)(given(value=strategy)(test)))()


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check.

    Attributes:
        name: unique, in kebab-case; part of every item's id.
        rules: what it checks; more than one when one machine or trace shows several.
        facet: the facet it drives.
        requires: capabilities that the subject must claim on that facet; without them the rules are `unsupported`.
        summary: the first line of its docstring.
    """

    name: str
    rules: tuple[str, ...]
    facet: Facet
    kind: Kind
    function: CheckFunction
    requires: tuple[str, ...] = ()
    summary: str = ""
    module: str = ""

    def budget(self, depth: Depth, seed: int, *, shrink: bool = True) -> Budget:
        """Return a fresh budget for one execution."""
        return Budget(depth=depth, seed=seed, check=self.name, rules=self.rules, shrink=shrink)


class Registry:
    """The checks that exist, by name."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def checks(
        self, *rules: str, facet: Facet, kind: Kind, requires: Iterable[str] = (), name: str | None = None
    ) -> Callable[[CheckFunction], CheckFunction]:
        """Register a function as a check of some rules.

        Args:
            rules: rule ids, at least one, none twice.
            facet: the facet that the check drives.
            kind: machine, table, monitor or example: how it looks, for readers of a report.
            requires: capabilities that the subject must claim on the facet.
            name: defaults to the function's, in kebab-case.

        Raises:
            SuiteError: no rule, a rule twice, a name that another check has, an unknown kind.
        """

        def register(function: CheckFunction) -> CheckFunction:
            self.add(
                Check(
                    name=name or function.__name__.strip("_").replace("_", "-"),
                    rules=tuple(rules),
                    facet=facet,
                    kind=kind,
                    function=function,
                    requires=tuple(requires),
                    summary=(function.__doc__ or "").strip().partition("\n")[0],
                    module=function.__module__,
                )
            )
            return function

        return register

    def add(self, check: Check) -> None:
        """Add a check.

        Raises:
            SuiteError: as `checks`.
        """
        problems = []
        if not check.rules:
            problems.append(f"the check {check.name!r} names no rule")
        if len(set(check.rules)) < len(check.rules):
            problems.append(f"the check {check.name!r} names a rule twice: {', '.join(check.rules)}")
        if check.kind not in get_args(Kind):
            problems.append(f"the check {check.name!r} is of kind {check.kind!r}; the kinds are {', '.join(get_args(Kind))}")
        if not check.summary:
            problems.append(f"the check {check.name!r} has no docstring: its first line is shown in every report")
        other = self._checks.get(check.name)
        if other is not None and (other.module, other.rules) != (check.module, check.rules):
            problems.append(f"two checks are named {check.name!r}, in {other.module} and in {check.module}")
        if problems:
            raise SuiteError(*problems)
        self._checks[check.name] = check

    def validate(self, rulebook: Rulebook) -> None:
        """Hold every check's rules to the rulebook.

        Raises:
            SuiteError: a check names a rule that does not exist; all of them at once.
        """
        known = {rule.id for rule in rulebook.rules}
        problems = [
            f"the check {check.name!r} in {check.module} names {rule}, which the rulebook does not have"
            for check in self
            for rule in check.rules
            if rule not in known
        ]
        if problems:
            raise SuiteError(*problems)

    def limited_to(self, names: Iterable[str]) -> Registry:
        """Return a registry with only the named checks."""
        some = Registry()
        for name in names:
            some.add(self._checks[name])
        return some

    def get(self, name: str) -> Check:
        """Return a check by name.

        Raises:
            KeyError: there is none.
        """
        return self._checks[name]

    def __iter__(self) -> Iterator[Check]:
        """Go through the checks by name, whatever the order in which they were imported."""
        return iter(sorted(self._checks.values(), key=lambda check: check.name))

    def __len__(self) -> int:
        return len(self._checks)


REGISTRY = Registry()
"""The suite's own checks; the modules of `conformance.areas` fill it when they are imported."""

checks = REGISTRY.checks


def all_checks(rulebook: Rulebook | None = None) -> Registry:
    """Import every area, hold what it registered to the rulebook, and return the registry.

    Raises:
        SuiteError: a check names an unknown rule.
    """
    package = importlib.import_module(AREAS_PACKAGE)
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{AREAS_PACKAGE}.{module}")
    if rulebook is None:
        from conformance.rulebook import load  # noqa: PLC0415 -- callers that have a rulebook need not load another

        rulebook = load()
    REGISTRY.validate(rulebook)
    return REGISTRY

"""`python -m benchmarks.machines`: steps a second of the ownership search, beside a machine with the same rules that does nothing.

The two take turns in short portions, so that a slow minute falls on both. A step is one rule that Hypothesis has chosen; both machines have
the same rules with the same arguments and preconditions, and the same length of an example. The number that matters is the ratio: what is
left of the speed of the generator once every step is predicted, played, compared and looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from conformance.machines.judge import Judge
from conformance.machines.ownership import OwnershipLockstep
from conformance.machines.search import OwnershipMachine
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session

STEPS = 120
"""Of one example in the deep profile."""
PORTION = 20
"""Examples of each machine in a row."""


class Counted:
    """Counts the steps of a machine."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        """Return steps per second of CPU."""
        return self.steps / self.seconds


def _counting(machine: type[RuleBasedStateMachine], counted: Counted) -> type[RuleBasedStateMachine]:
    class Counting(machine):  # type: ignore[misc, valid-type]  # a machine made at run time
        """Counts what it is made to do."""

        def check_invariants(self, *arguments: Any, **options: Any) -> None:
            """Count a step: Hypothesis asks once after each, and once before the first."""
            counted.steps += 1
            super().check_invariants(*arguments, **options)

    return Counting


def real(rule: str) -> type[RuleBasedStateMachine]:
    """Return the ownership machine against the reference, judging one rule."""
    session = Session(InProcess(reference_subject()))
    capabilities = session.capabilities(Facet.RESOURCES)

    def start() -> OwnershipLockstep:
        return OwnershipLockstep(Judge(session, rule, lambda _: None), capabilities)

    class Real(OwnershipMachine):
        """The search, which must not part from its model: steps after that would be empty, and the rate a lie."""

        def teardown(self) -> None:
            """Make sure of that.

            Raises:
                RuntimeError: the reference broke some rule.
            """
            if self.diverged:
                raise RuntimeError(f"the reference left the model: {self.lockstep.judge.steps}")
            super().teardown()

    return type("Started", (Real,), {"start": staticmethod(start)})


class _Nobody:
    """A lock-step that has no subject: nothing is alive and nothing is dead."""

    class model:  # noqa: N801 -- in the place of an attribute
        """An empty world."""

        live: tuple[()] = ()
        graveyard = (0,)


def trivial() -> type[RuleBasedStateMachine]:
    """Return a machine with the rules of the ownership machine, their arguments and preconditions, that does nothing."""

    class Trivial(OwnershipMachine):
        """Draws, and does nothing."""

        start = staticmethod(_Nobody)  # type: ignore[assignment]  # as much of a lock-step as is needed

        def play(self, op: str, **fields: Any) -> None:
            """Do nothing."""

        def pick(self, pick: int) -> str | None:  # noqa: ARG002 -- nothing is there to be picked
            """Pick nothing."""
            return None

        def buried(self, pick: int) -> str:  # noqa: ARG002 -- as above
            """Dig up nothing."""
            return ""

        def seldom(self) -> bool:
            """Allow everything."""
            return True

        def teardown(self) -> None:
            """Steer nowhere."""

    return Trivial


def portion(machine: type[RuleBasedStateMachine], counted: Counted, number: int) -> None:
    """Run a portion of examples and add up their steps and their CPU time."""
    run = settings(
        max_examples=PORTION,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        derandomize=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.target),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example),
    )
    cls = _counting(machine, counted)

    def make() -> RuleBasedStateMachine:
        return cls()

    started = time.process_time()
    run_state_machine_as_test(seed(number)(make), settings=run)  # type: ignore[arg-type]  # a factory function is documented to do
    counted.seconds += time.process_time() - started


def measure(steps: int, seconds: float, rule: str) -> dict[str, Any]:
    """Run both machines in turn until the real one has taken so many steps, or the time is up.

    Raises:
        Violation: the reference broke the rule.
    """
    machines: Iterable[tuple[type[RuleBasedStateMachine], Counted]] = ((real(rule), Counted()), (trivial(), Counted()))
    machines = tuple(machines)
    counted = machines[0][1]
    clock: Callable[[], float] = time.monotonic
    over, number = clock() + seconds, 0
    while counted.steps < steps and clock() < over:
        for machine, count in machines:
            portion(machine, count, number)
        number += 1
    mine, empty = (count for _, count in machines)
    return {
        "rule": rule,
        "steps": mine.steps,
        "steps_per_second": round(mine.rate),
        "trivial_steps": empty.steps,
        "trivial_steps_per_second": round(empty.rate),
        "ratio": round(mine.rate / empty.rate, 3),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description="State-machine steps a second of CPU, side by side.")
    parser.add_argument("--steps", type=int, default=200_000, help="steps of the real machine (default 200000)")
    parser.add_argument("--seconds", type=float, default=300.0, help="stop after so many seconds at the latest (default 300)")
    parser.add_argument("--rule", default="OWN-001", help="the rule that is judged (default OWN-001)")
    options = parser.parse_args()
    if options.steps < 1 or options.seconds <= 0:
        parser.error("at least 1 step and some time")
    print(json.dumps(measure(options.steps, options.seconds, options.rule), indent=2))


if __name__ == "__main__":
    main()

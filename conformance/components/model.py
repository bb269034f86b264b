"""The words of a validation: what is validated, what is played, what came of it, what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from conformance.components.steps import Step
from conformance.subjects import protocol as p

ROLES: Mapping[str, str] = {
    "torvyn:streaming/source": "source",
    "torvyn:streaming/processor": "processor",
    "torvyn:streaming/sink": "sink",
    "torvyn:filtering/filter": "filter",
    "torvyn:filtering/router": "router",
    "torvyn:aggregation/aggregator": "aggregator",
    "torvyn:streaming/filter": "filter",
    "torvyn:streaming/router": "router",
    "torvyn:streaming/aggregator": "aggregator",
}
"""The exported interface that gives a component its role (CON-002); the last three are upstream's templates' spelling (J-15)."""

LIFECYCLE = "torvyn:streaming/lifecycle"

DATA_CALL: Mapping[str, str] = {
    "source": "pull",
    "processor": "process",
    "sink": "push",
    "filter": "evaluate",
    "router": "route",
    "aggregator": "ingest",
}
"""The call that moves an element through each role."""

END_CALL: Mapping[str, str] = {"sink": "complete", "aggregator": "flush"}
"""What each role is told when its input has ended."""

LENT = frozenset({"process", "push", "evaluate", "route", "ingest"})
"""The calls that are lent an element, and with it two borrow handles."""

NO_CONFIG = ""

BUDGET_BYTES = 64 * 1024 * 1024
"""The buffer budget of a component for which none is given (BUDGET-008)."""


class Level(StrEnum):
    """What a finding is worth: an error breaks a rule or the contract's word, a warning costs somebody something, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Outcome(StrEnum):
    """What became of one check. Only `pass` and `inapplicable` let a component be conformant."""

    PASS = "pass"  # noqa: S105 -- an outcome
    FAIL = "fail"
    INAPPLICABLE = "inapplicable"
    UNSUPPORTED = "unsupported"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not-run"
    CRASH = "crash"


# ---------------------------------------------------------------- what is played


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played on a fresh instance, and under which conditions.

    Attributes:
        budget_bytes: what the component's buffers may add up to.
        once: one engine is enough: the scenario is long, and the engines have been compared on shorter ones.
    """

    steps: tuple[Step, ...]
    budget_bytes: int = BUDGET_BYTES
    once: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One call that was made: which step it belongs to, the how manieth of its repetitions, and the answer."""

    step: Step
    number: int
    repetition: int
    answer: p.GuestInvokedReply


@dataclass(frozen=True, slots=True)
class Trail:
    """A scenario as one engine played it."""

    engine: str
    scenario: Scenario
    started: p.GuestStartedReply
    events: tuple[Event, ...]

    @property
    def trapped(self) -> Event | None:
        """Return the call that killed the guest."""
        last = self.events[-1] if self.events else None
        return last if last is not None and last.answer.outcome == "trapped" else None

    @property
    def refused_init(self) -> Event | None:
        """Return the init that was answered with an error."""
        return next((event for event in self.events if event.step.call == "init" and event.answer.outcome == "failed"), None)

    def up_to(self, event: Event) -> Scenario:
        """Return the scenario as far as one of its calls."""
        steps = self.scenario.steps[: event.number]
        return replace(self.scenario, steps=(*steps, replace(event.step, times=event.repetition + 1)))


# ---------------------------------------------------------------- what was found


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something that a law saw in a trail.

    Attributes:
        rule: a rule's id, or `engines-disagree`.
        kind: what it is, in kebab-case; the table is in docs/component-validation.md.
        related: other rules it touches.
        scenario: what shows it.
    """

    rule: str
    kind: str
    message: str
    scenario: Scenario | None = None
    level: Level = Level.ERROR
    expected: str = ""
    found: str = ""
    related: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Return what makes it the same finding, whatever the input."""
        return self.rule, self.kind


@dataclass(frozen=True, slots=True)
class Target:
    """One component as it is going to be used.

    Attributes:
        name: what to call it: the file, or in a project `Torvyn.toml: flow.main.nodes.lines`.
        path: the file, to be named in a command line.
        wasm: its bytes.
        role: what its node says that it is; empty when nobody says.
        config: the configuration for init; None when nobody says.
        declared, granted: its capability strings; None when there is no manifest, and what it imports is what it gets.
        ports: the output ports that its node has in the flow; None when nobody says.
        fuel, memory_bytes: what the manifest allows it; None for this run's.
        arguments: what a command line needs to say the same again.
    """

    name: str
    path: str
    wasm: bytes
    role: str = ""
    config: str | None = None
    declared: tuple[str, ...] | None = None
    granted: tuple[str, ...] = ()
    ports: tuple[str, ...] | None = None
    fuel: int | None = None
    memory_bytes: int | None = None
    arguments: tuple[str, ...] = ()


def not_asked(_name: str) -> None:
    """Hear of a check that begins, and do nothing."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of a run.

    Attributes:
        engines: only these; empty for all that the subject has.
        checks: only these; empty for all.
        steps: play and judge only this, to see a finding again.
        payloads: elements to try besides the generated ones; `only_payloads` instead of them.
        budget_seconds: for the whole run.
        fuel: per call.
        strict: warnings count as errors.
    """

    subject: str = "reference"
    engines: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    steps: Scenario | None = None
    payloads: tuple[bytes, ...] = ()
    only_payloads: bool = False
    seed: int = 0
    deep: bool = False
    budget_seconds: float | None = None
    fuel: int = 10_000_000
    strict: bool = False
    on_check: Callable[[str], None] = field(default=not_asked)

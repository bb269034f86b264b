"""Playing scenarios on a runtime: one fresh instance each, every call watched, and whatever the runtime does contained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from weakref import WeakKeyDictionary

from conformance.components.model import LENT, Event, Scenario, Target, Trail
from conformance.errors import NotOffered, Refused, SubjectError
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection
from conformance.subjects.session import Session

FLOW_ID = "component-validation"
_LAST: WeakKeyDictionary[Session, bytes] = WeakKeyDictionary()
"""The digest of the component that a session started last: it need not be sent again."""

LOOK_AT_CLOCK = 64
"""Calls between two looks at the time budget."""


class OutOfTimeError(BaseException):
    """The time budget is spent; not an `Exception`, so that no search takes it for a failure to be made smaller."""


class NotStartedError(Exception):
    """An engine refuses to start the component, in its words.

    Attributes:
        kind: the protocol's word for it.
    """

    def __init__(self, engine: str, refused: Refused) -> None:
        super().__init__(refused.message)
        self.engine = engine
        self.kind = refused.kind
        self.message = refused.message


class RuntimeDiedError(Exception):
    """The runtime itself died, hung or answered nonsense while it played a scenario."""

    def __init__(self, scenario: Scenario, error: SubjectError) -> None:
        super().__init__(error.message)
        self.scenario = scenario
        self.error = error


@dataclass(slots=True)
class Clock:
    """The time that a run may take.

    Attributes:
        seconds: None for no bound.
        now: seconds from anywhere.
    """

    seconds: float | None = None
    now: Callable[[], float] = time.monotonic
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.now()

    @property
    def passed(self) -> float:
        """Return the seconds since the start."""
        return self.now() - self._started

    def check(self) -> None:
        """Look at the time.

        Raises:
            OutOfTimeError: it is over.
        """
        if self.seconds is not None and self.passed >= self.seconds:
            raise OutOfTimeError


@dataclass(slots=True)
class Seen:
    """What has been seen over all scenarios of one component, for its facts."""

    answers: dict[str, int] = field(default_factory=dict)
    fuel: dict[str, int] = field(default_factory=dict)
    memory_bytes: int | None = None
    scenarios: int = 0

    def note(self, call: str, answer: p.GuestInvokedReply) -> None:
        """Take note of one call."""
        key = f"{call} {answer.value or answer.kind or answer.outcome}"
        self.answers[key] = self.answers.get(key, 0) + 1
        self.spent(call, answer.fuel)
        self.sized(answer.memory_bytes)

    def spent(self, what: str, fuel: int) -> None:
        """Take note of fuel."""
        self.fuel[what] = max(self.fuel.get(what, 0), fuel)

    def sized(self, memory: int | None) -> None:
        """Take note of the memory's size."""
        if memory is not None:
            self.memory_bytes = max(self.memory_bytes or 0, memory)


class Player:
    """Plays scenarios of one component on the engines of one subject.

    Args:
        role: the call's role.
        granted: the component's capabilities.
    """

    def __init__(
        self,
        connection: Connection,
        target: Target,
        *,
        role: str,
        granted: tuple[str, ...],
        engines: tuple[str, ...],
        fuel: int,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._target = target
        self._digest = sha256(target.wasm).digest()
        self._role = role
        self._granted = granted
        self.engines = engines
        self._fuel = target.fuel or fuel
        self._clock = clock
        self.seen = Seen()

    def play(self, engine: str, scenario: Scenario) -> Trail:
        """Play a scenario to its end, or to the call that ends it: a trap, a refused init, a fatal error, a source's end.

        Raises:
            NotStartedError: the engine does not start the component.
            RuntimeDiedError: the runtime died.
            OutOfTimeError: the time budget is spent.
        """
        self._clock.check()
        self.seen.scenarios += 1
        with self._contained(scenario):
            session = self._connection.session()
            guests = session.guests
            try:
                started = guests.start(self._start(engine, scenario, session))
            except Refused as refused:
                raise NotStartedError(engine, refused) from None
            self.seen.spent("instantiate", started.fuel)
            self.seen.sized(started.memory_bytes)
            events = tuple(self._events(guests.invoke, scenario))
            guests.close()
        return Trail(engine or started.engine, scenario, started, events)

    def _start(self, engine: str, scenario: Scenario, session: Session) -> p.StartGuest:
        known = _LAST.get(session) == self._digest
        _LAST[session] = self._digest
        return p.StartGuest(
            component=b"" if known else self._target.wasm,
            role=self._role,
            engine=engine,
            budget_bytes=scenario.budget_bytes,
            fuel=self._fuel,
            memory_bytes=self._target.memory_bytes,
            capabilities=self._granted,
            environment={"TORVYN": "validation"},
            flow_id=FLOW_ID,
        )

    def _events(self, invoke: Callable[[p.InvokeGuest], p.GuestInvokedReply], scenario: Scenario) -> Iterator[Event]:
        over = False  # nothing but the end follows: a source ended, or the component said fatal
        for number, step in enumerate(scenario.steps):
            request = step.request()
            data = step.call in LENT or step.call == "pull"
            if over and (data or step.call in {"complete", "flush", "notify-backpressure"}):
                continue
            for repetition in range(step.times):
                if repetition % LOOK_AT_CLOCK == LOOK_AT_CLOCK - 1:
                    self._clock.check()
                answer = invoke(request)
                self.seen.note(step.call, answer)
                yield Event(step, number, repetition, answer)
                if answer.outcome == "trapped" or (step.call == "init" and answer.outcome == "failed"):
                    return
                if data and (answer.value == "end" or (answer.outcome == "failed" and answer.kind == "fatal")):
                    over = True
                    break

    @contextmanager
    def _contained(self, scenario: Scenario) -> Iterator[None]:
        try:
            yield
        except SubjectError as error:
            raise RuntimeDiedError(scenario, error) from error
        except (Refused, NotOffered) as error:
            raise RuntimeDiedError(scenario, SubjectError(f"the runtime declined a call that the contract has: {error}")) from error
        finally:
            self._connection.settle()

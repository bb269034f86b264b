"""One component under examination: its checks in their turn, each with what it found, and every finding made small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis.strategies import SearchStrategy

from conformance.checks import Budget, Depth
from conformance.components import probes
from conformance.components.laws import compare, judge, same
from conformance.components.model import Event, Level, Outcome, Scenario, Suspicion, Target, Trail, Wishes
from conformance.components.play import Clock, NotStartedError, OutOfTimeError, Player, RuntimeDiedError
from conformance.components.static import Static, look
from conformance.seeding import blind
from conformance.subjects.connect import Connection

MOST_ROUNDS = 6
"""Searches for further findings in one check; each ends with one finding, or with none."""

REDUCTIONS = 40
"""Scenarios that are drawn to make one smaller which nothing else made small."""

GIVEN = "steps"
"""The check that plays the user's own steps."""

FOCUS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "binary": ("It is a component, it exports the interface of one role, and it is built for this contract.", ("CON-002", "CON-013")),
    "imports": (
        "It imports what runtimes offer, and no more than its manifest declares and its operator grants.",
        ("CAP-024", "CAP-027", "CAP-038", "CAP-041", "CON-027", "CON-028", "LINK-016", "LINK-017"),
    ),
    "engines": ("Every engine validates it and starts it.", ("CON-001", "CON-002", "ERR-002", "LINK-017")),
    "life-cycle": (
        "It is set up and torn down without an element, and bears an empty input.",
        ("CANCEL-013", "ERR-002", "ERR-008", "FLOW-018", "OWN-036"),
    ),
    "elements": (
        "It bears elements of every size and kind, drops what it is lent, and keeps the contract's types.",
        (
            *("BUDGET-002", "BUF-021", "BUF-034", "CON-001", "ERR-002", "ERR-008", "ERR-010"),
            *("OWN-003", "OWN-014", "OWN-016", "OWN-020", "OWN-021", "OWN-023", "TOPO-010"),
        ),
    ),
    "growth": (
        "The same element again and again costs the same: no buffer, memory or fuel more each time.",
        ("BUDGET-002", "ERR-002", "ERR-008", "OWN-028", "OWN-036"),
    ),
    "pressure": (
        "It bears backpressure signals, and a host that has hardly a buffer left.",
        ("BUF-033", "ERR-002", "ERR-008", "ERR-010", "OWN-028", "OWN-036"),
    ),
    "allocator": (
        "It bears every error of the allocator, wherever it asks for a buffer, and goes on.",
        ("BUF-033", "CON-001", "OWN-014", "OWN-020", "OWN-028", "OWN-036"),
    ),
    "configuration": ("It answers to any configuration text, and never traps on one.", ("CON-001", "ERR-002", "ERR-008", "FLOW-018")),
    "determinism": ("The same calls under the same conditions end the same.", ("CAP-041",)),
}
"""Every check in its order: what it says when it passes, and the rules that it is about. What else it sees is reported all the same."""

CHECKS = tuple(FOCUS)

_BINARY_KINDS = frozenset({"not-a-component", "no-role", "several-roles", "wrong-role", "wrong-version"})

_REFUSALS: Mapping[str, tuple[str, str]] = {
    "invalid-component": ("CON-002", "invalid"),
    "missing-export": ("CON-002", "missing-export"),
    "missing-import": ("LINK-017", "missing-import"),
    "wrong-type": ("CON-001", "wrong-type"),
    "instantiation-failed": ("ERR-002", "start-fails"),
}
"""How a runtime refuses a component → the rule that the component breaks. Other refusals are the runtime's own limits."""

_NOTHING_TO_TRY: Mapping[str, str] = {
    "life-cycle": "it has neither a lifecycle nor an end of input",
    "allocator": "it asks for no buffer",
    "configuration": "it has no lifecycle, so nothing configures it",
}


class FoundError(Exception):
    """A search has found something; it carries the smallest scenario when the search is over."""

    def __init__(self, suspicion: Suspicion) -> None:
        super().__init__(f"{suspicion.rule}: {suspicion.message}")
        self.suspicion = suspicion


@dataclass(slots=True)
class Examined:
    """One check, and what came of it.

    Attributes:
        found: by rule and kind, the smallest of each.
        outcome, reason: None and empty when it got to its end.
        scenarios: how many were played.
    """

    name: str
    found: dict[tuple[str, str], Suspicion] = field(default_factory=dict)
    outcome: Outcome | None = None
    reason: str = ""
    scenarios: int = 0

    @property
    def settled(self) -> Outcome:
        """Return the outcome: it failed when it found an error, whatever else became of it."""
        if any(suspicion.level is Level.ERROR for suspicion in self.found.values()):
            return Outcome.FAIL
        return self.outcome or Outcome.PASS

    def add(self, suspicion: Suspicion) -> None:
        """Keep a suspicion; of two of the same kind the smaller one, on the engines of both."""
        before = self.found.get(suspicion.key)
        self.found[suspicion.key] = suspicion if before is None else smaller(before, suspicion)

    def stop(self, outcome: Outcome, reason: str) -> None:
        """Note that the check does not get to its end; the first reason counts."""
        if self.outcome is None:
            self.outcome, self.reason = outcome, reason


def smaller(one: Suspicion, other: Suspicion) -> Suspicion:
    """Return the suspicion with the smaller scenario, on the engines of both."""
    engines = tuple(dict.fromkeys((*one.engines, *other.engines)))
    return replace(min((one, other), key=lambda each: _size(each.scenario)), engines=engines)


def _size(scenario: Scenario | None) -> tuple[int, int, int]:
    if scenario is None:
        return (0, 0, 0)
    steps = scenario.steps
    bytes_ = sum(len(step.payload) + len(step.text) for step in steps)
    return (sum(step.times for step in steps), bytes_, sum(len(step.content_type) + len(step.buffer_type) for step in steps))


class Examination:
    """One component, a subject to run it on, and the checks made so far.

    Args:
        engines: the engines to run it on; each check runs on all of them.

    Attributes:
        life: how its scenarios begin and end; with a configuration that it accepts, once one is known.
        played: the answers to the user's own steps.
    """

    def __init__(self, target: Target, connection: Connection, wishes: Wishes, engines: tuple[str, ...], clock: Clock) -> None:
        self.target = target
        self.wishes = wishes
        self.static: Static = look(target)
        facts = self.static.facts
        self.player = Player(
            connection, target, role=facts.role, granted=self.static.granted, engines=engines, fuel=wishes.fuel, clock=clock
        )
        self.life = probes.Life(facts.role, facts.lifecycle, target.config or "")
        self.played: list[dict[str, Any]] = []
        self._asked: dict[str, int] = {}
        self._started: str | None = None
        self._unreachable: str | None = None

    def make(self, name: str) -> Examined:
        """Make one check; whatever stops it is said in what it returns."""
        check = Examined(name)
        before = self.player.seen.scenarios
        try:
            self._make(check)
        except OutOfTimeError:
            check.stop(Outcome.NOT_RUN, f"the time budget of {self.wishes.budget_seconds:g} s ran out before it was done")
        except RuntimeDiedError as died:
            calls = " ".join(step.call for step in died.scenario.steps) or "its start"
            check.stop(Outcome.CRASH, f"the runtime, not the component, failed during {calls}: {died.error.message}")
        except NotStartedError as refused:
            check.stop(Outcome.INCONCLUSIVE, f"{refused.engine or 'the engine'} did not start it: {refused.message}")
        check.scenarios = self.player.seen.scenarios - before
        return check

    def _make(self, check: Examined) -> None:
        if check.name in {"binary", "imports"}:
            for suspicion in self.static.suspicions:
                if (suspicion.kind in _BINARY_KINDS) is (check.name == "binary"):
                    check.add(suspicion)
        elif not self.static.runnable:
            check.stop(Outcome.NOT_RUN, "nothing can call it: it is no component with one role")
        elif check.name == "engines":
            self._start(check)
        elif (problem := self._does_not_start()) is not None:
            check.stop(Outcome.NOT_RUN, problem)
        elif check.name == GIVEN:
            self._given(check)
        else:
            self._probe(check)

    # ---- starting

    def _start(self, check: Examined) -> None:
        for engine in self.player.engines:
            try:
                self.player.play(engine, Scenario(()))
            except NotStartedError as refused:
                self._refused(check, refused)

    def _refused(self, check: Examined, refused: NotStartedError) -> None:
        """Tell whose doing it is that an engine does not start the component: its own, its manifest's, or the runtime's."""
        kinds = {suspicion.kind for suspicion in self.static.suspicions}
        engine = f"the engine {refused.engine}" if refused.engine else "the engine"
        if refused.kind == "missing-import" and not kinds & {"unknown-import", "unknown-wasi"}:
            if kinds & {"capability-not-granted", "undeclared-capability"}:
                check.stop(Outcome.INCONCLUSIVE, f"its manifest gives it less than it imports: {refused.message}")
            else:
                check.stop(Outcome.UNSUPPORTED, f"{engine} does not have what it imports: {refused.message}")
        elif refused.kind in _REFUSALS:
            rule, kind = _REFUSALS[refused.kind]
            check.add(Suspicion(rule, kind, refused.message, engines=(refused.engine,), found=refused.kind))
        else:
            check.stop(Outcome.UNSUPPORTED, f"{engine} does not run it: {refused.message}")

    def _does_not_start(self) -> str | None:
        """Return why the component cannot be called, or None; asked once."""
        if self._started is None:
            self._started = ""
            for engine in self.player.engines:
                try:
                    self.player.play(engine, Scenario(()))
                except NotStartedError as refused:
                    self._started = f"{engine or 'the engine'} does not start it: {refused.message}"
                    break
        return self._started or None

    def _cannot_be_set_up(self) -> str | None:
        """Return why no element can reach the component, or None; when it refuses the configuration, look for one that it accepts."""
        if not self.life.lifecycle:
            return None
        if self._unreachable is None:
            self._unreachable = self._look_for_configuration()
        return self._unreachable or None

    def _look_for_configuration(self) -> str:
        told = ""
        candidates = (self.life.config,) if self.target.config is not None else (self.life.config, *probes.HOSTILE)
        for config in dict.fromkeys(candidates):
            trail = self.player.play(self.player.engines[0], self.life.of((), config=config, ends=False))
            first = trail.events[0].answer
            if first.outcome == "answered":
                self.life = replace(self.life, config=config)
                return ""
            told = told or f"{first.kind}: {first.message[:120]}"
        advice = "" if self.target.config is not None else "; give it a configuration that it accepts with --config"
        return f"no element can reach it, because it does not get set up ({told}){advice}"

    # ---- trying

    def _given(self, check: Examined) -> None:
        """Play the user's own steps, and keep what came of them."""
        scenario = self.wishes.steps
        assert scenario is not None, "there is no check of that name without steps"
        for engine in self.player.engines:
            trail = self.player.play(engine, scenario)
            self.played += [{"engine": trail.engine, **event.step.show(), "answer": _shown(event)} for event in trail.events]
        for suspicion in self._look_at(scenario):
            check.add(suspicion)
        self._twice(check, (scenario,))

    def _probe(self, check: Examined) -> None:
        if check.name not in {"life-cycle", "configuration"} and (problem := self._cannot_be_set_up()) is not None:
            check.stop(Outcome.NOT_RUN, problem)
            return
        probe = self._probe_of(check.name)
        if not probe.directed:
            check.stop(Outcome.INAPPLICABLE, _NOTHING_TO_TRY.get(check.name, "there is nothing to try"))
            return
        if check.name == "determinism":
            self._twice(check, probe.directed)
            return
        for directed in probe.directed:
            for suspicion in self._look_at(directed):
                check.add(suspicion)
        done: set[tuple[str, str]] = set()
        if probe.drawn is not None and (check.found or not probe.only_to_shrink):
            self._search(check, probe.drawn, probe.examples, done)
        for suspicion in list(check.found.values()):
            scenario = suspicion.scenario
            if suspicion.key not in done and scenario is not None and any(step.call in probes.MOVING for step in scenario.steps):
                self._search(check, probes.smaller_than(scenario), REDUCTIONS, done, only=suspicion.key)

    def _probe_of(self, name: str) -> probes.Probe:
        material = probes.Material(self.life, self.wishes.payloads, self.wishes.only_payloads, self.wishes.deep)
        match name:
            case "life-cycle":
                return probes.life_cycle(material)
            case "elements":
                return probes.elements(material)
            case "growth":
                return probes.growth(material)
            case "pressure":
                return probes.pressure(material)
            case "allocator":
                life = material.life
                self._look_at(life.of([life.element(material.usual), life.element(material.usual)]))  # to count what it asks for
                return probes.allocator(material, self._asked)
            case "configuration":
                return probes.configuration(material, self.target.config)
            case _:
                return probes.determinism(material)

    def _look_at(self, scenario: Scenario) -> list[Suspicion]:
        """Play a scenario on every engine, judge every trail, and hold the engines against each other."""
        engines = self.player.engines[:1] if scenario.once else self.player.engines
        trails = [self.player.play(engine, scenario) for engine in engines]
        suspicions: dict[tuple[str, str], Suspicion] = {}
        for trail in trails:
            self._count(trail)
            for suspicion in judge(trail, self.target):
                before = suspicions.get(suspicion.key)
                suspicions[suspicion.key] = suspicion if before is None else smaller(before, suspicion)
        return [*suspicions.values(), *compare(trails)]

    def _count(self, trail: Trail) -> None:
        for event in trail.events:
            asked = sum(call.operation in {"allocate", "clone"} for call in event.answer.host_calls)
            self._asked[event.step.call] = max(self._asked.get(event.step.call, 0), asked)

    def _twice(self, check: Examined, scenarios: tuple[Scenario, ...]) -> None:
        for scenario in scenarios:
            for engine in self.player.engines:
                for suspicion in same(self.player.play(engine, scenario), self.player.play(engine, scenario)):
                    check.add(suspicion)

    def _search(
        self,
        check: Examined,
        drawn: SearchStrategy[Scenario],
        examples: int,
        done: set[tuple[str, str]],
        *,
        only: tuple[str, str] | None = None,
    ) -> None:
        """Draw scenarios: for what nobody has thought of, and for the smallest that shows what is known.

        Args:
            check: gets what is found.
            drawn: what to try.
            examples: how many of them.
            done: what has been made small already; what is found is added.
            only: look for nothing else.
        """
        depth = Depth.DEEP if self.wishes.deep else Depth.QUICK

        def law(scenario: Scenario) -> None:
            for suspicion in self._look_at(scenario):
                if suspicion.key not in done and only in {None, suspicion.key}:
                    raise FoundError(suspicion)

        for number in range(MOST_ROUNDS):
            budget = Budget(depth=depth, seed=self.wishes.seed, check=f"{check.name}/{number}")
            try:
                with blind():
                    budget.for_all(drawn, law, max_examples=examples)
            except FoundError as found:
                done.add(found.suspicion.key)
                check.add(found.suspicion)
                if only is None:
                    continue
            except BaseExceptionGroup as group:  # the search could not repeat what it saw
                found_error = next((error for error in _leaves(group) if isinstance(error, FoundError)), None)
                if found_error is None:
                    raise
                self._once(check, found_error.suspicion)
            return

    @staticmethod
    def _once(check: Examined, suspicion: Suspicion) -> None:
        check.add(suspicion)
        message = f"{suspicion.message} (and when it was tried again, it did not happen)"
        check.add(replace(suspicion, rule="CAP-041", kind="not-deterministic", message=message))


def _shown(event: Event) -> dict[str, Any]:
    """Return an answer as JSON data for people, without what is usual."""
    answer = event.answer
    shown: dict[str, Any] = {"outcome": answer.outcome}
    shown |= {name: value for name in ("value", "kind", "cause", "message", "breach", "owned") if (value := getattr(answer, name))}
    shown["fuel"] = answer.fuel
    if answer.outputs:
        shown["outputs"] = [{"type": each.content_type, "bytes": len(each.payload)} for each in answer.outputs]
    if answer.ports:
        shown["ports"] = list(answer.ports)
    if answer.host_calls:
        shown["host_calls"] = [call.operation + (f": {call.refused}" if call.refused else "") for call in answer.host_calls[:16]]
    return shown


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error

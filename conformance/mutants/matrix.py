"""The kill matrix: every mutant is hunted with the suite's own checks, and what killed it is written down.

A mutant must be killed once for each rule that it breaks, by a check of that rule. Within a rule, directed checks are tried before those
that search, and within a check the directed examples come before the drawn ones. Only a mutant that all of them spare is shown to the
other checks of the suite: if one of those notices it, it names the wrong rules; if none does, it survives. At last every check that has
killed nothing on the way is given the mutants that break one of its rules; one that still kills nothing proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import version
from typing import TypeVar

import msgspec

from conformance.checks import Check, Depth, Registry, all_checks
from conformance.errors import SuiteError
from conformance.execute import run_check
from conformance.mutants.registry import MUTANTS, Mutant
from conformance.mutants.zoo import all_mutants
from conformance.plan import SUITE, make_plan, select
from conformance.rulebook import Rulebook, load
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, Door
from conformance.subjects.inprocess import InProcess
from conformance.subjects.session import Exchange
from conformance.verdict import Outcome
from conformance.workers import uninterrupted, workers

SCHEMA_VERSION = 1

CHECK_TIMEOUT = 60.0
"""Seconds after which a check of a mutant is given up: a fault may be an endless loop."""

OPENINGS = (
    *(p.OpenResources, p.OpenStream, p.OpenGuest, p.RunFlow, p.RunHost, p.StartProject, p.ResourceTransition, p.FlowTransition),
    *(p.OpenCapabilities, p.ParseCapability, p.CoverCapability, p.RunAudited),
    *(p.Pack, p.Unpack, p.ParseReference, p.Publish, p.ResolveComponent, p.Sign, p.Admit, p.WriteRecord, p.LoadConfiguration),
)
"""The requests with which an example begins."""

KINDS = ("example", "table", "monitor", "machine")
"""The kinds of checks in the order in which they are tried: the more directed ones first."""

R = TypeVar("R")


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """One check that accused one mutant.

    Attributes:
        rule: the rule that the check says is broken.
        how: `directed` when an example did that the check has from the start, `drawn` when one did that was searched for.
        examples: how many examples it took; an example begins where the subject is told to start over.
        seconds: how long it took.
        message, expected, found: the accusation.
    """

    rule: str
    check: str
    how: str
    examples: int
    seconds: float
    message: str
    expected: str = ""
    found: str = ""


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one mutant.

    Attributes:
        breaks: the rules that it is known to break.
        killed: it was accused of each of them.
        killed_by: the rules of which checks have accused it.
        kills: the accusations, in the order in which they were made.
        spared_by: the rules that it breaks and no check of which has noticed.
        elsewhere: accusations by checks of other rules; looked for only when there was no other.
        executed: how many checks were run.
        errors: where the suite itself failed.
    """

    name: str
    summary: str
    breaks: tuple[str, ...]
    killed: bool
    killed_by: tuple[str, ...]
    kills: tuple[Kill, ...]
    spared_by: tuple[str, ...]
    elsewhere: tuple[Kill, ...]
    executed: int
    seconds: float
    errors: tuple[str, ...]


class KillMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """A finished hunt through the zoo.

    Attributes:
        total, killed: mutants.
        idle_checks: checks that kill no mutant at all; empty when only some mutants were hunted by name.
        unproven: checked rules that no mutant breaks.
        problems: why the matrix is not what it must be, one sentence each; empty exactly if the exit code is 0.
    """

    schema_version: int
    suite: str
    rulebook: str
    depth: str
    seed: int
    total: int
    killed: int
    seconds: float
    mutants: tuple[Hunt, ...]
    idle_checks: tuple[str, ...]
    unproven: tuple[str, ...]
    problems: tuple[str, ...]
    exit_code: int


# ---------------------------------------------------------------- one mutant


class Counting:
    """An exchange that counts how often its subject was told to start over."""

    def __init__(self, inner: Exchange) -> None:
        self._inner = inner
        self.openings = 0

    def exchange(self, request: p.AnyRequest, /) -> p.AnyReply:
        """Count and pass on."""
        if isinstance(request, OPENINGS):
            self.openings += 1
        return self._inner.exchange(request)

    def close(self) -> None:
        """Close the inner exchange."""
        self._inner.close()


class Hunter:
    """Runs checks against one mutant, and keeps what they say."""

    def __init__(self, mutant: Mutant, depth: Depth, seed: int) -> None:
        self._depth, self._seed = depth, seed
        self._counting: list[Counting] = []
        self._connection = Connection(Door(f"mutant:{mutant.name}", lambda: self._open(mutant), in_process=True))
        self.executed = 0
        self.errors: list[str] = []

    def _open(self, mutant: Mutant) -> Exchange:
        self._counting.append(Counting(InProcess(mutant.subject())))
        return self._counting[-1]

    def run(self, check: Check) -> Kill | None:
        """Return the accusation that a check makes, if it makes one; a crash, a hang or a refusal is none.

        Raises:
            SubjectError: the mutant does not even introduce itself.
        """
        before = sum(each.openings for each in self._counting)
        result = run_check(check, self._connection, depth=self._depth, seed=self._seed, check_timeout=CHECK_TIMEOUT, shrink=False)
        self.executed += 1
        for finding in result.findings:
            if finding.outcome is Outcome.ERROR:
                self.errors.append(f"{check.name}: {finding.message}")
        failed = next((finding for finding in result.findings if finding.outcome is Outcome.FAIL), None)
        if failed is None:
            return None
        examples = sum(each.openings for each in self._counting) - before
        return Kill(
            rule=failed.rule,
            check=check.name,
            how="drawn" if result.drawn else "directed",
            examples=max(1, examples - 1 if result.drawn else examples),  # the generator plays what it found once more
            seconds=round(result.seconds, 4),
            message=failed.message,
            expected=failed.expected,
            found=failed.found,
        )

    def close(self) -> None:
        """Let the mutant go."""
        self._connection.close()


def checks_for(mutant: Mutant, registry: Registry, rulebook: Rulebook) -> dict[Check, tuple[str, ...]]:
    """Return every check that a run against the mutant would execute, with its rules; directed kinds first."""
    plan = make_plan(rulebook, registry, mutant.subject().declaration())
    by_check = {registry.get(name): rules for name, rules in plan.by_check().items()}
    return dict(sorted(by_check.items(), key=lambda item: (KINDS.index(item[0].kind), item[0].name)))


def hunt(mutant: Mutant, registry: Registry, rulebook: Rulebook, *, depth: Depth = Depth.QUICK, seed: int = 0) -> Hunt:
    """Look for a check of each rule that a mutant breaks, and for any other check if there is none."""
    started = time.perf_counter()
    hunter = Hunter(mutant, depth, seed)
    kills: list[Kill] = []
    elsewhere: list[Kill] = []
    spared = list(mutant.rules)
    planned = checks_for(mutant, registry, rulebook)
    try:
        for check, rules in planned.items():
            if set(rules) & set(spared):
                kill = hunter.run(check)
                if kill is not None:
                    kills.append(kill)
                    spared = [rule for rule in spared if rule != kill.rule]
        mine = [kill for kill in kills if kill.rule in mutant.rules]
        elsewhere += [kill for kill in kills if kill.rule not in mutant.rules]
        if not mine and not elsewhere:
            others = (hunter.run(check) for check, rules in planned.items() if not set(rules) & set(mutant.rules))
            elsewhere += [kill for kill in (next((kill for kill in others if kill is not None), None),) if kill is not None]
    finally:
        hunter.close()
    return Hunt(
        name=mutant.name,
        summary=mutant.summary,
        breaks=mutant.rules,
        killed=not spared,
        killed_by=tuple(dict.fromkeys(kill.rule for kill in (*mine, *elsewhere))),
        kills=tuple(mine),
        spared_by=tuple(spared),
        elsewhere=tuple(elsewhere),
        executed=hunter.executed,
        seconds=round(time.perf_counter() - started, 3),
        errors=tuple(hunter.errors),
    )


def try_idle(check: Check, *, depth: Depth = Depth.QUICK, seed: int = 0) -> str:
    """Return the name of a mutant that a check kills, among those that break one of its rules; empty when it kills none."""
    for mutant in all_mutants():
        if set(mutant.rules) & set(check.rules):
            hunter = Hunter(mutant, depth, seed)
            try:
                if hunter.run(check) is not None:
                    return mutant.name
            finally:
                hunter.close()
    return ""


# ---------------------------------------------------------------- the zoo


def choose(rulebook: Rulebook, rules: Iterable[str], names: Iterable[str]) -> tuple[Mutant, ...]:
    """Return the mutants that break one of the selected rules, or all; limited to some names, if any are given.

    Raises:
        SuiteError: a pattern names no rule, a name no mutant, or nothing is left.
    """
    patterns, names = tuple(rules), tuple(names)
    wanted = {rule.id for rule in select(rulebook, patterns)}
    unknown = [name for name in names if name not in MUTANTS]
    if unknown:
        near = {name: get_close_matches(name, MUTANTS, n=3) for name in unknown}
        raise SuiteError(
            *(f"there is no mutant {name!r}" + (f": did you mean {', '.join(hints)}?" if hints else "") for name, hints in near.items())
        )
    chosen = tuple(mutant for mutant in all_mutants() if wanted & set(mutant.rules) and (not names or mutant.name in names))
    if not chosen:
        raise SuiteError(f"no mutant breaks {' '.join(patterns)}" + (f" and is one of {', '.join(names)}" if names else ""))
    return chosen


def run_matrix(
    *,
    rules: Iterable[str] = (),
    names: Iterable[str] = (),
    depth: Depth = Depth.QUICK,
    seed: int = 0,
    jobs: int = 1,
    on_hunt: Callable[[Hunt], object] = lambda _hunt: None,
) -> KillMatrix:
    """Hunt the mutants, in worker processes if `jobs` is more than one; the result does not depend on how many, except for the seconds.

    Raises:
        SuiteError: see `choose`.
    """
    started = time.perf_counter()
    rulebook = load()
    registry = all_checks(rulebook)
    rules, names = tuple(rules), tuple(names)
    mutants = choose(rulebook, rules, names)
    selected = {rule.id for rule in select(rulebook, rules)}
    judged = [] if names else [check for check in registry if selected & set(check.rules)]
    hunts: list[Hunt] = []
    lost: list[str] = []
    with _crew(jobs) as crew:
        for name, one in crew.each(_hunt, (mutant.name for mutant in mutants), depth, seed):
            if one is None:
                lost.append(name)
                continue
            on_hunt(one)
            hunts.append(one)
        killers = {kill.check for one in hunts for kill in (*one.kills, *one.elsewhere)}
        second = crew.each(_try_idle, (check.name for check in judged if check.name not in killers), depth, seed)
        idle = tuple(name for name, victim in second if not victim)
    broken = {rule for mutant in all_mutants() for rule in mutant.rules}
    checked = {rule for check in judged for rule in check.rules}
    unproven = tuple(rule.id for rule in rulebook.rules if rule.id in checked & selected - broken)
    errors = [f"{one.name}: the suite itself failed: {error}" for one in hunts for error in one.errors]
    errors += [f"{name}: the worker that hunted it died" for name in lost]
    problems = [
        *errors,
        *(problem for one in hunts for problem in _problems_of(one)),
        *(f"the check {name} kills no mutant: {', '.join(registry.get(name).rules)} could pass for ever" for name in idle),
        *(f"{rule} has a check and no mutant: nothing shows that the check can fail" for rule in unproven),
    ]
    return KillMatrix(
        schema_version=SCHEMA_VERSION,
        suite=f"{SUITE} {version(SUITE)}",
        rulebook=rulebook.digest,
        depth=str(depth),
        seed=seed,
        total=len(hunts),
        killed=sum(one.killed for one in hunts),
        seconds=round(time.perf_counter() - started, 1),
        mutants=tuple(hunts),
        idle_checks=idle,
        unproven=unproven,
        problems=tuple(problems),
        exit_code=3 if errors else 1 if problems else 0,
    )


def _problems_of(one: Hunt) -> Iterator[str]:
    if not one.kills and not one.elsewhere:
        yield f"{one.name} survives: {one.summary}"
    elif not one.kills:
        others = ", ".join(f"{kill.rule} [{kill.check}]" for kill in one.elsewhere)
        yield f"{one.name} is killed only by checks of rules that it does not break: {others}; it names {', '.join(one.breaks)}"
    elif one.spared_by:
        yield f"{one.name} breaks {', '.join(one.spared_by)}, and no check of that notices"


# ---------------------------------------------------------------- workers


Work = Callable[[str, Depth, int], R]


class Crew:
    """Who does the work: this process, or workers."""

    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self._pool = pool

    def each(self, work: Work[R], names: Iterable[str], depth: Depth, seed: int) -> Iterator[tuple[str, R | None]]:
        """Do one piece of work for each name, and yield the results in that order; None for one that was lost with a worker."""
        if self._pool is None:
            yield from ((name, work(name, depth, seed)) for name in names)
            return
        with uninterrupted():
            futures = [(name, self._pool.submit(work, name, depth, seed)) for name in names]
        for name, future in futures:
            try:
                yield name, future.result()
            except BrokenProcessPool:
                yield name, None


@contextmanager
def _crew(jobs: int) -> Iterator[Crew]:
    if jobs == 1:
        yield Crew(None)
        return
    with workers(jobs) as pool:
        yield Crew(pool)


def _hunt(name: str, depth: Depth, seed: int) -> Hunt:
    rulebook = load()
    return hunt(MUTANTS[name], all_checks(rulebook), rulebook, depth=depth, seed=seed)


def _try_idle(name: str, depth: Depth, seed: int) -> str:
    return try_idle(all_checks(load()).get(name), depth=depth, seed=seed)

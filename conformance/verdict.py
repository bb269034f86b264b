"""Outcomes, how they combine, and what they amount to: the only place where a verdict is made (ADR-019).

Outcomes are ordered, and combining takes the worst: it can raise an outcome and never lower it. `pass` needs an execution. A rule nobody
executed is `untested`, one whose facet or capability the subject does not claim is `unsupported`, and neither is ever written as a pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.execute import Finding
    from conformance.plan import Plan
    from conformance.rulebook import Rule, Rulebook


class Outcome(StrEnum):
    """What became of a rule or of one of its checks, from the mildest to the worst."""

    INAPPLICABLE = "inapplicable"
    UNSUPPORTED = "unsupported"
    UNTESTED = "untested"
    PASS = "pass"  # noqa: S105 -- an outcome
    XFAIL = "xfail"
    FLAKY = "flaky"
    INCONCLUSIVE = "inconclusive"
    XPASS = "xpass"
    FAIL = "fail"
    TIMEOUT = "timeout"
    CRASH = "crash"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Return the place in the order."""
        return _RANKS[self]

    @property
    def meaning(self) -> str:
        """Return what the word means, for reports."""
        return _MEANINGS[self]


_RANKS = {outcome: rank for rank, outcome in enumerate(Outcome)}

_MEANINGS = {
    Outcome.INAPPLICABLE: "the rule says nothing about this subject",
    Outcome.UNSUPPORTED: "the subject declares that it does not offer what the check needs",
    Outcome.UNTESTED: "no check was planned",
    Outcome.PASS: "executed, and no violation found",
    Outcome.XFAIL: "failed, as the list of known failures says",
    Outcome.FLAKY: "a violation was seen and could not be repeated",
    Outcome.INCONCLUSIVE: "executed, and nothing was shown either way",
    Outcome.XPASS: "passed, although the list of known failures says otherwise",
    Outcome.FAIL: "the subject broke the rule",
    Outcome.TIMEOUT: "the subject did not answer in time",
    Outcome.CRASH: "the subject died, or answered what is no answer",
    Outcome.ERROR: "the suite itself failed",
}


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome; `untested` when there is none."""
    return max(outcomes, key=_RANKS.__getitem__, default=Outcome.UNTESTED)


class Verdict(StrEnum):
    """What a run says about a subject."""

    CONFORMANT = "conformant"
    NOT_CONFORMANT = "not-conformant"
    INDETERMINATE = "indeterminate"


EXIT_CODES = {Verdict.CONFORMANT: 0, Verdict.NOT_CONFORMANT: 1, Verdict.INDETERMINATE: 2}
EXIT_HARNESS = 3
"""The suite itself failed: whatever else was found, this run is not worth its verdict."""
EXIT_USAGE = 4
"""The suite was asked for something that does not exist; nothing was run."""

BROKEN = frozenset({Outcome.FAIL, Outcome.XFAIL, Outcome.TIMEOUT, Outcome.CRASH})
"""On a binding rule these mean `not-conformant`: the rule was broken (known or not), or the subject could not bear being asked."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule's outcome.

    Attributes:
        rule: its id.
        outcome: the worst of its findings.
        message: why, in the words of the worst finding.
        checks: the checks that were executed for it.
    """

    rule: str
    outcome: Outcome
    message: str
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The end of a run.

    Attributes:
        verdict: over all rules of the rulebook.
        profiles: the same for each profile's rules alone.
        needs: for each profile, what keeps it from being conformant; nothing if it is.
        reasons: why the verdict is no better, most important first.
        rules: every rule of the rulebook, in its order.
        planned, executed: items; they differ only when the suite itself failed.
        exit_code: 0 conformant, 1 not conformant, 2 indeterminate, 3 the suite failed.
    """

    verdict: Verdict
    profiles: Mapping[str, Verdict]
    reasons: tuple[str, ...]
    rules: tuple[RuleResult, ...]
    planned: int
    executed: int
    exit_code: int
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[Outcome, int]:
        """Return how many rules have each outcome, mildest first; outcomes that no rule has are left out."""
        counted = Counter(result.outcome for result in self.rules)
        return {outcome: counted[outcome] for outcome in Outcome if counted[outcome]}


def judge(rulebook: Rulebook, plan: Plan, findings: Iterable[Finding], *, profiles: Collection[str] = ()) -> Judgement:
    """Compare what was executed with what was planned, combine the findings, and say what they amount to.

    The verdict is on the rules of some profiles, or on all rules when none is named.

    An item that was planned and is missing, was reported twice, or was reported and never planned, is an `error` of the suite.
    """
    by_item: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        by_item.setdefault((finding.rule, finding.check), []).append(finding)
    planned = {(item.rule, item.check) for item in plan.items}
    said: dict[str, list[tuple[Outcome, str]]] = {}
    checks: dict[str, list[str]] = {}
    executed = 0
    for item in plan.items:
        reported = by_item.get((item.rule, item.check), [])
        notes = said.setdefault(item.rule, [])
        if len(reported) != 1:
            what = "was planned and never executed" if not reported else f"was reported {len(reported)} times"
            notes.append((Outcome.ERROR, f"the check {item.check} {what}"))
            continue
        executed += 1
        checks.setdefault(item.rule, []).append(item.check)
        notes.append((_honest(reported[0]), reported[0].message))
    for rule, check in by_item.keys() - planned:
        said.setdefault(rule, []).append((Outcome.ERROR, f"the check {check} was reported and never planned"))
    for declined in plan.declined:
        said.setdefault(declined.rule, []).append((declined.outcome, declined.reason))
    results = tuple(_combine(rule, said.get(rule.id, []), tuple(checks.get(rule.id, ()))) for rule in rulebook.rules)
    by_rule = {result.rule: result for result in results}
    overall, reasons = _verdict([each for each in rulebook.rules if not profiles or str(each.profile) in profiles], by_rule)
    members: dict[str, list[Rule]] = {}
    for each in rulebook.rules:
        members.setdefault(str(each.profile), []).append(each)
    each_verdict = {profile: _verdict(rules, by_rule) for profile, rules in members.items()}
    return Judgement(
        verdict=overall,
        profiles={profile: verdict for profile, (verdict, _) in each_verdict.items()},
        needs={profile: needs for profile, (_, needs) in each_verdict.items()},
        reasons=reasons,
        rules=results,
        planned=len(plan.items),
        executed=executed,
        exit_code=EXIT_HARNESS if any(result.outcome is Outcome.ERROR for result in results) else EXIT_CODES[overall],
    )


def lowered(judgement: Judgement, *, broken: Iterable[str] = (), doubtful: Iterable[str] = ()) -> Judgement:
    """Return a judgement with what was found beside the rules; like combining outcomes, this can only make it worse.

    Args:
        judgement: the judgement on the rules.
        broken: what makes the subject not conformant.
        doubtful: what leaves nobody sure, so that it cannot be conformant.
    """
    broken, doubtful = tuple(broken), tuple(doubtful)
    verdict = judgement.verdict
    if broken:
        verdict = Verdict.NOT_CONFORMANT
    elif doubtful and verdict is Verdict.CONFORMANT:
        verdict = Verdict.INDETERMINATE
    code = judgement.exit_code if judgement.exit_code == EXIT_HARNESS else EXIT_CODES[verdict]
    return replace(judgement, verdict=verdict, exit_code=code, reasons=(*broken, *doubtful, *judgement.reasons))


def _honest(finding: Finding) -> Outcome:
    """Return a finding's outcome; a pass without an evaluation is none, whoever reported it (law 3)."""
    if finding.outcome is Outcome.PASS and finding.evaluations < 1:
        return Outcome.INCONCLUSIVE
    return finding.outcome


def _combine(rule: Rule, said: list[tuple[Outcome, str]], checks: tuple[str, ...]) -> RuleResult:
    outcome = worst(outcome for outcome, _ in said)
    message = next((message for each, message in said if each is outcome), "no check was planned")
    return RuleResult(rule.id, outcome, message, checks)


def _verdict(rules: Iterable[Rule], results: Mapping[str, RuleResult]) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on some rules, and what keeps it from being better.

    Only binding rules count (MUST and MUST NOT). Left out are those that no black-box check can reach, and those that need an optional
    capability which the subject does not claim: both are listed, and neither can be passed.
    """
    required = [rule for rule in rules if rule.level.binding and not _excused(rule, results[rule.id].outcome)]
    counted = Counter(results[rule.id].outcome for rule in required)
    errors = sum(results[rule.id].outcome is Outcome.ERROR for rule in rules)
    broken = sum(counted[outcome] for outcome in BROKEN)
    reasons = [f"{errors} rule{'s' if errors > 1 else ''}: {Outcome.ERROR.meaning}"] if errors else []
    reasons += [
        f"{counted[outcome]} binding rule{'s' if counted[outcome] > 1 else ''} {outcome}: {outcome.meaning}"
        for outcome in sorted(counted, key=_RANKS.__getitem__, reverse=True)
        if outcome not in {Outcome.PASS, Outcome.ERROR}
    ]
    if broken:
        return Verdict.NOT_CONFORMANT, tuple(reasons)
    if errors or any(outcome is not Outcome.PASS for outcome in counted):
        return Verdict.INDETERMINATE, tuple(reasons)
    return Verdict.CONFORMANT, ()


def _excused(rule: Rule, outcome: Outcome) -> bool:
    if outcome is Outcome.UNTESTED:
        return rule.testability == "untestable"
    return outcome is Outcome.UNSUPPORTED and rule.capability is not None

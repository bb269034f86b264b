"""The rulebook as seen from the checks: per rule its status, its checks, and the faults that prove that they can fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

import msgspec

from conformance.checks import Registry
from conformance.rulebook import Area, Rule, Rulebook, Testability
from conformance.traceability import code_anchors

FAILURES = Path(__file__).parents[1] / "rulebook" / "anchors" / "failures.json"
"""What failures look like; `conformance.report.rulepages` keeps it."""


class Status(StrEnum):
    """How far the suite is with a rule."""

    CHECKED = "checked"
    UNTESTED = "untested"
    UNTESTABLE = "untestable"


class RuleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: what it is, whether it is checked, by which checks, and which mutants those kill."""

    id: str
    area: str
    level: str
    status: Status
    title: str
    checks: tuple[str, ...]
    mutants: tuple[str, ...]


class AreaSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An area's rules, counted; `proven` are checked rules with at least one mutant."""

    area: str
    rules: int
    checked: int
    proven: int
    untested: int
    untestable: int


class CheckNote(msgspec.Struct, frozen=True, kw_only=True):
    """A check as an explanation shows it."""

    name: str
    kind: str
    facet: str
    summary: str


class FailureSample(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule's failure looks like, seen on a mutant."""

    mutant: str
    check: str
    rule: str
    message: str
    expected: str = ""
    found: str = ""

    def text(self) -> str:
        """Render it as a report would."""
        lines = [f"FAIL {self.rule} [{self.check}]", f"  what happened  {self.message}"]
        if self.expected or self.found:
            lines += [f"  expected       {self.expected}", f"  found          {self.found}"]
        return "\n".join(line if len(line) <= 200 else f"{line[:200]} ..." for line in lines)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and everything known about it.

    Attributes:
        faults: what breaks it, in the words of its mutants; the first questions to ask when it fails.
        code: where the reference keeps it.
        failure: what its failure looks like.
    """

    rule: Rule
    status: Status
    checks: tuple[CheckNote, ...]
    mutants: tuple[str, ...]
    ambiguities: tuple[str, ...]
    run: str
    faults: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    failure: FailureSample | None = None


def mutants_by_rule() -> Mapping[str, tuple[str, ...]]:
    """Return the names of the mutants that break each rule."""
    from conformance.mutants import zoo  # noqa: PLC0415 -- the zoo loads the reference, which a run of another subject does not need

    found: dict[str, list[str]] = {}
    for mutant in zoo.all_mutants():
        for rule in mutant.rules:
            found.setdefault(rule, []).append(mutant.name)
    return {rule: tuple(sorted(names)) for rule, names in found.items()}


def summaries_by_rule() -> Mapping[str, tuple[str, ...]]:
    """Return what the mutants of each rule do wrong, in their own words."""
    from conformance.mutants import zoo  # noqa: PLC0415 -- as above

    known = {mutant.name: mutant for mutant in zoo.all_mutants()}
    return {rule: tuple(known[name].summary for name in names) for rule, names in mutants_by_rule().items()}


@cache
def failures() -> Mapping[str, FailureSample]:
    """Return what a failure of each rule looks like, as far as it was kept."""
    return msgspec.json.decode(FAILURES.read_bytes(), type=dict[str, FailureSample]) if FAILURES.is_file() else {}


def rule_lines(rulebook: Rulebook, registry: Registry, rules: Iterable[Rule] | None = None) -> tuple[RuleStatus, ...]:
    """Return one line per rule, in the rulebook's order."""
    mutants = mutants_by_rule()
    return tuple(
        RuleStatus(
            id=rule.id,
            area=str(rule.area),
            level=str(rule.level),
            status=_status(rule, registry),
            title=rule.title,
            checks=_checks(rule, registry),
            mutants=mutants.get(rule.id, ()),
        )
        for rule in (rulebook.rules if rules is None else rules)
    )


def summarise(lines: Iterable[RuleStatus]) -> tuple[AreaSummary, ...]:
    """Count rules per area, in the specification's order, with a last line `all`."""
    lines = tuple(lines)
    groups = [(str(area), [line for line in lines if line.area == area]) for area in Area]
    return tuple(_count(area, group) for area, group in [*groups, ("all", list(lines))] if group)


def explain(rulebook: Rulebook, registry: Registry, rule: Rule) -> Explanation:
    """Collect what is known about one rule."""
    return Explanation(
        rule=rule,
        status=_status(rule, registry),
        checks=tuple(
            CheckNote(name=check.name, kind=check.kind, facet=str(check.facet), summary=check.summary)
            for check in registry
            if rule.id in check.rules
        ),
        mutants=mutants_by_rule().get(rule.id, ()),
        ambiguities=tuple(f"{entry.id} {entry.title}: {entry.chosen}" for entry in rulebook.ambiguities if entry.id in rule.ambiguity),
        run=f"torvyn-conformance run --subject reference --rules {rule.id}",
        faults=summaries_by_rule().get(rule.id, ()),
        code=tuple(dict.fromkeys(str(anchor) for anchor in code_anchors().get(rule.id, ()))),
        failure=failures().get(rule.id),
    )


def _checks(rule: Rule, registry: Registry) -> tuple[str, ...]:
    return tuple(check.name for check in registry if rule.id in check.rules)


def _status(rule: Rule, registry: Registry) -> Status:
    if _checks(rule, registry):
        return Status.CHECKED
    return Status.UNTESTABLE if rule.testability is Testability.UNTESTABLE else Status.UNTESTED


def _count(area: str, lines: list[RuleStatus]) -> AreaSummary:
    return AreaSummary(
        area=area,
        rules=len(lines),
        checked=sum(line.status is Status.CHECKED for line in lines),
        proven=sum(line.status is Status.CHECKED and bool(line.mutants) for line in lines),
        untested=sum(line.status is Status.UNTESTED for line in lines),
        untestable=sum(line.status is Status.UNTESTABLE for line in lines),
    )

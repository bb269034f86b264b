"""The rulebook as seen from the checks: per rule its status, its checks, and the faults that prove that they can fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from conformance.checks import Registry
from conformance.rulebook import Area, Rule, Rulebook, Testability


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


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and everything known about it."""

    rule: Rule
    status: Status
    checks: tuple[CheckNote, ...]
    mutants: tuple[str, ...]
    ambiguities: tuple[str, ...]
    run: str


def mutants_by_rule() -> Mapping[str, tuple[str, ...]]:
    """Return the names of the mutants that break each rule."""
    from conformance.mutants import zoo  # noqa: PLC0415 -- the zoo loads the reference, which a run of another subject does not need

    found: dict[str, list[str]] = {}
    for mutant in zoo.all_mutants():
        for rule in mutant.rules:
            found.setdefault(rule, []).append(mutant.name)
    return {rule: tuple(sorted(names)) for rule, names in found.items()}


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

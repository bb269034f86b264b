"""What a run is going to do, written down and digested before it does anything (ADR-019).

An item is one rule judged by one check. The plan also lists what will not be executed, rule by rule, with the reason: rules without a
check, rules of facets that the subject does not claim, rules that were not selected. Together they are the whole rulebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from conformance.checks import Check, Depth, Registry
from conformance.errors import SuiteError
from conformance.rulebook import UnknownRuleError
from conformance.verdict import Outcome

if TYPE_CHECKING:
    from conformance.rulebook import Rule, Rulebook
    from conformance.subjects.protocol import Declaration, Facet

SUITE = "torvyn-conformance"

UNCLAIMED = "the subject does not claim the facet"
"""How the reason begins for which a check of another facet is not executed."""


class Item(msgspec.Struct, frozen=True):
    """One rule judged by one check."""

    rule: str
    check: str

    @property
    def id(self) -> str:
        """Return the item's stable name."""
        return f"{self.rule}::{self.check}"


class Declined(msgspec.Struct, frozen=True):
    """A rule, or one of its checks, that will not be executed, and why."""

    rule: str
    outcome: Outcome
    reason: str
    check: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run before it runs.

    Attributes:
        subject: who is judged, as it declared itself; not through which door, so that both doors have the same plan.
        selection: the patterns of rules that were asked for; empty means all.
        items: what will be executed, by check and then by rule.
        declined: what will not be.
        generator: the library that draws the examples, with its version: other versions draw others.
    """

    subject: Declaration
    selection: tuple[str, ...]
    depth: Depth
    seed: int
    suite: str
    rulebook: str
    generator: str
    items: tuple[Item, ...]
    declined: tuple[Declined, ...]

    @cached_property
    def digest(self) -> str:
        """Return `sha256:` and hex digits over everything that the plan says."""
        content = {
            "subject": self.subject,
            "selection": self.selection,
            "depth": self.depth,
            "seed": self.seed,
            "suite": self.suite,
            "rulebook": self.rulebook,
            "generator": self.generator,
            "items": [item.id for item in self.items],
            "declined": self.declined,
        }
        return f"sha256:{sha256(msgspec.json.encode(content, order='sorted')).hexdigest()}"

    def by_check(self) -> dict[str, tuple[str, ...]]:
        """Return the rules to judge by check, in the order of the plan."""
        rules: dict[str, list[str]] = {}
        for item in self.items:
            rules.setdefault(item.check, []).append(item.rule)
        return {check: tuple(ids) for check, ids in rules.items()}


def make_plan(
    rulebook: Rulebook,
    registry: Registry,
    subject: Declaration,
    *,
    selection: Iterable[str] = (),
    depth: Depth = Depth.QUICK,
    seed: int = 0,
    met: bool = True,
) -> Plan:
    """Decide what will be executed, for every rule of the rulebook: nothing, when the subject could not be met.

    Raises:
        SuiteError: a pattern of the selection names no rule.
    """
    patterns = tuple(selection)
    selected = {rule.id for rule in select(rulebook, patterns)}
    claims = {claim.facet: frozenset(claim.capabilities) for claim in subject.facets}
    checks_of: dict[str, list[Check]] = {}
    for check in registry:
        for rule_id in check.rules:
            checks_of.setdefault(rule_id, []).append(check)
    items: list[Item] = []
    declined: list[Declined] = []
    for rule in rulebook.rules:
        checks = checks_of.get(rule.id, [])
        if rule.id not in selected:
            declined.append(Declined(rule.id, Outcome.UNTESTED, "not selected"))
        elif not checks:
            declined.append(_without_check(rule, subject))
        elif not met:
            declined.append(Declined(rule.id, Outcome.UNTESTED, "the subject did not introduce itself"))
        for check in checks if rule.id in selected and met else ():
            missing = _missing(rule, check, subject, claims)
            if missing:
                declined.append(Declined(rule.id, Outcome.UNSUPPORTED, missing, check.name))
            else:
                items.append(Item(rule.id, check.name))
    items.sort(key=lambda item: (item.check, item.rule))
    return Plan(
        subject=subject,
        selection=patterns,
        depth=depth,
        seed=seed,
        suite=f"{SUITE} {version(SUITE)}",
        rulebook=rulebook.digest,
        generator=f"hypothesis {version('hypothesis')}",
        items=tuple(items),
        declined=tuple(declined),
    )


def select(rulebook: Rulebook, patterns: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules that patterns name (`WMK-004`, `WMK`, `WMK-*`); all of them for no pattern.

    Raises:
        SuiteError: a pattern names no rule.
    """
    wanted = [part for pattern in patterns for part in pattern.replace(",", " ").split()]
    if not wanted:
        return rulebook.rules
    try:
        return rulebook.select(wanted)
    except UnknownRuleError as error:
        raise SuiteError(str(error)) from error


def _without_check(rule: Rule, subject: Declaration) -> Declined:
    if rule.testability == "untestable":
        return Declined(rule.id, Outcome.UNTESTED, f"untestable: {rule.why}")
    if rule.facet not in {claim.facet for claim in subject.facets}:
        return Declined(rule.id, Outcome.UNTESTED, f"no check yet (and the subject does not claim the facet {rule.facet})")
    return Declined(rule.id, Outcome.UNTESTED, "no check yet")


def _missing(rule: Rule, check: Check, subject: Declaration, claims: Mapping[Facet, frozenset[str]]) -> str:
    """Return why a subject cannot be given a check; empty when it can."""
    if check.facet not in claims:
        reason = subject.unsupported.get(check.facet)
        return f"{UNCLAIMED} {check.facet}" + (f": {reason}" if reason else "")
    everywhere = frozenset().union(*claims.values())
    needed = [*check.requires, *([rule.capability] if rule.capability is not None else [])]
    lacking = sorted({str(capability) for capability in needed} - everywhere)
    return f"the subject does not claim {', '.join(lacking)}" if lacking else ""

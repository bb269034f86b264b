"""The result of a validation as data: a versioned, typed document; text, SARIF and HTML are made from it.

Schema version 1. Additions keep the version; a field that is removed, renamed or changes its meaning raises it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conformance.components.model import Level, Outcome

SCHEMA_VERSION = 1


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was found about a component.

    Attributes:
        rule, title, text, consequence: the rule, in its own words; of `engines-disagree` there is only the name.
        kind, level, check: what it is, what it is worth, which check saw it.
        engines: on which engines.
        input: the smallest input that shows it, as `--steps` takes it.
        reproduce, explain: one command line each.
        where: the component, and in a project its node.
    """

    rule: str
    kind: str
    level: Level
    check: str
    message: str
    where: str = ""
    expected: str = ""
    found: str = ""
    engines: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    title: str = ""
    text: str = ""
    consequence: str = ""
    severity: str = ""
    input: tuple[dict[str, Any], ...] = ()
    reproduce: str = ""
    explain: str = ""


class CheckLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check: what became of it, why not more, and how many scenarios were played for it."""

    name: str
    outcome: Outcome
    summary: str = ""
    reason: str = ""
    scenarios: int = 0
    rules: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a component besides findings.

    Attributes:
        needs: capabilities that a manifest must declare and grant for its imports.
        fuel: the most that one call took, per call name, and `instantiate`.
        memory_bytes: the largest linear memory seen; None where no engine can tell.
        answers: how often each call ended how ("process emit": 12).
    """

    size: int = 0
    role: str = ""
    world: str = ""
    lifecycle: bool = False
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    modules: int = 0
    producers: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    configuration: str = ""
    fuel: dict[str, int] = {}
    memory_bytes: int | None = None
    answers: dict[str, int] = {}


class ComponentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One component, validated.

    Attributes:
        reasons: why the verdict is no better.
        played: the answers to given steps, call by call; empty without `--steps`.
    """

    component: str
    digest: str
    verdict: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    checks: tuple[CheckLine, ...]
    facts: Facts
    played: tuple[dict[str, Any], ...] = ()


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run of `torvyn-conformance component`. `seconds` is the only value that differs between two runs with the same arguments.

    Attributes:
        findings: of all components, worst first.
        budget_seconds: what the run was allowed to take; None for no bound.
    """

    schema_version: int
    suite: str
    target: str
    verdict: str
    exit_code: int
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    components: tuple[ComponentReport, ...]
    subject: str
    engines: tuple[str, ...]
    seed: int
    depth: str
    seconds: float
    budget_seconds: float | None = None

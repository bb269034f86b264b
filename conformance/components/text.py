"""A validation as text for people: the verdict first, then what was found, then what was done."""

from __future__ import annotations

import msgspec

from conformance.components.model import Level, Outcome
from conformance.components.result import CheckLine, ComponentReport, Finding, ValidationReport
from conformance.report.words import clean

_MARKS = {
    Outcome.PASS: "ok",
    Outcome.FAIL: "FAILED",
    Outcome.INAPPLICABLE: "-",
    Outcome.UNSUPPORTED: "unsupported",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.NOT_RUN: "not run",
    Outcome.CRASH: "crashed",
}

MOST_STEPS = 12


def render(report: ValidationReport) -> str:
    """Return a whole validation."""
    lines = [f"{clean(report.target)}: {report.verdict}"]
    lines += [f"  {clean(reason)}" for reason in report.reasons]
    for component in report.components:
        if len(report.components) > 1:
            lines += ["", f"{clean(component.component)}: {component.verdict}"]
        lines += ["", *_facts(component)]
        lines += [line for finding in component.findings for line in ("", *render_finding(finding).splitlines())]
        lines += [""] + [_played(each) for each in component.played] if component.played else []
        lines += ["", *(_check(line) for line in component.checks)]
    engines = ", ".join(engine or "of its choice" for engine in report.engines)
    bound = "" if report.budget_seconds is None else f" of {report.budget_seconds:g}"
    lines += ["", f"on {clean(report.subject)}, engines {engines}; seed {report.seed}, {report.depth}, {report.seconds:.1f}{bound} s"]
    return "\n".join(lines) + "\n"


def render_finding(finding: Finding) -> str:
    """Return one finding: what, where the rule is, the smallest input, how to see it again."""
    engines = f" on {' and '.join(finding.engines)}" if any(finding.engines) else ""
    lines = [f"{finding.level} {finding.rule} {finding.kind}{engines}", f"  {clean(finding.message)}"]
    if finding.expected:
        lines.append(f"  expected: {clean(finding.expected)}")
    if finding.found:
        lines.append(f"  found:    {clean(finding.found)}")
    if finding.title:
        lines.append(f"  rule:     {clean(finding.title)}. {clean(' '.join(finding.text.split()))}")
    if finding.consequence and finding.level is not Level.NOTE:
        lines.append(f"  why:      {clean(' '.join(finding.consequence.split()))}")
    if finding.related:
        lines.append(f"  see also: {', '.join(finding.related)}")
    for number, step in enumerate(finding.input[:MOST_STEPS]):
        lines.append(f"  {'input:   ' if number == 0 else '         '} {clean(_step(step))}")
    if len(finding.input) > MOST_STEPS:
        lines.append(f"            ... {len(finding.input) - MOST_STEPS} more")
    lines.append(f"  again:    {clean(finding.reproduce)}")
    if finding.explain:
        lines.append(f"  explain:  {finding.explain}")
    return "\n".join(lines)


def _step(step: dict[str, object]) -> str:
    call, *rest = step.items()
    details = ", ".join(f"{name} {msgspec.json.encode(value).decode()}" for name, value in rest)
    return f"{call[1]}{f' ({details})' if details else ''}"


def _facts(component: ComponentReport) -> list[str]:
    facts = component.facts
    if not facts.role:
        return [f"{facts.size} bytes, {component.digest}"]
    memory = "" if facts.memory_bytes is None else f", memory up to {facts.memory_bytes // 1024} KiB"
    lines = [
        f"a {facts.role} of the world {facts.world}: {facts.size} bytes{memory}, {component.digest}",
        f"imports {clean(', '.join(facts.imports)) or 'nothing'}",
    ]
    if facts.needs:
        lines.append(f"needs {', '.join(facts.needs)}: declare them in the manifest, and grant them")
    if facts.producers:
        lines.append(f"made by {clean(', '.join(facts.producers))}")
    if facts.fuel:
        lines.append("fuel at most: " + ", ".join(f"{call} {fuel}" for call, fuel in facts.fuel.items()))
    if facts.answers:
        lines.append("answers: " + clean(", ".join(f"{answer} x{count}" for answer, count in facts.answers.items())))
    return lines


def _check(line: CheckLine) -> str:
    reason = f": {clean(line.reason)}" if line.reason else ""
    played = f" ({line.scenarios} scenarios)" if line.scenarios else ""
    return f"  {_MARKS[line.outcome]:<12} {line.name}{played}{reason or (f': {line.summary}' if line.summary else '')}"


def _played(each: dict[str, object]) -> str:
    return f"  {clean(msgspec.json.encode(each).decode())}"

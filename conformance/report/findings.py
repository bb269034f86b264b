"""What a runtime's failures come from: reports of its builds, held to causes that somebody has checked by hand.

A failing rule says what is to be seen; why it is so, and whose doing, only a look into the runtime can tell. `causes.toml` says it, cause
by cause; every failure must have one and every cause must still be seen, or the page is not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import tomli

from conformance.errors import SuiteError
from conformance.known import HEADING, entry
from conformance.plan import UNCLAIMED
from conformance.report.json import Failure, RuleLine, RunReport
from conformance.rulebook import Rulebook
from conformance.verdict import Outcome

LARGEST = 1_000_000
"""Bytes; a longer list of causes is not read."""

LARGEST_TRACE = 64 * 1024
"""Bytes; a longer trace is not kept beside the page: the line that repeats the failure makes it again."""

DAYS = 90
"""How long after somebody has checked the causes a failure counts as known."""

FAILING = frozenset({Outcome.FAIL, Outcome.FLAKY, Outcome.CRASH, Outcome.TIMEOUT, Outcome.XFAIL})

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


class Kind(StrEnum):
    """Whose doing a failure is."""

    DEFECT = "defect"
    DIFFERENCE = "documented difference"
    UNIMPLEMENTED = "unimplemented"
    LIMIT = "adapter limit"


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cause, checked by hand.

    Attributes:
        id: short and stable; never used for something else.
        what: what happens, and when.
        where: files and functions of the runtime's public source.
        costs: what it costs a user.
        fix: how it could be fixed.
        rules: what it breaks: rules, or `RULE::check` where another check of the rule fails for another cause.
        severity: critical, high, medium or low.
    """

    id: str
    kind: Kind
    severity: str
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    what: Text
    where: tuple[str, ...]
    costs: Text
    fix: Text
    rules: tuple[str, ...]
    note: str = ""


class Causes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The causes of one runtime's failures, and what its source shows besides, which no check can.

    Attributes:
        checked: the day on which somebody last held all of them against the runtime's source.
    """

    runtime: str
    introduction: Text
    checked: date
    cause: tuple[Cause, ...]
    unseen: tuple[Cause, ...] = ()


def read(path: Path) -> Causes:
    """Read a list of causes.

    Raises:
        SuiteError: it cannot be read, or is no list of causes.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise SuiteError(f"{path}: larger than {LARGEST} bytes")
        return msgspec.convert(tomli.loads(path.read_text(encoding="utf-8")), Causes)
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SuiteError(f"{path}: no list of causes: {error}") from error


def problems(causes: Causes, runs: Mapping[str, RunReport]) -> list[str]:
    """Return what keeps the causes from being the whole story: failures without a cause, causes that are no longer seen, doubles."""
    failing = {(one.rule, one.check) for run in runs.values() for one in run.failures if one.outcome in FAILING}
    found = []
    explained: dict[tuple[str, str], str] = {}
    for cause in causes.cause:
        for name in cause.rules:
            rule, _, check = name.partition("::")
            meant = {item for item in failing if item[0] == rule and check in {"", item[1]}}
            if not meant:
                found.append(f"{cause.id}: {name} no longer fails")
            for item in sorted(meant):
                if item in explained and explained[item] != cause.id:
                    found.append(f"{item[0]}::{item[1]} has two causes, {explained[item]} and {cause.id}")
                explained[item] = cause.id
    found += [f"{rule}::{check} fails and has no checked cause" for rule, check in sorted(failing - explained.keys())]
    return found


def outcomes(runs: Mapping[str, RunReport]) -> dict[str, dict[str, str]]:
    """Return what became of every rule that concerns the runtime, per build: the part of a run that has to repeat exactly."""
    return {build: {line.id: str(line.outcome) for line in run.rules if _concerned(line)} for build, run in runs.items()}


def _concerned(line: RuleLine) -> bool:
    """Tell whether anything was asked of the runtime: there is a check, and it is not of a facet that nobody claimed."""
    elsewhere = line.outcome is Outcome.UNSUPPORTED and line.message.startswith(UNCLAIMED)
    return line.outcome is not Outcome.UNTESTED and not elsewhere


def known_failures(causes: Causes, run: RunReport, page_link: str) -> str:
    """Return a build's list of known failures, as TOML: each leads to its cause on the page."""
    cause_of = {(one.rule, one.check): cause for cause in causes.cause for one in _failures(cause, run)}
    expires = causes.checked + timedelta(days=DAYS)
    lines = [HEADING.format("findings")]
    for (rule, check), cause in sorted(cause_of.items(), key=lambda item: item[0]):
        message = next(one.message for one in run.failures if (one.rule, one.check) == (rule, check))
        lines.append(entry("failure", rule, check, message, issue=f"{page_link}#{cause.id.lower()}", expires=expires))
    return "".join(lines)


def traces_of(runs: Mapping[str, RunReport]) -> dict[str, bytes]:
    """Return the trace of each failing check, by file name: from the first build that has one, if it is small enough to be kept.

    Raises:
        SuiteError: a trace that a report names cannot be read.
    """
    found: dict[str, bytes] = {}
    for run in runs.values():
        for failure in run.failures:
            if failure.outcome not in FAILING or not failure.trace:
                continue
            path = Path(failure.trace)
            try:
                if path.name not in found and path.stat().st_size <= LARGEST_TRACE:
                    found[path.name] = path.read_bytes()
            except OSError as error:
                raise SuiteError(f"{path}: the trace of a failure cannot be read: {error.strerror}") from error
    return found


def page(
    causes: Causes, runs: Mapping[str, RunReport], rulebook: Rulebook, *, subject: str, traces: Iterable[str] = (), kept: str = ""
) -> str:
    """Return the whole report as Markdown: verdicts, every rule, every failure with its cause and the ways to see it again.

    `traces` names the trace files that lie in the folder `kept`, seen from the page.
    """
    parts = [f"# {causes.runtime}\n\n<!-- Made by `make judge-torvyn` from runs and from causes.toml. Edit those, not this page. -->\n"]
    parts.append(f"\n{causes.introduction.strip()}\n")
    parts.append(_verdicts(runs))
    parts.append(_index(causes, runs))
    links = {name: f"{kept}/{name}" for name in traces}
    parts += [_cause(cause, runs, rulebook, subject, links) for cause in causes.cause]
    if causes.unseen:
        parts.append("\n## Read in the source, out of reach of a check\n")
        parts += [f"{_heading(cause)}{_body(cause)}" for cause in causes.unseen]
    parts.append(_declared(runs))
    parts.append(_rules(runs))
    return "".join(parts)


def _verdicts(runs: Mapping[str, RunReport]) -> str:
    lines = ["\n| build | verdict | " + " | ".join(SHOWN) + " | checks executed |\n|" + "---|" * (len(SHOWN) + 3) + "\n"]
    for build, run in runs.items():
        counts = " | ".join(str(run.counts.get(Outcome(outcome), 0)) for outcome in SHOWN)
        lines.append(f"| {build} | {run.verdict} | {counts} | {run.executed} of {run.planned} |\n")
    first = next(iter(runs.values()))
    if any(run.selection for run in runs.values()):
        lines.append("\n**Only a selection of the rules was run for this page: those with a known cause. `make judge-torvyn` runs all.**\n")
    lines.append(f"\nSuite {first.suite}, seed {first.seed}, {first.depth}; {first.generator}; rulebook `{first.rulebook[:23]}`.\n")
    return "".join(lines)


SHOWN = ("pass", "fail", "crash", "timeout", "inconclusive", "unsupported", "untested")
"""The outcomes of a rule that the table of verdicts counts."""


def _index(causes: Causes, runs: Mapping[str, RunReport]) -> str:
    lines = ["\n## Findings\n\n| id | severity | kind | finding | rules | builds |\n|---|---|---|---|---|---|\n"]
    for cause in causes.cause:
        builds = [build for build, run in runs.items() if _failures(cause, run)]
        rules = ", ".join(dict.fromkeys(name.partition("::")[0] for name in cause.rules))
        lines.append(f"| {cause.id} | {cause.severity} | {cause.kind} | {cause.title} | {rules} | {', '.join(builds)} |\n")
    return "".join(lines)


def _failures(cause: Cause, run: RunReport) -> list[Failure]:
    names = {tuple(name.partition("::")[::2]) for name in cause.rules}
    return [one for one in run.failures if one.outcome in FAILING and (((one.rule, "") in names) or ((one.rule, one.check) in names))]


def _body(cause: Cause) -> str:
    places = "".join(f"- `{place}`\n" for place in cause.where)
    note = f"\n{cause.note.strip()}\n" if cause.note else ""
    return (
        f"{cause.severity.capitalize()}, {cause.kind}.\n\n**What.** {cause.what.strip()}\n\n**Where.**\n\n{places}\n"
        f"**What it costs.** {cause.costs.strip()}\n\n**How it could be fixed.** {cause.fix.strip()}\n{note}"
    )


def _heading(cause: Cause) -> str:
    return f'\n<a id="{cause.id.lower()}"></a>\n\n### {cause.id}: {cause.title}\n\n'


def _declared(runs: Mapping[str, RunReport]) -> str:
    """Return what the runtime says of itself: which of several permitted readings it takes, and what it leaves out."""
    declaration = next(iter(runs.values())).declaration
    readings = sorted({name for claim in declaration.facets for name in claim.capabilities if "=" in name})
    lines = ["\n## What it declares\n\nWhere the rulebook permits more than one reading, these are taken, and held against nobody: "]
    lines.append(", ".join(f"`{name}`" for name in readings) or "none")
    lines.append(".\n\n| left out | because |\n|---|---|\n")
    lines += [f"| `{name}` | {_cell(reason)} |\n" for name, reason in sorted(declaration.unsupported.items())]
    return "".join(lines)


def _cell(text: str) -> str:
    return _short(" ".join(text.split()).replace("|", "\\|"))


def _cause(cause: Cause, runs: Mapping[str, RunReport], rulebook: Rulebook, subject: str, links: Mapping[str, str]) -> str:
    parts = [f"{_heading(cause)}{_body(cause)}"]
    told: set[tuple[str, str]] = set()
    for build, run in runs.items():
        for failure in _failures(cause, run):
            if (failure.rule, failure.check) in told:
                continue
            told.add((failure.rule, failure.check))
            parts.append(_failure(failure, rulebook, build, subject.format(build=build), links))
    return "".join(parts)


def _failure(failure: Failure, rulebook: Rulebook, build: str, subject: str, links: Mapping[str, str]) -> str:
    rule = rulebook.get(failure.rule)
    lines = [f"\n**{rule.id}** ({rule.level}) {rule.title}. Check `{failure.check}`, {build} build: {failure.message}"]
    if failure.expected or failure.found:
        lines.append(f"; expected {_code(failure.expected)}, found {_code(failure.found)}")
    lines.append(f".\n\n> {' '.join(rule.text.split())}\n>\n> If it is broken: {' '.join(rule.consequence.split())}\n")
    for name in rule.ambiguity:
        entry = next((one for one in rulebook.ambiguities if one.id == name), None)
        if entry is not None:
            readings = "; ".join(entry.readings)
            lines.append(f">\n> Readings ({entry.id}): {readings}. Chosen: {entry.chosen}\n")
    lines.append(_trace(failure))
    lines.append(f"\n```console\n$ torvyn-conformance run --subject '{subject}' --rules {failure.rule} --seed 0\n```\n")
    name = f"{failure.rule}.{failure.check}.jsonl"
    if name in links:
        lines.append(f"\nThe whole trace, to judge, to replay and to look at (`docs/traces.md`): [{name}]({links[name]}).\n")
    return "".join(lines)


def _code(text: str) -> str:
    text = " ".join(text.split()).replace("`", "'")
    return f"`{text if len(text) <= 160 else text[:160] + ' ...'}`" if text else "nothing"


MOST_LINES = 24


def _trace(failure: Failure) -> str:
    """Return the smallest counterexample, a line per step."""
    evidence = failure.evidence
    if isinstance(evidence, dict) and "steps" in evidence:
        steps: Iterable[str] = (_step(step) for step in evidence["steps"])
    elif isinstance(evidence, dict) and "flow" in evidence:
        flow = evidence["flow"]
        edges = ", ".join(f"{one['source']} -> {one['target']} ({one.get('capacity', 64)})" for one in flow["edges"])
        steps = [f"flow: {edges}; {_settings(flow)}", *(_script(stage) for stage in flow["stages"])]
        steps += [f"... {_step(event)}" for event in evidence.get("trace", ())]
    elif evidence is not None:
        steps = [_short(json.dumps(evidence, ensure_ascii=False, sort_keys=True))]
    else:
        steps = [_short(one) for one in failure.transcript[-8:]]
    lines = list(steps)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"... and {len(lines) - MOST_LINES + 1} more"]
    return "\n```text\n" + "\n".join(lines) + "\n```\n" if lines else ""


def _settings(flow: dict[str, object]) -> str:
    parts = [f"{key} {json.dumps(flow[key], sort_keys=True)}" for key in ("settings", "commands") if flow.get(key)]
    return ", ".join(parts) or "default settings"


def _script(stage: dict[str, object]) -> str:
    return _short(f"stage {stage['name']}: {stage['role']} {json.dumps(stage.get('script', {}), sort_keys=True)}")


def _step(step: dict[str, object]) -> str:
    kind = step.get("op") or step.get("e")
    rest = ", ".join(f"{key}={_value(value)}" for key, value in step.items() if key not in {"op", "e", "at", "gave"})
    return _short(f"{kind} {rest}")


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= 180 else f"{text[:180]} ... ({len(text)} characters)"


def _rules(runs: Mapping[str, RunReport]) -> str:
    """Return what became of every rule that has a check, per build; rules that no check reaches are only counted."""
    lines = ["\n## Every rule\n\nLeft out are rules that only a facet can show which is not claimed, and rules without a check.\n"]
    by_rule: dict[str, dict[str, RuleLine]] = {}
    for build, run in runs.items():
        for line in run.rules:
            by_rule.setdefault(line.id, {})[build] = line
    lines.append(f"\n| rule | level | {' | '.join(runs)} | |\n|---|---|{'---|' * len(runs)}---|\n")
    for rule, results in by_rule.items():
        outcomes = [str(results[build].outcome) for build in runs]
        if not any(_concerned(result) for result in results.values()):
            continue
        line = next(iter(results.values()))
        why = _cell(line.message) if line.outcome is not Outcome.PASS else ""
        lines.append(f"| {rule} {line.title} | {line.level} | {' | '.join(outcomes)} | {why} |\n")
    return "".join(lines)

"""What people read about a trace: which rules it breaks, and where a replay parts from what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import msgspec
from rich.console import Console
from rich.text import Text

from conformance.report.text import console_and_buffer, plain_table, tidy
from conformance.report.words import clean
from conformance.rulebook import Rulebook
from conformance.traces.conversation import Conversation
from conformance.traces.file import Shows, TraceFile
from conformance.traces.judging import Judged
from conformance.traces.replay import first_difference, plain
from conformance.verdict import Outcome

FAILED = frozenset({Outcome.FAIL, Outcome.FLAKY, Outcome.CRASH, Outcome.TIMEOUT})
BEFORE, AFTER = 6, 3
"""How many lines before and after the first difference are shown."""
SCHEMA_VERSION = 1


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that a trace breaks: where, how, and the rule's words. `binding`: it is a MUST or MUST NOT."""

    rule: str
    binding: bool
    text: str
    consequence: str
    shows: Shows
    line: str = ""


class TraceJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """What one trace says of the rules. `kept` counts evaluations; `silent` are the rules that it never came near."""

    schema_version: int
    trace: str
    subject: str
    lines: int
    broken: tuple[Broken, ...]
    kept: dict[str, int]
    silent: tuple[str, ...]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a trace: who ran it, what happened, and which rules that breaks."""

    name: str
    subject: str
    lines: tuple[str, ...]
    broken: tuple[Broken, ...]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A trace run again.

    Attributes:
        shows: the violation for which the trace was kept.
        difference: the first line at which reference and subject (or, with one run, recording and subject) differ; None when they do not.
        demands: what the model demands there, in words; empty where no rule speaks about it.
    """

    schema_version: int
    trace: str
    shows: Shows | None
    text: str
    columns: tuple[Column, ...]
    difference: int | None
    demands: tuple[str, ...]


def _broken(rulebook: Rulebook, judged: Iterable[Judged], lines: Sequence[str]) -> tuple[Broken, ...]:
    found = []
    for one in judged:
        if one.broken is None:
            continue
        rule, at = rulebook.get(one.rule), one.broken.at
        line = lines[at] if at is not None and at < len(lines) else ""
        found.append(
            Broken(
                rule=one.rule,
                binding=str(rule.level).startswith("MUST"),
                text=rule.text,
                consequence=rule.consequence,
                shows=one.broken,
                line=line,
            )
        )
    return tuple(sorted(found, key=lambda broken: (broken.shows.at is None, broken.shows.at or 0, broken.rule)))


def judgement_of(rulebook: Rulebook, name: str, trace: TraceFile, judged: Sequence[Judged]) -> TraceJudgement:
    """Put a judgement together."""
    lines = plain(trace)
    return TraceJudgement(
        schema_version=SCHEMA_VERSION,
        trace=name,
        subject=trace.header.subject,
        lines=len(lines),
        broken=_broken(rulebook, judged, lines),
        kept={one.rule: one.evaluations for one in judged if one.broken is None and one.evaluations},
        silent=tuple(one.rule for one in judged if one.broken is None and not one.evaluations),
    )


def render_judgement(result: TraceJudgement) -> str:
    """Render a judgement."""
    console, buffer = console_and_buffer()
    console.print(_plain(f"{result.trace}: {result.lines} lines of {result.subject}"))
    for broken in result.broken:
        console.print()
        _show(console, broken)
    console.print()
    counts = f"{len(result.broken)} rules broken, {len(result.kept)} kept, {len(result.silent)} never came up"
    console.print(Text(counts, style="bold red" if result.broken else "bold green"))
    return tidy(buffer)


def column_of(rulebook: Rulebook, name: str, trace: TraceFile, judged: Sequence[Judged]) -> Column:
    """Put one run together."""
    lines = plain(trace)
    return Column(name=name, subject=trace.header.subject, lines=tuple(lines), broken=_broken(rulebook, judged, lines))


def replayed(rulebook: Rulebook, name: str, recorded: TraceFile, columns: Sequence[Column]) -> Replayed:
    """Put a replay together: `columns` are the recording, the reference (if it is another) and the subject."""
    difference = first_difference(columns[-2].lines, columns[-1].lines)
    shown = recorded.header.shows
    return Replayed(
        schema_version=SCHEMA_VERSION,
        trace=name,
        shows=shown,
        text=rulebook.get(shown.rule).text if shown is not None and shown.rule in {rule.id for rule in rulebook.rules} else "",
        columns=tuple(columns),
        difference=difference,
        demands=_demands(recorded, columns[-1], difference),
    )


def _demands(recorded: TraceFile, subject: Column, at: int | None) -> tuple[str, ...]:
    """Return what the rules demand at a place: of events the violated expectation, of a conversation the model's answer."""
    if at is None:
        return ()
    found = [f"{broken.rule}: {broken.shows.expected}" for broken in subject.broken if broken.shows.at == at and broken.shows.expected]
    if recorded.header.flow is None and at < len(recorded.exchanges):
        conversation = Conversation(recorded.header.claims)
        for number, exchange in enumerate(recorded.exchanges[: at + 1]):
            conversation.take(number, exchange.request, exchange.reply)
        if conversation.demands:
            found.insert(0, f"the model: {conversation.demands}")
    return tuple(dict.fromkeys(found))


def render_replay(result: Replayed) -> str:
    """Render a replay."""
    console, buffer = console_and_buffer()
    console.print(_plain(f"{result.trace}: recorded of {result.columns[0].subject}"))
    if result.shows is not None:
        console.print(_plain(f"kept because: {_sentence(result.shows)}"))
        console.print(_plain(f"the rule: {result.text}"))
    console.print()
    for column in result.columns:
        rules = ", ".join(broken.rule for broken in column.broken) or "none"
        style = "bold red" if column.broken else "bold green"
        console.print(Text(clean(f"{column.name} ({column.subject}): {len(column.lines)} lines, rules broken: {rules}"), style=style))
    at = result.difference
    broken = result.columns[-1].broken
    if at is None and broken and broken[0].shows.at is not None:
        at = broken[0].shows.at
    if at is not None:
        console.print()
        console.print(_plain(f"the runs first differ at line {at}" if result.difference is not None else f"the rule shows at line {at}"))
        table = plain_table("line", *(column.name for column in result.columns))
        lines = list(zip_longest(*(column.lines for column in result.columns), fillvalue="(ended)"))
        for number in range(max(0, at - BEFORE), min(len(lines), at + AFTER + 1)):
            style = "bold" if number == at else ""
            mark = ">" if number == at else " "
            table.add_row(f"{mark}{number}", *(Text(clean(cell[:160]), style=style) for cell in lines[number]))
        console.print(table)
    elif len(result.columns) > 1:
        console.print(_plain("the runs do not differ"))
    for demand in result.demands:
        console.print(_plain(f"demanded at line {at}: {demand}"))
    for one in broken:
        console.print()
        _show(console, one)
    return tidy(buffer)


def _sentence(shown: Shows) -> str:
    difference = f" (expected {shown.expected}, found {shown.found})" if shown.expected or shown.found else ""
    where = "" if shown.at is None else f", at line {shown.at}"
    return f"{shown.rule}: {shown.message}{difference}{where}"


def _show(console: Console, broken: Broken) -> None:
    console.print(Text(clean(_sentence(broken.shows)), style="bold red"))
    if broken.line:
        console.print(_plain(f"  {broken.line}"))
    console.print(_plain(f"  the rule: {broken.text}"))
    console.print(_plain(f"  when it is broken: {broken.consequence}"))


def _plain(text: str) -> Text:
    return Text(clean(text))

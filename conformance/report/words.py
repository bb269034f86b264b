"""A failure in words, the same in every format: what happened, the smallest counterexample, why it matters, how to repeat it.

What a subject said ends up here. It is data: `clean` takes away what could steer a terminal or hide text, `shortened` bounds it;
escaping for the format at hand is the writer's business.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from conformance.report.json import Failure
from conformance.verdict import Outcome

FOLD = 88
"""Characters of evidence that are left on one line."""
LINES = 40
"""How many lines of one counterexample are shown; the JSON report has all of it."""
CHARACTERS = 12_000
"""How much of one text is shown, however few its lines."""
MESSAGES = 8
"""How many of the last messages are shown."""


class Row(NamedTuple):
    """One line of an explanation: what it is about, and the text. `code` texts keep their line breaks."""

    label: str
    text: str
    code: bool = False


def explanation(failure: Failure) -> tuple[Row, ...]:
    """Return all that is needed to understand a failure and to see it again, in reading order."""
    rows = [Row("what happened", failure.message)]
    if failure.expected or failure.found:
        rows += [Row("expected", failure.expected), Row("found", failure.found)]
    rows.append(Row("rule", failure.text))
    if failure.fault:
        rows.append(Row("fault of", failure.fault))
    if failure.evidence is not None:
        rows.append(Row("smallest counterexample", _evidence(failure), code=True))
    if failure.program:
        rows.append(Row("as a program", failure.program, code=True))
    if failure.transcript and failure.evidence is None:
        rows.append(Row("last messages", "\n".join(failure.transcript[-MESSAGES:]), code=True))
    if failure.detail:
        rows.append(Row("detail", failure.detail, code=True))
    if failure.outcome is Outcome.FAIL:
        rows.append(Row("why it matters", failure.consequence))
    if failure.trace:
        rows.append(Row("kept in", failure.trace))
    rows.append(Row("repeat with", failure.reproduce, code=True))
    return tuple(Row(row.label, clean(shortened(row.text)), row.code) for row in rows)


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: what is not printable is shown as an escape."""
    return "".join(char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str, lines: int = LINES, characters: int = CHARACTERS) -> str:
    """Return at most so many lines and characters of a text, and say how much is missing."""
    parts = text.rstrip().split("\n")
    if len(parts) > lines:
        parts[lines:] = [f"... {len(parts) - lines} more lines; --format json has them"]
    short = "\n".join(parts)
    if len(short) <= characters:
        return short
    return f"{short[:characters]}\n... {len(short) - characters} more characters; --format json has them"


def _evidence(failure: Failure) -> str:
    evidence = failure.evidence
    if isinstance(evidence, str):
        return evidence
    if isinstance(evidence, dict) and isinstance(evidence.get("steps"), list):
        steps = [f"{number}. {_one_line(step)}" for number, step in enumerate(evidence["steps"], start=1)]
        rest = {key: value for key, value in evidence.items() if key != "steps"}
        return "\n".join([*steps, *([_folded(rest)] if rest else [])])
    return _folded(evidence)


def _folded(value: object, indent: str = "") -> str:
    """Return JSON with a line for each part that fits one."""
    line = msgspec.json.encode(value).decode()
    if len(line) + len(indent) <= FOLD or not isinstance(value, (dict, list)):
        return line
    inner = f"{indent}  "
    if isinstance(value, dict):
        parts = [f"{msgspec.json.encode(key).decode()}: {_folded(each, inner)}" for key, each in value.items()]
        opening, closing = "{", "}"
    else:
        parts = [_folded(each, inner) for each in value]
        opening, closing = "[", "]"
    body = ",\n".join(f"{inner}{part}" for part in parts)
    return f"{opening}\n{body}\n{indent}{closing}"


def _one_line(value: object) -> str:
    if isinstance(value, dict) and "op" in value:
        rest = ", ".join(f"{key}={_one_line(each)}" for key, each in value.items() if key != "op")
        return f"{value['op']}({rest})"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

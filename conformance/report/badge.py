"""A badge: the verdict, what it covers, and the suite that gave it; as shields' endpoint JSON, or as an SVG that needs no service.

The suite's digest is part of the message, so that a badge of an older suite can be told from one of today's: see
`conformance.report.json.suite_digest`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from conformance.report.json import RunReport, suite_digest
from conformance.report.page import environment
from conformance.verdict import EXIT_HARNESS, Outcome, Verdict

LABEL = "torvyn"
DIGITS = 8
"""Hex digits of the suite's digest that are shown."""
CONFORMANT, BROKEN, OPEN, VOID = "#2ea44f", "#d1242f", "#bf8700", "#6e7781"


class Badge(NamedTuple):
    """What a badge says: the message, the suite's short digest, and the colour."""

    message: str
    suite: str
    color: str


def badge(report: RunReport) -> Badge:
    """Decide what a run's badge says.

    It never says more than the verdict: the profiles that were kept are named when not all were, no profile is green while the subject
    claims what it does not answer, and a suite's own failure is no result.
    """
    suite = suite_digest(report).removeprefix("sha256:")[:DIGITS]
    if report.exit_code == EXIT_HARNESS:
        return Badge("no result", suite, VOID)
    passed = report.counts.get(Outcome.PASS, 0)
    kept = [profile for profile, verdict in report.profiles.items() if verdict is Verdict.CONFORMANT]
    if report.verdict is Verdict.NOT_CONFORMANT:
        return Badge("not conformant", suite, BROKEN)
    if report.verdict is Verdict.CONFORMANT and len(kept) == len(report.profiles):
        return Badge("conformant", suite, CONFORMANT)
    if kept and not report.claims:
        return Badge(f"conformant: {', '.join(kept)}", suite, CONFORMANT)
    return Badge(f"{passed} of {report.rules_total} rules shown", suite, OPEN)


def endpoint(report: RunReport) -> bytes:
    """Return the badge as shields' endpoint JSON."""
    shown = badge(report)
    data = {"schemaVersion": 1, "label": LABEL, "message": f"{shown.message} · suite {shown.suite}", "color": shown.color}
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def svg(report: RunReport) -> bytes:
    """Return the badge as an SVG picture."""
    shown = badge(report)
    parts, x = [], 0
    for text, fill in ((LABEL, "#24292f"), (shown.message, shown.color), (shown.suite, "#57606a")):
        width = _width(text)
        parts.append({"text": text, "fill": fill, "x": x, "width": width + 14, "middle": x + 7 + width / 2, "length": width})
        x += width + 14
    return (
        environment()
        .get_template("badge.svg")
        .render(parts=parts, width=x, title=f"{LABEL}: {shown.message}, suite {shown.suite}")
        .encode()
    )


def _width(text: str) -> int:
    """Return about how many pixels a text takes at 11 px; the picture sets each text to exactly this length."""
    return round(sum(3.6 if char in "ilj.,:' " else 4.6 if char in "frt1-" else 9.5 if char in "mwMW" else 6.6 for char in text))

"""The formats of a report, by name and by the ending of a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from conformance.errors import SuiteError
from conformance.report import badge, text
from conformance.report.html import html
from conformance.report.json import RunReport, encode
from conformance.report.junit import junit
from conformance.report.killmatrix import KillMatrix
from conformance.report.sarif import Anchor, run_findings


class ReportFormat(StrEnum):
    """How a report is written. `badge` is shields' endpoint JSON, `svg` the badge as a picture."""

    JSON = "json"
    HTML = "html"
    JUNIT = "junit"
    SARIF = "sarif"
    BADGE = "badge"
    SVG = "svg"
    TEXT = "text"


ENDINGS = {
    "badge.json": ReportFormat.BADGE,
    ".sarif.json": ReportFormat.SARIF,
    ".json": ReportFormat.JSON,
    ".html": ReportFormat.HTML,
    ".htm": ReportFormat.HTML,
    ".xml": ReportFormat.JUNIT,
    ".sarif": ReportFormat.SARIF,
    ".svg": ReportFormat.SVG,
    ".txt": ReportFormat.TEXT,
}
"""The endings of files, the longer ones first."""


class Target(NamedTuple):
    """A report to write: where, and how."""

    path: Path
    format: ReportFormat


def target(wanted: str) -> Target:
    """Read `FILE` (its ending says the format) or `FORMAT=FILE`, before anything is run.

    Raises:
        SuiteError: the ending says no format, or there is no folder to write into.
    """
    name, equals, rest = wanted.partition("=")
    if equals and name in set(ReportFormat):
        return Target(_writable(rest), ReportFormat(name))
    return Target(_writable(wanted), inferred(Path(wanted)))


def targets(wanted: list[str]) -> list[Target]:
    """Read several, and refuse two for one file.

    Raises:
        SuiteError: one is wrong, or two name one file.
    """
    found = [target(each) for each in wanted]
    for index, each in enumerate(found):
        if any(each.path.absolute() == other.path.absolute() for other in found[:index]):
            raise SuiteError(f"two reports would be written to {each.path}")
    return found


def inferred(path: Path) -> ReportFormat:
    """Return the format that a file's name asks for.

    Raises:
        SuiteError: its ending is none of those known.
    """
    for ending, format_ in ENDINGS.items():
        if path.name.lower().endswith(ending):
            return format_
    known = ", ".join(ENDINGS)
    raise SuiteError(f"the format of the report {path} cannot be told from its name: known endings are {known}; or write FORMAT={path}")


def write(
    report: RunReport,
    format_: ReportFormat,
    *,
    kills: KillMatrix | None = None,
    anchor: Anchor | None = None,
    folder: Path | None = None,
) -> bytes:
    """Return a report in a format.

    HTML shows the kill matrix, and links the pages of counterexamples from the folder that it will be in. SARIF shows findings at the
    anchor.
    """
    match format_:
        case ReportFormat.JSON:
            return encode(report)
        case ReportFormat.HTML:
            return html(report, kills, folder)
        case ReportFormat.JUNIT:
            return junit(report)
        case ReportFormat.SARIF:
            return run_findings(report, anchor)
        case ReportFormat.BADGE:
            return badge.endpoint(report)
        case ReportFormat.SVG:
            return badge.svg(report)
        case ReportFormat.TEXT:
            return text.render_run(report).encode("utf-8", "backslashreplace")


def _writable(name: str) -> Path:
    path = Path(name)
    if not name or path.is_dir():
        raise SuiteError(f"the report cannot be written to {name!r}: name a file")
    if not path.parent.is_dir():
        raise SuiteError(f"the report cannot be written to {name!r}: there is no folder {str(path.parent)!r}")
    return path

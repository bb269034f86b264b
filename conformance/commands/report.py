"""`torvyn-conformance report`: a stored JSON report in any other format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.output import emit, read_bounded
from conformance.report.formats import ReportFormat, inferred, write
from conformance.report.json import LARGEST, decode
from conformance.report.killmatrix import decode_kills
from conformance.report.sarif import Anchor

AnchorOption = Annotated[
    str | None,
    typer.Option("--anchor", metavar="PATH[:LINE]", help="Where SARIF shows the findings: a place in your repository, not the rulebook."),
]


def report(
    stored: Annotated[Path, typer.Argument(metavar="REPORT.json", help="What `run --report REPORT.json` has written.")],
    output_format: Annotated[
        ReportFormat | None, typer.Option("--format", help="The format; by default what --output's ending says.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file instead of standard output.")] = None,
    mutants: Annotated[
        Path | None, typer.Option("--mutants", help="Show this kill matrix in HTML (`mutants --report` writes one).")
    ] = None,
    anchor: AnchorOption = None,
) -> None:
    """Write a stored report in another format. Nothing is run, and the verdict is not judged again."""
    if output_format is None:
        output_format = inferred(output) if output is not None else ReportFormat.TEXT
    elif output_format is ReportFormat.BADGE and output is not None and output.suffix == ".svg":
        output_format = ReportFormat.SVG
    place = None if anchor is None else Anchor.parse(anchor)
    kills = None if mutants is None else decode_kills(read_bounded(mutants, LARGEST), str(mutants))
    folder = output.parent if output is not None else Path()
    emit(write(decode(read_bounded(stored, LARGEST), str(stored)), output_format, kills=kills, anchor=place, folder=folder), output)

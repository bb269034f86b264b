"""`torvyn-conformance trace`: a trace as a page to travel through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.output import emit
from conformance.report.timeline import timeline
from conformance.traces.file import read


def trace(
    recorded: Annotated[Path, typer.Argument(metavar="TRACE", help="A trace file (docs/traces.md).")],
    output: Annotated[Path, typer.Option("--output", help="Write the page to this file.")],
) -> None:
    """Show a trace as a page: lanes of stages, streams and buffers to step through, with every violation pinned."""
    emit(timeline(read(recorded), recorded.name), output)

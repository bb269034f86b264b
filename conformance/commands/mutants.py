"""`torvyn-conformance mutants`: hunt the zoo, and say what killed what. Exit codes: docs/exit-codes.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from conformance.checks import Depth
from conformance.commands.output import Format, FormatOption, as_json, emit

EXITS = (
    "Exit codes: 0 every mutant was killed by a check of each rule that it breaks, and every check kills one; 1 not so; "
    "3 the suite itself failed; 4 wrong usage; 130 interrupted."
)


def mutants(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these mutants.", show_default=False)] = None,
    rules: Annotated[
        list[str] | None, typer.Option("--rules", help="Only mutants that break these rules: ids, areas or globs. Repeatable.")
    ] = None,
    depth: Annotated[Depth, typer.Option("--profile-run", help="How much to try.")] = Depth.QUICK,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same examples, in every process.")] = 0,
    output_format: FormatOption = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", help="Write the matrix to this file instead of standard output.")] = None,
    report_file: Annotated[Path | None, typer.Option("--report", help="Write the matrix as JSON to this file, too.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Worker processes; only the seconds depend on it.")] = 1,
) -> None:
    """Run the suite against faulty variants of the reference, and print which rule's check killed which of them.

    Directed examples come first, drawn ones second. A mutant must be killed for each rule that it breaks, by a check of that rule.
    """
    from conformance.mutants.matrix import Hunt, choose, run_matrix  # noqa: PLC0415 -- the zoo loads the reference; other commands do without
    from conformance.report import kills  # noqa: PLC0415 -- as above
    from conformance.rulebook import load  # noqa: PLC0415 -- as above

    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=notes, transient=True, disable=not notes.is_terminal
    ) as progress:
        task = progress.add_task("mutants", total=len(choose(load(), rules or [], names or [])))

        def on_hunt(hunt: Hunt) -> None:
            progress.update(task, advance=1, description=hunt.name)

        matrix = run_matrix(rules=rules or [], names=names or [], depth=depth, seed=seed, jobs=jobs, on_hunt=on_hunt)
    if report_file is not None:
        emit(as_json(matrix), report_file)
    emit(as_json(matrix) if output_format is Format.JSON else kills.render(matrix), output)
    raise typer.Exit(matrix.exit_code)

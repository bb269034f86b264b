"""`torvyn-conformance new-adapter`: writes a working adapter to begin with, with a README and a CI file.

The files stand in `conformance/skeletons`, a folder per language, as they are written. Each skeleton has one facet, `streams`, answered for
real, and declares nothing else: the doctor finds it healthy before anything was changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from conformance.errors import SuiteError

SKELETONS = Path(__file__).parents[1] / "skeletons"

EXITS = "Exit codes: 0 written, 4 wrong usage (the directory is not empty, or cannot be written)."


class Language(StrEnum):
    """The languages that there is a skeleton in."""

    PYTHON = "python"
    RUST = "rust"
    GO = "go"
    JS = "js"
    C = "c"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a skeleton is built and started.

    Attributes:
        build: the command, if there is anything to build.
        run: the command that is the adapter.
        main: the file to begin with.
        setup: the CI step that provides the tools, as YAML.
    """

    build: str
    run: str
    main: str
    setup: str = ""


RECIPES = {
    Language.PYTHON: Recipe("", "python adapter.py", "adapter.py"),
    Language.RUST: Recipe("cargo build --release", "target/release/adapter", "src/main.rs"),
    Language.GO: Recipe(
        "go build -o adapter .", "./adapter", "main.go", "      - uses: actions/setup-go@v5\n        with:\n          go-version: stable\n"
    ),
    Language.JS: Recipe(
        "", "node adapter.js", "adapter.js", "      - uses: actions/setup-node@v4\n        with:\n          node-version: 20\n"
    ),
    Language.C: Recipe("make", "./adapter", "adapter.c"),
}

README = """\
# An adapter for torvyn-conformance

It lets the suite drive a runtime over standard input and output. What it drives now is a small stream of numbers in `{main}`: put your
runtime in its place, message by message.

```console
{build}$ torvyn-conformance doctor --subject 'stdio:{run}'    # does the adapter speak the protocol?
$ torvyn-conformance run --subject 'stdio:{run}'       # does the runtime keep the rules?
```

1. Change name and version in the declaration.
2. Replace the bodies of the `streams.*` messages by calls of your runtime, and run the doctor.
3. Add a facet: claim it in the declaration, answer its messages, run the doctor again. What you leave out, name in `unsupported` with the
   reason: a facet that is claimed and declined is a finding.
4. `torvyn-conformance run … --rules WMK-004` repeats one rule; `--transcript lines.txt` shows every line that was exchanged.
5. What is known to fail goes on a list, with a link and a last day:
   `torvyn-conformance run --subject 'stdio:{run}' --write-baseline known.toml --issue https://…`

The protocol is described in the suite's `docs/protocol.md`, with JSON Schemas beside it. Standard output belongs to the protocol: log to
standard error.
"""

WORKFLOW = """\
name: conformance
on: [push, pull_request]

jobs:
  conformance:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
{setup}      - run: pip install torvyn-conformance
{build}      - run: torvyn-conformance doctor --subject 'stdio:{run}'
      # 2 (indeterminate) is as good as it gets while the adapter does not claim everything; 1 is a broken rule, 3 a defect of the suite.
      - run: |
          known=""
          if [ -f known.toml ]; then known="--known-failures known.toml"; fi
          torvyn-conformance run --subject 'stdio:{run}' $known --report report.json --report report.html || [ $? -eq 2 ]
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: conformance
          path: report.*
"""


def new_adapter(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty, or not exist.")],
    language: Annotated[Language, typer.Option("--lang", help="The language of the adapter.")],
) -> None:
    """Write a working adapter with one facet, a README and a CI file."""
    files = skeleton(language)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise SuiteError(f"{directory} is not an empty directory: nothing was written")
        for name, content in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"the adapter cannot be written to {directory}: {error.strerror}") from error
    recipe = RECIPES[language]
    build = f"{recipe.build} && " if recipe.build else ""
    typer.echo(f"{len(files)} files in {directory}; try it there:\n{build}torvyn-conformance doctor --subject 'stdio:{recipe.run}'")


def skeleton(language: Language) -> dict[str, str]:
    """Return the files of a skeleton by their path."""
    recipe = RECIPES[language]
    folder = SKELETONS / language
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    found["README.md"] = README.format(main=recipe.main, run=recipe.run, build=f"$ {recipe.build}\n" if recipe.build else "")
    build = f"      - run: {recipe.build}\n" if recipe.build else ""
    found[".github/workflows/conformance.yml"] = WORKFLOW.format(setup=recipe.setup, build=build, run=recipe.run)
    if recipe.build:
        found[".gitignore"] = "/adapter\n/target\n"
    return found

"""How `torvyn-ref` speaks: words for people on stderr, data on stdout, an exit code for the shell (CLI-001..CLI-004)."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from torvyn_ref.errors import TorvynError
from torvyn_ref.planning import each

console = Console(stderr=True, highlight=False, emoji=False)

_MOST_WORDS = 2000
"""Characters of a text from outside that are shown."""


class Exit(IntEnum):
    """Exit codes (CLI-003, CLI-004); a run that a signal ended has 128 and the signal's number."""

    OK = 0
    FAILED = 1
    USAGE = 2
    READER_GONE = 141


CATEGORIES = {
    "config": "config",
    "cli": "io",
    "contract": "contract",
    "topology": "link",
    "packaging": "packaging",
    "security": "security",
}
"""The error category of each subsystem (CLI-002); what is not here is `runtime`."""

_USAGE = {"config", "io"}


def plain(text: str) -> str:
    """Return a text from outside so that it does nothing to a terminal: control characters are shown, and its length is bounded."""
    if len(text) > _MOST_WORDS:
        text = f"{text[:_MOST_WORDS]}… ({len(text)} characters)"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def say(*parts: str | tuple[str, str]) -> None:
    """Print a line for people: texts, each with a style or without."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def warn(warning: str) -> None:
    """Print a warning."""
    say(("warning: ", "yellow"), plain(warning))


def complain(error: TorvynError) -> None:
    """Print every error that an error stands for, each on a line of its own."""
    for one in each(error):
        say(("error: ", "bold red"), plain(str(one)))


class _Warnings(logging.Handler):
    """Shows what the rooms log as a warning, or worse, the way everything else is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        warn(record.getMessage())


def show_logged_warnings() -> None:
    """Print the warnings of the logger `torvyn` for people; idempotent."""
    logger = logging.getLogger("torvyn")
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        handler = _Warnings(logging.WARNING)
        logger.addHandler(handler)


def fail(command: str, error: TorvynError, *, as_json: bool, code: int | None = None) -> NoReturn:
    """Report a failure, and end with its exit code.

    Raises:
        typer.Exit: always.
    """
    category = CATEGORIES.get(error.subsystem, "runtime")
    if code is None:
        code = Exit.USAGE if category in _USAGE else Exit.FAILED
    if as_json:
        failure = {"error": True, "command": command, "category": category, "detail": str(error), "exit_code": int(code)}
        print_json({**failure, "errors": [one.as_dict() for one in each(error)]})
    else:
        complain(error)
    raise typer.Exit(code)


def print_json(data: dict[str, Any]) -> None:
    """Print data on stdout.

    Raises:
        typer.Exit: it cannot be written; when nobody reads it any more, that is not worth a word.
    """
    try:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")  # in ASCII: it survives every locale and every file name
        sys.stdout.flush()
    except OSError as error:
        hang_up()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(Exit.READER_GONE) from None
        complain(TorvynError("flow", "output-failed", f"cannot write: {error.strerror}", where="standard output"))
        raise typer.Exit(Exit.FAILED) from None


def hang_up() -> None:
    """Forget stdout, which nobody reads any more, so that the interpreter does not complain of it at exit."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:  # ValueError: stdout is closed, or no file
        os.dup2(nothing.fileno(), sys.stdout.fileno())

"""How `torvyn-ref` speaks: words for people on stderr, data on stdout, an exit code for the shell (CLI-001..CLI-004, CLI-015)."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from torvyn_ref.errors import TorvynError
from torvyn_ref.planning import each


class Colour(StrEnum):
    """When words for people have colours: `auto` on a terminal that can and whose user did not forbid it."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Loudness(IntEnum):
    """What is said besides results and errors, each with what is before it."""

    ERROR = 0
    WARN = 1
    INFO = 2
    DEBUG = 3


class _Screen:
    """Where words for people go, and how: set once, when the command line has been read."""

    def __init__(self) -> None:
        self.colour(Colour.AUTO)
        self.loudness = Loudness.INFO

    def colour(self, wanted: Colour) -> None:
        """Write with colours, or without: NO_COLOR, TERM=dumb and anything but a terminal mean no colours, unless they are demanded."""
        forbidden = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self.coloured = wanted is Colour.ALWAYS or (
            wanted is Colour.AUTO and sys.stderr is not None and sys.stderr.isatty() and not forbidden
        )
        self.console = Console(
            stderr=True,
            highlight=False,
            emoji=False,
            force_terminal=True if wanted is Colour.ALWAYS else None,
            color_system="standard" if self.coloured else None,
        )


screen = _Screen()


def mark(*, ok: bool) -> tuple[str, str]:
    """Return the symbol of success or failure, as words where there are no colours, with its style (CLI-015)."""
    if ok:
        return ("✓" if screen.coloured else "[ok]", "green")
    return ("✗" if screen.coloured else "[FAIL]", "bold red")


_MOST_WORDS = 2000
"""Characters of a text from outside that are shown."""


class Exit(IntEnum):
    """Exit codes (CLI-003, CLI-004); a run that a signal ended has 128 and the signal's number."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REGRESSION = 3
    CONFLICT = 3
    READER_GONE = 141


CATEGORIES = {
    "config": "config",
    "cli": "io",
    "contract": "contract",
    "topology": "link",
    "packaging": "packaging",
    "security": "security",
    "environment": "environment",
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
    screen.console.print(Text.assemble(*parts), soft_wrap=True)


def warn(warning: str) -> None:
    """Print a warning, unless only errors are wanted."""
    if screen.loudness >= Loudness.WARN:
        say(("warning: ", "yellow"), plain(warning))


def detail(text: str) -> None:
    """Print what only helps to find out why something is as it is."""
    if screen.loudness >= Loudness.DEBUG:
        say(("debug: ", "dim"), plain(text))


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
        code = Exit.USAGE if category in _USAGE else Exit.CONFLICT if error.kind == "tag-exists" else Exit.FAILED
    if as_json:
        print_json(failure(command, error, category=category, code=code))
    else:
        complain(error)
        say(mark(ok=False), f" {command}: {category}")
    raise typer.Exit(code)


def failure(command: str, error: TorvynError, *, category: str, code: int) -> dict[str, Any]:
    """Return a failure as JSON-ready data, with the fields of its category (CLI-002); a field is null when there is nothing to say."""
    errors = each(error)
    first = errors[0]
    file = (first.where or "").partition(": ")[0] or None
    own: dict[str, Any]
    match category:
        case "config":
            own = {"file": file, "suggestion": first.hint}
        case "contract" | "link":
            own = {"diagnostics": [str(one) for one in errors]}
        case "io":
            own = {"path": first.fields.get("path", file)}
        case "packaging" | "security":
            own = {"suggestion": first.hint}
        case _:
            own = {"context": first.where}
    said = {"error": True, "command": command, "category": category, "detail": str(error), "exit_code": int(code)}
    return {**said, **own, "errors": [one.as_dict() for one in errors]}


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

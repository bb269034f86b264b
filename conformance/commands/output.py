"""What the commands of `torvyn-conformance` share: exit codes, formats, and output that is whole or not there at all."""

from __future__ import annotations

import os
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from conformance.errors import SuiteError

INTERRUPTED = 130
BROKEN_PIPE = 141

_UMASK = os.umask(0o077)
os.umask(_UMASK)  # there is no way to look at it without setting it

EXITS = (
    "Exit codes: 0 conformant, 1 not conformant, 2 indeterminate (not every binding rule was shown), "
    "3 the suite itself failed, 4 wrong usage, 130 interrupted."
)


class Format(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to write the result.")]


def as_json(value: Any) -> bytes:
    """Return a value as indented JSON, for people and programs."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def emit(result: bytes | str, output: Path | None) -> None:
    """Write a result to a file, or to standard output when there is none; a file is complete or untouched.

    Raises:
        SuiteError: the file cannot be written.
    """
    data = result.encode() if isinstance(result, str) else result
    if output is None:
        sys.stdout.write(data.decode())
        return
    try:
        if output.exists() and not output.is_file():  # a device or a pipe is written to, never replaced
            output.write_bytes(data)
            return
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            partial = Path(file.name)
            file.write(data)
        partial.chmod(0o666 & ~_UMASK)  # as if it had been opened here: a report is there to be read by others
        partial.replace(output)
    except OSError as error:
        raise SuiteError(f"the result cannot be written to {output}: {error.strerror}") from error


def read_bounded(path: Path, largest: int) -> bytes:
    """Return a file's bytes, at most one more than `largest`; what decodes them refuses it then.

    Raises:
        SuiteError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(largest + 1)
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error.strerror}") from error

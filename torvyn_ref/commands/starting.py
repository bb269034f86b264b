"""`torvyn-ref init`: a project to begin with (CLI-006)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from torvyn_ref.commands.shared import Format, FormatOption, reported
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.files import written_whole
from torvyn_ref.terminal import mark, plain, print_json, say

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

_MANIFEST = """\
[torvyn]
name = "{name}"
version = "0.1.0"
contract_version = "0.1.0"

# A component of the project, and a flow that uses it; docs: `torvyn-ref run --help`.
#
# [[component]]
# name = "numbers"
# path = "numbers.wasm"
#
# [flow.main.nodes.numbers]
# component = "numbers"
# interface = "torvyn:streaming/source"
"""

_WIT = """\
/// What the components of this project say to each other, besides the contract of the runtime.
package local:{package}@0.1.0;

interface types {{
  /// The name that this project gives to a piece of text.
  type line = string;
}}
"""


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, - and _, at most 64; also the name of its directory.")],
    force: Annotated[bool, typer.Option("--force", help="Write into a directory that is not empty.")] = False,  # noqa: FBT002  # typer's way to write a flag
    format_: FormatOption = Format.TEXT,
) -> None:
    """Make a project in a directory of its own: a manifest, and a WIT package. `check` accepts it."""
    as_json = format_ is Format.JSON
    with reported("init", as_json=as_json):
        if not _NAME.fullmatch(name):
            wanted = "1 to 64 characters of A-Z, a-z, 0-9, - and _, the first a letter or _"
            message = f"a project's name has {wanted}; found {plain(name)[:80]!r}"
            raise TorvynError("config", "invalid-name", message, where="NAME")
        directory = Path(name)
        package = re.sub(r"[_-]+", "-", name.lower()).strip("-")
        package = "-".join(part if part[:1].isalpha() else f"p{part}" for part in package.split("-") if part) or "project"
        files = {directory / "Torvyn.toml": _MANIFEST.format(name=name), directory / "wit" / "types.wit": _WIT.format(package=package)}
        try:
            if not force and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
                hint = "choose another name, or write --force"
                raise TorvynError(
                    "config", "not-empty", "the directory is there already, and is not empty", where=name, hint=hint, code="E0003"
                )
            for path, text in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(path) as stream:
                    stream.write(text.encode())
        except OSError as error:
            reason = error.strerror or str(error)
            raise TorvynError("cli", "cannot-write", f"cannot write the project: {reason}", where=name, path=name) from error
        if as_json:
            print_json({"success": True, "command": "init", "data": {"name": name, "files": [str(path) for path in files]}})
            return
        say(mark(ok=True), f" {name}: {', '.join(str(path) for path in files)}")

"""Writes every component of the corpus as text and binary, and the catalogue that describes them.

Run from anywhere: `python corpus/components/build.py`, or with `--check` to compare what is committed with what would
be written. The binaries are committed: nothing but wasmtime is needed to rebuild them, and nothing at all to use them.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parents[1]) not in sys.path:
    sys.path.insert(0, str(HERE.parents[1]))

import wasmtime  # noqa: E402 - the path comes first, for all imports alike

from corpus.components.guests import GUESTS  # noqa: E402 - needs the path set above
from corpus.components.wat import Guest  # noqa: E402 - needs the path set above

HEADING = """\
# Written by build.py from guests/*.py. Do not edit: edit the guest and build again.
#
# name          also the name of the .wat and .wasm beside this file
# world, role   the world it targets, and the role that gives it
# imports       the interfaces it imports, exports those it exports
# capabilities  what a manifest has to declare for it
# behaviour     well-behaved (its errors are answers the contract allows) or misbehaving
# breaks        the rules a misbehaving one breaks; outcome how that shows, at in which export
# config        the keys of its configuration text, "key=value,key=value"; anything else is answered invalid-input
"""


def outputs() -> Iterator[tuple[Path, bytes]]:
    """Yield every file the corpus consists of, with its content."""
    for guest in GUESTS:
        text = guest.wat()
        try:
            binary = bytes(wasmtime.wat2wasm(text))
        except wasmtime.WasmtimeError as error:
            raise SystemExit(f"{guest.name}: {error}") from None
        yield HERE / f"{guest.name}.wat", text.encode()
        yield HERE / f"{guest.name}.wasm", binary
    yield HERE / "catalogue.toml", catalogue().encode()


def catalogue() -> str:
    """Return the catalogue's text."""
    return HEADING + "".join(_entry(guest) for guest in GUESTS)


def main(arguments: list[str] | None = None) -> int:
    """Build the corpus, or with `--check` say what differs. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    check = parser.parse_args(arguments).check
    files = dict(outputs())
    strays = {*HERE.glob("*.wat"), *HERE.glob("*.wasm")} - files.keys()
    stale = [path for path, content in files.items() if not path.exists() or path.read_bytes() != content]
    if check:
        for path in sorted([*stale, *strays]):
            sys.stderr.write(f"{path.name}: {'no guest of that name' if path in strays else 'differs; build again'}\n")
        return 1 if stale or strays else 0
    for path in stale:
        path.write_bytes(files[path])
    for path in strays:
        path.unlink()
    sys.stdout.write(f"{len(GUESTS)} components; {len(stale)} files written, {len(strays)} removed\n")
    return 0


def _entry(guest: Guest) -> str:
    lines = [
        "",
        "[[component]]",
        f"name = {_quoted(guest.name)}",
        f"does = {_quoted(guest.does)}",
        f"world = {_quoted(guest.world)}",
        f"role = {_quoted(guest.role)}",
        f"imports = {_list(guest.imports)}",
        f"exports = {_list(guest.exports)}",
        f"behaviour = {_quoted(guest.behaviour)}",
    ]
    if guest.capabilities:
        lines.append(f"capabilities = {_list(guest.capabilities)}")
    if guest.outcome:
        lines += [f"breaks = {_list(guest.breaks)}", f"outcome = {_quoted(guest.outcome)}", f"at = {_quoted(guest.at)}"]
    for setting in guest.settings:
        default = "empty" if setting.default == "" else setting.default
        meaning = f"{setting.meaning} ({setting.range}; default {default})"
        lines.append(f"config.{setting.name} = {_quoted(meaning)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list(items: tuple[str, ...]) -> str:
    return "[" + ", ".join(_quoted(item) for item in items) + "]"


if __name__ == "__main__":
    raise SystemExit(main())

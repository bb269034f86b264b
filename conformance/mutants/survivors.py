"""What a mutation tool changed and the suite did not notice, held against a list of what was reviewed.

`python -m conformance.mutants.survivors MODULE` reads a session of cosmic-ray (`cosmic-ray dump`) from standard input. A survivor that a
rule forbids is a hole in the suite and gets a check or a mutant. One that no subject could show anybody, because the change means the same
or touches what the rest of the runtime makes unreachable, is listed in `survivors.toml` with the reason. Anything else is red, and so is an
entry whose line is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import tomli

from conformance.errors import SuiteError

REVIEWED = Path(__file__).with_name("survivors.toml")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line as it was and as it became; without indentation."""

    before: str
    after: str


class Reviewed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the list: a line of a module, what it may become unnoticed (anything, when that is left out), and why."""

    module: str
    before: str
    why: str
    after: str | None = None

    def covers(self, module: str, change: Change) -> bool:
        """Tell whether this is the reviewed one."""
        return (self.module, self.before) == (module, change.before) and self.after in {None, change.after}


class List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The list as it is written."""

    survivor: tuple[Reviewed, ...] = ()


class Tally(msgspec.Struct, kw_only=True):
    """A session, counted: changes that were noticed, that survived as reviewed ones do, that survived and are news, that never ran."""

    noticed: int = 0
    reviewed: int = 0
    news: list[Change] = []
    waiting: int = 0


def reviewed(path: Path = REVIEWED) -> tuple[Reviewed, ...]:
    """Return the list.

    Raises:
        SuiteError: it cannot be read, or an entry lacks something.
    """
    try:
        rows = tomli.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(rows, List).survivor
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from error


def change_of(diff: str) -> Change:
    """Return the lines of a unified diff that differ, each side joined to one."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(before=before, after=after)


def count(session: Iterable[str], module: str, known: Iterable[Reviewed]) -> Tally:
    """Count a session, a JSON pair of work and result per line.

    Raises:
        SuiteError: a line is no such pair.
    """
    entries, tally = tuple(known), Tally()
    for number, line in enumerate(session, 1):
        try:
            _work, result = msgspec.json.decode(line, type=tuple[Any, dict[str, Any] | None])
        except msgspec.MsgspecError as error:
            raise SuiteError(f"line {number} of the session is not work and result: {error}") from error
        if result is None:
            tally.waiting += 1
        elif result.get("test_outcome") == "survived":
            change = change_of(result.get("diff") or "")
            if any(entry.covers(module, change) for entry in entries):
                tally.reviewed += 1
            else:
                tally.news.append(change)
        elif result.get("worker_outcome") != "skipped":
            tally.noticed += 1
    return tally


def stale(module: str, source: str, known: Iterable[Reviewed]) -> list[str]:
    """Return the reviewed lines of a module that are not in it any more."""
    lines = {line.strip() for line in source.splitlines()}
    return [entry.before for entry in known if entry.module == module and entry.before not in lines]


def main(arguments: list[str] | None = None) -> int:
    """Say what a session shows about a module; return 1 for survivors that nobody reviewed, and for entries that are stale."""
    (module,) = sys.argv[1:] if arguments is None else arguments
    known = reviewed()
    tally = count(sys.stdin, module, known)
    gone = stale(module, Path(module).read_text(encoding="utf-8"), known)
    for change in tally.news:
        sys.stdout.write(f"survives, not reviewed:\n  - {change.before}\n  + {change.after}\n")
    for line in gone:
        sys.stdout.write(f"listed in {REVIEWED.name}, and not in the module any more: {line}\n")
    total = tally.noticed + tally.reviewed + len(tally.news)
    waiting = f"; {tally.waiting} more were not tried in the time" if tally.waiting else ""
    sys.stdout.write(
        f"{module}: {tally.noticed} of {total} changes noticed, {tally.reviewed} survivors reviewed, {len(tally.news)} not{waiting}\n"
    )
    if not total:
        sys.stdout.write("nothing was tried: that says nothing about the suite\n")
    return 1 if tally.news or gone or not total else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m benchmarks.check`: every exact counter against the committed baseline, for equality (`make bench-check`).

Whoever changes what an element costs sees it here, says so with `--update`, and the baseline's difference goes into the review. A counter
that fell has to be written down, too: the next one who raises it again should be told.

Exit codes: 0 nothing differs, 1 something does, 2 there is no baseline to compare with, or it cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.counters import NAMES, count_all

BASELINE = Path(__file__).with_name("baseline.json")

Counted = Mapping[str, Mapping[str, float]]


class Difference(NamedTuple):
    """One counter that is not what it was; None for one that is not there."""

    what: str
    before: float | None
    now: float | None


class BadBaseline(Exception):
    """The baseline is not there, or is none."""


def differences(before: Counted, now: Counted) -> list[Difference]:
    """Return every counter that differs, in the order of what is counted now; then what is no longer counted."""
    found = []
    for scenario in [*now, *(name for name in before if name not in now)]:
        old, new = before.get(scenario, {}), now.get(scenario, {})
        for counter in [*new, *(name for name in old if name not in new)]:
            one, other = old.get(counter), new.get(counter)
            if one != other:
                found.append(Difference(f"{scenario} {counter}", one, other))
    return found


def table(found: list[Difference]) -> str:
    """Return the differences as a table: what, before, now."""
    rows = [(one.what, _number(one.before), _number(one.now), _change(one)) for one in found]
    widths = [max(len(row[column]) for row in [*rows, ("what", "before", "now", "")]) for column in range(4)]
    lines = [("what", "before", "now", ""), *rows]
    return "\n".join(
        f"{what:<{widths[0]}}  {before:>{widths[1]}}  {now:>{widths[2]}}  {change}".rstrip() for what, before, now, change in lines
    )


def load(path: Path) -> dict[str, Any]:
    """Read a baseline.

    Raises:
        BadBaseline: in one sentence, with what to do.
    """
    hint = "write it with python -m benchmarks.check --update"
    try:
        baseline = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadBaseline(f"{path} cannot be read ({error.strerror}): {hint}") from None
    except ValueError as error:
        raise BadBaseline(f"{path} is no JSON ({error}): {hint}") from None
    if not isinstance(baseline, dict) or not _are_counters(baseline.get("counters")):
        raise BadBaseline(f"{path} holds no counters by scenario and name: {hint}")
    return baseline


def _are_counters(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(counters, dict) and all(isinstance(number, int | float) for number in counters.values()) for counters in value.values()
    )


def save(path: Path, counted: Counted) -> None:
    """Write a baseline, one line per scenario, so that a change of one shows as one."""
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(dict(counters))}" for name, counters in counted.items())
    head = f'{{\n  "per": "element of the source",\n  "wasmtime": {json.dumps(version("wasmtime"))},\n  "counters": {{\n'
    path.write_text(f"{head}{lines}\n  }}\n}}\n", encoding="utf-8")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.12g}"


def _change(one: Difference) -> str:
    if not one.before or one.now is None:
        return ""
    return f"{(one.now - one.before) / one.before:+.1%}"


def main(arguments: list[str] | None = None) -> int:
    """Count and compare, or write the baseline. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description="Exact counters per element, against the baseline.")
    parser.add_argument("--update", action="store_true", help="write the baseline anew, after showing what differs")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="another baseline")
    options = parser.parse_args(arguments)
    try:
        baseline = load(options.baseline)
    except BadBaseline as problem:
        if not options.update:
            print(problem, file=sys.stderr)
            return 2
        baseline = {"counters": {}}
    counted = count_all()
    found = differences(baseline["counters"], counted)
    if options.update:
        save(options.baseline, counted)
    if not found:
        print(f"{len(counted)} scenarios, {len(counted) * len(NAMES)} counters: as in the baseline")
        return 0
    print(table(found))
    if options.update:
        print(f"{len(found)} differences written to {options.baseline}")
        return 0
    wasmtime = baseline.get("wasmtime")
    if wasmtime != version("wasmtime"):
        print(f"the baseline is of wasmtime {wasmtime}, this is {version('wasmtime')}")
    print(f"{len(found)} of {len(counted) * len(NAMES)} counters differ; if that is meant: python -m benchmarks.check --update")
    return 1


if __name__ == "__main__":
    sys.exit(main())

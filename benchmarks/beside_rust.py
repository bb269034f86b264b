"""`python -m benchmarks.beside_rust ADAPTER`: scripted flows and resource operations here and in Torvyn's Rust crates, in one run.

ADAPTER is the release build of `adapters/torvyn-rust`; its `--bench` does the same work with upstream's driver and manager. Both count the
CPU time of their process, rounds are interleaved, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scenarios import ELEMENTS, FLOWS, RESOURCES, Scenario, nanoseconds_each

BOTH: Mapping[str, Scenario] = {name: FLOWS[name] for name in ("linear 64 B", "linear 4 KiB")} | dict(RESOURCES)
"""What both sides do, under the same name; the Rust side is `adapters/torvyn-rust/src/bench.rs`."""

ROUNDS = 5
PATIENCE_S = 120
"""Seconds for one round of the other side."""


class OtherSideError(Exception):
    """The adapter cannot be run, failed, or has measured something else."""


def measure_rust(command: Sequence[str], count: int) -> Mapping[str, float]:
    """Run the adapter's benchmark once and return nanoseconds per element or operation.

    Raises:
        OtherSideError: it cannot be run, failed, or does not name what is measured here.
    """
    try:
        done = subprocess.run([*command, "--bench", str(count)], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OtherSideError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise OtherSideError(f"{command[0]} --bench {count} ended with {done.returncode}: {done.stderr.strip()[:500]}")
    try:
        found = json.loads(done.stdout)["each"]
        return {name: float(found[name]) for name in BOTH}
    except (ValueError, KeyError, TypeError) as error:
        raise OtherSideError(
            f"{command[0]} --bench {count} printed no result of this benchmark: {error!r}; build it from this tree"
        ) from error


def measure(command: Sequence[str], rounds: int, count: int) -> dict[str, Any]:
    """Measure both sides in turn, `rounds` times over."""
    here: dict[str, list[float]] = {name: [] for name in BOTH}
    there: dict[str, list[float]] = {name: [] for name in BOTH}
    for _ in range(rounds):
        for name, each in measure_rust(command, count).items():
            there[name].append(each / 1000)
        for name, scenario in BOTH.items():
            here[name].append(nanoseconds_each(scenario, count) / 1000)
    rows = [(name, median(here[name]), median(there[name])) for name in BOTH]
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rounds": rounds,
        "elements": count,
        "unit": "us",
        "results": [
            {"name": name, "python": round(one, 3), "rust": round(other, 3), "ratio": round(one / other, 2)} for name, one, other in rows
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside_rust", description="CPU time here and in Torvyn's Rust crates.")
    parser.add_argument("adapter", type=Path, help="the release build of adapters/torvyn-rust")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"interleaved rounds, of which the median counts (default {ROUNDS})")
    parser.add_argument("--elements", type=int, default=ELEMENTS, help=f"elements or operations a round (default {ELEMENTS})")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.elements < 2:
        parser.error("at least 1 round and 2 elements")
    try:
        found = measure([str(options.adapter)], options.rounds, options.elements)
    except OtherSideError as error:
        print(error, file=sys.stderr)
        return 1
    if options.format == "json":
        print(json.dumps(found, indent=2))
        return 0
    print(f"{'CPU µs per element or operation':36}{'Python':>10}{'Rust':>10}{'ratio':>8}   ({options.rounds} rounds of {options.elements})")
    for row in found["results"]:
        print(f"{row['name']:36}{row['python']:10.3f}{row['rust']:10.3f}{row['ratio']:8.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

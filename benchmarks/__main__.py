"""`python -m benchmarks`: the corpus' CPU times as a small table, without asv."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Mapping
from statistics import median

from benchmarks.concurrency import CONCURRENT, run_concurrently
from benchmarks.scenarios import ELEMENTS, FLOWS, METRIC_OPERATIONS, POOLS, RESOURCES, STREAMS, Scenario, nanoseconds_each

ROUNDS = 5


def _reactor(flows: int) -> Callable[[int], int]:
    return lambda elements: run_concurrently(flows, elements)


SUITES: Mapping[str, Mapping[str, Scenario]] = {
    "flows": FLOWS,
    "reactor": {f"{flows} at a time": _reactor(flows) for flows in CONCURRENT},
    "resources": RESOURCES,
    "pools": POOLS,
    "streams": STREAMS,
    "observe": METRIC_OPERATIONS,
}


def measure(rounds: int, elements: int) -> list[dict[str, str | float]]:
    """Measure every scenario in turn, `rounds` times over, so that a slow minute falls on all of them alike."""
    scenarios = [(suite, name, scenario) for suite, members in SUITES.items() for name, scenario in members.items()]
    samples: dict[tuple[str, str], list[float]] = {(suite, name): [] for suite, name, _ in scenarios}
    for _ in range(rounds):
        for suite, name, scenario in scenarios:
            samples[suite, name].append(nanoseconds_each(scenario, elements) / 1000)
    return [
        {"suite": suite, "name": name, "cpu_us_median": round(median(found), 3), "cpu_us_min": round(min(found), 3)}
        for (suite, name), found in samples.items()
    ]


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="CPU time per element or operation, in microseconds.")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"interleaved rounds, of which the median counts (default {ROUNDS})")
    parser.add_argument("--elements", type=int, default=ELEMENTS, help=f"elements or operations a round (default {ELEMENTS})")
    options = parser.parse_args()
    if options.rounds < 1 or options.elements < max(CONCURRENT):
        parser.error(f"at least 1 round and {max(CONCURRENT)} elements")
    rows = measure(options.rounds, options.elements)
    if options.format == "json":
        about = {"python": platform.python_version(), "machine": platform.machine(), "rounds": options.rounds, "elements": options.elements}
        print(json.dumps(about | {"unit": "us", "results": rows}, indent=2))
        return
    print(f"{'CPU µs per element or operation':46}{'median':>8}{'min':>8}   ({options.rounds} rounds of {options.elements})")
    for row in rows:
        print(f"{str(row['suite']) + ': ' + str(row['name']):46}{row['cpu_us_median']:8.2f}{row['cpu_us_min']:8.2f}")


if __name__ == "__main__":
    main()

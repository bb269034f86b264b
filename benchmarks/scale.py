"""`python -m benchmarks.scale`: what one more flow costs: CPU beside others, memory while it runs, and what 100 000 leave behind.

CPU is that of the process, rounds are interleaved and the median counts. Memory that Python allocated is counted exactly (tracemalloc);
what the process holds is read from the kernel.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import anyio

from benchmarks.concurrency import CONCURRENT, FlowMaker
from torvyn_ref.flow import FlowState
from torvyn_ref.reactor import Reactor

ELEMENTS = 64
SHORT = 100_000
SHORT_ELEMENTS = 1
ROUNDS = 5


def cpu_per_flow(at_a_time: int, total: int, elements: int = ELEMENTS) -> int:
    """Run `total` flows, so many at a time, and return the CPU nanoseconds of one, from its making to its report."""
    maker = FlowMaker()

    async def run() -> int:
        begin = time.process_time_ns()
        for _ in range(total // at_a_time):
            async with Reactor(maker.resources, clock=maker.clock) as reactor:
                handles = [reactor.start(*maker.make(elements)) for _ in range(at_a_time)]
                for handle in handles:
                    assert (await handle.wait()).state is FlowState.COMPLETED
        return (time.process_time_ns() - begin) // total

    gc.collect()
    return anyio.run(run)


def memory_per_flow(flows: int) -> int:
    """Return the bytes that Python holds for one of so many flows that all have begun and none has ended."""
    maker = FlowMaker()

    async def run() -> int:
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        async with Reactor(maker.resources, clock=maker.clock) as reactor:
            handles = [reactor.start(*maker.make(None)) for _ in range(flows)]
            while not all(handle.driver.progress[1] for handle in handles):
                await anyio.lowlevel.checkpoint()
            gc.collect()
            held = tracemalloc.get_traced_memory()[0] - before
            await reactor.shutdown()
        tracemalloc.stop()
        return held // flows

    return anyio.run(run)


def one_after_another(flows: int) -> dict[str, float]:
    """Run short flows in one reactor, one after another; return CPU of each, and what the process held after a tenth and in the end."""
    maker = FlowMaker()

    async def run() -> dict[str, float]:
        after_tenth = 0
        begin = time.process_time_ns()
        async with Reactor(maker.resources, clock=maker.clock) as reactor:
            for number in range(1, flows + 1):
                handle = reactor.start(*maker.make(SHORT_ELEMENTS))
                assert (await handle.wait()).delivered == SHORT_ELEMENTS
                maker.forget(handle.driver)
                if number == max(flows // 10, 1):
                    after_tenth = _resident_bytes()
        spent = time.process_time_ns() - begin
        return {
            "flows": flows,
            "cpu_us_each": round(spent / flows / 1000, 1),
            "resident_mib_after_a_tenth": round(after_tenth / 2**20, 1),
            "resident_mib_at_the_end": round(_resident_bytes() / 2**20, 1),
        }

    return anyio.run(run)


def _resident_bytes() -> int:
    """Return what the process holds now; where the kernel does not say, the most that it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(rounds: int, short: int) -> dict[str, Any]:
    """Measure everything."""
    most = max(CONCURRENT)
    samples: dict[int, list[int]] = {flows: [] for flows in CONCURRENT}
    for _ in range(rounds):
        for flows in CONCURRENT:
            samples[flows].append(cpu_per_flow(flows, most))
    each = {flows: median(found) / 1000 for flows, found in samples.items()}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "elements_per_flow": ELEMENTS,
        "cpu_us_per_flow": {str(flows): round(found, 1) for flows, found in each.items()},
        "against_alone": {str(flows): round(found / each[1], 2) for flows, found in each.items()},
        "bytes_per_running_flow": memory_per_flow(most),
        "one_after_another": one_after_another(short),
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="CPU and memory of one more flow.")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"interleaved rounds, of which the median counts (default {ROUNDS})")
    parser.add_argument("--short", type=int, default=SHORT, help=f"flows one after another (default {SHORT})")
    options = parser.parse_args()
    if options.rounds < 1 or options.short < 1:
        parser.error("at least 1 round and 1 flow")
    found = measure(options.rounds, options.short)
    print(json.dumps(found, indent=2) if options.format == "json" else _table(found))


def _table(found: Mapping[str, Any]) -> str:
    lines = [f"{'flows at a time, ' + str(found['elements_per_flow']) + ' elements each':40}{'CPU µs per flow':>18}{'against alone':>16}"]
    lines += [f"{flows:>40}{cpu:18.1f}{found['against_alone'][flows]:16.2f}" for flows, cpu in found["cpu_us_per_flow"].items()]
    short = found["one_after_another"]
    lines.append(f"a running flow holds {found['bytes_per_running_flow'] / 1024:.1f} KiB")
    lines.append(f"{short['flows']} flows one after another: {short['cpu_us_each']} µs of CPU each")
    held = (short["resident_mib_after_a_tenth"], short["resident_mib_at_the_end"])
    lines.append(f"the process holds {held[0]} MiB after a tenth of them, {held[1]} MiB at the end")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

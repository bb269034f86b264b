"""`python -m benchmarks.ratio`: what a flow costs, against two loops that do the same work without a runtime.

One process, one wasmtime engine, the same compiled components; rounds are interleaved, so that a slow minute falls on all three alike, and
the median of the rounds counts. Everything is CPU time of the process, the engine's ticker thread included.

The flow is what `torvyn-ref run` runs: host, reactor, driver, sandboxes with fuel and deadline per call, budgets, copy accounting, and the
metrics at level production.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from wasmtime.component import Component

from benchmarks.corpus import linear, project, wasm
from benchmarks.handmade import DirectLoop, HandMade, StockLoop, plan
from torvyn_ref import config
from torvyn_ref.calls import FlowContext, Role
from torvyn_ref.clock import SystemClock
from torvyn_ref.compiled import is_compiled
from torvyn_ref.engine.direct import DirectEngine
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.flow import FlowState
from torvyn_ref.host import Host
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.observe import Level
from torvyn_ref.reactor import Reactor
from torvyn_ref.resources import ResourceManager

KIB, MIB = 1024, 1024 * 1024
LINE = ("counter-source", "uppercase", "sink-ready")


@dataclass(frozen=True, slots=True)
class Payload:
    """One size, how many elements a round takes of it, and what the issue asks for."""

    bytes: int
    elements: int
    stock_elements: int
    stock_rounds: int
    least_vs_stock: float
    least_vs_direct: float


PAYLOADS = (
    Payload(64, 4096, 512, 5, 8, 0.6),
    Payload(4 * KIB, 4096, 48, 5, 100, 0.6),
    Payload(64 * KIB, 2048, 2, 5, 1200, 0.6),
    Payload(MIB, 512, 1, 5, 5000, 0.4),
)
"""An element of 1 MiB takes the stock API seconds: one in a round has to do."""

INSTANTIATIONS = 50
MOST_INSTANTIATE_US = 1000.0


class Contest:
    """The three ways, ready to run any number of elements of any size.

    Args:
        directory: for the flows' projects.
    """

    def __init__(self, directory: Path, cleanup: ExitStack) -> None:
        self._directory = directory
        self._cleanup = cleanup
        self.engine = DirectEngine()
        cleanup.callback(self.engine.close)
        wasm_engine = self.engine.stock.wasm_engine
        code = [wasm(name) for name in LINE]
        self._components = tuple(Component(wasm_engine, one) for one in code)
        self._plans = tuple(plan(wasm_engine, one) for one in code)
        self._compiled = tuple(self.engine.compile(one, where=name) for one, name in zip(code, LINE, strict=True))
        self._hosts: dict[tuple[int, int], Host] = {}

    def flow(self, size: int, count: int) -> int:
        """Run a flow and return its CPU nanoseconds, from its start in the reactor to its report."""
        host = self._host(size, count)
        prepared = host.prepare()

        async def run() -> int:
            async with Reactor(host.resources, clock=host.clock) as reactor:
                begin = time.process_time_ns()
                report = await host.start(reactor, prepared).wait()
                spent = time.process_time_ns() - begin
            assert report.state is FlowState.COMPLETED, report
            assert report.delivered == count
            return spent

        try:
            assert host.metrics.level is Level.PRODUCTION
            return anyio.run(run)
        finally:
            prepared.close()

    def stock(self, size: int, count: int) -> int:
        """Run the loop on the stock API and return its CPU nanoseconds."""
        return _loop(StockLoop(self.engine.stock.wasm_engine, self._components, f"count={count},size={size}"), count)

    def direct(self, size: int, count: int) -> int:
        """Run the loop on the direct engine and return its CPU nanoseconds."""
        return _loop(DirectLoop(self.engine.stock.wasm_engine, self._plans, f"count={count},size={size}"), count)

    def instantiate(self, count: int) -> float:
        """Make and close `count` instances of each component, and return the CPU nanoseconds of one."""
        resources, clock = ResourceManager(), SystemClock()
        sandbox = Sandbox(Owner(1), FlowId(1), resources, FlowContext("flow-1"), clock)
        begin = time.process_time_ns()
        for _ in range(count):
            for role, compiled in zip((Role.SOURCE, Role.PROCESSOR, Role.SINK), self._compiled, strict=True):
                compiled.instantiate(role, sandbox).close()
        return (time.process_time_ns() - begin) / (count * len(LINE))

    def _host(self, size: int, count: int) -> Host:
        """Return the host of such flows: one, so that its pools are as warm as a service's."""
        host = self._hosts.get((size, count))
        if host is None:
            path = self._directory / f"{size}-{count}" / "Torvyn.toml"
            path.parent.mkdir()
            path.write_text(project(linear(1, count, size)), encoding="utf-8")
            host = Host(config.load(path, environment={}), engine=self.engine, cache_root=self._directory / "cache")
            self._hosts[size, count] = host
        return host


def _loop(loop: HandMade, count: int) -> int:
    try:
        begin = time.process_time_ns()
        loop.run()
        spent = time.process_time_ns() - begin
        assert loop.delivered == count
        return spent
    finally:
        loop.close()


@dataclass(slots=True)
class Samples:
    """CPU microseconds per element of each way, round by round."""

    flow: list[float] = field(default_factory=list)
    direct: list[float] = field(default_factory=list)
    stock: list[float] = field(default_factory=list)


def measure(payloads: Sequence[Payload], rounds: int) -> dict[str, Any]:
    """Run the rounds and return everything as JSON-ready data."""
    samples = {payload: Samples() for payload in payloads}
    instantiations: list[float] = []
    with tempfile.TemporaryDirectory() as directory, ExitStack() as cleanup:
        contest = Contest(Path(directory), cleanup)
        for payload in payloads:  # plans, pools and the allocator get warm
            contest.flow(payload.bytes, payload.elements)
            contest.direct(payload.bytes, payload.elements)
        for number in range(rounds):
            instantiations.append(_quietly(contest.instantiate, INSTANTIATIONS) / 1000)
            for payload, found in samples.items():
                size, count = payload.bytes, payload.elements
                found.flow.append(_quietly(contest.flow, size, count) / count / 1000)
                found.direct.append(_quietly(contest.direct, size, count) / count / 1000)
                if number < payload.stock_rounds:
                    few = payload.stock_elements
                    found.stock.append(_quietly(contest.stock, size, few) / few / 1000)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "compiled": is_compiled(),
        "rounds": rounds,
        "unit": "CPU us per element",
        "payloads": [_result(payload, found) for payload, found in samples.items()],
        "instantiate_us": round(median(instantiations), 1),
        "most_instantiate_us": MOST_INSTANTIATE_US,
    }


def _quietly(measured: Callable[..., float], *arguments: int) -> float:
    """Measure with the garbage collector switched off."""
    gc.collect()
    gc.disable()
    try:
        return measured(*arguments)
    finally:
        gc.enable()


def _result(payload: Payload, found: Samples) -> dict[str, Any]:
    flow, direct, stock = (median(values) for values in (found.flow, found.direct, found.stock))
    return {
        "bytes": payload.bytes,
        "flow_us": round(flow, 2),
        "direct_us": round(direct, 2),
        "stock_us": round(stock, 1),
        "vs_stock": round(stock / flow, 1),
        "vs_direct": round(direct / flow, 3),
        "least_vs_stock": payload.least_vs_stock,
        "least_vs_direct": payload.least_vs_direct,
        "samples": {"flow_us": _rounded(found.flow), "direct_us": _rounded(found.direct), "stock_us": _rounded(found.stock)},
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


def shortfalls(result: dict[str, Any]) -> list[str]:
    """Return what misses the issue's targets, in words."""
    missed = [
        f"{size_name(payload['bytes'])}: {name} {payload[name]:g}, target {payload[f'least_{name}']:g}"
        for payload in result["payloads"]
        for name in ("vs_stock", "vs_direct")
        if payload[name] < payload[f"least_{name}"]
    ]
    if result["instantiate_us"] > result["most_instantiate_us"]:
        missed.append(f"instantiate {result['instantiate_us']:g} us, target {result['most_instantiate_us']:g}")
    return missed


def size_name(size: int) -> str:
    """Return a size as people write it."""
    if size % MIB == 0:
        return f"{size // MIB} MiB"
    return f"{size // KIB} KiB" if size % KIB == 0 else f"{size} B"


def table(result: dict[str, Any]) -> str:
    """Return the numbers as a table."""
    lines = [f"{'payload':>8}{'flow µs':>10}{'direct µs':>11}{'stock µs':>12}{'vs_stock':>10}{'vs_direct':>11}"]
    lines += [
        f"{size_name(row['bytes']):>8}{row['flow_us']:>10.1f}{row['direct_us']:>11.1f}{row['stock_us']:>12.0f}"
        f"{row['vs_stock']:>10.0f}{row['vs_direct']:>11.2f}"
        for row in result["payloads"]
    ]
    kind = "the compiled build" if result["compiled"] else "Python as it is; `make compiled` builds the faster one"
    return "\n".join([*lines, f"instantiate and close, cached: {result['instantiate_us']:.0f} µs", f"torvyn_ref: {kind}"])


def main() -> int:
    """Measure, and print a table or JSON; 1 when a target is missed and `--strict` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratio", description=(__doc__ or "").split(": ", 1)[1].splitlines()[0])
    sizes = {size_name(payload.bytes).replace(" ", ""): payload for payload in PAYLOADS}
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, of which the median counts (default 5)")
    parser.add_argument("--payloads", nargs="+", choices=sizes, default=list(sizes), help="default: all")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least 1 round")
    result = measure([sizes[name] for name in options.payloads], options.rounds)
    missed = shortfalls(result)
    print(json.dumps(result, indent=2) if options.format == "json" else table(result))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())

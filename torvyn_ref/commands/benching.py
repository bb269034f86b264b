"""`torvyn-ref bench`: measure a flow, write the numbers down, and compare them with others (CLI-014, OBS-026, OBS-027)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from torvyn_ref import session
from torvyn_ref.commands.shared import (
    HERE,
    AuditOption,
    FlowOption,
    Format,
    FormatOption,
    ManifestOption,
    OfflineOption,
    ProjectArgument,
    SetOption,
    host_of,
    parse_duration,
    project_at,
    reported,
)
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowState
from torvyn_ref.host import Attachments
from torvyn_ref.observe import FlowReading, Level
from torvyn_ref.packaging.files import read_bounded, written_whole
from torvyn_ref.reactor import open_feed
from torvyn_ref.terminal import Exit, mark, print_json, say, warn

SAVED = Path(".torvyn") / "bench"
_MOST_BYTES = 1 << 20
_SECOND = 1e9
_MICROSECOND = 1e3

Report = dict[str, Any]


class ReportFormat(StrEnum):
    """What a report file is written as."""

    PRETTY = "pretty"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def bench(
    project: ProjectArgument = HERE,
    flow: FlowOption = None,
    manifest: ManifestOption = None,
    duration: Annotated[str, typer.Option("--duration", metavar="DURATION", help="How long to measure.")] = "10s",
    warmup: Annotated[str, typer.Option("--warmup", metavar="DURATION", help="How long to run before that.")] = "2s",
    input_: Annotated[
        str | None, typer.Option("--input", metavar="[NODE=]FILE|-", help="Replace the source by the lines of a file.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the report to this file, too.")] = None,
    report_format: Annotated[ReportFormat, typer.Option("--report-format", help="What that file is.")] = ReportFormat.PRETTY,
    compare: Annotated[Path | None, typer.Option("--compare", metavar="FILE", help="Fail when a saved report was better.")] = None,
    threshold: Annotated[float, typer.Option("--threshold", metavar="PERCENT", min=0, help="How much better.")] = 10.0,
    baseline: Annotated[str | None, typer.Option("--baseline", metavar="NAME", help="The name under which the report is saved.")] = None,
    overrides: SetOption = None,
    format_: FormatOption = Format.TEXT,
    audit: AuditOption = None,
    offline: OfflineOption = False,  # noqa: FBT002  # typer's way to write a flag
) -> None:
    """Measure a flow while it runs; what happens in the warm-up does not count. Exit code 3 when it has become slower than --compare.

    The report is saved in .torvyn/bench, under the time or the name given by --baseline.
    """
    as_json = format_ is Format.JSON
    interruption = session.Interruption()
    with reported("bench", interruption, as_json=as_json), ExitStack() as stack:
        warm_s, measured_s = parse_duration(warmup, where="--warmup"), parse_duration(duration, where="--duration")
        if baseline is not None and (not baseline or "/" in baseline or baseline.startswith(".")):
            raise TorvynError("cli", "invalid-baseline", "a baseline's name is no path", where="--baseline")
        before = None if compare is None else _read(compare)
        host = stack.enter_context(host_of(project_at(project, manifest), overrides, audit, offline=offline, insecure=False))
        host.project.flow(flow)
        host.metrics.level = Level.DIAGNOSTIC
        feed, fed_stage = open_feed(input_) if input_ is not None else (None, None)
        if feed is not None:
            stack.callback(feed.close)
        nothing = guest_output_to_nobody()
        prepared = host.prepare(flow, Attachments(feed=feed, feed_stage=fed_stage, stdout=nothing, stderr=nothing))
        stack.callback(prepared.close)
        metrics = host.metrics.flow(prepared.driver.flow)
        first: list[tuple[FlowReading, int]] = []

        def warm() -> None:
            first.append((FlowReading.of(metrics), host.clock.monotonic_ns()))

        async def go() -> session.Outcome:
            return await session.run(
                host,
                prepared,
                feed=feed,
                timeout_s=warm_s + measured_s,
                later=((warm_s, warm),) if warm_s else (),
                interruption=interruption,
            )

        begin = host.clock.monotonic_ns()
        outcome = anyio.run(go)
        if outcome.report.state is FlowState.FAILED:
            raise TorvynError("flow", str(outcome.report.reason), f"the flow failed: {outcome.report.failure or outcome.report.reason}")
        if interruption.by is not None:
            raise KeyboardInterrupt
        end = metrics.ended_ns or host.clock.monotonic_ns()
        warnings = []
        whole = not first or first[0][1] >= end
        if whole and warm_s:
            warnings.append("the flow was over before its warm-up, so the warm-up was measured, too")
        reading = FlowReading.of(metrics)
        window, since = (reading, begin) if whole else (reading.since(first[0][0]), first[0][1])
        found = _report(prepared.name, 0.0 if whole else warm_s, max(end - since, 1), window, outcome)
        saved = host.project.root / SAVED / f"{baseline or datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S')}.json"
        found["saved_to"] = str(saved)
        _write(saved, json.dumps(found, indent=2) + "\n")
        if report is not None:
            _write(report, RENDERERS[report_format](found))
        worse = [] if before is None else regressions(before, found, threshold)
        code = Exit.REGRESSION if worse else Exit.OK
        _say(found, worse, warnings, as_json=as_json, code=code)
        raise typer.Exit(code)


def guest_output_to_nobody() -> Callable[[bytes], object]:
    """Return where the output of guests goes that are measured: nowhere."""
    return lambda _data: None


def regressions(before: Report, now: Report, threshold: float) -> list[str]:
    """Return what has become worse by more than so many per cent: throughput, and latencies."""
    worse = []
    was, found = _number(before, "throughput", "elements_per_sec"), _number(now, "throughput", "elements_per_sec")
    if found < was * (1 - threshold / 100):
        worse.append(f"throughput: {found:.0f} elements per second, {was:.0f} before")
    for name in ("p50_us", "p99_us"):
        was, found = _number(before, "latency", name), _number(now, "latency", name)
        if found > was * (1 + threshold / 100):
            worse.append(f"latency {name.removesuffix('_us')}: {found:.1f} µs, {was:.1f} before")
    return worse


def _number(report: Report, part: str, name: str) -> float:
    value = report.get(part, {}).get(name) if isinstance(report.get(part), dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TorvynError("config", "no-report", f"expected a number {part}.{name}", where="--compare")
    return float(value)


def _read(path: Path) -> Report:
    try:
        data = json.loads(read_bounded(path, _MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise TorvynError("config", "no-report", f"expected a report of bench: {error}", where=str(path)) from None
    if not isinstance(data, dict):
        raise TorvynError("config", "no-report", "expected a report of bench, an object", where=str(path))
    for part, name in (("throughput", "elements_per_sec"), ("latency", "p50_us"), ("latency", "p99_us")):
        _number(data, part, name)
    return data


def _write(path: Path, text: str) -> None:
    try:
        with written_whole(path) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise TorvynError("cli", "cannot-write", f"cannot write: {error.strerror or error}", where=str(path), path=str(path)) from error


def _report(name: str, warm_s: float, took_ns: int, window: FlowReading, outcome: session.Outcome) -> Report:
    """Put a window's numbers into the documented shape: latencies in microseconds."""
    edges = outcome.prepared.driver.topology.edges

    def us(nanoseconds: float) -> float:
        return nanoseconds / _MICROSECOND

    latency = window.latency
    return {
        "flow_name": name,
        "warmup_secs": warm_s,
        "measurement_secs": took_ns / _SECOND,
        "throughput": {"elements": window.elements, "elements_per_sec": window.elements * _SECOND / took_ns},
        "latency": {
            **{f"p{f'{percent:g}'.replace('.', '')}_us": us(latency.percentile(percent)) for percent in (50.0, 90.0, 95.0, 99.0, 99.9)},
            "max_us": us(latency.maximum),
            "count": latency.count,
        },
        "per_component": [
            {
                "component": stage,
                "invocations": each.invocations,
                "errors": each.errors,
                "p50_us": us(each.processing_time.percentile(50)),
                "p99_us": us(each.processing_time.percentile(99)),
            }
            for stage, each in window.components.items()
        ],
        "resources": {
            "total_copies": sum(outcome.report.copies.values()),
            "total_copy_bytes": sum(outcome.report.copied_bytes.values()),
        },
        "scheduling": {
            "backpressure_events": sum(stream.pressure_events for stream in window.streams),
            "queues": [
                {
                    "stream": str(edge),
                    "elements": stream.transferred,
                    "peak": stream.peak_depth,
                    "average": stream.average_depth or 0.0,
                    "capacity": edge.config.capacity,
                }
                for edge, stream in zip(edges, window.streams, strict=True)
            ],
        },
    }


def _rows(report: Report) -> list[tuple[str, float]]:
    rows = [("measurement_secs", report["measurement_secs"]), ("elements_per_sec", report["throughput"]["elements_per_sec"])]
    rows += [(f"latency {name}", value) for name, value in report["latency"].items()]
    return rows + [(f"{each['component']} p99_us", each["p99_us"]) for each in report["per_component"]]


def _pretty(report: Report) -> str:
    width = max(len(name) for name, _ in _rows(report))
    lines = [f"flow {report['flow_name']}", *(f"{name:{width}}  {value:.1f}" for name, value in _rows(report))]
    return "\n".join(lines) + "\n"


def _csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([("metric", "value"), *_rows(report)])
    return out.getvalue()


def _markdown(report: Report) -> str:
    rows = (f"| {name} | {value:.1f} |" for name, value in _rows(report))
    return "\n".join([f"# Benchmark of {report['flow_name']}", "", "| metric | value |", "|---|---:|", *rows]) + "\n"


RENDERERS: dict[ReportFormat, Callable[[Report], str]] = {
    ReportFormat.PRETTY: _pretty,
    ReportFormat.JSON: lambda report: json.dumps(report, indent=2) + "\n",
    ReportFormat.CSV: _csv,
    ReportFormat.MARKDOWN: _markdown,
}


def _say(found: Report, worse: list[str], warnings: list[str], *, as_json: bool, code: int) -> None:
    if as_json and worse:
        errors = [TorvynError("flow", "regression", each, where="--compare").as_dict() for each in worse]
        said = {"error": True, "command": "bench", "category": "runtime", "detail": "; ".join(worse), "context": "--compare"}
        print_json({**said, "exit_code": code, "errors": errors, "data": found})
    elif as_json:
        print_json({"success": True, "command": "bench", "data": found, **({"warnings": warnings} if warnings else {})})
    else:
        for warning in warnings:
            warn(warning)
        say(_pretty(found).rstrip())
        for each in worse:
            say(mark(ok=False), f" {each}")
        say(mark(ok=not worse), f" saved to {found['saved_to']}")

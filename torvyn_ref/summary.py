"""A run's closing words, for people and for machines."""

from __future__ import annotations

from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from torvyn_ref.calls import Call
from torvyn_ref.flow import FlowReport, FlowState
from torvyn_ref.ids import show_owner
from torvyn_ref.planning import COMPONENT_INIT
from torvyn_ref.session import Outcome
from torvyn_ref.terminal import plain, say

_COLOURS = {FlowState.COMPLETED: "bold green", FlowState.CANCELLED: "bold yellow"}
_UNITS = ("B", "KiB", "MiB", "GiB")


def as_data(outcome: Outcome) -> dict[str, Any]:
    """Return a run as JSON-ready data. Durations in nanoseconds, sizes in bytes."""
    report, prepared = outcome.report, outcome.prepared
    return {
        "flow": prepared.name,
        "flow_id": prepared.driver.flow,
        "state": report.state,
        "reason": report.reason,
        "failure": _failure(report),
        "interrupted": outcome.interrupted.name if outcome.interrupted is not None else None,
        "duration_ns": report.duration_ns,
        "elements": {
            "entered": report.elements_in,
            "delivered": report.delivered,
            "discarded": report.discarded,
            "total_over_streams": report.total_elements,
        },
        "copies": {reason: {"ops": report.copies[reason], "bytes": report.copied_bytes[reason]} for reason in report.copies},
        "pressure_events": report.pressure_events,
        "live_buffers": report.live_buffers,
        "reclaimed_buffers": report.reclaimed_buffers,
        "kept": [{"stage": each.stage, "buffers": each.buffers, "bytes": each.capacity} for each in report.kept],
        "balance": {"created": report.balance.created, "released": report.balance.released, "live": report.balance.live},
        "stages": [
            {
                "name": info.name,
                "role": info.role,
                "component": info.component,
                "digest": info.digest,
                "engine": info.engine,
                "fallback_reason": info.fallback_reason,
                "capabilities": list(info.capabilities),
                "invocations": stage.invocations,
                "errors": stage.errors,
                "busy_ns": stage.busy_ns,
                "fuel": outcome.fuel[info.name],
            }
            for info, stage in zip(prepared.stages, report.stages, strict=True)
        ],
        "streams": [
            {
                "stream": str(edge),
                "elements": stream.elements,
                "dropped": stream.dropped,
                "pressure_events": stream.pressure_events,
                "pressure_ns": stream.pressure_ns,
                "peak_depth": stream.peak_depth,
                "capacity": edge.config.capacity,
            }
            for edge, stream in zip(prepared.driver.topology.edges, report.streams, strict=True)
        ],
        "metrics": outcome.metrics,
    }


def failed(outcome: Outcome) -> dict[str, Any]:
    """Return why a run failed, as an error's data; a failing `init` carries its start-up stage (FLOW-019)."""
    report = outcome.report
    message = f"the flow ended {report.state} ({report.reason})" if report.failure is None else str(report.failure)
    error: dict[str, Any] = {"subsystem": "flow", "kind": report.reason, "message": message}
    if report.failure is not None:
        error["fields"] = {"stage": report.failure.stage, "call": report.failure.call}
        if report.failure.call is Call.INIT:
            error["fields"]["startup_stage"] = COMPONENT_INIT
    return error


def show(outcome: Outcome, console: Console) -> None:
    """Print a run's summary."""
    report, prepared = outcome.report, outcome.prepared
    seconds = report.duration_ns / 1e9
    say((report.state, _COLOURS.get(report.state, "bold red")), f" {prepared.name} ({report.reason}) in {seconds:.3f} s")
    if report.failure is not None:
        say((plain(str(report.failure)), "red"))
    say(
        f"elements   {report.elements_in} in, {report.delivered} delivered"
        + (f", {report.discarded} discarded" if report.discarded else "")
    )
    for reason, operations in report.copies.items():
        if operations:
            say(f"copies     {reason}: {operations} ({size(report.copied_bytes[reason])})")
    say(f"pressure   {report.pressure_events} events")
    reclaimed = f" ({report.reclaimed_buffers} kept by components were taken back)" if report.reclaimed_buffers else ""
    say(f"buffers    {report.live_buffers} live{reclaimed}")
    balance = report.balance
    say(f"balance    {balance.created} created = {balance.released} released + {balance.live} live")
    for holding in balance.holdings:  # only if the runtime is broken
        say(f"           {holding.state.lower()} by {show_owner(holding.owner)}: {holding.buffers} ({size(holding.capacity)})")
    for each in report.kept:
        made = "" if each.maker == each.stage else f", allocated by {plain(each.maker)}"
        age = "" if each.oldest_ns is None else f", the oldest for {each.oldest_ns / 1e6:.1f} ms"
        say(f"kept       {plain(each.stage)}: {each.buffers} ({size(each.capacity)}){made}{age}")
    stages = _table("<stage", "<role", "<engine", "calls", "errors", "ms")
    for info, stage in zip(prepared.stages, report.stages, strict=True):
        _row(stages, info.name, info.role, info.engine, stage.invocations, stage.errors, f"{stage.busy_ns / 1e6:.1f}")
    console.print(stages)
    for info in prepared.stages:
        if info.fallback_reason is not None:
            say(f"{info.name} runs on the {info.engine} engine: {plain(info.fallback_reason)}")
    streams = _table("<stream", "elements", "dropped", "pressure", "peak depth")
    for edge, stream in zip(prepared.driver.topology.edges, report.streams, strict=True):
        peak = f"{stream.peak_depth}/{edge.config.capacity}"
        _row(streams, edge, stream.elements, stream.dropped, stream.pressure_events, peak)
    console.print(streams)


def size(number: int) -> str:
    """Return a size as people read it: B, KiB, MiB or GiB, one decimal from KiB on (CLI-015)."""
    scaled, unit = float(number), 0
    while scaled >= 1024 and unit < len(_UNITS) - 1:
        scaled /= 1024
        unit += 1
    return f"{scaled:.1f} {_UNITS[unit]}" if unit else f"{number} B"


def _failure(report: FlowReport) -> dict[str, Any] | None:
    if report.failure is None:
        return None
    stage, call, failure = report.failure.stage, report.failure.call, report.failure.failure
    return {"stage": stage, "call": call, "kind": failure.kind, "cause": failure.cause, "message": failure.message}


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        justify: Literal["left", "right"] = "left" if heading.startswith("<") else "right"
        table.add_column(heading.lstrip("<"), justify=justify, no_wrap=True, overflow="fold")
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(Text(str(cell)) for cell in cells))

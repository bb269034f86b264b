"""A run's closing words, for people and for machines."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from torvyn_ref.flow import FlowState
from torvyn_ref.session import Outcome


def as_data(outcome: Outcome) -> dict[str, Any]:
    """Return a run as JSON-ready data. Durations in nanoseconds, sizes in bytes."""
    report, prepared = outcome.report, outcome.prepared
    return {
        "flow": prepared.name,
        "flow_id": prepared.driver.flow,
        "state": report.state,
        "reason": report.reason,
        "failure": None if report.failure is None else str(report.failure),
        "interrupted": outcome.interrupted,
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
        "stages": [
            {
                "name": info.name,
                "role": info.role,
                "component": info.component,
                "digest": info.digest,
                "engine": info.engine,
                "capabilities": list(info.capabilities),
                "invocations": stage.invocations,
                "errors": stage.errors,
                "busy_ns": stage.busy_ns,
                "fuel": prepared.instances[info.name].fuel_used,
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
    }


def show(outcome: Outcome, console: Console) -> None:
    """Print a run's summary."""
    report, prepared = outcome.report, outcome.prepared
    colour = {FlowState.COMPLETED: "green", FlowState.CANCELLED: "yellow"}.get(report.state, "red")
    seconds = report.duration_ns / 1e9
    console.print(f"[bold {colour}]{report.state}[/] {prepared.name} ({report.reason}) in {seconds:.3f} s", highlight=False)
    if report.failure is not None:
        console.print(f"[red]{report.failure}[/]", highlight=False)
    lost = f", {report.discarded} discarded" if report.discarded else ""
    console.print(f"elements   {report.elements_in} in, {report.delivered} delivered{lost}", highlight=False)
    for reason, operations in report.copies.items():
        if operations:
            console.print(f"copies     {reason}: {operations} ({report.copied_bytes[reason]} bytes)", highlight=False)
    console.print(f"pressure   {report.pressure_events} events", highlight=False)
    reclaimed = f" ({report.reclaimed_buffers} kept by components were taken back)" if report.reclaimed_buffers else ""
    console.print(f"buffers    {report.live_buffers} live{reclaimed}", highlight=False)
    stages = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in (
        ("stage", "left"),
        ("role", "left"),
        ("engine", "left"),
        ("calls", "right"),
        ("errors", "right"),
        ("ms", "right"),
    ):
        stages.add_column(heading, justify=justify)  # type: ignore[arg-type]  # rich names the literals, the tuple holds str
    for info, stage in zip(prepared.stages, report.stages, strict=True):
        stages.add_row(info.name, info.role, info.engine, str(stage.invocations), str(stage.errors), f"{stage.busy_ns / 1e6:.1f}")
    console.print(stages)
    streams = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("stream", "elements", "dropped", "pressure", "peak depth"):
        streams.add_column(heading, justify="left" if heading == "stream" else "right")
    for edge, stream in zip(prepared.driver.topology.edges, report.streams, strict=True):
        peak = f"{stream.peak_depth}/{edge.config.capacity}"
        streams.add_row(str(edge), str(stream.elements), str(stream.dropped), str(stream.pressure_events), peak)
    console.print(streams)

"""A flow's events as JSON Lines, in the format that any runtime may write and the suite's monitors judge (docs/traces.md).

Lines go out while the flow runs, nothing is kept; a trace without a footer is one whose writer died.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Literal

from torvyn_ref.calls import Answer, Call, Cause, Element, Failure, Output, Signal
from torvyn_ref.clock import Clock
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.flow.cancellation import Reason
from torvyn_ref.flow.driver import FlowDriver
from torvyn_ref.flow.settings import MILLISECOND, FlowSettings
from torvyn_ref.flow.states import FlowState
from torvyn_ref.flow.statistics import FlowReport
from torvyn_ref.flow.topology import Topology
from torvyn_ref.ids import HOST, Handle, Owner, show_handle
from torvyn_ref.resources import ResourceManager

FORMAT = 1
TAG_BYTES = 64
"""At most this much of a payload is looked at for its tag, the part up to the first space."""


class TraceRecorder(Observer):
    """Writes one flow's trace: `begin`, then events as they come, then `finish`.

    Args:
        write: takes one line at a time, with its end.
        resources: whose buffers they are; the recorder looks at payloads without counting a copy. To hear of buffers, too, it has to be its
            observer.
        clock: dates the events of buffers.
    """

    def __init__(self, write: Callable[[bytes], object], resources: ResourceManager, clock: Clock) -> None:
        self._write = write
        self._resources = resources
        self._clock = clock
        self._digest = sha256()
        self._lines = 0
        self._summary: dict[str, Any] | None = None
        self._driver: FlowDriver | None = None

    def begin(self, driver: FlowDriver, *, clock: Literal["virtual", "monotonic"], schedule: Mapping[str, Any], note: str = "") -> None:
        """Write the header: who recorded which flow; without scripts, so that it can be judged and not replayed."""
        self._driver = driver
        subject = f"torvyn-ref {version('torvyn-conformance')}"
        consumer_first = schedule["policy"] == "consumer-first"
        header = {
            "e": "header",
            "format": FORMAT,
            "suite": subject,
            "subject": subject,
            "clock": clock,
            "flow": _flow(driver.topology, driver.settings, schedule),
            "claims": {"flows": ["consumer_first"]} if consumer_first else {},
            "note": note,
        } | ({} if driver.settings.limit is None else {"limit": driver.settings.limit})
        self._write(_line(header))

    def finish(self) -> None:
        """Write the footer; what follows is no part of the trace."""
        footer: dict[str, Any] = {"e": "footer", "lines": self._lines, "sha256": self._digest.hexdigest()}
        if self._summary is not None:
            footer["summary"] = self._summary
        self._write(_line(footer))

    # ---------------------------------------------------------------- events

    def state(self, at: int, old: str, new: str) -> None:
        """Write it down; before it, that an operator wanted it, if so: no command in the header says so."""
        if new == FlowState.DRAINING and self._driver is not None and self._driver.reason is Reason.OPERATOR_REQUEST:
            self._event("cancel", at)
        self._event("state", at, old=str(old), new=str(new))

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Write it down."""
        given = {} if element is None else {"seq": element.sequence, "tag": self._tag(element), "buffer": show_handle(element.handle)}
        self._event("call", at, stage=stage, fn=str(call), **given)

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Write it down."""
        self._event("ret", at, stage=stage, fn=str(call), **_outcome(call, answer))

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Write it down."""
        self._event(
            "enq",
            at,
            stream=stream,
            seq=element.sequence,
            depth=depth,
            credits=credits_,
            timestamp=element.timestamp_ns,
            tag=self._tag(element),
            buffer=show_handle(element.handle),
        )

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Write it down."""
        self._event("deq", at, stream=stream, seq=element.sequence, depth=depth, credits=credits_, buffer=show_handle(element.handle))

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Write it down."""
        self._event("bp", at, stream=stream, on=on, depth=depth, duration=duration_ns)

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Write it down."""
        self._event("drop", at, stream=stream, seq=element.sequence, reason=str(reason))

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:
        """Write it down."""
        del owner, capacity
        self._event("buf", self._clock.monotonic_ns(), op="alloc", buffer=show_handle(handle))

    def released(self, handle: Handle) -> None:
        """Write it down."""
        self._event("buf", self._clock.monotonic_ns(), op="release", buffer=show_handle(handle))

    def notified(self, at: int, stage: str, signal: Signal) -> None:
        """Write it down."""
        self._event("notify", at, stage=stage, signal=str(signal))

    def yielded(self, at: int, executions: int) -> None:
        """Write it down."""
        self._event("yield", at, n=executions)

    def overdue(self, at: int, for_ns: int) -> None:
        """Write it down."""
        self._event("overdue", at, for_ns=for_ns)

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Write it down."""
        del call
        self._event("err", at, stage=stage, kind=str(failure.kind), action=str(action), cause=str(failure.cause))

    def done(self, at: int, report: FlowReport) -> None:
        """Write it down, and keep the summary for the footer."""
        failure = None if report.failure is None else str(report.failure)
        self._event(
            "done",
            at,
            state=str(report.state),
            reason=str(report.reason),
            live=report.live_buffers,
            total=report.total_elements,
            failure=failure,
        )
        self._summary = _summary(report)

    def _event(self, event: str, at: int, /, **fields: Any) -> None:
        line = _line({"e": event, "at": at, **{name: value for name, value in fields.items() if value is not None}})
        self._digest.update(line)
        self._lines += 1
        self._write(line)

    def _tag(self, element: Element) -> str | None:
        try:
            start = self._resources.peek(element.handle, HOST)[:TAG_BYTES]
        except TorvynError:  # a buffer that was taken back has no payload to show
            return None
        return start.partition(b" ")[0].decode(errors="replace")


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _outcome(call: Call, answer: Answer) -> dict[str, Any]:
    """Return outcome, and error kind or ports, of an answer."""
    if isinstance(answer, Failure):
        return {"outcome": "error" if answer.cause is Cause.RETURNED else "trap", "kind": str(answer.kind)}
    if isinstance(answer, Output):
        return {"outcome": "emit"}
    if isinstance(answer, Signal):
        return {"outcome": str(answer)}
    if isinstance(answer, bool):
        return {"outcome": "pass" if answer else "reject"}
    if isinstance(answer, list):
        if call is Call.ROUTE:
            return {"outcome": "route", "ports": [str(port) for port in answer]}
        return {"outcome": "emit" if answer else "drop"} | ({"count": len(answer)} if call is Call.FLUSH else {})
    if call is Call.PULL:
        return {"outcome": "end"}
    return {"outcome": "drop" if call in {Call.PROCESS, Call.INGEST} else "ok"}


def _flow(topology: Topology, settings: FlowSettings, schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flow as the trace's header has it."""
    edges: Sequence[dict[str, Any]] = [
        {
            "source": edge.source,
            "target": edge.target,
            "port": edge.source_port,
            "capacity": edge.config.capacity,
            "low_watermark_ratio": edge.config.low_watermark_ratio,
            "policy": str(edge.config.policy),
            "rate_per_s": edge.config.rate_per_s or 0.0,
        }
        for edge in topology.edges
    ]
    error, breaker = settings.error_policy, settings.breaker
    return {
        "stages": [{"name": stage.name, "role": str(stage.role)} for stage in topology.stages],
        "edges": edges,
        "schedule": dict(schedule),
        "settings": {
            "elements_per_yield": settings.batch,
            "error_policy": str(error.kind),
            "max_retries": error.max_retries,
            "backoff_ms": error.backoff_ns // MILLISECOND,
            "drain_timeout_ms": settings.drain_timeout_ns // MILLISECOND,
            "deadline_ms": None if settings.deadline_ns is None else settings.deadline_ns // MILLISECOND,
            "init_timeout_ms": settings.init_timeout_ns // MILLISECOND,
            "teardown_timeout_ms": settings.teardown_timeout_ns // MILLISECOND,
            "cooperative_ms": settings.cooperative_ns // MILLISECOND,
            "interrupt_grace_ms": settings.interrupt_grace_ns // MILLISECOND,
            "sink_pause_delay_ms": settings.sink_pause_delay_ns // MILLISECOND,
            "fan_out": str(settings.fan_out),
            "breaker_threshold": 0 if breaker is None else breaker.threshold,
            "breaker_cooldown_ms": 0 if breaker is None else breaker.cooldown_ns // MILLISECOND,
        }
        | ({} if settings.call_timeout_ns is None else {"call_timeout_ms": settings.call_timeout_ns // MILLISECOND}),
    }


def _summary(report: FlowReport) -> dict[str, Any]:
    return {
        "state": str(report.state),
        "streams": [
            {
                "elements": stream.elements,
                "pressure_events": stream.pressure_events,
                "peak_depth": stream.peak_depth,
                "dropped": stream.dropped,
                "pressure_ns": stream.pressure_ns,
            }
            for stream in report.streams
        ],
        "stages": {
            stage.name: {"invocations": stage.invocations, "errors": stage.errors, "busy_ns": stage.busy_ns} for stage in report.stages
        },
        "live_buffers": report.live_buffers,
        "duration_ns": report.duration_ns,
        "copies": {
            "total_copy_ops": sum(report.copies.values()),
            "total_payload_bytes": sum(report.copied_bytes.values()),
            "ops_by_reason": {str(reason): count for reason, count in report.copies.items()},
            "amplification": {stage.name: stage.amplification for stage in report.stages},
        },
    }

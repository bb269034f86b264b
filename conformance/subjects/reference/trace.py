"""What the reference does, written down in the suite's trace vocabulary."""

from __future__ import annotations

from conformance.traces import events as e
from torvyn_ref.calls import Answer, Call, Cause, Element, Failure, Output, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowReport
from torvyn_ref.ids import HOST, Handle, Owner, show_handle
from torvyn_ref.resources import ResourceManager

TAG_BYTES = 64
"""At most this much of a payload is looked at for its tag."""


class TraceWriter(Observer):
    """Hears a flow and appends one event per thing heard.

    Attributes:
        manager: to look at payloads without counting a copy; set once the manager exists, which reports to this very observer.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.events: list[e.AnyEvent] = []
        self.manager: ResourceManager | None = None
        self._clock = clock

    def state(self, at: int, old: str, new: str) -> None:
        """Write it down."""
        self.events.append(e.StateChanged(at=at, old=str(old), new=str(new)))

    def called(self, at: int, stage: str, call: Call, element: Element | None) -> None:
        """Write it down."""
        if element is None:
            self.events.append(e.Called(at=at, stage=stage, fn=str(call)))
        else:
            tag, buffer = self._tag(element), show_handle(element.handle)
            content_type = element.content_type or None
            event = e.Called(at=at, stage=stage, fn=str(call), seq=element.sequence, tag=tag, buffer=buffer, content_type=content_type)
            self.events.append(event)

    def returned(self, at: int, stage: str, call: Call, answer: Answer) -> None:
        """Write it down."""
        outcome, kind, ports = _outcome(call, answer)
        kept = (answer.content_type or None) if isinstance(answer, Output) else None
        self.events.append(e.Returned(at=at, stage=stage, fn=str(call), outcome=outcome, kind=kind, ports=ports, content_type=kept))

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Write it down."""
        self.events.append(
            e.Enqueued(
                at=at,
                stream=stream,
                seq=element.sequence,
                depth=depth,
                credits=credits_,
                timestamp=element.timestamp_ns,
                tag=self._tag(element),
                buffer=show_handle(element.handle),
            )
        )

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Write it down."""
        buffer = show_handle(element.handle)
        self.events.append(e.Dequeued(at=at, stream=stream, seq=element.sequence, depth=depth, credits=credits_, buffer=buffer))

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Write it down."""
        self.events.append(e.PressureChanged(at=at, stream=stream, on=on, depth=depth, duration=duration_ns))

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Write it down."""
        self.events.append(e.Dropped(at=at, stream=stream, seq=element.sequence, reason=str(reason)))

    def allocated(self, handle: Handle, owner: Owner, capacity: int) -> None:  # noqa: ARG002 -- an observer's signature
        """Write it down."""
        self.events.append(e.BufferEvent(at=self._clock.monotonic_ns(), op="alloc", buffer=show_handle(handle)))

    def released(self, handle: Handle) -> None:
        """Write it down."""
        self.events.append(e.BufferEvent(at=self._clock.monotonic_ns(), op="release", buffer=show_handle(handle)))

    def notified(self, at: int, stage: str, signal: Signal) -> None:
        """Write it down."""
        self.events.append(e.Notified(at=at, stage=stage, signal="pause" if signal is Signal.PAUSE else "ready"))

    def yielded(self, at: int, executions: int) -> None:
        """Write it down."""
        self.events.append(e.Yielded(at=at, n=executions))

    def overdue(self, at: int, for_ns: int) -> None:
        """Write it down."""
        self.events.append(e.Overdue(at=at, for_ns=for_ns))

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:  # noqa: ARG002 -- an observer's signature
        """Write it down."""
        self.events.append(e.ErrorReported(at=at, stage=stage, kind=str(failure.kind), action=str(action), cause=str(failure.cause)))

    def done(self, at: int, report: FlowReport) -> None:
        """Write it down."""
        self.events.append(
            e.Done(
                at=at,
                state=str(report.state),
                reason=str(report.reason),
                live=report.live_buffers,
                total=report.total_elements,
                failure=None if report.failure is None else str(report.failure),
            )
        )

    def _tag(self, element: Element) -> str | None:
        assert self.manager is not None, "the writer hears of elements only once there is a manager"
        try:
            start = self.manager.peek(element.handle, HOST)[:TAG_BYTES]
        except TorvynError:  # a faulty runtime may lose the buffer; then there is no tag to show
            return None
        return start.partition(b" ")[0].decode(errors="replace")


def _outcome(call: Call, answer: Answer) -> tuple[str, str | None, list[str] | None]:
    """Return outcome, error kind and ports of an answer."""
    if isinstance(answer, Failure):
        return "error" if answer.cause is Cause.RETURNED else "trap", str(answer.kind), None
    if isinstance(answer, Output):
        return "emit", None, None
    if isinstance(answer, Signal):
        return str(answer), None, None
    if isinstance(answer, bool):
        return "pass" if answer else "reject", None, None
    if isinstance(answer, list):
        if call is Call.ROUTE:
            return "route", None, [str(port) for port in answer]
        return "emit" if answer else "drop", None, None
    if call is Call.PULL:
        return "end", None, None
    return "drop" if call in {Call.PROCESS, Call.INGEST} else "ok", None, None

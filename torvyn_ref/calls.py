"""What a stage is asked, and what it can answer: the vocabulary between the flow driver and the engines.

The driver says *which* call it wants; an engine makes it, on a real component or a scripted one; the answer comes back as one of the values
here. A guest can trap, loop or lie, and none of that raises: it is a `Failure`. What raises is the host's own defect, or Ctrl-C.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torvyn_ref.ids import Handle, show_handle


class Role(StrEnum):
    """What a component is, told by the interface that it exports (CON-002)."""

    SOURCE = "source"
    PROCESSOR = "processor"
    SINK = "sink"
    FILTER = "filter"
    ROUTER = "router"
    AGGREGATOR = "aggregator"


class Call(StrEnum):
    """A function that the host calls on a component, by its WIT name."""

    INIT = "init"
    TEARDOWN = "teardown"
    PULL = "pull"
    NOTIFY = "notify-backpressure"
    PROCESS = "process"
    PUSH = "push"
    COMPLETE = "complete"
    EVALUATE = "evaluate"
    ROUTE = "route"
    INGEST = "ingest"
    FLUSH = "flush"


DATA_CALL = {
    Role.SOURCE: Call.PULL,
    Role.PROCESSOR: Call.PROCESS,
    Role.SINK: Call.PUSH,
    Role.FILTER: Call.EVALUATE,
    Role.ROUTER: Call.ROUTE,
    Role.AGGREGATOR: Call.INGEST,
}
"""The call that moves one element through a stage of each role."""


class Signal(StrEnum):
    """The WIT enum `backpressure-signal`."""

    READY = "ready"
    PAUSE = "pause"


class ErrorKind(StrEnum):
    """The WIT variant `process-error`."""

    INVALID_INPUT = "invalid-input"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    FATAL = "fatal"


class Cause(StrEnum):
    """Where a failure came from."""

    RETURNED = "returned"  # the guest answered with a process-error
    TRAP = "trap"  # unreachable, out of bounds, a broken handle, bad UTF-8 ...
    FUEL = "out-of-fuel"
    TIMEOUT = "timeout"
    MEMORY = "memory-limit"
    ENGINE = "engine"
    CIRCUIT_OPEN = "circuit-open"  # the runtime's own refusal to call a component that was unavailable too often (ERR-011)
    QUEUE_FULL = "queue-full"  # the runtime's own refusal under the `error` overflow policy (POLICY-004)
    OWNERSHIP = "ownership"  # the guest handed over a buffer that is not its own


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that did not do its work.

    Attributes:
        kind: the process-error variant (spec decision 11: out of fuel and timeouts are `deadline-exceeded`, every other trap `fatal`).
        message: the guest's words, or what the engine saw.
        cause: where it came from.
        poisoned: the instance is dead; nothing may call it again (ERR-002).
    """

    kind: ErrorKind
    message: str
    cause: Cause = Cause.RETURNED
    poisoned: bool = False

    @property
    def is_terminal(self) -> bool:
        """Tell whether the flow must fail whatever its error policy says (ERR-002)."""
        return self.poisoned or self.kind is ErrorKind.FATAL


class Output:  # no dataclass: the compiled build makes these in C
    """A new element as a component returned it: an owned buffer, and metadata of which only the content type counts (ORD-002)."""

    __slots__ = ("content_type", "handle", "sequence", "timestamp_ns")

    def __init__(self, handle: Handle, content_type: str, sequence: int = 0, timestamp_ns: int = 0) -> None:
        self.handle = handle
        self.content_type = content_type
        self.sequence = sequence
        self.timestamp_ns = timestamp_ns

    def __repr__(self) -> str:
        return f"Output({show_handle(self.handle)}, {self.content_type!r}, {self.sequence}, {self.timestamp_ns})"


@dataclass(frozen=True, slots=True)
class FlowContext:
    """What a component may learn of its flow (CON-011): ids in lower-case hex (empty: no tracing), deadline in Unix ns (0: none)."""

    flow_id: str
    trace_id: str = ""
    span_id: str = ""
    deadline_ns: int = 0


class Element:
    """An element in flight: its metadata, its buffer, and how many branches still need it (TOPO-008).

    Attributes:
        sequence: given by the runtime, unique in the flow (ORD-003).
        timestamp_ns: wall-clock ns at which it entered the pipeline, carried to the sink (spec decision 5).
        uses: consumers that have not finished with it; at 0 the buffer is released.
    """

    __slots__ = ("content_type", "handle", "sequence", "timestamp_ns", "uses")

    def __init__(self, sequence: int, timestamp_ns: int, content_type: str, handle: Handle, uses: int = 0) -> None:
        self.sequence = sequence
        self.timestamp_ns = timestamp_ns
        self.content_type = content_type
        self.handle = handle
        self.uses = uses

    def __repr__(self) -> str:
        return f"Element({self.sequence}, {self.timestamp_ns}, {self.content_type!r}, {show_handle(self.handle)}, uses={self.uses})"


Answer = Output | Failure | Signal | bool | list[str] | list[Output] | None
"""Every answer: pull, process and ingest give Output or None; push a Signal; evaluate a bool; route ports; flush Outputs; others None."""

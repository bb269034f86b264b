"""What a trace has shown so far: the ground that monitors stand on.

The view takes in one event after another and believes what the events say: depths, credits, pressure, who runs. It judges nothing. A
monitor is asked about an event before the view has taken it in, so `view` is always the situation in which the event happened.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from conformance.models.flow import TERMINAL, Topology
from conformance.models.levels import resolved
from conformance.subjects.protocol import FlowSpec
from conformance.traces import events as e

DATA_FUNCTIONS = frozenset({"pull", "process", "push", "evaluate", "route", "ingest"})

LOST_IN_QUEUE = frozenset({"evicted-oldest", "discarded"})
"""The reasons for which an element that was queued is lost; the others are refused before they get in."""


@dataclass(slots=True)
class StreamSeen:
    """One stream, as its events tell."""

    capacity: int
    low: int
    blocks: bool
    credits: int
    depth: int = 0
    active: bool = False
    queue: deque[int] = field(default_factory=deque)
    enqueued: int = 0
    dequeued: int = 0
    lost: int = 0
    refused: int = 0
    entered: int | None = None

    @property
    def producible(self) -> bool:
        """Tell whether the producer may be called for this stream (CREDIT-005, CREDIT-006, POLICY-007)."""
        return not self.blocks or (self.credits > 0 and not self.active)


@dataclass(slots=True)
class StageSeen:
    """One stage, as its events tell.

    Attributes:
        taken: the elements it has taken from its inputs and not been called for yet, as (stream, sequence).
        fn, seq: its last call.
        outcome: what its last call returned; None while it runs.
        exhausted: a source that has answered `end`.
        paused: a sink that has answered `pause`, and not `ready` since.
        failed: its last call failed.
        told_to_pause: a source that was notified of pressure, and not of its end.
    """

    taken: deque[tuple[int, int]] = field(default_factory=deque)
    fn: str | None = None
    seq: int | None = None
    outcome: str | None = None
    ports: tuple[str, ...] | None = None
    calls: int = 0
    exhausted: bool = False
    paused: bool = False
    failed: bool = False
    told_to_pause: bool = False


def _credits(stream: StreamSeen, event: e.Enqueued | e.Dequeued) -> int:
    """Return a stream's credits; where they are not shown, the places that are free (CREDIT-004)."""
    return stream.capacity - event.depth if event.credits is None else event.credits


class View:
    """A flow, as its trace tells.

    Attributes:
        clock: `virtual` or `monotonic`: on a real clock there is a time quantum, too, and times are only as exact as it is.
        scripted: whether the components follow the flow's scripts; of real ones only the trace says what they do.
        limit: elements after which the operator wants all sources to count as exhausted (CLI-010); None is no limit.
    """

    def __init__(self, spec: FlowSpec, *, clock: str = "virtual", scripted: bool = True, limit: int | None = None) -> None:
        spec = resolved(spec)
        self.spec = spec
        self.clock = clock
        self.scripted = scripted
        self.limit = limit
        self.topology = Topology(spec)
        self.streams = [
            StreamSeen(edge.capacity, int(edge.capacity * edge.low_watermark_ratio), self.topology.blocks(i), edge.capacity)
            for i, edge in enumerate(spec.edges)
        ]
        self.stages = {stage.name: StageSeen() for stage in spec.stages}
        self.state = "Created"
        self.running: str | None = None
        self.returned = 0
        self.live: set[str] = set()
        self.private: set[str] = set()  # those of them that a component has made and not put out
        self.expected = [0] * len(spec.edges)  # deliveries due on each stream, from what the components returned
        self.emitted = 0  # elements that components have made
        self.brought_in = 0  # those of them that sources have made
        self.fatal = False  # a failure that must end the flow has been seen (FLOW-005, ERR-001, ERR-002)
        self.cancelled = False  # an operator has cancelled a flow of real components; where there are scripts, commands say when
        self.failing = False  # a component or a full queue has failed in some way
        self.began: int | None = None
        self.now = 0

    def reach(self, at: int) -> None:
        """Move on to the instant of an event that is about to be judged."""
        if self.began is None:
            self.began = at
        self.now = at

    def advance(self, event: e.AnyEvent) -> None:
        """Take one event in."""
        match event:
            case e.StateChanged():
                self.state = event.new
            case e.Called():
                self._called(event)
            case e.Returned():
                self._returned(event)
            case e.Enqueued():
                if event.buffer is not None:
                    self.private.discard(event.buffer)
                stream = self.streams[event.stream]
                stream.queue.append(event.seq)
                stream.depth, stream.credits = event.depth, _credits(stream, event)
                stream.enqueued += 1
                stream.entered = self.now
            case e.Dequeued():
                stream = self.streams[event.stream]
                if event.seq in stream.queue:
                    stream.queue.remove(event.seq)
                stream.depth, stream.credits = event.depth, _credits(stream, event)
                stream.dequeued += 1
                self.stages[self.topology.edges[event.stream].target].taken.append((event.stream, event.seq))
            case e.PressureChanged():
                self.streams[event.stream].active = event.on
            case e.Dropped():
                self._dropped(event)
            case e.BufferEvent():
                self._buffer(event)
            case e.CancelRequested():
                self.cancelled = not self.scripted
            case e.ErrorReported(cause="circuit-open"):  # it fails without a call (ERR-011)
                if self.stages[event.stage].taken:
                    self.stages[event.stage].taken.popleft()
            case e.Notified():
                self.stages[event.stage].told_to_pause = event.signal == "pause"
            case _:
                pass

    def _called(self, event: e.Called) -> None:
        stage = self.stages[event.stage]
        self.running = event.stage
        stage.fn, stage.seq, stage.outcome, stage.ports = event.fn, event.seq, None, None
        stage.calls += 1
        if event.fn in DATA_FUNCTIONS and stage.taken and stage.taken[0][1] == event.seq:
            stage.taken.popleft()

    def _returned(self, event: e.Returned) -> None:
        stage = self.stages[event.stage]
        self.running = None
        self.returned += 1
        stage.outcome = event.outcome
        stage.ports = None if event.ports is None else tuple(event.ports)
        stage.failed = event.outcome in {"error", "trap"} or self.leads_nowhere(event)
        if event.fn == "pull" and event.outcome == "end":
            stage.exhausted = True
        if event.fn == "pull" and event.outcome == "emit":
            self.brought_in += 1
            if self.brought_in == self.limit:
                self._end_sources()
        if event.fn == "push" and event.outcome in {"ready", "pause"}:
            stage.paused = event.outcome == "pause"
        self._made(event)
        if stage.failed and event.fn not in {"teardown", "notify-backpressure"}:
            self.failing = True
            self.fatal |= event.outcome == "trap" or event.kind == "fatal" or self.spec.settings.error_policy == "fail-fast"

    def leads_nowhere(self, event: e.Returned) -> bool:
        """Tell whether a router has named a port that it does not have: that fails as an error does (TOPO-010)."""
        if event.outcome != "route":
            return False
        ports = {self.topology.edges[i].port for i in self.topology.stages[event.stage].outputs}
        return not ports.issuperset(event.ports or [])

    def _buffer(self, event: e.BufferEvent) -> None:
        if event.op == "release":
            self.live.discard(event.buffer)
            self.private.discard(event.buffer)
            return
        self.live.add(event.buffer)
        if self.running is not None:
            self.private.add(event.buffer)

    @property
    def owed(self) -> int:
        """Return how many live buffers the runtime may have to release before its end.

        A real component may keep what it made and never put out (OWN-030); scripts say which do, and their flows are left out.
        """
        return len(self.live) if self.scripted else len(self.live - self.private)

    def _end_sources(self) -> None:
        for name, shape in self.topology.stages.items():
            if shape.role == "source":
                self.stages[name].exhausted = True

    def flushed(self, event: e.Returned) -> int:
        """Return how many elements a flush has given: a script's number where there is one, whatever the event says."""
        if event.outcome != "emit":
            return 0
        return self.topology.scripts[event.stage].flush.count if self.scripted else event.count or 0

    def _made(self, event: e.Returned) -> None:
        """Take note of the elements that a component's answer makes due on its outputs."""
        count = 1
        outputs = self.topology.stages[event.stage].outputs
        if event.fn == "flush":
            count = self.flushed(event)
        elif event.outcome == "route":
            ports = {self.topology.edges[i].port for i in outputs}
            wanted = event.ports or []
            outputs = self.topology.on_port(event.stage, wanted if ports.issuperset(wanted) else ())
        elif event.outcome not in {"emit", "pass"}:
            return
        for stream in outputs:
            self.expected[stream] += count
        if event.outcome == "emit":
            self.emitted += count

    def _dropped(self, event: e.Dropped) -> None:
        stream = self.streams[event.stream]
        if event.reason in LOST_IN_QUEUE and event.seq in stream.queue:
            stream.queue.remove(event.seq)
            stream.lost += 1
            stream.depth -= 1
            stream.credits += 1
        else:
            stream.refused += 1
        if event.reason == "queue-full":
            self.failing = True
            self.fatal |= self.spec.settings.error_policy == "fail-fast"

    # ---- what follows from it

    @property
    def over(self) -> bool:
        """Tell whether the flow has reached a terminal state."""
        return self.state in TERMINAL

    def surely_ready(self, name: str) -> bool:
        """Tell whether a stage other than a source could certainly be called now (SCHED-003).

        Where the rules leave it open (a paused sink anywhere below, a stage that has failed before), the answer is no.
        """
        shape, seen = self.topology.stages[name], self.stages[name]
        if seen.failed or seen.paused or seen.taken or shape.role == "source":
            return False
        if not any(self.streams[i].queue for i in shape.inputs):
            return False
        return all(
            self.streams[i].producible and self.in_time(i) and not self.stages[self.topology.edges[i].target].paused for i in shape.outputs
        )

    def in_time(self, stream: int) -> bool:
        """Tell whether a stream's rate limit, if it has one, surely lets an element in now (POLICY-009)."""
        rate, entered = self.spec.edges[stream].rate_per_s, self.streams[stream].entered
        return not rate or entered is None or self.now - entered >= 1e9 / rate

    def producer_of(self, stream: int) -> str:
        """Return the stage that feeds a stream."""
        return self.topology.edges[stream].source

    def consumer_of(self, stream: int) -> str:
        """Return the stage that a stream feeds."""
        return self.topology.edges[stream].target

    @property
    def ended_by_sources(self) -> bool:
        """Tell whether every source is exhausted and nothing is queued."""
        return all(self.stages[name].exhausted for name, shape in self.topology.stages.items() if shape.role == "source") and not any(
            stream.queue for stream in self.streams
        )

    def cancelled_after(self) -> int | None:
        """Return after how many returned calls an operator cancels; None when nobody does, or when not only calls decide."""
        if any(command.at_ms for command in self.spec.commands):
            return None
        return min((command.after_calls for command in self.spec.commands if command.do == "cancel"), default=None)

    @property
    def cancel_due(self) -> bool:
        """Tell whether the operator has cancelled by now, or the suite's own bound on calls was reached."""
        elapsed = self.now - (self.began or 0)
        return (
            self.cancelled
            or self.returned >= self.spec.max_calls
            or any(
                command.do == "cancel" and self.returned >= command.after_calls and elapsed >= command.at_ms * 1_000_000
                for command in self.spec.commands
            )
        )

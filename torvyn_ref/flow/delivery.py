"""Elements on their way: streams between stages, who still uses a buffer, pressure, losses, and how an end travels downstream.

The driver decides what happens; this is what it happens to. Whatever becomes of an element, its buffer is released exactly once, after its
last consumer (TOPO-008, POLICY-005).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from torvyn_ref.calls import Call, Cause, Element, ErrorKind, Failure, Role, Signal
from torvyn_ref.events import Observer, listener
from torvyn_ref.flow.settings import StageSetup
from torvyn_ref.flow.stage import Edge, Stage
from torvyn_ref.flow.topology import Topology
from torvyn_ref.ids import HOST
from torvyn_ref.resources import ResourceManager
from torvyn_ref.streams import Pressure, Push, Stream, StreamConfig, Verdict
from torvyn_ref.streams.policy import ENQUEUED, PACED


class Delivery:
    """The stages and streams of one running flow, and everything that is in them.

    Args:
        topology: the flow's graph.
        setups: by stage name.
        resources: where buffers live.
        observer: hears what happens.
        make_stream: makes each edge's stream.
    """

    __slots__ = (
        "_attend",
        "_discarded",
        "_make_stream",
        "_notices",
        "_now",
        "_observer",
        "_open_stages",
        "_resources",
        "_running",
        "_tell_called",
        "_tell_dequeued",
        "_tell_enqueued",
        "_tell_returned",
        "_tell_worked",
        "_tell_yielded",
        "_with_pending",
        "edges",
        "stages",
        "topology",
    )

    def __init__(
        self,
        topology: Topology,
        setups: Mapping[str, StageSetup],
        *,
        resources: ResourceManager,
        observer: Observer | None,
        make_stream: Callable[[StreamConfig], Stream[Element]],
    ) -> None:
        self.topology = topology
        self._resources = resources
        self._observer = observer
        self._make_stream = make_stream
        self._now = 0
        self._attend = False  # something other than an element wants to be looked after: a cancel, a notice, output that is pending
        self._notices: deque[tuple[Stage, Signal]] = deque()
        self._running: Stage | None = None
        self._with_pending: set[Stage] = set()
        self._discarded = 0
        self._build(topology, setups)
        self._open_stages = len(self.stages)
        if observer is not None:
            observer.connect(self)
        self.listen()

    def listen(self) -> None:
        """Find out which of the frequent events the observer hears; None for those that nobody does."""
        self._tell_called = listener(self._observer, "called")
        self._tell_returned = listener(self._observer, "returned")
        self._tell_worked = listener(self._observer, "worked")
        self._tell_enqueued = listener(self._observer, "enqueued")
        self._tell_dequeued = listener(self._observer, "dequeued")
        self._tell_yielded = listener(self._observer, "yielded")

    def stream(self, index: int) -> Stream[Element]:
        """Return a stream by its edge's index."""
        return self.edges[index].stream

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        self.stages = tuple(
            Stage(
                index=index,
                name=definition.name,
                role=definition.role,
                level=level,
                owner=setups[definition.name].owner,
                has_lifecycle=setups[definition.name].has_lifecycle,
            )
            for index, (definition, level) in enumerate(zip(topology.stages, topology.levels, strict=True))
        )
        by_name = {stage.name: stage for stage in self.stages}
        self.edges = tuple(
            Edge(index, definition, by_name[definition.source], by_name[definition.target], self._make_stream(definition.config))
            for index, definition in enumerate(topology.edges)
        )
        for edge in self.edges:
            edge.source.outputs.append(edge)
            edge.source.ports.setdefault(edge.port, []).append(edge)
            edge.target.add_input(edge)

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        """Take a failure; the driver does."""
        raise NotImplementedError

    # ---------------------------------------------------------------- into streams

    def _send(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        """Hand an element to all of these edges: one buffer, as many uses (TOPO-008)."""
        element.uses += len(edges)
        self._push(stage, element, edges)

    def _push(self, stage: Stage, element: Element, edges: Sequence[Edge]) -> None:
        now = self._now
        tell = self._tell_enqueued
        for edge in edges:
            stream = edge.stream
            if edge.target.faulted or stream.producer_complete:
                self._lose(edge, element, "discarded")
                continue
            outcome, change = stream.push(element, now)
            if outcome is not ENQUEUED and not self._overflowed(stage, edge, element, outcome):
                continue
            if tell is not None:
                tell(now, edge.index, element, len(stream.items), stream.credit.available)
            if change is not None:
                self._pressure_changed(edge, change)

    def _overflowed(self, stage: Stage, edge: Edge, element: Element, outcome: Push[Element]) -> bool:
        """Report what a full stream's policy lost; return whether the new element got in all the same.

        A stream with a rate limit comes here with every element: its producer is not called again before the next is due (POLICY-009).
        """
        if outcome is PACED:
            stage.not_before = max(stage.not_before, self._now + edge.stream.interval_ns)
            return True
        if outcome.evicted is not None:
            self._lose(edge, outcome.evicted, outcome.verdict)
            return True
        self._lose(edge, element, outcome.verdict)
        if outcome.verdict is Verdict.QUEUE_FULL:
            failure = Failure(ErrorKind.UNAVAILABLE, f"stream {self.topology.edges[edge.index]} is full", Cause.QUEUE_FULL)
            self._failed(stage, stage.invoke.call, None, failure)
        return False

    def _deliver_pending(self, now: int) -> None:
        for stage in sorted(self._with_pending, key=lambda stage: stage.index):
            while stage.pending and now >= stage.not_before and all(edge.is_open(now) for edge in stage.pending[0][1]):
                element, edges = stage.pending.popleft()
                self._push(stage, element, edges)
            if not stage.pending:
                self._with_pending.discard(stage)
                self._maybe_close(stage)

    def _pressure_changed(self, edge: Edge, pressure: Pressure) -> None:
        """Report a transition, and tell the source that feeds the stream, once per transition (POLICY-013, POLICY-016)."""
        on = pressure is Pressure.ACTIVE
        stream = edge.stream
        if self._observer is not None:
            duration = None if on else self._now - stream.active_since
            self._observer.pressure(self._now, edge.index, on=on, depth=stream.depth, duration_ns=duration)
        source = edge.source
        if not source.is_source or source.done or not stream.config.policy.suspends_producer:
            return
        if on:
            signal = Signal.PAUSE
        elif any(other.stream.gate.pressure is Pressure.ACTIVE for other in source.outputs if other.stream.config.policy.suspends_producer):
            return
        else:
            signal = Signal.READY
        if source.notified is not signal:
            source.notified = signal
            self._notices.append((source, signal))
            self._attend = True

    # ---------------------------------------------------------------- out of them

    def _lose(self, edge: Edge, element: Element, reason: str) -> None:
        """Report an element lost on a stream and give its buffer back (POLICY-005)."""
        if reason == "discarded":
            self._discarded += 1
        if self._observer is not None:
            self._observer.dropped(self._now, edge.index, element, reason)
        self._end_use(element)

    def _end_use(self, element: Element) -> None:
        element.uses -= 1
        if element.uses <= 0:
            self._resources.release(element.handle, HOST)

    def _discard_inputs(self, stage: Stage) -> None:
        for edge in stage.inputs:
            while edge.stream.items:
                element, change = edge.stream.pop(self._now)
                self._lose(edge, element, "discarded")
                if change is not None:
                    self._pressure_changed(edge, change)
        if stage.retry is not None:
            self._discarded += 1
            self._end_use(stage.retry)
            stage.retry = None

    def _discard_pending(self, stage: Stage) -> None:
        self._with_pending.discard(stage)
        while stage.pending:
            element, edges = stage.pending.popleft()
            for edge in edges:
                self._lose(edge, element, "discarded")

    def _discard_everything(self) -> None:
        """The drain's time is up: what is left is lost, reported and released (CANCEL-006)."""
        for stage in self.stages:
            self._discard_inputs(stage)
            self._discard_pending(stage)
            stage.flushed = True
            stage.flush_due = False
        for stage in self.stages:
            self._close(stage)

    # ---------------------------------------------------------------- the end of a stage

    def _close(self, stage: Stage) -> None:
        """The stage produces no more: its streams' ends travel downstream, upstream first (FLOW-008).

        A loop and not a recursion: a flow may be deeper than Python's stack.
        """
        ending = deque((stage,))
        while ending:
            stage = ending.popleft()
            if stage.done:
                continue
            stage.done = True
            self._open_stages -= 1
            if stage.is_source and stage.retry is None and stage.pending:
                self._discard_pending(stage)
            for edge in stage.outputs:
                if edge.stream.complete():
                    edge.target.open_inputs -= 1
                    if self._ends(edge.target):
                        ending.append(edge.target)

    def _maybe_close(self, stage: Stage) -> None:
        if self._ends(stage):
            self._close(stage)

    def _ends(self, stage: Stage) -> bool:
        """Tell whether a stage has nothing left to do; an aggregator is then flushed first."""
        if stage.open_inputs or stage.done or stage.is_source or stage.retry is not None or stage.pending or stage is self._running:
            return False
        if any(edge.stream.items for edge in stage.inputs):
            return False
        if stage.role is Role.AGGREGATOR and not stage.flushed:
            stage.flush_due = stage.may_have_work = True
            return False
        return True

"""Monitors of who gets an element, and of the buffer that they share (TOPO-008 to TOPO-011)."""

from __future__ import annotations

from collections import deque

from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS, LOST_IN_QUEUE


class SharedByAllBranches(Monitor):
    """All edges of a port carry an element in one buffer, which is released after the last of its consumers."""

    rule = "TOPO-008"

    def prepare(self) -> None:
        """Find the ports with several edges, and who is to get what."""
        ports: dict[tuple[str, str], list[int]] = {}
        for i, edge in enumerate(self.view.topology.edges):
            ports.setdefault((edge.source, edge.port), []).append(i)
        self.groups = [tuple(streams) for streams in ports.values() if len(streams) > 1]
        self.group_of = {i: streams for streams in self.groups for i in streams}
        self.buffers: dict[tuple[tuple[int, ...], int], str] = {}  # of an element on a group of edges
        self.holders: dict[str, set[int]] = {}  # streams that carry a buffer, until the consumer's call is over
        self.seen: dict[int, int] = {}  # elements that each stream got or lost
        self.carried: dict[tuple[int, int], str] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge what enters the edges of a port, and each release."""
        match event:
            case e.Enqueued():
                self._enqueued(event)
            case e.Dropped():
                if event.reason != "evicted-oldest":
                    self.seen[event.stream] = self.seen.get(event.stream, 0) + 1
                if event.reason in LOST_IN_QUEUE:  # a newcomer that was refused may have a twin in the queue
                    self._let_go(event.stream, event.seq)
            case e.Returned() | e.ErrorReported():
                self._over(event.stage)
            case e.BufferEvent(op="release"):
                holders = sorted(self.holders.get(event.buffer, ()))
                if event.buffer in self.holders:
                    self.expect(not holders, f"buffer {event.buffer} was released while streams {holders} still carried it")
                    del self.holders[event.buffer]
            case e.StateChanged(new="Completed") if not self.view.failing:
                for streams in self.groups:
                    counts = [self.seen.get(i, 0) for i in streams]
                    self.expect(len(set(counts)) == 1, f"elements that the edges {list(streams)} of one port got", found=counts)
            case _:
                pass

    def _enqueued(self, event: e.Enqueued) -> None:
        self.seen[event.stream] = self.seen.get(event.stream, 0) + 1
        buffer = event.buffer
        if buffer is None:
            return
        group = self.group_of.get(event.stream)
        if group is not None:
            first = self.buffers.setdefault((group, event.seq), buffer)
            message = f"element {event.seq} has another buffer on stream {event.stream} than on the other edges of its port"
            self.expect(first == buffer, message, expected=first, found=buffer)
        self.holders.setdefault(buffer, set()).add(event.stream)
        self.carried[event.stream, event.seq] = buffer

    def _let_go(self, stream: int, seq: int) -> None:
        buffer = self.carried.pop((stream, seq), None)
        if buffer is not None and buffer in self.holders:
            self.holders[buffer].discard(stream)

    def _over(self, name: str) -> None:
        """A call is over, or its failure decided about: what the stage had taken and does not queue any more is not held for it."""
        for stream in self.view.topology.stages[name].inputs:
            queued = set(self.view.streams[stream].queue)
            for carried, seq in [key for key in self.carried if key[0] == stream and key[1] not in queued]:
                self._let_go(carried, seq)


class _Due(Monitor):
    """What a stage's answers have made due on its outputs, in order."""

    role = ""

    def prepare(self) -> None:
        """Nothing is due."""
        self.names = {name for name, shape in self.view.topology.stages.items() if shape.role == self.role}
        self.due: dict[int, deque[tuple[int | None, str | None]]] = {
            i: deque() for name in self.names for i in self.view.topology.stages[name].outputs
        }
        self.given: dict[str, tuple[int | None, str | None]] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge what enters a stage's outputs by what it had answered."""
        if isinstance(event, e.Called) and event.stage in self.names and event.fn in DATA_FUNCTIONS:
            self.given[event.stage] = (event.seq, event.buffer)
        elif isinstance(event, e.Returned) and event.stage in self.names and event.fn in DATA_FUNCTIONS:
            for stream in self.answered(event):
                self.due[stream].append(self.given[event.stage])
        elif isinstance(event, e.Enqueued | e.Dropped) and event.stream in self.due:
            self._arrived(event)
        elif isinstance(event, e.StateChanged) and event.new == "Completed" and not self.view.failing:
            for stream, waiting in self.due.items():
                self.expect(not waiting, f"elements that never reached stream {stream}", expected=0, found=len(waiting))

    def answered(self, event: e.Returned) -> tuple[int, ...]:
        """Return the streams on which an answer makes the element due."""
        raise NotImplementedError

    def _arrived(self, event: e.Enqueued | e.Dropped) -> None:
        waiting = self.due[event.stream]
        if isinstance(event, e.Dropped) and (event.reason == "evicted-oldest" or all(seq != event.seq for seq, _ in waiting)):
            return  # it had arrived, and was evicted or discarded; an element that came by two ways may be evicted by itself
        seq, buffer = waiting.popleft() if waiting else (None, None)
        message = f"what stream {event.stream} was given by the {self.role} before it"
        self.expect(seq == event.seq, message, expected="nothing" if seq is None else seq, found=event.seq)
        if isinstance(event, e.Enqueued) and event.buffer is not None and buffer is not None:
            self.expect(event.buffer == buffer, f"element {seq} changed its buffer at the {self.role}", expected=buffer, found=event.buffer)


class RoutedAsNamed(_Due):
    """An element goes to exactly the ports that its router names, once each, in the buffer that the router saw."""

    rule = "TOPO-009"
    role = "router"

    def answered(self, event: e.Returned) -> tuple[int, ...]:
        """Return the streams of the ports named; a name that the router does not have is TOPO-010's business."""
        if event.outcome != "route":
            return ()
        known = {self.view.topology.edges[i].port for i in self.view.topology.stages[event.stage].outputs}
        return self.view.topology.on_port(event.stage, event.ports or ()) if known.issuperset(event.ports or ()) else ()


class FilteredAsAnswered(_Due):
    """A filter's true forwards the element as it is; its false drops it, and the buffer goes."""

    rule = "TOPO-011"
    role = "filter"

    def prepare(self) -> None:
        """Nothing is rejected."""
        super().prepare()
        self.rejected: dict[str, str] = {}  # buffers rejected and not released yet, by filter
        self.uses: dict[str, int] = {}

    def answered(self, event: e.Returned) -> tuple[int, ...]:
        """Return all outputs for `pass`, none for `reject`."""
        buffer = self.given[event.stage][1]
        if event.outcome == "reject" and buffer is not None and self.uses.get(buffer, 0) <= 1:
            self.rejected[event.stage] = buffer
        return self.view.topology.stages[event.stage].outputs if event.outcome == "pass" else ()

    def on(self, event: e.AnyEvent) -> None:
        """Judge as for all, and that what was rejected by its only consumer is released before the filter's next call."""
        if isinstance(event, e.Enqueued) and event.buffer is not None:
            self.uses[event.buffer] = self.uses.get(event.buffer, 0) + 1
        if isinstance(event, e.BufferEvent) and event.op == "release":
            self.uses.pop(event.buffer, None)
            self.rejected = {name: buffer for name, buffer in self.rejected.items() if buffer != event.buffer}
        if isinstance(event, e.Called | e.Done):
            for name in [event.stage] if isinstance(event, e.Called) else list(self.rejected):
                kept = self.rejected.pop(name, None)
                self.expect(kept is None, f"{name} rejected an element and its buffer {kept} was kept")
        super().on(event)


class UnknownPortIsAnError(Monitor):
    """A router that names a port which it does not have has failed, and that is reported before anything else is called."""

    rule = "TOPO-010"

    def prepare(self) -> None:
        """Nobody has named one."""
        self.guilty: str | None = None
        self.seq: int | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Judge what follows such an answer."""
        view = self.view
        if isinstance(event, e.Returned) and event.outcome == "route":
            known = {view.topology.edges[i].port for i in view.topology.stages[event.stage].outputs}
            if not known.issuperset(event.ports or ()):
                self.guilty, self.seq = event.stage, view.stages[event.stage].seq
        elif isinstance(event, e.ErrorReported) and event.stage == self.guilty:
            self.expect(holds=True, message="")
            self.guilty = None
        elif isinstance(event, e.Called | e.Done) and self.guilty is not None:
            self.expect(holds=False, message=f"{self.guilty} named a port that it does not have, and nobody was told", expected="an error")

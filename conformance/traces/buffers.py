"""Monitors of buffers in a flow: each is alive as long as somebody needs it, waits in one place, and keeps its name (OWN)."""

from __future__ import annotations

from collections import Counter

from conformance.traces import events as e
from conformance.traces.monitors import Monitor

DISCARDS = frozenset({"evicted-oldest", "refused-newest", "queue-full", "discarded"})


class Needed(Monitor):
    """Counts the buffers that somebody may still need: queued, taken, due on a stream; and one per stage, for the call that it is in.

    A component that keeps buffers for itself has a right to them until its flow ends; flows with such components are left out.
    """

    def prepare(self) -> None:
        """Find out whether components keep buffers."""
        scripts = [stage.script for stage in self.view.spec.stages]
        answers = [a for s in scripts for a in (*s.answers, s.then, s.init, s.complete, s.flush) if a is not None]
        self.hoarding = any(answer.keeps for answer in answers)
        self.reached = False

    def most(self) -> int:
        """Return how many buffers may be alive now."""
        view = self.view
        waiting = 0
        for number, stream in enumerate(view.streams):
            due = view.expected[number] - stream.enqueued - stream.refused
            waiting += len(stream.queue) + max(due, 0)
        return waiting + sum(len(stage.taken) for stage in view.stages.values()) + len(view.stages)

    def on(self, event: e.AnyEvent) -> None:
        """Judge the number of live buffers whenever a component is entered, and at the end."""
        self.reached = self.reached or self.concerns(event)
        if self.hoarding or not self.reached:
            return
        if isinstance(event, e.Called):
            alive, most = self.view.owed, self.most()
            self.expect(alive <= most, "more buffers are alive than anybody needs", expected=f"<= {most}", found=alive)
        if isinstance(event, e.Done):
            alive = len(self.view.live)
            self.expect(alive == 0, "buffers outlive the flow", expected=0, found=alive)

    def concerns(self, event: e.AnyEvent) -> bool:
        """Tell whether an event is of the kind that the rule speaks of."""
        raise NotImplementedError


class InputsAreReleased(Needed):
    """An element's buffer is released once its last consumer has finished."""

    rule = "OWN-024"

    def concerns(self, event: e.AnyEvent) -> bool:
        """Wait for a consumer to finish."""
        return isinstance(event, e.Returned) and event.fn in {"process", "push", "evaluate", "route", "ingest"}


class DroppedInputsAreReleased(Needed):
    """The buffer of an element that a component drops, rejects or routes nowhere is released."""

    rule = "OWN-025"

    def concerns(self, event: e.AnyEvent) -> bool:
        """Wait for a component to drop one."""
        if not isinstance(event, e.Returned):
            return False
        return event.outcome in {"drop", "reject"} or (event.outcome == "route" and not event.ports)


class DiscardsAreReleased(Needed):
    """The buffer of an element that the runtime discards is released."""

    rule = "OWN-026"

    def concerns(self, event: e.AnyEvent) -> bool:
        """Wait for the runtime to discard one."""
        return isinstance(event, e.Dropped) and event.reason in DISCARDS


class EveryEndIsClean(Monitor):
    """However a flow ends, no buffer is left."""

    rule = "OWN-036"

    def on(self, event: e.AnyEvent) -> None:
        """Judge the end."""
        if isinstance(event, e.Done):
            self.expect(event.live == 0, f"a flow that ends as {event.state} leaves buffers", expected=0, found=event.live)
            alive = len(self.view.live)
            self.expect(alive == 0, f"a flow that ends as {event.state} has not released every buffer", expected=0, found=alive)

    def finish(self) -> None:
        """Judge the subject's own count."""
        if self.reply is not None:
            self.expect(self.reply.live_buffers == 0, "buffers are left", expected=0, found=self.reply.live_buffers)


class OneBufferForAllBranches(Monitor):
    """A router's branches get one buffer between them, which is released once, after the last of them."""

    rule = "OWN-027"

    def prepare(self) -> None:
        """Remember what routers send."""
        self.waiting: Counter[str] = Counter()
        self.sent: dict[tuple[str, int], str] = {}
        self.using: dict[str, str] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge what routers send, and every release of it."""
        match event:
            case e.Enqueued(buffer=str(buffer)):
                self._enqueued(event, buffer)
            case e.Dequeued(buffer=str(buffer)):
                self.using[self.view.consumer_of(event.stream)] = buffer
            case e.Returned() | e.ErrorReported(cause="circuit-open") if event.stage in self.using:  # a circuit answers without a call
                self.waiting[self.using.pop(event.stage)] -= 1
            case e.Dropped(reason="discarded") if (key := (self.view.producer_of(event.stream), event.seq)) in self.sent:
                self.waiting[self.sent[key]] -= 1
            case e.BufferEvent(op="release") if event.buffer in self.waiting:
                left = self.waiting.pop(event.buffer)
                self.expect(left <= 0, f"{event.buffer} was released while branches still need it", expected=0, found=left)
            case _:
                pass

    def _enqueued(self, event: e.Enqueued, buffer: str) -> None:
        producer = self.view.producer_of(event.stream)
        shape = self.view.topology.stages[producer]
        if shape.role != "router" or any(not self.view.streams[i].blocks for i in shape.outputs):
            return
        first = self.sent.setdefault((producer, event.seq), buffer)
        self.expect(buffer == first, f"branches of {producer} got different buffers for element {event.seq}", expected=first, found=buffer)
        self.waiting[buffer] += 1


class OnePlaceAtATime(Monitor):
    """A buffer waits in one queue at a time, but for the branches of a fan-out: other streams, the same element."""

    rule = "OWN-039"

    def prepare(self) -> None:
        """Remember what is queued, by buffer: stream and sequence."""
        self.queued: dict[str, set[tuple[int, int]]] = {}
        self.branches = any(len(shape.outputs) > 1 for shape in self.view.topology.stages.values())

    def on(self, event: e.AnyEvent) -> None:
        """Judge every element that is queued."""
        match event:
            case e.Enqueued(buffer=str(buffer)):
                places = self.queued.setdefault(buffer, set())
                fine = not places or (self.branches and {seq for _, seq in places} == {event.seq})
                fine = fine and (event.stream not in {stream for stream, _ in places} or self._rejoined(event.stream))
                self.expect(fine, f"buffer {buffer} waits in more than one place", found=sorted(places))
                places.add((event.stream, event.seq))
            case e.Dequeued():
                self._gone(event.stream, event.seq)
            case e.Dropped():
                self._gone(event.stream, event.seq)
            case _:
                pass

    def _rejoined(self, stream: int) -> bool:
        """Tell whether branches meet again before a stream: then an element may come through it once for each."""
        topology, producer = self.view.topology, self.view.producer_of(stream)
        return any(topology.paths(name, producer) > 1 for name in topology.stages if name != producer)

    def _gone(self, stream: int, seq: int) -> None:
        for places in self.queued.values():
            places.discard((stream, seq))
        self.queued = {buffer: places for buffer, places in self.queued.items() if places}


class NamesAreKept(Monitor):
    """The handle of an element is the one of its allocation, in every queue and in every call."""

    rule = "OWN-041"

    def prepare(self) -> None:
        """Remember the handle in each queue place."""
        self.places: dict[tuple[int, int], str] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge every handle that is shown."""
        buffer = getattr(event, "buffer", None)
        if buffer is None or isinstance(event, e.BufferEvent):
            return
        self.expect(buffer in self.view.live, f"{buffer} is on its way and was never allocated, or is released", found=buffer)
        if isinstance(event, e.Enqueued):
            self.places[event.stream, event.seq] = buffer
        if isinstance(event, e.Dequeued):
            put = self.places.pop((event.stream, event.seq), buffer)
            self.expect(put == buffer, f"element {event.seq} left stream {event.stream} under another handle", expected=put, found=buffer)

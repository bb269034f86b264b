"""Monitors of order, sequence numbers and deliveries (ORD)."""

from __future__ import annotations

import re

from conformance.models.flow import FORWARDS
from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS

TAG = re.compile(r"([^#]+)#(\d+)")
"""The tag that a scripted source writes into its payload: its name, and how many it has emitted before."""


class FirstInFirstOut(Monitor):
    """Each stream gives its elements in the order in which it took them, and a source's payloads arrive in the order it made them."""

    rule = "ORD-001"

    def prepare(self) -> None:
        """Remember the last payload of each source at each stage."""
        self.latest: dict[tuple[str, str], tuple[int, int | None]] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge what leaves a stream, and the payload that a component sees."""
        if isinstance(event, e.Dequeued):
            queue = self.view.streams[event.stream].queue
            head = queue[0] if queue else None
            self.expect(event.seq == head, f"stream {event.stream} is not first in, first out", expected=head, found=event.seq)
        elif isinstance(event, e.Called) and event.tag is not None and (match := TAG.fullmatch(event.tag)):
            self._payload(event, match[1], int(match[2]))

    def _payload(self, event: e.Called, origin: str, number: int) -> None:
        topology = self.view.topology
        if origin not in topology.stages or topology.paths(origin, event.stage) != 1:
            return  # two ways from there to here: neither is first
        before = self.latest.get((origin, event.stage))
        self.latest[origin, event.stage] = (number, event.seq)
        if before is not None and before[1] != event.seq:  # the same sequence again is a retry
            message = f"{event.stage} sees the payloads of {origin} out of order"
            self.expect(number > before[0], message, expected=f"> {before[0]}", found=number)


class RuntimeNumbers(Monitor):
    """The runtime numbers elements; what a component claims is overwritten."""

    rule = "ORD-002"

    def prepare(self) -> None:
        """Find the stages that lie."""
        self.forwarded = 0
        self.liars = {
            name
            for name, script in self.view.topology.scripts.items()
            if any(answer.claims_sequence for answer in (*script.answers, script.flush, *([script.then] if script.then else [])))
        }

    def on(self, event: e.AnyEvent) -> None:
        """Judge the number of an element that a liar made: no more can have been given than elements were made."""
        if isinstance(event, e.Returned) and event.outcome in {"pass", "route"}:
            self.forwarded += max(1, len(event.ports or ()))
        if isinstance(event, e.Enqueued) and self.view.producer_of(event.stream) in self.liars:
            made = self.view.emitted + self.forwarded  # who numbers again what is passed on breaks ORD-005, not this
            message = f"stream {event.stream} carries a number that the runtime cannot have given"
            self.expect(0 <= event.seq < made, message, expected=f"0..{made - 1}", found=event.seq)


class OneCounter(Monitor):
    """Sequences come from one counter per flow, from 0, one per new element: unique, rising on each stream, without gaps in the flow."""

    rule = "ORD-003"

    def prepare(self) -> None:
        """No number is given yet."""
        self.makers: dict[int, str] = {}
        self.highest: dict[int, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge the number of each element that enters a stream or is refused by it."""
        if not isinstance(event, e.Enqueued | e.Dropped):
            return
        topology = self.view.topology
        producer = self.view.producer_of(event.stream)
        if topology.stages[producer].role in FORWARDS:
            maker = self.makers.get(event.seq)
            self.expect(maker is not None, f"{producer} passed on the number {event.seq}, which no element has")
        else:
            maker = self.makers.setdefault(event.seq, producer)
            self.expect(maker == producer, f"{producer} and {maker} both made an element with the number {event.seq}")
        if isinstance(event, e.Enqueued) and topology.is_monotone(event.stream):
            highest = self.highest.get(event.stream, -1)
            message = f"sequences do not rise on stream {event.stream}"
            self.expect(event.seq > highest, message, expected=f"> {highest}", found=event.seq)
            self.highest[event.stream] = event.seq

    def finish(self) -> None:
        """Judge that every number was given to an element that was seen."""
        if self.makers and not self.view.failing and not self.view.cancel_due:
            missing = set(range(max(self.makers))) - self.makers.keys()
            self.expect(not missing, "numbers were skipped for nothing", expected="none", found=sorted(missing)[:8])


class RisesBehindProcessors(Monitor):
    """Behind a processor sequences rise strictly; they need not be the source's, nor without gaps."""

    rule = "ORD-004"

    def prepare(self) -> None:
        """Remember the last number per stream."""
        self.last: dict[int, int] = {}

    def on(self, event: e.AnyEvent) -> None:
        """Judge what a consumer behind a processor takes."""
        if not isinstance(event, e.Dequeued):
            return
        if self.view.topology.stages[self.view.producer_of(event.stream)].role != "processor":
            return
        last = self.last.get(event.stream, -1)
        message = f"sequences do not rise on stream {event.stream}, behind a processor"
        self.expect(event.seq > last, message, expected=f"> {last}", found=event.seq)
        self.last[event.stream] = event.seq


class ForwardedUnchanged(Monitor):
    """Filters and routers pass the element on as it is: number, time, buffer."""

    rule = "ORD-005"

    def prepare(self) -> None:
        """Remember when each element entered each stream."""
        self.times: dict[tuple[int, int], int] = {}
        self.fn = ""
        self.keeps = {
            name
            for name, script in self.view.topology.scripts.items()
            if any(answer.keeps for answer in (*script.answers, *([script.then] if script.then else [])))
        }

    def on(self, event: e.AnyEvent) -> None:
        """Judge what a forwarder puts out, and that it makes no buffer."""
        view = self.view
        if isinstance(event, e.Called):
            self.fn = event.fn
        made = isinstance(event, e.BufferEvent) and event.op == "alloc" and self.fn in DATA_FUNCTIONS
        if made and view.running is not None and view.running not in self.keeps:
            role = view.topology.stages[view.running].role
            if role in FORWARDS:
                self.expect(holds=False, message=f"a buffer was made while the {role} {view.running} ran")
        if not isinstance(event, e.Enqueued):
            return
        producer = view.producer_of(event.stream)
        shape = view.topology.stages[producer]
        if shape.role in FORWARDS:
            given = view.stages[producer].seq
            self.expect(event.seq == given, f"{producer} was given one element and passed on another", expected=given, found=event.seq)
            times = {self.times.get((i, event.seq)) for i in shape.inputs} - {None}
            self.expect(event.timestamp in times, f"{producer} passed on another timestamp", expected=times, found=event.timestamp)
        self.times[event.stream, event.seq] = event.timestamp


class CalledInQueueOrder(Monitor):
    """A component gets each element that was taken for it once, in that order, except when a failed call is tried again."""

    rule = "ORD-008"

    def on(self, event: e.AnyEvent) -> None:
        """Judge the element of each data call."""
        if not isinstance(event, e.Called) or event.fn not in DATA_FUNCTIONS or event.fn == "pull":
            return
        stage = self.view.stages[event.stage]
        if stage.taken:
            expected: int | None = stage.taken[0][1]
        else:
            expected = stage.seq if stage.failed and self.view.spec.settings.error_policy == "retry" else None
        self.expect(event.seq == expected, f"{event.stage} got the wrong element", expected=expected, found=event.seq)


class SameOrderOnBranches(Monitor):
    """All branches of one port carry the same elements in the same order."""

    rule = "ORD-010"

    def prepare(self) -> None:
        """Find the ports with several lossless branches."""
        ports: dict[tuple[str, str], list[int]] = {}
        for i, edge in enumerate(self.view.topology.edges):
            if self.view.topology.blocks(i):
                ports.setdefault((edge.source, edge.port), []).append(i)
        self.branches = [streams for streams in ports.values() if len(streams) > 1]
        self.logs: dict[int, list[int]] = {i: [] for streams in self.branches for i in streams}

    def on(self, event: e.AnyEvent) -> None:
        """Write down what each branch carries, and compare the branches of a completed flow."""
        if isinstance(event, e.Enqueued) and event.stream in self.logs:
            self.logs[event.stream].append(event.seq)
        if isinstance(event, e.StateChanged) and event.new == "Completed" and not self.view.failing:
            for first, *others in self.branches:
                for other in others:
                    message = f"streams {first} and {other} leave the same port and carry different elements"
                    self.expect(self.logs[first] == self.logs[other], message, expected=self.logs[first], found=self.logs[other])


class OncePerBranch(Monitor):
    """Under Block every element reaches every branch it is meant for exactly once."""

    rule = "ORD-011"

    def on(self, event: e.AnyEvent) -> None:
        """Judge that nothing is delivered too often, and at a completed flow's end that nothing is missing."""
        view = self.view
        if isinstance(event, e.Enqueued) and view.streams[event.stream].blocks:
            stream = view.streams[event.stream]
            due = view.expected[event.stream]
            message = f"stream {event.stream} got more elements than were meant for it"
            self.expect(stream.enqueued + stream.refused < due, message, expected=due, found=stream.enqueued + stream.refused + 1)
        if isinstance(event, e.StateChanged) and event.new == "Completed" and not view.failing:
            for i, stream in enumerate(view.streams):
                if stream.blocks:
                    got = stream.enqueued
                    self.expect(got == view.expected[i], f"deliveries on stream {i}", expected=view.expected[i], found=got)

"""Traces of runtimes that do not show everything: what follows with certainty from the calls is added, and nothing else.

Nobody is obliged to report every element that enters or leaves a queue. What a component is called with was taken from a queue right
before, and what it put out was queued right after; so from `call` and `ret`, which the components see themselves, the movements of every
element that arrives can be told. An element that never arrives is not invented: whether it was queued and lost, or never queued, nobody
can say.

Depths follow from the movements. Credits do not: rules about them are not judged on such a trace (`needs`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from conformance.subjects.protocol import FlowRunReply, FlowSpec
from conformance.traces import events as e

ENQUEUED, DEQUEUED, CREDITS, SETUP = (f"flows.run/events={kind}" for kind in ("enq", "deq", "credits", "setup"))
NEEDS = {
    "CREDIT-001": (CREDITS,),
    "CREDIT-002": (CREDITS,),
    "CREDIT-003": (CREDITS,),
    "CREDIT-004": (CREDITS,),
}
"""What a rule's monitor must see and cannot be inferred."""

COUNTING = frozenset({"FLOW-016", "FLOW-017", "WMK-013", "ORD-006"})
"""Rules that ask something of every element that went into a stream, arrived or not: how many there were, when they were stamped."""

PUT_OUT = frozenset({"emit", "pass"})


def needs(rule: str) -> tuple[str, ...]:
    """Return the features of traces without which a rule cannot be judged."""
    return NEEDS.get(rule, ())


def told(reply: FlowRunReply) -> bool:
    """Tell whether the trace says for every element that a component is given by which stream it came, or none was ever shown or inferred.

    A call that is tried again has no movement of its own.
    """
    moved = {event.seq for event in reply.trace if isinstance(event, e.Dequeued)}
    given = {event.seq for event in reply.trace if isinstance(event, e.Called) and event.seq is not None}
    return given <= moved


def countable(rule: str, reply: FlowRunReply, lacking: Collection[str]) -> bool:
    """Tell whether a flow's trace shows all that a rule counts: where enqueues are inferred, only a flow in which all has arrived does."""
    return rule not in COUNTING or ENQUEUED not in lacking or reply.state == "Completed"


def complete(spec: FlowSpec, reply: FlowRunReply, lacking: Collection[str]) -> FlowRunReply:
    """Return the reply with the movements that its trace cannot show, as far as they are certain."""
    if not {ENQUEUED, DEQUEUED, SETUP} & frozenset(lacking):
        return reply
    trace: Sequence[e.AnyEvent] = reply.trace
    if {ENQUEUED, DEQUEUED} & frozenset(lacking):
        trace = _Inference(spec, trace).run()
    if SETUP in lacking:
        trace = (*_setup(trace), *trace)
    return replace(reply, trace=tuple(trace))


def _setup(trace: Sequence[e.AnyEvent]) -> tuple[e.StateChanged, ...]:
    """Return the states before Instantiated: only one way leads there (FLOW-001)."""
    first = next((event for event in trace if isinstance(event, e.StateChanged)), None)
    if first is None or first.old != "Instantiated":
        return ()
    return (e.StateChanged(old="Created", new="Validated"), e.StateChanged(old="Validated", new="Instantiated"))


@dataclass(slots=True)
class _Put:
    """A buffer that a stage has put out: where in the trace, and which of its streams have not delivered it yet."""

    at: int
    streams: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)


class _Inference:
    def __init__(self, spec: FlowSpec, trace: Sequence[e.AnyEvent]) -> None:
        self.spec = spec
        self.trace = trace
        self.outputs: dict[str, list[int]] = {stage.name: [] for stage in spec.stages}
        for number, edge in enumerate(spec.edges):
            self.outputs[edge.source].append(number)

    def run(self) -> list[e.AnyEvent]:
        """Return the trace with `enq` after what puts out and `deq` before what takes."""
        arrivals = self._arrivals()
        reported = {(event.stream, event.seq) for event in self.trace if isinstance(event, e.Enqueued)}
        after: dict[int, list[tuple[int, e.Called]]] = {}
        before: dict[int, tuple[int, e.Called]] = {}
        for call_at, (stream, put_at) in arrivals.items():
            call = self.trace[call_at]
            assert isinstance(call, e.Called), "arrivals are calls"
            before[call_at] = (stream, call)
            if (stream, call.seq) not in reported:
                after.setdefault(put_at, []).append((stream, call))
        return self._merged(after, before)

    def _arrivals(self) -> dict[int, tuple[int, int]]:
        """Return by which stream the element of each call came, and where in the trace it was put out; only where both are certain."""
        found: dict[int, tuple[int, int]] = {}
        put: dict[tuple[str, str], _Put] = {}
        held: dict[str, str | None] = {}
        latest: dict[str, _Put] = {}
        for at, event in enumerate(self.trace):
            if isinstance(event, e.Called) and event.seq is not None and event.buffer is not None:
                held[event.stage] = event.buffer
                ways = [
                    (number, place)
                    for (source, buffer), place in put.items()
                    if buffer == event.buffer
                    for number in place.streams
                    if self.spec.edges[number].target == event.stage and self.spec.edges[number].source == source
                ]
                if len(ways) == 1:
                    number, place = ways[0]
                    place.streams.remove(number)
                    found[at] = (number, place.at)
            elif isinstance(event, e.Returned) and event.outcome in PUT_OUT:
                buffer = event.buffer if event.buffer is not None else held.get(event.stage)
                if buffer is not None:
                    put[event.stage, buffer] = _Put(at, list(self.outputs[event.stage]))
                    latest[event.stage] = put[event.stage, buffer]
            elif isinstance(event, e.Enqueued) and self.spec.edges[event.stream].source in latest:
                # A movement that the subject shows itself: what this stage has put out went this way, and no other that is not shown.
                place = latest[self.spec.edges[event.stream].source]
                place.shown = [*place.shown, event.stream]
                place.streams = list(place.shown)
        return found

    @staticmethod
    def _filled(event: e.Enqueued, credits_: int, buffer: str | None, taken: e.Called | None) -> e.Enqueued:
        """Add to an element that the subject shows what it leaves out: it is the one that the producer has just put out."""
        return replace(
            event,
            credits=credits_ if event.credits is None else event.credits,
            buffer=buffer if event.buffer is None else event.buffer,
            timestamp=taken.timestamp if taken is not None and taken.timestamp is not None and not event.timestamp else event.timestamp,
            tag=taken.tag if taken is not None and event.tag is None else event.tag,
        )

    def _merged(self, after: dict[int, list[tuple[int, e.Called]]], before: dict[int, tuple[int, e.Called]]) -> list[e.AnyEvent]:
        depths = [0] * len(self.spec.edges)
        merged: list[e.AnyEvent] = []
        last: dict[str, str | None] = {}
        taken = {(stream, call.seq): call for stream, call in before.values()}

        def credits_of(stream: int) -> int:
            return self.spec.edges[stream].capacity - depths[stream]

        for at, event in enumerate(self.trace):
            shown = event
            if at in before:
                stream, call = before[at]
                depths[stream] -= 1
                merged.append(
                    e.Dequeued(
                        at=call.at, stream=stream, seq=call.seq or 0, depth=depths[stream], credits=credits_of(stream), buffer=call.buffer
                    )
                )
            if isinstance(event, e.Returned) and event.outcome in PUT_OUT:
                last[event.stage] = event.buffer
            if isinstance(event, e.Enqueued):
                depths[event.stream] += 1
                producer = self.spec.edges[event.stream].source
                shown = self._filled(event, credits_of(event.stream), last.get(producer), taken.get((event.stream, event.seq)))
            merged.append(shown)
            for stream, call in after.get(at, ()):
                depths[stream] += 1
                merged.append(
                    e.Enqueued(
                        at=event.at,
                        stream=stream,
                        seq=call.seq or 0,
                        depth=depths[stream],
                        credits=credits_of(stream),
                        timestamp=call.timestamp or 0,
                        tag=call.tag,
                        buffer=call.buffer,
                    )
                )
        return merged

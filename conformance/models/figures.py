"""What a flow's metrics must be, computed from its trace (OBS-007 to OBS-011)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from conformance.subjects.protocol import FlowSpec
from conformance.traces import events as e

BAD = frozenset({"error", "trap"})


@dataclass(slots=True)
class Seen:
    """What has happened in a part of a trace.

    Attributes:
        elements: that entered at sources.
        errors, calls: by stage.
        transferred, pressure_events, pressure_ns, peaks: by stream.
    """

    elements: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    transferred: Counter[int] = field(default_factory=Counter)
    pressure_events: Counter[int] = field(default_factory=Counter)
    pressure_ns: Counter[int] = field(default_factory=Counter)
    peaks: Counter[int] = field(default_factory=Counter)


def seen(spec: FlowSpec, trace: Iterable[e.AnyEvent]) -> Seen:
    """Count what metrics count."""
    sources = {stage.name for stage in spec.stages if stage.role == "source"}
    found = Seen()
    for event in trace:
        match event:
            case e.Returned(stage=stage, fn=function, outcome=outcome):
                found.calls[stage] += 1
                if stage in sources and function == "pull" and outcome == "emit":
                    found.elements += 1
            case e.ErrorReported(stage=stage):
                found.errors[stage] += 1
            case e.Enqueued(stream=stream, depth=depth):
                found.transferred[stream] += 1
                found.peaks[stream] = max(found.peaks[stream], depth)
            case e.PressureChanged(stream=stream, on=True):
                found.pressure_events[stream] += 1
            case e.PressureChanged(stream=stream, on=False, duration=duration):
                found.pressure_ns[stream] += duration or 0
            case _:
                pass
    return found


def cut(trace: Sequence[e.AnyEvent], calls: int) -> tuple[int, int]:
    """Return how much of a trace has happened for certain when so many calls have returned, and how much may have: up to the next call.

    What a runtime does between two calls belongs to the one or to the other, as it likes.
    """
    returned = 0
    certain = len(trace) if calls else 0
    for index, event in enumerate(trace):
        if isinstance(event, e.Returned):
            returned += 1
            if returned == calls:
                certain = index + 1
        elif isinstance(event, e.Called) and returned >= calls:
            return certain, index
    return certain, len(trace)


def errors_by_answers(trace: Iterable[e.AnyEvent]) -> Counter[str]:
    """Count by stage the calls that were answered with anything but success."""
    return Counter(event.stage for event in trace if isinstance(event, e.Returned) and event.outcome in BAD)


def latencies(spec: FlowSpec, trace: Sequence[e.AnyEvent]) -> tuple[list[int], ...]:
    """Return what `flow.latency` may have recorded, one list for each reading of when an element enters and when it leaves.

    It enters when its pull begins or returns, and leaves when its last push begins or returns. Payloads are told apart by their tags, which
    components carry on: no aggregators, no retries, no two elements of one tag.
    """
    sources = {stage.name for stage in spec.stages if stage.role == "source"}
    first = {index for index, edge in enumerate(spec.edges) if edge.source in sources}
    entered: dict[str, tuple[int, int]] = {}  # when its pull was called and returned
    left: dict[str, tuple[int, int]] = {}
    called_at, pulled_at, pushing = 0, (0, 0), None
    for event in trace:
        match event:
            case e.Called(at=at, tag=tag):
                called_at, pushing = at, tag
            case e.Returned(fn="pull", outcome="emit", at=at):
                pulled_at = (called_at, at)
            case e.Returned(fn="push", outcome=outcome, at=at) if outcome not in BAD and pushing is not None:
                left[pushing] = (called_at, at)
            case e.Enqueued(stream=stream, tag=tag) if stream in first and tag is not None:
                entered.setdefault(tag, pulled_at)
            case _:
                pass
    return tuple(
        sorted(left[tag][last] - entered[tag][begin] for tag in left.keys() & entered.keys()) for begin in (1, 0) for last in (1, 0)
    )


def depths(trace: Iterable[e.AnyEvent], stream: int) -> list[tuple[int, int]]:
    """Return a stream's depth after each change of it, with the instant."""
    return [(event.at, event.depth) for event in trace if isinstance(event, e.Enqueued | e.Dequeued) and event.stream == stream]


def averages(trace: Sequence[e.AnyEvent], stream: int) -> list[float]:
    """Return averages of a stream's depth: over the time between its first and last change, over the whole flow, and over samples."""
    changes = depths(trace, stream)
    if not changes:
        return [0.0]
    area = sum(depth * (after - at) for (at, depth), (after, _) in pairwise(changes))
    begin, end = changes[0][0], changes[-1][0]
    states = {event.new: event.at for event in trace if isinstance(event, e.StateChanged)}
    running, over = states.get("Running", trace[0].at), trace[-1].at
    found = [area / time for time in (end - begin, over - running, over - trace[0].at, over - begin, end - running) if time > 0]
    into = [event.depth for event in trace if isinstance(event, e.Enqueued) and event.stream == stream]
    out = [event.depth for event in trace if isinstance(event, e.Dequeued) and event.stream == stream]
    return [*found, *(sum(sample) / len(sample) for sample in (into, out, [*into, *out]) if sample)]

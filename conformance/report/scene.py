"""What a trace shows, event by event, as a picture needs it: who runs, how full each stream is, and who has each buffer.

A scene believes what the trace says and judges nothing; violations are pinned to it by `conformance.report.timeline`. A long trace is
shown in a window of `MOST` events around the place that matters: what came before has been taken in, and is not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.subjects.protocol import FlowSpec
from conformance.traces import events as e

MOST = 3000
"""Events in one picture."""
MOST_LANES = 32
"""Stages, and streams, in one picture."""
MOST_ROWS = 48
"""Buffers that live at the same time in one picture."""
MOST_TEXT = 160
"""Characters of one name or one sentence of a trace."""


@dataclass(slots=True)
class Bar:
    """A call of a stage: from the event of its beginning to that of its answer."""

    stage: str
    fn: str
    start: int
    end: int
    label: str
    outcome: str = ""


@dataclass(slots=True)
class Holding:
    """A buffer that somebody has for a while; `kind` is stage, stream or host, `of` the stage's or stream's place."""

    buffer: str
    row: int
    start: int
    end: int
    owner: str
    kind: str
    of: int = 0


@dataclass(slots=True)
class StreamTrack:
    """A stream's depth, credits and pressure after each event of the window; `lost` are the events at which an element was.

    Credits are None from where the subject does not tell them.
    """

    name: str
    capacity: int
    low: int
    depth: list[int] = field(default_factory=list)
    credits: list[int | None] = field(default_factory=list)
    active: list[bool] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    """A trace, ready to be drawn.

    Attributes:
        first, total: the place of the window's first event in the trace, and the number of its events.
        stages: names, in the flow's order.
        said: a sentence for each event.
        states: the flow's state after each event.
        notes: what was left out.
    """

    first: int
    total: int
    stages: list[str]
    streams: list[StreamTrack]
    said: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    rows: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Return the number of events in the window."""
        return len(self.said)


def of_flow(flow: FlowSpec, events: Sequence[e.AnyEvent], focus: int | None = None) -> Scene:
    """Return the scene of a flow's events; a long one in a window around `focus`, its most important event."""
    first = 0
    if len(events) > MOST:
        first = min(max((focus or 0) - 2 * MOST // 3, 0), len(events) - MOST)
    player = _Player(flow, events, first)
    for index, event in enumerate(events[: first + MOST]):
        player.play(index, event)
    return player.end()


def cut(text: str) -> str:
    """Return a name or a sentence, not longer than a picture has room for."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def sentence(event: e.AnyEvent, flow: FlowSpec) -> str:
    """Return what an event means, in words."""
    match event:
        case e.StateChanged():
            return f"the flow goes from {event.old} to {event.new}"
        case e.Called():
            given = [f"element {event.seq}"] if event.seq is not None else []
            given += [f"payload {event.tag!r}"] if event.tag else []
            given += [f"lent {event.buffer}"] if event.buffer else []
            return f"{event.stage} is called: {event.fn}" + (f" ({', '.join(given)})" if given else "")
        case e.Returned():
            ports = f" to {', '.join(event.ports) or 'no port'}" if event.ports is not None else ""
            return f"{event.stage} answers {event.fn}: {event.outcome}{ports}" + (f" ({event.kind})" if event.kind else "")
        case e.Enqueued():
            return f"element {event.seq} enters stream {_edge(event.stream, flow)}: depth {event.depth}{_credits(event)}"
        case e.Dequeued():
            return f"element {event.seq} leaves stream {_edge(event.stream, flow)}: depth {event.depth}{_credits(event)}"
        case e.PressureChanged():
            return f"pressure on stream {_edge(event.stream, flow)} goes {'on' if event.on else 'off'} at depth {event.depth}"
        case e.Dropped():
            return f"element {event.seq} is lost on stream {_edge(event.stream, flow)}: {event.reason}"
        case e.BufferEvent():
            return f"{event.buffer} is {'allocated' if event.op == 'alloc' else 'released'}"
        case e.Notified():
            return f"{event.stage} is told of pressure: {event.signal}"
        case e.Yielded():
            return f"the flow gives way after {event.n} stage executions"
        case e.Overdue():
            return f"the flow has kept its turn for {event.for_ns / 1e6:g} ms"
        case e.CancelRequested():
            return "an operator cancels"
        case e.ErrorReported():
            return f"{event.stage} failed ({event.kind}, {event.cause}); what is done about it: {event.action}"
        case e.Done():
            why = f": {event.failure}" if event.failure else ""
            return f"the flow is over: {event.state} ({event.reason}), {event.live} buffers alive{why}"


def _credits(event: e.Enqueued | e.Dequeued) -> str:
    return f", credits {event.credits}" if event.credits is not None else ""


def _edge(stream: int, flow: FlowSpec) -> str:
    if not 0 <= stream < len(flow.edges):
        return str(stream)
    return f"{stream} ({flow.edges[stream].source} → {flow.edges[stream].target})"


class _Player:
    """Plays a trace and draws what is in the window."""

    def __init__(self, flow: FlowSpec, events: Sequence[e.AnyEvent], first: int) -> None:
        self.flow, self.first = flow, first
        names = [stage.name for stage in flow.stages]
        edges = flow.edges
        self.scene = Scene(
            first=first,
            total=len(events),
            stages=names[:MOST_LANES],
            streams=[
                StreamTrack(f"{edge.source} → {edge.target}", edge.capacity, int(edge.capacity * edge.low_watermark_ratio))
                for edge in edges[:MOST_LANES]
            ],
        )
        for what, all_ in (("stages", names), ("streams", edges)):
            if len(all_) > MOST_LANES:
                self.scene.notes.append(f"the first {MOST_LANES} of {len(all_)} {what} are drawn")
        if len(events) > MOST:
            self.scene.notes.append(f"events {first} to {first + MOST - 1} of {len(events)} are drawn")
        self.place = {name: index for index, name in enumerate(names)}
        self.now: list[tuple[int, int | None, bool]] = [(0, edge.capacity, False) for edge in edges]
        self.state = "Created"
        self.calls: dict[str, Bar] = {}
        self.running: str | None = None
        self.held: dict[str, Holding] = {}
        self.streams_of: dict[str, set[int]] = {}
        self.lent: dict[str, str] = {}
        self.last = first

    def play(self, index: int, event: e.AnyEvent) -> None:
        self.last = index
        self._take(index, event)
        if index < self.first:
            return
        scene = self.scene
        scene.said.append(cut(sentence(event, self.flow)))
        scene.kinds.append(str(event.__struct_config__.tag))
        scene.states.append(self.state)
        for track, (depth, credits_, active) in zip(scene.streams, self.now, strict=False):
            track.depth.append(depth)
            track.credits.append(credits_)
            track.active.append(active)

    def end(self) -> Scene:
        """Close what is still open at the last event, and return the scene."""
        for bar in self.calls.values():
            self._close_bar(bar, self.last + 1)
        for buffer in list(self.held):
            self._release(buffer, self.last + 1)
        self.scene.holdings.sort(key=lambda holding: holding.start)
        if any(holding.row >= MOST_ROWS for holding in self.scene.holdings):
            self.scene.holdings = [holding for holding in self.scene.holdings if holding.row < MOST_ROWS]
            self.scene.notes.append(f"at most {MOST_ROWS} buffers are drawn at a time")
        self.scene.rows = max((holding.row + 1 for holding in self.scene.holdings), default=0)
        return self.scene

    def _take(self, index: int, event: e.AnyEvent) -> None:
        match event:
            case e.StateChanged():
                self.state = event.new
            case e.Called():
                label = event.fn + (f" {event.seq}" if event.seq is not None else "")
                self.calls[event.stage] = Bar(event.stage, event.fn, index, index, cut(label))
                self.running = event.stage
                if event.buffer is not None:
                    self.lent[event.stage] = event.buffer
                    self._hold(index, event.buffer, f"lent to {event.stage}", "stage", self.place.get(event.stage, 0))
            case e.Returned():
                self._returned(index, event)
            case e.Enqueued():
                self._stream(event.stream, event.depth, event.credits)
                self._move(index, event.buffer, entered=event.stream)
            case e.Dequeued():
                self._stream(event.stream, event.depth, event.credits)
                self._move(index, event.buffer, left=event.stream)
            case e.PressureChanged():
                if 0 <= event.stream < len(self.now):
                    depth, credits_, _ = self.now[event.stream]
                    self.now[event.stream] = depth, credits_, event.on
            case e.Dropped():
                if index >= self.first and 0 <= event.stream < len(self.scene.streams):
                    self.scene.streams[event.stream].lost.append(index)
            case e.BufferEvent():
                if event.op == "release":
                    self._release(event.buffer, index)
                elif self.running is not None:
                    self._hold(index, event.buffer, f"made by {self.running}", "stage", self.place.get(self.running, 0))
                else:
                    self._hold(index, event.buffer, "host", "host", 0)
            case _:
                pass

    def _returned(self, index: int, event: e.Returned) -> None:
        self.running = None
        bar = self.calls.pop(event.stage, None)
        if bar is not None:
            bar.outcome = event.outcome
            self._close_bar(bar, index + 1)
        buffer = self.lent.pop(event.stage, None)
        if buffer is not None and buffer in self.held:
            inside = self.streams_of.get(buffer)
            if inside:
                self._in_streams(index, buffer, inside)
            else:
                self._hold(index, buffer, "host", "host", 0)

    def _stream(self, stream: int, depth: int, credits_: int | None) -> None:
        if 0 <= stream < len(self.now):
            self.now[stream] = depth, credits_, self.now[stream][2]

    def _move(self, index: int, buffer: str | None, *, entered: int | None = None, left: int | None = None) -> None:
        if buffer is None:
            return
        inside = self.streams_of.setdefault(buffer, set())
        if entered is not None:
            inside.add(entered)
        if left is not None:
            inside.discard(left)
        if inside:
            self._in_streams(index, buffer, inside)
        elif left is not None and 0 <= left < len(self.flow.edges):
            target = self.flow.edges[left].target
            self._hold(index, buffer, f"taken for {target}", "stage", self.place.get(target, 0))

    def _in_streams(self, index: int, buffer: str, inside: set[int]) -> None:
        name = f"in stream{'s' if len(inside) > 1 else ''} {', '.join(map(str, sorted(inside)))}"
        self._hold(index, buffer, name, "stream", min(inside))

    def _hold(self, index: int, buffer: str, owner: str, kind: str, of: int) -> None:
        """Begin a holding at an event; the one before ends there."""
        before = self.held.get(buffer)
        if before is not None:
            if before.owner == owner:
                return
            self._close_holding(before, index)
        taken = {holding.row for holding in self.held.values()}
        row = before.row if before is not None else next(row for row in range(len(taken) + 1) if row not in taken)
        self.held[buffer] = Holding(cut(buffer), row, index, index, cut(owner), kind, of)

    def _release(self, buffer: str, index: int) -> None:
        holding = self.held.pop(buffer, None)
        self.streams_of.pop(buffer, None)
        if holding is not None:
            self._close_holding(holding, index)

    def _close_holding(self, holding: Holding, end: int) -> None:
        holding.start, holding.end = max(holding.start, self.first), end
        if end > holding.start:
            self.scene.holdings.append(holding)

    def _close_bar(self, bar: Bar, end: int) -> None:
        bar.start, bar.end = max(bar.start, self.first), end
        if end > bar.start and bar.stage in self.scene.stages:
            self.scene.bars.append(bar)

"""A conversation (a trace of exchanges) as a scene: who asked for what, the stream's depth, and which buffer belongs to whom.

It believes the replies: a buffer changes its owner when the subject said that it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from conformance.report.scene import MOST, MOST_LANES, MOST_ROWS, Bar, Holding, Scene, StreamTrack, cut
from conformance.subjects import protocol as p
from conformance.traces.file import Exchange

ACTORS = ("caller", "owner", "source", "borrower", "reader", "component")
"""The fields of requests that say for whom something is done, the telling ones first."""
SUITE = "suite"
Seen = TypeVar("Seen")


def of_exchanges(exchanges: Sequence[Exchange], focus: int | None = None) -> Scene:
    """Return the scene of a conversation; a long one in a window around `focus`."""
    first = min(max((focus or 0) - 2 * MOST // 3, 0), max(len(exchanges) - MOST, 0))
    shown = exchanges[: first + MOST]
    actors = list(dict.fromkeys(_actor(exchange.request) for exchange in shown[first:]))
    scene = Scene(first=first, total=len(exchanges), stages=actors[:MOST_LANES], streams=[])
    if len(exchanges) > MOST:
        scene.notes.append(f"exchanges {first} to {first + MOST - 1} of {len(exchanges)} are drawn")
    teller = _Teller(scene)
    for index, exchange in enumerate(shown):
        teller.tell(index, exchange)
    return teller.end()


class _Teller:
    """Tells a conversation, exchange by exchange."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.held: dict[p.Handle, Holding] = {}
        self.lent: dict[p.Handle, int] = {}
        self.opened: StreamTrack | None = None
        self.last = scene.first

    def tell(self, index: int, exchange: Exchange) -> None:
        self.last = index
        scene, request, reply = self.scene, exchange.request, exchange.reply
        self._buffers(index, request, reply)
        stream = _stream(reply)
        if isinstance(request, p.OpenStream) and stream is not None and len(scene.streams) < MOST_LANES:
            self._open(stream, len(scene.said))
        if index < scene.first:
            return
        actor, op = _actor(request), str(request.__struct_config__.tag)
        refused = reply is None or isinstance(reply, (p.Fault, p.Unsupported))
        scene.bars.append(Bar(actor, op, index, index + 1, cut(op.partition(".")[2] or op), "error" if refused else "ok"))
        scene.said.append(cut(f"{_words(request)} → {_words(reply) if reply is not None else 'no answer'}"))
        scene.kinds.append("fault" if refused else op)
        scene.states.append("")
        for track in scene.streams:
            seen = stream if track is self.opened else None
            track.depth.append(seen.depth if seen is not None else _last(track.depth, 0))
            track.credits.append(seen.credits if seen is not None else _last(track.credits, track.capacity))
            track.active.append(seen.pressure == "active" if seen is not None else _last(track.active, False))  # noqa: FBT003 -- a value

    def end(self) -> Scene:
        """Close what is still open, and return the scene."""
        for handle in list(self.held):
            self._release(handle, self.last + 1)
        scene = self.scene
        scene.bars = [bar for bar in scene.bars if bar.stage in scene.stages]
        scene.holdings = sorted((each for each in scene.holdings if each.row < MOST_ROWS), key=lambda holding: holding.start)
        scene.rows = max((holding.row + 1 for holding in scene.holdings), default=0)
        return scene

    def _open(self, stream: p.StreamReply, before: int) -> None:
        track = StreamTrack(f"stream {len(self.scene.streams) + 1}", stream.capacity, stream.low)
        track.depth, track.credits, track.active = [0] * before, [stream.capacity] * before, [False] * before
        self.scene.streams.append(track)
        self.opened = track

    def _buffers(self, index: int, request: p.AnyRequest, reply: p.AnyReply | None) -> None:
        match request, reply:
            case p.OpenResources(), _:
                for handle in list(self.held):
                    self._release(handle, index)
            case p.Allocate(owner=owner), p.HandleReply(handle=handle):
                self._hold(index, handle, owner)
            case p.Clone(caller=owner), p.HandleReply(handle=handle):
                self._hold(index, handle, owner)
            case p.Transfer(handle=handle, target=target), p.Done():
                self._hold(index, handle, target)
            case p.Borrow(handle=handle), p.Done():
                self._lend(index, handle, 1)
            case p.EndBorrow(handle=handle), p.Done():
                self._lend(index, handle, -1)
            case p.Release(handle=handle), p.Done():
                self._release(handle, index)
            case p.ForceReclaim(), p.ReclaimedReply(buffers=buffers):
                for freed in buffers:
                    self._release(freed.handle, index)
            case _:
                pass

    def _lend(self, index: int, handle: p.Handle, by: int) -> None:
        holding = self.held.get(handle)
        if holding is not None:
            self.lent[handle] = max(self.lent.get(handle, 0) + by, 0)
            self._hold(index, handle, holding.owner.partition(",")[0])

    def _hold(self, index: int, handle: p.Handle, owner: str) -> None:
        before = self.held.get(handle)
        taken = {holding.row for holding in self.held.values()}
        row = before.row if before is not None else next(row for row in range(len(taken) + 1) if row not in taken)
        if before is not None:
            self._close(before, index)
        lent = self.lent.get(handle, 0)
        kind = "host" if owner == "host" else "stream" if owner == "transit" else "stage"
        of = self.scene.stages.index(owner) if owner in self.scene.stages else 0
        shown = owner + (f", lent {lent} times" if lent > 1 else ", lent" if lent else "")
        self.held[handle] = Holding(f"{handle.index}:g{handle.generation}", row, index, index, cut(shown), kind, of)

    def _release(self, handle: p.Handle, index: int) -> None:
        self.lent.pop(handle, None)
        holding = self.held.pop(handle, None)
        if holding is not None:
            self._close(holding, index)

    def _close(self, holding: Holding, end: int) -> None:
        holding.start, holding.end = max(holding.start, self.scene.first), end
        if end > holding.start:
            self.scene.holdings.append(holding)


def _actor(request: p.AnyRequest) -> str:
    for name in ACTORS:
        value = getattr(request, name, None)
        if isinstance(value, str):
            return cut(value)
    return SUITE


def _stream(reply: p.AnyReply | None) -> p.StreamReply | None:
    if isinstance(reply, p.StreamReply):
        return reply
    return reply.stream if isinstance(reply, (p.PushedReply, p.PoppedReply)) else None


def _words(message: msgspec.Struct) -> str:
    """Return a message as `tag(field=value, …)`, without what is left at its default."""
    fields = msgspec.to_builtins(message)
    tag = fields.pop("op", None) or fields.pop("re", "")
    fields.pop("stream", None)
    return f"{tag}({', '.join(f'{key}={_value(value)}' for key, value in fields.items())})" if fields else str(tag)


def _value(value: object) -> str:
    if isinstance(value, dict) and value.keys() == {"index", "generation"}:
        return f"{value['index']}:g{value['generation']}"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _last(values: list[Seen], otherwise: Seen) -> Seen:
    return values[-1] if values else otherwise

"""Facet `streams`: one stream by hand."""

from __future__ import annotations

from conformance.subjects.protocol.base import Reply, Request, check_finite


class OpenStream(Request, frozen=True, tag="streams.open"):
    """Start over with one stream → `stream`; fault `invalid-capacity` or `invalid-ratio`."""

    capacity: int
    low_watermark_ratio: float = 0.5
    policy: str = "block-producer"

    def __post_init__(self) -> None:
        """Refuse what no JSON number can say, so that both doors see the same values."""
        check_finite(self.low_watermark_ratio)


class PushValue(Request, frozen=True, tag="streams.push"):
    """Push a number as the element → `pushed`; fault `queue-full` on a full Block stream, `producer-complete` after completion."""

    value: int


class PopValue(Request, frozen=True, tag="streams.pop"):
    """Take the oldest element → `popped`; fault `queue-empty`."""


class CompleteStream(Request, frozen=True, tag="streams.complete"):
    """The producer is done → `stream`."""


class InspectStream(Request, frozen=True, tag="streams.inspect"):
    """Describe the stream → `stream`."""


class StreamReply(Reply, frozen=True, tag="stream"):
    """A stream as an observer sees it. `pressure` is "normal" or "active"."""

    depth: int
    credits: int
    capacity: int
    low: int
    pressure: str
    may_produce: bool
    is_complete: bool


class PushedReply(Reply, frozen=True, tag="pushed"):
    """What became of a pushed element: `verdict` is enqueued, evicted-oldest, refused-newest or queue-full."""

    verdict: str
    stream: StreamReply
    evicted: int | None = None
    pressure_changed: str | None = None


class PoppedReply(Reply, frozen=True, tag="popped"):
    """The oldest element, and the stream after it left."""

    value: int
    stream: StreamReply
    pressure_changed: str | None = None

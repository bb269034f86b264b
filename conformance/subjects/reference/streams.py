"""Facet streams over `torvyn_ref.streams`."""

from __future__ import annotations

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref.streams import OverflowPolicy, Pressure, Stream, StreamConfig


class ReferenceStreams:
    """One stream of numbers behind the messages `streams.*`. Time does not pass in it."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts
        self._stream: Stream[int] = parts.stream(StreamConfig())

    def open(self, request: p.OpenStream) -> p.StreamReply:
        """Start over."""
        try:
            policy = OverflowPolicy(request.policy)
        except ValueError as error:
            raise Refused("invalid-policy", str(error)) from error
        self._stream = self._parts.stream(StreamConfig(request.capacity, request.low_watermark_ratio, policy))
        return self._describe()

    def push(self, request: p.PushValue) -> p.PushedReply:
        """Push a number."""
        outcome, change = self._stream.push(request.value, 0)
        return p.PushedReply(str(outcome.verdict), self._describe(), outcome.evicted, _pressure(change))

    def pop(self, _request: p.PopValue) -> p.PoppedReply:
        """Take the oldest number."""
        value, change = self._stream.pop(0)
        return p.PoppedReply(value, self._describe(), _pressure(change))

    def complete(self, _request: p.CompleteStream) -> p.StreamReply:
        """Say that the producer is done."""
        self._stream.complete()
        return self._describe()

    def inspect(self, _request: p.InspectStream) -> p.StreamReply:
        """Describe the stream."""
        return self._describe()

    def _describe(self) -> p.StreamReply:
        stream = self._stream
        return p.StreamReply(
            depth=stream.depth,
            credits=stream.credit.available,
            capacity=stream.config.capacity,
            low=stream.gate.low,
            pressure=str(stream.gate.pressure),
            may_produce=stream.may_produce,
            is_complete=stream.is_complete,
        )


def _pressure(change: Pressure | None) -> str | None:
    return None if change is None else str(change)

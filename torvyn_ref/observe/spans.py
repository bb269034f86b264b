"""Traces: ids, contexts, head sampling, the ring of spans that were not sampled, and promotion (OBS-014 to OBS-019)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Generic, TypeVar

from torvyn_ref.errors import TorvynError

T = TypeVar("T")

TRACE_BYTES, SPAN_BYTES = 16, 8
LEAST_RING, DEFAULT_RING = 8, 64
_MOST = 2**64 - 1


class Flags(IntFlag):
    """What is inherited along a trace."""

    NONE = 0x00
    SAMPLED = 0x01
    DIAGNOSTIC = 0x02


def hex_of(raw: bytes) -> str:
    """Return an id as it is written: lowercase hexadecimal digits (OBS-014)."""
    return raw.hex()


def parse_id(text: str, size: int) -> bytes:
    """Read an id of so many bytes (OBS-014).

    Raises:
        TorvynError: observe/invalid-id, when it has another length, other characters, or is all zero.
    """
    valid = len(text) == 2 * size and all(char in "0123456789abcdef" for char in text)
    raw = bytes.fromhex(text) if valid else b""
    if not any(raw):
        message = f"expected {2 * size} lowercase hexadecimal digits that are not all zero, found {text[:40]!r}"
        raise TorvynError("observe", "invalid-id", message)
    return raw


class IdSource:
    """Gives out ids that are unique in this process (OBS-014): a random start, then a count, so that no two can meet by chance."""

    def __init__(self) -> None:
        self._trace_half = os.urandom(TRACE_BYTES // 2)
        self._trace = int.from_bytes(os.urandom(8)) or 1
        self._span = int.from_bytes(os.urandom(8)) or 1

    def trace_id(self) -> bytes:
        """Return a new trace id. Its last eight bytes decide about sampling, so the count is spread over them."""
        self._trace = self._trace % _MOST + 1
        return self._trace_half + _spread(self._trace).to_bytes(8)

    def span_id(self) -> bytes:
        """Return a new span id; never zero."""
        self._span = self._span % _MOST + 1
        return _spread(self._span).to_bytes(8)


IDS = IdSource()
"""The ids of this process."""


def _spread(number: int) -> int:
    """Return another 64-bit number, a different one for each, and not zero for what is not zero (the finalizer of splitmix64)."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & _MOST
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & _MOST
    return number ^ (number >> 31)


def sampled(trace_id: bytes, rate: float) -> bool:
    """Decide about a trace, from its id and the rate alone: all stages decide alike (OBS-015)."""
    if rate >= 1:
        return True
    if rate <= 0:
        return False
    return int.from_bytes(trace_id[8:16], "little") <= rate * _MOST


@dataclass(frozen=True, slots=True)
class Context:
    """A place in a trace: a span, its parent (None for a root), and what is inherited."""

    trace_id: bytes
    span_id: bytes
    parent: bytes | None = None
    flags: Flags = Flags.NONE

    def child(self, ids: IdSource) -> Context:
        """Return a context below this one: the same trace, a new span, the same flags (OBS-019)."""
        return Context(self.trace_id, ids.span_id(), self.span_id, self.flags)


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that took time, or happened; instants in wall-clock nanoseconds. `sequence` is None where no element is meant."""

    name: str
    context: Context
    begin_ns: int
    end_ns: int
    component: int | None = None
    sequence: int | None = None
    ok: bool = True


class Ring(Generic[T]):
    """The last entries of many (OBS-018).

    Raises:
        TorvynError: observe/invalid-capacity unless the capacity is a power of two of at least 8.
    """

    def __init__(self, capacity: int = DEFAULT_RING) -> None:
        if not is_ring_capacity(capacity):
            raise TorvynError(
                "observe", "invalid-capacity", f"a ring holds a power of two of at least {LEAST_RING} entries, got {capacity}"
            )
        self._entries: deque[T] = deque(maxlen=capacity)

    def push(self, entry: T) -> None:
        """Keep an entry, in the place of the oldest when there is no other."""
        self._entries.append(entry)

    def drain(self) -> tuple[T, ...]:
        """Return all entries, oldest first, and keep none."""
        entries = tuple(self._entries)
        self._entries.clear()
        return entries

    def __len__(self) -> int:
        return len(self._entries)


def is_ring_capacity(capacity: int) -> bool:
    """Tell whether a ring may have this capacity."""
    return capacity >= LEAST_RING and capacity & (capacity - 1) == 0


@dataclass(slots=True)
class FlowTrace:
    """What becomes of one flow's spans: exported when sampled or once the flow was promoted, else kept in a ring for that case.

    Attributes:
        rate: the share of traces that is sampled.
        error_promote: whether an error promotes the flow.
        latency_threshold_ns: a latency above it does; 0 for none.
        exported: the spans that went out, in that order.
    """

    rate: float = 0.01
    error_promote: bool = True
    latency_threshold_ns: int = 10_000_000
    ring: Ring[Span] = field(default_factory=Ring)
    exported: list[Span] = field(default_factory=list)
    promoted: bool = False

    def record(self, span: Span) -> None:
        """Export a span, or keep it."""
        if self.promoted or span.context.flags & Flags.SAMPLED:
            self.exported.append(span)
        else:
            self.ring.push(span)

    def failed(self) -> bool:
        """Hear that a component failed; return whether that promoted the flow (OBS-016)."""
        return self.error_promote and self._promote()

    def took(self, latency_ns: int) -> bool:
        """Hear how long an element was on its way; return whether that promoted the flow (OBS-016)."""
        return latency_ns > self.latency_threshold_ns > 0 and self._promote()

    def _promote(self) -> bool:
        """Trace everything from now on, and export what was kept of the time before (OBS-017)."""
        if self.promoted:
            return False
        self.promoted = True
        self.exported.extend(self.ring.drain())
        return True


def chain(context: Context, ids: IdSource, length: int) -> Iterator[Context]:
    """Yield so many contexts, each the child of the one before."""
    for _ in range(length):
        context = context.child(ids)
        yield context

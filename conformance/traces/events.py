"""The trace vocabulary: what a run consists of, for any runtime (spec/reactor.md 0).

One struct per kind of event; on the wire each is a JSON object with its kind under `e`. `at` is the subject's clock in nanoseconds; it
orders nothing (the list does) and is only compared with itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", omit_defaults=True, forbid_unknown_fields=True):
    """What every event has."""

    at: int = 0


class StateChanged(Event, frozen=True, kw_only=True, tag="state"):
    """The flow changed its state."""

    old: str
    new: str


class Called(Event, frozen=True, kw_only=True, tag="call"):
    """A component is entered.

    `fn` is the WIT function name. `seq` is the element's sequence for data calls. `tag` is the payload that the component sees, as text,
    up to its first space. `buffer` is the handle that it is lent, named as in `buf` events. `timestamp` is the element's, where the subject
    shows it; `content_type` likewise.
    """

    stage: str
    fn: str
    seq: int | None = None
    tag: str | None = None
    buffer: str | None = None
    timestamp: int | None = None
    content_type: str | None = None


class Returned(Event, frozen=True, kw_only=True, tag="ret"):
    """A component has answered: `outcome` is emit, drop, end, ok, ready, pause, pass, reject, route, error or trap.

    `buffer` is the handle of what it emits, from subjects that do not show every element that enters a stream. `content_type` is what it
    gave the element that it emits, where it emits one. `count` is how many elements a flush gave, from runtimes whose components have no
    scripts that say so.
    """

    stage: str
    fn: str
    outcome: str
    kind: str | None = None
    ports: list[str] | None = None
    buffer: str | None = None
    content_type: str | None = None
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Enqueued(Event, frozen=True, kw_only=True, tag="enq"):
    """An element entered a stream; `depth` and `credits` are the stream's right after. `tag` and `buffer` as in `call`.

    Only a subject that lacks `flows.run/events=credits` leaves the credits out.
    """

    stream: int
    seq: int
    depth: int
    credits: int | None = None
    timestamp: int = 0
    tag: str | None = None
    buffer: str | None = None


class Dequeued(Event, frozen=True, kw_only=True, tag="deq"):
    """The consumer took an element; `depth` and `credits` are the stream's right after. `buffer` as in `call`."""

    stream: int
    seq: int
    depth: int
    credits: int | None = None
    buffer: str | None = None


class PressureChanged(Event, frozen=True, kw_only=True, tag="bp"):
    """A stream's pressure went on or off at this depth."""

    stream: int
    on: bool
    depth: int
    duration: int | None = None


class Dropped(Event, frozen=True, kw_only=True, tag="drop"):
    """An element was lost on a stream: `reason` is evicted-oldest, refused-newest, queue-full or discarded."""

    stream: int
    seq: int
    reason: str


class BufferEvent(Event, frozen=True, kw_only=True, tag="buf"):
    """A buffer was allocated or released; `buffer` identifies it within the run."""

    op: Literal["alloc", "release"]
    buffer: str


class Notified(Event, frozen=True, kw_only=True, tag="notify"):
    """A source was told of pressure."""

    stage: str
    signal: Literal["pause", "ready"]


class Yielded(Event, frozen=True, kw_only=True, tag="yield"):
    """The flow gave way to others after `n` stage executions."""

    n: int


class Overdue(Event, frozen=True, kw_only=True, tag="overdue"):
    """A warning: the flow had kept its turn for `for_ns` nanoseconds without giving way."""

    for_ns: int


class CancelRequested(Event, frozen=True, kw_only=True, tag="cancel"):
    """An operator's wish to end the flow has reached it: for runs of real components; where there are scripts, commands say when."""


class ErrorReported(Event, frozen=True, kw_only=True, tag="err"):
    """A component failed; what the runtime did about it, `action`, is fail, skip, retry, log, or `unreported` where it does not say."""

    stage: str
    kind: str
    action: str
    cause: str = "returned"


class Done(Event, frozen=True, kw_only=True, tag="done"):
    """The flow is over: `live` counts its buffers still alive, `reason` says why it ended, `failure` is stage and words of a failure."""

    state: str
    reason: str
    live: int
    total: int
    failure: str | None = None


AnyEvent = (
    StateChanged
    | Called
    | Returned
    | Enqueued
    | Dequeued
    | PressureChanged
    | Dropped
    | BufferEvent
    | Notified
    | Yielded
    | Overdue
    | CancelRequested
    | ErrorReported
    | Done
)

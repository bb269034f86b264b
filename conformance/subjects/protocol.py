"""The subject protocol, version 1: every message between the suite and a runtime under test, as types.

A subject declares facets; the suite sends requests of those facets and gets replies. In process and over stdio the messages are the same,
so a check cannot tell the doors apart. Scripted components cross the protocol as data (`Script`): a runtime in any language can play them.

On the wire: one JSON object per line. Suite → subject: `{"id": 7, "request": {"op": "resources.allocate", ...}}`. Subject → suite:
`{"id": 7, "reply": {"re": "handle", ...}}`. A refused operation is a `fault` reply, with the symbolic kind that the specification gives
it; an operation that the subject does not offer is an `unsupported` reply, with the reason.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, get_args

import msgspec

from conformance.traces.events import AnyEvent

PROTOCOL = 1


class Facet(StrEnum):
    """A side of a runtime that the suite can drive."""

    RESOURCES = "resources"
    STREAMS = "streams"
    FLOWS = "flows"
    GUESTS = "guests"
    CAPABILITIES = "capabilities"
    CONTRACTS = "contracts"
    CONFIG = "config"
    PACKAGING = "packaging"
    OBSERVABILITY = "observability"
    CLI = "cli"


FACET_VERSIONS = {Facet.RESOURCES: 1, Facet.STREAMS: 1, Facet.FLOWS: 1, Facet.GUESTS: 1}
"""The facets with messages in this version of the protocol; the others are names only, and a subject may not claim them yet."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value inside a request or reply."""


class Request(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True, omit_defaults=True):
    """Something that the suite asks."""


class Reply(msgspec.Struct, frozen=True, tag_field="re", forbid_unknown_fields=True, omit_defaults=True):
    """Something that a subject answers."""


U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
U64 = Annotated[int, msgspec.Meta(ge=0)]
"""Sizes, offsets, ids and counts: never negative on the wire, so that no adapter has to guard against it; at most 2^64 - 1."""


def _check_finite(ratio: float) -> None:
    if not math.isfinite(ratio):
        raise ValueError(f"{ratio} has no JSON form: only finite numbers cross the protocol")


# ---------------------------------------------------------------- values


class Handle(Message, frozen=True):
    """A buffer handle: slot index and generation, both u32."""

    index: U32
    generation: U32


class TierSetting(Message, frozen=True):
    """A pool tier: how many buffers it keeps, and whether they count as pre-allocated."""

    tier: str
    pool_size: U32
    preallocate: bool = True


class FacetClaim(Message, frozen=True):
    """A facet that a subject offers, with the optional capabilities it has there (`consumer_first`, `leases`, `gap=zero-fill` ...)."""

    facet: Facet
    version: int = 1
    capabilities: tuple[str, ...] = ()


# ---------------------------------------------------------------- session


class Hello(Request, frozen=True, tag="hello"):
    """Open the session: the protocol version that the suite speaks."""

    protocol: int = PROTOCOL


class Declaration(Reply, frozen=True, tag="declaration"):
    """Who the subject is and what it offers; what it leaves out it leaves out with a reason."""

    name: str
    version: str
    protocol: int
    facets: tuple[FacetClaim, ...]
    language: str = ""
    unsupported: dict[str, str] = {}


class Bye(Request, frozen=True, tag="bye"):
    """Close the session; the subject answers `done` and ends."""


class Done(Reply, frozen=True, tag="done"):
    """The operation did what it should, and has nothing to say."""


class Fault(Reply, frozen=True, tag="fault"):
    """The operation was refused and has changed nothing. `kind` is the specification's symbolic kind, in kebab-case."""

    kind: str
    message: str = ""
    fields: dict[str, Any] = {}


class Unsupported(Reply, frozen=True, tag="unsupported"):
    """The subject does not offer this operation."""

    reason: str


# ---------------------------------------------------------------- facet resources
# Owners are text: "host", "transit" or "component-N" (N >= 1). Sizes are bytes.


class OpenResources(Request, frozen=True, tag="resources.open"):
    """Start over with a fresh resource manager; what the previous one held is gone.

    Attributes:
        default_budget_bytes: the budget of a component that has none of its own; None leaves the runtime's own default.
        level: how much is observed: off, production or diagnostic. A subject without levels ignores it.
    """

    table_capacity: U32 = 64
    tiers: tuple[TierSetting, ...] = ()
    exhaustion: str = "fallback-alloc"
    default_budget_bytes: U64 | None = 64 * 1024 * 1024
    level: str = "production"


class Allocate(Request, frozen=True, tag="resources.allocate"):
    """Allocate a buffer → `handle`."""

    owner: str
    capacity: U64
    flow: U64 = 1


class Release(Request, frozen=True, tag="resources.release"):
    """Release a buffer → `done`."""

    handle: Handle
    caller: str


class Transfer(Request, frozen=True, tag="resources.transfer"):
    """Move ownership → `done`."""

    handle: Handle
    source: str
    target: str


class Borrow(Request, frozen=True, tag="resources.borrow"):
    """Open a borrow → `done`."""

    handle: Handle
    borrower: str


class EndBorrow(Request, frozen=True, tag="resources.end-borrow"):
    """End a borrow → `done`."""

    handle: Handle
    borrower: str


class Write(Request, frozen=True, tag="resources.write"):
    """Write bytes at an offset → `count` (the new size)."""

    handle: Handle
    caller: str
    offset: U64
    data: bytes


class Read(Request, frozen=True, tag="resources.read"):
    """Read a range → `bytes`."""

    handle: Handle
    reader: str
    offset: U64
    length: U64


class SetContentType(Request, frozen=True, tag="resources.set-content-type"):
    """Set the content type → `done`."""

    handle: Handle
    caller: str
    content_type: str


class Freeze(Request, frozen=True, tag="resources.freeze"):
    """Make a buffer immutable → `done`."""

    handle: Handle
    caller: str


class Inspect(Request, frozen=True, tag="resources.inspect"):
    """Describe a live buffer → `buffer`."""

    handle: Handle


class LiveCount(Request, frozen=True, tag="resources.live-count"):
    """Count live buffers → `count`."""


class ForceReclaim(Request, frozen=True, tag="resources.force-reclaim"):
    """Free all that a component owns, end the borrows it holds → `reclaimed`."""

    component: str


class ReleaseFlow(Request, frozen=True, tag="resources.release-flow"):
    """Free all that was allocated under a flow → `flow-released`."""

    flow: U64


class RegisterComponent(Request, frozen=True, tag="resources.register-component"):
    """Give a component a budget in bytes → `done`."""

    component: str
    budget_bytes: U64


class Budget(Request, frozen=True, tag="resources.budget"):
    """Ask for a component's use and limit → `budget`."""

    component: str


class PoolCounters(Request, frozen=True, tag="resources.pool"):
    """Ask for a tier's counters → `pool`."""

    tier: str


class CopyCounters(Request, frozen=True, tag="resources.copies"):
    """Ask for a flow's copies → `copies`."""

    flow: U64


class ResourceTransition(Request, frozen=True, tag="resources.transition"):
    """Ask whether one state label may follow another → `done`, or fault `invalid-transition`."""

    old: str
    new: str


class HandleReply(Reply, frozen=True, tag="handle"):
    """A new buffer."""

    handle: Handle


class CountReply(Reply, frozen=True, tag="count"):
    """A number."""

    count: U64


class BytesReply(Reply, frozen=True, tag="bytes"):
    """Bytes (base64 on the wire)."""

    data: bytes


class BufferReply(Reply, frozen=True, tag="buffer"):
    """A live buffer as an observer sees it. `frozen` and `flow` are None where the runtime does not know."""

    state: str
    owner: str
    borrow_count: int
    capacity: int
    size: int
    content_type: str
    tier: str
    is_fallback: bool
    flow: int | None = None
    frozen: bool | None = None


class ReclaimedBuffer(Message, frozen=True):
    """One buffer freed by force."""

    handle: Handle
    previous_state: str
    previous_owner: str
    capacity: int
    returned_to_pool: bool


class ReclaimedReply(Reply, frozen=True, tag="reclaimed"):
    """What `force-reclaim` freed."""

    buffers: tuple[ReclaimedBuffer, ...]


class FlowReleasedReply(Reply, frozen=True, tag="flow-released"):
    """What `release-flow` freed."""

    returned_to_pool: int
    deallocated: int
    bytes_released: int
    borrows_cleared: int


class BudgetReply(Reply, frozen=True, tag="budget"):
    """Bytes used, and the limit (None: unlimited)."""

    used: int
    limit: int | None = None


class PoolReply(Reply, frozen=True, tag="pool"):
    """A tier's counters."""

    pool_size: int
    available: int
    alloc_count: int
    return_count: int
    fallback_count: int
    exhaustion_count: int


class CopyRoute(Message, frozen=True):
    """Copies that went the same way for the same reason; `source` and `target` are owners.

    A write goes from the component to the host, a read from the host to the component.
    """

    source: str
    target: str
    reason: str
    ops: int
    bytes: int


class CopiesReply(Reply, frozen=True, tag="copies"):
    """A flow's copies: operations by reason, and all bytes; where the runtime knows, also bytes by reason, and who copied to whom."""

    total_copy_ops: int
    total_payload_bytes: int
    ops_by_reason: dict[str, int]
    bytes_by_reason: dict[str, int] = {}
    metadata_bytes: int = 0
    routes: tuple[CopyRoute, ...] = ()


# ---- facet resources: what a subject may add. Who leaves one out names it in its declaration's `unsupported`.


class Clone(Request, frozen=True, tag="resources.clone"):
    """Copy a buffer that one owns or borrows into a new mutable one of the caller's → `handle`."""

    handle: Handle
    caller: str
    flow: U64 = 1


class ListLive(Request, frozen=True, tag="resources.live"):
    """List the live buffers → `live`."""


class RegisterFlow(Request, frozen=True, tag="resources.register-flow"):
    """Tell the manager of a flow → `done`; a second time it changes nothing."""

    flow: U64


class CloseCopies(Request, frozen=True, tag="resources.close-copies"):
    """Take a finished flow's final copy summary → `copies`; from then on the flow reads zero."""

    flow: U64


class LiveBuffer(Message, frozen=True):
    """A live buffer of an inventory; `age_ns` counts from its allocation, on any clock that never goes back."""

    handle: Handle
    owner: str
    age_ns: int
    flow: int | None = None
    state: str = ""


class LiveReply(Reply, frozen=True, tag="live"):
    """The live buffers, in any order, and the counts that balance: created = released + live."""

    buffers: tuple[LiveBuffer, ...]
    created: int | None = None
    released: int | None = None


ThreadRequest = Allocate | Release | Transfer | Borrow | EndBorrow | Write | Read | SetContentType | Freeze | Inspect | LiveCount | Budget
"""What a thread may do."""
ThreadReply = Done | Fault | HandleReply | CountReply | BytesReply | BufferReply | BudgetReply
"""What it may be answered."""

MOST_THREADS, MOST_OPERATIONS = 16, 256
Program = Annotated[tuple[ThreadRequest, ...], msgspec.Meta(max_length=MOST_OPERATIONS)]


class Concurrent(Request, frozen=True, tag="resources.concurrent"):
    """Run each program in a thread of its own, all of them started before any may end → `history`.

    Only for subjects that claim `concurrency`. Programs run to their end whatever is refused.
    """

    programs: Annotated[tuple[Program, ...], msgspec.Meta(max_length=MOST_THREADS)]


class Happened(Message, frozen=True):
    """One operation of a thread: its reply, and two ticks of one counter that all threads share, taken right before and right after it."""

    start: U64
    end: U64
    reply: ThreadReply


class HistoryReply(Reply, frozen=True, tag="history"):
    """What came of the programs, thread by thread, operation by operation."""

    threads: tuple[tuple[Happened, ...], ...]


# ---------------------------------------------------------------- facet streams


class OpenStream(Request, frozen=True, tag="streams.open"):
    """Start over with one stream → `stream`; fault `invalid-capacity` or `invalid-ratio`."""

    capacity: int
    low_watermark_ratio: float = 0.5
    policy: str = "block-producer"

    def __post_init__(self) -> None:
        """Refuse what no JSON number can say, so that both doors see the same values."""
        _check_finite(self.low_watermark_ratio)


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


# ---------------------------------------------------------------- facet flows


class Answer(Message, frozen=True):
    """What a scripted component answers to one call, and what it does meanwhile.

    `do` is one of: emit (a new element), drop (process/ingest: nothing), end (pull: exhausted), ok, error, trap, ready, pause, pass,
    reject, route.

    Attributes:
        size: emit by a source or a flush: payload bytes. The payload starts with `NAME#N ` (stage name, number of the emit, from 0), then
        dots,
            cut to `size` but never below the tag. A processor or aggregator that emits during a data call copies the payload it was given.
        count: flush: how many elements to emit.
        claims_sequence: the sequence that the component writes into its metadata; the runtime must overwrite it (ORD-002).
        keeps: mutable buffers of 16 bytes that the component allocates and never gives back.
        reads: how often the component reads the whole payload that it was given, besides what an emit reads.
        chunk: those reads go in pieces of so many bytes; 0 for one piece.
        clones: emit during a data call: by clone-into-mutable, not by reading and writing.
        spends_ns: virtual time that passes during the call.
    """

    do: str
    size: int = 8
    count: int = 0
    content_type: str = ""
    claims_sequence: int = 0
    kind: str = "internal"
    message: str = ""
    ports: tuple[str, ...] = ()
    keeps: int = 0
    spends_ns: int = 0
    reads: U32 = 0
    chunk: U32 = 0
    clones: bool = False


class Script(Message, frozen=True):
    """A component as data: its answers to its data call in order, then `then` for ever; and its answers to the other calls.

    Without `then`, a source ends, a processor emits, a sink is ready, a filter lets pass, a router routes to no port, an aggregator drops.
    A component without `lifecycle` exports neither init nor teardown. `flush` is an aggregator's, `complete` a sink's.
    """

    answers: tuple[Answer, ...] = ()
    then: Answer | None = None
    lifecycle: bool = False
    init: Answer = Answer("ok")
    complete: Answer = Answer("ok")
    flush: Answer = Answer("emit")


class StageSpec(Message, frozen=True):
    """A stage: its name, role (source, processor, sink, filter, router, aggregator) and script."""

    name: str
    role: str
    script: Script = Script()


class EdgeSpec(Message, frozen=True):
    """A stream between two stages; the output port is the source's, inputs have one port."""

    source: str
    target: str
    port: str = "default"
    capacity: int = 64
    low_watermark_ratio: float = 0.5
    policy: str = "block-producer"

    def __post_init__(self) -> None:
        """Refuse what no JSON number can say, so that both doors see the same values."""
        _check_finite(self.low_watermark_ratio)


class Schedule(Message, frozen=True):
    """Which ready stage runs next: `policy` is consumer-first, producer-first or scripted.

    Scripted: the k-th decision takes ready[choices[k] mod len(ready)], with the ready stages in topological order (ties by declaration);
    after the last choice, consumer-first.
    """

    policy: str = "consumer-first"
    choices: tuple[int, ...] = ()


class Command(Message, frozen=True):
    """Something an operator does: after `after_calls` component calls have returned, `do` it (cancel)."""

    after_calls: int
    do: str = "cancel"


class FlowSettings(Message, frozen=True):
    """How a flow runs; the time quantum is off, time is virtual. Durations in milliseconds."""

    elements_per_yield: int = 32
    error_policy: str = "fail-fast"
    max_retries: int = 0
    backoff_ms: int = 0
    drain_timeout_ms: int = 5000
    deadline_ms: int | None = None


class FlowSpec(Message, frozen=True):
    """A whole flow as data.

    `max_calls` bounds the run: a subject that reaches it stops the flow as an operator would, and reports the reason `max-calls`.
    """

    stages: tuple[StageSpec, ...]
    edges: tuple[EdgeSpec, ...]
    schedule: Schedule = Schedule()
    settings: FlowSettings = FlowSettings()
    commands: tuple[Command, ...] = ()
    max_calls: int = 100_000


class RunFlow(Request, frozen=True, tag="flows.run"):
    """Run a flow to its end on a virtual clock → `flow-run`; fault `invalid-topology` or `invalid-config` when it must not start."""

    spec: FlowSpec


class FlowTransition(Request, frozen=True, tag="flows.transition"):
    """Ask whether one flow state may follow another → `done`, or fault `invalid-transition` naming both in `fields`."""

    old: str
    new: str


class StreamStats(Message, frozen=True):
    """A stream's completion statistics."""

    elements: int
    pressure_events: int
    peak_depth: int
    dropped: int = 0
    pressure_ns: int = 0


class StageStats(Message, frozen=True):
    """A stage's completion statistics."""

    invocations: int
    errors: int


class FlowCopies(Message, frozen=True):
    """A finished flow's copies: operations by reason, all bytes, and by stage the bytes copied per byte that entered it.

    A stage's amplification is (bytes read + bytes written) / bytes entering; None where nothing entered, as at a source.
    """

    total_copy_ops: int
    total_payload_bytes: int
    ops_by_reason: dict[str, int]
    amplification: dict[str, float | None] = {}


class FlowRunReply(Reply, frozen=True, tag="flow-run"):
    """How a flow ended, and everything that happened; streams are in the order of the specification's edges.

    `copies` is None where the runtime does not keep them.
    """

    state: str
    trace: tuple[AnyEvent, ...]
    streams: tuple[StreamStats, ...]
    stages: dict[str, StageStats]
    live_buffers: int
    copies: FlowCopies | None = None


# ---------------------------------------------------------------- facet guests
# One real component, called by hand. What the suite's probe understands is its payload; the subject only carries it.


class OpenGuest(Request, frozen=True, tag="guests.open"):
    """Start over: compile a component, instantiate it in a fresh flow with a fresh resource manager, `init("")` → `done`.

    Refused with fault `unknown-engine`, or whatever the runtime says of a component that it cannot run. The previous guest is closed.

    Attributes:
        component: the bytes of a processor with a lifecycle.
        engine: one of those that the subject claims as `engine=NAME` on this facet; empty for its own choice.
        budget_bytes: what the guest's buffers may add up to.
        fuel: the fuel of each call, in the runtime's own unit (one per instruction, if it has the choice).
        pool_size: how many buffers every tier's pool keeps; None for the runtime's own choice.
        tracing: whether the flow is traced: its context then has a trace id and a span id.
        deadline_ns: the flow's deadline as its context tells it; 0 for none.
    """

    component: bytes
    engine: str = ""
    budget_bytes: U64 = 64 * 1024 * 1024
    fuel: U64 = 50_000_000
    pool_size: U32 | None = None
    tracing: bool = False
    deadline_ns: U64 = 0


class CallGuest(Request, frozen=True, tag="guests.call"):
    """Lend the guest one element and call `process` → `guest-answer`.

    Buffers are released as a flow would: the lent one when the call is over, the emitted one when it has been read. `content_type` is the
    element's, `buffer_content_type` the payload buffer's own.
    """

    payload: bytes
    content_type: str = ""
    buffer_content_type: str = ""


class ObserveGuest(Request, frozen=True, tag="guests.observe"):
    """Look at what the guest holds → `guest-seen`. Works on a dead guest too."""


class CloseGuest(Request, frozen=True, tag="guests.close"):
    """End the guest (teardown, unless it is dead) and take back what it holds → `done`."""


class GuestAnswerReply(Reply, frozen=True, tag="guest-answer"):
    """How a call ended.

    Attributes:
        outcome: "emitted", "dropped", "failed" (the guest returned a process-error) or "trapped" (the guest is dead).
        payload, content_type, buffer_content_type: of the emitted element; its bytes, its metadata's type, and its buffer's own.
        kind: the process-error variant of a failure, or what the runtime makes of a trap.
        cause: trap, out-of-fuel, timeout, memory-limit, ownership or engine, where the guest is dead; informative.
        message: the guest's words, or the engine's; informative for traps.
    """

    outcome: str
    payload: bytes = b""
    content_type: str = ""
    buffer_content_type: str = ""
    kind: str = ""
    cause: str = ""
    message: str = ""


class GuestSeenReply(Reply, frozen=True, tag="guest-seen"):
    """What a guest holds between calls, and what its flow has copied since it was opened.

    Attributes:
        owned: live buffers that belong to the guest.
        live: all live buffers of the runtime.
        used, limit: bytes of the guest's budget.
        copy_ops, copy_bytes: payload copies of the flow, those of the guest's own reads, writes and clones.
    """

    owned: int
    live: int
    used: int
    limit: int
    copy_ops: int
    copy_bytes: int


AnyRequest = (
    Hello
    | Bye
    | OpenResources
    | Allocate
    | Release
    | Transfer
    | Borrow
    | EndBorrow
    | Write
    | Read
    | SetContentType
    | Freeze
    | Inspect
    | LiveCount
    | ForceReclaim
    | ReleaseFlow
    | RegisterComponent
    | Budget
    | PoolCounters
    | CopyCounters
    | ResourceTransition
    | Clone
    | ListLive
    | RegisterFlow
    | CloseCopies
    | Concurrent
    | OpenStream
    | PushValue
    | PopValue
    | CompleteStream
    | InspectStream
    | RunFlow
    | FlowTransition
    | OpenGuest
    | CallGuest
    | ObserveGuest
    | CloseGuest
)

AnyReply = (
    Declaration
    | Done
    | Fault
    | Unsupported
    | HandleReply
    | CountReply
    | BytesReply
    | BufferReply
    | ReclaimedReply
    | FlowReleasedReply
    | BudgetReply
    | PoolReply
    | CopiesReply
    | LiveReply
    | HistoryReply
    | StreamReply
    | PushedReply
    | PoppedReply
    | FlowRunReply
    | GuestAnswerReply
    | GuestSeenReply
)


class RequestLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the suite writes on a line: the reply must carry the same id."""

    id: int
    request: AnyRequest


class ReplyLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subject writes on a line, once per request and never unasked."""

    id: int
    reply: AnyReply


LINE_BYTES = 64 * 1024 * 1024
"""No line of the protocol may be longer, in either direction."""

REQUESTS: tuple[type[Request], ...] = get_args(AnyRequest)
REPLIES: tuple[type[Reply], ...] = get_args(AnyReply)


def name_of(message: type[Request | Reply]) -> str:
    """Return the name on the wire of a kind of message ("streams.push")."""
    return str(message.__struct_config__.tag)


def tag_of(message: Request | Reply) -> str:
    """Return a message's name on the wire."""
    return name_of(type(message))


def facet_of(request: Request) -> Facet | None:
    """Return the facet that a request belongs to; None for the session's own messages."""
    facet, dot, _ = tag_of(request).partition(".")
    return Facet(facet) if dot else None

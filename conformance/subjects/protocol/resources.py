"""Facet `resources`: buffers by hand, as a runtime's resource manager offers them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from conformance.subjects.protocol.base import U32, U64, Handle, Message, Reply, Request, TierSetting
from conformance.subjects.protocol.session import Done, Fault

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
    """Write bytes at an offset → `count` (the new size).

    `claimed_flow` is the flow in which the caller says that it runs, where a check has it say so. A runtime that asks nobody ignores it.
    """

    handle: Handle
    caller: str
    offset: U64
    data: bytes
    claimed_flow: U64 | None = None


class Read(Request, frozen=True, tag="resources.read"):
    """Read a range → `bytes`. `claimed_flow`: as in `resources.write`."""

    handle: Handle
    reader: str
    offset: U64
    length: U64
    claimed_flow: U64 | None = None


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
    """Give a component a budget in bytes → `done`; without a number, the default one."""

    component: str
    budget_bytes: U64 | None = None


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

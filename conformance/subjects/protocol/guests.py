"""Facet `guests`: one real component, called by hand. What the suite's probe understands is its payload; the subject only carries it."""

from __future__ import annotations

from conformance.subjects.protocol.base import U32, U64, Reply, Request


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

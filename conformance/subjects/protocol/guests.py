"""Facet `guests`: one real component, called by hand. What the suite's probe understands is its payload; the subject only carries it."""

from __future__ import annotations

from conformance.subjects.protocol.base import U32, U64, Message, Reply, Request
from conformance.subjects.protocol.capabilities import AuditEvent
from conformance.subjects.protocol.flows import EdgeSpec


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


class AllocatorFault(Message, frozen=True):
    """What the host answers to a component that asks for a buffer, once or for good, whatever it has.

    Attributes:
        at: which request of the call gets it, `allocate` and `clone-into-mutable` counted together from 1.
        kind: the case of `buffer-error`: "allocation-failed", "capacity-exceeded" or "out-of-bounds".
        lasting: whether every later request of the call gets it too.
    """

    at: U32 = 1
    kind: str = "allocation-failed"
    lasting: bool = False


class StartGuest(Request, frozen=True, tag="guests.start"):
    """Start over with a component of any role, and call nothing: every call is `guests.invoke` → `guest-started`.

    Asked only of subjects that claim `by-hand`. What the component gets from its host repeats from start to start: a virtual clock that
    stands at the same instant, random bytes from `seed`. Refused with fault `unknown-engine`, `invalid-component`, `missing-import`,
    `missing-export`, `wrong-type`, `unsupported-component` (valid, and beyond this engine), `instantiation-failed`, `invalid-config`,
    `no-component` (there was no last start).

    Attributes:
        component: its bytes; empty for those of the last start in this session, which may be many megabytes.
        role: source, processor, sink, filter, router or aggregator.
        engine, budget_bytes, fuel, deadline_ns: as in `guests.open`.
        memory_bytes: per linear memory; None for the runtime's default.
        capabilities: what is granted to it, as canonical capability strings. Its buffers take none of them (CAP-038); a
            `torvyn:resource-allocate` among them says from which pools they may come.
        environment: variables, for a component that may read them.
        flow_id: what its context answers; empty for the runtime's own.
        seed: where its random bytes come from, for a component that may have some.
    """

    component: bytes = b""
    role: str = "processor"
    engine: str = ""
    budget_bytes: U64 = 64 * 1024 * 1024
    fuel: U64 = 50_000_000
    memory_bytes: U64 | None = None
    capabilities: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    flow_id: str = ""
    deadline_ns: U64 = 0
    seed: U64 = 0


class InvokeGuest(Request, frozen=True, tag="guests.invoke"):
    """Make one call of a started guest, with the element lent for as long as it lasts → `guest-invoked`.

    Refused with fault `no-such-call` for a function that the component's role does not have. A dead guest answers "trapped" again.

    Attributes:
        call: init, teardown, pull, notify-backpressure, process, push, complete, evaluate, route, ingest or flush.
        payload, content_type, buffer_content_type: of the element, for the calls that take one.
        text: the configuration for init, "ready" or "pause" for notify-backpressure.
        fault: what the allocator refuses during this call.
    """

    call: str
    payload: bytes = b""
    content_type: str = ""
    buffer_content_type: str = ""
    text: str = ""
    fault: AllocatorFault | None = None


class GuestStage(Message, frozen=True):
    """A stage that a real component plays: its name, the role, the component's bytes, and the text that its `init` gets."""

    name: str
    role: str
    component: bytes
    config: str = ""


class RunGuestFlow(Request, frozen=True, tag="guests.flow"):
    """Run a flow of real components to its end, on a virtual clock → `flow-run`, as `flows.run` does for scripted ones.

    Asked only of subjects that claim `flows` on this facet. Faults as for `flows.run` and `guests.start`.

    Attributes:
        error_policy: fail-fast, skip, retry or log-and-continue.
        engine: as in `guests.open`.
        max_calls: bounds the run, as in a `FlowSpec`.
    """

    stages: tuple[GuestStage, ...]
    edges: tuple[EdgeSpec, ...]
    error_policy: str = "fail-fast"
    engine: str = ""
    max_calls: U32 = 10_000


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


class GuestStartedReply(Reply, frozen=True, tag="guest-started"):
    """What was started.

    Attributes:
        engine: the engine that runs it.
        lifecycle: it exports init and teardown.
        memory_bytes: of its linear memories so far; None where the engine cannot tell.
        fuel: what instantiating it took, in the unit of `StartGuest.fuel`.
    """

    engine: str
    lifecycle: bool
    memory_bytes: U64 | None = None
    fuel: U64 = 0


class GuestOutput(Message, frozen=True):
    """An element that a guest handed over: its bytes, its metadata's content type, its buffer's own."""

    payload: bytes
    content_type: str = ""
    buffer_content_type: str = ""


class HostCall(Message, frozen=True):
    """A buffer operation that a guest asked for in a call: "allocate", "clone", "write", "append", "read", "freeze", "release" ...

    `refused` is empty when it was done, else the kind of the refusal.
    """

    operation: str
    refused: str = ""


class GuestInvokedReply(Reply, frozen=True, tag="guest-invoked"):
    """How a call ended, and what the guest holds and has used since.

    Attributes:
        outcome: "answered", "failed" (a process-error) or "trapped" (the guest is dead).
        value: of an answer: "emit", "drop", "end" (a pull without element), "ready", "pause", "pass", "reject", "route", "ok".
        outputs: the elements handed over; the runtime has released their buffers.
        ports: of a route, as the guest named them.
        kind, cause, message: as in `guest-answer`.
        breach: what a trap was, where the runtime can tell: "borrow-left", "unknown-handle", "wrong-handle-type", "lent-handle" (a borrow
            where an owned one is due), "spent-handle" (used after freeze), "bad-value" (a pointer, discriminant or text that is none),
            "memory", "stack", "unreachable". Empty where it cannot.
        handle: the number of the handle concerned, in the guest's own table; None where it is not known.
        fuel: what the call took.
        memory_bytes: of the guest's linear memories; None where the engine cannot tell.
        owned, used: live buffers that belong to the guest, and the bytes of its budget that they take.
        host_calls: the buffer operations of the call, in order, the first 256 of them; `host_calls_total` counts all.
        printed: bytes written to standard output and error.
        events: what the call has added to the audit log; only of a subject that claims `audit`.
    """

    outcome: str
    value: str = ""
    outputs: tuple[GuestOutput, ...] = ()
    ports: tuple[str, ...] = ()
    kind: str = ""
    cause: str = ""
    message: str = ""
    breach: str = ""
    handle: U64 | None = None
    fuel: U64 = 0
    memory_bytes: U64 | None = None
    owned: U64 = 0
    used: U64 = 0
    host_calls: tuple[HostCall, ...] = ()
    host_calls_total: U64 = 0
    printed: U64 = 0
    events: tuple[AuditEvent, ...] = ()

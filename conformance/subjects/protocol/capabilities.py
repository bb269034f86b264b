"""Facet `capabilities`: what a component may do, decided before it runs, held while it runs, and written down.

The messages speak of the specification only: a capability is text (`domain:action[:scope]`), a sandbox is what was decided about one
component, an audit event is what CAP-048 says that it is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from conformance.subjects.protocol.base import U32, U64, Message, Reply, Request

Times = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class ParseCapability(Request, frozen=True, tag="capabilities.parse"):
    """Read one capability → `capability`.

    Refused with fault `invalid-syntax` (no colon, or a scope that means nothing), `missing-scope` or `unknown-capability`.
    """

    text: str


class CapabilityReply(Reply, frozen=True, tag="capability"):
    """What was read, written again as the runtime writes it."""

    canonical: str


class CoverCapability(Request, frozen=True, tag="capabilities.covers"):
    """Ask whether a grant allows everything that a request asks for → `coverage`. What cannot be read is refused as in `parse`."""

    grant: str
    request: str


class CoverageReply(Reply, frozen=True, tag="coverage"):
    """Whether the grant covers the request."""

    covers: bool


class OpenCapabilities(Request, frozen=True, tag="capabilities.open"):
    """Start over: no sandbox, and an audit log that has no event yet → `done`."""


class ConfigureSandbox(Request, frozen=True, tag="capabilities.configure"):
    """Decide what a component may do, as is done before it is instantiated → `sandbox`.

    Sandboxes stand side by side, also those of one component, until `capabilities.open`. A sandbox that cannot be is an answer and not a
    fault.

    Attributes:
        component, flow: whom events name.
        declared: what it asks for, `?` in front of what it can do without.
        granted: what its operator allows, in order.
        policy: deny-all or allow-all.
    """

    component: str
    declared: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    policy: str = "deny-all"
    flow: str = "main"


class AuditEvent(Message, frozen=True):
    """One event of the audit log.

    Attributes:
        sequence, timestamp_ns: of CAP-048; the time is that of Unix, in nanoseconds.
        severity: Info, Warning or Critical.
        kind: the event's name, such as CapabilityExercised.
        tenant, component, flow: whom it names, where it names anybody.
        details: what it says besides, by the names of the specification: `capability`, `requested`, `granted`, `effective`, `count`,
            `interval_ms`, `resolved_capabilities`.
    """

    sequence: U64
    timestamp_ns: U64
    severity: str
    kind: str
    tenant: str | None = None
    component: str | None = None
    flow: str | None = None
    details: dict[str, Any] = {}


class CapabilityNote(Message, frozen=True):
    """Something that was found about one capability of a component.

    `kind` of an error: invalid-syntax, missing-scope, unknown-capability, missing-required (no grant of the kind), incompatible-scope (no
    single grant covers it). Of a warning: optional-not-granted, unused-grant, declared-twice, allowed-by-policy.
    """

    kind: str
    capability: str


class Preopen(Message, frozen=True):
    """A directory that a component finds open."""

    host_path: str
    guest_path: str
    read: bool
    write: bool


class WasiSwitches(Message, frozen=True):
    """What of WASI is open to a component: the switches that are on, and its directories.

    A switch has the name of the capability that turns it on: clock:wall, clock:monotonic, random:crypto, random:insecure,
    environment:read, stdio:stdout, stdio:stderr, network:tcp-connect, network:tcp-listen, network:udp, network:http-outgoing.
    """

    on: tuple[str, ...] = ()
    preopens: tuple[Preopen, ...] = ()


class SandboxLimits(Message, frozen=True):
    """What a component may use up when nobody says otherwise.

    Attributes:
        fuel: units per call; None for no limit.
        call_timeout_ms: of one call.
        buffer_bytes, handles: of its buffers, all together.
        allocations_per_s: None for no cap.
    """

    fuel: U64 | None
    call_timeout_ms: U64 | None
    buffer_bytes: U64 | None
    handles: U64 | None
    allocations_per_s: U64 | None = None


class SandboxReply(Reply, frozen=True, tag="sandbox"):
    """What was decided.

    Attributes:
        sandbox: the number by which later messages name it; None when the component was refused.
        effective: what the component has.
        errors: everything for which it was refused.
        warnings: everything worth a look.
        wasi: what of WASI is open to it.
        limits: what it may use up.
        events: what the decision left in the audit log.
    """

    sandbox: U32 | None = None
    effective: tuple[str, ...] = ()
    errors: tuple[CapabilityNote, ...] = ()
    warnings: tuple[CapabilityNote, ...] = ()
    wasi: WasiSwitches = WasiSwitches()
    limits: SandboxLimits | None = None
    events: tuple[AuditEvent, ...] = ()


class ExerciseCapability(Request, frozen=True, tag="capabilities.exercise"):
    """Let a sandbox's component try something that takes a capability, so many times → `exercised`.

    A connection is the network capability of its one endpoint (`network:tcp-connect:a.example:443`), an allocation that of its pool
    (`torvyn:resource-allocate:small`), a file that of its path. What the audit log puts off (sums) may come later. A fault `no-sandbox`.
    """

    sandbox: U32
    capability: str
    times: Times = 1


class ExercisedReply(Reply, frozen=True, tag="exercised"):
    """How it went.

    Attributes:
        allowed, denied: how often.
        error: the refusal's kind, when there was one, with what it says.
        events: what has been added to the audit log.
    """

    allowed: U64
    denied: U64
    error: str = ""
    message: str = ""
    events: tuple[AuditEvent, ...] = ()


class QuerySandbox(Request, frozen=True, tag="capabilities.query"):
    """Look at what a sandbox's component has now, and what the audit log has got since it was looked at last → `sandbox`."""

    sandbox: U32


class EndSandbox(Request, frozen=True, tag="capabilities.end"):
    """End a sandbox's component: what was put off is written down → `audited`. A fault `no-sandbox`."""

    sandbox: U32


class AuditedReply(Reply, frozen=True, tag="audited"):
    """What has been added to the audit log."""

    events: tuple[AuditEvent, ...] = ()


class AuditEntry(Message, frozen=True):
    """One event to be written: an exercised capability of some component."""

    component: str
    capability: str


class WriteAudit(Request, frozen=True, tag="capabilities.audit"):
    """Write events to an audit log of its own, one after the other → `audit-written`.

    Attributes:
        sink: nothing, stdout (something that stands for it), or file.
        events: what is written, in this order.
        max_bytes, max_files: of a rotating file: how large it may become, and how many rotated files are kept beside it.
        broken: every write to the sink's device fails, as on a full disk.
    """

    sink: Literal["nothing", "stdout", "file"]
    events: tuple[AuditEntry, ...]
    max_bytes: U64 = 1_000_000
    max_files: U32 = 5
    broken: bool = False


class AuditWrittenReply(Reply, frozen=True, tag="audit-written"):
    """What came of it.

    Attributes:
        returned: how many of the writes returned to their caller without an error.
        printed: what the sink for standard output has written.
        files: the files that there are now, by their names: `audit`, `audit.1`, `audit.2` ...
    """

    returned: U64
    printed: bytes = b""
    files: dict[str, bytes] = {}


class OrderSeverities(Request, frozen=True, tag="capabilities.severities"):
    """Put severities into the runtime's own order → `severities`. A fault `unknown-severity`."""

    severities: tuple[str, ...]


class SeveritiesReply(Reply, frozen=True, tag="severities"):
    """The severities, the least first, and what each is called in text."""

    ordered: tuple[str, ...]
    labels: tuple[str, ...]


class RunAudited(Request, frozen=True, tag="capabilities.run"):
    """Start the first flow of a project, as `flows.start-project` does, run it to its end, and tell what was seen → `run-audited`.

    Attributes:
        files: the project's files by relative name; `Torvyn.toml` is one of them.
        environment: the host's own variables, which a component may see only with a grant.
        strict_allocation: the host runs in the strict mode of CAP-038, however that is configured.
    """

    files: dict[str, bytes]
    environment: dict[str, str] = {}
    strict_allocation: bool = False


class RunAuditedReply(Reply, frozen=True, tag="run-audited"):
    """How the flow ended, and everything that it did outside of itself.

    Attributes:
        state: the flow's last state, or `refused`.
        kinds: what it was refused for: `capability-mismatch` for an import that is not declared, `capability-denied` or `missing-required`
            for one that is not granted, and others.
        capabilities: what each node was given; nothing for a refused flow.
        printed: what components have written to standard output and error.
        delivered: the payloads that the flow's sinks have accepted.
        events: the audit log.
    """

    state: str
    kinds: tuple[str, ...] = ()
    capabilities: dict[str, tuple[str, ...]] = {}
    printed: bytes = b""
    delivered: tuple[bytes, ...] = ()
    events: tuple[AuditEvent, ...] = ()

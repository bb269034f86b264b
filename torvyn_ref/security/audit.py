"""The audit log: who was granted what, who used it, who was refused (CAP-045..CAP-053).

An event is numbered and stamped where it is emitted, then handed to a sink. A sink never raises into the runtime (CAP-051): what it could
not write is counted in `lost` and described in `last_problem`, for the operator to see.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Protocol, TypeAlias

from torvyn_ref.clock import Clock
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security.grants import Resolution

Detail: TypeAlias = str | int | Sequence[str] | None


class Severity(StrEnum):
    """How much an event matters, least first (CAP-049)."""

    INFO = "Info"
    WARNING = "Warning"
    CRITICAL = "Critical"

    @property
    def label(self) -> str:
        """The severity as text logs show it."""
        return _LABELS[self]

    def __lt__(self, other: str) -> bool:
        """Compare by how much an event matters, and not by the alphabet."""
        return _RANKS[self] < _RANKS[other]

    def __le__(self, other: str) -> bool:
        """Compare by how much an event matters."""
        return _RANKS[self] <= _RANKS[other]

    def __gt__(self, other: str) -> bool:
        """Compare by how much an event matters."""
        return _RANKS[self] > _RANKS[other]

    def __ge__(self, other: str) -> bool:
        """Compare by how much an event matters."""
        return _RANKS[self] >= _RANKS[other]


_LABELS = {Severity.INFO: "INFO", Severity.WARNING: "WARN", Severity.CRITICAL: "CRIT"}
_RANKS: Mapping[str, int] = {severity: rank for rank, severity in enumerate(Severity)}


class EventKind(StrEnum):
    """What can be recorded (CAP-050); the last three come from the documentation."""

    COMPONENT_INSTANTIATED = "ComponentInstantiated"
    COMPONENT_TERMINATED = "ComponentTerminated"
    FLOW_STARTED = "FlowStarted"
    FLOW_TERMINATED = "FlowTerminated"
    GRANT_RESOLVED = "CapabilityGrantResolved"
    DENIED_AT_LINK = "CapabilityDeniedAtLink"
    EXERCISED = "CapabilityExercised"
    EXERCISED_AGGREGATE = "CapabilityExercisedAggregate"
    DENIED_AT_RUNTIME = "CapabilityDeniedAtRuntime"
    RESOLUTION_WARNING = "CapabilityResolutionWarning"
    SANDBOX_VIOLATION = "SandboxViolation"
    COMPONENT_LOADED = "ComponentLoaded"
    SIGNATURE_FAILED = "SignatureVerificationFailed"
    UNSIGNED_LOADED = "UnsignedComponentLoaded"


SEVERITIES: Mapping[EventKind, Severity] = {
    EventKind.DENIED_AT_LINK: Severity.CRITICAL,
    EventKind.DENIED_AT_RUNTIME: Severity.CRITICAL,
    EventKind.SANDBOX_VIOLATION: Severity.CRITICAL,
    EventKind.SIGNATURE_FAILED: Severity.CRITICAL,
    EventKind.RESOLUTION_WARNING: Severity.WARNING,
    EventKind.UNSIGNED_LOADED: Severity.WARNING,
}
"""How severe each kind is; every other one is Info."""

DEFAULT_TENANT = "default"
"""The tenant that events name unless another is configured; it separates nothing (CAP-054)."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One recorded fact (CAP-048).

    Attributes:
        sequence: strictly increasing within the log, from 1.
        timestamp_ns: Unix nanoseconds.
        tenant, component, flow: whom it concerns, as far as known.
        details: the kind's own data.
    """

    sequence: int
    timestamp_ns: int
    severity: Severity
    kind: EventKind
    tenant: str | None = None
    component: str | None = None
    flow: str | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return the event as JSON-ready data; `event` is `{kind: details}`."""
        return {
            "sequence": self.sequence,
            "timestamp_ns": self.timestamp_ns,
            "severity": str(self.severity),
            "tenant_id": self.tenant,
            "component_id": self.component,
            "flow_id": self.flow,
            "event": {str(self.kind): dict(self.details)},
        }

    def as_line(self) -> str:
        """Return the event as one JSON object on one line, in ASCII."""
        return json.dumps(self.as_dict(), separators=(",", ":")) + "\n"

    def __str__(self) -> str:
        """Render one line for people."""
        whom = " ".join(f"{name}={value}" for name, value in (("component", self.component), ("flow", self.flow)) if value is not None)
        details = " ".join(f"{name}={value!r}" for name, value in self.details.items())
        return " ".join(part for part in (self.severity.label, str(self.kind), whom, details) if part)


class AuditSink(Protocol):
    """Takes events as they happen."""

    def __call__(self, event: AuditEvent, /) -> object:
        """Take one event."""
        ...


def discard(_event: AuditEvent) -> None:
    """Take an event and keep nothing: the sink of a runtime that does not audit."""


class AuditLog:
    """Number, stamp and pass on events; one per process.

    Attributes:
        lost: events that the sink failed to take.
        last_problem: what happened to the latest of them.
    """

    def __init__(self, sink: AuditSink, clock: Clock, *, tenant: str | None = DEFAULT_TENANT) -> None:
        self._sink = sink
        self._clock = clock
        self._tenant = tenant
        self._sequence = 0
        self._lock = Lock()
        self.lost = 0
        self.last_problem: str | None = None

    def emit(
        self,
        kind: EventKind,
        *,
        component: str | None = None,
        flow: str | None = None,
        severity: Severity | None = None,
        **details: Detail,
    ) -> AuditEvent:
        """Record one event and return it; never raises for a sink's failure (CAP-051).

        The lock keeps the order of the sink's events equal to that of their numbers when guests run on several threads.
        """
        with self._lock:
            self._sequence += 1
            event = AuditEvent(
                sequence=self._sequence,
                timestamp_ns=self._clock.wall_ns(),
                severity=severity or SEVERITIES.get(kind, Severity.INFO),
                kind=kind,
                tenant=self._tenant,
                component=component,
                flow=flow,
                details=details,
            )
            try:
                self._sink(event)
            except Exception as problem:  # noqa: BLE001 - whatever a sink does wrong, auditing must not stop the flow
                self.lost += 1
                self.last_problem = f"{type(problem).__name__}: {problem}"
        return event

    def resolved(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Record a resolution: a warning each, then what each capability came from (CAP-045, CAP-047)."""
        for warning in resolution.warnings:
            self.emit(EventKind.RESOLUTION_WARNING, component=component, flow=flow, detail=warning.message)
        for decision in resolution.decisions:
            self.emit(
                EventKind.GRANT_RESOLVED,
                component=component,
                flow=flow,
                requested=decision.requested,
                granted=decision.granted,
                effective=str(decision.effective),
            )

    def instantiated(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Record that a component runs, and with which capabilities (CAP-045)."""
        capabilities = [str(capability) for capability in resolution.effective]
        self.emit(EventKind.COMPONENT_INSTANTIATED, component=component, flow=flow, resolved_capabilities=capabilities)

    def denied_at_link(self, error: TorvynError, *, flow: str | None = None) -> None:
        """Record a refusal to link: one event for each error in it that is about a capability (CAP-046)."""
        for one in error.errors if isinstance(error, TorvynErrors) else (error,):
            if "capability" in one.fields:
                component = one.fields.get("component", one.fields.get("node"))
                self.emit(EventKind.DENIED_AT_LINK, component=component, flow=flow, capability=one.fields["capability"], reason=str(one))

"""Audit events of the reference, told in words of the protocol."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.subjects import protocol as p
from torvyn_ref.security.audit import AuditEvent


def told_events(events: Iterable[AuditEvent]) -> tuple[p.AuditEvent, ...]:
    """Translate events."""
    return tuple(
        p.AuditEvent(
            event.sequence,
            event.timestamp_ns,
            str(event.severity),
            str(event.kind),
            event.tenant,
            event.component,
            event.flow,
            dict(event.details),
        )
        for event in events
    )

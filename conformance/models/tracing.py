"""What traces and diagnostic events must be: sampling, spans in OTLP's JSON, channels that lose (OBS-014 to OBS-024)."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from conformance.subjects.protocol import EventStep

TRACE_ID, SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
ZERO = re.compile(r"0+")
NAMES = {
    "flow": re.compile(r"flow:[^:\s]+"),
    "component": re.compile(r"component:[^:\s]+:invoke:[0-9]+"),
    "transfer": re.compile(r"resource:transfer:\S+"),
    "copy": re.compile(r"resource:copy:\S+"),
    "backpressure": re.compile(r"backpressure:\S+"),
}
"""The names that a span may have (OBS-020)."""

_GROUPS: dict[str, tuple[str, ...]] = {
    "flow": ("created", "started", "draining", "completed", "cancelled", "failed", "latency_spike", "error_budget_exceeded"),
    "component": ("instantiated", "linked", "terminated", "slow", "error", "trap", "timeout", "fuel_exhausted"),
    "component.signature": ("verified", "failed"),
    "backpressure": ("activated", "deactivated"),
    "scheduler": ("starvation",),
    "capability": ("denied", "exercised"),
    "resource": ("allocated", "copied", "transferred", "freed", "leak_suspected"),
    "pool": ("exhausted",),
}
EVENTS = frozenset(f"{group}{'_' if group == 'component.signature' else '.'}{name}" for group, names in _GROUPS.items() for name in names)
"""The names that an event may have (OBS-024)."""
CATEGORIES = frozenset({"lifecycle", "performance", "error", "security", "resource"})
_MOST = 2**64 - 1
_ROUNDING = 2**12
"""How far a double may be off near 2^64, twice over."""


def well_formed(text: str, pattern: re.Pattern[str]) -> bool:
    """Tell whether a text is an id: so many lowercase digits, not all of them zero."""
    return pattern.fullmatch(text) is not None and ZERO.fullmatch(text) is None


def sampled(trace_id: str, rate: float) -> bool | None:
    """Return whether a trace is sampled at a rate; None where rounding decides."""
    if rate >= 1:
        return True
    if rate <= 0:
        return False
    number = int.from_bytes(bytes.fromhex(trace_id)[8:16], "little")
    bound = Fraction(rate) * _MOST
    return None if abs(number - bound) <= _ROUNDING else number <= bound


@dataclass(frozen=True, slots=True)
class OtlpSpan:
    """One exported span, as it was written; `attributes` by key, each value as it stands."""

    raw: dict[str, Any]
    name: str
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, Any]
    status: Any

    @property
    def kind(self) -> str | None:
        """Return which of the five names it has."""
        return next((kind for kind, pattern in NAMES.items() if pattern.fullmatch(self.name)), None)

    @property
    def sequence(self) -> int | None:
        """Return the number of its element, where it is well written."""
        value = self.attributes.get("torvyn.element.sequence")
        text = value.get("intValue") if isinstance(value, dict) else None
        return int(text) if isinstance(text, str) and text.isdecimal() else None

    def defects(self) -> list[str]:
        """Return what is wrong with how it is written (OBS-021)."""
        wrong = []
        if not well_formed(self.trace_id, TRACE_ID):
            wrong.append(f"traceId {self.trace_id!r}")
        if not well_formed(self.span_id, SPAN_ID):
            wrong.append(f"spanId {self.span_id!r}")
        if self.parent and not well_formed(self.parent, SPAN_ID):
            wrong.append(f"parentSpanId {self.parent!r}, and a root has none")
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            text = self.raw.get(key)
            if not (isinstance(text, str) and text.isdecimal()):
                wrong.append(f"{key} {text!r} is no string of digits")
        code = self.status.get("code") if isinstance(self.status, dict) else None
        if code not in {1, 2} or isinstance(code, bool):
            wrong.append(f"status {self.status!r}")
        if self.kind == "component":
            if "torvyn.component.id" not in self.attributes:
                wrong.append("no attribute torvyn.component.id")
            if self.sequence is None:
                wrong.append(f"torvyn.element.sequence {self.attributes.get('torvyn.element.sequence')!r} is no intValue in a string")
        return wrong


def spans_of(text: str) -> list[OtlpSpan] | str:
    """Read an ExportTraceServiceRequest; a text says why it is none. Nothing exported may be no text at all."""
    if not text:
        return []
    found: list[OtlpSpan] = []
    try:
        for resource in json.loads(text)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found += [_span(raw) for raw in scope["spans"]]
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    except (KeyError, TypeError, AttributeError) as error:
        return f"no ExportTraceServiceRequest: {type(error).__name__}: {error}"
    return found


def _span(raw: dict[str, Any]) -> OtlpSpan:
    attributes = {each["key"]: each["value"] for each in raw.get("attributes", [])}
    trace_id, span_id, parent = (str(raw.get(key, "")) for key in ("traceId", "spanId", "parentSpanId"))
    return OtlpSpan(raw, str(raw["name"]), trace_id, span_id, parent, attributes, raw.get("status"))


def channel(steps: Sequence[EventStep], capacity: int, recent: int, *, keeps_new: bool) -> tuple[list[tuple[int, ...]], int]:
    """Play steps on a channel, and return what each but `emit` gives, and how many events are lost.

    A full channel refuses the newcomer, or lets the oldest go (`keeps_new`): the rule leaves it open. The buffer of recent events has all.
    """
    waiting: deque[int] = deque()
    kept: deque[tuple[int, int]] = deque(maxlen=recent)
    seen: list[tuple[int, ...]] = []
    number = dropped = 0
    for step in steps:
        if step.do == "emit":
            for _ in range(step.count):
                kept.append((number, step.flow))
                if len(waiting) < capacity:
                    waiting.append(number)
                else:
                    dropped += 1
                    if keeps_new:
                        waiting.popleft()
                        waiting.append(number)
                number += 1
        elif step.do == "read":
            seen.append(tuple(waiting.popleft() for _ in range(min(step.count, len(waiting)))))
        elif step.do == "recent":
            seen.append(tuple(event for event, _ in list(kept)[::-1][: step.count]))
        else:
            seen.append(tuple(event for event, flow in kept if flow == step.flow))
    return seen, dropped


def ring(capacity: int, steps: Iterable[int | None]) -> tuple[list[tuple[int, ...]], int]:
    """Play steps on a ring: a number is kept, None takes everything out."""
    held: list[int] = []
    drained: list[tuple[int, ...]] = []
    for step in steps:
        if step is None:
            drained.append(tuple(held))
            held = []
        else:
            held = [*held, step][-capacity:]
    return drained, len(held)

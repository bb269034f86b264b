"""Spans in OpenTelemetry's JSON encoding (OBS-020, OBS-021): hexadecimal ids, 64-bit integers as strings, a root without a parent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from torvyn_ref.observe.spans import Span, hex_of

OK, ERROR = 1, 2
"""OTLP's status codes."""
_INTERNAL = 1
"""OTLP's kind of a span that is no request."""


BATCH = 512
"""Spans in one request."""


class Batches(list[Span]):
    """Takes spans, and passes them on in requests of at most 512, each a line: OpenTelemetry's file format. `flush` passes on the rest."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write

    def append(self, span: Span) -> None:
        """Take one."""
        super().append(span)
        if len(self) >= BATCH:
            self.flush()

    def extend(self, spans: Iterable[Span]) -> None:
        """Take several."""
        for span in spans:
            self.append(span)

    def flush(self) -> None:
        """Pass on what is left."""
        if self:
            self._write(to_otlp(self).encode() + b"\n")
            self.clear()


def to_otlp(spans: Iterable[Span], *, service: str = "torvyn-ref") -> str:
    """Return spans as an ExportTraceServiceRequest."""
    resource = {"attributes": [_text("service.name", service)]}
    scope = {"name": "torvyn_ref.observe"}
    return json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [_span(each) for each in spans]}]}]}
    )


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    return {
        "traceId": hex_of(context.trace_id),
        "spanId": hex_of(context.span_id),
        "parentSpanId": "" if context.parent is None else hex_of(context.parent),
        "flags": int(context.flags),
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(span.begin_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": [
            _text("torvyn.component.id", "" if span.component is None else str(span.component)),
            {"key": "torvyn.element.sequence", "value": {"intValue": str(span.sequence or 0)}},
        ],
        "status": {"code": OK if span.ok else ERROR},
    }


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}

"""Mutants whose traces are not what they seem."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from conformance.subjects.reference.parts import ObservationParts
from torvyn_ref.calls import Call, Failure
from torvyn_ref.observe.otlp import to_otlp
from torvyn_ref.observe.spans import Context, Flags, FlowTrace, IdSource, Ring, Span, parse_id, sampled
from torvyn_ref.observe.tracer import SpanObserver


def part(field: str, name: str, *rules: str) -> Callable[[Any], Any]:
    """Register a reference with this part; its docstring is the summary."""

    def add(faulty: Any) -> Any:
        parts = ObservationParts(**{field: faulty})
        register(name, *rules, summary=(faulty.__doc__ or "").strip(), build=lambda: ReferenceParts(observation=parts))
        return faulty

    return add


# ---------------------------------------------------------------- ids and contexts


@part("ids", "span-ids-repeat", "OBS-014")
class SpanIdsRepeat(IdSource):
    """A span id comes again after 65536 others."""

    def __init__(self) -> None:
        super().__init__()
        self._made = 0

    def span_id(self) -> bytes:
        """Count in two bytes."""
        self._made = self._made % 0xFFFF + 1
        return self._made.to_bytes(8)


@part("ids", "ids-begin-anew", "OBS-014")
class IdsBeginAnew(IdSource):
    """Ids are counted from 1, in each flow anew."""

    def __init__(self) -> None:
        super().__init__()
        self._trace = self._span = 1
        self._trace_half = bytes(8)


@part("parse_id", "zero-is-an-id", "OBS-014")
def zero_is_an_id(text: str, size: int) -> bytes:
    """An id that is all zero is accepted."""
    return bytes(size) if text == "0" * (2 * size) else parse_id(text, size)


@part("parse_id", "capitals-are-ids", "OBS-014")
def capitals_are_ids(text: str, size: int) -> bytes:
    """Capital digits are accepted."""
    return parse_id(text.lower(), size)


@part("sampled", "sampling-reads-big-endian", "OBS-015")
def big_endian(trace_id: bytes, rate: float) -> bool:
    """The deciding number is read the wrong way round."""
    return sampled(trace_id[:8] + trace_id[8:][::-1], rate)


@part("sampled", "sampling-reads-the-first-half", "OBS-015")
def first_half(trace_id: bytes, rate: float) -> bool:
    """The first eight bytes decide."""
    return sampled(trace_id[8:] + trace_id[:8], rate)


@part("sampled", "sampling-throws-dice", "OBS-015")
def dice(trace_id: bytes, rate: float) -> bool:
    """Chance decides, at the right rate."""
    return sampled(trace_id, rate) if rate <= 0 or rate >= 1 else random.random() < rate  # noqa: S311  # a fault


@part("sampled", "rate-zero-samples-zero", "OBS-015")
def zero_samples(trace_id: bytes, rate: float) -> bool:
    """At rate 0 a trace whose number is 0 is sampled."""
    return not any(trace_id[8:]) if rate == 0 else sampled(trace_id, rate)


@part("child", "children-have-no-flags", "OBS-019")
def without_flags(context: Context, ids: IdSource) -> Context:
    """A child does not inherit the flags."""
    return replace(context.child(ids), flags=Flags.NONE)


@part("child", "children-are-siblings", "OBS-019")
def siblings(context: Context, ids: IdSource) -> Context:
    """A child's parent is its parent's parent."""
    return replace(context.child(ids), parent=context.parent or context.span_id)


@part("child", "children-keep-the-span", "OBS-019")
def same_span(context: Context, _ids: IdSource) -> Context:
    """A child has the span id of its parent."""
    return Context(context.trace_id, context.span_id, context.span_id, context.flags)


# ---------------------------------------------------------------- the ring


@part("ring", "ring-of-any-size", "OBS-018")
class AnySize(Ring[Any]):
    """A ring may have any capacity."""

    def __init__(self, capacity: int) -> None:
        super().__init__(8)
        self._entries = deque(maxlen=max(capacity, 1))


@part("ring", "ring-keeps-the-first", "OBS-018")
class KeepsTheFirst(Ring[Any]):
    """A full ring takes nothing more."""

    def push(self, entry: Any) -> None:
        """Refuse it."""
        if len(self._entries) < (self._entries.maxlen or 0):
            super().push(entry)


@part("ring", "ring-holds-one-less", "OBS-018")
class OneLess(Ring[Any]):
    """A ring holds one entry less than its capacity."""

    def push(self, entry: Any) -> None:
        """Make room too early."""
        super().push(entry)
        if len(self._entries) == self._entries.maxlen:
            self._entries.popleft()


@part("ring", "ring-is-not-emptied", "OBS-018")
class NotEmptied(Ring[Any]):
    """Draining leaves the entries where they are."""

    def drain(self) -> tuple[Any, ...]:
        """Only look."""
        return tuple(self._entries)


@part("ring", "ring-drains-newest-first", "OBS-018")
class NewestFirst(Ring[Any]):
    """Draining gives the newest first."""

    def drain(self) -> tuple[Any, ...]:
        """Turn them round."""
        return super().drain()[::-1]


# ---------------------------------------------------------------- promotion


@part("trace", "latency-at-the-threshold-promotes", "OBS-016")
class AtTheThreshold(FlowTrace):
    """A latency that equals the threshold promotes."""

    def took(self, latency_ns: int) -> bool:
        """Add one."""
        return FlowTrace.took(self, latency_ns + 1)


@part("trace", "no-threshold-promotes", "OBS-016")
class NoThreshold(FlowTrace):
    """Without a threshold, every latency promotes."""

    def took(self, latency_ns: int) -> bool:
        """Forget that 0 is none."""
        if self.latency_threshold_ns == 0 and latency_ns > 0:
            self.promoted = True
        return FlowTrace.took(self, latency_ns)


@part("trace", "errors-always-promote", "OBS-016")
class ErrorsAlways(FlowTrace):
    """Errors promote, also where they should not."""

    def failed(self) -> bool:
        """Do not ask."""
        self.error_promote = True
        return FlowTrace.failed(self)


@part("tracer", "only-traps-promote", "OBS-016")
class OnlyTraps(SpanObserver):
    """An error that a component returns does not promote, a trap does."""

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Leave it out."""
        promotes, self._trace.error_promote = self._trace.error_promote, failure.poisoned and self._trace.error_promote
        super().failed(at, stage, call, failure, action)
        self._trace.error_promote = promotes


@part("trace", "promotion-forgets-the-past", "OBS-017")
class ForgetsThePast(FlowTrace):
    """A promoted flow exports from then on, and nothing of before."""

    def failed(self) -> bool:
        """Throw it away."""
        self.ring.drain()
        return FlowTrace.failed(self)


@part("trace", "promotion-forgets-the-future", "OBS-017")
class ForgetsTheFuture(FlowTrace):
    """A promoted flow exports what was kept, and nothing more."""

    def record(self, span: Span) -> None:
        """Keep it."""
        self.ring.push(span)


@part("trace", "the-past-comes-last", "OBS-017")
class ThePastComesLast(FlowTrace):
    """What was kept is exported newest first."""

    def failed(self) -> bool:
        """Turn it round."""
        news = FlowTrace.failed(self)
        if news:
            self.exported.reverse()
        return news


@part("trace", "unsampled-spans-go-out", "OBS-017")
class UnsampledGoOut(FlowTrace):
    """Spans go out whether they are sampled or not."""

    def record(self, span: Span) -> None:
        """Export it."""
        self.exported.append(span)


# ---------------------------------------------------------------- spans


def renamed(name: str, rule: str, change: Callable[[Span], Span], summary: str) -> None:
    """Register a reference that exports changed spans."""

    def export(spans: Iterable[Span]) -> str:
        return to_otlp(map(change, spans))

    register(name, rule, summary=summary, build=lambda: ReferenceParts(observation=ObservationParts(export=export)))


renamed(
    "components-are-called-components",
    "OBS-020",
    lambda span: replace(span, name=span.name.replace(":invoke:", "#")) if span.name.startswith("component:") else span,
    "The span of a call has a name that is not documented.",
)
renamed(
    "calls-are-numbered-from-one",
    "OBS-020",
    lambda span: replace(span, name=f"{span.name}1") if span.name.startswith("component:") else span,
    "The number in a call's name is not that of its element.",
)
renamed(
    "every-span-is-ok",
    "OBS-021",
    lambda span: replace(span, ok=True),
    "The span of a call that failed has status 1.",
)
renamed(
    "siblings-in-flows",
    "OBS-019",
    lambda span: replace(span, context=replace(span.context, parent=span.context.trace_id[8:])) if span.context.parent else span,
    "The parent of a span is not a span.",
)


def rewritten(name: str, rule: str, change: Callable[[dict[str, Any]], None], summary: str) -> None:
    """Register a reference that writes spans in another way."""

    def export(spans: Iterable[Span]) -> str:
        document = json.loads(to_otlp(spans))
        for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            change(span)
        return json.dumps(document)

    register(name, rule, summary=summary, build=lambda: ReferenceParts(observation=ObservationParts(export=export)))


def _zero_parent(span: dict[str, Any]) -> None:
    span["parentSpanId"] = span["parentSpanId"] or "0" * 16


def _number_times(span: dict[str, Any]) -> None:
    span["startTimeUnixNano"] = int(span["startTimeUnixNano"])


def _number_sequence(span: dict[str, Any]) -> None:
    value = span["attributes"][1]["value"]
    value["intValue"] = int(value["intValue"])


def _no_component(span: dict[str, Any]) -> None:
    del span["attributes"][0]


def _unset(span: dict[str, Any]) -> None:
    if span["status"]["code"] == 1:
        span["status"] = {"code": 0}


rewritten("roots-have-a-zero-parent", "OBS-021", _zero_parent, "A root's parent is sixteen zeros.")
rewritten("times-are-numbers", "OBS-021", _number_times, "A span begins at a number, which JSON readers round.")
rewritten("sequences-are-numbers", "OBS-021", _number_sequence, "An element's number is no string.")
rewritten("spans-have-no-component", "OBS-021", _no_component, "The attribute torvyn.component.id is missing.")
rewritten("status-is-unset", "OBS-021", _unset, "A call that went well has no status.")


@part("tracer", "no-pressure-in-traces", "OBS-020")
class NoPressure(SpanObserver):
    """Pressure has no span."""

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Say nothing."""

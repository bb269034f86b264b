"""The observer that turns a flow's events into spans: a trace for each element that enters (OBS-016 to OBS-021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torvyn_ref.calls import Answer, Call, Element, Failure, Output, Signal
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowReport
from torvyn_ref.flow.states import FlowState
from torvyn_ref.ids import HOST, FlowId, Owner, show_handle
from torvyn_ref.observe.metrics import Level, Registry
from torvyn_ref.observe.spans import IDS, Context, Flags, FlowTrace, IdSource, Span, sampled
from torvyn_ref.resources import ResourceManager

_MAKING = frozenset({Call.PULL, Call.FLUSH})
"""Calls that make elements of nothing that is in flight."""


def _makes(answer: Answer) -> bool:
    return isinstance(answer, Output) or (isinstance(answer, list) and bool(answer))


@dataclass(slots=True)
class _Journey:
    """An element on its way: where in its trace it is, and how many places of streams hold it."""

    context: Context
    places: int = 0


class _Call(NamedTuple):
    """A call that has returned."""

    context: Context
    begin: int
    end: int
    component: Owner
    ok: bool
    element: Element | None
    answer: Answer


class SpanObserver(Observer):
    """Records one flow's spans at the registry's level.

    An element's trace begins with a span of its flow when it enters; every call that works on it adds one below the last. A new element
    that a component makes of another goes on in its trace. Pressure has traces of its own.

    Args:
        flow: whose spans they are.
        components: the flow's components by stage name.
        trace: what becomes of the spans.
        registry: says how much is recorded, from one event to the next.
        resources: whose copies are shown as spans.
        ids: gives out ids.
        wall_offset_ns: what the driver adds to its clock to stamp elements.
    """

    def __init__(
        self,
        flow: FlowId,
        components: Mapping[str, Owner],
        trace: FlowTrace,
        registry: Registry,
        resources: ResourceManager,
        *,
        ids: IdSource | None = None,
        wall_offset_ns: int = 0,
    ) -> None:
        self._flow = flow
        self._components = components
        self._trace = trace
        self._registry = registry
        self._resources = resources
        self._ids = ids or IDS
        self._offset = wall_offset_ns
        self._journeys: dict[int, _Journey] = {}  # by sequence
        self._made: Context | None = None  # of what the last call emitted, until it enters its streams
        self._call: _Call | None = None
        self._element: Element | None = None
        self._copies: dict[tuple[Owner, Owner], int] = {}
        self._pressed: dict[int, tuple[Context, int]] = {}

    def worked(self, at: int, stage: str, call: Call, element: Element | None, answer: Answer, took_ns: int) -> None:
        """Add the call to the trace of its element, and what was copied and handed over in it."""
        self._finish_call(None)
        self._made = self._element = None
        ok = not isinstance(answer, Failure)
        if not self._registry.records or (element is None and (call not in _MAKING or (ok and not _makes(answer)))):
            return  # the end of a source is no element, and life cycle calls are not about any
        begin, end = at + self._offset - took_ns, at + self._offset
        component = self._components[stage]
        self._element = element
        journey = None if element is None else self._journeys.get(element.sequence)
        parent = journey.context if journey is not None else self._root(begin, end)
        self._made = parent.child(self._ids)
        self._call = _Call(self._made, begin, end, component, ok, element, answer)
        if element is not None:
            self._finish_call(element.sequence)
            if ok:
                self._left(element)
            if call is Call.PUSH and element.uses <= 1 and isinstance(answer, Signal):
                self._trace.took(end - element.timestamp_ns)

    def failed(self, at: int, stage: str, call: Call, failure: Failure, action: str) -> None:
        """Promote the flow, if errors do; forget where its element was, unless it is tried again."""
        del at, stage, call, failure
        self._finish_call(None)
        if self._registry.records:
            self._trace.failed()
        if self._element is not None and action != "retry":
            self._left(self._element)
        self._element = None

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Note that the element goes on in the trace of the call that emitted it."""
        del at, stream, depth, credits_
        self._finish_call(element.sequence)
        journey = self._journeys.get(element.sequence)
        if journey is None and self._made is not None:
            journey = self._journeys[element.sequence] = _Journey(self._made)
        if journey is not None:
            journey.places += 1

    def dropped(self, at: int, stream: int, element: Element, reason: str) -> None:
        """Forget where it was, unless it never entered."""
        del at, stream
        self._finish_call(element.sequence)
        if reason in {"evicted-oldest", "discarded"}:
            self._left(element)

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Record pressure when it ends: only then is its length known."""
        del depth, duration_ns
        instant = at + self._offset
        if on:
            if self._registry.records:
                self._pressed[stream] = (self._new_trace(), instant)
        elif stream in self._pressed:
            context, begin = self._pressed.pop(stream)
            self._span(f"backpressure:{stream}", context, begin, instant)

    def state(self, at: int, old: str, new: str) -> None:
        """Forget what the flow has left over at its end."""
        del at, old
        self._finish_call(None)
        if FlowState(new).is_terminal:
            self._journeys.clear()

    def done(self, at: int, report: FlowReport) -> None:
        """Forget the rest."""
        del at, report
        self._journeys.clear()

    def _new_trace(self) -> Context:
        trace_id = self._ids.trace_id()
        flags = Flags.SAMPLED if sampled(trace_id, self._trace.rate) else Flags.NONE
        if self._registry.level is Level.DIAGNOSTIC:
            flags |= Flags.DIAGNOSTIC
        return Context(trace_id, self._ids.span_id(), None, flags)

    def _root(self, begin: int, end: int) -> Context:
        """Begin a trace with a span of the flow."""
        context = self._new_trace()
        self._span(f"flow:{self._flow}", context, begin, end)
        return context

    def _left(self, element: Element) -> None:
        journey = self._journeys.get(element.sequence)
        if journey is not None:
            journey.places -= 1
            if journey.places <= 0:
                del self._journeys[element.sequence]

    def _finish_call(self, sequence: int | None) -> None:
        """Record the last call, now that the number of its element is known; a source's is, when the element enters its first stream."""
        call, self._call = self._call, None
        if call is None:
            return
        number = sequence if sequence is not None else -1
        name = f"component:{call.component}:invoke:{max(number, 0)}"
        self._span(name, call.context, call.begin, call.end, component=call.component, sequence=sequence, ok=call.ok)
        self._copied(call, sequence)
        if isinstance(call.answer, Output):
            name = f"resource:transfer:{show_handle(call.answer.handle)}"
            self._span(name, call.context.child(self._ids), call.end, call.end, component=call.component, sequence=sequence)

    def _copied(self, call: _Call, sequence: int | None) -> None:
        """Add a span for each direction in which the call has copied payload."""
        routes = {(route.source, route.target): route.ops for route in self._resources.copy_stats(self._flow).routes}
        for (source, target), ops in routes.items():
            if ops == self._copies.get((source, target), 0) or call.component not in (source, target):
                continue
            written = target == HOST and isinstance(call.answer, Output)
            handle = call.answer.handle if written and isinstance(call.answer, Output) else call.element.handle if call.element else None
            name = "resource:copy:" + (f"{source}-{target}" if handle is None else show_handle(handle))
            self._span(name, call.context.child(self._ids), call.end, call.end, component=call.component, sequence=sequence)
        self._copies = routes

    def _span(
        self,
        name: str,
        context: Context,
        begin: int,
        end: int,
        *,
        component: Owner | None = None,
        sequence: int | None = None,
        ok: bool = True,
    ) -> None:
        self._trace.record(Span(name, context, begin, end, None if component is None else int(component), sequence, ok))

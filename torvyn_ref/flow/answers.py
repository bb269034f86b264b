"""What becomes of an answer: an element goes on, a stage ends, a failure is decided about, and the flow may start to drain.

The driver asks for calls; this is what their answers do to the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure, Output, Role, Signal
from torvyn_ref.events import Observer
from torvyn_ref.flow.cancellation import Cancellation, Reason
from torvyn_ref.flow.delivery import Delivery
from torvyn_ref.flow.failures import Action, decide, source_backoff_ns
from torvyn_ref.flow.settings import FlowSettings, StageSetup
from torvyn_ref.flow.stage import Stage
from torvyn_ref.flow.states import FlowEvent, FlowState, Lifecycle
from torvyn_ref.flow.statistics import StageFailure
from torvyn_ref.flow.topology import Topology
from torvyn_ref.ids import HOST
from torvyn_ref.resources import ResourceError, ResourceManager
from torvyn_ref.streams import Stream, StreamConfig


class Phase(StrEnum):
    """What the driver is busy with; it follows the flow's state."""

    INIT = "init"
    RUN = "run"  # Running, or Draining with elements still on their way
    COMPLETE = "complete"
    TEARDOWN = "teardown"
    OVER = "over"


# In Python 3.11 an enum member costs 90 ns through its class: what runs per element has a name of its own.
_RUN: Final = Phase.RUN
_SINK: Final = Role.SINK
_PAUSE: Final = Signal.PAUSE


class Answers(Delivery):
    """A flow's state, and what the answers of its components do to it."""

    __slots__ = (
        "_alarm",
        "_cancel_asked",
        "_cancellation",
        "_deadline",
        "_delivered",
        "_drain_end",
        "_due",
        "_element",
        "_elements_in",
        "_failure",
        "_lifecycle",
        "_open_circuits",
        "_phase",
        "_sequence",
        "_wall_offset",
        "settings",
    )

    def __init__(
        self,
        topology: Topology,
        setups: Mapping[str, StageSetup],
        *,
        resources: ResourceManager,
        settings: FlowSettings,
        observer: Observer | None,
        wall_offset_ns: int,
        make_stream: Callable[[StreamConfig], Stream[Element]],
    ) -> None:
        self.settings = settings
        self._wall_offset = wall_offset_ns
        self._phase = Phase.INIT
        self._lifecycle = Lifecycle(self._state_changed)
        self._cancellation = Cancellation()
        self._cancel_asked: Reason | None = None
        self._failure: StageFailure | None = None
        self._sequence = 0
        self._elements_in = self._delivered = 0
        self._deadline: int | None = None  # the flow's, an instant
        self._alarm: int | None = None  # the same; once draining, the instant at which the drain must be over
        self._drain_end: int | None = None
        self._open_circuits: list[Stage] = []  # stages that are not called for a while (ERR-011)
        self._due = 0  # the instant from which the clock alone has something to say; 0: anything may have
        self._element: Element | None = None  # what the running stage was lent
        super().__init__(topology, setups, resources=resources, observer=observer, make_stream=make_stream)

    def _worked(self, stage: Stage, element: Element | None, answer: Answer) -> None:
        stage.attempts = stage.failures_in_a_row = 0
        if isinstance(answer, Output):
            self._emit(stage, element, answer)
        elif element is None:  # a source answered none: exhausted for good (FLOW-010)
            self._close(stage)
            return
        elif answer is True:  # a filter lets it pass: same element, same buffer, same metadata (ORD-005)
            self._send(stage, element, stage.outputs)
        elif stage.role is _SINK:
            self._delivered += 1
            for edge in stage.inputs:
                if answer is _PAUSE:
                    edge.hold(self._now)
                elif edge.held:
                    edge.resume()
        if element is not None:
            self._end_use(element)
            if not stage.open_inputs:
                self._maybe_close(stage)

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        """Make an element of what a component returned: from here on its buffer is the host's (OWN-023)."""
        try:
            self._resources.transfer(output.handle, stage.owner, HOST)
        except ResourceError as error:
            self._failed(stage, stage.invoke.call, None, Failure(ErrorKind.FATAL, error.message, Cause.OWNERSHIP, poisoned=True))
            return
        if element is None:
            timestamp = self._now + self._wall_offset
            self._elements_in += 1
        else:
            timestamp = element.timestamp_ns
        sequence = self._sequence
        self._sequence = sequence + 1
        self._push(stage, Element(sequence, timestamp, output.content_type, output.handle, len(stage.outputs)), stage.outputs)
        if self._elements_in == self.settings.limit and element is None:
            for source in self.stages:
                if source.is_source:
                    self._close(source)

    def _routed(self, stage: Stage, element: Element, ports: list[str]) -> None:
        """Send an element to the ports that a router named; a name it does not have is its failure (TOPO-010)."""
        unknown = [port for port in ports if port not in stage.ports]
        if unknown:
            message = f"router {stage.name!r} chose port {unknown[0]!r}; it has {', '.join(map(repr, stage.ports))}"
            self._failed(stage, Call.ROUTE, element, Failure(ErrorKind.INTERNAL, message))
            return
        stage.attempts = stage.failures_in_a_row = 0
        for port in dict.fromkeys(ports):  # a port named twice gets the element once (TOPO-009)
            self._send(stage, element, stage.ports[port])
        self._end_use(element)
        if not stage.open_inputs:
            self._maybe_close(stage)

    def _flushed(self, stage: Stage, answer: Answer) -> None:
        """Queue a flush's elements in order, as credits allow (CANCEL-011, CREDIT-015)."""
        outputs = answer if isinstance(answer, list) else []
        for output in outputs:
            if not isinstance(output, Output):
                continue
            try:
                self._resources.transfer(output.handle, stage.owner, HOST)
            except ResourceError as error:
                self._failed(stage, Call.FLUSH, None, Failure(ErrorKind.FATAL, error.message, Cause.OWNERSHIP, poisoned=True))
                return
            created = Element(self._sequence, self._now + self._wall_offset, output.content_type, output.handle, len(stage.outputs))
            self._sequence += 1
            stage.pending.append((created, stage.outputs))
        if stage.pending:
            self._with_pending.add(stage)
            self._attend = True
        else:
            self._maybe_close(stage)

    # ---------------------------------------------------------------- failure and the end

    def _failed(self, stage: Stage, call: Call, element: Element | None, failure: Failure) -> None:
        stage.errors += 1
        if failure.poisoned:
            stage.poisoned = True
            self._resources.force_reclaim(stage.owner)  # a dead instance owns nothing (ERR-010)
        stage.attempts += 1
        if call in {Call.TEARDOWN, Call.NOTIFY} and not failure.poisoned:
            action = Action.LOG
        elif call in {Call.INIT, Call.COMPLETE, Call.FLUSH, Call.TEARDOWN} and failure.cause is not Cause.QUEUE_FULL:
            action = Action.LOG if call is Call.TEARDOWN else Action.FAIL
        else:
            action = decide(self.settings.error_policy, failure, stage.attempts)
        if self._observer is not None:
            self._observer.failed(self._now, stage.name, call, failure, action)
        if action is Action.RETRY:
            stage.retry = element
            stage.may_have_work = True
            stage.not_before = max(stage.not_before, self._now + self.settings.error_policy.backoff_ns)
            self._count(stage, call, failure)
            return
        if element is not None:
            self._end_use(element)
        stage.attempts = 0
        if action is Action.FAIL:
            self._fault(stage, call, failure)
            return
        self._count(stage, call, failure)
        if stage.is_source and call is Call.PULL:
            stage.not_before = max(stage.not_before, self._now + source_backoff_ns(stage.failures_in_a_row))
        if call is not Call.TEARDOWN and failure.cause is not Cause.QUEUE_FULL:  # there, other branches are still to get the element
            self._maybe_close(stage)

    def _count(self, stage: Stage, call: Call, failure: Failure) -> None:
        """Count a data call that failed and does not end the flow; open the stage's circuit when it was unavailable too often (ERR-011)."""
        if call is not stage.work or failure.cause is Cause.CIRCUIT_OPEN:
            return
        before = stage.failures_in_a_row
        stage.failures_in_a_row += 1
        breaker = stage.breaker
        unavailable = failure.kind is ErrorKind.UNAVAILABLE and failure.cause is Cause.RETURNED
        if breaker is None or not breaker.failed(self._now, unavailable=unavailable, failures_before=before):
            return
        if stage.is_source:  # nothing arrives there that could count as failed: it is just not pulled
            stage.not_before = max(stage.not_before, breaker.open_until)
            breaker.admits(breaker.open_until)
        else:
            self._open_circuits.append(stage)
            self._attend = True

    def _shed(self, now: int) -> bool:
        """Let what arrives at a stage with an open circuit fail without a call (ERR-011); return whether anything did."""
        shed = False
        for stage in tuple(self._open_circuits):
            assert stage.breaker is not None
            if stage.done or stage.breaker.admits(now):
                self._open_circuits.remove(stage)
                continue
            while stage.is_ready(now) and not stage.flush_due:
                element, stage.retry = stage.retry, None
                if element is None:
                    edge = stage.take_input()
                    element, change = edge.stream.pop(now)
                    if self._tell_dequeued is not None:
                        self._tell_dequeued(now, edge.index, element, edge.stream.depth, edge.stream.credit.available)
                    if change is not None:
                        self._pressure_changed(edge, change)
                failure = Failure(ErrorKind.UNAVAILABLE, "the circuit is open: the component is left alone", Cause.CIRCUIT_OPEN)
                self._failed(stage, stage.work, element, failure)
                shed = True
        return shed

    def _fault(self, stage: Stage, call: Call, failure: Failure) -> None:
        stage.faulted = True
        if self._lifecycle.state is FlowState.RUNNING:
            reason = self._asked_to_end() or Reason.COMPONENT_ERROR
            if reason is Reason.COMPONENT_ERROR:
                self._failure = StageFailure(stage.name, call, failure)
            self._drain(reason)
        elif self._failure is None and self._cancellation.reason in {None, Reason.SOURCE_COMPLETE}:
            self._failure = StageFailure(stage.name, call, failure)
        if self._phase is not _RUN:
            return
        self._discard_inputs(stage)
        self._discard_pending(stage)
        self._close(stage)

    def _asked_to_end(self) -> Reason | None:
        """Return what ends a running flow at this instant, whatever a call that was in flight has answered (FLOW-006)."""
        if self._cancel_asked is not None:
            return self._cancel_asked
        return Reason.TIMEOUT if self._alarm is not None and self._now >= self._alarm else None

    def _drain(self, reason: Reason) -> None:
        """Stop the sources, let what is queued flow out (CANCEL-005)."""
        self._cancellation.request(reason)
        self._lifecycle.on(FlowEvent.DRAIN)
        self._alarm = self._drain_end = self._now + self.settings.drain_timeout_ns
        self._due = 0
        self._notices.clear()
        if reason is not Reason.SOURCE_COMPLETE:
            for stage in self.stages:
                if stage.is_source:
                    self._close(stage)

    def _state_changed(self, old: FlowState, new: FlowState) -> None:
        if self._observer is not None:
            self._observer.state(self._now, old, new)

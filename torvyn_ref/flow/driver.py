"""The flow driver: a pure state machine that says which call to make next, and takes the answer (ADR-003, law 2).

The shell around it is a loop: `step = driver.next(now)`; an `Invoke` is carried out and answered with `driver.resume(answer, now)`; `YIELD`
gives way to other flows; a `Wait` waits for its instant or for a cancel; `DONE` ends the loop, and `driver.report` is there. The driver
never looks at a clock, never blocks and never calls a component itself, so the same driver runs under anyio, under a virtual clock and
under a schedule that Hypothesis draws.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure, Role, Signal
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.flow.answers import Answers, Phase
from torvyn_ref.flow.bounds import UNBOUND, CallBounds, call_bounds
from torvyn_ref.flow.breaker import CircuitBreaker
from torvyn_ref.flow.cancellation import TERMINAL_EVENT, Reason
from torvyn_ref.flow.scheduling import ConsumerFirst, SchedulingPolicy
from torvyn_ref.flow.settings import DONE, WATCHDOG_NS, YIELD, FanOut, FlowSettings, StageSetup, Step, Wait
from torvyn_ref.flow.stage import Invoke, Stage
from torvyn_ref.flow.states import FlowEvent, FlowState
from torvyn_ref.flow.statistics import FlowReport, StageFailure, StageStatistics, kept
from torvyn_ref.flow.topology import Topology
from torvyn_ref.ids import U64_MAX, FlowId
from torvyn_ref.resources import ResourceManager, amplification
from torvyn_ref.streams import Stream, StreamConfig

# In Python 3.11 an enum member costs 90 ns through its class: what runs per element has a name of its own.
_ROUTE: Final = Call.ROUTE
_PULL: Final = Call.PULL


class FlowDriver(Answers):
    """One flow. Call `next` and `resume` in turn; `cancel` at any time between."""

    __slots__ = (
        "_batch",
        "_cancel_at",
        "_executions",
        "_kept_since",
        "_pick",
        "_quantum",
        "_setups",
        "_started",
        "_todo",
        "_turn_began",
        "flow",
        "report",
    )

    def __init__(
        self,
        topology: Topology,
        setups: Mapping[str, StageSetup],
        *,
        flow: FlowId,
        resources: ResourceManager,
        settings: FlowSettings | None = None,
        policy: SchedulingPolicy | None = None,
        observer: Observer | None = None,
        wall_offset_ns: int = 0,
        make_stream: Callable[[StreamConfig], Stream[Element]] = Stream,
    ) -> None:
        super().__init__(
            topology,
            setups,
            resources=resources,
            settings=settings or FlowSettings(),
            observer=observer,
            wall_offset_ns=wall_offset_ns,
            make_stream=make_stream,
        )
        self.flow = flow
        self.report: FlowReport | None = None
        self._setups = setups
        self._cancel_at = 0
        scheduling = policy or ConsumerFirst()
        scheduling.bind(self.stages)
        self._pick = scheduling.pick
        self._todo: deque[Stage] = deque(stage for stage in self.stages if stage.has_lifecycle)
        self._batch = self.settings.batch
        self._executions = 0
        self._turn_began = 0
        self._kept_since: int | None = None  # the instant since which the flow has not given way; None while it waits
        self._started: int | None = None
        self._quantum = self.settings.quantum_ns if self.settings.quantum_ns is not None else U64_MAX

        self._heed(self.settings)

    def _heed(self, settings: FlowSettings) -> None:
        """Tell streams and stages what they need to know of the settings, so that nobody asks per element."""
        independent = settings.fan_out is FanOut.INDEPENDENT
        for edge in self.edges:
            edge.probe_after(settings.sink_pause_delay_ns)
            edge.heeds_pause = not independent or len(edge.source.outputs) == 1 or edge.stream.suspends_producer
        if settings.breaker is not None:
            for stage in self.stages:
                stage.breaker = CircuitBreaker(settings.breaker)

    # ---------------------------------------------------------------- what the shell calls

    @property
    def state(self) -> FlowState:
        """Return the flow's state."""
        return self._lifecycle.state

    @property
    def progress(self) -> tuple[int, int]:
        """Return how many elements have entered, and how many sinks have accepted, so far."""
        return self._elements_in, self._delivered

    def cancel(self, reason: Reason = Reason.OPERATOR_REQUEST, *, now: int | None = None) -> None:
        """Ask the flow to end; idempotent, safe from any thread, observed before the next call (CANCEL-001, CANCEL-014).

        `now` counts when a call is in flight: from there it has the cooperative timeout (see `call_bounds`).
        """
        if self._cancel_asked is None:
            self._cancel_at = self._now if now is None else now
            self._cancel_asked = reason
            self._attend = True  # last: whoever sees it sees the reason

    @property
    def reason(self) -> Reason | None:
        """Return why the flow drains, or has ended; None as long as it runs."""
        return self._cancellation.reason

    @property
    def call_bounds(self) -> CallBounds:
        """Return until when the call in flight may take, as things are; a cancel, and the deadline, bring the bounds nearer."""
        stage = self._running
        if stage is None:
            return UNBOUND
        completing = self._cancellation.reason is Reason.SOURCE_COMPLETE
        drain_end = None if completing else self._drain_end
        asked = None
        if completing or self._drain_end is None:
            instants = (self._cancel_at if self._cancel_asked is not None else None, self._deadline)
            asked = min((instant for instant in instants if instant is not None), default=None)
        return call_bounds(self.settings, stage.invoke.call, self._now, asked_to_end=asked, drain_end=drain_end)

    def gate(self, name: str, *, closed: bool) -> None:
        """Close or open a stage's gate: while it is closed the stage is not called, and the flow waits for it rather than stall.

        For sources that the host itself feeds, from a terminal or a socket: they have nothing to say until there is input.
        """
        next(stage for stage in self.stages if stage.name == name).gated = closed

    def next(self, now: int) -> Step:
        """Return the next step at this instant.

        Raises:
            TorvynError: flow/not-resumed, when the previous `Invoke` has not been answered.
        """
        if self._running is not None:
            raise TorvynError("flow", "not-resumed", f"stage {self._running.name!r} is still running: resume the driver with its answer")
        self._now = now
        if now < self._due and self._executions < self._batch and not self._attend:  # nearly always: nothing but elements to look after
            stage = self._pick(now)
            if stage is not None:
                return self._work(stage, now)
        step: Step | None = None
        while step is None:
            match self._phase:
                case Phase.RUN:
                    step = self._next_run(now)
                case Phase.INIT:
                    step = self._next_init(now)
                case Phase.COMPLETE:
                    step = self._next_complete()
                case Phase.TEARDOWN:
                    step = self._next_teardown(now)
                case Phase.OVER:
                    step = DONE
        return step

    def resume(self, answer: Answer, now: int) -> None:
        """Take the answer to the last `Invoke`.

        Raises:
            TorvynError: flow/not-running, when no call is open.
        """
        stage = self._running
        if stage is None:
            raise TorvynError("flow", "not-running", "resume without an open call")
        self._running = None
        took = now - self._now
        stage.busy_ns += took
        self._now = now
        call = stage.invoke.call
        element = self._element
        if self._tell_returned is not None:
            self._tell_returned(now, stage.name, call, answer)
        if self._tell_worked is not None:
            self._tell_worked(now, stage.name, call, element, answer, took)
        if element is not None:
            self._element = None
            self._resources.end_borrow(element.handle, stage.owner)
        if answer.__class__ is Failure:  # cheaper than isinstance, and nothing inherits from an answer
            assert isinstance(answer, Failure)
            self._failed(stage, call, element, answer)
        elif call is stage.work:
            if call is _ROUTE:
                assert element is not None
                self._routed(stage, element, [str(port) for port in answer] if isinstance(answer, list) else [])
            else:
                self._worked(stage, element, answer)
        elif call is Call.FLUSH:
            self._flushed(stage, answer)
        elif call is Call.INIT:
            stage.initialised = True

    # ---------------------------------------------------------------- phases

    def _next_init(self, now: int) -> Step | None:
        if self._lifecycle.state is FlowState.CREATED:
            self._lifecycle.on(FlowEvent.VALIDATED)
        if self._failure is not None:
            self._start_teardown()
            return None
        if self._todo:
            stage = self._todo.popleft()
            return self._invoke(stage, Call.INIT, self._setups[stage.name].config)
        self._lifecycle.on(FlowEvent.INSTANTIATED)
        self._lifecycle.on(FlowEvent.STARTED)
        self._started = self._turn_began = self._kept_since = now
        if self.settings.deadline_ns is not None:
            self._alarm = self._deadline = now + self.settings.deadline_ns
        self._phase = Phase.RUN
        return None

    def _next_run(self, now: int) -> Step | None:
        """Look after everything that can be up beside elements, then after elements.

        What is looked after here must set `_attend` or lower `_due` when it comes up: `next` comes here only then.
        """
        self._attend = False  # first: a cancel from another thread may set it again at any point below
        if self._kept_since is None:
            self._kept_since = now
        if self._cancel_asked is not None and self._cancellation.reason is None:
            self._drain(self._cancel_asked)
        if self._alarm is not None and now >= self._alarm:
            if self._cancellation.reason is None:
                self._drain(Reason.TIMEOUT)
            if now >= self._alarm:
                self._alarm = None
                self._discard_everything()
        if self._notices:
            stage, signal = self._notices.popleft()
            self._attend = True
            if self._observer is not None:
                self._observer.notified(now, stage.name, signal)
            return self._invoke(stage, Call.NOTIFY, signal)
        if self._executions >= self._batch or (now - self._turn_began >= self._quantum and self._executions):
            if now - self._kept_since > WATCHDOG_NS:
                self._give_way(now)
            if self._tell_yielded is not None:
                self._tell_yielded(now, self._executions)
            self._executions = self._due = 0
            self._kept_since = now
            return YIELD
        if not self._executions:
            self._turn_began = now  # and not when the last one ended: what others did between is not this flow's time
        if self._with_pending:
            self._deliver_pending(now)
        while self._open_circuits and self._shed(now):  # what was shed has left a place, for what waits or to be shed again
            if self._with_pending:
                self._deliver_pending(now)
        if self._with_pending or self._open_circuits:
            self._attend = True
        # Delivering and shedding may have changed a stream's pressure, of which its source hears first (POLICY-014), or have begun a drain
        # whose time is up already (CANCEL-007).
        if self._notices or (self._alarm is not None and now >= self._alarm):
            return None
        self._set_due()
        ready = self._pick(now)
        if ready is not None:
            return self._work(ready, now)
        if not self._open_stages:
            if self._lifecycle.state is FlowState.RUNNING:
                self._drain(Reason.SOURCE_COMPLETE)
            self._start_complete()
            return None
        return self._idle(now)

    def _next_complete(self) -> Step | None:
        while self._todo:
            stage = self._todo.popleft()
            if not stage.faulted:
                return self._invoke(stage, Call.COMPLETE, None)
        self._start_teardown()
        return None

    def _next_teardown(self, now: int) -> Step | None:
        while self._todo:
            stage = self._todo.popleft()
            if not stage.poisoned:
                return self._invoke(stage, Call.TEARDOWN, None)
        self._finish(now)
        return DONE

    def _give_way(self, now: int) -> None:
        """Tell of a turn that was kept for too long, now that it ends (SCHED-011)."""
        if self._kept_since is not None and now - self._kept_since > WATCHDOG_NS and self._observer is not None:
            self._observer.overdue(now, now - self._kept_since)
        self._kept_since = None

    def _set_due(self) -> None:
        """Note when the clock alone has something to say: the deadline, the end of the drain, or the quantum."""
        due = self._turn_began + self._quantum
        self._due = due if self._alarm is None or due < self._alarm else self._alarm

    def _start_complete(self) -> None:
        self._phase = Phase.COMPLETE
        self._due = 0
        whole = not self._discarded and self._cancellation.reason in {Reason.SOURCE_COMPLETE, Reason.OPERATOR_REQUEST}
        self._todo = deque(stage for stage in self.stages if whole and stage.role is Role.SINK)

    def _start_teardown(self) -> None:
        self._phase = Phase.TEARDOWN
        self._todo = deque(stage for stage in reversed(self.stages) if stage.initialised and stage.has_lifecycle)

    def _finish(self, now: int) -> None:
        """Leave nothing behind, then say how it went (CANCEL-012, CANCEL-015)."""
        self._phase = Phase.OVER
        self._give_way(now)
        for edge in self.edges:
            stream = edge.stream
            if stream.settle(now) and self._observer is not None:
                self._observer.pressure(now, edge.index, on=False, depth=stream.depth, duration_ns=now - stream.active_since)
        freed = self._resources.release_flow(self.flow).freed
        balance = self._resources.balance(self.flow)
        copies = self._resources.close_flow_copies(self.flow)
        if self._lifecycle.state is FlowState.VALIDATED:  # an init failed: the flow never ran
            reason, event = Reason.COMPONENT_ERROR, FlowEvent.FAILED
        else:
            reason = self._cancellation.reason or Reason.SOURCE_COMPLETE
            event = TERMINAL_EVENT[reason]
            if reason is Reason.SOURCE_COMPLETE and (self._failure is not None or self._discarded):
                event = FlowEvent.FAILED
        state = self._lifecycle.on(event)
        self.report = FlowReport(
            state=state,
            reason=reason,
            failure=self._failure,
            elements_in=self._elements_in,
            delivered=self._delivered,
            discarded=self._discarded,
            duration_ns=0 if self._started is None else now - self._started,
            streams=tuple(edge.stream.statistics() for edge in self.edges),
            stages=tuple(
                StageStatistics(stage.name, stage.invocations, stage.errors, stage.busy_ns, amplification(copies, stage.owner))
                for stage in self.stages
            ),
            copies=copies.ops_by_reason,
            copied_bytes=copies.bytes_by_reason,
            live_buffers=balance.live,
            reclaimed_buffers=len(freed),
            kept=kept(freed, {stage.owner: stage.name for stage in self.stages}, now),
            balance=balance,
        )
        if self._observer is not None:
            self._observer.done(now, self.report)

    # ---------------------------------------------------------------- calls

    def _invoke(self, stage: Stage, call: Call, argument: Element | Signal | str | None) -> Invoke:
        invoke = stage.invoke
        invoke.call = call
        invoke.argument = argument
        stage.invocations += 1
        self._running = stage
        if self._tell_called is not None:
            self._tell_called(self._now, stage.name, call, self._element)
        return invoke

    def _work(self, stage: Stage, now: int) -> Invoke:
        self._executions += 1
        element: Element | None = None
        if not stage.is_source:
            element = stage.retry
            if element is not None:
                stage.retry = None
            elif stage.flush_due:
                stage.flush_due = False
                stage.flushed = True
                return self._invoke(stage, Call.FLUSH, None)
            else:
                edge = stage.only_input or stage.take_input()
                stream = edge.stream
                element, change = stream.pop(now)
                if self._tell_dequeued is not None:
                    self._tell_dequeued(now, edge.index, element, len(stream.items), stream.credit.available)
                if change is not None:
                    self._pressure_changed(edge, change)
            self._resources.borrow(element.handle, stage.owner, now_ns=now)
            self._element = element
        # What `_invoke` does, without the call.
        invoke = stage.invoke
        invoke.call = stage.work
        invoke.argument = element
        stage.invocations += 1
        self._running = stage
        if self._tell_called is not None:
            self._tell_called(now, stage.name, stage.work, element)
        return invoke

    # ---------------------------------------------------------------- nothing to do

    def _idle(self, now: int) -> Step | None:
        """Nothing is ready: wait for the next timer; without one, no event can ever come, and the flow says so."""
        times = [stage.not_before for stage in self.stages if not stage.done and stage.not_before > now]
        times += [edge.probe_at for edge in self.edges if edge.held and edge.probe_at > now and not edge.source.done]
        if self._alarm is not None:
            times.append(self._alarm)
        if times or any(stage.gated for stage in self.stages if not stage.done):
            self._give_way(now)
            self._attend = True  # the next turn has to be noted
            return Wait(min(times, default=None))
        waiting = [str(self.topology.edges[edge.index]) for edge in self.edges if edge.stream.items]
        stuck = next(stage for stage in self.stages if not stage.done)
        message = f"no stage can ever run again; elements wait on {', '.join(waiting) or 'no stream'}"
        self._failure = StageFailure(stuck.name, stuck.work, Failure(ErrorKind.INTERNAL, message, Cause.ENGINE))
        self._drain(Reason.STALLED)
        self._discard_everything()
        return None

"""Facet flows over `torvyn_ref.flow` and scripted components, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import msgspec

from conformance.errors import Refused, SubjectTimeoutError
from conformance.subjects import protocol as p
from conformance.subjects.reference.hosted import run_host
from conformance.subjects.reference.levels import stream_configs
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.processes import signal_project
from conformance.subjects.reference.projects import start_project
from conformance.subjects.reference.script import ScriptedComponent
from conformance.subjects.reference.trace import TraceWriter
from conformance.traces.events import AnyEvent, Done
from torvyn_ref.calls import FlowContext, Role
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Instance, Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.events import Observer, Observers
from torvyn_ref.flow import (
    ConsumerFirst,
    EdgeDef,
    ErrorPolicy,
    ErrorPolicyKind,
    FlowDriver,
    FlowReport,
    FlowSettings,
    FlowState,
    ProducerFirst,
    Reason,
    Scripted,
    StageDef,
    StageSetup,
    TopologyError,
)
from torvyn_ref.flow.bounds import CallBounds
from torvyn_ref.flow.breaker import BreakerSettings
from torvyn_ref.flow.settings import FanOut, Priority
from torvyn_ref.flow.simulate import SimulatedTime, simulate
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ManagerConfig, ResourceManager
from torvyn_ref.streams import OverflowPolicy, StreamConfig

MILLISECOND = 1_000_000
FLOW = FlowId(1)
STEPS_PER_CALL = 64
"""A driver that takes more steps than this per allowed call, without a call between, is going round in circles."""

Together = Callable[[Sequence[Callable[[], None]]], None]

_DONE = p.Done()


@dataclass(frozen=True, slots=True)
class Watch:
    """Who else hears a flow's events, and who is told how many calls have returned."""

    observer: Observer | None = None
    after_call: Callable[[int], object] = lambda _calls: None


class ReferenceFlows:
    """Whole flows behind the messages `flows.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts

    def run(self, request: p.RunFlow) -> p.FlowRunReply:
        """Run a flow to its end."""
        return self.play(request.spec, lambda _clock, _manager: Watch())

    def play(self, spec: p.FlowSpec, watch: Callable[[VirtualClock, ResourceManager], Watch]) -> p.FlowRunReply:
        """Run a flow to its end, while somebody watches."""
        clock = VirtualClock()
        time = SimulatedTime(clock)
        writer = TraceWriter(clock)
        observer = self._parts.observe(writer)
        manager = self._parts.manager(ManagerConfig(table_capacity=256), observer=observer)
        watching = watch(clock, manager)
        if watching.observer is not None:
            observer = manager.observer = Observers([observer, watching.observer])
        writer.manager = manager
        if any(command.do != "cancel" for command in spec.commands):
            raise Refused("invalid-config", "the only command is cancel")
        owners = map(Owner, count(1))
        driver, instances = self.prepare(spec, flow=FLOW, owners=owners, manager=manager, observer=observer, time=time)
        shell = _Shell(driver, spec, time, self._parts.together)

        def after_call(calls: int) -> None:
            shell.called(calls)
            watching.after_call(calls)

        try:
            report = simulate(shell, instances, time, after_call=after_call)  # type: ignore[arg-type]  # a driver to all that simulate asks
        except TorvynError as error:  # a running flow refuses nothing: this is a defect of the runtime, and must not read as a refusal
            raise RuntimeError(f"the runtime broke inside a flow: {error}") from error
        trace = writer.events
        if shell.reached_max_calls and trace and isinstance(trace[-1], Done):
            trace[-1] = msgspec.structs.replace(trace[-1], reason="max-calls")
        return _reply(spec, report, trace, manager.live_count)

    def host(self, request: p.RunHost) -> p.HostRunReply:
        """Do one thing after the other to a host with several flows."""
        return run_host(self._parts, request, self.prepare, _reply)

    def start_project(self, request: p.StartProject) -> p.ProjectRunReply:
        """Start the first flow of a project, and run it."""
        return start_project(self._parts, request)

    def signal_project(self, request: p.SignalProject) -> p.ProjectSignalledReply:
        """Run the first flow of a project in a process of its own, and send it a signal."""
        return signal_project(self._parts, request)

    def prepare(
        self, spec: p.FlowSpec, *, flow: FlowId, owners: Iterator[Owner], manager: ResourceManager, observer: Observer, time: SimulatedTime
    ) -> tuple[FlowDriver, dict[str, ScriptedInstance]]:
        """Make a driver and the instances of a flow.

        Raises:
            Refused: invalid-topology, invalid-config.
        """
        topology, settings, policy = self._topology(spec), _settings(spec.settings, self._parts.settings), _policy(spec.schedule)
        clock = time.clock
        instances: dict[str, Any] = {}
        setups: dict[str, StageSetup] = {}
        for stage, owner in zip(spec.stages, owners, strict=False):
            sandbox = Sandbox(owner=owner, flow=flow, resources=manager, context=FlowContext(flow_id=str(flow)), clock=clock)
            instances[stage.name], setups[stage.name] = self.cast(stage, sandbox, time)
        try:
            driver = self._parts.driver(
                topology,
                setups,
                flow=flow,
                resources=manager,
                settings=settings,
                policy=policy,
                observer=observer,
                wall_offset_ns=clock.wall_ns() - clock.monotonic_ns(),
                make_stream=self._parts.stream,
            )
        except TorvynError as error:
            raise Refused("invalid-config", error.message, {"kind": error.kind}) from error
        return driver, instances

    def cast(self, stage: p.StageSpec, sandbox: Sandbox, time: SimulatedTime) -> tuple[Instance, StageSetup]:
        """Return who plays a stage, and what the driver has to know of it."""
        component = ScriptedComponent(stage, Role(stage.role), time)
        setup = StageSetup(sandbox.owner, has_lifecycle=stage.script.lifecycle)
        return ScriptedInstance(component, Role(stage.role), sandbox), setup

    def transition(self, request: p.FlowTransition) -> p.Done:
        """Accept or refuse a pair of flow states."""
        try:
            old, new = FlowState(request.old), FlowState(request.new)
        except ValueError as error:
            raise Refused("invalid-state", str(error)) from error
        self._parts.flow_transition(old, new)
        return _DONE

    def _topology(self, spec: p.FlowSpec) -> Any:
        try:
            stages = [StageDef(stage.name, Role(stage.role)) for stage in spec.stages]
            if any(edge.inherits for edge in spec.edges):
                configs = stream_configs(spec, self._parts.resolve)
            else:
                configs = [
                    StreamConfig(edge.capacity, edge.low_watermark_ratio, OverflowPolicy(edge.policy), edge.rate_per_s or None)
                    for edge in spec.edges
                ]
            edges = [EdgeDef(edge.source, edge.target, edge.port, config=config) for edge, config in zip(spec.edges, configs, strict=True)]
        except ValueError as error:
            raise Refused("invalid-config", str(error)) from error
        try:
            return self._parts.topology(stages, edges)
        except (TopologyError, TorvynErrors) as error:
            kinds = [part.kind for part in error.errors] if isinstance(error, TorvynErrors) else [error.kind]
            raise Refused("invalid-topology", error.message, {"kinds": kinds}) from error


class _Shell:
    """A driver, watched: it hears the operator's commands, and it is not allowed to go round in circles."""

    def __init__(self, driver: FlowDriver, spec: p.FlowSpec, time: SimulatedTime, together: Together) -> None:
        self._driver = driver
        self._time = time
        self._together = together
        self._began = time.clock.monotonic_ns()
        self._commands = sorted(spec.commands, key=lambda command: command.after_calls)
        self._max_calls = spec.max_calls
        self._idle = 0
        self._idle_most = STEPS_PER_CALL * (spec.max_calls + 1)
        self.resume = driver.resume
        self.reached_max_calls = False

    @property
    def report(self) -> FlowReport | None:
        """Return the driver's report."""
        return self._driver.report

    @property
    def call_bounds(self) -> CallBounds:
        """Return the bounds of the driver's call."""
        return self._driver.call_bounds

    def _cancel(self, command: p.Command) -> None:
        cancel = partial(self._driver.cancel, now=self._time.clock.monotonic_ns())
        if command.callers == 1:
            cancel()
        else:
            self._together([cancel] * command.callers)

    def next(self, now: int) -> Any:
        """Return the driver's next step.

        Raises:
            SubjectTimeoutError: there have been too many steps without a call.
        """
        self._idle += 1
        if self._idle > self._idle_most:
            raise SubjectTimeoutError(f"the flow took {self._idle_most} steps without a call and did not end")
        return self._driver.next(now)

    def called(self, calls: int) -> None:
        """Hear how many calls have returned."""
        self._idle = 0
        while self._commands and self._commands[0].after_calls <= calls:
            command = self._commands.pop(0)
            instant = self._began + command.at_ms * MILLISECOND
            if instant <= self._time.clock.monotonic_ns():
                self._cancel(command)
            else:
                self._time.at(instant, partial(self._cancel, command))
        if calls >= self._max_calls and not self.reached_max_calls:
            self.reached_max_calls = True
            self._driver.cancel(Reason.OPERATOR_REQUEST)


def _settings(settings: p.FlowSettings, make: Callable[..., FlowSettings]) -> FlowSettings:
    try:
        kind, fan_out = ErrorPolicyKind(settings.error_policy), FanOut(settings.fan_out)
        priority = Priority(settings.priority)
    except ValueError as error:
        raise Refused("invalid-config", str(error)) from error
    try:
        breaker = None
        if settings.breaker_threshold:
            breaker = BreakerSettings(settings.breaker_threshold, settings.breaker_cooldown_ms * MILLISECOND)
        return make(
            priority=priority,
            elements_per_yield=settings.elements_per_yield,
            quantum_ns=None,
            error_policy=ErrorPolicy(kind, settings.max_retries, settings.backoff_ms * MILLISECOND),
            call_timeout_ns=settings.call_timeout_ms * MILLISECOND,
            init_timeout_ns=settings.init_timeout_ms * MILLISECOND,
            teardown_timeout_ns=settings.teardown_timeout_ms * MILLISECOND,
            cooperative_ns=settings.cooperative_ms * MILLISECOND,
            interrupt_grace_ns=settings.interrupt_grace_ms * MILLISECOND,
            sink_pause_delay_ns=settings.sink_pause_delay_ms * MILLISECOND,
            fan_out=fan_out,
            breaker=breaker,
            drain_timeout_ns=settings.drain_timeout_ms * MILLISECOND,
            deadline_ns=None if settings.deadline_ms is None else settings.deadline_ms * MILLISECOND,
        )
    except TorvynError as error:
        raise Refused("invalid-config", error.message, {"kind": error.kind}) from error


def _policy(schedule: p.Schedule) -> ConsumerFirst | ProducerFirst | Scripted:
    match schedule.policy:
        case "consumer-first":
            return ConsumerFirst()
        case "producer-first":
            return ProducerFirst()
        case "scripted":
            return Scripted(schedule.choices)
        case other:
            raise Refused("invalid-config", f"{other!r} is no schedule: consumer-first, producer-first, scripted")


def _reply(spec: p.FlowSpec, report: FlowReport, trace: Sequence[AnyEvent], live: int) -> p.FlowRunReply:
    statistics = {stage.name: stage for stage in report.stages}
    return p.FlowRunReply(
        state=str(report.state),
        trace=tuple(trace),
        streams=tuple(
            p.StreamStats(stream.elements, stream.pressure_events, stream.peak_depth, stream.dropped, stream.pressure_ns)
            for stream in report.streams
        ),
        stages={
            stage.name: p.StageStats(statistics[stage.name].invocations, statistics[stage.name].errors, statistics[stage.name].busy_ns)
            for stage in spec.stages
            if stage.name in statistics
        },
        live_buffers=live,
        copies=p.FlowCopies(
            sum(report.copies.values()),
            sum(report.copied_bytes.values()),
            {str(reason): count for reason, count in report.copies.items()},
            {stage.name: stage.amplification for stage in report.stages},
        ),
        duration_ns=report.duration_ns,
    )

"""The host: a planned flow becomes instances in sandboxes and a driver, ready for a reactor (CAP-060, FLOW-018, FLOW-019).

Whatever fails on the way, nothing stays behind: no instance, no buffer. Planning, with all that can be refused before any guest code,
is in `planning`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from torvyn_ref.calls import FlowContext
from torvyn_ref.clock import Clock, SystemClock, VirtualClock, passing
from torvyn_ref.config import Flow, NodeSettings, Project
from torvyn_ref.engine.choice import make_engine
from torvyn_ref.engine.compilecache import CompileCache
from torvyn_ref.engine.protocol import Engine, Instance, Limits, OutputSink, Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer, Observers
from torvyn_ref.flow import (
    ConsumerFirst,
    ErrorPolicy,
    ErrorPolicyKind,
    FlowDriver,
    FlowSettings,
    ProducerFirst,
    StageDef,
    StageSetup,
)
from torvyn_ref.flow.breaker import BreakerSettings
from torvyn_ref.flow.scheduling import SchedulingPolicy
from torvyn_ref.flow.settings import MICROSECOND, MILLISECOND, FanOut, Priority
from torvyn_ref.ids import FlowId, Ids, Owner
from torvyn_ref.observe import Level, Registry, observe
from torvyn_ref.observe.spans import FlowTrace
from torvyn_ref.observe.tracer import SpanObserver
from torvyn_ref.packaging import Cache, Resolver, default_root
from torvyn_ref.packaging.registry import DEFAULT_OPTIONS, RegistryOptions
from torvyn_ref.planning import INSTANTIATION, REACTOR_REGISTRATION, Place, Plan, Planner, StageInfo, about, source_to_feed, startup
from torvyn_ref.reactor import Feed, FlowHandle, Gate, Reactor
from torvyn_ref.resources import ManagerConfig, ResourceManager, Tier, TierConfig
from torvyn_ref.resources.pools import Exhaustion, tier_of
from torvyn_ref.security.audit import AuditLog, EventKind, discard
from torvyn_ref.security.grants import CapabilitySet
from torvyn_ref.security.guard import Guard, Sums
from torvyn_ref.security.kinds import Kind
from torvyn_ref.taps import Tap, TappedInstance
from torvyn_ref.wasi.environment import WasiEnvironment


@dataclass(slots=True)
class PreparedFlow:
    """A flow with everything instantiated, not started. Start it with `Host.start`; close it in any case, before or after its run."""

    name: str
    driver: FlowDriver
    instances: Mapping[str, Instance]
    stages: tuple[StageInfo, ...]
    warnings: tuple[str, ...]
    _cleanup: ExitStack = field(default_factory=ExitStack, repr=False)

    def close(self) -> None:
        """Drop the instances, take every buffer of the flow back, and close its books with the audit log; idempotent."""
        self._cleanup.close()


@dataclass(frozen=True, slots=True)
class Attachments:
    """What an operator connects to a flow from outside.

    Attributes:
        feed: plays the flow's source instead of its component (the only source, or the stage named by `feed_stage`).
        tap: hears the payload of every element that a sink accepts.
        stdout, stderr: where granted output of guests goes.
        limit: elements after which the sources count as exhausted.
        observer: hears the flow's events.
        policy: which ready stage runs next; None is as configured.
        spans: takes the flow's spans.
    """

    feed: Feed | None = None
    feed_stage: str | None = None
    tap: Tap | None = None
    stdout: OutputSink | None = None
    stderr: OutputSink | None = None
    limit: int | None = None
    observer: Observer | None = None
    policy: SchedulingPolicy | None = None
    spans: FlowTrace | None = None


NOTHING_ATTACHED = Attachments()


class Host:
    """Engines, resources, metrics and identities shared by the flows of one process."""

    def __init__(
        self,
        project: Project,
        *,
        clock: Clock | None = None,
        audit: AuditLog | None = None,
        engine: Engine | None = None,
        cache_root: Path | None = None,
        registry: RegistryOptions = DEFAULT_OPTIONS,
        offline: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.project = project
        self.clock = clock or SystemClock()
        self.audit = audit or AuditLog(discard, self.clock)
        self.resources = ResourceManager(_manager_config(project))
        observability = project.observability
        self.metrics = Registry(level=Level(observability.level) if observability.metrics_enabled else Level.OFF)
        self._engine = engine
        self._ids = Ids()
        self._environment = os.environ if environment is None else environment
        cache = Cache(cache_root or default_root())
        self._resolver = Resolver(project.root, project.component_sources(), cache, options=registry, offline=offline)
        self._planner = Planner(project, self._resolver, lambda: self.engine, self.audit)

    @property
    def engine(self) -> Engine:
        """Return the engine that the project asks for, starting it when it is first needed.

        Raises:
            TorvynError: engine/engine-unavailable, for an engine that this version does not have.
        """
        if self._engine is None:
            runtime = self.project.runtime
            directory = runtime.compilation_cache_dir
            cache = CompileCache(self.project.root / directory) if directory else None
            try:
                self._engine = make_engine(runtime.engine, cache=cache)
            except TorvynError as error:
                error.where = f"{self.project.files[-1]}: runtime.engine"
                raise
        return self._engine

    def check(self, name: str | None = None) -> tuple[StageInfo, ...]:
        """Do everything that precedes instantiation, and report what would run.

        Raises:
            TorvynError, TorvynErrors: everything that is wrong.
        """
        return self._planner.plan(name).stages

    def prepare(self, name: str | None = None, attachments: Attachments = NOTHING_ATTACHED) -> PreparedFlow:
        """Make a flow ready to run.

        Args:
            name: a flow of the project; None takes the first.
            attachments: what comes from outside.

        Raises:
            TorvynError, TorvynErrors: everything that is wrong; nothing is left behind.
        """
        fed = source_to_feed(self.project.flow(name), attachments.feed_stage) if attachments.feed is not None else None
        plan = self._planner.plan(name, fed)
        with ExitStack() as stack:  # undoes everything when something raises, and is handed on when nothing does
            flow = self._ids.next_flow()
            stack.callback(self.resources.close_flow_copies, flow)
            stack.callback(self.resources.release_flow, flow)
            instances: dict[str, Instance] = {}
            guards: list[Guard] = []
            setups: dict[str, StageSetup] = {}
            with startup(INSTANTIATION, Place(self.project, plan.name)):
                for stage in plan.topology.stages:
                    owner = self._ids.next_component()
                    self.resources.register_component(owner, self.project.runtime.max_buffer_bytes_per_component)
                    stack.callback(self.resources.unregister_component, owner)
                    settings = self.project.node_settings(plan.flow, stage.name)
                    instance = self._instantiate(plan, stage, flow, owner, settings, attachments, guards, stack)
                    instances[stage.name] = instance
                    setups[stage.name] = StageSetup(owner, instance.has_lifecycle, settings.config)
            wall_offset_ns = self.clock.wall_ns() - self.clock.monotonic_ns()
            driver = FlowDriver(
                plan.topology,
                setups,
                flow=flow,
                resources=self.resources,
                settings=self._flow_settings(plan.flow, attachments.limit),
                policy=attachments.policy or (ProducerFirst() if plan.flow.scheduling == "producer-first" else ConsumerFirst()),
                observer=self._observer(plan, flow, setups, wall_offset_ns, attachments, guards, stack),
                wall_offset_ns=wall_offset_ns,
            )
            if attachments.feed is not None and fed is not None:
                source = fed
                attachments.feed.connect(lambda gate: driver.gate(source, closed=gate is Gate.CLOSED))
            warnings = (*self.project.warnings, *plan.warnings)
            return PreparedFlow(plan.name, driver, instances, plan.stages, warnings, stack.pop_all())

    def record_start(self, prepared: PreparedFlow) -> None:
        """Tell the audit log that a flow starts, and see to it that its closing tells how it ended."""
        self.audit.emit(EventKind.FLOW_STARTED, flow=prepared.name)
        prepared._cleanup.callback(  # noqa: SLF001  # the host's own bookkeeping
            lambda: self.audit.emit(EventKind.FLOW_TERMINATED, flow=prepared.name, state=str(prepared.driver.state))
        )

    def start(self, reactor: Reactor, prepared: PreparedFlow) -> FlowHandle:
        """Run a prepared flow in a reactor.

        Raises:
            TorvynError: flow/shutting-down (FLOW-012); the flow is closed.
        """
        driver = prepared.driver
        try:
            with startup(REACTOR_REGISTRATION):
                handle = reactor.start(driver, prepared.instances)
        except BaseException:
            prepared.close()
            raise
        self.record_start(prepared)
        return handle

    def close(self) -> None:
        """Stop the engine; idempotent."""
        if self._engine is not None:
            self._engine.close()

    def _instantiate(
        self,
        plan: Plan,
        stage: StageDef,
        flow: FlowId,
        owner: Owner,
        settings: NodeSettings,
        attachments: Attachments,
        guards: list[Guard],
        stack: ExitStack,
    ) -> Instance:
        """Make one stage's instance; what undoes it goes on the stack."""
        instance: Instance
        name = stage.name
        if name in plan.linked:
            resolution = plan.linked[name].resolution
            guard = Guard(resolution.effective, self.audit, self.clock, component=name, flow=plan.name)
            guards.append(guard)
            sandbox = self._sandbox(owner, flow, settings, resolution.effective, guard, attachments)
            with about(name, Place(self.project, plan.name)):
                instance = plan.compiled[name].instantiate(stage.role, sandbox)
            self.audit.instantiated(resolution, component=name, flow=plan.name)
            stack.callback(self.audit.emit, EventKind.COMPONENT_TERMINATED, component=name, flow=plan.name)
            stack.callback(guard.flush)
        else:
            sandbox = Sandbox(owner, flow, self.resources, FlowContext(f"flow-{flow}"), self.clock)
            instance = ScriptedInstance(attachments.feed, stage.role, sandbox)
        stack.callback(instance.close)
        if attachments.tap is not None and stage.role == "sink":
            return TappedInstance(instance, attachments.tap, self.resources)
        return instance

    def _sandbox(
        self, owner: Owner, flow: FlowId, settings: NodeSettings, capabilities: CapabilitySet, guard: Guard, attachments: Attachments
    ) -> Sandbox:
        wasi = WasiEnvironment.of(capabilities)
        return Sandbox(
            owner=owner,
            flow=flow,
            resources=self.resources,
            context=FlowContext(f"flow-{flow}"),
            clock=self.clock,
            limits=Limits(
                fuel=settings.fuel,
                memory_bytes=settings.max_memory,
                call_timeout_ms=self.project.runtime.component_timeout_ms,
            ),
            capabilities=capabilities.canonical,
            stdout=attachments.stdout,
            stderr=attachments.stderr,
            environment=dict(self._environment) if Kind.ENVIRONMENT in wasi.switches else {},
            audit=guard,
            allocations=guard.allocations(tier_of),
            wait=passing(self.clock),
        )

    def _flow_settings(self, flow: Flow, limit: int | None) -> FlowSettings:
        settings = _flow_settings(self.project, flow, limit)
        # On a virtual clock calls take no time, and what passes in waits is nobody's quantum.
        return replace(settings, quantum_ns=None) if isinstance(self.clock, VirtualClock) else settings

    def _observer(
        self,
        plan: Plan,
        flow: FlowId,
        setups: Mapping[str, StageSetup],
        wall_offset_ns: int,
        attachments: Attachments,
        guards: Sequence[Guard],
        stack: ExitStack,
    ) -> Observer | None:
        """Return who hears the flow's events: the metrics, unless they are off, the guards when it yields, and whoever is attached."""
        observers: list[Observer] = [] if attachments.observer is None else [attachments.observer]
        observers.append(Sums(guards))
        if attachments.spans is not None:
            components = {stage.name: setups[stage.name].owner for stage in plan.topology.stages}
            levels = self.metrics if self.metrics.level is not Level.OFF else Registry()
            spans = SpanObserver(flow, components, attachments.spans, levels, self.resources, wall_offset_ns=wall_offset_ns)
            observers.append(spans)
        if self.metrics.level is not Level.OFF:
            observers.insert(0, observe(self.metrics, flow, plan.topology, setups, wall_offset_ns=wall_offset_ns))
            stack.callback(self.metrics.deregister, flow)
        if len(observers) > 1:
            return Observers(observers)
        return observers[0] if observers else None


def _manager_config(project: Project) -> ManagerConfig:
    pools = project.runtime.pools
    return ManagerConfig(
        tiers=(
            TierConfig(Tier.SMALL, pools.small),
            TierConfig(Tier.MEDIUM, pools.medium),
            TierConfig(Tier.LARGE, pools.large),
            TierConfig(Tier.HUGE, pools.huge, preallocate=False),
        ),
        exhaustion=Exhaustion(pools.exhaustion_policy),
        default_budget_bytes=project.runtime.max_buffer_bytes_per_component,
    )


def _flow_settings(project: Project, flow: Flow, limit: int | None) -> FlowSettings:
    policy, runtime = flow.error_policy, project.runtime
    breaker = None
    if policy.breaker_threshold:
        breaker = BreakerSettings(policy.breaker_threshold, policy.breaker_cooldown_ms * MILLISECOND)
    return FlowSettings(
        priority=Priority(flow.priority),
        elements_per_yield=flow.elements_per_yield or runtime.elements_per_yield,
        error_policy=ErrorPolicy(ErrorPolicyKind(policy.policy), policy.max_retries, policy.backoff_ms * MILLISECOND),
        drain_timeout_ns=runtime.drain_timeout_ms * MILLISECOND,
        deadline_ns=flow.deadline_ms * MILLISECOND if flow.deadline_ms is not None else None,
        call_timeout_ns=runtime.component_timeout_ms * MILLISECOND,
        init_timeout_ns=runtime.component_init_timeout_ms * MILLISECOND,
        teardown_timeout_ns=runtime.component_teardown_timeout_ms * MILLISECOND,
        cooperative_ns=runtime.cooperative_cancel_timeout_ms * MILLISECOND,
        interrupt_grace_ns=runtime.interrupt_grace_ms * MILLISECOND,
        sink_pause_delay_ns=runtime.sink_pause_delay_us * MICROSECOND,
        fan_out=FanOut(flow.fan_out),
        breaker=breaker,
        limit=limit,
    )

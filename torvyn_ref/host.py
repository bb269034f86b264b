"""The host: from a project to a flow that is ready to run, every refusal before any guest code (CAP-060, FLOW-018, FLOW-019).

Start-up has stages in a fixed order, and an error says in which one it arose (`fields["startup_stage"]`). Whatever fails, nothing
stays behind: no instance, no buffer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torvyn_ref.calls import FlowContext, Role
from torvyn_ref.clock import Clock, SystemClock
from torvyn_ref.config import Flow, NodeSettings, Project
from torvyn_ref.contract.link import Candidate, Linked, link
from torvyn_ref.contract.world import role_of_interface
from torvyn_ref.engine.protocol import Compiled, Engine, Instance, Limits, OutputSink, Sandbox
from torvyn_ref.engine.scripted import ScriptedInstance
from torvyn_ref.engine.stock import StockEngine
from torvyn_ref.errors import TorvynError, TorvynErrors, raise_all
from torvyn_ref.events import Observer
from torvyn_ref.flow import (
    ConsumerFirst,
    EdgeDef,
    ErrorPolicy,
    ErrorPolicyKind,
    FlowDriver,
    FlowSettings,
    ProducerFirst,
    StageDef,
    StageSetup,
    Topology,
)
from torvyn_ref.flow.driver import MILLISECOND, Priority
from torvyn_ref.ids import Ids, Owner
from torvyn_ref.packaging import Cache, ResolvedComponent, Resolver, default_root
from torvyn_ref.packaging.registry import DEFAULT_OPTIONS, RegistryOptions
from torvyn_ref.reactor import Feed, Gate
from torvyn_ref.resources import ManagerConfig, ResourceManager, Tier, TierConfig
from torvyn_ref.resources.pools import Exhaustion
from torvyn_ref.security.audit import AuditLog, EventKind, discard
from torvyn_ref.security.grants import Policy
from torvyn_ref.security.guard import Guard
from torvyn_ref.streams import StreamConfig
from torvyn_ref.taps import Tap, TappedInstance
from torvyn_ref.wasi import WASI_IMPORTS

STARTUP_STAGES = (
    "topology construction",
    "topology validation",
    "contract validation",
    "linking",
    "compilation",
    "instantiation",
    "component init",
    "reactor registration",
)
"""The labels of FLOW-019. A contract is read from its component's binary, so this host resolves and compiles before it validates."""

_LINKING = frozenset({"unresolved-import", "ambiguous-provider", "capability-denied"})


@dataclass(frozen=True, slots=True)
class StageInfo:
    """What a stage runs: for people and for the run's summary."""

    name: str
    role: Role
    component: str
    digest: str | None
    engine: str
    capabilities: tuple[str, ...] = ()


@dataclass(slots=True)
class PreparedFlow:
    """A flow with everything instantiated, not started. Give it to a reactor, or close it."""

    name: str
    driver: FlowDriver
    instances: Mapping[str, Instance]
    stages: tuple[StageInfo, ...]
    warnings: tuple[str, ...]
    guards: tuple[Guard, ...] = ()

    def close(self) -> None:
        """Drop the instances of a flow that is not going to be started; idempotent."""
        for instance in self.instances.values():
            instance.close()


@dataclass(frozen=True, slots=True)
class Attachments:
    """What an operator connects to a flow from outside.

    Attributes:
        feed: plays the flow's source instead of its component (the only source, or the stage named by `feed_stage`).
        tap: hears the payload of every element that a sink accepts.
        stdout, stderr: where granted output of guests goes.
        limit: elements after which the sources count as exhausted.
        observer: hears the flow's events.
    """

    feed: Feed | None = None
    feed_stage: str | None = None
    tap: Tap | None = None
    stdout: OutputSink | None = None
    stderr: OutputSink | None = None
    limit: int | None = None
    observer: Observer | None = None


NOTHING_ATTACHED = Attachments()


class Host:
    """Engines, resources and identities shared by the flows of one process."""

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
    ) -> None:
        self.project = project
        self.clock = clock or SystemClock()
        self.audit = audit or AuditLog(discard, self.clock)
        self.resources = ResourceManager(_manager_config(project))
        self._engine = engine
        self._ids = Ids()
        self._resolver = Resolver(
            project.root, project.component_sources(), Cache(cache_root or default_root()), options=registry, offline=offline
        )

    @property
    def engine(self) -> Engine:
        """Return the engine that the project asks for, starting it when it is first needed.

        Raises:
            TorvynError: engine/engine-unavailable, for an engine that this version does not have.
        """
        if self._engine is None:
            choice = self.project.runtime.engine
            if choice not in {"auto", "stock"}:
                raise TorvynError(
                    "engine",
                    "engine-unavailable",
                    f"this version has no engine {choice!s} for WebAssembly components",
                    where="runtime.engine",
                    hint='use "auto" or "stock"',
                )
            self._engine = StockEngine()
        return self._engine

    def check(self, name: str | None = None) -> tuple[StageInfo, ...]:
        """Do everything that precedes instantiation, and report what would run.

        Raises:
            TorvynError: everything wrong, as `prepare`.
        """
        _, _, infos = self._plan(name, NOTHING_ATTACHED)
        return infos

    def prepare(self, name: str | None = None, attachments: Attachments = NOTHING_ATTACHED) -> PreparedFlow:
        """Make a flow ready to run.

        Args:
            name: a flow of the project; None takes the first.
            attachments: what comes from outside.

        Raises:
            TorvynError, TorvynErrors: everything wrong in the first start-up stage that fails; nothing is left behind.
        """
        flow_name = name if name is not None else self.project.default_flow
        topology, linked, infos = self._plan(name, attachments)
        flow = self.project.flow(name)
        driver_id = self._ids.next_flow()
        instances: dict[str, Instance] = {}
        setups: dict[str, StageSetup] = {}
        guards: list[Guard] = []
        try:
            with _startup("instantiation"):
                for stage in topology.stages:
                    owner = self._ids.next_component()
                    self.resources.register_component(owner, self.project.runtime.max_buffer_bytes_per_component)
                    settings = self.project.node_settings(flow, stage.name)
                    if stage.name in linked:
                        compiled, link_ = linked[stage.name]
                        guard = Guard(link_.resolution.effective, self.audit, self.clock, component=stage.name, flow=flow_name)
                        guards.append(guard)
                        sandbox = self._sandbox(owner, driver_id, settings, link_, guard, attachments)
                        instances[stage.name] = compiled.instantiate(stage.role, sandbox)
                        self.audit.instantiated(link_.resolution, component=stage.name, flow=flow_name)
                    else:
                        assert attachments.feed is not None
                        sandbox = Sandbox(owner, driver_id, self.resources, FlowContext(f"flow-{driver_id}"), self.clock)
                        instances[stage.name] = ScriptedInstance(attachments.feed, stage.role, sandbox)
                    if attachments.tap is not None and stage.role is Role.SINK:
                        instances[stage.name] = TappedInstance(instances[stage.name], attachments.tap, self.resources)
                    setups[stage.name] = StageSetup(owner, instances[stage.name].has_lifecycle, settings.config)
        except BaseException:
            for instance in instances.values():
                instance.close()
            raise
        driver = FlowDriver(
            topology,
            setups,
            flow=driver_id,
            resources=self.resources,
            settings=_flow_settings(self.project, flow, attachments.limit),
            policy=ProducerFirst() if flow.scheduling == "producer-first" else ConsumerFirst(),
            observer=attachments.observer,
            wall_offset_ns=self.clock.wall_ns() - self.clock.monotonic_ns(),
        )
        if attachments.feed is not None:
            fed = _fed_stage(flow, attachments)
            attachments.feed.connect(lambda gate: driver.gate(fed, closed=gate is Gate.CLOSED))
        self.audit.emit(EventKind.FLOW_STARTED, flow=flow_name)
        warnings = (
            *self.project.warnings,
            *(warning.message for _, found in linked.values() for warning in found.resolution.warnings),
        )
        return PreparedFlow(flow_name or "", driver, instances, infos, warnings, tuple(guards))

    def close(self) -> None:
        """Stop the engine; idempotent."""
        if self._engine is not None:
            self._engine.close()

    # ---- the stages before instantiation

    def _plan(
        self, name: str | None, attachments: Attachments
    ) -> tuple[Topology, dict[str, tuple[Compiled, Linked]], tuple[StageInfo, ...]]:
        flow = self.project.flow(name)
        flow_name = name if name is not None else self.project.default_flow
        with _startup("topology construction"):
            fed = _fed_stage(flow, attachments) if attachments.feed is not None else None
            stages, edges = self._graph(flow)
        with _startup("topology validation"):
            topology = Topology.build(stages, edges, where=f"flow.{flow_name}")
        with _startup("linking"):
            resolved = self._resolve(flow, fed)
        with _startup("compilation"):
            compiled = self._compile(resolved)
        with _startup("contract validation"):
            linked = self._link(flow, resolved, compiled)
        infos = []
        for stage in topology.stages:
            if stage.name == fed:
                infos.append(StageInfo(stage.name, stage.role, "--input", None, "host"))
                continue
            effective = tuple(sorted(linked[stage.name].resolution.effective.canonical))
            where = resolved[stage.name]
            infos.append(StageInfo(stage.name, stage.role, where.origin, where.digest, self.engine.name, effective))
        return topology, {node: (compiled[node], linked[node]) for node in linked}, tuple(infos)

    def _graph(self, flow: Flow) -> tuple[list[StageDef], list[EdgeDef]]:
        stages: list[StageDef] = []
        errors: list[TorvynError] = []
        for node_name, node in flow.nodes.items():
            try:
                stages.append(StageDef(node_name, role_of_interface(node.interface, where=f"node '{node_name}', interface")))
            except TorvynError as error:
                errors.append(error)
        raise_all(errors)
        edges = []
        for edge in flow.edges:
            stream = self.project.stream_settings(flow, edge)
            config = StreamConfig(stream.queue_depth, stream.low_watermark_ratio, stream.policy)
            edges.append(EdgeDef(edge.from_.node, edge.to.node, edge.from_.port, edge.to.port, config))
        return stages, edges

    def _resolve(self, flow: Flow, fed: str | None) -> dict[str, ResolvedComponent]:
        resolved: dict[str, ResolvedComponent] = {}
        errors: list[TorvynError] = []
        known: dict[str, ResolvedComponent | TorvynError] = {}
        for node_name, node in flow.nodes.items():
            if node_name == fed:
                continue
            if node.component not in known:
                try:
                    known[node.component] = self._resolver.resolve(node.component)
                except TorvynError as error:
                    known[node.component] = error
                    errors.append(_named(error, node_name))
            found = known[node.component]
            if isinstance(found, ResolvedComponent):
                resolved[node_name] = found
        raise_all(errors)
        return resolved

    def _compile(self, resolved: Mapping[str, ResolvedComponent]) -> dict[str, Compiled]:
        by_digest: dict[str, Compiled] = {}
        errors: dict[str, TorvynError] = {}
        for node, component in resolved.items():
            if component.digest in by_digest or component.digest in errors:
                continue
            try:
                by_digest[component.digest] = self.engine.compile(component.wasm, where=component.origin)
            except TorvynError as error:
                errors[component.digest] = _named(error, node)
        raise_all(errors.values())
        return {node: by_digest[component.digest] for node, component in resolved.items()}

    def _link(self, flow: Flow, resolved: Mapping[str, ResolvedComponent], compiled: Mapping[str, Compiled]) -> Mapping[str, Linked]:
        candidates = []
        for node_name in resolved:
            settings = self.project.node_settings(flow, node_name)
            candidates.append(
                Candidate(
                    node=node_name,
                    interface=flow.nodes[node_name].interface,
                    component=resolved[node_name].origin,
                    shape=compiled[node_name].shape,
                    declared=settings.declared,
                    granted=settings.granted,
                    upstreams=tuple(edge.from_.node for edge in flow.edges if edge.to.node == node_name),
                )
            )
        try:
            linked = link(candidates, Policy(self.project.security.default_capability_policy), wasi=WASI_IMPORTS.keys())
        except TorvynError as error:
            self.audit.denied_at_link(error)
            raise
        for node_name, one in linked.items():
            self.audit.resolved(one.resolution, component=node_name)
        return linked

    def _sandbox(self, owner: Owner, flow: int, settings: NodeSettings, linked: Linked, guard: Guard, attachments: Attachments) -> Sandbox:
        return Sandbox(
            owner=owner,
            flow=flow,  # type: ignore[arg-type]  # FlowId is an int; Ids made it
            resources=self.resources,
            context=FlowContext(f"flow-{flow}"),
            clock=self.clock,
            limits=Limits(
                fuel=settings.fuel,
                memory_bytes=settings.max_memory,
                call_timeout_ms=self.project.runtime.component_timeout_ms,
            ),
            capabilities=linked.resolution.effective.canonical,
            stdout=attachments.stdout,
            stderr=attachments.stderr,
            audit=guard,
            wait=lambda nanoseconds: time.sleep(nanoseconds / 1e9),
        )


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
    policy = flow.error_policy
    return FlowSettings(
        priority=Priority(flow.priority),
        elements_per_yield=flow.elements_per_yield or project.runtime.elements_per_yield,
        error_policy=ErrorPolicy(ErrorPolicyKind(policy.policy), policy.max_retries, policy.backoff_ms * MILLISECOND),
        drain_timeout_ns=project.runtime.drain_timeout_ms * MILLISECOND,
        deadline_ns=flow.deadline_ms * MILLISECOND if flow.deadline_ms is not None else None,
        limit=limit,
    )


def _fed_stage(flow: Flow, attachments: Attachments) -> str:
    """Return the stage that the feed plays."""
    sources = [name for name, node in flow.nodes.items() if node.interface.partition("@")[0].rpartition("/")[2] == "source"]
    wanted = attachments.feed_stage
    listed = ", ".join(map(repr, sources)) or "none"
    if wanted is None:
        if len(sources) == 1:
            return sources[0]
        raise TorvynError(
            "cli", "ambiguous-input", f"--input needs one source to replace; the flow has {listed}", hint="write --input NODE=FILE"
        )
    if wanted not in sources:
        raise TorvynError("cli", "unknown-input", f"--input names {wanted!r}; the flow's sources are {listed}")
    return wanted


def _named(error: TorvynError, node: str) -> TorvynError:
    """Say which node an error is about."""
    for one in error.errors if isinstance(error, TorvynErrors) else (error,):
        one.where = f"node '{node}' ({one.where})" if one.where else f"node '{node}'"
    return error


@contextmanager
def _startup(stage: str) -> Iterator[None]:
    """Mark what is raised inside with the start-up stage."""
    try:
        yield
    except TorvynError as error:
        for one in error.errors if isinstance(error, TorvynErrors) else (error,):
            late = stage == "contract validation" and (one.subsystem == "security" or one.kind in _LINKING)
            one.fields.setdefault("startup_stage", "linking" if late else stage)
        raise

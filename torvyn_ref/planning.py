"""From a flow in a project to a plan: everything that can be refused before a component is instantiated (CAP-060, FLOW-019).

The steps follow one another, but what one of them refuses does not hide what another would: each goes on with what is left, so that one
look tells a user everything. An error says where it arose (`where`: the file and the field) and in which start-up stage
(`fields["startup_stage"]`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

from torvyn_ref.calls import Role
from torvyn_ref.config import Flow, Project
from torvyn_ref.contract.link import Candidate, Linked, link
from torvyn_ref.contract.world import role_of_interface
from torvyn_ref.engine.protocol import Compiled, Engine
from torvyn_ref.errors import TorvynError, TorvynErrors, raise_all
from torvyn_ref.flow import EdgeDef, StageDef, Topology
from torvyn_ref.packaging import ResolvedComponent, Resolver
from torvyn_ref.security.audit import AuditLog
from torvyn_ref.security.grants import Policy
from torvyn_ref.streams import StreamConfig
from torvyn_ref.wasi import WASI_IMPORTS

TOPOLOGY_CONSTRUCTION = "topology construction"
TOPOLOGY_VALIDATION = "topology validation"
CONTRACT_VALIDATION = "contract validation"
LINKING = "linking"
COMPILATION = "compilation"
INSTANTIATION = "instantiation"
COMPONENT_INIT = "component init"
REACTOR_REGISTRATION = "reactor registration"

STARTUP_STAGES = (
    TOPOLOGY_CONSTRUCTION,
    TOPOLOGY_VALIDATION,
    CONTRACT_VALIDATION,
    LINKING,
    COMPILATION,
    INSTANTIATION,
    COMPONENT_INIT,
    REACTOR_REGISTRATION,
)
"""The labels of FLOW-019. A contract is read from its component's binary, so this host resolves and compiles before it validates."""

HOST_ENGINE = "host"
"""What the summary calls the engine of a stage that the host itself plays."""

_LINKING_KINDS = frozenset({"unresolved-import", "ambiguous-provider", "capability-denied"})


@dataclass(frozen=True, slots=True)
class StageInfo:
    """What a stage runs: for people and for the run's summary.

    Attributes:
        engine: what runs it, which under `engine = "auto"` differs from component to component.
        fallback_reason: why that is not the engine's first choice, or None when it is.
    """

    name: str
    role: Role
    component: str
    digest: str | None
    engine: str
    capabilities: tuple[str, ...] = ()
    fallback_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow that nothing refuses any more: its graph, and what each stage is made of."""

    name: str
    flow: Flow
    topology: Topology
    compiled: Mapping[str, Compiled]
    linked: Mapping[str, Linked]
    stages: tuple[StageInfo, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is worth a look although nothing refuses it."""
        return tuple(warning.message for one in self.linked.values() for warning in one.resolution.warnings)


class Place:
    """Where a flow is written, to say so in errors: `Torvyn.toml: flow.main.nodes.end`."""

    def __init__(self, project: Project, flow: str) -> None:
        self._file = str(project.files[-1])
        self._flow = flow

    def field(self, *path: str) -> str:
        """Return the place of a field of the flow."""
        return f"{self._file}: {'.'.join(('flow', self._flow, *path))}"

    def put(self, error: TorvynError) -> None:
        """Give an error its place: the node that it is about, and before it the flow and the file."""
        if error.subsystem == "cli":  # a word on the command line, not in the file
            return
        where = error.where or ""
        if where.startswith(self._file):
            return
        node = error.fields.get("node") or error.fields.get("component")
        if node is None:
            error.where = f"{self.field()} ({where})" if where else self.field()
            return
        rest = "" if where == node else where.removeprefix(f"node '{node}'")
        if rest.startswith(", "):  # "node 'end', interface"
            error.where = self.field("nodes", node, rest.removeprefix(", "))
        elif rest:
            error.where = f"{self.field('nodes', node)} ({rest.strip(' ()')})"
        else:
            error.where = self.field("nodes", node)


@contextmanager
def startup(stage: str, place: Place | None = None) -> Iterator[None]:
    """Mark what is raised inside with its start-up stage, and with its place."""
    try:
        yield
    except TorvynError as error:
        for one in each(error):
            late = stage == CONTRACT_VALIDATION and (one.subsystem == "security" or one.kind in _LINKING_KINDS)
            one.fields.setdefault("startup_stage", LINKING if late else stage)
            if place is not None:
                place.put(one)
        raise _again(error) from error.__cause__


def each(error: TorvynError) -> tuple[TorvynError, ...]:
    """Return the single errors that an error stands for."""
    return error.errors if isinstance(error, TorvynErrors) else (error,)


def _again(error: TorvynError) -> TorvynError:
    """Return the error with the text of its parts as they are now."""
    return TorvynErrors(error.errors) if isinstance(error, TorvynErrors) else error


def source_to_feed(flow: Flow, wanted: str | None) -> str:
    """Return the source that input from outside replaces: the one named, else the only one.

    Raises:
        TorvynError: cli/ambiguous-input, cli/unknown-input.
    """
    sources = [name for name, node in flow.nodes.items() if node.interface.partition("@")[0].rpartition("/")[2] == Role.SOURCE]
    listed = ", ".join(map(repr, sources)) or "none"
    if wanted is None:
        if len(sources) == 1:
            return sources[0]
        message = f"one source is needed to replace; the flow has {listed}"
        raise TorvynError("cli", "ambiguous-input", message, where="--input", hint="write --input NODE=FILE")
    if wanted not in sources:
        raise TorvynError("cli", "unknown-input", f"the flow has no source {wanted!r}; its sources are {listed}", where="--input")
    return wanted


class EngineSource(Protocol):
    """Gives the engine that runs a project's components, starting it when it is first asked for."""

    def __call__(self) -> Engine:
        """Return the engine.

        Raises:
            TorvynError: there is none.
        """
        ...


@contextmanager
def about(node: str, place: Place) -> Iterator[None]:
    """Say of what is raised inside that it is about the component of a node (its `where` is the component's file or reference)."""
    try:
        yield
    except TorvynError as error:
        for one in each(error):
            one.where = f"{place.field('nodes', node, 'component')} ({one.where})"
        raise


class Planner:
    """Makes plans for the flows of one project.

    Args:
        project: the project.
        resolver: finds components.
        engine: gives the engine that compiles them; it may raise.
        audit: hears what was granted, and what was refused.
    """

    def __init__(self, project: Project, resolver: Resolver, engine: EngineSource, audit: AuditLog) -> None:
        self._project = project
        self._resolver = resolver
        self._engine = engine
        self._audit = audit
        self._errors: list[TorvynError] = []

    def plan(self, name: str | None, fed: str | None = None) -> Plan:
        """Make a plan for a flow.

        Args:
            name: the flow; None takes the project's first.
            fed: the source that the host plays itself; its component is not looked at.

        Raises:
            TorvynError, TorvynErrors: everything that is wrong, each with its place and start-up stage.
        """
        flow = self._project.flow(name)
        flow_name = name if name is not None else self._project.default_flow or ""
        place = Place(self._project, flow_name)
        self._errors = []
        roles = self._roles(flow, place)
        topology = self._topology(flow, roles, place) if len(roles) == len(flow.nodes) else None
        resolved = self._resolve(flow, fed, place)
        compiled = self._compile(resolved, place)
        if topology is None:  # a wrong graph comes first: what it does to imports is its consequence (LINK-021)
            raise_all(self._errors)
        linked = self._link(flow, flow_name, resolved, {node: compiled[node] for node in compiled if node in roles}, place)
        raise_all(self._errors)
        assert topology is not None
        for node, one in linked.items():
            self._audit.resolved(one.resolution, component=node, flow=flow_name)
        stages = tuple(self._info(stage, fed, resolved, compiled, linked) for stage in topology.stages)
        return Plan(flow_name, flow, topology, compiled, linked, stages)

    def _collecting(self, stage: str, place: Place) -> AbstractContextManager[None, bool]:
        """Keep what is raised inside, and go on; the type says so, because code after the block is reached."""
        return cast("AbstractContextManager[None, bool]", self._collect(stage, place))

    @contextmanager
    def _collect(self, stage: str, place: Place) -> Iterator[None]:
        try:
            with startup(stage, place):
                yield
        except TorvynError as error:
            self._errors += each(error)

    def _roles(self, flow: Flow, place: Place) -> Mapping[str, Role]:
        roles: dict[str, Role] = {}
        for name, node in flow.nodes.items():
            with self._collecting(TOPOLOGY_CONSTRUCTION, place):
                roles[name] = role_of_interface(node.interface, where=place.field("nodes", name, "interface"))
        return roles

    def _topology(self, flow: Flow, roles: Mapping[str, Role], place: Place) -> Topology | None:
        edges = []
        for edge in flow.edges:
            stream = self._project.stream_settings(flow, edge)
            config = StreamConfig(stream.queue_depth, stream.low_watermark_ratio, stream.policy, stream.rate_per_s)
            with self._collecting(TOPOLOGY_VALIDATION, place):
                config.check_rate(where=place.field("edges", f"{edge.from_.node}:{edge.from_.port} -> {edge.to.node}:{edge.to.port}"))
            edges.append(EdgeDef(edge.from_.node, edge.to.node, edge.from_.port, edge.to.port, config))
        with self._collecting(TOPOLOGY_VALIDATION, place):
            return Topology.build([StageDef(name, role) for name, role in roles.items()], edges, where=place.field())
        return None

    def _resolve(self, flow: Flow, fed: str | None, place: Place) -> Mapping[str, ResolvedComponent]:
        """Find every component, each once; what is wrong with one is said of the first node that names it."""
        known: dict[str, ResolvedComponent | None] = {}
        resolved: dict[str, ResolvedComponent] = {}
        for name, node in flow.nodes.items():
            if name == fed:
                continue
            if node.component not in known:
                known[node.component] = None
                with self._collecting(LINKING, place), about(name, place):
                    known[node.component] = self._resolver.resolve(node.component)
            found = known[node.component]
            if found is not None:
                resolved[name] = found
        return resolved

    def _compile(self, resolved: Mapping[str, ResolvedComponent], place: Place) -> Mapping[str, Compiled]:
        """Compile every component, each once."""
        engine: Engine | None = None
        with self._collecting(COMPILATION, place):
            engine = self._engine()
        if engine is None:
            return {}
        by_digest: dict[str, Compiled | None] = {}
        for node, component in resolved.items():
            if component.digest not in by_digest:
                by_digest[component.digest] = None
                with self._collecting(COMPILATION, place), about(node, place):
                    by_digest[component.digest] = engine.compile(component.wasm, where=component.origin)
        return {node: found for node, component in resolved.items() if (found := by_digest[component.digest]) is not None}

    def _link(
        self, flow: Flow, flow_name: str, resolved: Mapping[str, ResolvedComponent], compiled: Mapping[str, Compiled], place: Place
    ) -> Mapping[str, Linked]:
        candidates = []
        for name, component in compiled.items():
            settings = self._project.node_settings(flow, name)
            candidates.append(
                Candidate(
                    node=name,
                    interface=flow.nodes[name].interface,
                    component=resolved[name].origin,
                    shape=component.shape,
                    declared=settings.declared,
                    granted=settings.granted,
                    upstreams=tuple(edge.from_.node for edge in flow.edges if edge.to.node == name),
                )
            )
        policy = Policy(self._project.security.default_capability_policy)
        with self._collecting(CONTRACT_VALIDATION, place):
            try:
                return link(candidates, policy, strict=self._project.security.strict_allocation, wasi=WASI_IMPORTS.keys())
            except TorvynError as error:
                self._audit.denied_at_link(error, flow=flow_name)
                raise
        return {}

    @staticmethod
    def _info(
        stage: StageDef,
        fed: str | None,
        resolved: Mapping[str, ResolvedComponent],
        compiled: Mapping[str, Compiled],
        linked: Mapping[str, Linked],
    ) -> StageInfo:
        if stage.name == fed:
            return StageInfo(stage.name, stage.role, "--input", None, HOST_ENGINE)
        component, code = resolved[stage.name], compiled[stage.name]
        effective = tuple(sorted(linked[stage.name].resolution.effective.canonical))
        return StageInfo(stage.name, stage.role, component.origin, component.digest, code.engine_name, effective, code.fallback_reason)

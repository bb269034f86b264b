"""A loaded project: the manifest after layering, and the answers the other rooms ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from torvyn_ref.config.schema import Build, Component, ComponentPackage, Edge, Flow, Manifest, Node, PackageManifest, Test
from torvyn_ref.config.settings import Observability, Registry, Runtime, Security
from torvyn_ref.config.suggest import nearest
from torvyn_ref.config.values import Fuel
from torvyn_ref.errors import TorvynError
from torvyn_ref.streams.policy import OverflowPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What one stream gets after resolving edge, flow and runtime (POLICY-010, CFG-017)."""

    queue_depth: int
    """Capacity in elements."""
    policy: OverflowPolicy
    low_watermark_ratio: float
    rate_per_s: float | None = None
    """Elements per second, when the policy is `rate-limit` and somebody says how many."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What one stage gets after resolving node, component and runtime."""

    config: str
    """The string for `lifecycle.init`."""
    fuel: int | None
    """Fuel per guest call; None: not metered."""
    max_memory: int
    """Linear memory in bytes."""
    priority: int
    """1 (lowest) to 10 (highest)."""
    declared: tuple[str, ...]
    """Capabilities the component asks for, `?` in front of optional ones."""
    granted: tuple[str, ...]
    """Capabilities the operator grants."""
    grant_key: str | None
    """The key under `[security.grants]` that applied; None: no grant."""


@dataclass(frozen=True, slots=True)
class Project:
    """A Torvyn.toml with everything layered over it, validated."""

    root: Path
    """The manifest's directory: relative paths start here (OCI-023)."""
    files: tuple[Path, ...]
    """The files that were read, the lowest layer first."""
    manifest: Manifest | PackageManifest
    """The validated manifest."""
    components: Mapping[str, Component]
    """The components by name, in file order."""
    warnings: tuple[str, ...] = ()
    """What was ignored and is worth a look."""
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where each value that was written comes from (a file, a variable, `override`), by dotted key."""

    def origin(self, key: str) -> str | None:
        """Return where the value at a dotted key, or the nearest table around it, was written; None for a default."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key.rpartition(".")[0]
        return None

    @property
    def name(self) -> str:
        """The project's name, else the packaged component's."""
        if self.manifest.torvyn is not None:
            return self.manifest.torvyn.name
        return self._package().name

    @property
    def version(self) -> str:
        """The project's version, else the packaged component's."""
        if self.manifest.torvyn is not None:
            return self.manifest.torvyn.version
        return self._package().version

    @property
    def contract_version(self) -> str | None:
        """The contract version the project targets, when it says."""
        return self.manifest.torvyn.contract_version if self.manifest.torvyn is not None else None

    @property
    def runtime(self) -> Runtime:
        """`[runtime]`."""
        return self.manifest.runtime

    @property
    def observability(self) -> Observability:
        """`[observability]`."""
        return self.manifest.observability

    @property
    def security(self) -> Security:
        """`[security]`."""
        return self.manifest.security

    @property
    def registry(self) -> Registry:
        """`[registry]`."""
        return self.manifest.registry

    @property
    def build(self) -> Build:
        """`[build]`."""
        return self.manifest.build

    @property
    def test(self) -> Test:
        """`[test]`."""
        return self.manifest.test

    @property
    def flows(self) -> Mapping[str, Flow]:
        """The flows by name, in file order."""
        return self.manifest.flow

    @property
    def default_flow(self) -> str | None:
        """The name of the first flow in file order (CFG-020), or None without flows."""
        return next(iter(self.flows), None)

    def flow(self, name: str | None = None) -> Flow:
        """Return a flow by name, or the default flow.

        Raises:
            TorvynError: (config, no-flow) without any flow (CLI-009), (config, unknown-flow) for a name that is not there (CLI-008).
        """
        chosen = name if name is not None else self.default_flow
        if chosen is None:
            raise TorvynError("config", "no-flow", "the manifest defines no flow", where=self._where, hint="add [flow.<name>]")
        if chosen not in self.flows:
            near = nearest(chosen, self.flows)
            known = ", ".join(self.flows) or "none"
            hint = f"did you mean {near!r}?" if near else f"flows: {known}"
            raise TorvynError("config", "unknown-flow", f"no flow is named {chosen!r}", where=self._where, hint=hint, code="E0704")
        return self.flows[chosen]

    def stream_settings(self, flow: Flow, edge: Edge) -> StreamSettings:
        """Resolve a stream's settings: the edge's own, else the flow's, else the runtime's (POLICY-010, CFG-017)."""
        own, shared, default = edge.backpressure, flow.backpressure, self.runtime.backpressure
        policy = _first(own.backpressure_policy, shared.backpressure_policy, default=default.backpressure_policy)
        rate = _first(own.rate_per_s, shared.rate_per_s, default=default.rate_per_s)
        return StreamSettings(
            queue_depth=_first(
                edge.queue_depth,
                own.default_queue_depth,
                flow.default_queue_depth,
                shared.default_queue_depth,
                default=default.default_queue_depth,
            ),
            policy=policy,
            low_watermark_ratio=_first(
                edge.low_watermark_ratio,
                own.low_watermark_ratio,
                shared.low_watermark_ratio,
                default=default.low_watermark_ratio,
            ),
            rate_per_s=rate if policy is OverflowPolicy.RATE_LIMIT else None,
        )

    def node_settings(self, flow: Flow, name: str) -> NodeSettings:
        """Resolve a stage's settings: the node's own, else its component's, else the runtime's.

        Grants are looked up by node name, else by component name (decision 8, CAP-058).
        """
        node = flow.nodes[name]
        component = self.component_of(node)
        key = next((key for key in (name, node.component) if key in self.security.grants), None)
        fuel: Fuel = _first(node.fuel_budget, default=self.runtime.default_fuel_per_invocation)
        return NodeSettings(
            config=_first(node.config, component.config if component else None, default=""),
            fuel=None if fuel == "unlimited" else fuel,
            max_memory=_first(node.max_memory, default=self.runtime.max_memory_per_component),
            priority=_first(node.priority, default=self.runtime.scheduling.default_priority),
            declared=self.declared(component),
            granted=self.security.grants[key].capabilities if key is not None else (),
            grant_key=key,
        )

    def component_sources(self) -> Mapping[str, str]:
        """Return what each component name stands for, in the reference forms of packaging: a path becomes `file://PATH`."""
        return {
            name: component.reference if component.reference is not None else f"file://{component.path}"
            for name, component in self.components.items()
        }

    def component_of(self, node: Node) -> Component | None:
        """Return the declared component a node names, or None when it holds a path or a reference."""
        return self.components.get(node.component)

    def declared(self, component: Component | None) -> tuple[str, ...]:
        """Return the capabilities a component declares: its own list, else the manifest's `[capabilities]`."""
        if component is not None and component.capabilities is not None:
            return component.capabilities
        return self.manifest.capabilities.declared()

    @property
    def _where(self) -> str:
        return str(self.root / "Torvyn.toml")

    def _package(self) -> ComponentPackage:
        # A manifest without [torvyn] is one of a packaged component: `semantics` refuses every other.
        assert isinstance(self.manifest, PackageManifest)
        return self.manifest.component


def components_of(manifest: Manifest | PackageManifest) -> Mapping[str, Component]:
    """Return a manifest's components by name; a packaged component counts as one."""
    if isinstance(manifest, PackageManifest):
        package = manifest.component
        only = Component(
            name=package.name,
            path=package.path or ".",
            language=package.language,
            config=package.config,
            capabilities=package.capabilities,
        )
        return MappingProxyType({only.name: only})
    return MappingProxyType({component.name: component for component in manifest.component})


def _first(*values: T | None, default: T) -> T:
    return next((value for value in values if value is not None), default)

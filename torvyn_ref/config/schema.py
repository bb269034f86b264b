"""The shape of Torvyn.toml: one manifest for a project of several components, for a single component, or for both (D.1, D.2).

Every key is known; every field says what it means and what it defaults to. Cross-table rules live in `semantics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from torvyn_ref.config.settings import (
    Backpressure,
    ErrorPolicy,
    FanOut,
    FlowPriority,
    Observability,
    Registry,
    Runtime,
    Schedule,
    SchedulingPolicy,
    Section,
    Security,
)
from torvyn_ref.config.values import (
    Batch,
    Count,
    Depth,
    Fuel,
    Name,
    Priority,
    Ratio,
    Size,
    Table,
    Text,
    Timeout,
    Version,
    describe,
    refusal,
)


class Language(StrEnum):
    """What a component is written in."""

    RUST = "rust"
    GO = "go"
    PYTHON = "python"
    ZIG = "zig"


class Torvyn(Section):
    """`[torvyn]`: the project's identity."""

    name: Name
    """Project name."""
    version: Version
    """Project version."""
    contract_version: Version
    """The Torvyn contract version the project targets."""
    description: str = ""
    """One sentence for people."""
    authors: tuple[str, ...] = ()
    """Names and addresses."""
    license: str = ""
    """SPDX identifier."""
    repository: str = ""
    """Where the source lives."""


class Component(Section):
    """One `[[component]]`: a name for something that can be instantiated."""

    name: Name
    """The name that nodes and grants use."""
    path: Text | None = None
    """A .wasm or .torvyn file, an OCI layout, or the component's source root, relative to the manifest."""
    reference: Text | None = None
    """Where the component comes from instead of a path, for example `oci://registry/repo:tag`."""
    language: Annotated[Language, Field(strict=False)] = Language.RUST
    """What it is written in."""
    build_command: str | None = None
    """How to build it, when not in the usual way."""
    config: str | None = None
    """Passed to `lifecycle.init` unless the node has its own."""
    capabilities: tuple[Text, ...] | None = None
    """What it needs: capability strings, `?` in front of optional ones; absent: the manifest's `[capabilities]`."""


class ComponentPackage(Section):
    """`[component]`: the identity of a manifest that packages a single component."""

    name: Name
    """Component name."""
    version: Version
    """Component version."""
    description: str = ""
    """One sentence for people."""
    license: str = ""
    """SPDX identifier."""
    authors: tuple[str, ...] = ()
    """Names and addresses."""
    repository: str = ""
    """Where the source lives."""
    path: Text | None = None
    """As in `[[component]]`; absent: the manifest's directory."""
    language: Annotated[Language, Field(strict=False)] = Language.RUST
    """What it is written in."""
    config: str | None = None
    """Passed to `lifecycle.init` unless the node has its own."""
    capabilities: tuple[Text, ...] | None = None
    """As in `[[component]]`."""


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class KebabSection(Section):
    """A packaging table: its keys are written with hyphens (D.2)."""

    model_config = ConfigDict(alias_generator=_kebab, serialize_by_alias=True)


class TorvynNeeds(KebabSection):
    """`[capabilities.torvyn]`: what the component would like; the operator's limits win (J-12)."""

    max_buffer_size: Size = 16 * 1024 * 1024
    """Largest single buffer it needs, in bytes."""
    max_memory: Size | None = None
    """Linear memory it needs, in bytes."""
    buffer_pool_access: str = "default"
    """Named pool it uses."""


class Capabilities(Section):
    """`[capabilities]`: what the manifest's components need; only keys whose value is true count (OCI-012)."""

    required: Table[bool] = Field(default_factory=dict)
    """Capabilities without which nothing runs."""
    optional: Table[bool] = Field(default_factory=dict)
    """Capabilities the component can do without."""
    torvyn: TorvynNeeds = TorvynNeeds()

    def declared(self) -> tuple[str, ...]:
        """Return the capability strings in file order, `?` in front of optional ones."""
        required = (name for name, wanted in self.required.items() if wanted)
        optional = (f"?{name}" for name, wanted in self.optional.items() if wanted)
        return (*required, *optional)


class Contracts(Section):
    """`[contracts]`."""

    packages: tuple[str, ...] = ()
    """The contract packages used, `ns:name@version`."""


class Compatibility(KebabSection):
    """`[compatibility]`: which runtimes may load the component (OCI-030)."""

    min_torvyn_version: Version = "0.1.0"
    """Oldest runtime."""
    max_torvyn_version: Version | None = None
    """Newest runtime, when there is one."""
    wasi_target: str = "preview2"
    """WASI generation."""
    target_arch: str = "wasm32"
    """Instruction set."""
    wasi_features: tuple[str, ...] = ()
    """WASI features needed."""
    torvyn_features: tuple[str, ...] = ()
    """Torvyn features needed."""


class Build(Section):
    """`[build]`: how components are built; the packaging keys describe the tool that did it."""

    aliases: ClassVar[Mapping[str, str]] = {"tool-version": "tool_version", "language-version": "language_version"}

    release: bool = True
    """Build with optimisation."""
    extra_args: tuple[str, ...] = ()
    """Further arguments of the build tool."""
    target: str = "wasm32-wasip2"
    """Compilation target."""
    tool: str = ""
    """Name of the build tool."""
    tool_version: str = ""
    """Version of the build tool."""
    language_version: str | None = None
    """Version of the language."""
    profile: str = ""
    """Build profile."""


class Test(Section):
    """`[test]`."""

    __test__: ClassVar[bool] = False  # pytest collects classes named Test

    timeout_seconds: Count = 60
    """Bound of one test."""
    fixtures_dir: str = "tests/fixtures"
    """Where the fixtures are."""


class Distribution(Section):
    """`[distribution]`."""

    registry: str = ""
    """Where the component is published."""
    categories: tuple[str, ...] = ()
    """Categories to list it under."""
    keywords: tuple[str, ...] = ()
    """Words to find it by."""


class Deprecation(KebabSection):
    """`[deprecation]`."""

    deprecated_since: str
    """The version that deprecated it."""
    message: str
    """Why, and what to do."""
    successor: str | None = None
    """What replaces it."""


class ConfigSchema(Section):
    """`[config-schema]`: the form of the component's configuration string."""

    format: str
    """For example `json`."""
    example: str | None = None
    """A valid configuration."""


class Endpoint(Section):
    """One end of an edge, as a table or as "node:port" (J-26)."""

    node: Text
    """Node name."""
    port: Text
    """Port name."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        node, colon, port = value.partition(":")
        if not (node and colon and port) or ":" in port:
            raise refusal(
                "invalid-value",
                f'expected "node:port" or a table with node and port, found {describe(value)}',
                code="E0703",
            )
        return {"node": node, "port": port}


class Edge(Section):
    """One stream: from an output port to an input port."""

    from_: Annotated[Endpoint, Field(alias="from")]
    """The producing end."""
    to: Endpoint
    """The consuming end."""
    queue_depth: Depth | None = None
    """Queue capacity in elements; absent: the flow's, else the runtime's."""
    low_watermark_ratio: Ratio | None = None
    """Where pressure ends (K-02b); absent: the flow's, else the runtime's."""
    backpressure: Backpressure = Backpressure()
    """This stream's own backpressure settings."""


class Node(Section):
    """One stage: a component in a place of the flow."""

    component: Text
    """A `[[component]]` name, a path ending in .wasm or .torvyn, or a `file://`, `oci://` or `oci-layout:` reference."""
    interface: Text
    """The Torvyn interface it plays, for example `torvyn:streaming/processor`."""
    config: str | None = None
    """Passed to `lifecycle.init`; absent: the component's."""
    fuel_budget: Fuel | None = None
    """Fuel of one guest call; absent: the runtime's."""
    max_memory: Size | None = None
    """Linear memory in bytes; absent: the runtime's."""
    priority: Priority | None = None
    """Scheduling weight; absent: the runtime's."""


class Flow(Section):
    """`[flow.<name>]`: stages and the streams between them."""

    description: str = ""
    """One sentence for people."""
    nodes: Table[Node] = Field(default_factory=dict)
    """The stages by name, in file order."""
    edges: tuple[Edge, ...] = ()
    """The streams, in file order."""
    scheduling: Annotated[Schedule, Field(strict=False)] = Schedule.CONSUMER_FIRST
    """Which ready stage runs next."""
    scheduling_policy: Annotated[SchedulingPolicy | None, Field(strict=False)] = None
    """How workers are shared, when not as in `[runtime.scheduling]` (CFG-018)."""
    priority: Annotated[FlowPriority, Field(strict=False)] = FlowPriority.NORMAL
    """Sets the stage executions per yield."""
    elements_per_yield: Batch | None = None
    """Stage executions before a yield, whatever the priority says (SCHED-010)."""
    error_policy: ErrorPolicy = ErrorPolicy()
    """What a component's error does to the flow."""
    fan_out: Annotated[FanOut, Field(strict=False)] = FanOut.MIN_CREDIT
    """What a paused sink means for its producer's other branches (CREDIT-009, CREDIT-010)."""
    deadline_ms: Timeout | None = None
    """Bound of the whole flow in milliseconds (CANCEL-008); absent: none."""
    default_queue_depth: Depth | None = None
    """Queue capacity of edges that name none."""
    backpressure: Backpressure = Backpressure()
    """Defaults of this flow's streams."""


class Tables(KebabSection):
    """What a Torvyn.toml holds besides its components."""

    torvyn: Torvyn | None = None
    capabilities: Capabilities = Capabilities()
    contracts: Contracts = Contracts()
    compatibility: Compatibility = Compatibility()
    build: Build = Build()
    test: Test = Test()
    distribution: Distribution = Distribution()
    deprecation: Deprecation | None = None
    config_schema: ConfigSchema | None = None
    runtime: Runtime = Runtime()
    observability: Observability = Observability()
    security: Security = Security()
    registry: Registry = Registry()
    flow: Table[Flow] = Field(default_factory=dict)
    """The flows by name, in file order (CFG-020)."""


class Manifest(Tables):
    """A Torvyn.toml of a project: its components are an array of tables."""

    component: tuple[Component, ...] = ()
    """The components, in file order."""


class PackageManifest(Tables):
    """A Torvyn.toml that packages one component: `component` is a single table (D.2)."""

    component: ComponentPackage
    """The packaged component."""

"""Facet `contracts`: WIT packages and manifests judged, compared and composed; pipelines linked. Nothing runs."""

from __future__ import annotations

from typing import Literal

from conformance.subjects.protocol.base import U32, Message, Reply, Request


class SourceLocation(Message, frozen=True):
    """A place in a file; line and column count from 1, and 0 says that there is none."""

    file: str
    line: U32 = 0
    column: U32 = 0
    label: str = ""


class Diagnostic(Message, frozen=True):
    """One finding about a contract, a composition or a pipeline.

    Attributes:
        severity: how much it matters; nothing is refused without an error.
        kind: its symbolic kind, in kebab-case; each request lists those that it may give.
        message: one sentence for people.
        code: `E` and four digits, informative.
        locations: where it is, the most important place first.
        notes, help: what else there is to know, and what to do.
        about: the names that it is about, outermost first: interface, type and field; or a node and its import.
        versions: of the packages compared, the older first, where it is about a comparison.
    """

    severity: Literal["hint", "warning", "error"]
    kind: str
    message: str
    code: str = ""
    locations: tuple[SourceLocation, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    about: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


class CheckComponent(Request, frozen=True, tag="contracts.check"):
    """Check a component's project before it is built: its manifest, and the WIT under `wit/` → `contract-checked`.

    Kinds: manifest-parse, missing-field, version-error, capability-error, wit-syntax-error, wit-package-declaration,
    no-exported-interface, capability-mismatch, unused-capability, unsatisfiable-version; further ones for what else a runtime refuses.

    Attributes:
        files: the project's files by relative name: `Torvyn.toml`, the component's own package directly under `wit/`, and below
            `wit/deps/` a directory for each package that it uses.
    """

    files: dict[str, bytes]


class ComparePackages(Request, frozen=True, tag="contracts.compare"):
    """Compare two versions of a WIT package → `contracts-compared`. Fault `invalid-wit` when one of them is none.

    Attributes:
        old, new: the text of each file by its name, such as `types.wit`.
    """

    old: dict[str, str]
    new: dict[str, str]


class MeetRequirement(Request, frozen=True, tag="contracts.meet"):
    """Ask whether a provider's package serves a consumer that was built against another version of it → `contract-checked`.

    It does so exactly if nothing in the reply is an error. Fault `invalid-wit` when a package is none.

    Kinds: incompatible-major, version-too-old (the provider's), minor-differs, and those of `contracts.compare`.

    Attributes:
        consumer, provider: the text of each file of the package by its name.
        uses: the interfaces that the consumer uses, by their short names.
    """

    consumer: dict[str, str]
    provider: dict[str, str]
    uses: tuple[str, ...]


class Part(Message, frozen=True):
    """A component of a composition: its name, its contract, and its capabilities.

    Attributes:
        packages: the WIT packages that it vendors, each as the text of its files by name; the first is its own and has its world.
        requires: the capabilities that it cannot do without.
        granted: what its operator grants, compared by exact name.
    """

    name: str
    packages: tuple[dict[str, str], ...]
    requires: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()


class Connection(Message, frozen=True):
    """From one component of a composition to another, by their names."""

    source: str
    target: str


class ComposeComponents(Request, frozen=True, tag="contracts.compose"):
    """Check whether components fit together, from their contracts alone → `contract-checked`. Fault `invalid-wit`.

    Kinds: invalid-topology, disconnected, source-has-incoming, sink-has-outgoing, incompatible-major (of what two connected components
    share), unmet-capability, version-range-unsatisfiable. `about` names the components; for a package or a capability that follows.
    """

    components: tuple[Part, ...]
    connections: tuple[Connection, ...]


class IdentifyComponent(Request, frozen=True, tag="contracts.identify"):
    """Say what a component is, from its bytes → `component-identified`.

    Fault `no-exported-interface` when no export gives it a role, `several-roles`, `version-incompatible`, `invalid-component`.
    """

    component: bytes


class PipelineNode(Message, frozen=True):
    """A node of a pipeline that is to be linked.

    Attributes:
        interface: the interface that its component is to have, such as `torvyn:streaming/sink`.
        component: the component's bytes; empty when only its imports and exports are known.
        imports, exports: by full interface name, with or without version; of a component that is given the bytes count.
        capabilities: what it declares; `granted` what its operator grants.
    """

    name: str
    interface: str
    component: bytes = b""
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()


class PipelineEdge(Message, frozen=True):
    """An edge of a pipeline; what is None is not written there."""

    source: str
    target: str
    source_port: str | None = None
    target_port: str | None = None
    queue_depth: U32 | None = None
    policy: str | None = None


class Pipeline(Message, frozen=True):
    """A pipeline that is to be linked.

    Attributes:
        max_fan_out, max_fan_in: the topology's own limits per port; None for the default.
        topology_only: imports without a provider are no reason to refuse it.
    """

    name: str
    nodes: tuple[PipelineNode, ...]
    edges: tuple[PipelineEdge, ...]
    max_fan_out: U32 | None = None
    max_fan_in: U32 | None = None
    topology_only: bool = False


class LinkPipelines(Request, frozen=True, tag="contracts.link"):
    """Link pipelines one after the other, with one linker that is made for them → `pipelines-linked`.

    Kinds: topology-error (or, finer, a kind of `flows.run`: empty, duplicate-stage, unknown-stage ...), role-violation, cyclic-dependency,
    unresolved-import, ambiguous-provider, capability-denied, unknown-interface; further ones for what else a runtime refuses. `about` names
    the nodes; for an import that follows last.
    """

    pipelines: tuple[Pipeline, ...]


class ContractCheckedReply(Reply, frozen=True, tag="contract-checked"):
    """What a check found: `ok` is its own word for it, the diagnostics are in the order in which it would print them."""

    ok: bool
    diagnostics: tuple[Diagnostic, ...] = ()


class ContractChange(Message, frozen=True):
    """One difference between two versions of a package.

    Attributes:
        path: the names that lead to it: interface, type, member; interface, resource, function; world, import or export.
        change: whether it is gone, new, or another than before.
        severity: what it does to those who use the package.
    """

    path: tuple[str, ...]
    change: Literal["removed", "added", "changed"]
    severity: Literal["breaking", "minor"]


class ContractsComparedReply(Reply, frozen=True, tag="contracts-compared"):
    """How two versions of a package differ.

    Attributes:
        verdict: the worst that any change does; incompatible when the majors differ.
        changes: every difference, in any order.
        diagnostics: one for each breaking change, with the change's path in `about` and both versions. Kinds: missing-function,
            missing-interface, type-signature, ownership, field-removed, variant-case-removed, incompatible-major for all others.
        old_version, new_version: `0.0.0` for a package that names none.
        link_compatible: whether a component built against the old one still links; None where it is not told.
    """

    verdict: Literal["compatible", "compatible-with-additions", "breaking", "incompatible"]
    changes: tuple[ContractChange, ...]
    diagnostics: tuple[Diagnostic, ...]
    old_version: str
    new_version: str
    link_compatible: bool | None = None


class ComponentIdentifiedReply(Reply, frozen=True, tag="component-identified"):
    """What a component is: its role, whether it has a life cycle, and its imports and exports by full name."""

    role: str
    lifecycle: bool
    imports: tuple[str, ...]
    exports: tuple[str, ...]


class ImportBinding(Message, frozen=True):
    """What serves an import: the host's WASI, the host's Torvyn interfaces, or the component of an upstream node."""

    import_name: str
    provider: Literal["wasi", "torvyn", "upstream"]
    node: str = ""


class LinkedNode(Message, frozen=True):
    """A node that is linked: its role, and what serves each of its imports."""

    name: str
    role: str
    bindings: tuple[ImportBinding, ...] = ()


class LinkedEdge(Message, frozen=True):
    """An edge that is linked: its stream's number, and all that it has, defaults included."""

    stream: U32
    source: str
    target: str
    source_port: str
    target_port: str
    queue_depth: U32
    policy: str


class LinkOutcome(Message, frozen=True):
    """What became of one pipeline: its nodes in the order in which they would start, its edges, or why it was refused."""

    ok: bool
    nodes: tuple[LinkedNode, ...] = ()
    edges: tuple[LinkedEdge, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


class PipelinesLinkedReply(Reply, frozen=True, tag="pipelines-linked"):
    """The outcome of each pipeline, in the order asked."""

    outcomes: tuple[LinkOutcome, ...]

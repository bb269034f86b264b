"""Facet contracts over `torvyn_ref.contract`: texts in, findings out; nothing is started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.compiling import compiled
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.projects import write_files
from torvyn_ref.contract import wit
from torvyn_ref.contract.composition import Part
from torvyn_ref.contract.diagnostics import Diagnostic, is_ok, of_error
from torvyn_ref.contract.linker import LinkedPipeline, Linker, Node, Pipeline
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.topology import DEFAULT_PORT, MAX_FAN, EdgeDef
from torvyn_ref.streams import OverflowPolicy, StreamConfig

_FAMILIES: Mapping[str, str] = {"cycle": "cyclic-dependency", "source-has-input": "role-violation", "sink-has-output": "role-violation"}
"""The linker's words for kinds of the topology room that have one of their own."""


class ReferenceContracts:
    """Contracts behind the messages `contracts.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts

    def check(self, request: p.CheckComponent) -> p.ContractCheckedReply:
        """Check a component's project in a directory of its own."""
        with TemporaryDirectory(prefix="torvyn-contract-") as folder:
            root = Path(folder)
            write_files(root, request.files)
            return _checked(self._parts.check_component(root))

    def compare(self, request: p.ComparePackages) -> p.ContractsComparedReply:
        """Compare two versions of a package."""
        comparison = self._parts.compare(_package(request.old), _package(request.new))
        return p.ContractsComparedReply(
            cast("Literal['compatible']", str(comparison.verdict)),
            tuple(
                p.ContractChange(
                    difference.path, cast("Literal['removed']", str(difference.change)), "breaking" if difference.breaking else "minor"
                )
                for difference in comparison.differences
            ),
            tuple(map(_told, self._parts.tell_breaking(comparison))),
            comparison.old_version,
            comparison.new_version,
            comparison.link_compatible,
        )

    def meet(self, request: p.MeetRequirement) -> p.ContractCheckedReply:
        """Ask whether a provider serves a consumer."""
        return _checked(self._parts.meet(_package(request.consumer), _package(request.provider), request.uses))

    def compose(self, request: p.ComposeComponents) -> p.ContractCheckedReply:
        """Check whether components fit together."""
        parts = [Part(part.name, _packages(part.packages), part.requires, part.granted) for part in request.components]
        return _checked(self._parts.compose(parts, [(one.source, one.target) for one in request.connections]))

    def identify(self, request: p.IdentifyComponent) -> p.ComponentIdentifiedReply:
        """Say what a component is."""
        shape = compiled("", request.component).shape
        world = self._parts.identify(shape, where="the component that the suite sent")
        return p.ComponentIdentifiedReply(str(world.role), world.has_lifecycle, shape.imports, shape.exports)

    def link(self, request: p.LinkPipelines) -> p.PipelinesLinkedReply:
        """Link pipelines with one linker."""
        linker = self._parts.linker()
        return p.PipelinesLinkedReply(tuple(_linked(linker, pipeline) for pipeline in request.pipelines))


def _package(files: Mapping[str, str]) -> wit.Package:
    return _packages([files])[0]


def _packages(packages: Sequence[Mapping[str, str]]) -> tuple[wit.Package, ...]:
    """Parse packages that may use each other, the first one last, as `wit.load` does.

    Raises:
        Refused: invalid-wit.
    """
    try:
        waiting = list(enumerate(packages))[1:]
        parsed: dict[int, wit.Package] = {}
        while waiting:
            left, problem = [], None
            for number, files in waiting:
                try:
                    parsed[number] = wit.parse(files, parsed.values())
                except TorvynError as error:
                    left.append((number, files))
                    problem = error
            if problem is not None and len(left) == len(waiting):
                raise problem
            waiting = left
        own = [wit.parse(packages[0], parsed.values())] if packages else []
    except TorvynError as error:
        raise Refused("invalid-wit", str(error)) from error
    return (*own, *(parsed[number] for number in sorted(parsed)))


def _checked(diagnostics: Iterable[Diagnostic]) -> p.ContractCheckedReply:
    found = tuple(diagnostics)
    return p.ContractCheckedReply(is_ok(found), tuple(map(_told, found)))


def _told(diagnostic: Diagnostic) -> p.Diagnostic:
    return p.Diagnostic(
        cast("Literal['error']", str(diagnostic.severity)),
        str(diagnostic.kind),
        diagnostic.message,
        diagnostic.code,
        tuple(p.SourceLocation(place.file, place.line, place.column, place.label) for place in diagnostic.locations),
        diagnostic.notes,
        diagnostic.help or "",
        diagnostic.about,
        diagnostic.versions,
    )


def _linked(linker: Linker, asked: p.Pipeline) -> p.LinkOutcome:
    pipeline = Pipeline(
        asked.name,
        tuple(map(_node, asked.nodes)),
        tuple(map(_edge, asked.edges)),
        MAX_FAN if asked.max_fan_out is None else asked.max_fan_out,
        MAX_FAN if asked.max_fan_in is None else asked.max_fan_in,
    )
    try:
        linked = linker.link(pipeline, topology_only=asked.topology_only)
    except TorvynError as error:
        return p.LinkOutcome(ok=False, diagnostics=tuple(_refusal(error)))
    return _outcome(linked)


def _refusal(error: TorvynError) -> Iterable[p.Diagnostic]:
    for one in getattr(error, "errors", (error,)):
        fields = one.fields
        about = fields.get("stages") or [fields[key] for key in ("node", "stage", "component") if key in fields][:1]
        more = [fields[key] for key in ("import_name",) if key in fields]
        (finding,) = of_error(one, kind=_FAMILIES.get(one.kind))
        yield p.Diagnostic(
            "error", finding.kind, finding.message, finding.code, help=finding.help or "", about=tuple(map(str, (*about, *more)))
        )


def _outcome(linked: LinkedPipeline) -> p.LinkOutcome:
    nodes = (
        p.LinkedNode(
            node.name,
            str(node.role),
            tuple(p.ImportBinding(one.import_name, cast("Literal['wasi']", str(one.provider)), one.node or "") for one in node.bindings),
        )
        for node in linked.nodes
    )
    edges = (
        p.LinkedEdge(number, edge.source, edge.target, edge.source_port, edge.target_port, edge.config.capacity, str(edge.config.policy))
        for number, edge in linked.streams
    )
    return p.LinkOutcome(ok=True, nodes=tuple(nodes), edges=tuple(edges))


def _node(asked: p.PipelineNode) -> Node:
    shape = compiled("", asked.component).shape if asked.component else ComponentShape(asked.imports, asked.exports)
    return Node(asked.name, asked.interface, shape, asked.capabilities, asked.granted)


def _edge(asked: p.PipelineEdge) -> EdgeDef:
    default = StreamConfig()
    try:
        policy = default.policy if asked.policy is None else OverflowPolicy(asked.policy)
    except ValueError:
        raise Refused("invalid-config", f"{asked.policy!r} is no policy; there are {', '.join(OverflowPolicy)}") from None
    config = StreamConfig(default.capacity if asked.queue_depth is None else asked.queue_depth, policy=policy)
    source_port, target_port = (DEFAULT_PORT if port is None else port for port in (asked.source_port, asked.target_port))
    return EdgeDef(asked.source, asked.target, source_port, target_port, config)

"""Mutants that link graphs that are wrong, or return them wrongly (LINK-001 to LINK-011, LINK-019 to LINK-023)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Role
from torvyn_ref.contract.link import Candidate, Linked
from torvyn_ref.contract.linker import LinkedNode, LinkedPipeline, Linker, Node, Pipeline
from torvyn_ref.errors import TorvynError, TorvynErrors, raise_all
from torvyn_ref.flow.topology import EdgeDef, StageDef, Topology, TopologyError


def linking(name: str, *rules: str, summary: str, linker: Callable[[], Linker]) -> None:
    """Register a faulty linker."""
    register(name, *rules, summary=summary, build=lambda: ReferenceParts(linker=linker))


def each(error: TorvynError) -> Sequence[TorvynError]:
    """Return the single errors that an error stands for."""
    return error.errors if isinstance(error, TorvynErrors) else (error,)


class _Kind(Linker):
    """Looks over some defects of a graph."""

    forgives: frozenset[str] = frozenset()

    def _topology(self, pipeline: Pipeline) -> Topology:
        try:
            return super()._topology(pipeline)
        except TorvynError as error:
            raise_all(one for one in each(error) if one.kind not in self.forgives)
        stages = tuple(StageDef(node.name, Role(node.interface.partition("@")[0].rpartition("/")[2])) for node in pipeline.nodes)
        return Topology(stages, pipeline.edges, (0,) * len(stages))


def _forgiving(*kinds: str) -> type[Linker]:
    return type("Forgiving", (_Kind,), {"forgives": frozenset(kinds)})


for _name, _rules, _kinds, _summary in (
    ("nameless-pipelines-link", ("LINK-001",), ("empty-name",), "A pipeline without a name is linked."),
    ("empty-pipelines-link", ("LINK-002",), ("empty",), "A pipeline without nodes is linked."),
    ("edges-to-nowhere-link", ("LINK-003",), ("unknown-stage",), "An edge to a node that does not exist is not told."),
    (
        "dangling-stages-link",
        ("LINK-004", "LINK-009"),
        ("missing-input", "missing-output", "unreachable"),
        "A stage without an edge is linked.",
    ),
    ("sources-take-input", ("LINK-005",), ("source-has-input",), "An edge may lead into a source."),
    ("sinks-give-output", ("LINK-005",), ("sink-has-output",), "An edge may lead out of a sink."),
    ("circles-link", ("LINK-006",), ("cycle",), "A pipeline that runs in a circle is linked."),
    ("fans-without-limit", ("LINK-007",), ("fan-out", "fan-in"), "A port may have any number of edges."),
    ("a-source-is-optional", ("LINK-008",), ("no-source",), "A pipeline without a source is not told so."),
    ("a-sink-is-optional", ("LINK-008",), ("no-sink",), "A pipeline without a sink is not told so."),
    ("names-may-repeat", ("LINK-010",), ("duplicate-stage",), "Two nodes may have one name."),
):
    linking(_name, *_rules, summary=_summary, linker=_forgiving(*_kinds))


class _Changed(Linker):
    """Links another pipeline than it was given."""

    def change(self, pipeline: Pipeline) -> Pipeline:
        """Return the other one."""
        return pipeline

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        return super().link(self.change(pipeline), topology_only=topology_only)


def _changing(change: Callable[[Pipeline], Pipeline]) -> type[Linker]:
    return type("Changing", (_Changed,), {"change": staticmethod(change)})


linking(
    "loops-are-left-out",
    "LINK-010",
    summary="An edge from a node to itself is left out without a word.",
    linker=_changing(lambda one: replace(one, edges=tuple(edge for edge in one.edges if edge.source != edge.target))),
)
linking(
    "limits-are-fixed",
    "LINK-007",
    summary="A topology's own limits are not read.",
    linker=_changing(lambda one: replace(one, max_fan_out=16, max_fan_in=16)),
)
linking(
    "seventeen-is-sixteen",
    "LINK-007",
    summary="One edge more than the limit is linked.",
    linker=_changing(lambda one: replace(one, max_fan_out=one.max_fan_out + 1, max_fan_in=one.max_fan_in + 1)),
)
linking(
    "ports-are-one",
    "LINK-007",
    summary="Edges are counted per node, not per port.",
    linker=_changing(lambda one: replace(one, edges=tuple(_default_ports(one)))),
)


def _default_ports(pipeline: Pipeline) -> Iterable[EdgeDef]:
    return (replace(edge, source_port="default", target_port="default") for edge in pipeline.edges)


class _MuchAtOnce(Linker):
    """Judges an empty pipeline further."""

    def _topology(self, pipeline: Pipeline) -> Topology:
        if not pipeline.nodes:
            raise_all([TopologyError(kind, f"the pipeline: {kind}") for kind in ("empty", "no-source", "no-sink")])
        return super()._topology(pipeline)


linking("empty-is-told-thrice", "LINK-002", summary="An empty pipeline is judged further, for its source and its sink.", linker=_MuchAtOnce)


class _OpenPath(Linker):
    """Does not close the path of a circle."""

    def _topology(self, pipeline: Pipeline) -> Topology:
        try:
            return super()._topology(pipeline)
        except TorvynError as error:
            for one in each(error):
                if one.kind == "cycle":
                    one.message = f"the flow runs in a circle at {one.fields['stages'][0]}"
            raise


linking("circles-without-a-path", "LINK-006", summary="The error of a circle names one node of it.", linker=_OpenPath)


class _Ordered(Linker):
    """Lists the nodes as they were given."""

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        linked = super().link(pipeline, topology_only=topology_only)
        by_name = {node.name: node for node in linked.nodes}
        return replace(linked, nodes=tuple(by_name[node.name] for node in pipeline.nodes))


linking("nodes-as-written", "LINK-011", "LINK-019", summary="Nodes are listed as they were given.", linker=_Ordered)


class _FromZero(Linker):
    """Numbers the streams of every pipeline from 0."""

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        return Linker().link(pipeline, topology_only=topology_only)


class _Sorted(Linker):
    """Numbers streams by the names of their ends."""

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        edges = sorted(pipeline.edges, key=lambda edge: (edge.source, edge.target, edge.source_port))
        return super().link(replace(pipeline, edges=tuple(edges)), topology_only=topology_only)


linking("streams-from-zero", "LINK-019", summary="Every pipeline's streams are numbered from 0.", linker=_FromZero)
linking("streams-by-name", "LINK-019", summary="Streams are numbered in the order of names.", linker=_Sorted)


class _Always(Linker):
    """Knows no mode for topologies only."""

    def _bind(self, candidates: Sequence[Candidate], *, topology_only: bool) -> Mapping[str, Linked]:
        return super()._bind(candidates, topology_only=topology_only and not candidates)


class _TooLenient(Linker):
    """Looks at nothing in that mode."""

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        try:
            return super().link(pipeline, topology_only=topology_only)
        except TorvynError:
            if not topology_only:
                raise
            nodes = tuple(LinkedNode(node.name, Role.PROCESSOR, ()) for node in pipeline.nodes)
            return LinkedPipeline(pipeline.name, nodes, tuple(enumerate(pipeline.edges)))


linking("imports-always-count", "LINK-020", summary="Topology-only mode refuses for missing imports.", linker=_Always)
linking("topology-only-is-nothing", "LINK-020", summary="Topology-only mode refuses nothing at all.", linker=_TooLenient)


class _Together(Linker):
    """Judges imports whatever the graph is like."""

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        try:
            return super().link(pipeline, topology_only=topology_only)
        except TorvynError as error:
            errors = list(each(error))
            missing = [
                TorvynError("contract", "unresolved-import", f"{node.name}: nothing provides {name}", node=node.name)
                for node in pipeline.nodes
                for name in node.shape.imports
                if name.startswith("acme:") and errors[0].subsystem == "topology"
            ]
            raise_all([*errors, *missing])
            raise


linking("everything-at-once", "LINK-021", summary="Imports are judged although the graph is wrong.", linker=_Together)


def _by_part(pipeline: Pipeline) -> Pipeline:
    """Take a role from any part of an interface's name, as Torvyn 0.1.1 does."""
    homes = {"source": "streaming", "sink": "streaming", "filter": "filtering", "router": "filtering", "aggregator": "aggregation"}

    def taken(node: Node) -> Node:
        role = next((role for role in homes if role in node.interface), "processor")
        return replace(node, interface=f"torvyn:{homes.get(role, 'streaming')}/{role}")

    return replace(pipeline, nodes=tuple(map(taken, pipeline.nodes)))


linking("roles-by-substring", "LINK-022", summary="A role is read from any part of an interface's name.", linker=_changing(_by_part))


def _unset(change: Callable[[EdgeDef], EdgeDef]) -> type[Linker]:
    return _changing(lambda one: replace(one, edges=tuple(map(change, one.edges))))


linking(
    "short-queues-by-default",
    "LINK-023",
    summary="An edge without a depth has 32 places.",
    linker=_unset(lambda one: replace(one, config=replace(one.config, capacity=32)) if one.config.capacity == 64 else one),
)
linking(
    "ports-are-called-out",
    "LINK-023",
    summary="An edge without a port leaves by `out`.",
    linker=_unset(lambda one: replace(one, source_port="out") if one.source_port == "default" else one),
)

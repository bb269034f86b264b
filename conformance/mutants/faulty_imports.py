"""Mutants that find the wrong providers, and that take components for something else (LINK-012 to LINK-018, CON-002, CON-013)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from conformance.mutants.faulty_links import each, linking
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Role
from torvyn_ref.contract.link import Candidate, Linked, Provider
from torvyn_ref.contract.linker import LinkedNode, LinkedPipeline, Linker, Pipeline
from torvyn_ref.contract.world import World, identify
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, raise_all


class _Bound(Linker):
    """Finds other providers."""

    def rewire(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the nodes as it takes them."""
        return candidates

    def _bind(self, candidates: Sequence[Candidate], *, topology_only: bool) -> Mapping[str, Linked]:
        return super()._bind(self.rewire(candidates), topology_only=topology_only)


def _rewiring(rewire: Callable[[Sequence[Candidate]], Sequence[Candidate]]) -> type[Linker]:
    return type("Rewiring", (_Bound,), {"rewire": staticmethod(rewire)})


def _all_before(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    above = {one.node: set(one.upstreams) for one in candidates}
    for _ in candidates:
        for seen in above.values():
            for name in tuple(seen):
                seen |= above.get(name, set())
    return [replace(one, upstreams=tuple(sorted(above[one.node]))) for one in candidates]


def _everybody(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    names = tuple(one.node for one in candidates)
    return [replace(one, upstreams=tuple(name for name in names if name != one.node)) for one in candidates]


linking("all-upstreams-serve", "LINK-012", summary="Indirect upstreams serve imports, too.", linker=_rewiring(_all_before))
linking("everybody-serves", "LINK-012", summary="Any component of the pipeline serves imports.", linker=_rewiring(_everybody))


class _UpstreamFirst(Linker):
    """Asks the upstreams before the host."""

    def link(self, pipeline: Pipeline, *, topology_only: bool = False) -> LinkedPipeline:
        """Link it."""
        linked = super().link(pipeline, topology_only=topology_only)
        exports = {node.name: frozenset(node.shape.exports) for node in pipeline.nodes}
        return replace(linked, nodes=tuple(self._prefer(node, pipeline, exports) for node in linked.nodes))

    @staticmethod
    def _prefer(node: LinkedNode, pipeline: Pipeline, exports: Mapping[str, Collection[str]]) -> LinkedNode:
        above = [edge.source for edge in pipeline.edges if edge.target == node.name]
        found = {name: up for up in above for name in exports[up]}
        bindings = tuple(
            replace(one, provider=Provider.UPSTREAM, node=found[one.import_name]) if one.import_name in found else one
            for one in node.bindings
        )
        return replace(node, bindings=bindings)


linking("upstreams-before-the-host", "LINK-012", summary="An upstream serves what the host offers.", linker=_UpstreamFirst)


class _Filtered(Linker):
    """Leaves some errors out."""

    def keep(self, errors: Sequence[TorvynError]) -> Sequence[TorvynError]:
        """Return those that are told."""
        return errors

    def _bind(self, candidates: Sequence[Candidate], *, topology_only: bool) -> Mapping[str, Linked]:
        try:
            return super()._bind(candidates, topology_only=topology_only)
        except TorvynError as error:
            raise_all(self.keep(each(error)))
            raise


def _keeping(keep: Callable[[Sequence[TorvynError]], Sequence[TorvynError]]) -> type[Linker]:
    return type("Keeping", (_Filtered,), {"keep": staticmethod(keep)})


def _once_per(field: str) -> Callable[[Sequence[TorvynError]], Sequence[TorvynError]]:
    def keep(errors: Sequence[TorvynError]) -> Sequence[TorvynError]:
        return list({str(one.fields.get(field)): one for one in reversed(errors)}.values())

    return keep


linking("one-missing-import-per-node", "LINK-013", summary="Of a node's missing imports one is told.", linker=_keeping(_once_per("node")))
linking(
    "missing-imports-once", "LINK-013", summary="An import that two nodes miss is told of one.", linker=_keeping(_once_per("import_name"))
)
linking(
    "imports-hide-grants",
    "LINK-021",
    summary="A missing grant is told only when no import is missing.",
    linker=_keeping(lambda errors: [one for one in errors if one.kind == "unresolved-import"] or errors),
)


def _first_two(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return [replace(one, upstreams=tuple(dict.fromkeys(one.upstreams))[:2]) for one in candidates]


linking("the-third-upstream-is-forgotten", "LINK-012", summary="Only two upstreams are asked.", linker=_rewiring(_first_two))


def _first_provider(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return [replace(one, upstreams=one.upstreams[:1]) for one in candidates]


linking("the-first-provider-will-do", "LINK-014", summary="Of two providers the first one is taken.", linker=_rewiring(_first_provider))


class _PerEdge(Linker):
    """Counts providers by edges, as Torvyn 0.1.1 does."""

    def _bind(self, candidates: Sequence[Candidate], *, topology_only: bool) -> Mapping[str, Linked]:
        exports = {one.node: one.shape.exports for one in candidates}
        for one in candidates:
            for wanted in one.shape.imports:
                if sum(wanted in exports[up] for up in one.upstreams) > 1:
                    message = f"{one.node}: {wanted} has two providers"
                    raise TorvynError("contract", "ambiguous-provider", message, node=one.node, import_name=wanted)
        return super()._bind(candidates, topology_only=topology_only)


linking("edges-are-providers", "LINK-015", summary="Two edges from one upstream are two providers.", linker=_PerEdge)
linking(
    "declared-is-granted",
    "LINK-016",
    summary="What a component declares it gets.",
    linker=_rewiring(lambda all_: [replace(one, granted=(*one.granted, *one.declared)) for one in all_]),
)
linking(
    "any-grant-opens-all",
    "LINK-016",
    summary="Who has a grant has all that he declares.",
    linker=_rewiring(lambda all_: [replace(one, granted=(*one.granted, *one.declared)) if one.granted else one for one in all_]),
)


class _Poor(Linker):
    """Does not know that the host has an allocator."""

    def _bind(self, candidates: Sequence[Candidate], *, topology_only: bool) -> Mapping[str, Linked]:
        raise_all(
            TorvynError("contract", "unresolved-import", f"{one.node}: nothing provides {name}", node=one.node, import_name=name)
            for one in candidates
            for name in one.shape.imports
            if "buffer-allocator" in name
        )
        return super()._bind(candidates, topology_only=topology_only)


linking("no-allocator-to-link", "LINK-017", summary="The host's allocator is not among its interfaces.", linker=_Poor)


def _guess(name: str) -> str:
    known = {"wasi:random/random": "wasi:random/random@0.2.3", "torvyn:streaming/types": "torvyn:streaming/types@0.1.0"}
    return next((full for part, full in known.items() if part in name), name)


def _by_substring(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return [replace(one, shape=replace(one.shape, imports=tuple(map(_guess, one.shape.imports)))) for one in candidates]


linking("imports-by-substring", "LINK-018", summary="A name that contains a known one is taken for it.", linker=_rewiring(_by_substring))


# ---- what a component is


def identifying(name: str, *rules: str, summary: str, say: Callable[[ComponentShape, str], World]) -> None:
    """Register a runtime that takes components for something else."""
    register(name, *rules, summary=summary, build=lambda: ReferenceParts(identify=lambda shape, *, where: say(shape, where)))


def _without_role(shape: ComponentShape, where: str) -> World:
    try:
        return identify(shape, where=where)
    except TorvynError as error:
        if error.kind != "no-exported-interface":
            raise
        return identify(replace(shape, exports=("torvyn:streaming/processor@0.1.0",)), where=where)


def _as_processor(shape: ComponentShape, where: str) -> World:
    world = identify(shape, where=where)
    return replace(world, role=Role.PROCESSOR) if world.role is Role.AGGREGATOR else world


def _exact(shape: ComponentShape, where: str) -> World:
    for name in shape.imports:
        if name.startswith("torvyn:") and not name.endswith("@0.1.0"):
            raise TorvynError("contract", "version-incompatible", f"{name} is not of version 0.1.0", where=where)
    return identify(shape, where=where)


identifying("nothing-is-a-processor", "CON-002", summary="A component that exports nothing is a processor.", say=_without_role)
identifying("aggregators-are-processors", "CON-002", summary="An aggregator is taken for a processor.", say=_as_processor)
identifying("patches-are-strangers", "CON-013", summary="A component built for a later patch is refused.", say=_exact)

"""Making trace files of what a session has just seen (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from conformance.subjects import protocol as p
from conformance.traces.file import FORMAT, Exchange, Header, Shows, TraceFile, mistakes, of_flow

SUITE = "torvyn-conformance"


def header(
    declaration: p.Declaration, *, seed: int | None = None, flow: p.FlowSpec | None = None, shows: Shows | None = None, note: str = ""
) -> Header:
    """Return the header of a trace of a subject that declared itself."""
    return Header(
        format=FORMAT,
        suite=f"{SUITE} {version(SUITE)}",
        subject=f"{declaration.name} {declaration.version}".strip(),
        seed=seed,
        flow=flow,
        claims={str(claim.facet): claim.capabilities for claim in declaration.facets if claim.capabilities},
        shows=shows,
        note=note,
    )


def of_episode(
    declaration: p.Declaration,
    episode: Sequence[tuple[p.AnyRequest, p.AnyReply | None]],
    *,
    seed: int | None = None,
    shows: Shows | None = None,
    note: str = "",
) -> TraceFile:
    """Return an episode of a session as a trace: of a flow, if it was one valid flow that ran; else of the conversation."""
    if len(episode) == 1:
        request, reply = episode[0]
        if isinstance(request, p.RunFlow) and isinstance(reply, p.FlowRunReply) and not mistakes(request.spec):
            return of_flow(header(declaration, seed=seed, flow=request.spec, shows=shows, note=note), reply)
    exchanges = tuple(Exchange(request=request, reply=reply) for request, reply in episode)
    return TraceFile(header(declaration, seed=seed, shows=shows, note=note), exchanges=exchanges)


def shows(rule: str, check: str, message: str, expected: str, found: str, evidence: object, episode: Sequence[object]) -> Shows:
    """Return what a counterexample shows; the place is the event that the evidence names, or the last message."""
    at = evidence.get("event") if isinstance(evidence, Mapping) else None
    is_flow = isinstance(evidence, Mapping) and "flow" in evidence
    return Shows(rule=rule, check=check, message=message, expected=expected, found=found, at=at if is_flow else max(len(episode) - 1, 0))

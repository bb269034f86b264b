"""Where a stream's settings come from: the stream, else its flow, else the host (POLICY-010)."""

from __future__ import annotations

from msgspec.structs import replace

from conformance.subjects.protocol import EdgeSpec, FlowSpec


def resolved(spec: FlowSpec) -> FlowSpec:
    """Return a flow all of whose streams say everything themselves."""
    if not any(edge.inherits for edge in spec.edges):
        return spec
    return replace(spec, edges=tuple(_resolved(edge, spec) for edge in spec.edges))


def _resolved(edge: EdgeSpec, spec: FlowSpec) -> EdgeSpec:
    found = {}
    for name in edge.inherits:
        levels = (getattr(spec.defaults, name), getattr(spec.host_defaults, name))
        nearest = next((value for value in levels if value is not None), None)
        if nearest is not None:
            found[name] = nearest
    return replace(edge, inherits=(), **found)

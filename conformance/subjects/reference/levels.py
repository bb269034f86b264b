"""Settings of streams from three levels, resolved by the runtime as it resolves those of a project (POLICY-010)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from conformance.errors import Refused
from conformance.subjects import protocol as p
from torvyn_ref.config import Flow, Project
from torvyn_ref.config.project import StreamSettings
from torvyn_ref.config.schema import Edge, Manifest
from torvyn_ref.streams import StreamConfig

Resolve = Callable[[Project, Flow, Edge], StreamSettings]

KEYS = {"capacity": "default_queue_depth", "low_watermark_ratio": "low_watermark_ratio", "policy": "backpressure_policy"}
"""What a manifest calls a stream's settings."""


def stream_configs(spec: p.FlowSpec, resolve: Resolve) -> list[StreamConfig]:
    """Return what each stream gets.

    Raises:
        Refused: invalid-config, when a level says something that a manifest may not say.
    """
    edges = [
        {"from": "a:out", "to": "b:in", "backpressure": _section(edge, (name for name in KEYS if name not in edge.inherits))}
        for edge in spec.edges
    ]
    tree = {
        "torvyn": {"name": "levels", "version": "0.1.0", "contract_version": "0.1.0"},
        "runtime": {"backpressure": _section(spec.host_defaults, KEYS)},
        "flow": {"main": {"backpressure": _section(spec.defaults, KEYS), "edges": tuple(edges)}},
    }
    try:
        project = Project(Path(), (), Manifest.model_validate(tree), {})
    except ValidationError as error:
        raise Refused("invalid-config", str(error)) from error
    flow = project.flow("main")
    found = [resolve(project, flow, edge) for edge in flow.edges]
    return [StreamConfig(one.queue_depth, one.low_watermark_ratio, one.policy) for one in found]


def _section(level: p.EdgeSpec | p.StreamDefaults, names: Iterable[str]) -> dict[str, Any]:
    """Return what one level says, as it stands in a manifest."""
    return {KEYS[name]: value for name in names if (value := getattr(level, name)) is not None}

"""Facet config over `torvyn_ref.config`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.protocol.config import Origin
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref import config
from torvyn_ref.config import Project
from torvyn_ref.errors import TorvynError, TorvynErrors

_MISSING: Final = object()


class ReferenceConfig:
    """The message `config.load`: the loader that command line and host use."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._during = parts.during

    def load(self, request: p.LoadConfiguration) -> p.ConfigurationReply:
        """Load a configuration.

        Raises:
            Refused: invalid-configuration, with every mistake.
        """
        environment = {**request.environment, "HOME": request.home}
        try:
            with self._during():
                project = config.load(Path(request.project), environment=environment, overrides=request.command_line)
                values = {key: value for key in request.want if (value := _at(project.manifest, tuple(key.split(".")))) is not _MISSING}
                return p.ConfigurationReply(
                    values,
                    {key: _origin(project, key, request) for key in values},
                    tuple(_flow(project, name) for name in project.flows),
                    project.default_flow,
                )
        except TorvynError as error:
            errors = error.errors if isinstance(error, TorvynErrors) else (error,)
            raise Refused("invalid-configuration", error.message, {"errors": [_mistake(one) for one in errors]}) from error


def _mistake(error: TorvynError) -> dict[str, str]:
    return {
        "kind": error.kind,
        "field": str(error.fields.get("field", "")),
        "file": str(error.fields.get("file", "")),
        "message": error.message,
        "hint": error.hint or "",
    }


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path below a table, ready for JSON."""
    for key in path:
        if isinstance(value, BaseModel):
            names = {field.alias or name: name for name, field in type(value).model_fields.items()}
            value = getattr(value, names[key]) if key in names else _MISSING
        else:
            value = value.get(key, _MISSING) if isinstance(value, Mapping) else _MISSING
    return _MISSING if value is None else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return str(value.value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _flow(project: Project, name: str) -> p.ConfiguredFlow:
    flow = project.flow(name)
    streams = []
    for edge in flow.edges:
        found = project.stream_settings(flow, edge)
        streams.append(p.ConfiguredStream(edge.from_.node, edge.to.node, found.queue_depth, str(found.policy)))
    return p.ConfiguredFlow(name, {node: body.component for node, body in flow.nodes.items()}, tuple(streams))


def _origin(project: Project, key: str, request: p.LoadConfiguration) -> Origin:
    """Return which kind of place a value comes from."""
    found = project.origin(key)
    if found is None:
        return "default"
    if found.startswith("environment variable"):
        return "environment"
    if found == "override":
        return "command-line"
    if Path(found).is_relative_to(request.home):
        return "user"
    return "pipeline" if found.endswith("pipeline.toml") else "manifest"

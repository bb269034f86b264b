"""Facet config, as a check sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conformance.subjects import protocol as p


class ConfigClient:
    """Configurations loaded. One that is not valid raises `Refused` with its mistakes."""

    def __init__(self, ask: Callable[[Any, Any], Any]) -> None:
        self._ask = ask

    def load(
        self,
        project: Path,
        home: Path,
        *,
        environment: Mapping[str, str] | None = None,
        command_line: Mapping[str, str] | None = None,
        want: tuple[str, ...] = (),
    ) -> p.ConfigurationReply:
        """Load a project's configuration."""
        request = p.LoadConfiguration(str(project), str(home), dict(environment or {}), dict(command_line or {}), want)
        reply: p.ConfigurationReply = self._ask(request, p.ConfigurationReply)
        return reply

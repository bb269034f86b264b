"""Mutants that read a project too kindly, or say the wrong thing about why it does not start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.config import Project, load
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.host import Host, PreparedFlow


def reading(name: str, rule: str, pattern: str, replacement: str, summary: str) -> None:
    """Register a reader that takes some text of a manifest for another."""

    def kindly(path: Path, **options: Any) -> Project:
        manifest = path / "Torvyn.toml"
        manifest.write_text(re.sub(pattern, replacement, manifest.read_text()))
        return load(path, **options)

    register(name, rule, summary=summary, build=lambda: ReferenceParts(load_project=kindly))


reading("priorities-are-clamped", "TOPO-013", r"priority = 11", "priority = 10", "A priority of 11 is taken for 10.")
reading("zero-is-one", "TOPO-013", r"(priority|queue_depth) = 0", r"\1 = 1", "A priority or a queue depth of 0 is taken for 1.")
reading(
    "any-streaming-thing-is-a-processor",
    "TOPO-014",
    r'interface = "torvyn:streaming/process"',
    'interface = "torvyn:streaming/processor"',
    "An interface that begins like a known one is taken for it.",
)
reading(
    "unknown-is-a-processor",
    "TOPO-014",
    r'interface = "unknown"',
    'interface = "torvyn:streaming/processor"',
    "An unknown interface is a processor's.",
)


class _Labels(Host):
    """Says `linking` of everything that a flow was refused for."""

    def prepare(self, *args: Any, **options: Any) -> PreparedFlow:
        """Relabel what is raised."""
        try:
            return super().prepare(*args, **options)
        except TorvynError as error:
            for one in error.errors if isinstance(error, TorvynErrors) else (error,):
                one.fields["startup_stage"] = "linking"
            raise


register(
    "everything-is-linking",
    "FLOW-019",
    summary="Whatever a flow is refused for, the stage named is linking.",
    build=lambda: ReferenceParts(host=_Labels),
)

"""Mutants that a second runtime taught: faults found in it that the suite did not see at first (docs/findings/torvyn-0.1.1.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_flows import driver
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowDriver
from torvyn_ref.resources import ManagerConfig, ResourceManager


@driver("never-yields", "SCHED-006")
class NeverYields(FlowDriver):
    """The configured number of executions between two yields is not heard, and the runtime's own is larger than most flows are long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], elements_per_yield=256)
        super().__init__(*args, **options)


def _no_empty_table(config: ManagerConfig | None = None, *, observer: Observer | None = None) -> ResourceManager:
    if config is not None and config.table_capacity == 0:
        raise RuntimeError("a table must have slots")
    return ResourceManager(config, observer=observer)


register(
    "an-empty-table-is-the-end",
    "OWN-019",
    summary="A table capacity of 0 is not refused: the runtime gives up.",
    build=lambda: ReferenceParts(manager=_no_empty_table),
)

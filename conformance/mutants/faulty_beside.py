"""Mutants that a second runtime taught: faults found in it that the suite did not see at first (docs/findings/torvyn-0.1.1.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_flows import driver
from conformance.mutants.faulty_reports import Wrapped, report
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowDriver
from torvyn_ref.ids import FlowId, Handle
from torvyn_ref.resources import ManagerConfig, ResourceManager


@driver("never-yields", "SCHED-006")
class NeverYields(FlowDriver):
    """The configured number of executions between two yields is not heard, and the runtime's own is larger than most flows are long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], elements_per_yield=256)
        super().__init__(*args, **options)


@report("no-room-for-steps", "FLOW-003")
class NoRoomForSteps(Wrapped):
    """A channel that holds 64 events is never waited for: once that many yields were sent at one instant, steps are lost with them."""

    def __init__(self, inner: Observer) -> None:
        super().__init__(inner)
        self.instant = self.sent = 0

    def yielded(self, at: int, executions: int) -> None:
        """Count how many lie in the channel."""
        self.instant, self.sent = at, self.sent + 1 if at == self.instant else 1
        self.inner.yielded(at, executions)

    def state(self, at: int, old: str, new: str) -> None:
        """Report a step, if there is room."""
        if at != self.instant or self.sent < 64:
            self.inner.state(at, old, new)


def _no_empty_table(config: ManagerConfig | None = None, *, observer: Observer | None = None) -> ResourceManager:
    if config is not None and config.table_capacity == 0:
        raise RuntimeError("a table must have slots")
    return ResourceManager(config, observer=observer)


def _believed(manager: ResourceManager, handle: Handle, flow: FlowId) -> None:
    manager._table[handle].book = manager._ledger[flow]  # noqa: SLF001 -- a mutant reaches into what it breaks


register(
    "believes-the-caller",
    "COPY-010",
    summary="A copy is charged to the flow in which its caller says that it runs.",
    build=lambda: ReferenceParts(claim=_believed),
)

register(
    "an-empty-table-is-the-end",
    "OWN-019",
    summary="A table capacity of 0 is not refused: the runtime gives up.",
    build=lambda: ReferenceParts(manager=_no_empty_table),
)

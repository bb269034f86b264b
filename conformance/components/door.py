"""The door to the runtime that components are run on: in a process of its own, so that nothing a component does can end the judge."""

from __future__ import annotations

from conformance.subjects.connect import Door, find
from conformance.subjects.stdio import StdioSettings

IN_PROCESS = ("reference", "mutant", "python")
"""The kinds of subject that would live in the judge's own process."""


def contained(subject: str, *, in_process: bool = False, settings: StdioSettings | None = None) -> Door:
    """Return the door to a subject.

    Args:
        subject: as `find` takes it.
        in_process: leave it where it is: faster, and not contained.
        settings: the bounds of the process.

    Raises:
        SuiteError: the name is none.
    """
    door = find(subject, settings)
    if in_process or subject.partition(":")[0] not in IN_PROCESS:
        return door
    return find(f"stdio:python -m conformance.serve {subject}", settings)

"""Facet `flows`, continued: a whole project, as its user has it on disk, started or refused."""

from __future__ import annotations

from typing import Literal

from conformance.subjects.protocol.base import Reply, Request


class StartProject(Request, frozen=True, tag="flows.start-project"):
    """Start the first flow of a project and run it to its end → `project-run`; a fault says in `fields` why it must not start.

    Attributes:
        files: the project's files by relative name; `Torvyn.toml` is one of them, and names the others.
        shutting_down: the host has been told to shut down before the flow is started.

    In the fault's `fields`, `startup_stage` is the start-up stage at which it was refused (FLOW-019) and `kinds` lists what is wrong.
    """

    files: dict[str, bytes]
    shutting_down: bool = False


class ProjectRunReply(Reply, frozen=True, tag="project-run"):
    """How the flow ended, and what its nodes were taken for; `startup_stage` when a component could not be initialised."""

    state: str
    roles: dict[str, str]
    startup_stage: str | None = None


class SignalProject(Request, frozen=True, tag="flows.signal-project"):
    """Run the first flow of a project from the command line, in a process of its own, and send it a signal → `project-signalled`.

    The signal is sent once an element has been delivered. Takes the capability `signals`.
    """

    files: dict[str, bytes]
    signal: Literal["SIGINT", "SIGTERM"] = "SIGTERM"


class ProjectSignalledReply(Reply, frozen=True, tag="project-signalled"):
    """How the process ended.

    Attributes:
        killed: by the signal itself, or because it did not end within a minute.
        state: how it says that its flow ended; None when it says nothing.
        entered, delivered, discarded: elements, as it counts them.
    """

    killed: bool
    state: str | None = None
    entered: int = 0
    delivered: int = 0
    discarded: int = 0

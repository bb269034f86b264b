"""Facet `flows`, continued: a whole project, as its user has it on disk, started or refused."""

from __future__ import annotations

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

"""Whole projects: the reference's own host, from files in a directory of their own."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import anyio

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.host import Host, PreparedFlow
from torvyn_ref.reactor.coordinator import Reactor
from torvyn_ref.session import simulate
from torvyn_ref.summary import failed


def start_project(parts: ReferenceParts, request: p.StartProject) -> p.ProjectRunReply:
    """Start a project's first flow, and run it.

    Raises:
        Refused: invalid-project, with start-up stage and kinds.
    """
    with TemporaryDirectory(prefix="torvyn-project-") as folder:
        root = Path(folder)
        write_files(root, request.files)
        try:
            return _run(parts, request, root)
        except TorvynError as error:
            errors = error.errors if isinstance(error, TorvynErrors) else (error,)
            stages = [str(one.fields["startup_stage"]) for one in errors if "startup_stage" in one.fields]
            fields = {"kinds": [one.kind for one in errors], "startup_stage": stages[0] if stages else None}
            raise Refused("invalid-project", error.message, fields) from error


def write_files(root: Path, files: dict[str, bytes]) -> None:
    """Write a project's files.

    Raises:
        Refused: invalid-project, for a name that leads out of the directory.
    """
    for name, content in files.items():
        _write(root, name, content)


def _write(root: Path, name: str, content: bytes) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise Refused("invalid-project", f"{name!r} is no relative name of a file")
    path = root.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _run(parts: ReferenceParts, request: p.StartProject, root: Path) -> p.ProjectRunReply:
    project = parts.load_project(root, environment={})
    host = parts.host(project, clock=VirtualClock(), cache_root=root / ".cache", offline=True)
    try:
        prepared = host.prepare()
        roles = {stage.name: str(stage.role) for stage in prepared.stages}
        if request.shutting_down:
            error = anyio.run(_start_late, host, prepared)
            if error is not None:
                raise error
        outcome = simulate(host, prepared)
        stage = failed(outcome).get("fields", {}).get("startup_stage")
        return p.ProjectRunReply(str(outcome.report.state), roles, stage)
    finally:
        host.close()


async def _start_late(host: Host, prepared: PreparedFlow) -> TorvynError | None:
    """Start a flow in a reactor that has been told to shut down, and return why it was refused."""
    async with Reactor(host.resources, clock=host.clock) as reactor:
        await reactor.shutdown()
        try:
            host.start(reactor, prepared)
        except TorvynError as error:  # raised here it would arrive in a group
            return error
    return None

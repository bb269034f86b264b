"""Facet `cli`: the runtime's command line, run in a directory of its own."""

from __future__ import annotations

from typing import Literal

from conformance.subjects.protocol.base import Reply, Request


class RunCommand(Request, frozen=True, tag="cli.run"):
    """Run the runtime's command line in a fresh directory, to its end → `command-ran`.

    Attributes:
        args: what follows the program's name: `["run", "--limit", "3"]`. The directory is the working directory.
        files: what is in the directory, by relative name.
        executables: those of the files that may be executed.
        stdin: what standard input holds.
        env: variables besides those that a process needs to start; `{dir}` in a value stands for the directory. Configuration and caches of
            the user are not read.
        signal: is sent to the process once it has written something to standard output.

    A process that does not end is ended after 20 seconds. A runtime without some command declares the feature `cli.run/command=NAME` as
    unsupported.
    """

    args: tuple[str, ...]
    files: dict[str, bytes] = {}
    executables: tuple[str, ...] = ()
    stdin: bytes = b""
    env: dict[str, str] = {}
    signal: Literal["", "SIGINT", "SIGTERM"] = ""


class CommandRanReply(Reply, frozen=True, tag="command-ran"):
    """How the process ended, and what it left.

    Attributes:
        exit_code: the process's; negative for the number of the signal that killed it, None when it did not end within 20 seconds.
        files: everything in the directory afterwards, by relative name.
    """

    exit_code: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    files: dict[str, bytes] = {}

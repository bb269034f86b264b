"""What flows out of a flow, for the operator: a tap on its sinks, and the file or stream that the tap fills (CLI-010)."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import IO, Protocol

from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure, Role, Signal
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import HOST
from torvyn_ref.resources import ResourceManager


class Tap(Protocol):
    """Takes the payload of an element that a sink has accepted."""

    def __call__(self, payload: bytes, /) -> object:
        """Take one payload.

        Raises:
            OSError: it could not; the flow fails then.
        """
        ...


class TappedInstance:
    """A sink whose accepted elements are seen outside. The host looks at its own buffers: no guest copy is counted."""

    def __init__(self, instance: Instance, tap: Tap, resources: ResourceManager) -> None:
        self._instance = instance
        self._tap = tap
        self._resources = resources

    @property
    def role(self) -> Role:
        """Return the component's role."""
        return self._instance.role

    @property
    def has_lifecycle(self) -> bool:
        """Tell whether the component exports `lifecycle`."""
        return self._instance.has_lifecycle

    @property
    def fuel_used(self) -> int:
        """Return the fuel spent so far."""
        return self._instance.fuel_used

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call; after a push that was accepted, show the payload."""
        answer = self._instance.call(call, argument)
        if call is Call.PUSH and isinstance(answer, Signal) and isinstance(argument, Element):
            try:
                self._tap(self._resources.peek(argument.handle, HOST))
            except OSError as error:
                return Failure(ErrorKind.FATAL, f"the output cannot be written: {error.strerror or error}", Cause.ENGINE)
        return answer

    def close(self) -> None:
        """Drop the instance."""
        self._instance.close()


class OutputFile:
    """A tap that writes payloads to a file, a line each, or to standard output (`-`).

    A regular file appears under its name only when `finish` is told that it is whole; otherwise what was written stays beside it as
    `NAME.partial`. What is no regular file gets every line at once: somebody may be waiting for it.

    Attributes:
        partial: where a file is written until it is whole; None for what is no regular file, and before `open`.
        reader_gone: whether it is a pipe that nobody reads any more.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.partial: Path | None = None
        self.reader_gone = False
        self._path = Path(target)
        self._stream: IO[bytes] | None = None
        self._at_once = True

    def open(self) -> None:
        """Open it; before that, nothing exists.

        Raises:
            TorvynError: cli/output-failed.
        """
        if self.target == "-":
            stdout = sys.stdout.buffer
            self._stream, self._at_once = stdout, not _is_regular(stdout)
            return
        path = self._path
        try:
            if path.is_symlink():
                path = self._path = path.resolve()  # its target gets the content; the link stays a link
            if path.exists() and not path.is_file() and not path.is_dir():
                self._stream = path.open("wb")  # a device or a pipe has no "partial"
                return
            if path.is_dir() or not path.name:
                raise IsADirectoryError(None, "it is a directory")
            self.partial = path.with_name(f"{path.name}.partial")
            self._stream = self.partial.open("wb")
            self._at_once = False
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            self.partial = None
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise TorvynError("cli", "output-failed", f"cannot write {self.target}: {reason}", where="--output") from error

    def __call__(self, payload: bytes) -> None:
        """Take one payload.

        Raises:
            OSError: it cannot be written.
        """
        assert self._stream is not None
        try:
            self._stream.write(payload + b"\n")
            if self._at_once:
                self._stream.flush()
        except BrokenPipeError:
            self.reader_gone = True
            raise

    def finish(self, *, whole: bool) -> Path | None:
        """Close it, give a whole file its name, and return where one that is not whole was left; idempotent.

        Raises:
            TorvynError: flow/output-failed: the last lines, or the name, could not be written.
        """
        stream, self._stream = self._stream, None
        if stream is None:
            return None
        try:
            if self.target == "-":
                stream.flush()
            else:
                stream.close()
            if self.partial is not None and whole:
                self.partial.replace(self._path)
                return None
        except OSError as error:
            if whole:
                raise TorvynError("flow", "output-failed", f"cannot write {self.target}: {error.strerror}", where="--output") from error
        return self.partial


def _is_regular(stream: IO[bytes]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # no file at all
        return False

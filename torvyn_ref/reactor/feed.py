"""Input that arrives from outside, as a source that the host plays: read ahead a little, gate the stage while there is nothing (ADR-011).

A feed never blocks the event loop: pipes, sockets and terminals are read only when they are readable, everything else directly.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

import anyio

from torvyn_ref.calls import Output
from torvyn_ref.engine.scripted import Guest
from torvyn_ref.errors import TorvynError
from torvyn_ref.resources import MAX_BUFFER_BYTES

READ_AHEAD: Final = 64
"""Lines kept ready; reading goes on when fewer are left."""

_CHUNK: Final = 65536


class Gate(StrEnum):
    """Whether the fed stage may be called."""

    OPEN = "open"
    CLOSED = "closed"


class Feed:
    """The lines of a file descriptor as elements, one each, without their line ends; content type text/plain.

    It is a scripted source component (`pull`), and a task (`pump`) that fills it. Input that cannot be read, or a line longer than the
    largest buffer, fails the source when everything before it has been pulled.

    Args:
        descriptor: where to read.
        where: what to call it in errors.
        content_type: of every element.
        owned: whether `close` closes the descriptor.
    """

    def __init__(self, descriptor: int, *, where: str, content_type: str = "text/plain", owned: bool = False) -> None:
        self._descriptor = descriptor
        self._where = where
        self._content_type = content_type
        self._owned = owned
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._ended = False
        self._problem: TorvynError | None = None
        self._waits = _may_block(descriptor)
        self._hungry = anyio.Event()
        self._gate: Callable[[Gate], None] = lambda _gate: None

    def connect(self, gate: Callable[[Gate], None]) -> None:
        """Learn how to close and open the stage's gate; a feed that must wait for input closes it at once."""
        self._gate = gate
        if self._waits:
            gate(Gate.CLOSED)

    def pull(self, guest: Guest) -> Output | None:
        """Answer the driver: the next line, or none at the end of the input.

        Raises:
            TorvynError: cli/input-failed, cli/line-too-long; the stage fails with it.
        """
        while not self._waits and not self._lines and not self._ended:
            self._read()
        if not self._lines:
            if self._problem is not None:
                raise self._problem
            return None
        line = self._lines.popleft()
        if not self._ended:
            if self._waits and not self._lines:
                self._gate(Gate.CLOSED)
            if len(self._lines) < READ_AHEAD:
                self._hungry.set()
        return guest.emit(line, self._content_type)

    async def pump(self, wake: Callable[[], None]) -> None:
        """Read until the input ends, opening the gate whenever there is something to pull."""
        while self._waits and not self._ended:
            await anyio.wait_readable(self._descriptor)
            self._read()
            if self._lines or self._ended:
                self._gate(Gate.OPEN)
                wake()
            while len(self._lines) >= READ_AHEAD:
                self._hungry = anyio.Event()
                await self._hungry.wait()

    def close(self) -> None:
        """Close the descriptor, if it is the feed's own; idempotent."""
        if self._owned:
            self._owned = False
            os.close(self._descriptor)

    def _read(self) -> None:
        """Take one chunk; what is wrong with it ends the input."""
        try:
            self._take(os.read(self._descriptor, _CHUNK))
        except OSError as error:
            self._problem = _unreadable(error, self._where)
        except TorvynError as error:
            self._problem = error
        if self._problem is not None:
            self._ended = True
            self._rest.clear()

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            if self._rest:
                self._lines.append(bytes(self._rest))
                self._rest.clear()
            return
        *whole, rest = chunk.split(b"\n")
        if whole:
            self._lines.append(self._bounded(bytes(self._rest) + whole[0]))
            self._lines.extend(whole[1:])
            self._rest = bytearray(rest)
        else:
            self._rest += rest
        self._bounded(self._rest)

    def _bounded(self, line: bytes | bytearray) -> bytes:
        if len(line) > MAX_BUFFER_BYTES:
            raise TorvynError(
                "cli",
                "line-too-long",
                f"{self._where}: a line is longer than the largest buffer ({MAX_BUFFER_BYTES} bytes)",
                where="--input",
            )
        return bytes(line) if isinstance(line, bytearray) else line


def open_feed(target: str) -> tuple[Feed, str | None]:
    """Open `[NODE=]FILE`, or `-` for standard input; return the feed and the node that it replaces (None: the only source).

    Raises:
        TorvynError: cli/input-failed.
    """
    node, equals, path = target.partition("=")
    if not equals or Path(target).exists():
        node, path = "", target
    if path == "-":
        try:
            return Feed(sys.stdin.fileno(), where="standard input"), node or None
        except (AttributeError, OSError, ValueError):  # closed, or replaced by something that is no file
            raise TorvynError("cli", "input-failed", "standard input is not open", where="--input") from None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(error, path) from error
    try:
        os.read(descriptor, 0)  # a directory opens, and only reading tells
        return Feed(descriptor, where=path, owned=True), node or None
    except OSError as error:
        os.close(descriptor)
        raise _unreadable(error, path) from error


def _may_block(descriptor: int) -> bool:
    """Tell whether reading may have to wait; what cannot be waited for (files, /dev/null) never does."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


def _unreadable(error: OSError | ValueError, path: str) -> TorvynError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TorvynError("cli", "input-failed", f"cannot read {path}: {reason}", where="--input")

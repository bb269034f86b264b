"""Input that arrives from outside, as a source that the host plays: read ahead a little, gate the stage while there is nothing (ADR-011).

A feed never blocks the event loop: regular files are read directly, pipes and terminals only when they are readable.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable
from enum import Enum

import anyio

from torvyn_ref.calls import Output
from torvyn_ref.engine.scripted import Guest
from torvyn_ref.errors import TorvynError
from torvyn_ref.resources import MAX_BUFFER_BYTES

READ_AHEAD = 64
"""Lines kept ready; reading goes on when fewer are left."""

_CHUNK = 65536


class Gate(Enum):
    """Whether the fed stage may be called."""

    OPEN = "open"
    CLOSED = "closed"


class Feed:
    """The lines of a file descriptor as elements, one each, without their line ends; content type text/plain.

    It is a scripted source component (`pull`), and a task (`pump`) that fills it.
    """

    def __init__(self, descriptor: int, *, where: str, content_type: str = "text/plain") -> None:
        self._descriptor = descriptor
        self._where = where
        self._content_type = content_type
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._ended = False
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._hungry = anyio.Event()
        self._gate: Callable[[Gate], None] = lambda _gate: None

    def connect(self, gate: Callable[[Gate], None]) -> None:
        """Learn how to close and open the stage's gate; a feed that must wait for input closes it at once."""
        self._gate = gate
        if not self._regular:
            gate(Gate.CLOSED)

    def pull(self, guest: Guest) -> Output | None:
        """Answer the driver: the next line, or none at the end of the input."""
        if self._regular:
            while not self._lines and not self._ended:
                self._take(os.read(self._descriptor, _CHUNK))
        if not self._lines:
            return None
        line = self._lines.popleft()
        if not self._regular and not self._ended:
            if not self._lines:
                self._gate(Gate.CLOSED)
            if len(self._lines) < READ_AHEAD:
                self._hungry.set()
        return guest.emit(line, self._content_type)

    async def pump(self, wake: Callable[[], None]) -> None:
        """Read until the input ends, opening the gate whenever there is something to pull.

        Raises:
            TorvynError: cli/line-too-long.
        """
        while not self._regular and not self._ended:
            await anyio.wait_readable(self._descriptor)
            self._take(os.read(self._descriptor, _CHUNK))
            if self._lines or self._ended:
                self._gate(Gate.OPEN)
                wake()
            while len(self._lines) >= READ_AHEAD:
                self._hungry = anyio.Event()
                await self._hungry.wait()

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            if self._rest:
                self._lines.append(bytes(self._rest))
                self._rest.clear()
            return
        *whole, rest = chunk.split(b"\n")
        if whole:
            self._lines.append(bytes(self._rest) + whole[0])
            self._lines.extend(whole[1:])
            self._rest = bytearray(rest)
        else:
            self._rest += rest
        if len(self._rest) > MAX_BUFFER_BYTES:
            raise TorvynError(
                "cli", "line-too-long", f"a line is longer than the largest buffer ({MAX_BUFFER_BYTES} bytes)", where=self._where
            )

"""Where audit events go: a stream of JSON Lines, or files that rotate (CAP-051..CAP-053)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from torvyn_ref.security.audit import AuditEvent

DEFAULT_MAX_BYTES = 10 * 1024 * 1024
DEFAULT_MAX_FILES = 5


class JsonLines:
    """Write each event as one JSON object on a line of its own."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, event: AuditEvent) -> None:
        """Write one event at once: a log that ends with the process's crash is the one that is read."""
        self._stream.write(event.as_line())
        self._stream.flush()


class RotatingFile:
    """Write JSON Lines to a file that is rotated by size.

    Before an event that would push the file past `max_bytes`, `path.N` becomes `path.N+1`, the file becomes `path.1`, and at most
    `max_files` of these are kept (CAP-052); with none kept, the file starts anew (CAP-053). An empty file never rotates: one event larger
    than `max_bytes` gets a file of its own.

    Attributes:
        rotation_problem: why the latest rotation that failed did so; the log then goes on in the same file.

    Raises:
        ValueError: for a negative bound.
        OSError: when the file cannot be opened for appending, here and only here; later failures reach the `AuditLog`, which counts them.
    """

    def __init__(self, path: Path | str, *, max_bytes: int = DEFAULT_MAX_BYTES, max_files: int = DEFAULT_MAX_FILES) -> None:
        if max_bytes < 1 or max_files < 0:
            raise ValueError(f"a log needs max_bytes of at least 1 and no negative max_files (found {max_bytes} and {max_files})")
        self.path = Path(path)
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.rotation_problem: str | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open("ab")
        self._size = os.fstat(self._file.fileno()).st_size

    def __call__(self, event: AuditEvent) -> None:
        """Write one event, after rotating when it would not fit."""
        line = event.as_line().encode()
        if self._file.closed:
            self._file = self._open("ab")
            self._size = os.fstat(self._file.fileno()).st_size
        if self._size and self._size + len(line) > self.max_bytes and self.path.is_file():  # a device or a pipe is never moved away
            self._rotate()
        rest = memoryview(line)
        while rest:
            written = self._file.write(rest)
            self._size += written
            rest = rest[written:]

    def close(self) -> None:
        """Close the file; a later event would open it again."""
        self._file.close()

    def _open(self, mode: str) -> IO[bytes]:
        # Unbuffered: every event is with the operating system when the call returns. Readable by its owner only.
        return open(self.path, mode, buffering=0, opener=_owner_only)

    def _rotate(self) -> None:
        """Shift the files; when that fails, go on with the current one, because a log too long is better than a gap."""
        self._file.close()
        mode = "wb"
        try:
            if self.max_files:
                for number in range(self.max_files - 1, 0, -1):
                    older = self._rotated(number)
                    if older.exists():
                        older.replace(self._rotated(number + 1))
                self.path.replace(self._rotated(1))
        except OSError as problem:
            self.rotation_problem = str(problem)
            mode = "ab"
        self._file = self._open(mode)
        self._size = os.fstat(self._file.fileno()).st_size

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)

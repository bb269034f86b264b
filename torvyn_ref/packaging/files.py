"""Files from outside, read with a bound, and files of ours, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from torvyn_ref.packaging.errors import refused

CHUNK = 64 * 1024


@contextmanager
def open_regular(path: Path, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a pipe or device is refused without waiting for it.

    Raises:
        TorvynError: not-found, unreadable.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise refused("not-found", "the file does not exist", where=str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise refused("unreadable", f"the file cannot be opened: {_reason(error)}", where=str(path)) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise refused("unreadable", "expected a regular file", where=str(path))
        yield stream


def read_bounded(path: Path, limit: int, *, follow: bool = True) -> bytes:
    """Read a whole regular file of at most `limit` bytes.

    Raises:
        TorvynError: not-found, unreadable, too-large.
    """
    with open_regular(path, follow=follow) as stream:
        try:
            content = stream.read(limit + 1)
        except OSError as error:
            raise refused("unreadable", f"the file cannot be read: {_reason(error)}", where=str(path)) from None
    if len(content) > limit:
        raise refused("too-large", f"the file is larger than {limit} bytes", where=str(path))
    return content


def chunks_of(path: Path, *, follow: bool = True) -> Generator[bytes]:
    """Yield a regular file's content piece by piece."""
    with open_regular(path, follow=follow) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name beside its place and rename it into place at the end; on an error nothing stays.

    The file is readable by its owner only. Two writers of the same path do not disturb each other: the later rename wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

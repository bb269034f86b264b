"""Compiled code kept between runs: wasmtime's artifacts in a directory, and why it is safe to read them back.

Machine code that wasmtime reads back is trusted blindly (`deserialize` is as good as loading a shared library), and the directory lies in a
project that may have come from anywhere, private permissions and all: an archive keeps those. So:

* Only what this user's own processes wrote is read back. Every entry carries an HMAC-SHA256 over its name and content, checked before
  wasmtime sees a byte. The secret lies with the user (`~/.torvyn/compile-cache.key`), not in the project: who packs a project cannot sign.
* The directory and every file in it belong to this user, and nobody else may write to them (0700, 0600); symbolic links are not followed.
* An entry is written whole under another name and renamed into place, so readers and writers in other processes need no lock.
* The directory is bounded; the least recently used entries go first.

Nothing here is fatal: whatever is wrong with the cache, components are compiled as if there were none, and the log says why, once.
"""

from __future__ import annotations

import errno
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

LOG = logging.getLogger("torvyn.engine")

MAX_BYTES: Final = 512 * 1024 * 1024
"""What a directory holds unless told otherwise."""

SUFFIX: Final = ".cwasm"
FOLDER: Final = "compiled"

_PARTIAL: Final = ".partial-"
_STALE_S: Final = 3600
"""After this long an unfinished file belongs to a process that has died."""
_LOOK_AGAIN: Final = 64
"""After so many entries of its own a process looks what others have written."""
_MAGIC: Final = b"torvyn compiled 1\n"
_KEY_ID: Final = 8
_MAC: Final = 32
_HEADER: Final = len(_MAGIC) + _KEY_ID + _MAC
_KEY: Final = 32
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_WRITABLE_BY_OTHERS: Final = 0o022
_OPEN_TO_OTHERS: Final = 0o077

T = TypeVar("T")


class _Trouble(Exception):
    """Why the cache, or one entry, cannot be trusted."""


def default_key_file(environment: Mapping[str, str] | None = None) -> Path:
    """Return where the user's secret lies: `$TORVYN_HOME/compile-cache.key`, else `~/.torvyn/compile-cache.key`."""
    variables = os.environ if environment is None else environment
    home = variables.get("TORVYN_HOME") or Path(variables.get("HOME") or Path.home()) / ".torvyn"
    return Path(home) / "compile-cache.key"


class CompileCache:
    """Artifacts by name, in `directory`/compiled. Any number of processes may share a directory.

    Args:
        directory: made when the first entry is written.
        key_file: the user's secret, made when it is not there; it must not lie where others can put files.
        max_bytes: what the directory may hold. Writers in other processes are noticed only from time to time, so that together they may
            exceed it for a while.

    Attributes:
        hits, misses: entries found and not found.
    """

    def __init__(self, directory: Path, *, key_file: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.directory = directory / FOLDER
        self.hits = 0
        self.misses = 0
        self._key_file = key_file or default_key_file()
        self._max_bytes = max_bytes
        self._secret: bytes | None = None
        self._held: int | None = None
        self._until_look = _LOOK_AGAIN
        self._writes = True
        self._warned = False

    def load(self, name: str) -> bytes | None:
        """Return an entry that this user's processes have written, or None; a file that is anything else is removed.

        Args:
            name: letters and digits, from `store`.
        """
        found = self._guarded(lambda: self._load(name + SUFFIX))
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def store(self, name: str, artifact: bytes | bytearray) -> None:
        """Keep an artifact, unless it is larger than all there is room for."""
        if self._writes and _HEADER + len(artifact) <= self._max_bytes:
            self._guarded(lambda: self._store(name + SUFFIX, artifact))

    def reject(self, name: str, why: str) -> None:
        """Remove an entry that is authentic and yet of no use."""
        self._guarded(lambda: self._remove(name + SUFFIX, why))

    # ---- trouble is told once, and never raised

    def _guarded(self, operation: Callable[[], T]) -> T | None:
        try:
            return operation()
        except FileNotFoundError:  # the directory is not there: not yet, or no more
            return None
        except _Trouble as trouble:
            reason = str(trouble)
        except (OSError, ValueError) as error:  # ValueError: a NUL in a path
            reason = f"{self.directory} or {self._key_file}: {getattr(error, 'strerror', None) or error}"
        self._writes = False
        self._warn(f"compiled code is not cached: {reason}")
        return None

    def _warn(self, message: str) -> None:
        LOG.log(logging.DEBUG if self._warned else logging.WARNING, "%s", message)
        self._warned = True

    # ---- entries

    def _load(self, file: str) -> bytes | None:
        with self._opened() as directory:
            key = self._key()
            try:
                descriptor = os.open(file, _OPEN, dir_fd=directory)
            except FileNotFoundError:
                return None
            except OSError as error:
                self._discard(directory, file, f"cannot be opened: {error.strerror}")
                return None
            try:
                _check_own(os.fstat(descriptor), stat.S_ISREG, _WRITABLE_BY_OTHERS)
                with os.fdopen(descriptor, "rb", closefd=False) as stream:
                    content = stream.read(self._max_bytes + 1)
                artifact = self._verified(key, file, content)
            except (_Trouble, OSError) as trouble:
                self._discard(directory, file, str(trouble))
                return None
            else:
                if artifact is not None:
                    with suppress(OSError):  # a file system without writing keeps no order of use
                        os.utime(descriptor)
                return artifact
            finally:
                os.close(descriptor)

    def _store(self, file: str, artifact: bytes | bytearray) -> None:
        key = self._key()
        with self._opened(create=True) as directory:
            temporary = _PARTIAL + secrets.token_hex(8)
            try:
                with os.fdopen(os.open(temporary, _CREATE, 0o600, dir_fd=directory), "wb") as stream:
                    stream.write(_MAGIC + _key_id(key) + _mac(key, file, artifact))
                    stream.write(artifact)
                os.rename(temporary, file, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
                raise
            self._until_look -= 1
            if self._held is not None:
                self._held += _HEADER + len(artifact)
            if self._held is None or self._held > self._max_bytes or not self._until_look:
                self._until_look = _LOOK_AGAIN
                self._held = self._evict(directory, keep=file)

    def _remove(self, file: str, why: str) -> None:
        with self._opened() as directory:
            self._discard(directory, file, why)

    def _discard(self, directory: int, file: str, why: str) -> None:
        with suppress(OSError):  # in a directory without writing it stays, and is refused again
            os.unlink(file, dir_fd=directory)
        self._warn(f"compiled code in {self.directory / file} {why}; it was not used")

    def _verified(self, key: bytes, file: str, content: bytes) -> bytes | None:
        """Return the artifact of an authentic entry, None for one that says it was signed with another key: `store` will replace it."""
        if len(content) > self._max_bytes:
            raise _Trouble("is larger than the whole cache may be")
        head, mac, artifact = content[: _HEADER - _MAC], content[_HEADER - _MAC : _HEADER], content[_HEADER:]
        if head == _MAGIC + _key_id(key) and hmac.compare_digest(mac, _mac(key, file, artifact)):
            return artifact
        if len(head) == _HEADER - _MAC and head.startswith(_MAGIC) and not head.endswith(_key_id(key)):
            LOG.debug("compiled code in %s was signed with another key", self.directory / file)
            return None
        raise _Trouble("is damaged, or was not written by this user's processes")

    def _evict(self, directory: int, keep: str) -> int:
        """Remove what was not used for longest until there is room again, a quarter of it to spare; return what is left, in bytes."""
        entries: list[tuple[int, int, str]] = []
        with os.scandir(directory) as found:
            for entry in found:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(SUFFIX):
                        entries.append((status.st_mtime_ns, status.st_size, entry.name))
                    elif entry.name.startswith(_PARTIAL) and status.st_mtime < time.time() - _STALE_S:
                        os.unlink(entry.name, dir_fd=directory)
        held = sum(size for _, size, _ in entries)
        if held > self._max_bytes:
            for _, size, name in sorted(entries):
                if held <= self._max_bytes * 3 // 4:
                    break
                if name != keep:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=directory)
                    held -= size
        return held

    # ---- the directory and the key

    @contextmanager
    def _opened(self, *, create: bool = False) -> Iterator[int]:
        """Open the directory, and make sure that it is this user's own. Everything else is done relative to what was checked here."""
        try:
            descriptor = os.open(self.directory, _OPEN_DIRECTORY)
        except FileNotFoundError:
            if not create:
                raise
            descriptor = self._made()
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise _Trouble(f"{self.directory} is no directory, or a symbolic link to one") from None
            raise
        try:
            try:
                _check_own(os.fstat(descriptor), stat.S_ISDIR, _WRITABLE_BY_OTHERS)
            except _Trouble as trouble:
                raise _Trouble(f"{self.directory} {trouble}") from None
            yield descriptor
        finally:
            os.close(descriptor)

    def _made(self) -> int:
        try:
            _make_private(self.directory)
            return os.open(self.directory, _OPEN_DIRECTORY)
        except OSError as error:
            raise _Trouble(f"{self.directory} cannot be made: {error.strerror}") from None

    def _key(self) -> bytes:
        if self._secret is None:
            try:
                self._secret = self._read_key()
            except FileNotFoundError:
                self._make_key()
                self._secret = self._read_key()
        return self._secret

    def _read_key(self) -> bytes:
        try:
            descriptor = os.open(self._key_file, _OPEN)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _Trouble(f"{self._key_file} cannot be opened: {error.strerror}") from None
        try:
            _check_own(os.fstat(descriptor), stat.S_ISREG, _OPEN_TO_OTHERS)
            key = os.read(descriptor, _KEY + 1)
        except _Trouble as trouble:
            raise _Trouble(f"{self._key_file} {trouble}") from None
        finally:
            os.close(descriptor)
        if len(key) != _KEY:
            raise _Trouble(f"{self._key_file} is damaged; delete it, and a new one is made")
        return key

    def _make_key(self) -> None:
        """Put a key in place, whole, unless another process has been quicker."""
        folder = self._key_file.parent
        _make_private(folder)
        temporary = folder / (_PARTIAL + secrets.token_hex(8))
        with os.fdopen(os.open(temporary, _CREATE, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(_KEY))
        try:
            with suppress(FileExistsError):
                os.link(temporary, self._key_file)
        finally:
            temporary.unlink()


def _key_id(key: bytes) -> bytes:
    """Tell keys apart, without telling them."""
    return hmac.digest(key, b"key", "sha256")[:_KEY_ID]


def _mac(key: bytes, file: str, artifact: bytes | bytearray) -> bytes:
    """Authenticate an entry: its name too, so that no entry can take another's place."""
    code = hmac.new(key, f"{file}\n".encode(), sha256)
    code.update(artifact)
    return code.digest()


def _check_own(status: os.stat_result, is_kind: Callable[[int], bool], forbidden: int) -> None:
    if not is_kind(status.st_mode):
        raise _Trouble("is not what belongs there (a directory, a pipe or a device)")
    if status.st_uid != os.geteuid():
        raise _Trouble(f"belongs to another user (uid {status.st_uid})")
    if stat.S_IMODE(status.st_mode) & forbidden:
        raise _Trouble(f"is open to other users (mode {stat.S_IMODE(status.st_mode):04o}); take their permissions away")


def _make_private(directory: Path) -> None:
    """Make a directory and what is missing above it, for this user alone."""
    for one in (*reversed(directory.parents), directory):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)

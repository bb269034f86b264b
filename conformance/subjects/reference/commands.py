"""Facet cli: the reference's own command line, in processes of its own that are forked from one that has loaded everything.

Loading the reference takes a second; a check of the command line runs it dozens of times. So a launcher is started once. It imports the
command line, starts no thread and no engine, and forks a child for each command.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.projects import write_files

PATIENCE_S = 20
"""How long a command may take: less than the suite waits for an answer."""
MOST_FILE_BYTES = 8 * 1024 * 1024
MOST_BYTES = 32 * 1024 * 1024
"""How much of a file, and of everything that a command left, is told."""

CACHE = "TORVYN_RUNTIME_COMPILATION_CACHE_DIR"
"""Compiled components are kept here between commands, and not among the files of each."""
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""Variables that a process needs to start."""


class ReferenceCommands:
    """The messages `cli.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._faults = tuple(parts.command_faults)

    def run(self, request: p.RunCommand) -> p.CommandRanReply:
        """Run a command line to its end."""
        with TemporaryDirectory(prefix="torvyn-command-") as folder:
            base = Path(folder)
            place, home = base / "project", base / "home"
            for directory in (place, home):
                directory.mkdir()
            write_files(place, request.files)
            for name in request.executables:
                if name not in request.files:
                    raise Refused("invalid-command", f"{name!r} is none of the files")
                (place / name).chmod(0o755)
            (base / "stdin").write_bytes(request.stdin)
            launcher = _launcher()
            env = {name: os.environ[name] for name in KEPT if name in os.environ} | {CACHE: launcher.compiled}
            env |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
            env |= {name: value.replace("{dir}", str(place)) for name, value in request.env.items()}
            order = {"args": request.args, "cwd": str(place), "env": env, "base": folder, "signal": request.signal, "faults": self._faults}
            code = launcher.launch(order, base, request.signal)
            out, err = (_text(base / name) for name in ("stdout", "stderr"))
            return p.CommandRanReply(code, out, err, _left(place))


class Launcher:
    """The process that forks commands, one for all subjects of this process, and the compiled components that they share."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory(prefix="torvyn-compiled-")
        self.compiled = self._directory.name
        command = [sys.executable, "-m", "conformance.subjects.reference.launcher"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def alive(self) -> bool:
        """Tell whether it still serves."""
        return self._process.poll() is None

    def launch(self, order: dict[str, Any], base: Path, number: str) -> int | None:
        """Have a command run, and return its exit code; None when it had to be ended.

        With a signal, standard output is a pipe that is read here, so that the signal can follow the first output.
        """
        try:
            return self._launch(order, base, number)
        except BaseException:  # whatever it was: what the launcher says next is not about the next order
            self._process.kill()
            self._process.wait()
            raise

    def _launch(self, order: dict[str, Any], base: Path, number: str) -> int | None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        if number:
            _pass_signal(base / "stdout.pipe", base / "stdout", child, number)
        ended = _readable_within(process.stdout, PATIENCE_S)
        if not ended:
            os.kill(child, signal.SIGKILL)
        code = int(process.stdout.readline())
        return code if ended else None

    def close(self) -> None:
        """End it: its input ends."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()
        self._directory.cleanup()


_RUNNING: list[Launcher] = []


def _launcher() -> Launcher:
    """Return the launcher of this process, started when it is first needed."""
    if not _RUNNING or not _RUNNING[-1].alive:
        launcher = Launcher()
        _RUNNING.append(launcher)
        atexit.register(launcher.close)
    return _RUNNING[-1]


def _text(path: Path) -> bytes:
    return path.read_bytes()[:MOST_FILE_BYTES] if path.exists() else b""


def _readable_within(stream: IO[bytes], seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def _pass_signal(pipe: Path, kept: Path, child: int, number: str) -> None:
    """Read what a command writes, to its end, and send it a signal after the first bytes; end it when it then goes on for too long."""
    with pipe.open("rb", buffering=0) as stream, kept.open("wb") as copy:
        until: float | None = None
        while _readable_within(stream, PATIENCE_S) and (chunk := stream.read(65536)):
            if copy.tell() < MOST_FILE_BYTES:
                copy.write(chunk)
            if until is None:
                os.kill(child, signal.Signals[number])
                until = time.monotonic() + PATIENCE_S
            elif time.monotonic() > until:
                break
        else:
            return
    os.kill(child, signal.SIGKILL)


def _left(place: Path) -> dict[str, bytes]:
    """Return every file of a directory by relative name, within bounds; what is no regular file is left out."""
    found: dict[str, bytes] = {}
    total = 0
    for path in sorted(place.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()[:MOST_FILE_BYTES]
        total += len(content)
        if total > MOST_BYTES:
            break
        found[path.relative_to(place).as_posix()] = content
    return found

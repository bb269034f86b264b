"""Forks a process for each command line of the reference that it is asked to run: a line of JSON in, process id and exit code out.

`python -m conformance.subjects.reference.launcher`; it ends with its input. Nothing here starts a thread before a fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from torvyn_ref import cli


def main() -> int:
    """Serve orders until there are no more."""
    importlib.import_module("anyio._backends._asyncio")  # which every run needs, and nobody has imported yet
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    gc.freeze()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        base = Path(order["base"])
        os.mkfifo(base / "stdout.pipe")
        child = os.fork()
        if child == 0:
            _become(order, base)
        replies.write(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        replies.write(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return 0


def _become(order: dict[str, Any], base: Path) -> NoReturn:
    """Be the command: its files, directory, environment and arguments; then its faults, if it is a mutant's."""
    code = 70
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python does
        out = base / "stdout.pipe" if order["signal"] else base / "stdout"
        for target, path, flags in (
            (0, base / "stdin", os.O_RDONLY),
            (1, out, os.O_WRONLY | os.O_CREAT),
            (2, base / "stderr", os.O_WRONLY | os.O_CREAT),
        ):
            opened = os.open(path, flags, 0o600)
            os.dup2(opened, target)
            os.close(opened)
        os.closerange(3, 64)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        sys.argv = ["torvyn-ref", *order["args"]]
        for fault in order["faults"]:
            module, _, name = fault.partition(":")
            getattr(importlib.import_module(module), name)()
        code = _run()
    except BaseException:  # noqa: BLE001 -- what a command cannot say any more, its standard error does
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)


def _run() -> int:
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

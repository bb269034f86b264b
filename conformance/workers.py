"""Worker processes that end with their parent, whatever ends it: Ctrl-C is the parent's business, which then ends the workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any

GRACE_S = 10.0
"""How long an orphaned worker has to end its subject."""
ORPHANED = 143
"""The exit code of one that could not."""


@contextmanager
def workers(jobs: int, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()) -> Iterator[ProcessPoolExecutor]:
    """Start so many processes, and end them when the block is left: when it raises, at once.

    A worker inherits that Ctrl-C is held back; the initialiser calls `deaf_to_interrupts` when it is ready for it. A parent that is killed
    can end nobody, so each worker watches it.
    """
    begin = (initializer or deaf_to_interrupts, *initargs)
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=begin)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):  # noqa: SLF001 -- kill_workers() only from Python 3.14 on
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(initializer: Callable[..., object], *initargs: Any) -> None:
    """Watch the parent, then do what a worker begins with."""
    threading.Thread(target=_end_with_parent, name="watches the parent", daemon=True).start()
    initializer(*initargs)


def _end_with_parent() -> None:
    """Wait until the parent is gone, whatever became of it, and ask this process to end as the parent would have."""
    parent = parent_process()
    assert parent is not None, "only worker processes have a parent to watch"
    wait([parent.sentinel])
    main = threading.main_thread()
    signal.pthread_kill(main.ident or 0, signal.SIGTERM)  # the main thread's own: only it can be waiting, and only it handles signals
    main.join(GRACE_S)
    os._exit(ORPHANED)


def deaf_to_interrupts() -> None:
    """Let a worker ignore Ctrl-C from now on."""
    signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the end of the block; for the time in which workers start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""Worker processes that end with their parent: Ctrl-C is the parent's business, which then ends the workers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any


@contextmanager
def workers(jobs: int, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()) -> Iterator[ProcessPoolExecutor]:
    """Start so many processes, and end them when the block is left: when it raises, at once.

    A worker inherits that Ctrl-C is held back; the initialiser calls `deaf_to_interrupts` when it is ready for it.
    """
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=initializer or deaf_to_interrupts, initargs=initargs)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):  # noqa: SLF001 -- kill_workers() only from Python 3.14 on
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


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

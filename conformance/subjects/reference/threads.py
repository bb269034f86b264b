"""Programs in real threads, and the history of what came of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from conformance.subjects import protocol as p

SWITCH_SECONDS = 1e-6
"""How long a thread may run before another gets its turn: short, so that threads meet inside of operations."""


class Ticks:
    """A counter whose numbers are in the order in which they were given, with or without a global interpreter lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> int:
        """Return the next number."""
        with self._lock:
            self._last += 1
            return self._last


def run_together(tasks: Sequence[Callable[[], None]]) -> None:
    """Run every task in a thread of its own, none before all threads are there; return when all have ended.

    Raises:
        Exception: what a task raised, the first of them in their order.
    """
    start = threading.Barrier(len(tasks))
    failures: list[BaseException | None] = [None] * len(tasks)

    def run(number: int, task: Callable[[], None]) -> None:
        start.wait()
        try:
            task()
        except BaseException as failure:  # noqa: BLE001 -- a thread cannot raise to its maker: the failure is handed over
            failures[number] = failure

    threads = [threading.Thread(target=run, args=(number, task), daemon=True) for number, task in enumerate(tasks)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    for failure in failures:
        if failure is not None:
            raise failure


def run_programs(
    programs: Sequence[Sequence[p.ThreadRequest]],
    answer: Callable[[p.ThreadRequest], p.ThreadReply],
    together: Callable[[Sequence[Callable[[], None]]], None] = run_together,
) -> tuple[tuple[p.Happened, ...], ...]:
    """Run each program in a thread of its own and return its history."""
    tick = Ticks()
    histories: list[list[p.Happened]] = [[] for _ in programs]

    def task(program: Sequence[p.ThreadRequest], history: list[p.Happened]) -> Callable[[], None]:
        def run() -> None:
            for request in program:
                start = tick()
                reply = answer(request)
                history.append(p.Happened(start, tick(), reply))

        return run

    if programs:
        together([task(program, history) for program, history in zip(programs, histories, strict=True)])
    return tuple(tuple(history) for history in histories)

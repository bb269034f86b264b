"""Signals that are heard while a guest keeps the main thread (CANCEL-003, CANCEL-017).

Python runs signal handlers in the main thread, between two of its instructions, and event loops hear of signals in their next turn. A guest
that spins lets neither happen. But the interpreter also writes each signal's number into a file descriptor, at once and in whatever thread
the signal arrives. Event loops use that to be woken; here a thread reads it first, and passes on what it has read.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def heard_at_once(hear: Callable[[int], object]) -> Iterator[socket.socket]:
    """Call `hear` with the number of each signal that has a handler, from a thread of its own, as long as the block lasts.

    Gives a socket in which an event loop finds the same numbers, each of them once they were heard; a loop's own receivers may join equal
    ones. Only the main thread may enter, inside of whatever else listens for signals: that goes on to do so.
    """
    (ours, theirs), (relay, relayed) = socket.socketpair(), socket.socketpair()
    for end in (theirs, relay, relayed):
        end.setblocking(False)  # noqa: FBT003 -- the name says it
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=(ours, relayed, before, hear), name="torvyn-signals", daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()
        thread.join()
        for end in (ours, relay, relayed):
            end.close()


def _listen(ours: socket.socket, relayed: socket.socket, before: int, hear: Callable[[int], object]) -> None:
    while numbers := ours.recv(64):
        for number in numbers:
            hear(number)
        with suppress(BlockingIOError):  # full: whoever reads there has enough to read
            relayed.send(numbers)
        if before >= 0:
            with suppress(OSError):
                os.write(before, numbers)

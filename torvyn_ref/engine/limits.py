"""How long a call may take: the epoch's clockwork (ERR-008, CANCEL-003). An engine, and so its ticker, belongs to one thread.

wasmtime interrupts a guest when the engine's epoch passes the deadline of its store. Somebody has to advance the epoch; that is one
thread per engine, started at the first timed call, asleep while no timed call runs. While the guest keeps the engine's own thread, this
one is also the only one that can ask whether the call must end for another reason, such as a cancel; then it lets time run ahead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import U64_MAX

PERIOD_MS: Final = 20
"""Between two ticks; a timeout is exact to about one period. A tick costs a busy process some 150 us, most of it for changing threads."""

UNMETERED: Final = U64_MAX
"""The fuel of a call without a limit: wasmtime meters every store of an engine that meters any."""

NO_DEADLINE: Final = 1 << 62
"""Ticks until the deadline of a call without a timeout: longer than anything lasts."""

UNTIMED_TICKS: Final = 64
"""Ticks until the deadline of a call without a timeout that can be interrupted: nobody ticks while it runs, but to interrupt it."""

MOST_AHEAD: Final = 50_000
"""Ticks that are run ahead in one period, at most: more than a quarter of an hour. A longer deadline takes some periods to be reached."""


@dataclass(slots=True)
class Caller:
    """What the ticker knows of the instance whose call runs; not the instance, which goes when nobody else has it.

    Attributes:
        timed: whether time counts for it.
        overdue: tells, from the ticker's thread, whether the call that runs must end now; None when nobody asks for that.
    """

    timed: bool
    overdue: Callable[[], bool] | None = None


class EpochTicker:
    """Advances an engine's epoch while timed calls run.

    Args:
        tick: advances the epoch by one.
        threaded: False leaves all ticking to `tick`, for tests and virtual time.
        pause: waits one period and tells whether the ticker should stop; the default waits in real time.

    Attributes:
        running: timed calls that run; a call that ends takes itself off.
        caller: whose call began last.
        awake: somebody ticks, or nobody ever has to; while this is not so, a call that begins says `wake`.
        advances: another number after every tick. A deadline that was set at the same number need not be set again: no time has passed.
    """

    def __init__(self, tick: Callable[[], None], *, threaded: bool = True, pause: Callable[[float], bool] | None = None) -> None:
        self._advance = tick
        self._stop = threading.Event()
        self._pause = pause or self._stop.wait
        self._work = threading.Condition()
        self._closed = False
        self.running = 0
        self.caller: Caller | None = None
        self.advances = 0
        self.awake = not threaded
        self._ticking: threading.Thread | None = None

    @staticmethod
    def ticks(timeout_ms: int) -> int:
        """Return the deadline, in ticks from now, that gives a call at least `timeout_ms`: the first tick may come at once."""
        return -(-timeout_ms // PERIOD_MS) + 1

    def tick(self) -> None:
        """Advance the epoch by one period, now."""
        self.advances += 1  # before and after: a deadline that is set meanwhile may be one tick short, and is set again
        self._advance()
        self.advances += 1

    def enter(self, caller: Caller | None = None) -> int:
        """Note that a timed call begins, and return `advances`.

        Next to nothing while the thread is awake, as it is during calls in quick succession.

        Raises:
            TorvynError: engine/closed-engine after `close`.
        """
        self.caller = caller
        self.running += 1
        if not self.awake:
            self.wake()
        return self.advances

    def leave(self) -> None:
        """Note that a timed call has ended."""
        self.running -= 1

    def wake(self) -> None:
        """Have the thread tick for a call that has been added to `running`; it is taken off when this raises.

        Raises:
            TorvynError: as `enter`.
        """
        if self._closed:
            self.running -= 1
            raise TorvynError("engine", "closed-engine", "a guest was called after its engine was closed: nothing would end the call")
        with self._work:
            self.awake = True
            self._work.notify()
            if self._ticking is None:
                self._ticking = threading.Thread(target=self._run, name="torvyn-epoch", daemon=True)
                self._ticking.start()

    @property
    def is_alive(self) -> bool:
        """Tell whether the thread is there."""
        return self._ticking is not None and self._ticking.is_alive()

    @property
    def is_asleep(self) -> bool:
        """Tell whether the thread waits for a timed call to begin, rather than for a period to end."""
        return self._ticking is not None and not self.awake

    def close(self) -> None:
        """Stop the thread and wait for it; idempotent."""
        self._closed = True
        self._stop.set()
        with self._work:
            self._work.notify()
        if self._ticking is not None:
            self._ticking.join()
        self.awake = False

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.running or not self._falls_asleep():
                if self._pause(PERIOD_MS / 1000):
                    return
                self._period()

    def _period(self) -> None:
        """One period has passed: say so, and run ahead for a call that is overdue until it ends.

        Asked anew for each tick: the next call of another instance, or of the same, may have begun meanwhile. It loses one tick at most.
        """
        caller = self.caller
        if caller is None or caller.timed:
            self.tick()
        if caller is None or caller.overdue is None:
            return
        for _ in range(MOST_AHEAD):
            if not self.running or self.caller is not caller or not caller.overdue():
                return
            self.tick()

    def _falls_asleep(self) -> bool:
        """Sleep until a call begins, unless one has begun meanwhile; tell whether there was any sleep.

        `enter` counts its call before it looks whether the thread is awake, and here the order is the other way round: so one of the two
        always sees the other, without a lock on the way of every call.
        """
        with self._work:
            self.awake = False
            if self.running:
                self.awake = True
                return False
            while not self.awake and not self._stop.is_set():
                self._work.wait()
            return True

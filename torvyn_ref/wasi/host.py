"""One instance's WASI: the handles it holds, the grants it uses, the time it waits.

Nothing here touches the process: bytes go to the sandbox's sinks, time comes from the sandbox's clock, and under a virtual clock a run is
the same every time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torvyn_ref.engine.imports import GuestFault, GuestTimeout
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.ids import U32_MAX

_T = TypeVar("_T")

MAX_HANDLES = 1024
"""Streams, pollables and errors that one instance may hold together."""

LONGEST_WAIT_NS = 10_000_000
"""Of a wait that can be interrupted, how much passes until somebody looks again."""


class WasiHost:
    """What WASI functions work on; engines pass it as their first argument.

    Attributes:
        waited_ns: what the running call has waited; whoever begins a call sets it to 0.
        overdue: tells whether the running call must end; asked while it waits.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._held: dict[int, object] = {}
        self._next = 1
        self.waited_ns = 0
        self.overdue: Callable[[], bool] | None = None

    def use(self, capability: str, detail: str) -> None:
        """Tell the audit that a granted capability is used, before it is (CAP-039)."""
        if self.sandbox.audit is not None:
            self.sandbox.audit(capability, detail)

    def wait_until(self, due_ns: int) -> None:
        """Let the guest wait for an instant of the monotonic clock, for no longer than its call may take (ERR-008).

        Raises:
            GuestTimeout: the call's time is over before, or it is interrupted (CANCEL-003).
            GuestFault: this sandbox lets nobody wait.
        """
        clock, wait, timeout_ms = self.sandbox.clock, self.sandbox.wait, self.sandbox.limits.call_timeout_ms
        while (ahead := due_ns - clock.monotonic_ns()) > 0:
            if wait is None:
                raise GuestFault("the component waits for a timer, and this sandbox lets no component wait inside a call")
            left = ahead if timeout_ms is None else timeout_ms * 1_000_000 - self.waited_ns
            step = min(ahead, left) if self.overdue is None else min(ahead, left, LONGEST_WAIT_NS)
            wait(step)
            self.waited_ns += step
            if step == left < ahead:
                raise GuestTimeout(f"the component wanted to wait beyond the {timeout_ms} ms of its call")
            if self.overdue is not None and self.overdue():
                raise GuestTimeout("the component was interrupted while it waited for a timer")

    # ---- handles

    def hold(self, thing: object) -> int:
        """Give the guest a handle to something and return its rep.

        Raises:
            GuestFault: it holds too many.
        """
        if len(self._held) >= MAX_HANDLES:
            raise GuestFault(f"the component holds {MAX_HANDLES} WASI handles and drops none")
        rep = self._next
        while rep in self._held:  # only after the numbers have started over
            rep = rep + 1 if rep < U32_MAX else 1
        self._next = rep + 1 if rep < U32_MAX else 1
        self._held[rep] = thing
        return rep

    def get(self, rep: int, kind: type[_T]) -> _T:
        """Return what a rep stands for.

        Raises:
            GuestFault: nothing of that kind.
        """
        thing = self._held.get(rep)
        if not isinstance(thing, kind):
            raise GuestFault(f"handle {rep} is no {kind.__name__}")
        return thing

    def drop(self, rep: int) -> None:
        """Forget what a rep stood for."""
        self._held.pop(rep, None)

    @property
    def held(self) -> int:
        """Return how many handles the guest holds."""
        return len(self._held)

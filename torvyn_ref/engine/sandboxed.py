"""What every engine's instance of a Wasm component shares: one store, limits afresh for each call, a guest that cannot raise.

An engine adds how a component is instantiated, how each call enters it (`Enter`), and what its own exceptions mean.
"""

from __future__ import annotations

from collections.abc import Callable

import wasmtime

from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure, Role, Signal
from torvyn_ref.engine.guest import GuestHost
from torvyn_ref.engine.imports import GuestFault
from torvyn_ref.engine.limits import NO_DEADLINE, UNMETERED, UNTIMED_TICKS, Caller, EpochTicker
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.errors import TorvynError
from torvyn_ref.wasi import WasiHost

Enter = Callable[[Element | Signal | str | None], Answer]
"""Enters the guest by one function and returns its answer; whatever the guest does wrong raises there."""


class SandboxedInstance:
    """One component in one store.

    Closing it ends the store; the buffers that the guest held stay in the resource manager, charged to its owner, until the host takes
    them back (OWN-030): they are evidence, and outputs on their way are among them.
    """

    def __init__(self, engine: wasmtime.Engine, ticker: EpochTicker, sandbox: Sandbox, role: Role, *, has_lifecycle: bool) -> None:
        self.role = role
        self.has_lifecycle = has_lifecycle
        self.fuel_used = 0
        self._guest = GuestHost(sandbox.buffers, sandbox.owner, sandbox.flow, sandbox.clock, sandbox.context, sandbox.allocations)
        self._wasi = WasiHost(sandbox)
        self._ticker = ticker
        limits = sandbox.limits
        self._fuel = UNMETERED if limits.fuel is None else limits.fuel
        self._ticks = None if limits.call_timeout_ms is None else EpochTicker.ticks(limits.call_timeout_ms)
        self._caller = Caller(timed=self._ticks is not None)
        self._armed = -1  # the ticker's `advances` when the deadline was set
        self._functions: dict[Call, Enter] = {}
        self._entered = False
        self._closed = False
        self._dead: Failure | None = None
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=limits.memory_bytes, table_elements=limits.table_elements, memories=limits.memories)
        if self._ticks is None:
            self._store.set_epoch_deadline(NO_DEADLINE)

    @property
    def held(self) -> int:
        """Return how many buffers the guest holds."""
        return self._guest.held

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call: fuel and deadline afresh, the element lent until it returns.

        Raises:
            KeyError: the component does not export the function.
            TorvynError: engine/reentrant-call from inside a call of the same instance, engine/closed-instance after `close`.
            OverflowError: a sequence or timestamp that is no u64.
            BaseException: what a host function raised, KeyboardInterrupt and SystemExit included; the instance is dead then.
        """
        if self._entered:
            raise TorvynError("engine", "reentrant-call", f"{call} was called while another call of the same instance is running")
        if self._closed:
            raise TorvynError("engine", "closed-instance", f"{call} was called on an instance that is closed")
        function = self._functions[call]
        if self._dead is not None:
            return self._dead
        if isinstance(argument, Element) and (argument.sequence | argument.timestamp_ns) >> 64:  # either is negative or too long
            raise OverflowError(f"sequence {argument.sequence} or timestamp {argument.timestamp_ns} does not fit in a u64")
        store, ticks, ticker, fuel = self._store, self._ticks, self._ticker, self._fuel
        self._wasi.waited_ns = 0  # here and below: `_begin`, `_end` and `EpochTicker.enter`, without their frames
        store.set_fuel(fuel)
        if ticks is not None:
            ticker.caller = self._caller
            ticker.running += 1
            if not ticker.awake:
                ticker.wake()
            if ticker.advances != self._armed:
                self._armed = ticker.advances
                store.set_epoch_deadline(ticks)
        self._entered = True
        try:
            return function(argument)
        except GuestFault as fault:
            self._dead = Failure(ErrorKind.FATAL, str(fault), Cause.OWNERSHIP, poisoned=True)
            return self._dead
        except BaseException as error:
            failure = self._failure_of(error)
            if failure is None:
                self._dead = Failure(ErrorKind.INTERNAL, "the host failed during a call of this instance", Cause.ENGINE, poisoned=True)
                raise
            self._dead = failure
            return failure
        finally:
            if ticks is not None:
                ticker.running -= 1
            self.fuel_used += fuel - store.get_fuel()
            self._guest.end_loans()
            self._entered = False

    def oversee(self, overdue: Callable[[], bool]) -> None:
        """Interrupt a call when `overdue` says that it must end, in the guest's code or while it waits (CANCEL-003)."""
        self._caller.overdue = self._wasi.overdue = overdue
        if not self._caller.timed:
            self._ticks = UNTIMED_TICKS
        self._armed = -1

    def close(self) -> None:
        """End the store and everything in it; idempotent.

        Raises:
            TorvynError: engine/reentrant-call from inside a call of this instance.
        """
        if self._entered:
            raise TorvynError("engine", "reentrant-call", "close was called while a call of the same instance is running")
        self._closed = True
        self._release()
        self._store.close()

    # ---- for engines

    def _failure_of(self, error: BaseException) -> Failure | None:
        """Tell what an exception of an `Enter` says about the guest; None when it is the host's own."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of everything that points into the store."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Begin to run guest code outside of `call`: fuel and deadline afresh (ERR-008, ERR-009)."""
        self._wasi.waited_ns = 0
        self._store.set_fuel(self._fuel)
        if self._ticks is not None:
            advances = self._ticker.enter(self._caller)
            if advances != self._armed:
                self._armed = advances
                self._store.set_epoch_deadline(self._ticks)

    def _end(self) -> None:
        """Note that guest code has stopped running."""
        if self._ticks is not None:
            self._ticker.running -= 1
        self.fuel_used += self._fuel - self._store.get_fuel()

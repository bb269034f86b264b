"""Mutants of what happens between looking at the books and writing to them: managers that let go of their lock in between.

Everything else they do under the lock, so that nothing goes wrong but what should. They wait for each other at the point where it goes
wrong, so that it goes wrong every time: a thread there goes on when every thread of the run is there or has ended. Nobody waits for time to
pass, and outside of a run nobody waits at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from conformance.subjects.reference.threads import run_together
from torvyn_ref.ids import HOST, TRANSIT, U32_MAX, FlowId, Handle, Owner
from torvyn_ref.resources import ResourceManager, ResourceState
from torvyn_ref.resources.copies import FlowBook
from torvyn_ref.resources.handles import HandleTable
from torvyn_ref.resources.manager import Inspection
from torvyn_ref.resources.pools import Block

RULE = "OWN-042"


class Rendezvous:
    """A place where the threads of a run meet; who comes holds no lock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = self._waiting = self._round = 0

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks that meet here."""

        def counted(task: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                try:
                    task()
                finally:
                    with self._changed:
                        self._running -= 1
                        self._let_go()

            return run

        self._running = len(tasks)
        run_together([counted(task) for task in tasks])

    def meet(self) -> None:
        """Wait for all that are still running; outside of a run, do not."""
        with self._changed:
            if not self._running:
                return
            here = self._round
            self._waiting += 1
            self._let_go()
            self._changed.wait_for(lambda: self._round != here)

    def _let_go(self) -> None:
        if self._waiting >= self._running:
            self._waiting = 0
            self._round += 1
            self._changed.notify_all()


class Racing(ResourceManager):
    """A manager whose threads meet at one point, outside of its lock."""

    def __init__(self, *args: Any, place: Rendezvous, **options: Any) -> None:
        super().__init__(*args, **options)
        self.place = place


def racing(name: str) -> Callable[[type[Racing]], type[Racing]]:
    """Register a racing manager; its docstring is the summary."""

    def build(cls: type[Racing]) -> ReferenceParts:
        place = Rendezvous()

        def make(*args: Any, **options: Any) -> ResourceManager:
            return cls(*args, place=place, **options)

        return ReferenceParts(manager=make, together=place.run)

    def add(cls: type[Racing]) -> type[Racing]:
        register(name, RULE, summary=(cls.__doc__ or "").strip(), build=lambda: build(cls))
        return cls

    return add


@racing("transfers-race")
class TransfersRace(Racing):
    """Who owns a buffer is looked at, and then changed: two threads give the same one away."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Look, wait, act."""
        entry = self._table[handle]
        if entry.owner == source and entry.state is ResourceState.OWNED and target >= HOST:
            self.place.meet()
            with self._lock:
                super().transfer(handle, entry.owner, target)
            return
        super().transfer(handle, source, target)


@racing("transit-is-seen")
class TransitIsSeen(Racing):
    """While a buffer changes hands it belongs to nobody, and whoever looks sees that."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Take it from one, wait to be looked at, give it to the other."""
        super().transfer(handle, source, target)
        entry = self._table[handle]
        entry.owner = TRANSIT
        self.place.meet()
        self.place.meet()
        entry.owner = target

    def inspect(self, handle: Handle) -> Inspection:
        """Look while others are at it."""
        self.place.meet()
        try:
            return super().inspect(handle)
        finally:
            self.place.meet()


@racing("releases-race")
class ReleasesRace(Racing):
    """That a buffer is alive is looked at before it is released: two threads release it, and both are told that they did."""

    def release(self, handle: Handle, caller: Owner) -> None:
        """Look, wait, act."""
        entry = self._table[handle]
        if entry.owner == caller and entry.state is ResourceState.OWNED:
            self.place.meet()
            with self._lock:
                if handle in self._table and self._table[handle] is entry:
                    super().release(handle, caller)
            return
        super().release(handle, caller)


@racing("borrows-race")
class BorrowsRace(Racing):
    """Borrows are counted by reading the number and writing one more: two at once count as one."""

    def borrow(self, handle: Handle, borrower: Owner, *, now_ns: int = 0) -> None:
        """Read, wait, write."""
        entry = self._table[handle]
        count = entry.borrows
        self.place.meet()
        with self._lock:
            super().borrow(handle, borrower, now_ns=now_ns)
        self.place.meet()
        entry.borrows = count + 1


class RacingTable(HandleTable):
    """A table in which a slot is chosen before it is taken."""

    __slots__ = ("lock", "place")
    lock: Any
    place: Rendezvous

    def admit(self, block: Block, owner: Owner, flow: FlowId, book: FlowBook, now_ns: int) -> Handle:
        """Choose, wait, take."""
        index = self._free[-1] if self._free else len(self._generations)
        self.lock.release()  # an allocation holds it, once
        self.place.meet()
        self.lock.acquire()
        handle = super().admit(block, owner, flow, book, now_ns)
        chosen = Handle(handle & ~U32_MAX | index)
        entry = self[handle]
        self._slots[handle & U32_MAX] = None
        self._slots[index] = entry
        entry.handle = chosen
        return chosen


@racing("slots-race")
class SlotsRace(Racing):
    """A slot is chosen, and then taken: two threads get the same handle."""

    def __init__(self, *args: Any, place: Rendezvous, **options: Any) -> None:
        super().__init__(*args, place=place, **options)
        table = RacingTable(self._table.capacity)
        table.lock, table.place = self._lock, place
        self._table = table


@racing("budgets-race")
class BudgetsRace(Racing):
    """A budget is looked at, and then charged: two threads get the last of it."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Look, wait, charge whatever it is by then."""
        if owner <= HOST:
            return super().allocate(owner, request, flow, now_ns=now_ns)
        used, limit = self.budget(owner)
        room = used + 256 <= limit
        self.place.meet()
        if not room:
            return super().allocate(owner, request, flow, now_ns=now_ns)
        with self._lock:
            handle = super().allocate(HOST, request, flow, now_ns=now_ns)
            entry = self._table[handle]
            entry.owner = owner
            self._budgets.register(owner, U32_MAX)
            self._budgets.charge(owner, entry.capacity)
            self._budgets.register(owner, limit)
        return handle

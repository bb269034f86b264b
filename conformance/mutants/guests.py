"""Mutants of what stands between a guest and its buffers: the hands that hold them, the calls, the context, the fuel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Call, Element, Failure, FlowContext, Output, Role, Signal
from torvyn_ref.engine.guest import GuestHost
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import Handle, Owner
from torvyn_ref.resources import ResourceManager

Hand = type[GuestHost]


def instance(name: str, *rules: str, summary: str, make: Callable[[Instance], Instance]) -> None:
    """Register what turns every instance into a faulty one."""
    register(name, *rules, summary=summary, build=lambda: ReferenceParts(instance=make))


class Around:
    """An instance that does as the one inside does."""

    def __init__(self, inner: Instance) -> None:
        self.inner = inner

    @property
    def role(self) -> Role:
        """Return the role."""
        return self.inner.role

    @property
    def has_lifecycle(self) -> bool:
        """Tell whether there is a lifecycle."""
        return self.inner.has_lifecycle

    @property
    def fuel_used(self) -> int:
        """Return the fuel used."""
        return self.inner.fuel_used

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make the call."""
        return self.inner.call(call, argument)

    def close(self) -> None:
        """Close."""
        self.inner.close()


def guest_of(instance: Instance) -> GuestHost:
    """Return the host's side of an instance, which its engine keeps to itself."""
    guest = instance._guest  # type: ignore[attr-defined]  # noqa: SLF001 -- a fault has to be put where the runtime does not expect one
    assert isinstance(guest, GuestHost)
    return guest


# ---------------------------------------------------------------- hands
class Thawed(ResourceManager):
    """A manager in which nothing is ever frozen."""

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Do nothing."""


class Clinging(dict[int, "Handle | None"]):
    """Hands in which a spent handle stays good until it is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: set[int] = set()

    def __setitem__(self, rep: int, handle: Handle | None) -> None:
        if handle is None:
            self.spent.add(rep)
        else:
            super().__setitem__(rep, handle)

    def pop(self, rep: int, default: Handle | None = None) -> Handle | None:  # type: ignore[override]  # as it is used
        """Let go: of a spent handle without consequences."""
        handle = super().pop(rep, default)
        return None if rep in self.spent else handle


class Dangling(Clinging):
    """Hands in which dropping a spent handle drops what was frozen."""

    def pop(self, rep: int, default: Handle | None = None) -> Handle | None:  # type: ignore[override]  # as it is used
        """Let go of the buffer too."""
        return dict.pop(self, rep, default)


def _with_hands(hands: type[Clinging]) -> Callable[[Instance], Instance]:
    def make(instance: Instance) -> Instance:
        guest_of(instance)._mutables = hands()  # noqa: SLF001 -- as above; nothing is held yet
        return instance

    return make


register(
    "frozen-in-name-only",
    "BUF-021",
    "CON-010",
    summary="After freeze the mutable handle works as before.",
    build=lambda: ReferenceParts(manager=Thawed, instance=_with_hands(Clinging)),
)
instance(
    "a-spent-handle-takes-its-buffer-along",
    "BUF-021",
    summary="Dropping the mutable handle after freeze releases the frozen buffer.",
    make=_with_hands(Dangling),
)


# ---------------------------------------------------------------- calls
def _one_type(instance: Instance) -> Instance:
    class OneType(Around):
        def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
            answer = super().call(call, argument)
            if isinstance(answer, Output):
                answer.content_type = guest_of(self.inner).resources.content_type(answer.handle)
            return answer

    return OneType(instance)


instance(
    "one-type-for-both", "BUF-034", summary="An element takes its content type from its buffer, not from its producer.", make=_one_type
)


def _handed(cls: Hand) -> Callable[[Instance], Instance]:
    def make(instance: Instance) -> Instance:
        guest_of(instance).__class__ = cls
        return instance

    return make


class Hoarding(GuestHost):
    """A host that keeps what its guest drops."""

    def _release(self, handle: Handle | None) -> None:
        pass


instance("drops-release-nothing", "OWN-029", summary="What a guest drops stays allocated and charged.", make=_handed(Hoarding))


def _calling(after: Callable[[Instance, Answer], Answer]) -> Callable[[Instance], Instance]:
    class Calling(Around):
        def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
            return after(self.inner, super().call(call, argument))

    return Calling


def _swallow(_instance: Instance, answer: Answer) -> Answer:
    return None if isinstance(answer, Failure) and answer.poisoned else answer


instance(
    "traps-are-drops",
    "OWN-003",
    "OWN-014",
    "OWN-016",
    "OWN-020",
    "OWN-021",
    "OWN-023",
    summary="A guest that traps is taken for one that drops its element.",
    make=_calling(_swallow),
)


def _plunder(instance: Instance, answer: Answer) -> Answer:
    guest = guest_of(instance)
    if isinstance(answer, Failure) and not answer.poisoned:
        manager: Any = guest.resources
        for seen in manager.live():
            if seen.owner == guest.owner:
                guest.resources.release(seen.handle, guest.owner)
    return answer


instance("errors-cost-everything", "OWN-028", summary="A guest that returns an error loses all its buffers.", make=_calling(_plunder))


def _one_tank(instance: Instance) -> Instance:
    store = instance._store  # type: ignore[attr-defined]  # noqa: SLF001 -- as above
    fill = store.set_fuel
    filled: list[int] = []

    def once(fuel: int) -> None:
        if len(filled) < 2:  # for init, and for the first element
            filled.append(fuel)
            fill(fuel)

    store.set_fuel = once
    return instance


instance("one-tank-for-all-calls", "ERR-009", summary="The fuel is set for the first element and never again.", make=_one_tank)


def _unlinkable(instance: Instance) -> Instance:
    instance.close()
    raise TorvynError("engine", "missing-import", "this host has no mutable-buffer.set-content-type")


instance("half-a-contract", "CON-001", summary="The host lacks a function of the contract.", make=_unlinkable)

register(
    "one-name-for-all-flows",
    "CON-011",
    summary="Every flow has the same id.",
    build=lambda: ReferenceParts(context=lambda context: replace(context, flow_id="flow")),
)


def _shouting(context: FlowContext) -> FlowContext:
    return replace(context, trace_id="0123456789ABCDEF" * 2)


register("ids-in-capitals", "CON-011", summary="Trace ids are written in capitals.", build=lambda: ReferenceParts(context=_shouting))

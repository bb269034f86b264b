"""Facet guests over `torvyn_ref.engine`: one real component, called as the flow driver would call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from weakref import finalize

from conformance.errors import NotOffered, Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.byhand import HandledGuest
from conformance.subjects.reference.compiling import compiled
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.played import run_components
from torvyn_ref.calls import Call, Cause, Element, Failure, FlowContext, Output, Role
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Compiled, Instance, Limits, Sandbox
from torvyn_ref.ids import HOST, FlowId, Handle, Owner
from torvyn_ref.resources import ManagerConfig, ResourceManager
from torvyn_ref.resources.pools import DEFAULT_TIERS, TierConfig

_DONE = p.Done()
_OWNER = Owner(1)
_FLOWS = count(1)


class ReferenceGuests:
    """One guest behind the messages `guests.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts
        self._guest: _Guest | None = None
        self._handled: HandledGuest | None = None
        self._component = b""
        self._abandon: Callable[[], object] = _nothing

    def open(self, request: p.OpenGuest) -> p.Done:
        """Start over."""
        self._end()
        if request.tracing:
            raise NotOffered("the reference runtime has no tracing")
        self._guest = _Guest(self._parts, request, compiled(request.engine, request.component))
        # A store must not outlive the process's modules, and nobody is obliged to close a guest.
        self._abandon = finalize(self, self._guest.abandon)
        return _DONE

    def call(self, request: p.CallGuest) -> p.GuestAnswerReply:
        """Lend an element and call `process`."""
        return self._opened().call(request)

    def start(self, request: p.StartGuest) -> p.GuestStartedReply:
        """Start over with a guest that only `invoke` calls."""
        self._end()
        self._component = request.component or self._component
        if not self._component:
            raise Refused("no-component", "no component has been started yet, so none can be started again")
        handled = HandledGuest(self._parts, request, compiled(request.engine, self._component))
        self._handled = handled
        self._abandon = finalize(self, handled.abandon)
        return handled.started()

    def invoke(self, request: p.InvokeGuest) -> p.GuestInvokedReply:
        """Make one call of a started guest."""
        if self._handled is None:
            raise Refused("no-guest", "no guest is started by hand")
        return self._handled.invoke(request)

    def flow(self, request: p.RunGuestFlow) -> p.FlowRunReply:
        """Run a flow of real components."""
        return run_components(self._parts, request)

    def observe(self, _request: p.ObserveGuest) -> p.GuestSeenReply:
        """Look at what the guest holds."""
        return self._handled.observe() if self._handled is not None else self._opened().seen()

    def close(self, _request: p.CloseGuest) -> p.Done:
        """End the guest."""
        if self._handled is None:
            self._opened()
        self._end()
        return _DONE

    def _opened(self) -> _Guest:
        if self._guest is None:
            raise Refused("no-guest", "no guest is open")
        return self._guest

    def _end(self) -> None:
        guest, self._guest, self._handled = self._guest or self._handled, None, None
        if guest is not None:
            guest.close()
            self._abandon()


class _Guest:
    """One instance with a resource manager of its own."""

    def __init__(self, parts: ReferenceParts, request: p.OpenGuest, compiled: Compiled) -> None:
        tiers: tuple[TierConfig, ...] = DEFAULT_TIERS
        if request.pool_size is not None:
            tiers = tuple(replace(tier, pool_size=request.pool_size) for tier in tiers)
        self._resources: ResourceManager = parts.manager(ManagerConfig(table_capacity=64, tiers=tiers))
        self._resources.register_component(_OWNER, request.budget_bytes)
        self._flow = FlowId(next(_FLOWS))
        context = FlowContext(f"flow-{self._flow}", deadline_ns=request.deadline_ns)

        self._clock = VirtualClock()
        limits = Limits(fuel=request.fuel, call_timeout_ms=None)
        sandbox = Sandbox(_OWNER, self._flow, self._resources, parts.context(context), self._clock, limits)
        self._instance: Instance | None = parts.instance(compiled.instantiate(Role.PROCESSOR, sandbox))
        self._alive = True
        self._sequence = 0
        if self._instance.has_lifecycle:
            answer = self._instance.call(Call.INIT, "")
            if isinstance(answer, Failure):
                self.abandon()
                raise Refused("init-failed", answer.message, {"kind": str(answer.kind)})

    def call(self, request: p.CallGuest) -> p.GuestAnswerReply:
        assert self._instance is not None, "only a guest that nobody can call is abandoned"
        resources = self._resources
        handle = resources.allocate(HOST, len(request.payload), self._flow)
        resources.write(handle, HOST, 0, request.payload)
        resources.set_content_type(handle, HOST, request.buffer_content_type)
        resources.freeze(handle, HOST)
        resources.borrow(handle, _OWNER)
        self._sequence += 1
        element = Element(self._sequence, self._clock.wall_ns(), request.content_type, handle)
        try:
            answer = self._instance.call(Call.PROCESS, element)
        finally:
            resources.end_borrow(handle, _OWNER)
            resources.release(handle, HOST)
        if isinstance(answer, Failure):
            self._alive = self._alive and not answer.poisoned
            cause = "" if answer.cause is Cause.RETURNED else str(answer.cause)
            outcome = "trapped" if answer.poisoned else "failed"
            return p.GuestAnswerReply(outcome, kind=str(answer.kind), cause=cause, message=answer.message)
        if isinstance(answer, Output):
            return self._take(answer)
        return p.GuestAnswerReply("dropped")

    def _take(self, output: Output) -> p.GuestAnswerReply:
        handle: Handle = output.handle
        self._resources.transfer(handle, _OWNER, HOST)
        payload, buffer_type = self._resources.peek(handle, HOST), self._resources.content_type(handle)
        self._resources.release(handle, HOST)
        return p.GuestAnswerReply("emitted", payload, output.content_type, buffer_type)

    def seen(self) -> p.GuestSeenReply:
        resources = self._resources
        used, limit = resources.budget(_OWNER)
        copies = [route for route in resources.copy_stats(self._flow).routes if route.component == _OWNER]
        return p.GuestSeenReply(
            owned=sum(1 for seen in resources.live() if seen.owner == _OWNER),
            live=resources.live_count,
            used=used,
            limit=limit,
            copy_ops=sum(route.ops for route in copies),
            copy_bytes=sum(route.bytes for route in copies),
        )

    def close(self) -> None:
        if self._alive and self._instance is not None and self._instance.has_lifecycle:
            self._instance.call(Call.TEARDOWN)
        self.abandon()
        self._resources.force_reclaim(_OWNER)

    def abandon(self) -> None:
        """Let go of the store and of its engine, without another call; idempotent."""
        self._alive = False
        if self._instance is not None:
            self._instance.close()
            self._instance = None


def _nothing() -> None:
    """Do nothing: no guest has been opened."""

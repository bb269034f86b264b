"""Facet guests, by hand: a component of any role, called function by function, with everything that can be seen of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from types import MappingProxyType
from typing import Any, cast

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.audits import told_events
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref.calls import DATA_CALL, Answer, Call, Cause, Element, Failure, FlowContext, Output, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Compiled, Instance, Limits, Sandbox
from torvyn_ref.ids import HOST, FlowId, Handle, Owner
from torvyn_ref.resources import ManagerConfig, ResourceError, ResourceManager
from torvyn_ref.resources.pools import tier_of
from torvyn_ref.security.audit import AuditEvent
from torvyn_ref.security.grants import CapabilitySet
from torvyn_ref.security.kinds import Kind

_OWNER = Owner(1)
_FLOWS = count(1)

MOST_LOGGED = 256
"""Host calls of one call that are reported one by one."""

LENDING = frozenset(DATA_CALL.values()) - {Call.PULL}
"""The calls that are lent an element."""

_BREACHES: Mapping[str, str] = MappingProxyType(
    {
        "borrow handles still remain": "borrow-left",
        "cannot lift own resource from a borrow": "lent-handle",
        "unknown handle index": "unknown-handle",
        "used with the wrong type": "wrong-handle-type",
        "was frozen: the handle is spent": "spent-handle",
        "does not exist, or its loan has ended": "unknown-handle",
        "discriminant": "bad-value",
        "utf-8": "bad-value",
        "pointer": "bad-value",
        "not aligned": "bad-value",
        "beyond end of memory": "bad-value",
        "call stack exhausted": "stack",
        "out of bounds memory access": "memory",
        "unreachable": "unreachable",
    }
)
"""A phrase of a trap's message → what kind of trap it was; the first that fits. Both engines use wasmtime's own words."""

_INDEX = re.compile(r"handle index (\d+)")


class WatchedManager:
    """A resource manager that writes down what one owner asks for, and refuses it a buffer when it is told to.

    Everything else is the manager's own.
    """

    def __init__(self, inner: ResourceManager, owner: Owner) -> None:
        self._inner = inner
        self._owner = owner
        self.fault: p.AllocatorFault | None = None
        self.log: list[p.HostCall] = []
        self.total = 0
        self._asked = 0
        for name in ("write", "append", "read", "freeze", "release", "set_content_type"):
            setattr(self, name, self._watched(name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self, fault: p.AllocatorFault | None) -> None:
        """Note that a call begins."""
        self.fault, self.log, self.total, self._asked = fault, [], 0, 0

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Allocate, or refuse."""
        if owner != self._owner:
            return self._inner.allocate(owner, request, flow, now_ns=now_ns)
        return self._making("allocate", lambda: self._inner.allocate(owner, request, flow, now_ns=now_ns))

    def clone(self, handle: Handle, caller: Owner, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Clone, or refuse."""
        return self._making("clone", lambda: self._inner.clone(handle, caller, flow, now_ns=now_ns))

    def _making(self, operation: str, make: Callable[[], Handle]) -> Handle:
        self._asked += 1
        fault = self.fault
        if fault is not None and (self._asked == fault.at or (fault.lasting and self._asked > fault.at)):
            self._note(operation, fault.kind)
            raise ResourceError(fault.kind, "refused on purpose, to see what the component does")
        handle: Handle = self._noting(operation, make)
        return handle

    def _watched(self, name: str) -> Callable[..., Any]:
        does = getattr(self._inner, name)

        def watched(handle: Handle, caller: Owner, *arguments: Any, **options: Any) -> Any:
            if caller != self._owner:
                return does(handle, caller, *arguments, **options)
            return self._noting(name.replace("_", "-"), lambda: does(handle, caller, *arguments, **options))

        return watched

    def _noting(self, operation: str, do: Callable[[], Any]) -> Any:
        try:
            result = do()
        except ResourceError as error:
            self._note(operation, error.kind)
            raise
        self._note(operation, "")
        return result

    def _note(self, operation: str, refused: str) -> None:
        self.total += 1
        if len(self.log) < MOST_LOGGED:
            self.log.append(p.HostCall(operation, refused))


class HandledGuest:
    """One instance with a resource manager of its own; nothing calls it but the messages.

    Raises:
        Refused: a role or a capability that is none; what the runtime says of the component.
    """

    def __init__(self, parts: ReferenceParts, request: p.StartGuest, compiled: Compiled) -> None:
        if request.role not in tuple(Role):
            raise Refused("invalid-config", f"{request.role!r} is no role; there are {', '.join(Role)}")
        manager = parts.manager(ManagerConfig(table_capacity=64))
        manager.register_component(_OWNER, request.budget_bytes)
        self._resources = WatchedManager(manager, _OWNER)
        self._flow = FlowId(next(_FLOWS))
        self._clock = VirtualClock()
        self._printed = 0
        self._sequence = 0
        self._alive = True
        limits = Limits(fuel=request.fuel, call_timeout_ms=None, memories=8)
        if request.memory_bytes is not None:
            limits = Limits(fuel=request.fuel, call_timeout_ms=None, memories=8, memory_bytes=request.memory_bytes)
        held = CapabilitySet.of(request.capabilities)
        self._events: list[AuditEvent] = []
        log = parts.security.audit(self._events.append, self._clock)
        self._guard = parts.security.guard(held, log, self._clock, component="guest", flow=f"flow-{self._flow}")
        sandbox = Sandbox(
            _OWNER,
            self._flow,
            cast("ResourceManager", self._resources),
            parts.context(FlowContext(request.flow_id or f"flow-{self._flow}", deadline_ns=request.deadline_ns)),
            self._clock,
            limits,
            capabilities=held.canonical,
            environment=request.environment,
            stdout=self._print,
            stderr=self._print,
            audit=self._guard,
            allocations=self._guard.allocations(tier_of) if held.of_kind(Kind.RESOURCE_ALLOCATE) else None,
            entropy=Random(request.seed).randbytes,  # noqa: S311 -- repeatable is what it has to be
            wait=self._clock.advance,
        )
        self._instance: Instance | None = parts.instance(compiled.instantiate(Role(request.role), parts.sandbox(sandbox)))
        self.engine = compiled.engine_name

    def started(self) -> p.GuestStartedReply:
        """Return what was started."""
        instance = self._living()
        return p.GuestStartedReply(self.engine, instance.has_lifecycle, _memory(instance), instance.fuel_used)

    def invoke(self, request: p.InvokeGuest) -> p.GuestInvokedReply:
        """Make one call.

        Raises:
            Refused: the component has no such function, or the argument is none that it takes.
        """
        instance = self._living()
        if request.call not in tuple(Call):
            raise Refused("no-such-call", f"{request.call!r} is no call; there are {', '.join(Call)}")
        call = Call(request.call)
        self._resources.begin(request.fault)
        self._printed, fuel = 0, instance.fuel_used
        try:
            answer = self._lending(instance, call, request) if call in LENDING else instance.call(call, _argument(call, request.text))
        except KeyError:
            raise Refused("no-such-call", f"a {instance.role} has no {call}") from None
        seen = self._seen(instance, fuel)
        if isinstance(answer, Failure):
            self._alive = self._alive and not answer.poisoned
            return _failed(answer, seen)
        outputs = answer if isinstance(answer, list) and all(isinstance(one, Output) for one in answer) else [answer]
        taken = tuple(self._take(output) for output in outputs if isinstance(output, Output))
        ports = tuple(str(port) for port in answer) if call is Call.ROUTE and isinstance(answer, list) else ()
        # What is handed over is not the guest's any more: its holdings are looked at again.
        held = self._holdings()
        return p.GuestInvokedReply("answered", _value(call, answer), taken, ports, **{**seen, **held})

    def observe(self) -> p.GuestSeenReply:
        """Look at what the guest holds."""
        resources = self._resources
        used, limit = resources.budget(_OWNER)
        copies = [route for route in resources.copy_stats(self._flow).routes if route.component == _OWNER]
        return p.GuestSeenReply(
            owned=self._holdings()["owned"],
            live=resources.live_count,
            used=used,
            limit=limit,
            copy_ops=sum(route.ops for route in copies),
            copy_bytes=sum(route.bytes for route in copies),
        )

    def close(self) -> None:
        """Take everything back; nothing is called any more."""
        self.abandon()
        self._resources.force_reclaim(_OWNER)

    def abandon(self) -> None:
        """Let go of the store and of its engine; idempotent."""
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    def _living(self) -> Instance:
        assert self._instance is not None, "only a guest that nobody can call is abandoned"
        return self._instance

    def _lending(self, instance: Instance, call: Call, request: p.InvokeGuest) -> Answer:
        resources = self._resources
        handle = resources.allocate(HOST, len(request.payload), self._flow)
        resources.write(handle, HOST, 0, request.payload)
        resources.set_content_type(handle, HOST, request.buffer_content_type)
        resources.freeze(handle, HOST)
        resources.borrow(handle, _OWNER)
        self._sequence += 1
        try:
            return instance.call(call, Element(self._sequence, self._clock.wall_ns(), request.content_type, handle))
        finally:
            resources.end_borrow(handle, _OWNER)
            resources.release(handle, HOST)

    def _take(self, output: Output) -> p.GuestOutput:
        resources = self._resources
        resources.transfer(output.handle, _OWNER, HOST)
        taken = p.GuestOutput(resources.peek(output.handle, HOST), output.content_type, resources.content_type(output.handle))
        resources.release(output.handle, HOST)
        return taken

    def _seen(self, instance: Instance, fuel_before: int) -> dict[str, Any]:
        return {
            "fuel": max(instance.fuel_used - fuel_before, 0),
            "memory_bytes": _memory(instance),
            "host_calls": tuple(self._resources.log),
            "host_calls_total": self._resources.total,
            "printed": self._printed,
            "events": self._new_events(),
            **self._holdings(),
        }

    def _holdings(self) -> dict[str, int]:
        owned = sum(1 for seen in self._resources.live() if seen.owner == _OWNER)
        return {"owned": owned, "used": self._resources.budget(_OWNER)[0]}

    def _new_events(self) -> tuple[p.AuditEvent, ...]:
        self._guard.flush()
        told = told_events(self._events)
        self._events.clear()
        return told

    def _print(self, data: bytes) -> None:
        self._printed += len(data)


def _memory(instance: Instance) -> int | None:
    size: int | None = getattr(instance, "memory_bytes", None)
    return size


def _argument(call: Call, text: str) -> Signal | str | None:
    if call is Call.NOTIFY:
        try:
            return Signal(text)
        except ValueError:
            raise Refused("invalid-config", f"{text!r} is no signal; there are {', '.join(Signal)}") from None
    return text if call is Call.INIT else None


def _value(call: Call, answer: Answer) -> str:
    if isinstance(answer, Output):
        return "emit"
    if isinstance(answer, Signal):
        return str(answer)
    if isinstance(answer, bool):
        return "pass" if answer else "reject"
    if call is Call.ROUTE:
        return "route"
    return {Call.PULL: "end", Call.PROCESS: "drop", Call.INGEST: "drop"}.get(call, "ok")


def _failed(failure: Failure, seen: Mapping[str, Any]) -> p.GuestInvokedReply:
    if not failure.poisoned:
        return p.GuestInvokedReply("failed", kind=str(failure.kind), message=failure.message, **seen)
    cause = "" if failure.cause is Cause.RETURNED else str(failure.cause)
    text = failure.message.lower()
    breach = (
        next((name for phrase, name in _BREACHES.items() if phrase in text), "") if failure.cause in {Cause.TRAP, Cause.OWNERSHIP} else ""
    )
    index = _INDEX.search(failure.message)
    return p.GuestInvokedReply(
        "trapped",
        kind=str(failure.kind),
        cause=cause,
        message=failure.message,
        breach=breach,
        handle=int(index[1]) if index else None,
        **seen,
    )

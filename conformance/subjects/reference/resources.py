"""Facet resources over `torvyn_ref.resources`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.threads import run_programs
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.ids import HOST, TRANSIT, FlowId, Handle, Owner, handle_generation, handle_index, make_handle, show_owner
from torvyn_ref.resources import ManagerConfig, ResourceManager, ResourceState, Tier, TierConfig
from torvyn_ref.resources.budgets import DEFAULT_BUDGET_BYTES
from torvyn_ref.resources.copies import CopyStats
from torvyn_ref.resources.manager import Reclaimed
from torvyn_ref.resources.pools import Exhaustion

_DONE = p.Done()
LEVELS = ("off", "production", "diagnostic")
_OWNER_FIELDS = frozenset({"owner", "expected_owner", "actual_caller", "borrower", "component"})


class ReferenceResources:
    """One resource manager behind the messages `resources.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts
        self._default = DEFAULT_BUDGET_BYTES
        self._manager: ResourceManager = parts.manager(ManagerConfig(table_capacity=64))

    def open(self, request: p.OpenResources) -> p.Done:
        """Start over."""
        try:
            tiers = tuple(TierConfig(Tier(tier.tier), tier.pool_size, tier.preallocate) for tier in request.tiers)
            exhaustion = Exhaustion(request.exhaustion)
        except ValueError as error:
            raise Refused("invalid-config", str(error)) from error
        if request.level not in LEVELS:
            raise Refused("invalid-config", f"{request.level!r} is no level: {', '.join(LEVELS)}")
        default = DEFAULT_BUDGET_BYTES if request.default_budget_bytes is None else request.default_budget_bytes
        self._default = default
        config = ManagerConfig(request.table_capacity, exhaustion=exhaustion, default_budget_bytes=default)
        observer = None if request.level == "off" else Observer()
        self._manager = self._parts.manager(replace(config, tiers=tiers) if tiers else config, observer=observer)
        return _DONE

    def allocate(self, request: p.Allocate) -> p.HandleReply:
        """Allocate."""
        owner = parse_owner(request.owner)
        now = time.monotonic_ns()
        return p.HandleReply(wire_handle(self._manager.allocate(owner, request.capacity, FlowId(request.flow), now_ns=now)))

    def release(self, request: p.Release) -> p.Done:
        """Release."""
        self._manager.release(_handle(request.handle), parse_owner(request.caller))
        return _DONE

    def transfer(self, request: p.Transfer) -> p.Done:
        """Move ownership."""
        self._manager.transfer(_handle(request.handle), parse_owner(request.source), parse_owner(request.target))
        return _DONE

    def borrow(self, request: p.Borrow) -> p.Done:
        """Open a borrow."""
        self._manager.borrow(_handle(request.handle), parse_owner(request.borrower))
        return _DONE

    def end_borrow(self, request: p.EndBorrow) -> p.Done:
        """End a borrow."""
        self._manager.end_borrow(_handle(request.handle), parse_owner(request.borrower))
        return _DONE

    def write(self, request: p.Write) -> p.CountReply:
        """Write bytes."""
        self._claim(request)
        return p.CountReply(self._manager.write(_handle(request.handle), parse_owner(request.caller), request.offset, request.data))

    def read(self, request: p.Read) -> p.BytesReply:
        """Read bytes."""
        self._claim(request)
        return p.BytesReply(self._manager.read(_handle(request.handle), parse_owner(request.reader), request.offset, request.length))

    def _claim(self, request: p.Write | p.Read) -> None:
        """Tell what becomes of a caller's word about its flow: nothing, for the manager asks nobody (COPY-010)."""
        if request.claimed_flow is not None:
            self._parts.claim(self._manager, _handle(request.handle), FlowId(request.claimed_flow))

    def set_content_type(self, request: p.SetContentType) -> p.Done:
        """Set the content type."""
        self._manager.set_content_type(_handle(request.handle), parse_owner(request.caller), request.content_type)
        return _DONE

    def freeze(self, request: p.Freeze) -> p.Done:
        """Freeze."""
        self._manager.freeze(_handle(request.handle), parse_owner(request.caller))
        return _DONE

    def inspect(self, request: p.Inspect) -> p.BufferReply:
        """Describe a buffer."""
        seen = self._manager.inspect(_handle(request.handle))
        return p.BufferReply(
            state=str(seen.state),
            owner=show_owner(seen.owner),
            borrow_count=seen.borrow_count,
            capacity=seen.capacity,
            size=seen.size,
            content_type=seen.content_type,
            tier=str(seen.tier),
            is_fallback=seen.is_fallback,
            flow=seen.flow,
            frozen=seen.frozen,
        )

    def live_count(self, _request: p.LiveCount) -> p.CountReply:
        """Count live buffers."""
        return p.CountReply(self._manager.live_count)

    def force_reclaim(self, request: p.ForceReclaim) -> p.ReclaimedReply:
        """Free what a component owns."""
        owner = parse_owner(request.component)
        return p.ReclaimedReply(tuple(_reclaimed(record) for record in self._manager.force_reclaim(owner)))

    def release_flow(self, request: p.ReleaseFlow) -> p.FlowReleasedReply:
        """Free what a flow allocated."""
        freed = self._manager.release_flow(FlowId(request.flow))
        return p.FlowReleasedReply(freed.returned_to_pool, freed.deallocated, freed.bytes_released, freed.borrows_cleared)

    def register_component(self, request: p.RegisterComponent) -> p.Done:
        """Set a budget."""
        owner = parse_owner(request.component)
        self._manager.register_component(owner, self._default if request.budget_bytes is None else request.budget_bytes)
        return _DONE

    def budget(self, request: p.Budget) -> p.BudgetReply:
        """Show a budget; the host has none."""
        owner = parse_owner(request.component)
        used, limit = self._manager.budget(owner)
        return p.BudgetReply(used, None if owner <= HOST else limit)

    def pool(self, request: p.PoolCounters) -> p.PoolReply:
        """Show a tier's counters."""
        try:
            tier = Tier(request.tier)
        except ValueError as error:
            raise Refused("invalid-tier", str(error)) from error
        seen = self._manager.pool_metrics(tier)
        return p.PoolReply(seen.pool_size, seen.available, seen.alloc_count, seen.return_count, seen.fallback_count, seen.exhaustion_count)

    def copies(self, request: p.CopyCounters) -> p.CopiesReply:
        """Show a flow's copies."""
        return _copies(self._manager.copy_stats(FlowId(request.flow)))

    def transition(self, request: p.ResourceTransition) -> p.Done:
        """Accept or refuse a pair of state labels."""
        try:
            pair = ResourceState(request.old), ResourceState(request.new)
        except ValueError as error:
            raise Refused("invalid-state", str(error)) from error
        if pair not in self._parts.resource_labels:
            raise Refused(
                "invalid-transition",
                f"a buffer in state {request.old} cannot become {request.new}",
                {"machine": "ResourceState", "old": request.old, "new": request.new},
            )
        return _DONE

    # ---- what a subject may add

    def clone(self, request: p.Clone) -> p.HandleReply:
        """Clone."""
        now, caller = time.monotonic_ns(), parse_owner(request.caller)
        return p.HandleReply(wire_handle(self._manager.clone(_handle(request.handle), caller, FlowId(request.flow), now_ns=now)))

    def live(self, _request: p.ListLive) -> p.LiveReply:
        """List what is alive."""
        now = time.monotonic_ns()
        seen = tuple(
            p.LiveBuffer(wire_handle(one.handle), show_owner(one.owner), now - one.allocated_ns, one.flow, str(one.state))
            for one in self._manager.live()
        )
        return p.LiveReply(seen, self._manager.created, self._manager.released)

    def register_flow(self, request: p.RegisterFlow) -> p.Done:
        """Do what the reference does of itself when a flow is first heard of: open its counters, and keep them when they are open."""
        self._manager.copy_stats(FlowId(request.flow))
        return _DONE

    def concurrent(self, request: p.Concurrent) -> p.HistoryReply:
        """Run programs in threads."""
        handlers: dict[type[p.Request], Callable[[Any], p.ThreadReply]] = {
            p.Allocate: self.allocate,
            p.Release: self.release,
            p.Transfer: self.transfer,
            p.Borrow: self.borrow,
            p.EndBorrow: self.end_borrow,
            p.Write: self.write,
            p.Read: self.read,
            p.SetContentType: self.set_content_type,
            p.Freeze: self.freeze,
            p.Inspect: self.inspect,
            p.LiveCount: self.live_count,
            p.Budget: self.budget,
        }

        def answer(request: p.ThreadRequest) -> p.ThreadReply:
            try:
                return handlers[type(request)](request)
            except Refused as refused:
                return p.Fault(refused.kind, refused.message, dict(refused.fields))
            except TorvynError as error:
                return p.Fault(error.kind, error.message, wire_fields(error.fields))

        return p.HistoryReply(run_programs(request.programs, answer, self._parts.together))

    def close_copies(self, request: p.CloseCopies) -> p.CopiesReply:
        """Show a flow's final copies, and forget them."""
        return _copies(self._manager.close_flow_copies(FlowId(request.flow)))


def parse_owner(text: str) -> Owner:
    """Read an owner as Torvyn prints it.

    Raises:
        Refused: invalid-owner.
    """
    if text == "host":
        return HOST
    if text == "transit":
        return TRANSIT
    kind, _, number = text.partition("-")
    if kind == "component" and number.isascii() and number.isdigit() and int(number) > 0:
        return Owner(int(number))
    raise Refused("invalid-owner", f"{text!r} is no owner: host, transit or component-N with N >= 1", {"owner": text})


def wire_handle(handle: Handle) -> p.Handle:
    """Take a packed handle apart."""
    return p.Handle(handle_index(handle), handle_generation(handle))


def wire_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Translate an error's data into words of the protocol: handles as objects, owners as text."""
    wire: dict[str, Any] = {}
    for key, value in fields.items():
        if key == "handle":
            wire[key] = {"index": handle_index(value), "generation": handle_generation(value)}
        elif key in _OWNER_FIELDS and isinstance(value, int):
            wire[key] = show_owner(Owner(value))
        else:
            wire[key] = value if isinstance(value, (int, float, bool)) or value is None else str(value)
    return wire


def _copies(stats: CopyStats) -> p.CopiesReply:
    return p.CopiesReply(
        stats.total_copy_ops,
        stats.total_payload_bytes,
        {str(reason): count for reason, count in stats.ops_by_reason.items()},
        {str(reason): count for reason, count in stats.bytes_by_reason.items()},
        routes=tuple(
            p.CopyRoute(show_owner(route.source), show_owner(route.target), str(route.reason), route.ops, route.bytes)
            for route in stats.routes
        ),
    )


def _handle(handle: p.Handle) -> Handle:
    return make_handle(handle.index, handle.generation)


def _reclaimed(record: Reclaimed) -> p.ReclaimedBuffer:
    return p.ReclaimedBuffer(
        wire_handle(record.handle), str(record.previous_state), show_owner(record.previous_owner), record.capacity, record.returned_to_pool
    )

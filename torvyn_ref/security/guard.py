"""Checks while the component runs: one audit event per decision, and counters where elements pass (CAP-036..CAP-040)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from torvyn_ref.clock import Clock
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observer
from torvyn_ref.security.audit import AuditLog, EventKind
from torvyn_ref.security.capability import Capability
from torvyn_ref.security.grants import CapabilitySet
from torvyn_ref.security.kinds import KINDS, Kind
from torvyn_ref.security.scopes import PoolScope

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class HotPath:
    """What may be done per element, precomputed (CAP-036): four flags, and the pools that allocation is limited to (CAP-037).

    Attributes:
        pools: pools that buffers may come from; None: any.
    """

    resource_allocate: bool = False
    emit_backpressure: bool = False
    custom_metrics: bool = False
    inspect_flow_meta: bool = False
    pools: frozenset[str] | None = frozenset()

    @classmethod
    def of(cls, effective: CapabilitySet) -> HotPath:
        """Compute the flags of a resolved set."""
        held = {capability.kind for capability in effective}
        scopes = [capability.scope for capability in effective.of_kind(Kind.RESOURCE_ALLOCATE)]
        named = frozenset(scope.name for scope in scopes if isinstance(scope, PoolScope))
        return cls(
            resource_allocate=Kind.RESOURCE_ALLOCATE in held,
            emit_backpressure=Kind.EMIT_BACKPRESSURE in held,
            custom_metrics=Kind.CUSTOM_METRICS in held,
            inspect_flow_meta=Kind.INSPECT_FLOW_META in held,
            pools=None if None in scopes else named,
        )

    def may(self, kind: Kind) -> bool:
        """Tell whether a hot-path kind is held at all."""
        match kind:
            case Kind.RESOURCE_ALLOCATE:
                return self.resource_allocate
            case Kind.EMIT_BACKPRESSURE:
                return self.emit_backpressure
            case Kind.CUSTOM_METRICS:
                return self.custom_metrics
            case Kind.INSPECT_FLOW_META:
                return self.inspect_flow_meta
        return False

    def may_allocate(self, pool: str) -> bool:
        """Tell whether a buffer may come from this pool."""
        return self.resource_allocate and (self.pools is None or pool in self.pools)


class Allocations:
    """What a component's allocator asks, once per buffer: a number goes up, and only a grant for named pools costs more (CAP-037, CAP-040).

    Attributes:
        limited: not every pool may be had.
        uses: buffers that were permitted since the guard wrote its last sums.
    """

    __slots__ = ("_guard", "_pool_of", "limited", "uses")

    def __init__(self, guard: Guard, pool_of: Callable[[int], str]) -> None:
        self._guard = guard
        self._pool_of = pool_of
        self.limited = not guard.hot.resource_allocate or guard.hot.pools is not None
        self.uses = 0

    def permits(self, size: int) -> bool:
        """Tell whether a buffer for so many bytes may come from its pool; a refusal is recorded at once."""
        pool = self._pool_of(size)
        if self._guard.hot.may_allocate(pool):
            return True
        self._guard.deny(Capability(Kind.RESOURCE_ALLOCATE, PoolScope(pool)), f"a buffer of {size} bytes")
        return False


class Guard:
    """One component's capabilities at run time: decides, and says so to the audit log.

    Also an `engine.protocol.Audit`: call it with the capability and a detail to record a use that was decided elsewhere.

    Args:
        effective: the resolved set; fixed (CAP-033).
        audit: where decisions are recorded.
        clock: measures the interval of aggregates.
        component, flow: whom events name.
        interval_ms: `tick` writes aggregates this long after the last time.
    """

    def __init__(
        self,
        effective: CapabilitySet,
        audit: AuditLog,
        clock: Clock,
        *,
        component: str,
        flow: str | None = None,
        interval_ms: int = 1000,
    ) -> None:
        self.effective = effective
        self.hot = HotPath.of(effective)
        self.component = component
        self.flow = flow
        self._audit = audit
        self._clock = clock
        self._interval_ns = interval_ms * _NS_PER_MS
        self._uses: Counter[Kind] = Counter()
        self._allocations: Allocations | None = None
        self._since = clock.monotonic_ns()

    def allocations(self, pool_of: Callable[[int], str]) -> Allocations:
        """Return what the component's allocator asks.

        Args:
            pool_of: the pool that a buffer for so many bytes comes from.
        """
        self._allocations = Allocations(self, pool_of)
        return self._allocations

    def check(self, request: Capability, detail: str | None = None) -> None:
        """Decide one use off the hot path, and record it before returning (CAP-039).

        Raises:
            TorvynError: security/denied (E0503), naming component and capability.
        """
        if not self.effective.permits(request):
            raise self.deny(request, detail)
        self.exercised(request, detail)

    def use(self, kind: Kind, pool: str | None = None) -> bool:
        """Decide one use on the hot path: an allowed one is only counted, a denied one is recorded at once (CAP-040).

        Args:
            kind: one of the four hot-path kinds.
            pool: where a buffer would come from, for `torvyn:resource-allocate`.
        """
        allowed = self.hot.may(kind) if pool is None or kind is not Kind.RESOURCE_ALLOCATE else self.hot.may_allocate(pool)
        if allowed:
            self._uses[kind] += 1
        else:
            self.deny(Capability(kind, None if pool is None else PoolScope(pool)))
        return allowed

    def exercised(self, capability: Capability | str, detail: str | None = None) -> None:
        """Record a use that was allowed; hot-path kinds are counted."""
        text = str(capability)
        kind = KINDS.get(":".join(text.split(":", 2)[:2]))
        if kind is not None and kind.is_hot_path:
            self._uses[kind] += 1
        else:
            self._audit.emit(EventKind.EXERCISED, component=self.component, flow=self.flow, capability=text, detail=detail)

    def __call__(self, capability: str, detail: str) -> None:
        """Record a use by the capability's text (the `Audit` of a sandbox)."""
        self.exercised(capability, detail)

    def deny(self, request: Capability, detail: str | None = None) -> TorvynError:
        """Record a refusal, and return the error that says so: security/denied (E0503)."""
        reason = detail if detail is not None else "not in the resolved set"
        self._audit.emit(EventKind.DENIED_AT_RUNTIME, component=self.component, flow=self.flow, capability=str(request), detail=reason)
        return TorvynError(
            "security",
            "denied",
            f"{self.component} may not use {request}",
            where=self.component,
            hint="declare it in the component's capabilities and grant it under [security.grants]",
            code="E0503",
            component=self.component,
            capability=str(request),
        )

    def tick(self) -> int:
        """Write the aggregates when their interval has passed, and return the instant from which asking again makes sense, in ns."""
        self._collect()
        if self._uses and self._clock.monotonic_ns() - self._since >= self._interval_ns:
            self.flush()
        return self._since + self._interval_ns

    def flush(self) -> None:
        """Write what was counted since the last time, one event per kind; the counts of all of them add up to the uses."""
        self._collect()
        now = self._clock.monotonic_ns()
        interval_ms = (now - self._since) // _NS_PER_MS
        self._since = now
        uses, self._uses = self._uses, Counter()
        for kind, count in uses.items():
            self._audit.emit(
                EventKind.EXERCISED_AGGREGATE,
                component=self.component,
                flow=self.flow,
                capability=str(kind),
                count=count,
                interval_ms=interval_ms,
            )

    def _collect(self) -> None:
        """Take over what the allocator has counted."""
        counted = self._allocations
        if counted is not None and counted.uses:
            self._uses[Kind.RESOURCE_ALLOCATE] += counted.uses
            counted.uses = 0


class Sums(Observer):
    """Lets guards write down what they have counted, at a flow's yields: seldom enough, and often enough (CAP-040)."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = guards
        self._due = 0

    def yielded(self, at: int, executions: int) -> None:  # noqa: ARG002 -- the observer's signature
        """Ask each whether it is time, once it can be."""
        if at >= self._due:
            self._due = min(guard.tick() for guard in self._guards)

"""Mutants of pools and budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.ids import HOST, FlowId, Handle, Owner
from torvyn_ref.resources import ManagerConfig, ResourceError, ResourceManager
from torvyn_ref.resources.handles import Entry
from torvyn_ref.resources.manager import Reclaimed
from torvyn_ref.resources.pools import DEFAULT_TIERS, Block, Exhaustion, Pool, Pools, Tier, TierConfig, TierMetrics


def manager(name: str, *rules: str) -> Callable[[type[ResourceManager]], type[ResourceManager]]:
    """Register a faulty resource manager; its docstring is the summary."""

    def add(cls: type[ResourceManager]) -> type[ResourceManager]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(manager=cls))
        return cls

    return add


def pools(name: str, *rules: str) -> Callable[[type[Pools]], type[Pools]]:
    """Register a manager with faulty pools; their docstring is the summary."""

    def add(cls: type[Pools]) -> type[Pools]:
        class WithPools(ResourceManager):
            """The manager with these pools."""

            def __init__(self, config: ManagerConfig | None = None, **options: Any) -> None:
                super().__init__(config, **options)
                config = config or ManagerConfig()
                self._pools = cls(config.tiers, config.exhaustion)

        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(manager=WithPools))
        return cls

    return add


def pool(name: str, *rules: str) -> Callable[[type[Pool]], type[Pool]]:
    """Register a manager every tier of which has a faulty pool; its docstring is the summary."""

    def add(cls: type[Pool]) -> type[Pool]:
        class OfThese(Pools):
            def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
                super().__init__(tiers, policy)
                self._pools = {tier: cls(known.config, policy) for tier, known in self._pools.items()}
                self.by_bits = self._by_bits()

        OfThese.__doc__ = cls.__doc__
        pools(name, *rules)(OfThese)
        return cls

    return add


# ---------------------------------------------------------------- pools


@pool("fallbacks-are-roomier", "POOL-002")
class FallbacksAreRoomier(Pool):
    """A buffer from the system is twice the size of the tier's."""

    def acquire(self) -> Block:
        """Be generous."""
        block = super().acquire()
        return block if block.pool is not None else Block(self.capacity * 2, block.tier, None)


@pool("empty-pools-refuse", "POOL-006")
class EmptyPoolsRefuse(Pool):
    """An empty pool refuses although the policy is to fall back."""

    def acquire(self) -> Block:
        """Say no."""
        block = super().acquire()
        if block.pool is None:
            raise ResourceError("pool-exhausted", "nothing left")
        return block


@pool("exhaustion-goes-uncounted", "POOL-006", "POOL-014")
class ExhaustionGoesUncounted(Pool):
    """A fallback is not counted as exhaustion."""

    def metrics(self) -> TierMetrics:
        """Hide it."""
        return replace(super().metrics(), exhaustion_count=0)


class Raided(tuple[Pool | None, ...]):
    """Tiers by size; instead of an empty one, a larger one that is not."""

    __slots__ = ()

    def __getitem__(self, bits: Any) -> Any:
        """Look for one that has something."""
        return next((one for one in tuple(self)[bits:] if one is None or one.metrics().available), super().__getitem__(bits))


@pools("raids-the-next-tier", "POOL-007")
class RaidsTheNextTier(Pools):
    """An empty tier is served from the next larger one."""

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        super().__init__(tiers, policy)
        self.by_bits = Raided(self.by_bits)


@pools("never-an-error", "POOL-008")
class NeverAnError(Pools):
    """The policy `error` is read and forgotten."""

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        super().__init__(tiers, policy and Exhaustion.FALLBACK)


@pool("used-once", "POOL-009")
class UsedOnce(Pool):
    """A buffer that comes back is thrown away."""

    def __init__(self, config: TierConfig, policy: Exhaustion) -> None:
        super().__init__(config, policy)
        self.free = Sieve()


class Sieve(list[Block]):
    """What is put into it is gone."""

    def append(self, _block: Block, /) -> None:
        """Let it fall."""


@pool("adopts-fallbacks", "POOL-010")
class AdoptsFallbacks(Pool):
    """A fallback is kept when it comes back."""

    def acquire(self) -> Block:
        """Make it one of the family, for later."""
        block = super().acquire()
        if block.pool is None:
            block = Adopted(block.capacity, block.tier, None)
            block.parent = self
        return block


class Adopted(Block):
    """A fallback that says so, and enters the pool all the same."""

    __slots__ = ("parent",)
    parent: Pool

    def retire(self, dirty: int) -> None:
        """Go to the pool."""
        self.pool = self.parent
        super().retire(dirty)


@manager("shows-the-last-tenant", "POOL-011", "POOL-012")
class ShowsTheLastTenant(ResourceManager):
    """A buffer comes back as it was, bytes and size."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.left: dict[Block, bytes] = {}

    def _free(self, entry: Entry) -> None:
        content = bytes(entry.view[: entry.size])
        super()._free(entry)
        self.left[entry.block] = content

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Put back what was there."""
        handle = super().allocate(owner, request, flow, now_ns=now_ns)
        entry = self._table[handle]
        content = self.left.get(entry.block, b"")
        entry.view[: len(content)] = content
        entry.size = len(content)
        return handle


@manager("frozen-for-good", "POOL-012")
class FrozenForGood(ResourceManager):
    """A buffer that was frozen once stays frozen under its next tenants."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ice: set[Block] = set()

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Freeze the memory."""
        super().freeze(handle, caller)
        self.ice.add(self._table[handle].block)

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Find it frozen."""
        handle = super().allocate(owner, request, flow, now_ns=now_ns)
        self._table[handle].frozen = self._table[handle].block in self.ice
        return handle


@pools("huge-is-for-once", "POOL-013")
class HugeIsForOnce(Pools):
    """Huge buffers are never kept."""

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        super().__init__([replace(tier, pool_size=0) if tier.tier is Tier.HUGE else tier for tier in tiers], policy)


@pool("allocations-count-all", "POOL-014")
class AllocationsCountAll(Pool):
    """Fallbacks count as allocations from the pool, though nobody has declared so."""

    def metrics(self) -> TierMetrics:
        """Add them."""
        seen = super().metrics()
        return replace(seen, alloc_count=seen.alloc_count + seen.fallback_count)


@manager("pools-by-flow", "POOL-015")
class PoolsByFlow(ResourceManager):
    """Each flow has pools of its own."""

    def __init__(self, config: ManagerConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.config = config or ManagerConfig()
        self.by_flow: dict[FlowId, Pools] = {}

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Take from the flow's."""
        self._pools = self.by_flow.setdefault(flow, Pools(self.config.tiers, self.config.exhaustion))
        return super().allocate(owner, request, flow, now_ns=now_ns)


@pools("settings-by-position", "POOL-016")
class SettingsByPosition(Pools):
    """The first tier that is configured is taken for the smallest."""

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        known = zip(tiers, DEFAULT_TIERS, strict=False)
        super().__init__([replace(given, tier=place.tier) for given, place in known], policy)


@pools("huge-is-big-enough", "POOL-017")
class HugeIsBigEnough(Pools):
    """What is larger than the largest tier is served from it."""

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        super().__init__(tiers, policy)
        self.by_bits = tuple(pool or self.by_bits[20] for pool in self.by_bits)


# ---------------------------------------------------------------- budgets


@manager("charges-the-request", "BUDGET-001")
class ChargesTheRequest(ResourceManager):
    """A buffer is charged at what was asked for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spared: dict[Handle, int] = {}

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Take the rest off."""
        handle = super().allocate(owner, request, flow, now_ns=now_ns)
        if owner > HOST:
            self.spared[handle] = self._table[handle].capacity - request
            self._budgets.account(owner).used -= self.spared[handle]
        return handle

    def _free(self, entry: Entry) -> None:
        if entry.owner > HOST:
            self._budgets.account(entry.owner).used += self.spared.pop(entry.handle, 0)
        super()._free(entry)


@manager("one-byte-short", "BUDGET-002")
class OneByteShort(ResourceManager):
    """A component may own one byte less than its limit."""

    def register_component(self, component: Owner, budget_bytes: int) -> None:
        """Mistake `at most` for `less than`."""
        super().register_component(component, max(budget_bytes - 1, 0))


@manager("says-only-no", "BUDGET-003")
class SaysOnlyNo(ResourceManager):
    """A refusal does not say how much is used."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Leave the numbers out."""
        try:
            return super().allocate(owner, request, flow, now_ns=now_ns)
        except ResourceError as error:
            raise ResourceError(error.kind, error.message, component=owner) from None


@manager("refused-and-charged", "BUDGET-005")
class RefusedAndCharged(ResourceManager):
    """A transfer that is refused because of borrows has charged the receiver."""

    def transfer(self, handle: Handle, source: Owner, target: Owner) -> None:
        """Charge first, look later."""
        try:
            super().transfer(handle, source, target)
        except ResourceError as error:
            if error.kind == "borrows-outstanding":
                self._budgets.charge(target, self.capacity(handle))
            raise


@manager("borrowers-pay", "BUDGET-006")
class BorrowersPay(ResourceManager):
    """A borrow needs room in the borrower's budget."""

    def borrow(self, handle: Handle, borrower: Owner, *, now_ns: int = 0) -> None:
        """Charge it for a moment."""
        self._budgets.charge(borrower, self.capacity(handle))
        self._budgets.credit(borrower, self.capacity(handle))
        super().borrow(handle, borrower, now_ns=now_ns)


@manager("hosts-have-limits", "BUDGET-007")
class HostsHaveLimits(ResourceManager):
    """The host may own no more than a component."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Add up what it owns."""
        used = sum(seen.capacity for seen in self.live() if seen.owner == HOST)
        if owner == HOST and used + request > self._budgets.default_limit:
            raise ResourceError("budget-exceeded", "the host has enough", component=owner)
        return super().allocate(owner, request, flow, now_ns=now_ns)


def _sixteen(config: ManagerConfig | None = None, **options: Any) -> ResourceManager:
    config = config or ManagerConfig()
    limit = 16 * 1024 * 1024 if config.default_budget_bytes == ManagerConfig().default_budget_bytes else config.default_budget_bytes
    return ResourceManager(replace(config, default_budget_bytes=limit), **options)


register("default-of-16-mib", "BUDGET-008", summary="The default budget is 16 MiB.", build=lambda: ReferenceParts(manager=_sixteen))


@manager("strangers-are-free", "BUDGET-009")
class StrangersAreFree(ResourceManager):
    """A component that nobody registered has no limit."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._budgets.default_limit = 2**63


@manager("registered-anew", "BUDGET-010")
class RegisteredAnew(ResourceManager):
    """A component that is registered again starts at zero."""

    def register_component(self, component: Owner, budget_bytes: int) -> None:
        """Forget."""
        super().register_component(component, budget_bytes)
        self._budgets.account(component).used = 0

    def _free(self, entry: Entry) -> None:
        if entry.owner > HOST:
            self._budgets.account(entry.owner).used += entry.capacity
            super()._free(entry)
            account = self._budgets.account(entry.owner)
            account.used = max(account.used - entry.capacity, 0)
        else:
            super()._free(entry)


@manager("reclaimed-and-forgotten", "BUDGET-011")
class ReclaimedAndForgotten(ResourceManager):
    """A component that was reclaimed has the default limit from then on."""

    def force_reclaim(self, component: Owner) -> tuple[Reclaimed, ...]:
        """Forget the limit, too."""
        freed = super().force_reclaim(component)
        self.register_component(component, self._budgets.default_limit)
        return freed


@manager("memory-is-memory", "BUDGET-012")
class MemoryIsMemory(ResourceManager):
    """A budget is never more than the limit of the linear memory, 16 MiB."""

    def register_component(self, component: Owner, budget_bytes: int) -> None:
        """Cut it."""
        super().register_component(component, min(budget_bytes, 16 * 1024 * 1024))


@manager("frozen-is-free", "BUDGET-013")
class FrozenIsFree(ResourceManager):
    """A frozen buffer is not charged any longer."""

    def freeze(self, handle: Handle, caller: Owner) -> None:
        """Give it back early."""
        super().freeze(handle, caller)
        self._budgets.credit(caller, self.capacity(handle))

    def _free(self, entry: Entry) -> None:
        if entry.frozen and entry.owner > HOST:
            self._budgets.account(entry.owner).used += entry.capacity
        super()._free(entry)


@manager("one-purse-for-all", "BUDGET-014")
class OnePurseForAll(ResourceManager):
    """What one component uses is missing to the others."""

    def allocate(self, owner: Owner, request: int, flow: FlowId, *, now_ns: int = 0) -> Handle:
        """Add up all components."""
        used = sum(seen.capacity for seen in self.live() if seen.owner > HOST)
        if owner > HOST and used + request > self.budget(owner)[1]:
            raise ResourceError(
                "budget-exceeded", "no room", component=owner, current=used, requested=request, budget=self.budget(owner)[1]
            )
        return super().allocate(owner, request, flow, now_ns=now_ns)

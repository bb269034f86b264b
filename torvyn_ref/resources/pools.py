"""Tiered pools: buffers by size class, reused, scrubbed between tenants (ADR-012, POOL-001..POOL-018).

Acquire and release are O(1) in the pool's size. A pool that counts as pre-allocated materialises a buffer only when it is first used: the
counters read as if all had been there from the start, and a runtime that is created a thousand times in a test costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from torvyn_ref.resources.errors import ResourceError

MAX_BUFFER_BYTES = 16 * 1024 * 1024
"""The largest buffer (POOL-004)."""

_ZEROS = memoryview(bytes(MAX_BUFFER_BYTES))


class Tier(StrEnum):
    """A size class. Requests above the largest tier get a buffer of their own, still labelled Huge (POOL-003)."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


TIER_BYTES = {Tier.SMALL: 256, Tier.MEDIUM: 4096, Tier.LARGE: 65536, Tier.HUGE: 1048576}


class Exhaustion(StrEnum):
    """What an empty tier does (POOL-006, POOL-008)."""

    FALLBACK = "fallback-alloc"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TierConfig:
    """How many buffers a tier keeps, and whether they count as there from the start."""

    tier: Tier
    pool_size: int
    preallocate: bool = True


DEFAULT_TIERS = (
    TierConfig(Tier.SMALL, 4096),
    TierConfig(Tier.MEDIUM, 1024),
    TierConfig(Tier.LARGE, 256),
    TierConfig(Tier.HUGE, 32, preallocate=False),
)


@dataclass(frozen=True, slots=True)
class TierMetrics:
    """A tier's counters (POOL-014): `alloc_count` counts pool pops only, `exhaustion_count` and `fallback_count` count the rest."""

    tier: Tier
    pool_size: int
    available: int
    alloc_count: int
    return_count: int
    fallback_count: int
    exhaustion_count: int


class Pool:
    """One tier's free list."""

    __slots__ = ("_bytes", "_free", "_latent", "_policy", "_room", "config", "exhausted", "fallbacks", "pops", "pushes")

    def __init__(self, config: TierConfig, policy: Exhaustion) -> None:
        self.config = config
        self._bytes = TIER_BYTES[config.tier]
        self._policy = policy
        self._free: list[bytearray] = []
        self._latent = config.pool_size if config.preallocate else 0
        self._room = 0 if config.preallocate else config.pool_size  # buffers this tier may still adopt (POOL-013)
        self.pops = self.pushes = self.fallbacks = self.exhausted = 0

    def acquire(self) -> tuple[bytearray, bool]:
        """Return a zeroed buffer of the tier's size, and whether it is a fallback of its own.

        Raises:
            ResourceError: pool-exhausted, when the tier is empty and its policy is `error`.
        """
        if self._free:
            self.pops += 1
            return self._free.pop(), False
        if self._latent:
            self._latent -= 1
            self.pops += 1
            return bytearray(self._bytes), False
        if self._room:  # an on-demand tier grows to its size, then reuses
            self._room -= 1
            self.pops += 1
            return bytearray(self._bytes), False
        self.exhausted += 1
        if self._policy is Exhaustion.ERROR:
            raise ResourceError(
                "pool-exhausted",
                f"the {self.config.tier} pool is empty ({self.config.pool_size} buffers in use)",
                tier=self.config.tier,
            )
        self.fallbacks += 1
        return bytearray(self._bytes), True

    def give_back(self, data: bytearray) -> None:
        """Take back a scrubbed buffer that `acquire` took from this pool."""
        self.pushes += 1
        self._free.append(data)

    def metrics(self) -> TierMetrics:
        """Return the counters as they are now."""
        return TierMetrics(
            tier=self.config.tier,
            pool_size=self.config.pool_size,
            available=len(self._free) + self._latent,
            alloc_count=self.pops,
            return_count=self.pushes,
            fallback_count=self.fallbacks,
            exhaustion_count=self.exhausted,
        )


class Pools:
    """The four tiers, shared by every flow and component of a host (POOL-015)."""

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        by_tier = {config.tier: config for config in tiers}  # by identity, not by position (POOL-016)
        self._pools = {config.tier: Pool(by_tier.get(config.tier, config), policy) for config in DEFAULT_TIERS}
        self._ladder = tuple((TIER_BYTES[tier], tier, pool) for tier, pool in self._pools.items())

    def capacity_for(self, request: int) -> int:
        """Return the capacity that a request gets: the smallest tier that holds it, or itself above the largest (POOL-001, POOL-003)."""
        for size, _, _ in self._ladder:
            if request <= size:
                return size
        return request

    def acquire(self, request: int) -> tuple[bytearray, Tier, bool]:
        """Return a zeroed buffer for a request of `request` bytes, its tier, and whether it is a fallback.

        Raises:
            ResourceError: pool-exhausted (see `Pool.acquire`). An empty tier never spills into a larger one (POOL-007).
        """
        for size, tier, pool in self._ladder:
            if request <= size:
                data, fallback = pool.acquire()
                return data, tier, fallback
        return bytearray(request), Tier.HUGE, True

    def give_back(self, data: bytearray, tier: Tier, *, fallback: bool, dirty: int) -> None:
        """Take a buffer back: scrub the `dirty` bytes that were written (POOL-011), keep it if it is a pool's (POOL-010)."""
        if fallback:
            return
        if dirty:
            data[:dirty] = _ZEROS[:dirty]
        self._pools[tier].give_back(data)

    def metrics(self, tier: Tier) -> TierMetrics:
        """Return a tier's counters."""
        return self._pools[tier].metrics()

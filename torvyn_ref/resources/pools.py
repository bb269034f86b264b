"""Tiered pools: buffers by size class, reused, scrubbed between tenants (ADR-012, POOL-001..POOL-018).

Acquire and release are O(1) in the pool's size. A pool that counts as pre-allocated materialises a buffer only when it is first used: the
counters read as if all had been there from the start, and a runtime that is created a thousand times in a test costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import addressof, c_char, memset
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from torvyn_ref.resources.errors import ResourceError

if TYPE_CHECKING:
    from torvyn_ref.resources.handles import Entry

MAX_BUFFER_BYTES: Final = 16 * 1024 * 1024
"""The largest buffer (POOL-004)."""

ZEROS: Final = memoryview(bytes(65_536))

LONG_SCRUB: Final = 65_536
"""Bytes from which a scrub does not copy zeros, but has them written: what it reads would push the buffers' bytes out of the caches."""


class Tier(StrEnum):
    """A size class. Requests above the largest tier get a buffer of their own, still labelled Huge (POOL-003)."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


TIER_BYTES: Final = {Tier.SMALL: 256, Tier.MEDIUM: 4096, Tier.LARGE: 65536, Tier.HUGE: 1048576}


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


def tier_of(request: int) -> Tier:
    """Return the tier that a request in bytes belongs to; what no tier holds is still called Huge (POOL-003)."""
    return next((tier for tier, capacity in TIER_BYTES.items() if request <= capacity), Tier.HUGE)


DEFAULT_TIERS: Final = (
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


class Block:
    """The bytes behind one buffer: where they live, which pool they return to (None: a fallback of its own), how many fit."""

    __slots__ = ("address", "capacity", "data", "entry", "pool", "tier", "view")

    def __init__(self, capacity: int, tier: Tier, pool: Pool | None) -> None:
        self.capacity = capacity
        self.tier = tier
        self.pool = pool
        self.data = bytearray(capacity)
        self.view = memoryview(self.data)
        self.address = addressof(c_char.from_buffer(self.data)) if capacity >= LONG_SCRUB else 0
        self.entry: Entry | None = None  # of the last tenancy, for the next one; pooled blocks only

    def scrub(self, dirty: int) -> None:
        """Overwrite the first `dirty` bytes with zeros (POOL-011, D-34)."""
        if dirty >= LONG_SCRUB:
            memset(self.address, 0, dirty)
        else:
            self.view[:dirty] = ZEROS[:dirty]

    def retire(self, dirty: int) -> None:
        """Scrub the `dirty` bytes that were written and go back to the pool (POOL-011), or be forgotten as a fallback (POOL-010)."""
        pool = self.pool
        if pool is not None:
            if dirty:
                self.scrub(dirty)
            pool.pushes += 1
            pool.free.append(self)


class Pool:
    """One tier's free list."""

    __slots__ = ("_latent", "_policy", "_room", "capacity", "config", "exhausted", "fallbacks", "free", "pops", "pushes")

    def __init__(self, config: TierConfig, policy: Exhaustion) -> None:
        self.config = config
        self.capacity = TIER_BYTES[config.tier]
        self.free: list[Block] = []
        self._policy = policy
        self._latent = config.pool_size if config.preallocate else 0
        self._room = 0 if config.preallocate else config.pool_size  # buffers this tier may still adopt (POOL-013)
        self.pops = self.pushes = self.fallbacks = self.exhausted = 0

    def acquire(self) -> Block:
        """Return a zeroed block of the tier's size: pooled, or a fallback of its own when the tier is empty.

        Raises:
            ResourceError: pool-exhausted, when the tier is empty and its policy is `error`.
        """
        if self.free:
            self.pops += 1
            return self.free.pop()
        tier = self.config.tier
        if self._latent or self._room:  # not materialised yet, or an on-demand tier that grows to its size
            if self._latent:
                self._latent -= 1
            else:
                self._room -= 1
            self.pops += 1
            return Block(self.capacity, tier, self)
        self.exhausted += 1
        if self._policy is Exhaustion.ERROR:
            raise ResourceError("pool-exhausted", f"the {tier} pool is empty ({self.config.pool_size} buffers in use)", tier=tier)
        self.fallbacks += 1
        return Block(self.capacity, tier, None)

    def metrics(self) -> TierMetrics:
        """Return the counters as they are now."""
        return TierMetrics(
            tier=self.config.tier,
            pool_size=self.config.pool_size,
            available=len(self.free) + self._latent,
            alloc_count=self.pops,
            return_count=self.pushes,
            fallback_count=self.fallbacks,
            exhaustion_count=self.exhausted,
        )


class Pools:
    """The four tiers, shared by every flow and component of a host (POOL-015).

    Attributes:
        by_bits: the smallest tier that holds a request, at `(request - 1).bit_length()`, for tiers hold powers of two; None above the
            largest, where a buffer is on its own (POOL-001, POOL-003). An empty tier never spills into a larger one (POOL-007): the choice
            does not look at what is free.
    """

    def __init__(self, tiers: Iterable[TierConfig] = DEFAULT_TIERS, policy: Exhaustion = Exhaustion.FALLBACK) -> None:
        by_tier = {config.tier: config for config in tiers}  # by identity, not by position (POOL-016)
        self._pools = {config.tier: Pool(by_tier.get(config.tier, config), policy) for config in DEFAULT_TIERS}
        self.by_bits = self._by_bits()

    def _by_bits(self) -> tuple[Pool | None, ...]:
        ladder = tuple(self._pools.values())
        sizes = (1 << bits for bits in range(MAX_BUFFER_BYTES.bit_length()))
        return tuple(next((pool for pool in ladder if size <= pool.capacity), None) for size in sizes)

    def pool_for(self, request: int) -> Pool | None:
        """Return the tier for a request in bytes, from 0 to `MAX_BUFFER_BYTES`; None where a buffer is on its own."""
        return self.by_bits[(request - 1).bit_length()]

    def metrics(self, tier: Tier) -> TierMetrics:
        """Return a tier's counters."""
        return self._pools[tier].metrics()

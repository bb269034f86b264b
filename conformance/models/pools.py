"""What pools must count: four tiers, who was served from where, and what comes back (spec/resources.md POOL).

The model does not choose a tier or a capacity: a subject says once, with room in every pool, which tier serves which request, and is held
to that. It knows only tiers that count as preallocated; one that fills on demand may serve its first buffers from wherever it likes, so the
model takes note of what it is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

TIERS = ("small", "medium", "large", "huge")


@dataclass(frozen=True, slots=True)
class Served:
    """How a subject serves a request while there is room: the tier's name and the capacity in bytes."""

    tier: str
    capacity: int


@dataclass(frozen=True, slots=True)
class Counts:
    """A tier's counters at rest, as the rules define them; None where they leave it open."""

    pool_size: int
    available: int | None
    allocated: int
    returned: int
    fallbacks: int
    exhaustions: frozenset[int]


@dataclass(slots=True)
class TierBook:
    """One tier: its size, whether it counts as filled from the start, and what has happened to it."""

    size: int
    preallocated: bool
    in_use: int = 0
    taken: int = 0
    returned: int = 0
    fallbacks: int = 0
    refused: int = 0

    @property
    def serves(self) -> bool | None:
        """Tell whether the next allocation comes from the pool; None where the rules leave it open."""
        return self.in_use < self.size if self.preallocated else None


@dataclass(slots=True)
class PoolModel:
    """All tiers of one manager; `alloc_counts_all` is the declared reading that allocations include fallbacks (POOL-014, D-35)."""

    alloc_counts_all: bool = False
    tiers: dict[str, TierBook] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Iterable[tuple[str, int, bool]], *, alloc_counts_all: bool = False) -> PoolModel:
        """Make the books of some tiers: name, size, preallocated."""
        return cls(alloc_counts_all, {name: TierBook(size, preallocated) for name, size, preallocated in settings})

    def took(self, tier: str, *, pooled: bool) -> None:
        """Take note of an allocation: out of the pool, or past it."""
        book = self.tiers[tier]
        book.taken += pooled
        book.in_use += pooled
        book.fallbacks += not pooled

    def refused(self, tier: str) -> None:
        """Take note that an empty tier refused (POOL-008)."""
        self.tiers[tier].refused += 1

    def gave_back(self, tier: str, *, pooled: bool) -> None:
        """Take note of the end of a buffer: only what came from the pool returns to it (POOL-009, POOL-010)."""
        book = self.tiers[tier]
        book.in_use -= pooled
        book.returned += pooled

    def counts(self, tier: str) -> Counts:
        """Return what the counters of a tier must say; a refusal may count as an exhaustion or not."""
        book = self.tiers[tier]
        return Counts(
            book.size,
            book.size - book.in_use if book.preallocated else None,
            book.taken + (book.fallbacks if self.alloc_counts_all else 0),
            book.returned,
            book.fallbacks,
            frozenset({book.fallbacks, book.fallbacks + book.refused}),
        )

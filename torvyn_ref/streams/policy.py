"""What a full stream does with one more element (POLICY-001..POLICY-007)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class OverflowPolicy(StrEnum):
    """The overflow policies; `block-producer` is the default. It loses nothing, and neither does `rate-limit`, which paces its producer."""

    BLOCK = "block-producer"
    DROP_OLDEST = "drop-oldest"
    DROP_NEWEST = "drop-newest"
    ERROR = "error"
    RATE_LIMIT = "rate-limit"

    @property
    def suspends_producer(self) -> bool:
        """Tell whether pressure keeps the producer from being called: where nothing may be lost (POLICY-007, POLICY-009)."""
        return self in _LOSSLESS


_LOSSLESS: Final = frozenset({OverflowPolicy.BLOCK, OverflowPolicy.RATE_LIMIT})


class Verdict(StrEnum):
    """What became of an element that was pushed."""

    ENQUEUED = "enqueued"
    EVICTED_OLDEST = "evicted-oldest"
    REFUSED_NEWEST = "refused-newest"
    QUEUE_FULL = "queue-full"


class Push(NamedTuple, Generic[T]):
    """The result of a push: the verdict, and the element that was evicted to make room."""

    verdict: Verdict
    evicted: T | None = None


ENQUEUED: Final[Push[Any]] = Push(Verdict.ENQUEUED)
PACED: Final[Push[Any]] = Push(Verdict.ENQUEUED)
"""Enqueued, on a stream whose producer has to wait before the next one (POLICY-009)."""
REFUSED_NEWEST: Final[Push[Any]] = Push(Verdict.REFUSED_NEWEST)
QUEUE_FULL: Final[Push[Any]] = Push(Verdict.QUEUE_FULL)

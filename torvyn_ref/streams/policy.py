"""What a full stream does with one more element (POLICY-001..POLICY-007)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OverflowPolicy(StrEnum):
    """The overflow policies; `block-producer` is the default and the only lossless one."""

    BLOCK = "block-producer"
    DROP_OLDEST = "drop-oldest"
    DROP_NEWEST = "drop-newest"
    ERROR = "error"

    @property
    def suspends_producer(self) -> bool:
        """Tell whether pressure keeps the producer from being called: only Block does, else the policy could never act (POLICY-007)."""
        return self is OverflowPolicy.BLOCK


class Verdict(StrEnum):
    """What became of an element that was pushed."""

    ENQUEUED = "enqueued"
    EVICTED_OLDEST = "evicted-oldest"
    REFUSED_NEWEST = "refused-newest"
    QUEUE_FULL = "queue-full"


@dataclass(frozen=True, slots=True)
class Push(Generic[T]):
    """The result of a push: the verdict, and the element that was evicted to make room."""

    verdict: Verdict
    evicted: T | None = None


ENQUEUED: Push[Any] = Push(Verdict.ENQUEUED)
REFUSED_NEWEST: Push[Any] = Push(Verdict.REFUSED_NEWEST)
QUEUE_FULL: Push[Any] = Push(Verdict.QUEUE_FULL)

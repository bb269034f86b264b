"""Credits: how many elements a stream may still take (ADR-011, CREDIT-001..CREDIT-008).

1. A stream starts with one credit per place in its queue.
2. Every element enqueued spends one; every element that leaves the queue, however it leaves, gives one back.
3. So 0 <= available <= capacity, and available + depth = capacity, after every operation.
"""

from __future__ import annotations


class CreditAccount:
    """One stream's credits. `Stream.push` and `Stream.pop` count them in place: they run for every element, where a call is dear."""

    __slots__ = ("available", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.available = capacity

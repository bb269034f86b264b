"""Credits: how many elements a stream may still take (ADR-011, CREDIT-001..CREDIT-008).

1. A stream starts with one credit per place in its queue.
2. Every element enqueued spends one; every element that leaves the queue, however it leaves, gives one back.
3. So 0 <= available <= capacity, and available + depth = capacity, after every operation.
"""

from __future__ import annotations

from torvyn_ref.streams.errors import StreamError


class CreditAccount:
    """One stream's credits; pure arithmetic."""

    __slots__ = ("available", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.available = capacity

    def spend(self) -> int:
        """Spend one credit for an element enqueued and return what is left.

        Raises:
            StreamError: credit-underflow when there is none.
        """
        if not self.available:
            raise StreamError("credit-underflow", "an element was enqueued without a credit", capacity=self.capacity)
        self.available -= 1
        return self.available

    def restore(self) -> int:
        """Give one credit back for an element that left the queue and return what there is.

        Raises:
            StreamError: credit-overflow when the account is full.
        """
        if self.available == self.capacity:
            raise StreamError("credit-overflow", "a credit was given back that nobody spent", capacity=self.capacity)
        self.available += 1
        return self.available

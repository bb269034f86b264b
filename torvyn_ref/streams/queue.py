"""A bounded FIFO (ORD-001, WMK-012)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from torvyn_ref.streams.errors import StreamError

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """First in, first out, never more than `capacity` items.

    Raises:
        StreamError: invalid-capacity below 1 (WMK-009).
    """

    __slots__ = ("capacity", "items", "peak")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise StreamError("invalid-capacity", f"a stream holds at least 1 element, got capacity {capacity}", capacity=capacity)
        self.capacity = capacity
        self.items: deque[T] = deque()
        self.peak = 0

    def push(self, item: T) -> int:
        """Append an item and return the depth.

        Raises:
            StreamError: queue-full.
        """
        items = self.items
        if len(items) >= self.capacity:
            raise StreamError("queue-full", f"the queue holds its {self.capacity} elements already", capacity=self.capacity)
        items.append(item)
        depth = len(items)
        if depth > self.peak:  # noqa: PLR1730  # max() costs as much as the rest of this method
            self.peak = depth
        return depth

    def pop(self) -> T:
        """Remove and return the oldest item.

        Raises:
            StreamError: queue-empty.
        """
        if not self.items:
            raise StreamError("queue-empty", "the queue is empty")
        return self.items.popleft()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

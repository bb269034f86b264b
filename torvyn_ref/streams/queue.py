"""A bounded FIFO (ORD-001)."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from torvyn_ref.streams.errors import StreamError

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """First in, first out. `Stream` appends and takes, and never holds more than `capacity` items: its credits are as many as places.

    Attributes:
        peak: the greatest depth so far (WMK-012).

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

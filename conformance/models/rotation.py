"""What a log that rotates leaves on disk, told from CAP-052 and CAP-053."""

from __future__ import annotations

from collections.abc import Sequence


def files_after(sizes: Sequence[int], max_bytes: int, max_files: int, name: str = "audit") -> dict[str, list[int]]:
    """Return which events are in which file after events of these sizes were written; events are told by their place in `sizes`."""
    current: list[int] = []
    rotated: list[list[int]] = []
    for at, size in enumerate(sizes):
        filled = sum(sizes[number] for number in current)
        if current and filled + size > max_bytes:
            rotated = [current, *rotated][:max_files]
            current = []
        current.append(at)
    return {name: current, **{f"{name}.{number}": lines for number, lines in enumerate(rotated, 1)}}

"""Did you mean: the nearest known word, when it is near enough to be a slip of the finger."""

from __future__ import annotations

from collections.abc import Iterable

CHARACTERS_PER_EDIT = 3
_LONGEST_WORD = 128


def edit_distance(left: str, right: str) -> int:
    """Count the single-character insertions, deletions, substitutions and swaps of neighbours between two words."""
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for row, a in enumerate(left, start=1):
        current = [row]
        for column, b in enumerate(right, start=1):
            cost = min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (a != b))
            if row > 1 and column > 1 and a == right[column - 2] and left[row - 2] == b:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word nearest to `word`, or None when none is within one edit per three characters (decision 10).

    A word of one or two characters still gets one edit. The first of equally near words wins.
    """
    if len(word) > _LONGEST_WORD:
        return None
    allowed = max(1, len(word) // CHARACTERS_PER_EDIT)
    best: str | None = None
    for candidate in known:
        if abs(len(candidate) - len(word)) > allowed:
            continue
        distance = edit_distance(word, candidate)
        if distance <= allowed:
            best, allowed = candidate, distance - 1
    return best

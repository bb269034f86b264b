"""Which of the two builds this is (ADR-024)."""

from __future__ import annotations

from torvyn_ref import ids


def is_compiled() -> bool:
    """Tell whether this is the compiled build: the hot modules turned into C, and not read as Python."""
    return not (ids.__file__ or ".py").endswith(".py")

"""Torvyn's reference runtime: what Torvyn does, stated as plainly as Python allows."""

from __future__ import annotations


def is_compiled() -> bool:
    """Tell whether this is the compiled build (ADR-024): the hot modules turned into C, and not read as Python."""
    from torvyn_ref import ids  # noqa: PLC0415 -- a package that imports nothing is imported fast

    return not (ids.__file__ or ".py").endswith(".py")

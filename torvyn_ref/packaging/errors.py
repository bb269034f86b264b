"""What packaging refuses, and why: one kind per reason, nothing half-done behind it.

not-found · invalid-reference · unreadable · not-a-component · too-large · digest-mismatch · size-mismatch · invalid-manifest ·
invalid-layout · corrupt-artifact · interrupted · registry-unreachable · registry-error · unauthorized · tag-exists · cache-failed ·
no-wit-files · not-empty · unsigned · bad-signature · incompatible
"""

from __future__ import annotations

from torvyn_ref.errors import TorvynError


def refused(kind: str, message: str, *, where: str, hint: str | None = None, code: str | None = None) -> TorvynError:
    """Build an error of this room; `where` is the reference, file or address concerned."""
    return TorvynError("packaging", kind, message, where=where, hint=hint, code=code)

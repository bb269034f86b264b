"""Errors as values: a subsystem, a symbolic kind, a sentence, and what to do about it.

Identity is (subsystem, kind) (spec decision 15). Numeric codes collide between the upstream sources, so `code` is shown and never compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class TorvynError(Exception):
    """One thing that went wrong, said so that its reader can act on it.

    Attributes:
        subsystem: the room that refused ("config", "packaging", "contract", "security", "topology", "resources", "flow", "engine",
            "observe", "cli").
        kind: the symbolic kind within that room, in kebab-case ("unknown-key"). Tests compare this.
        message: one sentence: what was expected and what was found.
        where: the file and field, or the handle, stage or stream concerned.
        hint: what to do, when something can be done.
        code: the upstream's number ("E0701"), informative only.
        fields: the kind's data (numbers, names), for machines.
    """

    def __init__(
        self,
        subsystem: str,
        kind: str,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        code: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.subsystem = subsystem
        self.kind = kind
        self.message = message
        self.where = where
        self.hint = hint
        self.code = code
        self.fields = fields

    def __str__(self) -> str:
        """Render `[code] where: message (hint)`, leaving out what is unknown."""
        head = f"[{self.code}] " if self.code else ""
        place = f"{self.where}: " if self.where else ""
        tail = f" ({self.hint})" if self.hint else ""
        return f"{head}{place}{self.message}{tail}"

    def as_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready data (keys without a value are left out)."""
        data: dict[str, Any] = {"subsystem": self.subsystem, "kind": self.kind, "message": self.message}
        for key in ("where", "hint", "code"):
            if (value := getattr(self, key)) is not None:
                data[key] = value
        if self.fields:
            data["fields"] = self.fields
        return data


class TorvynErrors(TorvynError):
    """Every error of one validation, together: a user mends a file once, not once per mistake."""

    def __init__(self, errors: Iterable[TorvynError]) -> None:
        self.errors = tuple(errors)
        if not self.errors:
            raise ValueError("TorvynErrors needs at least one error")
        first = self.errors[0]
        super().__init__(first.subsystem, first.kind, "\n".join(str(error) for error in self.errors))

    def __str__(self) -> str:
        """Render one error per line."""
        return self.message


def raise_all(errors: Iterable[TorvynError]) -> None:
    """Raise what was collected: nothing, the single error itself, or all of them as `TorvynErrors`."""
    collected = list(errors)
    if len(collected) == 1:
        raise collected[0]
    if collected:
        raise TorvynErrors(collected)

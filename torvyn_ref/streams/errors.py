"""The stream room's refusals."""

from __future__ import annotations

from typing import Any

from torvyn_ref.errors import TorvynError


class StreamError(TorvynError):
    """A refused stream operation; nothing has changed.

    `kind` is one of: queue-full, queue-empty, producer-complete, invalid-capacity, invalid-ratio,
    invalid-rate.
    """

    def __init__(self, kind: str, message: str, **fields: Any) -> None:
        super().__init__("streams", kind, message, **fields)

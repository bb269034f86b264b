"""Why the direct engine will not, or cannot, run something."""

from __future__ import annotations


class Malformed(Exception):
    """The bytes are no component. `offset` is where reading stopped, in bytes from the component's start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


class Unsupported(Exception):
    """A valid component has a shape that this engine does not implement; the message names it."""


class AbiTrap(Exception):
    """The canonical ABI's own traps: unknown handle, wrong type, borrow left at return, pointer out of bounds, bad UTF-8 ..."""


class NoSuchResource(Exception):
    """The component imports, from an interface that this runtime has, a resource that the interface does not have."""


class HostValueError(OverflowError):
    """The host has a value that the function's type does not have; the guest has not seen it."""

"""Who and what: owners, handles and the ids of flows, streams and components.

Owners and handles are plain integers behind `NewType`, because every resource operation compares them. A handle packs its generation
above its index (`generation << 32 | index`, spec/resources.md D-44), so that one comparison answers "is this handle still alive" (OWN-014).
"""

from __future__ import annotations

from itertools import count
from typing import Final, NewType

Handle = NewType("Handle", int)
"""A buffer handle: generation in the high 32 bits, slot index in the low 32."""

Owner = NewType("Owner", int)
"""Who owns a buffer: `HOST`, `TRANSIT`, or a component instance (its id, from 1)."""

FlowId = NewType("FlowId", int)
StreamId = NewType("StreamId", int)

HOST: Final = Owner(0)
TRANSIT: Final = Owner(-1)

U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF


def make_handle(index: int, generation: int) -> Handle:
    """Pack a slot index and its generation (both u32) into a handle."""
    return Handle(generation << 32 | index)


def handle_index(handle: Handle) -> int:
    """Return the slot index of a handle."""
    return handle & U32_MAX


def handle_generation(handle: Handle) -> int:
    """Return the generation of a handle."""
    return handle >> 32


def show_handle(handle: Handle) -> str:
    """Render a handle the way Torvyn prints it: `buffer-I:gG`."""
    return f"buffer-{handle_index(handle)}:g{handle_generation(handle)}"


def show_owner(owner: Owner) -> str:
    """Render an owner the way Torvyn prints it: `host`, `transit` or `component-N`."""
    return "host" if owner == HOST else "transit" if owner == TRANSIT else f"component-{owner}"


class Ids:
    """Hand out ids that are unique in the process, increasing, from 1 (FLOW-011)."""

    def __init__(self) -> None:
        self._flows = count(1)
        self._components = count(1)

    def next_flow(self) -> FlowId:
        """Return a flow id never returned before."""
        return FlowId(next(self._flows))

    def next_component(self) -> Owner:
        """Return an owner id for a new component instance, never returned before."""
        return Owner(next(self._components))

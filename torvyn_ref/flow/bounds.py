"""How long a call may take: bounds that the driver states and its shell enforces (ERR-008, CANCEL-002..CANCEL-006, CANCEL-013)."""

from __future__ import annotations

from typing import Final, NamedTuple

from torvyn_ref.calls import Call
from torvyn_ref.flow.settings import FlowSettings


class CallBounds(NamedTuple):
    """Instants in monotonic ns; None is never.

    Attributes:
        interrupt_at: when the guest is interrupted, if the call has not returned.
        drop_at: when its instance is given up, if it did not react to that.
    """

    interrupt_at: int | None
    drop_at: int | None


UNBOUND: Final = CallBounds(None, None)


def call_bounds(
    settings: FlowSettings, call: Call, started: int, *, asked_to_end: int | None = None, drain_end: int | None = None
) -> CallBounds:
    """Return the bounds of a call that began at `started`.

    Args:
        settings: the flow's.
        call: what is called.
        started: when the call began.
        asked_to_end: when somebody, or the deadline, asked a flow to end that does not drain yet. From there the call has the cooperative
            timeout, then it is interrupted, and then its instance is dropped.
        drain_end: when a drain must be over that began before the call. It ends at once, whatever the guest does.
    """
    if call is Call.TEARDOWN:
        hard: int | None = started + settings.teardown_timeout_ns
        return CallBounds(hard, hard)
    if call is Call.INIT:
        hard = started + settings.init_timeout_ns
    else:
        hard = None if settings.call_timeout_ns is None else started + settings.call_timeout_ns
    hard = _earliest(hard, drain_end)
    if asked_to_end is None:
        return CallBounds(hard, hard)
    soft = asked_to_end + settings.cooperative_ns
    return CallBounds(_earliest(hard, soft), _earliest(hard, soft + settings.interrupt_grace_ns))


def _earliest(*instants: int | None) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)

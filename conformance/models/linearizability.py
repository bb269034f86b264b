"""Whether a concurrent history could have happened one operation after another (Wing and Gong, with a memo): for ownership, by the rules.

An operation takes effect at one instant between its start and its end. So some order must exist that keeps what ended before something else
began, in which every reply is the one that the sequential model allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from conformance.models.ownership import Buffer, Key, OwnershipModel
from conformance.subjects import protocol as p

Operation = TypeVar("Operation")
State = TypeVar("State")

MOST_STATES = 200_000
"""A search that meets more situations than this gives up: the histories of the suite need a few hundred."""


@dataclass(frozen=True, slots=True)
class Interval(Generic[Operation]):
    """An operation with the ticks right before it began and right after it ended."""

    operation: Operation
    start: int
    end: int


class TooLargeError(Exception):
    """A history has too many orders to search."""


def explains(
    threads: Sequence[Sequence[Interval[Operation]]],
    initial: State,
    after: Callable[[State, Operation], State | None],
    fingerprint: Callable[[State], Hashable],
) -> bool:
    """Tell whether some order of the operations, true to their intervals, has the replies that they got.

    Args:
        threads: the operations of each thread, in order.
        initial: the state before all of them.
        after: the state after an operation, or None when its reply is not one that it can get in that state.
        fingerprint: equal for states that no operation can tell apart.

    Raises:
        TooLargeError: it would take too long to tell.
    """
    seen: set[Hashable] = set()
    open_: list[tuple[tuple[int, ...], State]] = [((0,) * len(threads), initial)]
    while open_:
        at, state = open_.pop()
        heads = [(number, thread[at[number]]) for number, thread in enumerate(threads) if at[number] < len(thread)]
        if not heads:
            return True
        horizon = min(head.end for _, head in heads)
        for number, head in heads:
            if head.start > horizon:  # something else had ended before it began
                continue
            then = after(state, head.operation)
            if then is None:
                continue
            here = (*at[:number], at[number] + 1, *at[number + 1 :])
            key = (here, fingerprint(then))
            if key not in seen:
                seen.add(key)
                open_.append((here, then))
        if len(seen) > MOST_STATES:
            raise TooLargeError(f"more than {MOST_STATES} situations")
    return False


# ---------------------------------------------------------------- ownership


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a resource manager, and the reply it got."""

    request: p.ThreadRequest
    reply: p.ThreadReply


def copied(model: OwnershipModel) -> OwnershipModel:
    """Return a model that can go its own way."""
    twin = OwnershipModel(model.default_budget, model.profile)
    twin.live = {
        key: replace(buffer, content=bytearray(buffer.content), borrows=Counter(buffer.borrows)) for key, buffer in model.live.items()
    }
    twin.graveyard, twin.generations, twin.limits = list(model.graveyard), dict(model.generations), model.limits
    twin.created, twin.released = model.created, model.released
    return twin


def ownership_print(model: OwnershipModel) -> Hashable:
    """Return what tells two states of a resource manager apart."""
    return frozenset(
        (key, buffer.owner, bytes(buffer.content), buffer.content_type, buffer.frozen, frozenset((+buffer.borrows).items()))
        for key, buffer in model.live.items()
    )


def ownership_after(model: OwnershipModel, asked: Asked) -> OwnershipModel | None:
    """Return the model after one operation; None when the rules do not allow the reply."""
    request, reply = asked.request, asked.reply
    if isinstance(request, p.LiveCount):
        return model if reply == p.CountReply(len(model.live)) else None
    if isinstance(request, p.Budget):
        return model if isinstance(reply, p.BudgetReply) and reply.used == model.used(request.component) else None
    step, key = _step(request)
    prediction = model.predict(step, key)
    if isinstance(reply, p.Fault):
        if not prediction.must:
            return model if reply.kind in prediction.may else None
        return model if prediction.kinds is None or reply.kind in prediction.kinds else None
    if prediction.must:
        return None
    twin = copied(model)
    if isinstance(request, p.Allocate):
        return _allocated(twin, request, reply)
    assert key is not None, "every other operation is about a buffer"
    buffer = twin.live[key]
    twin.done(step, key)
    return twin if _fits(request, reply, buffer) else None


def _allocated(model: OwnershipModel, request: p.Allocate, reply: p.ThreadReply) -> OwnershipModel | None:
    if not isinstance(reply, p.HandleReply):
        return None
    key = (reply.handle.index, reply.handle.generation)
    if key in model.live or key in model.graveyard:
        return None
    same = [buffer.capacity for buffer in model.live.values() if buffer.capacity >= request.capacity]
    model.allocated(Buffer(f"b{model.created}", key, request.owner, min(same, default=request.capacity), request.flow))
    return model


def _fits(request: p.ThreadRequest, reply: p.ThreadReply, buffer: Buffer) -> bool:
    match request:
        case p.Read(offset=offset, length=length):
            return reply == p.BytesReply(bytes(buffer.content[offset : offset + length]))
        case p.Write():
            return reply == p.CountReply(len(buffer.content))
        case p.Inspect():
            if not isinstance(reply, p.BufferReply):
                return False
            expected = (buffer.state, buffer.owner, buffer.borrow_count, len(buffer.content), buffer.content_type)
            return (reply.state, reply.owner, reply.borrow_count, reply.size, reply.content_type) == expected
        case _:
            return reply == p.Done()


def _step(request: p.ThreadRequest) -> tuple[dict[str, object], Key | None]:
    """Return a request as the model reads it, and its buffer."""
    step: dict[str, object] = {"op": p.tag_of(request)}
    step |= {name: getattr(request, name) for name in request.__struct_fields__}
    handle = step.pop("handle", None)
    if isinstance(request, p.Write):
        step["text"] = request.data.decode()
    return step, (handle.index, handle.generation) if isinstance(handle, p.Handle) else None

"""Guest programs that Hypothesis draws: any operations on live handles, at the corners of u64 and at the edges of the buffers.

What is drawn is a list of plain choices; `written` makes a program of them that uses no dead handle. A program may end with one use of a
frozen buffer's mutable handle, in a call of its own: it may trap, and nothing can follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from conformance.machines.guests import BUDGET_BYTES, Near, Story
from conformance.subjects.guests import PAYLOAD, Op

HINTS = (16, 0, 1, 255, 256, 257, 300, 4096, 4097, 65_536, 65_537, 2**24, 2**24 + 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63, 2**64 - 1)
CORNERS = (0, 1, 2, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**32 + 256, 2**63, 2**64 - 256, 2**64 - 2, 2**64 - 1)
EDGES = ("size", "fit", "capacity")
REPEATS = (0, 0, 0, 2, 60, 250, 300)
BUDGETS = (BUDGET_BYTES, BUDGET_BYTES, BUDGET_BYTES, 20_000, 13_000)
MOST_MUTABLES = 12
FIRST_BUFFER = 64

ON_MUTABLE = ("append", "write", "near-write", "near-append", "set-content-type", "freeze", "drop-mutable")
ON_BUFFER = ("read", "near-read", "read-all", "buffer-size", "buffer-content-type", "clone", "drop-buffer")
ACTIONS = (*ON_MUTABLE, *ON_BUFFER, "allocate", "cut")
RISKY = ("write", "append", "set-content-type", "freeze", "size", "capacity")

Choice = tuple[str, int, int, int, bytes]
"""An action, a pick among the handles there are, two numbers by their place among the corners, and some bytes."""

choices = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7), st.integers(0, 23), st.integers(0, 23), st.binary(max_size=5))
types = st.text(max_size=70).map(str.encode) | st.text(alphabet="aé€𝄞", min_size=50, max_size=66).map(str.encode)


@st.composite
def programs(draw: st.DrawFn, most: int = 24) -> Story:
    """Draw a program."""
    drawn = draw(st.lists(choices, min_size=1, max_size=most))
    tags = draw(st.lists(types, max_size=3)) if any(choice[0] == "set-content-type" for choice in drawn) else []
    budget_bytes = draw(st.sampled_from(BUDGETS))
    risky = draw(st.sampled_from(("", *RISKY)))
    return written(drawn, tags, budget_bytes, risky)


def written(drawn: Sequence[Choice], tags: Sequence[bytes], budget_bytes: int = BUDGET_BYTES, risky: str = "") -> Story:
    """Make a program of choices."""
    calls: list[list[Op]] = [[Op("allocate", into=0, a=HINTS[drawn[0][2] % 8])]]
    mutables, buffers, spent, made, frozen = [0], [PAYLOAD], [], 1, 0
    for action, pick, one, two, data in drawn:
        call = calls[-1]
        if action == "cut":
            calls.append([])
        elif action == "allocate" or (action in ON_MUTABLE and not mutables):
            if made < MOST_MUTABLES:
                call.append(Op("allocate", into=made, a=HINTS[one % len(HINTS)]))
                mutables.append(made)
                made += 1
        elif action == "clone":
            if made < MOST_MUTABLES:
                call.append(Op("clone", buffers[pick % len(buffers)], into=made))
                mutables.append(made)
                made += 1
        elif action in ON_MUTABLE:
            slot = mutables[pick % len(mutables)]
            call.append(_on_mutable(action, slot, one, two, data, tags))
            if action == "freeze":
                call[-1] = Op("freeze", slot, into=FIRST_BUFFER + frozen)
                buffers.append(FIRST_BUFFER + frozen)
                frozen += 1
                spent.append(slot)
            if action in {"freeze", "drop-mutable"}:
                mutables.remove(slot)
        else:
            slot = buffers[pick % len(buffers)]
            if action != "drop-buffer":
                call.append(_on_buffer(action, slot, one, two))
            elif slot != PAYLOAD:
                call.append(Op("drop-buffer", slot))
                buffers.remove(slot)
    if risky and spent:
        calls.append([Op(risky, spent[0], into=FIRST_BUFFER + frozen, a=0, data=b"late" if risky != "freeze" else b"")])
    return Story(tuple(tuple(call) for call in calls if call), budget_bytes)


def _on_mutable(action: str, slot: int, one: int, two: int, data: bytes, tags: Sequence[bytes]) -> Op:
    repeat = REPEATS[two % len(REPEATS)]
    match action:
        case "append":
            return Op("append", slot, b=repeat, data=data)
        case "write":
            return Op("write", slot, a=CORNERS[one % len(CORNERS)], b=repeat, data=data)
        case "near-append":
            return Near("append", slot, delta=one % 3 - 1)
        case "near-write":
            return Near("write", slot, b=repeat, data=data, edge=EDGES[one % 3], delta=one // 3 % 3 - 1)
        case "set-content-type":
            return Op("set-content-type", slot, data=tags[one % len(tags)] if tags else b"")
        case _:
            return Op("drop-mutable", slot)


def _on_buffer(action: str, slot: int, one: int, two: int) -> Op:
    length = CORNERS[two % len(CORNERS)]
    match action:
        case "read":
            return Op("read", slot, a=CORNERS[one % len(CORNERS)], b=length)
        case "near-read":
            return Near("read", slot, b=length, delta=one % 3 - 1)
        case _:
            return Op(action, slot)

"""A straight flow whose last stage is held: which stage to choose, decision by decision, so that all its streams fill (CREDIT-013).

The model knows depth and pressure of each stream, and that a stage is ready when it has input and its output is not under pressure.
"""

from __future__ import annotations

from collections.abc import Sequence


def filling(capacities: Sequence[int], lows: Sequence[int]) -> tuple[int, ...]:
    """Return the choices that always take the deepest ready stage but the last one, until no other is ready.

    Every stage between makes one element of one; all streams block. Stage 0 feeds stream 0, and so on.
    """
    depths, active = [0] * len(capacities), [False] * len(capacities)
    choices: list[int] = []
    while True:
        ready = [stage for stage in range(len(capacities) + 1) if _ready(stage, depths, active)]
        if ready in ([], [len(capacities)]):
            return tuple(choices)
        place = len(ready) - 1 - (ready[-1] == len(capacities))
        choices.append(place)
        stage = ready[place]
        if stage:
            depths[stage - 1] -= 1
            active[stage - 1] &= depths[stage - 1] > lows[stage - 1]
        depths[stage] += 1
        active[stage] |= depths[stage] == capacities[stage]


def _ready(stage: int, depths: Sequence[int], active: Sequence[bool]) -> bool:
    return (stage == 0 or depths[stage - 1] > 0) and (stage == len(depths) or not active[stage])

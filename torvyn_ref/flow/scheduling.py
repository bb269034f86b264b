"""Which ready stage runs next: a parameter of the flow (spec decision 14). Any choice among the ready stages is legal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torvyn_ref.flow.stage import Stage


class SchedulingPolicy(Protocol):
    """Chooses among ready stages."""

    def bind(self, stages: Sequence[Stage]) -> None:
        """Get to know the flow's stages, in topological order; called once, before the first `pick`."""
        ...

    def pick(self, now: int) -> Stage | None:
        """Return a stage that is ready now, or None when none is."""
        ...


class _ByLevel:
    """Stages by level, each level served in turn: stages of one level cannot feed each other, so none of them starves (SCHED-005)."""

    _deepest_first: bool

    def __init__(self) -> None:
        self._levels: list[list[Stage]] = []
        self._turn: list[int] = []
        self._line: list[Stage] | None = None  # the stages, where every level has just one

    def bind(self, stages: Sequence[Stage]) -> None:
        """Group the stages by level."""
        depth = max(stage.level for stage in stages) + 1
        levels: list[list[Stage]] = [[] for _ in range(depth)]
        for stage in stages:
            levels[stage.level].append(stage)
        self._levels = levels[::-1] if self._deepest_first else levels
        self._turn = [0] * depth
        if len(stages) == depth:
            self._line = [level[0] for level in self._levels]

    def pick(self, now: int) -> Stage | None:
        """Return the first ready stage, level by level."""
        if self._line is not None:
            for stage in self._line:
                if (stage.queue or stage.may_have_work) and stage.is_ready(now):
                    return stage
            return None
        for depth, level in enumerate(self._levels):
            for step in range(len(level)):
                position = (self._turn[depth] + step) % len(level)
                if level[position].is_ready(now):
                    self._turn[depth] = position + 1
                    return level[position]
        return None


class ConsumerFirst(_ByLevel):
    """The default: the deepest ready stage; a source only when nothing else is ready (SCHED-002). Queues stay short (SCHED-004)."""

    _deepest_first = True


class ProducerFirst(_ByLevel):
    """The opposite: fill the queues first. Shows pressure and drop policies end to end."""

    _deepest_first = False


class Scripted:
    """A drawn schedule: the k-th decision takes ready[choices[k] mod n], ready stages in topological order; afterwards consumer-first."""

    def __init__(self, choices: Sequence[int]) -> None:
        self._choices = iter(choices)
        self._stages: Sequence[Stage] = ()
        self._after = ConsumerFirst()

    def bind(self, stages: Sequence[Stage]) -> None:
        """Get to know the stages."""
        self._stages = stages
        self._after.bind(stages)

    def pick(self, now: int) -> Stage | None:
        """Return the stage that the script chooses."""
        ready = [stage for stage in self._stages if stage.is_ready(now)]
        if not ready:
            return None
        choice = next(self._choices, None)
        return self._after.pick(now) if choice is None else ready[choice % len(ready)]

"""What the machines have met: every cell of state and event of the tables of buffers and of streams, counted while they run.

A cell is a situation, an event in it, and what the rules say of it: done, refused, or open where they leave it. The tables list the cells
that there are, from the rules alone; what no run can meet (a release of a lent buffer that is done) is none of them. A run that leaves a
cell out has not judged it, and its report says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product

from conformance.models.ownership import Buffer, Key, OwnershipModel, Prediction
from conformance.models.streams import Policy, StreamModel

RESOURCES, STREAMS = "resources", "streams"

LIVE = ("Owned", "Borrowed", "Owned and frozen", "Borrowed and frozen")
DEAD = ("vacant", "taken again", "never issued")
"""What has become of the slot of a handle that names nothing."""

_BOTH = ("done", "refused")
_NEVER = ("refused",)
_OWNERS = {LIVE[0]: _BOTH, LIVE[1]: _NEVER, LIVE[2]: _BOTH, LIVE[3]: _NEVER}
_TAGGING = {LIVE[0]: _BOTH, **dict.fromkeys(LIVE[1:], ("open", "refused"))}
ON_LIVE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "release": _OWNERS,
    "transfer": _OWNERS,
    "borrow": dict.fromkeys(LIVE, ("done",)),
    "end-borrow": {LIVE[0]: _NEVER, LIVE[1]: _BOTH, LIVE[2]: _NEVER, LIVE[3]: _BOTH},
    "write": {LIVE[0]: _BOTH, **dict.fromkeys(LIVE[1:], _NEVER)},
    "read": dict.fromkeys(LIVE, _BOTH),
    "set-content-type": _TAGGING,
    "freeze": _TAGGING,
    "force-reclaim": dict.fromkeys(LIVE, ("done",)),
    "release-flow": dict.fromkeys(LIVE, ("done",)),
}
"""What may come of an event on a live buffer, by its state."""
ON_DEAD = ("inspect", "read", "write", "set-content-type", "borrow", "end-borrow", "transfer", "freeze", "release")

SITUATIONS = ("normal and empty", "normal", "active and full", "active")
COMPLETE = ("complete and empty", "complete")


def _resource_cells() -> Iterable[str]:
    for event, by_state in ON_LIVE.items():
        for state, outcomes in by_state.items():
            yield from (cell(state, event, outcome) for outcome in outcomes)
    yield from (cell(state, event, "refused") for state, event in product(DEAD, ON_DEAD))


def _stream_cells() -> Iterable[str]:
    for policy in Policy:
        yield from (cell(f"{policy}, {situation}", event) for situation, event in product(SITUATIONS, ("push", "pop", "complete")))
        yield from (cell(f"{policy}, {situation}", event) for situation, event in product(COMPLETE, ("push", "pop")))


def cell(state: str, event: str, outcome: str = "") -> str:
    """Return the name of a cell."""
    return f"{state}: {event}" + (f" {outcome}" if outcome else "")


TABLES: Mapping[str, tuple[str, ...]] = {RESOURCES: tuple(_resource_cells()), STREAMS: tuple(_stream_cells())}
"""Every cell of every table."""


class Coverage:
    """How often each cell was met.

    Attributes:
        counts: by table; a table that no machine has run on is not there.
        fresh: the cells met since `start`, to steer a search by.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.fresh: set[str] = set()

    def start(self) -> None:
        """Begin a new example."""
        self.fresh.clear()

    def met(self, table: str, name: str) -> None:
        """Count a cell.

        Raises:
            ValueError: the table does not have it: it is missing there, or a model has gone where the rules do not lead.
        """
        if name not in _KNOWN[table]:
            raise ValueError(f"the table {table} has no cell {name!r}")
        self.counts.setdefault(table, Counter())[name] += 1
        self.fresh.add(name)

    # ---- buffers

    def operated(self, model: OwnershipModel, op: str, key: Key, prediction: Prediction) -> None:
        """Count an operation on a handle, before it is done."""
        event, buffer = op.removeprefix("resources."), model.live.get(key)
        outcome = "refused" if prediction.must else "open" if prediction.may_any else "done"
        if buffer is None:
            self.met(RESOURCES, cell(_grave(model, key), event, outcome))
        elif event != "inspect":  # the lock-steps look at every buffer all the time
            self.met(RESOURCES, cell(state_of(buffer), event, outcome))

    def taken(self, buffers: Iterable[Buffer], event: str) -> None:
        """Count buffers that are about to be freed by force."""
        for buffer in buffers:
            self.met(RESOURCES, cell(state_of(buffer), event, "done"))

    # ---- streams

    def streamed(self, model: StreamModel, event: str) -> None:
        """Count an event on a stream, before it happens."""
        if model.complete:
            situation = COMPLETE[0] if not model.depth else COMPLETE[1]
            if event == "complete":
                return
        else:
            edge = " and empty" if not model.depth else " and full" if model.depth == model.capacity else ""
            situation = ("active" if model.active else "normal") + edge
        self.met(STREAMS, cell(f"{model.policy}, {situation}", event))


_KNOWN = {table: frozenset(cells) for table, cells in TABLES.items()}


def state_of(buffer: Buffer) -> str:
    """Return a live buffer's state, as the table has it."""
    return buffer.state + (" and frozen" if buffer.frozen else "")


def _grave(model: OwnershipModel, key: Key) -> str:
    if any(tenant[0] == key[0] for tenant in model.live):
        return DEAD[1]
    return DEAD[0] if key in model.graveyard else DEAD[2]


def merged(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Return the sum of several coverages, with every cell of each table that was run on, in the order of the table."""
    sums: dict[str, Counter[str]] = {}
    for part in parts:
        for table, counts in part.items():
            sums.setdefault(table, Counter()).update(counts)
    return {table: {name: sums[table][name] for name in cells} for table, cells in TABLES.items() if table in sums}

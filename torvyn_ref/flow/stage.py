"""A stage and its edges at run time: what they hold, and when a stage may run (SCHED-003)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from torvyn_ref.calls import DATA_CALL, Call, Element, Role, Signal
from torvyn_ref.flow.breaker import CircuitBreaker
from torvyn_ref.flow.topology import EdgeDef
from torvyn_ref.ids import Owner
from torvyn_ref.streams import Stream

FIRST_PROBE_NS: Final = 1_000_000
LAST_PROBE_NS: Final = 100_000_000


class Invoke:
    """A step: make this call on this stage's instance, then `resume` the driver with the answer.

    Each stage has one, used again and again: its fields are valid until `resume`.
    """

    __slots__ = ("argument", "call", "stage")

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.call = Call.INIT
        self.argument: Element | Signal | str | None = None


class Edge:
    """A stream between two stages, and whether its paused sink holds it (POLICY-011, POLICY-012)."""

    __slots__ = ("first_delay", "heeds_pause", "held", "index", "port", "probe_at", "probe_delay", "source", "stream", "target")

    def __init__(self, index: int, definition: EdgeDef, source: Stage, target: Stage, stream: Stream[Element]) -> None:
        self.index = index
        self.port = definition.source_port
        self.stream = stream
        self.source = source
        self.target = target
        self.held = False
        self.probe_at = 0
        self.first_delay = FIRST_PROBE_NS
        self.probe_delay = FIRST_PROBE_NS
        self.heeds_pause = True

    def probe_after(self, delay_ns: int) -> None:
        """Set the first delay before a paused sink is probed."""
        self.first_delay = self.probe_delay = delay_ns

    def is_open(self, now: int) -> bool:
        """Tell whether the producer may be called for this edge: the stream allows it, and no paused sink holds it."""
        return self.stream.may_produce and not (self.held and not self.may_probe(now))

    def may_probe(self, now: int) -> bool:
        """Tell whether one element may pass although the sink said `pause`: the stream is empty and the delay is over."""
        return not self.stream.items and now >= self.probe_at

    def hold(self, now: int) -> None:
        """Suspend the producer: the sink said `pause`. Each pause in a row doubles the wait before the next probe."""
        if not self.heeds_pause:
            return
        if self.held:
            self.probe_delay = min(self.probe_delay * 2, max(LAST_PROBE_NS, self.first_delay))
        self.held = True
        self.probe_at = now + self.probe_delay

    def resume(self) -> None:
        """Let the producer go on: the sink said `ready`."""
        self.held = False
        self.probe_delay = self.first_delay


class Stage:
    """A component's place in a running flow."""

    __slots__ = (
        "attempts",
        "breaker",
        "busy_ns",
        "done",
        "errors",
        "failures_in_a_row",
        "faulted",
        "flush_due",
        "flushed",
        "gated",
        "has_lifecycle",
        "index",
        "initialised",
        "inputs",
        "invocations",
        "invoke",
        "is_source",
        "level",
        "may_have_work",
        "name",
        "next_input",
        "not_before",
        "notified",
        "only_input",
        "open_inputs",
        "outputs",
        "owner",
        "pending",
        "poisoned",
        "ports",
        "queue",
        "queues",
        "retry",
        "role",
        "work",
    )

    def __init__(self, *, index: int, name: str, role: Role, level: int, owner: Owner, has_lifecycle: bool) -> None:
        self.index = index
        self.name = name
        self.role = role
        self.level = level
        self.owner = owner
        self.has_lifecycle = has_lifecycle
        self.is_source = role is Role.SOURCE
        self.work = DATA_CALL[role]
        self.invoke = Invoke(self)
        self.inputs: list[Edge] = []
        self.queues: list[deque[Element]] = []  # of `inputs`, in their order
        self.only_input: Edge | None = None
        # Asked first, without a call: work waits in `queue`, the only input's, or may wait elsewhere (in a source, one of several inputs,
        # as a retry, as a flush).
        self.queue: Sequence[Element] = ()
        self.may_have_work = True
        self.outputs: list[Edge] = []
        self.ports: dict[str, list[Edge]] = {}
        self.open_inputs = 0
        self.next_input = 0
        self.pending: deque[tuple[Element, Sequence[Edge]]] = deque()
        self.retry: Element | None = None
        self.attempts = 0
        self.breaker: CircuitBreaker | None = None
        self.failures_in_a_row = 0
        self.not_before = 0
        self.notified = Signal.READY
        self.flush_due = self.flushed = False
        self.gated = False
        self.initialised = self.done = self.faulted = self.poisoned = False
        self.invocations = self.errors = self.busy_ns = 0

    def add_input(self, edge: Edge) -> None:
        """Take an edge that ends here."""
        self.inputs.append(edge)
        self.open_inputs += 1
        self.queues.append(edge.stream.items)
        self.only_input, self.queue = (edge, edge.stream.items) if len(self.inputs) == 1 else (None, ())
        self.may_have_work = len(self.inputs) > 1

    def is_ready(self, now: int) -> bool:
        """Tell whether the stage may be called now: it has work, a place for the result, and nothing to wait for."""
        if not self.is_source and self.retry is None and not self.flush_due:
            for queue in self.queues:
                if queue:
                    break
            else:
                return False
        if self.done or self.gated or now < self.not_before:
            return False
        for edge in self.outputs:  # noqa: SIM110  # a loop, not all(): this is asked several times per element
            if not edge.stream.may_produce or (edge.held and not edge.may_probe(now)):
                return False
        return True

    def take_input(self) -> Edge:
        """Return the next non-empty input, in turn, so that none starves (CREDIT-012)."""
        inputs = self.inputs
        for step in range(len(inputs)):
            position = (self.next_input + step) % len(inputs)
            if inputs[position].stream.items:
                self.next_input = position + 1
                return inputs[position]
        raise AssertionError(f"stage {self.name!r} was called without input")

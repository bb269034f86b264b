"""Facet `flows`, continued: a host with several flows side by side, as a list of things that are done to it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from conformance.subjects.protocol.base import U32, U64, Message, Reply, Request
from conformance.subjects.protocol.flows import FlowRunReply, FlowSpec


class HostStep(Message, frozen=True):
    """One thing that is done to a host.

    `do` is one of: start (the flow number `flow` of the request, counted from 0), turns (let every flow have so many turns, a turn being
    what it does between two yields), settle (wait until every flow is over), query and cancel (the flow with the id `flow`), shutdown
    (within `timeout_ms` of virtual time), status. A shutdown that is not waited for (capability shutdown_meanwhile) has begun when the next
    step follows, and its outcome has no counts; the host's own shutdown at the end waits for it.
    """

    do: Literal["start", "turns", "settle", "query", "cancel", "shutdown", "status"]
    flow: U64 = 0
    turns: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    timeout_ms: U32 = 30_000
    waits: bool = True


class RunHost(Request, frozen=True, tag="flows.host"):
    """Make a fresh host on a virtual clock, do one thing to it after the other, and shut it down → `host-run`.

    A step that is refused is an outcome and not a fault: the next one follows. A fault `invalid-topology` or `invalid-config` is about the
    flows themselves. `max_calls` bounds each flow as in `flows.run`.
    """

    flows: tuple[FlowSpec, ...]
    steps: tuple[HostStep, ...]


class ShutdownCounts(Message, frozen=True):
    """How a shutdown went: every flow of the host counts once."""

    completed: int
    cancelled: int
    failed: int
    timed_out: int


class HostOutcome(Message, frozen=True):
    """What came of one step.

    Attributes:
        outcome: done, or the kind of the refusal: shutting-down, flow-not-found, invalid-state ...
        flow: the id that a started flow was given.
        state: of a queried flow; of the host, for status: Ready, Running, ShuttingDown or Stopped.
        counts: of a shutdown.
    """

    outcome: str = "done"
    flow: int | None = None
    state: str | None = None
    counts: ShutdownCounts | None = None


class HostedFlow(Message, frozen=True):
    """A flow that was started: its id, which of the request's flows it is, and how it ended; no `run` for one that had to be abandoned."""

    id: int
    flow: int
    state: str
    run: FlowRunReply | None = None


class HostRunReply(Reply, frozen=True, tag="host-run"):
    """What became of each step and of each flow, and the order in which flows gave way: their ids, one per yield."""

    outcomes: tuple[HostOutcome, ...]
    flows: tuple[HostedFlow, ...]
    turns: tuple[int, ...] = ()

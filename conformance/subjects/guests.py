"""The op-probe's language: programs over buffers as data, their encoding, and a client that plays them on a subject's guest.

The probe is a component (`corpus/components/op-probe.wasm`) that carries out the program in its payload, one host call after another, and
emits what each call answered. The suite sends the component's bytes when it opens a guest, so a subject needs no files of ours. How a
program and its log look on the wire is the suite's business alone; `corpus/components/guests/probe_ops.py` says it once more, next to the
code that reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from conformance.errors import SuiteError
from conformance.subjects import protocol as p

T = TypeVar("T", bound=p.Reply)

OPERATIONS = (
    "trap",
    "allocate",
    "write",
    "append",
    "size",
    "capacity",
    "set-content-type",
    "freeze",
    "drop-mutable",
    "drop-buffer",
    "read",
    "read-all",
    "buffer-size",
    "buffer-content-type",
    "clone",
    "copy-slot",
    "forge",
    "handle",
    "trace-id",
    "span-id",
    "deadline-ns",
    "flow-id",
    "drop-context",
    "content-type",
    "spin",
    "grow",
    "emit",
    "drop-element",
    "fail",
)
"""Every operation, by its number in a program."""

STATUSES = ("done", "number", "bytes", "capacity-exceeded", "out-of-bounds", "allocation-failed", "skipped")
"""How an operation can go, by its number in a log. `skipped`: the slot was empty, the host was not asked."""

ENDINGS = frozenset({"emit", "drop-element", "fail"})
"""The operations that end the call themselves: such a program gives no log."""

SLOTLESS = frozenset({"trap", "allocate", "forge", "content-type", "spin", "grow", "drop-element", "fail"})
"""The operations that work on no slot."""
MAKING = frozenset({"allocate", "clone", "freeze", "copy-slot", "forge"})
"""The operations whose result goes into a slot."""

ERROR_KINDS = ("invalid-input", "unavailable", "internal", "deadline-exceeded", "fatal")

PAYLOAD, CONTEXT = 128, 129
"""The slots that hold the running call's payload and flow-context; the probe lets go of both before it returns, unless they are empty."""

SLOTS = 256
U64_MAX = 2**64 - 1

LOG_TYPE = "application/x-op-log"
"""The content type of an element that carries a log."""

COMPONENTS = (Path(__file__).parents[2] / "corpus" / "components", Path(__file__).parents[1] / "_components")
"""Where the corpus is: beside the package in a checkout, inside it when installed."""

_HEADER = struct.Struct("<BBBBIQQ")
_NUMBER = struct.Struct("<Q")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of a program.

    Attributes:
        do: one of `OPERATIONS`.
        slot, into: the slot it works on, and the one that gets its result.
        a, b: its numbers: a hint, an offset and a length, a repetition. A write or append has its data `b` times, once for 0.
        data: its inline bytes.
        force: ask the host even when the slot is empty, with handle 0.
    """

    do: str
    slot: int = 0
    into: int = 0
    a: int = 0
    b: int = 0
    data: bytes = b""
    force: bool = False

    @property
    def written(self) -> bytes:
        """Return the bytes that a write or append has, repetitions included."""
        return self.data * max(self.b, 1)

    def show(self) -> dict[str, object]:
        """Return the operation for evidence, without what it does not use."""
        shown: dict[str, object] = {"op": self.do}
        shown |= {} if self.do in SLOTLESS else {"slot": self.slot}
        shown |= {"into": self.into} if self.do in MAKING else {}
        shown |= {name: value for name in ("a", "b", "force") if (value := getattr(self, name))}
        return shown | ({"data": shown_bytes(self.data)} if self.data else {})


@dataclass(frozen=True, slots=True)
class Result:
    """What one operation answered: its status, with a number, or bytes (of `bytes` and `allocation-failed`), or nothing.

    `trapped` is a status beside those of a log: the call has ended there.
    """

    status: str
    value: int | bytes | None = None

    def __str__(self) -> str:
        """Render `number 7`."""
        value = shown_bytes(self.value) if isinstance(self.value, bytes) else self.value
        return self.status if value is None else f"{self.status} {value}"


TRAPPED = Result("trapped")
DONE = Result("done")


class UnreadableLogError(Exception):
    """What the guest emitted is no log of the program that it was given: bytes were lost or changed on the way."""


@dataclass(frozen=True, slots=True)
class Called:
    """How one call ended: the subject's answer, and the log's results when the program gave one."""

    answer: p.GuestAnswerReply
    results: tuple[Result, ...] = ()

    @property
    def trapped(self) -> bool:
        """Tell whether the guest is dead."""
        return self.answer.outcome == "trapped"


def shown_bytes(data: bytes) -> str:
    """Return bytes as short text for people."""
    return repr(data)[1:] if len(data) <= 48 else f"{data[:32]!r}... ({len(data)} bytes)"


def encode(program: Iterable[Op]) -> bytes:
    """Return a program as the probe reads it."""
    parts: list[bytes] = []
    for op in program:
        parts.append(_HEADER.pack(OPERATIONS.index(op.do), op.slot, op.into, op.force, len(op.data), op.a, op.b))
        parts.append(op.data)
    return b"".join(parts)


def decode(program: Sequence[Op], log: bytes) -> tuple[Result, ...]:
    """Read a program's log.

    Raises:
        UnreadableLogError: it is cut short, has more results than the program has operations, or a status that is none.
    """
    results: list[Result] = []
    at = 0
    for _ in program:
        try:
            status = STATUSES[log[at]]
            at += 1
            value: int | bytes | None = None
            if status == "number":
                (value,) = _NUMBER.unpack_from(log, at)
                at += _NUMBER.size
            elif status in {"bytes", "allocation-failed"}:
                (length,) = _LENGTH.unpack_from(log, at)
                at += _LENGTH.size
                value = log[at : at + length]
                at += length
        except (IndexError, struct.error) as error:
            raise UnreadableLogError(f"the log has {len(log)} bytes, and none that could be result {len(results)}") from error
        results.append(Result(status, value))
    if at != len(log):
        raise UnreadableLogError(f"the log of {len(program)} operations has {len(log)} bytes, {at} of them theirs")
    return tuple(results)


@cache
def component(name: str) -> bytes:
    """Return a component of the corpus.

    Raises:
        SuiteError: it is not where it should be.
    """
    for folder in COMPONENTS:
        path = folder / f"{name}.wasm"
        if path.is_file():
            return path.read_bytes()
    raise SuiteError(f"the component {name} is missing: expected {name}.wasm in {' or '.join(map(str, COMPONENTS))}")


class Ask(Protocol):
    """Sends a request and returns its reply, as `Session.ask` does."""

    def __call__(self, request: p.AnyRequest, expected: type[T]) -> T:
        """Ask."""
        ...


class GuestsClient:
    """Facet guests: one real component in the subject's engine, called by hand."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def open(
        self,
        *,
        component_name: str = "op-probe",
        engine: str = "",
        budget_bytes: int = 64 * 1024 * 1024,
        fuel: int = 50_000_000,
        pool_size: int | None = None,
        tracing: bool = False,
        deadline_ns: int = 0,
    ) -> None:
        """Start over with a fresh guest in a flow of its own."""
        wasm = component(component_name)
        self._ask(p.OpenGuest(wasm, engine, budget_bytes, fuel, pool_size, tracing, deadline_ns), p.Done)

    def call(self, program: Sequence[Op], *, content_type: str = "", buffer_content_type: str = "") -> Called:
        """Play a program and read its log.

        Raises:
            UnreadableLogError: the guest emitted something else.
        """
        answer = self.send(encode(program), content_type=content_type, buffer_content_type=buffer_content_type)
        if answer.outcome != "emitted" or any(op.do in ENDINGS for op in program):
            return Called(answer)
        return Called(answer, decode(program, answer.payload))

    def send(self, payload: bytes, *, content_type: str = "", buffer_content_type: str = "") -> p.GuestAnswerReply:
        """Lend one element to the guest and return what it made of it."""
        return self._ask(p.CallGuest(payload, content_type, buffer_content_type), p.GuestAnswerReply)

    def start(self, request: p.StartGuest) -> p.GuestStartedReply:
        """Start over with a component that only `invoke` calls."""
        return self._ask(request, p.GuestStartedReply)

    def invoke(self, request: p.InvokeGuest) -> p.GuestInvokedReply:
        """Make one call of a started component."""
        return self._ask(request, p.GuestInvokedReply)

    def flow(
        self, stages: Sequence[p.GuestStage], edges: Sequence[p.EdgeSpec], *, error_policy: str = "fail-fast", engine: str = ""
    ) -> p.FlowRunReply:
        """Run a flow of real components to its end."""
        return self._ask(p.RunGuestFlow(tuple(stages), tuple(edges), error_policy, engine), p.FlowRunReply)

    def observe(self) -> p.GuestSeenReply:
        """Look at what the guest holds."""
        return self._ask(p.ObserveGuest(), p.GuestSeenReply)

    def close(self) -> None:
        """End the guest and take back what it held."""
        self._ask(p.CloseGuest(), p.Done)

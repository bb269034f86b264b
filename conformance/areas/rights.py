"""What real components can reach: WASI, pools, the answer to what they may do (CAP-034, CAP-035, CAP-037, CAP-039, CAP-041, CAP-061)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Refused
from conformance.subjects import protocol as p
from conformance.subjects.guests import Op, component, decode, encode
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

SECRET = "not-for-everybody"  # noqa: S105 -- a value that is told apart from others
PROBES = {
    "wasi-stdout": "stdio:stdout",
    "wasi-stderr": "stdio:stderr",
    "wasi-wall-clock": "clock:wall",
    "wasi-monotonic-clock": "clock:monotonic",
    "wasi-random": "random:crypto",
    "wasi-insecure-random": "random:insecure",
    "wasi-insecure-seed": "random:insecure",
    "wasi-environment": "environment:read",
}
"""A component per interface of WASI that a host may serve, and the capability that it takes."""

OTHERS = ("torvyn:custom-metrics", "torvyn:runtime-inspect", "filesystem:read:/data", "network:tcp-connect")
NOTHING = struct.pack("<Q", 0)
"""What the environment probe says of an environment without variables."""


def _engines(session: Session) -> tuple[str, ...]:
    claimed = sorted(name for name in session.capabilities(Facet.GUESTS) if name.startswith("engine="))
    return tuple(name.removeprefix("engine=") for name in claimed) or ("",)


def _start(session: Session, name: str, engine: str, capabilities: tuple[str, ...]) -> bool:
    """Start a component, and tell whether it was let in."""
    request = p.StartGuest(component(name), engine=engine, capabilities=capabilities, environment={"TOKEN": SECRET})
    try:
        session.guests.start(request)
    except Refused:
        return False
    return True


def _process(session: Session, payload: bytes) -> p.GuestInvokedReply:
    return session.guests.invoke(p.InvokeGuest("process", payload, "text/plain"))


def _said(reply: p.GuestInvokedReply) -> bytes | None:
    return reply.outputs[0].payload if reply.outcome == "answered" and reply.outputs else None


@checks("CAP-041", facet=Facet.GUESTS, kind="table", requires=("by-hand",), name="only-what-was-resolved-is-linked")
def only_what_was_resolved_is_linked(session: Session, budget: Budget) -> None:
    """A real component reaches an interface of WASI with its capability, and without it nothing, whatever else it has."""
    for engine in _engines(session):
        for name, capability in PROBES.items():
            shown = f"{name} on {engine or 'the engine'}"
            if _start(session, name, engine, (capability,)):
                reply = _process(session, b"x")
                budget.expect("CAP-041", _said(reply) is not None, f"{shown} with {capability}", expected="an answer", found=reply)
            others = tuple(sorted({*PROBES.values(), *OTHERS} - {capability}))
            for held in ((), others):
                if not _start(session, name, engine, held):
                    budget.touch("CAP-041")
                    continue
                reply = _process(session, b"x")
                reached = reply.printed or (_said(reply) is not None and _said(reply) != NOTHING)
                message = f"{shown} without {capability}"
                budget.expect(
                    "CAP-041", not reached, message, expected="refused, or nothing to reach", found=reply, evidence={"held": held}
                )


@checks("CAP-034", facet=Facet.GUESTS, kind="table", requires=("by-hand",))
def nonsense_is_answered_with_no(session: Session, budget: Budget) -> None:
    """A component that asks for nonsense is told no, and lives; for what it has it is told yes, for what it lacks no."""
    held = ("clock:wall", "filesystem:read:/data", "network:tcp-connect:a.com:443")
    nonsense = (
        "",
        " ",
        "nonsense",
        ":",
        "::",
        "clock",
        "clock:",
        ":wall",
        "Clock:Wall",
        "clock:wall:",
        "magic:x",
        "filesystem:read:",
        "x" * 5000,
    )
    more = (
        "network:tcp-connect:a.com:99999",
        "filesystem:read:../data",
        "filesystem:read:/../..",
        "clock:wall\0",
        "?clock:wall",
    )
    for engine in _engines(session):
        if not _start(session, "capability-query", engine, held):
            raise Inconclusive("the component that asks was not let in")
        for name in (*nonsense, *more):
            if name == "clock:wall:":
                continue  # CAP-005 is a SHOULD
            _ask(session, budget, "CAP-034", name, {"no"})
        for name, answer in (
            ("clock:wall", "yes"),
            ("clock:monotonic", "no"),
            ("filesystem:read:/data/in", "yes"),
            ("filesystem:read:/data2", "no"),
            ("filesystem:read:/data/../etc", "no"),
            ("filesystem:write:/data", "no"),
            ("network:tcp-connect:a.com:443", "yes"),
            ("network:tcp-connect:a.com:80", "no"),
            ("network:tcp-connect:a.com", "no"),
        ):
            _ask(session, budget, "CAP-034", name, {answer})


def _ask(session: Session, budget: Budget, rule: str, name: str, answers: set[str]) -> None:
    reply = _process(session, name.encode())
    said = _said(reply)
    found = reply.outcome if said is None else said.decode(errors="replace")
    shown = name if len(name) < 60 else f"{name[:40]}... ({len(name)} characters)"
    budget.expect(rule, found in answers, f"the answer to has-capability({shown!r})", expected=" or ".join(sorted(answers)), found=found)


@checks("CAP-035", facet=Facet.GUESTS, kind="table", requires=("by-hand",))
def every_legal_spelling(session: Session, budget: Budget) -> None:
    """Canonical ids are understood; a kind without its scope and the names of manifests may be, and never for what is not held."""
    either = {"yes", "no"}
    held = ("clock:wall", "filesystem:read:/data", "torvyn:resource-allocate:small", "network:udp:*:53", "torvyn:custom-metrics")
    for engine in _engines(session):
        if not _start(session, "capability-query", engine, held):
            raise Inconclusive("the component that asks was not let in")
        for name in (*held, "filesystem:read:/data/", "network:udp:a.com:53"):
            _ask(session, budget, "CAP-035", name, {"yes"})
        for name in ("filesystem:read", "torvyn:resource-allocate", "network:udp", "wasi-clocks", "wasi-filesystem-read"):
            _ask(session, budget, "CAP-035", name, either)
        for name in (
            "filesystem:write",
            "network:tcp-connect",
            "torvyn:pool-access",
            "wasi-random",
            "wasi-http",
            "wasi-stdout",
            "wasi-bogus",
        ):
            _ask(session, budget, "CAP-035", name, {"no"})


POOLS = {"small": 100, "medium": 4000, "large": 60_000, "huge": 1_000_000}
"""A size for each tier."""


@checks("CAP-037", facet=Facet.GUESTS, kind="table", requires=("by-hand",))
def pools_are_kept_apart(session: Session, budget: Budget) -> None:
    """A real component allocates from the pools that its grant names, is refused all others, and keeps nothing of a refused buffer."""
    for engine in _engines(session):
        for named in (("small",), ("large",), ("medium", "huge"), ()):
            held = tuple(f"torvyn:resource-allocate:{pool}" for pool in named) or ("torvyn:resource-allocate",)
            # The log of a program comes in a small buffer: what is not granted one cannot tell, and fails.
            readable = not named or "small" in named
            if not _start(session, "op-probe", engine, held):
                raise Inconclusive("the probe was not let in")
            for pool, size in POOLS.items():
                allowed = not named or pool in named
                program = [Op("allocate", into=1, a=size), Op("drop-mutable", slot=1)]
                reply = _process(session, encode(program))
                found = _first(program, reply) if readable else _first_call(reply)
                expected = "allowed" if allowed else "refused"
                what = f"a buffer of {size} bytes for a component that holds {', '.join(held)}"
                budget.expect("CAP-037", found == expected, what, expected=expected, found=found, evidence=reply)
                budget.expect_equal("CAP-037", reply.owned, 0, f"the buffers that are left of {what}")
            if readable:
                _copies(session, budget, named)


def _copies(session: Session, budget: Budget, named: tuple[str, ...]) -> None:
    """A copy of what was lent is an allocation like any other."""
    program = [Op("clone", slot=128, into=1), Op("drop-mutable", slot=1)]
    padding = [Op("drop-buffer", slot=9, data=bytes(5000))]  # an empty slot: only there to make the payload, and so its copy, a large one
    for whole, pool in ((program, "small"), ([*program, *padding], "large")):
        reply = _process(session, encode(whole))
        expected = "allowed" if not named or pool in named else "refused"
        budget.expect_equal(
            "CAP-037", _first(whole, reply), expected, f"a copy from the {pool} pool with {named or 'every pool'}", evidence=reply
        )


def _first(program: list[Op], reply: p.GuestInvokedReply) -> str:
    said = _said(reply)
    if said is None:
        return reply.outcome
    return {"done": "allowed", "number": "allowed", "allocation-failed": "refused"}.get(decode(program, said)[0].status, "odd")


def _first_call(reply: p.GuestInvokedReply) -> str:
    """Tell from what the host did: an allocation that was refused for its pool never gets there."""
    made = [call for call in reply.host_calls if call.operation == "allocate" and not call.refused]
    return "allowed" if made else "refused"


@checks("CAP-039", facet=Facet.GUESTS, kind="table", requires=("by-hand", "audit"))
def real_uses_are_audited(session: Session, budget: Budget) -> None:
    """Each use that a real component makes of WASI leaves one event, which names the capability and nothing of what came of it."""
    for engine in _engines(session):
        for name, capability in PROBES.items():
            if not _start(session, name, engine, (capability,)):
                continue
            uses = 2 if name == "wasi-monotonic-clock" else 1
            for _ in range(2):
                reply = _process(session, b"x")
                found = [(event.severity, event.kind, event.details.get("capability")) for event in reply.events]
                expected = [("Info", "CapabilityExercised", capability)] * uses
                budget.expect_equal("CAP-039", found, expected, f"the events of a call of {name}", evidence=reply)
                told = SECRET in str(reply.events) or "hello" in str(reply.events)
                budget.expect("CAP-039", not told, f"the events of a call of {name}", expected="no contents", found=reply.events)


def _numbers(said: bytes) -> Iterator[int]:
    yield from (number for (number,) in struct.iter_unpack("<Q", said))


CLOSED, EMPTY = 2, 0
"""How reading ends, as the probe writes it: the stream is closed, or there was nothing."""


@checks("CAP-061", facet=Facet.GUESTS, kind="example", requires=("by-hand",))
def what_toolchains_import_is_inert(session: Session, budget: Budget) -> None:
    """With standard input, terminals and exit a component runs without any capability: input is empty, no terminal, exit a failure."""
    for engine in _engines(session):
        started = _start(session, "wasi-inert", engine, ())
        budget.expect("CAP-061", started, "a component that imports what toolchains import", expected="let in", found="refused")
        reply = _process(session, b"x")
        said = _said(reply)
        budget.expect("CAP-061", said is not None, "reading standard input", expected="an answer", found=reply)
        read, terminal = _numbers(said or b"")
        budget.expect("CAP-061", read in {CLOSED, EMPTY}, "reading standard input", expected="its end", found=read, evidence=reply)
        budget.expect_equal("CAP-061", terminal, 0, "whether there is a terminal", evidence=reply)
        reply = _process(session, bytes(3333))
        budget.expect_equal("CAP-061", reply.outcome, "trapped", "what exit does", evidence=reply)
        again = _process(session, b"x")
        budget.expect_equal("CAP-061", again.outcome, "trapped", "a call after exit", evidence=again)

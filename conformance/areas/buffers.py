"""Buffers as a guest sees them (BUF, with its share of OWN, POOL and CON): one lock-step, judged for one rule at a time, on every engine.

The stories come first, the same for every rule: each is the shortest program into one corner of the area. A program's last call may use a
handle that should be of no use; if it traps, the story is over.
"""

from __future__ import annotations

from conformance.checks import Budget, checks
from conformance.machines.guests import Near, Program, Story, search_guests
from conformance.machines.programs import programs
from conformance.subjects.guests import PAYLOAD, Op
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

EXAMPLES = 6
"""Drawn programs per rule and engine in a quick run."""

FAR = (2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**32 + 2, 2**63, 2**64 - 2, 2**64 - 1)
"""Offsets and lengths at which something could wrap or be cut to 32 bits."""

A, B, C = 0, 1, 2
"""Slots for mutable buffers."""
X, Y = 64, 65
"""Slots for frozen ones."""


def allocate(slot: int, hint: int = 16) -> Op:
    """Return an allocation."""
    return Op("allocate", into=slot, a=hint)


def append(slot: int, data: bytes, times: int = 0) -> Op:
    """Return an append."""
    return Op("append", slot, b=times, data=data)


def write(slot: int, offset: int, data: bytes) -> Op:
    """Return a write."""
    return Op("write", slot, a=offset, data=data)


def retag(slot: int, content_type: str) -> Op:
    """Return a change of content type."""
    return Op("set-content-type", slot, data=content_type.encode())


def freeze(slot: int, into: int = X) -> Op:
    """Return a freeze."""
    return Op("freeze", slot, into=into)


def read(slot: int, offset: int, length: int) -> Op:
    """Return a read."""
    return Op("read", slot, a=offset, b=length)


def clone(slot: int, into: int) -> Op:
    """Return a clone."""
    return Op("clone", slot, into=into)


def drop(slot: int) -> Op:
    """Return a drop, by the kind of the slot."""
    return Op("drop-buffer" if slot >= X else "drop-mutable", slot)


def ask(what: str, slot: int) -> Op:
    """Return a question."""
    return Op(what, slot)


def made(data: bytes = b"0123456789", into: int = X, hint: int = 16) -> tuple[Op, ...]:
    """Return what makes a frozen buffer, its mutable handle dropped."""
    return (allocate(A, hint), append(A, data), freeze(A, into), drop(A))


READS = tuple(read(X, offset, length) for offset in (0, 1, 9, 10, 11, *FAR) for length in (0, 1, 9, 10, 11, *FAR))

TYPES = (
    "",
    "a/b",
    "x" * 60,
    "x" * 63,
    "x" * 64,
    "x" * 300,
    "é",
    "é" * 40,
    "x" + "é" * 40,
    "€" * 25,
    "x" + "€" * 25,
    "xx" + "€" * 25,
    "𝄞" * 20,
    "xxx" + "𝄞" * 20,
    "text/plain; charset=utf-8",
)

SPENT: tuple[Op, ...] = (append(A, b"!"), write(A, 0, b"!"), write(A, 0, b""), retag(A, "late/type"), freeze(A, Y), ask("size", A), drop(A))

LIFE: Program = (
    (allocate(A), append(A, b"abc"), append(A, b""), write(A, 1, b"X"), write(A, 3, b"de"), write(A, 2, b""), write(A, 5, b"")),
    (ask("size", A), ask("capacity", A), retag(A, "a/b"), freeze(A), drop(A)),
    (ask("read-all", X), read(X, 0, 5), read(X, 1, 3), ask("buffer-size", X), ask("buffer-content-type", X)),
    (*made(b"other", Y), ask("read-all", X), ask("buffer-size", X), drop(Y), ask("read-all", X), read(X, 0, 5)),
)

FULL: Program = (
    (allocate(A, 10), Near("append", A, data=b"f"), ask("capacity", A)),
    (append(A, b"x"), write(A, 1, b"G"), Near("write", A, data=b"end", edge="fit"), Near("write", A, data=b"xy", edge="fit", delta=1)),
    (Near("write", A, data=b"x", edge="capacity"), Near("write", A, edge="capacity"), append(A, b""), ask("capacity", A)),
    (allocate(B, 1), append(B, b"kept"), Near("append", B, data=b"n", delta=1), Near("append", B, data=b"n", delta=-1), append(B, b"12")),
)

GAPS: Program = (
    (allocate(A), append(A, b"ab"), write(A, 3, b"x"), write(A, 2, b"c"), write(A, 200, b"x"), write(A, 255, b"xy"), write(A, 300, b"x")),
    (write(A, 4, b""), write(A, 256, b""), write(A, 257, b""), write(A, 1, b"B")),
    tuple(write(A, offset, data) for offset in FAR for data in (b"z", b"zz", b"")),
)

CLONES: Program = (
    (*made(b"source"), clone(X, B), write(B, 0, b"S"), append(B, b"!"), ask("read-all", X), freeze(B, Y), drop(B)),
    (ask("read-all", Y), ask("read-all", X), ask("buffer-content-type", Y), drop(X), ask("read-all", Y)),
    (clone(Y, C), Near("append", C, data=b"c"), append(C, b"x"), ask("read-all", Y)),
    (clone(PAYLOAD, B), ask("read-all", PAYLOAD), write(B, 0, b"program"), ask("read-all", PAYLOAD)),
    (allocate(3), retag(3, "a/b"), freeze(3, X), clone(X, 4), append(4, b"grown"), retag(4, "c/d"), ask("buffer-content-type", X)),
)

EMITTED = (b"payload", b"", b"\0\xff" * 100)

STORIES: tuple[Story, ...] = (
    Story(LIFE),
    Story(FULL),
    Story(GAPS),
    Story(CLONES),
    Story((made(), READS, (ask("read-all", X), ask("buffer-size", X), *READS[:20]))),
    # nothing in it
    Story(((allocate(A, 0), freeze(A), drop(A)), (ask("read-all", X), read(X, 0, 0), read(X, 0, 1), read(X, 1, 1), ask("buffer-size", X)))),
    Story(((allocate(A, 0), freeze(A), drop(A)), (clone(X, B), append(B, b"grown"), ask("size", B)))),
    # one name after another, and each read back
    Story(
        (
            *((allocate(A), retag(A, kind), freeze(A), drop(A), ask("buffer-content-type", X), drop(X)) for kind in TYPES),
            (allocate(A), retag(A, "first/one"), retag(A, "last/one"), freeze(A), ask("buffer-content-type", X)),
        )
    ),
    # what freeze leaves in the hand
    *(Story(((allocate(A), append(A, b"frozen"), retag(A, "a/b"), freeze(A)), (late,), (ask("read-all", X),))) for late in SPENT),
    # budgets: one large buffer and two small ones
    Story(
        ((allocate(A, 300), allocate(B, 300)), (allocate(B, 4096), allocate(C), ask("size", C)), (drop(A), allocate(A, 300))), 4096 + 512
    ),
    Story(((*made(b"f" * 300, hint=300), clone(X, B)), (ask("read-all", X), drop(X)), (*made(b"f" * 300, hint=300),)), 4096 + 512),
    Story(((allocate(A, 2**25), allocate(A, 2**40), allocate(A, 2**64 - 1)), (allocate(A),)), 512),
    *(Story(((*(op for _ in range(8) for op in (allocate(A), drop(A))),),) * 3, budget) for budget in (256, 300)),
    *(Story(((*(op for _ in range(5) for op in (*made(b"scratch"), drop(X))),),) * 3, budget) for budget in (256, 300)),
    # handed over, and what is left of it
    *(Story((made(data, hint=len(data)), (Op("emit", X, data=b"m/t"),), (allocate(A), drop(A)))) for data in EMITTED),
    *(Story((made(), (Op("emit", X),), (op,))) for op in (ask("buffer-size", X), ask("read-all", X), drop(X), clone(X, B), read(X, 0, 1))),
    Story(((allocate(A), append(A, b"b"), retag(A, "buffer/type"), freeze(A), drop(A)), (Op("emit", X, data=b"meta/type"),))),
    # lent, and kept
    *(Story(((Op("copy-slot", PAYLOAD, into=70),), (op,))) for op in (ask("buffer-size", 70), ask("read-all", 70), drop(70), clone(70, B))),
    Story(((Op("emit", PAYLOAD),),)),
    # failed, and still holding
    *(Story(((allocate(A), append(A, b"held"), allocate(B), freeze(B, Y)), (Op("fail", a=kind, data=b"why"),))) for kind in range(5)),
    # dead handles, invented ones, and those of another kind
    *(Story((made(), (drop(X),), (op,))) for op in (ask("read-all", X), drop(X))),
    *(Story(((allocate(A), drop(A)), (op,))) for op in (append(A, b"x"), ask("size", A), drop(A), freeze(A))),
    *(Story(((Op("forge", into=X, a=number),), (ask("buffer-size", X),))) for number in (9999, 2**28, 2**31, 2**32 - 1)),
    *(Story(((Op(do, slot, force=True),),)) for do, slot in (("buffer-size", X), ("size", A), ("drop-buffer", X))),
    Story((made(), (Op("size", X),))),
    Story(((allocate(A),), (Op("read-all", A),))),
)

SIZES: tuple[Story, ...] = tuple(
    Story(((allocate(A, hint), drop(A)),)) for edge in (256, 4096, 65_536, 1_048_576) for hint in (edge - 1, edge, edge + 1)
) + tuple(
    Story(((allocate(A, hint),), (append(A, b"x"),))) for hint in (0, 1, 2_000_000, 2**24, 2**24 + 1, 2**32, 2**32 + 16, 2**63, 2**64 - 1)
)


def search(session: Session, budget: Budget, rule: str, stories: tuple[Story, ...] = STORIES, *, examples: int = EXAMPLES) -> None:
    """Play the stories, then drawn programs, on every engine, judged for one rule."""
    search_guests(session, budget, rule, stories, lambda law: budget.for_all(programs(), law, max_examples=examples))


@checks("BUF-001", facet=Facet.GUESTS, kind="machine")
def what_is_frozen_stays(session: Session, budget: Budget) -> None:
    """A buffer that was looked at once looks the same ever after."""
    search(session, budget, "BUF-001")


@checks("BUF-002", facet=Facet.GUESTS, kind="machine")
def reads_clamp(session: Session, budget: Budget) -> None:
    """A read answers the part of its range that is there, at every corner of u64."""
    search(session, budget, "BUF-002")


@checks("BUF-003", facet=Facet.GUESTS, kind="machine")
def reading_all(session: Session, budget: Budget) -> None:
    """`read-all` answers the content, whole and nothing else."""
    search(session, budget, "BUF-003")


@checks("BUF-004", facet=Facet.GUESTS, kind="machine")
def reading_nothing(session: Session, budget: Budget) -> None:
    """A read of no bytes, or from the end on, answers no bytes."""
    search(session, budget, "BUF-004")


@checks("BUF-010", facet=Facet.GUESTS, kind="machine")
def appends_add(session: Session, budget: Budget) -> None:
    """An append adds all its bytes at the end, or fails with capacity-exceeded and adds none."""
    search(session, budget, "BUF-010")


@checks("BUF-011", facet=Facet.GUESTS, kind="machine")
def writes_in_place(session: Session, budget: Budget) -> None:
    """A write within reach overwrites in place and may move the end."""
    search(session, budget, "BUF-011")


@checks("BUF-012", facet=Facet.GUESTS, kind="machine")
def sizes_never_shrink(session: Session, budget: Budget) -> None:
    """No operation makes a mutable buffer smaller."""
    search(session, budget, "BUF-012")


@checks("BUF-013", facet=Facet.GUESTS, kind="machine")
def capacity_is_the_end(session: Session, budget: Budget) -> None:
    """One byte beyond the capacity is capacity-exceeded, and nothing of it is written."""
    search(session, budget, "BUF-013")


@checks("BUF-014", facet=Facet.GUESTS, kind="machine")
def no_gaps(session: Session, budget: Budget) -> None:
    """A write that would leave a gap is out-of-bounds and changes nothing, unless the subject declares `gap=zero-fill`."""
    search(session, budget, "BUF-014")


@checks("BUF-015", facet=Facet.GUESTS, kind="machine")
def doubly_wrong_writes(session: Session, budget: Budget) -> None:
    """A write beyond the size and the capacity fails either way and changes nothing."""
    search(session, budget, "BUF-015")


@checks("BUF-016", facet=Facet.GUESTS, kind="machine")
def empty_writes(session: Session, budget: Budget) -> None:
    """Writing nothing succeeds up to the end, and never extends."""
    search(session, budget, "BUF-016")


@checks("BUF-017", facet=Facet.GUESTS, kind="machine")
def no_truncation(session: Session, budget: Budget) -> None:
    """Offsets, lengths and hints beyond 32 bits are refused or clamped, never cut down or wrapped."""
    search(session, budget, "BUF-017", (*STORIES, *SIZES))


@checks("BUF-018", facet=Facet.GUESTS, kind="machine")
def capacity_is_usable(session: Session, budget: Budget) -> None:
    """The capacity is constant, at least the hint, and can be filled to the last byte."""
    search(session, budget, "BUF-018", (*STORIES, *SIZES))


@checks("BUF-019", facet=Facet.GUESTS, kind="machine")
def sizes_add_up(session: Session, budget: Budget) -> None:
    """The size is what the operations so far imply, after each of them."""
    search(session, budget, "BUF-019")


@checks("BUF-020", facet=Facet.GUESTS, kind="machine")
def freezing_keeps(session: Session, budget: Budget) -> None:
    """Freezing keeps bytes, size and type, and counts no copy."""
    search(session, budget, "BUF-020")


@checks("BUF-021", facet=Facet.GUESTS, kind="machine")
def frozen_handles_are_spent(session: Session, budget: Budget) -> None:
    """After freeze the mutable handle changes nothing, freezes nothing, and can be dropped without harm."""
    search(session, budget, "BUF-021")


@checks("BUF-022", facet=Facet.GUESTS, kind="machine")
def freezing_nothing(session: Session, budget: Budget) -> None:
    """An empty buffer freezes into a valid buffer of no bytes."""
    search(session, budget, "BUF-022")


@checks("BUF-024", facet=Facet.GUESTS, kind="machine")
def plain_types_round_trip(session: Session, budget: Budget) -> None:
    """A content type is empty at first, the last one set afterwards, and whole up to 63 bytes of ASCII."""
    search(session, budget, "BUF-024")


@checks("BUF-025", facet=Facet.GUESTS, kind="machine")
def long_types_are_cut_cleanly(session: Session, budget: Budget) -> None:
    """A content type that is long or not ASCII is kept, or cut on a character behind byte 59."""
    search(session, budget, "BUF-025")


@checks("BUF-030", facet=Facet.GUESTS, kind="machine")
def clones_are_independent(session: Session, budget: Budget) -> None:
    """A clone has its source's bytes, and neither notices what becomes of the other."""
    search(session, budget, "BUF-030")


@checks("BUF-031", facet=Facet.GUESTS, kind="machine")
def clones_are_paid_for(session: Session, budget: Budget) -> None:
    """A clone is charged to the guest's budget and counts as one copy of its size."""
    search(session, budget, "BUF-031")


@checks("BUF-032", facet=Facet.GUESTS, kind="machine")
def clones_grow(session: Session, budget: Budget) -> None:
    """A clone can be filled up to its capacity."""
    search(session, budget, "BUF-032")


@checks("BUF-033", facet=Facet.GUESTS, kind="machine")
def refused_allocations_say_why(session: Session, budget: Budget) -> None:
    """A spent budget is allocation-failed with a reason, too large a request that or capacity-exceeded; neither charges anything."""
    search(session, budget, "BUF-033", (*STORIES, *SIZES))


@checks("BUF-034", facet=Facet.GUESTS, kind="machine")
def two_content_types(session: Session, budget: Budget) -> None:
    """An element's content type arrives as its producer gave it, beside the buffer's own."""
    search(session, budget, "BUF-034")


@checks("CON-008", facet=Facet.GUESTS, kind="machine")
def reads_never_fail(session: Session, budget: Budget) -> None:
    """No range makes a read fail, and `read-all` answers what `read(0, size)` does."""
    search(session, budget, "CON-008")


@checks("CON-009", facet=Facet.GUESTS, kind="machine")
def no_wrapping(session: Session, budget: Budget) -> None:
    """Writes and reads at the corners of u64 are judged by where they really are."""
    search(session, budget, "CON-009", (*STORIES, *SIZES))


@checks("CON-010", facet=Facet.GUESTS, kind="machine")
def freeze_consumes(session: Session, budget: Budget) -> None:
    """Though `freeze` only borrows its receiver, nothing can be done with it afterwards that succeeds and matters."""
    search(session, budget, "CON-010")


@checks("CON-012", facet=Facet.GUESTS, kind="machine")
def the_allocators_promises(session: Session, budget: Budget) -> None:
    """An allocation is as large as its hint or an error; a clone is a copy of its own."""
    search(session, budget, "CON-012", (*STORIES, *SIZES))


@checks("OWN-003", facet=Facet.GUESTS, kind="machine")
def guests_give_their_own(session: Session, budget: Budget) -> None:
    """A guest cannot hand over a buffer that it was lent."""
    search(session, budget, "OWN-003", examples=1)


@checks("OWN-014", facet=Facet.GUESTS, kind="machine")
def guests_dead_handles(session: Session, budget: Budget) -> None:
    """A handle that was dropped, or is of another kind, traps."""
    search(session, budget, "OWN-014", examples=1)


@checks("OWN-016", facet=Facet.GUESTS, kind="machine")
def guests_drop_once(session: Session, budget: Budget) -> None:
    """Dropping a handle twice traps."""
    search(session, budget, "OWN-016", examples=1)


@checks("OWN-020", facet=Facet.GUESTS, kind="machine")
def guests_invented_handles(session: Session, budget: Budget) -> None:
    """A handle that was never given out traps, and does not harm the host."""
    search(session, budget, "OWN-020", examples=1)


@checks("OWN-023", facet=Facet.GUESTS, kind="machine")
def returned_is_gone(session: Session, budget: Budget) -> None:
    """A returned buffer belongs to the host, with the bytes it had, and the guest's handle to it traps."""
    search(session, budget, "OWN-023", examples=1)


@checks("OWN-028", facet=Facet.GUESTS, kind="machine")
def a_failed_call_keeps_its_own(session: Session, budget: Budget) -> None:
    """After an error result the guest still owns, and is charged for, what it had."""
    search(session, budget, "OWN-028", examples=1)


@checks("OWN-029", facet=Facet.GUESTS, kind="machine")
def dropping_releases_at_once(session: Session, budget: Budget) -> None:
    """What a guest drops is free again before its next operation."""
    search(session, budget, "OWN-029")


@checks("POOL-001", facet=Facet.GUESTS, kind="machine")
def guests_see_tiers(session: Session, budget: Budget) -> None:
    """A guest gets the capacity of the smallest fitting tier, or under `tiers=any` at least its hint."""
    search(session, budget, "POOL-001", SIZES)


@checks("POOL-003", facet=Facet.GUESTS, kind="machine")
def guests_get_large_buffers(session: Session, budget: Budget) -> None:
    """A guest gets buffers of more than a mebibyte, up to sixteen."""
    search(session, budget, "POOL-003", SIZES)


@checks("POOL-004", facet=Facet.GUESTS, kind="machine")
def guests_largest_buffer(session: Session, budget: Budget) -> None:
    """Sixteen mebibytes are granted; one byte more is an error, no trap and no charge."""
    search(session, budget, "POOL-004", SIZES)


@checks("POOL-005", facet=Facet.GUESTS, kind="machine")
def guests_ask_for_nothing(session: Session, budget: Budget) -> None:
    """A request for no bytes succeeds like the smallest one."""
    search(session, budget, "POOL-005", SIZES)

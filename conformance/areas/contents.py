"""The host's own access to what buffers hold (BUF): ranges of reads, and frozen contents that stay as they are, types included."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from conformance.areas.ownership import ONE, THREE, TWO
from conformance.checks import Budget, checks
from conformance.errors import Refused, SubjectBrokeError, Violation
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

CLAMP, STRICT = "rm_read=clamp", "rm_read=strict"
"""The capabilities with which a runtime says how it reads past the end; without one, its first such read says it."""
CONTENT = b"0123456789"
BEYOND = (0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1)


@checks("BUF-005", facet=Facet.RESOURCES, kind="table")
def ranges_of_host_reads(session: Session, budget: Budget) -> None:
    """A host-side read past the end gives what there is, or out-of-bounds; the same for every offset and length, and as was declared."""
    claims = session.capabilities(Facet.RESOURCES)
    strict = STRICT in claims
    if not {CLAMP, STRICT} & claims:
        handle = _written(session, CONTENT)
        strict = _read(session, handle, 0, len(CONTENT) + 1) == "out-of-bounds"
    for content in (b"", CONTENT[:1], CONTENT):
        handle = _written(session, content)
        size = len(content)
        corners = sorted({*BEYOND, size // 2, max(size - 1, 0), size, size + 1})
        for offset, length in product(corners, corners):
            past = offset + length > size
            expected: bytes | str = "out-of-bounds" if strict and past else content[offset : offset + length]
            budget.expect_equal(
                "BUF-005",
                _read(session, handle, offset, length),
                expected,
                f"a {'strict' if strict else 'clamped'} read of {length} bytes at {offset} from {size}",
                evidence={"size": size, "offset": offset, "length": length, "reading": STRICT if strict else CLAMP},
            )


@checks("BUF-016", facet=Facet.RESOURCES, kind="table")
def empty_writes_extend_nothing(session: Session, budget: Budget) -> None:
    """A write of no bytes leaves size and bytes as they are, wherever it points; up to the size it must be done."""
    for content in (b"", CONTENT):
        handle = _written(session, content)
        size, capacity = len(content), session.resources.inspect(handle).capacity
        for offset in sorted({0, size, size + 1, capacity - 1, capacity}):
            try:
                session.resources.write(handle, ONE, offset, b"")
                kind = "done"
            except Refused as refused:
                kind = refused.kind
            evidence = {"size": size, "capacity": capacity, "offset": offset}
            if offset <= size:
                budget.expect_equal("BUF-016", kind, "done", "a write of no bytes within the size", evidence=evidence)
            found = session.resources.inspect(handle).size
            budget.expect_equal("BUF-016", found, size, f"the size after a write of no bytes at {offset}", evidence=evidence)
            found_bytes = session.resources.read(handle, ONE, 0, size)
            budget.expect_equal("BUF-016", found_bytes, content, f"the bytes after a write of no bytes at {offset}", evidence=evidence)


SHORT_TYPES = ("", "a/b", "application/json", "x" * 63)
LONG_TYPES = ("x" * 64, "x" * 200, "é" * 31, "é" * 32, "x" * 62 + "é", "x" * 61 + "€uro", "x" * 60 + "🦀", "🦀" * 16)
"""Types of 64 bytes and more, most of them with a character across the 63rd byte; one of 62 bytes that has no such character."""


@checks("BUF-024", facet=Facet.RESOURCES, kind="table")
def types_are_kept(session: Session, budget: Budget) -> None:
    """A content type is empty at first, comes back as it was set up to 63 bytes of ASCII, and the last one set is there."""
    handle = _written(session, b"")
    budget.expect_equal("BUF-024", session.resources.inspect(handle).content_type, "", "the type of a new buffer")
    for text in (*SHORT_TYPES, *reversed(SHORT_TYPES)):
        session.resources.set_content_type(handle, ONE, text)
        found = session.resources.inspect(handle).content_type
        budget.expect_equal("BUF-024", found, text, f"a type of {len(text)} bytes", evidence={"content_type": text})


@checks("BUF-025", facet=Facet.RESOURCES, kind="table")
def long_types_stay_text(session: Session, budget: Budget) -> None:
    """A type too long to be kept is cut between characters, and not before its 60th byte."""
    handle = _written(session, b"")
    for text in LONG_TYPES:
        data = text.encode()
        try:
            session.resources.set_content_type(handle, ONE, text)
            found = session.resources.inspect(handle).content_type.encode()
        except SubjectBrokeError as error:
            budget.touch("BUF-025")
            evidence = {"content_type": text, "bytes": len(data)}
            message = "a type that has to be cut ends the runtime"
            raise Violation("BUF-025", message, expected="a prefix of whole characters", found=error, evidence=evidence) from None
        holds = data.startswith(found) and len(found) >= min(len(data), 60)
        evidence = {"content_type": text}
        budget.expect(
            "BUF-025",
            holds,
            f"a type of {len(data)} bytes",
            expected="a prefix of 60 bytes or more",
            found=found,
            evidence={"content_type": text},
        )


def _written(session: Session, content: bytes) -> p.Handle:
    session.resources.open()
    handle = session.resources.allocate(ONE, 16)
    if content:
        session.resources.write(handle, ONE, 0, content)
    return handle


def _read(session: Session, handle: p.Handle, offset: int, length: int) -> bytes | str:
    """Return the bytes read, or the kind of the refusal."""
    try:
        return session.resources.read(handle, ONE, offset, length)
    except Refused as refused:
        return refused.kind


# ---------------------------------------------------------------- frozen


Change = Callable[[Session, p.Handle, str], object]
"""Does something to a buffer as somebody."""


def frozen_lives(handle: p.Handle) -> dict[str, tuple[str, tuple[p.AnyRequest, ...]]]:
    """Return what may happen to a frozen buffer of component-1 before somebody tries to change it: by name, its owner then, and how."""
    return {
        "just frozen": (ONE, ()),
        "given to the host": ("host", (p.Transfer(handle, ONE, "host"),)),
        "given away and back": (ONE, (p.Transfer(handle, ONE, TWO), p.Transfer(handle, TWO, ONE))),
        "lent and returned": (ONE, (p.Borrow(handle, TWO), p.EndBorrow(handle, TWO))),
        "frozen again": (ONE, (p.Freeze(handle, ONE),)),
        "read": (ONE, (p.Read(handle, ONE, 0, len(CONTENT)),)),
    }


def _try_all(session: Session, budget: Budget, rule: str, changes: dict[str, Change]) -> None:
    """Freeze a buffer, let it live, and have everybody try every change; each must be refused and leave the buffer as it was."""
    if session.lacks("resources.freeze"):
        return
    lives = list(frozen_lives(p.Handle(0, 0)))
    for life, who, name in product(lives, ("host", ONE, TWO, THREE), changes):
        handle = _written(session, CONTENT)
        session.resources.set_content_type(handle, ONE, "text/plain")
        session.resources.freeze(handle, ONE)
        owner, steps = frozen_lives(handle)[life]
        for step in steps:
            _do(session, step)
        before = (session.resources.inspect(handle), session.resources.read(handle, owner, 0, len(CONTENT)))
        try:
            changes[name](session, handle, who)
            kind = ""
        except Refused as refused:
            kind = refused.kind
        evidence = {"owner": owner, "life": life, "caller": who, "change": name}
        words = "its owner" if who == owner else "a stranger"
        budget.expect(
            rule, kind, f"{name} of a frozen buffer ({life}) by {words} is done", expected="a refusal", found="done", evidence=evidence
        )
        after = (session.resources.inspect(handle), session.resources.read(handle, owner, 0, len(CONTENT)))
        budget.expect_equal(rule, after, before, f"a frozen buffer ({life}) after a refused {name}", evidence=evidence)


def _do(session: Session, request: p.AnyRequest) -> None:
    try:
        session.ask(request, p.BytesReply if isinstance(request, p.Read) else p.Done)
    except Refused:  # whether a second freeze is refused is for BUF-021 to say; here only what follows matters
        return


@checks("BUF-023", facet=Facet.RESOURCES, kind="table")
def frozen_is_never_written(session: Session, budget: Budget) -> None:
    """Nobody writes to a frozen buffer: neither its maker nor the host nor whoever owns it now, anywhere in it."""

    def write(offset: int) -> Change:
        return lambda session, handle, who: session.resources.write(handle, who, offset, b"new")

    _try_all(session, budget, "BUF-023", {f"write at {offset}": write(offset) for offset in (0, 1, len(CONTENT))})


@checks("BUF-026", facet=Facet.RESOURCES, kind="table")
def types_are_final(session: Session, budget: Budget) -> None:
    """Nobody changes the type of a frozen buffer, and only its owner that of another; while it is lent, either is right."""

    def retag(session: Session, handle: p.Handle, who: str) -> None:
        session.resources.set_content_type(handle, who, "image/png")

    _try_all(session, budget, "BUF-026", {"a new content type": retag})
    for who, lent in product(("host", ONE, TWO, THREE), (False, True)):
        handle = _written(session, CONTENT)
        if lent:
            session.resources.borrow(handle, TWO)
        try:
            retag(session, handle, who)
            done = True
        except Refused:
            done = False
        evidence = {"owner": ONE, "caller": who, "lent to": TWO if lent else None}
        if who != ONE or not lent:  # an owner should not retag what is lent, but may
            budget.expect_equal("BUF-026", done, who == ONE, f"whether {who} may change the type of a buffer of {ONE}", evidence=evidence)
        found = session.resources.inspect(handle).content_type
        budget.expect_equal("BUF-026", found, "image/png" if done else "", "the content type afterwards", evidence=evidence)

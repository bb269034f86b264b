"""What a guest can hold in a slot, as a model sees it: buffers being filled, frozen ones, and handles of no use."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.subjects.guests import Result

MAX_BUFFER_BYTES = 16 * 1024 * 1024
U32_MAX = 2**32 - 1
TIERS = (256, 4096, 65_536, 1_048_576)
CONTENT_TYPE_BYTES = 63
LEAST_KEPT = 60
"""Bytes that a host keeps of any content type (BUF-025)."""

Rules = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The readings of an ambiguity that a subject declares as capabilities; the defaults are the normative ones.

    Attributes:
        gap_fill: `gap=zero-fill` was declared: a write beyond the size fills with zeros (BUF-014, D-08).
        any_tiers: `tiers=any` was declared: capacities are the runtime's choice (POOL-001, D-01).
    """

    gap_fill: bool = False
    any_tiers: bool = False

    @classmethod
    def of(cls, capabilities: frozenset[str]) -> Profile:
        """Read the profile from declared capabilities."""
        return cls("gap=zero-fill" in capabilities, "tiers=any" in capabilities)

    def capacity(self, request: int) -> int:
        """Return the capacity that a request gets, or the least that it may get where the choice is the runtime's."""
        if self.any_tiers:
            return request
        return next((tier for tier in TIERS if tier >= request), request)


@dataclass(slots=True)
class ContentType:
    """A content type as it was set, and as it was first read back: `found` is None until then."""

    sent: bytes = b""
    found: bytes | None = None
    may_be_missing: bool = False

    @property
    def is_plain(self) -> bool:
        """Tell whether it must come back whole (BUF-024)."""
        return len(self.sent) <= CONTENT_TYPE_BYTES and self.sent.isascii()

    def accepts(self, found: bytes) -> bool:
        """Tell whether this is how it may come back."""
        if self.may_be_missing and not found:
            return True
        if self.found is not None:
            return found == self.found
        if self.is_plain:
            return found == self.sent
        try:
            found.decode()
        except UnicodeDecodeError:
            return False
        return self.sent.startswith(found) and len(found) >= min(len(self.sent), LEAST_KEPT)


@dataclass(slots=True)
class Mutable:
    """A buffer that a guest is filling.

    Attributes:
        hint: the bytes that it was asked to hold; for a clone, the size of its source.
        capacity: None until the guest has asked.
        history: the rules that had a say in its content so far.
        last: the rules of the last operation on it: they answer for the size afterwards.
    """

    hint: int
    capacity: int | None = None
    content: bytearray = field(default_factory=bytearray)
    content_type: ContentType = field(default_factory=ContentType)
    is_clone: bool = False
    history: set[str] = field(default_factory=set)
    last: Rules = ()


@dataclass(slots=True)
class Frozen:
    """A buffer that changes no more. `seen`: it has been looked at before; `lent`: it is not the guest's own."""

    content: bytes
    capacity: int | None
    content_type: ContentType = field(default_factory=ContentType)
    seen: bool = False
    lent: bool = False
    history: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Spent:
    """What freeze leaves in the hand: a handle of no use."""

    frozen: Frozen


@dataclass(slots=True)
class Dead:
    """A handle that names nothing any more, and the rules by which its use must trap."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class Other:
    """A handle of another resource, or a number that never was one."""

    rules: Rules


Held = Mutable | Frozen | Spent | Dead | Other

ON_MUTABLES = frozenset({"write", "append", "size", "capacity", "set-content-type", "freeze", "drop-mutable"})
ON_BUFFERS = frozenset({"read", "read-all", "buffer-size", "buffer-content-type", "clone", "drop-buffer", "emit"})


@dataclass(frozen=True, slots=True)
class Prediction:
    """How an operation may go.

    Attributes:
        statuses: the accepted ones, the usual one first.
        rules: those that demand it.
        value: the number or bytes that it must answer; None when any will do.
    """

    statuses: tuple[str, ...]
    rules: Rules = ()
    value: int | bytes | None = None

    @property
    def usual(self) -> Result:
        """Return the answer to reckon with."""
        status = self.statuses[0]
        return Result(status, b"refused" if status == "allocation-failed" else self.value)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that an answer shows: whether it holds, and the rules that demand it."""

    rules: Rules
    holds: bool
    message: str
    expected: object = ""
    found: object = ""


def is_dead(held: Held | None) -> bool:
    """Tell whether a slot holds a number that names nothing of its kind."""
    return isinstance(held, (Dead, Other))

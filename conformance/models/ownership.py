"""What a resource manager must answer: a pure model of buffers, owners, borrows and budgets (spec/resources.md b1, b2, OWN, BUDGET).

The model predicts, for every operation, why it must be refused and with which kinds. Where several reasons apply, the specification leaves
the precedence open (D-41), so any of their kinds is right. It never predicts a capacity or a slot: those are the subject's own choice, and
the model takes note of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

HOST = "host"
TRANSIT = "transit"
MAX_BUFFER_BYTES = 16 * 1024 * 1024
U32 = 2**32

Key = tuple[int, int]
"""A handle as the model sees it: slot index, generation."""

STALE = frozenset({"stale-handle"})
DEAD = frozenset({"stale-handle", "not-allocated"})
ANY: frozenset[str] = frozenset()
"""No kinds named: the specification asks only for a refusal."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason to refuse: the rules that demand it, the kinds that express it (empty: any), and the reason in words.

    `count` is the number of open borrows that the refusal has to name.
    """

    rules: tuple[str, ...]
    kinds: frozenset[str]
    why: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What may come of an operation: refused when `must` holds a reason, else done; refusals of the kinds in `may` are acceptable too."""

    must: tuple[Refusal, ...] = ()
    may: frozenset[str] = ANY
    may_any: bool = False

    @property
    def kinds(self) -> frozenset[str] | None:
        """Return the kinds that fit a refusal; None when any does."""
        if any(not reason.kinds for reason in self.must):
            return None
        return frozenset().union(*(reason.kinds for reason in self.must))

    @property
    def rules(self) -> tuple[str, ...]:
        """Return the rules that demand the refusal."""
        return tuple(dict.fromkeys(rule for reason in self.must for rule in reason.rules))


@dataclass(slots=True)
class Buffer:
    """A live buffer, as the rules see it."""

    name: str
    key: Key
    owner: str
    capacity: int
    flow: int
    content: bytearray = field(default_factory=bytearray)
    content_type: str = ""
    borrows: Counter[str] = field(default_factory=Counter)
    frozen: bool = False

    @property
    def borrow_count(self) -> int:
        """Return the number of open borrows."""
        return self.borrows.total()

    @property
    def state(self) -> str:
        """Return the state label: Borrowed while a borrow is open, else Owned (OWN-005, OWN-006)."""
        return "Borrowed" if self.borrow_count else "Owned"


@dataclass(frozen=True, slots=True)
class Profile:
    """The readings of an ambiguity that a subject declares as capabilities; the defaults are the normative ones.

    Attributes:
        third_party_read: `third_party_read=allow` was declared: anyone may read (OWN-009, D-39).
        gap_fill: `gap=zero-fill` was declared: a write beyond the size fills with zeros (BUF-014, D-08).
        unlimited: `unregistered=unlimited` was declared: a component without a budget has none (BUDGET-009, D-26).
        anyone_ends: `borrow_end=anyone` was declared: who ends an open borrow does not matter (spec/resources.md b2, D-37).
        strict_read: `rm_read=strict` was declared: the host reads no further than the size (BUF-005, D-07).
    """

    third_party_read: bool = False
    gap_fill: bool = False
    unlimited: bool = False
    anyone_ends: bool = False
    strict_read: bool = False

    @classmethod
    def of(cls, capabilities: frozenset[str]) -> Profile:
        """Read the profile from a facet's declared capabilities."""
        return cls(
            third_party_read="third_party_read=allow" in capabilities,
            gap_fill="gap=zero-fill" in capabilities,
            unlimited="unregistered=unlimited" in capabilities,
            anyone_ends="borrow_end=anyone" in capabilities,
            strict_read="rm_read=strict" in capabilities,
        )


class OwnershipModel:
    """Every live buffer, every dead handle, and what each component owns."""

    def __init__(self, default_budget: int, profile: Profile) -> None:
        self.default_budget = default_budget
        self.profile = profile
        self.live: dict[Key, Buffer] = {}
        self.graveyard: list[Key] = []
        self.generations: dict[int, int] = {}
        self.limits: dict[str, int] = {}
        self.reclaimed_once: set[str] = set()
        self.created = 0
        self.released = 0

    # ---- what the rules say

    def limit(self, owner: str) -> int | None:
        """Return an owner's budget in bytes; None when it has none (BUDGET-007, BUDGET-009)."""
        if owner == HOST or (owner not in self.limits and self.profile.unlimited):
            return None
        return self.limits.get(owner, self.default_budget)

    def used(self, owner: str) -> int:
        """Return the capacities of what an owner owns, in bytes (BUDGET-001)."""
        return 0 if owner == HOST else sum(buffer.capacity for buffer in self.live.values() if buffer.owner == owner)

    def next_generation(self, index: int) -> int:
        """Return the generation that the next tenant of a slot must have (OWN-017)."""
        return (self.generations.get(index, 0) + 1) % U32

    def dead(self, key: Key) -> Refusal | None:
        """Return why a handle names nothing, or None when it is live (OWN-014, OWN-015, OWN-020)."""
        if key in self.live:
            return None
        index, _ = key
        occupied = any(tenant[0] == index for tenant in self.live)
        buried = key in self.graveyard
        why = "the slot has a new tenant" if occupied else "the buffer was released" if buried else "the handle was never issued"
        rules = ("OWN-014", "OWN-015") if buried else ("OWN-014",)
        return Refusal(rules, STALE if occupied else DEAD, why)

    def predict(self, step: dict[str, object], key: Key | None) -> Prediction:
        """Return what may come of one operation; `key` is its handle."""
        op = str(step["op"])
        if op == "resources.allocate":
            return self._allocate(str(step["owner"]), _int(step["capacity"]))
        if key is None:
            return Prediction()
        if (refusal := self.dead(key)) is not None:
            if op == "resources.release":
                refusal = Refusal((*refusal.rules, "OWN-016"), refusal.kinds, refusal.why)
            elif op == "resources.end-borrow":
                # Nothing is open on a dead handle either, and for that any kind will do (OWN-007, D-37).
                refusal = Refusal(refusal.rules, ANY, refusal.why)
            return Prediction(must=(refusal,))
        buffer = self.live[key]
        match op:
            case "resources.release":
                return Prediction(must=(*self._caller(buffer, step["caller"]), *self._borrowed(buffer, "OWN-008")))
            case "resources.transfer":
                return self._transfer(buffer, str(step["source"]), str(step["target"]))
            case "resources.end-borrow":
                open_ = buffer.borrow_count if self.profile.anyone_ends else buffer.borrows[str(step["borrower"])]
                return Prediction() if open_ else Prediction(must=(Refusal(("OWN-007",), ANY, "no such borrow is open"),))
            case "resources.write":
                return self._write(buffer, step)
            case "resources.read":
                reader = str(step["reader"])
                if reader == buffer.owner or buffer.borrows[reader] or self.profile.third_party_read:
                    return Prediction()
                return Prediction(must=(Refusal(("OWN-009",), frozenset({"not-owner"}), f"{reader} neither owns nor borrows it"),))
            case "resources.set-content-type" | "resources.freeze":
                must = self._caller(buffer, step["caller"])
                return Prediction(must=must, may_any=not must and (buffer.frozen or buffer.borrow_count > 0))
            case _:
                return Prediction()

    def _allocate(self, owner: str, request: int) -> Prediction:
        if owner == TRANSIT:
            return Prediction(must=(Refusal(("OWN-011",), ANY, "transit cannot be given a buffer"),))
        if request > MAX_BUFFER_BYTES:
            return Prediction(must=(Refusal(("POOL-004",), ANY, f"{request} bytes are more than a buffer holds"),))
        limit = self.limit(owner)
        if limit is None:
            return Prediction()
        if self.used(owner) + request > limit:
            rules = ("BUDGET-011",) if owner in self.reclaimed_once else ("BUDGET-002", "BUDGET-003")
            return Prediction(must=(Refusal(rules, frozenset({"budget-exceeded"}), f"the budget is {limit} bytes"),))
        return Prediction(may=frozenset({"budget-exceeded"}))  # the capacity may be larger than the request (BUDGET-001)

    def _transfer(self, buffer: Buffer, source: str, target: str) -> Prediction:
        must = [*self._caller(buffer, source), *self._borrowed(buffer, "OWN-008")]
        if target == TRANSIT:
            must.append(Refusal(("OWN-011",), ANY, "transit is not a target"))
        limit = self.limit(target)
        if target not in {source, TRANSIT} and limit is not None and self.used(target) + buffer.capacity > limit:
            rule = "BUDGET-011" if target in self.reclaimed_once else "BUDGET-005"
            must.append(Refusal((rule,), frozenset({"budget-exceeded"}), f"{target} has a budget of {limit} bytes"))
        return Prediction(must=tuple(must))

    def _write(self, buffer: Buffer, step: dict[str, object]) -> Prediction:
        must = [*self._caller(buffer, step["caller"]), *self._borrowed(buffer, "OWN-004")]
        offset, size = _int(step["offset"]), len(buffer.content)
        end = offset + len(str(step["text"]))
        if buffer.frozen:
            must.append(Refusal(("BUF-023",), ANY, "it is frozen"))
        if end > buffer.capacity:
            kinds = {"capacity-exceeded", "out-of-bounds"} if offset > size else {"capacity-exceeded"}
            must.append(Refusal(("BUF-013",), frozenset(kinds), f"the write would end at {end} of {buffer.capacity}"))
        elif offset > size and not self.profile.gap_fill:
            must.append(Refusal(("BUF-014",), frozenset({"out-of-bounds"}), f"offset {offset} lies beyond the size {size}"))
        return Prediction(must=tuple(must))

    @staticmethod
    def _caller(buffer: Buffer, caller: object) -> tuple[Refusal, ...]:
        if caller == buffer.owner:
            return ()
        if caller == TRANSIT:
            return (Refusal(("OWN-011",), ANY, "transit is not a caller"),)
        return (Refusal(("OWN-003",), frozenset({"not-owner"}), f"{caller} is not the owner"),)

    @staticmethod
    def _borrowed(buffer: Buffer, rule: str) -> tuple[Refusal, ...]:
        count = buffer.borrow_count
        if not count:
            return ()
        return (Refusal((rule,), frozenset({"borrows-outstanding"}), f"{count} borrow(s) are open", count),)

    # ---- what has happened

    def allocated(self, buffer: Buffer) -> None:
        """Take note of a new buffer."""
        self.live[buffer.key] = buffer
        self.generations[buffer.key[0]] = buffer.key[1]
        self.created += 1

    def buried(self, key: Key) -> None:
        """Take note that a buffer is gone and its handle dead."""
        del self.live[key]
        self.graveyard.append(key)
        self.released += 1

    def done(self, step: dict[str, object], key: Key) -> None:
        """Take note that an operation on a live buffer was done."""
        buffer = self.live[key]
        match str(step["op"]):
            case "resources.release":
                self.buried(key)
            case "resources.transfer":
                buffer.owner = str(step["target"])
            case "resources.borrow":
                buffer.borrows[str(step["borrower"])] += 1
            case "resources.end-borrow":
                borrower = str(step["borrower"])
                holder = borrower if buffer.borrows[borrower] else next(iter(+buffer.borrows))
                buffer.borrows[holder] -= 1
            case "resources.write":
                offset, data = _int(step["offset"]), str(step["text"]).encode()
                if data:
                    buffer.content.extend(bytes(max(0, offset - len(buffer.content))))
                    buffer.content[offset : offset + len(data)] = data
            case "resources.set-content-type":
                buffer.content_type = str(step["content_type"])
            case "resources.freeze":
                buffer.frozen = True
            case _:
                pass

    def reclaimed(self, component: str) -> list[Key]:
        """Bury what a component owns, end the borrows it holds, and return the handles buried (OWN-030)."""
        self.reclaimed_once.add(component)
        doomed = [key for key, buffer in self.live.items() if buffer.owner == component]
        for key in doomed:
            self.buried(key)
        for buffer in self.live.values():
            del buffer.borrows[component]
        return doomed

    def flow_released(self, flow: int) -> list[Buffer]:
        """Bury what was allocated under a flow and return it (OWN-034)."""
        doomed = [buffer for buffer in self.live.values() if buffer.flow == flow]
        for buffer in doomed:
            self.buried(buffer.key)
        return doomed


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value

"""What a host must answer a guest about buffers: a pure model of one guest's slots (BUF, POOL, CON-008..CON-012, OWN-021..OWN-029).

The model predicts each operation of a program: the ways in which it may go, with the rules that demand it. It never predicts which handle
a buffer gets, nor a capacity that a rule leaves open; those it learns. The languages of programs and results are `subjects.guests`'.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.models.held import (
    MAX_BUFFER_BYTES,
    ON_BUFFERS,
    ON_MUTABLES,
    TIERS,
    U32_MAX,
    ContentType,
    Dead,
    Expectation,
    Frozen,
    Held,
    Mutable,
    Other,
    Prediction,
    Profile,
    Rules,
    Spent,
)
from conformance.subjects.guests import PAYLOAD, TRAPPED, Op, Result


class GuestModel:
    """The slots of one guest, and what it owes its budget.

    Attributes:
        slots: what each slot holds; an empty one is not there.
        copied: payload bytes copied by the guest's own calls, and the fewest and most operations that may count for it.
        charged: rules that have a say in what the guest is charged since the last look.
    """

    def __init__(self, budget_bytes: int, profile: Profile) -> None:
        self.budget_bytes = budget_bytes
        self.profile = profile
        self.slots: dict[int, Held] = {}
        self.copied = (0, 0, 0)
        self.charged: set[str] = set()

    # ---- a call

    def begin(self, payload: bytes, content_type: str) -> None:
        """Note that a call begins: its payload is lent, and the probe reads it."""
        self.slots[PAYLOAD] = Frozen(payload, None, ContentType(content_type.encode()), lent=True)
        self._copy(len(payload))

    def end(self, log: bytes | None) -> None:
        """Note that a call is over: loans end, and a log was written if there is one."""
        if log is not None:
            self._copy(len(log))
            self.charged |= {"BUF-020", "OWN-023"}  # the log is a frozen buffer, and handed over
        self.slots.pop(PAYLOAD, None)
        for slot, held in self.slots.items():
            if isinstance(held, Frozen) and held.lent:
                self.slots[slot] = Dead(("OWN-021",))

    # ---- what is held

    @property
    def owned(self) -> list[Mutable | Frozen]:
        """Return the live buffers that belong to the guest."""
        alive = {id(held): held for held in self.slots.values() if isinstance(held, (Mutable, Frozen))}
        return [held for held in alive.values() if isinstance(held, Mutable) or not held.lent]

    @property
    def used(self) -> int:
        """Return what the guest's buffers add up to, in bytes of capacity (BUDGET-001)."""
        return sum(self._capacity_of(held) for held in self.owned)

    def _capacity_of(self, held: Mutable | Frozen) -> int:
        if held.capacity is not None:
            return held.capacity
        return self.profile.capacity(held.hint if isinstance(held, Mutable) else len(held.content))

    # ---- prediction

    def predict(self, op: Op) -> Prediction:
        """Return how an operation may go in the present state."""
        if op.do == "allocate":
            return self._allocate(op.a)
        if op.do not in ON_MUTABLES and op.do not in ON_BUFFERS:
            return Prediction(("done", "number", "bytes", "skipped"))
        held = self.slots.get(op.slot)
        if held is None:
            return Prediction(("trapped",), ("OWN-020",)) if op.force else Prediction(("skipped",))
        if isinstance(held, (Dead, Other)):
            rules = ("OWN-016", *held.rules) if op.do.startswith("drop-") else held.rules
            return Prediction(("trapped",), rules)
        if op.do in ON_MUTABLES:
            if isinstance(held, Mutable):
                return self._on_mutable(op, held)
            return self._on_spent(op) if isinstance(held, Spent) else Prediction(("trapped",), ("OWN-014",))
        if isinstance(held, Frozen):
            return self._on_buffer(op, held)
        return Prediction(("trapped",), ("OWN-014",))

    def _allocate(self, hint: int) -> Prediction:
        if hint > MAX_BUFFER_BYTES:
            far = ("BUF-017", "CON-009") if hint > U32_MAX else ()
            return Prediction(("capacity-exceeded", "allocation-failed"), ("BUF-033", "POOL-004", "CON-012", *far))
        rules = ["CON-012", "POOL-003" if hint > TIERS[-1] else "POOL-001"]
        rules += ["POOL-005"] if hint == 0 else ["POOL-004"] if hint == MAX_BUFFER_BYTES else []
        return self._room(hint, tuple(rules), ("BUF-033", "CON-012"))

    def _room(self, request: int, success: Rules, failure: Rules) -> Prediction:
        """Predict by the budget: surely refused, surely granted, or either where the capacity is the runtime's choice."""
        room = self.budget_bytes - self.used
        if request > room:
            return Prediction(("allocation-failed",), failure)
        chosen = self.profile.any_tiers or request > TIERS[-1]
        surely = 2 * request if chosen else self.profile.capacity(request)
        if self.profile.any_tiers:  # a runtime with tiers of its own may give the next larger one
            surely = max(surely, next((tier for tier in TIERS if tier > request), request))
        if surely <= room:
            return Prediction(("done",), success)
        if chosen:
            return Prediction(("done", "allocation-failed"), success)
        return Prediction(("allocation-failed",), failure)

    def _on_mutable(self, op: Op, held: Mutable) -> Prediction:
        match op.do:
            case "write" | "append":
                return self._write(op, held)
            case "size":
                return Prediction(("number",), ("BUF-019", *held.last), len(held.content))
            case "capacity":
                return self._capacity(held)
            case "set-content-type":
                return Prediction(("done",), ("BUF-024",))
            case "freeze":
                return Prediction(("done",), ("BUF-020", *(() if held.content else ("BUF-022",))))
            case _:
                return Prediction(("done",), ("OWN-029",))

    def _write(self, op: Op, held: Mutable) -> Prediction:
        size, length = len(held.content), len(op.written)
        offset = size if op.do == "append" else op.a
        end = offset + length
        capacity = self._capacity_of(held)
        rules = ["BUF-010"] if op.do == "append" else []
        if op.do == "write":
            rules += ["CON-009"] + (["BUF-017"] if offset > U32_MAX else [])
        if not length:
            beyond = ("done", "out-of-bounds", "capacity-exceeded") if end > capacity else ("done", "out-of-bounds")
            return Prediction(("done",) if offset <= size else beyond, ("BUF-016", *rules))
        if end > capacity:
            if offset > size:
                return Prediction(("out-of-bounds", "capacity-exceeded"), ("BUF-015", *rules))
            return Prediction(("capacity-exceeded",), ("BUF-013", *rules))
        if offset > size:
            return Prediction(("out-of-bounds",) if not self.profile.gap_fill else ("done",), ("BUF-014", *rules))
        if op.do == "write":
            rules.append("BUF-011")
        if end > held.hint:
            rules.append("BUF-032" if held.is_clone else "BUF-018")
        return Prediction(("done",), tuple(rules))

    def _capacity(self, held: Mutable) -> Prediction:
        if held.capacity is not None:
            return Prediction(("number",), ("BUF-018",), held.capacity)
        if held.is_clone:
            return Prediction(("number",), ("BUF-030", "CON-012"))
        return Prediction(("number",), ("BUF-018", "CON-012"))

    @staticmethod
    def _on_spent(op: Op) -> Prediction:
        rules = ("BUF-021", "CON-010")
        match op.do:
            case "write" | "append":
                return Prediction(("trapped", "capacity-exceeded", "out-of-bounds", "allocation-failed"), rules)
            case "set-content-type" | "freeze":
                return Prediction(("trapped",), rules)
            case "drop-mutable":
                return Prediction(("done",), ("BUF-021",))
            case _:
                return Prediction(("trapped", "number"))

    def _on_buffer(self, op: Op, held: Frozen) -> Prediction:
        again = ("BUF-001",) if held.seen else ()
        past = tuple(held.history)
        match op.do:
            case "read":
                size = len(held.content)
                inside = held.content[min(op.a, size) : min(op.a + op.b, size)]
                rules = ["BUF-002", "CON-008"]
                rules += ["BUF-004"] if op.a >= size or not op.b else []
                rules += ["BUF-017", "CON-009"] if max(op.a, op.b) > U32_MAX else []
                return Prediction(("bytes",), (*rules, *again, *past), inside)
            case "read-all":
                return Prediction(("bytes",), ("BUF-003", "CON-008", *again, *past), held.content)
            case "buffer-size":
                return Prediction(("number",), (*(again or ("BUF-020",)), *past), len(held.content))
            case "buffer-content-type":
                return Prediction(("bytes",), (self._type_rule(held.content_type), *(() if held.lent else ("BUF-020",))))
            case "clone":
                return self._room(len(held.content), ("BUF-030", "CON-012"), ("BUF-031", "BUF-033", "CON-012"))
            case "emit":
                return Prediction(("trapped",), ("OWN-023",)) if held.lent else Prediction(("done",), ("OWN-023",))
            case _:
                return Prediction(("done",), ("OWN-021",) if held.lent else ("OWN-029",))

    @staticmethod
    def _type_rule(content_type: ContentType) -> str:
        return "BUF-024" if content_type.is_plain else "BUF-025"

    # ---- judgement

    def judge(self, op: Op, result: Result) -> Iterator[Expectation]:
        """Yield what an operation's answer shows, then take note of it; the model goes on from what was answered."""
        prediction = self.predict(op)
        held = self.slots.get(op.slot)
        right = result.status in prediction.statuses
        expected = " or ".join(prediction.statuses)
        what = f"{op.do} on slot {op.slot}" if op.do != "allocate" else f"allocate({op.a})"
        yield Expectation(prediction.rules, right, f"{what} went wrong", expected, str(result))
        if not right or result == TRAPPED:
            return
        if prediction.value is not None and result.status in {"number", "bytes"}:
            if op.do == "size" and isinstance(result.value, int) and isinstance(held, Mutable):
                grown = result.value >= len(held.content)
                yield Expectation(("BUF-012",), grown, "the size has shrunk", f">= {len(held.content)}", result.value)
            same = result.value == prediction.value
            yield Expectation(prediction.rules, same, f"{what} answers wrong", str(Result(result.status, prediction.value)), str(result))
        if result.status == "allocation-failed":
            yield Expectation(("BUF-033",), bool(result.value), "the refused allocation says no reason", "a message", "an empty one")
        if op.do == "capacity" and isinstance(held, Mutable) and isinstance(result.value, int):
            yield from self._learn(held, result.value)
        if op.do == "buffer-content-type" and isinstance(held, Frozen) and isinstance(result.value, bytes):
            accepted = held.content_type.accepts(result.value)
            yield Expectation(prediction.rules, accepted, "the content type reads back wrong", held.content_type.sent, result.value)
            held.content_type.found = result.value
        self._note(op, result, held, prediction)

    def _learn(self, held: Mutable, capacity: int) -> Iterator[Expectation]:
        if held.capacity is not None:
            return
        held.capacity = capacity
        rules = ("BUF-030", "CON-012") if held.is_clone else ("BUF-018", "CON-012")
        hint = held.hint
        pool: list[str] = []
        if not held.is_clone:
            pool.append("POOL-003" if hint > TIERS[-1] else "POOL-001")
            pool += ["POOL-005"] if not hint else ["POOL-004"] if hint == MAX_BUFFER_BYTES else []
        yield Expectation((*rules, *pool), capacity >= hint, "the buffer is smaller than asked for", f">= {hint}", capacity)
        if "POOL-001" in pool:
            least = self.profile.capacity(hint)
            fits = capacity >= least if self.profile.any_tiers else capacity == least
            yield Expectation(tuple(pool), fits, f"a request for {hint} bytes comes from the wrong tier", least, capacity)

    def _note(self, op: Op, result: Result, held: Held | None, prediction: Prediction) -> None:
        """Take note of an answer that was right."""
        done = result.status == "done"
        match op.do:
            case "allocate" | "clone":
                self._made(op, held, done=done)
            case "write" | "append" if isinstance(held, Mutable):
                self._written(op, held, prediction.rules, done=done)
            case "write" | "append" if isinstance(held, Spent):
                held.frozen.history |= {"BUF-021", "CON-010"}
            case "set-content-type" if isinstance(held, Mutable):
                held.content_type = ContentType(op.data)
            case "freeze" if isinstance(held, Mutable):
                history = held.history | {"BUF-020"} | (set() if held.content else {"BUF-022"})
                frozen = Frozen(bytes(held.content), held.capacity, held.content_type, history=history)
                self.slots[op.slot] = Spent(frozen)
                self.slots[op.into] = frozen
                self.charged.add("BUF-020")
            case "drop-mutable" | "drop-buffer":
                self._dropped(op, held)
            case "read" | "read-all" | "buffer-size" if isinstance(held, Frozen):
                held.seen = True
                if isinstance(result.value, bytes):
                    self._copy(len(result.value))
            case "copy-slot":
                self._copied_slot(op)
            case "forge":
                if op.a:
                    self.slots[op.into] = Other(("OWN-020", "OWN-014"))
                else:
                    self.slots.pop(op.into, None)
            case _:
                pass

    def _made(self, op: Op, held: Held | None, *, done: bool) -> None:
        self.slots.pop(op.into, None)
        if not done:
            self.charged |= {"BUF-033", "POOL-004"}
            return
        if op.do == "allocate":
            self.slots[op.into] = Mutable(op.a)
            return
        assert isinstance(held, Frozen)
        size = len(held.content)
        kind = ContentType(held.content_type.sent, held.content_type.found, may_be_missing=True)
        self.slots[op.into] = Mutable(size, None, bytearray(held.content), kind, is_clone=True, history={"BUF-030", "CON-012"})
        held.history |= {"BUF-030", "CON-012"}
        self.charged.add("BUF-031")
        self._copy(size)

    def _written(self, op: Op, held: Mutable, rules: Rules, *, done: bool) -> None:
        data, size = op.written, len(held.content)
        offset = size if op.do == "append" else op.a
        held.last = rules
        held.history |= set(rules)
        if done and data:
            held.content.extend(bytes(max(0, offset - size)))
            held.content[offset : offset + len(data)] = data
            self._copy(len(data))

    def _dropped(self, op: Op, held: Held | None) -> None:
        if isinstance(held, Spent):
            self.charged.add("BUF-021")
            held.frozen.history.add("BUF-021")
        else:
            self.charged.add("OWN-029")
        for slot in [slot for slot, other in self.slots.items() if other is held]:
            self.slots[slot] = Dead(("OWN-014",))
        if op.slot >= PAYLOAD:
            self.slots.pop(op.slot, None)  # the probe empties these two itself

    def _copied_slot(self, op: Op) -> None:
        held = self.slots.get(op.slot)
        if held is None:
            self.slots.pop(op.into, None)
        else:
            self.slots[op.into] = held

    def emitted(self, slot: int) -> None:
        """Note that a buffer was handed over: the guest's number for it is worth nothing now (OWN-023)."""
        self.slots[slot] = Dead(("OWN-023",))
        self.charged.add("OWN-023")

    def _copy(self, size: int) -> None:
        total, fewest, most = self.copied
        self.copied = (total + size, fewest + bool(size), most + 1)

"""Two facets' models as listeners: they hear requests and replies in order, and say what each reply had to be.

Unlike a lock-step they cannot ask anything. What the conversation does not show stays open: a buffer's capacity, until somebody has
inspected it; everything, after an answer that the model does not allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from conformance.models.ownership import Buffer, Key, OwnershipModel, Prediction, Profile
from conformance.models.streams import Policy, StreamModel
from conformance.subjects import protocol as p

DEFAULT_BUDGET = 64 * 1024 * 1024
"""The budget of a component that nobody registered, where the opening leaves it to the runtime (BUDGET-008)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that a reply had to say, on behalf of some rules, and whether it does."""

    rules: tuple[str, ...]
    holds: bool
    message: str
    expected: str
    found: str


def _kind(reply: p.AnyReply) -> str:
    return reply.kind if isinstance(reply, p.Fault) else "done"


class StreamTalk:
    """One stream, heard of."""

    def __init__(self) -> None:
        self.model: StreamModel | None = None

    def take(self, request: p.AnyRequest, reply: p.AnyReply) -> list[Demand]:
        """Take one exchange."""
        if isinstance(request, p.OpenStream):
            valid = request.capacity >= 1 and 0 <= request.low_watermark_ratio < 1 and request.policy in tuple(Policy)
            opened = valid and isinstance(reply, p.StreamReply)
            self.model = StreamModel(request.capacity, request.low_watermark_ratio, Policy(request.policy)) if opened else None
        if self.model is None:
            return []
        demands = list(self._judge(self.model, request, reply))
        if not all(demand.holds for demand in demands):
            self.model = None
        return demands

    def _judge(self, model: StreamModel, request: p.AnyRequest, reply: p.AnyReply) -> Iterator[Demand]:
        full, policy = model.credits == 0, model.policy
        if isinstance(request, p.PushValue):
            expected = model.push(request.value)
            rules = {
                Policy.BLOCK: "WMK-012",
                Policy.DROP_OLDEST: "POLICY-002",
                Policy.DROP_NEWEST: "POLICY-003",
                Policy.ERROR: "POLICY-004",
            }
            rule = rules[policy] if full else "CREDIT-002"
            wanted = expected.refusal or expected.verdict
            found = reply.verdict if isinstance(reply, p.PushedReply) else _kind(reply)
            yield Demand((rule,), wanted == found, "what became of a pushed element", wanted, found)
            if isinstance(reply, p.PushedReply):
                yield Demand(
                    (rule,), reply.evicted == expected.evicted, "which element made room", str(expected.evicted), str(reply.evicted)
                )
                yield self._change("WMK-001", expected.change, reply.pressure_changed)
        elif isinstance(request, p.PopValue):
            popped = model.pop()
            if popped is None or not isinstance(reply, p.PoppedReply):
                fits = popped is None and isinstance(reply, p.Fault)
                yield Demand(
                    ("ORD-001",), fits, "an element from a stream", "a fault" if popped is None else str(popped[0]), p.tag_of(reply)
                )
                return
            yield Demand(("ORD-001",), reply.value == popped[0], "the oldest element", str(popped[0]), str(reply.value))
            yield self._change("WMK-002", popped[1], reply.pressure_changed)
        elif isinstance(request, p.CompleteStream):
            model.complete = True
        stream = reply if isinstance(reply, p.StreamReply) else getattr(reply, "stream", None)
        if isinstance(stream, p.StreamReply):
            shape = (model.depth, model.credits, "active" if model.active else "normal", model.low)
            seen = (stream.depth, stream.credits, stream.pressure, stream.low)
            yield Demand(("CREDIT-004",), shape[:2] == seen[:2], "depth and credits", str(shape[:2]), str(seen[:2]))
            yield Demand(("WMK-003",), shape[2] == seen[2], "pressure", shape[2], seen[2])
            yield Demand(("WMK-004",), shape[3] == seen[3], "the low mark", str(shape[3]), str(seen[3]))
            rule = "POLICY-007" if policy is not Policy.BLOCK else "CREDIT-005" if model.credits == 0 else "CREDIT-006"
            may = model.may_produce
            yield Demand(
                (rule,), model.complete or may == stream.may_produce, "may the producer be called", str(may), str(stream.may_produce)
            )

    @staticmethod
    def _change(rule: str, expected: str | None, found: str | None) -> Demand:
        return Demand((rule,), expected == found, "a change of pressure", str(expected), str(found))


class ResourceTalk:
    """One resource manager, heard of."""

    def __init__(self, claims: frozenset[str]) -> None:
        self._profile = Profile.of(claims)
        self.model: OwnershipModel | None = None
        self._guessed: set[Key] = set()  # buffers whose capacity is not known: at least what was asked for
        self._any_refusal = False

    def take(self, request: p.AnyRequest, reply: p.AnyReply) -> list[Demand]:
        """Take one exchange."""
        if isinstance(request, p.OpenResources):
            budget = DEFAULT_BUDGET if request.default_budget_bytes is None else request.default_budget_bytes
            self.model = OwnershipModel(budget, self._profile) if isinstance(reply, p.Done) else None
            self._guessed.clear()
            self._any_refusal = request.exhaustion != "fallback-alloc"
            return []
        if self.model is None:
            return []
        demands = list(self._judge(self.model, request, reply))
        if not all(demand.holds for demand in demands) or isinstance(request, p.Concurrent):
            self.model = None
        return demands

    def _judge(self, model: OwnershipModel, request: p.AnyRequest, reply: p.AnyReply) -> Iterator[Demand]:
        match request:
            case p.Allocate():
                yield from self._allocated(model, request, reply)
            case p.RegisterComponent() if isinstance(reply, p.Done):
                model.limits[request.component] = model.default_budget if request.budget_bytes is None else request.budget_bytes
            case p.ForceReclaim() if isinstance(reply, p.ReclaimedReply):
                doomed = sorted(model.reclaimed(request.component))
                found = sorted((one.handle.index, one.handle.generation) for one in reply.buffers)
                yield Demand(("OWN-030",), doomed == found, f"what {request.component} had to give back", str(doomed), str(found))
            case p.ReleaseFlow() if isinstance(reply, p.FlowReleasedReply):
                count, released = len(model.flow_released(request.flow)), reply.returned_to_pool + reply.deallocated
                yield Demand(("OWN-034",), count == released, f"buffers released with flow {request.flow}", str(count), str(released))
            case p.LiveCount() if isinstance(reply, p.CountReply):
                alive = len(model.live)
                yield Demand(("OWN-001",), alive == reply.count, "live buffers", str(alive), str(reply.count))
            case p.Budget() if isinstance(reply, p.BudgetReply):
                owner = request.component
                used = model.used(owner)
                sure = not any(model.live[key].owner == owner for key in self._guessed if key in model.live)
                fits = reply.used == used if sure else reply.used >= used
                yield Demand(("BUDGET-004",), fits, f"what {owner} uses", str(used) if sure else f">= {used}", str(reply.used))
            case p.Clone():  # what a clone costs is not this model's business; that it is there, is
                origin = model.live.get((request.handle.index, request.handle.generation))
                if origin is not None and isinstance(reply, p.HandleReply):
                    self._born(model, reply.handle, request.caller, len(origin.content), request.flow, bytes(origin.content))
            case _ if hasattr(request, "handle"):
                yield from self._operated(model, request, reply)
            case _:
                return

    def _allocated(self, model: OwnershipModel, request: p.Allocate, reply: p.AnyReply) -> Iterator[Demand]:
        prediction = model.predict({"op": "resources.allocate", "owner": request.owner, "capacity": request.capacity}, None)
        if isinstance(reply, p.HandleReply):
            key = (reply.handle.index, reply.handle.generation)
            fresh = key not in model.live and key not in model.graveyard
            yield Demand(("OWN-017",), fresh, "a new buffer's handle", "never issued before", str(key))
            if fresh:
                self._born(model, reply.handle, request.owner, request.capacity, request.flow, b"")
        yield from self._outcome(prediction, reply, ("OWN-002",), anything=self._any_refusal)

    def _born(self, model: OwnershipModel, handle: p.Handle, owner: str, capacity: int, flow: int, content: bytes) -> None:
        key = (handle.index, handle.generation)
        model.allocated(Buffer(f"b{model.created}", key, owner, capacity, flow, bytearray(content)))
        self._guessed.add(key)

    def _operated(self, model: OwnershipModel, request: Any, reply: p.AnyReply) -> Iterator[Demand]:
        key = (request.handle.index, request.handle.generation)
        step: dict[str, object] = {"op": p.tag_of(request)}
        step.update((name, getattr(request, name)) for name in request.__struct_fields__ if name != "handle")
        if isinstance(request, p.Write):
            step["text"] = request.data.decode("latin-1")
            if not request.data.isascii():  # the model's bytes are text
                self.model = None
                return
        prediction = model.predict(step, key)
        open_question = bool(self._guessed) and isinstance(request, p.Write | p.Transfer) and key in model.live
        yield from self._outcome(prediction, reply, ("OWN-001",), anything=open_question)
        buffer = model.live.get(key)
        if buffer is None or isinstance(reply, p.Fault):
            return
        if isinstance(reply, p.BufferReply):
            if key in self._guessed:
                self._guessed.discard(key)
                buffer.capacity = reply.capacity
            wanted = (buffer.owner, buffer.state, buffer.borrow_count, len(buffer.content), buffer.capacity)
            seen = (reply.owner, reply.state, reply.borrow_count, reply.size, reply.capacity)
            rule = "OWN-005" if buffer.borrow_count else "OWN-001"
            yield Demand((rule,), wanted == seen, f"{buffer.name}: owner, state, borrows, size, capacity", str(wanted), str(seen))
        elif isinstance(request, p.Read) and isinstance(reply, p.BytesReply):
            content = bytes(buffer.content[request.offset : request.offset + request.length])
            yield Demand(("OWN-009",), reply.data == content, f"the bytes of {buffer.name}", str(content), str(reply.data))
        else:
            model.done(step, key)

    @staticmethod
    def _outcome(prediction: Prediction, reply: p.AnyReply, able: tuple[str, ...], *, anything: bool) -> Iterator[Demand]:
        """Say whether an operation had to be done or refused, and with which kind; nothing where that is open."""
        refused = isinstance(reply, p.Fault)
        if prediction.must:
            why = "; ".join(reason.why for reason in prediction.must)
            kinds = prediction.kinds
            if anything and not refused:
                return
            holds = refused and (anything or kinds is None or _kind(reply) in kinds)
            expected = "a refusal" if kinds is None else " or ".join(sorted(kinds))
            yield Demand(prediction.rules, holds, f"it had to be refused: {why}", expected, _kind(reply))
        elif not (anything or prediction.may_any):
            holds = not refused or _kind(reply) in prediction.may
            yield Demand(able, holds, "nothing forbids it", "done", _kind(reply))


def show(value: object, width: int = 60) -> str:
    """Return a message in one short line."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= width else f"{text[: width - 3]}..."

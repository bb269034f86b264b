"""A resource manager and its model in lock-step: every operation is predicted, sent, compared, and looked at afterwards.

The same lock-step plays directed examples (lists of steps, as data) and what Hypothesis draws (`machines/search.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.errors import Refused
from conformance.machines.coverage import Coverage
from conformance.machines.judge import Judge, Step
from conformance.models.ownership import TRANSIT, Buffer, Key, OwnershipModel, Prediction, Profile, Refusal
from conformance.subjects import protocol as p

COMPONENTS = ("component-1", "component-2", "component-3")
BUDGETS = {"component-1": 64 * 1024, "component-2": 4096, "component-3": 512}
"""A roomy component, one for a single medium buffer, one for two small ones."""
DEFAULT_BUDGET = 1024 * 1024
SWEEP_EVERY = 8
"""After this many steps all live buffers are looked at, not only the one that was touched."""

STATES = frozenset({"Pooled", "Owned", "Borrowed", "Leased", "Transit", "Freed"})

ABLE = {
    "resources.allocate": ("OWN-002",),
    "resources.release": ("OWN-003",),
    "resources.transfer": ("OWN-010",),
    "resources.borrow": ("OWN-005",),
    "resources.end-borrow": ("OWN-006",),
    "resources.write": ("OWN-003", "OWN-004"),
    "resources.read": ("OWN-009",),
    "resources.set-content-type": ("OWN-003",),
    "resources.freeze": ("OWN-003",),
    "resources.inspect": ("OWN-001",),
}
"""The rules by which an operation must succeed when nothing forbids it."""

REPLIES: dict[str, tuple[type[Any], type[Any]]] = {
    "resources.release": (p.Release, p.Done),
    "resources.transfer": (p.Transfer, p.Done),
    "resources.borrow": (p.Borrow, p.Done),
    "resources.end-borrow": (p.EndBorrow, p.Done),
    "resources.write": (p.Write, p.CountReply),
    "resources.read": (p.Read, p.BytesReply),
    "resources.set-content-type": (p.SetContentType, p.Done),
    "resources.freeze": (p.Freeze, p.Done),
    "resources.inspect": (p.Inspect, p.BufferReply),
}


class OwnershipLockstep:
    """One fresh resource manager of the subject, and what the rules say about it."""

    def __init__(self, judge: Judge, capabilities: frozenset[str], *, table_capacity: int = 2, coverage: Coverage | None = None) -> None:
        self.judge = judge
        self.coverage = coverage or Coverage()
        self.model = OwnershipModel(DEFAULT_BUDGET, Profile.of(capabilities))
        self.names: dict[str, Key] = {}
        judge.ask(p.OpenResources(table_capacity=table_capacity, default_budget_bytes=DEFAULT_BUDGET), p.Done)
        for component, budget in BUDGETS.items():
            judge.ask(p.RegisterComponent(component, budget), p.Done)
            self.model.limits[component] = budget

    # ---- one step

    def play(self, step: Step) -> None:
        """Play one step and judge it.

        Raises:
            Violation: the rule under test is broken.
            DivergedError: another rule is.
        """
        step = dict(step)
        if not self.judge.offers(step):
            return
        self.judge.steps.append(step)
        match step["op"]:
            case "resources.allocate":
                context = self._allocate(step)
            case "resources.force-reclaim":
                context = self._force_reclaim(step)
            case "resources.release-flow":
                context = self._release_flow(step)
            case _:
                context = self._operate(step)
        self._counts(context, step)
        self.judge.settle()
        if len(self.judge.steps) % SWEEP_EVERY == 0:
            self.sweep(context)

    def sweep(self, rules: Iterable[str] = ()) -> None:
        """Look at every live buffer: what a step did not name it must not have touched."""
        for buffer in self.model.live.values():
            self._look(buffer, tuple(rules))
        self.judge.settle()

    def probe(self, step: Step) -> None:
        """Fire every operation at one handle: the way to treat a dead one."""
        handle = step["handle"]
        for op, extra in (
            ("inspect", {}),
            ("read", {"reader": "component-1", "offset": 0, "length": 4}),
            ("write", {"caller": "component-1", "offset": 0, "text": "dead"}),
            ("set-content-type", {"caller": "component-1", "content_type": "dead/letter"}),
            ("borrow", {"borrower": "component-2"}),
            ("end-borrow", {"borrower": "component-2"}),
            ("transfer", {"source": "component-1", "target": "host"}),
            ("freeze", {"caller": "component-1"}),
            ("release", {"caller": "component-1"}),
            ("release", {"caller": "host"}),
        ):
            self.play({"op": f"resources.{op}", "handle": handle, **extra})
        self.sweep(("OWN-014",))

    def play_all(self, steps: Iterable[Step]) -> None:
        """Play a directed example: its steps, with `probe` as a step of its own."""
        for step in steps:
            if step["op"] == "probe":
                self.probe(step)
            else:
                self.play(step)
        self.sweep()

    # ---- allocation

    def _allocate(self, step: Step) -> tuple[str, ...]:
        owner, capacity, flow = step["owner"], step["capacity"], step.get("flow", 1)
        prediction = self.model.predict(step, None)
        before = self.model.used(owner)
        try:
            handle = self.judge.ask(p.Allocate(owner, capacity, flow), p.HandleReply).handle
        except Refused as refused:
            return self._refused(step, prediction, refused)
        self._done(step, prediction)
        key = (handle.index, handle.generation)
        name = f"b{len(self.names)}"
        step["gave"] = {"name": name, "index": handle.index, "generation": handle.generation}
        expect = self.judge.expect
        self.judge.demand(
            ("OWN-017", "OWN-001"), key not in self.model.live, f"{name} got the handle of a buffer that is still alive", found=key
        )
        expect(("OWN-017",), key not in self.model.graveyard, f"{name} got a handle that was issued before", found=key)
        generation = self.model.next_generation(handle.index)
        what = "reused slot" if handle.index in self.model.generations else "new slot"
        expect(
            ("OWN-017",),
            handle.generation == generation,
            f"the tenant of a {what} has the wrong generation",
            expected=generation,
            found=handle.generation,
        )
        seen = self.judge.ask(p.Inspect(handle), p.BufferReply)
        expect(("OWN-002",), seen.capacity >= capacity, f"{name} is smaller than asked for", expected=f">= {capacity}", found=seen.capacity)
        limit = self.model.limit(owner)
        expect(
            ("BUDGET-002",),
            limit is None or before + seen.capacity <= limit,
            f"{owner} owns more than its budget",
            expected=f"<= {limit}",
            found=before + seen.capacity,
        )
        buffer = Buffer(name, key, owner, seen.capacity, flow)
        self.names[name] = key
        self.model.allocated(buffer)
        self._compare(buffer, seen, ("OWN-002",))
        self._look(buffer, ("OWN-002",))
        return ("OWN-002",)

    # ---- the other operations on one buffer

    def _operate(self, step: Step) -> tuple[str, ...]:
        op = step["op"]
        key = self._key(step["handle"])
        prediction = self.model.predict(step, key)
        self.coverage.operated(self.model, op, key, prediction)
        request, expected = REPLIES[op]
        fields = {name: value for name, value in step.items() if name not in {"op", "handle", "text", "outcome"}}
        if "text" in step:
            fields["data"] = step["text"].encode()
        if op == "resources.read" and self.model.profile.strict_read and key in self.model.live:
            fields["length"] = max(0, min(fields["length"], len(self.model.live[key].content) - fields["offset"]))
        ledger = self._copies(key) if op == "resources.transfer" else None
        try:
            reply = self.judge.ask(request(handle=p.Handle(*key), **fields), expected)
        except Refused as refused:
            context = self._refused(step, prediction, refused)
        else:
            context = self._succeeded(step, key, prediction, reply)
        buffer = self.model.live.get(key)
        if ledger is not None and ledger != self._copies(key):
            self.judge.expect(
                ("OWN-012",), holds=False, message="a transfer was counted as a copy", expected=ledger, found=self._copies(key)
            )
        if buffer is not None:
            self._look(buffer, context)
        else:
            self._tenant(key, context)
        return context

    def _succeeded(self, step: Step, key: Key, prediction: Prediction, reply: p.Reply) -> tuple[str, ...]:
        self._done(step, prediction)
        op = step["op"]
        buffer = self.model.live[key]
        old_owner = buffer.owner
        self.model.done(step, key)
        if isinstance(reply, p.BytesReply):
            content = bytes(buffer.content[step["offset"] : step["offset"] + step["length"]])
            self.judge.expect(("OWN-009",), reply.data == content, f"{buffer.name} reads wrong", expected=content, found=reply.data)
        elif isinstance(reply, p.CountReply):
            size = len(buffer.content)
            self.judge.expect(("OWN-004",), reply.count == size, f"{buffer.name} has the wrong size", expected=size, found=reply.count)
        if op != "resources.transfer":
            return ABLE[op]
        if old_owner == buffer.owner:
            return ("OWN-013", "OWN-012")
        if self.judge.rule == "OWN-010":
            self._rights(buffer, old_owner)
        return ("OWN-010", "OWN-012")

    def _rights(self, buffer: Buffer, old_owner: str) -> None:
        """After a transfer: none of the old owner's rights are left, all of the new owner's are there (OWN-010)."""
        handle, end = p.Handle(*buffer.key), len(buffer.content)
        try:
            self.judge.ask(p.Release(handle, old_owner), p.Done)
            kind = "done"
        except Refused as refused:
            kind = refused.kind
        self.judge.expect(("OWN-010",), kind == "not-owner", f"{old_owner} releases {buffer.name} after giving it away", found=kind)
        if buffer.frozen:
            return
        try:
            self.judge.ask(p.Write(handle, buffer.owner, end, b""), p.CountReply)
            kind = "done"
        except Refused as refused:
            kind = refused.kind
        self.judge.expect(("OWN-010",), kind == "done", f"{buffer.owner} may not write to {buffer.name}, which it was given", found=kind)

    def _done(self, step: Step, prediction: Prediction) -> None:
        step["outcome"] = "done"
        if prediction.must:
            why = "; ".join(reason.why for reason in prediction.must)
            self.judge.demand(prediction.rules, holds=False, message=f"{step['op']} was done although {why}")
        elif not (prediction.may or prediction.may_any):
            self.judge.expect(ABLE[step["op"]], holds=True, message="")

    def _refused(self, step: Step, prediction: Prediction, refused: Refused) -> tuple[str, ...]:
        step["outcome"] = refused.kind
        kinds = prediction.kinds
        if not prediction.must:
            fine = prediction.may_any or refused.kind in prediction.may
            self.judge.expect(
                self._able(step, refused.kind),
                fine,
                f"{step['op']} was refused although nothing forbids it",
                expected="done",
                found=str(refused),
            )
            return self._able(step, refused.kind)
        self.judge.expect(
            prediction.rules,
            kinds is None or refused.kind in kinds,
            f"{step['op']} was refused for the wrong reason",
            expected=" or ".join(sorted(kinds or ())),
            found=refused.kind,
        )
        for reason in prediction.must:
            if reason.count is not None and refused.kind in reason.kinds:
                self._borrow_count(reason, refused)
        return prediction.rules

    def _able(self, step: Step, kind: str) -> tuple[str, ...]:
        if step["op"] == "resources.transfer" and step["source"] == step["target"]:
            return ("OWN-013",)
        if step["op"] == "resources.transfer" and kind == "budget-exceeded":
            return ("BUDGET-005",)
        return ABLE[step["op"]]

    def _borrow_count(self, reason: Refusal, refused: Refused) -> None:
        found = refused.fields.get("borrow_count")
        self.judge.expect(
            reason.rules, found == reason.count, "the refusal names the wrong number of borrows", expected=reason.count, found=found
        )

    # ---- by force

    def _force_reclaim(self, step: Step) -> tuple[str, ...]:
        component = step["component"]
        before = dict(self.model.live)
        request = p.ForceReclaim(component)
        owns = any(buffer.owner == component for buffer in before.values())
        try:
            records = self.judge.ask(request, p.ReclaimedReply).buffers
        except Refused as refused:
            raise self.judge.refused(("OWN-030",) if owns else ("OWN-032",), request, refused) from None
        step["outcome"] = "done"
        self.coverage.taken((buffer for buffer in before.values() if buffer.owner == component), "force-reclaim")
        doomed = self.model.reclaimed(component)
        found = {(record.handle.index, record.handle.generation): record for record in records}
        rules = ("OWN-030", "OWN-031") if doomed else ("OWN-032", "OWN-031")
        self.judge.demand(
            rules,
            len(records) == len(found) and found.keys() == set(doomed),
            f"force-reclaim of {component} frees the wrong buffers",
            expected=sorted(doomed),
            found=sorted(found),
        )
        for key in doomed:
            record, owner = found[key], component
            self.judge.expect(
                ("OWN-030",),
                (record.previous_owner, record.capacity) == (owner, before[key].capacity),
                f"the record of {before[key].name} is wrong",
                expected=(owner, before[key].capacity),
                found=(record.previous_owner, record.capacity),
            )
        context = ("OWN-030", "OWN-031", "OWN-033")
        self.sweep(context)
        return context

    def _release_flow(self, step: Step) -> tuple[str, ...]:
        request = p.ReleaseFlow(step["flow"])
        try:
            reply = self.judge.ask(request, p.FlowReleasedReply)
        except Refused as refused:
            raise self.judge.refused(("OWN-034",), request, refused) from None
        step["outcome"] = "done"
        self.coverage.taken((buffer for buffer in self.model.live.values() if buffer.flow == step["flow"]), "release-flow")
        doomed = self.model.flow_released(step["flow"])
        expected = (len(doomed), sum(buffer.capacity for buffer in doomed))
        found = (reply.returned_to_pool + reply.deallocated, reply.bytes_released)
        self.judge.expect(
            ("OWN-034", "OWN-035"), found == expected, f"flow {step['flow']} releases the wrong buffers", expected=expected, found=found
        )
        self.sweep(("OWN-034", "OWN-035"))
        return ("OWN-034", "OWN-035")

    # ---- looking

    def _key(self, handle: object) -> Key:
        if isinstance(handle, str):
            return self.names[handle]
        assert isinstance(handle, dict)
        return handle["index"], handle["generation"]

    def _copies(self, key: Key) -> tuple[int, int] | None:
        buffer = self.model.live.get(key)
        if buffer is None or self.judge.rule != "OWN-012":
            return None
        reply = self.judge.ask(p.CopyCounters(buffer.flow), p.CopiesReply)
        return reply.total_copy_ops, reply.total_payload_bytes

    def _look(self, buffer: Buffer, context: tuple[str, ...]) -> None:
        """Compare one live buffer with the model: what an observer sees, and the bytes that its owner reads."""
        handle = p.Handle(*buffer.key)
        try:
            seen = self.judge.ask(p.Inspect(handle), p.BufferReply)
        except Refused as refused:
            self.judge.expect(
                (*context, "OWN-001"), holds=False, message=f"{buffer.name} is alive and cannot be inspected", found=str(refused)
            )
            return
        self._compare(buffer, seen, context)
        length = len(buffer.content) if self.model.profile.strict_read else max(buffer.capacity, 1)
        try:
            data = self.judge.ask(p.Read(handle, buffer.owner, 0, length), p.BytesReply).data
        except Refused as refused:
            self.judge.expect(("OWN-009",), holds=False, message=f"the owner of {buffer.name} may not read it", found=str(refused))
            return
        content = bytes(buffer.content)
        self.judge.expect((*context, "OWN-009"), data == content, f"{buffer.name} holds the wrong bytes", expected=content, found=data)

    def _compare(self, buffer: Buffer, seen: p.BufferReply, context: tuple[str, ...]) -> None:
        expect = self.judge.expect
        owners = (*context, "OWN-001")
        expect(owners, seen.owner == buffer.owner, f"{buffer.name} has the wrong owner", expected=buffer.owner, found=seen.owner)
        expect(owners, seen.state in STATES and seen.owner != TRANSIT, f"{buffer.name} is between owners", found=(seen.state, seen.owner))
        if "OWN-030" in context:  # a reclaim that ends too few borrows leaves others' buffers lent; one that ends too many touches them
            borrowing: tuple[str, ...] = ("OWN-030",) if seen.borrow_count >= buffer.borrow_count else ("OWN-031",)
        else:
            borrowing = (*context, "OWN-005" if buffer.borrow_count else "OWN-006")
        expect(
            borrowing,
            (seen.state, seen.borrow_count) == (buffer.state, buffer.borrow_count),
            f"{buffer.name} is in the wrong state",
            expected=(buffer.state, buffer.borrow_count),
            found=(seen.state, seen.borrow_count),
        )
        flow = buffer.flow if seen.flow is None else seen.flow
        expect(("OWN-035",), flow == buffer.flow, f"{buffer.name} has changed its flow", expected=buffer.flow, found=flow)
        shape = (buffer.capacity, len(buffer.content), buffer.content_type)
        expect(
            context,
            (seen.capacity, seen.size, seen.content_type) == shape,
            f"{buffer.name} has changed its capacity, size or content type",
            expected=shape,
            found=(seen.capacity, seen.size, seen.content_type),
        )

    def _tenant(self, key: Key, context: tuple[str, ...]) -> None:
        """After an operation on a dead handle: the slot's present tenant must not have noticed."""
        for buffer in self.model.live.values():
            if buffer.key[0] == key[0]:
                self._look(buffer, context)

    def _counts(self, context: tuple[str, ...], step: Step) -> None:
        """Compare what the runtime counts: live buffers, and each party's use of its budget."""
        alive = len(self.model.live)
        found = self.judge.ask(p.LiveCount(), p.CountReply).count
        self.judge.expect((*context, "OWN-001"), found == alive, "the live count is not created - released", expected=alive, found=found)
        if not self.judge.offers({"op": "budget"}):
            return
        parties = {str(step.get(name)) for name in ("owner", "caller", "source", "target", "borrower", "component")}
        for component in COMPONENTS if step["op"] == "resources.release-flow" else sorted(parties.intersection(COMPONENTS)):
            used = self.model.used(component)
            seen = self.judge.ask(p.Budget(component), p.BudgetReply).used
            message = f"the budget of {component} does not say what it owns"
            self.judge.expect((*context, "BUDGET-004"), seen == used, message, expected=used, found=seen)

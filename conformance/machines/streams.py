"""One stream and its model in lock-step: queue, credits, hysteresis and overflow policy (CREDIT, WMK, POLICY).

Every operation is predicted by `StreamModel`, sent, and compared field by field, each field on behalf of the rules that speak about it.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.errors import Refused
from conformance.machines.coverage import Coverage
from conformance.machines.judge import Judge, Step
from conformance.models.streams import Policy, Pushed, StreamModel, low_mark
from conformance.subjects import protocol as p

LOSING = {
    Policy.DROP_OLDEST: "POLICY-002",
    Policy.DROP_NEWEST: "POLICY-003",
    Policy.ERROR: "POLICY-004",
}
"""The rule that says what a full stream does, by policy."""

EVENTS = frozenset({"streams.push", "streams.pop", "streams.complete"})
"""What changes a stream."""


class StreamLockstep:
    """One fresh stream of the subject, and what the rules say about it."""

    def __init__(self, judge: Judge, step: Step, coverage: Coverage | None = None) -> None:
        self.judge = judge
        self.coverage = coverage or Coverage()
        judge.steps.append(dict(step))
        capacity, ratio = step["capacity"], step.get("low_watermark_ratio", 0.5)
        policy = step.get("policy", str(Policy.BLOCK))
        self.model = StreamModel(capacity, ratio, Policy(policy))
        try:
            reply = judge.ask(p.OpenStream(capacity, ratio, policy), p.StreamReply)
        except Refused as refused:
            message = f"a stream of capacity {capacity} and ratio {ratio} was refused"
            judge.expect(("CREDIT-001", "WMK-004"), holds=False, message=message, found=str(refused))
            raise
        judge.expect(
            ("CREDIT-001",),
            (reply.credits, reply.depth, reply.capacity) == (capacity, 0, capacity),
            "a new stream has not as many credits as it has places",
            expected=(capacity, 0, capacity),
            found=(reply.credits, reply.depth, reply.capacity),
        )
        judge.expect(
            ("WMK-004",),
            reply.low == low_mark(capacity, ratio),
            "the low mark is wrong",
            expected=low_mark(capacity, ratio),
            found=reply.low,
        )
        self._shape(reply, ())
        judge.settle()

    @property
    def reported(self) -> bool:
        """Tell whether pressure is judged: the policies that drop may report it or not (WMK-015)."""
        return self.model.policy is Policy.BLOCK

    def play(self, step: Step) -> None:
        """Play one step and judge it.

        Raises:
            Violation: the rule under test is broken.
            DivergedError: another rule is.
        """
        step = dict(step)
        self.judge.steps.append(step)
        if step["op"] in EVENTS:
            self.coverage.streamed(self.model, step["op"].removeprefix("streams."))
        match step["op"]:
            case "streams.push":
                self._push(step)
            case "streams.pop":
                self._pop(step)
            case "streams.complete":
                self.model.complete = True
                step["outcome"] = "done"
                self._shape(self.judge.ask(p.CompleteStream(), p.StreamReply), ("CREDIT-007",))
            case "streams.inspect":
                self._shape(self.judge.ask(p.InspectStream(), p.StreamReply), ("CREDIT-007",))
            case op:
                raise ValueError(f"no operation of a stream: {op}")
        self.judge.settle()

    def play_all(self, steps: Iterable[Step]) -> None:
        """Play a directed example."""
        for step in steps:
            self.play(step)

    # ---- push

    def _push(self, step: Step) -> None:
        before = (self.model.depth, self.model.credits, self.model.active)
        full = self.model.credits == 0
        expected = self.model.push(step["value"])
        try:
            reply = self.judge.ask(p.PushValue(step["value"]), p.PushedReply)
        except Refused as refused:
            step["outcome"] = refused.kind
            self._push_refused(expected, refused, full=full)
            return
        step["outcome"] = reply.verdict
        judge, stream = self.judge, reply.stream
        if expected.refusal is not None:
            rules = ("WMK-012", "CREDIT-004") if expected.refusal == "queue-full" else ()
            judge.demand(rules, holds=False, message=f"a push was taken that must be refused: {expected.refusal}", found=reply.verdict)
        if not full:
            judge.expect(("CREDIT-002",), reply.verdict == "enqueued", "there was room and the element was not taken", found=reply.verdict)
            spent = before[1] - stream.credits
            judge.expect(("CREDIT-002",), spent == 1, "an element enqueued does not spend one credit", expected=1, found=spent)
        else:
            self._overflow(expected, reply, before)
        self._pressure(reply.pressure_changed, expected.change, before, "push")
        self._shape(stream, ("CREDIT-008",) if expected.evicted is not None else ())

    def _push_refused(self, expected: Pushed, refused: Refused, *, full: bool) -> None:
        if expected.refusal is None:
            rules = (LOSING[self.model.policy], "POLICY-007") if full else ("CREDIT-002",)
            self.judge.demand(rules, holds=False, message="a push was refused that the stream must take", found=str(refused))
        else:
            # No rule gives the kinds; the protocol does.
            self.judge.expect(
                ("CREDIT-007",), refused.kind == expected.refusal, "wrong refusal", expected=expected.refusal, found=refused.kind
            )
        self._shape(self.judge.ask(p.InspectStream(), p.StreamReply), ("CREDIT-007",))

    def _overflow(self, expected: Pushed, reply: p.PushedReply, before: tuple[int, int, bool]) -> None:
        policy = self.model.policy
        rule = LOSING[policy]
        found = (reply.verdict, reply.evicted)
        self.judge.expect(
            (rule,),
            found == (expected.verdict, expected.evicted),
            f"{policy} on a full stream does something else",
            expected=(expected.verdict, expected.evicted),
            found=found,
        )
        state = (reply.stream.depth, reply.stream.credits)
        self.judge.expect(
            (rule, "POLICY-006"),
            state == before[:2],
            f"{policy} on a full stream changes depth or credits",
            expected=before[:2],
            found=state,
        )

    # ---- pop

    def _pop(self, step: Step) -> None:
        before = (self.model.depth, self.model.credits, self.model.active)
        expected = self.model.pop()
        try:
            reply = self.judge.ask(p.PopValue(), p.PoppedReply)
        except Refused as refused:
            step["outcome"] = refused.kind
            self.judge.demand(("ORD-001", "CREDIT-003"), expected is None, "the stream does not give what it holds", found=str(refused))
            self._shape(self.judge.ask(p.InspectStream(), p.StreamReply), ("CREDIT-007",))
            return
        step["outcome"] = reply.value
        if expected is None:
            self.judge.demand(("ORD-001", "CREDIT-003"), holds=False, message="an empty stream gave an element", found=reply.value)
            return
        value, change = expected
        rules = ("ORD-001", LOSING[self.model.policy]) if self.model.policy in LOSING else ("ORD-001",)
        self.judge.expect(rules, reply.value == value, "the stream is not first in, first out", expected=value, found=reply.value)
        regained = reply.stream.credits - before[1]
        self.judge.expect(("CREDIT-003",), regained == 1, "an element taken does not give one credit back", expected=1, found=regained)
        self._pressure(reply.pressure_changed, change, before, "pop")
        self._shape(reply.stream, ())

    # ---- what every reply shows

    def _pressure(self, found: str | None, expected: str | None, before: tuple[int, int, bool], op: str) -> None:
        """Judge a change of pressure by the one rule that covers the situation (WMK-001, WMK-002, WMK-003, WMK-005)."""
        model, expect = self.model, self.judge.expect
        if not self.reported:
            return
        was = "active" if before[2] else "normal"
        expect(("WMK-005",), found != was, "pressure does not alternate between on and off", found=f"{found} after {was}")
        if op == "push" and before[0] < model.capacity:
            reached = model.depth == model.capacity
            if reached and was == "normal":
                expect(
                    ("WMK-001",),
                    found == expected,
                    "pressure must go on when the depth reaches the capacity",
                    expected=expected,
                    found=found,
                )
            elif was == "normal":
                expect(("WMK-001",), found is None, f"pressure goes on at depth {model.depth} of {model.capacity}", found=found)
        if op == "pop" and was == "active":
            crossed = model.depth <= model.low
            where = f"at depth {model.depth} of {model.capacity}, low mark {model.low}"
            message = f"wrong pressure after a dequeue {where}"
            expect(("WMK-002",), found == expected, message, expected=expected or "no change", found=found or "no change")
            if not crossed:
                expect(("WMK-003",), found is None, f"pressure changes between the marks: {where}", found=found)
        if op == "push" and was == "active" and model.low < model.depth < model.capacity:
            expect(("WMK-003",), found is None, f"pressure changes between the marks, at depth {model.depth}", found=found)
        if op == "pop" and was == "normal" and model.low < model.depth < model.capacity:
            expect(("WMK-003",), found is None, f"pressure changes between the marks, at depth {model.depth}", found=found)

    def _shape(self, reply: p.StreamReply, context: tuple[str, ...]) -> None:
        """Compare a stream as an observer sees it with the model."""
        model, expect = self.model, self.judge.expect
        found = (reply.depth, reply.credits)
        expect(
            ("CREDIT-004", *context),
            0 <= reply.credits <= model.capacity and reply.credits + reply.depth == model.capacity,
            "credits + depth is not the capacity",
            expected=model.capacity,
            found=f"{reply.credits} + {reply.depth}",
        )
        expect(
            context, found == (model.depth, model.credits), "depth or credits are wrong", expected=(model.depth, model.credits), found=found
        )
        expect(("WMK-012",), reply.depth <= model.capacity, "more queued than fits", expected=f"<= {model.capacity}", found=reply.depth)
        if self.reported:
            active = reply.pressure == "active"
            rule = self._standing(found=active)
            expect((rule,), active == model.active, f"pressure is wrong at depth {model.depth}", expected=model.active, found=active)
        if model.complete:
            return
        if model.policy is not Policy.BLOCK:
            message = f"{model.policy} suspends the producer"
            expect(("POLICY-007", "WMK-015"), reply.may_produce, message, expected=True, found=False, parts=False)
        elif model.credits == 0:
            expect(("CREDIT-005",), not reply.may_produce, "the producer may be called without a credit", expected=False, found=True)
        elif model.active:
            message = f"the producer may be called under pressure, at depth {model.depth} of {model.capacity}"
            expect(("CREDIT-006",), not reply.may_produce, message, expected=False, found=True)

    def _standing(self, *, found: bool) -> str:
        """Return the rule that settles whether a stream at rest is under pressure."""
        model = self.model
        if model.depth == model.capacity:
            return "WMK-001"
        if model.depth <= model.low:
            return "WMK-002"
        return "WMK-003" if found != model.active or model.depth > model.low else "WMK-002"

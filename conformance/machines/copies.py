"""A manager's copy ledger and its model in lock-step: after each operation the counters of every flow are compared.

Only components read and write here: whether what the host does for itself is a copy, the rules leave open.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from conformance.machines.accounts import COMPONENTS, Accounts, AccountsMachine, Held, content
from conformance.machines.judge import Judge, Step
from conformance.models.copies import CLONE, READ, REASONS, RETURN, WRITE, FlowLedger, named
from conformance.subjects import protocol as p

FLOWS = (1, 2, 7)
"""The flows that are looked at; nobody ever uses the last one."""
COUNTS = {"write": "COPY-001", "read": "COPY-002", "clone": "COPY-006"}


def register(judge: Judge, flow: int) -> None:
    """Tell of a flow, as a host does before anything happens in it, where the subject wants to be told."""
    if judge.offers({"op": "register-flow"}):
        judge.ask(p.RegisterFlow(flow), p.Done)


class CopyLockstep(Accounts):
    """One fresh manager, and what its copy counters must be."""

    def __init__(self, judge: Judge, *, level: str = "production") -> None:
        super().__init__(judge, p.OpenResources(level=level))
        self.flows = {flow: FlowLedger() for flow in FLOWS}
        self.last: dict[int, tuple[int, int]] = dict.fromkeys(FLOWS, (0, 0))
        for flow in FLOWS[:-1]:
            register(judge, flow)

    def done(self, step: Step, held: Held | None, reply: p.Reply, gone: list[Held]) -> None:  # noqa: ARG002 -- the signature of all lock-steps
        """Take note of a copy."""
        if held is None:
            return
        ledger = self.flows[held.flow]
        caller = step.get("caller", "")
        match step["op"]:
            case "write":
                ledger.copied(WRITE, len(content(step)), caller, "host")
            case "read":
                assert isinstance(reply, p.BytesReply), "the judge asked for it"
                ledger.copied(READ, len(reply.data), "host", caller)
            case "clone":
                ledger.copied(CLONE, held.size, "", caller)
            case _:
                pass

    def after(self, step: Step) -> None:
        """Compare the counters of every flow."""
        done, op = step["outcome"] == "done", step["op"]
        for flow in FLOWS:
            seen = self.judge.ask(p.CopyCounters(flow), p.CopiesReply)
            if op == "release-flow" and flow == step["flow"] and not seen.total_copy_ops:  # its summary went with it (COPY-013)
                self.flows[flow], self.last[flow] = FlowLedger(), (0, 0)
                register(self.judge, flow)
            self._compare(flow, seen, self._rules(step, flow, counted=done and op in COUNTS))
            now = seen.total_copy_ops, seen.total_payload_bytes
            grown = all(new >= old for new, old in zip(now, self.last[flow], strict=True))
            self.judge.expect(("COPY-018",), grown, f"a copy counter of flow {flow} has fallen", expected=self.last[flow], found=now)
            self.last[flow] = now

    @staticmethod
    def _rules(step: Step, flow: int, *, counted: bool) -> tuple[str, ...]:
        if flow == FLOWS[-1]:
            return ("COPY-012",)
        op = step["op"]
        if counted:
            rules = [COUNTS[op], "COPY-010"]
            rules += ["COPY-004"] if (op == "write" and not content(step)) or (op == "read" and not step["length"]) else []
            rules += ["COPY-016"] if op == "read" and step.get("chunked") else []
            return tuple(rules)
        if op in COUNTS:
            return ("COPY-003",)
        return ("COPY-014",) if op == "register-flow" else ("COPY-005", *(("COPY-007",) if op in {"release", "release-flow"} else ()))

    def _compare(self, flow: int, seen: p.CopiesReply, rules: tuple[str, ...]) -> None:
        expect, ledger = self.judge.expect, self.flows[flow]
        ops = named(seen.ops_by_reason)
        total = sum(ops.values())
        expect(("COPY-006",), seen.total_copy_ops == total, f"flow {flow}: operations", expected=total, found=seen.total_copy_ops)
        moved = ledger.total_bytes
        expect(
            (*rules, "COPY-006"), seen.total_payload_bytes == moved, f"flow {flow}: bytes", expected=moved, found=seen.total_payload_bytes
        )
        expect(("COPY-008",), seen.metadata_bytes >= 0 and seen.total_payload_bytes == moved, "metadata is counted as payload", found=seen)
        known = set(REASONS).issuperset(ops)
        expect(("COPY-007",), known, f"flow {flow}: unknown reasons", expected=REASONS, found=tuple(ops))
        for reason in REASONS:
            count = ops.get(reason, 0)
            own = ("COPY-007",) if reason in {RETURN, CLONE} or rules != ("COPY-005",) else ()
            expect(
                (*rules, *own),
                ledger.allows(reason, count),
                f"flow {flow}: operations of reason {reason}",
                expected=f"{ledger.least[reason]}..{ledger.most[reason]}",
                found=count,
            )
        self._routes(flow, seen)

    def _routes(self, flow: int, seen: p.CopiesReply) -> None:
        """Compare who copied to whom, where the subject says; a clone's source is its own business."""
        found: dict[tuple[str, str, str], int] = {}
        for route in seen.routes:
            source = "" if route.reason == CLONE else route.source
            found[source, route.target, route.reason] = found.get((source, route.target, route.reason), 0) + route.bytes
        found = {key: size for key, size in found.items() if size}
        if seen.routes:
            expected = dict(self.flows[flow].routes)
            self.judge.expect(("COPY-009",), found == expected, f"flow {flow}: who copied to whom", expected=expected, found=found)


class CopyMachine(AccountsMachine):
    """Draws what the other machines draw; components alone own, so that every read and write is a guest's."""

    sizes = (16, 300)
    parties = COMPONENTS
    registers = False

    @rule(pick=st.integers(0, 7), offset=st.integers(0, 400), caller=st.sampled_from(("component-1", "component-2")))
    def fail(self, pick: int, offset: int, caller: str) -> None:
        """Write or read as somebody, somewhere: it may be refused."""
        if offset % 2:
            self.on(pick, "write", offset=offset, text="zz", caller=caller)
        else:
            self.on(pick, "read", offset=offset, length=3, caller=caller)

    @rule(flow=st.integers(1, 2))
    def again(self, flow: int) -> None:
        """Register a flow, once more."""
        if self.registers:
            self.play("register-flow", flow=flow)

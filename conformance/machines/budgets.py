"""A manager's budgets and their model in lock-step: after each operation every component's use is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from conformance.errors import Refused
from conformance.machines.accounts import COMPONENTS, Accounts, AccountsMachine, Held
from conformance.machines.judge import Judge, Step
from conformance.models.budgets import BudgetModel, Holding
from conformance.models.pools import Served
from conformance.subjects import protocol as p

ENDS = {"release": "BUDGET-004", "release-flow": "BUDGET-004", "force-reclaim": "BUDGET-011"}
REGISTERING = frozenset({"BUDGET-002", "BUDGET-004", "BUDGET-010"})
"""The rules under which components are registered again while they own something."""
FREE = {"borrow": "BUDGET-006", "end-borrow": "BUDGET-006", "register": "BUDGET-010", "freeze": "BUDGET-013"}
"""Operations that charge nobody, and the rule that says so."""


class BudgetLockstep(Accounts):
    """One fresh manager in which component-3 was never registered, and what its budgets must say."""

    def __init__(
        self, judge: Judge, capabilities: frozenset[str], served: dict[int, Served], limits: Mapping[str, int], default: int
    ) -> None:
        super().__init__(judge, p.OpenResources(default_budget_bytes=default))
        self.model = BudgetModel(None if "unregistered=unlimited" in capabilities else default)
        self.served = served
        self.again: set[str] = set()  # registered once more while they owned something
        self.reclaimed: set[str] = set()
        for component, limit in limits.items():
            judge.ask(p.RegisterComponent(component, limit), p.Done)
            self.model.limits[component] = limit

    # ---- judging

    def _need(self, step: Step, held: Held | None) -> tuple[str, int] | None:
        """Return who must have room for how much; None when the operation charges nobody. A clone needs room for its size at least."""
        op = step["op"]
        if op == "allocate":
            return step["owner"], self.served[step["capacity"]].capacity
        if held is None:
            return None
        if op == "clone":
            return step["caller"], held.size
        if op == "transfer" and step["target"] != held.owner:
            return step["target"], self.model.held[held.name].capacity
        return None

    def _rules(self, step: Step) -> tuple[str, ...]:
        op = step["op"]
        if self.charged in self.again | self.reclaimed:  # then it is what became of the limit that is shown, not how a charge is made
            return ("BUDGET-002", "BUDGET-010" if self.charged in self.again else "BUDGET-011")
        if op == "transfer":
            return ("BUDGET-005", "BUDGET-002") if step["target"] != "host" else ("BUDGET-004", "BUDGET-007")
        if op == "clone":
            return ("BUDGET-013", "BUDGET-002")
        owner = step["owner"]
        own = "BUDGET-007" if owner == "host" else "BUDGET-009" if owner not in self.model.limits else "BUDGET-001"
        return ("BUDGET-002", "BUDGET-014", own)

    def before(self, step: Step, held: Held | None) -> None:
        """Take note of whether there is room, before anything changes."""
        need = self._need(step, held)
        self.charged = need[0] if need else None
        self.fits = self.surely_fits = need is None or self.model.fits(*need)
        if step["op"] == "clone" and held is not None:
            self.surely_fits = self.model.fits(step["caller"], held.seen.capacity)

    def refused(self, step: Step, held: Held | None, refused: Refused) -> None:
        """Judge a refusal: it must be for want of room, and say so."""
        need = self._need(step, held)
        if need is None:
            if step["op"] in FREE and step["op"] != "freeze":  # a second freeze may be refused
                self.judge.expect((FREE[step["op"]],), holds=False, message=f"{step['op']} was refused", expected="done", found=refused)
            return
        lent = held is not None and held.borrows.total() > 0
        if self.fits:
            fine = (step["op"] == "transfer" and lent) or not self.surely_fits
            self.judge.demand(self._rules(step), fine, f"{step['op']} was refused although there is room", expected="done", found=refused)
            return
        rules = (*self._rules(step), "BUDGET-003")
        if not lent:
            message = f"{step['op']} beyond the budget was refused for another reason"
            self.judge.demand(rules, refused.kind == "budget-exceeded", message, expected="budget-exceeded", found=refused)
            self._says(step, need, refused)

    def _says(self, step: Step, need: tuple[str, int], refused: Refused) -> None:
        """Compare what a refusal names (BUDGET-003); the request may be given as it was, or as what it would be charged."""
        owner, capacity = need
        named = {key: refused.fields.get(key) for key in ("component", "current", "requested", "budget")}
        expected: dict[str, Any] = {"component": owner, "current": self.model.used(owner), "budget": self.model.limit(owner)}
        requested = {capacity, step.get("capacity", capacity)} if step["op"] != "clone" else {named["requested"]}
        holds = named["requested"] in requested and all(named[key] == value for key, value in expected.items())
        self.judge.expect(
            ("BUDGET-003",), holds, "the refusal names the wrong numbers", expected=expected | {"requested": requested}, found=named
        )

    def done(self, step: Step, held: Held | None, reply: p.Reply, gone: list[Held]) -> None:  # noqa: ARG002 -- the signature of all lock-steps
        """Judge what was done, and take note of it."""
        op = step["op"]
        if op in FREE:
            self.judge.expect((FREE[op],), holds=True, message="")
        need = op in {"allocate", "clone", "transfer"}
        if need:
            self.judge.demand(self._rules(step), self.fits, f"{op} was done beyond the budget")
        if op in {"allocate", "clone"}:
            assert held is not None, "it made one"
            self.model.held[held.name] = Holding(held.owner, held.seen.capacity, held.flow)
        elif op == "transfer":
            assert held is not None, "it was about one"
            self.model.held[held.name].owner = step["target"]
        elif op == "register":
            if self.model.used(step["component"]):
                self.again.add(step["component"])
            self.model.limits[step["component"]] = step["budget"]
        elif op == "force-reclaim":
            self.model.reclaimed(step["component"])
            self.again.discard(step["component"])
            self.reclaimed.add(step["component"])
        elif op == "release-flow":
            self.model.flow_released(step["flow"])
        for one in gone:
            self.model.held.pop(one.name, None)

    def after(self, step: Step) -> None:
        """Compare every component's use and limit, where the subject shows them."""
        if not self.judge.offers({"op": "budget"}):
            return
        op, done = step["op"], step["outcome"] == "done"
        rules: tuple[str, ...] = (ENDS.get(op) or FREE.get(op, "BUDGET-004"),)
        if op in {"allocate", "clone", "transfer"}:
            rules = self._rules(step) if done else ("BUDGET-005",) if op == "transfer" else ("BUDGET-003",)
        for component in COMPONENTS:
            seen = self.judge.ask(p.Budget(component), p.BudgetReply)
            used, limit = self.model.used(component), self.model.limit(component)
            self.judge.expect((*rules, "BUDGET-004"), seen.used == used, f"the use of {component}", expected=used, found=seen.used)
            known = ("BUDGET-011",) if op == "force-reclaim" else ("BUDGET-009",) if component not in self.model.limits else ()
            same = limit is None or seen.limit == limit  # what a component without a limit shows as its limit is its own business
            self.judge.expect((*known, "BUDGET-002"), same, f"the limit of {component}", expected=limit, found=seen.limit)
            # A limit lowered below what is owned leaves the excess; only an operation that charges this component may not add to it.
            charged = done and op in {"allocate", "clone", "transfer"} and component == self.charged
            over = charged and limit is not None and seen.used > limit
            self.judge.expect(("BUDGET-002",), not over, f"{component} owns more than it may", expected=f"<= {limit}", found=seen.used)


class BudgetMachine(AccountsMachine):
    """Draws what the other machines draw, and registrations."""

    @rule(component=st.sampled_from(COMPONENTS[:2]), limit=st.sampled_from((512, 4096, 8192, 70_000)))
    def register(self, component: str, limit: int) -> None:
        """Register a component, once more: only for the rules that speak of it, for a runtime that forgets its use fails all others too."""
        if self.accounts.judge.rule in REGISTERING:
            self.play("register", component=component, budget=limit)

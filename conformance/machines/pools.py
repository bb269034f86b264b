"""A manager's pools and their model in lock-step: after each operation every counter of every tier is compared."""

from __future__ import annotations

from conformance.errors import Refused
from conformance.machines.accounts import Accounts, Held
from conformance.machines.judge import Judge, Step
from conformance.models.pools import TIERS, PoolModel, Served
from conformance.subjects import protocol as p

ROOM = {"small": 2, "medium": 1, "large": 2, "huge": 1}
"""Buffers per tier: few, so that pools run dry."""

ANY_REFUSAL = frozenset({"pool-exhausted", "allocation-failed"})
ENDS = ("POOL-009", "POOL-010", "POOL-014")


class PoolLockstep(Accounts):
    """One fresh manager with small pools, all tiers but Huge preallocated, and what its counters must be."""

    def __init__(
        self, judge: Judge, capabilities: frozenset[str], served: dict[int, Served], *, exhaustion: str = "fallback-alloc"
    ) -> None:
        settings = tuple(p.TierSetting(name, ROOM[name], name != "huge") for name in TIERS)
        super().__init__(judge, p.OpenResources(tiers=settings, exhaustion=exhaustion))
        self.model = PoolModel.of(
            ((one.tier, one.pool_size, one.preallocate) for one in settings), alloc_counts_all="alloc_count=all" in capabilities
        )
        self.served = served
        self.hard = exhaustion == "error"

    def refused(self, step: Step, held: Held | None, refused: Refused) -> None:  # noqa: ARG002 -- the signature of all lock-steps
        """Judge a refusal: only an empty pool under policy `error` may."""
        if step["op"] != "allocate":
            return
        tier = self.served[step["capacity"]].tier
        if not self.hard:
            self.judge.expect(("POOL-006",), holds=False, message=f"an allocation from tier {tier} was refused", found=refused)
        elif self.model.tiers[tier].serves is False:
            message = f"the empty pool of tier {tier} refuses for the wrong reason"
            self.judge.expect(("POOL-008",), refused.kind in ANY_REFUSAL, message, expected="pool-exhausted", found=refused.kind)
            self.model.refused(tier)
        elif self.model.tiers[tier].serves is None:  # how much a tier that fills on demand has at hand is its own business
            self.model.refused(tier)
        elif self.model.tiers[tier].serves:
            self.judge.demand(("POOL-008",), holds=False, message=f"tier {tier} has room, and refuses", found=refused)

    def done(self, step: Step, held: Held | None, reply: p.Reply, gone: list[Held]) -> None:  # noqa: ARG002 -- as above
        """Judge an allocation, and take note of what came and went."""
        if step["op"] == "allocate":
            assert held is not None, "an allocation makes one"
            self._allocated(step, held)
        for one in gone:
            self.model.gave_back(one.seen.tier, pooled=not one.seen.is_fallback)

    def _allocated(self, step: Step, held: Held) -> None:
        seen, served = held.seen, self.served[step["capacity"]]
        expect = self.judge.expect
        serves = self.model.tiers[served.tier].serves
        same = seen.tier == served.tier
        what = f"a request of {step['capacity']} bytes"
        expect(("POOL-006",) if serves is False else (), same, f"{what} is in another tier", expected=served.tier, found=seen.tier)
        self.judge.demand(("POOL-007",), same, f"{what} is served by another tier", expected=served.tier, found=seen.tier)
        expect(("POOL-002",), seen.capacity == served.capacity, f"{what} got a buffer of another size", expected=served, found=seen)
        if serves is False:
            self.judge.demand(("POOL-008",) if self.hard else (), not self.hard, f"{what} was served although its pool is empty")
            self.judge.demand(
                ("POOL-006", "POOL-010", "POOL-014"), seen.is_fallback, f"{what} comes from an empty pool and is no fallback", found=seen
            )
        elif serves:
            reused = self.model.tiers[served.tier].returned > 0
            rules = ("POOL-014", "POOL-008", *(("POOL-009",) if reused else ()))
            self.judge.demand(rules, not seen.is_fallback, f"{what} is a fallback although its pool has room", found=seen)
        self.model.took(seen.tier, pooled=not seen.is_fallback)

    def after(self, step: Step) -> None:
        """Compare every counter of every tier."""
        ending = step["op"] in {"release", "force-reclaim", "release-flow"}
        own = self.served[step["capacity"]].tier if step["op"] == "allocate" else None
        for tier in TIERS:
            seen, want = self.judge.ask(p.PoolCounters(tier), p.PoolReply), self.model.counts(tier)
            rules: tuple[str, ...] = ENDS if ending else ("POOL-014",)
            if own is not None:
                rules = ("POOL-014", "POOL-006") if tier == own else ("POOL-014", "POOL-007")
            found = (seen.alloc_count, seen.return_count, seen.fallback_count)
            expected = (want.allocated, want.returned, want.fallbacks)
            self.judge.expect(rules, found == expected, f"tier {tier}: allocated, returned, fallbacks", expected=expected, found=found)
            self.judge.expect(
                rules,
                seen.exhaustion_count in want.exhaustions,
                f"tier {tier}: exhaustions",
                expected=" or ".join(map(str, sorted(want.exhaustions))),
                found=seen.exhaustion_count,
            )
            self.judge.expect(
                (*rules, "POOL-010"),
                0 <= seen.available <= seen.pool_size == want.pool_size,
                f"tier {tier}: more is available than the pool holds",
                expected=f"0..{want.pool_size}",
                found=(seen.available, seen.pool_size),
            )
            if want.available is not None:
                message = f"tier {tier}: available"
                self.judge.expect(
                    (*rules, *ENDS[:1]), seen.available == want.available, message, expected=want.available, found=seen.available
                )

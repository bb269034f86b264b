"""Pools (POOL): what an empty tier does, what comes back to it, what its counters say, and that no tenant sees an earlier one's bytes."""

from __future__ import annotations

from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.machines.accounts import SIZES, learn, search
from conformance.machines.judge import Judge, Step
from conformance.machines.pools import PoolLockstep
from conformance.models.pools import Served
from conformance.subjects.protocol import Facet, Handle, TierSetting
from conformance.subjects.session import Session

ONE, TWO = "component-1", "component-2"
MIB = 1024 * 1024
CANARY = b"kept"


def take(size: int, owner: str = "host", flow: int = 1) -> Step:
    """Return an allocation."""
    return {"op": "allocate", "owner": owner, "capacity": size, "flow": flow}


def give(handle: str) -> Step:
    """Return a release."""
    return {"op": "release", "handle": handle}


STORIES: tuple[tuple[Step, ...], ...] = (
    # a tier runs dry, and everything comes back
    (*(take(100) for _ in range(4)), *(give(f"b{i}") for i in (3, 0, 2, 1)), *(take(256) for _ in range(3)), give("b4"), give("b6")),
    # the next tier has room all the while
    (take(4096), take(257), take(5000), give("b1"), take(4096), give("b0"), take(4096)),
    # the same buffers, over and over
    tuple(one for i in range(9) for one in (take(0), give(f"b{i}"))),
    # by force, and by the end of a flow
    (*(take(100, ONE) for _ in range(3)), {"op": "force-reclaim", "component": ONE}, *(take(100) for _ in range(3))),
    (*(take(100, ONE, 2) for _ in range(3)), {"op": "release-flow", "flow": 2}, *(take(100) for _ in range(3)), give("b5")),
    # two flows and three parties share one pool
    (take(100, ONE, 1), take(100, TWO, 2), take(100, "host", 1), give("b1"), take(100, ONE, 1), give("b0")),
    (take(5000), take(5000), take(70_000), take(70_000), give("b2"), give("b3"), take(70_000)),
)


def play(session: Session, budget: Budget, rule: str, *, exhaustion: str = "fallback-alloc", examples: int = 20) -> None:
    """Hold one rule against stories and drawn operations."""
    capabilities = session.capabilities(Facet.RESOURCES)
    known: dict[int, Served] = {}

    def start(judge: Judge) -> PoolLockstep:
        if not known:
            known.update(learn(judge, (*SIZES, 70_000)))
        return PoolLockstep(judge, capabilities, known, exhaustion=exhaustion)

    search(session, budget, rule, start, STORIES, examples=examples)


@checks("POOL-002", facet=Facet.RESOURCES, kind="machine")
def tiers_keep_their_size(session: Session, budget: Budget) -> None:
    """A request gets the same capacity from a full pool and from an empty one."""
    play(session, budget, "POOL-002")


@checks("POOL-006", facet=Facet.RESOURCES, kind="machine")
def empty_pools_fall_back(session: Session, budget: Budget) -> None:
    """An empty pool is no reason to refuse: the buffer is flagged as fallback, and counted once as exhaustion and once as fallback."""
    play(session, budget, "POOL-006")


@checks("POOL-007", facet=Facet.RESOURCES, kind="machine")
def no_raids(session: Session, budget: Budget) -> None:
    """A tier that runs dry leaves the others' pools alone."""
    play(session, budget, "POOL-007")


@checks("POOL-008", facet=Facet.RESOURCES, kind="machine", requires=("exhaustion_error",))
def empty_pools_refuse(session: Session, budget: Budget) -> None:
    """With policy `error` an empty pool refuses, and serves again after one release."""
    play(session, budget, "POOL-008", exhaustion="error")


@checks("POOL-009", facet=Facet.RESOURCES, kind="machine")
def pools_are_reused(session: Session, budget: Budget) -> None:
    """What comes back to a pool is there to be taken again."""
    play(session, budget, "POOL-009")


@checks("POOL-010", facet=Facet.RESOURCES, kind="machine")
def fallbacks_do_not_stay(session: Session, budget: Budget) -> None:
    """A fallback that is released does not enter the pool, which never holds more than its size."""
    play(session, budget, "POOL-010")


@checks("POOL-014", facet=Facet.RESOURCES, kind="machine")
def counters_add_up(session: Session, budget: Budget) -> None:
    """Every counter of every tier follows its definition after every operation."""
    play(session, budget, "POOL-014")


# ---------------------------------------------------------------- directed


def refused(budget: Budget, rule: str, what: str, refusal: Refused) -> None:
    """Report something that a rule says must succeed.

    Raises:
        Violation: always.
    """
    budget.expect(rule, False, f"{what} was refused", expected="done", found=refusal)  # noqa: FBT003 -- reads as assert


def end_tenancy(session: Session, handle: Handle, owner: str, way: str) -> None:
    """End a buffer's life in one of the ways that there are."""
    if way == "release":
        session.resources.release(handle, owner)
    elif way == "force-reclaim":
        session.resources.force_reclaim(owner)
    else:
        session.resources.release_flow(9)


@checks("POOL-011", facet=Facet.RESOURCES, kind="example")
def nothing_shines_through(session: Session, budget: Budget) -> None:
    """Whatever a new tenant reads, and however the last one left: zeros or its own bytes, never anybody else's."""
    small = tuple(TierSetting(tier, 1) for tier in ("small", "medium", "large", "huge"))
    for request in (100, 4000, 60_000, 600_000) if budget.depth == "deep" else (100, 4000, 60_000):
        for way in ("release", "force-reclaim", "release-flow"):
            session.resources.open(tiers=small)
            for tenant in range(3):
                owner = (ONE, TWO, "component-3")[tenant]
                handle = session.resources.allocate(owner, request, 9)
                capacity = session.resources.inspect(handle).capacity
                look_inside(session, budget, handle, owner, capacity, f"tenant {tenant + 1} of a buffer of {capacity} bytes, after {way}")
                session.resources.write(handle, owner, 0, bytes([0xA0 + tenant]) * capacity)
                end_tenancy(session, handle, owner, way)


def look_inside(session: Session, budget: Budget, handle: Handle, owner: str, capacity: int, who: str) -> None:
    """Read all that can be read of a fresh buffer: nothing, then one's own bytes, and the gap before a write if there may be one."""
    strict = "rm_read=strict" in session.capabilities(Facet.RESOURCES)  # then nobody reads beyond the size (BUF-005)
    found = session.resources.read(handle, owner, 0, 0 if strict else capacity)
    budget.expect("POOL-011", not any(found), f"{who} reads bytes of an earlier tenant", expected="nothing but zeros", found=found[:16])
    session.resources.write(handle, owner, 0, b"own!")
    found = session.resources.read(handle, owner, 0, 4 if strict else capacity)
    rest = found[4:]
    budget.expect(
        "POOL-011", found[:4] == b"own!" and not any(rest), f"{who} reads beyond its own bytes", expected=b"own!", found=found[:16]
    )
    try:
        session.resources.write(handle, owner, capacity - 1, b"!")
    except Refused:  # most runtimes do not let anybody leave a gap (BUF-014)
        return
    found = session.resources.read(handle, owner, 0, capacity)[4:-1]
    budget.expect("POOL-011", not any(found), f"{who} finds bytes of an earlier tenant in a gap", expected="zeros", found=found[:16])


@checks("POOL-012", facet=Facet.RESOURCES, kind="example")
def tenants_start_afresh(session: Session, budget: Budget) -> None:
    """A buffer that was written, tagged and frozen comes back empty, untyped and unfrozen, however it was given up."""
    for way in ("release", "force-reclaim", "release-flow"):
        session.resources.open(tiers=(TierSetting("small", 2),))
        for round_ in range(6):
            handle = session.resources.allocate(ONE, 64, 9)
            seen = session.resources.inspect(handle)
            found = (seen.size, seen.content_type, bool(seen.frozen), seen.borrow_count)
            budget.expect_equal("POOL-012", found, (0, "", False, 0), f"size, type, frozen, borrows of tenant {round_ + 1} after {way}")
            try:
                session.resources.write(handle, ONE, 0, b"mine")
                session.resources.set_content_type(handle, ONE, "text/plain")
                if not session.lacks("resources.freeze"):
                    session.resources.freeze(handle, ONE)
            except Refused as refusal:
                refused(budget, "POOL-012", f"what tenant {round_ + 1} may do with its own buffer after {way}", refusal)
            end_tenancy(session, handle, ONE, way)


@checks("POOL-013", facet=Facet.RESOURCES, kind="example")
def huge_buffers_stay(session: Session, budget: Budget) -> None:
    """A Huge buffer that was released is there for the next who asks (informative)."""
    session.resources.open(tiers=(TierSetting("huge", 2, preallocate=False),))
    for _ in range(3):
        session.resources.release(session.resources.allocate("host", MIB), "host")
    seen = session.resources.pool("huge")
    found = (seen.available, seen.return_count > 0)
    budget.expect("POOL-013", seen.available >= 1 and seen.return_count, "no Huge buffer is kept", expected=(1, True), found=found)


@checks("POOL-015", facet=Facet.RESOURCES, kind="example")
def one_set_of_pools(session: Session, budget: Budget) -> None:
    """Whoever takes from a tier, for whichever flow, takes from the same pool."""
    session.resources.open(tiers=(TierSetting("small", 4),))
    for number, (owner, flow) in enumerate(((ONE, 1), (TWO, 2), ("host", 3), ("component-3", 1), (ONE, 2))):
        handle = session.resources.allocate(owner, 16, flow)
        fallback = session.resources.inspect(handle).is_fallback
        budget.expect_equal(
            "POOL-015", fallback, number == 4, f"whether buffer {number + 1} of a pool of 4 is a fallback, for {owner}, flow {flow}"
        )
        available = session.resources.pool("small").available
        budget.expect_equal("POOL-015", available, max(3 - number, 0), f"what is left of 4 after {number + 1} allocations")


@checks("POOL-016", facet=Facet.RESOURCES, kind="example")
def settings_go_by_name(session: Session, budget: Budget) -> None:
    """The order in which tiers are configured does not matter, nor does leaving some out."""
    sizes = {"small": 5, "medium": 4, "large": 3, "huge": 2}
    for names in (
        ("small", "medium", "large", "huge"),
        ("huge", "large", "medium", "small"),
        ("medium", "huge", "small", "large"),
        ("large",),
    ):
        session.resources.open(tiers=tuple(TierSetting(name, sizes[name]) for name in names))
        for name in names:
            found = session.resources.pool(name).pool_size
            budget.expect_equal("POOL-016", found, sizes[name], f"the pool size of {name}, configured in the order {', '.join(names)}")


@checks("POOL-017", facet=Facet.RESOURCES, kind="example")
def no_small_buffer_for_a_large_request(session: Session, budget: Budget) -> None:
    """With every tier preallocated, a request above the largest tier gets a buffer that holds it, and its neighbours stay whole."""
    session.resources.open(tiers=tuple(TierSetting(tier, 2) for tier in ("small", "medium", "large", "huge")))
    gaps = "gap=zero-fill" in session.capabilities(Facet.RESOURCES)  # then a mebibyte need not cross the wire to be written
    neighbours = [session.resources.allocate("host", MIB) for _ in range(2)]
    for handle in neighbours:
        session.resources.write(handle, "host", 0, CANARY)
        if not gaps:
            session.resources.write(handle, "host", len(CANARY), bytes(MIB - 2 * len(CANARY)))
        session.resources.write(handle, "host", MIB - len(CANARY), CANARY)
    session.resources.release(neighbours.pop(), "host")
    for request, start in ((MIB + 1, MIB - 3 if gaps else 0), (2 * MIB, 0)):
        handle = session.resources.allocate("host", request)
        capacity = session.resources.inspect(handle).capacity
        budget.expect("POOL-017", capacity >= request, "the buffer is smaller than asked for", expected=f">= {request}", found=capacity)
        try:
            size = session.resources.write(handle, "host", start, b"x" * (request - start))
        except Refused as refusal:
            refused(budget, "POOL-017", f"filling a buffer of {request} bytes", refusal)
        else:
            budget.expect_equal("POOL-017", size, request, "the size after filling it")
        found = session.resources.read(neighbours[0], "host", 0, 4) + session.resources.read(neighbours[0], "host", MIB - 4, 4)
        budget.expect_equal("POOL-017", found, CANARY * 2, "the ends of the neighbour")
        session.resources.release(handle, "host")

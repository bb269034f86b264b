"""Ownership, handles and reclaim (OWN): one lock-step machine, judged for one rule at a time.

The stories come first and are the same for every rule: each is the shortest way into one corner of the area.
"""

from __future__ import annotations

from typing import Any

from conformance.checks import Budget, checks
from conformance.errors import Refused, SubjectError
from conformance.machines.search import Story, search_ownership
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

ONE, TWO, THREE = "component-1", "component-2", "component-3"


def step(op: str, handle: str | dict[str, int] | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return one operation of a story."""
    return {"op": op if op == "probe" else f"resources.{op}"} | ({} if handle is None else {"handle": handle}) | fields


def allocate(owner: str = ONE, capacity: int = 100, flow: int = 1) -> dict[str, Any]:
    """Return an allocation."""
    return step("allocate", owner=owner, capacity=capacity, flow=flow)


def write(handle: str, caller: str = ONE, text: str = "abc", offset: int = 0) -> dict[str, Any]:
    """Return a write."""
    return step("write", handle, caller=caller, offset=offset, text=text)


def transfer(handle: str, source: str, target: str) -> dict[str, Any]:
    """Return a transfer."""
    return step("transfer", handle, source=source, target=target)


def release(handle: str, caller: str = ONE) -> dict[str, Any]:
    """Return a release."""
    return step("release", handle, caller=caller)


def borrow(handle: str, borrower: str = TWO) -> dict[str, Any]:
    """Return a borrow."""
    return step("borrow", handle, borrower=borrower)


def end(handle: str, borrower: str = TWO) -> dict[str, Any]:
    """Return the end of a borrow."""
    return step("end-borrow", handle, borrower=borrower)


def read(handle: str, reader: str) -> dict[str, Any]:
    """Return a read of everything."""
    return step("read", handle, reader=reader, offset=0, length=64)


def retag(handle: str, caller: str = ONE) -> dict[str, Any]:
    """Return a change of content type."""
    return step("set-content-type", handle, caller=caller, content_type="text/plain")


def freeze(handle: str, caller: str = ONE) -> dict[str, Any]:
    """Return a freeze."""
    return step("freeze", handle, caller=caller)


STORIES: tuple[Story, ...] = (
    # a whole life
    (allocate(), write("b0"), retag("b0"), transfer("b0", ONE, "host"), borrow("b0"), read("b0", TWO), end("b0"), release("b0", "host")),
    # from hand to hand
    (
        allocate(),
        write("b0"),
        retag("b0"),
        transfer("b0", ONE, TWO),
        transfer("b0", TWO, THREE),
        transfer("b0", THREE, ONE),
        read("b0", ONE),
    ),
    # strangers, one operation at a time, and nothing may have changed
    (
        allocate(),
        write("b0"),
        release("b0", TWO),
        write("b0", TWO, "xyz"),
        transfer("b0", TWO, TWO),
        retag("b0", TWO),
        transfer("b0", TWO, "host"),
    ),
    (allocate("host"), write("b0", "host"), release("b0", ONE), write("b0", ONE, "xyz"), transfer("b0", ONE, ONE), retag("b0", ONE)),
    # borrows: counted, in any order, and in nobody's way but the writer's
    (
        allocate(),
        write("b0"),
        borrow("b0"),
        borrow("b0", THREE),
        borrow("b0"),
        end("b0", THREE),
        end("b0"),
        end("b0"),
        write("b0", text="xyz"),
    ),
    (
        allocate(),
        write("b0"),
        borrow("b0"),
        borrow("b0", THREE),
        write("b0", text="xyz"),
        read("b0", ONE),
        read("b0", TWO),
        read("b0", THREE),
    ),
    (
        allocate(),
        borrow("b0"),
        borrow("b0", THREE),
        release("b0"),
        transfer("b0", ONE, "host"),
        end("b0"),
        release("b0"),
        end("b0", THREE),
        release("b0"),
    ),
    (allocate(), borrow("b0", ONE), read("b0", ONE), end("b0", ONE), write("b0")),
    # ends that end nothing
    (allocate(), end("b0"), write("b0"), borrow("b0"), end("b0"), end("b0"), write("b0", text="xyz")),
    # transfers
    (
        allocate(),
        write("b0"),
        retag("b0"),
        transfer("b0", ONE, TWO),
        write("b0", ONE, "old"),
        write("b0", TWO, "new"),
        release("b0", ONE),
        release("b0", TWO),
    ),
    (
        allocate(THREE, 256),
        allocate(THREE, 256),
        transfer("b0", THREE, THREE),
        write("b0", THREE),
        release("b0", THREE),
        release("b1", THREE),
    ),
    (allocate(ONE, 4096), transfer("b0", ONE, THREE), transfer("b0", ONE, TWO), transfer("b0", TWO, ONE), allocate(TWO, 4096)),
    (
        allocate("transit"),
        allocate(),
        transfer("b0", ONE, "transit"),
        release("b0", "transit"),
        write("b0", "transit"),
        transfer("b0", "transit", TWO),
        write("b0"),
    ),
    # the dead stay dead
    (
        allocate(),
        write("b0"),
        release("b0"),
        step("probe", "b0"),
        allocate(),
        write("b1", text="new"),
        step("probe", "b0"),
        release("b0"),
        release("b1"),
    ),
    (
        allocate(),
        release("b0"),
        release("b0"),
        allocate(TWO),
        release("b0"),
        release("b0", TWO),
        read("b1", TWO),
        release("b1", TWO),
        release("b1", TWO),
    ),
    (allocate(), step("probe", {"index": 0, "generation": 0}), step("probe", {"index": 2**32 - 1, "generation": 2**32 - 1}), write("b0")),
    (*(allocate() for _ in range(3)), *(step("probe", {"index": i, "generation": 2**31}) for i in range(5))),
    tuple(one for i in range(12) for one in (allocate(), release(f"b{i}"))),
    (
        *(allocate() for _ in range(5)),
        *(release(f"b{i}") for i in (1, 3, 4)),
        *(allocate() for _ in range(4)),
        *(step("probe", f"b{i}") for i in (1, 3, 4)),
    ),
    # by force
    (
        allocate(),
        allocate(),
        allocate(TWO),
        transfer("b1", ONE, TWO),
        borrow("b0"),
        borrow("b2", ONE),
        step("force-reclaim", component=ONE),
        end("b0"),
        release("b2", TWO),
    ),
    (
        step("force-reclaim", component=ONE),
        allocate(),
        step("force-reclaim", component=ONE),
        step("force-reclaim", component=ONE),
        step("probe", "b0"),
    ),
    (
        allocate(flow=1),
        allocate(flow=2),
        transfer("b0", ONE, TWO),
        borrow("b0"),
        step("release-flow", flow=1),
        step("release-flow", flow=1),
        write("b1"),
        step("probe", "b0"),
    ),
    # what is lent: strangers at its loan, its bytes, its type, and its freezing
    (
        allocate(),
        read("b0", TWO),
        freeze("b0", TWO),
        borrow("b0"),
        end("b0", THREE),
        read("b0", THREE),
        *(retag("b0", who) for who in (ONE, TWO)),
        *(freeze("b0", who) for who in (TWO, ONE)),
    ),
    # frozen: as a buffer, lent, and by force
    (
        allocate(),
        write("b0"),
        freeze("b0"),
        *(freeze("b0", who) for who in (ONE, TWO)),
        *(retag("b0", who) for who in (ONE, TWO)),
        write("b0"),
        read("b0", ONE),
        read("b0", TWO),
        end("b0"),
        release("b0", TWO),
        transfer("b0", TWO, ONE),
        transfer("b0", ONE, TWO),
        release("b0", TWO),
    ),
    (
        allocate(),
        freeze("b0"),
        *(borrow("b0"), borrow("b0")),
        read("b0", TWO),
        read("b0", THREE),
        *(freeze("b0", who) for who in (ONE, TWO)),
        *(retag("b0", who) for who in (ONE, TWO)),
        write("b0"),
        release("b0"),
        transfer("b0", ONE, TWO),
        end("b0", THREE),
        *(end("b0"), end("b0")),
        release("b0"),
    ),
    *(
        (*(allocate() for _ in range(4)), freeze("b1"), borrow("b2"), freeze("b3"), borrow("b3"), by_force)
        for by_force in (step("force-reclaim", component=ONE), step("release-flow", flow=1))
    ),
)


@checks("OWN-001", facet=Facet.RESOURCES, kind="machine")
def one_owner(session: Session, budget: Budget) -> None:
    """Every live buffer has exactly one owner, and it is the one that the operations made."""
    search_ownership(session, budget, "OWN-001", STORIES)


@checks("OWN-002", facet=Facet.RESOURCES, kind="machine")
def a_fresh_buffer(session: Session, budget: Budget) -> None:
    """An allocation gives an owned, empty, untyped buffer that is large enough."""
    sizes = [0, 1, 255, 256, 257, 4095, 4096, 4097, 65536, 65537, 1048576, 1048577, 16 * 1024 * 1024]
    large: Story = tuple(one for i, size in enumerate(sizes) for one in (allocate("host", size), release(f"b{i}", "host")))
    search_ownership(session, budget, "OWN-002", (*STORIES, large))


@checks("OWN-003", facet=Facet.RESOURCES, kind="machine")
def owners_only(session: Session, budget: Budget) -> None:
    """Only the owner writes, transfers, releases and retags; anyone else gets not-owner and changes nothing."""
    search_ownership(session, budget, "OWN-003", STORIES)


@checks("OWN-004", facet=Facet.RESOURCES, kind="machine")
def no_write_while_borrowed(session: Session, budget: Budget) -> None:
    """A write while borrows are open is refused with their number, and leaves the bytes as they are."""
    search_ownership(session, budget, "OWN-004", STORIES)


@checks("OWN-005", facet=Facet.RESOURCES, kind="machine")
def borrows_count(session: Session, budget: Budget) -> None:
    """Borrows succeed, are counted, and show as Borrowed."""
    search_ownership(session, budget, "OWN-005", STORIES)


@checks("OWN-006", facet=Facet.RESOURCES, kind="machine")
def the_last_borrow_ends(session: Session, budget: Budget) -> None:
    """Ending borrows counts down; at none the buffer is Owned again, by the same owner."""
    search_ownership(session, budget, "OWN-006", STORIES)


@checks("OWN-007", facet=Facet.RESOURCES, kind="machine")
def no_end_without_a_borrow(session: Session, budget: Budget) -> None:
    """Ending a borrow that is not open is refused and changes nothing."""
    search_ownership(session, budget, "OWN-007", STORIES)


@checks("OWN-008", facet=Facet.RESOURCES, kind="machine")
def borrowed_stays(session: Session, budget: Budget) -> None:
    """Release and transfer of a borrowed buffer are refused with the exact number of borrows."""
    search_ownership(session, budget, "OWN-008", STORIES)


@checks("OWN-009", facet=Facet.RESOURCES, kind="machine")
def who_may_read(session: Session, budget: Budget) -> None:
    """The owner and every open borrower read; a stranger is refused unless the subject declares `third_party_read=allow`."""
    strangers: Story = (
        allocate(),
        write("b0"),
        read("b0", TWO),
        borrow("b0"),
        read("b0", TWO),
        read("b0", THREE),
        end("b0"),
        read("b0", TWO),
    )
    search_ownership(session, budget, "OWN-009", (*STORIES, strangers))


@checks("OWN-010", facet=Facet.RESOURCES, kind="machine")
def transfers_are_whole(session: Session, budget: Budget) -> None:
    """After a transfer the old owner has no rights left and the new one has all of them."""
    search_ownership(session, budget, "OWN-010", STORIES)


@checks("OWN-011", facet=Facet.RESOURCES, kind="machine")
def transit_is_nobody(session: Session, budget: Budget) -> None:
    """`transit` is neither caller nor allocation owner nor target."""
    search_ownership(session, budget, "OWN-011", STORIES)


@checks("OWN-012", facet=Facet.RESOURCES, kind="machine")
def transfers_move_nothing(session: Session, budget: Budget) -> None:
    """A transfer keeps bytes, size, capacity, type and handle, and counts no copy."""
    search_ownership(session, budget, "OWN-012", STORIES)


@checks("OWN-013", facet=Facet.RESOURCES, kind="machine")
def giving_to_oneself(session: Session, budget: Budget) -> None:
    """A transfer to oneself changes nothing, even at 100 % of the budget."""
    search_ownership(session, budget, "OWN-013", STORIES)


@checks("OWN-014", facet=Facet.RESOURCES, kind="machine")
def the_dead_stay_dead(session: Session, budget: Budget) -> None:
    """No operation on a dead or invented handle succeeds, and the slot's present tenant notices nothing."""
    search_ownership(session, budget, "OWN-014", STORIES)


@checks("OWN-015", facet=Facet.RESOURCES, kind="machine")
def how_the_dead_are_refused(session: Session, budget: Budget) -> None:
    """A dead handle gives stale-handle when its slot is taken again, stale-handle or not-allocated while it is vacant."""
    search_ownership(session, budget, "OWN-015", STORIES)


@checks("OWN-016", facet=Facet.RESOURCES, kind="machine")
def no_second_release(session: Session, budget: Budget) -> None:
    """A second release is refused and changes neither the live count nor a budget."""
    search_ownership(session, budget, "OWN-016", STORIES)


@checks("OWN-017", facet=Facet.RESOURCES, kind="machine")
def generations_count_up(session: Session, budget: Budget) -> None:
    """A slot's first tenant has generation 1, each next one more, and no handle is issued twice."""
    churn: Story = tuple(one for i in range(120) for one in (allocate("host", 16), release(f"b{i}", "host")))
    search_ownership(session, budget, "OWN-017", (*STORIES, churn))


@checks("OWN-019", facet=Facet.RESOURCES, kind="example", name="no-table-of-nothing")
def no_table_of_nothing(session: Session, budget: Budget) -> None:
    """An initial capacity of 0 is refused as a configuration error, or taken as the least that there is; the runtime lives."""
    try:
        session.resources.open(table_capacity=0)
    except Refused:
        budget.touch("OWN-019")
        return
    except SubjectError as error:
        budget.expect("OWN-019", False, "a table of no slots ends the runtime", expected="a refusal", found=error)  # noqa: FBT003 -- reads as assert
    handle = session.resources.allocate("host", 8)
    budget.expect_equal(
        "OWN-019", session.resources.inspect(handle).owner, "host", "the owner of a buffer in a table that began without slots"
    )


@checks("OWN-019", facet=Facet.RESOURCES, kind="example")
def the_table_grows(session: Session, budget: Budget) -> None:
    """A handle table of 2 grows to 300 live buffers, and every one of them keeps its handle and its bytes."""
    session.resources.open(table_capacity=2)
    handles = []
    for count in range(300):
        try:
            handles.append(session.resources.allocate("host", 8))
        except Refused as refused:
            budget.expect("OWN-019", False, f"the table does not grow beyond {count} buffers", expected=300, found=refused)  # noqa: FBT003 -- reads as assert
    for i, handle in enumerate(handles):
        session.resources.write(handle, "host", 0, f"{i:04}".encode())
    for i, handle in enumerate(handles):
        found = session.resources.read(handle, "host", 0, 4)
        budget.expect_equal("OWN-019", found, f"{i:04}".encode(), f"the content of buffer {i} of 300")

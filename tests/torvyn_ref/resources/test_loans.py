"""Borrows are attributed: who borrows a buffer, how often, and since when."""

from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import Loan, ResourceManager

OWNER, READER, OTHER, FLOW = Owner(1), Owner(2), Owner(3), FlowId(1)


def test_an_inspection_says_who_borrows_and_since_when():
    manager = ResourceManager()
    handle = manager.allocate(OWNER, 16, FLOW)
    assert manager.inspect(handle).loans == ()
    manager.borrow(handle, READER, now_ns=10)
    manager.borrow(handle, OTHER, now_ns=20)
    manager.borrow(handle, READER, now_ns=30)
    assert manager.inspect(handle).loans == (Loan(READER, 2, 10), Loan(OTHER, 1, 20))
    manager.end_borrow(handle, READER)
    assert manager.inspect(handle).loans == (Loan(READER, 1, 10), Loan(OTHER, 1, 20))
    manager.end_borrow(handle, READER)
    manager.borrow(handle, READER, now_ns=40)
    assert set(manager.inspect(handle).loans) == {Loan(READER, 1, 40), Loan(OTHER, 1, 20)}


def test_a_loan_that_named_no_instant_is_older_than_it_can_tell():
    manager = ResourceManager()
    handle = manager.allocate(OWNER, 16, FLOW)
    manager.borrow(handle, READER)
    assert manager.inspect(handle).loans == (Loan(READER, 1, 0),)


def test_nothing_of_a_loan_is_left_when_it_ends_by_force_or_the_buffer_has_another_tenant():
    manager = ResourceManager()
    handle = manager.allocate(OWNER, 16, FLOW)
    manager.borrow(handle, READER, now_ns=10)
    manager.force_reclaim(READER)
    assert manager.inspect(handle).loans == ()
    manager.borrow(handle, READER)
    assert manager.inspect(handle).loans == (Loan(READER, 1, 0),)
    manager.release_flow(FLOW)
    again = manager.allocate(OWNER, 16, FLOW)
    manager.borrow(again, READER)
    assert manager.inspect(again).loans == (Loan(READER, 1, 0),)

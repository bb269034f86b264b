"""Leases: what they permit, what they forbid, and that each ends with its scope, its instant, its holder or its buffer."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from torvyn_ref.ids import HOST, TRANSIT, FlowId, Owner
from torvyn_ref.resources import LeaseKind, ResourceError, ResourceManager, ResourceState
from torvyn_ref.resources.leases import ScopeId

FLOW = FlowId(1)
A, B, C = Owner(1), Owner(2), Owner(3)
READ, MUTABLE = LeaseKind.READ_ONLY, LeaseKind.MUTABLE


@pytest.fixture
def manager():
    return ResourceManager()


@pytest.fixture
def handle(manager):
    handle = manager.allocate(A, 5, FLOW)
    manager.write(handle, A, 0, b"hello")
    return handle


def kind_of(operation):
    with pytest.raises(ResourceError) as refused:
        operation()
    assert refused.value.message
    return refused.value.kind


def test_read_only_leases_are_shared_by_their_holders_and_the_owner(manager, handle):
    for holder in (B, C, HOST):
        manager.lease(handle, A, holder, READ, until_ns=10)
        assert manager.read(handle, holder) == b"hello"
    assert manager.read(handle, A) == b"hello"
    seen = manager.inspect(handle)
    assert (seen.state, seen.owner, [lease.holder for lease in seen.leases]) == (ResourceState.LEASED, A, [B, C, HOST])
    assert kind_of(lambda: manager.read(handle, Owner(9))) == "not-owner"
    assert kind_of(lambda: manager.write(handle, B, 0, b"x")) == "not-owner"


def test_a_mutable_lease_shuts_everybody_else_out(manager, handle):
    manager.lease(handle, A, B, MUTABLE, until_ns=10)
    assert manager.write(handle, B, 5, b"!") == 6
    assert manager.append(handle, B, b"!") == 7
    assert manager.read(handle, B) == b"hello!!"
    copy = manager.clone(handle, B, FLOW)
    assert manager.read(copy, B) == b"hello!!"
    assert kind_of(lambda: manager.read(handle, A)) == "mutable-lease-active"
    assert kind_of(lambda: manager.write(handle, A, 0, b"x")) == "mutable-lease-active"
    assert kind_of(lambda: manager.read(handle, C)) == "not-owner"
    assert kind_of(lambda: manager.write(handle, C, 0, b"x")) == "not-owner"
    assert kind_of(lambda: manager.lease(handle, A, C, READ, until_ns=10)) == "mutable-lease-active"
    assert kind_of(lambda: manager.lease(handle, A, C, MUTABLE, until_ns=10)) == "mutable-lease-active"


@pytest.mark.parametrize(("kind", "refusal"), [(READ, "read-only-leases-active"), (MUTABLE, "mutable-lease-active")])
def test_no_lease_lends_the_owners_rights_nor_leaves_them_to_the_owner(manager, handle, kind, refusal):
    manager.lease(handle, A, B, kind, until_ns=10)
    for caller, expected in ((A, refusal), (B, "not-owner")):
        for operation in (
            lambda caller=caller: manager.release(handle, caller),
            lambda caller=caller: manager.transfer(handle, caller, HOST),
            lambda caller=caller: manager.freeze(handle, caller),
            lambda caller=caller: manager.set_content_type(handle, caller, "x"),
        ):
            assert kind_of(operation) == expected
    assert kind_of(lambda: manager.borrow(handle, C)) == refusal
    assert kind_of(lambda: manager.lease(handle, A, C, MUTABLE, until_ns=10)) == refusal
    assert manager.inspect(handle).leases == manager.leases()


def test_a_lent_buffer_is_not_leased_and_the_other_way_round(manager, handle):
    manager.borrow(handle, B)
    assert kind_of(lambda: manager.lease(handle, A, C, READ, until_ns=10)) == "borrows-outstanding"
    manager.end_borrow(handle, B)
    manager.lease(handle, A, C, READ, until_ns=10)
    assert kind_of(lambda: manager.borrow(handle, B)) == "read-only-leases-active"


def test_a_frozen_buffer_takes_read_only_leases_only(manager, handle):
    manager.freeze(handle, A)
    assert kind_of(lambda: manager.lease(handle, A, B, MUTABLE, until_ns=10)) == "frozen"
    manager.lease(handle, A, B, READ, until_ns=10)
    assert manager.read(handle, B) == b"hello"


def test_only_the_owner_grants_and_only_with_a_bound_that_can_end_it(manager, handle):
    closed = manager.open_scope()
    manager.close_scope(closed)
    for operation, expected in (
        (lambda: manager.lease(handle, B, C, READ, until_ns=10), "not-owner"),
        (lambda: manager.lease(handle, A, TRANSIT, READ, until_ns=10), "invalid-owner"),
        (lambda: manager.lease(handle, A, B, READ), "invalid-lease"),
        (lambda: manager.lease(handle, A, B, READ, until_ns=10, now_ns=10), "invalid-lease"),
        (lambda: manager.lease(handle, A, B, READ, scope=closed), "invalid-lease"),
        (lambda: manager.lease(handle, A, B, READ, scope=ScopeId(99)), "invalid-lease"),
    ):
        assert kind_of(operation) == expected
    assert (manager.inspect(handle).state, manager.leases()) == (ResourceState.OWNED, ())
    manager.release(handle, A)
    assert kind_of(lambda: manager.lease(handle, A, B, READ, until_ns=10)) == "not-allocated"


def test_a_lease_is_ended_by_its_holder_or_the_host_and_once(manager, handle):
    first, second = (manager.lease(handle, A, B, READ, until_ns=10).id for _ in range(2))
    assert kind_of(lambda: manager.end_lease(first, C)) == "not-leased"
    assert kind_of(lambda: manager.end_lease(first, A)) == "not-leased"
    manager.end_lease(first, B)
    assert kind_of(lambda: manager.end_lease(first, B)) == "not-leased"
    assert manager.inspect(handle).state is ResourceState.LEASED
    manager.end_lease(second, HOST)
    assert manager.inspect(handle).state is ResourceState.OWNED
    manager.write(handle, A, 0, b"J")
    assert kind_of(lambda: manager.read(handle, B)) == "not-owner"


def test_a_scope_ends_its_leases_however_it_is_left(manager, handle):
    other = manager.allocate(HOST, 1, FLOW)
    with pytest.raises(RuntimeError), manager.lease_scope() as scope:  # noqa: PT012  # what is raised inside is the point
        manager.lease(handle, A, B, MUTABLE, scope=scope)
        manager.lease(other, HOST, B, READ, scope=scope, until_ns=10**9)
        raise RuntimeError("a trap")
    assert manager.leases() == ()
    assert manager.close_scope(scope) == ()
    assert {each.state for each in manager.live()} == {ResourceState.OWNED}


def test_a_lease_is_over_at_its_instant_and_not_before(manager, handle):
    early = manager.lease(handle, A, B, READ, until_ns=10)
    late = manager.lease(handle, A, B, READ, until_ns=20)
    assert manager.expire_leases(9) == ()
    assert manager.expire_leases(10) == (early,)
    assert manager.read(handle, B) == b"hello"
    assert manager.expire_leases(10**9) == (late,)
    assert manager.inspect(handle).state is ResourceState.OWNED


def test_asking_for_a_lease_ends_those_that_are_over(manager, handle):
    manager.lease(handle, A, B, MUTABLE, until_ns=10)
    manager.lease(handle, A, C, MUTABLE, until_ns=30, now_ns=10)
    assert [lease.holder for lease in manager.leases()] == [C]


def test_a_holder_that_is_reclaimed_holds_no_lease(manager, handle):
    manager.lease(handle, A, B, MUTABLE, until_ns=10)
    assert manager.force_reclaim(B) == ()
    assert (manager.leases(), manager.inspect(handle).state) == ((), ResourceState.OWNED)


def test_leases_end_with_their_buffer(manager, handle):
    manager.lease(handle, A, B, READ, until_ns=10)
    manager.lease(handle, A, C, READ, until_ns=10)
    released = manager.release_flow(FLOW)
    assert (released.leases_cleared, released.freed[0].previous_state, manager.leases()) == (2, ResourceState.LEASED, ())
    again = manager.allocate(A, 1, FLOW)
    manager.lease(again, A, B, MUTABLE, until_ns=10)
    assert [record.previous_state for record in manager.force_reclaim(A)] == [ResourceState.LEASED]
    assert manager.leases() == ()


def test_the_next_tenant_of_a_leased_block_is_nobodys_lease(manager, handle):
    manager.lease(handle, A, B, MUTABLE, until_ns=10)
    manager.force_reclaim(A)
    fresh = manager.allocate(A, 5, FLOW)
    assert manager.inspect(fresh).leases == ()
    assert kind_of(lambda: manager.read(fresh, B)) == "not-owner"
    assert manager.expire_leases(10) == ()


def test_leases_are_not_charged_to_their_holder(manager):
    big = manager.allocate(A, 4096, FLOW)
    manager.register_component(B, 0)
    manager.lease(big, A, B, MUTABLE, until_ns=10)
    assert manager.budget(B) == (0, 0)
    manager.write(big, B, 0, b"x" * 4096)
    assert manager.copy_stats(FLOW).copied_by(B) == 4096


class LeaseMachine(RuleBasedStateMachine):
    """Every lease operation against a model that knows, per buffer, its owner, its borrows and its leases."""

    handles = Bundle("handles")
    people = st.sampled_from([HOST, A, B])
    kinds = st.sampled_from(list(LeaseKind))

    def __init__(self):
        super().__init__()
        self.manager = ResourceManager()
        self.now = 0
        self.owners = {}
        self.borrowed = {}
        self.open = {}  # lease id → (handle, holder, kind, scope, until)
        self.scopes = [self.manager.open_scope(), self.manager.open_scope()]

    def of(self, handle):
        return [lease for lease in self.open.values() if lease[0] == handle]

    def drop(self, doomed):
        self.open = {number: lease for number, lease in self.open.items() if not doomed(lease)}

    def attempt(self, operation):
        try:
            return operation()
        except ResourceError:
            return None

    @rule(target=handles, owner=people)
    def allocate(self, owner):
        handle = self.manager.allocate(owner, 8, FLOW)
        self.owners[handle] = owner
        return handle

    @rule(handle=handles, owner=people, holder=people, kind=kinds, scope=st.sampled_from([None, 0, 1]), span=st.integers(0, 5) | st.none())
    def lease(self, handle, owner, holder, kind, scope, span):
        until = None if span is None else self.now + span
        self.drop(lambda lease: lease[4] is not None and lease[4] <= self.now)
        others = self.of(handle)
        allowed = (
            self.owners.get(handle) == owner
            and not self.borrowed.get(handle)
            and (not others or (kind is READ and all(lease[2] is READ for lease in others)))
            and (scope is not None or until is not None)
            and span != 0
        )
        number = None if scope is None else self.scopes[scope]
        granted = self.attempt(lambda: self.manager.lease(handle, owner, holder, kind, scope=number, until_ns=until, now_ns=self.now))
        assert (granted is not None) == allowed
        if granted is not None:
            assert granted.id not in self.open
            self.open[granted.id] = (handle, holder, kind, number, until)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), caller=people)
    def end(self, data, caller):
        number = data.draw(st.sampled_from(sorted(self.open)))
        allowed = caller in {self.open[number][1], HOST}
        try:
            self.manager.end_lease(number, caller)
        except ResourceError:
            assert not allowed
        else:
            assert allowed
            del self.open[number]

    @rule(step=st.integers(0, 4))
    def pass_time(self, step):
        self.now += step
        self.drop(lambda lease: lease[4] is not None and lease[4] <= self.now)
        self.manager.expire_leases(self.now)

    @rule(which=st.integers(0, 1))
    def leave_scope(self, which):
        scope = self.scopes[which]
        assert all(lease.scope == scope for lease in self.manager.close_scope(scope))
        self.drop(lambda lease: lease[3] == scope)
        self.scopes[which] = self.manager.open_scope()

    @rule(handle=handles, borrower=people)
    def borrow(self, handle, borrower):
        allowed = handle in self.owners and not self.of(handle)
        try:
            self.manager.borrow(handle, borrower)
        except ResourceError:
            assert not allowed
        else:
            assert allowed
            self.borrowed.setdefault(handle, []).append(borrower)

    @rule(handle=handles)
    def end_borrow(self, handle):
        if self.borrowed.get(handle):
            self.manager.end_borrow(handle, self.borrowed[handle].pop())

    @rule(handle=handles, caller=people, action=st.sampled_from(["release", "transfer"]), heir=people)
    def give_up(self, handle, caller, action, heir):
        allowed = self.owners.get(handle) == caller and not self.of(handle) and not self.borrowed.get(handle)
        try:
            if action == "release":
                self.manager.release(handle, caller)
            else:
                self.manager.transfer(handle, caller, heir)
        except ResourceError:
            assert not allowed
        else:
            assert allowed
            if action == "release":
                del self.owners[handle]
            else:
                self.owners[handle] = heir

    @rule(component=st.sampled_from([A, B]))
    def reclaim(self, component):
        self.manager.force_reclaim(component)
        gone = {handle for handle, owner in self.owners.items() if owner == component}
        for handle in gone:
            del self.owners[handle]
            self.borrowed.pop(handle, None)
        for handle, borrowers in self.borrowed.items():
            self.borrowed[handle] = [borrower for borrower in borrowers if borrower != component]
        self.drop(lambda lease: lease[1] == component or lease[0] in gone)

    @rule(handle=handles, caller=people)
    def use(self, handle, caller):
        leases = self.of(handle)
        exclusive = any(lease[2] is MUTABLE for lease in leases)
        mine = any(lease[1] == caller for lease in leases)
        owns = handle in self.owners and self.owners[handle] == caller
        may_read = mine or (owns and not exclusive) or caller in self.borrowed.get(handle, ())
        may_write = (mine and exclusive) or (owns and not leases and not self.borrowed.get(handle))
        assert (self.attempt(lambda: self.manager.read(handle, caller)) is not None) == may_read
        assert (self.attempt(lambda: self.manager.write(handle, caller, 0, b"x")) is not None) == may_write

    @invariant()
    def the_books_agree(self):
        assert {lease.id for lease in self.manager.leases()} == set(self.open)
        seen = {each.handle: each for each in self.manager.live()}
        assert set(seen) == set(self.owners)
        for handle, each in seen.items():
            leases, borrows = self.of(handle), self.borrowed.get(handle, [])
            state = ResourceState.LEASED if leases else ResourceState.BORROWED if borrows else ResourceState.OWNED
            assert (each.owner, each.state, each.borrow_count, len(each.leases)) == (self.owners[handle], state, len(borrows), len(leases))


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

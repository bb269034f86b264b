"""The WIT buffer semantics, without an engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.calls import FlowContext
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine import guest as guest_module
from torvyn_ref.engine.guest import LONG_READ, DeferredRead, GuestHost, WitBufferError
from torvyn_ref.engine.imports import GuestFault
from torvyn_ref.ids import U32_MAX, U64_MAX, FlowId, Owner
from torvyn_ref.resources import MAX_BUFFER_BYTES, ResourceError, ResourceManager

ME, OTHER, FLOW = Owner(1), Owner(2), FlowId(1)


def made():
    return GuestHost(ResourceManager(), ME, FLOW, VirtualClock(start_ns=99), FlowContext("f", "t", "s", 7))


@pytest.fixture
def host():
    return made()


def frozen(host, data=b"data"):
    rep = host.allocate(len(data))
    host.append(rep, data)
    buffer = host.freeze(rep)
    host.drop_mutable(rep)
    return buffer


CORNERS = st.sampled_from([0, 1, 3, 4, 5, 2**32 - 1, 2**32, 2**32 + 1, 2**63, U64_MAX])


@given(CORNERS, CORNERS)
def test_read_is_the_part_that_lies_inside(offset, length):
    host = made()
    assert host.read(frozen(host, b"data"), offset, length) == b"data"[offset : offset + length]


def test_read_all_is_read_of_everything(host):
    buffer = frozen(host, b"abc")
    assert host.read_all(buffer) == host.read(buffer, 0, host.buffer_size(buffer)) == b"abc"


def test_after_a_long_read_the_next_one_waits_for_its_place_and_counts_when_it_is_made(host):
    host.defers = True
    data = bytes(range(256)) * (LONG_READ // 256)
    buffer = frozen(host, data)
    assert host.read_all(buffer) == data
    later = host.read_all(buffer)
    assert isinstance(later, DeferredRead)
    assert host.resources.copy_stats(FLOW).copied_by(ME) == 2 * len(data)  # written and read once
    target = bytearray(len(later))
    later.into(memoryview(target))
    assert target == data
    assert host.resources.copy_stats(FLOW).copied_by(ME) == 3 * len(data)
    assert host.read_all(frozen(host, b"short")) == b"short"
    assert host.read_all(buffer) == data  # the last one was short


def test_what_is_taken_back_before_a_long_read_is_made_traps(host):
    host.defers = True
    buffer = frozen(host, bytes(LONG_READ))
    host.read_all(buffer)
    later = host.read_all(buffer)
    host.resources.force_reclaim(ME)
    with pytest.raises(GuestFault, match="taken the buffer back"):
        later.into(memoryview(bytearray(LONG_READ)))


@given(st.integers().filter(lambda n: not 0 <= n <= U64_MAX))
def test_what_is_no_u64_never_gets_in(number):
    host = made()
    rep, buffer = host.allocate(4), frozen(host)
    for use in (lambda: host.allocate(number), lambda: host.write(rep, number, b""), lambda: host.read(buffer, number, 1)):
        with pytest.raises(GuestFault, match="not a u64"):
            use()


@pytest.mark.parametrize("hint", [MAX_BUFFER_BYTES + 1, 2**32, U64_MAX])
def test_no_buffer_is_larger_than_16_mib(host, hint):
    with pytest.raises(WitBufferError) as caught:
        host.allocate(hint)
    assert (caught.value.case, caught.value.detail, host.held) == ("capacity-exceeded", None, 0)


def test_a_spent_budget_is_allocation_failed_in_words(host):
    host.resources.register_component(ME, 0)
    source = frozen_elsewhere(host)
    for use in (lambda: host.allocate(1), lambda: host.clone_into_mutable(source)):
        with pytest.raises(WitBufferError) as caught:
            use()
        assert caught.value.case == "allocation-failed"
        assert caught.value.detail


def frozen_elsewhere(host):
    handle = host.resources.allocate(OTHER, 4, FLOW)
    host.resources.write(handle, OTHER, 0, b"lent")
    host.resources.freeze(handle, OTHER)
    host.resources.borrow(handle, ME)
    return host.lend(handle)


def test_writes_answer_what_does_not_fit(host):
    rep = host.allocate(4)
    capacity = host.mutable_capacity(rep)
    for offset, data, case in ((1, b"x", "out-of-bounds"), (2**32, b"", "out-of-bounds"), (0, bytes(capacity + 1), "capacity-exceeded")):
        with pytest.raises(WitBufferError) as caught:
            host.write(rep, offset, data)
        assert caught.value.case == case
    host.append(rep, bytes(capacity))
    with pytest.raises(WitBufferError):
        host.append(rep, b"x")
    assert host.mutable_size(rep) == capacity


def test_a_frozen_buffer_keeps_bytes_size_and_type_and_its_old_handle_is_spent(host):
    rep = host.allocate(8)
    host.append(rep, b"abc")
    host.set_content_type(rep, "text/x")
    buffer = host.freeze(rep)
    assert (host.read_all(buffer), host.buffer_size(buffer), host.buffer_content_type(buffer)) == (b"abc", 3, "text/x")
    for use in (
        lambda: host.append(rep, b"x"),
        lambda: host.write(rep, 0, b"x"),
        lambda: host.set_content_type(rep, ""),
        lambda: host.freeze(rep),
        lambda: host.mutable_size(rep),
        lambda: host.mutable_capacity(rep),
    ):
        with pytest.raises(GuestFault, match="spent"):
            use()
    host.drop_mutable(rep)
    assert host.read_all(buffer) == b"abc"


def test_a_clone_is_independent(host):
    source = frozen(host, b"abc")
    copy = host.clone_into_mutable(source)
    host.write(copy, 0, b"x")
    host.append(copy, b"d")
    assert (host.read_all(source), host.read_all(host.freeze(copy))) == (b"abc", b"xbcd")


def test_what_is_taken_is_the_guests_no_more(host):
    buffer = frozen(host)
    handle = host.take(buffer)
    assert host.resources.peek(handle, ME) == b"data"
    for use in (lambda: host.take(buffer), lambda: host.read_all(buffer)):
        with pytest.raises(GuestFault):
            use()
    host.drop_buffer(buffer)
    assert host.resources.live_count == 1


def test_what_is_lent_can_be_read_but_neither_taken_nor_kept(host):
    lent = frozen_elsewhere(host)
    assert host.read_all(lent) == b"lent"
    with pytest.raises(GuestFault, match="does not own"):
        host.take(lent)
    host.end_loans()
    with pytest.raises(GuestFault, match="loan has ended"):
        host.read_all(lent)


def test_a_mutable_buffer_cannot_be_handed_over(host):
    with pytest.raises(GuestFault):
        host.take(host.allocate(1))


def test_dropping_releases_at_once(host):
    mutable, buffer = host.allocate(1), frozen(host)
    assert host.held == 2
    host.drop_mutable(mutable)
    host.drop_buffer(buffer)
    assert (host.held, host.resources.live_count) == (0, 0)


def test_what_the_host_took_back_traps_to_use_and_does_not_mind_being_dropped(host):
    mutable, buffer = host.allocate(1), frozen(host)
    host.resources.force_reclaim(ME)
    for use in (
        lambda: host.append(mutable, b"x"),
        lambda: host.freeze(mutable),
        lambda: host.read_all(buffer),
        lambda: host.buffer_size(buffer),
    ):
        with pytest.raises(GuestFault, match="taken the buffer back"):
            use()
    host.drop_mutable(mutable)
    host.drop_buffer(buffer)
    assert host.held == 0


def test_a_refusal_that_is_no_guests_doing_stays_the_hosts_error(host):
    handle = host.resources.allocate(OTHER, 4, FLOW)
    rep = host.lend(handle)  # without the borrow
    with pytest.raises(ResourceError) as caught:
        host.read_all(rep)
    assert caught.value.kind == "not-owner"


def test_reps_are_u32_and_start_over_without_meeting_a_live_one(host):
    first = frozen(host, b"first")
    host.new_rep = guest_module.new_reps(U32_MAX, host._mutables, host.buffers, host.lent)
    reps = [frozen(host, b"more") for _ in range(4)]
    assert len({first, *reps}) == 5
    assert max(reps) <= U32_MAX
    assert min(reps) >= 1
    assert host.read_all(first) == b"first"


def test_handles_that_are_never_dropped_are_bounded(host, monkeypatch):
    monkeypatch.setattr(guest_module, "MAX_HANDLES", 3)
    for _ in range(3):
        host.take(host.freeze(host.allocate(1)))  # given away, but the spent mutable handle stays
    with pytest.raises(WitBufferError) as caught:
        host.allocate(1)
    assert caught.value.case == "allocation-failed"


def test_the_flow_context_answers_what_the_sandbox_says(host):
    assert (host.flow_id(1), host.trace_id(1), host.span_id(1), host.deadline_ns(1)) == ("f", "t", "s", 7)
    with pytest.raises(GuestFault):
        host.drop_context(1)


def test_an_allocation_is_stamped_with_the_sandboxs_time(host):
    host.allocate(1)
    assert host.resources.live()[0].allocated_ns == 99

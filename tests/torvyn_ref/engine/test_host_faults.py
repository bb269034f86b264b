"""When it is the host that fails, or is called back: nothing is swallowed, nothing comes in twice, nothing wraps."""

import contextlib

import pytest

from torvyn_ref.calls import Call, Cause, Element, ErrorKind
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.imports import GuestFault
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import U64_MAX
from torvyn_ref.resources import ResourceManager

DROP = "(call $drop-input (local.get $payload) (local.get $context))"
ALLOCATE = f"(call $drop-mutable-buffer (call $allocate (i64.const 1))) {DROP} (call $drop-element)"


class Acting(VirtualClock):
    """A clock that does something when a host function looks at it, which `allocate` does."""

    act = staticmethod(lambda: None)

    def monotonic_ns(self):
        self.act()
        return super().monotonic_ns()


def raising(error):
    def act():
        raise error

    return act


@pytest.fixture
def acting(guest):
    clock = Acting()
    return guest("transform", {"process": ALLOCATE}, clock=clock), clock


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), RuntimeError("host"), MemoryError(), GeneratorExit()], ids=repr)
def test_what_a_host_function_raises_comes_out_as_it_is(acting, error):
    instance, clock = acting
    clock.act = raising(error)
    with pytest.raises(type(error)) as caught:
        instance.feed()
    assert caught.value is error
    clock.act = Acting.act
    failure = instance.feed()
    assert (failure.kind, failure.cause, failure.poisoned) == (ErrorKind.INTERNAL, Cause.ENGINE, True)
    assert instance.left() == 0


def test_what_a_destructor_raises_comes_out_as_it_is(guest):
    class Manager(ResourceManager):
        fails = True

        def release(self, handle, caller):
            if caller == 1 and self.fails:
                raise KeyboardInterrupt
            super().release(handle, caller)

    instance = guest("transform", {"process": ALLOCATE}, resources=Manager())
    with pytest.raises(KeyboardInterrupt):
        instance.feed()
    assert instance.left() == 0


def test_what_a_host_function_raises_while_a_component_starts_comes_out_as_it_is(guest):
    clock, resources = Acting(), ResourceManager()
    clock.act = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        guest(
            "transform",
            {"process": "unreachable"},
            module="(func $boot (drop (call $allocate (i64.const 1)))) (start $boot)",
            clock=clock,
            resources=resources,
        )
    assert resources.live_count == 0


def test_an_interrupted_instance_does_not_harm_another(guest):
    clock = Acting()
    first, second = (guest("transform", {"process": ALLOCATE}, clock=clock) for _ in range(2))
    clock.act = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        first.feed()
    clock.act = Acting.act
    assert second.feed() is None


def test_calling_an_instance_from_inside_its_own_call_is_refused(acting):
    instance, clock = acting
    clock.act = lambda: instance.call(Call.PROCESS, Element(0, 0, "", 0))
    with pytest.raises(TorvynError) as caught:
        instance.feed()
    assert caught.value.kind == "reentrant-call"


def test_closing_an_instance_from_inside_its_own_call_is_refused(acting):
    instance, clock = acting
    clock.act = instance.instance.close
    with pytest.raises(TorvynError) as caught:
        instance.feed()
    assert caught.value.kind == "reentrant-call"
    instance.instance.close()


def test_another_instance_may_be_called_from_inside_a_call(guest):
    inner = guest("uppercase")
    clock, seen = Acting(), []
    outer = guest("transform", {"process": ALLOCATE}, clock=clock)
    clock.act = lambda: seen.append(inner.take(inner.feed(b"nested")))
    assert outer.feed() is None
    assert seen == [b"NESTED"]


def test_closing_is_idempotent_and_final(guest):
    instance = guest("uppercase")
    instance.instance.close()
    instance.instance.close()
    with pytest.raises(TorvynError) as caught:
        instance.feed()
    assert caught.value.kind == "closed-instance"


@pytest.mark.parametrize("number", [-1, U64_MAX + 1, U64_MAX + 6])
@pytest.mark.parametrize("field", ["sequence", "timestamp_ns"])
def test_a_number_that_is_no_u64_is_refused_before_the_guest_is_entered(guest, number, field):
    instance = guest("uppercase")
    spent = instance.instance.fuel_used
    with pytest.raises(OverflowError):
        instance.feed(**{field: number})
    assert instance.instance.fuel_used == spent
    assert instance.take(instance.feed(b"still alive")) == b"STILL ALIVE"


def test_the_largest_u64_goes_through_and_back(guest):
    instance = guest("uppercase")
    output = instance.feed(sequence=U64_MAX, timestamp_ns=U64_MAX)
    assert (output.sequence, output.timestamp_ns) == (U64_MAX, U64_MAX)


def test_a_guests_u64_is_never_cut_to_32_bits(guest):
    """read(2^32, 2^64-1) is empty, write(2^32, …) out of bounds, allocate(2^32) refused: none of them is the same modulo 2^32 (BUF-017)."""
    body = f"""
      (local $made i32)
      (call $buffer.read (local.get $payload) (i64.const 0x1_0000_0000) (i64.const -1) (i32.const 16))
      (if (i32.load (i32.const 20)) (then unreachable))
      (call $buffer.read (local.get $payload) (i64.const 1) (i64.const -1) (i32.const 16))
      (if (i32.ne (i32.load (i32.const 20)) (i32.const 2)) (then unreachable))
      (if (call $allocate (i64.const 0x1_0000_0000)) (then unreachable))
      (local.set $made (call $allocate (i64.const 8)))
      (call $mutable-buffer.write (local.get $made) (i64.const 0x1_0000_0000) (text "x") (i32.const 16))
      (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1)) (then unreachable))
      (call $drop-mutable-buffer (local.get $made))
      {DROP} (call $drop-element)"""
    instance = guest("transform", {"process": body})
    assert instance.feed(b"abc") is None
    assert instance.left() == 0


def test_a_loan_that_the_driver_forgot_to_open_is_the_hosts_defect(guest):
    instance = guest("uppercase")
    resources = instance.resources
    handle = resources.allocate(2, 4, 1)
    with pytest.raises(TorvynError) as caught:
        instance.call(Call.PROCESS, Element(0, 0, "", handle))
    assert caught.value.kind == "not-owner"


def test_a_buffer_that_is_not_the_guests_is_never_taken_on_its_word(guest):
    """wasmtime vouches for the type of a handle; whose it is, only the host's table knows."""
    body = f"""
      (local $mine i32)
      (local.set $mine (call $buffer-of (text "mine")))
      (call $drop-mutable-buffer (call $allocate (i64.const 1)))
      {DROP}
      (call $emit (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (local.get $mine))"""
    clock, looks = Acting(), []
    instance = guest("transform", {"process": body}, clock=clock)

    def forget():
        looks.append(1)
        if len(looks) == 2:
            instance.instance._guest.buffers.clear()

    clock.act = forget
    failure = instance.feed()
    assert (failure.kind, failure.cause, failure.poisoned) == (ErrorKind.FATAL, Cause.OWNERSHIP, True)
    assert instance.feed() == failure
    assert instance.left() == 0


@pytest.mark.parametrize(
    ("body", "act"),
    [
        (f"{DROP} (call $drop-element)", None),
        (f'{DROP} (fail internal "no")', None),
        ("unreachable", None),
        ("(call $spin) unreachable", None),
        (ALLOCATE, raising(KeyboardInterrupt())),
        (ALLOCATE, raising(ValueError())),
    ],
    ids=["ok", "err", "trap", "fuel", "interrupted", "host"],
)
def test_loans_end_on_every_way_out(guest, body, act):
    clock = Acting()
    instance = guest("transform", {"process": body}, clock=clock)
    seen = []
    guest_host = instance.instance._guest
    end_loans = guest_host.end_loans
    guest_host.end_loans = lambda: (seen.extend(guest_host.lent), end_loans())
    clock.act = act or Acting.act
    with contextlib.suppress(KeyboardInterrupt, ValueError):
        instance.feed()
    assert len(seen) == 1
    with pytest.raises(GuestFault, match="loan has ended"):
        guest_host.read_all(seen[0])

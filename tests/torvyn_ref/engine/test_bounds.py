"""Fuel, memory and time: each bounds a call, and running out of it is an answer."""

import pytest

from torvyn_ref.calls import Call, Cause, ErrorKind, Failure
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.limits import PERIOD_MS
from torvyn_ref.engine.protocol import Limits
from torvyn_ref.errors import TorvynError

DROP = "(call $drop-input (local.get $payload) (local.get $context))"
ASK_FOR_EVER = "(loop $again (call $drop-mutable-buffer (call $allocate (i64.const 1))) (br $again)) unreachable"


class TickingClock(VirtualClock):
    """Lets one epoch pass whenever the host looks at the time, which it does at every allocation."""

    def __init__(self, engine):
        super().__init__()
        self.engine, self.looks = engine, 0

    def monotonic_ns(self):
        self.looks += 1
        self.engine.tick()
        return super().monotonic_ns()


def test_fuel_is_the_whole_budget_again_at_every_call(guest):
    burner = guest("burner", config="loops=1000")
    before = burner.instance.fuel_used
    burner.feed()
    cost = burner.instance.fuel_used - before
    tight = guest("burner", fuel=cost * 10 // 6)
    assert tight.call(Call.INIT, "loops=1000") is None
    for _ in range(100):
        assert tight.take(tight.feed()) == b"12 hello"
    assert tight.instance.fuel_used > 50 * cost


def test_fuel_is_deterministic(guest):
    def spent():
        burner = guest("burner", config="loops=500")
        for _ in range(3):
            burner.take(burner.feed())
        return burner.instance.fuel_used

    assert spent() == spent()


def test_less_fuel_than_a_call_needs_ends_it(guest):
    burner = guest("burner", config="loops=1000")
    before = burner.instance.fuel_used
    burner.feed()
    cost = burner.instance.fuel_used - before
    starved = guest("burner", fuel=cost * 9 // 10, config="loops=1000")
    failure = starved.feed()
    assert (failure.kind, failure.cause, failure.poisoned) == (ErrorKind.DEADLINE_EXCEEDED, Cause.FUEL, True)
    assert starved.left() == 0


def test_running_out_of_fuel_spends_the_whole_budget(guest):
    spinner = guest("loop-forever", fuel=10_000)
    before = spinner.instance.fuel_used
    assert spinner.feed().cause is Cause.FUEL
    assert spinner.instance.fuel_used - before == 10_000


@pytest.mark.parametrize("call", [Call.INIT, Call.TEARDOWN])
def test_fuel_bounds_the_lifecycle_too(guest, call):
    spinner = guest("init-spins" if call is Call.INIT else "teardown-spins")
    assert spinner.call(call, "" if call is Call.INIT else None).cause is Cause.FUEL


def test_without_metering_a_long_call_ends_by_itself(guest):
    burner = guest("burner", limits=Limits(fuel=None), config="loops=2000000")
    assert burner.take(burner.feed()) == b"12 hello"


def test_a_memory_bomb_meets_its_wall(guest):
    bomb = guest("memory-bomb", limits=Limits(memory_bytes=1 << 20))
    failure = bomb.feed()
    assert (failure.kind, failure.cause) == (ErrorKind.FATAL, Cause.TRAP)
    assert bomb.instance.fuel_used < 2000, "the wall came late"


def test_a_payload_larger_than_the_guests_memory_may_grow_is_a_trap(guest):
    small = guest("uppercase", limits=Limits(memory_bytes=128 * 1024))
    assert small.feed(bytes(200_000)).cause is Cause.TRAP


@pytest.mark.parametrize(
    ("limits", "module", "cause"),
    [
        (Limits(memory_bytes=65_536 - 1), "", Cause.MEMORY),
        (Limits(memories=1), '(memory $second 1) (export "second" (memory $second))', Cause.MEMORY),
        (Limits(table_elements=9), "(table 10 funcref)", Cause.ENGINE),
        (Limits(fuel=10_000), "(func $spin-at-start (loop $again (br $again))) (start $spin-at-start)", Cause.FUEL),
        (Limits(), "(func $die unreachable) (start $die)", Cause.TRAP),
    ],
    ids=["memory", "memories", "table", "fuel", "trap"],
)
def test_what_goes_wrong_at_instantiation_is_one_error_and_leaves_nothing(guest, limits, module, cause):
    with pytest.raises(TorvynError) as caught:
        guest("transform", {"process": "unreachable"}, module=module, limits=limits)
    assert (caught.value.subsystem, caught.value.kind) == ("engine", "instantiation-failed")
    assert caught.value.where == "test.wasm"
    assert caught.value.fields["cause"] == cause


def test_what_a_start_function_allocated_is_taken_back_when_instantiation_fails(guest):
    from torvyn_ref.resources import ResourceManager

    resources = ResourceManager()
    module = "(func $boot (drop (call $allocate (i64.const 8))) unreachable) (start $boot)"
    with pytest.raises(TorvynError, match="unreachable"):
        guest("transform", {"process": "unreachable"}, module=module, resources=resources)
    assert (resources.created, resources.live_count) == (1, 0)


def test_a_call_is_interrupted_once_its_time_is_over(guest, engine):
    clock = TickingClock(engine)
    slow = guest("transform", {"process": ASK_FOR_EVER}, clock=clock, limits=Limits(fuel=None, call_timeout_ms=20 * PERIOD_MS))
    failure = slow.feed()
    assert (failure.kind, failure.cause, failure.poisoned) == (ErrorKind.DEADLINE_EXCEEDED, Cause.TIMEOUT, True)
    assert clock.looks == 21, "the deadline and the tick that may come at once"
    assert slow.left() == 0


def test_time_is_counted_per_call(guest, engine):
    body = f"(call $drop-mutable-buffer (call $allocate (i64.const 1))) {DROP} (call $drop-element)"
    clock = TickingClock(engine)
    quick = guest("transform", {"process": body}, clock=clock, limits=Limits(call_timeout_ms=2 * PERIOD_MS))
    assert [quick.feed() for _ in range(20)] == [None] * 20
    assert clock.looks == 20


def test_without_a_timeout_no_tick_interrupts(guest, engine):
    body = f"""
      (local $left i32)
      (local.set $left (i32.const 1000))
      (loop $again
        (call $drop-mutable-buffer (call $allocate (i64.const 1)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      {DROP} (call $drop-element)"""
    patient = guest("transform", {"process": body}, clock=TickingClock(engine), limits=Limits(call_timeout_ms=None))
    assert patient.feed() is None


def test_instantiation_is_timed_too(guest, engine):
    module = f"(func $boot {ASK_FOR_EVER.removesuffix(' unreachable')}) (start $boot)"
    with pytest.raises(TorvynError, match="interrupt") as caught:
        guest(
            "transform",
            {"process": "unreachable"},
            module=module,
            clock=TickingClock(engine),
            limits=Limits(fuel=None, call_timeout_ms=PERIOD_MS),
        )
    assert caught.value.fields["cause"] == Cause.TIMEOUT


def test_a_failure_by_time_ends_every_loan(guest, engine):
    clock = TickingClock(engine)
    slow = guest("transform", {"process": ASK_FOR_EVER}, clock=clock, limits=Limits(fuel=None, call_timeout_ms=PERIOD_MS))
    assert isinstance(slow.feed(), Failure)
    assert slow.resources.live_count == slow.instance.held

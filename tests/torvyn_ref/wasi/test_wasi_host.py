"""WASI's functions by themselves, without an engine."""

import pytest

from torvyn_ref.calls import FlowContext
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.imports import GuestFault, GuestTimeout, WitError
from torvyn_ref.engine.protocol import Limits, Sandbox
from torvyn_ref.ids import U32_MAX, U64_MAX
from torvyn_ref.resources import ResourceManager
from torvyn_ref.security.kinds import KINDS
from torvyn_ref.wasi import WASI_IMPORTS, WasiHost, capability_for
from torvyn_ref.wasi.io import PERMIT, IoError
from torvyn_ref.wasi.table import CAPABILITIES


@pytest.fixture
def heard():
    return []


@pytest.fixture
def make(heard):
    def build(**sandbox):
        clock = sandbox.setdefault("clock", VirtualClock())
        sandbox.setdefault("audit", lambda capability, detail: heard.append((str(capability), detail)))
        if sandbox.pop("may_wait", False):
            sandbox["wait"] = clock.advance
        return WasiHost(Sandbox(owner=1, flow=1, resources=ResourceManager(), context=FlowContext("f"), **sandbox))

    return build


def does(interface, name):
    return next(function.does for function in WASI_IMPORTS[interface].functions if function.name == name)


def stream(name):
    return does("wasi:io/streams", f"[method]output-stream.{name}")


get_stdout = does("wasi:cli/stdout", "get-stdout")
get_stderr = does("wasi:cli/stderr", "get-stderr")
now = does("wasi:clocks/monotonic-clock", "now")
after = does("wasi:clocks/monotonic-clock", "subscribe-duration")
at = does("wasi:clocks/monotonic-clock", "subscribe-instant")
ready = does("wasi:io/poll", "[method]pollable.ready")
block = does("wasi:io/poll", "[method]pollable.block")
poll = does("wasi:io/poll", "poll")


def test_both_streams_go_their_own_way(make, heard):
    out, err = [], []
    host = make(stdout=out.append, stderr=err.append)
    stream("blocking-write-and-flush")(host, get_stdout(host), b"to out")
    stream("blocking-write-and-flush")(host, get_stderr(host), b"to err")
    assert (out, err) == ([b"to out"], [b"to err"])
    assert heard == [("stdio:stdout", "write 6 bytes"), ("stdio:stderr", "write 6 bytes")]


def test_a_write_takes_what_was_permitted_and_once(make):
    out = []
    host = make(stdout=out.append)
    rep = get_stdout(host)
    with pytest.raises(GuestFault, match="permitted 0"):
        stream("write")(host, rep, b"x")
    assert stream("check-write")(host, rep) == PERMIT
    with pytest.raises(GuestFault, match=f"permitted {PERMIT}"):
        stream("write")(host, rep, bytes(PERMIT + 1))
    stream("write")(host, rep, bytes(PERMIT))
    with pytest.raises(GuestFault, match="permitted 0"):
        stream("write")(host, rep, b"x")
    assert out == [bytes(PERMIT)]


@pytest.mark.parametrize("flush", ["flush", "blocking-flush"])
def test_flushing_has_nothing_to_do(make, flush):
    host = make()
    assert stream(flush)(host, get_stdout(host)) is None


def test_a_blocking_write_is_bounded(make):
    host = make()
    with pytest.raises(GuestFault, match="at most 4096"):
        stream("blocking-write-and-flush")(host, get_stdout(host), bytes(PERMIT + 1))


def test_zeroes_are_written_and_bounded_before_they_are_made(make):
    out = []
    host = make(stdout=out.append)
    rep = get_stdout(host)
    stream("check-write")(host, rep)
    stream("write-zeroes")(host, rep, 3)
    stream("blocking-write-zeroes-and-flush")(host, rep, 2)
    assert out == [bytes(3), bytes(2)]
    stream("check-write")(host, rep)
    for write in ("write-zeroes", "blocking-write-zeroes-and-flush"):
        with pytest.raises(GuestFault):
            stream(write)(host, rep, U64_MAX)


def test_a_failing_sink_is_an_error_with_a_text(make):
    def full(_data):
        raise OSError(28, "No space left on device")

    host = make(stdout=full)
    with pytest.raises(WitError) as caught:
        stream("blocking-write-and-flush")(host, get_stdout(host), b"x")
    assert caught.value.case == "last-operation-failed"
    assert "No space left" in does("wasi:io/error", "[method]error.to-debug-string")(host, caught.value.payload)


def test_a_sink_that_breaks_is_the_hosts_defect(make):
    def wrong(_data):
        raise ValueError("bug")

    host = make(stdout=wrong)
    with pytest.raises(ValueError, match="bug"):
        stream("blocking-write-and-flush")(host, get_stdout(host), b"x")


def test_a_stream_is_always_ready(make):
    host = make()
    rep = stream("subscribe")(host, get_stdout(host))
    assert ready(host, rep)
    assert block(host, rep) is None
    assert poll(host, [rep]) == [0]


def test_a_timer_is_ready_once_its_instant_has_come(make, heard):
    clock = VirtualClock(start_ns=10)
    host = make(clock=clock)
    timers = [after(host, 5), at(host, 15), at(host, 3)]
    assert [ready(host, timer) for timer in timers] == [False, False, True]
    clock.advance(5)
    assert all(ready(host, timer) for timer in timers)
    assert {capability for capability, _ in heard} == {"clock:monotonic"}


def test_poll_waits_for_the_first(make):
    clock = VirtualClock()
    host = make(clock=clock, may_wait=True)
    assert poll(host, [after(host, 9), after(host, 4), after(host, 4)]) == [1, 2]
    assert clock.monotonic_ns() == 4


def test_polling_nothing_is_a_fault(make):
    with pytest.raises(GuestFault):
        poll(make(), [])


def test_waits_add_up_within_a_call_and_start_over_with_the_next(make):
    clock = VirtualClock()
    host = make(clock=clock, may_wait=True, limits=Limits(call_timeout_ms=1))
    block(host, after(host, 600_000))
    with pytest.raises(GuestTimeout):
        block(host, after(host, 600_000))
    assert clock.monotonic_ns() == 1_000_000
    host.waited_ns = 0
    block(host, after(host, 1_000_000))


def test_without_a_timeout_a_guest_may_wait_as_long_as_it_likes(make):
    clock = VirtualClock()
    host = make(clock=clock, may_wait=True, limits=Limits(call_timeout_ms=None))
    block(host, at(host, U64_MAX))
    assert clock.monotonic_ns() == U64_MAX


@pytest.mark.parametrize("timeout_ms", [None, 3_600_000])
def test_a_wait_that_can_be_interrupted_looks_up_every_ten_milliseconds(make, timeout_ms):
    clock = VirtualClock()
    host = make(clock=clock, may_wait=True, limits=Limits(call_timeout_ms=timeout_ms))
    host.overdue = lambda: clock.monotonic_ns() > 25_000_000
    block(host, after(host, 15_000_000))
    assert clock.monotonic_ns() == 15_000_000
    with pytest.raises(GuestTimeout, match="was interrupted"):
        block(host, after(host, 1_000_000_000))
    assert clock.monotonic_ns() == 35_000_000


def test_a_wait_that_nobody_interrupts_still_ends_with_its_call(make):
    clock = VirtualClock()
    host = make(clock=clock, may_wait=True, limits=Limits(call_timeout_ms=25))
    host.overdue = lambda: False
    with pytest.raises(GuestTimeout, match="beyond the 25 ms"):
        block(host, after(host, 1_000_000_000))
    assert clock.monotonic_ns() == 25_000_000


def test_a_timer_beyond_the_end_of_time_is_at_its_end(make):
    host = make(clock=VirtualClock(start_ns=10))
    assert not ready(host, after(host, U64_MAX))


def test_waiting_goes_on_until_the_instant_has_come(make):
    """A wait may end early, as sleeping does."""
    clock = VirtualClock()
    host = make(clock=clock, wait=lambda nanoseconds: clock.advance(max(1, nanoseconds // 2)))
    block(host, after(host, 1000))
    assert clock.monotonic_ns() >= 1000


def test_the_clocks_resolution_is_a_nanosecond(make):
    host = make()
    assert does("wasi:clocks/monotonic-clock", "resolution")(host) == 1
    assert does("wasi:clocks/wall-clock", "resolution")(host) == (0, 1)


def test_handles_of_the_wrong_kind_are_faults(make):
    host = make()
    for use in (lambda: stream("flush")(host, after(host, 1)), lambda: ready(host, get_stdout(host)), lambda: host.get(99, IoError)):
        with pytest.raises(GuestFault):
            use()


def test_dropped_handles_are_gone_and_dropping_twice_is_harmless(make):
    host = make()
    rep = get_stdout(host)
    WASI_IMPORTS["wasi:io/streams"].resources["output-stream"](host, rep)
    WASI_IMPORTS["wasi:io/streams"].resources["output-stream"](host, rep)
    assert host.held == 0
    with pytest.raises(GuestFault):
        stream("flush")(host, rep)


def test_handles_are_bounded_and_their_numbers_start_over(make, monkeypatch):
    monkeypatch.setattr("torvyn_ref.wasi.host.MAX_HANDLES", 3)
    host = make()
    first = get_stdout(host)
    host._next = U32_MAX
    reps = {first, get_stdout(host), get_stdout(host)}
    assert len(reps) == 3
    assert max(reps) == U32_MAX
    with pytest.raises(GuestFault, match="drops none"):
        get_stdout(host)


def test_every_gated_interface_names_the_capability_of_the_table():
    for name, interface in WASI_IMPORTS.items():
        kinds = capability_for(name)
        assert kinds == ((interface.capability,) if interface.capability else ())


def test_the_table_knows_only_kinds_of_the_grammar():
    assert {str(kind) for kinds in CAPABILITIES.values() for kind in kinds} <= set(KINDS)


@pytest.mark.parametrize("name", ["x:wasi:random/random", "wasi:random/randomizer", "wasi:random", "wasi:random/random@0.3.0"])
def test_names_are_matched_whole(name):
    with pytest.raises(KeyError):
        capability_for(name)


def test_standard_input_is_empty_and_there_is_no_terminal(make, heard):
    host = make()
    stdin = does("wasi:cli/stdin", "get-stdin")(host)
    for name in ("read", "blocking-read", "skip", "blocking-skip"):
        with pytest.raises(WitError, match="closed"):
            does("wasi:io/streams", f"[method]input-stream.{name}")(host, stdin, 10)
    assert ready(host, does("wasi:io/streams", "[method]input-stream.subscribe")(host, stdin))
    for name in ("stdin", "stdout", "stderr"):
        assert does(f"wasi:cli/terminal-{name}", f"get-terminal-{name}")(host) is None
    assert does("wasi:cli/environment", "get-arguments")(host) == []
    assert does("wasi:cli/environment", "initial-cwd")(host) is None
    assert heard == []


def test_exit_is_the_components_failure(make):
    with pytest.raises(GuestFault, match="called exit"):
        does("wasi:cli/exit", "exit")(make(), None)


def test_randomness_is_repeatable_where_the_host_wants_it_and_bounded(make, heard):
    host = make(entropy=lambda length: b"\1" + bytes(length - 1), limits=Limits(memory_bytes=100))
    assert does("wasi:random/random", "get-random-u64")(host) == 1
    assert does("wasi:random/insecure", "get-insecure-random-u64")(host) == 1
    assert does("wasi:random/insecure", "get-insecure-random-bytes")(host, 100)[:2] == b"\1\0"
    assert does("wasi:random/insecure-seed", "insecure-seed")(host) == (1, 0)
    assert [capability for capability, _ in heard] == ["random:crypto", *["random:insecure"] * 3]
    with pytest.raises(GuestFault, match="asked for 101 random bytes"):
        does("wasi:random/random", "get-random-bytes")(host, 101)

"""WASI as a component meets it: there when granted, heard by the audit, refused by name otherwise."""

import struct

import pytest

from torvyn_ref.calls import Call, Cause, ErrorKind, Failure, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import Limits
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import U64_MAX

EVERY_INTERFACE = """
  (import "wasi:io/error@0.2.3" (instance $error
    (export "error" (type $error (sub resource)))
    (export "[method]error.to-debug-string" (func (param "self" (borrow $error)) (result string)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/poll@0.2.3" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (export "error" (type $e (eq $error)))
    (export "pollable" (type $p (eq $pollable)))
    (type $stream-error' (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (export "input-stream" (type $input-stream (sub resource)))
    (export "[method]input-stream.read"
      (func (param "self" (borrow $input-stream)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $input-stream)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
    (export "[method]input-stream.skip"
      (func (param "self" (borrow $input-stream)) (param "len" u64) (result (result u64 (error $stream-error)))))
    (export "[method]input-stream.blocking-skip"
      (func (param "self" (borrow $input-stream)) (param "len" u64) (result (result u64 (error $stream-error)))))
    (export "[method]input-stream.subscribe" (func (param "self" (borrow $input-stream)) (result (own $p))))
    (export "[method]output-stream.check-write" (func (param "self" (borrow $output-stream)) (result (result u64 (error $stream-error)))))
    (export "[method]output-stream.write"
      (func (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))
    (export "[method]output-stream.flush" (func (param "self" (borrow $output-stream)) (result (result (error $stream-error)))))
    (export "[method]output-stream.blocking-flush" (func (param "self" (borrow $output-stream)) (result (result (error $stream-error)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $output-stream)) (result (own $p))))
    (export "[method]output-stream.write-zeroes"
      (func (param "self" (borrow $output-stream)) (param "len" u64) (result (result (error $stream-error)))))
    (export "[method]output-stream.blocking-write-zeroes-and-flush"
      (func (param "self" (borrow $output-stream)) (param "len" u64) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance
    (export "output-stream" (type $o (eq $output-stream)))
    (export "get-stdout" (func (result (own $o))))))
  (import "wasi:cli/stderr@0.2.9" (instance
    (export "output-stream" (type $o (eq $output-stream)))
    (export "get-stderr" (func (result (own $o))))))
  (alias export $streams "input-stream" (type $input-stream))
  (import "wasi:cli/stdin@0.2.0" (instance
    (export "input-stream" (type $i (eq $input-stream)))
    (export "get-stdin" (func (result (own $i))))))
  (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func (param "status" (result))))))
  (import "wasi:cli/environment@0.2.0" (instance
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "initial-cwd" (func (result (option string))))))
  (import "wasi:cli/terminal-input@0.2.0" (instance $terminal-input (export "terminal-input" (type (sub resource)))))
  (alias export $terminal-input "terminal-input" (type $terminal-input'))
  (import "wasi:cli/terminal-output@0.2.0" (instance $terminal-output (export "terminal-output" (type (sub resource)))))
  (alias export $terminal-output "terminal-output" (type $terminal-output'))
  (import "wasi:cli/terminal-stdin@0.2.0" (instance
    (export "terminal-input" (type $t (eq $terminal-input')))
    (export "get-terminal-stdin" (func (result (option (own $t)))))))
  (import "wasi:cli/terminal-stdout@0.2.0" (instance
    (export "terminal-output" (type $t (eq $terminal-output')))
    (export "get-terminal-stdout" (func (result (option (own $t)))))))
  (import "wasi:cli/terminal-stderr@0.2.0" (instance
    (export "terminal-output" (type $t (eq $terminal-output')))
    (export "get-terminal-stderr" (func (result (option (own $t)))))))
  (import "wasi:random/random@0.2.0" (instance
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-random-u64" (func (result u64)))))
  (import "wasi:random/insecure@0.2.0" (instance
    (export "get-insecure-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-insecure-random-u64" (func (result u64)))))
  (import "wasi:random/insecure-seed@0.2.0" (instance (export "insecure-seed" (func (result (tuple u64 u64))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance
    (export "pollable" (type $p (eq $pollable)))
    (type $instant' u64) (export "instant" (type $instant (eq $instant')))
    (type $duration' u64) (export "duration" (type $duration (eq $duration')))
    (export "now" (func (result $instant)))
    (export "resolution" (func (result $duration)))
    (export "subscribe-instant" (func (param "when" $instant) (result (own $p))))
    (export "subscribe-duration" (func (param "when" $duration) (result (own $p))))))
  (import "wasi:clocks/wall-clock@0.2.0" (instance
    (type $datetime' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime')))
    (export "now" (func (result $datetime)))
    (export "resolution" (func (result $datetime)))))
"""
"""Every WASI function that this runtime implements, with the types that WASI 0.2 gives them, written down independently of the tables."""

GRANTS = frozenset(
    {"stdio:stdout", "stdio:stderr", "clock:monotonic", "clock:wall", "environment:read", "random:crypto", "random:insecure"}
)
DROP = "(call $drop-input (local.get $payload) (local.get $context))"


def importing(wat, imports):
    text = wat("transform", {"process": f"{DROP} (call $drop-element)"})
    return text.replace("(component\n", f"(component\n{imports}", 1)


class Audit(list):
    def __call__(self, capability, detail):
        self.append((str(capability), detail))


def test_every_function_links_with_the_types_of_wasi(guest, wat):
    instance = guest(importing(wat, EVERY_INTERFACE), role=Role.PROCESSOR, capabilities=GRANTS)
    assert instance.feed() is None


def test_every_function_of_the_tables_is_in_the_independent_text():
    from torvyn_ref.wasi import WASI_IMPORTS

    for interface in WASI_IMPORTS.values():
        assert f'"{interface.name}@0.2' in EVERY_INTERFACE
        for function in interface.functions:
            assert f'(export "{function.name}"' in EVERY_INTERFACE, function.name


@pytest.mark.parametrize("lacking", sorted(GRANTS))
def test_each_gated_interface_takes_its_own_grant(guest, wat, lacking):
    with pytest.raises(TorvynError) as caught:
        guest(importing(wat, EVERY_INTERFACE), role=Role.PROCESSOR, capabilities=GRANTS - {lacking})
    errors = getattr(caught.value, "errors", (caught.value,))  # random:insecure opens two
    assert {(error.kind, error.fields["capability"]) for error in errors} == {("missing-import", lacking)}
    assert {error.hint for error in errors} == {f"grant {lacking}"}


def test_without_any_grant_each_refusal_is_told(guest, wat):
    with pytest.raises(TorvynError) as caught:
        guest(importing(wat, EVERY_INTERFACE), role=Role.PROCESSOR)
    assert {error.fields["capability"] for error in caught.value.errors} == GRANTS


def test_a_grant_for_something_else_opens_nothing(guest, wat):
    with pytest.raises(TorvynError) as caught:
        guest("wasi-stdout", capabilities=frozenset({"stdio:stderr", "stdio:stdout:junk", "clock:wall"}))
    assert caught.value.hint == "grant stdio:stdout"


def test_what_is_not_implemented_is_refused_by_name_even_when_granted(guest, wat):
    with pytest.raises(TorvynError) as caught:
        guest(importing(wat, '(import "wasi:sockets/udp@0.2.0" (instance))'), role=Role.PROCESSOR, capabilities=frozenset({"network:udp"}))
    assert caught.value.kind == "missing-import"
    assert caught.value.hint == "needs capability network:udp, which this runtime does not implement yet"


def test_random_bytes_are_the_sandboxs(guest):
    audit = Audit()
    random = guest("wasi-random", capabilities=frozenset({"random:crypto"}), entropy=lambda length: bytes(range(length)), audit=audit)
    assert random.take(random.feed()) == struct.pack("<Q", 16) + bytes(range(16))
    assert audit == [("random:crypto", "get 16 random bytes")]


def test_without_more_ado_random_bytes_are_the_machines(guest):
    random = guest("wasi-random", capabilities=frozenset({"random:crypto"}))
    assert random.take(random.feed()) != random.take(random.feed())


def test_the_environment_is_the_sandboxs(guest):
    audit = Audit()
    environment = guest("wasi-environment", capabilities=frozenset({"environment:read"}), environment={"A": "1", "Ä": ""}, audit=audit)
    counted = struct.pack("<QQ1sQ1sQ2sQ", 2, 1, b"A", 1, b"1", 2, "Ä".encode(), 0)
    assert environment.take(environment.feed()) == counted
    assert audit == [("environment:read", "read the environment")]


def test_standard_output_goes_to_the_sandboxs_sink_and_every_write_is_heard(guest):
    written, audit = [], Audit()
    sink = guest("stdout-sink", capabilities=frozenset({"stdio:stdout"}), stdout=written.append, audit=audit, config="")
    assert [sink.feed(text) for text in (b"one", b"two")] == [Signal.READY, Signal.READY]
    assert b"".join(written) == b"one\ntwo\n"
    assert audit == [("stdio:stdout", "write 4 bytes")] * 2


def test_without_a_sink_output_is_discarded(guest):
    printer = guest("wasi-stdout", capabilities=frozenset({"stdio:stdout"}))
    assert printer.take(printer.feed(b"x")) == b"x"


def test_a_sink_that_fails_is_for_the_guest_to_know(guest):
    def broken(_data):
        raise BrokenPipeError(32, "Broken pipe")

    printer = guest("wasi-stdout", capabilities=frozenset({"stdio:stdout"}), stdout=broken)
    assert printer.feed() == Failure(ErrorKind.UNAVAILABLE, "standard output refused a write")
    assert printer.feed().poisoned is False


def test_ctrl_c_in_a_sink_comes_out(guest):
    def interrupted(_data):
        raise KeyboardInterrupt

    printer = guest("wasi-stdout", capabilities=frozenset({"stdio:stdout"}), stdout=interrupted)
    with pytest.raises(KeyboardInterrupt):
        printer.feed()


def test_clocks_are_the_sandboxs(guest):
    clock, audit = VirtualClock(start_ns=5, epoch_ns=1_700_000_000_000_000_000), Audit()
    wall = guest("wasi-wall-clock", capabilities=frozenset({"clock:wall"}), clock=clock, audit=audit)
    monotonic = guest("wasi-monotonic-clock", capabilities=frozenset({"clock:monotonic"}), clock=clock, audit=audit)
    clock.advance(2_000_000_000)
    assert struct.unpack("<QQ", wall.take(wall.feed())) == (1_700_000_002, 5)
    assert struct.unpack("<QQ", monotonic.take(monotonic.feed())) == (2_000_000_005, 2_000_000_005)
    assert audit == [("clock:wall", "now"), ("clock:monotonic", "now"), ("clock:monotonic", "now")]


def test_a_clock_that_does_not_fit_in_a_u64_is_the_hosts_defect_and_never_wraps(guest):
    clock = VirtualClock()
    monotonic = guest("wasi-monotonic-clock", capabilities=frozenset({"clock:monotonic"}), clock=clock)
    clock.advance(U64_MAX + 6)
    with pytest.raises(OverflowError):
        monotonic.feed()


WAITING = """
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "pollable" (type $p (eq $pollable)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
"""


def sleeper(wat, nanoseconds):
    """Return a source that sleeps in every pull and then ends."""
    body = f"""
      (local $timer i32)
      (local.set $timer (call $after (i64.const {nanoseconds})))
      (call $block (local.get $timer))
      (call $drop-timer (local.get $timer))
      (call $none)"""
    text = wat("data-source", {"pull": body}).replace("(component\n", f"(component\n{WAITING}", 1)
    lowered = """
  (alias export $clock "subscribe-duration" (func $host-after))
  (alias export $poll "[method]pollable.block" (func $host-block))
  (core func $after (canon lower (func $host-after)))
  (core func $block (canon lower (func $host-block)))
  (core func $drop-timer (canon resource.drop $pollable))
  (core module $Main
    (import "time" "after" (func $after (param i64) (result i32)))
    (import "time" "block" (func $block (param i32)))
    (import "time" "drop" (func $drop-timer (param i32)))"""
    given = """
    (with "time" (instance (export "after" (func $after)) (export "block" (func $block)) (export "drop" (func $drop-timer))))"""
    return text.replace("\n  (core module $Main", lowered, 1).replace("(instantiate $Main", f"(instantiate $Main{given}", 1)


def test_waiting_takes_the_sandboxs_time(guest, wat):
    clock = VirtualClock()
    source = guest(sleeper(wat, 7_000_000), role=Role.SOURCE, capabilities=GRANTS, clock=clock, wait=clock.advance)
    assert source.call(Call.PULL) is None
    assert clock.monotonic_ns() == 7_000_000


def test_waiting_longer_than_a_call_may_take_is_a_timeout(guest, wat):
    clock = VirtualClock()
    limits = Limits(call_timeout_ms=5)
    source = guest(sleeper(wat, U64_MAX), role=Role.SOURCE, capabilities=GRANTS, clock=clock, wait=clock.advance, limits=limits)
    failure = source.call(Call.PULL)
    assert (failure.kind, failure.cause, failure.poisoned) == (ErrorKind.DEADLINE_EXCEEDED, Cause.TIMEOUT, True)
    assert clock.monotonic_ns() == 5_000_000


def test_where_nobody_may_wait_a_waiting_guest_traps(guest, wat):
    source = guest(sleeper(wat, 1), role=Role.SOURCE, capabilities=GRANTS)
    failure = source.call(Call.PULL)
    assert (failure.kind, failure.cause) == (ErrorKind.FATAL, Cause.TRAP)
    assert "waits for a timer" in failure.message

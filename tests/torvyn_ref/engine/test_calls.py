"""Every role, every call, every answer shape."""

import struct

import pytest

from torvyn_ref.calls import Call, Cause, ErrorKind, Failure, Output, Role, Signal
from torvyn_ref.engine.guest import LONG_READ

DROP = "(call $drop-input (local.get $payload) (local.get $context))"


def test_a_source_produces_its_elements_and_then_none(guest):
    source = guest("counter-source", config="count=3,size=8")
    outputs = [source.call(Call.PULL) for _ in range(3)]
    assert [source.take(output) for output in outputs] == [b"00000000", b"00000001", b"00000002"]
    assert source.call(Call.PULL) is None
    assert source.left() == 0


def test_an_output_carries_what_the_guest_claimed(guest):
    source = guest("counter-source", config="count=1,sequence=41,content-type=text/csv")
    output = source.call(Call.PULL)
    assert (output.content_type, output.sequence, output.timestamp_ns) == ("text/csv", 41, 0)


@pytest.mark.parametrize("signal", Signal)
def test_a_source_is_told_of_pressure(guest, signal):
    source = guest("fast-source", config="count=1")
    assert source.call(Call.NOTIFY, signal) is None
    assert (source.call(Call.PULL) is None) == (signal is Signal.PAUSE)


def test_a_processor_emits_a_buffer_of_its_own(guest):
    processor = guest("uppercase")
    output = processor.feed(b"hello", content_type="text/x", sequence=7, timestamp_ns=9)
    assert isinstance(output, Output)
    assert (output.content_type, output.sequence, output.timestamp_ns) == ("text/x", 7, 9)
    assert processor.take(output) == b"HELLO"
    assert processor.resources.live_count == 0


def test_a_processor_that_drops_answers_none(guest):
    assert guest("dropper").feed() is None


def test_an_empty_payload_goes_through(guest):
    processor = guest("uppercase")
    assert processor.take(processor.feed(b"")) == b""


@pytest.mark.parametrize("size", [1, 255, 4096, 70_000])
def test_every_byte_arrives(guest, size):
    payload = bytes(index * 7 % 256 for index in range(size))
    processor = guest("clone-freeze")
    assert processor.take(processor.feed(payload)) == payload


def test_a_sink_answers_ready_or_pause(guest):
    sink = guest("sink-pausing", config="every=2")
    assert [sink.feed() for _ in range(3)] == [Signal.READY, Signal.PAUSE, Signal.READY]
    assert sink.call(Call.COMPLETE) is None


def test_a_filter_answers_a_bool(guest):
    filter_ = guest("number-filter", config="keep=even")
    assert [filter_.feed(text) for text in (b"2", b"3")] == [True, False]


def test_a_router_answers_ports_and_may_name_none(guest):
    router = guest("parity-router", config="even=e,odd=")
    assert [router.feed(text) for text in (b"2", b"3", b"10")] == [["e"], [], ["e"]]


def test_an_aggregator_answers_some_when_it_has_enough_and_flushes_the_rest(guest):
    aggregator = guest("concatenator", config="inputs=2,burst=3")
    assert aggregator.feed(b"a") is None
    assert aggregator.take(aggregator.feed(b"b")) == b"ab"
    assert aggregator.feed(b"c") is None
    flushed = aggregator.call(Call.FLUSH)
    assert len(flushed) == 4
    assert aggregator.take(flushed[0]) == b"c"
    assert len({output.handle for output in flushed}) == 4
    assert aggregator.left() == 0


def test_flush_may_give_nothing(guest):
    assert guest("concatenator", config="inputs=2").call(Call.FLUSH) == []


def test_init_and_teardown_succeed_with_none(guest):
    managed = guest("uppercase-managed")
    assert managed.instance.has_lifecycle
    assert managed.call(Call.INIT, "") is None
    assert managed.call(Call.TEARDOWN) is None


def test_a_configuration_reaches_init_unharmed(guest):
    processor = guest("annotate", config="suffix= ~ ünï✓")
    assert processor.take(processor.feed(b"x")).decode() == "x ~ ünï✓"


def test_lifecycle_is_optional(guest):
    plain = guest("uppercase")
    assert not plain.instance.has_lifecycle
    with pytest.raises(KeyError):
        plain.call(Call.INIT, "")


def test_asking_for_a_function_of_another_role_is_the_hosts_defect(guest):
    with pytest.raises(KeyError):
        guest("uppercase").call(Call.PULL)


FALLIBLE = {
    Call.PROCESS: ("transform", True),
    Call.PULL: ("data-source", False),
    Call.PUSH: ("data-sink", True),
    Call.COMPLETE: ("data-sink", False),
    Call.EVALUATE: ("content-filter", True),
    Call.ROUTE: ("content-router", True),
    Call.INGEST: ("stream-aggregator", True),
    Call.FLUSH: ("stream-aggregator", False),
    Call.INIT: ("data-sink", False),
}
REQUIRED = {
    "data-sink": {"push": f"{DROP} (call $ok (i32.const 0))"},
    "stream-aggregator": {"ingest": f"{DROP} (call $none)", "flush": "(call $ok-list (i32.const 0) (i32.const 0))"},
}


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize("call", FALLIBLE)
def test_every_error_of_every_call_is_a_failure_that_the_instance_survives(guest, call, kind):
    world, has_element = FALLIBLE[call]
    body = f'{DROP if has_element else ""} (fail {kind} "so it ÿ goes")'
    instance = guest(world, {**REQUIRED.get(world, {}), str(call): body})
    for _ in range(2):
        failure = instance.feed(call=call) if has_element else instance.call(call, "" if call is Call.INIT else None)
        message = "" if kind is ErrorKind.DEADLINE_EXCEEDED else "so it ÿ goes"
        assert failure == Failure(kind, message, Cause.RETURNED, poisoned=False)


def test_a_guests_long_words_are_cut(guest):
    fill = "(memory.fill (i32.const 4096) (i32.const 97) (i32.const 60000))"
    fail = "(call $fail-at (i32.const 8) (i32.const 2) (i32.const 4096) (i32.const 60000))"
    failure = guest("transform", {"process": f"{DROP} {fill} {fail}"}).feed()
    assert failure.kind is ErrorKind.INTERNAL
    assert len(failure.message) < 5000
    assert failure.message.endswith("(60000 characters)")


def test_after_an_error_the_guest_still_holds_what_it_held(guest):
    leaky = guest("leak-then-error")
    assert leaky.feed().kind is ErrorKind.INTERNAL
    assert leaky.resources.live_count == 1
    assert leaky.left() == 0


def test_the_probe_sees_every_host_function_answer_as_the_contract_says(guest):
    probe = guest("probe-all")
    report = Report(probe.take(probe.feed(b"payload", content_type="text/x")))
    assert (report.number(), report.bytes(), report.bytes(), report.bytes()) == (7, b"text/x", b"ayl", b"payload")
    assert (report.bytes(), report.bytes()) == (b"0123456789abcdef0123456789abcdef", b"0123456789abcdef")
    assert (report.number(), report.bytes()) == (77, b"a1")
    out_of_bounds = 2  # 1 more than the case
    assert [report.number() for _ in range(4)] == [0, 0, 0, out_of_bounds]
    size, capacity = report.number(), report.number()
    assert (size, capacity >= 32) == (9, True)
    assert (report.number(), report.bytes()) == (9, b"text/probe")
    assert [report.number() for _ in range(3)] == [0, 0, 9]
    assert report.bytes() == b"probe-all!"
    assert report.at_end()


class Report:
    """Reads what the probes write: numbers of 8 bytes, bytes behind their length."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        self.at += 8
        return struct.unpack_from("<Q", self.data, self.at - 8)[0]

    def bytes(self):
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at]

    def at_end(self):
        return self.at == len(self.data)


def test_the_role_is_told(guest):
    assert guest("uppercase").instance.role is Role.PROCESSOR


def test_long_reads_are_whole_the_first_and_the_next(guest):
    processor = guest("uppercase", fuel=10_000_000)
    for size in (LONG_READ, LONG_READ + 1, LONG_READ, 5, LONG_READ, 300, LONG_READ - 1):
        payload = bytes(97 + n % 26 for n in range(size))
        before = processor.resources.copy_stats(processor.sandbox.flow).copied_by(processor.sandbox.owner)
        assert processor.take(processor.feed(payload)) == payload.upper()
        assert processor.resources.copy_stats(processor.sandbox.flow).copied_by(processor.sandbox.owner) - before == 2 * size

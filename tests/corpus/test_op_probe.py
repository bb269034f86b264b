"""The op-probe does what its program says, keeps its slots between calls, and is written down the same way twice."""

import struct

import pytest
import wasmtime

from conformance.subjects import guests
from conformance.subjects.guests import CONTEXT, PAYLOAD, Op, Result, UnreadableLogError, decode, encode
from corpus.components.guests import probe_ops


@pytest.fixture
def probe(drive):
    host = drive("op-probe")
    assert host.init() is None
    return host


def play(host, *program, **meta):
    return decode(program, host.process(encode(program), **meta))


def values(results):
    return [result.value for result in results]


def test_the_suite_and_the_corpus_write_the_language_down_alike():
    assert tuple(probe_ops.OPERATIONS) == guests.OPERATIONS
    assert probe_ops.STATUSES == guests.STATUSES
    assert (probe_ops.PAYLOAD, probe_ops.CONTEXT) == (PAYLOAD, CONTEXT)


def test_an_empty_program_gives_an_empty_log(probe):
    assert play(probe) == ()


def test_a_buffer_is_made_filled_frozen_read_and_cloned(probe):
    results = play(
        probe,
        Op("allocate", into=1, a=10),
        Op("append", 1, data=b"abc", b=2),
        Op("write", 1, a=1, data=b"X"),
        Op("size", 1),
        Op("capacity", 1),
        Op("set-content-type", 1, data=b"a/b"),
        Op("freeze", 1, into=2),
        Op("drop-mutable", 1),
        Op("read", 2, a=1, b=2),
        Op("read-all", 2),
        Op("buffer-size", 2),
        Op("buffer-content-type", 2),
        Op("clone", 2, into=3),
        Op("drop-mutable", 3),
        Op("drop-buffer", 2),
    )
    assert values(results) == [None, None, None, 6, 256, None, None, None, b"Xc", b"aXcabc", 6, b"a/b", None, None, None]
    assert {result.status for result in results} == {"done", "number", "bytes"}
    assert probe.live == 0


def test_errors_are_told_apart_and_leave_the_slot_empty(drive):
    probe = drive("op-probe", budget=1000)
    probe.init()
    results = play(probe, Op("allocate", into=1, a=9999), Op("size", 1), Op("allocate", into=2, a=1), Op("write", 2, a=1, data=b"x"))
    assert results == (Result("allocation-failed", b"budget"), Result("skipped"), Result("done"), Result("out-of-bounds"))
    assert play(probe, Op("append", 2, data=b"x", b=257)) == (Result("capacity-exceeded"),)


def test_slots_are_kept_between_calls_and_the_lent_handles_are_let_go(probe):
    play(probe, Op("allocate", into=7, a=1), Op("append", 7, data=b"kept"))
    assert values(play(probe, Op("size", 7), Op("handle", 7))) == [4, 3]
    assert values(play(probe, Op("handle", PAYLOAD), Op("drop-buffer", PAYLOAD), Op("handle", PAYLOAD))) == [1, None, 0]


def test_the_context_and_the_element_can_be_asked(probe):
    asked = [Op("trace-id", CONTEXT), Op("span-id", CONTEXT), Op("deadline-ns", CONTEXT), Op("flow-id", CONTEXT), Op("content-type")]
    expected = [b"0123456789abcdef" * 2, b"fedcba9876543210", 1234567890, b"flow-1", b"x/y"]
    assert values(play(probe, *asked, content_type="x/y")) == expected


def test_a_program_can_end_the_call_itself(probe):
    play(probe, Op("allocate", into=1, a=3), Op("append", 1, data=b"out"), Op("freeze", 1, into=2), Op("drop-mutable", 1))
    assert probe.process(encode([Op("emit", 2), Op("trap")])) == b"out"
    assert probe.process(encode([Op("drop-element")])) is None
    for number, kind in enumerate(guests.ERROR_KINDS):
        failed = probe.process(encode([Op("fail", a=number, data=b"why")]))
        assert (failed.tag, failed.payload) == (kind, None if kind == "deadline-exceeded" else "why")
    assert probe.live == 0


def test_memory_grows_and_time_is_spent_on_demand(probe):
    first, second = values(play(probe, Op("grow", a=1), Op("grow", a=0)))
    assert second == first + 1
    spent = []
    for turns in (0, 1000, 2000):
        play(probe, Op("spin", a=turns))
        spent.append(probe.store.get_fuel())
    assert spent[0] - spent[1] == spent[1] - spent[2] > 1000


@pytest.mark.parametrize(
    "program",
    [
        b"payload",
        encode([Op("size", 0)])[:-1],
        encode([Op("append", 0, data=b"abc")])[:-1],
        b"\x1d" + encode([Op("size", 0)])[1:],
        b"\xff" + encode([Op("size", 0)])[1:],
        struct.pack("<BBBBIQQ", 3, 0, 0, 0, 0xFFFF_FFFF, 0, 0),
    ],
    ids=["too-short", "half-header", "half-data", "unknown", "far-unknown", "endless-data"],
)
def test_what_is_no_program_is_answered_invalid_input(probe, program):
    failed = probe.process(encode([Op("size", 1)]) + program)
    assert (failed.tag, failed.payload) == ("invalid-input", "this is no program")
    assert probe.live == 0


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (encode([Op("trap")]), "unreachable"),
        (encode([Op("allocate", into=1), Op("append", 1, data=b"x" * 1024, b=2**33)]), "unreachable"),
        (encode([Op("size", 0, force=True)]), "handle index 0"),
        (encode([Op("forge", into=4, a=4711), Op("size", 4)]), "handle index 4711"),
        (encode([Op("spin", a=2**64 - 1)]), "fuel"),
    ],
    ids=["trap", "endless-repetition", "handle-0", "forged", "spin"],
)
def test_breaking_programs_trap(probe, program, why):
    with pytest.raises(wasmtime.WasmtimeError, match=why):
        probe.process(program)


def test_a_borrow_is_kept_by_emptying_its_slot(probe):
    with pytest.raises(wasmtime.WasmtimeError, match="borrow handles still remain"):
        probe.process(encode([Op("copy-slot", PAYLOAD, into=1), Op("forge", into=PAYLOAD)]))


def test_a_log_that_does_not_fit_the_budget_is_an_error_and_not_a_leak(drive):
    probe = drive("op-probe", budget=0)
    probe.init()
    failed = probe.process(encode([Op("handle", 1)]))
    assert (failed.tag, failed.payload) == ("unavailable", "the host refused a buffer for the log")
    assert probe.live == 0


@pytest.mark.parametrize("log", [b"", b"\x01\0\0\0", b"\x02\5\0\0\0abc", b"\x07", b"\x00\x00"], ids=repr)
def test_a_garbled_log_is_noticed(log):
    with pytest.raises(UnreadableLogError):
        decode([Op("size", 1)], log)

"""Trace files: written and read back, refused when damaged, never a traceback whatever the bytes."""

import contextlib
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.strategies import fan_out, flows, line
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces import file as f
from conformance.traces.file import Exchange, Footer, Header, TraceFile, TraceFileError, decode, encode, of_flow, read

SESSION = Session(InProcess(reference_subject()))


def header(**fields):
    return Header(**{"format": f.FORMAT, "suite": "test", "subject": "test"} | fields)


def recorded(spec):
    return of_flow(header(flow=spec), SESSION.flows.run(spec))


SMALL = encode(recorded(line("processor")))
TALK = encode(TraceFile(header(), exchanges=(Exchange(request=p.Hello(), reply=p.Done()), Exchange(request=p.PopValue()))))


@given(flows())
def test_a_recorded_flow_is_read_back_as_it_was(spec):
    trace = recorded(spec)
    again = decode(encode(trace))
    assert again == trace
    assert again.reply.trace == trace.events


def test_a_conversation_is_read_back_with_the_request_that_was_never_answered():
    trace = decode(TALK)
    assert [exchange.reply for exchange in trace.exchanges] == [p.Done(), None]
    assert trace.reply is None


def test_a_file_on_disk_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(SMALL)
    assert read(path).header.flow == line("processor")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(TraceFileError, match="cannot be read: No such file"):
        read(tmp_path / "none.jsonl")


@pytest.mark.parametrize("cut", range(2, 400, 7))
def test_a_file_that_was_cut_off_is_refused(cut):
    with pytest.raises(TraceFileError, match=r"cut off|no line of a trace|is empty"):
        decode(SMALL[:-cut])


def test_every_line_that_is_missing_is_noticed():
    lines = SMALL.splitlines(keepends=True)
    for missing in range(len(lines)):
        with pytest.raises(TraceFileError):
            decode(b"".join(lines[:missing] + lines[missing + 1 :]))


def test_lines_that_were_changed_or_swapped_are_noticed():
    lines = SMALL.splitlines(keepends=True)
    swapped = [*lines[:4], lines[5], lines[4], *lines[6:]]
    with pytest.raises(TraceFileError, match="SHA-256"):
        decode(b"".join(swapped))


def test_a_trace_without_digest_and_summary_is_a_trace():
    trace = recorded(line())
    lines = encode(trace).splitlines(keepends=True)[:-1]
    bare = decode(b"".join(lines) + msgspec.json.encode(Footer(lines=len(lines) - 1)))
    assert bare.events == trace.events
    assert bare.reply is None


def one(**fields):
    return msgspec.json.encode(header(**fields)) + b"\n"


def closed(body, **fields):
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in body)
    return one(**fields) + lines + msgspec.json.encode(Footer(lines=len(body))) + b"\n"


BAD_EDGE = p.EdgeSpec("source", "sink", capacity=0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n", "no line of a trace"),
        (b"hello\n", "no line of a trace"),
        (b'{"e":"yield","n":1}\n', 'starts with a header, this is a "yield"'),
        (one(format=2), "has format 2, this suite reads format 1"),
        (one(flow=line()), "has no footer after 0 lines"),
        (one() + one(), "is a second header"),
        (closed([e.Yielded(n=1)]), "no `flow` in its header"),
        (closed([e.Yielded(n=1)], flow=line()) + b'{"e":"yield","n":1}\n', "follows the footer"),
        (closed([Exchange(request=p.Hello())], flow=line()), "one or the other"),
        (closed([e.Called(stage="nobody", fn="pull")], flow=line()), "line 2: the flow has no stage 'nobody'"),
        (closed([e.Yielded(n=1), e.PressureChanged(stream=7, on=True, depth=1)], flow=line()), "line 3: the flow has no stream 7"),
        (closed([e.Dropped(stream=-1, seq=0, reason="discarded")], flow=line()), "no stream -1"),
        (one(flow=p.FlowSpec((), ())), "the flow has no stages"),
        (one(flow=p.FlowSpec(line().stages, (BAD_EDGE,))), "has the capacity 0"),
        (one(flow=p.FlowSpec((p.StageSpec("a", "wizard"),), ())), "'wizard'"),
        (b"[" * 100_000 + b"\n", "no line of a trace"),
        (b'{"e":"exchange","request":' + b'{"op":' * 50_000 + b"\n", "no line of a trace"),
        (one(flow=line()) + b'{"e":"yield","n":' + b"9" * 10_000 + b"}\n", "no line of a trace|has no footer"),
        (b'{"e":"\xff\xfe"}\n', "no line of a trace"),
    ],
)
def test_what_is_no_trace_is_one_clear_error(data, words):
    with pytest.raises(TraceFileError, match=words):
        decode(data)


def test_a_line_without_an_end_is_read_only_up_to_the_bound(monkeypatch):
    monkeypatch.setattr(f, "LINE_BYTES", 1000)

    class Endless(io.RawIOBase):
        given = 0

        def readline(self, size=-1):
            assert size > 0, "an unbounded read"
            self.given += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(TraceFileError, match="line 1: is longer than 1000 bytes"):
        f.load(stream, "endless")
    assert stream.given == 1001


def test_a_file_with_too_many_lines_or_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(f, "LINES", 10)
    with pytest.raises(TraceFileError, match="more than 10 lines"):
        decode(SMALL)
    monkeypatch.setattr(f, "FILE_BYTES", 100)
    with pytest.raises(TraceFileError, match="larger than 100 bytes"):
        decode(SMALL)


@given(st.data())
def test_a_damaged_file_is_a_trace_or_an_error_and_nothing_else(data):
    whole = data.draw(st.sampled_from((SMALL, TALK, encode(recorded(fan_out(2))))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(st.binary(max_size=4) | st.sampled_from((b"-1", b"null", b'"', b"{", b"1e400", b"\n")))
        whole = whole[:at] + piece + whole[at + data.draw(st.integers(0, 8)) :]
    with contextlib.suppress(TraceFileError):
        decode(whole)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_with_words(data):
    with pytest.raises(TraceFileError):
        decode(data)

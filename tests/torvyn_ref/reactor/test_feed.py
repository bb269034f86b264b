import os

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowState
from torvyn_ref.reactor import Feed, Gate, Reactor, open_feed
from torvyn_ref.reactor.feed import READ_AHEAD
from torvyn_ref.resources import MAX_BUFFER_BYTES


class Catcher:
    """Stands for the guest: emits what it is given as it is."""

    @staticmethod
    def emit(line, content_type):
        return line, content_type


def pulled(feed):
    lines = []
    while (output := feed.pull(Catcher)) is not None:
        lines.append(output[0])
    return lines


def feed_of(tmp_path, content):
    (tmp_path / "input").write_bytes(content)
    return open_feed(str(tmp_path / "input"))[0]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"a\r\n\0\xff", [b"a\r", b"\0\xff"]),
        (b"x" * 200_000 + b"\ny\n", [b"x" * 200_000, b"y"]),
    ],
)
def test_a_file_is_its_lines(tmp_path, content, lines):
    feed = feed_of(tmp_path, content)
    assert pulled(feed) == lines
    feed.close()


@given(st.lists(st.binary(max_size=20)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(pieces):
    read, write = os.pipe()
    feed = Feed(read, where="pipe", owned=True)
    for piece in pieces:
        if piece:
            os.write(write, piece)
            feed._read()
    os.close(write)
    feed._read()
    *lines, rest = b"".join(pieces).split(b"\n")
    assert pulled(feed) == lines + ([rest] if rest else [])
    feed.close()


def test_what_never_waits_is_read_directly():
    feed, node = open_feed("/dev/null")
    assert (pulled(feed), node) == ([], None)
    feed.close()


def test_closing_twice_closes_once(tmp_path):
    feed = feed_of(tmp_path, b"")
    feed.close()
    taken = os.open("/dev/null", os.O_RDONLY)  # gets the number that the feed had
    feed.close()
    os.close(taken)


def test_a_line_may_be_as_long_as_the_largest_buffer_and_no_longer(tmp_path):
    feed = feed_of(tmp_path, b"first\n" + b"x" * MAX_BUFFER_BYTES + b"\n" + b"y" * (MAX_BUFFER_BYTES + 1) + b"\nlast\n")
    assert feed.pull(Catcher)[0] == b"first"
    assert len(feed.pull(Catcher)[0]) == MAX_BUFFER_BYTES
    with pytest.raises(TorvynError) as caught:
        feed.pull(Catcher)
    assert caught.value.kind == "line-too-long"
    feed.close()


def test_input_that_ends_in_an_error_is_delivered_up_to_there(tmp_path, monkeypatch):
    feed = feed_of(tmp_path, b"one\ntwo\nthree")
    chunks = iter([b"one\ntwo\nthr"])

    def read(_descriptor, _length):
        try:
            return next(chunks)
        except StopIteration:
            raise OSError(5, "Input/output error") from None

    monkeypatch.setattr("torvyn_ref.reactor.feed.os.read", read)
    assert [feed.pull(Catcher)[0] for _ in range(2)] == [b"one", b"two"]
    for _ in range(2):
        with pytest.raises(TorvynError, match=r"cannot read .*input: Input/output error"):
            feed.pull(Catcher)
    monkeypatch.undo()
    feed.close()


@pytest.mark.parametrize(
    ("target", "reason"), [("missing", "No such file"), (".", "Is a directory"), ("a\0b", "null byte"), ("n=missing", "No such file")]
)
def test_what_cannot_be_opened_is_refused(tmp_path, monkeypatch, target, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TorvynError, match=reason) as caught:
        open_feed(target)
    assert (caught.value.kind, caught.value.where) == ("input-failed", "--input")


def test_standard_input_must_be_there(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(TorvynError, match="standard input is not open"):
        open_feed("-")


def test_a_node_is_named_before_the_file_unless_the_whole_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").write_bytes(b"plain")
    feed, node = open_feed("a=b")
    assert (node, pulled(feed)) == ("a", [b"plain"])
    feed.close()
    (tmp_path / "a=b").write_bytes(b"whole")
    feed, node = open_feed("a=b")
    assert (node, pulled(feed)) == (None, [b"whole"])
    feed.close()


@pytest.fixture
def pipe():
    read, write = os.pipe()
    open_ends = {read, write}

    class Pipe:
        feed = Feed(read, where="pipe")

        @staticmethod
        def write(data):
            os.write(write, data)

        @staticmethod
        def end():
            os.close(write)
            open_ends.discard(write)

    yield Pipe
    for descriptor in open_ends:
        os.close(descriptor)


def fed_flow(kit, feed, sink):
    feed.role = kit.Source.role
    driver, instances = kit.flow(feed, kit.Copy(), sink)
    feed.connect(lambda gate: driver.gate("s0", closed=gate is Gate.CLOSED))
    return driver, instances


@pytest.mark.anyio
async def test_a_flow_waits_for_its_pipe_and_goes_on_when_there_is_something(kit, pipe):
    sink = kit.Sink()
    driver, instances = fed_flow(kit, pipe.feed, sink)
    async with Reactor(kit.resources) as reactor, anyio.create_task_group() as tasks:
        handle = reactor.start(driver, instances)
        tasks.start_soon(pipe.feed.pump, handle.wake)
        for number in range(3):
            pipe.write(b"line %d\n" % number)
            while len(sink.got) <= number:
                await checkpoint()
        pipe.write(b"no end")
        pipe.end()
        report = await handle.wait()
    assert sink.got == [b"line 0", b"line 1", b"line 2", b"no end"]
    assert report.state is FlowState.COMPLETED
    kit.assert_nothing_left()


@pytest.mark.anyio
async def test_a_flow_that_waits_for_its_pipe_can_be_cancelled(kit, pipe):
    driver, instances = fed_flow(kit, pipe.feed, kit.Sink())
    async with Reactor(kit.resources) as reactor, anyio.create_task_group() as tasks:
        handle = reactor.start(driver, instances)
        tasks.start_soon(pipe.feed.pump, handle.wake)
        await checkpoint()
        handle.cancel()
        assert (await handle.wait()).state is FlowState.CANCELLED
        tasks.cancel_scope.cancel()
    kit.assert_nothing_left()


@pytest.mark.anyio
async def test_a_feed_reads_no_further_than_it_must(kit, pipe, monkeypatch):
    """A fast writer is not read into memory: beyond the read-ahead, its data stays in the pipe."""
    chunk = 200  # a hundred lines
    monkeypatch.setattr("torvyn_ref.reactor.feed._CHUNK", chunk)
    pipe.write(b"x\n" * 3000)
    pipe.end()
    kept = []
    sink = kit.Sink(lambda _count: kept.append(len(pipe.feed._lines)))
    driver, instances = fed_flow(kit, pipe.feed, sink)
    async with Reactor(kit.resources) as reactor, anyio.create_task_group() as tasks:
        handle = reactor.start(driver, instances)
        tasks.start_soon(pipe.feed.pump, handle.wake)
        report = await handle.wait()
    assert report.delivered == 3000
    assert 0 < max(kept) < READ_AHEAD + chunk // 2
    kit.assert_nothing_left()

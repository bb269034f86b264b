import os
import select
import shlex
import sys
from pathlib import Path

import pytest

from conformance.errors import SubjectCrashedError, SubjectProtocolError, SubjectTimeoutError, SuiteError
from conformance.subjects import protocol as p
from conformance.subjects.session import Session
from conformance.subjects.stdio import Stdio, parse_command

OPEN = p.OpenStream(2)


def wait_for_end(pid):
    """Wait, at most 20 s, until a process is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], 20)[0])
    finally:
        os.close(watch)


def test_a_well_behaved_child_answers_and_is_gone_after_close(character, opened):
    exchange = opened(character("Subject"))
    session = Session(exchange)
    assert session.streams.open(2).capacity == 2
    session.close()
    assert not Path(f"/proc/{exchange.pid}").exists()


def test_a_child_that_dies_is_a_crash_with_its_exit_code_and_its_last_words(character, opened):
    session = Session(opened(character("Dies")))
    with pytest.raises(SubjectCrashedError, match="exit code 7") as caught:
        session.streams.open(2)
    assert "I cannot go on" in caught.value.detail
    assert session.failure is caught.value


def test_a_child_killed_by_a_signal_is_a_crash_that_names_the_signal(character, opened):
    with pytest.raises(SubjectCrashedError, match="SIGKILL"):
        Session(opened(character("Killed"))).streams.open(2)


def test_a_child_that_hangs_is_a_timeout_and_is_killed(character, opened):
    exchange = opened(character("Hangs"), reply_timeout=20.0)
    exchange.exchange(p.Hello())
    exchange._settings = type(exchange._settings)(reply_timeout=0.05)
    with pytest.raises(SubjectTimeoutError, match=r"no answer to streams\.open within 0\.05 s"):
        exchange.exchange(OPEN)
    assert not Path(f"/proc/{exchange.pid}").exists()


def test_a_mute_child_does_not_open_a_session(character, opened):
    with pytest.raises(SubjectTimeoutError, match="hello"):
        Session(opened(character("Mute"), reply_timeout=0.05))


def test_a_flood_is_stopped_at_the_line_limit(character, opened):
    session = Session(opened(character("Floods"), line_bytes=1 << 20))
    with pytest.raises(SubjectProtocolError, match="longer than 1048576 bytes"):
        session.streams.open(2)


def test_gibberish_is_shown_and_blamed_on_the_adapter(character, opened):
    session = Session(opened(character("Gibberish")))
    with pytest.raises(SubjectProtocolError, match="stdout belongs to the protocol") as caught:
        session.streams.open(2)
    assert "starting the engine" in caught.value.detail
    assert caught.value.fault == "the subject's adapter"


@pytest.mark.parametrize("name", ["Misnumbers", "Invents", "Chatters"])
def test_an_answer_that_breaks_the_protocol_ends_the_subject(character, opened, name):
    exchange = opened(character(name))
    session = Session(exchange)
    with pytest.raises(SubjectProtocolError):
        session.streams.open(2)
    assert not Path(f"/proc/{exchange.pid}").exists()


def test_a_reply_of_the_wrong_kind_is_a_protocol_error(character, opened):
    session = Session(opened(character("Confused")))
    with pytest.raises(SubjectProtocolError, match=r"must be answered with `stream`, the subject answered .*handle"):
        session.streams.open(2)


def test_after_a_death_every_request_fails_at_once_in_the_same_way(character, opened):
    exchange = opened(character("Hangs"), reply_timeout=20.0)
    exchange.exchange(p.Hello())
    exchange._settings = type(exchange._settings)(reply_timeout=0.05)
    for _ in range(500):  # 25 s if each of them waited; pytest-timeout would tell
        with pytest.raises(SubjectTimeoutError):
            exchange.exchange(OPEN)


def test_nothing_that_a_subject_started_outlives_it(character, opened):
    session = Session(opened(character("Breeds")))
    with pytest.raises(SubjectCrashedError) as caught:
        session.streams.open(2)
    child = int(caught.value.detail.rpartition("child ")[2].split()[0])
    assert wait_for_end(child)


def test_a_subject_that_does_not_go_is_killed(character, opened):
    exchange = opened(character("Stays"), grace=0.05)
    Session(exchange).close()
    assert not Path(f"/proc/{exchange.pid}").exists()


def test_only_the_end_of_a_long_stderr_is_kept(character, opened):
    session = Session(opened(character("Noisy"), stderr_bytes=1000))
    with pytest.raises(SubjectCrashedError) as caught:
        session.streams.open(2)
    assert "line 19999" in caught.value.detail
    assert "line 10000" not in caught.value.detail


def test_opening_and_closing_leaks_no_file_descriptor(character):
    def opened():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    for name in ("Subject", "Dies", "Stays"):
        from conformance.subjects.stdio import StdioSettings

        exchange = Stdio(character(name), StdioSettings(grace=0.2))
        exchange.exchange(p.Hello())
        if name == "Dies":
            with pytest.raises(SubjectCrashedError):
                exchange.exchange(OPEN)
        exchange.close()
        exchange.close()
    assert opened() == before


def test_a_large_message_goes_both_ways_without_a_deadlock(opened):
    exchange = opened([sys.executable, "-m", "conformance.serve", "reference"])
    session = Session(exchange)
    session.resources.open()
    handle = session.resources.allocate("host", 8 << 20)
    data = bytes(range(256)) * (32 << 10)
    assert session.resources.write(handle, "host", 0, data) == len(data)
    assert session.resources.read(handle, "host", 0, len(data)) == data


def test_a_command_that_cannot_be_started_is_the_users_mistake():
    with pytest.raises(SuiteError, match="cannot be started: /no/such/adapter"):
        Stdio(["/no/such/adapter"])


def test_a_command_is_split_like_a_shell_would_and_python_is_this_one():
    assert parse_command("adapter 'two words' --x") == ["adapter", "two words", "--x"]
    assert parse_command("python -m thing") == [sys.executable, "-m", "thing"]


@pytest.mark.parametrize(("text", "words"), [("", "needs a command"), ("a 'b", "cannot be read")])
def test_a_command_that_is_none_is_refused(text, words):
    with pytest.raises(SuiteError, match=words):
        parse_command(text)


def test_a_path_with_spaces_survives(character_subject, connection):
    assert "characters.py" in shlex.split(character_subject("Subject"))[1]

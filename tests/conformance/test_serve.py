import io
import json
import subprocess
import sys

import pytest

from conformance.errors import SubjectTimeoutError
from conformance.serve import CRASHED, GARBAGE, USAGE, main, serve
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess, PythonSubject


@pytest.fixture
def talk(honest_streams):
    def talk_(*lines, streams=None):
        subject = PythonSubject("s", "1", streams=streams or honest_streams())
        replies = io.BytesIO()
        code = serve(InProcess(subject), io.BytesIO(b"".join(line + b"\n" for line in lines)), replies)
        return code, [json.loads(line) for line in replies.getvalue().splitlines()]

    return talk_


def ask(number, **request):
    return json.dumps({"id": number, "request": request}).encode()


def test_requests_are_answered_in_order_and_bye_ends_it(talk):
    code, replies = talk(ask(1, op="hello"), ask(2, op="streams.open", capacity=3), ask(3, op="bye"), ask(4, op="streams.inspect"))
    assert code == 0
    assert [(reply["id"], reply["reply"]["re"]) for reply in replies] == [(1, "declaration"), (2, "stream"), (3, "done")]


def test_the_end_of_input_is_a_goodbye(talk):
    assert talk(ask(1, op="hello"))[0] == 0


@pytest.mark.parametrize(
    "request_", [{"op": "streams.dance"}, {"op": "streams.push", "value": "x"}, {"op": "streams.push", "value": 1, "how": 2}]
)
def test_a_request_from_another_version_is_declined_and_not_fatal(talk, request_):
    code, replies = talk(ask(1, **request_), ask(2, op="streams.inspect"))
    assert code == 0
    assert [reply["reply"]["re"] for reply in replies] == ["unsupported", "stream"]


@pytest.mark.parametrize("line", [b"hello", b"[]", b'{"id": "x"}', b"\xff\xfe"])
def test_a_line_that_is_no_request_ends_the_service(talk, line, capsys):
    code, replies = talk(line)
    assert (code, replies) == (GARBAGE, [])
    assert "no request" in capsys.readouterr().err


def test_a_crash_is_told_on_stderr_and_by_the_exit_code(talk, honest_streams, capsys):
    class Broken(honest_streams):
        """Raises."""

        def inspect(self, request):
            raise OSError("disk on fire")

    code, _ = talk(ask(1, op="streams.inspect"), streams=Broken())
    assert code == CRASHED
    assert "disk on fire" in capsys.readouterr().err


def test_a_runtime_that_does_not_end_is_not_answered_for(talk, honest_streams):
    class Endless(honest_streams):
        """Knows that it will not end."""

        def inspect(self, request):
            raise SubjectTimeoutError("round in circles")

    code, replies = talk(ask(1, op="streams.inspect"), ask(2, op="bye"), streams=Endless())
    assert (code, [reply["id"] for reply in replies]) == (0, [2])


def test_what_a_runtime_prints_does_not_reach_the_protocol(tmp_path):
    (tmp_path / "talkative.py").write_text(
        """
import os
from conformance.subjects.inprocess import PythonSubject
def make():
    print("hello from Python")
    os.write(1, b"hello from C\\n")
    return PythonSubject("talkative", "1")
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "conformance.serve", "python:talkative:make"],
        cwd=tmp_path,
        input=ask(1, op="hello") + b"\n",
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["reply"]["name"] == "talkative"
    assert b"hello from Python" in done.stderr
    assert b"hello from C" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_wrong_usage_is_told(arguments, capsys):
    assert main(arguments) == USAGE
    assert "usage: python -m conformance.serve SUBJECT" in capsys.readouterr().err


def test_an_unknown_subject_is_told_by_the_program():
    done = subprocess.run([sys.executable, "-m", "conformance.serve", "nobody"], capture_output=True, text=True, check=False)
    assert done.returncode == USAGE
    assert "names no subject" in done.stderr
    assert "Traceback" not in done.stderr


def test_messages_may_be_as_long_as_the_protocol_allows():
    assert p.LINE_BYTES == 64 * 1024 * 1024

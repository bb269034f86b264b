"""The stdio door: a subject as a child process that speaks JSON Lines, in whatever language it is written.

Everything about the child is bounded: the length of a line, the time to an answer, what is kept of its stderr, and its life. It runs in a
process group of its own, which is killed as a whole, so that nothing outlives the exchange. Linux only: the judge itself runs there.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from conformance.errors import SubjectCrashedError, SubjectError, SubjectProtocolError, SubjectTimeoutError, SuiteError
from conformance.subjects import protocol as p

CHUNK = 1 << 16
GLANCE = 0.25
"""Seconds of silence after which the child is looked at: is it still there?"""


@dataclass(frozen=True, slots=True)
class StdioSettings:
    """The bounds of a child process.

    Attributes:
        reply_timeout: seconds that the subject may take for one answer.
        line_bytes: the longest line that is read.
        stderr_bytes: how much of the end of its stderr is kept, to be shown with a failure.
        grace: seconds that the subject gets to end by itself when it is told to.
        transcript: a file that every line is added to, in both directions; None for none.
        transcript_bytes: how long that file may become.
    """

    reply_timeout: float = 30.0
    line_bytes: int = p.LINE_BYTES
    stderr_bytes: int = 16 * 1024
    grace: float = 2.0
    transcript: Path | None = None
    transcript_bytes: int = 64 * 1024 * 1024


def parse_command(text: str) -> list[str]:
    """Split a command into arguments, as a shell would, without being one; a bare `python` is the interpreter that runs the suite.

    Raises:
        SuiteError: the command is empty, or a quote is not closed.
    """
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise SuiteError(f"the subject's command {text!r} cannot be read: {error}") from error
    if not command:
        raise SuiteError("a stdio subject needs a command, for example stdio:./my-adapter --flag")
    if command[0] in {"python", "python3"}:
        command[0] = sys.executable
    return command


class Stdio:
    """One child process and the conversation with it.

    After the first `SubjectError` the child is gone, and every later request raises the same kind of error at once: a search that tries to
    make a failure smaller must not wait for a dead process again and again.

    Raises:
        SuiteError: the command cannot be started.
    """

    def __init__(self, command: list[str], settings: StdioSettings | None = None) -> None:
        self._settings = settings or StdioSettings()
        self._shown = shlex.join(command)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            raise SuiteError(f"the subject's command cannot be started: {self._shown}: {error.strerror}") from error
        self._stdin, self._stdout, self._stderr = _pipes(self._process)
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[p.ReplyLine] = msgspec.json.Decoder(p.ReplyLine)
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (self._stdin, selectors.EVENT_WRITE),
            (self._stdout, selectors.EVENT_READ),
            (self._stderr, selectors.EVENT_READ),
        ):
            os.set_blocking(pipe.fileno(), False)
            if event == selectors.EVENT_READ:
                self._selector.register(pipe, event)
        self._received = bytearray()
        self._said = bytearray()
        self._next = 0
        self._failure: SubjectError | None = None
        self._note(b"= ", self._shown.encode())

    def exchange(self, request: p.AnyRequest, /) -> p.AnyReply:
        """Write a line, read a line.

        Raises:
            SubjectCrashedError: the process ended.
            SubjectTimeoutError: no answer within the reply timeout; the process has been killed.
            SubjectProtocolError: the answer is not a reply to this request, or too long; the process has been killed.
        """
        if self._failure is not None:
            raise type(self._failure)(self._failure.message, detail=self._failure.detail)
        self._next += 1
        line = self._encoder.encode(p.RequestLine(self._next, request)) + b"\n"
        try:
            return self._answer(line, p.tag_of(request))
        except SubjectError as error:
            self._note(b"! ", str(error).encode())
            self._end(0.0)
            error.detail = self._detail(error.detail)
            self._failure = error
            raise

    def close(self) -> None:
        """Say goodbye, wait a moment, kill what is left; idempotent."""
        if self._process.returncode is None and self._failure is None:
            with contextlib.suppress(SubjectError):
                self._answer(self._encoder.encode(p.RequestLine(self._next + 1, p.Bye())) + b"\n", "bye", self._settings.grace)
            self._failure = SubjectCrashedError("the session was closed")
        self._end(self._settings.grace)

    def kill(self) -> None:
        """Kill the child's whole group, and leave the rest to `close` or to the end of this process."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Return the child's process id, which is its process group, too."""
        return self._process.pid

    # ---- inside

    def _answer(self, line: bytes, operation: str, timeout: float | None = None) -> p.AnyReply:
        seconds = self._settings.reply_timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        self._note(b"> ", line)
        if self._received:
            raise SubjectProtocolError("the subject wrote a line that nobody asked for", detail=_excerpt(self._received))
        unsent = memoryview(line)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        sending = True
        looked = 0  # a long line must not be looked through again for each of its pieces
        try:
            while True:
                end = self._received.find(b"\n", looked)
                looked = len(self._received)
                if end >= 0:
                    return self._decode(end, operation, sent=not unsent)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise SubjectTimeoutError(f"no answer to {operation} within {seconds:g} s")
                events = self._selector.select(min(remaining, GLANCE))
                if not events and self._ended(0.0):  # dead, and somebody it started holds its stdout open
                    raise SubjectCrashedError(f"the subject ended before it answered {operation}: {self._how_it_ended()}")
                for key, _ in events:
                    if key.fileobj is self._stdin:
                        unsent = self._write(unsent)
                        if not unsent:
                            self._selector.unregister(self._stdin)
                            sending = False
                    elif key.fileobj is self._stdout:
                        self._read(operation)
                    else:
                        self._listen()
        finally:
            if sending:
                self._selector.unregister(self._stdin)

    def _note(self, sign: bytes, line: bytes) -> None:
        """Add a line to the transcript: `=` a new process, `>` to the subject, `<` from it, `!` what went wrong; as far as there is room.

        Raises:
            SuiteError: the file cannot be written.
        """
        if self._settings.transcript is None:
            return
        try:
            with self._settings.transcript.open("ab") as file:
                room = self._settings.transcript_bytes - file.tell()
                whole = sign + line.rstrip(b"\n").replace(b"\n", b"\\n") + b"\n"
                if room > 0:
                    file.write(whole if len(whole) <= room else b"... the transcript ends here: it is full\n")
                    if len(whole) > room:
                        file.write(b" " * max(0, self._settings.transcript_bytes - file.tell()))
        except OSError as error:
            raise SuiteError(f"the transcript cannot be written to {self._settings.transcript}: {error.strerror}") from error

    def _write(self, unsent: memoryview) -> memoryview:
        try:
            return unsent[os.write(self._stdin.fileno(), unsent[:CHUNK]) :]
        except BlockingIOError:
            return unsent
        except OSError:  # a closed pipe: why the subject closed it shows on its stdout, as its end or a last word
            return unsent[:0]

    def _read(self, operation: str) -> None:
        data = os.read(self._stdout.fileno(), CHUNK)
        if not data:
            raise SubjectCrashedError(f"the subject ended before it answered {operation}: {self._how_it_ended()}")
        self._received += data
        if len(self._received) > self._settings.line_bytes and b"\n" not in data:
            raise SubjectProtocolError(
                f"the answer to {operation} is longer than {self._settings.line_bytes} bytes", detail=_excerpt(self._received)
            )

    def _listen(self) -> None:
        data = os.read(self._stderr.fileno(), CHUNK)
        if not data:
            self._selector.unregister(self._stderr)
            return
        self._said += data
        del self._said[: -self._settings.stderr_bytes]

    def _decode(self, end: int, operation: str, *, sent: bool) -> p.AnyReply:
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._note(b"< ", line)
        try:
            answer = self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            hint = "; stdout belongs to the protocol, everything else goes to stderr"
            raise SubjectProtocolError(f"the answer to {operation} is no reply: {error}{hint}", detail=_excerpt(line)) from error
        if answer.id != self._next and operation != "bye":
            raise SubjectProtocolError(f"the subject answered request {answer.id}, the open one is {self._next}", detail=_excerpt(line))
        if not sent:
            raise SubjectProtocolError(f"the subject answered {operation} before it had read it", detail=_excerpt(line))
        return answer.reply

    def _how_it_ended(self) -> str:
        end = self._ended(self._settings.grace)
        if end is None:
            return "it closed its stdout and went on running"
        if end.si_code == os.CLD_EXITED:
            return f"exit code {end.si_status}"
        return f"killed by {signal.Signals(end.si_status).name}"

    def _ended(self, seconds: float) -> os.waitid_result | None:
        """Wait at most so long for the child's end, and leave it unreaped: while its id is taken, its group cannot be somebody else's."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        end = os.waitid(os.P_PID, self._process.pid, look)
        if end is None and seconds:
            watch = os.pidfd_open(self._process.pid)
            try:
                select.select([watch], [], [], seconds)
            finally:
                os.close(watch)
            end = os.waitid(os.P_PID, self._process.pid, look)
        return end

    def _end(self, grace: float) -> None:
        """Close the pipes, wait at most `grace` seconds, kill the whole group, reap the child."""
        if self._process.returncode is not None:
            return
        self._stdin.close()
        if grace:
            self._ended(grace)
        self.kill()
        self._process.wait()
        self._last_words()
        self._selector.close()
        self._stdout.close()
        self._stderr.close()

    def _last_words(self) -> None:
        for _ in range(64):
            try:
                data = os.read(self._stderr.fileno(), CHUNK)
            except OSError:
                return
            if not data:
                return
            self._said += data
            del self._said[: -self._settings.stderr_bytes]

    def _detail(self, detail: str) -> str:
        said = self._said.decode(errors="replace").strip()
        return "\n".join(part for part in (f"command: {self._shown}", detail, f"its stderr:\n{said}" if said else "") if part)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdin, process.stdout, process.stderr


def _excerpt(data: bytes | bytearray) -> str:
    return f"it wrote: {bytes(data[:300])!r}" + (" ..." if len(data) > 300 else "")

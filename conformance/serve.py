"""Serve a subject over standard input and output: `python -m conformance.serve reference`.

Whatever `--subject` can name in process can be served, so the stdio door is tried with the very subjects of the other one. The process's
own stdout is given to stderr first: a stray `print` in a runtime must not become a line of the protocol.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import msgspec

from conformance.errors import SubjectError, SubjectTimeoutError, SuiteError
from conformance.subjects import protocol as p
from conformance.subjects.connect import find
from conformance.subjects.session import Exchange

USAGE = 64
GARBAGE = 65
CRASHED = 70
"""Exit codes, after the BSD convention: bad usage, bad input, an internal error of the subject."""


class _Envelope(msgspec.Struct, frozen=True):
    id: int
    request: dict[str, object]


def serve(exchange: Exchange, requests: BinaryIO, replies: BinaryIO) -> int:
    """Answer requests until `bye` or the end of input, and return the exit code."""
    decoder: msgspec.json.Decoder[p.RequestLine] = msgspec.json.Decoder(p.RequestLine)
    encoder = msgspec.json.Encoder()
    while line := requests.readline(p.LINE_BYTES + 1):
        if len(line) > p.LINE_BYTES:
            _say(f"a request is longer than {p.LINE_BYTES} bytes")
            return GARBAGE
        reply: p.AnyReply
        try:
            asked = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            try:
                envelope = msgspec.json.decode(line, type=_Envelope)
            except (msgspec.MsgspecError, UnicodeError):
                _say(f"a line is no request: {error}")
                return GARBAGE
            number, reply = envelope.id, p.Unsupported(f"not a request of protocol {p.PROTOCOL}: {error}")
        else:
            number = asked.id
            try:
                reply = exchange.exchange(asked.request)
            except SubjectTimeoutError as error:  # no answer in time is no answer: the suite at the other end waits, and sees the same
                _say(str(error))
                continue
            except SubjectError as error:
                _say(f"{error}\n{error.detail}")
                return CRASHED
            if isinstance(asked.request, p.Bye):
                _write(replies, encoder.encode(p.ReplyLine(number, reply)))
                return 0
        _write(replies, encoder.encode(p.ReplyLine(number, reply)))
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _write(replies: BinaryIO, line: bytes) -> None:
    replies.write(line + b"\n")
    replies.flush()


def main(arguments: list[str] | None = None) -> int:
    """Serve the subject that the only argument names."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or arguments[0].startswith("-"):
        _say("usage: python -m conformance.serve SUBJECT    (for example: reference)")
        return USAGE
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        exchange = find(arguments[0]).open()
    except SuiteError as error:
        _say(str(error))
        return USAGE
    with replies:
        try:
            return serve(exchange, sys.stdin.buffer, replies)
        except BrokenPipeError:  # the suite is gone; nobody is left to be told
            return 0
        finally:
            exchange.close()


if __name__ == "__main__":
    sys.exit(main())

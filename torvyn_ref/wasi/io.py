"""wasi:io: errors, output streams, polling. No capability gates it: without a stream to write to it does nothing (CAP-061).

Writes are bounded: a stream permits `PERMIT` bytes at a time, and a guest that writes more than it was permitted traps, as WASI says.
Everything written goes to its sink at once, so flushing has nothing to do, and a stream is always ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torvyn_ref.engine.imports import GuestFault, HostFunction, HostInterface, WitError
from torvyn_ref.engine.protocol import OutputSink
from torvyn_ref.wasi.host import WasiHost

SERIES = "0.2"
PERMIT = 4096
"""Bytes per write: also WASI's own bound for `blocking-write-and-flush`."""


@dataclass(slots=True)
class OutputStream:
    """A granted stream: where its bytes go (None: nowhere), which capability it uses, how much the last check permitted."""

    capability: str
    sink: OutputSink | None
    permit: int = 0


@dataclass(frozen=True, slots=True)
class InputStream:
    """Standard input, which is empty: every read finds its end (CAP-061)."""


@dataclass(frozen=True, slots=True)
class Pollable:
    """Something to wait for: an instant of the monotonic clock, or None for what is always ready."""

    due_ns: int | None = None


@dataclass(frozen=True, slots=True)
class IoError:
    """Why a write failed, in words."""

    text: str


def _debug_string(host: WasiHost, error: int) -> str:
    return host.get(error, IoError).text


def _read(host: WasiHost, stream: int, _length: int) -> bytes:
    host.get(stream, InputStream)
    raise WitError("closed")


def _subscribe_input(host: WasiHost, stream: int) -> int:
    host.get(stream, InputStream)
    return host.hold(Pollable())


def _check_write(host: WasiHost, stream: int) -> int:
    output = host.get(stream, OutputStream)
    output.permit = PERMIT
    return PERMIT


def _write(host: WasiHost, stream: int, contents: bytes) -> None:
    output = host.get(stream, OutputStream)
    if len(contents) > output.permit:
        raise GuestFault(f"the component wrote {len(contents)} bytes where check-write had permitted {output.permit}")
    output.permit = 0
    _deliver(host, output, contents)


def _blocking_write(host: WasiHost, stream: int, contents: bytes) -> None:
    output = host.get(stream, OutputStream)
    if len(contents) > PERMIT:
        raise GuestFault(f"blocking-write-and-flush takes at most {PERMIT} bytes, the component wrote {len(contents)}")
    _deliver(host, output, contents)


def _write_zeroes(host: WasiHost, stream: int, length: int) -> None:
    _write(host, stream, bytes(min(length, PERMIT + 1)))


def _blocking_write_zeroes(host: WasiHost, stream: int, length: int) -> None:
    _blocking_write(host, stream, bytes(min(length, PERMIT + 1)))


def _deliver(host: WasiHost, output: OutputStream, contents: bytes) -> None:
    host.use(output.capability, f"write {len(contents)} bytes")
    if output.sink is None or not contents:
        return
    try:
        output.sink(contents)
    except OSError as error:  # a closed pipe or a full disk is for the guest to know; anything else is the host's defect
        raise WitError("last-operation-failed", host.hold(IoError(str(error)))) from error


def _flush(host: WasiHost, stream: int) -> None:
    host.get(stream, OutputStream)


def _subscribe(host: WasiHost, stream: int) -> int:
    host.get(stream, OutputStream)
    return host.hold(Pollable())


def _is_ready(host: WasiHost, pollable: int) -> bool:
    due = host.get(pollable, Pollable).due_ns
    return due is None or host.sandbox.clock.monotonic_ns() >= due


def _block(host: WasiHost, pollable: int) -> None:
    due = host.get(pollable, Pollable).due_ns
    if due is not None:
        host.wait_until(due)


def _poll(host: WasiHost, pollables: list[int]) -> list[int]:
    if not pollables:
        raise GuestFault("poll takes at least one pollable")
    ready = [index for index, pollable in enumerate(pollables) if _is_ready(host, pollable)]
    if ready:
        return ready
    host.wait_until(min(due for pollable in pollables if (due := host.get(pollable, Pollable).due_ns) is not None))
    return [index for index, pollable in enumerate(pollables) if _is_ready(host, pollable)]


_TYPES: Mapping[str, str] = MappingProxyType({"stream-error": "variant{last-operation-failed(own<error>), closed}"})
_STREAM = "self: borrow<output-stream>"
_DONE = "result<_, stream-error>"
_INPUT = "self: borrow<input-stream>"

ERROR = HostInterface(
    "wasi:io/error",
    SERIES,
    (HostFunction("[method]error.to-debug-string", "func(self: borrow<error>) -> string", _debug_string),),
    resources={"error": WasiHost.drop},
)

POLL = HostInterface(
    "wasi:io/poll",
    SERIES,
    (
        HostFunction("[method]pollable.ready", "func(self: borrow<pollable>) -> bool", _is_ready),
        HostFunction("[method]pollable.block", "func(self: borrow<pollable>)", _block),
        HostFunction("poll", "func(in: list<borrow<pollable>>) -> list<u32>", _poll),
    ),
    resources={"pollable": WasiHost.drop},
)

STREAMS = HostInterface(
    "wasi:io/streams",
    SERIES,
    (
        HostFunction("[method]input-stream.read", f"func({_INPUT}, len: u64) -> result<list<u8>, stream-error>", _read),
        HostFunction("[method]input-stream.blocking-read", f"func({_INPUT}, len: u64) -> result<list<u8>, stream-error>", _read),
        HostFunction("[method]input-stream.skip", f"func({_INPUT}, len: u64) -> result<u64, stream-error>", _read),
        HostFunction("[method]input-stream.blocking-skip", f"func({_INPUT}, len: u64) -> result<u64, stream-error>", _read),
        HostFunction("[method]input-stream.subscribe", f"func({_INPUT}) -> own<pollable>", _subscribe_input),
        HostFunction("[method]output-stream.check-write", f"func({_STREAM}) -> result<u64, stream-error>", _check_write),
        HostFunction("[method]output-stream.write", f"func({_STREAM}, contents: list<u8>) -> {_DONE}", _write),
        HostFunction("[method]output-stream.blocking-write-and-flush", f"func({_STREAM}, contents: list<u8>) -> {_DONE}", _blocking_write),
        HostFunction("[method]output-stream.flush", f"func({_STREAM}) -> {_DONE}", _flush),
        HostFunction("[method]output-stream.blocking-flush", f"func({_STREAM}) -> {_DONE}", _flush),
        HostFunction("[method]output-stream.subscribe", f"func({_STREAM}) -> own<pollable>", _subscribe),
        HostFunction("[method]output-stream.write-zeroes", f"func({_STREAM}, len: u64) -> {_DONE}", _write_zeroes),
        HostFunction(
            "[method]output-stream.blocking-write-zeroes-and-flush", f"func({_STREAM}, len: u64) -> {_DONE}", _blocking_write_zeroes
        ),
    ),
    resources={"output-stream": WasiHost.drop, "input-stream": WasiHost.drop},
    definitions=_TYPES,
)

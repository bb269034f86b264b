"""wasi:cli: standard output and error, each behind its own grant."""

from __future__ import annotations

from torvyn_ref.engine.imports import HostFunction, HostInterface
from torvyn_ref.security.kinds import Kind
from torvyn_ref.wasi.host import WasiHost
from torvyn_ref.wasi.io import SERIES, OutputStream


def _get_stdout(host: WasiHost) -> int:
    return host.hold(OutputStream(Kind.STDOUT, host.sandbox.stdout))


def _get_stderr(host: WasiHost) -> int:
    return host.hold(OutputStream(Kind.STDERR, host.sandbox.stderr))


STDOUT = HostInterface(
    "wasi:cli/stdout", SERIES, (HostFunction("get-stdout", "func() -> own<output-stream>", _get_stdout),), capability=Kind.STDOUT
)
STDERR = HostInterface(
    "wasi:cli/stderr", SERIES, (HostFunction("get-stderr", "func() -> own<output-stream>", _get_stderr),), capability=Kind.STDERR
)

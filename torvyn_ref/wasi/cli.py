"""wasi:cli: output and environment, each behind its own grant; and what an ordinary toolchain imports without using it (CAP-061).

Standard input is empty, there is no terminal, and `exit` is the component's failure: a component is a part of a flow, not a program.
"""

from __future__ import annotations

from torvyn_ref.engine.imports import GuestFault, HostFunction, HostInterface
from torvyn_ref.security.kinds import Kind
from torvyn_ref.wasi.host import WasiHost
from torvyn_ref.wasi.io import SERIES, InputStream, OutputStream


def _get_stdout(host: WasiHost) -> int:
    return host.hold(OutputStream(Kind.STDOUT, host.sandbox.stdout))


def _get_stderr(host: WasiHost) -> int:
    return host.hold(OutputStream(Kind.STDERR, host.sandbox.stderr))


def _get_stdin(host: WasiHost) -> int:
    return host.hold(InputStream())


def _no_terminal(_host: WasiHost) -> None:
    return None


def _environment(host: WasiHost) -> list[tuple[str, str]]:
    host.use(Kind.ENVIRONMENT, "read the environment")
    return list(host.sandbox.environment.items())


def _no_arguments(_host: WasiHost) -> list[str]:
    return []


def _no_directory(_host: WasiHost) -> None:
    return None


def _exit(_host: WasiHost, _status: object) -> None:
    raise GuestFault("the component called exit: it is a part of a flow, and answers with an error instead")


STDIN = HostInterface("wasi:cli/stdin", SERIES, (HostFunction("get-stdin", "func() -> own<input-stream>", _get_stdin),))
EXIT = HostInterface("wasi:cli/exit", SERIES, (HostFunction("exit", "func(status: result)", _exit),))
ENVIRONMENT = HostInterface(
    "wasi:cli/environment",
    SERIES,
    (
        HostFunction("get-environment", "func() -> list<tuple<string, string>>", _environment),
        HostFunction("get-arguments", "func() -> list<string>", _no_arguments),
        HostFunction("initial-cwd", "func() -> option<string>", _no_directory),
    ),
    capability=Kind.ENVIRONMENT,
)
TERMINALS = (
    HostInterface("wasi:cli/terminal-input", SERIES, (), resources={"terminal-input": WasiHost.drop}),
    HostInterface("wasi:cli/terminal-output", SERIES, (), resources={"terminal-output": WasiHost.drop}),
    HostInterface(
        "wasi:cli/terminal-stdin", SERIES, (HostFunction("get-terminal-stdin", "func() -> option<own<terminal-input>>", _no_terminal),)
    ),
    HostInterface(
        "wasi:cli/terminal-stdout", SERIES, (HostFunction("get-terminal-stdout", "func() -> option<own<terminal-output>>", _no_terminal),)
    ),
    HostInterface(
        "wasi:cli/terminal-stderr", SERIES, (HostFunction("get-terminal-stderr", "func() -> option<own<terminal-output>>", _no_terminal),)
    ),
)

STDOUT = HostInterface(
    "wasi:cli/stdout", SERIES, (HostFunction("get-stdout", "func() -> own<output-stream>", _get_stdout),), capability=Kind.STDOUT
)
STDERR = HostInterface(
    "wasi:cli/stderr", SERIES, (HostFunction("get-stderr", "func() -> own<output-stream>", _get_stderr),), capability=Kind.STDERR
)

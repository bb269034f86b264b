"""One run of one flow, with what an operator attaches: input, output, limits, Ctrl-C, live progress."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowReport
from torvyn_ref.host import Attachments, Host, PreparedFlow
from torvyn_ref.reactor import Feed, Reactor

_REFRESH_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went."""

    prepared: PreparedFlow
    report: FlowReport
    interrupted: bool


class OutputFile:
    """Where delivered payloads go, one per line.

    A regular file appears under its name only when the flow has ended well; otherwise what was written stays beside it as `NAME.partial`.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.partial: Path | None = None
        try:
            if target == "-":
                self._stream = sys.stdout.buffer
            elif Path(target).exists() and not Path(target).is_file():
                self._stream = Path(target).open("wb")  # noqa: SIM115  # closed in finish; a device or a pipe has no "partial"
            else:
                self.partial = Path(f"{target}.partial")
                self._stream = self.partial.open("wb")
        except OSError as error:
            raise TorvynError("cli", "output-failed", f"cannot write: {error.strerror}", where=target) from error

    def __call__(self, payload: bytes) -> None:
        """Take one payload (a tap)."""
        try:
            self._stream.write(payload)
            self._stream.write(b"\n")
        except OSError as error:
            raise TorvynError("cli", "output-failed", f"cannot write: {error.strerror}", where=self.target) from error

    def finish(self, *, whole: bool) -> None:
        """Close the output; give a file its name when it is whole."""
        try:
            self._stream.flush()
            if self.target != "-":
                self._stream.close()
            if self.partial is not None and whole:
                self.partial.replace(self.target)
        except OSError as error:
            if self.target == "-":  # nobody reads any more: keep the interpreter from saying so again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise TorvynError("cli", "output-failed", f"cannot write: {error.strerror}", where=self.target) from error


def open_input(target: str) -> tuple[Feed, str | None]:
    """Open `[NODE=]FILE`, or `-` for standard input; return the feed and the node that it replaces (None: the only source).

    Raises:
        TorvynError: cli/input-failed.
    """
    node, equals, path = target.partition("=")
    if not equals or Path(target).exists():
        node, path = "", target
    try:
        descriptor = sys.stdin.fileno() if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if path != "-":
            os.read(descriptor, 0)  # a directory opens, and only reading tells
        return Feed(descriptor, where=path), node or None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TorvynError("cli", "input-failed", f"cannot read: {reason}", where=path) from error


async def run(
    host: Host,
    name: str | None,
    attachments: Attachments,
    *,
    timeout_s: float | None = None,
    console: Console | None = None,
    on_prepared: Callable[[PreparedFlow], object] | None = None,
) -> Outcome:
    """Prepare a flow and run it to its end.

    The first SIGINT or SIGTERM cancels the flow, which drains; a second one abandons it.

    Args:
        host: the host.
        name: the flow; None takes the project's first.
        attachments: what comes from outside.
        timeout_s: cancel the flow after this many seconds, as an operator would.
        console: where to show live progress; None shows none.
        on_prepared: hears of the flow when nothing can refuse it any more, just before it starts; what it raises keeps it from starting.

    Raises:
        TorvynError: whatever keeps the flow from starting; cli/output-failed; flow/abandoned.
    """
    prepared = host.prepare(name, attachments)
    if on_prepared is not None:
        try:
            on_prepared(prepared)
        except BaseException:
            prepared.close()
            raise
    interrupted = False
    async with Reactor(host.resources, clock=host.clock) as reactor, anyio.create_task_group() as tasks:
        handle = reactor.start(prepared.driver, prepared.instances)

        async def listen() -> None:
            nonlocal interrupted
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    if interrupted:
                        handle.abandon()
                    interrupted = True
                    handle.cancel()

        async def stop_later(seconds: float) -> None:
            await anyio.sleep(seconds)
            handle.cancel()

        async def pump(feed: Feed) -> None:
            try:
                await feed.pump(handle.wake)
            except TorvynError:
                handle.cancel()
                raise

        tasks.start_soon(listen)
        if timeout_s is not None:
            tasks.start_soon(stop_later, timeout_s)
        if attachments.feed is not None:
            tasks.start_soon(pump, attachments.feed)
        async with _progress(console, prepared):
            report = await handle.wait()
        tasks.cancel_scope.cancel()
    for guard in prepared.guards:
        guard.flush()
    return Outcome(prepared, report, interrupted)


@asynccontextmanager
async def _progress(console: Console | None, prepared: PreparedFlow) -> AsyncIterator[None]:
    if console is None or not console.is_terminal:
        yield
        return
    driver = prepared.driver

    def line() -> Text:
        entered, delivered = driver.progress
        return Text(f"{prepared.name}: {driver.state.lower()}, {entered} elements in, {delivered} delivered", style="dim")

    with Live(line(), console=console, transient=True, auto_refresh=False) as live:

        async def refresh() -> None:
            while True:
                await anyio.sleep(_REFRESH_S)
                live.update(line(), refresh=True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refresh)
            yield
            tasks.cancel_scope.cancel()

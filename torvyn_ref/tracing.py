"""A run that is written down: its events as a trace file, its queues as a picture (docs/traces.md, docs/torvyn-ref.md)."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import anyio

from torvyn_ref import session
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.events import Observers
from torvyn_ref.flow import ConsumerFirst, ProducerFirst, Scripted
from torvyn_ref.flow.scheduling import SchedulingPolicy
from torvyn_ref.host import Attachments, Host
from torvyn_ref.observe.otlp import Batches
from torvyn_ref.observe.plot import Axis, DepthRecorder
from torvyn_ref.observe.spans import FlowTrace
from torvyn_ref.observe.tracefile import TraceRecorder

DRAWN_CHOICES = 4096
"""Decisions of a drawn schedule; afterwards the flow goes on consumer-first."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which ready stage runs next: for the driver, for the trace's header, for people."""

    policy: SchedulingPolicy
    spec: dict[str, Any]
    words: str


def parse_schedule(text: str) -> Schedule:
    """Return the schedule named `consumer-first`, `producer-first` or `drawn:SEED`.

    Raises:
        TorvynError: cli/invalid-schedule.
    """
    name, _, seed = text.partition(":")
    if text == "consumer-first":
        return Schedule(ConsumerFirst(), {"policy": text}, text)
    if text == "producer-first":
        return Schedule(ProducerFirst(), {"policy": text}, text)
    if name == "drawn" and seed.isascii() and seed.isdigit() and len(seed) <= 18:
        draw = random.Random(int(seed))  # noqa: S311  # a schedule is no secret
        choices = [draw.randrange(64) for _ in range(DRAWN_CHOICES)]
        return Schedule(Scripted(choices), {"policy": "scripted", "choices": choices}, f"drawn with seed {int(seed)}")
    raise TorvynError(
        "cli",
        "invalid-schedule",
        f"expected consumer-first, producer-first or drawn:SEED, found {text[:40]!r}",
        where="--schedule",
        hint="a seed is a number of at most 18 digits: drawn:7",
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write where.

    Attributes:
        trace: takes the trace's lines; None writes none.
        picture: the SVG's file; None draws none.
        spans: takes every span as OTLP, in lines of JSON; None writes none.
    """

    trace: IO[bytes] | None = None
    picture: Path | None = None
    spans: IO[bytes] | None = None
    axis: Axis = Axis.TIME


def run(
    host: Host,
    name: str | None,
    wanted: Wanted,
    *,
    schedule: str | None = None,
    attachments: Attachments | None = None,
    timeout_s: float | None = None,
    interruption: session.Interruption | None = None,
) -> session.Outcome:
    """Run a flow, on its components and on the host's clock, and write down what was wanted.

    On a `VirtualClock` the flow is driven without waiting: time passes only where it would wait, and every run is the same.

    Raises:
        TorvynError: what `Host.prepare` and `session.run` raise; cli/output-failed.
    """
    configured = host.project.flow(name)
    chosen = parse_schedule(schedule or str(configured.scheduling))
    batches = None if wanted.spans is None else Batches(_writer(wanted.spans, "--spans"))
    spans = None if batches is None else FlowTrace(rate=1.0, exported=batches)
    prepared_with = replace(attachments or Attachments(), policy=chosen.policy, spans=spans)
    virtual = isinstance(host.clock, VirtualClock)
    # The observers are made before the flow they watch, and learn of it when it is prepared.
    later = Observers(())
    prepared = host.prepare(name, replace(prepared_with, observer=later))
    depths = DepthRecorder(prepared.driver.topology.edges)
    recorder = None
    if wanted.trace is not None:
        recorder = TraceRecorder(_writer(wanted.trace), host.resources, host.clock)
        recorder.begin(
            prepared.driver,
            clock="virtual" if virtual else "monotonic",
            schedule=chosen.spec,
            note=f"{prepared.name}: " + ", ".join(f"{stage.name} is {stage.component}" for stage in prepared.stages),
        )
        host.resources.observer = recorder
    later.members = tuple(each for each in (recorder, depths if wanted.picture is not None else None) if each is not None)
    prepared.driver.listen()
    try:
        if virtual:
            outcome = session.simulate(host, prepared)
        else:
            outcome = anyio.run(lambda: session.run(host, prepared, timeout_s=timeout_s, interruption=interruption))
    finally:
        host.resources.observer = None
    if recorder is not None:
        recorder.finish()
    if batches is not None:
        batches.flush()
    if wanted.picture is not None:
        title = f"{host.project.name}, flow {prepared.name}: {chosen.words}"
        with _written(wanted.picture, "--plot"):
            wanted.picture.write_text(depths.draw(title, axis=wanted.axis), encoding="utf-8")
    return outcome


@contextmanager
def open_trace(target: str, option: str = "--out") -> Iterator[IO[bytes]]:
    """Open what takes a trace: a file, or `-` for standard output.

    Raises:
        TorvynError: cli/output-failed.
    """
    if target == "-":
        yield sys.stdout.buffer
        return
    with _written(Path(target), option):
        stream = Path(target).open("wb")  # noqa: SIM115  # closed below; only opening it is what `_written` explains
    with stream:
        yield stream


@contextmanager
def _written(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TorvynError("cli", "output-failed", f"cannot write {path}: {reason}", where=option) from error


def _writer(stream: IO[bytes], option: str = "--out") -> Callable[[bytes], None]:
    def write(line: bytes) -> None:
        try:
            stream.write(line)
        except OSError as error:
            raise TorvynError("cli", "output-failed", f"cannot write the trace: {error.strerror or error}", where=option) from error

    return write

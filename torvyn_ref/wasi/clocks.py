"""wasi:clocks: time as the sandbox's clock tells it, so that a virtual clock makes a guest deterministic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torvyn_ref.engine.imports import HostFunction, HostInterface
from torvyn_ref.ids import U64_MAX
from torvyn_ref.security.kinds import Kind
from torvyn_ref.wasi.host import WasiHost
from torvyn_ref.wasi.io import SERIES, Pollable

_NS = 1_000_000_000


def _monotonic_now(host: WasiHost) -> int:
    host.use(Kind.MONOTONIC_CLOCK, "now")
    return host.sandbox.clock.monotonic_ns()


def _monotonic_resolution(host: WasiHost) -> int:
    host.use(Kind.MONOTONIC_CLOCK, "resolution")
    return 1


def _subscribe_instant(host: WasiHost, when: int) -> int:
    host.use(Kind.MONOTONIC_CLOCK, "subscribe-instant")
    return host.hold(Pollable(when))


def _subscribe_duration(host: WasiHost, duration: int) -> int:
    host.use(Kind.MONOTONIC_CLOCK, "subscribe-duration")
    return host.hold(Pollable(min(host.sandbox.clock.monotonic_ns() + duration, U64_MAX)))


def _wall_now(host: WasiHost) -> tuple[int, int]:
    host.use(Kind.WALL_CLOCK, "now")
    return divmod(host.sandbox.clock.wall_ns(), _NS)


def _wall_resolution(host: WasiHost) -> tuple[int, int]:
    host.use(Kind.WALL_CLOCK, "resolution")
    return 0, 1


_TYPES: Mapping[str, str] = MappingProxyType({"instant": "u64", "duration": "u64", "datetime": "record{seconds: u64, nanoseconds: u32}"})

MONOTONIC = HostInterface(
    "wasi:clocks/monotonic-clock",
    SERIES,
    (
        HostFunction("now", "func() -> instant", _monotonic_now),
        HostFunction("resolution", "func() -> duration", _monotonic_resolution),
        HostFunction("subscribe-instant", "func(when: instant) -> own<pollable>", _subscribe_instant),
        HostFunction("subscribe-duration", "func(when: duration) -> own<pollable>", _subscribe_duration),
    ),
    definitions=_TYPES,
    capability=Kind.MONOTONIC_CLOCK,
)

WALL = HostInterface(
    "wasi:clocks/wall-clock",
    SERIES,
    (
        HostFunction("now", "func() -> datetime", _wall_now),
        HostFunction("resolution", "func() -> datetime", _wall_resolution),
    ),
    definitions=_TYPES,
    capability=Kind.WALL_CLOCK,
)

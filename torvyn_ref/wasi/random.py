"""wasi:random: bytes from the sandbox's entropy, so that a run can be repeated when its host wants that."""

from __future__ import annotations

import struct

from torvyn_ref.engine.imports import GuestFault, HostFunction, HostInterface
from torvyn_ref.security.kinds import Kind
from torvyn_ref.wasi.host import WasiHost
from torvyn_ref.wasi.io import SERIES

_PAIR = struct.Struct("<QQ")
_ONE = struct.Struct("<Q")


def _bytes(host: WasiHost, capability: Kind, length: int) -> bytes:
    most = host.sandbox.limits.memory_bytes
    if length > most:
        raise GuestFault(f"the component asked for {length} random bytes, and its memory has room for {most}")
    host.use(capability, f"get {length} random bytes")
    return host.sandbox.entropy(length)


def _secure_bytes(host: WasiHost, length: int) -> bytes:
    return _bytes(host, Kind.CRYPTO_RANDOM, length)


def _secure_number(host: WasiHost) -> int:
    number: int = _ONE.unpack(_bytes(host, Kind.CRYPTO_RANDOM, _ONE.size))[0]
    return number


def _insecure_bytes(host: WasiHost, length: int) -> bytes:
    return _bytes(host, Kind.INSECURE_RANDOM, length)


def _insecure_number(host: WasiHost) -> int:
    number: int = _ONE.unpack(_bytes(host, Kind.INSECURE_RANDOM, _ONE.size))[0]
    return number


def _insecure_seed(host: WasiHost) -> tuple[int, int]:
    one, two = _PAIR.unpack(_bytes(host, Kind.INSECURE_RANDOM, _PAIR.size))
    return one, two


RANDOM = HostInterface(
    "wasi:random/random",
    SERIES,
    (
        HostFunction("get-random-bytes", "func(len: u64) -> list<u8>", _secure_bytes),
        HostFunction("get-random-u64", "func() -> u64", _secure_number),
    ),
    capability=Kind.CRYPTO_RANDOM,
)

INSECURE = HostInterface(
    "wasi:random/insecure",
    SERIES,
    (
        HostFunction("get-insecure-random-bytes", "func(len: u64) -> list<u8>", _insecure_bytes),
        HostFunction("get-insecure-random-u64", "func() -> u64", _insecure_number),
    ),
    capability=Kind.INSECURE_RANDOM,
)

INSECURE_SEED = HostInterface(
    "wasi:random/insecure-seed",
    SERIES,
    (HostFunction("insecure-seed", "func() -> tuple<u64, u64>", _insecure_seed),),
    capability=Kind.INSECURE_RANDOM,
)

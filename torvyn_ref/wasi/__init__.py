"""WASI 0.2 written by hand, granted interface by interface, deterministic on request, every use audited (CAP-041, ADR-005, ADR-010)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torvyn_ref.engine.imports import HostInterface
from torvyn_ref.wasi import cli, clocks, io, random
from torvyn_ref.wasi.host import WasiHost as WasiHost
from torvyn_ref.wasi.table import capability_for as capability_for

WASI_IMPORTS: Mapping[str, HostInterface] = MappingProxyType(
    {
        interface.name: interface
        for interface in (
            *(io.ERROR, io.POLL, io.STREAMS),
            *(cli.STDOUT, cli.STDERR, cli.STDIN, cli.EXIT, cli.ENVIRONMENT, *cli.TERMINALS),
            *(clocks.MONOTONIC, clocks.WALL),
            *(random.RANDOM, random.INSECURE, random.INSECURE_SEED),
        )
    }
)
"""Every WASI interface that this runtime implements, by name without version."""

"""What of WASI is open to a component, told from its resolved capabilities and from nothing else (CAP-041..CAP-043, ADR-010)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torvyn_ref.security.capability import Capability
from torvyn_ref.security.kinds import PATH_KINDS, Kind
from torvyn_ref.security.scopes import PathScope

SWITCHES = frozenset(kind for kind in Kind if kind.is_wasi) - PATH_KINDS
"""The kinds that open a part of WASI as a whole; directories are open one by one."""


@dataclass(frozen=True, slots=True)
class Preopen:
    """A directory that the component finds open; it has the same path inside and outside (CAP-042)."""

    path: str
    read: bool = False
    write: bool = False


@dataclass(frozen=True, slots=True)
class WasiEnvironment:
    """The switches that are on, and the open directories. A component without capabilities has neither.

    The switches of the network say only that there is one: which endpoint may be reached is asked at every connect (CAP-044).
    """

    switches: frozenset[Kind] = frozenset()
    preopens: tuple[Preopen, ...] = ()

    @classmethod
    def of(cls, effective: Iterable[Capability]) -> WasiEnvironment:
        """Derive the environment of a resolved set; capabilities of Torvyn's own change nothing in it (CAP-043)."""
        switches: set[Kind] = set()
        access: dict[str, set[Kind]] = {}
        for capability in effective:
            if isinstance(capability.scope, PathScope):
                access.setdefault(capability.scope.path, set()).add(capability.kind)
            elif capability.kind in SWITCHES:
                switches.add(capability.kind)
        preopens = (Preopen(path, Kind.FILESYSTEM_READ in kinds, Kind.FILESYSTEM_WRITE in kinds) for path, kinds in sorted(access.items()))
        return cls(frozenset(switches), tuple(preopens))

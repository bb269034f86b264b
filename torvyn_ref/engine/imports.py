"""What a host offers to guests: interfaces as data, one Python function per WIT function, the same for every engine.

An engine turns its own value shapes into plain ones (a resource is its `rep`, a list<u8> is bytes, a record a tuple) and calls
`HostFunction.does` with the host object first. Signatures are WIT text; `HostInterface` expands the names in them, so that two signatures
are equal when, and only when, their texts are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Deferred:
    """Bytes that a host function returns, to be written when there is a place for them. Engines that can say so to their host."""

    __slots__ = ()

    def __len__(self) -> int:
        """Return how many bytes."""
        raise NotImplementedError

    def into(self, target: memoryview) -> None:
        """Write them into `target`, which holds just as many."""
        raise NotImplementedError


class GuestFault(Exception):
    """A guest used a handle or a function in a way that its contract forbids: the call traps."""


class GuestTimeout(GuestFault):
    """A guest wanted to wait for longer than its call may take."""


class WitError(Exception):
    """The `err` of a WIT result, as an exception inside the host: the case's name, and its payload or None."""

    def __init__(self, case: str, payload: Any = None) -> None:
        super().__init__(case, payload)
        self.case = case
        self.payload = payload


_NAME = re.compile(r"(?<![\w-])[a-z][a-z0-9-]*(?![\w-]|:\s)")
_VERSIONED = re.compile(r"(?P<name>[^@]+)@(?P<version>[0-9].*)")
_NUMBERS = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


def split_version(name: str) -> tuple[str, str | None]:
    """Split `wasi:io/streams@0.2.3` into the interface and its version; None when it has none."""
    match = _VERSIONED.fullmatch(name)
    return (match["name"], match["version"]) if match else (name, None)


def in_series(version: str | None, series: str) -> bool:
    """Tell whether a version is a release of a series: `0.2.9` of `0.2`, but neither `0.2.0-rc-1` nor `0.20.0` nor no version at all."""
    match = _NUMBERS.fullmatch(version) if version else None
    return match is not None and f"{match[1]}.{match[2]}" == series


def expand(signature: str, definitions: Mapping[str, str]) -> str:
    """Replace the names of types by what they stand for, until none is left; names of resources stay.

    A word followed by a colon names a parameter or a field, and stays too.
    """
    before = None
    while signature != before:
        before = signature
        signature = _NAME.sub(lambda word: definitions.get(word[0], word[0]), signature)
    return signature


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function that a guest may import.

    Attributes:
        name: as the binary spells it, such as `[method]buffer.size`.
        signature: its type in WIT, the self parameter included.
        does: called with the host object and plain values; returns the plain result (the payload of `ok`), or raises `WitError` for `err`
        and
            `GuestFault` to trap.
    """

    name: str
    signature: str
    does: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class HostInterface:
    """One interface that a guest may import.

    Attributes:
        name: without version.
        series: the versions provided, as `major.minor`; any patch release of it is the same interface (CON-013).
        functions: by name; a guest imports those it uses.
        resources: the resources that this interface defines, and what dropping an owned handle does.
        definitions: the types that signatures mention by name.
        capability: the grant it takes; None when it is always there.
    """

    name: str
    series: str
    functions: tuple[HostFunction, ...]
    resources: Mapping[str, Callable[[Any, int], None]] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    capability: str | None = None

    def signature(self, function: HostFunction) -> str:
        """Return a function's type with every name but those of resources expanded."""
        return expand(function.signature, self.definitions)

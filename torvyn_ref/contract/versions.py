"""Versions of contract packages: reading them, ordering them, which of them this runtime accepts (CON-013, CON-022, CON-045, CON-046)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

from torvyn_ref.errors import TorvynError

_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
_PRERELEASE_PART = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<pre>{_PRERELEASE_PART}(?:\.{_PRERELEASE_PART})*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_LONGEST = 256


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version (semver 2.0.0). Order ignores build metadata, equality does not."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, where: str | None = None) -> Version:
        """Read a version in full: three numbers without leading zeros, then prerelease and build metadata where there are any.

        Raises:
            TorvynError: contract/invalid-version (E0113).
        """
        match = _SEMVER.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
            hint = "a version is MAJOR.MINOR.PATCH, then -prerelease and +build where needed, such as 0.1.0 or 1.2.3-rc.1"
            raise TorvynError("contract", "invalid-version", f"{shown!r} is not a semantic version", where=where, hint=hint, code="E0113")
        prerelease = tuple(match["pre"].split(".")) if match["pre"] else ()
        build = tuple(match["build"].split(".")) if match["build"] else ()
        return cls(int(match["major"]), int(match["minor"]), int(match["patch"]), prerelease, build)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += "-" + ".".join(self.prerelease)
        return f"{text}+{'.'.join(self.build)}" if self.build else text

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self.precedence < other.precedence

    @property
    def precedence(self) -> tuple[object, ...]:
        """Return what orders versions: a release comes after its prereleases; among parts, numbers come before words (semver 2.0.0, 11)."""
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.major, self.minor, self.patch, not self.prerelease, parts)


PROVIDED = Version(0, 1, 0)
"""The version of every Torvyn contract package that this runtime provides."""


def incompatibility(wanted: Version, provided: Version = PROVIDED) -> str | None:
    """Return why a component built against `wanted` cannot run on `provided`, or None when it can.

    Stricter than wasmtime's own matching on purpose: the same major and minor number for 0.x, where a minor step may break anything
    (CON-046); the same major and no newer minor from 1.0 on (CON-045). Patches do not matter (CON-013). A prerelease is compatible with
    nothing but itself.
    """
    if wanted == provided:
        return None
    if wanted.prerelease or provided.prerelease:
        return "a prerelease is compatible only with itself"
    if wanted.major != provided.major:
        return f"major version {wanted.major} is another contract than {provided.major}"
    if wanted.minor != provided.minor and provided.major == 0:
        return f"before 1.0 a minor version may break the contract, and {wanted.minor} is not {provided.minor}"
    if wanted.minor > provided.minor:
        return f"it needs what minor version {wanted.minor} added, and {provided.minor} does not have it"
    return None

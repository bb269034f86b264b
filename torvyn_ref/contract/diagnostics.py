"""Findings about contracts: one shape for every check, and one order in which they are told (CON-030)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from torvyn_ref.contract.compatibility import CODES, Comparison, Difference, Kind
from torvyn_ref.errors import TorvynError, TorvynErrors

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>[0-9]+)(?::(?P<column>[0-9]+))?")


class Severity(StrEnum):
    """How much a finding matters; only an error refuses anything."""

    HINT = "hint"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; line and column count from 1, and are 0 where they are not known."""

    file: str
    line: int = 0
    column: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Attributes:
        kind: symbolic, in kebab-case: what tools compare.
        code: the upstream's number, `E` and four digits; informative.
        locations: the most important place first.
        about: the names concerned, outermost first.
        versions: of the packages compared, where it is about a comparison.
    """

    kind: str
    code: str
    message: str
    severity: Severity = Severity.ERROR
    locations: tuple[Location, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    about: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


def is_ok(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether nothing found is an error (CON-030)."""
    return all(diagnostic.severity is not Severity.ERROR for diagnostic in diagnostics)


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings by file, line and column, those without a place last; otherwise as they were found (CON-030)."""

    def place(diagnostic: Diagnostic) -> tuple[bool, str, int, int]:
        if not diagnostic.locations:
            return (True, "", 0, 0)
        first = diagnostic.locations[0]
        return (False, first.file, first.line, first.column)

    return tuple(sorted(diagnostics, key=place))


def of_error(error: TorvynError, *, kind: str | None = None, code: str = "E0100", label: str = "") -> tuple[Diagnostic, ...]:
    """Return an error, or each of several, as findings; `kind` replaces its own."""
    if isinstance(error, TorvynErrors):
        return tuple(one for each in error.errors for one in of_error(each, kind=kind, code=code, label=label))
    return (Diagnostic(kind or error.kind, error.code or code, error.message, locations=places(error.where, label=label), help=error.hint),)


def places(where: str | None, *, label: str = "") -> tuple[Location, ...]:
    """Read `file:line:column` back."""
    if where is None:
        return ()
    match = _PLACE.fullmatch(where)
    if match is None:
        return (Location(where, label=label),)
    return (Location(match["file"], int(match["line"]), int(match["column"] or 0), label),)


def of_breaking(comparison: Comparison) -> tuple[Diagnostic, ...]:
    """Return one finding for each breaking change, with its path and both versions (CON-043); a kind by its class (CON-044)."""
    versions = (comparison.old_version, comparison.new_version)
    return tuple(of_difference(difference, versions) for difference in comparison.breaking)


def of_difference(difference: Difference, versions: tuple[str, str], *about: str) -> Diagnostic:
    """Return a breaking change as a finding; `about` stands before its path."""
    kind = difference.kind or Kind.INCOMPATIBLE
    where = "/".join(difference.path)
    return Diagnostic(kind, CODES[kind], f"{where}: {difference.what}", about=(*about, *difference.path), versions=versions)

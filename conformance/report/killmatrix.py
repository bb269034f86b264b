"""The kill matrix as a report shows it: read from the JSON of `torvyn-conformance mutants`, of which only what is shown is asked for."""

from __future__ import annotations

import msgspec

from conformance.errors import SuiteError
from conformance.report.json import LARGEST


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """One check that accused a mutant: of which rule, in how many examples, in what time."""

    rule: str
    check: str
    how: str = ""
    examples: int = 0
    seconds: float = 0.0


class Hunted(msgspec.Struct, frozen=True, kw_only=True):
    """One mutant: what it does wrong, the rules that it breaks, and who noticed. `killed` means that each of its rules was accused."""

    name: str
    breaks: tuple[str, ...]
    killed: bool
    killed_by: tuple[str, ...] = ()
    summary: str = ""
    kills: tuple[Kill, ...] = ()
    spared_by: tuple[str, ...] = ()
    seconds: float = 0.0


class KillMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the zoo's mutants. `problems` says why the matrix is not what it must be."""

    total: int
    killed: int
    mutants: tuple[Hunted, ...] = ()
    seconds: float = 0.0
    problems: tuple[str, ...] = ()


def decode_kills(data: bytes, name: str = "the kill matrix") -> KillMatrix:
    """Read what `torvyn-conformance mutants --report FILE` has written.

    Raises:
        SuiteError: it is too large, or something else.
    """
    if len(data) > LARGEST:
        raise SuiteError(f"{name} has more than {LARGEST >> 20} MiB; no kill matrix is that large")
    try:
        return msgspec.json.decode(data, type=KillMatrix)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        hint = "`torvyn-conformance mutants --report FILE` writes one"
        raise SuiteError(f"{name} is no kill matrix: {error}; {hint}") from error

"""From a subject's name, as a user writes it, to a door: `reference`, `stdio:COMMAND`, `python:MODULE:FACTORY`, `mutant:NAME`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from conformance.errors import SuiteError
from conformance.subjects.inprocess import Checked, InProcess, PythonSubject
from conformance.subjects.session import Exchange, Session
from conformance.subjects.stdio import Stdio, StdioSettings, parse_command

FORMS = "reference, stdio:COMMAND, python:MODULE:FACTORY or mutant:NAME"


@dataclass(frozen=True, slots=True)
class Door:
    """A subject that can be opened, as often as need be.

    Attributes:
        name: what the user wrote.
        open: makes a new exchange.
        in_process: the subject runs in this very process, so it can hang it.
    """

    name: str
    open: Callable[[], Exchange]
    in_process: bool


def find(name: str, settings: StdioSettings | None = None) -> Door:
    """Return the door that a name means; nothing is started yet.

    Raises:
        SuiteError: the name has no known form, the module or factory does not exist, or there is no such mutant.
    """
    kind, colon, rest = name.partition(":")
    if kind == "reference" and not colon:
        return Door(name, _reference, in_process=True)
    if kind == "stdio" and colon:
        command = parse_command(rest)
        return Door(name, lambda: Stdio(command, settings), in_process=False)
    if kind == "python" and colon:
        factory = _factory(name, rest)
        return Door(name, lambda: _python(name, factory), in_process=True)
    if kind == "mutant" and colon:
        return Door(name, _mutant(rest), in_process=True)
    near = get_close_matches(kind, ["reference", "stdio", "python", "mutant"], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise SuiteError(f"{name!r} names no subject{hint}: write {FORMS}")


def _reference() -> Exchange:
    from conformance.subjects.reference import reference_subject  # noqa: PLC0415 -- other subjects are judged without loading the reference

    return InProcess(reference_subject())


def _mutant(name: str) -> Callable[[], Exchange]:
    from conformance.mutants import zoo  # noqa: PLC0415 -- the zoo loads the reference; other subjects do without

    known = {mutant.name: mutant for mutant in zoo.all_mutants()}
    if name not in known:
        near = get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(sorted(known))}"
        raise SuiteError(f"there is no mutant {name!r}: {hint}")
    mutant = known[name]
    return lambda: InProcess(mutant.subject())


def _factory(name: str, rest: str) -> Callable[[], object]:
    module_name, colon, attribute = rest.partition(":")
    if not (module_name and colon and attribute):
        raise SuiteError(f"{name!r} must be written python:MODULE:FACTORY, for example python:my_runtime.subject:make")
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not look where its user stands
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SuiteError(f"{name!r}: the module {module_name!r} cannot be imported: {error}") from error
    factory: Callable[[], object] | None = getattr(module, attribute, None)
    if not callable(factory):
        what = "has no" if factory is None else "has an object that cannot be called as its"
        raise SuiteError(f"{name!r}: the module {module_name!r} {what} factory {attribute!r}")
    return factory


def _python(name: str, factory: Callable[[], object]) -> Exchange:
    try:
        subject = factory()
    except Exception as error:
        raise SuiteError(f"{name!r}: the factory raised {type(error).__name__}: {error}") from error
    if isinstance(subject, PythonSubject):
        return Checked(InProcess(subject))
    if callable(getattr(subject, "exchange", None)) and callable(getattr(subject, "close", None)):
        return Checked(cast("Exchange", subject))
    raise SuiteError(
        f"{name!r}: the factory returned {type(subject).__name__}; "
        "it must return a conformance.subjects.inprocess.PythonSubject, or an object with exchange() and close()"
    )


class Connection:
    """A door kept open from check to check, and opened anew when the subject behind it died."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._session: Session | None = None

    def session(self) -> Session:
        """Return an open session, ready for a new check.

        Raises:
            SubjectError: the subject does not start or introduce itself properly.
        """
        if self._session is None:
            self._session = Session(self.door.open())
        self._session.begin()
        return self._session

    def settle(self) -> None:
        """Take note that a check is over: a subject that failed in it is replaced by a fresh one."""
        if self._session is not None and self._session.failure is not None:
            self.close()

    def close(self) -> None:
        """End the subject; idempotent."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def kill(self) -> None:
        """End the subject without waiting for anything; safe in a signal handler, after which the process must end."""
        if self._session is not None:
            self._session.kill()
